// Journal: every batch as bytes in files of its own, which are flushed in LevelDB's place. A file of a journal is written over from
// its beginning when all that it holds is in LevelDB's tables: a flush that changes no size and takes no new room costs the disk
// half as much. Knows nothing of LevelDB: opening.ts reads a journal, and gives LevelDB what it has lost.
//
// Files are `journal.<n>`, of records (journal-record.ts) that follow each other; the last one is followed by zeros or by older records,
// whose numbers tell that they are.

import { close, constants, fdatasync, fstat, open, write } from 'node:fs';
import { open as openFile, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DIRECT_FLAG, directMemory } from './direct.js';
import { batchOf, highestIn, type JournalRecord, recordsIn } from './journal-record.js';

/** A file takes no more once it has so much: it is written over when all of it is in tables. */
const FILE_BYTES = 4 * 1024 * 1024;
/** Files grow by so much, in zeros: most records change no size. */
const GROWTH_BYTES = 256 * 1024;
/** When a file has so much, the next one is made ready beside. */
const READY_BYTES = FILE_BYTES / 2;
/** Past the cache of the system, a record is written in parts of so much. */
const PART_BYTES = 256 * 1024;
const FILE_NAME = /^journal\.(\d+)$/;
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
  readonly #flags: number;
  readonly #zeros: Buffer;
  /** Memory that records are copied to; null: they are written from where they are. */
  readonly #part: Buffer | null;
  readonly #files: JournalFile[] = [];
  #current: JournalFile | null = null;
  #nextNumber: number;
  /** Up to this batch nothing is needed any more. */
  #released = 0;
  #writing: Promise<void> = Promise.resolve();
  /** The next file is being made ready; resolves also when it cannot be. */
  #preparing: Promise<void> | null = null;
  /** That was begun since the current file was taken. */
  #isNextBegun = false;
  #isClosed = false;

  /** `memory`: from directMemory. */
  private constructor(location: string, nextNumber: number, memory: Buffer | null) {
    this.#location = location;
    this.#nextNumber = nextNumber;
    this.#flags = memory === null ? FLAGS : FLAGS | DIRECT_FLAG;
    this.#zeros = memory === null ? Buffer.alloc(GROWTH_BYTES) : memory.subarray(0, GROWTH_BYTES);
    this.#part = memory === null ? null : memory.subarray(GROWTH_BYTES);
  }

  /**
   * Begins an empty journal in the directory, of one file; what an earlier one held is needed no more. Its files are not written over:
   * nothing that is left of them can be taken for what this one writes. `isDirect` false: through the cache of the system, as where it
   * has to be.
   */
  static async begin(location: string, isDirect = true): Promise<Journal> {
    const names = await namesIn(location);
    const number = Math.max(0, ...names.map(numberOf)) + 1;
    const memory = isDirect ? await directMemory(join(location, nameOf(number)), FLAGS, GROWTH_BYTES + PART_BYTES) : null;
    const journal = new Journal(location, number, memory);
    try {
      await journal.#nextFile();
      await unlinkAll(location, names);
    } catch (error) {
      await journal.close();
      throw error;
    }
    return journal;
  }

  /** Resolves when the record of this batch is on the disk. One at a time; its bytes must stay as they are until then. */
  append(record: Buffer, batch: number): Promise<void> {
    this.#writing = new Promise((resolve, reject) => {
      const file = this.#current;
      const isPlain = file !== null && file.end + record.length <= file.size && (this.#part === null || record.length <= PART_BYTES);
      if (!isPlain) {
        this.#appendInParts(record, batch).then(resolve, reject);
        return;
      }
      const from = this.#take(file, record, batch);
      if (this.#part !== null) record.copy(this.#part);
      writeAll(file.fd, this.#part ?? record, 0, record.length, from, (error) => (error === null ? resolve() : reject(error)));
    });
    return this.#writing;
  }

  /** A record that is large, begins a file, or makes it grow. */
  async #appendInParts(record: Buffer, batch: number): Promise<void> {
    let file = this.#current;
    if (file === null || file.end + record.length > FILE_BYTES) {
      file = await this.#nextFile();
      this.#current = file;
      this.#isNextBegun = false;
    }
    const { size } = file;
    const from = this.#take(file, record, batch);
    await this.#writeRecord(file.fd, record, from);
    if (file.size > size) await this.#grow(file);
  }

  /** Behind a record that is on the disk: if there is no room for more, the next one is told. */
  async #grow(file: JournalFile): Promise<void> {
    try {
      await this.#writeZeros(file.fd, file.end, file.size);
    } catch {
      file.size = file.end;
    }
  }

  /** Gives a record its place in the file: returns where that begins. */
  #take(file: JournalFile, { length }: Buffer, batch: number): number {
    const from = file.end;
    file.end += length;
    if (file.end > file.size) file.size = Math.ceil(file.end / GROWTH_BYTES) * GROWTH_BYTES;
    file.lastBatch = batch;
    if (file.end > READY_BYTES && !this.#isNextBegun) this.#prepareNext();
    return from;
  }

  async #writeRecord(fd: number, record: Buffer, position: number): Promise<void> {
    const part = this.#part;
    if (part === null) return writeWhole(fd, record, 0, record.length, position);
    for (let from = 0; from < record.length; from += PART_BYTES) {
      const copied = record.copy(part, 0, from, from + PART_BYTES);
      await writeWhole(fd, part, 0, copied, position + from);
    }
  }

  async #writeZeros(fd: number, from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += GROWTH_BYTES) await writeWhole(fd, this.#zeros, 0, Math.min(to - at, GROWTH_BYTES), at);
  }

  /** A file whose records are needed no more. */
  get #free(): JournalFile | undefined {
    return this.#files.find((file) => file !== this.#current && file.lastBatch <= this.#released);
  }

  async #nextFile(): Promise<JournalFile> {
    if (this.#free === undefined) await this.#preparing;
    let file = this.#free;
    if (file === undefined) {
      file = await this.#newFile();
      this.#files.push(file);
    }
    file.end = 0;
    return file;
  }

  async #newFile(): Promise<JournalFile> {
    const name = nameOf(this.#nextNumber);
    this.#nextNumber += 1;
    const fd = await promisify(open)(join(this.#location, name), this.#flags, 0o666);
    try {
      const { size } = await promisify(fstat)(fd);
      await flushDirectory(this.#location);
      return { fd, end: 0, size, lastBatch: 0 };
    } catch (error) {
      await promisify(close)(fd);
      throw error;
    }
  }

  /** So that nothing waits for a file to grow. If that fails, it fails again when the file is needed. */
  #prepareNext(): void {
    this.#isNextBegun = true;
    if (this.#free !== undefined) return;
    const end = (): void => {
      this.#preparing = null;
    };
    this.#preparing = this.#addReady().then(end, end);
  }

  async #addReady(): Promise<void> {
    const file = await this.#newFile();
    try {
      for (; file.size < FILE_BYTES && !this.#isClosed; file.size += GROWTH_BYTES) {
        await this.#writeZeros(file.fd, file.size, file.size + GROWTH_BYTES);
      }
    } finally {
      this.#files.push(file);
    }
  }

  /** Batches up to this one are in tables. */
  release(batch: number): void {
    this.#released = batch;
  }

  /** What is being written is finished. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled([this.#writing]);
    await this.#preparing;
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

/** The highest number of a batch of which there is a whole record, also one behind damage, if it is higher than `batch`; else that. */
export async function highestInJournal(location: string, batch: number): Promise<number> {
  let highest = batch;
  for (const name of await namesIn(location)) highest = highestIn(await readFile(join(location, name)), highest);
  return highest;
}

export async function hasJournal(location: string): Promise<boolean> {
  return (await namesIn(location)).length > 0;
}

/** To be called when nothing of it is needed any more. */
export async function removeJournal(location: string): Promise<void> {
  await unlinkAll(location, await namesIn(location));
}

async function unlinkAll(location: string, names: readonly string[]): Promise<void> {
  for (const name of names) await unlink(join(location, name));
  if (names.length > 0) await flushDirectory(location);
}

async function namesIn(location: string): Promise<string[]> {
  return (await readdir(location)).filter((name) => FILE_NAME.test(name));
}

const nameOf = (number: number): string => `journal.${number}`;

function numberOf(name: string): number {
  return Number(FILE_NAME.exec(name)?.[1]);
}

/** The system may take less at once. */
function writeAll(fd: number, bytes: Buffer, from: number, length: number, position: number, done: (error: Error | null) => void): void {
  write(fd, bytes, from, length, position, (error, written) => {
    if (error !== null) done(error);
    else if (written === 0) done(new Error('the system takes no more of the journal'));
    else if (written < length) writeAll(fd, bytes, from + written, length - written, position + written, done);
    else if (IS_WRITE_SYNCED) done(null);
    else fdatasync(fd, done);
  });
}

const writeWhole = promisify(writeAll);

/** The name of a new file is on the disk, and that of one that went is not any more, when the directory is. */
async function flushDirectory(location: string): Promise<void> {
  const directory = await openFile(location, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
