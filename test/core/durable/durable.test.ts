import { afterEach, describe, expect, it } from 'vitest';
import { Payload } from '../../../src/core/data/payload.js';
import { QUEUE_LIMITS, SESSION_EXPIRY_MS } from '../../../src/core/durable/durable-session.js';
import { type Reply, STORED, UNSTORED } from '../../../src/core/message.js';
import { formats, GateStore, type Harness, startEngine, type TestSession } from '../../support/core-harness.js';
import { startSecure } from '../../support/secure-harness.js';
import { keptLog } from '../../support/silent-log.js';

let house: Harness;
afterEach(async () => {
  await house.stop();
});

async function open(key = 'user/client', clean = false): Promise<{ session: TestSession; present: boolean }> {
  const session = house.session(true);
  const reply = await session.durably({ type: 'open', key, clean, expiryMs: clean ? 0 : SESSION_EXPIRY_MS });
  return { session, present: reply.present };
}

const bodies = (session: TestSession): unknown[] =>
  [...(session.durable?.queue.keys() ?? [])].map((number) => session.context.queuedPublication(number, null)?.payload?.value());

describe('a durable session', () => {
  it('is new once and present afterwards, also after a restart', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    expect((await open()).present).toBe(false);
    expect((await open()).present).toBe(true);
    await house.stop();
    house = await startEngine({ store });
    expect((await open()).present).toBe(true);
  });

  it('queues what matches while it is away, in order, over a restart', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    const { session } = await open();
    await session.subscribe('t/#', 'mqtt', { qos: 1 });
    session.close(null);
    const writer = house.session();
    for (let i = 0; i < 5; i++) await writer.emit('t/x', i, { qos: 1 });
    await writer.emit('t/x', 'lost', { qos: 0 });
    await writer.set('t/y', 'stored');
    await house.stop();
    house = await startEngine({ store });
    const back = await open();
    expect(bodies(back.session)).toEqual([0, 1, 2, 3, 4, 'stored']);
    expect([...(back.session.durable?.queue.values() ?? [])].map(({ packetId }) => packetId)).toEqual([1, 2, 3, 4, 5, 6]);
    const [first] = back.session.durable?.queue.keys() ?? [];
    await back.session.durably({ type: 'acknowledge', number: first as number });
    expect(bodies(back.session)).toEqual([1, 2, 3, 4, 'stored']);
    const hearer = house.session();
    await hearer.emit('t/z', 'live', { qos: 1 });
    expect(back.session.heard.map(({ publication }) => publication.path)).toEqual(['t/z']);
  });

  it('keeps one body for many queues and drops it with the last', async () => {
    house = await startEngine();
    const sessions = await Promise.all(['a', 'b', 'c'].map(async (key) => (await open(key)).session));
    for (const session of sessions) await session.subscribe('t', 'mqtt', { qos: 1 });
    await house.session().emit('t', 'x', { qos: 1 });
    const count = (section: string): number => house.store.dump().filter(([key]) => key.startsWith(section)).length;
    expect([count('q'), count('b')]).toEqual([3, 1]);
    for (const session of sessions) {
      const [number] = session.durable?.queue.keys() ?? [];
      await session.durably({ type: 'acknowledge', number: number as number });
    }
    expect([count('q'), count('b')]).toEqual([0, 0]);
  });

  it('gets the highest QoS of overlapping filters, once, and never more than was published', async () => {
    house = await startEngine();
    const { session } = await open();
    await session.subscribe('t/#', 'mqtt', { qos: 1 });
    await session.subscribe('t/x', 'mqtt', { qos: 2 });
    await house.session().emit('t/x', 1, { qos: 2 });
    await house.session().emit('t/x', 2, { qos: 1 });
    expect([...(session.durable?.queue.values() ?? [])].map(({ qos }) => qos)).toEqual([2, 1]);
  });

  it('B3 is not made when there are as many as may be, until one has gone', async () => {
    const log = keptLog();
    house = await startEngine({ queue: { ...QUEUE_LIMITS, maxSessions: 2 }, log });
    for (const key of ['a', 'b']) await open(key);
    const ask = (key: string, clean = false): Promise<Reply> =>
      house.session(true).durably({ type: 'open', key, clean, expiryMs: SESSION_EXPIRY_MS });
    for (let i = 0; i < 3; i++) expect((await ask('c')).error?.code).toBe('LIMIT_EXCEEDED');
    expect(house.counters.counters.get('durable_sessions_refused_total')?.value).toBe(3);
    expect(log.lines.filter(({ text }) => text.includes('queue.maxSessions'))).toHaveLength(1);
    // What is there may be resumed and begun anew, and whoever wants nothing kept is not refused.
    expect((await ask('a')).present).toBe(true);
    expect((await ask('b', true)).error).toBeNull();
    expect((await open('b', true)).session.durable).toBeNull();
    expect((await ask('c')).error).toBeNull();
  });

  it('B3 of one user are at most half of those that may be', async () => {
    const secure = await startSecure({ queue: { ...QUEUE_LIMITS, maxSessions: 4 } });
    house = secure;
    for (const name of ['ann', 'ben']) await secure.user(name, {});
    const ask = (name: string, key: string): Promise<Reply> =>
      secure.login(name, { ordered: true }).durably({ type: 'open', key, clean: false, expiryMs: SESSION_EXPIRY_MS });
    for (const key of ['1', '2']) expect((await ask('ann', key)).error).toBeNull();
    expect((await ask('ann', '3')).error?.code).toBe('LIMIT_EXCEEDED');
    expect((await ask('ben', '4')).error).toBeNull();
  });

  it('B3 that subscribe to the same again and again keep what they subscribe to now alone', async () => {
    house = await startEngine();
    const { session } = await open();
    for (let n = 0; n < 10; n++) expect((await session.subscribe('t', 'mqtt', { qos: 1 })).error).toBeNull();
    expect([session.subscriptions.size, session.durable?.subscriptions.size]).toEqual([1, 1]);
    await house.session().emit('t', 'x', { qos: 1 });
    expect(session.durable?.queue.size).toBe(1);
  });

  it('B3 refuses and counts what a full queue cannot take', async () => {
    house = await startEngine({ queue: { ...QUEUE_LIMITS, maxMessages: 3, maxBytes: 1e6 } });
    const { session } = await open();
    await session.subscribe('t', 'mqtt', { qos: 1 });
    for (let i = 0; i < 5; i++) await house.session().emit('t', i, { qos: 1 });
    expect(bodies(session)).toEqual([0, 1, 2]);
    expect(house.counters.counters.get('queue_dropped_total')?.value).toBe(2);
  });

  it.each(['newest', 'oldest'] as const)('B3 tells once of a queue that stays full (%s go)', async (overflow) => {
    const log = keptLog();
    house = await startEngine({ queue: { ...QUEUE_LIMITS, maxMessages: 4, overflow }, log });
    const { session } = await open();
    await session.subscribe('t', 'mqtt', { qos: 1 });
    const fill = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await house.session().emit('t', i, { qos: 1 });
    };
    const acknowledge = async (count: number): Promise<void> => {
      const numbers = [...(session.durable?.queue.keys() ?? [])].slice(0, count);
      for (const number of numbers) await session.durably({ type: 'acknowledge', number });
    };
    const told = (): number => log.lines.filter(({ level }) => level === 'warn').length;
    await fill(6);
    expect(told()).toBe(1);
    await acknowledge(1);
    await fill(3);
    expect(told()).toBe(1);
    await acknowledge(2);
    await fill(4);
    expect(told()).toBe(2);
    expect(log.lines.at(-1)?.text).toContain(overflow === 'newest' ? 'messages for it are dropped' : 'its oldest messages are dropped');
  });

  it('is taken over by a second connection with the same key', async () => {
    house = await startEngine();
    const first = (await open()).session;
    await first.subscribe('t', 'mqtt', { qos: 1 });
    const second = (await open()).session;
    expect(first.closedWith?.code).toBe('TAKEN_OVER');
    await house.session().emit('t', 1, { qos: 1 });
    expect(second.heard).toHaveLength(1);
    expect(first.heard).toHaveLength(0);
  });

  it('leaves nothing behind after a clean start', async () => {
    house = await startEngine();
    const { session } = await open();
    await session.subscribe('t', 'mqtt', { qos: 1 });
    session.close(null);
    await house.session().emit('t', 1, { qos: 1 });
    expect((await open('user/client', true)).present).toBe(false);
    expect(house.store.dump().filter(([key]) => /^[sqbw]/.test(key))).toEqual([]);
    expect((await open()).present).toBe(false);
  });

  it('A8 remembers exactly-once numbers and released messages over a restart', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    const { session } = await open();
    await session.subscribe('t', 'mqtt', { qos: 2 });
    await session.submit(session.setRequest('t', 1, { ...UNSTORED, qos: 2 }, 1, 9));
    const [number] = session.durable?.queue.keys() ?? [];
    await session.durably({ type: 'release', number: number as number });
    await house.stop();
    house = await startEngine({ store });
    const back = (await open()).session;
    expect((await back.submit(back.setRequest('t', 1, { ...UNSTORED, qos: 2 }, 1, 9))).repeated).toBe(true);
    expect([...(back.durable?.queue.values() ?? [])].map(({ state }) => state)).toEqual(['released']);
  });
});

describe('a will', () => {
  const will = { path: 'status', payload: Payload.fromBytes(Buffer.from('gone'), formats.raw), options: STORED, remove: false, delayMs: 0 };

  it('is published once when it fires, and not after it was dropped', async () => {
    house = await startEngine();
    const session = house.session(true);
    const hearer = house.session();
    await hearer.subscribe('status');
    await session.durably({ type: 'will', will });
    await session.durably({ type: 'fireWill' });
    await session.durably({ type: 'fireWill' });
    expect(hearer.heard.map(({ publication }) => publication.payload?.value())).toEqual(['gone']);
    await session.durably({ type: 'will', will });
    await session.durably({ type: 'will', will: null });
    await session.durably({ type: 'fireWill' });
    expect(hearer.heard).toHaveLength(1);
  });

  it('A8 left behind by a crash is published at the next start, once', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    const session = house.session(true);
    await session.durably({ type: 'will', will });
    await house.stop();
    house = await startEngine({ store });
    expect((await house.session().get('status')).entry?.payload.value()).toBe('gone');
    await house.session().set('status', 'back');
    await house.stop();
    house = await startEngine({ store });
    expect((await house.session().get('status')).entry?.payload.value()).toBe('back');
  });
});

describe('a damaged row', () => {
  it.each(['s', 'q', 'w'])('of section %s stops the start with a line that names it', async (section) => {
    const store = new GateStore();
    house = await startEngine({ store });
    const { session } = await open();
    await session.subscribe('t', 'mqtt', { qos: 1 });
    await session.durably({
      type: 'will',
      will: { path: 'w', payload: Payload.fromBytes(Buffer.from('x'), formats.raw), options: STORED, remove: false, delayMs: 0 },
    });
    await house.session().emit('t', 1, { qos: 1 });
    await house.stop();
    const [key, row] = store.dump().find(([at]) => at.startsWith(section)) as [string, Uint8Array];
    row[0] = (row[0] as number) ^ 1;
    await expect(startEngine({ store })).rejects.toThrow(key.slice(1));
  });

  it('of a queued body is counted and told as gone, so that the queue goes on', async () => {
    house = await startEngine();
    const { session } = await open();
    await session.subscribe('t', 'mqtt', { qos: 1 });
    await house.session().emit('t', 1, { qos: 1 });
    const [, row] = house.store.dump().find(([at]) => at.startsWith('b')) as [string, Uint8Array];
    row[8] = (row[8] as number) ^ 1;
    const [number] = session.durable?.queue.keys() ?? [];
    expect(session.context.queuedPublication(number as number, null)).toBeNull();
    expect(house.counters.counters.get('queue_damaged_total')?.value).toBe(1);
  });
});
