// What is executed while the batch before it is being written: its own batch follows at once, in the same order, and nothing of it
// is known outside before the store has both.

import { afterEach, describe, expect, it } from 'vitest';
import { SubscribeRequest } from '../../src/core/message.js';
import type { Durability } from '../../src/core/store/store.js';
import { type Harness, type HarnessOptions, settled, startEngine, type TestSession, until } from '../support/core-harness.js';

let house: Harness;
/** How many replies the observed session had when each batch was begun. */
let begun: number[] = [];

afterEach(async () => {
  house.store.release();
  await house.stop();
});

async function open(durability: Durability = 'sync', options: HarnessOptions = {}): Promise<TestSession> {
  house = await startEngine({ durability, ...options });
  const session = house.session(true);
  begun = [];
  const write = house.store.write.bind(house.store);
  house.store.write = (batch, state) => {
    begun.push(session.replies.length);
    return write(batch, state);
  };
  return session;
}

/** A set that is being written until the store is released. */
async function writing(session: TestSession, path = 'x', id = 'writing'): Promise<void> {
  const batches = begun.length;
  house.store.held = true;
  void session.set(path, 'first', {}, id);
  await until(() => begun.length > batches);
}

/** Lets one batch be written; the next one is held. */
async function releaseOne(): Promise<void> {
  const batches = begun.length;
  house.store.release();
  house.store.held = true;
  await until(() => begun.length > batches);
}

const values = (session: TestSession): unknown[] => session.heard.map(({ publication }) => publication.payload?.value());
const replies = (...ids: string[]): string[] => ids.map((id) => `reply ${id}`);

describe('while a batch is written', () => {
  it('the next one is made: it is begun before anybody is told of the one before', async () => {
    const session = await open();
    await writing(session);
    for (const id of ['a', 'b', 'c']) void session.set(id, 1, {}, id);
    await settled();
    await releaseOne();
    await until(() => session.replies.length === 1);
    await settled();
    expect([session.log, begun]).toEqual([replies('writing'), [0, 0]]);
    house.store.release();
    await until(() => session.replies.length === 4);
    expect(session.log).toEqual(replies('writing', 'a', 'b', 'c'));
    expect(session.replies.map(({ entry }) => entry?.revision)).toEqual([1, 2, 3, 4]);
  });

  it('changes of one path follow each other, and reads of the session see them in their place', async () => {
    const session = await open();
    const hearer = house.session();
    await hearer.subscribe('x');
    await writing(session);
    void session.get('x', 'read first');
    void session.set('x', 'second', {}, 'second');
    void session.get('x', 'read second');
    void session.set('x', 'third', { merge: false, expect: 2 }, 'third');
    const other = house.session().get('x');
    await settled();
    house.store.release();
    const read = await other;
    await until(() => session.replies.length === 5);
    expect(session.log).toEqual(replies('writing', 'read first', 'second', 'read second', 'third'));
    expect(session.replies.map(({ entry }) => entry?.payload.value())).toEqual(['first', 'first', 'second', 'second', 'third']);
    expect(read.entry?.payload.value()).toBe('third');
    expect(values(hearer)).toEqual(['first', 'second', 'third']);
  });

  for (const cacheBytes of [0, 1_500, 1024 * 1024]) {
    it(`each change builds on the one before, whatever is cached (${cacheBytes} bytes)`, async () => {
      const session = await open('sync', { cacheBytes });
      await session.set('x', 'old');
      await session.set('y', 'old');
      await writing(session, 'x');
      const fill = async (): Promise<void> => {
        for (let i = 0; i < 10; i++) void session.set(`fill/${i}`, i);
        await settled();
      };
      await fill();
      const replies = [
        session.set('x', 'second', { expect: 3 }),
        session.remove('y'),
        session.set('y', 'anew', { condition: 'absent' }),
        session.remove('x'),
        session.set('x', 'none', { condition: 'present' }),
      ];
      await fill();
      replies.push(session.remove('x'), session.set('y', 'third', { condition: 'present' }), session.get('x'), session.get('y'));
      await settled();
      house.store.release();
      const told = (await Promise.all(replies)).map(({ error, entry, count }) => error?.code ?? entry?.payload.value() ?? count);
      expect(told).toEqual(['second', 1, 'anew', 1, 'NOT_FOUND', 0, 'third', 0, 'third']);
    });
  }

  it('what it changed and was refused is not seen any more', async () => {
    const session = await open();
    await session.set('x', 'old');
    await writing(session, 'other');
    const refused = [session.set('x', 'new'), session.set('y', 'new')];
    await settled();
    house.store.failure = new Error('disk full');
    house.store.release();
    for (const { error } of await Promise.all(refused)) expect(error?.code).toBe('STORE_FAILED');
    await until(() => house.engine.writable);
    expect((await session.get('x')).entry?.payload.value()).toBe('old');
    expect((await session.get('y')).entry).toBeNull();
  });

  it('reads alone are answered behind it, without a batch of their own', async () => {
    const session = await open();
    await writing(session);
    void session.get('x', 'read');
    await settled();
    house.store.release();
    await until(() => session.replies.length === 2);
    expect([session.log, begun]).toEqual([replies('writing', 'read'), [0]]);
  });

  it('what ends a subscription waits: it hears what is being written', async () => {
    const session = await open();
    const hearer = house.session();
    const subscription = hearer.subscription('x');
    await hearer.submit(new SubscribeRequest('subscribe', hearer, 'subscribe', subscription, null, null));
    await writing(session);
    void session.set('x', 'second', {}, 'second');
    const ended = hearer.unsubscribe(subscription, 'end');
    void session.set('x', 'third', {}, 'third');
    await settled();
    house.store.release();
    await ended;
    await until(() => session.replies.length === 3);
    expect(hearer.log.at(-1)).toBe('reply end');
    expect(values(hearer)).toEqual(['first', 'second']);
  });

  it('what may not be executed meanwhile is not overtaken for long', async () => {
    const session = await open();
    await writing(session);
    void session.set('a', 1, {}, 'ahead');
    await settled();
    void session.durably({ type: 'open', key: 'kept', clean: true, expiryMs: 60_000 }, 'open');
    void session.set('b', 1, {}, 'behind');
    await settled();
    await releaseOne();
    void session.set('c', 1, {}, 'later');
    await settled();
    await releaseOne();
    await settled();
    expect(session.log).toEqual(replies('writing', 'ahead'));
    house.store.release();
    await until(() => session.replies.length === 5);
    expect(session.log).toEqual(replies('writing', 'ahead', 'open', 'behind', 'later'));
    expect(begun).toHaveLength(3);
  });
});

describe('replies to a session that writes ahead', () => {
  async function openAhead(durability: Durability = 'sync'): Promise<TestSession> {
    const session = await open(durability);
    session.writesAhead = true;
    return session;
  }
  const ids = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n}`);
  /** Sets that are written together, until the store is released. */
  async function setAll(session: TestSession, names: readonly string[]): Promise<void> {
    const batches = begun.length;
    house.store.held = true;
    for (const id of names) void session.set(`path/${id}`, id, {}, id);
    await until(() => begun.length > batches);
    await settled();
  }

  it('are written while the store is, and given when it has them, in their order', async () => {
    const session = await openAhead();
    await setAll(session, ids(6));
    expect([session.ahead, session.log]).toEqual([[ids(6)], []]);
    house.store.release();
    await until(() => session.replies.length === 6);
    expect(session.log).toEqual(replies(...ids(6)));
    expect([session.outbound.length, session.outbound.bytes, session.inFlight]).toEqual([0, 0, 0]);
  });

  it('of the turn behind it are written as soon as that is', async () => {
    const session = await openAhead();
    await setAll(session, ['writing']);
    for (const id of ids(5)) void session.set('x', 1, {}, id);
    await settled();
    expect(session.ahead).toEqual([]);
    await releaseOne();
    await settled();
    expect([session.ahead, session.log]).toEqual([[ids(5)], replies('writing')]);
    house.store.release();
    await until(() => session.replies.length === 6);
    expect(session.log).toEqual(replies('writing', ...ids(5)));
  });

  it('stand where they did among what it hears and what others are told', async () => {
    const session = await openAhead();
    const other = house.session();
    await session.subscribe('path/1', 'glob', {}, false, 'subscribed');
    await setAll(session, ids(6));
    for (const id of ['a', 'b']) void other.set(`other/${id}`, id, {}, id);
    for (const id of ['6', '7', '8', '9']) void session.set(`path/${id}`, id, {}, id);
    await settled();
    house.store.release();
    await until(() => session.replies.length === 11 && other.replies.length === 2);
    expect(session.log).toEqual(['reply subscribed', 'reply 0', 'set path/1 "1"', ...replies(...ids(10).slice(1))]);
    expect(session.ahead).toEqual([ids(6).slice(1), ['6', '7', '8', '9']]);
  });

  it('stand where they did among the last that it hears of a subscription that ends with them', async () => {
    const session = await openAhead();
    const subscription = session.subscription('path/2');
    await session.submit(new SubscribeRequest('subscribe', session, 'subscribed', subscription, null, null));
    house.store.held = true;
    for (const id of ids(6)) void session.set(`path/${id}`, id, {}, id);
    void session.unsubscribe(subscription, 'ended');
    await until(() => begun.length > 0);
    house.store.release();
    await until(() => session.replies.length === 8);
    expect(session.log).toEqual(['reply subscribed', ...replies('0', '1'), 'set path/2 "2"', ...replies('2', '3', '4', '5', 'ended')]);
  });

  it('are given one by one when they are few, or it cannot write them', async () => {
    const session = await openAhead();
    await setAll(session, ['0', '1', '2']);
    house.store.release();
    await until(() => session.replies.length === 3);
    expect([session.ahead, session.log]).toEqual([[], replies(...ids(3))]);
    await setAll(session, ['3', '4', '5']);
    for (const id of ['6', '7', '8']) void session.set('x', id, {}, id);
    void session.find('x', {}, '9');
    await settled();
    house.store.release();
    await until(() => session.replies.length === 10);
    expect([session.ahead, session.log]).toEqual([[['6', '7', '8', '9']], replies(...ids(10))]);
  });

  it('are given one by one where its adapter fails to write them', async () => {
    const session = await openAhead();
    session.broken.add('writeAhead');
    await setAll(session, ids(4));
    house.store.release();
    await until(() => session.replies.length === 4);
    expect(session.log).toEqual(replies(...ids(4)));
  });

  it('are not given when the store refuses them', async () => {
    const session = await openAhead();
    await setAll(session, ids(4));
    house.store.failure = new Error('ENOSPC');
    house.store.release();
    await until(() => session.replies.length === 4);
    expect(session.ahead).toEqual([ids(4)]);
    expect(session.log).toEqual(ids(4).map((id) => `reply ${id} STORE_FAILED`));
  });

  it('are not given once it is closed', async () => {
    const session = await openAhead();
    await setAll(session, ids(4));
    house.context.closeSession(session, null);
    house.store.release();
    await until(() => !house.store.isWriting);
    await settled();
    expect([session.log, session.outbound.length]).toEqual([[], 0]);
  });

  it('are not written ahead where nothing has to be waited for', async () => {
    const session = await openAhead('none');
    await setAll(session, ids(5));
    expect([session.ahead, session.log]).toEqual([[], replies(...ids(5))]);
  });
});

describe('when the store refuses a batch', () => {
  async function refuse(): Promise<void> {
    house.store.failure = new Error('ENOSPC');
    const { reopened } = house.store;
    house.store.release();
    await until(() => house.store.reopened > reopened && house.engine.writable);
  }

  it('what was executed behind it has not happened either', async () => {
    const session = await open();
    const hearer = house.session();
    await hearer.subscribe('*');
    await session.set('x', 'old', {}, 'before');
    await writing(session);
    void session.set('x', 'second', {}, 'second');
    void session.set('y', 'new', {}, 'new');
    void session.submit(session.setRequest('q', 1, { store: false, qos: 2 }, 'once', 9));
    void session.get('x', 'read');
    await settled();
    await refuse();
    await until(() => session.replies.length === 6);
    const failed = ['writing', 'second', 'new'].map((id) => `reply ${id} STORE_FAILED`);
    expect(session.log).toEqual(['reply before', ...failed, 'reply once', 'reply read']);
    expect(session.replies.at(-1)?.entry?.payload.value()).toBe('old');
    expect(values(hearer)).toEqual(['old', 1]);
    expect([...(session.received ?? [])]).toEqual([9]);
    expect(begun).toHaveLength(2);
    const next = await session.set('z', 1);
    expect(next.entry?.revision).toBe(2);
    expect([session.inFlight, session.uncommitted]).toEqual([0, 0]);
  });

  it('without durability who was told of the first is not told again, and the second fails', async () => {
    const session = await open('none');
    await writing(session);
    void session.set('y', 'new', {}, 'behind');
    await settled();
    await refuse();
    await until(() => session.replies.length === 2);
    expect(session.log).toEqual(['reply writing', 'reply behind STORE_FAILED']);
    expect([session.inFlight, session.uncommitted]).toEqual([0, 0]);
  });
});
