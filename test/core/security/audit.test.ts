// The audit: what it keeps and writes, over restarts and refusals of the store, and that refusals are bounded in number and cannot
// push out what was done.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Audit, REFUSALS_PER_SECOND } from '../../../src/core/security/audit.js';
import { AUDIT_DETAILS_MAX, AUDIT_TEXT_MAX, type AuditEvent, type AuditFilter } from '../../../src/core/security/audit-entries.js';
import type { Action } from '../../../src/core/security/model.js';
import { SECTION } from '../../../src/core/store/store.js';
import { GateStore, settled, until } from '../../support/core-harness.js';
import { type SecureHarness, startSecure } from '../../support/secure-harness.js';
import { keptLog } from '../../support/silent-log.js';

const EVENT: AuditEvent = {
  action: 'token.issue',
  actor: '_ADMIN',
  target: 'ann',
  refusal: null,
  protocol: 'admin',
  address: '127.0.0.1',
  details: { type: 'stateful' },
};
const REFUSED: AuditEvent = { ...EVENT, action: 'login', actor: '', refusal: 'NOT_AUTHENTICATED' };
const NONE: Omit<AuditFilter, 'after' | 'before' | 'limit'> = {
  action: null,
  actor: null,
  target: null,
  outcome: null,
  since: null,
  until: null,
};
const ALL: AuditFilter = { ...NONE, after: null, before: null, limit: 100_000 };
const LIMITS = { maxEntries: 100, maxRefusals: 50, maxDelegations: 20, maxAgeMs: 1_000_000 };

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

let store: GateStore;
let log: ReturnType<typeof keptLog>;
let house: SecureHarness;

beforeEach(async () => {
  store = new GateStore();
  log = keptLog();
  house = await start();
});

afterEach(async () => await house.stop());

function start(limits = LIMITS, time?: number): Promise<SecureHarness> {
  return startSecure({ store, log, auditLimits: limits, ...(time === undefined ? {} : { time }) });
}

async function add(...events: AuditEvent[]): Promise<void> {
  for (const event of events) house.audit.add(event);
  await house.engine.settleAudit();
}

const list = (filter: Partial<AuditFilter> = {}) => house.audit.list({ ...ALL, ...filter }).entries;
const numbers = (filter: Partial<AuditFilter> = {}): number[] => list(filter).map(({ number }) => number);
const rows = async (): Promise<number> => {
  const scan = store.scan({ section: SECTION.audit }, 100_000);
  const found = await scan.next();
  await scan.close();
  return found.length;
};

describe('an entry', () => {
  it('has a number and a time, and is a line of the log that can be found', async () => {
    await add(EVENT, { ...EVENT, target: 'ben' });
    const { time } = house.clock;
    expect(list()).toEqual([
      { ...EVENT, number: 1, time },
      { ...EVENT, target: 'ben', number: 2, time },
    ]);
    expect(log.lines[0]).toEqual({ level: 'info', text: 'token.issue done', fields: { audit: true, ...EVENT } });
    expect(house.counters.counter('audit_total{action="token.issue",outcome="done"}', '').value).toBe(2);
  });

  it('cuts what a peer could make long, and leaves out ports', async () => {
    const long = { ...REFUSED, target: 'x'.repeat(10_000), details: { reason: 'x'.repeat(10_000) } };
    await add(long, { ...EVENT, address: '10.0.0.1:4711' }, { ...EVENT, address: '[::1]:4711' }, { ...EVENT, address: '::1' });
    expect(list().map(({ address }) => address)).toEqual(['127.0.0.1', '10.0.0.1', '::1', '::1']);
    expect(list()[0]?.target).toHaveLength(AUDIT_TEXT_MAX);
    expect(JSON.stringify(list()[0]?.details).length).toBeLessThan(AUDIT_DETAILS_MAX);
  });
});

describe('a change of the directory', () => {
  it('is entered in its own batch, once, with who asked for it', async () => {
    const writes = store.writes;
    await house.user('ann', { '/a': { actions: ['get'] } });
    expect(store.writes).toBe(writes + 1);
    expect(list()).toMatchObject([{ action: 'user.put', actor: '', target: 'ann', protocol: 'core', refusal: null }]);
    expect(await rows()).toBe(1);
  });

  it('that is refused is entered behind it', async () => {
    await expect(house.command({ type: 'deleteUser', name: 'nobody' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await house.engine.settleAudit();
    expect(list()).toMatchObject([{ action: 'user.delete', target: 'nobody', refusal: 'NOT_FOUND' }]);
  });

  it('that the store refuses was not made, and is entered as refused when the store is back', async () => {
    await house.user('ann', {});
    store.failure = new Error('no space left');
    await expect(house.user('ben', {})).rejects.toMatchObject({ code: 'STORE_FAILED' });
    await until(() => house.engine.writable);
    await house.engine.settleAudit();
    expect(list().map(({ target, refusal }) => [target, refusal])).toEqual([
      ['ann', null],
      ['ben', 'STORE_FAILED'],
    ]);
    expect(await rows()).toBe(2);
  });

  it('leaves no trace of a hash that is made anew for the same password', async () => {
    await house.user('ann', {}, { password: 'old' });
    await house.command({ type: 'password', name: 'ann', from: 'old', to: 'new', endsTokens: false });
    await house.command({ type: 'password', name: 'ann', from: 'new', to: 'newer', endsTokens: true });
    expect(list().map(({ action }) => action)).toEqual(['user.put', 'user.password']);
  });
});

describe('a restart', () => {
  it('keeps all that was entered, and goes on counting', async () => {
    await house.user('ann', {});
    await add(EVENT, REFUSED);
    const before = list();
    await house.stop();
    house = await start();
    expect(list()).toEqual(before);
    await add(EVENT);
    expect(numbers()).toEqual([1, 2, 3, 4]);
  });

  it('keeps what was noted just before', async () => {
    house.audit.add(REFUSED);
    await house.stop();
    house = await start();
    expect(list()).toMatchObject([{ action: 'login', refusal: 'NOT_AUTHENTICATED' }]);
  });

  it('after which less is to be kept forgets the oldest with the next entry', async () => {
    for (let at = 0; at < 100; at += 1) house.audit.add(EVENT);
    await house.engine.settleAudit();
    await house.stop();
    house = await start({ ...LIMITS, maxEntries: 10 });
    await add(EVENT);
    expect(list().length).toBeLessThanOrEqual(10);
    expect(list().at(-1)?.number).toBe(101);
    expect(await rows()).toBe(list().length);
  });
});

describe('what is done in the name of others', () => {
  const act = (user: string, action: Action = 'get', name = 'mesh', refusal: 'ACCESS_DENIED' | null = null): void =>
    house.audit.delegated({ asker: { name, protocol: 'happn', address: '10.0.0.1:1', tokenId: null }, user, action, path: '/a', refusal });
  const shown = (): unknown[] => list().map(({ actor, target, refusal, details }) => [actor, target, refusal, details]);
  const nextMinute = async (): Promise<void> => {
    house.clock.time += 60_000;
    await house.engine.settleAudit();
  };

  it('is one entry at once and one for the rest of the minute', async () => {
    for (let at = 0; at < 1_000; at += 1) act('ann');
    act('ann', 'set');
    act('ben', 'get', 'mesh', 'ACCESS_DENIED');
    await house.engine.settleAudit();
    const first = [
      ['mesh', 'ann', null, { action: 'get', path: '/a' }],
      ['mesh', 'ann', null, { action: 'set', path: '/a' }],
      ['mesh', 'ben', 'ACCESS_DENIED', { action: 'get', path: '/a' }],
    ];
    expect(shown()).toEqual(first);
    await nextMinute();
    expect(shown()).toEqual([...first, ['mesh', 'ann', null, { action: 'get', more: 999 }]]);
    await nextMinute();
    expect(list()).toHaveLength(4);
    act('ann');
    await house.engine.settleAudit();
    expect(shown().at(-1)).toEqual(first[0]);
  });

  it('for very many is one entry for all who are too many, and leaves room for others', async () => {
    await add(EVENT, REFUSED);
    for (let at = 0; at < 10_000; at += 1) act(`user ${at}`);
    act('ann', 'get', 'another');
    await nextMinute();
    expect(list()[0]).toMatchObject({ ...EVENT, number: 1 });
    expect(list()[1]).toMatchObject({ ...REFUSED, number: 2 });
    const delegated = list({ action: 'session.delegate' });
    expect(delegated.length).toBeLessThanOrEqual(LIMITS.maxDelegations);
    expect(delegated.at(-1)).toMatchObject({ actor: 'mesh', target: '', details: { others: true, more: 9_950 } });
    expect(delegated.at(-2)).toMatchObject({ actor: 'another', target: 'ann' });
  });

  it('by very many does not grow without end', async () => {
    for (let at = 0; at < 20_000; at += 1) act('ann', 'get', `delegate ${at}`, 'ACCESS_DENIED');
    await nextMinute();
    expect(log.lines.length).toBeLessThanOrEqual(2_001);
    expect(list().at(-1)).toMatchObject({ actor: '', details: { others: true } });
  });

  it('for names that are long keeps no more of them in memory than it shows', async () => {
    const before = heapBytes();
    for (let at = 0; at < 40; at += 1) act(JSON.parse(`"${at} ${'x'.repeat(1024 * 1024)}"`) as string, 'get', 'mesh', 'ACCESS_DENIED');
    await house.engine.settleAudit();
    expect(list()).toHaveLength(40);
    expect(list().every(({ target }) => target.length === AUDIT_TEXT_MAX)).toBe(true);
    expect(heapBytes() - before).toBeLessThan(10 * 1024 * 1024);
  });

  it('is entered when the gateway stops', async () => {
    act('ann');
    act('ann');
    await house.stop();
    house = await start();
    expect(shown()).toEqual([
      ['mesh', 'ann', null, { action: 'get', path: '/a' }],
      ['mesh', 'ann', null, { action: 'get', more: 1 }],
    ]);
  });
});

describe('the list', () => {
  beforeEach(async () => {
    for (let at = 1; at <= 10; at += 1) {
      house.clock.time += 1_000;
      house.audit.add({ ...EVENT, actor: at % 2 === 0 ? 'even' : 'odd', target: `t${at % 3}` });
    }
    house.audit.add(REFUSED);
    await house.engine.settleAudit();
  });

  it('shows the newest, goes on behind a number, and back before one', () => {
    expect(numbers({ limit: 3 })).toEqual([9, 10, 11]);
    expect(numbers({ limit: 3, after: 0 })).toEqual([1, 2, 3]);
    expect(numbers({ limit: 3, after: 9 })).toEqual([10, 11]);
    expect(numbers({ limit: 3, before: 9 })).toEqual([6, 7, 8]);
    expect(numbers({ limit: 3, before: 2 })).toEqual([1]);
    expect(house.audit.list({ ...ALL, limit: 3 }).older).toBe(true);
    expect(house.audit.list({ ...ALL, limit: 3, before: 4 }).older).toBe(false);
  });

  it('is filtered by who, what, whom, how it ended and when', () => {
    expect(numbers({ actor: 'even', limit: 2 })).toEqual([8, 10]);
    expect(numbers({ action: 'group.put' })).toEqual([]);
    expect(numbers({ target: 't0' })).toEqual([3, 6, 9]);
    expect(numbers({ outcome: 'refused' })).toEqual([11]);
    expect(numbers({ outcome: 'done', limit: 1 })).toEqual([10]);
    const last = house.clock.time;
    expect(numbers({ since: last })).toEqual([10, 11]);
    expect(numbers({ since: last - 2_000, until: last })).toEqual([8, 9]);
  });
});

describe('its bounds', () => {
  it('are so many refusals a second, entered together; the others are counted', async () => {
    const writes = store.writes;
    for (let at = 0; at < 1_000; at += 1) house.audit.add(REFUSED);
    await settled();
    expect(store.writes).toBe(writes);
    await house.engine.settleAudit();
    expect(store.writes).toBe(writes + 1);
    expect(list()).toHaveLength(REFUSALS_PER_SECOND);
    expect(log.lines).toHaveLength(REFUSALS_PER_SECOND);
    expect(house.counters.counter('audit_left_out_total', '').value).toBe(1_000 - REFUSALS_PER_SECOND);
    expect(house.counters.counter('audit_total{action="login",outcome="refused"}', '').value).toBe(1_000);
    house.clock.mono += 1_000;
    await add(REFUSED);
    expect(list()).toHaveLength(REFUSALS_PER_SECOND + 1);
  });

  it('keep what was done, however many are refused', async () => {
    await add(EVENT);
    for (let at = 0; at < 2 * LIMITS.maxRefusals; at += 1) {
      house.clock.mono += 1_000;
      await add(REFUSED);
    }
    expect(list().length).toBeLessThanOrEqual(1 + LIMITS.maxRefusals);
    expect(list()[0]).toMatchObject({ action: 'token.issue', number: 1 });
    expect(list().at(-1)).toMatchObject({ number: 1 + 2 * LIMITS.maxRefusals });
    expect(await rows()).toBe(list().length);
  });

  it('let the oldest of what was done give way', async () => {
    for (let at = 0; at < LIMITS.maxEntries + 1; at += 1) house.audit.add(EVENT);
    await house.engine.settleAudit();
    expect(list().length).toBeLessThanOrEqual(LIMITS.maxEntries);
    expect(list().at(-1)?.number).toBe(LIMITS.maxEntries + 1);
    expect(await rows()).toBe(list().length);
  });

  it('let what is too old go, but for the newest, whose number is not given again', async () => {
    await add(EVENT, REFUSED, EVENT);
    house.clock.time += LIMITS.maxAgeMs;
    await house.engine.settleAudit();
    expect(numbers()).toEqual([3]);
    await house.stop();
    house = await start(LIMITS, house.clock.time);
    await add(REFUSED);
    expect(numbers()).toEqual([4]);
    expect(await rows()).toBe(1);
  });

  it('leave out the oldest of what waits for a store that takes nothing', () => {
    const alone = new Audit({ now: () => 1, monotonic: () => 1 }, log, house.counters, LIMITS);
    for (let at = 0; at < 10_010; at += 1) alone.add({ ...EVENT, target: String(at) });
    const waiting = alone.take();
    expect([waiting.length, waiting[0]?.event.target]).toEqual([10_000, '10']);
    alone.giveBack(waiting);
    expect(alone.take()).toEqual(waiting);
  });
});
