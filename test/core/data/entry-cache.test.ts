import { describe, expect, test } from 'vitest';
import { Entry } from '../../../src/core/data/entry.js';
import { EntryCache } from '../../../src/core/data/entry-cache.js';
import { raw } from '../../../src/core/data/formats.js';
import { Payload } from '../../../src/core/data/payload.js';

const entryOf = (path: string, bytes: number, revision = 1): Entry =>
  new Entry(path, Payload.fromBytes(Buffer.alloc(bytes), raw), 1, 1, revision, '');

/** With its overhead and its path of five characters it takes 1,000 bytes. */
const THOUSAND = 1_000 - 256 - 10;
const pathOf = (n: number): string => `p/${String(n).padStart(3, '0')}`;

function keptOf(cache: EntryCache, count: number): number[] {
  return Array.from({ length: count }, (_, n) => n).filter((n) => cache.peek(pathOf(n)) !== undefined);
}

describe('the cache of entries', () => {
  test('keeps what was set or read lately, in no more than its bytes', () => {
    const cache = new EntryCache(20_000);
    for (let n = 0; n < 100; n++) {
      cache.set(entryOf(pathOf(n), THOUSAND));
      cache.get(pathOf(0));
      expect(keptOf(cache, 100).length).toBeLessThanOrEqual(20);
    }
    const kept = keptOf(cache, 100);
    expect(kept[0]).toBe(0);
    expect(kept.length).toBeGreaterThanOrEqual(10);
    expect(kept.slice(1)).toEqual(Array.from({ length: kept.length - 1 }, (_, i) => 100 - (kept.length - 1) + i));
  });

  test('shows the last entry that was set, also when entries of one path grow', () => {
    const cache = new EntryCache(20_000);
    for (let revision = 1; revision <= 300; revision++) {
      const path = pathOf(revision % 7);
      cache.set(entryOf(path, revision * 10, revision));
      const kept = cache.peek(path);
      if (kept !== undefined) expect(kept.revision).toBe(revision);
      const bytes = [0, 1, 2, 3, 4, 5, 6].reduce((sum, n) => sum + (cache.peek(pathOf(n))?.payload.size ?? 0), 0);
      expect(bytes).toBeLessThan(20_000);
    }
  });

  test('does not keep what is larger than half of it, nor what was there before', () => {
    const cache = new EntryCache(20_000);
    cache.set(entryOf('a', 100, 1));
    cache.set(entryOf('a', 11_000, 2));
    expect(cache.get('a')).toBeUndefined();
  });

  test('forgets what is deleted or cleared, of both generations', () => {
    const cache = new EntryCache(20_000);
    for (let n = 0; n < 15; n++) cache.set(entryOf(pathOf(n), THOUSAND));
    for (const n of [2, 14]) cache.delete(pathOf(n));
    expect(keptOf(cache, 15)).toEqual([0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    cache.clear();
    expect(keptOf(cache, 15)).toEqual([]);
    cache.set(entryOf('a', 1));
    expect(cache.get('a')?.path).toBe('a');
  });
});
