// What a change of one user's rights looks at: the sessions of that user, and those that subscribed by that user's rights.

import { afterEach, beforeEach, expect, it } from 'vitest';
import { DELEGATES } from '../../../src/core/index.js';
import { UsersSessions } from '../../../src/core/sessions/users-sessions.js';
import { type SecureHarness, type SecureSession, startSecure } from '../../support/secure-harness.js';

const READ = { actions: ['get', 'on'] } as const;

let house: SecureHarness;

beforeEach(async () => {
  house = await startSecure();
  for (const name of ['ann', 'bob']) await house.user(name, { [`/${name}/*`]: READ });
});
afterEach(() => house.stop());

/** Counts how often somebody goes through its subscriptions. */
function counted(session: SecureSession): { looks: number } {
  const { subscriptions } = session;
  const count = { looks: 0 };
  const values = subscriptions[Symbol.iterator].bind(subscriptions);
  subscriptions[Symbol.iterator] = () => {
    count.looks += 1;
    return values();
  };
  return count;
}

async function subscribed(session: SecureSession, pattern: string, options: { actor?: string } = {}): Promise<void> {
  expect((await session.subscribe(pattern, 'glob', options)).error, pattern).toBeNull();
}

it('looks at the sessions of that user alone', async () => {
  const sessions = ['ann', 'ann', 'bob', 'bob'].map((name) => house.login(name));
  for (const session of sessions) await subscribed(session, `/${session.identity.name}/*`);
  const counts = sessions.map(counted);
  await house.user('bob', {});
  expect(counts.map(({ looks }) => looks)).toEqual([0, 0, 1, 1]);
  expect(sessions.map(({ lost }) => lost)).toEqual([[], [], ['/bob/*'], ['/bob/*']]);
  expect(sessions.map(({ changes }) => changes.length)).toEqual([0, 0, 1, 1]);
});

it('finds what a session subscribed to before it became somebody else', async () => {
  const session = house.login('ann');
  await subscribed(session, '/ann/*');
  session.identity = house.login('bob').identity;
  await subscribed(session, '/bob/*');
  await house.user('ann', {});
  expect(session.lost).toEqual(['/ann/*']);
  expect(session.changes).toEqual([]);
  await house.user('bob', {});
  expect(session.lost).toEqual(['/ann/*', '/bob/*']);
  expect(session.changes).toHaveLength(1);
});

it('finds what a session subscribed to while it was somebody else for one request', async () => {
  const session = house.login('ann');
  session.askAs(house.login('bob').identity);
  await subscribed(session, '/bob/*');
  session.askAs(null);
  await house.user('bob', {});
  expect(session.lost).toEqual(['/bob/*']);
});

it('finds what a session subscribed to on behalf of that user', async () => {
  await house.user('carl', {}, { groups: [DELEGATES] });
  const session = house.login('carl');
  await subscribed(session, '/bob/*', { actor: 'bob' });
  await house.user('bob', {});
  expect(session.lost).toEqual(['/bob/*']);
});

it('ends the sessions of a revoked token, also of one that came later, and looks at no others', async () => {
  const [first, second, moved, other] = ['a', 'a', 'b', 'c'].map((tokenId) => house.login('ann', { tokenId })) as SecureSession[];
  (moved as SecureSession).identity = (first as SecureSession).identity;
  const identity = (other as SecureSession).identity;
  let looks = 0;
  Object.defineProperty(other, 'ownIdentity', {
    get: () => {
      looks += 1;
      return identity;
    },
  });
  await house.command({ type: 'revoke', tokenId: 'a', until: house.clock.time + 60_000 });
  expect([first, second, moved, other].map((session) => session?.closedWith?.code)).toEqual([
    'SESSION_REVOKED',
    'SESSION_REVOKED',
    'SESSION_REVOKED',
    undefined,
  ]);
  expect(looks).toBe(0);
});

it('ends the session of a revoked token whatever name it asks in meanwhile, and not with that one', async () => {
  const session = house.login('ann', { tokenId: 'a' });
  session.askAs(house.login('bob', { tokenId: 'b' }).identity);
  await house.command({ type: 'revoke', tokenId: 'b', until: house.clock.time + 60_000 });
  await house.command({ type: 'deleteUser', name: 'bob' });
  expect(session.closedWith).toBeUndefined();
  session.askAs(house.login('ann', { tokenId: 'c' }).identity);
  await house.command({ type: 'revoke', tokenId: 'a', until: house.clock.time + 60_000 });
  expect(session.closedWith).toMatchObject({ code: 'SESSION_REVOKED' });
});

it('does not end a session that has another token by now, or that is closed', async () => {
  const [moved, closed] = ['a', 'a'].map((tokenId) => house.login('ann', { tokenId })) as SecureSession[];
  (moved as SecureSession).identity = house.login('ann', { tokenId: 'b' }).identity;
  closed?.close(null);
  await house.command({ type: 'revoke', tokenId: 'a', until: house.clock.time + 60_000 });
  expect([moved, closed].map((session) => session?.closedWith ?? null)).toEqual([null, null]);
});

it('ends the sessions of a deleted user, and finds none that is closed', async () => {
  const [gone, bob, ann] = [house.login('bob'), house.login('bob'), house.login('ann')];
  gone.close(null);
  gone.identity = house.login('ann').identity;
  await house.command({ type: 'deleteUser', name: 'bob' });
  expect([bob, ann].map(({ closedWith }) => closedWith?.code)).toEqual(['SESSION_REVOKED', undefined]);
  const users = new UsersSessions();
  users.open(ann);
  users.subscribed(ann, 'bob');
  users.close(ann);
  expect([users.of(['ann']), [...users.concernedBy(['ann', 'bob'])]]).toEqual([[], []]);
});
