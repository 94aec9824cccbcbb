// Hands the records of one answer to an in-process client in slices, so that a long list does not hold the event loop, and is not in
// memory as a whole unless the program wants it so.

import { type Entry, EntryCursor, type EntrySource } from '../../core/index.js';
import type { Progress } from './long-answers.js';

/** A step ends when so many records were handed over, or so many bytes of them. */
const STEP_RECORDS = 512;
const STEP_BYTES = 256 * 1024;

export class Handing {
  readonly #source: EntrySource;
  readonly #cursor: EntryCursor;
  /** Waits for records that are on their way. */
  isWaiting = false;

  constructor(
    source: EntrySource,
    private readonly each: (entry: Entry) => unknown,
    /** To be called when `step` says that all were handed over. */
    readonly done: () => void,
    /** To be called when the rest cannot be read. */
    readonly failed: (error: Error) => void,
  ) {
    this.#source = source;
    this.#cursor = new EntryCursor(source);
  }

  /** Hands the next ones over. */
  step(): Progress {
    const cursor = this.#cursor;
    for (let n = 0, bytes = 0; n < STEP_RECORDS && bytes < STEP_BYTES; n++) {
      const entry = cursor.next();
      if (entry === null) break;
      bytes += entry.payload.size;
      this.each(entry);
    }
    this.isWaiting = !cursor.isOver && cursor.isWaiting;
    if (cursor.isOver) return 'done';
    return this.isWaiting ? 'waiting' : 'more';
  }

  /** To be called when nothing more is handed over. */
  close(): void {
    this.#source.close();
  }
}
