// Turn: one slice of engine work: what it changes, what it says, and which requests wait for its commit.

import { type Entry, encodeEntry } from './entry.js';
import type { Outbound, Request } from './message.js';
import type { RemovalSlice } from './operations.js';
import type { View } from './records.js';
import { SECTION, type Store, type WriteBatch } from './store/store.js';

/** Work that begins when the turn is committed: an answer or a removal that reads the store in slices. */
export type Job = () => void;

export class Turn {
  #batch: WriteBatch | null = null;
  readonly view: View = new Map();
  /** Replies, publications and jobs in the order in which they were made. */
  readonly outcomes: (Outbound | Job)[] = [];
  /** Requests whose effects are in the batch, or that follow one of those. */
  readonly requests: (Request | RemovalSlice)[] = [];
  /** Nothing more that stores may join: a job of this turn must see the store as it is after this turn. */
  closed = false;

  constructor(private readonly store: Store) {}

  get batch(): WriteBatch {
    this.#batch ??= this.store.batch();
    return this.#batch;
  }

  /** Whether there is something to write. */
  get changed(): boolean {
    return this.#batch !== null && this.#batch.length > 0;
  }

  put(entry: Entry): void {
    this.view.set(entry.path, entry);
    this.batch.put(SECTION.record, entry.path, encodeEntry(entry));
  }

  remove(path: string): void {
    this.view.set(path, null);
    this.batch.delete(SECTION.record, path);
  }
}
