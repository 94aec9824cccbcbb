// What the store does about its directory that a test can only make up: a full disk, a directory that cannot be flushed. Alone in its
// process, because what stands for the system there is seen by all modules.

import { readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { Journal, removeJournal } from '../src/core/store/journal.js';
import { LevelStore } from '../src/core/store/level-store.js';
import { SECTION, StoreFailure } from '../src/core/store/store.js';
import { temporaryDirectory } from './support/temporary.js';

const MIB = 1024 * 1024;

/** Free bytes, as a store that is to be reopened is told; directories that were opened, to be flushed, and why they cannot be. */
const disk = vi.hoisted(() => ({ room: 0, flushed: 0, failure: null as Error | null }));

vi.mock('../src/core/store/store-directory.js', async (original) => ({
  ...(await original<typeof import('../src/core/store/store-directory.js')>()),
  roomForOpening: async () => disk.room,
}));

vi.mock('node:fs/promises', async (original) => {
  const fs = await original<typeof import('node:fs/promises')>();
  const open: typeof fs.open = async (...args) => {
    disk.flushed += 1;
    if (disk.failure !== null) throw disk.failure;
    return fs.open(...args);
  };
  return { ...fs, open };
});

beforeEach(() => {
  disk.flushed = 0;
  disk.failure = null;
});

test('a store is reopened when there is room for what LevelDB is to be given back of the journal, too', async () => {
  const store = new LevelStore({ location: join(await temporaryDirectory(), 'store'), durability: 'sync' });
  await store.open();
  onTestFinished(() => store.close());
  const batch = store.batch();
  batch.put(SECTION.record, 'a', Buffer.alloc(3 * MIB, 'a'));
  await store.write(batch, { batch: 1, revision: 1, applied: 1 });
  disk.room = 10 * MIB;
  await expect(store.reopen()).rejects.toThrow(StoreFailure);
  expect(store.read(SECTION.record, 'a')).toHaveLength(3 * MIB);
  disk.room = 12 * MIB;
  expect((await store.reopen()).batch).toBe(1);
  expect(store.read(SECTION.record, 'a')).toHaveLength(3 * MIB);
});

test('the directory of a journal is flushed when names have come, and when they have gone', async () => {
  const location = await temporaryDirectory();
  await writeFile(join(location, 'journal.1'), '');
  const journal = await Journal.begin(location);
  await journal.close();
  expect(await readdir(location)).toEqual(['journal.2']);
  expect(disk.flushed).toBe(2);
  await removeJournal(location);
  expect(disk.flushed).toBe(3);
});

test.runIf(process.platform === 'linux')('a journal whose directory cannot be flushed leaves no file open', async () => {
  const location = await temporaryDirectory();
  disk.failure = new Error('EIO');
  await expect(Journal.begin(location)).rejects.toThrow('EIO');
  const open = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  expect(open.filter((path) => path.startsWith(location))).toEqual([]);
});
