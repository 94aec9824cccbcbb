// Staging: rows of batches that the journal has and LevelDB does not have yet. A key that changes repeatedly is handed over once. Reads
// look here first. A row stays where the journal's record was built (batch-memory.ts), so that keeping it costs no
// copy. Knows no disk: handover.ts hands over what is here.

import type { BatchMemory, Piece, RecordBatch } from './batch-memory.js';
import type { Check } from './check-trail.js';
import { sectionAt, valueAt } from './journal-record.js';

/** A stage is handed over when the memory that its records are in is full, or when it has so many rows, for which a scan would wait, */
const STAGE_ROWS = 24 * 1024;
/** or so many batches, each of which has a check of its own. */
const STAGE_BATCHES = 1024;
/** Nothing more is taken while so many wait. */
const STAGES = 4;

/** Who waits for a moment: that at which LevelDB has everything up to a batch, and nothing behind it. */
export interface Waiting {
  /** Called at the moment. */
  readonly open: () => void;
  /** The moment will not come: LevelDB will not get these stages, which end with it. */
  readonly fail: (error: unknown, stages: readonly Stage[]) => void;
}

/** Batches in a row, with the last change of each key. */
export class Stage {
  readonly checks: Check[] = [];
  /** Where the record of each begins. */
  readonly records: number[] = [];
  readonly waiting: Waiting[] = [];
  /** Nothing more joins. */
  isSealed = false;
  /** Bytes of its records. */
  size = 0;
  /** By section and key: where the change begins. */
  readonly rows = new Map<number, Map<string, number>>();

  constructor(readonly piece: Piece) {}

  add({ keys, positions }: RecordBatch): void {
    const { bytes } = this.piece;
    let section = 0;
    let rows = NO_ROWS;
    for (let i = 0; i < keys.length; i++) {
      const position = positions[i] as number;
      const current = sectionAt(bytes, position);
      if (current !== section) {
        section = current;
        rows = this.#rowsOf(section);
      }
      rows.set(keys[i] as string, position);
    }
  }

  get length(): number {
    let length = 0;
    for (const { size } of this.rows.values()) length += size;
    return length;
  }

  #rowsOf(section: number): Map<string, number> {
    let rows = this.rows.get(section);
    if (rows === undefined) {
      rows = new Map();
      this.rows.set(section, rows);
    }
    return rows;
  }

  /** null: deleted; undefined: not changed. The value shares the memory of the stage, which lasts until it is handed over. */
  get(section: string, key: string): Buffer | null | undefined {
    const position = this.rows.get(section.charCodeAt(0))?.get(key);
    return position === undefined ? undefined : valueAt(this.piece.bytes, position);
  }
}

const NO_ROWS = new Map<string, number>();

export class Staging {
  /** The oldest first; the last one takes what comes unless it is sealed. */
  readonly #stages: Stage[] = [];

  constructor(private readonly memory: BatchMemory) {}

  get isEmpty(): boolean {
    return this.#stages.length === 0;
  }

  /** What LevelDB does not have, the oldest first. */
  get stages(): readonly Stage[] {
    return this.#stages;
  }

  /** Of the journal's records of these. */
  get bytes(): number {
    return this.#stages.reduce((bytes, { size }) => bytes + size, 0);
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

  /** The journal has the batch. */
  add(check: Check, batch: RecordBatch): void {
    const stage = this.#stageFor(batch.memory);
    stage.add(batch);
    stage.checks.push(check);
    stage.records.push(batch.from);
    stage.size += batch.size;
    this.memory.release(batch.memory);
    if (stage.checks.length >= STAGE_BATCHES || stage.length >= STAGE_ROWS) stage.isSealed = true;
  }

  #stageFor(piece: Piece): Stage {
    const last = this.#stages.at(-1);
    if (last !== undefined) {
      if (!last.isSealed && last.piece === piece) return last;
      last.isSealed = true;
    }
    const stage = new Stage(piece);
    piece.users += 1;
    this.#stages.push(stage);
    return stage;
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
    const stage = this.#stages.shift();
    if (stage !== undefined) this.memory.release(stage.piece);
  }

  /** LevelDB will not get the rest: the journal has it. */
  fail(error: unknown): void {
    for (const [at, { waiting }] of this.#stages.entries()) {
      for (const { fail } of waiting.splice(0)) fail(error, this.#stages.slice(0, at + 1));
    }
  }
}
