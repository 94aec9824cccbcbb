// What time does to durable sessions: they expire, their queues age, and wills wait for their delay.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Meta } from '../../../src/core/data/meta.js';
import { Payload } from '../../../src/core/data/payload.js';
import { QUEUE_LIMITS } from '../../../src/core/durable/durable-session.js';
import { STORED, type Will } from '../../../src/core/message.js';
import {
  formats,
  GateStore,
  type Harness,
  type HarnessOptions,
  settled,
  startEngine,
  type TestSession,
  until,
} from '../../support/core-harness.js';

let house: Harness;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});

afterEach(async () => {
  await house.stop();
  vi.useRealTimers();
});

async function open(expiryMs: number, clean = false): Promise<{ session: TestSession; present: boolean }> {
  const session = house.session(true);
  const reply = await session.durably({ type: 'open', key: 'user/client', clean, expiryMs });
  return { session, present: reply.present };
}

async function away(session: TestSession): Promise<void> {
  session.close(null);
  await until(() => house.counters.gauges.get('requests_unsettled')?.read() === 0);
}

function pass(ms: number): void {
  house.clock.time += ms;
}

async function sweep(): Promise<void> {
  vi.advanceTimersByTime(1_000);
  await until(() => house.counters.gauges.get('requests_unsettled')?.read() === 0);
}

async function restart(options: HarnessOptions = {}): Promise<void> {
  const { store, clock } = house;
  await house.stop();
  house = await startEngine({ store, time: clock.time, ...options });
}

const rows = (): string[] =>
  house.store
    .dump()
    .map(([key]) => key)
    .filter((key) => /^[sqbw]/.test(key));
const bodies = (session: TestSession): unknown[] =>
  [...(session.durable?.queue.keys() ?? [])].map((number) => session.context.queuedPublication(number, null)?.payload?.value());

describe('a durable session', () => {
  it('outlives its connection by its expiry, and no longer', async () => {
    house = await startEngine();
    await away((await open(1_000)).session);
    pass(999);
    await sweep();
    const back = await open(1_000);
    expect(back.present).toBe(true);
    await away(back.session);
    pass(1_000);
    expect((await open(1_000)).present).toBe(false);
  });

  it('is asked to end once, however long the disk takes', async () => {
    house = await startEngine();
    for (const key of ['user/a', 'user/b', 'user/c']) {
      const session = house.session(true);
      await session.durably({ type: 'open', key, clean: false, expiryMs: 1_000 });
      await away(session);
    }
    pass(1_000);
    house.store.held = true;
    const writer = house.session();
    const written = writer.set('a', 1);
    await until(() => house.store.isWriting);
    for (let seconds = 0; seconds < 5; seconds++) {
      vi.advanceTimersByTime(1_000);
      await settled();
    }
    expect(house.counters.gauges.get('requests_unsettled')?.read()).toBe(1 + 3);
    house.store.release();
    await written;
    await until(() => house.counters.counters.get('durable_sessions_expired_total')?.value === 3);
  });

  it('is swept with all that was kept of it', async () => {
    house = await startEngine();
    const { session } = await open(1_000);
    await session.subscribe('t', 'mqtt', { qos: 1 });
    await away(session);
    await house.session().emit('t', 1, { qos: 1 });
    pass(1_000);
    await sweep();
    expect(rows()).toEqual([]);
    expect(house.counters.counters.get('durable_sessions_expired_total')?.value).toBe(1);
  });

  it('that is connected does not expire', async () => {
    house = await startEngine();
    const { session } = await open(1_000);
    pass(1_000_000);
    await sweep();
    await session.subscribe('t', 'mqtt', { qos: 1 });
    await house.session().emit('t', 1, { qos: 1 });
    expect(session.heard).toHaveLength(1);
  });

  it('with expiry 0 is nothing new, and ends with its connection if it was resumed', async () => {
    house = await startEngine();
    expect((await open(0)).session.durable).toBeNull();
    expect(rows()).toEqual([]);
    await away((await open(1_000)).session);
    const back = await open(0);
    expect([back.present, back.session.durable === null]).toEqual([true, false]);
    await away(back.session);
    expect(rows()).toEqual([]);
  });

  it('can be clean and kept: what was before is dropped', async () => {
    house = await startEngine();
    const first = (await open(1_000)).session;
    await first.subscribe('t', 'mqtt', { qos: 1 });
    const second = await open(1_000, true);
    expect(second.present).toBe(false);
    expect(first.closedWith?.code).toBe('TAKEN_OVER');
    expect(second.session.durable?.subscriptions.size).toBe(0);
    await away(second.session);
    expect((await open(1_000)).present).toBe(true);
  });

  it('changes its expiry before it leaves', async () => {
    house = await startEngine();
    const { session } = await open(1_000);
    await session.durably({ type: 'expiry', expiryMs: 5_000 });
    await away(session);
    pass(4_999);
    expect((await open(1_000)).present).toBe(true);
  });

  it('counts its absence over a restart, and from the restart on when the gateway was cut off', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    await away((await open(2_000)).session);
    pass(1_000);
    await restart();
    pass(1_000);
    expect((await open(2_000)).present).toBe(false);
    await restart();
    pass(1_999);
    expect((await open(2_000)).present).toBe(true);
  });

  it('of a connection that was gone before it was opened still expires', async () => {
    house = await startEngine();
    house.store.held = true;
    const session = house.session(true);
    session.context.submit(session.durableRequest({ type: 'open', key: 'user/client', clean: false, expiryMs: 1_000 }));
    await until(() => house.store.writes === 1);
    session.close(null);
    house.store.release();
    await until(() => house.counters.gauges.get('requests_unsettled')?.read() === 0);
    pass(1_000);
    await sweep();
    expect(rows()).toEqual([]);
  });

  it('taken over by one that does not outlive its connection is not dropped by the one before', async () => {
    house = await startEngine();
    const first = (await open(1_000)).session;
    const second = (await open(0)).session;
    expect(first.closed).toBe(true);
    await until(() => house.counters.gauges.get('requests_unsettled')?.read() === 0);
    expect(second.durable?.dropped).toBe(false);
  });
});

describe('a queued message', () => {
  async function queued(options: HarnessOptions = {}): Promise<TestSession> {
    house = await startEngine(options);
    const { session } = await open(1e9);
    await session.subscribe('t', 'mqtt', { qos: 1, identifier: 7, asPublished: true });
    await session.subscribe('#', 'mqtt', { qos: 1, identifier: 300_000 });
    await away(session);
    pass(1);
    return house.session();
  }

  it('is dropped when its own time is over, or when it waited too long', async () => {
    const writer = await queued({ queue: { ...QUEUE_LIMITS, maxAgeMs: 10_000 } });
    await writer.emit('t', 'short', { qos: 1, lifetimeMs: 1_000 });
    await writer.emit('t', 'long', { qos: 1 });
    pass(1_000);
    await sweep();
    expect(house.counters.counters.get('queue_overdue_total')?.value).toBe(1);
    expect(bodies((await open(1e9)).session)).toEqual(['long']);
  });

  it('that was under way when others were dropped is looked at again', async () => {
    house = await startEngine({ queue: { ...QUEUE_LIMITS, maxAgeMs: 10_000 } });
    const { session } = await open(1e9);
    await session.subscribe('t', 'mqtt', { qos: 1 });
    await house.session().emit('t', 'under way', { qos: 1 });
    for (const message of session.durable?.queue.values() ?? []) message.sent = true;
    pass(10_000);
    await sweep();
    expect(bodies(session)).toEqual(['under way']);
    await away(session);
    await sweep();
    expect(house.counters.counters.get('queue_overdue_total')?.value).toBe(1);
    expect(rows().filter((key) => /^[qb]/.test(key))).toEqual([]);
  });

  it('is dropped at the latest when its session is resumed', async () => {
    const writer = await queued({ queue: { ...QUEUE_LIMITS, maxAgeMs: 10_000 } });
    await writer.emit('t', 'old', { qos: 1 });
    pass(10_000);
    await writer.emit('t', 'new', { qos: 1 });
    expect(bodies((await open(1e9)).session)).toEqual(['new']);
    expect(rows().filter((key) => key.startsWith('b'))).toHaveLength(1);
  });

  it('keeps its deadline, its meta and the numbers of its subscriptions over a restart', async () => {
    const writer = await queued();
    const meta = new Meta('text/plain', null, Buffer.from([1, 2]), true, [['a', 'b']]);
    await writer.emit('t', 'x', { qos: 1, lifetimeMs: 60_000, meta });
    const { time } = house.clock;
    await restart();
    const { session } = await open(1e9);
    const [message] = session.durable?.queue.values() ?? [];
    expect(message).toMatchObject({ identifiers: [7, 300_000], asPublished: true, time, expires: time + 60_000, sent: false });
    const publication = session.context.queuedPublication(message?.number ?? 0, null);
    expect([publication?.expires, publication?.meta?.bytes()]).toEqual([time + 60_000, meta.bytes()]);
  });

  it('that says that a record has expired is as old as that', async () => {
    const writer = await queued({ queue: { ...QUEUE_LIMITS, maxAgeMs: 10_000 } });
    await writer.set('t', 'x', { qos: 0, lifetimeMs: 1_000 });
    pass(1_000);
    await sweep();
    await sweep();
    const { session } = await open(1e9);
    const [message] = session.durable?.queue.values() ?? [];
    expect(message?.time).toBe(house.clock.time);
  });

  it('that was handed out before a restart counts as a repetition, one that was not or came later does not', async () => {
    house = await startEngine();
    const { session } = await open(1e9);
    await session.subscribe('t', 'mqtt', { qos: 1 });
    await house.session().emit('t', 'before', { qos: 1 });
    for (const message of session.durable?.queue.values() ?? []) message.sent = true;
    await house.session().emit('t', 'held back', { qos: 1 });
    pass(1);
    await away(session);
    pass(1);
    await house.session().emit('t', 'after', { qos: 1 });
    await restart();
    const sent = ({ durable }: TestSession): boolean[] => [...(durable?.queue.values() ?? [])].map((message) => message.sent);
    expect(sent((await open(1e9)).session)).toEqual([true, false, false]);
    // Its connection is cut off: any may have been handed out.
    await restart();
    expect(sent((await open(1e9)).session)).toEqual([true, true, true]);
  });

  it('gives way to newer ones when the queue drops its oldest', async () => {
    const writer = await queued({ queue: { ...QUEUE_LIMITS, maxMessages: 3, overflow: 'oldest' } });
    for (let i = 0; i < 5; i++) await writer.emit('t', i, { qos: 1 });
    expect(bodies((await open(1e9)).session)).toEqual([2, 3, 4]);
    expect(house.counters.counters.get('queue_dropped_total')?.value).toBe(2);
  });

  it('larger than the whole queue is dropped itself', async () => {
    const writer = await queued({ queue: { ...QUEUE_LIMITS, maxBytes: 1_000, overflow: 'oldest' } });
    await writer.emit('t', 'small', { qos: 1 });
    await writer.emit('t', 'x'.repeat(2_000), { qos: 1 });
    expect(bodies((await open(1e9)).session)).toEqual(['small']);
  });
});

describe('a message for a session that is away', () => {
  it('is not its own will, if it does not want to hear itself', async () => {
    house = await startEngine();
    const { session } = await open(1e9);
    await session.subscribe('#', 'mqtt', { qos: 1, noLocal: true });
    const payload = Payload.fromBytes(Buffer.from('gone'), formats.raw);
    const options = { ...STORED, qos: 1 } as const;
    await session.durably({ type: 'will', will: { path: 'status', payload, options, remove: false, delayMs: 0 } });
    session.context.submit(session.durableRequest({ type: 'fireWill' }));
    await away(session);
    expect((await house.session().get('status')).entry?.payload.value()).toBe('gone');
    expect(bodies((await open(1e9)).session)).toEqual([]);
  });

  it.each([
    ['left behind by a crash', 0],
    ['that waited for its delay', 5_000],
  ])('is not its own will %s, if it does not want to hear itself', async (_what, delayMs) => {
    house = await startEngine();
    const { session } = await open(1e9);
    for (const noLocal of [true, false]) await session.subscribe(noLocal ? '#' : 'other/#', 'mqtt', { qos: 1, noLocal });
    const payload = Payload.fromBytes(Buffer.from('gone'), formats.raw);
    for (const [left, path] of [
      [session, 'status'],
      [house.session(true), 'other/status'],
    ] as const) {
      if (left !== session) await left.durably({ type: 'open', key: 'user/other', clean: false, expiryMs: 1e9 });
      await left.durably({ type: 'will', will: { path, payload, options: { ...STORED, qos: 1 }, remove: false, delayMs } });
    }
    await restart();
    await until(() => house.counters.gauges.get('requests_unsettled')?.read() === 0);
    pass(delayMs);
    await sweep();
    expect((await house.session().get('status')).entry?.payload.value()).toBe('gone');
    const back = (await open(1e9)).session;
    expect([...(back.durable?.queue.keys() ?? [])].map((number) => back.context.queuedPublication(number, null)?.path)).toEqual([
      'other/status',
    ]);
  });

  it('still says that it was to be stored when there was nothing to remove', async () => {
    house = await startEngine();
    const { session } = await open(1e9);
    await session.subscribe('#', 'mqtt', { qos: 1, asPublished: true });
    await away(session);
    await house.session().remove('t', 1, { qos: 1, publishMissing: true });
    await restart();
    const back = (await open(1e9)).session;
    const [number] = back.durable?.queue.keys() ?? [];
    expect(back.context.queuedPublication(number ?? 0, null)?.options.store).toBe(true);
  });
});

describe('a will with a delay', () => {
  const will: Will = {
    path: 'status',
    payload: Payload.fromBytes(Buffer.from('gone'), formats.raw),
    options: STORED,
    remove: false,
    delayMs: 5_000,
  };

  async function leave(expiryMs: number): Promise<void> {
    const { session } = await open(expiryMs);
    await session.durably({ type: 'will', will });
    session.context.submit(session.durableRequest({ type: 'fireWill' }));
    await away(session);
  }

  const status = async (): Promise<unknown> => (await house.session().get('status')).entry?.payload.value();

  it('is published when the delay is over, once', async () => {
    house = await startEngine();
    await leave(60_000);
    pass(4_999);
    await sweep();
    expect(await status()).toBeUndefined();
    pass(1);
    await sweep();
    expect(await status()).toBe('gone');
    await house.session().remove('status');
    pass(100_000);
    await sweep();
    expect(await status()).toBeUndefined();
    expect(rows()).toEqual([]);
  });

  it('is not published when the session is resumed before, also over a restart', async () => {
    house = await startEngine();
    await leave(60_000);
    await restart();
    await open(60_000);
    pass(10_000);
    await sweep();
    expect(await status()).toBeUndefined();
    expect(rows().filter((key) => key.startsWith('w'))).toEqual([]);
  });

  it('is published when the session ends before: by its expiry, or by a clean start', async () => {
    house = await startEngine();
    await leave(1_000);
    pass(1_000);
    await sweep();
    expect(await status()).toBe('gone');
    await house.session().remove('status');
    await leave(60_000);
    await open(60_000, true);
    expect(await status()).toBe('gone');
  });

  it('is published at once when nothing outlives the connection', async () => {
    house = await startEngine();
    await leave(0);
    expect(await status()).toBe('gone');
  });

  it('waits for its delay also after the gateway was cut off', async () => {
    house = await startEngine();
    const { session } = await open(60_000);
    await session.durably({ type: 'will', will });
    await restart();
    await until(() => house.counters.gauges.get('requests_unsettled')?.read() === 0);
    expect(await status()).toBeUndefined();
    pass(5_000);
    await sweep();
    expect(await status()).toBe('gone');
  });
});
