// Batch memory: batches are built as records of the journal while they are filled, one behind the other, in reusable pieces of
// memory. While the record of one batch is written to disk, the next one is built behind it.

import type { Check } from './check-trail.js';
import { finishRecord, RECORD_HEAD_BYTES, RECORD_TAIL_BYTES, REMOVED, roomOfChange, writeChange } from './journal-record.js';
import { RowMemory } from './row-memory.js';
import type { Section, WriteBatch } from './store.js';

/** What is kept of a piece is handed over to LevelDB together, and read again at a start after a kill. */
const PIECE_BYTES = 8 * 1024 * 1024;
const OWN_BYTES = 1024;
const RECORD_ENDS_BYTES = RECORD_HEAD_BYTES + RECORD_TAIL_BYTES;

export class Piece extends RowMemory {
  /** Where the next record begins. */
  end = 0;
  /** Who needs what is in it. */
  users = 0;
}

const NONE = new Piece(Buffer.alloc(0));

export class BatchMemory {
  #piece = NONE;
  /** The batch that is being filled behind the last record. */
  #last: RecordBatch | null = null;
  /** One that nobody uses any more. */
  #spare: Piece | null = null;

  /** More room, of `bytes` at least: a batch that begins has its place behind the last record. */
  extend(batch: RecordBatch, bytes: number): void {
    if (batch.memory === NONE) {
      // Whoever was there may be filled no further, or never be written: it goes on elsewhere.
      if (this.#last !== null) this.#last.moveTo(ownPiece(this.#last.size), 0);
      this.#last = batch;
      if (this.#piece.end + bytes > this.#piece.bytes.length || this.#piece.end >= PIECE_BYTES) this.#turnOver(bytes);
      batch.moveTo(this.#piece, this.#piece.end);
    } else if (batch === this.#last) {
      this.#turnOver(batch.size + bytes);
      batch.moveTo(this.#piece, 0);
    } else {
      batch.moveTo(ownPiece(batch.size + bytes), 0);
    }
  }

  #turnOver(bytes: number): void {
    const spare = this.#spare;
    this.#spare = null;
    const isFitting = spare !== null && bytes <= PIECE_BYTES;
    this.#piece = isFitting ? spare : new Piece(Buffer.allocUnsafeSlow(bytes <= PIECE_BYTES ? PIECE_BYTES : bytes * 2));
  }

  /** The batch takes nothing more, and its piece is used. */
  close(batch: RecordBatch): void {
    batch.memory.users += 1;
    if (batch !== this.#last) return;
    this.#last = null;
    this.#piece.end = batch.end;
  }

  /** One user less. */
  release(piece: Piece): void {
    piece.users -= 1;
    if (piece.users > 0 || this.#last?.memory === piece) return;
    piece.end = 0;
    if (piece !== this.#piece && piece.bytes.length === PIECE_BYTES) this.#spare = piece;
  }
}

function ownPiece(bytes: number): Piece {
  return new Piece(Buffer.allocUnsafeSlow(Math.max(OWN_BYTES, bytes * 2)));
}

export class RecordBatch implements WriteBatch {
  readonly keys: string[] = [];
  /** Where each change begins in `memory`. */
  readonly positions: number[] = [];
  memory = NONE;
  /** Of its record: where it begins and ends. */
  from = 0;
  end = 0;

  constructor(private readonly room: BatchMemory) {}

  get length(): number {
    return this.keys.length;
  }

  /** Bytes of its record, so far. */
  get size(): number {
    return this.end - this.from;
  }

  put(section: Section, key: string, value: Uint8Array): void {
    const at = this.place(section, key, value.length);
    this.memory.bytes.set(value, at);
  }

  place(section: Section, key: string, length: number): number {
    const at = this.#begin(section, key, length, length);
    this.end = at + length;
    return at;
  }

  delete(section: Section, key: string): void {
    this.end = this.#begin(section, key, REMOVED, 0);
  }

  /** Where its value begins, for which there is room. */
  #begin(section: Section, key: string, length: number, room: number): number {
    const bytes = roomOfChange(key, room);
    if (this.end + bytes > this.memory.bytes.length - RECORD_TAIL_BYTES) this.room.extend(this, bytes + RECORD_ENDS_BYTES);
    this.keys.push(key);
    this.positions.push(this.end);
    return writeChange(this.memory, this.end, section, key, length);
  }

  /** Its record, to which nothing can be added any more. `memory` is to be released when it is needed no more. */
  finish(check: Check): Buffer {
    if (this.memory === NONE) this.room.extend(this, RECORD_ENDS_BYTES);
    this.end = finishRecord(this.memory, this.from, this.end, check);
    this.room.close(this);
    return this.memory.bytes.subarray(this.from, this.end);
  }

  /** The same where its record is not needed. */
  close(): void {
    if (this.memory === NONE) this.room.extend(this, RECORD_ENDS_BYTES);
    this.room.close(this);
  }

  /** To be called by the memory alone. */
  moveTo(piece: Piece, from: number): void {
    const isNew = this.memory === NONE;
    const by = from - this.from;
    if (!isNew) piece.bytes.set(this.memory.bytes.subarray(this.from, this.end), from);
    for (let i = 0; i < this.positions.length; i++) this.positions[i] = (this.positions[i] as number) + by;
    this.memory = piece;
    this.end = isNew ? from + RECORD_HEAD_BYTES : this.end + by;
    this.from = from;
  }
}
