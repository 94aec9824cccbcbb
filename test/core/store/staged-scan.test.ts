// Scans over what LevelDB has and what it is still to be given: as if it had that.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchMemory, RecordBatch } from '../../../src/core/store/batch-memory.js';
import { NOTHING_WRITTEN } from '../../../src/core/store/check-trail.js';
import { StagedKeyScan, StagedScan, stagedIn } from '../../../src/core/store/staged-scan.js';
import { Staging } from '../../../src/core/store/staging.js';
import { SECTION, type StoreScan } from '../../../src/core/store/store.js';
import { MemoryStore } from '../../support/memory-store.js';

const key = fc.constantFrom('a', 'b', 'b/1', 'b/2', 'c', 'ü', '\uffff', '😀', 'd');
const changes = fc.array(fc.tuple(key, fc.option(fc.integer({ min: 0, max: 9 }))), { maxLength: 12 });
type Changes = readonly (readonly [string, number | null])[];

async function storeWith(all: readonly Changes[]): Promise<MemoryStore> {
  const store = new MemoryStore();
  await store.open();
  const batch = store.batch();
  for (const [path, value] of all.flat()) {
    if (value === null) batch.delete(SECTION.record, path);
    else batch.put(SECTION.record, path, Buffer.from([value]));
  }
  await store.write(batch, { batch: 1, revision: 1, applied: 1 });
  return store;
}

/** Each in a batch of its own, in two stages. */
function stagingOf(all: readonly Changes[]): Staging {
  const memory = new BatchMemory();
  const staging = new Staging(memory);
  for (const [at, some] of all.entries()) {
    const batch = new RecordBatch(memory);
    batch.put(SECTION.queue, 'a', Buffer.from([0]));
    for (const [path, value] of some) {
      if (value === null) batch.delete(SECTION.record, path);
      else batch.put(SECTION.record, path, Buffer.from([value]));
    }
    const check = { ...NOTHING_WRITTEN, batch: at + 1 };
    batch.finish(check);
    staging.add(check, batch);
    if (at === 0) staging.seal();
  }
  return staging;
}

async function all(scan: StoreScan, slices: readonly number[]): Promise<[string, number][]> {
  const found: [string, number][] = [];
  for (let i = 0; ; i++) {
    const rows = await scan.next(slices[i % slices.length]);
    if (rows.length === 0) return found;
    for (const { key: path, value } of rows) found.push([path, value[0] as number]);
  }
}

const slices = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 });
const bound = fc.option(key, { nil: undefined });

describe('a staged scan', () => {
  it('finds what one finds when everything is there, from wherever it is told to', async () => {
    await fc.assert(
      fc.asyncProperty(
        changes,
        fc.tuple(changes, changes, changes),
        slices,
        bound,
        bound,
        key,
        async (below, above, sizes, gte, lt, from) => {
          const range = { section: SECTION.record, ...(gte === undefined ? {} : { gte }), ...(lt === undefined ? {} : { lt }) };
          const [some, whole] = [await storeWith([below]), await storeWith([below, ...above])];
          const staged = stagedIn(range, stagingOf(above).stages);
          const open = (): StoreScan => new StagedScan(some.scan(range, 3), staged, 4);
          const expected = await all(whole.scan(range, 100), [100]);
          const scan = open();
          expect(await all(scan, sizes)).toEqual(expected);
          const behind = whole.scan(range, 100);
          for (const one of [scan, behind]) one.seek(from);
          expect(await all(scan, sizes)).toEqual(await all(behind, [100]));
          const keys = new StagedKeyScan(open);
          const found: string[] = [];
          for (let some = await keys.next(2); some.length > 0; some = await keys.next(2)) found.push(...some);
          expect(found).toEqual(expected.map(([path]) => path));
          expect(await all(keys.rows(), sizes)).toEqual(expected);
          await keys.close();
        },
      ),
      { numRuns: 300 },
    );
  });
});
