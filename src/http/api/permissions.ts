// Single permissions of users and groups: allows or forbids one action on one pattern, or removes it.

import type { Owner } from '../../core/index.js';
import { type Call, done, type Operation, operation, type Result } from './operation.js';
import * as schema from './schemas.js';
import { groupNamed, userNamed } from './users.js';

const OWNERS = [
  { kind: 'user', path: '/users/{name}', id: 'User', answer: { description: 'The user.', schema: schema.user } },
  { kind: 'group', path: '/groups/{name}', id: 'Group', answer: { description: 'The group.', schema: schema.group } },
] as const;

export const PERMISSIONS: readonly Operation[] = OWNERS.flatMap(({ kind, path, id, answer }) => [
  operation({
    method: 'put',
    path: `${path}/permissions/{pattern}/{action}`,
    id: `put${id}Permission`,
    tag: 'rights',
    summary: `Allows or forbids a ${kind} one action (* for all but control) on one pattern. Other actions on it stay as they are.`,
    query: null,
    body: schema.putPermission,
    answers: { 200: answer },
    run: (call) => change(kind, call, call.body.effect === 'allow'),
  }),
  operation({
    method: 'delete',
    path: `${path}/permissions/{pattern}/{action}`,
    id: `delete${id}Permission`,
    tag: 'rights',
    summary: `The ${kind} is neither allowed nor forbidden this action on the pattern any more.`,
    query: null,
    body: null,
    answers: { 200: answer },
    run: (call) => change(kind, call, null),
  }),
]);

async function change(kind: Owner['kind'], { house, caller, params }: Call<null, unknown>, authorized: boolean | null): Promise<Result> {
  const { name, pattern, action } = params as { readonly name: string; readonly pattern: string; readonly action: string };
  await house.change({ type: 'permission', of: { kind, name }, path: pattern, action: action as '*', authorized }, caller);
  return done(kind === 'user' ? userNamed(house, { params }) : groupNamed(house, { params }));
}
