// LevelStore: the Store on LevelDB, one database in one directory. The only importer of `level`.
//
// Keys are a section character and a key, in UTF-8; values are bytes. The sections that the core uses are in SECTION;
// these are the store's own:
//   f                format number of the whole layout, as JSON: {"format":1}
//   k                the checkpoint: the last batch of which no check is kept (form: check-trail.ts)
//   c<16 digits>     the check of the batch of that number (form: check-trail.ts)
// Every batch also writes its check, and deletes a few that are no longer needed.

import { Level } from 'level';
import { type Check, CheckTrail, checkKey, decodeCheck, encodeCheck, NOTHING_WRITTEN, TrailVerifier } from './check-trail.js';
import {
  type Durability,
  type Range,
  type Section,
  type Store,
  StoreDamage,
  StoreFailure,
  StoreFormat,
  type StoreKeyScan,
  StoreLocked,
  type StoreRow,
  type StoreScan,
  type StoreState,
  type WriteBatch,
} from './store.js';
import { ACCEPT_HINT, directoryBytes, droppedAtRecovery, inspectDirectory, RESTORE_HINT } from './store-directory.js';

/** The layout that this program writes. A store of a higher number is refused. */
export const STORE_FORMAT = 1;

const FORMAT_KEY = 'f';
const CHECKPOINT_KEY = 'k';
const CHECK_SECTION = 'c';

/**
 * Batches are collected in memory up to this size before they become a table. Larger ones were measured to cost as much
 * CPU a change, while the log that is read at a start and the trail of checks grow with it.
 */
const WRITE_BUFFER_BYTES = 4 * 1024 * 1024;
const BLOCK_CACHE_BYTES = 32 * 1024 * 1024;
/** A scan holds no more than about this much of a slice in memory. */
const SCAN_SLICE_BYTES = 256 * 1024;
const VERIFY_SLICE_ROWS = 1000;
/** What one change takes in the write buffer beside its key and value, at least. */
const CHANGE_OVERHEAD_BYTES = 18;
const CHECK_CHANGE_BYTES = 17 + 32 + CHANGE_OVERHEAD_BYTES;
/** Longer keys are encoded by ourselves for reading: see `#prime`. */
const SHORT_KEY_LENGTH = 4096;

type Database = Level<string, Buffer>;

export interface LevelStoreOptions {
  /** The directory of the database; made when it is not there. */
  readonly location: string;
  readonly durability: Durability;
  /** Opens in spite of missing batches: what is lost stays lost, and is told to `notice`. */
  readonly acceptDamage?: boolean;
  /** Told in one line what a person should know of a store that was opened all the same. */
  readonly notice?: (text: string) => void;
}

export class LevelStore implements Store {
  readonly #options: LevelStoreOptions;
  readonly #sync: { readonly sync: boolean };
  #database: Database | null = null;
  #trail: CheckTrail | null = null;
  #state: StoreState = NOTHING_WRITTEN;
  #writing = false;
  #broken = false;

  constructor(options: LevelStoreOptions) {
    this.#options = options;
    this.#sync = { sync: options.durability === 'sync' };
  }

  async open(): Promise<StoreState> {
    if (this.#database !== null) throw new StoreFailure('the store is open already');
    const { location } = this.#options;
    const found = await inspectDirectory(location);
    const database = await openDatabase(location, found === 'new');
    try {
      const last = await this.#verify(database);
      await setCheckpoint(database, last);
      this.#trail = new CheckTrail(last, (await oldestCheck(database)) ?? last.batch + 1, WRITE_BUFFER_BYTES);
      prime(database);
      this.#state = { batch: last.batch, revision: last.revision, applied: last.applied };
    } catch (error) {
      await database.close();
      throw asStoreError(error, `the store at ${location} cannot be verified`);
    }
    this.#database = database;
    this.#broken = false;
    return this.#state;
  }

  /** The trail is whole, or its damage was accepted: resolves with the last batch. */
  async #verify(database: Database): Promise<Check> {
    const { location } = this.#options;
    if (!(await checkFormat(database, location))) return NOTHING_WRITTEN;
    const verifier = await walkTrail(database, location);
    const dropped = await droppedAtRecovery(location);
    if (verifier.holes.length > 0) {
      const text =
        `the store at ${location} has lost changes: of its batches up to ${verifier.last.batch}, ` +
        `${verifier.holes.slice(0, 5).join(', ')}${verifier.holes.length > 5 ? ', …' : ''} are missing or do not fit`;
      if (this.#options.acceptDamage !== true) throw new StoreDamage(`${text}; ${RESTORE_HINT}; ${ACCEPT_HINT}`);
      this.#options.notice?.(text);
    } else if (dropped.length > 0) {
      this.#options.notice?.(
        `the end of the log of the store at ${location} was damaged: ${dropped.join(', ')} dropped; ` +
          `the last batch that is left is ${verifier.last.batch}`,
      );
    }
    return verifier.last;
  }

  async close(): Promise<void> {
    const database = this.#database;
    this.#database = null;
    this.#trail = null;
    if (database !== null) await database.close();
  }

  read(section: Section, key: string): Uint8Array | undefined {
    const database = this.#opened();
    try {
      if (key.length < SHORT_KEY_LENGTH) return database.getSync(section + key);
      return database.getSync<Buffer, Buffer>(Buffer.from(section + key), { keyEncoding: 'buffer', valueEncoding: 'buffer' });
    } catch (error) {
      throw asStoreError(error, `the store at ${this.#options.location} cannot be read`);
    }
  }

  scan(range: Range, sliceRows: number): StoreScan {
    return this.#scanRows(range, sliceRows, {});
  }

  scanKeys(range: Range, sliceRows: number): StoreKeyScan {
    const snapshot = this.#opened().snapshot();
    // The binding makes an empty value for each key, which costs least as text.
    const keysOnly = { values: false, valueEncoding: 'utf8', highWaterMarkBytes: SCAN_SLICE_BYTES };
    const keys = this.#opened().iterator<string, string>({ ...bounds(range), ...keysOnly, snapshot });
    const rowsAt = (key: string): StoreScan => this.#scanRows({ ...range, gte: key }, sliceRows, { snapshot });
    return new LevelKeyScan(keys, snapshot, rowsAt, range.section, sliceRows, this.#options.location);
  }

  #scanRows(range: Range, sliceRows: number, moment: { snapshot?: Snapshot }): StoreScan {
    const iterator = this.#opened().iterator({ ...bounds(range), ...moment, highWaterMarkBytes: SCAN_SLICE_BYTES });
    return new LevelScan(iterator, range.section, sliceRows, this.#options.location, rowOf);
  }

  batch(): WriteBatch {
    return new LevelBatch();
  }

  async write(batch: WriteBatch, state: StoreState): Promise<void> {
    const database = this.#opened();
    if (this.#broken) throw new StoreFailure('the store failed and accepts nothing until it is reopened');
    if (this.#writing) throw new RangeError('one write at a time');
    if (state.batch !== this.#state.batch + 1) {
      throw new RangeError(`batch ${state.batch} does not follow batch ${this.#state.batch}`);
    }
    this.#writing = true;
    try {
      await this.#commit(database, batch as LevelBatch, state);
      this.#state = { batch: state.batch, revision: state.revision, applied: state.applied };
    } catch (error) {
      // LevelDB goes on saying yes after a failed append, and all of that is gone at the next start: stop here.
      this.#broken = true;
      throw asStoreError(error, `the store at ${this.#options.location} cannot be written`);
    } finally {
      this.#writing = false;
    }
  }

  /** Hands the changes to LevelDB at once; a chained batch takes a fifth of the time of an array of operations. */
  #commit(database: Database, { keys, values, bytes }: LevelBatch, state: StoreState): Promise<void> {
    const trail = this.#trail as CheckTrail;
    const chained = database.batch();
    for (let i = 0; i < keys.length; i++) {
      const value = values[i] as Buffer | null;
      if (value === null) chained.del(keys[i] as string);
      else chained.put(keys[i] as string, value);
    }
    const step = trail.step(state, bytes + CHECK_CHANGE_BYTES);
    chained.put(CHECK_SECTION + checkKey(state.batch), encodeCheck(step.check));
    if (step.checkpoint !== null) chained.put(CHECKPOINT_KEY, encodeCheck(step.checkpoint));
    for (let number = step.trimFrom; number < step.trimTo; number++) chained.del(CHECK_SECTION + checkKey(number));
    return chained.write(this.#sync);
  }

  async reopen(): Promise<StoreState> {
    const acknowledged = this.#state;
    this.#broken = true;
    await this.close();
    const state = await this.open();
    if (state.batch >= acknowledged.batch) return state;
    this.#broken = true;
    this.#state = acknowledged;
    await this.close();
    throw new StoreDamage(
      `the store at ${this.#options.location} has lost changes that were acknowledged: ` +
        `batches ${state.batch + 1} to ${acknowledged.batch}; ${RESTORE_HINT}`,
    );
  }

  size(): Promise<number> {
    return directoryBytes(this.#options.location);
  }

  #opened(): Database {
    if (this.#database === null) throw new StoreFailure(`the store at ${this.#options.location} is not open`);
    return this.#database;
  }
}

/** Changes in order; handed over when they are written, so that a batch that is given up costs nothing. */
class LevelBatch implements WriteBatch {
  readonly keys: string[] = [];
  /** null: delete. */
  readonly values: (Uint8Array | null)[] = [];
  /** What the batch takes in the write buffer, at least. */
  bytes = 0;

  put(section: Section, key: string, value: Uint8Array): void {
    this.keys.push(section + key);
    this.values.push(value);
    this.bytes += key.length + value.length + CHANGE_OVERHEAD_BYTES;
  }

  delete(section: Section, key: string): void {
    this.keys.push(section + key);
    this.values.push(null);
    this.bytes += key.length + CHANGE_OVERHEAD_BYTES;
  }

  get length(): number {
    return this.keys.length;
  }
}

type Snapshot = ReturnType<Database['snapshot']>;

interface Iterator<Value> {
  nextv(size: number): Promise<[string, Value][]>;
  seek(target: string): void;
  close(): Promise<void>;
}

/** `itemOf` makes what is given out of a key without its section and its value. */
class LevelScan<Value, Item> implements StoreScan<Item> {
  constructor(
    private readonly iterator: Iterator<Value>,
    private readonly section: Section,
    private readonly sliceRows: number,
    private readonly location: string,
    private readonly itemOf: (key: string, value: Value) => Item,
  ) {}

  async next(atMost = this.sliceRows): Promise<Item[]> {
    try {
      const rows = await this.iterator.nextv(Math.min(atMost, this.sliceRows));
      return rows.map(([key, value]) => this.itemOf(key.slice(1), value));
    } catch (error) {
      throw asStoreError(error, `the store at ${this.location} cannot be read`);
    }
  }

  seek(key: string): void {
    this.iterator.seek(this.section + key);
  }

  close(): Promise<void> {
    return this.iterator.close();
  }
}

const rowOf = (key: string, value: Uint8Array): StoreRow => ({ key, value });

/** Iterators on one snapshot. */
class LevelKeyScan extends LevelScan<unknown, string> implements StoreKeyScan {
  readonly #rows: StoreScan[] = [];

  constructor(
    keys: Iterator<unknown>,
    private readonly snapshot: Snapshot,
    private readonly rowsAt: (key: string) => StoreScan,
    section: Section,
    sliceRows: number,
    location: string,
  ) {
    super(keys, section, sliceRows, location, (key) => key);
  }

  rowsFrom(key: string): StoreScan {
    const rows = this.rowsAt(key);
    this.#rows.push(rows);
    return rows;
  }

  override async close(): Promise<void> {
    await super.close();
    for (const rows of this.#rows) await rows.close();
    await this.snapshot.close();
  }
}

function bounds({ section, gte = '', lt }: Range): { gte: string; lt: string } {
  return { gte: section + gte, lt: lt === undefined ? afterSection(section) : section + lt };
}

function afterSection(section: string): string {
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
function asStoreError(error: unknown, text: string): Error {
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
