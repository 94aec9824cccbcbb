// How many records there are: right after every kind of change, a restart, a failed batch, and in a store that never said it.

import { afterEach, describe, expect, it } from 'vitest';
import { SECTION } from '../../../src/core/store/store.js';
import { GateStore, type Harness, startEngine, until } from '../../support/core-harness.js';

let house: Harness;
afterEach(async () => {
  house.store.release();
  await house.stop();
});

const counted = (): [number, number] => {
  const { records, recordBytes } = house.context.figures();
  return [records, recordBytes];
};

/** What a scan of the store finds. */
async function found(): Promise<number> {
  const { entries } = await house.session().find('*');
  return entries?.length ?? 0;
}

describe('the number of records', () => {
  it('follows sets, merges, removals of one and of many, and expiry', async () => {
    house = await startEngine();
    const session = house.session();
    await session.set('a', 'four');
    expect(counted()).toEqual([1, 6]);
    await session.set('a', 'x');
    expect(counted()).toEqual([1, 3]);
    await session.set('b', { n: 1 });
    await session.set('b', { m: 22 }, { merge: true });
    expect(counted()).toEqual([2, 3 + '{"n":1,"m":22}'.length]);
    await session.emit('c', 'nothing is stored');
    await session.remove('a');
    await session.remove('a');
    expect(counted()).toEqual([1, 14]);
    for (let i = 0; i < 20; i++) await session.set(`many/${i}`, i);
    await session.removeAll('many/*');
    expect(counted()).toEqual([1, 14]);
    await session.set('short', 1, { lifetimeMs: 1_000 });
    house.clock.time += 1_000;
    await until(() => house.counters.counters.get('records_expired_total')?.value === 1, 2_000_000);
    expect(counted()).toEqual([1, 14]);
    expect(await found()).toBe(1);
  });

  it('counts many changes of one turn', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    const session = house.session();
    store.held = true;
    const first = session.set('first', 1);
    await until(() => store.writes === 1);
    const others = [session.set('a', 1), session.set('a', 22), session.remove('a'), session.set('b', 333), session.remove('first')];
    store.release();
    await Promise.all([first, ...others]);
    expect(store.writes).toBe(2);
    expect(counted()).toEqual([1, 3]);
  });

  it('survives a restart, and a batch that the store refused', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    await house.session().set('a', 'x');
    store.failure = new Error('disk full');
    expect((await house.session().set('b', 'y')).error?.code).toBe('STORE_FAILED');
    await until(() => house.engine.writable);
    expect(counted()).toEqual([1, 3]);
    await house.session().set('c', 'zz');
    expect(counted()).toEqual([2, 7]);
    await house.stop();
    house = await startEngine({ store });
    expect(counted()).toEqual([2, 7]);
  });

  it('is found out where the store does not say it, or what it says is damaged', async () => {
    const store = new GateStore();
    house = await startEngine({ store });
    for (let i = 0; i < 1_500; i++) await house.session().set(`p/${i}`, 'xy');
    const before = counted();
    for (const change of ['delete', 'damage'] as const) {
      await house.stop();
      const state = await store.open();
      const batch = store.batch();
      if (change === 'delete') batch.delete(SECTION.meta, 'records');
      else batch.put(SECTION.meta, 'records', Buffer.from('nonsense'));
      await store.write(batch, { ...state, batch: state.batch + 1 });
      await store.close();
      house = await startEngine({ store });
      expect(counted()).toEqual(before);
    }
    await house.session().remove('p/7');
    expect(counted()).toEqual([before[0] - 1, before[1] - 4]);
  });
});

describe('figures', () => {
  it('tell of sessions and requests by protocol, also of sessions that have ended', async () => {
    house = await startEngine();
    const [one, two] = [house.session(), house.session()];
    await one.set('a', 1);
    await two.get('a');
    await two.get('a');
    two.close(null);
    expect(house.context.figures().protocols).toEqual(new Map([['test', { sessions: 1, requests: 3 }]]));
  });

  it('tell of durable sessions and what waits for them: a body once, its copies each', async () => {
    house = await startEngine();
    const keepers = [house.session(), house.session()];
    for (const [at, keeper] of keepers.entries()) {
      await keeper.durably({ type: 'open', key: `k${at}`, clean: false, expiryMs: 3_600_000 });
      await keeper.subscribe('a');
    }
    keepers[0]?.close(null);
    await house.session().emit('a', 'x', { qos: 1 });
    const figures = house.context.figures();
    expect(figures).toMatchObject({ messages: 1, queued: 2, durableSessions: 2, durableAway: 1, subscriptions: 2 });
    expect(figures.messageBytes).toBeGreaterThan(0);
    expect(figures.queuedBytes).toBeGreaterThanOrEqual(2 * figures.messageBytes);
    for (const keeper of keepers) keeper.close(null);
    for (const at of [0, 1]) await house.session().durably({ type: 'open', key: `k${at}`, clean: true, expiryMs: 0 });
    expect(house.context.figures()).toMatchObject({ messages: 0, messageBytes: 0, queued: 0, queuedBytes: 0, durableSessions: 0 });
  });
});
