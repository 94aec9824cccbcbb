// What LevelDB is given of what the journal has, and what is seen of both.

import { cp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BatchMemory, RecordBatch } from '../../../src/core/store/batch-memory.js';
import { type Check, NOTHING_WRITTEN } from '../../../src/core/store/check-trail.js';
import { Handover } from '../../../src/core/store/handover.js';
import { LevelStore } from '../../../src/core/store/level-store.js';
import type { Database } from '../../../src/core/store/opening.js';
import { type Stage, Staging } from '../../../src/core/store/staging.js';
import { SECTION, type StoreKeyScan, type StoreScan } from '../../../src/core/store/store.js';
import { makeDirectory, temporaryDirectory } from '../../support/temporary.js';

type Model = ReadonlyMap<string, string>;

interface Opened {
  readonly store: LevelStore;
  readonly location: string;
  readonly model: Map<string, string>;
  /** Sets keys, or deletes them where the text is null. */
  write(changes: readonly (readonly [string, string | null])[]): Promise<void>;
}

async function open(directory: string): Promise<Opened> {
  const location = join(directory, 'store');
  const store = new LevelStore({ location, durability: 'sync' });
  let { batch } = await store.open();
  const model = new Map<string, string>();
  const write: Opened['write'] = async (changes) => {
    const rows = store.batch();
    for (const [key, text] of changes) {
      if (text === null) rows.delete(SECTION.record, key);
      else rows.put(SECTION.record, key, Buffer.from(text));
    }
    const next = batch + 1;
    await store.write(rows, { batch: next, revision: next, applied: next });
    batch = next;
    for (const [key, text] of changes) {
      if (text === null) model.delete(key);
      else model.set(key, text);
    }
  };
  return { store, location, model, write };
}

async function running(): Promise<Opened> {
  const opened = await open(await temporaryDirectory());
  onTestFinished(() => opened.store.close());
  return opened;
}

async function rowsOf(scan: StoreScan): Promise<[string, string][]> {
  const rows: [string, string][] = [];
  for (let slice = await scan.next(); slice.length > 0; slice = await scan.next()) {
    rows.push(...slice.map(({ key, value }): [string, string] => [key, Buffer.from(value).toString()]));
  }
  return rows;
}

const sorted = (model: Model): [string, string][] => [...model].sort(([a], [b]) => (a < b ? -1 : 1));
const text = (store: LevelStore, key: string): string | undefined => {
  const value = store.read(SECTION.record, key);
  return value === undefined ? undefined : Buffer.from(value).toString();
};

describe('a scan of a store of durability sync', () => {
  test('sees everything that was written before its call, and nothing of what was written after, however late it is read', async () => {
    const { store, model, write } = await running();
    const scans: { rows: StoreScan; keys: StoreKeyScan; model: Model }[] = [];
    for (let n = 0; n < 40; n++) {
      await write([
        [`k${n % 7}`, `${n}`],
        [`l${n}`, 'new'],
        [`l${n - 3}`, null],
      ]);
      const range = { section: SECTION.record };
      if (n % 3 === 0) scans.push({ rows: store.scan(range, 5), keys: store.scanKeys(range, 5), model: new Map(model) });
    }
    for (const { rows, keys, model: then } of scans) {
      expect(await rowsOf(rows)).toEqual(sorted(then));
      expect(await rowsOf(keys.rows())).toEqual(sorted(then));
      keys.rows().seek('k3');
      expect((await keys.rows().next(1)).map(({ key }) => key)).toEqual([
        then.has('k3') ? 'k3' : sorted(then).find(([key]) => key > 'k3')?.[0],
      ]);
      expect(await keys.next()).toEqual(
        sorted(then)
          .slice(0, 5)
          .map(([key]) => key),
      );
      await rows.close();
      await keys.close();
    }
  });

  test('does not see the batch that is being written', async () => {
    const { store, write } = await running();
    await write([['a', 'old']]);
    const writing = write([
      ['a', 'new'],
      ['b', 'new'],
    ]);
    const scan = store.scan({ section: SECTION.record }, 10);
    await writing;
    const later = store.scan({ section: SECTION.record }, 10);
    await write([['c', 'newer']]);
    expect(await rowsOf(scan)).toEqual([['a', 'old']]);
    expect(await rowsOf(later)).toEqual([
      ['a', 'new'],
      ['b', 'new'],
    ]);
    await scan.close();
    await later.close();
  });

  test('may be closed before it began, and is refused when the store is closed first', async () => {
    const { store, write } = await running();
    await write([['a', '1']]);
    await store.scan({ section: SECTION.record }, 10).close();
    await write([['a', '2']]);
    const scan = store.scan({ section: SECTION.record }, 10);
    await store.close();
    await expect(scan.next()).rejects.toThrow(/not open/);
    await scan.close();
  });

  test('over any course of writes, scans, kills and closings is what a map would be', async () => {
    const key = fc.constantFrom('', 'a', 'a/b', 'b', 'é', '😀');
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.array(fc.tuple(key, fc.option(fc.string({ maxLength: 5 }))), { maxLength: 4 }) },
      fc.constantFrom('scan' as const, 'kill' as const, 'close' as const),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (course) => {
        const directory = await makeDirectory();
        let opened = await open(directory);
        let { model } = opened;
        const scans: [StoreScan, Model][] = [];
        for (const what of course) {
          if (what === 'scan') scans.push([opened.store.scan({ section: SECTION.record }, 2), new Map(model)]);
          else if (what === 'kill' || what === 'close') {
            for (const [scan, then] of scans.splice(0)) await expectRows(scan, then);
            opened = what === 'kill' ? await killed(opened) : await closed(opened, directory);
            for (const [known, value] of model) opened.model.set(known, value);
            model = opened.model;
          } else await opened.write(what);
          for (const known of ['', 'a', 'a/b', 'b', 'é', '😀']) expect(text(opened.store, known)).toBe(model.get(known));
        }
        for (const [scan, then] of scans) await expectRows(scan, then);
        await opened.store.close();
        await rm(directory, { recursive: true });
      }),
      { numRuns: 20 },
    );
  }, 60_000);
});

async function expectRows(scan: StoreScan, then: Model): Promise<void> {
  const byBytes = [...then].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  expect(await rowsOf(scan)).toEqual(byBytes);
  await scan.close();
}

/** The files as they are, opened elsewhere: what a kill leaves. */
async function killed({ store, location }: Opened): Promise<Opened> {
  for (;;) {
    const directory = await temporaryDirectory();
    const before = await filesOf(location);
    // LevelDB may still work: then the copy is not of one moment, or a file is gone before it is copied.
    const isWhole = await cp(location, join(directory, 'store'), { recursive: true }).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
        return false;
      },
    );
    if (!isWhole || (await filesOf(location)) !== before) continue;
    await store.close();
    return open(directory);
  }
}

/** Names, sizes and times of the files in a directory. */
async function filesOf(location: string): Promise<string> {
  const names = (await readdir(location)).sort();
  const files = names.map(async (name) => {
    const file = await stat(join(location, name)).catch(() => null);
    return `${name} ${file?.size} ${file?.mtimeMs}`;
  });
  return (await Promise.all(files)).join('\n');
}

async function closed({ store, location }: Opened, directory: string): Promise<Opened> {
  await store.close();
  return open(location === join(directory, 'store') ? directory : join(location, '..'));
}

describe('a store that was closed', () => {
  test('has given LevelDB everything', async () => {
    const { store, location, model, write } = await running();
    for (let n = 0; n < 1500; n++) await write([[`k${n % 50}`, `${n}`]]);
    await store.close();
    for (const name of await readdir(location)) if (name.startsWith('journal.')) await rm(join(location, name));
    const again = new LevelStore({ location, durability: 'sync', acceptDamage: true });
    expect((await again.open()).batch).toBe(1500);
    for (const [key, value] of model) expect(text(again, key)).toBe(value);
    await again.close();
  });
});

describe('the journal of a store that changes the same records again and again', () => {
  test('stays as short as any, and has what a kill takes', async () => {
    const { location, model, write, store } = await running();
    const body = 'x'.repeat(20_000);
    for (let n = 0; n < 300; n++) await write(Array.from({ length: 20 }, (_, i): [string, string] => [`k${i}`, `${n} ${body}`]));
    const journals = (await readdir(location)).filter((name) => name.startsWith('journal.'));
    // Of thirty, if none was written over; where the disk is slow, all that may wait for LevelDB does.
    expect(journals.length).toBeLessThan(16);
    const found = await killed({ location, model, write, store });
    for (const [key, value] of model) expect(text(found.store, key)).toBe(value);
    await found.store.close();
  }, 60_000);
});

describe('a handover that LevelDB refuses', () => {
  const checkOf = (batch: number): Check => ({ ...NOTHING_WRITTEN, batch });
  /** Sets `keys` to `value`. */
  const finished = (memory: BatchMemory, batch: number, keys: readonly string[], value: string): RecordBatch => {
    const record = new RecordBatch(memory);
    for (const key of keys) record.put(SECTION.record, key, Buffer.from(value));
    record.finish(checkOf(batch));
    return record;
  };
  const noRows = { put: () => {}, del: () => {} };

  test('is told, gives LevelDB nothing more, and shows what the journal has until the store is reopened', async () => {
    const told: unknown[] = [];
    let commits = 0;
    const memory = new BatchMemory();
    const handover = new Handover({
      database: { batch: () => noRows } as unknown as Database,
      memory,
      commit: async () => {
        commits += 1;
        throw new Error('no space left');
      },
      inTables: () => {},
      failed: (error) => told.push(error),
    });
    handover.add(checkOf(1), finished(memory, 1, ['a'], '1'));
    const outcomes: string[] = [];
    const waiting = (name: string) => ({ open: () => outcomes.push(`${name} opened`), fail: () => outcomes.push(`${name} failed`) });
    handover.wait(waiting('first'));
    handover.add(checkOf(2), finished(memory, 2, ['a'], '2'));
    handover.wait(waiting('second'));
    await handover.end();
    handover.wait(waiting('third'));
    expect(outcomes).toEqual(['first failed', 'second failed', 'third failed']);
    expect(told).toEqual([new Error('no space left')]);
    expect(commits).toBe(1);
    expect(handover.isDone).toBe(false);
    expect(String(handover.get('r', 'a'))).toBe('2');
    await handover.room();
    handover.add(checkOf(3), finished(memory, 3, ['b'], '3'));
    let shown: readonly Stage[] = [];
    handover.wait({ open: () => {}, fail: (_error, stages) => (shown = stages) });
    expect(shown.at(-1)?.get('r', 'b')).toEqual(Buffer.from('3'));
  });

  test('to make tables is told, and what is still to be given is not given', async () => {
    const told: unknown[] = [];
    let commits = 0;
    let fail = (_error: Error): void => {};
    const tables = new Promise<void>((_, reject) => (fail = reject));
    const memory = new BatchMemory();
    const handover = new Handover({
      database: { batch: () => noRows, compactRange: () => tables } as unknown as Database,
      memory,
      commit: async () => {
        commits += 1;
        if (commits === 2) fail(new Error('no space left'));
        await new Promise((resolve) => setImmediate(resolve));
      },
      inTables: () => {},
      failed: (error) => told.push(error),
    });
    for (const [batch, value] of ['x'.repeat(9 * 1024 * 1024), '2', '3'].entries()) {
      handover.add(checkOf(batch + 1), finished(memory, batch + 1, ['a'], value));
      handover.wait({ open: () => {}, fail: () => {} });
    }
    await handover.end();
    expect([commits, told]).toEqual([2, [new Error('no space left')]]);
    expect(handover.isDone).toBe(false);
    expect(String(handover.get('r', 'a'))).toBe('3');
  });

  test('is not put off until a scan would have to wait for very many rows', () => {
    const memory = new BatchMemory();
    const staging = new Staging(memory);
    for (let batch = 1; batch <= 24; batch++) {
      expect(staging.sealed).toBeNull();
      const keys = Array.from({ length: 1024 }, (_, i) => `${batch}/${i}`);
      for (let again = 0; again < 2; again++) staging.add(checkOf(batch), finished(memory, batch, keys, `${batch}`));
    }
    expect(staging.sealed?.length).toBe(24 * 1024);
    expect(staging.get('r', '24/1023')).toEqual(Buffer.from('24'));
  });

  test('takes no more than a few stages while LevelDB is slow', async () => {
    let isSlow = true;
    let release = (): void => {};
    const memory = new BatchMemory();
    const handover = new Handover({
      database: { batch: () => noRows } as unknown as Database,
      memory,
      commit: () => (isSlow ? new Promise((resolve) => (release = resolve)) : Promise.resolve()),
      inTables: () => {},
      failed: () => {},
    });
    const hasRoom = () => Promise.race([handover.room().then(() => true), new Promise((resolve) => setImmediate(resolve, false))]);
    let batch = 0;
    while (await hasRoom()) {
      batch += 1;
      handover.add(checkOf(batch), finished(memory, batch, ['a'], `${batch}`));
      handover.wait({ open: () => {}, fail: () => {} });
    }
    expect(batch).toBe(4);
    isSlow = false;
    release();
    await handover.room();
    await handover.end();
    expect(handover.isDone).toBe(true);
  });
});
