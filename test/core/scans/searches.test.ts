// Queries in the engine: what is answered, counted and removed, what ends a query, and how long it holds the event loop.

import { afterEach, describe, expect, test } from 'vitest';
import { Entry } from '../../../src/core/data/entry.js';
import { Payload } from '../../../src/core/data/payload.js';
import type { Reply } from '../../../src/core/message.js';
import { Lanes } from '../../../src/core/pace/lanes.js';
import { Shifts } from '../../../src/core/pace/shifts.js';
import { parseQuery, type QueryInput } from '../../../src/core/query/query.js';
import { gathererFor } from '../../../src/core/scans/gatherers.js';
import { EntrySearch, type SearchHost } from '../../../src/core/scans/searches.js';
import { formats, type Harness, type HarnessOptions, settled, startEngine, type TestSession } from '../../support/core-harness.js';

const RECORDS = 2_000;
let harness: Harness;

afterEach(async () => await harness.stop());

const pathOf = (i: number): string => `/r/${String(i).padStart(4, '0')}`;
const numbersOf = (reply: Reply): unknown[] => (reply.entries ?? []).map((entry) => (entry.payload.value() as { n: number }).n);
const ask = (input: QueryInput): { query: ReturnType<typeof parseQuery> } => ({ query: parseQuery(input) });
const range = (count: number, from = 0, step = 1): number[] => Array.from({ length: count }, (_, i) => from + i * step);

async function withRecords(options: HarnessOptions = {}, records = RECORDS): Promise<TestSession> {
  harness = await startEngine(options);
  const session = harness.session();
  await Promise.all(range(records).map((i) => session.set(pathOf(i), { n: i, odd: i % 2, group: { name: `g${i % 10}` } })));
  return session;
}

describe('a wildcard get', () => {
  test('answers what meets the criteria, in path order, out of many slices', async () => {
    const session = await withRecords();
    const reply = await session.find('/r/*', ask({ criteria: { 'group.name': 'g3', n: { $gte: 1_000 } } }));
    expect(reply.error).toBeNull();
    expect(numbersOf(reply)).toEqual(range(100, 1_003, 10));
    expect(reply.entries?.[0]?.path).toBe('/r/1003');
  });

  test('sorts, skips and limits', async () => {
    const session = await withRecords();
    const sorted = ask({ criteria: { odd: 1 }, sort: { n: -1 }, skip: 2, limit: 3 });
    expect(numbersOf(await session.find('/r/*', sorted))).toEqual([1_995, 1_993, 1_991]);
    expect(numbersOf(await session.find('/r/*', ask({ skip: 1_998 })))).toEqual([1_998, 1_999]);
    expect(numbersOf(await session.find('/r/*', ask({ skip: 10, limit: 2 })))).toEqual([10, 11]);
    expect(numbersOf(await session.find('/r/*', ask({ skip: 5_000, sort: { n: 1 } })))).toEqual([]);
    const all = await session.find('/r/*', ask({ sort: { odd: -1, n: 1 } }));
    expect(numbersOf(all)).toEqual([...range(1_000, 1, 2), ...range(1_000, 0, 2)]);
  });

  test('that is limited reads no further', async () => {
    const session = await withRecords();
    const scanned = harness.counters.counter('rows_scanned_total', '');
    const before = scanned.value;
    expect(numbersOf(await session.find('/r/*', ask({ limit: 3, criteria: { odd: 0 } })))).toEqual([0, 2, 4]);
    expect(scanned.value - before).toBeLessThan(RECORDS / 2);
  });

  test('goes on behind a path, with a limit of its own', async () => {
    const session = await withRecords();
    const page = { ...ask({ criteria: { odd: 1 } }), limit: 2, after: pathOf(100) };
    expect(numbersOf(await session.find('/r/*', page))).toEqual([101, 103]);
  });

  test('counts, after skip and limit', async () => {
    const session = await withRecords();
    const count = async (input: QueryInput): Promise<number> => {
      const reply = await session.find('/r/*', ask({ count: true, ...input }));
      expect(reply).toMatchObject({ error: null, entries: [] });
      return reply.count;
    };
    expect(await count({})).toBe(RECORDS);
    expect(await count({ criteria: { odd: 1 } })).toBe(1_000);
    expect(await count({ criteria: { odd: 1 }, limit: 7, sort: { n: -1 } })).toBe(7);
    expect(await count({ criteria: { odd: 1 }, skip: 998 })).toBe(2);
    expect(await count({ skip: 5_000 })).toBe(0);
    expect(await count({ criteria: { odd: 5 } })).toBe(0);
  });

  test('shows the store as of its beginning', async () => {
    const session = await withRecords({}, 10);
    harness.store.scansHeld = true;
    const asked = session.find('/r/*', ask({ criteria: { odd: 1 } }));
    await settled();
    await session.set(pathOf(1), { n: 1, odd: 0 });
    harness.store.releaseScans();
    expect(numbersOf(await asked)).toEqual([1, 3, 5, 7, 9]);
  });

  test('with an expression that is none is answered with what is wrong', async () => {
    const session = await withRecords({}, 1);
    const refused = { code: 'INVALID_REQUEST', message: expect.stringMatching(/^\$regex: /) };
    expect((await session.find('/r/*', ask({ criteria: { n: { $regex: '(' } } }))).error).toMatchObject(refused);
    expect((await session.find('/none/*', ask({ criteria: { n: { $regex: '(' } } }))).error).toMatchObject(refused);
    expect((await session.removeAll('/none/*', 'all', ask({ criteria: { n: { $regex: '(' } } }))).error).toMatchObject(refused);
    expect((await session.get('/none', 'none', ask({ criteria: { n: { $regex: '(' } } }))).error).toMatchObject(refused);
    expect((await session.get(pathOf(0), 'exact', ask({ criteria: { n: { $regex: '(?=a)' } } }))).error).toMatchObject(refused);
    expect((await session.remove(pathOf(0), 'gone', ask({ criteria: { n: { $regex: '(?=a)' } } }))).error).toMatchObject(refused);
    expect((await session.get(pathOf(0))).entry).not.toBeNull();
  });
});

describe('an exact get', () => {
  test('answers the record that meets the criteria, and nothing else', async () => {
    const session = await withRecords({}, 3);
    expect((await session.get(pathOf(1), 'a', ask({ criteria: { odd: 1 } }))).entry?.path).toBe(pathOf(1));
    expect((await session.get(pathOf(1), 'b', ask({ criteria: { odd: 0 } }))).entry).toBeNull();
    expect((await session.get(pathOf(1), 'c', ask({ skip: 1 }))).entry).toBeNull();
    expect((await session.get(pathOf(1), 'd', ask({ sort: { n: 1 }, limit: 1 }))).entry?.path).toBe(pathOf(1));
    expect((await session.find(pathOf(1), ask({ criteria: { odd: 1 } }))).entries).toHaveLength(1);
    expect((await session.find(pathOf(1), ask({ criteria: { odd: 0 } }))).entries).toEqual([]);
  });

  test('counts to one', async () => {
    const session = await withRecords({}, 3);
    const count = async (path: string, input: QueryInput): Promise<number> =>
      (await session.get(path, path, ask({ count: true, ...input }))).count;
    expect(await count(pathOf(1), {})).toBe(1);
    expect(await count(pathOf(2), { criteria: { odd: 1 } })).toBe(0);
    expect(await count('/none', {})).toBe(0);
    expect(await session.find(pathOf(1), ask({ count: true }))).toMatchObject({ count: 1, entries: [] });
  });

  test('that would take too long is answered with the figures, and harms nobody', async () => {
    const session = await withRecords({}, 1);
    await session.set('/long', { text: 'a'.repeat(100_000) });
    const reply = await session.get('/long', 'x', ask({ criteria: { text: { $regex: '(a+)+$' } } }));
    expect(reply.error).toMatchObject({ code: 'LIMIT_EXCEEDED', message: expect.stringContaining('250000 steps') });
    expect((await session.get(pathOf(0))).entry).not.toBeNull();
  });

  test('B8 leaves the event loop to others when many ask for much', async () => {
    const session = await withRecords({}, 1);
    await session.set('/text', { text: 'ab'.repeat(2_000) });
    const options = ask({ criteria: { text: { $regex: '(x+x+)+y' } } });
    let turns = 0;
    let done = false;
    const count = (): void => {
      turns += 1;
      if (!done) setImmediate(count);
    };
    setImmediate(count);
    await Promise.all(range(200).map((i) => session.get('/text', `q${i}`, options)));
    done = true;
    // Each takes about 40,000 steps, a turn ends after a million.
    expect(turns).toBeGreaterThanOrEqual(7);
  });
});

describe('a removal', () => {
  test('of an exact path is for a record that meets the criteria', async () => {
    const session = await withRecords({}, 3);
    await session.subscribe('/r/*', 'glob', { removals: 'each-record' });
    const kept = await session.remove(pathOf(1), 'a', ask({ criteria: { odd: 0 } }));
    expect(kept).toMatchObject({ error: null, count: 0 });
    expect((await session.get(pathOf(1))).entry).not.toBeNull();
    expect(session.heard).toHaveLength(0);
    expect((await session.remove(pathOf(1), 'b', ask({ criteria: { odd: 1 } }))).count).toBe(1);
    expect((await session.get(pathOf(1), 'c')).entry).toBeNull();
    expect(session.heard).toHaveLength(1);
  });

  test('by wildcard takes away what meets the criteria', async () => {
    const session = await withRecords();
    await session.subscribe('/r/*', 'glob', { removals: 'each-request' });
    const reply = await session.removeAll('/r/*', 'x', ask({ criteria: { odd: 1, n: { $lt: 1_500 } }, limit: 1 }));
    expect(reply).toMatchObject({ error: null, count: 750 });
    expect((await session.find('/r/*', ask({ count: true }))).count).toBe(RECORDS - 750);
    expect((await session.find('/r/*', ask({ count: true, criteria: { odd: 1 } }))).count).toBe(250);
    expect(session.heard.map(({ publication }) => publication.removed)).toEqual([750]);
  });

  test('leaves what was changed after it began, even if that met the criteria before', async () => {
    const session = await withRecords({}, 4);
    harness.store.scansHeld = true;
    const removing = session.removeAll('/r/*', 'x', ask({ criteria: { odd: 1 } }));
    await settled();
    await harness.session().set(pathOf(1), { n: 1, odd: 1, again: true });
    harness.store.releaseScans();
    expect((await removing).count).toBe(1);
    expect((await session.get(pathOf(1))).entry?.payload.value()).toMatchObject({ again: true });
    expect((await session.get(pathOf(3))).entry).toBeNull();
  });

  test('goes on when the asker is gone', async () => {
    const session = await withRecords({}, 20);
    harness.store.scansHeld = true;
    harness.context.submit(session.patternRequest('remove', '/r/*', ask({ criteria: { odd: 1 } })));
    await settled();
    session.close(null);
    harness.store.releaseScans();
    await settled(50);
    expect((await harness.session().find('/r/*', ask({ count: true }))).count).toBe(10);
  });

  test('that ends at a limit says what it has done, and so do its news', async () => {
    const session = await withRecords({ scan: { queryRows: 1_600 } });
    await session.subscribe('/r/*', 'glob', { removals: 'each-request' });
    const { error } = await session.removeAll('/r/*', 'x', ask({ criteria: { n: { $gte: 0 } } }));
    expect(error).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringMatching(/1600 records .*1000 records were removed before/),
    });
    expect(session.heard.map(({ publication }) => publication.removed)).toEqual([1_000]);
    expect((await session.find('/r/*')).entries).toHaveLength(RECORDS - 1_000);
  });
});

describe('a query ends', () => {
  test('when it looks at too many records', async () => {
    const session = await withRecords({ scan: { queryRows: 1_000 } });
    const reply = await session.find('/r/*', ask({ criteria: { n: -1 } }));
    expect(reply.error).toMatchObject({ code: 'LIMIT_EXCEEDED', message: expect.stringContaining('more than 1000 records') });
    expect((await session.find('/r/0*', ask({ limit: 5 }))).entries).toHaveLength(5);
    expect((await session.find('/r/*')).entries).toHaveLength(RECORDS);
  });

  test('when it takes too long', async () => {
    const session = await withRecords({ scan: { queryMs: 1_000 } });
    harness.store.scansHeld = true;
    const asked = session.find('/r/*', ask({ criteria: { n: -1 } }));
    await settled();
    harness.store.releaseSlice();
    await settled();
    harness.clock.mono += 1_001;
    harness.store.releaseScans();
    expect((await asked).error).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringMatching(/longer than 1000 ms \(\d+ until now\)/),
    });
  });

  test('when its answer is too large, and not before: what has no room counts no more', async () => {
    const session = await withRecords({ scan: { answerBytes: 10_000 } });
    for (const input of [{ criteria: { odd: 1 } }, { sort: { n: -1 } } as const]) {
      expect((await session.find('/r/*', ask(input))).error?.code).toBe('LIMIT_EXCEEDED');
    }
    expect(numbersOf(await session.find('/r/*', ask({ sort: { n: -1 }, limit: 100 })))).toEqual(range(100, 1_999, -1));
    expect((await session.find('/r/*', ask({ count: true }))).count).toBe(RECORDS);
  });

  test('when nobody is there any more', async () => {
    const session = await withRecords();
    harness.store.scansHeld = true;
    harness.context.submit(session.patternRequest('get', '/r/*', ask({ criteria: { n: -1 } })));
    await settled();
    session.close(null);
    const scanned = harness.counters.counter('rows_scanned_total', '');
    const before = scanned.value;
    harness.store.releaseScans();
    await settled(50);
    expect(scanned.value - before).toBeLessThan(RECORDS / 2);
  });
});

describe('shifts of a search', () => {
  /** A clock that goes on by one millisecond whenever it is looked at. */
  function ticking(): SearchHost & { shiftsGiven: number } {
    let now = 0;
    const shifts = new Shifts();
    const host = {
      limits: { queryRows: 1e9, queryWorkMs: 1e9, queryMs: 1e9, answerBytes: 1e9 },
      lanes: new Lanes(),
      now: () => ++now,
      shiftsGiven: 0,
      shifts: {
        next: () => {
          host.shiftsGiven += 1;
          return shifts.next();
        },
      } as Shifts,
    };
    return host;
  }

  test('are counted as work, and only they', async () => {
    harness = await startEngine();
    const query = parseQuery({ criteria: { n: -1 } });
    const entry = new Entry(pathOf(0), Payload.fromValue({ n: 1 }, formats.json), 1, 1, 1, '');
    let idle = 0;
    const busy = ticking();
    const host: SearchHost = { ...busy, limits: { ...busy.limits, queryWorkMs: 100 }, now: () => busy.now() + idle };
    const search = new EntrySearch(query, null, null, 0, host);
    await search.begin();
    for (let i = 0; i < 5; i++) {
      expect(await search.look({ entries: [entry, entry], looked: 2 }, () => true)).toBe(true);
      idle += 1_000;
    }
    await expect(search.look({ entries: new Array(200).fill(entry), looked: 200 }, () => true)).rejects.toThrow(
      /works longer than 100 ms \(210 until now\)/,
    );
  });

  test('end while rows are looked at, and while what was found is sorted', async () => {
    harness = await startEngine();
    const query = parseQuery({ criteria: { n: { $gte: 0 } }, sort: { n: -1 } });
    const host = ticking();
    const search = new EntrySearch(query, null, null, 0, host);
    const gathered = gathererFor(query, Number.POSITIVE_INFINITY, { answerBytes: 1e9, headBytes: 1e9 });
    const slice = range(400).map((i) => new Entry(pathOf(i), Payload.fromValue({ n: (i * 7) % 400 }, formats.json), 1, 1, i + 1, ''));
    await search.begin();
    expect(await search.look({ entries: slice, looked: 400 }, (entry, by, at) => gathered.take(entry, by, at))).toBe(true);
    const looking = host.shiftsGiven;
    expect(looking).toBeGreaterThan(40);
    const { entries } = await gathered.found(search);
    expect(host.shiftsGiven - looking).toBeGreaterThan(40);
    expect(entries.map((entry) => (entry.payload.value() as { n: number }).n)).toEqual(range(400, 399, -1));
  });
});
