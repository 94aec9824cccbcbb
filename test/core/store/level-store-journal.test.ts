// What a store of durability `sync` is after the power failed: LevelDB's files as they were flushed last, and the journal.

import { cp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Level } from 'level';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { LevelStore, type LevelStoreOptions } from '../../../src/core/store/level-store.js';
import { SECTION, StoreDamage } from '../../../src/core/store/store.js';
import { randomOf } from '../../support/random.js';
import { temporaryDirectory } from '../../support/temporary.js';

const FIXTURE = fileURLToPath(new URL('../../fixtures/store-format-1', import.meta.url));

function storeAt(location: string, options: Partial<LevelStoreOptions> = {}): LevelStore {
  return new LevelStore({ location, durability: 'sync', ...options });
}

const text = (store: LevelStore, key: string): string => Buffer.from(store.read(SECTION.record, key) ?? []).toString();

/** Batch n sets `last` and `k<n % 40>` to n, and deletes `k<(n + 20) % 40>`. */
async function writeBatches(store: LevelStore, from: number, to: number, bytes = 200): Promise<void> {
  for (let n = from; n <= to; n++) {
    const batch = store.batch();
    batch.put(SECTION.record, 'last', Buffer.from(String(n)));
    batch.put(SECTION.record, `k${n % 40}`, Buffer.from(String(n).padEnd(bytes)));
    batch.delete(SECTION.record, `k${(n + 20) % 40}`);
    await store.write(batch, { batch: n, revision: n, applied: n });
    if (n % 7 === 0) await handOver(store);
  }
}

/** LevelDB has everything when a scan begins. */
async function handOver(store: LevelStore): Promise<void> {
  const scan = store.scan({ section: SECTION.record }, 1);
  await scan.next();
  await scan.close();
}

function expectExactly(store: LevelStore, last: number): void {
  expect(text(store, 'last')).toBe(String(last));
  for (let n = last - 39; n <= last; n++) expect(text(store, `k${n % 40}`).trim()).toBe(n > last - 20 ? String(n) : '');
}

/** Bytes of LevelDB's logs that cannot be lost any more, by name: what an opening has written is flushed. */
type Flushed = ReadonlyMap<string, number>;

/** A store that goes on being used. */
async function running(last: number, bytes?: number): Promise<{ location: string; store: LevelStore; flushed: Flushed }> {
  const location = join(await temporaryDirectory(), 'store');
  const store = storeAt(location);
  onTestFinished(() => store.close());
  await store.open();
  const flushed = await flushedNow(location);
  await writeBatches(store, 1, last, bytes);
  return { location, store, flushed };
}

async function flushedNow(location: string): Promise<Flushed> {
  const names = await logsOf(location);
  return new Map(await Promise.all(names.map(async (name) => [name, (await stat(join(location, name))).size] as const)));
}

const logsOf = async (location: string): Promise<string[]> => (await readdir(location)).filter((name) => name.endsWith('.log')).sort();

/** The files as they are at one moment: LevelDB may make tables of its log, and remove files, while they are copied. */
async function copyOf(location: string, copy: string): Promise<void> {
  for (;;) {
    const before = await sizesIn(location);
    await rm(copy, { recursive: true, force: true });
    const isWhole = await cp(location, copy, { recursive: true }).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
        return false;
      },
    );
    if (isWhole && (await sizesIn(location)) === before) return;
  }
}

/** Names and sizes; of a file that is gone meanwhile, its name. */
async function sizesIn(location: string): Promise<string> {
  const names = (await readdir(location)).sort();
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(location, name)).then(
        ({ size }) => size,
        () => null,
      ),
    ),
  );
  return JSON.stringify(names.map((name, i) => [name, sizes[i]]));
}

/** What is opened of a copy of the files after `harm`. */
async function opened<T>(
  location: string,
  harm: (copy: string) => Promise<void>,
  look: (store: LevelStore) => T,
  options = {},
): Promise<T> {
  const copy = `${location}-copy`;
  await copyOf(location, copy);
  await harm(copy);
  const store = storeAt(copy, options);
  try {
    await store.open();
    return look(store);
  } finally {
    await store.close();
  }
}

/** Of what was not flushed, this share is left. */
async function cutLogs(copy: string, share: number, flushed: Flushed): Promise<void> {
  for (const name of await logsOf(copy)) {
    const { size } = await stat(join(copy, name));
    const safe = flushed.get(name) ?? 0;
    await truncate(join(copy, name), safe + Math.floor((size - safe) * share));
  }
}

describe('when the power fails', () => {
  test('whatever LevelDB had not flushed is in the journal', async () => {
    const { location, flushed } = await running(150);
    for (const share of [0, 0.1, 0.5, 0.9, 0.999, 1]) {
      await opened(
        location,
        (copy) => cutLogs(copy, share, flushed),
        (store) => expectExactly(store, 150),
      );
    }
  });

  test('nor does it matter which pieces of its log had reached the disk', async () => {
    const { location, flushed } = await running(150, 2_000);
    const random = randomOf(1);
    for (let round = 0; round < 20; round++) {
      const lose = async (copy: string): Promise<void> => {
        for (const name of await logsOf(copy)) {
          const bytes = await readFile(join(copy, name));
          const safe = flushed.get(name) ?? 0;
          for (let at = safe; at < bytes.length; at += 4_096) if (random(3) === 0) bytes.fill(0, at, Math.min(at + 4_096, bytes.length));
          bytes.fill(0, Math.max(safe, bytes.length - 4_096));
          await writeFile(join(copy, name), bytes);
        }
      };
      await opened(location, lose, (store) => expectExactly(store, 150));
    }
  });

  test('what is given back stays, and the store goes on', async () => {
    const { location, flushed } = await running(60);
    const copy = `${location}-goes-on`;
    await copyOf(location, copy);
    await cutLogs(copy, 0.3, flushed);
    for (let last = 60; last < 100; last += 10) {
      const store = storeAt(copy);
      expect(await store.open()).toEqual({ batch: last, revision: last, applied: last });
      const safe = await flushedNow(copy);
      await writeBatches(store, last + 1, last + 10);
      await store.close();
      await cutLogs(copy, 0, safe);
    }
  });

  test('the journal reaches back to what is in tables, however much was written', async () => {
    const { location, store, flushed } = await running(40);
    for (let last = 40; last < 900; last += 60) {
      await writeBatches(store, last + 1, last + 60, 60_000);
      await opened(
        location,
        (copy) => cutLogs(copy, 0, flushed),
        (found) => expectExactly(found, last + 60),
      );
    }
    const journals = (await readdir(location)).filter((name) => name.startsWith('journal.'));
    expect(journals.length).toBeLessThan(8);
  }, 60_000);

  test('a batch that was not acknowledged is there or not', async () => {
    const { location, store: used, flushed } = await running(50);
    const cutJournal = async (copy: string): Promise<void> => {
      const file = await open(join(copy, 'journal.1'), 'r+');
      const bytes = await file.readFile();
      const end = bytes.findLastIndex((byte) => byte !== 0);
      await file.write(Buffer.alloc(8), 0, 8, end - 8);
      await file.close();
    };
    await opened(location, cutJournal, (store) => expectExactly(store, 49));
    await handOver(used);
    await opened(location, cutJournal, (store) => expectExactly(store, 50));
    const both = async (copy: string): Promise<void> => {
      await cutJournal(copy);
      await cutLogs(copy, 0.5, flushed);
    };
    await opened(location, both, (store) => expectExactly(store, 49));
  });
});

describe('when LevelDB fails', () => {
  /** One batch is written while LevelDB refuses those before it; `failed` is told what it gets. */
  async function failing(): Promise<{ store: LevelStore; told: string[]; writing: Promise<void> }> {
    const { store } = await running(50);
    const told: string[] = [];
    store.failed = (error) => told.push(error.message);
    const batch = Level.prototype.batch as () => { write(): Promise<void> };
    const spy = vi.spyOn(Level.prototype, 'batch').mockImplementation(function (this: Level) {
      return Object.assign(batch.call(this), { write: () => Promise.reject(new Error('ENOSPC')) });
    } as never);
    onTestFinished(() => spy.mockRestore());
    const scan = store.scan({ section: SECTION.record }, 1);
    const writing = writeBatches(store, 51, 51);
    await scan.next();
    await scan.close();
    expect(spy).toHaveBeenCalled();
    spy.mockRestore();
    return { store, told, writing };
  }

  test('a batch that is in the journal is not refused; then the failure is told, and what was acknowledged is there', async () => {
    const { store, told, writing } = await failing();
    await writing;
    expect(told).toEqual([]);
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(told).toEqual([expect.stringMatching(/ENOSPC/)]);
    await expect(writeBatches(store, 52, 52)).rejects.toThrow(/until it is reopened/);
    expect((await store.reopen()).batch).toBe(51);
    expectExactly(store, 51);
    await writeBatches(store, 52, 60);
    expectExactly(store, 60);
  });

  test('whose next batch is refused for it is not told twice', async () => {
    const { store, told, writing } = await failing();
    await writing;
    await expect(writeBatches(store, 52, 52)).rejects.toThrow(/until it is reopened/);
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(told).toEqual([]);
    expect((await store.reopen()).batch).toBe(51);
  });
});

describe('a journal that was damaged', () => {
  test('costs what is behind the damage, which is told', async () => {
    const { location, flushed } = await running(50);
    const damage = async (copy: string): Promise<void> => {
      await cutLogs(copy, 0, flushed);
      const bytes = await readFile(join(copy, 'journal.1'));
      let at = 0;
      for (let n = 1; n < 45; n++) at += bytes.readUInt32LE(at + 4);
      bytes.writeUInt8(bytes.readUInt8(at + 100) ^ 1, at + 100);
      await writeFile(join(copy, 'journal.1'), bytes);
    };
    const notices: string[] = [];
    const options = { notice: (notice: string) => notices.push(notice) };
    await opened(location, damage, (store) => expectExactly(store, 44), options);
    expect(notices).toEqual([expect.stringMatching(/journal .* is damaged behind batch 44: .* up to 50/)]);
    notices.splice(0);
    await opened(
      location,
      (copy) => cutLogs(copy, 0, flushed),
      () => null,
      options,
    );
    expect(notices).toEqual([]);
  });
});

describe('a journal that does not continue the store', () => {
  /** The journal of another store. */
  async function foreign(copy: string): Promise<void> {
    const { location } = await running(80, 300);
    for (const name of await readdir(copy)) if (name.startsWith('journal.')) await rm(join(copy, name));
    await cp(join(location, 'journal.1'), join(copy, 'journal.1'));
  }

  test('is damage, which can be accepted', async () => {
    const { location } = await running(50);
    const other = async (copy: string): Promise<void> => {
      const store = storeAt(copy);
      await store.open();
      const batch = store.batch();
      batch.put(SECTION.record, 'last', Buffer.from('50'));
      await store.write(batch, { batch: 51, revision: 60, applied: 51 });
      await store.close();
      await foreign(copy);
    };
    await expect(opened(location, other, () => null)).rejects.toThrow(StoreDamage);
    await expect(opened(location, other, () => null)).rejects.toThrow(/goes on to batch 80, and does not fit behind 51/);
    const notices: string[] = [];
    const options = { acceptDamage: true, notice: (notice: string) => notices.push(notice) };
    await opened(location, other, (store) => expect(text(store, 'last')).toBe('50'), options);
    expect(notices).toEqual([expect.stringMatching(/goes on to batch 80/)]);
  });

  test('is damage also if the store that it is from was written in the same way', async () => {
    const { location } = await running(50);
    await expect(opened(location, foreign, () => null)).rejects.toThrow(/goes on to batch 80, and does not fit behind 49/);
  });

  test('with a gap before it leaves the hole, which is refused', async () => {
    const { location, flushed } = await running(50);
    const hole = async (copy: string): Promise<void> => {
      await cutLogs(copy, 0.2, flushed);
      const bytes = await readFile(join(copy, 'journal.1'));
      const second = bytes.readUInt32LE(4);
      // The journal begins with a later batch than the one that is missing.
      let at = second;
      for (let n = 2; n < 30; n++) at += bytes.readUInt32LE(at + 4);
      await writeFile(join(copy, 'journal.1'), bytes.subarray(at));
    };
    await expect(opened(location, hole, () => null)).rejects.toThrow(StoreDamage);
  });
});

describe('a journal whose files are gone', () => {
  const removeFiles = async (copy: string): Promise<void> => {
    for (const name of await readdir(copy)) if (name.startsWith('journal.')) await rm(join(copy, name));
  };

  test('is damage, which can be accepted: LevelDB may not have what was acknowledged last', async () => {
    const { location } = await running(50);
    await expect(opened(location, removeFiles, () => null)).rejects.toThrow(/behind batch 49 .* files are gone/);
    const notices: string[] = [];
    const options = { acceptDamage: true, notice: (notice: string) => notices.push(notice) };
    await opened(location, removeFiles, (store) => expect(text(store, 'last')).toBe('49'), options);
    expect(notices).toHaveLength(1);
  });

  test('is damage also before anything was written, and none after an opening without durability sync', async () => {
    const { location } = await running(0);
    await expect(opened(location, removeFiles, () => null)).rejects.toThrow(StoreDamage);
    const turned = async (copy: string): Promise<void> => {
      const store = storeAt(copy, { durability: 'os' });
      await store.open();
      await store.close();
      await removeFiles(copy);
    };
    await opened(location, turned, (store) => expect(text(store, 'last')).toBe(''));
  });
});

describe('without durability sync', () => {
  test('what the journal has is given back once, and it is removed', async () => {
    const { location, flushed } = await running(50);
    const copy = `${location}-os`;
    await copyOf(location, copy);
    await cutLogs(copy, 0.2, flushed);
    const store = storeAt(copy, { durability: 'os' });
    await store.open();
    expectExactly(store, 50);
    await writeBatches(store, 51, 52);
    await store.close();
    expect((await readdir(copy)).filter((name) => name.startsWith('journal.'))).toEqual([]);
    const again = storeAt(copy);
    expect((await again.open()).batch).toBe(52);
    await again.close();
  });
});

describe('a store of format 1', () => {
  test('is opened as it is, and has a journal from then on', async () => {
    const copy = join(await temporaryDirectory(), 'store');
    await cp(FIXTURE, copy, { recursive: true });
    const store = storeAt(copy);
    expect(await store.open()).toEqual({ batch: 50, revision: 50, applied: 50 });
    expectExactly(store, 50);
    const flushed = await flushedNow(copy);
    await writeBatches(store, 51, 60);
    await store.close();
    const database = new Level<string, string>(copy);
    expect(await database.get('f')).toBe('{"format":2}');
    await database.close();
    await cutLogs(copy, 0, flushed);
    const again = storeAt(copy);
    await again.open();
    expectExactly(again, 60);
    await again.close();
  });
});
