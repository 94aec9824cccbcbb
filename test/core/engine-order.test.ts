// Order under every way of waiting: for the disk, for an answer in slices, for a session's earlier requests.

import { afterEach, describe, expect, it } from 'vitest';
import { Payload } from '../../src/core/data/payload.js';
import { SESSION_EXPIRY_MS } from '../../src/core/durable/durable-session.js';
import { DataRequest, STORED, SubscribeRequest, UNSTORED } from '../../src/core/message.js';
import { parsePattern } from '../../src/core/paths/pattern.js';
import { formats, GateStore, type Harness, settled, startEngine, type TestSession, until } from '../support/core-harness.js';

let house: Harness;
afterEach(async () => {
  house.store.releaseScans();
  house.store.release();
  await house.stop();
});

/** A set that is being written until the store is released. */
async function committing(session: TestSession, path: string): Promise<void> {
  const { writes } = house.store;
  house.store.held = true;
  void session.set(path, 'committing', {}, `set ${path}`);
  await until(() => house.store.writes > writes);
}

const values = (session: TestSession): unknown[] => session.heard.map(({ publication }) => publication.payload?.value());

describe('an answer in slices', () => {
  it('holds back what already waited for the disk before what comes later', async () => {
    house = await startEngine();
    const session = house.session(true);
    await committing(session, 'x');
    house.store.scansHeld = true;
    void session.find('q/*', {}, 'find');
    void session.get('q/1', 'first');
    session.onFlush = () => {
      session.onFlush = null;
      void session.get('q/2', 'second');
    };
    await settled();
    house.store.release();
    await settled();
    house.store.releaseScans();
    await until(() => session.replies.length === 4);
    expect(session.log).toEqual(['set x', 'find', 'first', 'second'].map((id) => `reply ${id}`));
  });

  it('does not let through, when it ends, what waits for a removal of the same session', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('r/0', 1);
    house.store.scansHeld = true;
    const found = session.find('*');
    await settled();
    house.store.releaseSlice();
    await settled();
    const removed = session.removeAll('r/*');
    const read = session.get('r/0');
    await settled();
    house.store.releaseSlice();
    expect((await found).entries).toHaveLength(1);
    await settled();
    house.store.releaseScans();
    expect((await removed).count).toBe(1);
    expect((await read).entry).toBeNull();
  });

  it('comes before what other subscriptions of its session hear meanwhile of its paths', async () => {
    house = await startEngine();
    const session = house.session();
    const writer = house.session();
    await writer.set('t/1', 1);
    await session.subscribe('*', 'glob', {}, false, 'all');
    house.store.scansHeld = true;
    const begin = (pattern: string, id: string): Promise<unknown> => {
      const subscription = session.subscription(pattern);
      return session.submit(new SubscribeRequest('subscribe', session, id, subscription, subscription.pattern, null, 'path', true));
    };
    const first = begin('t/*', 'first');
    await settled();
    await writer.set('t/1', 2);
    await writer.set('u', 3);
    const second = begin('t/1*', 'second');
    await settled();
    await writer.set('t/1', 4);
    expect(session.log).toEqual(['reply all', 'set u 3']);
    house.store.releaseScans();
    await Promise.all([first, second]);
    await settled();
    const [two, four] = ['set t/1 2', 'set t/1 4'];
    expect(session.log.slice(2)).toEqual(['reply first', two, two, 'reply second', four, four, four]);
    await writer.set('t/1', 5);
    expect(session.log.slice(-3)).toEqual(Array(3).fill('set t/1 5'));
  });

  it('takes nothing of others with it when it is ended before it is answered', async () => {
    house = await startEngine();
    const session = house.session(false);
    const writer = house.session();
    await session.subscribe('*', 'glob', {}, false, 'all');
    house.store.scansHeld = true;
    const subscription = session.subscription('t/*', 'glob', {});
    const subscribed = session.submit(new SubscribeRequest('subscribe', session, 'on', subscription, subscription.pattern, null));
    await settled();
    await writer.set('t/1', 1);
    const ended = session.unsubscribe(subscription, 'off');
    await settled();
    await writer.set('t/1', 2);
    house.store.releaseScans();
    await Promise.all([subscribed, ended]);
    await settled();
    expect(values(session)).toEqual([1, 2]);
  });

  it('keeps what happens meanwhile in its place, and hears its own session’s later events', async () => {
    house = await startEngine();
    const session = house.session();
    await committing(session, 'a');
    const subscribed = session.subscribe('*', 'glob', {}, true, 'subscribe');
    const event = session.emit('b', 'event', {}, 'event');
    await settled();
    house.store.release();
    await Promise.all([subscribed, event]);
    expect((await subscribed).entries?.map(({ path }) => path)).toEqual(['a']);
    expect(values(session)).toEqual(['event']);
  });
});

describe('a change that is being committed', () => {
  const will = { path: 'status', payload: Payload.fromBytes(Buffer.from('gone'), formats.raw), options: STORED, remove: false, delayMs: 0 };

  it('by a will is not overtaken by an event of its path, nor read before it is stored', async () => {
    house = await startEngine();
    const hearer = house.session();
    await hearer.subscribe('status');
    const leaver = house.session(true);
    await leaver.durably({ type: 'will', will });
    const { writes } = house.store;
    house.store.held = true;
    void leaver.durably({ type: 'fireWill' });
    await until(() => house.store.writes > writes);
    const event = house.session().emit('status', 'event');
    const reader = house.session();
    const read = reader.get('status');
    await settled();
    expect([hearer.heard.length, reader.replies.length]).toEqual([0, 0]);
    house.store.release();
    await event;
    expect((await read).entry?.payload.value()).toBe('gone');
    expect(values(hearer)).toEqual(['gone', 'event']);
  });

  it('by a removal whose pattern has no wildcard is waited for', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('a', 1);
    const { writes } = house.store;
    house.store.held = true;
    void session.removeAll('a');
    await until(() => house.store.writes > writes);
    const reader = house.session();
    const read = reader.get('a');
    await settled();
    expect(reader.replies).toHaveLength(0);
    house.store.release();
    expect((await read).entry).toBeNull();
  });

  it('lets nothing overtake what is executed behind it, also where that changes no record', async () => {
    house = await startEngine();
    const hearer = house.session();
    await hearer.subscribe('event');
    const writer = house.session(true);
    await committing(writer, 'x');
    void writer.emit('event', 'first');
    void writer.set('refused', 1, { expect: 9 }, 'refused');
    void writer.remove('missing', 'missing');
    await settled();
    const reader = house.session();
    const event = reader.emit('event', 'second');
    for (const path of ['event', 'refused', 'missing']) void reader.get(path);
    void reader.subscribe('m*', 'glob', {}, true);
    await settled();
    expect([hearer.heard.length, reader.replies.length]).toEqual([0, 0]);
    house.store.release();
    await event;
    await until(() => reader.replies.length === 5);
    expect(values(hearer)).toEqual(['first', 'second']);
  });

  it('and what waits behind it is not overtaken, which is no more once it was executed', async () => {
    house = await startEngine();
    const keeper = house.session(true);
    await committing(house.session(), 'x');
    void keeper.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    void keeper.set('waits', 1);
    const reader = house.session();
    const read = reader.get('waits');
    await settled();
    expect(reader.replies).toHaveLength(0);
    house.store.release();
    expect((await read).entry?.payload.value()).toBe(1);
    await committing(house.session(), 'y');
    expect((await reader.get('waits')).entry?.payload.value()).toBe(1);
  });

  it('is heard once by who subscribes anew meanwhile and then ends the old subscription', async () => {
    house = await startEngine();
    const session = house.session(true);
    const old = session.subscription('t', 'mqtt', { qos: 1 });
    await session.submit(new SubscribeRequest('subscribe', session, 'old', old, null, null));
    await committing(house.session(), 't');
    const renewed = session.subscribe('t', 'mqtt', { qos: 1 }, false, 'new');
    const ended = session.unsubscribe(old, 'end');
    await settled();
    house.store.release();
    await Promise.all([renewed, ended]);
    expect(new Set(values(session))).toEqual(new Set(['committing']));
  });

  it('is heard by a durable session that subscribes anew in the same turn', async () => {
    house = await startEngine();
    const session = house.session(true);
    await session.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    await session.subscribe('t', 'mqtt', { qos: 1 });
    const writer = house.session();
    await committing(writer, 'x');
    void writer.set('t', 'same turn');
    const renewed = session.subscribe('t', 'mqtt', { qos: 1 });
    await settled();
    house.store.release();
    await renewed;
    expect(values(session)).toEqual(['same turn']);
  });

  it('is not heard after the answer to an unsubscribe', async () => {
    house = await startEngine();
    const session = house.session();
    const subscription = session.subscription('t');
    await session.submit(new SubscribeRequest('subscribe', session, 'on', subscription, null, null));
    await committing(house.session(), 't');
    const ended = session.unsubscribe(subscription, 'off');
    await settled();
    house.store.release();
    expect((await ended).count).toBe(1);
    await settled();
    expect(session.log).toEqual(['reply on', 'set t "committing"', 'reply off']);
  });
});

describe('a durable session', () => {
  const open = async (key: string, clean = false): Promise<TestSession> => {
    const session = house.session(true);
    await session.durably({ type: 'open', key, clean, expiryMs: clean ? 0 : SESSION_EXPIRY_MS });
    return session;
  };

  it('remembers an exactly-once number although the connection that sent it is gone', async () => {
    house = await startEngine();
    const hearer = house.session();
    await hearer.subscribe('t');
    const first = await open('user/client');
    await committing(house.session(), 'x');
    first.context.submit(first.setRequest('t', 'once', { ...UNSTORED, qos: 2 }, 'publish', 5));
    await settled();
    first.close(null);
    house.store.release();
    const second = await open('user/client');
    const again = await second.submit(second.setRequest('t', 'once', { ...UNSTORED, qos: 2 }, 'publish', 5));
    expect(again.repeated).toBe(true);
    expect(values(hearer)).toEqual(['once']);
  });

  it('that is resumed hears only what follows its start; what was executed before is in its queue', async () => {
    house = await startEngine();
    const first = await open('user/client');
    await first.subscribe('t', 'mqtt', { qos: 1 });
    first.close(null);
    const writer = house.session();
    await writer.emit('t', 'while away', { qos: 1 });
    await committing(house.session(), 'x');
    void writer.emit('t', 'same turn, before', { qos: 1 });
    const second = house.session(true);
    void second.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS }, 'open');
    const after = writer.emit('t', 'same turn, after', { qos: 1 });
    await settled();
    house.store.release();
    await after;
    expect(second.log).toEqual(['reply open', 'set t "same turn, after"']);
    expect(second.durable?.queue.size).toBe(3);
  });

  it('that was dropped is not written to by what its last connection still had in flight', async () => {
    house = await startEngine();
    const first = await open('user/client');
    house.store.scansHeld = true;
    void first.subscribe('y', 'mqtt', {}, false);
    void first.find('z*');
    first.context.submit(first.setRequest('t', 'once', { ...UNSTORED, qos: 2 }, 'publish', 5));
    await until(() => house.store.reading === 1);
    await open('user/client', true);
    house.store.releaseScans();
    await settled();
    expect(house.store.dump().filter(([key]) => /^[sqb]/.test(key))).toEqual([]);
  });

  it('loses no subscription to a late unsubscribe of its last connection', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    const first = await open('user/client');
    store.scansHeld = true;
    void first.find('z*');
    const late = first.subscription('x', 'mqtt', { qos: 1 });
    first.context.submit(new SubscribeRequest('subscribe', first, 's', late, null, null));
    first.context.submit(new SubscribeRequest('unsubscribe', first, 'u', late, null, null));
    await until(() => store.reading === 1);
    first.close(null);
    const second = await open('user/client');
    await second.subscribe('x', 'mqtt', { qos: 1 });
    store.releaseScans();
    await settled();
    await house.stop();
    house = await startEngine({ store });
    await house.session().emit('x', 'kept', { qos: 1 });
    expect((await open('user/client')).durable?.queue.size).toBe(1);
  });

  it('is dropped by a clean start although its own start is still being stored', async () => {
    house = await startEngine();
    await committing(house.session(), 'x');
    const first = house.session(true);
    void first.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
    await settled();
    const second = house.session(true);
    const cleaned = second.durably({ type: 'open', key: 'user/client', clean: true, expiryMs: 0 });
    await settled();
    house.store.release();
    await cleaned;
    await settled();
    expect(first.closedWith?.code).toBe('TAKEN_OVER');
    expect((await open('user/client')).replies[0]?.present).toBe(false);
  });
});

describe('numbers of operations', () => {
  it('are taken only by what stores: reads in between leave the same bytes', async () => {
    const dumps: unknown[] = [];
    for (const reads of [false, true]) {
      house = await startEngine();
      const session = house.session(true);
      await committing(session, 'a');
      if (reads) void session.get('b');
      if (reads) void session.emit('c', 1);
      const keeper = house.session(true);
      const opened = keeper.durably({ type: 'open', key: 'user/client', clean: false, expiryMs: SESSION_EXPIRY_MS });
      await settled();
      house.store.release();
      await opened;
      if (reads) await session.get('b');
      await keeper.subscribe('t', 'mqtt', { qos: 1 });
      await session.emit('t', 'queued', { qos: 1 });
      dumps.push(house.store.dump());
      await house.stop();
    }
    expect(dumps[0]).toEqual(dumps[1]);
  });
});

describe('a page of an answer', () => {
  it('begins behind the path that it is asked for, in the order of code points', async () => {
    house = await startEngine();
    const session = house.session();
    const paths = ['p/\u{1f600}', 'p/\uffe0', 'p/a', 'p/\u{10ffff}\u{10ffff}z'];
    await Promise.all(paths.map((path) => session.set(path, 1)));
    const order = ['p/a', 'p/\uffe0', 'p/\u{1f600}', 'p/\u{10ffff}\u{10ffff}z'];
    const page = async (after: string | null): Promise<string[]> => {
      const pattern = parsePattern('p/*', 'glob');
      const request = new DataRequest('get', session, 'page', '', pattern, null, { ...STORED, limit: 10, after }, true, 0, null);
      return ((await session.submit(request)).entries ?? []).map(({ path }) => path);
    };
    expect(await page(null)).toEqual(order);
    for (const [index, path] of order.entries()) expect(await page(path)).toEqual(order.slice(index + 1));
    expect(await page('o')).toEqual(order);
    expect(await page('q')).toEqual([]);
  });
});
