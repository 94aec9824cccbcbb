// Users and groups, as administrators see and change them. Passwords and their hashes are never returned.

import { randomBytes } from 'node:crypto';
import { type Group, RequestError, type SecurityCommand, type User, type UserFields } from '../../core/index.js';
import type { Administration } from './administration.js';
import { type Call, done, isoTime, made, NOTHING, type Operation, operation, type Result } from './operation.js';
import { pageOf } from './paging.js';
import * as schema from './schemas.js';

type Named = { readonly params: Readonly<Record<string, string>> };
type UserBody = (typeof schema.patchUser)['_output'];
type GroupBody = (typeof schema.patchGroup)['_output'];

const userAnswer = { description: 'The user.', schema: schema.user };
const groupAnswer = { description: 'The group.', schema: schema.group };
const gone = { description: 'It is deleted.', schema: null };

export const USERS: readonly Operation[] = [
  operation({
    method: 'get',
    path: '/users',
    id: 'listUsers',
    tag: 'users',
    summary: 'Lists users in order of their names.',
    query: schema.userPage,
    body: null,
    answers: { 200: { description: 'A page of users.', schema: schema.users } },
    run: ({ house, query: { limit, after, group } }) => {
      const { directory } = house;
      const all = group === undefined ? directory.users() : directory.members(group);
      const { items, next } = pageOf(all, ({ name }) => name, after, limit);
      return done({ users: items.map((user) => shownUser(house, user)), next });
    },
  }),
  operation({
    method: 'get',
    path: '/users/{name}',
    id: 'getUser',
    tag: 'users',
    summary: 'Returns a user.',
    query: null,
    body: null,
    answers: { 200: userAnswer },
    run: ({ house, params }) => done(userNamed(house, { params })),
  }),
  operation({
    method: 'put',
    path: '/users/{name}',
    id: 'putUser',
    tag: 'users',
    summary: 'Creates a user, or replaces the given fields.',
    query: null,
    body: schema.putUser,
    answers: { 200: userAnswer, 201: { ...userAnswer, description: 'The new user.' } },
    run: (call) => putUser(call, false),
  }),
  operation({
    method: 'patch',
    path: '/users/{name}',
    id: 'patchUser',
    tag: 'users',
    summary: 'Changes a user: permissions and custom data key by key, the rest as a whole.',
    query: null,
    body: schema.patchUser,
    answers: { 200: userAnswer },
    run: (call) => putUser(call, true),
  }),
  operation({
    method: 'delete',
    path: '/users/{name}',
    id: 'deleteUser',
    tag: 'users',
    summary: 'Deletes a user, with all sessions and tokens.',
    query: null,
    body: null,
    answers: { 204: gone },
    run: (call) => change(call, { type: 'deleteUser', name: nameOf(call) }),
  }),
  operation({
    method: 'delete',
    path: '/users/{name}/lock',
    id: 'unlockUser',
    tag: 'users',
    summary: 'Unlocks a user who was locked after wrong passwords.',
    query: null,
    body: null,
    answers: { 204: { description: 'The user is not locked.', schema: null } },
    run: (call) => change(call, { type: 'unlock', name: nameOf(call) }),
  }),
  ...(['link', 'unlink'] as const).map((type) =>
    operation({
      method: type === 'link' ? 'put' : 'delete',
      path: '/users/{name}/groups/{group}',
      id: `${type}Group`,
      tag: 'users',
      summary: type === 'link' ? 'Adds a user to a group.' : 'Removes a user from a group.',
      query: null,
      body: null,
      answers: { 204: { description: type === 'link' ? 'The user is in the group.' : 'The user is not in the group.', schema: null } },
      run: (call) => change(call, { type, user: nameOf(call), group: call.params['group'] as string }),
    }),
  ),
];

export const GROUPS: readonly Operation[] = [
  operation({
    method: 'get',
    path: '/groups',
    id: 'listGroups',
    tag: 'groups',
    summary: 'Lists groups in order of their names.',
    query: schema.page,
    body: null,
    answers: { 200: { description: 'A page of groups.', schema: schema.groupList } },
    run: ({ house, query: { limit, after } }) => {
      const { items, next } = pageOf(house.directory.groups(), ({ name }) => name, after, limit);
      return done({ groups: items.map((group) => shownGroup(house, group)), next });
    },
  }),
  operation({
    method: 'get',
    path: '/groups/{name}',
    id: 'getGroup',
    tag: 'groups',
    summary: 'Returns a group.',
    query: null,
    body: null,
    answers: { 200: groupAnswer },
    run: ({ house, params }) => done(groupNamed(house, { params })),
  }),
  operation({
    method: 'put',
    path: '/groups/{name}',
    id: 'putGroup',
    tag: 'groups',
    summary: 'Creates a group, or replaces the given fields.',
    query: null,
    body: schema.putGroup,
    answers: { 200: groupAnswer, 201: { ...groupAnswer, description: 'The new group.' } },
    run: (call) => putGroup(call, false),
  }),
  operation({
    method: 'patch',
    path: '/groups/{name}',
    id: 'patchGroup',
    tag: 'groups',
    summary: 'Changes permissions and custom data of a group key by key.',
    query: null,
    body: schema.patchGroup,
    answers: { 200: groupAnswer },
    run: (call) => putGroup(call, true),
  }),
  operation({
    method: 'delete',
    path: '/groups/{name}',
    id: 'deleteGroup',
    tag: 'groups',
    summary: 'Deletes a group. Its users stay linked to the name.',
    query: null,
    body: null,
    answers: { 204: gone },
    run: (call) => change(call, { type: 'deleteGroup', name: nameOf(call) }),
  }),
];

async function putUser(call: Call<null, UserBody>, merge: boolean): Promise<Result> {
  const { house, caller, body } = call;
  const name = nameOf(call);
  const isNew = house.directory.user(name) === null;
  const { password, ...others } = body;
  const given = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined));
  const hash = typeof password === 'string' ? await house.hash(password) : password;
  const fields = { ...given, ...(hash === undefined ? {} : { password: hash }) } as UserFields;
  const id = randomBytes(16).toString('hex');
  await house.change({ type: 'putUser', name, id, fields, when: merge ? 'present' : 'any', merge }, caller);
  const user = userNamed(house, call);
  return isNew ? made(user) : done(user);
}

async function putGroup(call: Call<null, GroupBody>, merge: boolean): Promise<Result> {
  const { house, caller, body } = call;
  const name = nameOf(call);
  const isNew = house.directory.group(name) === null;
  const fields = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
  await house.change({ type: 'putGroup', name, fields, when: merge ? 'present' : 'any', merge }, caller);
  const group = groupNamed(house, call);
  return isNew ? made(group) : done(group);
}

async function change({ house, caller }: Call<null, null>, command: SecurityCommand): Promise<Result> {
  await house.change(command, caller);
  return NOTHING;
}

function nameOf({ params }: Named): string {
  return params['name'] as string;
}

export function userNamed(house: Administration, named: Named): object {
  const user = house.directory.user(nameOf(named));
  if (user === null) throw new RequestError('NOT_FOUND', `there is no user ${nameOf(named)}`);
  return shownUser(house, user);
}

export function groupNamed(house: Administration, named: Named): object {
  const group = house.directory.group(nameOf(named));
  if (group === null) throw new RequestError('NOT_FOUND', `there is no group ${nameOf(named)}`);
  return shownGroup(house, group);
}

function shownUser({ directory }: Administration, user: User): object {
  const { name, groups, permissions, customData, publicKey, password, created, modified } = user;
  const until = directory.lockedUntil(name);
  const lockedUntil = until === null || until <= Date.now() ? null : isoTime(until);
  const times = { created: isoTime(created), modified: isoTime(modified) };
  return { name, groups, permissions, customData, publicKey, hasPassword: password !== null, lockedUntil, ...times };
}

function shownGroup({ directory }: Administration, { name, permissions, lookups, customData, created, modified }: Group): object {
  let members = 0;
  for (const _member of directory.members(name)) members += 1;
  return { name, permissions, lookups, customData, members, created: isoTime(created), modified: isoTime(modified) };
}
