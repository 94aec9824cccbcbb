// Long answers on their way to a session: complete, in order, a bounded part of them in memory.

import { describe, expect, test } from 'vitest';
import type { Entry } from '../../../src/core/data/entry.js';
import { EntryCursor } from '../../../src/core/data/entry-source.js';
import { EntryReader } from '../../../src/core/scans/entry-reader.js';
import { type EntryStream, PathStream, RankedStream, type StreamHost } from '../../../src/core/scans/entry-streams.js';
import { CountedShifts, gathererByRevision, gathererFor, Marks, type Ranking } from '../../../src/core/scans/gatherers.js';
import { pathOf, SliceScan } from '../../support/slice-scan.js';

const RECORDS = 5_000;
/** Path and payload. */
const ENTRY_BYTES = 'r/000000'.length + 20;

interface Opened {
  readonly stream: EntryStream;
  readonly scan: SliceScan;
  /** Calls of the host. */
  readonly told: { ready: number; failed: unknown[] };
}

/** Gathers as the engine does, then opens the stream of what was found. */
async function open(
  order: 'path' | 'revision',
  options: { headBytes?: number; windowBytes?: number; keep?: (n: number) => boolean } = {},
): Promise<Opened> {
  const { headBytes = 0, windowBytes = 1_000 * ENTRY_BYTES, keep = () => true } = options;
  const scan = new SliceScan(RECORDS, 11);
  const reader = new EntryReader(scan, () => scan.read());
  const limits = { answerBytes: 1e9, headBytes };
  const gatherer = order === 'path' ? gathererFor(null, 1e9, limits) : gathererByRevision(limits);
  for (let slice = await reader.next(); slice !== null; slice = await reader.next()) {
    for (const [at, entry] of slice.entries.entries()) {
      if (keep(slice.number + at)) gatherer.take(entry, null, slice.number + at);
    }
  }
  const found = await gatherer.found(new CountedShifts(() => Promise.resolve()));
  const told = { ready: 0, failed: [] as unknown[] };
  const host: StreamHost = { windowBytes, ready: () => (told.ready += 1), failed: (error) => told.failed.push(error) };
  scan.reads = 0;
  const stream =
    found.rest instanceof Marks
      ? new PathStream(found.entries, found.rest, found.count, reader, host)
      : new RankedStream(found.rest as Ranking, reader, host);
  return { stream, scan, told };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Takes all of it; what is on its way is waited for. */
async function all(stream: EntryStream): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (;;) {
    const slice = stream.take();
    if (slice === null) await turn();
    else if (slice.length === 0) return entries;
    else {
      expect(slice.length).toBeLessThanOrEqual(512);
      entries.push(...slice);
    }
  }
}

const paths = (entries: readonly Entry[]): string[] => entries.map(({ path }) => path);
const every = Array.from({ length: RECORDS }, (_, n) => n);

describe('in path order', () => {
  test.each([
    ['nothing held', 0, () => true],
    ['some held', 700 * ENTRY_BYTES, () => true],
    ['few of the rows', 0, (n: number) => n % 97 === 3],
    ['rows that lie far apart', 10 * ENTRY_BYTES, (n: number) => n < 20 || n > 4_900],
    ['almost all held', (RECORDS - 2) * ENTRY_BYTES, () => true],
  ])('all entries come once: %s', async (_name, headBytes, keep) => {
    const { stream, told } = await open('path', { headBytes, keep });
    const wanted = every.filter(keep).map(pathOf);
    expect(stream.count).toBe(wanted.length);
    expect(paths(await all(stream))).toEqual(wanted);
    stream.rewind();
    expect(paths(await all(stream))).toEqual(wanted);
    expect(told.failed).toEqual([]);
    stream.close();
    await stream.closed;
    expect(stream.take()).toEqual([]);
  });

  test('no more is read than a slice ahead of what is taken', async () => {
    const { stream, scan } = await open('path', { headBytes: 100 * ENTRY_BYTES });
    expect(scan.reads).toBe(0);
    for (let taken = 0; taken < 5; ) {
      if (stream.take() !== null) taken += 1;
      for (let n = 0; n < 5; n++) await turn();
      expect(scan.reads).toBeLessThanOrEqual(taken + 1);
    }
  });

  test('rows that are in no answer are passed over', async () => {
    const { stream, scan } = await open('path', { keep: (n) => n < 3 || n > RECORDS - 3 });
    await all(stream);
    expect(scan.reads).toBeLessThan(15);
  });

  test('who waits is told once that there is something to take', async () => {
    const { stream, told } = await open('path');
    const cursor = new EntryCursor(stream);
    // The first one is held.
    expect(cursor.next()?.path).toBe(pathOf(0));
    expect([cursor.next(), cursor.isWaiting, told.ready]).toEqual([null, true, 0]);
    while (told.ready === 0) await turn();
    expect(cursor.next()?.path).toBe(pathOf(1));
    for (let n = 0; n < 5; n++) await turn();
    expect(told.ready).toBe(1);
  });
});

describe('in another order', () => {
  const wanted = (keep: (n: number) => boolean): string[] =>
    every
      .filter(keep)
      .sort((a, b) => ((a * 7_919) % RECORDS) - ((b * 7_919) % RECORDS))
      .map(pathOf);

  test.each([
    ['many windows', 100 * ENTRY_BYTES, () => true],
    ['two windows', 4_000 * ENTRY_BYTES, () => true],
    ['one window', 1e9, () => true],
    ['a record a window', 1, (n: number) => n % 500 === 0],
  ])('all entries come once, oldest change first: %s', async (_name, windowBytes, keep) => {
    const { stream, told } = await open('revision', { windowBytes, keep });
    expect(paths(await all(stream))).toEqual(wanted(keep));
    stream.rewind();
    expect(paths(await all(stream))).toEqual(wanted(keep));
    expect(told.failed).toEqual([]);
  });

  test('the next window is read when the one before is taken', async () => {
    const { stream, scan } = await open('revision', { windowBytes: 1_000 * ENTRY_BYTES });
    while (stream.take() === null) await turn();
    const { reads } = scan;
    for (let n = 0; n < 10; n++) await turn();
    expect(scan.reads).toBe(reads);
    await all(stream);
    expect(scan.reads).toBeGreaterThan(reads * 4);
  });

  test('a window of neighbours is read without the rest', async () => {
    const { stream, scan } = await open('revision', { windowBytes: 1_000 * ENTRY_BYTES, keep: (n) => n < 400 });
    await all(stream);
    expect(scan.reads).toBeLessThan(120);
  });
});

describe.each(['path', 'revision'] as const)('by %s', (order) => {
  test('the scan is closed with the stream, also while it is read', async () => {
    const { stream, scan, told } = await open(order);
    while (stream.take() !== null);
    stream.close();
    stream.close();
    await stream.closed;
    expect(scan.isClosed).toBe(true);
    for (let n = 0; n < 5; n++) await turn();
    expect([stream.take(), told.ready, told.failed]).toEqual([[], 0, []]);
  });

  test('a store that fails is told once', async () => {
    const { stream, scan, told } = await open(order, { windowBytes: 100 * ENTRY_BYTES });
    while (stream.take() === null) await turn();
    scan.failure = new Error('the disk is gone');
    while (told.failed.length === 0) {
      stream.take();
      await turn();
    }
    stream.close();
    for (let n = 0; n < 5; n++) await turn();
    expect(told.failed).toEqual([scan.failure]);
  });
});
