// The records of one answer on their way to an in-process client, some at a time, so that a long list does not hold the event loop.

import { type Entry, EntryCursor, type EntrySource } from '../../core/index.js';

/** Records of one step. */
const STEP_RECORDS = 512;

export class Handing {
  readonly #cursor: EntryCursor;

  constructor(
    source: EntrySource,
    private readonly each: (entry: Entry) => unknown,
    /** To be called when `step` says that all were handed over. */
    readonly done: () => void,
  ) {
    this.#cursor = new EntryCursor(source);
  }

  /** Hands the next ones over; true: there are no more. */
  step(): boolean {
    const cursor = this.#cursor;
    for (let n = 0; n < STEP_RECORDS; n++) {
      const entry = cursor.next();
      if (entry === null) break;
      this.each(entry);
    }
    return cursor.isOver;
  }
}
