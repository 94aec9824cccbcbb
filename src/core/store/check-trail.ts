// The trail of check keys: one for each batch, each linked to the one before, so that a lost batch is noticed at the next
// start. Pure: says what is to be written and deleted, and judges what was found. The store does the rest.
//
// A check (32 bytes, little-endian): batch f64, revision f64, applied f64, link u32, crc32 u32 of the 28 bytes before.
// The link is the crc32 of the first 24 bytes, begun with the link of the batch before: a check that was left over from
// another history does not fit, even if its number does. Links begin with a random one at each opening: nobody who stores
// something can know them.
//
// Only a batch that is still in the engine's write-ahead log can get lost unnoticed, so checks behind those are trimmed:
// the checkpoint names the last batch of which no check is needed any more.

import { crc32 } from 'node:zlib';
import { checksum, RowMemory } from './row-memory.js';
import type { StoreState } from './store.js';

export const CHECK_BYTES = 32;
const LINKED_BYTES = 24;
const NUMBER_DIGITS = 16;
/** More than one, so that trimming catches up with what an earlier run has left; few, so that no batch gets long. */
const TRIM_PER_BATCH = 4;

/** What a check says. */
export interface Check extends StoreState {
  readonly link: number;
}

export const NOTHING_WRITTEN: Check = Object.freeze({ batch: 0, revision: 0, applied: 0, link: 0 });

/** Batch numbers as they stand in keys: of one width, so that they sort. */
export function checkKey(batch: number): string {
  return String(batch).padStart(NUMBER_DIGITS, '0');
}

export function encodeCheck(check: Check): Buffer {
  writeCheck(own, 0, check);
  return Buffer.from(own.bytes);
}

/** Writes a check where there is room for one. */
export function writeCheck(memory: RowMemory, at: number, check: Check): void {
  writeState(memory.view, at, check);
  memory.view.setUint32(at + LINKED_BYTES, check.link, true);
  memory.view.setUint32(at + LINKED_BYTES + 4, checksum(memory, at, at + LINKED_BYTES + 4), true);
}

/** null when the bytes are not what was written. */
export function decodeCheck(bytes: Uint8Array): Check | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length !== CHECK_BYTES) return null;
  if (crc32(buffer.subarray(0, LINKED_BYTES + 4)) !== buffer.readUInt32LE(LINKED_BYTES + 4)) return null;
  return {
    batch: buffer.readDoubleLE(0),
    revision: buffer.readDoubleLE(8),
    applied: buffer.readDoubleLE(16),
    link: buffer.readUInt32LE(LINKED_BYTES),
  };
}

function writeState(view: DataView, at: number, state: StoreState): void {
  view.setFloat64(at, state.batch, true);
  view.setFloat64(at + 8, state.revision, true);
  view.setFloat64(at + 16, state.applied, true);
}

/** For what is made of one check at a time. */
const own = new RowMemory(Buffer.alloc(CHECK_BYTES));

function linkAfter(previous: Check, state: StoreState): number {
  writeState(own.view, 0, state);
  return checksum(own, 0, LINKED_BYTES, previous.link);
}

/** It was made right after `previous`. */
export function follows(check: Check, previous: Check): boolean {
  return check.batch === previous.batch + 1 && check.link === linkAfter(previous, check);
}

/** Batches that the engine is given at once. */
export interface GivenBatches {
  /** The check of the last one. */
  readonly last: Check;
  readonly count: number;
  /** What they take in the engine's write buffer, or less: never more. */
  readonly bytes: number;
}

/** What goes into the engine beside checks and changes. */
export interface TrailStep {
  /** The new checkpoint, when it moves. */
  readonly checkpoint: Check | null;
  /** Checks to delete: from this batch number … */
  readonly trimFrom: number;
  /** … up to, and without, this one. */
  readonly trimTo: number;
}

interface Mark {
  readonly check: Check;
  /** Bytes written up to and with this batch. */
  readonly written: number;
}

/** Decides, batch by batch, which checks are still needed. */
export class CheckTrail {
  #last: Check;
  #checkpoint: number;
  #trimmed: number;
  #written = 0;
  #marks: Mark[] = [];
  /** What is in tables, and newer than the checkpoint. */
  #inTables: Check | null = null;
  /** Enough for two changes of the engine's write buffer, the second of which waits for the first to be in a table. */
  readonly #sealBytes: number;
  /** One batch may overfill a buffer by any size; what it counts for is capped, so that it never counts for two. */
  readonly #capBytes: number;

  /** `oldest` is the lowest batch number of which a check may exist. */
  constructor(checkpoint: Check, oldest: number, writeBufferBytes: number) {
    this.#last = checkpoint;
    this.#checkpoint = checkpoint.batch;
    this.#trimmed = oldest;
    this.#capBytes = writeBufferBytes / 4;
    this.#sealBytes = 2 * (writeBufferBytes + this.#capBytes);
  }

  /** The check of the next batch. */
  link(state: StoreState): Check {
    const { batch, revision, applied } = state;
    this.#last = { batch, revision, applied, link: linkAfter(this.#last, state) };
    return this.#last;
  }

  /** The engine is given some batches. */
  step({ last, count, bytes }: GivenBatches): TrailStep {
    const checkpoint = this.#sealed();
    if (checkpoint !== null) this.#checkpoint = checkpoint.batch;
    const trimFrom = this.#trimmed;
    const trimTo = Math.max(trimFrom, Math.min(trimFrom + TRIM_PER_BATCH * count, this.#checkpoint + 1));
    this.#trimmed = trimTo;
    this.#mark(last, bytes);
    return { checkpoint, trimFrom, trimTo };
  }

  /** The engine was told to make tables of everything up to this batch, and has unless it accepts nothing more. */
  inTables(check: Check): void {
    if (check.batch <= this.#checkpoint) return;
    this.#inTables = check;
    this.#marks = this.#marks.filter((mark) => mark.check.batch > check.batch);
  }

  /** The newest batch that has left the write-ahead log; null when no further one has. */
  #sealed(): Check | null {
    let sealed = this.#inTables;
    this.#inTables = null;
    for (let mark = this.#marks[0]; mark !== undefined; mark = this.#marks[0]) {
      if (this.#written - mark.written <= this.#sealBytes) break;
      sealed = mark.check;
      this.#marks.shift();
    }
    return sealed;
  }

  /** A mark every quarter of a buffer bounds the list; the batches between wait for the next mark. */
  #mark(check: Check, bytes: number): void {
    this.#written += Math.min(bytes, this.#capBytes);
    const marked = this.#marks.at(-1)?.written ?? 0;
    if (this.#written - marked >= this.#capBytes) this.#marks.push({ check, written: this.#written });
  }
}

export interface FoundCheck {
  /** As in `checkKey`. */
  readonly key: string;
  readonly value: Uint8Array;
}

/** Reads the checks behind a checkpoint, in order, and notes every number that is missing, damaged or does not fit. */
export class TrailVerifier {
  #last: Check;
  /** The last one before the first hole; null: there is no hole. */
  #sound: Check | null = null;
  #highest: number;
  readonly #holes: string[] = [];

  constructor(checkpoint: Check) {
    this.#last = checkpoint;
    this.#highest = checkpoint.batch;
  }

  /** Up to this one nothing is missing. */
  get sound(): Check {
    return this.#sound ?? this.#last;
  }

  /** The highest number that was found, sound or not. */
  get highest(): number {
    return this.#highest;
  }

  /** What the last sound check says. */
  get last(): Check {
    return this.#last;
  }

  /** Numbers in words, lowest first; empty when the trail is unbroken. */
  get holes(): readonly string[] {
    return this.#holes;
  }

  add(found: FoundCheck): void {
    const check = decodeCheck(found.value);
    if (check === null || checkKey(check.batch) !== found.key) return; // counted as missing by the next one, or in finish
    const first = this.#last.batch + 1;
    if (check.batch > first) {
      this.#hole(first === check.batch - 1 ? `${first}` : `${first} to ${check.batch - 1}`);
    } else if (check.link !== linkAfter(this.#last, check)) {
      this.#hole(`${check.batch} (belongs to another history)`);
    }
    this.#last = check;
    this.#highest = Math.max(this.#highest, check.batch);
  }

  #hole(text: string): void {
    this.#sound ??= this.#last;
    this.#holes.push(text);
  }

  /** `lastKey` is the key of the last check that was found, sound or not. */
  finish(lastKey: string | null): void {
    const expected = lastKey === null ? 0 : Number(lastKey);
    this.#highest = Math.max(this.#highest, expected);
    if (expected > this.#last.batch) this.#hole(`${this.#last.batch + 1} to ${expected}`);
  }
}
