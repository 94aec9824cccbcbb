// Operations on the directory: what each command changes, and who is told. The consequences for sessions and subscriptions are
// in rights-change.ts, tables of lookups in lookup-tables.ts.

import { RequestError } from '../errors.js';
import { Reply, type SecurityRequest } from '../message.js';
import type { Audit } from '../security/audit.js';
import type { AuditEvent, NotedEvent } from '../security/audit-entries.js';
import {
  checkAction,
  checkCustomData,
  checkedLookups,
  checkGroups,
  checkName,
  checkPattern,
  checkPermissionCount,
  checkPermissions,
  checkSecret,
  checkTokenId,
  normalized,
} from '../security/checks.js';
import type { DescribedFields, Owner, SecurityCommand, UserFields } from '../security/commands.js';
import { eventOf } from '../security/descriptions.js';
import type { Directory } from '../security/directory.js';
import {
  ADMIN,
  ANONYMOUS,
  type CustomData,
  type Group,
  type Permission,
  type Permissions,
  type PermittedAction,
  SECURITY_LIMITS,
  type User,
} from '../security/model.js';
import { Effect, type Turn } from '../turn.js';
import { changing, checkWhen, missing, NOBODY, type Outcome, tooMany } from './directory-changes.js';
import { changeTable, deleteTable, putTable } from './lookup-tables.js';
import { applyRights, endRevoked, endRevokedToken, tellChange } from './rights-change.js';
import type { Run } from './run.js';

type Command<Type extends SecurityCommand['type']> = Extract<SecurityCommand, { type: Type }>;

export function security(request: SecurityRequest, run: Run): void {
  const { command, session, time } = request;
  const turn = run.turn as Turn;
  const event = eventOf(command, session.asker);
  const { users, change } = attempt(request, event, run);
  if (event !== null) run.state.audit.enter({ event, time }, turn);
  if (users.size > 0) applyRights(users, request, run);
  if (change !== null) tellChange(users, change, run);
  run.say(new Reply(request));
  if (event !== null) run.say(new Effect(() => run.state.audit.tell(event)));
  // Whoever revokes its own token is answered first.
  if (command.type === 'deleteUser' || command.type === 'revokeAll') endRevoked(command.name, run);
  else if (command.type === 'revoke') endRevokedToken(command.tokenId, run);
}

/** A refusal is no change: it is entered behind the turn. */
function attempt({ command, session, time }: SecurityRequest, event: AuditEvent | null, run: Run): Outcome {
  const { access, audit, directory } = run.state;
  const turn = run.turn as Turn;
  try {
    access.administer(session, command);
    if (command.type === 'enter') return enter(command.events, time, audit, turn);
    return execute(command, time, directory, turn);
  } catch (error) {
    const refusal = error instanceof RequestError ? error.code : 'INTERNAL';
    if (event !== null) run.say(new Effect(() => audit.add({ ...event, refusal })));
    throw error;
  }
}

/** Of a request that is not executed, or whose turn the store refused. */
export function noteRefusal({ command, session }: SecurityRequest, { code }: RequestError, audit: Audit): void {
  const event = eventOf(command, session.asker);
  if (event !== null) audit.add({ ...event, refusal: code });
}

function enter(events: readonly NotedEvent[], time: number, audit: Audit, turn: Turn): Outcome {
  for (const event of events) audit.enter(event, turn);
  audit.dropOverdue(time, turn);
  return NOBODY;
}

function execute(command: Exclude<SecurityCommand, { type: 'enter' }>, time: number, directory: Directory, turn: Turn): Outcome {
  switch (command.type) {
    case 'putUser':
      return putUser(command, time, directory, turn);
    case 'deleteUser':
      return deleteUser(command.name, directory, turn);
    case 'password':
      return changePassword(command, time, directory, turn);
    case 'putGroup':
      return putGroup(command, time, directory, turn);
    case 'deleteGroup':
      return deleteGroup(command.name, directory, turn);
    case 'link':
    case 'unlink':
      return link(command, time, directory, turn);
    case 'permission':
      return changePermission(command, time, directory, turn);
    case 'putTable':
      return putTable(command, time, directory, turn);
    case 'changeTable':
      return changeTable(command, time, directory, turn);
    case 'deleteTable':
      return deleteTable(command, directory, turn);
    case 'revoke':
      return revoke(command, directory, turn);
    case 'lock':
      return lock(command, directory, turn);
    case 'unlock':
      return unlock(command.name, directory, turn);
    case 'revokeAll':
      return revokeAll(command.name, time, directory, turn);
    case 'sweepRevocations':
      for (const id of directory.revocationsOver(time)) directory.forgetRevocation(id, turn);
      for (const name of directory.locksOver(time)) directory.unlock(name, turn);
      return NOBODY;
  }
}

// Users.

function putUser({ name, id, fields, when, merge }: Command<'putUser'>, time: number, directory: Directory, turn: Turn): Outcome {
  const before = directory.user(name);
  checkWhen(when, before !== null, 'user', name);
  if (before === null) {
    checkName(name, 'user');
    checkTokenId(id);
    if (directory.userCount >= SECURITY_LIMITS.users) throw tooMany('users', SECURITY_LIMITS.users);
  }
  const user = userWith(before ?? newUser(name, id, time), fields, merge, time);
  const users = new Set([name]);
  changing(users, 'user', directory, turn, () => directory.putUser(user, turn));
  return { users, change: { type: 'userPut', user: shown(user), before: before === null ? null : shown(before) } };
}

function newUser(name: string, id: string, time: number): User {
  return {
    name,
    id,
    password: null,
    publicKey: null,
    groups: name === ADMIN ? [ADMIN] : [],
    permissions: {},
    customData: {},
    created: time,
    modified: time,
    tokensSince: 0,
  };
}

function userWith(before: User, fields: UserFields, merge: boolean, time: number): User {
  const { password = before.password, publicKey = before.publicKey, groups = before.groups } = fields;
  checkSecret(password, "the password's hash");
  checkSecret(publicKey, 'the public key');
  checkGroups(groups);
  if (before.name === ADMIN && !groups.includes(ADMIN)) throw new RequestError('INVALID_REQUEST', `${ADMIN} cannot leave its group`);
  return {
    ...before,
    ...describedFields(before, fields, merge),
    password,
    publicKey,
    groups: [...new Set(groups)],
    modified: time,
    tokensSince: password === before.password ? before.tokensSince : time,
  };
}

function shown(user: User): User {
  return { ...user, password: null };
}

function deleteUser(name: string, directory: Directory, turn: Turn): Outcome {
  userNamed(name, directory);
  if (name === ADMIN || name === ANONYMOUS) throw new RequestError('INVALID_REQUEST', `${name} cannot be deleted`);
  const users = new Set([name]);
  changing(users, 'user', directory, turn, () => directory.dropUser(name, turn));
  return { users, change: null };
}

function changePassword({ name, from, to, endsTokens }: Command<'password'>, time: number, directory: Directory, turn: Turn): Outcome {
  const before = userNamed(name, directory);
  checkSecret(to, "the password's hash");
  if (before.password !== from) throw new RequestError('CONFLICT', 'the password was changed meanwhile');
  const tokensSince = endsTokens ? time : before.tokensSince;
  const user = { ...before, password: to, modified: time, tokensSince };
  directory.putUser(user, turn);
  return endsTokens ? { users: new Set([name]), change: { type: 'userPut', user: shown(user), before: shown(before) } } : NOBODY;
}

function link({ type, user: name, group }: Command<'link' | 'unlink'>, time: number, directory: Directory, turn: Turn): Outcome {
  const before = userNamed(name, directory);
  const links = type === 'link';
  if (links) groupNamed(group, directory);
  if (before.groups.includes(group) === links) return NOBODY;
  const groups = links ? [...before.groups, group] : before.groups.filter((other) => other !== group);
  const user = userWith(before, { groups }, true, time);
  const users = new Set([name]);
  changing(users, 'user', directory, turn, () => directory.putUser(user, turn));
  const permissions = directory.group(group)?.permissions ?? {};
  return { users, change: { type: links ? 'linked' : 'unlinked', user: name, group, permissions } };
}

// Groups.

function putGroup({ name, fields, when, merge }: Command<'putGroup'>, time: number, directory: Directory, turn: Turn): Outcome {
  const before = directory.group(name);
  checkWhen(when, before !== null, 'group', name);
  checkChangeable(name);
  if (before === null) {
    checkName(name, 'group');
    if (directory.groupCount >= SECURITY_LIMITS.groups) throw tooMany('groups', SECURITY_LIMITS.groups);
  }
  const old = before ?? { name, permissions: {}, lookups: [], customData: {}, created: time, modified: time };
  const lookups = fields.lookups === undefined ? old.lookups : checkedLookups(fields.lookups);
  const group: Group = { ...old, ...describedFields(old, fields, merge), lookups, modified: time };
  const users = directory.memberNames(name);
  changing(users, 'group', directory, turn, () => directory.putGroup(group, turn));
  const permissions = withoutNulls(fields.permissions ?? {});
  return { users, change: { type: 'groupPut', group, permissions, before: old.permissions } };
}

function deleteGroup(name: string, directory: Directory, turn: Turn): Outcome {
  const group = groupNamed(name, directory);
  checkChangeable(name);
  const users = directory.memberNames(name);
  changing(users, 'group', directory, turn, () => directory.dropGroup(name, turn));
  return { users, change: { type: 'groupDeleted', group } };
}

function checkChangeable(group: string): void {
  if (group === ADMIN) throw new RequestError('INVALID_REQUEST', `the group ${ADMIN} cannot be changed`);
}

// Permissions and custom data, of users and groups.

interface Described {
  readonly permissions: Permissions;
  readonly customData: CustomData;
}

function describedFields(before: Described, { permissions, customData }: DescribedFields, merge: boolean): Described {
  if (permissions !== undefined) checkPermissions(permissions);
  if (customData !== undefined) checkCustomData(customData);
  const described = {
    permissions: permissions === undefined ? before.permissions : withoutNulls(permissions, merge ? before.permissions : {}),
    customData: customData === undefined ? before.customData : changedKeys(customData, merge ? before.customData : {}, merge),
  };
  checkPermissionCount(Object.keys(described.permissions).length);
  checkCustomData(described.customData);
  return described;
}

function withoutNulls(given: Readonly<Record<string, Permission | null>>, before: Permissions = {}): Permissions {
  const merged = new Map(Object.entries(before));
  for (const [pattern, permission] of Object.entries(given)) {
    if (permission === null) merged.delete(pattern);
    else merged.set(pattern, normalized(permission));
  }
  return Object.fromEntries(merged);
}

function changedKeys(given: CustomData, before: CustomData, merge: boolean): CustomData {
  const merged = new Map(Object.entries(before));
  for (const [key, value] of Object.entries(given)) {
    if (merge && value === null) merged.delete(key);
    else merged.set(key, value);
  }
  // Nobody outside keeps a hold on what is in it.
  return structuredClone(Object.fromEntries(merged));
}

function changePermission(command: Command<'permission'>, time: number, directory: Directory, turn: Turn): Outcome {
  const { of, path, action, authorized } = command;
  checkPattern(path);
  checkAction(action);
  const before = ownerNamed(of, directory);
  const old = Object.hasOwn(before.permissions, path) ? before.permissions[path] : undefined;
  const isNamed = old?.actions?.includes(action) === true || old?.prohibit?.includes(action) === true;
  if (authorized === null && !isNamed) {
    throw new RequestError('NOT_FOUND', `no permission of the ${of.kind} ${of.name} names ${action} on ${path}`);
  }
  const permission = permissionWith(old ?? {}, action, authorized);
  const isEmpty = permission.actions === undefined && permission.prohibit === undefined;
  const permissions = withoutNulls({ [path]: isEmpty ? null : permission }, before.permissions);
  checkPermissionCount(Object.keys(permissions).length);
  const users = of.kind === 'user' ? new Set([of.name]) : directory.memberNames(of.name);
  changing(users, of.kind, directory, turn, () => {
    if (of.kind === 'user') directory.putUser({ ...(before as User), permissions, modified: time }, turn);
    else directory.putGroup({ ...(before as Group), permissions, modified: time }, turn);
  });
  return { users, change: { type: 'permission', of, path, action, authorized } };
}

function permissionWith({ actions = [], prohibit = [] }: Permission, action: PermittedAction, authorized: boolean | null): Permission {
  const others = (list: readonly PermittedAction[]): PermittedAction[] => list.filter((other) => other !== action);
  return normalized({
    actions: authorized === true ? [...others(actions), action] : others(actions),
    prohibit: authorized === false ? [...others(prohibit), action] : others(prohibit),
  });
}

// Tokens.

function revoke({ tokenId, until }: Command<'revoke'>, directory: Directory, turn: Turn): Outcome {
  checkTokenId(tokenId);
  if (!(until > 0)) throw new RequestError('INVALID_REQUEST', 'a revocation must last until some time');
  if (directory.revocationCount >= SECURITY_LIMITS.revocations) throw tooMany('revoked tokens', SECURITY_LIMITS.revocations);
  directory.revoke(tokenId, until, turn);
  return NOBODY;
}

function revokeAll(name: string, time: number, directory: Directory, turn: Turn): Outcome {
  const user = userNamed(name, directory);
  directory.putUser({ ...user, modified: time, tokensSince: time }, turn);
  return NOBODY;
}

// Locks.

function lock({ name, until }: Command<'lock'>, directory: Directory, turn: Turn): Outcome {
  const isNew = directory.lockedUntil(name) === null;
  if (isNew && directory.lockCount >= SECURITY_LIMITS.locks) throw tooMany('locked users', SECURITY_LIMITS.locks);
  directory.lock(name, until, turn);
  return NOBODY;
}

function unlock(name: string, directory: Directory, turn: Turn): Outcome {
  if (directory.lockedUntil(name) === null) throw new RequestError('NOT_FOUND', `the user ${name} is not locked`);
  directory.unlock(name, turn);
  return NOBODY;
}

// What there has to be.

function userNamed(name: string, directory: Directory): User {
  const user = directory.user(name);
  if (user === null) throw missing('user', name);
  return user;
}

function groupNamed(name: string, directory: Directory): Group {
  const group = directory.group(name);
  if (group === null) throw missing('group', name);
  return group;
}

function ownerNamed({ kind, name }: Owner, directory: Directory): User | Group {
  if (kind === 'user') return userNamed(name, directory);
  checkChangeable(name);
  return groupNamed(name, directory);
}
