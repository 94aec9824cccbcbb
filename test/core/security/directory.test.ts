// The directory: what its commands change and refuse, what is kept over a restart, and what a refused batch leaves.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ADMIN, ANONYMOUS, RequestError, type RequestErrorCode, SECURITY_LIMITS, type SecurityCommand } from '../../../src/core/index.js';
import { SECTION } from '../../../src/core/store/store.js';
import { GateStore, settled, until } from '../../support/core-harness.js';
import { type SecureHarness, startSecure } from '../../support/secure-harness.js';

const READ = { actions: ['get', 'on'] } as const;
const ALL = { actions: ['*'] } as const;
const PUT = { when: 'any', merge: false } as const;

let store: GateStore;
let house: SecureHarness;

beforeEach(async () => {
  store = new GateStore();
  house = await startSecure({ store });
});
afterEach(() => house.stop());

async function restart(): Promise<void> {
  await house.stop();
  house = await startSecure({ store });
}

async function refuse(command: SecurityCommand, code: RequestErrorCode, text?: RegExp): Promise<void> {
  const failure = await house.command(command).then(
    () => null,
    (error: unknown) => error,
  );
  expect(failure, JSON.stringify(command).slice(0, 200)).toBeInstanceOf(RequestError);
  expect((failure as RequestError).code).toBe(code);
  if (text !== undefined) expect((failure as RequestError).message).toMatch(text);
}

it('counts no decisions of rights that others have taken the place of', async () => {
  await house.group('plant', { '/plant/*': READ });
  await house.user('ann', {}, { groups: ['plant'] });
  const ann = house.directory.principal('ann');
  const decide = (): unknown => Array.from({ length: 10 }, (_, i) => ann?.rights.allows('get', `/plant/${i}`));
  decide();
  expect(house.directory.decisionCount).toBe(10);
  await house.group('plant', { '/plant/1': READ });
  expect(house.directory.decisionCount).toBe(0);
  decide();
  await house.command({ type: 'deleteUser', name: 'ann' });
  expect(house.directory.decisionCount).toBe(0);
});

describe('users and groups', () => {
  it('are made, changed, linked and deleted, and all of it is there after a restart', async () => {
    await house.group('plant', { '/plant/*': READ });
    await house.user('ann', { '/home/{{user.username}}/*': ALL }, { password: 'hash', groups: ['plant'], customData: { n: 1 } });
    await house.user('bob', {});
    await house.command({ type: 'link', user: 'bob', group: 'plant' });
    await house.command({ type: 'permission', of: { kind: 'user', name: 'bob' }, path: '/b', action: 'set', authorized: true });
    await house.user('gone', {});
    await house.command({ type: 'deleteUser', name: 'gone' });
    const before = [...house.directory.users(), ...house.directory.groups()];
    await restart();
    expect([...house.directory.users(), ...house.directory.groups()]).toEqual(before);
    expect(house.directory.user('ann')).toMatchObject({ password: 'hash', groups: ['plant'], customData: { n: 1 } });
    expect(house.directory.user('gone')).toBeNull();
    expect([...house.directory.members('plant')].map(({ name }) => name)).toEqual(['ann', 'bob']);
    const rights = house.directory.principal('ann')?.rights;
    expect(['/plant/x', '/home/ann/x', '/home/bob/x'].map((path) => rights?.allows('get', path))).toEqual([true, true, false]);
    expect(house.directory.principal('bob')?.rights.allows('set', '/b')).toBe(true);
  });

  it('have the permissions of all their groups together, also on the same path', async () => {
    await house.group('r', { '/x/*': READ });
    await house.group('w', { '/x/*': { actions: ['set'] } });
    await house.user('ann', { '/x/*': { actions: ['remove'] } }, { groups: ['r', 'w', 'missing'] });
    const rights = house.directory.principal('ann')?.rights;
    for (const action of ['get', 'on', 'set', 'remove'] as const) expect(rights?.allows(action, '/x/1'), action).toBe(true);
    expect(rights?.explain('set', '/x/1')).toEqual({ allowed: true, pattern: '/x/*', source: 'group w', lookup: null });
  });

  it('are changed key by key or as a whole', async () => {
    const fields = { permissions: { '/a': ALL, '/b': ALL }, customData: { a: 1, b: 2 } };
    await house.command({ type: 'putUser', name: 'ann', id: '1', fields, ...PUT });
    const merge = { permissions: { '/a': null, '/c': READ }, customData: { a: null, c: 3 } };
    await house.command({ type: 'putUser', name: 'ann', id: '2', fields: merge, when: 'present', merge: true });
    expect(house.directory.user('ann')).toMatchObject({ id: '1', permissions: { '/b': ALL, '/c': READ }, customData: { b: 2, c: 3 } });
    await house.command({ type: 'putUser', name: 'ann', id: '3', fields: { permissions: {} }, ...PUT });
    expect(house.directory.user('ann')).toMatchObject({ permissions: {}, customData: { b: 2, c: 3 } });
  });

  it('keep names of prototypes as plain keys', async () => {
    const permissions = JSON.parse('{"__proto__":{"actions":["get"]},"constructor":{"actions":["set"]}}');
    await house.user('ann', permissions, { customData: JSON.parse('{"__proto__":{"x":1}}') });
    await house.user('__proto__', {});
    await restart();
    const rights = house.directory.principal('ann')?.rights;
    expect([rights?.allows('get', '__proto__'), rights?.allows('set', 'constructor'), rights?.allows('get', 'toString')]).toEqual([
      true,
      true,
      false,
    ]);
    expect(house.directory.user('__proto__')?.name).toBe('__proto__');
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  it('with one action more or less on one path have just that', async () => {
    await house.user('ann', { '/a': { actions: ['get', 'set'] } });
    const change = (action: 'get' | 'set', authorized: boolean | null): Promise<void> =>
      house.command({ type: 'permission', of: { kind: 'user', name: 'ann' }, path: '/a', action, authorized });
    await change('set', false);
    expect(house.directory.user('ann')?.permissions).toEqual({ '/a': { actions: ['get'], prohibit: ['set'] } });
    await change('set', true);
    expect(house.directory.user('ann')?.permissions).toEqual({ '/a': { actions: ['get', 'set'] } });
    await change('set', null);
    await change('get', null);
    expect(house.directory.user('ann')?.permissions).toEqual({});
  });

  it('are refused with a reason', async () => {
    await house.user('ann', {}, { password: 'old' });
    const put = (name: string, fields: object = {}): SecurityCommand => ({ type: 'putUser', name, id: '1', fields, ...PUT });
    for (const name of ['', 'a/b', 'a*', '_ADMINs', 'x_GROUP', ' a', 'a\u0000', '\ud800', 'x'.repeat(257), '{{user.username}}']) {
      await refuse(put(name), 'INVALID_REQUEST', /name/);
    }
    await refuse(put('bob', { permissions: { '/a': { actions: ['fly'] } } }), 'INVALID_REQUEST', /no action fly/);
    await refuse(put('bob', { permissions: { '/a': { allow: ['get'] } } }), 'INVALID_REQUEST', /no allow/);
    await refuse(put('bob', { permissions: { 'a\nb': ALL } }), 'INVALID_REQUEST', /control characters/);
    await refuse(put('bob', { permissions: [] }), 'INVALID_REQUEST');
    await refuse(put('bob', { customData: { big: 'x'.repeat(SECURITY_LIMITS.customDataBytes) } }), 'LIMIT_EXCEEDED', /customData/);
    const many = Object.fromEntries(Array.from({ length: SECURITY_LIMITS.permissions + 1 }, (_, n) => [`/p/${n}`, ALL]));
    await refuse(put('bob', { permissions: many }), 'LIMIT_EXCEEDED', /permissions/);
    await refuse({ type: 'putUser', name: 'ann', id: '1', fields: {}, when: 'absent', merge: false }, 'CONFLICT');
    await refuse({ type: 'putUser', name: 'bob', id: '1', fields: {}, when: 'present', merge: false }, 'NOT_FOUND');
    await refuse({ type: 'putGroup', name: 'bob', fields: {}, when: 'present', merge: false }, 'NOT_FOUND');
    await refuse({ type: 'deleteUser', name: 'bob' }, 'NOT_FOUND');
    await refuse({ type: 'deleteGroup', name: 'bob' }, 'NOT_FOUND');
    await refuse({ type: 'link', user: 'ann', group: 'none' }, 'NOT_FOUND');
    await refuse({ type: 'password', name: 'ann', from: 'other', to: 'new', endsTokens: true }, 'CONFLICT');
    expect([...house.directory.users()].map(({ name }) => name)).toEqual(['ann']);
  });

  it('that are built in stay what they are', async () => {
    await house.user(ADMIN, {}, { groups: [ADMIN] });
    await house.user(ANONYMOUS, {});
    await refuse({ type: 'deleteUser', name: ADMIN }, 'INVALID_REQUEST');
    await refuse({ type: 'deleteUser', name: ANONYMOUS }, 'INVALID_REQUEST');
    await refuse({ type: 'deleteGroup', name: ADMIN }, 'INVALID_REQUEST');
    await refuse({ type: 'putGroup', name: ADMIN, fields: { permissions: {} }, ...PUT }, 'INVALID_REQUEST');
    await refuse({ type: 'unlink', user: ADMIN, group: ADMIN }, 'INVALID_REQUEST');
    await refuse({ type: 'putUser', name: ADMIN, id: '1', fields: { groups: [] }, ...PUT }, 'INVALID_REQUEST');
    const rights = house.directory.principal(ADMIN)?.rights;
    for (const path of ['/x', '/_SYSTEM/x', '$SYS/x']) expect(rights?.allows('set', path), path).toBe(true);
  });
});

describe('who may have it changed', () => {
  it('is an administrator, and everybody for a password and token of their own', async () => {
    await house.user('root', {}, { groups: [ADMIN] });
    await house.user('ann', { '*': ALL }, { password: 'old' });
    await house.user('bob', {}, { password: 'old' });
    const [root, ann] = [house.login('root').identity, house.login('ann', { tokenId: 't-ann' }).identity];
    await house.command({ type: 'deleteGroup', name: 'x' }, root).catch((error: RequestError) => expect(error.code).toBe('NOT_FOUND'));
    const refused: SecurityCommand[] = [
      { type: 'putUser', name: 'ann', id: '1', fields: { groups: [ADMIN] }, ...PUT },
      { type: 'password', name: 'bob', from: 'old', to: 'new', endsTokens: true },
      { type: 'revoke', tokenId: 't-bob', until: Number.POSITIVE_INFINITY },
      { type: 'revokeAll', name: 'ann' },
      { type: 'deleteUser', name: 'ann' },
    ];
    for (const command of refused) {
      await expect(house.command(command, ann), command.type).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    }
    await house.command({ type: 'password', name: 'ann', from: 'old', to: 'new', endsTokens: true }, ann);
    await house.command({ type: 'revoke', tokenId: 't-ann', until: Number.POSITIVE_INFINITY }, ann);
    expect(house.directory.user('ann')).toMatchObject({ password: 'new', tokensSince: house.clock.time });
    const nobody = { name: '', principal: null, login: null };
    await expect(house.command({ type: 'deleteUser', name: 'bob' }, nobody)).rejects.toMatchObject({ code: 'NOT_AUTHENTICATED' });
  });
});

describe('tokens', () => {
  it('are revoked one by one or all at once, also after a restart, and forgotten when their time is over', async () => {
    await house.user('ann', {});
    const until_ = house.clock.time + 10_000;
    await house.command({ type: 'revoke', tokenId: 'a', until: until_ });
    await house.command({ type: 'revoke', tokenId: 'b', until: Number.POSITIVE_INFINITY });
    const isRevoked = (tokenId: string, issued = house.clock.time): boolean =>
      house.directory.isRevoked(house.directory.user('ann') as never, { tokenId, issued });
    await restart();
    expect([isRevoked('a'), isRevoked('b'), isRevoked('c')]).toEqual([true, true, false]);
    house.clock.time += 20_000;
    await house.command({ type: 'sweepRevocations' });
    expect([isRevoked('a'), isRevoked('b')]).toEqual([false, true]);
    await house.command({ type: 'revokeAll', name: 'ann' });
    expect([isRevoked('c', house.clock.time - 1), isRevoked('c')]).toEqual([true, false]);
  });

  it('that were revoked are all forgotten soon after their time is over, however many', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      await restart();
      const until_ = house.clock.time + 10_000;
      await Promise.all(Array.from({ length: 2_500 }, (_, i) => house.command({ type: 'revoke', tokenId: `t${i}`, until: until_ })));
      const kept = (): number => house.counters.gauges.get('revoked_tokens')?.read() ?? -1;
      expect(kept()).toBe(2_500);
      for (let seconds = 0; seconds < 4; seconds++) {
        house.clock.time += seconds === 0 ? 60_000 : 1_000;
        vi.advanceTimersByTime(1_000);
        await settled();
      }
      expect(kept()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a batch that the store refuses', () => {
  it('leaves everybody with the rights of before', async () => {
    await house.group('g', { '/g/*': ALL });
    await house.user('ann', { '/a/*': ALL }, { groups: ['g'] });
    const ann = house.login('ann');
    await ann.subscribe('/a/*');
    store.held = true;
    const failures = [
      house.command({ type: 'putUser', name: 'ann', id: '1', fields: { permissions: { '/b/*': ALL }, groups: [] }, ...PUT }),
      house.command({ type: 'putUser', name: 'new', id: '2', fields: {}, ...PUT }),
      house.command({ type: 'deleteGroup', name: 'g' }),
    ].map((done) =>
      done.then(
        () => 'done',
        (error: RequestError) => error.code,
      ),
    );
    await until(() => store.writes > 0 && ann.identity.principal?.rights.allows('set', '/b/x'));
    store.failure = new Error('no space');
    store.release();
    expect(await Promise.all(failures)).toEqual(['STORE_FAILED', 'STORE_FAILED', 'STORE_FAILED']);
    const can = (path: string): boolean | undefined => ann.identity.principal?.rights.allows('set', path);
    expect([can('/a/x'), can('/b/x'), can('/g/x')]).toEqual([true, false, true]);
    expect(house.directory.user('new')).toBeNull();
    await until(() => house.engine.writable);
    expect([can('/a/x'), can('/b/x'), can('/g/x')]).toEqual([true, false, true]);
    expect(ann.lost).toEqual([]);
    await ann.set('/a/x', { n: 1 });
    await settled();
    expect(ann.heard.map(({ publication }) => publication.path)).toEqual(['/a/x']);
  });

  it('leaves a user whose deletion failed where he was', async () => {
    await house.user('ann', { '/a/*': ALL });
    const ann = house.login('ann');
    await ann.subscribe('/a/*');
    store.failure = new Error('no space');
    await refuse({ type: 'deleteUser', name: 'ann' }, 'STORE_FAILED');
    await until(() => house.engine.writable);
    expect(ann.closedWith).toBeUndefined();
    expect((await ann.set('/a/x', 1)).error).toBeNull();
    expect(ann.heard.length).toBe(1);
  });
});

describe('a damaged row', () => {
  it('stops the start', async () => {
    await house.user('ann', {});
    await house.stop();
    const { batch: last, revision, applied } = await store.open();
    const bytes = Uint8Array.from(store.read(SECTION.directory, 'uann') as Uint8Array);
    bytes[3] = (bytes[3] as number) ^ 1;
    const batch = store.batch();
    batch.put(SECTION.directory, 'uann', bytes);
    await store.write(batch, { batch: last + 1, revision, applied });
    await store.close();
    await expect(startSecure({ store })).rejects.toThrow(/directory row .* is damaged/);
    house = await startSecure();
  });
});
