// What goes wrong harms no more than it must: refused batches, broken adapters, damaged rows, floods, a stop in the middle.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Payload } from '../../src/core/data/payload.js';
import { QUEUE_LIMITS, SESSION_EXPIRY_MS } from '../../src/core/durable/durable-session.js';
import { INBOUND_LIMITS } from '../../src/core/engine/inbound-queue.js';
import { REQUEST_ERRORS } from '../../src/core/errors.js';
import { DataRequest, STORED, SubscribeRequest, TransactionRequest, UNSTORED } from '../../src/core/message.js';
import { parseQuery } from '../../src/core/query/query.js';
import { identityNamed } from '../../src/core/security/identity.js';
import { OUTBOUND_LIMITS } from '../../src/core/sessions/outbound-queue.js';
import { SECTION, StoreDamage, StoreFailure } from '../../src/core/store/store.js';
import { formats, GateStore, type Harness, SILENT, settled, startEngine, type TestSession, until } from '../support/core-harness.js';

let house: Harness;
let stopped = false;

beforeEach(() => {
  stopped = false;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
});

afterEach(async () => {
  house.store.unopenable = 0;
  house.store.releaseScans();
  house.store.release();
  if (!stopped) await house.stop();
  vi.useRealTimers();
});

const STATUS = { path: 'status', payload: Payload.fromBytes(Buffer.from('gone'), formats.raw), options: STORED, remove: false, delayMs: 0 };

const values = (session: TestSession): unknown[] => session.heard.map(({ publication }) => publication.payload?.value());
const counted = (name: string): number => house.counters.counters.get(name)?.value ?? 0;
const unsettled = (): number => house.counters.gauges.get('requests_unsettled')?.read() ?? -1;

/** A set whose batch is with the store, which will refuse it when it is released. */
async function refusing(session: TestSession, path = 'refused'): Promise<void> {
  const { writes } = house.store;
  house.store.held = true;
  house.store.failure = new Error('ENOSPC');
  void session.set(path, 'refused', {}, 'refused');
  await until(() => house.store.writes > writes);
}

/** Lets the store refuse, and waits until it is open again. */
async function refused(): Promise<void> {
  const { reopened } = house.store;
  house.store.release();
  await until(() => house.store.reopened > reopened && house.engine.writable);
}

/** The store refuses and cannot be reopened for as long as nobody lets time pass. */
async function breakStore(): Promise<void> {
  await refusing(house.session());
  house.store.unopenable = 1;
  house.store.release();
  await until(() => house.store.reopened === 1);
  await settled();
}

async function repair(): Promise<void> {
  house.store.unopenable = 0;
  vi.advanceTimersByTime(60_000);
  await until(() => house.engine.writable);
  await settled();
}

describe('a refused batch', () => {
  it('fails what was in it; what waited behind it and stores nothing is served', async () => {
    house = await startEngine();
    const session = house.session(true);
    const hearer = house.session();
    await hearer.subscribe('*');
    await session.set('a', 1, {}, 'before');
    await refusing(session);
    void session.get('a', 'read');
    void session.emit('b', 'event', {}, 'emit');
    void session.set('c', 1, {}, 'set');
    void session.find('a*', {}, 'find');
    await settled();
    house.store.release();
    await until(() => session.replies.length === 6);
    expect(session.log).toEqual(
      ['before', 'refused STORE_FAILED', 'read', 'emit', 'set STORE_FAILED', 'find'].map((text) => `reply ${text}`),
    );
    expect(values(hearer)).toEqual([1, 'event']);
    expect(unsettled()).toBe(0);
  });

  it('gives back the credit of those who wait for it, also while the store cannot be reopened', async () => {
    house = await startEngine({ inbound: { ...INBOUND_LIMITS, sessionMessages: 4 } });
    const session = house.session(true);
    await refusing(session);
    for (let i = 0; i < 5; i++) void session.set(`p/${i}`, i);
    await settled();
    expect(session.paused).toBe(true);
    house.store.unopenable = 1;
    house.store.release();
    await until(() => session.replies.length === 6);
    await settled();
    expect([session.inFlight, session.inFlightBytes, session.uncommitted, session.paused]).toEqual([0, 0, 0, false]);
    expect(house.engine.writable).toBe(false);
    await repair();
  });

  it('keeps nobody from reading while the disk is full; what was read then is read again when it is open', async () => {
    house = await startEngine();
    house.store.isReadable = true;
    const session = house.session();
    const { rows } = house.store.disk;
    await session.set('a', 'new');
    const row = rows.get(`${SECTION.record}a`) as Uint8Array;
    await session.set('a', 'old');
    await breakStore();
    expect(house.engine.writable).toBe(false);
    expect((await session.get('a')).entry?.payload.value()).toBe('old');
    expect((await session.find('*')).entries).toHaveLength(1);
    expect((await session.set('a', 1)).error?.code).toBe('STORE_FAILED');
    // As if the journal had a change that was refused.
    rows.set(`${SECTION.record}a`, row);
    await repair();
    expect((await session.get('a')).entry?.payload.value()).toBe('new');
  });

  it('may become known when nothing is written: the store is reopened at once, and nobody lost anything', async () => {
    house = await startEngine();
    const session = house.session(true);
    await session.set('a', 1, {}, 'before');
    house.store.failed?.(new StoreFailure('LevelDB refused what the journal has'));
    await until(() => house.store.reopened === 1 && house.engine.writable);
    await session.set('b', 2, {}, 'after');
    await session.get('a', 'read');
    expect(session.log).toEqual(['before', 'after', 'read'].map((text) => `reply ${text}`));
    await refusing(session);
    house.store.failed?.(new StoreFailure('once more, while a batch is written'));
    await settled();
    await refused();
    expect(house.store.reopened).toBe(2);
    expect(session.log.at(-1)).toBe('reply refused STORE_FAILED');
  });

  it('under durability none was answered before: nobody is answered twice', async () => {
    house = await startEngine({ durability: 'none' });
    const session = house.session(true);
    await refusing(session);
    const found = session.find('q*', {}, 'find');
    await settled();
    house.store.release();
    await found;
    await settled();
    expect(session.log.filter((line) => line === 'reply refused')).toHaveLength(1);
    expect(session.log.filter((line) => line.includes('STORE_FAILED'))).toHaveLength(0);
    expect([session.inFlight, unsettled()]).toEqual([0, 0]);
    const next = await session.set('a', 1);
    expect(next.entry?.revision).toBe(2);
  });

  it('under durability none fails the wildcard requests that were to be answered behind it', async () => {
    house = await startEngine({ durability: 'none' });
    const session = house.session(true);
    await session.set('r/1', 1);
    await settled();
    const first = house.session();
    house.store.held = true;
    const { writes } = house.store;
    void first.set('x', 1);
    await until(() => house.store.writes > writes);
    void session.set('a', 1, {}, 'set');
    const removal = session.removeAll('r/*');
    const after = session.get('r/1');
    await settled();
    house.store.release();
    house.store.held = true;
    await until(() => house.store.writes > writes + 1);
    house.store.failure = new Error('ENOSPC');
    house.store.release();
    expect((await removal).error?.code).toBe('STORE_FAILED');
    expect((await after).entry?.payload.value()).toBe(1);
    await settled();
    expect([session.inFlight, session.uncommitted, unsettled()]).toEqual([0, 0, 0]);
  });

  it('harms nothing in it that stores nothing, nor what memory alone knows', async () => {
    house = await startEngine();
    const session = house.session(true);
    const stays = session.subscription('ends');
    await session.submit(new SubscribeRequest('subscribe', session, 'ends', stays, null, null));
    await session.submit(session.setRequest('q', 1, { ...UNSTORED, qos: 2 }, 'known', 8));
    house.store.held = true;
    const { writes } = house.store;
    // Nothing is executed behind this before it is written,
    void house.session().durably({ type: 'open', key: 'kept', clean: true, expiryMs: 60_000 });
    await until(() => house.store.writes > writes);
    // so that all of these are in one turn with a set that is refused.
    const set = session.set('y', 1);
    const begun = session.subscribe('begun', 'glob', {}, true);
    const begunWide = session.subscribe('y*', 'glob', {}, true);
    const read = session.get('y');
    const ended = session.unsubscribe(stays);
    const first = session.submit(session.setRequest('q', 2, { ...UNSTORED, qos: 2 }, 'first', 9));
    const known = session.submit(session.setRequest('q', 3, { ...UNSTORED, qos: 2 }, 'again', 8));
    const forgotten = session.durably({ type: 'forget', onceId: 8 });
    await settled();
    house.store.release();
    house.store.held = true;
    await until(() => house.store.writes > writes + 1);
    const writer = house.session();
    await writer.emit('begun', 'meanwhile');
    house.store.failure = new Error('ENOSPC');
    await refused();
    expect((await set).error?.code).toBe('STORE_FAILED');
    for (const reply of [await begun, await begunWide, await read, await ended, await forgotten]) expect(reply.error).toBeNull();
    expect([(await ended).count, (await begunWide).entries, (await read).entry]).toEqual([1, [], null]);
    expect([(await first).repeated, (await known).repeated]).toEqual([false, true]);
    await writer.emit('begun', 'after');
    await writer.emit('ends', 'not heard');
    expect(values(session)).toEqual(['meanwhile', 'after']);
    expect([...(session.received ?? [])]).toEqual([9]);
    expect([session.inFlight, session.uncommitted, unsettled()]).toEqual([0, 0, 0]);
  });

  it('does not touch the store before it is reopened, although a removal is on its way', async () => {
    house = await startEngine();
    const remover = house.session(true);
    await remover.set('r/1', 1);
    house.store.scansHeld = true;
    const removal = remover.removeAll('r/*');
    await until(() => house.store.reading === 1);
    house.store.unopenable = 1;
    await refusing(house.session());
    house.store.release();
    await until(() => house.store.reopened === 1);
    const { writes } = house.store;
    house.store.releaseScans();
    expect((await removal).error?.code).toBe('STORE_FAILED');
    await settled();
    expect([house.store.writes, house.store.reopened]).toEqual([writes, 1]);
    await repair();
    expect(house.store.reopened).toBe(2);
    expect((await remover.removeAll('r/*')).count).toBe(1);
  });

  it('acknowledges nothing for a durable session while its state is being read again', async () => {
    house = await startEngine();
    const keeper = house.session(true);
    await keeper.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    await keeper.subscribe('t', 'mqtt', { qos: 1 });
    keeper.close(null);
    await refusing(house.session());
    house.store.scansHeld = true;
    house.store.release();
    await until(() => house.store.reading === 1);
    expect((await house.session().emit('t', 'x', { qos: 1 })).error?.code).toBe('STORE_FAILED');
    house.store.releaseScans();
    await until(() => house.engine.writable);
    expect((await house.session().emit('t', 'x', { qos: 1 })).error).toBeNull();
    const back = house.session(true);
    await back.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    expect(back.durable?.queue.size).toBe(1);
  });

  it('ends connections of durable sessions; they resume on what was stored', async () => {
    house = await startEngine();
    const keeper = house.session(true);
    await keeper.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    await keeper.subscribe('kept', 'mqtt', { qos: 1 });
    await refusing(house.session());
    const lost = keeper.subscription('lost', 'mqtt', { qos: 1 });
    keeper.context.submit(new SubscribeRequest('subscribe', keeper, 'lost', lost, null, null));
    await refused();
    expect(keeper.closedWith?.code).toBe('STORE_FAILED');
    const back = house.session(true);
    expect((await back.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS })).present).toBe(true);
    expect([...(back.durable?.subscriptions.values() ?? [])].map(({ pattern }) => pattern.text)).toEqual(['kept']);
  });
});

describe('wills while the store is being reopened', () => {
  it('wait for it and are then published', async () => {
    house = await startEngine();
    const hearer = house.session();
    await hearer.subscribe('status');
    const leaver = house.session(true);
    await leaver.durably({ type: 'will', will: STATUS });
    await breakStore();
    leaver.context.submit(durableRequest(leaver, 'fireWill'));
    leaver.close(null);
    await settled();
    expect(hearer.heard).toHaveLength(0);
    await repair();
    expect(values(hearer)).toEqual(['gone']);
  });

  it('that are in the refused batch are published after it, once', async () => {
    house = await startEngine();
    const hearer = house.session();
    await hearer.subscribe('status');
    const leaver = house.session(true);
    await leaver.durably({ type: 'will', will: STATUS });
    house.store.failure = new Error('ENOSPC');
    leaver.context.submit(durableRequest(leaver, 'fireWill'));
    leaver.close(null);
    await until(() => hearer.heard.length > 0);
    await settled();
    expect(values(hearer)).toEqual(['gone']);
    expect(house.store.dump().filter(([key]) => key.startsWith(SECTION.will))).toEqual([]);
  });

  it('that a goodbye takes back are not published, now or at the next start', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    const leaver = house.session(true);
    await leaver.durably({ type: 'will', will: STATUS });
    await breakStore();
    leaver.context.submit(durableRequest(leaver, 'dropWill'));
    leaver.close(null);
    await repair();
    expect(unsettled()).toBe(0);
    await house.stop();
    house = await startEngine({ store });
    await settled();
    expect((await house.session().get('status')).entry).toBeNull();
  });

  it('left behind by a crash are in the name of who left them', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    const leaver = house.session(true);
    leaver.identity = identityNamed('amina');
    await leaver.durably({ type: 'will', will: STATUS });
    await house.stop();
    house = await startEngine({ store });
    expect((await house.session().get('status')).entry?.author).toBe('amina');
  });
});

describe('stop', () => {
  it('ends although the batch that it waits for is refused and the store stays closed', async () => {
    house = await startEngine();
    const session = house.session();
    await refusing(session);
    void session.find('*');
    house.store.unopenable = 1_000;
    const stopping = house.stop();
    await settled();
    house.store.release();
    await stopping;
    stopped = true;
    expect(session.replies).toHaveLength(2);
  });

  it('while the store cannot be reopened ends the attempts', async () => {
    house = await startEngine();
    await breakStore();
    house.store.unopenable = 1_000;
    await house.stop();
    stopped = true;
    const { reopened } = house.store;
    vi.advanceTimersByTime(600_000);
    await settled();
    expect(house.store.reopened).toBe(reopened);
    expect(() => house.store.read(SECTION.record, 'a')).toThrow('not open');
  });

  it('waits for the attempt to reopen the store that is at work, and for no other', async () => {
    house = await startEngine();
    await refusing(house.session());
    let fail = (_error: Error): void => {};
    const reopen = vi.spyOn(house.store, 'reopen').mockReturnValue(new Promise((_, reject) => (fail = reject)));
    house.store.release();
    await until(() => reopen.mock.calls.length === 1);
    const stopping = house.stop();
    await settled();
    fail(new StoreFailure('there is still no space left on the device'));
    await stopping;
    stopped = true;
    expect([reopen.mock.calls.length, vi.getTimerCount()]).toEqual([1, 0]);
  });

  it('waits for answers in slices and what waits behind them', async () => {
    house = await startEngine();
    const session = house.session(true);
    await session.set('r/1', 1);
    house.store.scansHeld = true;
    void session.removeAll('r/*', 'removal');
    void session.set('r/2', 1, {}, 'set');
    await until(() => house.store.reading === 1);
    const stopping = house.stop();
    const again = house.stop();
    await settled();
    expect(session.replies).toHaveLength(1);
    house.store.releaseScans();
    await Promise.all([stopping, again]);
    stopped = true;
    expect(session.log.slice(1)).toEqual(['reply removal', 'reply set']);
  });
});

describe('a broken adapter', () => {
  it('that throws while it flushes, and again while it closes, loses that session alone', async () => {
    house = await startEngine();
    const broken = house.session();
    await broken.subscribe('a');
    broken.broken.add('flush').add('close');
    const other = house.session();
    await other.subscribe('a');
    await house.session().set('a', 1);
    expect(values(other)).toEqual([1]);
    expect(broken.closed).toBe(true);
    expect(house.counters.gauges.get('subscriptions')?.read()).toBe(1);
    expect((await house.session().set('a', 2)).error).toBeNull();
  });

  it('that throws while it flushes outside of a turn loses that session alone', async () => {
    house = await startEngine();
    const broken = house.session();
    broken.broken.add('flush');
    house.context.flush(broken);
    expect(broken.closedWith?.code).toBe('INTERNAL');
    const { flushes } = broken;
    house.context.flush(broken);
    expect(broken.flushes).toBe(flushes);
  });

  it('that throws while reading is paused or resumed loses that session alone', async () => {
    house = await startEngine({ inbound: { ...INBOUND_LIMITS, sessionMessages: 4 } });
    const other = house.session();
    for (const method of ['pauseReading', 'resumeReading'] as const) {
      const broken = house.session();
      broken.broken.add(method);
      for (let i = 0; i < 6; i++) broken.context.submit(broken.setRequest('a', i, { store: false }));
      await settled();
      expect(broken.closed).toBe(true);
      expect(broken.inFlight).toBe(0);
      expect((await other.emit('a', 1)).error).toBeNull();
    }
  });

  it('that throws while it closes leaves its will as a lost connection does', async () => {
    house = await startEngine();
    const hearer = house.session();
    await hearer.subscribe('status');
    const broken = house.session(true);
    await broken.durably({ type: 'will', will: STATUS });
    broken.broken.add('flush').add('close');
    void broken.context.submit(broken.setRequest('a', 1));
    await until(() => hearer.heard.length > 0);
    expect(values(hearer)).toEqual(['gone']);
  });

  it('that throws while its session is taken over does not keep the session from its new connection', async () => {
    house = await startEngine();
    const first = house.session(true);
    await first.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    first.broken.add('close');
    const second = house.session(true);
    const reply = await second.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    expect([reply.error, reply.present, first.closed]).toEqual([null, true, true]);
    expect(second.durable?.session).toBe(second);
  });
});

describe('a payload that cannot be written', () => {
  it('is answered and changes nothing', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('a', 'before');
    const broken = {
      ...formats.json,
      fromValue: () => {
        throw new TypeError('no such bytes');
      },
    };
    const request = new DataRequest('set', session, 'x', 'a', null, Payload.fromValue('after', broken), STORED, true, 0, null);
    const other = session.set('b', 1);
    expect((await session.submit(request)).error?.code).toBe('INTERNAL');
    expect((await other).entry?.revision).toBe(2);
    expect((await session.get('a')).entry?.payload.value()).toBe('before');
    expect((await session.set('c', 1)).entry?.revision).toBe(3);
  });
});

describe('damage on disk', () => {
  const damage = (store: GateStore, section: string, change: (key: string, value: Uint8Array) => [string, Uint8Array]): void => {
    for (const [key, value] of store.dump()) {
      if (key[0] !== section) continue;
      store.disk.rows.delete(key);
      store.disk.rows.set(...change(key, value));
    }
  };

  const withQueue = async (): Promise<GateStore> => {
    const store = new GateStore();
    house = await startEngine({ store });
    const keeper = house.session(true);
    await keeper.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    await keeper.subscribe('t', 'mqtt', { qos: 1 });
    await keeper.durably({ type: 'will', will: STATUS });
    keeper.close(null);
    await house.session().emit('t', 'queued', { qos: 1 });
    return store;
  };

  it.each([
    ['a queue row that is too short', SECTION.queue, (key: string) => [key, new Uint8Array(3)] as [string, Uint8Array]],
    [
      'a queue row without a session',
      SECTION.queue,
      (key: string, value: Uint8Array) => [key.replace(/^q0/, 'q1'), value] as [string, Uint8Array],
    ],
    [
      'a subscription that is no filter',
      SECTION.durableSession,
      (key: string, value: Uint8Array) => [key.replace('/t', '/a#b'), value] as [string, Uint8Array],
    ],
    ['a will that is cut off', SECTION.will, (key: string, value: Uint8Array) => [key, value.subarray(1)] as [string, Uint8Array]],
    [
      'a session without a number',
      SECTION.durableSession,
      (key: string, value: Uint8Array) => [key.replace(/0/g, 'x'), value] as [string, Uint8Array],
    ],
  ])('%s stops the start with a line that names it', async (_what, section, change) => {
    const store = await withQueue();
    await house.stop();
    damage(store, section, change);
    await expect(startEngine({ store })).rejects.toThrow(StoreDamage);
    await expect(startEngine({ store })).rejects.toThrow(/"[0-9a-fx]+/);
    house = await startEngine();
  });

  it('in the body of a queued message is noticed and counted; the message is not delivered', async () => {
    const store = await withQueue();
    damage(store, SECTION.message, (key, value) => {
      const bytes = Uint8Array.from(value);
      bytes[bytes.length - 6] = (bytes[bytes.length - 6] as number) ^ 1;
      return [key, bytes];
    });
    const back = house.session(true);
    await back.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    const [number] = back.durable?.queue.keys() ?? [];
    expect(back.context.queuedPublication(number as number, null)).toBeNull();
    expect(counted('queue_damaged_total')).toBe(1);
    expect(back.context.queuedPublication(12_345, null)).toBeNull();
    expect(counted('queue_damaged_total')).toBe(1);
  });

  it('in a record fails what needs it and nothing else', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('bad', 1);
    await session.set('good', 1);
    damage(house.store, SECTION.record, (key, value) => (key === 'rbad' ? [key, value.subarray(1)] : [key, value]));
    await refusing(house.session());
    await refused(); // And with it what was kept in memory.
    for (const reply of [await session.get('bad'), await session.find('*'), await session.removeAll('b*')]) {
      expect(reply.error?.code).toBe('STORE_FAILED');
      expect(REQUEST_ERRORS.STORE_FAILED.retry).toBe(true);
    }
    expect((await session.find('g*')).entries).toHaveLength(1);
    expect([session.inFlight, session.backlog]).toEqual([0, null]);
  });
});

describe('a record that is damaged on disk', () => {
  const damaged = (path: string): void => {
    const key = SECTION.record + path;
    house.store.disk.rows.set(key, (house.store.disk.rows.get(key) as Uint8Array).subarray(1));
  };

  it('can be replaced and removed, but not by who needs to know what it is', async () => {
    house = await startEngine({ cacheBytes: 0 });
    const session = house.session();
    const hearer = house.session();
    await hearer.subscribe('*');
    for (const path of ['a', 'b', 'c']) await session.set(path, { n: 1 });
    for (const path of ['a', 'b', 'c']) damaged(path);
    const query = parseQuery({ criteria: { n: 1 } });
    for (const reply of [
      await session.set('a', { m: 1 }, { merge: true }),
      await session.set('a', 'n', { increment: { name: 'n', by: 1 } }),
      await session.set('a', 1, { condition: 'present' }),
      await session.set('a', 1, { expect: 1 }),
      await session.remove('a', 'criteria', { query }),
      await session.remove('a', 'expect', { expect: 1 }),
    ]) {
      expect(reply.error?.code).toBe('STORE_FAILED');
    }
    expect(counted('records_damaged_total')).toBe(0);
    house.clock.time += 1_000;
    const { entry } = await session.set('a', 2);
    expect([entry?.created, entry?.revision]).toEqual([house.clock.time, 4]);
    expect((await session.remove('b')).count).toBe(1);
    const operations = [session.setRequest('c', 3), session.setRequest('c', { d: 4 }, { merge: true })];
    expect((await session.submit(new TransactionRequest(session, 't', operations, null))).revisions).toEqual([6, 7]);
    expect((await session.find('*')).entries?.map((one) => [one.path, one.payload.value()])).toEqual([
      ['a', 2],
      ['c', { value: 3, d: 4 }],
    ]);
    expect(hearer.log.slice(-4)).toEqual(['set a 2', 'remove b null', 'set c 3', 'set c {"value":3,"d":4}']);
    expect(counted('records_damaged_total')).toBe(3);
    expect(house.counters.gauges.get('records')?.read()).toBe(2);
  });

  it('that a subscription asks for to begin with fails that, and nothing of it stays', async () => {
    house = await startEngine({ cacheBytes: 0 });
    const session = house.session();
    await session.set('a', 1);
    damaged('a');
    expect((await session.subscribe('a', 'glob', {}, true)).error?.code).toBe('STORE_FAILED');
    expect(house.counters.gauges.get('subscriptions')?.read()).toBe(0);
    await session.set('a', 2);
    expect(session.heard).toHaveLength(0);
    expect((await session.subscribe('a', 'glob', {}, true)).entries).toHaveLength(1);
  });

  it('leaves no deadline behind that would be looked at for ever', async () => {
    house = await startEngine({ cacheBytes: 0 });
    const session = house.session();
    for (const path of ['kept', 'gone', 'later']) await session.set(path, 1, { lifetimeMs: 1_000 });
    for (const path of ['kept', 'gone', 'later']) damaged(path);
    await session.set('kept', 2);
    await session.remove('gone');
    await session.set('later', 2, { lifetimeMs: 5_000 });
    const { writes } = house.store;
    house.clock.time += 1_000;
    vi.advanceTimersByTime(1_000);
    const deadlines = (): number => house.store.dump().filter(([key]) => key.startsWith(SECTION.expiry)).length;
    await until(() => deadlines() === 1);
    await settled();
    expect(house.store.writes - writes).toBe(1);
    expect((await session.find('*')).entries?.map(({ path }) => path)).toEqual(['kept', 'later']);
    house.clock.time += 4_000;
    vi.advanceTimersByTime(1_000);
    await until(() => deadlines() === 0);
    expect((await session.find('*')).entries?.map(({ path }) => path)).toEqual(['kept']);
  });
});

describe('damage on disk of a record whose time is over', () => {
  it('keeps no other one from going, nor the record itself', async () => {
    house = await startEngine();
    const session = house.session();
    const hearer = house.session();
    await hearer.subscribe('*');
    for (const path of ['bad', 'good']) await session.set(path, 1, { lifetimeMs: 1_000 });
    const [, bytes] = house.store.dump().find(([key]) => key === 'rbad') ?? [];
    house.store.disk.rows.set('rbad', (bytes as Uint8Array).subarray(1));
    await refusing(house.session());
    await refused(); // And with it what was kept in memory.
    house.clock.time += 1_000;
    vi.advanceTimersByTime(1_000);
    await until(() => counted('records_expired_total') === 2);
    expect(counted('records_damaged_total')).toBe(1);
    expect(hearer.log.filter((line) => line.startsWith('remove')).sort()).toEqual(['remove bad null', 'remove good null']);
    expect((await session.get('bad')).error).toBeNull();
    expect(house.store.dump().filter(([key]) => /^[rx]/.test(key))).toEqual([]);
    expect((await session.set('bad', 2)).error).toBeNull();
  });
});

it('a slice of a removal in which a record cannot be read takes nothing away', async () => {
  house = await startEngine({ cacheBytes: 0 });
  const session = house.session();
  for (const path of ['r/1', 'r/2', 'r/3']) await session.set(path, 1);
  house.store.scansHeld = true;
  const removal = session.removeAll('r/*');
  await until(() => house.store.reading === 1);
  house.store.held = true;
  void house.session().set('x', 1);
  await until(() => house.store.isWriting);
  house.store.releaseScans();
  await settled();
  const row = house.store.disk.rows.get('rr/2') as Uint8Array;
  house.store.disk.rows.set('rr/2', row.subarray(1));
  house.store.release();
  expect((await removal).error?.code).toBe('STORE_FAILED');
  house.store.disk.rows.set('rr/2', row);
  expect((await session.find('r/*')).entries).toHaveLength(3);
});

it('a will takes the place of a record that is damaged on disk', async () => {
  house = await startEngine({ cacheBytes: 0 });
  const OPEN = { type: 'open', key: 'user/client', expiryMs: SESSION_EXPIRY_MS } as const;
  const leaver = house.session(true);
  await leaver.durably({ ...OPEN, clean: false });
  await leaver.durably({ type: 'will', will: { ...STATUS, delayMs: 60_000 } });
  await leaver.durably({ type: 'fireWill' });
  leaver.close(null);
  await house.session().set('status', 'there');
  const [, bytes] = house.store.dump().find(([key]) => key === 'rstatus') ?? [];
  house.store.disk.rows.set('rstatus', (bytes as Uint8Array).subarray(1));
  const back = house.session(true);
  const opened = await back.durably({ ...OPEN, clean: true });
  expect([opened.error, opened.present, opened.durable !== null]).toEqual([null, false, true]);
  expect((await back.get('status')).entry?.payload.value()).toBe('gone');
});

describe('what one turn takes', () => {
  it('is bounded in bytes', async () => {
    house = await startEngine();
    const session = house.session();
    const big = 'x'.repeat(1024 * 1024);
    const all = Array.from({ length: 16 }, (_, i) => session.set(`big/${i}`, big));
    await Promise.all(all);
    expect(house.store.writes).toBeGreaterThanOrEqual(4);
  });

  it('is bounded in queue entries', async () => {
    house = await startEngine();
    const keepers: TestSession[] = [];
    for (let i = 0; i < 300; i++) {
      const keeper = house.session(true);
      keeper.context.submit(durableRequest(keeper, 'open', `user/${i}`));
      keepers.push(keeper);
    }
    await until(() => keepers.every((keeper) => keeper.durable !== null));
    await Promise.all(keepers.map((keeper) => keeper.subscribe('t', 'mqtt', { qos: 1 })));
    const { writes } = house.store;
    const session = house.session();
    await Promise.all(Array.from({ length: 200 }, (_, i) => session.emit('t', i, { qos: 1 })));
    expect(house.store.writes - writes).toBeGreaterThanOrEqual(3);
    expect(keepers[299]?.durable?.queue.size).toBe(200);
  });

  it.each([false, true])('is bounded in copies, also of what waited behind an answer in slices: %s', async (waited) => {
    house = await startEngine();
    const hearers = Array.from({ length: 400 }, () => house.session());
    await Promise.all(hearers.map((hearer) => hearer.subscribe('t')));
    const session = house.session(true);
    const [hearer] = hearers as [TestSession];
    house.store.scansHeld = waited;
    if (waited) void session.find('*');
    const events = Array.from({ length: 500 }, (_, i) => session.emit('t', i));
    await settled();
    const { flushes } = hearer;
    house.store.releaseScans();
    await Promise.all(events);
    expect(hearer.heard).toHaveLength(500);
    if (waited) expect(hearer.flushes - flushes).toBeGreaterThanOrEqual(3);
    else expect(hearer.flushes).toBeGreaterThanOrEqual(5);
  });

  it('is bounded in bytes that are read', async () => {
    house = await startEngine();
    const session = house.session();
    const big = 'x'.repeat(1024 * 1024);
    for (let i = 0; i < 12; i++) await session.set(`big/${i}`, big);
    const { flushes } = session;
    await Promise.all(Array.from({ length: 12 }, (_, i) => session.get(`big/${i}`)));
    expect(session.flushes - flushes).toBeGreaterThanOrEqual(3);
  });

  it('is bounded in bytes that merges write, although they bring few', async () => {
    house = await startEngine({ cacheBytes: 64 * 1024 * 1024 });
    const session = house.session();
    await session.set('big', { text: 'x'.repeat(1024 * 1024) });
    const { writes } = house.store;
    await Promise.all(Array.from({ length: 24 }, (_, i) => session.set('big', { i }, { merge: true })));
    expect(house.store.writes - writes).toBeGreaterThanOrEqual(6);
  });

  it('is bounded in bytes of records at hand that are taken apart', async () => {
    house = await startEngine({ cacheBytes: 64 * 1024 * 1024 });
    const session = house.session();
    await session.set('big', { text: 'x'.repeat(1024 * 1024) });
    const { flushes } = session;
    const query = parseQuery({ criteria: { text: 'y' } });
    const found = await Promise.all(Array.from({ length: 12 }, (_, i) => session.get('big', `get ${i}`, { query })));
    expect(found.every(({ entry }) => entry === null)).toBe(true);
    const increment = { name: 'text', by: 1 };
    const counted = await Promise.all(Array.from({ length: 12 }, () => session.set('big', 'text', { increment })));
    expect(counted.every(({ error }) => error?.code === 'INVALID_REQUEST')).toBe(true);
    expect(session.flushes - flushes).toBeGreaterThanOrEqual(24);
  });

  it('by a removal is bounded in copies', async () => {
    house = await startEngine();
    const hearers = Array.from({ length: 200 }, () => house.session());
    await Promise.all(hearers.map((hearer) => hearer.subscribe('r/*')));
    const session = house.session();
    for (let i = 0; i < 300; i++) session.context.submit(session.setRequest(`r/${i}`, i));
    await until(() => session.inFlight === 0);
    const { writes } = house.store;
    expect((await session.removeAll('r/*')).count).toBe(300);
    expect(house.store.writes - writes).toBeGreaterThanOrEqual(4);
    expect(hearers[0]?.heard.filter(({ publication }) => publication.action === 'remove')).toHaveLength(300);
  });

  it('by a removal is bounded in bytes', async () => {
    house = await startEngine();
    const session = house.session();
    const big = 'x'.repeat(512 * 1024);
    for (let i = 0; i < 12; i++) await session.set(`big/${i}`, big);
    const { writes } = house.store;
    expect((await session.removeAll('big/*')).count).toBe(12);
    expect(house.store.writes - writes).toBeGreaterThanOrEqual(3);
  });
});

describe('answers in slices', () => {
  it('are read one after the other for each session, and few slices at a time in all', async () => {
    house = await startEngine();
    const greedy = house.session();
    await greedy.set('a', 1);
    house.store.scansHeld = true;
    const many = Array.from({ length: 50 }, () => greedy.find('*'));
    await settled();
    expect(house.store.reading).toBe(1);
    const others = Array.from({ length: 10 }, () => house.session());
    const all = others.map((other) => other.find('*'));
    await settled();
    expect(house.store.reading).toBe(2);
    house.store.releaseScans();
    for (const reply of await Promise.all([...many, ...all])) expect(reply.entries).toHaveLength(1);
    expect(house.store.mostReading).toBe(2);
  });

  it('show the moment at which they were asked for, however late they are read', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('a', 1);
    house.store.scansHeld = true;
    const first = session.find('*');
    const second = session.find('*');
    await settled();
    await session.set('b', 1);
    house.store.releaseScans();
    expect([(await first).entries?.length, (await second).entries?.length]).toEqual([1, 1]);
  });

  it('stop when their session is gone', async () => {
    house = await startEngine();
    const session = house.session();
    for (let i = 0; i < 1_200; i++) session.context.submit(session.setRequest(`p/${i}`, i));
    await until(() => session.replies.length === 1_200);
    house.store.scansHeld = true;
    for (let i = 0; i < 20; i++) void session.find('p/*');
    await until(() => house.store.reading === 1);
    const rows = counted('rows_scanned_total');
    session.close(null);
    house.store.releaseScans();
    await until(() => session.inFlight === 0);
    expect(counted('rows_scanned_total') - rows).toBeLessThanOrEqual(512);
  });

  it('end a connection for which more happens meanwhile than may wait, counted in bytes', async () => {
    house = await startEngine();
    const hearer = house.session(false, { ...OUTBOUND_LIMITS, slowBytes: 50_000, closeBytes: 100_000 });
    house.store.scansHeld = true;
    void hearer.subscribe('a*', 'glob', {}, true);
    await until(() => house.store.reading === 1);
    const writer = house.session();
    for (let i = 0; i < 20; i++) await writer.emit('a', 'x'.repeat(10_000));
    expect(hearer.closedWith?.code).toBe('SLOW_CONSUMER');
    house.store.releaseScans();
    await settled();
    expect(hearer.inFlight).toBe(0);
  });
});

describe('initial values that are being read', () => {
  it('of several subscriptions let no more wait behind them than those of one', async () => {
    house = await startEngine();
    const hearer = house.session(false, { ...OUTBOUND_LIMITS, slowBytes: 50_000, closeBytes: 100_000 });
    house.store.scansHeld = true;
    for (const pattern of ['a*', 'b*']) void hearer.subscribe(pattern, 'glob', {}, true);
    await until(() => house.store.reading === 1);
    const writer = house.session();
    for (let i = 0; i < 14; i++) await writer.emit(i % 2 === 0 ? 'a' : 'b', 'x'.repeat(10_000));
    expect(hearer.closedWith?.code).toBe('SLOW_CONSUMER');
  });

  it('cost others little, however many there are', async () => {
    house = await startEngine();
    const greedy = house.session();
    await Promise.all(Array.from({ length: 900 }, () => greedy.subscribe('a')));
    house.store.scansHeld = true;
    for (let i = 0; i < 900; i++) void greedy.subscribe(`b/${i}/*`, 'glob', {}, true);
    await until(() => house.store.reading === 1);
    const writer = house.session();
    const begun = process.cpuUsage();
    for (let i = 0; i < 20; i++) await writer.emit('a', i);
    expect(process.cpuUsage(begun).user).toBeLessThan(3_000_000);
    expect(greedy.heard).toHaveLength(18_000);
  });
});

describe('a slow consumer', () => {
  it('that stays slow is closed after its time although nothing more happens', async () => {
    house = await startEngine();
    const slow = house.session(false, { ...OUTBOUND_LIMITS, slowBytes: 1_000, slowMs: 10_000 });
    await slow.subscribe('a');
    slow.stalled = true;
    await house.session().emit('a', 'x'.repeat(2_000));
    house.clock.mono += 9_999;
    vi.advanceTimersByTime(1_000);
    expect(slow.closed).toBe(false);
    house.clock.mono += 1;
    vi.advanceTimersByTime(1_000);
    expect(slow.closedWith?.code).toBe('SLOW_CONSUMER');
    expect(counted('slow_consumers_closed_total')).toBe(1);
  });

  it('whose adapter throws while it is closed ends all the same', async () => {
    house = await startEngine();
    const slow = house.session(false, { ...OUTBOUND_LIMITS, slowBytes: 1_000 });
    await slow.subscribe('a');
    slow.stalled = true;
    slow.broken.add('close');
    await house.session().emit('a', 'x'.repeat(2_000));
    house.clock.mono += 20_000;
    vi.advanceTimersByTime(1_000);
    expect(slow.closed).toBe(true);
  });
});

describe('a full queue of a durable session', () => {
  it('is logged once until it has room again', async () => {
    const lines: string[] = [];
    const log = { ...SILENT, warn: (_fields: object, text: string) => void lines.push(text) };
    house = await startEngine({ log, queue: { ...QUEUE_LIMITS, maxMessages: 2 } });
    const keeper = house.session(true);
    await keeper.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    await keeper.subscribe('t', 'mqtt', { qos: 1 });
    const writer = house.session();
    for (let i = 0; i < 5; i++) await writer.emit('t', i, { qos: 1 });
    expect([counted('queue_dropped_total'), lines.length]).toEqual([3, 1]);
    const [number] = keeper.durable?.queue.keys() ?? [];
    await keeper.durably({ type: 'acknowledge', number: number as number });
    for (let i = 0; i < 3; i++) await writer.emit('t', i, { qos: 1 });
    expect([counted('queue_dropped_total'), lines.length]).toEqual([5, 2]);
  });
});

describe('an overloaded gateway', () => {
  it('B9 goes on with who asks for little, however much others wait for', async () => {
    house = await startEngine({ inbound: { ...INBOUND_LIMITS, sessionMessages: 8, messages: 16, fewMessages: 4 } });
    const [other, ...crowd] = Array.from({ length: 4 }, () => house.session()) as [TestSession, ...TestSession[]];
    await other.set('r/1', 1);
    house.store.scansHeld = true;
    const reads = crowd.flatMap((session) => Array.from({ length: 8 }, () => session.find('r/*')));
    await until(() => unsettled() > 16 && crowd.every(({ paused }) => paused));
    for (let n = 0; n < 5; n++) {
      const answers = await Promise.all([other.set('r/1', n), other.get('r/1')]);
      expect(answers.map(({ error }) => error)).toEqual([null, null]);
      expect(other.paused).toBe(false);
    }
    house.store.releaseScans();
    expect((await Promise.all(reads)).map(({ error }) => error)).toEqual(reads.map(() => null));
    await until(() => !crowd.some(({ paused }) => paused));
  });

  it('lets paused sessions go on one by one while there is room', async () => {
    house = await startEngine({ inbound: { ...INBOUND_LIMITS, messages: 8, fewMessages: 0 } });
    const sessions = Array.from({ length: 20 }, () => house.session());
    const flood = (session: TestSession): void => {
      for (let i = 0; i < 8 && !session.paused; i++) session.context.submit(session.setRequest('a', i, { store: false }));
    };
    let most = 0;
    for (const session of sessions) {
      const resume = session.resumeReading.bind(session);
      let left = 3;
      session.resumeReading = () => {
        resume();
        left -= 1;
        if (left > 0) flood(session);
        most = Math.max(most, unsettled());
      };
      session.context.submit(session.setRequest('a', 0, { store: false }));
    }
    for (const session of sessions) if (!session.paused) flood(session);
    await until(() => sessions.every((session) => session.inFlight === 0 && !session.paused));
    expect(most).toBeLessThanOrEqual(8);
  });
});

/** Requests of a connection that ends: nobody waits for their answers. */
function durableRequest(session: TestSession, what: 'fireWill' | 'dropWill' | 'open', key = ''): Parameters<TestSession['submit']>[0] {
  if (what === 'open') return session.durableRequest({ type: 'open', key, clean: false, expiryMs: SESSION_EXPIRY_MS });
  return session.durableRequest(what === 'fireWill' ? { type: 'fireWill' } : { type: 'will', will: null });
}
