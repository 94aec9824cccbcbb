// Journal: every batch as bytes in files of its own, which are flushed in LevelDB's place. A file of a journal is written over from
// its beginning when all that it holds is in LevelDB's tables: a flush that changes no size and takes no new room costs the disk
// half as much. Several records are on their way to the disk at once; each counts when all before it are there. Knows nothing of
// LevelDB: opening.ts reads a journal, and gives LevelDB what it has lost.
//
// Files are `journal.<n>`, of records (journal-record.ts) that follow each other; the last one is followed by zeros or by older records,
// whose numbers tell that they are.

import { close, constants, fdatasync, open, writev } from 'node:fs';
import { open as openFile, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { batchOf, type JournalRecord, recordsIn } from './journal-record.js';

/** A file takes no more once it has so much: it is written over when all of it is in tables. */
const FILE_BYTES = 4 * 1024 * 1024;
/** Files grow by so much, in zeros: most records change no size. */
const GROWTH_BYTES = 256 * 1024;
const FILE_NAME = /^journal\.(\d+)$/;
const ZEROS = Buffer.alloc(GROWTH_BYTES);
/** Elsewhere a synchronous write need not reach the disk itself, or there is none. */
const IS_WRITE_SYNCED = process.platform === 'linux';
const FLAGS = constants.O_RDWR | constants.O_CREAT | (IS_WRITE_SYNCED ? constants.O_DSYNC : 0);

interface JournalFile {
  readonly fd: number;
  /** Where the next record begins. */
  end: number;
  /** What is there of it on the disk. */
  size: number;
  /** Of the last record. */
  lastBatch: number;
}

export class Journal {
  readonly #location: string;
  readonly #files: JournalFile[] = [];
  #current: JournalFile | null = null;
  #nextNumber = 1;
  /** Up to this batch nothing is needed any more. */
  #released = 0;
  /** All records up to the last one. */
  #writing: Promise<void> = Promise.resolve();
  /** Records that are written with nothing beside them, or wait until they can be. */
  #alone = 0;

  private constructor(location: string) {
    this.#location = location;
  }

  /**
   * Begins an empty journal in the directory, of one file; what an earlier one held is needed no more. Its files are not written over:
   * of records that were on their way together, a later one may be there without the earlier one.
   */
  static async begin(location: string): Promise<Journal> {
    const journal = new Journal(location);
    const names = await namesIn(location);
    for (const name of names) journal.#nextNumber = Math.max(journal.#nextNumber, numberOf(name) + 1);
    try {
      await journal.#nextFile();
      for (const name of names) await unlink(join(location, name));
    } catch (error) {
      await journal.close();
      throw error;
    }
    return journal;
  }

  /** Resolves when the record of this batch is on the disk, and all before it are. Its bytes must stay as they are until then. */
  append(record: Buffer, batch: number): Promise<void> {
    const file = this.#current;
    const isBeside = this.#alone === 0 && file !== null && file.end + record.length <= file.size;
    const own = isBeside ? this.#write(file, record, batch) : this.#appendAlone(this.#writing, record, batch);
    this.#writing = behind(this.#writing, own);
    return this.#writing;
  }

  /**
   * A file gets its first record when all of the file before is there, so that no gap hides what follows; and nothing is on its way to
   * where a file is being made larger.
   */
  async #appendAlone(before: Promise<void>, record: Buffer, batch: number): Promise<void> {
    this.#alone += 1;
    try {
      await before;
      const current = this.#current;
      this.#current = current !== null && current.end + record.length <= FILE_BYTES ? current : await this.#nextFile();
      await this.#write(this.#current, record, batch);
    } finally {
      this.#alone -= 1;
    }
  }

  #write(file: JournalFile, record: Buffer, batch: number): Promise<void> {
    const from = file.end;
    const end = from + record.length;
    const size = end <= file.size ? file.size : Math.ceil(end / GROWTH_BYTES) * GROWTH_BYTES;
    const buffers = size === file.size ? [record] : [record, ZEROS.subarray(0, size - end)];
    file.end = end;
    file.size = size;
    file.lastBatch = batch;
    return write(file.fd, buffers, from);
  }

  async #nextFile(): Promise<JournalFile> {
    const free = this.#files.find((file) => file !== this.#current && file.lastBatch <= this.#released);
    if (free !== undefined) {
      free.end = 0;
      return free;
    }
    const name = `journal.${this.#nextNumber}`;
    this.#nextNumber += 1;
    const fd = await promisify(open)(join(this.#location, name), FLAGS, 0o666);
    const file: JournalFile = { fd, end: 0, size: 0, lastBatch: 0 };
    this.#files.push(file);
    await flushDirectory(this.#location);
    return file;
  }

  /** Batches up to this one are in tables. */
  release(batch: number): void {
    this.#released = batch;
  }

  /** What is being written is finished. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#writing]);
    for (const { fd } of this.#files.splice(0)) await promisify(close)(fd);
  }
}

/**
 * The newest records that follow each other without a gap, in order: all that were written since the journal began, or what is
 * left of them.
 */
export async function readJournal(location: string): Promise<JournalRecord[]> {
  const runs: JournalRecord[][] = [];
  for (const name of await namesIn(location)) runs.push(recordsIn(await readFile(join(location, name))));
  runs.sort((a, b) => batchOf(a[0]) - batchOf(b[0]));
  let records: JournalRecord[] = [];
  for (const run of runs) {
    if (run.length === 0) continue;
    records = batchOf(run[0]) === batchOf(records.at(-1)) + 1 ? [...records, ...run] : run;
  }
  return records;
}

export async function hasJournal(location: string): Promise<boolean> {
  return (await namesIn(location)).length > 0;
}

/** To be called when nothing of it is needed any more. */
export async function removeJournal(location: string): Promise<void> {
  for (const name of await namesIn(location)) await unlink(join(location, name));
}

async function namesIn(location: string): Promise<string[]> {
  return (await readdir(location)).filter((name) => FILE_NAME.test(name));
}

function numberOf(name: string): number {
  return Number(FILE_NAME.exec(name)?.[1]);
}

async function behind(before: Promise<void>, own: Promise<void>): Promise<void> {
  const outcomes = await Promise.allSettled([before, own]);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

async function write(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
  await writeAll(fd, buffers, position);
  if (!IS_WRITE_SYNCED) await promisify(fdatasync)(fd);
}

/** The system may take less at once. */
function writeAll(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const size = buffers.reduce((bytes, { length }) => bytes + length, 0);
    writev(fd, buffers, position, (error, written) => {
      if (error !== null) reject(error);
      else if (written === size) resolve();
      else if (written === 0) reject(new Error('the system takes no more of the journal'));
      else resolve(writeAll(fd, restOf(buffers, written), position + written));
    });
  });
}

function restOf(buffers: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = written;
  for (const buffer of buffers) {
    if (skip < buffer.length) rest.push(buffer.subarray(skip));
    skip = Math.max(0, skip - buffer.length);
  }
  return rest;
}

/** The name of a new file is on the disk when its directory is. */
async function flushDirectory(location: string): Promise<void> {
  const directory = await openFile(location, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
