// Handover: gives LevelDB what the journal has, many batches at once, while further batches are written. Scans wait for it: when
// a scan begins, LevelDB has everything up to a certain batch, and nothing after it.

import { setImmediate as turnOfLoop } from 'node:timers/promises';
import type { BatchMemory, RecordBatch } from './batch-memory.js';
import { CHECK_BYTES, type Check, checkKey, type GivenBatches } from './check-trail.js';
import { CHECK_AT, valueAt } from './journal-record.js';
import {
  CHANGE_OVERHEAD_BYTES,
  CHECK_CHANGE_BYTES,
  CHECK_SECTION,
  type ChainedBatch,
  type Database,
  makeTables,
  putRow,
} from './opening.js';
import { type Stage, Staging, type Waiting } from './staging.js';

/** Rows that LevelDB is given in one turn of the event loop: a few tenths of a millisecond. */
const SLICE_ROWS = 512;
/** So many bytes of the journal are needed no more when LevelDB has made tables of what they hold. */
const TABLE_BYTES = 8 * 1024 * 1024;

export interface HandoverParts {
  readonly database: Database;
  /** Of the batches. */
  readonly memory: BatchMemory;
  /** Writes the rows of these batches, and their checks, which are among them. */
  readonly commit: (rows: ChainedBatch, given: GivenBatches) => Promise<void>;
  /** LevelDB was told to make tables of everything up to this batch, and has unless it accepts nothing more. */
  readonly inTables: (check: Check) => void;
  /** LevelDB refused what was acknowledged: it gets nothing more. */
  readonly failed: (error: unknown) => void;
}

export class Handover {
  readonly #parts: HandoverParts;
  readonly #staging: Staging;
  /** What was taken last, and is staged when there is time, or somebody looks. */
  #newest: { readonly check: Check; readonly batch: RecordBatch } | null = null;
  #work: Promise<void> | null = null;
  #tables: Promise<void> | null = null;
  /** null: it has not failed. */
  #failure: { readonly error: unknown } | null = null;
  /** Of the journal, since tables were made last. */
  #journalBytes = 0;

  constructor(parts: HandoverParts) {
    this.#parts = parts;
    this.#staging = new Staging(parts.memory);
  }

  /** A copy of what the journal has; null: deleted; undefined: it is as LevelDB has it. */
  get(section: string, key: string): Buffer | null | undefined {
    this.stage();
    return this.#staging.get(section, key);
  }

  /** LevelDB has everything. */
  get isDone(): boolean {
    return this.#newest === null && this.#staging.isEmpty;
  }

  /** Bytes of what LevelDB does not have, at most. */
  get bytes(): number {
    this.stage();
    return this.#staging.bytes;
  }

  /** Takes a batch that is in the journal now: those who wait for it are told before any more is made of it. */
  add(check: Check, batch: RecordBatch): void {
    this.stage();
    this.#newest = { check, batch };
  }

  /** There is time: a batch is on its way to the journal. */
  stage(): void {
    if (this.#newest === null) return;
    const { check, batch } = this.#newest;
    this.#newest = null;
    this.#staging.add(check, batch);
    this.#begin();
  }

  /** No further batch may be taken now. */
  get isFull(): boolean {
    return this.#staging.isFull && this.#failure === null;
  }

  /** Resolves when one more batch may be taken: memory is bounded. */
  async room(): Promise<void> {
    while (this.isFull) await this.#work;
  }

  /** `waiting` gets the moment when LevelDB has what was added by now, and nothing else. */
  wait(waiting: Waiting): void {
    this.stage();
    if (this.#failure !== null) return waiting.fail(this.#failure.error, this.#staging.stages);
    this.#staging.seal(waiting);
    this.#begin();
  }

  /** Hands over the rest, unless LevelDB refuses it: the journal has it. */
  async end(): Promise<void> {
    this.stage();
    this.#staging.seal();
    this.#begin();
    await this.#work;
    await this.#tables;
  }

  #begin(): void {
    if (this.#work === null && this.#next !== null) this.#work = this.#giveAll();
  }

  /** The stage that is to be given now; null: there is none. Whoever makes tables may have failed meanwhile. */
  get #next(): Stage | null {
    return this.#failure === null ? this.#staging.sealed : null;
  }

  async #giveAll(): Promise<void> {
    try {
      for (let stage = this.#next; stage !== null; stage = this.#next) await this.#give(stage);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#work = null;
    }
  }

  async #give(stage: Stage): Promise<void> {
    const rows = this.#parts.database.batch();
    let bytes = 0;
    for (const [code, changes] of stage.rows) {
      const section = String.fromCharCode(code);
      const left = changes.entries();
      for (let given = 0; given < changes.size; given += SLICE_ROWS) {
        if (given > 0) await turnOfLoop();
        bytes += putRows(rows, section, left, stage.piece.bytes);
      }
    }
    putChecks(rows, stage);
    const { length } = stage.checks;
    const last = stage.checks[length - 1] as Check;
    await this.#parts.commit(rows, { last, count: length, bytes: bytes + length * CHECK_CHANGE_BYTES });
    this.#staging.handedOver();
    for (const { open } of stage.waiting) open();
    this.#journalBytes += stage.size;
    if (this.#journalBytes >= TABLE_BYTES && this.#tables === null) this.#tables = this.#makeTables(last);
  }

  async #makeTables(last: Check): Promise<void> {
    this.#journalBytes = 0;
    try {
      await makeTables(this.#parts.database);
      this.#parts.inTables(last);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#tables = null;
    }
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.#staging.fail(error);
    this.#parts.failed(error);
  }
}

/** Gives some more changes of one section; returns the bytes that they take at least. */
function putRows(rows: ChainedBatch, section: string, left: Iterator<[string, number]>, memory: Buffer): number {
  let bytes = 0;
  for (let n = 0; n < SLICE_ROWS; n++) {
    const next = left.next();
    if (next.done === true) break;
    const [key, position] = next.value;
    const value = valueAt(memory, position);
    putRow(rows, section + key, value);
    bytes += 1 + key.length + CHANGE_OVERHEAD_BYTES + (value === null ? 0 : value.length);
  }
  return bytes;
}

/** As the records have them. */
function putChecks(rows: ChainedBatch, { checks, records, piece }: Stage): void {
  for (let i = 0; i < checks.length; i++) {
    const at = (records[i] as number) + CHECK_AT;
    putRow(rows, CHECK_SECTION + checkKey((checks[i] as Check).batch), piece.bytes.subarray(at, at + CHECK_BYTES));
  }
}
