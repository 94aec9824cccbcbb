// Batches as records in memory that they share, and checksums of parts of it.

import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BatchMemory, RecordBatch } from '../../../src/core/store/batch-memory.js';
import { type Check, NOTHING_WRITTEN } from '../../../src/core/store/check-trail.js';
import { recordsIn, valueAt } from '../../../src/core/store/journal-record.js';
import { checksum, RowMemory } from '../../../src/core/store/row-memory.js';
import { SECTION } from '../../../src/core/store/store.js';

const MIB = 1024 * 1024;
const checkOf = (batch: number): Check => ({ ...NOTHING_WRITTEN, batch, link: batch * 7 });

/** null: deleted. */
type Row = readonly [key: string, value: Buffer | null];

function fill(batch: RecordBatch, [key, value]: Row, isPlaced: boolean): void {
  if (value === null) batch.delete(SECTION.record, key);
  else if (!isPlaced) batch.put(SECTION.record, key, value);
  else {
    const at = batch.place(SECTION.record, key, value.length);
    batch.memory.bytes.set(value, at);
  }
}

function expectRecord(record: Buffer, number: number, rows: readonly Row[]): void {
  const [found, ...others] = recordsIn(record);
  expect(others).toEqual([]);
  expect(found?.check).toEqual(checkOf(number));
  expect(found?.keys).toEqual(rows.map(([key]) => `r${key}`));
  found?.values.forEach((value, i) => {
    const expected = rows[i]?.[1] ?? null;
    if (expected === null) expect(value).toBeNull();
    else expect(Buffer.compare(value as Buffer, expected)).toBe(0);
  });
}

describe('a batch', () => {
  test('is the record of its changes, whatever their size and script', () => {
    const rows: Row[] = [
      ['', Buffer.alloc(0)],
      ['a/b', Buffer.from('value')],
      ['a/b', null],
      ['é'.repeat(64), Buffer.alloc(300, 1)],
      [`${'x'.repeat(70)}😀`, Buffer.alloc(9 * MIB, 2)],
      ['あ', null],
      ['last', Buffer.alloc(20 * MIB, 3)],
    ];
    const memory = new BatchMemory();
    for (const isPlaced of [false, true]) {
      const batch = new RecordBatch(memory);
      for (const row of rows) fill(batch, row, isPlaced);
      expect(batch.length).toBe(rows.length);
      const record = batch.finish(checkOf(1));
      expect(record.length).toBe(batch.size);
      expectRecord(record, 1, rows);
      expect(batch.positions.map((at) => valueAt(batch.memory.bytes, at)?.length ?? null)).toEqual(
        rows.map(([, value]) => value?.length ?? null),
      );
    }
    expectRecord(new RecordBatch(memory).finish(checkOf(2)), 2, []);
  });

  test('keeps its record as long as it is used, whatever is filled, finished, given up and released beside it', () => {
    const sizes = fc.oneof({ weight: 4, arbitrary: fc.nat({ max: 500 }) }, fc.constantFrom(MIB, 3 * MIB, 5 * MIB, 10 * MIB));
    const step = fc.record({
      what: fc.constantFrom('put' as const, 'put' as const, 'put' as const, 'delete' as const, 'finish' as const, 'release' as const),
      /** Which of the open batches, or of those that are used. */
      which: fc.nat({ max: 2 }),
      key: fc.constantFrom('', 'a', 'a/b', 'é', '😀', 'x'.repeat(100)),
      size: sizes,
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (course) => {
        const memory = new BatchMemory();
        const open: { batch: RecordBatch; rows: Row[] }[] = [];
        const used: { batch: RecordBatch; record: Buffer; number: number; rows: Row[] }[] = [];
        course.forEach(({ what, which, key, size }, n) => {
          if (what === 'release') {
            const [done] = used.splice(which, 1);
            if (done !== undefined) memory.release(done.batch.memory);
            return;
          }
          open[which] ??= { batch: new RecordBatch(memory), rows: [] };
          const { batch, rows } = open[which];
          if (what === 'finish') {
            used.push({ batch, record: batch.finish(checkOf(n)), number: n, rows });
            open[which] = { batch: new RecordBatch(memory), rows: [] };
          } else {
            const row: Row = [key, what === 'delete' ? null : Buffer.alloc(size, n)];
            rows.push(row);
            fill(batch, row, n % 2 === 0);
          }
        });
        for (const { record, number, rows } of used) expectRecord(record, number, rows);
      }),
      { numRuns: 60 },
    );
  });

  test('takes memory that was released, and no more than the batches need that are used', () => {
    const memory = new BatchMemory();
    const pieces = new Set<RowMemory>();
    const used: RecordBatch[] = [];
    for (let n = 1; n <= 200; n++) {
      const batch = new RecordBatch(memory);
      batch.put(SECTION.record, 'a', Buffer.alloc(MIB, n));
      expectRecord(batch.finish(checkOf(n)), n, [['a', Buffer.alloc(MIB, n)]]);
      pieces.add(batch.memory);
      used.push(batch);
      const done = used.length > 3 ? used.shift() : undefined;
      if (done !== undefined) memory.release(done.memory);
    }
    expect(pieces.size).toBeLessThanOrEqual(3);
  });
});

test('a checksum is the one of the library, of any part', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat({ max: 20 }), fc.nat({ max: 20 }), (bytes, skipped, left) => {
      const memory = new RowMemory(Buffer.from(bytes));
      const end = Math.max(0, bytes.length - left);
      const from = Math.min(skipped, end);
      expect(checksum(memory, from, end)).toBe(crc32(bytes.subarray(from, end)));
    }),
  );
});
