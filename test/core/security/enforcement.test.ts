// Rights where they are enforced: requests, rows, deliveries, queues, wills, transactions, shared groups, and on behalf of others.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ADMIN,
  type DataOptions,
  DataRequest,
  DELEGATES,
  type Dialect,
  Payload,
  parseQuery,
  RequestError,
  SESSION_EXPIRY_MS,
  STORED,
  SUBSCRIBED,
  SubscribeRequest,
  Subscription,
  TransactionRequest,
  type Will,
} from '../../../src/core/index.js';
import { parsePattern } from '../../../src/core/paths/pattern.js';
import { formats, GateStore, settled, until } from '../../support/core-harness.js';
import { type SecureHarness, type SecureSession, startSecure } from '../../support/secure-harness.js';

const ALL = { actions: ['*'] } as const;
const READ = { actions: ['get', 'on'] } as const;
const PUT = { when: 'any', merge: false } as const;
const OPEN = { type: 'open', clean: false, expiryMs: SESSION_EXPIRY_MS } as const;

let house: SecureHarness;
let root: SecureSession;

beforeEach(async () => {
  house = await startSecure();
  await house.user('root', {}, { groups: [ADMIN] });
  root = house.login('root');
});
afterEach(() => house.stop());

const pathsHeard = ({ heard }: SecureSession): string[] => heard.map(({ publication }) => publication.path);

async function setAll(...paths: string[]): Promise<void> {
  for (const path of paths) expect((await root.set(path, { path })).error, path).toBeNull();
}

describe('a request', () => {
  it('needs its own right on its own path', async () => {
    await house.user('ann', { '/r': { actions: ['get'] }, '/w': { actions: ['set'] }, '/d': { actions: ['remove'] } });
    await setAll('/r', '/w', '/d');
    const ann = house.login('ann');
    const can = async (path: string): Promise<string> => {
      const replies = [
        await ann.get(path),
        await ann.set(path, 1),
        await ann.emit(path, 1),
        await ann.remove(path),
        await ann.subscribe(path),
      ];
      return replies.map(({ error }) => error?.code ?? 'ok').join(' ');
    };
    const no = 'ACCESS_DENIED';
    expect(await can('/r')).toBe(`ok ${no} ${no} ${no} ${no}`);
    expect(await can('/w')).toBe(`${no} ok ok ${no} ${no}`);
    expect(await can('/d')).toBe(`${no} ${no} ${no} ok ${no}`);
    expect(await can('/_TAGS/x')).toBe(`${no} ${no} ${no} ${no} ${no}`);
  });

  it('that merges shows nothing of what others have put there to who may not read it', async () => {
    await house.user('ann', { '/m': { actions: ['set'] } });
    await house.user('bob', { '/m': ALL });
    await root.set('/m', { secret: 1 });
    const shown = async (name: string): Promise<unknown> =>
      (await house.login(name).set('/m', { own: 2 }, { merge: true })).entry?.payload.value();
    expect([await shown('ann'), await shown('bob')]).toEqual([{ own: 2 }, { secret: 1, own: 2 }]);
  });

  it('of a session that did not log in is refused, whatever it is', async () => {
    const nobody = house.session();
    for (const reply of [await nobody.get('/r'), await nobody.set('/r', 1), await nobody.subscribe('/r'), await nobody.find('*')]) {
      expect(reply.error?.code).toBe('NOT_AUTHENTICATED');
    }
  });

  it('reaches reserved areas for administrators alone, and roles for nobody', async () => {
    await house.user('ann', { '*': ALL, '$SYS/*': ALL, '/_SYSTEM/*': ALL });
    const ann = house.login('ann');
    for (const path of ['/_SYSTEM/x', '_SYSTEM/x', '/_HAVEN/x', '$SYS/x', '$x']) {
      expect((await ann.set(path, 1)).error?.code, path).toBe('ACCESS_DENIED');
      expect((await ann.get(path)).error?.code, path).toBe('ACCESS_DENIED');
      expect((await ann.subscribe(path, 'mqtt')).error?.code, path).toBe('ACCESS_DENIED');
      expect((await root.set(path, 1)).error, path).toBeNull();
    }
    expect((await root.set('/_HAVEN/control/x', 1)).error?.code).toBe('ACCESS_DENIED');
    expect((await root.removeAll('/_HAVEN/*')).error?.code).toBe('ACCESS_DENIED');
  });

  it('of a transaction is judged operation by operation, and nothing is done if one is refused', async () => {
    await house.user('ann', { '/a/*': ALL, '/b/*': READ });
    const ann = house.login('ann');
    const operation = (path: string): DataRequest =>
      new DataRequest('set', ann, null, path, null, Payload.fromValue(1, formats.json), STORED, true, 0, null);
    const transact = (...paths: string[]): ReturnType<SecureSession['submit']> =>
      ann.submit(new TransactionRequest(ann, 1, paths.map(operation), null));
    expect((await transact('/a/1', '/b/1')).error).toMatchObject({ code: 'ACCESS_DENIED', operation: 1 });
    expect((await root.get('/a/1')).entry).toBeNull();
    expect((await transact('/a/1', '/a/2')).error).toBeNull();
    const control = new TransactionRequest(ann, 2, [operation('/_HAVEN/control/x')], null, true);
    expect((await ann.submit(control)).error?.code).toBe('ACCESS_DENIED');
  });
});

describe('an answer by wildcard', () => {
  beforeEach(async () => {
    await house.user('ann', { '/d/*': ALL, '/d/secret/*': { prohibit: ['get', 'remove'] } });
    await setAll('/d/1', '/d/2', '/d/secret/1', '/d/secret/2', '/e/1');
  });
  const found = async (options: Partial<DataOptions> = {}): Promise<unknown> => {
    const { entries, error } = await house.login('ann').find('/d/*', options);
    return error === null ? entries?.map(({ path }) => path) : error.code;
  };

  it('shows what may be got', async () => {
    expect(await found()).toEqual(['/d/1', '/d/2']);
    expect(await found({ limit: 2 })).toEqual(['/d/1', '/d/2']);
    expect(await found({ query: parseQuery({ criteria: { path: { $regex: '.*' } } }) })).toEqual(['/d/1', '/d/2']);
    expect(await found({ query: parseQuery({ sort: { path: -1 } }) })).toEqual(['/d/2', '/d/1']);
  });

  it('D10 counts what may be got', async () => {
    const count = async (session: SecureSession): Promise<number> =>
      (await session.find('/d/*', { query: parseQuery({ count: true }) })).count;
    expect([await count(house.login('ann')), await count(root)]).toEqual([2, 4]);
  });

  it('is refused when the pattern is not covered', async () => {
    const { error } = await house.login('ann').find('*');
    expect(error?.code).toBe('ACCESS_DENIED');
  });

  it('D10 takes away what may be removed', async () => {
    const ann = house.login('ann');
    expect((await ann.removeAll('/d/*')).count).toBe(2);
    expect((await root.find('/d/*')).entries?.map(({ path }) => path)).toEqual(['/d/secret/1', '/d/secret/2']);
    expect((await ann.removeAll('/*')).error?.code).toBe('ACCESS_DENIED');
  });
});

describe('a subscription', () => {
  it.each<[Dialect, string]>([
    ['glob', '/d/*'],
    ['segments', '/d/**'],
    ['mqtt', '/d/#'],
  ])('of %s never hears what is prohibited, nor another spelling, nor its parent level', async (dialect, pattern) => {
    await house.user('ann', { '/d/*': ALL, '/d/secret/*': { prohibit: ['on'] } });
    const ann = house.login('ann');
    expect((await ann.subscribe(pattern, dialect)).error).toBeNull();
    await setAll('/d/1', '/d/secret/1', 'd/1', '/d', '/d/secret', '/d/2');
    await root.emit('/d/secret/2', 1);
    await root.remove('/d/secret/1');
    await root.removeAll('/d/secret/*');
    await settled();
    expect(pathsHeard(ann)).toEqual(['/d/1', '/d/secret', '/d/2']);
  });

  it('is refused unless one allowance covers all of it', async () => {
    await house.user('ann', { '/d/*': ALL, '/e/x*': ALL, '/e/y*': ALL });
    const ann = house.login('ann');
    for (const [pattern, dialect] of [
      ['*', 'glob'],
      ['/*', 'glob'],
      ['/d*', 'glob'],
      ['/e/*', 'glob'],
      ['#', 'mqtt'],
      ['/+/x', 'mqtt'],
      ['/**', 'segments'],
      ['*', 'segments'],
      ['d/**', 'segments'],
    ] as const) {
      expect((await ann.subscribe(pattern, dialect)).error?.code, pattern).toBe('ACCESS_DENIED');
    }
    await root.set('/z', 1);
    expect([ann.heard, ann.subscriptions.size]).toEqual([[], 0]);
  });

  it('D10 begins with the initial values that may be got', async () => {
    await house.user('ann', { '/d/*': ALL, '/d/secret/*': { prohibit: ['get'] }, '/on/*': { actions: ['on'] } });
    await setAll('/d/1', '/d/secret/1', '/on/1');
    const ann = house.login('ann');
    expect((await ann.subscribe('/d/*', 'glob', {}, true)).entries?.map(({ path }) => path)).toEqual(['/d/1']);
    expect((await ann.subscribe('/d/secret/1', 'glob', {}, true)).entries).toEqual([]);
    const heard = await ann.subscribe('/on/*', 'glob', {}, true);
    expect([heard.error, heard.entries]).toEqual([null, []]);
  });

  it('is shared by those that may hear a message', async () => {
    await house.user('ann', { '/d/*': ALL, '/d/secret/*': { prohibit: ['on'] } });
    await house.user('bob', { '/d/*': ALL });
    const [ann, bob] = [house.login('ann'), house.login('bob')];
    for (const session of [ann, bob]) expect((await session.subscribe('/d/#', 'mqtt', { group: 'g' })).error).toBeNull();
    for (let n = 0; n < 6; n++) await root.set(`/d/secret/${n}`, n);
    for (let n = 0; n < 6; n++) await root.set(`/d/${n}`, n);
    await settled();
    expect(pathsHeard(bob).filter((path) => path.startsWith('/d/secret'))).toHaveLength(6);
    expect(pathsHeard(ann)).toHaveLength(3);
    expect(pathsHeard(ann).some((path) => path.includes('secret'))).toBe(false);
  });
});

describe('a change of rights', () => {
  it('D11 ends what is no longer covered and narrows what is, in its place among the changes', async () => {
    await house.group('g', { '/d/*': READ });
    await house.user('ann', { '/own/*': READ }, { groups: ['g'] });
    const ann = house.login('ann');
    for (const pattern of ['/d/*', '/d/a/*', '/own/*']) await ann.subscribe(pattern);
    await setAll('/d/a/1');
    await house.command({ type: 'permission', of: { kind: 'group', name: 'g' }, path: '/d/a/*', action: 'on', authorized: false });
    await setAll('/d/a/2', '/d/1');
    expect(ann.lost).toEqual(['/d/a/*']);
    await house.command({ type: 'unlink', user: 'ann', group: 'g' });
    await setAll('/d/2', '/own/1');
    await settled();
    expect(ann.lost).toEqual(['/d/a/*', '/d/*']);
    expect(pathsHeard(ann)).toEqual(['/d/a/1', '/d/a/1', '/d/1', '/own/1']);
    expect([...ann.subscriptions].map(({ pattern }) => pattern.text)).toEqual(['/own/*']);
    expect(ann.changes.map(({ type }) => type)).toEqual(['permission', 'unlinked']);
    expect((await ann.find('/d/*')).error?.code).toBe('ACCESS_DENIED');
    expect(house.counters.gauges.get('subscriptions')?.read()).toBe(1);
  });

  it('is also a change of custom data that a permission names', async () => {
    await house.group('sites', { '/site/{{user.custom_data.site}}/*': READ, '/closed/{{user.custom_data.site}}/*': { prohibit: ['*'] } });
    await house.user('ann', { '/closed/*': READ }, { groups: ['sites'], customData: { site: ['north', 'east'] } });
    const ann = house.login('ann');
    for (const pattern of ['/site/north/*', '/site/east/*', '/closed/*']) expect((await ann.subscribe(pattern)).error, pattern).toBeNull();
    expect((await ann.subscribe('/closed/north/*')).error?.code).toBe('ACCESS_DENIED');
    const customData = (site: unknown): Promise<void> =>
      house.command({ type: 'putUser', name: 'ann', id: '1', fields: { customData: { site } }, when: 'present', merge: true });
    await customData('east');
    expect(ann.lost).toEqual(['/site/north/*']);
    await setAll('/site/east/1', '/site/north/1', '/closed/east/1', '/closed/north/1');
    await customData('e*');
    expect(ann.lost).toEqual(['/site/north/*', '/site/east/*']);
    await setAll('/site/east/2', '/closed/east/2', '/closed/north/2');
    await customData(null);
    await setAll('/closed/east/3');
    await settled();
    expect(pathsHeard(ann)).toEqual(['/site/east/1', '/closed/north/1', '/closed/north/2', '/closed/east/3']);
  });

  it('that gives back what was narrowed is heard at once', async () => {
    await house.user('ann', { '/d/*': READ, '/d/a': { prohibit: ['on'] } });
    const ann = house.login('ann');
    await ann.subscribe('/d/*');
    await setAll('/d/a');
    await house.user('ann', { '/d/*': READ });
    await setAll('/d/a');
    await settled();
    expect(ann.heard.length).toBe(1);
  });

  it('counts for a request that was sent behind it', async () => {
    await house.user('ann', { '/d/*': ALL });
    const ann = house.login('ann');
    const change = house.command({ type: 'putUser', name: 'ann', id: '1', fields: { permissions: {} }, ...PUT });
    const set = ann.set('/d/1', 1);
    await change;
    expect((await set).error?.code).toBe('ACCESS_DENIED');
  });

  it('is told to those whom it concerns, without secrets', async () => {
    await house.user('ann', {}, { password: 'hash' });
    await house.user('bob', {});
    const [ann, bob] = [house.login('ann'), house.login('bob')];
    await house.user('ann', { '/x': READ });
    await house.command({ type: 'password', name: 'ann', from: 'hash', to: 'other', endsTokens: true });
    expect(JSON.stringify(ann.changes)).not.toMatch(/hash|other/);
    expect([ann.changes.length, bob.changes.length]).toEqual([2, 0]);
  });

  it('ends the sessions of a deleted user, and nobody else', async () => {
    await house.user('ann', { '*': ALL });
    await house.user('bob', { '*': ALL });
    const [one, two, bob] = [house.login('ann'), house.login('ann'), house.login('bob')];
    await one.subscribe('*');
    await house.command({ type: 'deleteUser', name: 'ann' });
    for (const session of [one, two]) {
      expect(session.closedWith).toMatchObject({ code: 'SESSION_REVOKED', reason: 'security directory update: user deleted' });
    }
    expect(bob.closedWith).toBeUndefined();
    await house.user('ann', { '*': ALL });
    expect(one.identity.principal?.rights.allows('get', '/x')).toBe(false);
    expect(house.login('ann').identity.principal?.rights.allows('get', '/x')).toBe(true);
  });

  it('ends the sessions of a revoked token, the one that asked for it after its answer', async () => {
    await house.user('ann', { '*': ALL });
    const [one, two, other] = ['t', 't', 'u'].map((tokenId) => house.login('ann', { tokenId })) as [
      SecureSession,
      SecureSession,
      SecureSession,
    ];
    await house.command({ type: 'revoke', tokenId: 't', until: Number.POSITIVE_INFINITY }, one.identity);
    expect([one, two, other].map(({ closedWith }) => closedWith?.message)).toEqual(['token-revoked', 'token-revoked', undefined]);
    const child = house.login('ann', { parentId: other.id });
    expect(house.context.endChildren(other)).toBe(1);
    expect([child.closedWith?.message, other.closedWith]).toEqual(['token-revoked', undefined]);
    house.clock.time += 1;
    await house.command({ type: 'revokeAll', name: 'ann' });
    expect(other.closedWith?.message).toBe('token-revoked');
  });
});

describe('a durable session', () => {
  const durable = { qos: 1 } as const;
  async function away(pattern: string): Promise<void> {
    const ann = house.login('ann', { ordered: true });
    await ann.durably({ ...OPEN, key: 'ann/1' });
    expect((await ann.subscribe(pattern, 'mqtt', durable)).error).toBeNull();
    ann.close(null);
    await settled();
  }
  const back = async (): Promise<SecureSession> => {
    const ann = house.login('ann', { ordered: true });
    await ann.durably({ ...OPEN, key: 'ann/1' });
    return ann;
  };
  const queued = (session: SecureSession): (string | undefined)[] =>
    [...(session.durable?.queue.keys() ?? [])].map((number) => house.context.queuedPublication(number, session)?.path);

  it('D10 is queued what its user may hear, whoever is there', async () => {
    await house.user('ann', { '/d/*': READ, '/d/secret/*': { prohibit: ['on'] } });
    await away('/d/#');
    await setAll('/d/1', '/d/secret/1', '/d');
    expect(queued(await back())).toEqual(['/d/1']);
  });

  it('D10 is handed out what its user may hear then', async () => {
    await house.user('ann', { '/d/*': READ });
    await away('/d/#');
    await setAll('/d/1', '/d/2');
    await house.command({ type: 'permission', of: { kind: 'user', name: 'ann' }, path: '/d/1', action: 'on', authorized: false });
    expect(queued(await back())).toEqual([undefined, '/d/2']);
    expect(house.counters.counters.get('queue_denied_total')?.value).toBe(1);
  });

  it('is handed out nothing from memory that was forbidden since', async () => {
    await house.user('ann', { '/d/*': READ });
    const ann = await back();
    await ann.subscribe('/d/#', 'mqtt', durable);
    await setAll('/d/1');
    const message = [...(ann.durable?.queue.values() ?? [])][0];
    expect(message?.publication).not.toBeNull();
    await house.user('ann', {});
    expect([message?.publication, queued(ann)]).toEqual([null, [undefined]]);
  });

  it('is nobody else’s, and nobody’s who is not there any more', async () => {
    await house.user('ann', { '/d/*': READ });
    await house.user('bob', { '/d/*': READ });
    await away('/d/#');
    const bob = house.login('bob', { ordered: true });
    expect((await bob.durably({ ...OPEN, key: 'ann/1' })).error?.code).toBe('ACCESS_DENIED');
    const nobody = house.session(true);
    expect((await nobody.durably({ ...OPEN, key: 'none' })).error?.code).toBe('NOT_AUTHENTICATED');
    const ann = await back();
    expect([ann.durable?.subscriptions.size, bob.durable, nobody.durable]).toEqual([1, null, null]);
  });

  it('loses its subscriptions for good, also while it is away', async () => {
    await house.user('ann', { '/d/*': READ });
    await away('/d/#');
    await house.user('ann', {});
    await house.user('ann', { '/d/*': READ });
    await setAll('/d/1');
    const ann = await back();
    expect([ann.durable?.subscriptions.size, queued(ann)]).toEqual([0, []]);
  });

  it('ends with its user, and with it its queue and will', async () => {
    await house.user('ann', { '/d/*': ALL });
    const ann = await back();
    await ann.subscribe('/d/#', 'mqtt', durable);
    const will: Will = { path: '/d/gone', payload: Payload.fromValue(1, formats.json), options: STORED, remove: false, delayMs: 60_000 };
    await ann.durably({ type: 'will', will });
    await ann.durably({ type: 'fireWill' });
    ann.close(null);
    await settled();
    await setAll('/d/1');
    await house.command({ type: 'deleteUser', name: 'ann' });
    await house.user('ann', { '/d/*': ALL });
    expect((await back()).durable?.queue.size).toBe(0);
    house.clock.time += 120_000;
    await settled();
    expect((await root.get('/d/gone')).entry).toBeNull();
  });

  it('ends with its user; what it was given as one of several goes to another of them', async () => {
    const shared = { qos: 1, group: 'g' } as const;
    await house.user('ann', { '/d/*': ALL });
    await house.user('bob', { '/d/*': ALL });
    for (const key of ['ann/1', 'ann/2']) {
      const ann = house.login('ann', { ordered: true });
      await ann.durably({ ...OPEN, key });
      await ann.subscribe('/d/#', 'mqtt', shared);
      ann.close(null);
    }
    await setAll('/d/1', '/d/2', '/d/3', '/d/4');
    const bob = house.login('bob');
    await bob.subscribe('/d/#', 'mqtt', shared);
    await house.command({ type: 'deleteUser', name: 'ann' });
    await settled();
    expect(pathsHeard(bob).sort()).toEqual(['/d/1', '/d/2', '/d/3', '/d/4']);
  });

  it('has its rights again after a restart, before anybody is there', async () => {
    const store = new GateStore();
    await house.stop();
    house = await startSecure({ store });
    await house.user('root', {}, { groups: [ADMIN] });
    await house.user('ann', { '/d/*': READ, '/d/secret/*': { prohibit: ['on'] } });
    await away('/d/#');
    await house.stop();
    house = await startSecure({ store });
    root = house.login('root');
    await setAll('/d/1', '/d/secret/1', '/d');
    expect(queued(await back())).toEqual(['/d/1']);
  });
});

describe('a will', () => {
  const willOf = (path: string): Will => ({
    path,
    payload: Payload.fromValue('gone', formats.json),
    options: STORED,
    remove: false,
    delayMs: 0,
  });

  it('D10 needs the right when it is left', async () => {
    await house.user('ann', { '/d/*': READ });
    const ann = house.login('ann');
    expect((await ann.durably({ type: 'will', will: willOf('/d/1') })).error?.code).toBe('ACCESS_DENIED');
    expect((await root.durably({ type: 'will', will: willOf('/_HAVEN/control/x') })).error?.code).toBe('ACCESS_DENIED');
  });

  it('D10 needs the right when it is published, and is published in the name of who left it', async () => {
    await house.user('ann', { '/d/*': ALL });
    const [one, two] = [house.login('ann'), house.login('ann')];
    await one.durably({ type: 'will', will: willOf('/d/1') });
    await two.durably({ type: 'will', will: willOf('/d/2') });
    await one.durably({ type: 'fireWill' });
    await house.user('ann', { '/d/*': READ });
    await two.durably({ type: 'fireWill' });
    expect((await root.get('/d/1')).entry?.author).toBe('ann');
    expect((await root.get('/d/2')).entry).toBeNull();
    expect(house.counters.counters.get('wills_denied_total')?.value).toBe(1);
  });
});

describe('on behalf of another user', () => {
  const actor = { actor: 'bob' } as const;
  beforeEach(async () => {
    await house.user('bob', { '/bob/*': ALL });
    await house.user('ann', { '/ann/*': ALL });
    await house.user('mesh', { '/mesh/*': ALL }, { groups: [DELEGATES] });
  });

  it('act administrators and delegates, with the rights and in the name of that user', async () => {
    for (const session of [root, house.login('mesh')]) {
      const { entry } = await session.set('/bob/1', 1, actor);
      expect(entry?.author).toBe('bob');
      expect((await session.set('/mesh/1', 1, actor)).error?.code).toBe('ACCESS_DENIED');
      expect((await session.get('/bob/1', 7, actor)).entry?.author).toBe('bob');
      expect((await session.find('/bob/*', actor)).entries).toHaveLength(1);
      expect((await session.find('*', actor)).error?.code).toBe('ACCESS_DENIED');
    }
  });

  it('D13 acts nobody else, nobody in the name of who is not there, and no delegate as an administrator', async () => {
    const ann = house.login('ann');
    expect((await ann.set('/bob/1', 1, actor)).error?.code).toBe('ACCESS_DENIED');
    expect((await ann.set('/ann/1', 1, { actor: 'ann' })).error).toBeNull();
    expect((await root.set('/x', 1, { actor: 'none' })).error?.code).toBe('ACCESS_DENIED');
    expect((await house.login('mesh').set('/x', 1, { actor: 'root' })).error?.code).toBe('ACCESS_DENIED');
  });

  it('hears a session what that user may hear, as long as he may', async () => {
    const mesh = house.login('mesh');
    const on = (pattern: string): ReturnType<SecureSession['submit']> => {
      const subscription = new Subscription(mesh, null, parsePattern(pattern, 'glob'), { ...SUBSCRIBED, ...actor }, pattern);
      return mesh.submit(new SubscribeRequest('subscribe', mesh, pattern, subscription, null, null));
    };
    expect((await on('/mesh/*')).error?.code).toBe('ACCESS_DENIED');
    expect((await on('/bob/*')).error).toBeNull();
    await setAll('/bob/1');
    await house.user('bob', { '/bob/*': ALL, '/bob/2': { prohibit: ['on'] } });
    await setAll('/bob/2', '/bob/3');
    await house.command({ type: 'deleteUser', name: 'bob' });
    await setAll('/bob/4');
    await settled();
    expect([pathsHeard(mesh), mesh.lost, mesh.closedWith]).toEqual([['/bob/1', '/bob/3'], ['/bob/*'], undefined]);
  });
});

describe('a policy', () => {
  const policy = { name: 'p', ttlMs: 0, inactivityMs: 0, usageLimit: 0, permissions: null } as const;
  const others = { endsIdle: true, disallowTokenLogins: false, lockTokenToOrigin: false, sourceAddresses: null } as const;
  beforeEach(() => house.user('ann', { '*': ALL }));
  const loginWith = (limits: object): SecureSession => house.login('ann', { policy: { ...policy, ...others, ...limits } });

  /** The sweeper looks once a second. */
  async function overdue(...sessions: SecureSession[]): Promise<void> {
    const waited = Date.now() + 5_000;
    while (sessions.some(({ closedWith }) => closedWith === undefined) && Date.now() < waited) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async function expectOver(session: SecureSession, message: string, reason: string): Promise<void> {
    const { error } = await session.set('/x', 1);
    expect(error).toBeInstanceOf(RequestError);
    expect([error?.code, error?.message]).toEqual(['ACCESS_DENIED', message]);
    expect(session.closedWith).toMatchObject({ code: 'SESSION_REVOKED', reason });
  }

  it('ends a session when its token is over', async () => {
    const ann = loginWith({ ttlMs: 1_000 });
    house.clock.time += 1_000;
    expect((await ann.set('/x', 1)).error).toBeNull();
    house.clock.time += 1;
    await expectOver(ann, 'expired session token', 'token-expired');
  });

  it('ends a session that does nothing for too long, and only then', async () => {
    const ann = loginWith({ inactivityMs: 1_000 });
    for (let n = 0; n < 3; n++) {
      house.clock.time += 900;
      expect((await ann.set('/x', 1)).error).toBeNull();
    }
    house.clock.time += 1_001;
    await expectOver(ann, 'session inactivity threshold reached', 'inactivity-threshold');
  });

  it('ends a session that has used itself up; what is refused does not count', async () => {
    const ann = loginWith({ usageLimit: 2 });
    expect((await ann.set('$SYS/x', 1)).error?.message).toMatch(/not allowed/);
    expect([(await ann.set('/x', 1)).error, (await ann.get('/x')).error]).toEqual([null, null]);
    await expectOver(ann, 'session usage limit reached', 'usage-limit');
  });

  it('puts its own permissions in the place of those of the user', async () => {
    const ann = loginWith({ permissions: { '/p/{{user.username}}/*': ALL } });
    expect((await ann.set('/p/ann/1', 1)).error).toBeNull();
    expect((await ann.set('/x', 1)).error?.message).toBe('token permissions limited');
    expect((await ann.subscribe('*')).error?.code).toBe('ACCESS_DENIED');
    expect((await house.login('ann').set('/x', 1)).error).toBeNull();
    await house.user('boss', {}, { groups: [ADMIN] });
    const boss = house.login('boss', { policy: { ...policy, ...others, permissions: { '/p/*': ALL } } });
    expect((await boss.set('/_SYSTEM/x', 1)).error?.code).toBe('ACCESS_DENIED');
    await expect(house.command({ type: 'deleteUser', name: 'ann' }, boss.identity)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });

  it('made for one login has the rights of all that is like it, and ends with the user, too', async () => {
    const permissions = { '/p/*': ALL };
    const sessions = [1_000, 2_000].map((ttlMs) => loginWith({ ttlMs, permissions })) as [SecureSession, SecureSession];
    const other = loginWith({ permissions: { '/q/*': ALL } });
    for (const session of sessions) expect((await session.set('/p/1', 1)).error).toBeNull();
    expect([(await other.set('/p/1', 1)).error?.code, (await other.set('/q/1', 1)).error]).toEqual(['ACCESS_DENIED', null]);
    await house.command({ type: 'deleteUser', name: 'ann' });
    for (const { closedWith } of [...sessions, other]) expect(closedWith?.code).toBe('SESSION_REVOKED');
  });

  it('ends by the clock sessions that ask for nothing', async () => {
    const [old, idle, free] = [loginWith({ ttlMs: 1_000 }), loginWith({ inactivityMs: 1_000 }), loginWith({ usageLimit: 1 })];
    house.clock.time += 1_001;
    await overdue(old, idle);
    expect([old, idle, free].map(({ closedWith }) => closedWith?.message)).toEqual(['token-expired', 'inactivity-threshold', undefined]);
  });

  it('lets a session that only listens go on where it says so, until it wants to do something', async () => {
    const [listener, idle] = [loginWith({ inactivityMs: 1_000, endsIdle: false }), loginWith({ inactivityMs: 1_000 })];
    await listener.subscribe('/x');
    house.clock.time += 1_001;
    await overdue(idle);
    await root.set('/x', 1);
    await settled();
    expect([pathsHeard(listener), listener.closedWith]).toEqual([['/x'], undefined]);
    await expectOver(listener, 'session inactivity threshold reached', 'inactivity-threshold');
  });
});

it('a subscription stays by the rights of whom the session was when it was made', async () => {
  await house.user('ann', { '/a/*': ALL });
  await house.user('bob', { '/b/*': ALL });
  const session = house.login('ann');
  expect((await session.subscribe('/a/*')).error).toBeNull();
  session.identity = house.login('bob').identity;
  await house.user('bob', { '/b/1': ALL });
  expect(session.lost).toEqual([]);
  await house.user('ann', {});
  expect(session.lost).toEqual(['/a/*']);
});

it('what a session hears while its initial values are read is looked at, too', async () => {
  await house.user('ann', { '/d/*': ALL, '/d/secret': { prohibit: ['on'] } });
  await setAll('/d/1');
  const ann = house.login('ann');
  house.store.scansHeld = true;
  const subscribed = ann.subscribe('/d/*', 'glob', {}, true);
  await until(() => house.store.reading > 0);
  await setAll('/d/secret', '/d/2');
  house.store.releaseScans();
  await subscribed;
  await settled();
  expect(pathsHeard(ann)).toEqual(['/d/2']);
});
