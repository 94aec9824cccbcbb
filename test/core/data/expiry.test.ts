// Deadlines of records: what reads see, what merges keep, and that what has expired is removed for everybody.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { expiryKey } from '../../../src/core/data/expiry.js';
import { parseQuery } from '../../../src/core/query/query.js';
import { SECTION } from '../../../src/core/store/store.js';
import { type Harness, startEngine, type TestSession, until } from '../../support/core-harness.js';

let harness: Harness;
let session: TestSession;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  harness = await startEngine();
  session = harness.session();
});

afterEach(async () => {
  await harness.stop();
  vi.useRealTimers();
});

/** Time goes on without the sweeper noticing. */
function pass(ms: number): void {
  harness.clock.time += ms;
}

function sweep(): void {
  vi.advanceTimersByTime(1_000);
}

async function deadlines(): Promise<string[]> {
  const scan = harness.store.scan({ section: SECTION.expiry }, 100);
  const rows = await scan.next();
  await scan.close();
  return rows.map(({ key }) => key);
}

describe('an expired record', () => {
  test('is hidden from every read before it is removed', async () => {
    await session.set('/a/1', 1, { lifetimeMs: 1_000 });
    await session.set('/a/2', 2);
    pass(999);
    expect((await session.find('/a/*')).entries).toHaveLength(2);
    pass(1);
    expect((await session.get('/a/1')).entry).toBeNull();
    expect((await session.find('/a/*')).entries?.map(({ path }) => path)).toEqual(['/a/2']);
    const query = parseQuery({ criteria: { value: { $gte: 0 } }, count: true });
    expect((await session.find('/a/*', { query })).count).toBe(1);
    const initial = await session.subscribe('/a/1', 'glob', {}, true);
    expect(initial.entries).toEqual([]);
  });

  test('is absent to conditions, and what is set there begins anew', async () => {
    await session.set('/a', 1, { lifetimeMs: 1_000 });
    pass(5_000);
    expect((await session.set('/a', 2, { condition: 'present' })).error?.code).toBe('NOT_FOUND');
    const created = await session.set('/a', { b: 1 }, { merge: true });
    expect(created.entry).toMatchObject({ created: harness.clock.time, expires: 0 });
    expect(created.entry?.payload.value()).toEqual({ b: 1 });
    expect(await deadlines()).toEqual([]);
  });

  test('is nothing to remove', async () => {
    await session.set('/a', 1, { lifetimeMs: 1_000 });
    pass(1_000);
    expect((await session.remove('/a')).count).toBe(0);
    expect((await session.removeAll('/*')).count).toBe(0);
  });

  test('is removed within a second, and everybody hears of it once', async () => {
    const all = harness.session();
    await all.subscribe('/**');
    const each = harness.session();
    await each.subscribe('#', 'mqtt', { removals: 'each-request' });
    await session.set('/a', 1, { lifetimeMs: 1_000 });
    await session.set('/b', 1, { lifetimeMs: 3_000 });
    pass(2_000);
    sweep();
    await until(() => all.log.includes('remove /a null'));
    await until(() => each.log.includes('remove /a null'));
    expect(all.log.filter((line) => line.startsWith('remove'))).toEqual(['remove /a null']);
    expect(harness.store.read(SECTION.record, '/a')).toBeUndefined();
    expect(await deadlines()).toEqual([expiryKey(harness.clock.time + 1_000, '/b')]);
    expect(harness.counters.counter('records_expired_total', '').value).toBe(1);
  });

  test('is removed after a restart, too', async () => {
    await session.set('/a', 1, { lifetimeMs: 1_000 });
    await harness.stop();
    harness = await startEngine({ store: harness.store });
    const hears = harness.session();
    await hears.subscribe('/**');
    pass(1_000);
    sweep();
    await until(() => hears.log.includes('remove /a null'));
    expect(harness.store.read(SECTION.record, '/a')).toBeUndefined();
  });
});

describe('a deadline', () => {
  test('is decided anew by each set, and kept by merges and increments', async () => {
    const { time } = harness.clock;
    await session.set('/a', { x: 1 }, { lifetimeMs: 1_000 });
    expect((await session.set('/a', { y: 1 }, { merge: true })).entry?.expires).toBe(time + 1_000);
    expect((await session.set('/a', null, { increment: { name: 'n', by: 1 } })).entry?.expires).toBe(time + 1_000);
    expect((await session.set('/a', { z: 1 }, { merge: true, lifetimeMs: 5_000 })).entry?.expires).toBe(time + 5_000);
    expect(await deadlines()).toEqual([expiryKey(time + 5_000, '/a')]);
    expect((await session.set('/a', {})).entry?.expires).toBe(0);
    expect(await deadlines()).toEqual([]);
  });

  test('goes with the record that is removed', async () => {
    await session.set('/a', 1, { lifetimeMs: 1_000 });
    await session.remove('/a');
    expect(await deadlines()).toEqual([]);
  });

  test('more of them than one slice takes are all swept', async () => {
    for (let i = 0; i < 2_500; i++) session.context.submit(session.setRequest(`/many/${i}`, i, { lifetimeMs: 1 + (i % 7) }));
    await until(() => session.replies.length === 2_500);
    pass(10);
    sweep();
    const { counters } = harness;
    await until(() => counters.counter('records_expired_total', '').value === 2_500);
    expect(await deadlines()).toEqual([]);
    expect((await session.find('/many/*')).entries).toEqual([]);
  });

  test('is passed on with events that store nothing', async () => {
    const hears = harness.session();
    await hears.subscribe('/e');
    await session.emit('/e', 1, { lifetimeMs: 500 });
    expect(hears.heard[0]?.publication.expires).toBe(harness.clock.time + 500);
  });
});
