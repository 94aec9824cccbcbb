// The directory of a LevelDB database, looked at from outside: whether one may be made or opened there, and its size.
// LevelDB itself would make an empty database over one whose CURRENT file is lost, and then delete its tables.

import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreDamage, StoreFailure } from './store.js';

const DATA_FILE = /^\d{6,}\.(ldb|sst|log)$/;
const TABLE_FILE = /^\d{6,}\.(ldb|sst)$/;
/** What a database has before the first byte is stored in it; an interrupted creation leaves some of it. */
const EMPTY_DATABASE = /^(LOCK|LOG|LOG\.old|MANIFEST-000001|\d{6,}\.dbtmp)$/;
const CURRENT = /^(MANIFEST-\d{6,})\n$/;

export const RESTORE_HINT = 'restore the directory from a backup, or move it away to start with an empty store';
/** For damage that leaves a store that can be used. */
export const ACCEPT_HINT = 'or go on without what is missing by starting once with --data-accept-damage';

/**
 * 'new' when a database may be made at `location`, 'existing' when one can be opened. Throws StoreDamage when what is
 * needed to open it is lost, StoreFailure when the directory holds something else or cannot be read.
 */
export async function inspectDirectory(location: string): Promise<'new' | 'existing'> {
  const names = await list(location);
  if (names === null) return 'new';
  if (names.includes('CURRENT')) {
    await checkCurrent(location, names);
    return 'existing';
  }
  const strangers = names.filter((name) => !EMPTY_DATABASE.test(name));
  if (strangers.length === 0) return 'new';
  if (strangers.some((name) => DATA_FILE.test(name) || name.startsWith('MANIFEST-'))) {
    throw new StoreDamage(`the store at ${location} is damaged: its CURRENT file is missing; ${RESTORE_HINT}`);
  }
  throw new StoreFailure(
    `the directory ${location} holds something else (${strangers.slice(0, 3).join(', ')}); name an empty one for the store`,
  );
}

async function list(location: string): Promise<string[] | null> {
  try {
    return await readdir(location);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw new StoreFailure(`the store directory ${location} cannot be read (${code})`, { cause: error });
  }
}

async function checkCurrent(location: string, names: readonly string[]): Promise<void> {
  const text = await readFile(join(location, 'CURRENT'), 'latin1');
  const manifest = CURRENT.exec(text)?.[1];
  if (manifest === undefined) {
    throw new StoreDamage(`the store at ${location} is damaged: its CURRENT file is not readable; ${RESTORE_HINT}`);
  }
  if (!names.includes(manifest)) {
    throw new StoreDamage(`the store at ${location} is damaged: its ${manifest} file is missing; ${RESTORE_HINT}`);
  }
}

/** Bytes of all files of the directory; those that vanish meanwhile count nothing. */
export async function directoryBytes(location: string): Promise<number> {
  const names = (await list(location)) ?? [];
  const sizes = await Promise.all(names.map((name) => fileBytes(join(location, name))));
  return sizes.reduce((total, size) => total + size, 0);
}

/**
 * Bytes that the disk will have when the database is opened again: those that are free, and of tables that were begun and are none, which
 * go then. `tables`: numbers of those that are.
 */
export async function roomForOpening(location: string, tables: ReadonlySet<number>): Promise<number> {
  const { bavail, bsize } = await statfs(location);
  const names = (await list(location)) ?? [];
  const begun = names.filter((name) => TABLE_FILE.test(name) && !tables.has(Number.parseInt(name, 10)));
  const sizes = await Promise.all(begun.map((name) => fileBytes(join(location, name))));
  return sizes.reduce((total, size) => total + size, bavail * bsize);
}

async function fileBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

/**
 * What LevelDB says it dropped when it last read its write-ahead log: it reports this in its LOG file alone. Empty when
 * nothing was damaged; a batch that was cut off by a crash is not.
 */
export async function droppedAtRecovery(location: string): Promise<string[]> {
  const text = await readFile(join(location, 'LOG'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return [...text.matchAll(/(\d{6,}\.log): dropping (\d+) bytes; (.*)/g)].map(
    ([, file, bytes, reason]) => `${bytes} bytes of ${file} (${reason})`,
  );
}
