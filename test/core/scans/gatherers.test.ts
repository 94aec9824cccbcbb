// What is kept of an answer that is too much to be held: which rows it has, in which order.

import { describe, expect, test } from 'vitest';
import { Entry } from '../../../src/core/data/entry.js';
import { Payload } from '../../../src/core/data/payload.js';
import { parseQuery, type Query } from '../../../src/core/query/query.js';
import { CountedShifts, type Gatherer, gathererByRevision, gathererFor, Marks, Ranking } from '../../../src/core/scans/gatherers.js';
import { formats } from '../../support/core-harness.js';

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
/** Each counts 100 bytes. */
const entryOf = (n: number, revision = n + 1): Entry => {
  const path = String(n).padStart(10, '0');
  return new Entry(path, Payload.fromBytes(Buffer.alloc(90, '1'), formats.json), 1, 1, revision, '');
};
const noPause = new CountedShifts(() => Promise.resolve());
const LARGE = 1e9;

describe('marks', () => {
  test('know the rows that were marked, and the next of them', () => {
    const marks = new Marks();
    const marked = [0, 7, 8, 9, 63, 64, 1_000, 9_999, 100_000];
    for (const number of marked) marks.mark(number);
    expect(range(100_010).filter((number) => marks.has(number))).toEqual(marked);
    const found: number[] = [];
    for (let at = marks.next(0); at !== -1; at = marks.next(at + 1)) found.push(at);
    expect(found).toEqual(marked);
    expect([marks.next(10), marks.next(65), marks.next(100_001), marks.next(1e9)]).toEqual([63, 1_000, -1, -1]);
    expect(new Marks().next(0)).toBe(-1);
  });
});

describe('a ranking', () => {
  const ranking = new Ranking(Uint32Array.of(5, 0, 9, 2), Uint32Array.of(10, 20, 30, 40));

  test('knows the rank of each row', () => {
    expect(range(11).map((number) => ranking.rankOf(number))).toEqual([1, -1, 3, -1, -1, 0, -1, -1, -1, 2, -1]);
  });

  test('is taken in windows of few bytes, of one row when that has more', () => {
    expect([ranking.behind(0, 60), ranking.behind(0, 59), ranking.behind(0, 1), ranking.behind(3, 1), ranking.behind(1, 1e9)]).toEqual([
      3, 2, 1, 4, 4,
    ]);
    expect(range(10).filter((number) => ranking.marks(1, 3).has(number))).toEqual([0, 9]);
  });
});

async function gather(gatherer: Gatherer, entries: readonly Entry[], query: Query | null = null): ReturnType<Gatherer['found']> {
  const search = query?.begin() ?? null;
  entries.some((entry, number) => !gatherer.take(entry, search, number * 2));
  return gatherer.found(noPause);
}

describe('an answer in path order', () => {
  test('is held while it is small', async () => {
    const entries = range(10).map((n) => entryOf(n));
    expect(await gather(gathererFor(null, 1e9, { answerBytes: LARGE, headBytes: 1_000 }), entries)).toEqual({
      entries,
      rest: null,
      count: 10,
      bytes: 1_000,
    });
  });

  test('is marked behind what may be held, and one entry', async () => {
    const entries = range(30).map((n) => entryOf(n));
    const found = await gather(gathererFor(null, 1e9, { answerBytes: LARGE, headBytes: 1_000 }), entries);
    expect(found.entries).toEqual(entries.slice(0, 11));
    expect(found).toMatchObject({ count: 30, bytes: 3_000 });
    expect(range(100).filter((number) => (found.rest as Marks).has(number))).toEqual(range(19).map((n) => (n + 11) * 2));
  });

  test('begins behind skip and ends at the limit', async () => {
    const query = parseQuery({ skip: 5, limit: 20 });
    const entries = range(100).map((n) => entryOf(n));
    const found = await gather(gathererFor(query, 1e9, { answerBytes: LARGE, headBytes: 200 }), entries, query);
    expect(found.entries).toEqual(entries.slice(5, 8));
    expect(found).toMatchObject({ count: 20, bytes: 2_000 });
    expect((found.rest as Marks).next(49)).toBe(-1);
  });

  test('of more bytes than an answer may have is refused, held or not', async () => {
    const entries = range(11).map((n) => entryOf(n));
    for (const headBytes of [0, LARGE]) {
      await expect(gather(gathererFor(null, 1e9, { answerBytes: 1_000, headBytes }), entries)).rejects.toMatchObject({
        code: 'LIMIT_EXCEEDED',
      });
    }
  });
});

describe('an answer in another order', () => {
  const entries = range(40).map((n) => entryOf(n, ((n * 7) % 40) + 1));
  const sorted = [...entries].sort((a, b) => a.revision - b.revision);

  test('is held while it is small', async () => {
    expect(await gather(gathererByRevision({ answerBytes: LARGE, headBytes: 4_000 }), entries)).toMatchObject({
      entries: sorted,
      rest: null,
    });
  });

  test('is a ranking of all of its rows when it is not', async () => {
    const { entries: held, rest, count } = await gather(gathererByRevision({ answerBytes: LARGE, headBytes: 3_000 }), entries);
    expect([held, count]).toEqual([[], 40]);
    const ranking = rest as Ranking;
    expect(sorted.map((entry) => ranking.rankOf(entries.indexOf(entry) * 2))).toEqual(range(40));
    expect(ranking.behind(0, 1_050)).toBe(10);
  });

  test('has what a query sorts by, without skip, up to the limit', async () => {
    const query = parseQuery({ sort: { path: -1 }, skip: 3, limit: 30 });
    const limits = { answerBytes: LARGE, headBytes: 500 };
    const { rest, count } = await gather(gathererFor(query, 1e9, limits), entries, query);
    expect(count).toBe(30);
    expect(range(80).filter((number) => (rest as Ranking).rankOf(number) === 0)).toEqual([(39 - 3) * 2]);
    expect(range(80).filter((number) => (rest as Ranking).rankOf(number) >= 0)).toHaveLength(30);
  });

  test('is put into its order in shifts', async () => {
    let shifts = 0;
    const many = range(20_000).map((n) => entryOf(n, (n * 7_919) % 20_000));
    const gatherer = gathererByRevision({ answerBytes: LARGE, headBytes: LARGE });
    for (const [number, entry] of many.entries()) gatherer.take(entry, null, number);
    const found = await gatherer.found(
      new CountedShifts(async () => {
        shifts += 1;
      }),
    );
    expect(shifts).toBeGreaterThan(4);
    expect(found.entries.map(({ revision }) => revision)).toEqual(range(20_000));
  });
});
