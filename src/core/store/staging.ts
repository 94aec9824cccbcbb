// Staging: rows of batches that the journal has and LevelDB has not yet. A key that is changed again meanwhile is handed over once. What
// is read looks here first. A row is where the journal's record of its change was made, so that keeping it costs no copy. Knows no disk:
// handover.ts hands over what is here.

import type { Check } from './check-trail.js';
import { type Changes, encodeRecord, recordRoom, valueAt } from './journal-record.js';

/** A stage is handed over when its records fill so many bytes: these are read again at a start after a kill, */
const STAGE_BYTES = 8 * 1024 * 1024;
/** or when it has so many rows, for which the next scan would wait, */
const STAGE_ROWS = 24 * 1024;
/** or so many batches, each of which has a check of its own. */
const STAGE_BATCHES = 1024;
/** Nothing more is taken while so many wait. */
const STAGES = 4;

/** Who waits for a moment: that at which LevelDB has everything up to a batch, and nothing behind it. */
export interface Waiting {
  /** Called at the moment. */
  readonly open: () => void;
  /** The moment will not come. */
  readonly fail: (error: unknown) => void;
}

/** Batches in a row, with the last change of each key. */
export class Stage {
  readonly checks: Check[] = [];
  readonly waiting: Waiting[] = [];
  /** Nothing more joins. */
  isSealed = false;
  /** Bytes of its records. */
  size = 0;
  /** By section and key: where the change begins. */
  readonly #rows = new Map<string, Map<string, number>>();

  constructor(readonly bytes: Buffer) {}

  add({ sections, keys }: Changes, positions: readonly number[]): void {
    let section = '';
    let rows = NO_ROWS;
    for (let i = 0; i < keys.length; i++) {
      if (sections[i] !== section) {
        section = sections[i] as string;
        rows = this.#rowsOf(section);
      }
      rows.set(keys[i] as string, positions[i] as number);
    }
  }

  get length(): number {
    let length = 0;
    for (const { size } of this.#rows.values()) length += size;
    return length;
  }

  #rowsOf(section: string): Map<string, number> {
    let rows = this.#rows.get(section);
    if (rows === undefined) {
      rows = new Map();
      this.#rows.set(section, rows);
    }
    return rows;
  }

  /** null: deleted; undefined: not changed. The value shares the memory of the stage, which lasts until it is handed over. */
  get(section: string, key: string): Buffer | null | undefined {
    const position = this.#rows.get(section)?.get(key);
    return position === undefined ? undefined : valueAt(this.bytes, position);
  }

  /** Keys with their section; null: deleted. */
  *rows(): Generator<[string, Buffer | null]> {
    for (const [section, rows] of this.#rows) for (const [key, position] of rows) yield [section + key, valueAt(this.bytes, position)];
  }
}

const NO_ROWS = new Map<string, number>();

export class Staging {
  /** The oldest first; the last one takes what comes unless it is sealed. */
  readonly #stages: Stage[] = [];
  /** Where records are made. */
  #bytes: Buffer = Buffer.alloc(0);
  #end = 0;
  /** Memory of a stage that was handed over. */
  #spare: Buffer | null = null;
  /** Of the record that was made last. */
  #positions: number[] = [];
  #size = 0;

  get isEmpty(): boolean {
    return this.#stages.length === 0;
  }

  /** LevelDB does not keep up. */
  get isFull(): boolean {
    return this.#stages.length >= STAGES;
  }

  /** The oldest one, if nothing more is added to it. */
  get sealed(): Stage | null {
    const first = this.#stages[0];
    return first?.isSealed === true ? first : null;
  }

  /** The record of the next batch, for the journal. */
  encode(check: Check, changes: Changes): Buffer {
    const room = recordRoom(changes);
    if (this.#end + room > this.#bytes.length) this.#turnOver(room);
    const from = this.#end;
    this.#end = encodeRecord(this.#bytes, from, check, changes, this.#positions);
    this.#size = this.#end - from;
    return this.#bytes.subarray(from, this.#end);
  }

  #turnOver(room: number): void {
    this.seal();
    const spare = this.#spare;
    this.#spare = null;
    this.#bytes = spare !== null && room <= spare.length ? spare : Buffer.allocUnsafeSlow(Math.max(room, STAGE_BYTES));
    this.#end = 0;
  }

  /** The journal has the record that was made last. */
  add(check: Check, changes: Changes): void {
    let stage = this.#stages.at(-1);
    if (stage === undefined || stage.isSealed) {
      stage = new Stage(this.#bytes);
      this.#stages.push(stage);
    }
    stage.add(changes, this.#positions);
    stage.checks.push(check);
    stage.size += this.#size;
    if (stage.checks.length >= STAGE_BATCHES || stage.length >= STAGE_ROWS) stage.isSealed = true;
  }

  /** A copy of what was written last; null: deleted; undefined: it is as LevelDB has it. */
  get(section: string, key: string): Buffer | null | undefined {
    for (let i = this.#stages.length - 1; i >= 0; i--) {
      const value = (this.#stages[i] as Stage).get(section, key);
      if (value !== undefined) return value === null ? null : Buffer.from(value);
    }
    return undefined;
  }

  /** Seals everything; `waiting`, if there is something, gets the moment when LevelDB has that. */
  seal(waiting: Waiting | null = null): void {
    const last = this.#stages.at(-1);
    if (last === undefined) return;
    last.isSealed = true;
    if (waiting !== null) last.waiting.push(waiting);
  }

  /** LevelDB has the oldest one. */
  handedOver(): void {
    const bytes = this.#stages.shift()?.bytes;
    if (bytes === undefined || bytes === this.#bytes || bytes.length > STAGE_BYTES) return;
    if (!this.#stages.some((stage) => stage.bytes === bytes)) this.#spare = bytes;
  }

  /** LevelDB will not get the rest: the journal has it. */
  fail(error: unknown): void {
    for (const stage of this.#stages) for (const { fail } of stage.waiting.splice(0)) fail(error);
  }
}
