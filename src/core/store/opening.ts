// Opening: opens a directory as a database that has every acknowledged batch, or says what is missing. What LevelDB has
// lost since its files were last flushed is restored from the journal. The only importer of `level`.

import { randomInt } from 'node:crypto';
import { Level } from 'level';
import { CHECK_BYTES, type Check, checkKey, decodeCheck, encodeCheck, NOTHING_WRITTEN, TrailVerifier } from './check-trail.js';
import { hasJournal, highestInJournal, readJournal } from './journal.js';
import type { JournalRecord } from './journal-record.js';
import { StoreDamage, StoreFailure, StoreFormat, StoreLocked } from './store.js';
import { ACCEPT_HINT, droppedAtRecovery, inspectDirectory, RESTORE_HINT } from './store-directory.js';

/**
 * The layout that this program writes: a store of a higher number is refused. 1: there is no journal, so nothing can be missing that
 * it would have; otherwise as 2.
 */
export const STORE_FORMAT = 2;

const FORMAT_KEY = 'f';
export const CHECKPOINT_KEY = 'k';
export const CHECK_SECTION = 'c';
const JOURNAL_KEY = 'j';

/**
 * Batches are collected in memory up to this size before they become a table. Larger ones were measured to cost as much
 * CPU a change, while the log that is read at a start and the trail of checks grow with it.
 */
export const WRITE_BUFFER_BYTES = 4 * 1024 * 1024;
/** What one change takes there beside its key and value, at least, */
export const CHANGE_OVERHEAD_BYTES = 18;
/** and a check. */
export const CHECK_CHANGE_BYTES = 17 + CHECK_BYTES + CHANGE_OVERHEAD_BYTES;
const BLOCK_CACHE_BYTES = 32 * 1024 * 1024;
/** A scan holds no more than about this much of a slice in memory. */
export const SCAN_SLICE_BYTES = 256 * 1024;
const VERIFY_SLICE_ROWS = 1000;
/** Of 32 bits. */
const LINKS = 2 ** 32;
/** What was lost is given back in batches of about so much. */
const GIVE_BACK_BYTES = 1024 * 1024;
const GIVE_BACK_ROWS = 10_000;
/** Longer keys are encoded by ourselves for reading: see `prime`. */
export const SHORT_KEY_LENGTH = 4096;

export type Database = Level<string, Buffer>;
/** A fifth of the time of an array of operations. */
export type ChainedBatch = ReturnType<Database['batch']>;

export interface OpeningOptions {
  /** The directory of the database; made when it is not there. */
  readonly location: string;
  /** Opens in spite of missing batches: what is lost stays lost, and is told to `notice`. */
  readonly acceptDamage?: boolean;
  /** Told in one line what a person should know of a store that was opened all the same. */
  readonly notice?: (text: string) => void;
}

export interface Opened {
  readonly database: Database;
  readonly last: Check;
  /** The lowest batch number of which a check may be left. */
  readonly oldest: number;
}

/** All of it is on the disk then: of a journal nothing is needed any more. What is written from now on is linked to a random number. */
export async function openStore(options: OpeningOptions): Promise<Opened> {
  const { location } = options;
  const found = await inspectDirectory(location);
  const database = await openDatabase(location, found === 'new');
  try {
    const last = { ...(await verify(database, options)), link: randomInt(LINKS) };
    await setCheckpoint(database, last);
    const oldest = (await oldestCheck(database)) ?? last.batch + 1;
    prime(database);
    return { database, last, oldest };
  } catch (error) {
    await database.close();
    throw asStoreError(error, `the store at ${location} cannot be verified`);
  }
}

/** The trail is whole, or its damage was accepted: resolves with the last batch. */
async function verify(database: Database, { location, acceptDamage, notice }: OpeningOptions): Promise<Check> {
  if (!(await checkFormat(database, location))) return NOTHING_WRITTEN;
  const { verifier, damage, isRestored } = await restoredTrail(database, location);
  if (damage !== null) {
    const text = `the store at ${location} has lost changes: ${damage}`;
    if (acceptDamage !== true) throw new StoreDamage(`${text}; ${RESTORE_HINT}; ${ACCEPT_HINT}`);
    notice?.(text);
    return verifier.last;
  }
  const dropped = isRestored ? [] : await droppedAtRecovery(location);
  if (dropped.length > 0) {
    notice?.(
      `the end of the log of the store at ${location} was damaged: ${dropped.join(', ')} dropped; ` +
        `the last batch that is left is ${verifier.last.batch}`,
    );
  }
  const { batch } = verifier.last;
  const highest = await highestInJournal(location, batch);
  if (highest > batch) {
    notice?.(`the journal of the store at ${location} is damaged behind batch ${batch}: it had batches up to ${highest}`);
  }
  return verifier.last;
}

interface Trail {
  readonly verifier: TrailVerifier;
  /** What is missing, in words; null: nothing. */
  readonly damage: string | null;
  /** Something was missing that the journal had. */
  readonly isRestored: boolean;
}

async function restoredTrail(database: Database, location: string): Promise<Trail> {
  let verifier = await walkTrail(database, location);
  const missing = missingIn(verifier, await readJournal(location));
  const isRestored = missing.length > 0 && continues(verifier, missing);
  if (isRestored) {
    await giveBack(database, missing);
    verifier = await walkTrail(database, location);
  }
  const { holes, last } = verifier;
  if (holes.length > 0) {
    const some = `${holes.slice(0, 5).join(', ')}${holes.length > 5 ? ', …' : ''}`;
    return { verifier, isRestored, damage: `of its batches up to ${last.batch}, ${some} are missing or do not fit` };
  }
  const goesOn = missing.at(-1);
  if (goesOn !== undefined && !isRestored) {
    return { verifier, isRestored, damage: `its journal goes on to batch ${goesOn.check.batch}, and does not fit behind ${last.batch}` };
  }
  const isGone = database.getSync(JOURNAL_KEY) !== undefined && !(await hasJournal(location));
  return { verifier, isRestored, damage: isGone ? `those behind batch ${last.batch} are in its journal, whose files are gone` : null };
}

/** From now on the store has a journal or has none: it is not opened when one is missing. */
export async function noteJournal(database: Database, isThere: boolean): Promise<void> {
  if ((database.getSync(JOURNAL_KEY) !== undefined) === isThere) return;
  const note = database.batch();
  putRow(note, JOURNAL_KEY, isThere ? Buffer.alloc(0) : null);
  await note.write({ sync: true });
}

/** What the journal has, and the trail does not reach without a hole. Nothing if the trail goes on behind the journal. */
function missingIn(verifier: TrailVerifier, records: readonly JournalRecord[]): readonly JournalRecord[] {
  const newest = records.at(-1);
  if (newest === undefined || verifier.highest > newest.check.batch) return [];
  return records.filter(({ check }) => check.batch > verifier.sound.batch);
}

/** The records follow what is there without a gap, and belong to its history. */
function continues({ sound }: TrailVerifier, records: readonly JournalRecord[]): boolean {
  const trail = new TrailVerifier(sound);
  for (const { check } of records) trail.add({ key: checkKey(check.batch), value: encodeCheck(check) });
  return trail.holes.length === 0;
}

/** In their order, so that it is the last change of a key that counts, whatever was there of them. Many at once: each flush counts. */
async function giveBack(database: Database, records: readonly JournalRecord[]): Promise<void> {
  let chained = database.batch();
  let bytes = 0;
  for (const { check, keys, values } of records) {
    for (const [i, key] of keys.entries()) {
      const value = values[i] as Buffer | null;
      putRow(chained, key, value);
      bytes += value === null ? 0 : value.length;
    }
    chained.put(CHECK_SECTION + checkKey(check.batch), encodeCheck(check));
    if (bytes < GIVE_BACK_BYTES && chained.length < GIVE_BACK_ROWS) continue;
    await chained.write({ sync: true });
    chained = database.batch();
    bytes = 0;
  }
  await chained.write({ sync: true });
}

/** null: deletes it. */
export function putRow(rows: ChainedBatch, key: string, value: Buffer | null): void {
  if (value === null) rows.del(key);
  else rows.put(key, value);
}

/** Sorts behind all keys. */
const BEHIND_ALL = '~';

/** LevelDB makes tables of what it has in memory; whether it could, the next batch tells. A compaction of no rows does nothing else. */
export function makeTables(database: Database): Promise<void> {
  return (database as Database & ClassicLevel).compactRange(BEHIND_ALL, BEHIND_ALL);
}

/** Numbers of the tables that hold what LevelDB has. */
export function tablesOf(database: Database): ReadonlySet<number> {
  const text = (database as Database & ClassicLevel).getProperty('leveldb.sstables');
  return new Set([...text.matchAll(/^ (\d+):\d+\[/gm)].map(([, number]) => Number(number)));
}

/** What `level` does not promise where it is something else than LevelDB. */
interface ClassicLevel {
  compactRange(start: string, end: string): Promise<void>;
  getProperty(name: string): string;
}

export function afterSection(section: string): string {
  return String.fromCharCode(section.charCodeAt(0) + 1);
}

async function openDatabase(location: string, create: boolean): Promise<Database> {
  const database: Database = new Level(location, {
    keyEncoding: 'utf8',
    valueEncoding: 'buffer',
    createIfMissing: create,
    writeBufferSize: WRITE_BUFFER_BYTES,
    cacheSize: BLOCK_CACHE_BYTES,
  });
  try {
    await database.open();
    return database;
  } catch (error) {
    throw asStoreError(error, `the store at ${location} cannot be opened`);
  }
}

/** False for a store in which nothing was ever written. Throws when the layout is not one that this program writes. */
async function checkFormat(database: Database, location: string): Promise<boolean> {
  const bytes = database.getSync(FORMAT_KEY);
  if (bytes === undefined && (await database.keys({ limit: 1 }).all()).length === 0) return false;
  if (bytes === undefined && (await oldestCheck(database)) === null) {
    throw new StoreFailure(`the database at ${location} was not made by this program; name an empty directory for the store`);
  }
  const format = bytes === undefined ? null : parseFormat(bytes);
  if (format === null) throw new StoreDamage(`the store at ${location} is damaged: no format number; ${RESTORE_HINT}`);
  if (format > STORE_FORMAT) {
    throw new StoreFormat(
      `the store at ${location} has format ${format}, which a newer release wrote; this one reads up to ${STORE_FORMAT}`,
    );
  }
  return true;
}

function parseFormat(bytes: Buffer): number | null {
  const digits = /^\{"format":([1-9]\d{0,8})\}$/.exec(bytes.toString('latin1'))?.[1];
  return digits === undefined ? null : Number(digits);
}

async function walkTrail(database: Database, location: string): Promise<TrailVerifier> {
  const bytes = database.getSync(CHECKPOINT_KEY);
  const checkpoint = bytes === undefined ? null : decodeCheck(bytes);
  if (checkpoint === null) throw new StoreDamage(`the store at ${location} is damaged: no checkpoint; ${RESTORE_HINT}`);
  const verifier = new TrailVerifier(checkpoint);
  const iterator = database.iterator({
    gte: CHECK_SECTION + checkKey(checkpoint.batch + 1),
    lt: afterSection(CHECK_SECTION),
    highWaterMarkBytes: SCAN_SLICE_BYTES,
  });
  let lastKey: string | null = null;
  for (;;) {
    const rows = await iterator.nextv(VERIFY_SLICE_ROWS);
    if (rows.length === 0) break;
    for (const [name, value] of rows) {
      lastKey = name.slice(1);
      verifier.add({ key: lastKey, value });
    }
  }
  await iterator.close();
  verifier.finish(lastKey);
  return verifier;
}

/** All batches are in tables now (opening turned the log into one), so no older check is needed. */
async function setCheckpoint(database: Database, last: Check): Promise<void> {
  await database
    .batch()
    .put(FORMAT_KEY, Buffer.from(JSON.stringify({ format: STORE_FORMAT })))
    .put(CHECKPOINT_KEY, encodeCheck(last))
    .write({ sync: true });
}

/** The lowest batch number of which there is a check; null when there is none. */
async function oldestCheck(database: Database): Promise<number | null> {
  const [key] = await database.keys({ gte: CHECK_SECTION, lt: afterSection(CHECK_SECTION), limit: 1 }).all();
  return key === undefined ? null : Number(key.slice(1));
}

/**
 * LevelDB's binding writes the key of a synchronous read into a buffer that it keeps, and cuts off a longer key unnoticed
 * when a character of several bytes meets the end of it. This makes the buffer large enough for every short key.
 */
function prime(database: Database): void {
  database.getSync('x'.repeat(3 * (SHORT_KEY_LENGTH + 1)));
}

const STORE_ERRORS = [StoreFailure, StoreDamage, StoreLocked, StoreFormat];

/** The library's error as one of ours, `text` saying what could not be done. */
export function asStoreError(error: unknown, text: string): Error {
  if (STORE_ERRORS.some((type) => error instanceof type)) return error as Error;
  const reason = rootCause(error);
  const code = (reason as { code?: unknown }).code;
  if (code === 'LEVEL_LOCKED') return new StoreLocked(`${text}: another process uses it`, { cause: error });
  const message = reason instanceof Error ? reason.message : String(reason);
  if (code === 'LEVEL_CORRUPTION') return new StoreDamage(`${text}: ${message}; ${RESTORE_HINT}`, { cause: error });
  return new StoreFailure(`${text}: ${message}`, { cause: error });
}

function rootCause(error: unknown): unknown {
  let reason = error;
  while (reason instanceof Error && reason.cause !== undefined) reason = reason.cause;
  return reason;
}
