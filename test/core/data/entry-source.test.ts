// Entries of an answer in slices.

import { describe, expect, test } from 'vitest';
import { Entry } from '../../../src/core/data/entry.js';
import { bytesOf, EntryCursor, EntryList, type EntrySource, SLICE_BYTES, SLICE_ENTRIES } from '../../../src/core/data/entry-source.js';
import { Payload } from '../../../src/core/data/payload.js';
import { formats } from '../../support/core-harness.js';

function entries(count: number, bytes = 10): Entry[] {
  const payload = Payload.fromBytes(Buffer.alloc(bytes, '1'), formats.json);
  return Array.from({ length: count }, (_, n) => new Entry(`p/${n}`, payload, 1, 1, n + 1, ''));
}

function slicesOf(source: EntrySource): readonly Entry[][] {
  const slices: Entry[][] = [];
  for (let slice = source.take(); slice !== null && slice.length > 0; slice = source.take()) slices.push([...slice]);
  return slices;
}

describe('a list', () => {
  test('is taken in slices of few entries', () => {
    const all = entries(SLICE_ENTRIES * 2 + 1);
    const list = new EntryList(all);
    const slices = slicesOf(list);
    expect(slices.map(({ length }) => length)).toEqual([SLICE_ENTRIES, SLICE_ENTRIES, 1]);
    expect(slices.flat()).toEqual(all);
    expect(list.take()).toEqual([]);
    expect(list.count).toBe(all.length);
  });

  test('is taken in slices of few bytes, and of one entry when that has more', () => {
    const half = slicesOf(new EntryList(entries(5, SLICE_BYTES / 2)));
    expect(half.map(({ length }) => length)).toEqual([2, 2, 1]);
    expect(slicesOf(new EntryList(entries(3, SLICE_BYTES * 2))).map(({ length }) => length)).toEqual([1, 1, 1]);
  });

  test('can be taken again', () => {
    const all = entries(600);
    const list = new EntryList(all);
    list.take();
    list.rewind();
    expect(slicesOf(list).flat()).toEqual(all);
  });
});

describe('a cursor', () => {
  test('goes through all of them, and knows when it is over', () => {
    const all = entries(1_100);
    const cursor = new EntryCursor(new EntryList(all));
    const seen: Entry[] = [];
    while (!cursor.isOver) seen.push(cursor.next() as Entry);
    expect(seen).toEqual(all);
    expect(cursor.next()).toBeNull();
    expect(new EntryCursor(new EntryList([])).isOver).toBe(true);
  });

  test('waits for entries that are on their way', () => {
    const [entry] = entries(1);
    const answers: (readonly Entry[] | null)[] = [null, null, [entry as Entry], null, []];
    const cursor = new EntryCursor({ count: 1, take: () => answers.shift() ?? null, rewind: () => {}, close: () => {} });
    expect([cursor.next(), cursor.isWaiting, cursor.isOver]).toEqual([null, true, false]);
    expect([cursor.next(), cursor.isWaiting]).toEqual([entry, true]);
    expect([cursor.next(), cursor.isWaiting, cursor.isOver]).toEqual([null, false, true]);
  });
});

test('an entry counts its path and its payload', () => {
  expect(bytesOf(entries(1, 7)[0] as Entry)).toBe('p/0'.length + 7);
});
