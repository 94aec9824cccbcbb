import { afterEach, describe, expect, it } from 'vitest';
import { Meta } from '../../src/core/data/meta.js';
import { SESSION_EXPIRY_MS } from '../../src/core/durable/durable-session.js';
import { INBOUND_LIMITS } from '../../src/core/engine/inbound-queue.js';
import { STORED } from '../../src/core/message.js';
import { MERGED_BYTES_MAX } from '../../src/core/operations/data.js';
import { PATH_MAX_BYTES } from '../../src/core/paths/path.js';
import { REMOVAL_SLICE } from '../../src/core/scans/removals.js';
import { OUTBOUND_LIMITS } from '../../src/core/sessions/outbound-queue.js';
import { PATTERNS_MAX } from '../../src/core/sessions/subscription-set.js';
import { GateStore, type Harness, settled, startEngine, until } from '../support/core-harness.js';

let house: Harness;
afterEach(async () => {
  house.store.release();
  await house.stop();
});

describe('records', () => {
  it('keeps created, counts revisions and tells who reads later the same', async () => {
    house = await startEngine();
    const writer = house.session();
    const reader = house.session();
    const first = await writer.set('a/b', { n: 1 });
    house.clock.time += 1_000;
    const second = await writer.set('a/b', { n: 2 });
    expect([first.entry?.revision, second.entry?.revision]).toEqual([1, 2]);
    const { entry } = await reader.get('a/b');
    expect(entry?.payload.value()).toEqual({ n: 2 });
    expect(entry?.created).toBe(first.entry?.created);
    expect(entry?.modified).toBe((entry?.created as number) + 1_000);
  });

  it('keeps a/b, /a/b, a/b/ and a//b apart', async () => {
    house = await startEngine();
    const session = house.session();
    const paths = ['a/b', '/a/b', 'a/b/', 'a//b'];
    await Promise.all(paths.map((path) => session.set(path, path)));
    for (const path of paths) expect((await session.get(path)).entry?.payload.value()).toBe(path);
  });

  it('merges one level deep on the document form', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('m', { a: { x: 1 }, b: 1 });
    await session.set('m', { a: { y: 2 } }, { merge: true });
    expect((await session.get('m')).entry?.payload.value()).toEqual({ a: { y: 2 }, b: 1 });
    await session.set('m', 5, { merge: true });
    expect((await session.get('m')).entry?.payload.value()).toEqual({ a: { y: 2 }, b: 1, value: 5 });
  });

  it('merges as long as a record stays as large as it may be', async () => {
    house = await startEngine();
    const session = house.session();
    const half = 'x'.repeat(MERGED_BYTES_MAX / 2);
    await session.set('m', { a: half });
    expect((await session.set('m', { b: half }, { merge: true })).error?.code).toBe('LIMIT_EXCEEDED');
    expect((await session.set('m', { a: 'y', b: half }, { merge: true })).error).toBeNull();
    expect((await session.set('m', 'n', { increment: { name: 'n', by: 1 } })).error).toBeNull();
    // What was set larger may be merged with what makes it no larger.
    await session.set('m', { a: 'x'.repeat(MERGED_BYTES_MAX), b: 1 });
    expect((await session.set('m', { b: 22 }, { merge: true })).error?.code).toBe('LIMIT_EXCEEDED');
    expect((await session.set('m', { b: 2 }, { merge: true })).error).toBeNull();
  });

  it('answers CONFLICT and NOT_FOUND for conditions that do not hold, and changes nothing', async () => {
    house = await startEngine();
    const session = house.session();
    expect((await session.set('c', 1, { condition: 'present' })).error?.code).toBe('NOT_FOUND');
    await session.set('c', 1, { condition: 'absent' });
    expect((await session.set('c', 2, { condition: 'absent' })).error?.code).toBe('CONFLICT');
    expect((await session.set('c', 2, { expect: 7 })).error?.code).toBe('CONFLICT');
    expect((await session.set('c', 2, { expect: 1 })).entry?.revision).toBe(2);
    expect((await session.set('d', 2, { expect: 0 })).error).toBeNull();
    expect((await session.get('c')).entry?.payload.value()).toBe(2);
  });

  it('survives a restart with its revision', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    await house.session().set('a', 1);
    await house.stop();
    house = await startEngine({ store });
    const session = house.session();
    expect((await session.get('a')).entry?.payload.value()).toBe(1);
    expect((await session.set('a', 2)).entry?.revision).toBe(2);
  });
});

describe('turns', () => {
  it('write one batch for requests that come together, and one for those that come during it', async () => {
    house = await startEngine();
    house.store.held = true;
    const session = house.session();
    const first = Array.from({ length: 10 }, (_, i) => session.set(`p/${i}`, i));
    await until(() => house.store.writes === 1);
    const second = Array.from({ length: 10 }, (_, i) => session.set(`q/${i}`, i));
    await settled();
    expect(house.store.writes).toBe(1);
    expect(session.replies).toHaveLength(0);
    house.store.release();
    await Promise.all([...first, ...second]);
    expect(house.store.writes).toBe(2);
  });

  it('publish and answer nothing before the batch is durable', async () => {
    house = await startEngine();
    const writer = house.session();
    const hearer = house.session();
    await hearer.subscribe('a');
    house.store.held = true;
    const answer = writer.set('a', 1);
    await until(() => house.store.writes === 1);
    await settled();
    expect([hearer.heard.length, writer.replies.length]).toEqual([0, 0]);
    house.store.release();
    await answer;
    expect(hearer.heard).toHaveLength(1);
  });

  it('let an unstored event overtake the disk, but not a pending change of its path', async () => {
    house = await startEngine();
    const writer = house.session();
    const hearer = house.session();
    await hearer.subscribe('*');
    house.store.held = true;
    const stored = writer.set('a', 'stored');
    await until(() => house.store.writes === 1);
    const behind = writer.emit('a', 'event');
    await writer.emit('b', 'event');
    await settled();
    expect(hearer.log.slice(1)).toEqual(['set b "event"']);
    house.store.release();
    await Promise.all([stored, behind]);
    expect(hearer.log.slice(1)).toEqual(['set b "event"', 'set a "stored"', 'set a "event"']);
  });

  it('let a read of a path wait for the change that is being committed', async () => {
    house = await startEngine();
    const writer = house.session();
    const reader = house.session();
    await writer.set('a', 1);
    house.store.held = true;
    const stored = writer.set('a', 2);
    await until(() => house.store.writes === 2);
    const waits = reader.get('a');
    const other = await reader.get('b');
    expect(other.entry).toBeNull();
    expect(reader.replies).toHaveLength(1);
    const all = reader.find('*');
    await settled();
    expect(reader.replies).toHaveLength(1);
    house.store.release();
    expect((await waits).entry?.payload.value()).toBe(2);
    expect((await all).entries?.map((entry) => entry.payload.value())).toEqual([2]);
    await stored;
  });

  it('answer an ordered session in the order of its requests', async () => {
    house = await startEngine();
    const session = house.session(true);
    await session.set('x/1', 1);
    const all = [
      session.set('a', 1, {}, 'set'),
      session.get('b', 'get'),
      session.find('x/*', {}, 'find'),
      session.emit('c', 1, {}, 'emit'),
      session.removeAll('x/*', 'removeAll'),
      session.get('x/1', 'get again'),
      session.set('x/1', 2, {}, 'set again'),
    ];
    const replies = await Promise.all(all);
    expect(session.log.slice(1)).toEqual(['set', 'get', 'find', 'emit', 'removeAll', 'get again', 'set again'].map((id) => `reply ${id}`));
    expect(replies[2]?.entries).toHaveLength(1);
    expect(replies[5]?.entry).toBeNull();
  });

  it('flush each session once however much it was given', async () => {
    house = await startEngine();
    const hearer = house.session();
    await hearer.subscribe('*');
    const before = hearer.flushes;
    const writer = house.session();
    await Promise.all(Array.from({ length: 100 }, (_, i) => writer.emit(`p/${i}`, i)));
    expect(hearer.heard).toHaveLength(100);
    expect(hearer.flushes - before).toBe(1);
  });

  it('pause a session that has used up its bytes, those of meta included', async () => {
    house = await startEngine({ inbound: { ...INBOUND_LIMITS, sessionMessages: 1e6, sessionBytes: 10_000, messages: 1e6, bytes: 1e9 } });
    const session = house.session();
    const meta = Meta.fromValues({ own: { deep: ['x'.repeat(1_000)] } });
    const all = Array.from({ length: 20 }, (_, i) => session.emit(`p/${i}`, i, { meta }));
    expect(session.pauses).toBe(1);
    await Promise.all(all);
    expect(session.paused).toBe(false);
  });

  it('by pattern count what is held for their scans while they wait', async () => {
    house = await startEngine({ inbound: { ...INBOUND_LIMITS, sessionMessages: 1e6, sessionBytes: 100_000, messages: 1e6, bytes: 1e9 } });
    const session = house.session();
    house.store.scansHeld = true;
    const first = [...Array.from({ length: 8 }, () => session.find('*')), session.subscribe('*', 'glob', {}, true)];
    expect(session.pauses).toBe(0);
    const more = Array.from({ length: 4 }, () => session.find('*'));
    expect(session.pauses).toBe(1);
    house.store.releaseScans();
    await Promise.all([...first, ...more]);
    expect(session.paused).toBe(false);
  });

  it('count no less than the frames that they may keep, also while their answers wait', async () => {
    house = await startEngine({ inbound: { ...INBOUND_LIMITS, sessionMessages: 1e6, sessionBytes: 10_000, messages: 1e6, bytes: 1e9 } });
    const session = house.session();
    session.frameBytes = 6_000;
    const first = session.get('a');
    expect(session.pauses).toBe(0);
    const second = session.get('b');
    expect(session.pauses).toBe(1);
    await Promise.all([first, second]);
    session.stalled = true;
    void session.get('c');
    await until(() => session.outbound.length === 1);
    expect(session.outbound.bytes).toBeGreaterThanOrEqual(6_000);
  });

  it('pause a session that has used up its credit and go on with it later', async () => {
    house = await startEngine({ inbound: { ...INBOUND_LIMITS, sessionMessages: 8, sessionBytes: 1e9, messages: 1e6, bytes: 1e9 } });
    const session = house.session();
    const all = Array.from({ length: 20 }, (_, i) => session.emit(`p/${i}`, i));
    expect(session.pauses).toBe(1);
    expect(session.paused).toBe(true);
    await Promise.all(all);
    expect(session.paused).toBe(false);
  });
});

describe('subscriptions', () => {
  it('take initial values at one revision; what happens meanwhile follows', async () => {
    house = await startEngine();
    const writer = house.session();
    for (let i = 0; i < 700; i++) writer.context.submit(writer.setRequest(`v/${String(i).padStart(4, '0')}`, 0));
    await writer.set('v/0000', 0);
    const hearer = house.session();
    const order: string[] = [];
    const subscribed = hearer.subscribe('v/*', 'glob', {}, true, 'sub').then((reply) => order.push(`initial ${reply.entries?.length}`));
    const changed = writer.set('v/0001', 1);
    const added = writer.set('v/9999', 1);
    await Promise.all([subscribed, changed, added]);
    const reply = hearer.replies[0];
    expect(reply?.entries).toHaveLength(700);
    expect(reply?.entries?.every((entry) => entry.payload.value() === 0)).toBe(true);
    expect(hearer.log).toEqual(['reply sub', 'set v/0001 1', 'set v/9999 1']);
  });

  it('hear nothing after unsubscribing, and answer how many ended', async () => {
    house = await startEngine();
    const session = house.session();
    const { request } = await session.subscribe('a');
    if (request.op !== 'subscribe') throw new Error('not a subscribe');
    expect((await session.unsubscribe(request.subscription)).count).toBe(1);
    expect((await session.unsubscribe(request.subscription)).count).toBe(0);
    await session.set('a', 1);
    expect(session.heard).toHaveLength(0);
  });

  it('B3 have patterns that are so long together, and no longer', async () => {
    house = await startEngine();
    const session = house.session();
    const path = (n: number): string => `${n}/`.padEnd(PATH_MAX_BYTES, 'x');
    const most = PATTERNS_MAX / PATH_MAX_BYTES;
    const replies = await Promise.all(Array.from({ length: most + 1 }, (_, n) => session.subscribe(path(n))));
    expect(replies.map(({ error }) => error?.code ?? null)).toEqual([...new Array(most).fill(null), 'LIMIT_EXCEEDED']);
    const request = replies[0]?.request;
    if (request?.op !== 'subscribe') throw new Error('not a subscribe');
    await session.unsubscribe(request.subscription);
    expect((await session.subscribe(path(most))).error).toBeNull();
    expect((await session.subscribe('a')).error?.code).toBe('LIMIT_EXCEEDED');
    expect((await house.session().subscribe('a')).error).toBeNull();
  });

  it('end with their session', async () => {
    house = await startEngine();
    const hearer = house.session();
    await hearer.subscribe('a');
    hearer.close(null);
    expect(house.counters.gauges.get('subscriptions')?.read()).toBe(0);
  });

  it('with noLocal do not hear their own session', async () => {
    house = await startEngine();
    const session = house.session();
    await session.subscribe('a', 'glob', { noLocal: true });
    await session.set('a', 1);
    await house.session().set('a', 2);
    expect(session.heard.map(({ publication }) => publication.payload?.value())).toEqual([2]);
  });
});

describe('removal', () => {
  it('of nothing answers 0 and is news only to those who hear requests', async () => {
    house = await startEngine();
    const session = house.session();
    await session.subscribe('a', 'glob', { removals: 'each-record' });
    await session.subscribe('a', 'glob', { removals: 'each-request' });
    expect((await session.remove('a')).count).toBe(0);
    expect(session.heard.map(({ subscription }) => subscription.options.removals)).toEqual(['each-request']);
    expect(house.counters.gauges.get('revision')?.read()).toBe(0);
  });

  it('by wildcard goes in slices, is heard record by record and once by request, and leaves what came later', async () => {
    house = await startEngine();
    const session = house.session();
    const count = REMOVAL_SLICE + 500;
    for (let i = 0; i < count; i++) session.context.submit(session.setRequest(`r/${i}`, i));
    await session.set('s', 1);
    const records = house.session();
    const requests = house.session();
    await records.subscribe('r/*', 'glob', { removals: 'each-record' });
    await requests.subscribe('r/*', 'glob', { removals: 'each-request' });
    const writes = house.store.writes;
    const removal = session.removeAll('r/*');
    const later = session.set('r/0', 'later');
    expect((await removal).count).toBe(count);
    await later;
    expect(house.store.writes - writes).toBe(3);
    expect((await session.find('*')).entries?.map((entry) => entry.path)).toEqual(['r/0', 's']);
    expect(records.heard.filter(({ publication }) => publication.action === 'remove')).toHaveLength(count);
    const [heard] = requests.heard.map(({ publication }) => publication);
    expect([heard?.path, heard?.removed, heard?.audience]).toEqual(['r/*', count, 'each-request']);
  });
});

describe('operations', () => {
  it('that come a second time change nothing', async () => {
    house = await startEngine();
    const session = house.session();
    const first = session.setRequest('a', 1);
    await session.submit(first);
    const again = session.setRequest('a', 2);
    again.sequence = first.sequence;
    const reply = await session.submit(again);
    expect(reply.repeated).toBe(true);
    expect((await session.get('a')).entry?.payload.value()).toBe(1);
  });

  it('leave the same bytes in two stores', async () => {
    const stores = [new GateStore(), new GateStore()];
    for (const store of stores) {
      house = await startEngine({ store });
      const session = house.session();
      await session.set('a', { x: 1 });
      await session.set('a', { y: 2 }, { merge: true });
      await session.set('b/1', 1);
      await session.set('b/2', 1);
      await session.removeAll('b/*');
      const keeper = house.session(true);
      await keeper.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
      await keeper.subscribe('t/#', 'mqtt');
      await session.emit('t/1', 'queued', { qos: 1 });
      await house.stop();
    }
    expect(stores[0]?.dump()).toEqual(stores[1]?.dump());
  });

  it('with an exactly-once number that was received before are answered and do nothing', async () => {
    house = await startEngine();
    const session = house.session(true);
    const hearer = house.session();
    await hearer.subscribe('a');
    await session.submit(session.setRequest('a', 1, { store: false, qos: 2 }, 1, 77));
    expect((await session.submit(session.setRequest('a', 1, { store: false, qos: 2 }, 2, 77))).repeated).toBe(true);
    expect(hearer.heard).toHaveLength(1);
    await session.durably({ type: 'forget', onceId: 77 });
    await session.submit(session.setRequest('a', 2, { store: false, qos: 2 }, 3, 77));
    expect(hearer.heard).toHaveLength(2);
  });
});

describe('a batch that the store refuses', () => {
  it('fails its requests, publishes nothing, and the store accepts again after reopening', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('a', 1);
    await session.subscribe('a');
    house.store.failure = new Error('ENOSPC');
    const refused = await session.set('a', 2);
    expect(refused.error?.code).toBe('STORE_FAILED');
    expect(session.heard).toHaveLength(0);
    let after = await session.set('a', 3);
    while (after.error !== null) {
      expect(after.error.code).toBe('STORE_FAILED');
      after = await session.set('a', 3);
    }
    expect(after.entry?.revision).toBe(2);
    expect((await session.get('a')).entry?.payload.value()).toBe(3);
  });
});

describe('a slow consumer', () => {
  it('loses events of QoS 0 above its limit, and they are counted', async () => {
    house = await startEngine();
    const slow = house.session(false, { ...OUTBOUND_LIMITS, dropBytes: 2_000 });
    await slow.subscribe('a', 'glob', { qos: 0 });
    slow.stalled = true;
    const writer = house.session();
    for (let i = 0; i < 100; i++) await writer.emit('a', 'x'.repeat(100));
    expect(slow.outbound.bytes).toBeLessThan(2_500);
    expect(house.counters.counters.get('outbound_dropped_total')?.value).toBeGreaterThan(80);
  });

  it('is closed above the hard limit while others go on', async () => {
    house = await startEngine();
    const slow = house.session(false, { ...OUTBOUND_LIMITS, slowBytes: 1_000, closeBytes: 5_000 });
    await slow.subscribe('a');
    slow.stalled = true;
    const other = house.session();
    await other.subscribe('a');
    for (let i = 0; i < 100; i++) await house.session().set('a', 'x'.repeat(100));
    expect(slow.closedWith?.code).toBe('SLOW_CONSUMER');
    expect(slow.outbound.length).toBe(0);
    expect(other.heard).toHaveLength(100);
  });

  it('is closed above it, too, when it is their meta that is large', async () => {
    house = await startEngine();
    const slow = house.session(false, { ...OUTBOUND_LIMITS, slowBytes: 1_000, closeBytes: 5_000 });
    await slow.subscribe('a');
    slow.stalled = true;
    const meta = Meta.fromValues({ own: { deep: ['x'.repeat(1_000)] } });
    for (let i = 0; i < 10; i++) await house.session().emit('a', i, { meta });
    expect(slow.closedWith?.code).toBe('SLOW_CONSUMER');
  });
});

describe('durability none', () => {
  it('answers before the disk, and reads show what was answered', async () => {
    house = await startEngine({ durability: 'none' });
    const session = house.session();
    house.store.held = true;
    await session.set('a', 1);
    const read = session.get('a');
    const all = session.find('*');
    await settled();
    house.store.release();
    expect((await read).entry?.payload.value()).toBe(1);
    expect((await all).entries).toHaveLength(1);
  });
});

describe('options', () => {
  it('publish:false is heard by nobody', async () => {
    house = await startEngine();
    const session = house.session();
    await session.subscribe('a');
    const reply = await session.set('a', 1, { ...STORED, publish: false });
    expect(reply.published).toBe(false);
    expect(session.heard).toHaveLength(0);
  });
});

describe('an increment', () => {
  it('counts from 0, keeps the rest of the record, and answers the new value', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('c', { other: 1 });
    const hearer = house.session();
    await hearer.subscribe('c');
    const by = (n: number): Promise<number> =>
      session.set('c', null, { increment: { name: 'hits', by: n } }).then((reply) => reply.counter);
    expect(await Promise.all([by(2), by(3), by(-1)])).toEqual([2, 5, 4]);
    expect((await session.get('c')).entry?.payload.value()).toEqual({ other: 1, hits: { value: 4 } });
    expect(hearer.heard.map(({ publication }) => publication.given?.value())).toEqual([
      { value: 2, gauge: 'hits' },
      { value: 5, gauge: 'hits' },
      { value: 4, gauge: 'hits' },
    ]);
    expect(hearer.heard[0]?.publication.payload?.value()).toEqual({ other: 1, hits: { value: 2 } });
  });

  it('of what is no counter, or of a name that is no plain key, changes nothing', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('c', { text: 'x' });
    for (const name of ['text', '__proto__']) {
      expect((await session.set('c', null, { increment: { name, by: 1 } })).error?.code).toBe('INVALID_REQUEST');
    }
    expect((await session.get('c')).entry?.revision).toBe(1);
  });

  it('may have a name that means something else to JavaScript', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('c', { text: 'x' });
    for (const name of ['toString', 'valueOf', 'hasOwnProperty']) {
      for (const counter of [1, 2]) expect((await session.set('c', null, { increment: { name, by: 1 } })).counter).toBe(counter);
    }
  });

  it('beyond what can be counted is refused, and changes nothing', async () => {
    house = await startEngine();
    const session = house.session();
    const { MAX_SAFE_INTEGER, MAX_VALUE } = Number;
    await session.set('c', { whole: { value: MAX_SAFE_INTEGER - 1 }, large: { value: MAX_VALUE } });
    const by = (name: string, n: number) => session.set('c', null, { increment: { name, by: n } });
    expect((await by('whole', 1)).counter).toBe(MAX_SAFE_INTEGER);
    for (const [name, n] of [
      ['whole', 1],
      ['large', MAX_VALUE],
      ['new', -MAX_VALUE],
    ] as const) {
      expect((await by(name, n)).error?.code, name).toBe('INVALID_REQUEST');
    }
    expect((await session.get('c')).entry?.revision).toBe(2);
    expect((await by('fraction', 0.25)).counter).toBe(0.25);
  });
});

describe('targets and receipts', () => {
  it('reach the named sessions alone, live and queued', async () => {
    house = await startEngine();
    const writer = house.session();
    const [one, two] = [house.session(), house.session()];
    for (const session of [one, two]) await session.subscribe('a');
    const reply = await writer.set('a', 1, { targets: new Set([two.id]), receipt: true });
    expect([one.heard.length, two.heard.length]).toEqual([0, 1]);
    expect([reply.receipt?.matched, reply.receipt?.skipped, reply.receipt?.sessions]).toEqual([2, 1, [two]]);
    await writer.set('a', 1, { targets: new Set() });
    expect([one.heard.length, two.heard.length]).toEqual([0, 1]);
    const kept = house.session(true);
    await kept.durably({ type: 'open', key: 'k', clean: false, expiryMs: SESSION_EXPIRY_MS });
    await kept.subscribe('q', 'mqtt', { qos: 1 });
    await writer.set('q', 1, { targets: new Set([two.id]) });
    expect(kept.durable?.queue.size).toBe(0);
    await writer.set('q', 1, { targets: new Set([kept.id]) });
    expect(kept.durable?.queue.size).toBe(1);
  });

  it('tell of nobody when nobody listens, also for removals', async () => {
    house = await startEngine();
    const session = house.session();
    const reply = await session.set('a', 1, { receipt: true });
    expect([reply.receipt?.matched, reply.receipt?.sessions]).toEqual([0, []]);
    const hearer = house.session();
    await hearer.subscribe('*', 'glob', { removals: 'each-request' });
    const removal = session.removeAll('a*', 'all', { receipt: true });
    expect((await removal).receipt?.sessions).toEqual([hearer]);
  });
});
