// Nested permissions: who reads by a wider pattern than is permitted is given the permitted part, also when rights change meanwhile.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ADMIN, type DataOptions, type Dialect, parseQuery, SESSION_EXPIRY_MS } from '../../../src/core/index.js';
import { settled } from '../../support/core-harness.js';
import { type SecureHarness, type SecureSession, startSecure } from '../../support/secure-harness.js';

const ALL = { actions: ['*'] } as const;
const PATHS = ['/a/1', '/a/secret/1', '/b/1', '/b/deep/2', '/c/1', 'a/1', '/a'];
const ALLOWED = ['/a/1', '/b/1', '/b/deep/2'];

let house: SecureHarness;
let root: SecureSession;

beforeEach(async () => {
  house = await startSecure({ nestedPermissions: true });
  await house.user('root', {}, { groups: [ADMIN] });
  await house.group('b', { '/b/*': ALL });
  await house.user('ann', { '/a/*': ALL, '/a/secret/*': { prohibit: ['get', 'on'] }, '/w/*': { actions: ['set'] } }, { groups: ['b'] });
  root = house.login('root');
});
afterEach(() => house.stop());

const pathsHeard = ({ heard }: SecureSession): string[] => heard.map(({ publication }) => publication.path);

async function setAll(...paths: string[]): Promise<void> {
  for (const path of paths) expect((await root.set(path, { path })).error, path).toBeNull();
}

const WIDE: [Dialect, string][] = [
  ['glob', '*'],
  ['glob', '/*'],
  ['mqtt', '#'],
  ['mqtt', '/#'],
  ['segments', '/**'],
  ['segments', '*'],
];

describe('an answer', () => {
  const found = async (session: SecureSession, pattern: string, options: Partial<DataOptions> = {}): Promise<unknown> => {
    const { entries, error } = await session.find(pattern, options);
    return error === null ? entries?.map(({ path }) => path) : error.code;
  };

  it('has the permitted part, is counted by it, and is refused when nothing is permitted', async () => {
    await setAll(...PATHS);
    const ann = house.login('ann');
    expect(await found(ann, '*')).toEqual(ALLOWED);
    expect(await found(ann, '/*', { limit: 2 })).toEqual(ALLOWED.slice(0, 2));
    expect(await found(ann, '*1', { query: parseQuery({ sort: { path: -1 } }) })).toEqual(['/b/1', '/a/1']);
    expect((await ann.find('*', { query: parseQuery({ count: true }) })).count).toBe(3);
    for (const pattern of ['/c/*', '/a/secret/*', '/w/*', '/_SYSTEM/*', '$SYS/*']) {
      expect(await found(ann, pattern), pattern).toBe('ACCESS_DENIED');
    }
    expect((await ann.get('/c/1')).error?.code).toBe('ACCESS_DENIED');
  });

  it('is not what is removed: that needs all of the pattern', async () => {
    await setAll(...PATHS);
    expect((await house.login('ann').removeAll('*')).error?.code).toBe('ACCESS_DENIED');
    expect((await root.find('*')).entries).toHaveLength(PATHS.length);
  });
});

describe('a subscription', () => {
  it.each(WIDE)('of %s to %s hears the permitted part', async (dialect, pattern) => {
    const ann = house.login('ann');
    expect((await ann.subscribe(pattern, dialect)).error).toBeNull();
    await setAll(...PATHS);
    await root.emit('/b/event', 1);
    await root.emit('/c/event', 1);
    await root.remove('/c/1');
    await root.remove('/a/1');
    await settled();
    expect(pathsHeard(ann)).toEqual([...ALLOWED, '/b/event', '/a/1']);
  });

  it('begins with the permitted part', async () => {
    await setAll(...PATHS);
    const { entries } = await house.login('ann').subscribe('*', 'glob', {}, true);
    expect(entries?.map(({ path }) => path)).toEqual(ALLOWED);
  });

  it('is refused when nothing of it is permitted, and one without wildcards as ever', async () => {
    const ann = house.login('ann');
    for (const [dialect, pattern] of [
      ['mqtt', '/c/#'],
      ['mqtt', '$SYS/#'],
      ['segments', '/c/**'],
      ['segments', 'a/1'],
      ['glob', '/w/*'],
      ['glob', '/c/1'],
    ] as const) {
      expect((await ann.subscribe(pattern, dialect)).error?.code, pattern).toBe('ACCESS_DENIED');
    }
  });

  it('hears more and less as rights change, and ends when nothing is left', async () => {
    const ann = house.login('ann');
    await ann.subscribe('*');
    await setAll('/b/1', '/c/1');
    await house.group('c', { '/c/*': ALL });
    await house.command({ type: 'link', user: 'ann', group: 'c' });
    await house.command({ type: 'unlink', user: 'ann', group: 'b' });
    await setAll('/b/2', '/c/2');
    expect(ann.lost).toEqual([]);
    await house.user('ann', { '*': ALL });
    await setAll('/d/1');
    await house.user('ann', { '/w/*': { actions: ['set'] } }, { groups: [] });
    await setAll('/c/3', '/d/3');
    await settled();
    expect(pathsHeard(ann)).toEqual(['/b/1', '/c/2', '/d/1']);
    expect(ann.lost).toEqual(['*']);
  });

  it('that is durable is queued the permitted part, and keeps it as rights change', async () => {
    const open = { type: 'open', clean: false, expiryMs: SESSION_EXPIRY_MS, key: 'ann/1' } as const;
    const away = house.login('ann', { ordered: true });
    await away.durably(open);
    await away.subscribe('#', 'mqtt', { qos: 1 });
    away.close(null);
    await settled();
    await setAll('/a/1', '/c/1', '/b/1');
    await house.command({ type: 'unlink', user: 'ann', group: 'b' });
    await setAll('/b/2', '/a/2');
    const back = house.login('ann', { ordered: true });
    await back.durably(open);
    const queued = [...(back.durable?.queue.keys() ?? [])].map((number) => house.context.queuedPublication(number, back)?.path);
    expect(queued).toEqual(['/a/1', undefined, '/a/2']);
  });
});
