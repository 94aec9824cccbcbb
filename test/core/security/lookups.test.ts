// Lookups: permissions that ask a table, where they are decided, and when tables and groups change meanwhile.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ADMIN,
  type Lookup,
  parsePattern,
  RequestError,
  type RequestErrorCode,
  SECURITY_LIMITS,
  type SecurityCommand,
} from '../../../src/core/index.js';
import { GateStore, settled, until } from '../../support/core-harness.js';
import { type SecureHarness, type SecureSession, startSecure } from '../../support/secure-harness.js';

const READ = { actions: ['get', 'on'] } as const;
const PUT = { when: 'any', merge: false } as const;
const OWNED: Lookup = { table: 'owned', regex: '^/device/([^/]+)/.*$', actions: ['get', 'on'], path: '/{{user.username}}/{{$1}}' };

let store: GateStore;
let house: SecureHarness;
let root: SecureSession;

beforeEach(async () => {
  store = new GateStore();
  await start();
});
afterEach(() => house.stop());

async function start(nestedPermissions = false): Promise<void> {
  house = await startSecure({ store, nestedPermissions });
  await house.user('root', {}, { groups: [ADMIN] });
  root = house.login('root');
}

const table = (name: string, ...paths: string[]): Promise<void> => house.command({ type: 'putTable', name, paths, when: 'any' });
const lookups = (name: string, ...list: Lookup[]): Promise<void> =>
  house.command({ type: 'putGroup', name, fields: { lookups: list }, ...PUT });
const may = (name: string, action: 'get' | 'set' | 'on' | 'remove', path: string): boolean | undefined =>
  house.directory.principal(name)?.rights.allows(action, path);
const pathsHeard = ({ heard }: SecureSession): string[] => heard.map(({ publication }) => publication.path);

async function setAll(...paths: string[]): Promise<void> {
  for (const path of paths) expect((await root.set(path, { path })).error, path).toBeNull();
}

async function annOwnsOneAndTwo(): Promise<void> {
  await table('owned', '/ann/1', 'ann/2', 'bob/3');
  await lookups('owners', OWNED);
  await house.user('ann', {}, { groups: ['owners'] });
}

describe('a lookup', () => {
  it('allows a path that the table has, taken apart and put together anew', async () => {
    await annOwnsOneAndTwo();
    expect(['/device/1/a', '/device/2/b/c', '/device/3/a', '/device/1', 'device/1/a'].map((path) => may('ann', 'get', path))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    expect([may('ann', 'on', '/device/1/a'), may('ann', 'set', '/device/1/a')]).toEqual([true, false]);
    const ann = house.login('ann');
    await setAll('/device/1/a', '/device/3/a');
    expect((await ann.get('/device/1/a')).error).toBeNull();
    expect((await ann.get('/device/3/a')).error?.code).toBe('ACCESS_DENIED');
  });

  it('needs every part of the path that it makes, and of the user every value', async () => {
    await table('t', 'x/', 'x/1', 'x/undefined', '/x/', 'a', 'b');
    await lookups(
      'g',
      { table: 't', regex: '^/o/(1)?$', actions: ['get'], path: 'x/{{$1}}' },
      { table: 't', regex: '^/n/', actions: ['get'], path: 'x/{{$7}}' },
      { table: 't', regex: '^/u/', actions: ['get'], path: 'x/{{user.custom_data.none}}' },
      { table: 't', regex: '^/l/(.)', actions: ['*'], path: '{{user.custom_data.list}}' },
      { table: 'missing', regex: '.*', actions: ['*'], path: 'a' },
    );
    await house.user('ann', {}, { groups: ['g', 'nowhere'], customData: { list: ['z', 'b'] } });
    const allowed = ['/o/1', '/o/', '/n/', '/u/', '/l/1'].filter((path) => may('ann', 'get', path));
    expect(allowed).toEqual(['/o/1', '/l/1']);
    await house.user('ann', {}, { customData: { list: ['{{$1}}', '$1'] } });
    expect([may('ann', 'get', '/l/a'), may('ann', 'remove', '/l/a')]).toEqual([false, false]);
  });

  it('yields to any prohibition, reaches no reserved area, and no paths that are too long', async () => {
    await table('t', 'a');
    await lookups('g', { table: 't', regex: '.*', actions: ['*'], path: 'a' });
    await house.user('ann', { '/x/*': { prohibit: ['get'] } }, { groups: ['g'] });
    expect(['/x/1', '/y/1', '/_SYSTEM/x', '$SYS/x'].map((path) => may('ann', 'get', path))).toEqual([false, true, false, false]);
    const longest = `/${'x'.repeat(SECURITY_LIMITS.lookupPath - 1)}`;
    expect([may('ann', 'get', longest), may('ann', 'get', `${longest}x`)]).toEqual([true, false]);
  });

  it('is not what a policy with permissions of its own allows, nor what an administrator needs', async () => {
    await annOwnsOneAndTwo();
    const policy = { name: 'p', ttlMs: 0, inactivityMs: 0, usageLimit: 0, permissions: { '/p': READ } };
    const limited = { ...policy, endsIdle: true, disallowTokenLogins: false, lockTokenToOrigin: false, sourceAddresses: null };
    expect((await house.login('ann', { policy: limited }).get('/device/1/a')).error?.code).toBe('ACCESS_DENIED');
    expect((await root.get('/device/1/a')).error).toBeNull();
  });

  it('names itself to whoever asks why', async () => {
    await annOwnsOneAndTwo();
    const rights = house.directory.principal('ann')?.rights;
    const byLookup = { allowed: true, pattern: OWNED.regex, source: 'group owners', lookup: OWNED };
    expect(rights?.explain('get', '/device/1/a')).toEqual(byLookup);
    expect(rights?.explain('on', parsePattern('/device/1/#', 'mqtt'))).toEqual(byLookup);
    expect(rights?.explain('get', '/device/3/a')).toEqual({ allowed: false, pattern: null, source: null, lookup: null });
  });

  it('takes linear time, whatever the path', async () => {
    await table('t', 'a');
    await lookups('g', { table: 't', regex: '^(([a-z])+.)+[A-Z]([a-z])+$', actions: ['*'], path: 'a' });
    await house.user('ann', {}, { groups: ['g'] });
    const begun = process.cpuUsage();
    for (let n = 0; n < 20; n++) expect(may('ann', 'get', `${'a'.repeat(400)}${n}`)).toBe(false);
    const { user, system } = process.cpuUsage(begun);
    expect((user + system) / 1_000).toBeLessThan(2_000);
  });
});

describe('a pattern', () => {
  it('is allowed by its text, and each path that it brings is looked at', async () => {
    await annOwnsOneAndTwo();
    await house.user('ann', { '/device/1/secret': { prohibit: ['on'] } }, { groups: ['owners'] });
    const ann = house.login('ann');
    for (const [pattern, dialect] of [
      ['/device/1/#', 'mqtt'],
      ['/device/1/*', 'glob'],
      ['/device/1/**', 'segments'],
    ] as const) {
      expect(ann.identity.principal?.rights.covers('on', parsePattern(pattern, dialect)), pattern).toBe('checked');
    }
    expect((await ann.subscribe('/device/1/#', 'mqtt')).error).toBeNull();
    await setAll('/device/1/a', '/device/1/secret', '/device/1', '/device/1/b');
    await settled();
    expect(pathsHeard(ann)).toEqual(['/device/1/a', '/device/1/b']);
    expect((await ann.find('/device/1/*')).entries?.map(({ path }) => path)).toEqual(['/device/1/a', '/device/1/b', '/device/1/secret']);
    for (const pattern of ['/device/*', '/device/3/*', '*', '/device/*/a']) {
      expect((await ann.subscribe(pattern)).error?.code, pattern).toBe('ACCESS_DENIED');
    }
  });

  it('is not allowed to all because one path is in the table', async () => {
    await table('t', '*', 'a');
    await lookups('g', { table: 't', regex: '^/d/(.*)$', actions: ['*'], path: '{{$1}}' });
    await house.user('ann', {}, { groups: ['g'] });
    const ann = house.login('ann');
    await setAll('/d/a', '/d/b');
    expect((await ann.find('/d/*')).entries?.map(({ path }) => path)).toEqual(['/d/a']);
    expect(ann.identity.principal?.rights.covers('get', parsePattern('/d/*', 'glob'))).toBe('checked');
  });

  it('with nested permissions brings what a lookup allows', async () => {
    await house.stop();
    await start(true);
    await annOwnsOneAndTwo();
    const ann = house.login('ann');
    await setAll('/device/1/a', '/device/2/a', '/device/3/a', '/other');
    expect((await ann.find('*')).entries?.map(({ path }) => path)).toEqual(['/device/1/a', '/device/2/a']);
    expect(ann.identity.principal?.rights.explain('get', parsePattern('*', 'glob'))).toMatchObject({ allowed: true, lookup: OWNED });
  });
});

describe('a change', () => {
  it('of a table counts at once, and ends what is no longer allowed', async () => {
    await annOwnsOneAndTwo();
    const ann = house.login('ann');
    await ann.subscribe('/device/1/*');
    await ann.subscribe('/device/2/*');
    await house.command({ type: 'changeTable', name: 'owned', add: ['/ann/3'], remove: ['/ann/1', 'not there'] });
    expect(['1', '2', '3'].map((id) => may('ann', 'get', `/device/${id}/a`))).toEqual([false, true, true]);
    expect(ann.lost).toEqual(['/device/1/*']);
    expect(ann.changes).toEqual([{ type: 'tableChanged', table: 'owned', groups: ['owners'] }]);
    await table('owned', 'ann/1');
    expect(['1', '2', '3'].map((id) => may('ann', 'get', `/device/${id}/a`))).toEqual([true, false, false]);
    await house.command({ type: 'deleteTable', name: 'owned' });
    expect(may('ann', 'get', '/device/1/a')).toBe(false);
    await table('owned', 'ann/1');
    expect(may('ann', 'get', '/device/1/a')).toBe(true);
  });

  it('of a group, of its members and of their data counts at once', async () => {
    await table('t', 'north/1', 'south/2');
    await lookups('g', { table: 't', regex: '^/s/(.*)$', actions: ['get'], path: '{{user.custom_data.side}}/{{$1}}' });
    await house.user('ann', {}, { groups: ['g'], customData: { side: 'north' } });
    const allowed = (): boolean[] => ['/s/1', '/s/2'].map((path) => may('ann', 'get', path) === true);
    expect(allowed()).toEqual([true, false]);
    await house.user('ann', {}, { customData: { side: 'south' } });
    expect(allowed()).toEqual([false, true]);
    await house.command({ type: 'unlink', user: 'ann', group: 'g' });
    expect(allowed()).toEqual([false, false]);
    await house.command({ type: 'link', user: 'ann', group: 'g' });
    expect(allowed()).toEqual([false, true]);
    await lookups('g');
    expect(allowed()).toEqual([false, false]);
  });

  it('is there after a restart, and is taken back if the store refuses it', async () => {
    await annOwnsOneAndTwo();
    store.held = true;
    const failed = house.command({ type: 'changeTable', name: 'owned', add: ['ann/9'], remove: ['ann/1'] }).then(
      () => 'done',
      (error: RequestError) => error.code,
    );
    await until(() => store.writes > 0 && may('ann', 'get', '/device/9/a') === true);
    store.failure = new Error('no space');
    store.release();
    expect(await failed).toBe('STORE_FAILED');
    expect(['1', '9'].map((id) => may('ann', 'get', `/device/${id}/a`))).toEqual([true, false]);
    await until(() => house.engine.writable);
    const before = [...house.directory.lookupTables(), ...house.directory.groups()];
    await house.stop();
    await start();
    expect([...house.directory.lookupTables(), ...house.directory.groups()]).toEqual(before);
    expect(['1', '9'].map((id) => may('ann', 'get', `/device/${id}/a`))).toEqual([true, false]);
  });

  it('is refused with a reason', async () => {
    const refuse = async (command: SecurityCommand, code: RequestErrorCode, text: RegExp): Promise<void> => {
      const failure = await house.command(command).then(
        () => null,
        (error: RequestError) => error,
      );
      expect(failure, JSON.stringify(command).slice(0, 100)).toBeInstanceOf(RequestError);
      expect([failure?.code, failure?.message]).toEqual([code, expect.stringMatching(text)]);
    };
    const put = (paths: string[], name = 't'): SecurityCommand => ({ type: 'putTable', name, paths, when: 'any' });
    await refuse(put([], 'a/b'), 'INVALID_REQUEST', /lookup table's name/);
    await refuse(put(['']), 'INVALID_REQUEST', /path of a lookup table/);
    await refuse(put(['a\nb']), 'INVALID_REQUEST', /control characters/);
    const many = Array.from({ length: SECURITY_LIMITS.tablePaths + 1 }, (_, n) => String(n));
    await refuse(put(many), 'LIMIT_EXCEEDED', /10000 paths/);
    await refuse(put(Array.from({ length: 1_100 }, (_, n) => `${n}${'x'.repeat(1_000)}`)), 'LIMIT_EXCEEDED', /bytes/);
    await refuse({ type: 'putTable', name: 't', paths: [], when: 'present' }, 'NOT_FOUND', /no lookup table t/);
    await refuse({ type: 'changeTable', name: 't', add: [], remove: [] }, 'NOT_FOUND', /no lookup table t/);
    await refuse({ type: 'deleteTable', name: 't' }, 'NOT_FOUND', /no lookup table t/);
    await table('t', ...many.slice(1));
    await refuse({ type: 'changeTable', name: 't', add: ['one more'], remove: [] }, 'LIMIT_EXCEEDED', /10000 paths/);
    const group = (change: object): SecurityCommand => ({
      type: 'putGroup',
      name: 'g',
      fields: { lookups: [{ ...OWNED, ...change }] },
      ...PUT,
    });
    await refuse(group({ regex: '(?=x)' }), 'INVALID_REQUEST', /look-ahead/);
    await refuse(group({ regex: '(' }), 'INVALID_REQUEST', /regex/);
    await refuse(group({ regex: `${'x'.repeat(SECURITY_LIMITS.lookupRegex)}x` }), 'LIMIT_EXCEEDED', /regex/);
    await refuse(group({ actions: [] }), 'INVALID_REQUEST', /actions/);
    await refuse(group({ actions: ['fly'] }), 'INVALID_REQUEST', /no action fly/);
    await refuse(group({ table: '' }), 'INVALID_REQUEST', /table/);
    await refuse(group({ path: 7 }), 'INVALID_REQUEST', /path/);
    const lists = { lookups: Array.from({ length: SECURITY_LIMITS.lookups + 1 }, () => OWNED) };
    await refuse({ type: 'putGroup', name: 'g', fields: lists, ...PUT }, 'LIMIT_EXCEEDED', /lookups/);
    await expect(house.command(put([]), house.login('root').identity)).resolves.toBeUndefined();
    await house.user('ann', {});
    await expect(house.command(put([]), house.login('ann').identity)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });
});

it('only so many lookups of one user count', async () => {
  await table('t', 'a');
  const one = (n: number): Lookup => ({ table: 't', regex: `^/${n}$`, actions: ['get'], path: 'a' });
  const groups = ['g0', 'g1', 'g2', 'g3', 'g4'];
  for (const [at, group] of groups.entries()) {
    await lookups(group, ...Array.from({ length: SECURITY_LIMITS.lookups }, (_, n) => one(at * SECURITY_LIMITS.lookups + n)));
  }
  await house.user('ann', {}, { groups });
  const last = SECURITY_LIMITS.lookupsOfUser - 1;
  expect([may('ann', 'get', `/${last}`), may('ann', 'get', `/${last + 1}`)]).toEqual([true, false]);
});
