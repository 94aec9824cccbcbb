// Scans by patterns of levels: nothing that matches is skipped, and little else is read.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePattern } from '../../../src/core/paths/pattern.js';
import { rangeOf, skipping } from '../../../src/core/paths/pattern-scan.js';
import { SECTION } from '../../../src/core/store/store.js';
import { MemoryStore } from '../../support/memory-store.js';

async function storeOf(keys: Iterable<string>): Promise<MemoryStore> {
  const store = new MemoryStore();
  const { batch: number } = await store.open();
  const batch = store.batch();
  for (const key of keys) batch.put(SECTION.record, key, new Uint8Array(1));
  await store.write(batch, { batch: number + 1, revision: 1, applied: 1 });
  return store;
}

async function found(store: MemoryStore, filter: string, sliceRows = 512): Promise<{ keys: string[]; read: number }> {
  const pattern = parsePattern(filter, 'mqtt');
  const scan = skipping(store.scan(rangeOf(pattern, null), sliceRows), pattern, sliceRows);
  const keys: string[] = [];
  let read = 0;
  for (let rows = await scan.next(); rows.length > 0; rows = await scan.next()) {
    read += rows.length;
    for (const { key } of rows) if (pattern.matches(key)) keys.push(key);
  }
  await scan.close();
  return { keys, read };
}

describe('a scan by levels', () => {
  test('finds what matches, whatever lies between', async () => {
    // Characters before and behind the slash, beyond the basic plane, and none.
    const name = fc.constantFrom('', 'a', 'b', 'a-', 'a0', 'a/', '$s', '\u{1F600}', '\uFFFF', '-', '0');
    const path = fc.array(name, { minLength: 1, maxLength: 5 }).map((names) => names.join('/'));
    const level = fc.constantFrom('', 'a', 'b', 'a-', '+', '+', '\u{1F600}', '$s');
    const filter = fc.tuple(fc.array(level, { minLength: 1, maxLength: 4 }), fc.boolean()).map(([levels, deep]) => {
      return [...levels, ...(deep ? ['#'] : [])].join('/');
    });
    const keys = fc.uniqueArray(
      path.filter((key) => key !== ''),
      { maxLength: 60 },
    );
    await fc.assert(
      fc.asyncProperty(
        keys,
        filter.filter((text) => text !== ''),
        fc.constantFrom(1, 2, 512),
        async (all, text, sliceRows) => {
          const store = await storeOf(all);
          const pattern = parsePattern(text, 'mqtt');
          const wanted = store
            .dump()
            .map(([key]) => key.slice(1))
            .filter((key) => pattern.matches(key));
          if (pattern.exact === null) expect((await found(store, text, sliceRows)).keys).toEqual(wanted);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('finds longer names that sort between a level and what is below it', async () => {
    expect((await found(await storeOf(['a', 'a-/b', 'a/b']), '+/b', 1)).keys).toEqual(['a-/b', 'a/b']);
    expect((await found(await storeOf(['c/a', 'c/a-/b', 'c/a/b']), 'c/+/#', 1)).keys).toEqual(['c/a', 'c/a-/b', 'c/a/b']);
  });

  test('reads little beside it', async () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `d/${String(i % 20).padStart(2, '0')}/${String(i).padStart(5, '0')}`);
    const store = await storeOf([...keys, 'd', 'd/07/status', 'd-other', 'd0', 'e/1']);
    expect((await found(store, 'd/+/status')).keys).toEqual(['d/07/status']);
    expect((await found(store, 'd/+/status')).read).toBeLessThan(20 * 2 * 16 + 100);
    expect((await found(store, 'd/03/#')).read).toBeLessThan(1_600);
    expect((await found(store, '+/1')).read).toBeLessThan(200);
  });
});
