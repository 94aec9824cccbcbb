// LevelStore: the Store on LevelDB, one database in one directory, which opening.ts opens. Under durability `sync` a batch is on the
// disk when it is in the journal beside it (journal.ts); LevelDB takes it with others later (handover.ts), and flushes when it makes a
// table of it.
//
// Keys are a section character and a key, in UTF-8; values are bytes. The sections that the core uses are in SECTION;
// these are the store's own:
//   f                format number of the whole layout, as JSON: {"format":2}
//   k                the checkpoint: the last batch of which no check is kept (form: check-trail.ts)
//   c<16 digits>     the check of the batch of that number (form: check-trail.ts)
//   j                nothing; there is a journal, without which the store is not whole
// Every batch also has its check written, and a few deleted that are no longer needed.

import { BatchMemory, RecordBatch } from './batch-memory.js';
import { CheckTrail, checkKey, encodeCheck, type GivenBatches, NOTHING_WRITTEN } from './check-trail.js';
import { Handover } from './handover.js';
import { Journal, removeJournal } from './journal.js';
import { sectionAt, valueAt } from './journal-record.js';
import { LateKeyScan, LateScan, type Opening } from './late-scan.js';
import { type Iterator, type IteratorOptions, Moment } from './moments.js';
import {
  afterSection,
  asStoreError,
  CHANGE_OVERHEAD_BYTES,
  CHECK_CHANGE_BYTES,
  CHECK_SECTION,
  CHECKPOINT_KEY,
  type ChainedBatch,
  type Database,
  noteJournal,
  type OpeningOptions,
  openStore,
  putRow,
  SCAN_SLICE_BYTES,
  SHORT_KEY_LENGTH,
  tablesOf,
  WRITE_BUFFER_BYTES,
} from './opening.js';
import { StagedKeyScan, StagedScan, stagedIn } from './staged-scan.js';
import type { Stage } from './staging.js';
import {
  type Durability,
  type Range,
  type Section,
  type Store,
  StoreDamage,
  StoreFailure,
  type StoreKeyScan,
  type StoreRow,
  type StoreScan,
  type StoreState,
  type WriteBatch,
} from './store.js';
import { directoryBytes, RESTORE_HINT, roomForOpening } from './store-directory.js';

/** Opening makes a table of LevelDB's log, beside what it gives back of the journal. */
const OPENING_ROOM_BYTES = 2 * WRITE_BUFFER_BYTES;

export interface LevelStoreOptions extends OpeningOptions {
  readonly durability: Durability;
}

export class LevelStore implements Store {
  readonly #options: LevelStoreOptions;
  failed: ((error: Error) => void) | null = null;
  readonly #memory = new BatchMemory();
  #database: Database | null = null;
  #trail: CheckTrail | null = null;
  /** Of durability `sync`: what makes a batch durable, */
  #journal: Journal | null = null;
  /** and what LevelDB is still to be given of that. */
  #handover: Handover | null = null;
  #state: StoreState = NOTHING_WRITTEN;
  /** Of the scans that were begun since a write began or ended last. */
  #moment: Moment | null = null;
  #writing = false;
  #broken = false;
  /** Why it is broken, if nobody was told yet. */
  #untold: Error | null = null;

  constructor(options: LevelStoreOptions) {
    this.#options = options;
  }

  async open(): Promise<StoreState> {
    if (this.#database !== null) throw new StoreFailure('the store is open already');
    const { database, last, oldest } = await openStore(this.#options);
    try {
      this.#journal = await this.#beginJournal(database);
    } catch (error) {
      await database.close();
      throw asStoreError(error, `the store at ${this.#options.location} cannot begin its journal`);
    }
    this.#trail = new CheckTrail(last, oldest, WRITE_BUFFER_BYTES);
    this.#handover = this.#journal === null ? null : this.#handoverTo(database, this.#trail, this.#journal);
    this.#state = { batch: last.batch, revision: last.revision, applied: last.applied };
    this.#database = database;
    this.#broken = false;
    return this.#state;
  }

  #handoverTo(database: Database, trail: CheckTrail, journal: Journal): Handover {
    return new Handover({
      database,
      memory: this.#memory,
      commit: (rows, given) => this.#commit(trail, rows, given, journal),
      inTables: (check) => trail.inTables(check),
      failed: (error) => this.#fail(error),
    });
  }

  async #beginJournal(database: Database): Promise<Journal | null> {
    const { location, durability } = this.#options;
    const journal = durability === 'sync' ? await Journal.begin(location) : null;
    try {
      await noteJournal(database, journal !== null);
    } catch (error) {
      await journal?.close();
      throw error;
    }
    if (journal === null) await removeJournal(location);
    return journal;
  }

  async close(): Promise<void> {
    const [database, journal, handover] = [this.#database, this.#journal, this.#handover];
    this.#database = null;
    this.#trail = null;
    this.#journal = null;
    this.#handover = null;
    await journal?.close();
    await handover?.end();
    this.#moment = null;
    this.#untold = null;
    if (database !== null) await database.close();
  }

  read(section: Section, key: string): Uint8Array | undefined {
    const database = this.#opened();
    const staged = this.#handover?.get(section, key);
    if (staged !== undefined) return staged ?? undefined;
    try {
      if (key.length < SHORT_KEY_LENGTH) return database.getSync(section + key);
      return database.getSync<Buffer, Buffer>(Buffer.from(section + key), { keyEncoding: 'buffer', valueEncoding: 'buffer' });
    } catch (error) {
      throw this.#unreadable(error);
    }
  }

  scan(range: Range, sliceRows: number): StoreScan {
    if (this.#isPresent) return this.#scanRows(range, sliceRows, this.#present());
    const open = (): StoreScan => this.#scanRows(range, sliceRows, this.#present());
    return new LateScan(this.#later(open, (stages) => new StagedScan(open(), stagedIn(range, stages), sliceRows)));
  }

  scanKeys(range: Range, sliceRows: number): StoreKeyScan {
    if (this.#isPresent) return this.#scanKeys(range, sliceRows);
    const openStaged = (stages: readonly Stage[]): StoreKeyScan => {
      const staged = stagedIn(range, stages);
      const moment = this.#present();
      return new StagedKeyScan(() => new StagedScan(this.#scanRows(range, sliceRows, moment), staged, sliceRows));
    };
    return new LateKeyScan(this.#later(() => this.#scanKeys(range, sliceRows), openStaged));
  }

  /** LevelDB has everything that was written. */
  get #isPresent(): boolean {
    this.#opened();
    return this.#handover === null || this.#handover.isDone;
  }

  /** Opens a scan when LevelDB has what is written now, and nothing behind it; `openStaged` if it will not. */
  #later<Scan>(open: () => Scan, openStaged: (stages: readonly Stage[]) => Scan): Promise<Opening<Scan>> {
    return new Promise((resolve) => {
      const give = (opened: () => Scan): void => {
        try {
          resolve({ scan: opened() });
        } catch (error) {
          resolve({ error: this.#unreadable(error) });
        }
      };
      this.#handover?.wait({ open: () => give(open), fail: (_error, stages) => give(() => openStaged(stages)) });
    });
  }

  #unreadable(error: unknown): Error {
    return asStoreError(error, `the store at ${this.#options.location} cannot be read`);
  }

  #scanKeys(range: Range, sliceRows: number): StoreKeyScan {
    const moment = this.#present();
    // The binding makes an empty value for each key, which costs least as text.
    const keys = this.#iterator<string>(moment, { ...bounds(range), values: false, valueEncoding: 'utf8' });
    const openRows = (): StoreScan => this.#scanRows(range, sliceRows, moment);
    return new LevelKeyScan(keys, moment, openRows, range.section, sliceRows, this.#options.location);
  }

  #scanRows(range: Range, sliceRows: number, moment: Moment): StoreScan {
    const iterator = this.#iterator<Buffer>(moment, bounds(range));
    return new LevelScan(iterator, range.section, sliceRows, this.#options.location, rowOf);
  }

  #iterator<Value>(moment: Moment, options: Omit<IteratorOptions, 'highWaterMarkBytes'>): Iterator<Value> {
    try {
      return moment.iterator<Value>({ ...options, highWaterMarkBytes: SCAN_SLICE_BYTES });
    } catch (error) {
      throw this.#unreadable(error);
    }
  }

  /** What was written last, and nothing of what is being written that is not there yet. */
  #present(): Moment {
    const database = this.#opened();
    this.#moment ??= new Moment(database);
    return this.#moment;
  }

  #endMoment(): Promise<void> | undefined {
    const moment = this.#moment;
    this.#moment = null;
    return moment?.end();
  }

  batch(): WriteBatch {
    return new RecordBatch(this.#memory);
  }

  async write(batch: WriteBatch, state: StoreState): Promise<void> {
    const database = this.#opened();
    if (this.#broken) {
      this.#untold = null;
      throw new StoreFailure('the store failed and accepts nothing until it is reopened');
    }
    if (this.#writing) throw new RangeError('one write at a time');
    if (state.batch !== this.#state.batch + 1) throw new RangeError(`batch ${state.batch} does not follow batch ${this.#state.batch}`);
    this.#writing = true;
    try {
      await this.#write(database, batch as RecordBatch, state);
      this.#state = { batch: state.batch, revision: state.revision, applied: state.applied };
    } catch (error) {
      // LevelDB goes on saying yes after a failed append, and all of that is gone at the next start: stop here.
      this.#broken = true;
      this.#untold = null;
      throw this.#unwritable(error);
    } finally {
      this.#writing = false;
    }
    // Not before whoever waits for this batch: what follows it may be refused first.
    if (this.#untold !== null) setImmediate(this.#tell);
  }

  readonly #tell = (): void => {
    const error = this.#untold;
    this.#untold = null;
    if (error !== null) this.failed?.(error);
  };

  async #write(database: Database, batch: RecordBatch, state: StoreState): Promise<void> {
    const trail = this.#trail as CheckTrail;
    const [journal, handover] = [this.#journal, this.#handover];
    if (journal === null || handover === null) return this.#writeAtOnce(database, trail, batch, state);
    if (handover.isFull) await handover.room();
    if (this.#journal !== journal) throw new StoreFailure('the store was closed meanwhile');
    if (this.#broken) throw new StoreFailure('the store failed meanwhile');
    const check = trail.link(state);
    const appended = journal.append(batch.finish(check), check.batch);
    handover.stage();
    await appended;
    // Also when LevelDB has failed meanwhile: the journal has the batch, and gives it back.
    handover.add(check, batch);
  }

  /** Of durabilities without a journal. */
  #writeAtOnce(database: Database, trail: CheckTrail, batch: RecordBatch, state: StoreState): Promise<void> {
    const check = trail.link(state);
    batch.close();
    const { keys, positions, memory } = batch;
    const rows = database.batch();
    let bytes = CHECK_CHANGE_BYTES;
    for (let i = 0; i < keys.length; i++) {
      const position = positions[i] as number;
      const key = String.fromCharCode(sectionAt(memory.bytes, position)) + keys[i];
      const value = valueAt(memory.bytes, position);
      putRow(rows, key, value);
      bytes += key.length + CHANGE_OVERHEAD_BYTES + (value === null ? 0 : value.length);
    }
    this.#memory.release(memory);
    rows.put(CHECK_SECTION + checkKey(check.batch), encodeCheck(check));
    return this.#commit(trail, rows, { last: check, count: 1, bytes }, null);
  }

  /** Gives LevelDB the rows of some batches; the journal keeps what may not be in tables. */
  async #commit(trail: CheckTrail, rows: ChainedBatch, given: GivenBatches, journal: Journal | null): Promise<void> {
    const ended = this.#endMoment();
    const { checkpoint, trimFrom, trimTo } = trail.step(given);
    if (checkpoint !== null) rows.put(CHECKPOINT_KEY, encodeCheck(checkpoint));
    for (let number = trimFrom; number < trimTo; number++) rows.del(CHECK_SECTION + checkKey(number));
    const outcomes = await Promise.allSettled([rows.write(), ended]);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    await this.#endMoment();
    // That LevelDB goes on taking batches says that it has made the tables it was to make.
    if (checkpoint !== null) journal?.release(checkpoint.batch);
  }

  #unwritable(error: unknown): Error {
    return asStoreError(error, `the store at ${this.#options.location} cannot be written`);
  }

  /** LevelDB refused what was acknowledged: whoever is refused next is told, else `failed` is. */
  #fail(error: unknown): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#untold = this.#unwritable(error);
    if (!this.#writing) this.#tell();
  }

  async reopen(): Promise<StoreState> {
    const acknowledged = this.#state;
    this.#broken = true;
    if (this.#database !== null) await this.#checkRoom(this.#database);
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

  /** A database that was closed on a full disk could not be opened, and nobody could read. */
  async #checkRoom(database: Database): Promise<void> {
    const { location } = this.#options;
    let room: number;
    try {
      room = await roomForOpening(location, tablesOf(database));
    } catch (error) {
      throw asStoreError(error, `how much room there is for the store at ${location} cannot be said`);
    }
    if (room < OPENING_ROOM_BYTES + (this.#handover?.bytes ?? 0))
      throw new StoreFailure(`the disk of the store at ${location} is full; the store can be read, not written`);
  }

  size(): Promise<number> {
    return directoryBytes(this.#options.location);
  }

  #opened(): Database {
    if (this.#database === null) throw new StoreFailure(`the store at ${this.#options.location} is not open`);
    return this.#database;
  }
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

/** Its rows are opened when they are asked for, or when the moment ends: they may not be needed. */
class LevelKeyScan extends LevelScan<string, string> implements StoreKeyScan {
  #rows: StoreScan | null = null;

  constructor(
    keys: Iterator<string>,
    private readonly moment: Moment,
    private readonly openRows: () => StoreScan,
    section: Section,
    sliceRows: number,
    location: string,
  ) {
    super(keys, section, sliceRows, location, (key) => key);
    moment.onEnd(this.rows);
  }

  readonly rows = (): StoreScan => {
    this.#rows ??= this.openRows();
    return this.#rows;
  };

  override async close(): Promise<void> {
    this.moment.offEnd(this.rows);
    await super.close();
    await this.#rows?.close();
  }
}

function bounds({ section, gte = '', lt }: Range): { gte: string; lt: string } {
  return { gte: section + gte, lt: lt === undefined ? afterSection(section) : section + lt };
}
