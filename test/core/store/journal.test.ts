// The files of the journal, and what is left of them after a crash.

import { readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BatchMemory, RecordBatch } from '../../../src/core/store/batch-memory.js';
import { type Check, CheckTrail, NOTHING_WRITTEN } from '../../../src/core/store/check-trail.js';
import { Journal, readJournal, removeJournal } from '../../../src/core/store/journal.js';
import { SECTION } from '../../../src/core/store/store.js';
import { until } from '../../support/gateway-process.js';
import { randomOf } from '../../support/random.js';
import { temporaryDirectory } from '../../support/temporary.js';

const MIB = 1024 * 1024;
const HEAD_BYTES = 40;
const BLOCK_BYTES = 512;

const trail = new CheckTrail(NOTHING_WRITTEN, 1, MIB);
const checks: Check[] = [NOTHING_WRITTEN];
/** Each is linked to the one before. */
function checkOf(batch: number): Check {
  for (let n = checks.length; n <= batch; n++) checks.push(trail.link({ batch: n, revision: n * 2, applied: n * 3 }));
  return checks[batch] as Check;
}

async function begin(location: string, isDirect = true): Promise<Journal> {
  const journal = await Journal.begin(location, isDirect);
  onTestFinished(() => journal.close());
  return journal;
}

/** Batch n sets `rk<n>` to n and deletes `rd<n>`. */
async function append(journal: Journal, from: number, to: number, bytes = 10): Promise<void> {
  for (let n = from; n <= to; n++) await appendOne(journal, n, [`k${n}é`, `d${n}`], [Buffer.from(String(n).padEnd(bytes)), null]);
}

function appendOne(journal: Journal, batch: number, keys: string[], values: (Uint8Array | null)[]): Promise<void> {
  const record = new RecordBatch(new BatchMemory());
  for (const [i, key] of keys.entries()) {
    const value = values[i] ?? null;
    if (value === null) record.delete(SECTION.record, key);
    else record.put(SECTION.record, key, value);
  }
  return journal.append(record.finish(checkOf(batch)), batch);
}

async function found(location: string): Promise<number[]> {
  const records = await readJournal(location);
  for (const { check, keys, values } of records) {
    expect(check).toEqual(checkOf(check.batch));
    expect(keys).toEqual([`rk${check.batch}é`, `rd${check.batch}`]);
    expect(values[1]).toBeNull();
    expect(String(values[0]).trim()).toBe(String(check.batch));
  }
  return records.map(({ check }) => check.batch);
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const files = async (location: string): Promise<string[]> => (await readdir(location)).sort();

/** As a record was once: its last change is one that a user made. */
function withoutPadding(record: Buffer): Buffer {
  let [at, end] = [HEAD_BYTES, HEAD_BYTES];
  while (at < record.length) {
    const value = record.readUInt32LE(at + 4);
    end = at;
    at += 8 + record.readUInt32LE(at) + (value === 0xffffffff ? 0 : value);
  }
  if (String.fromCharCode(record[end + 8] as number) !== 'j') return record;
  const short = Buffer.from(record.subarray(0, end));
  short.writeUInt32LE(end, 4);
  short.writeUInt32LE(crc32(short.subarray(4)), 0);
  return short;
}

const ROADS = [
  { road: 'past the cache of the system', isDirect: true },
  { road: 'through it', isDirect: false },
];

describe('a journal', () => {
  test('holds what was appended, in order', async () => {
    const location = await temporaryDirectory();
    expect(await found(location)).toEqual([]);
    const journal = await begin(location);
    await append(journal, 7, 40);
    expect(await found(location)).toEqual(numbers(7, 40));
    await removeJournal(location);
    expect(await files(location)).toEqual([]);
  });

  test.each(ROADS)('holds batches of any size, also empty ones, $road', async ({ isDirect }) => {
    const location = await temporaryDirectory();
    const journal = await begin(location, isDirect);
    await appendOne(journal, 1, [], []);
    await appendOne(journal, 2, ['a', 'b'], [Buffer.alloc(9 * MIB, 1), Buffer.alloc(0)]);
    await appendOne(journal, 3, ['c'], [Buffer.from('c')]);
    const records = await readJournal(location);
    expect(records.map(({ keys, values }) => [keys, values.map((value) => value?.length)])).toEqual([
      [[], []],
      [
        ['ra', 'rb'],
        [9 * MIB, 0],
      ],
      [['rc'], [1]],
    ]);
  });

  test.each(ROADS)('grows in steps, and is written over when what it holds is released, $road', async ({ isDirect }) => {
    const location = await temporaryDirectory();
    const journal = await begin(location, isDirect);
    await append(journal, 1, 1);
    expect((await stat(join(location, 'journal.1'))).size).toBe(MIB / 4);
    for (let n = 2; n <= 400; n++) {
      if (n > 100) journal.release(n - 100);
      await append(journal, n, n, 100_000);
    }
    expect(await files(location)).toEqual(['journal.1', 'journal.2', 'journal.3', 'journal.4']);
    const kept = await found(location);
    expect(kept).toEqual(numbers(kept[0] as number, 400));
    expect(kept[0]).toBeLessThanOrEqual(301);
  });

  test.each(ROADS)('takes records of any size one after the other, $road', async ({ isDirect }) => {
    const location = await temporaryDirectory();
    const journal = await begin(location, isDirect);
    const random = randomOf(7);
    for (let n = 1; n <= 600; n++) {
      if (n > 100) journal.release(n - 100);
      await append(journal, n, n, random(10) === 0 ? 1 + random(900_000) : 1 + random(50));
    }
    const kept = await found(location);
    expect(kept).toEqual(numbers(kept[0] as number, 600));
    expect(kept[0]).toBeLessThanOrEqual(501);
  });

  test('has the next file ready before it is needed', async () => {
    const location = await temporaryDirectory();
    const journal = await begin(location);
    await append(journal, 1, 21, 100_000);
    const next = join(location, 'journal.2');
    await until('it is ready', async () => (await stat(next).catch(() => null))?.size === 4 * MIB);
    await append(journal, 22, 60, 100_000);
    expect((await stat(next)).size).toBe(4 * MIB);
    expect(await found(location)).toEqual(numbers(1, 60));
  });

  test('is closed while the next file is made ready', async () => {
    const location = await temporaryDirectory();
    const journal = await begin(location);
    await append(journal, 1, 21, 100_000);
    await journal.close();
    expect(await found(location)).toEqual(numbers(1, 21));
    expect(await files(location)).toEqual(['journal.1', 'journal.2']);
  });

  test('says that its next file cannot be made, and can be closed', async () => {
    const location = await temporaryDirectory();
    const journal = await begin(location);
    await rm(location, { recursive: true });
    await append(journal, 1, 1, 3 * MIB);
    await expect(append(journal, 2, 2, 3 * MIB)).rejects.toThrow(/ENOENT/);
    await journal.close();
  });

  test('consists of whole blocks, and is read also where it does not', async () => {
    const location = await temporaryDirectory();
    const journal = await begin(location);
    for (let n = 1; n <= 600; n++) await append(journal, n, n, n);
    const bytes = await readFile(join(location, 'journal.1'));
    const written: Buffer[] = [];
    for (let at = 0; written.length < 600; at += bytes.readUInt32LE(at + 4))
      written.push(bytes.subarray(at, at + bytes.readUInt32LE(at + 4)));
    expect(written.filter(({ length }) => length % 512 !== 0)).toEqual([]);
    const other = await temporaryDirectory();
    await writeFile(join(other, 'journal.1'), Buffer.concat(written.map(withoutPadding)));
    expect(await found(other)).toEqual(numbers(1, 600));
  });

  test('begins anew in a file of its own, whatever was there', async () => {
    const location = await temporaryDirectory();
    const first = await begin(location);
    await append(first, 1, 100, 100_000);
    await first.close();
    const names = await files(location);
    const second = await begin(location);
    expect(await found(location)).toEqual([]);
    await append(second, 50, 52);
    expect(await found(location)).toEqual([50, 51, 52]);
    expect(await files(location)).toEqual([`journal.${names.length + 1}`]);
  });
});

describe('after a crash', () => {
  /** `endedAt` tells how many of its records end at or before a byte. */
  async function sample(): Promise<{ location: string; endedAt: (at: number) => number }> {
    const location = await temporaryDirectory();
    const journal = await begin(location);
    await append(journal, 1, 20, 1_000);
    const bytes = await readFile(join(location, 'journal.1'));
    const ends: number[] = [];
    while (ends.length < 20) ends.push((ends.at(-1) ?? 0) + bytes.readUInt32LE((ends.at(-1) ?? 0) + 4));
    return { location, endedAt: (at) => ends.filter((end) => end <= at).length };
  }

  test('a journal that was cut off anywhere holds its beginning', async () => {
    const { location, endedAt } = await sample();
    const file = join(location, 'journal.1');
    for (let size = 22_000; size > 0; size -= 777) {
      await truncate(file, size);
      const batches = await found(location);
      expect(batches).toEqual(numbers(1, batches.length));
      expect(batches.length).toBe(endedAt(size));
    }
  });

  test('a byte that was changed anywhere ends it there', async () => {
    const { location, endedAt } = await sample();
    const file = join(location, 'journal.1');
    const bytes = await readFile(file);
    for (let at = 3; at < 21_000; at += 501) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 0x40;
      await writeFile(file, changed);
      expect(await found(location)).toEqual(numbers(1, endedAt(at)));
    }
  });

  test('older records behind the last one are not taken for newer ones', async () => {
    const location = await temporaryDirectory();
    const journal = await begin(location);
    await append(journal, 1, 90, 100_000);
    journal.release(90);
    await append(journal, 91, 91, 4 * MIB);
    await append(journal, 92, 95, 200_000);
    const kept = await found(location);
    expect(kept.at(-1)).toBe(95);
    expect(kept).toEqual(numbers(kept[0] as number, 95));
  });

  test('what somebody stored is not taken for a record, whatever it looks like', async () => {
    const location = await temporaryDirectory();
    const journal = await begin(location);
    // By its number it follows the first record that is written over values like this one.
    const made = new RecordBatch(new BatchMemory());
    made.put(SECTION.directory, 'user', Buffer.from('made by somebody'));
    const record = made.finish({ ...checkOf(94), link: 1 });
    expect(record).toHaveLength(BLOCK_BYTES);
    const valueAt = HEAD_BYTES + 8 + 'rk'.length;
    const value = Buffer.alloc(100_000);
    for (let at = BLOCK_BYTES - valueAt; at + BLOCK_BYTES <= value.length; at += BLOCK_BYTES) value.set(record, at);
    for (let n = 1; n <= 90; n++) await appendOne(journal, n, ['k'], [value]);
    journal.release(90);
    await append(journal, 91, 91, 4 * MIB);
    await append(journal, 92, 93, 150_000);
    const records = await readJournal(location);
    expect(records.at(-1)?.check).toEqual(checkOf(93));
  });
});
