// Moments: what scans see of LevelDB, and its snapshots, of which none is open while a batch is written.
//
// The LevelDB that `level` brings (1.20) may read an older version of a key, or one that was deleted, for a while or for good, when a
// compaction finds a version of it that is newer than the oldest open snapshot (mended upstream in 1.21: google/leveldb#320). One batch
// at a time is written, which is in no table before the next one, so a snapshot that is closed before the next one is begun is seen by
// no such compaction. (Where LevelDB is told to make tables of the last one, handover.ts, no snapshot is made while one is written.) An
// iterator needs its snapshot to be made only: what it reads stays what it was.

import type { Database } from './opening.js';

type Snapshot = ReturnType<Database['snapshot']>;

/** Of a range: keys with their section. */
export interface IteratorOptions {
  readonly gte: string;
  readonly lt: string;
  readonly highWaterMarkBytes: number;
  readonly values?: boolean;
  readonly valueEncoding?: string;
}

/** What there is between two batches, or before one that is being written is there. */
export class Moment {
  readonly #database: Database;
  readonly #snapshot: Snapshot;
  readonly #unpinned: Snapshot;
  readonly #ending = new Set<() => void>();

  constructor(database: Database) {
    this.#database = database;
    this.#snapshot = database.snapshot();
    this.#unpinned = unpinned(this.#snapshot);
  }

  /** To be called before the moment ends; the iterator may be read after that. */
  iterator<Value>(options: IteratorOptions): Iterator<Value> {
    return this.#database.iterator<string, Value>({ ...options, snapshot: this.#unpinned });
  }

  /** Calls `last` when the moment ends: iterators can still be made then. */
  onEnd(last: () => void): void {
    this.#ending.add(last);
  }

  offEnd(last: () => void): void {
    this.#ending.delete(last);
  }

  /** The snapshot is closed when this returns. */
  end(): Promise<void> {
    for (const last of this.#ending) last();
    this.#ending.clear();
    return this.#snapshot.close();
  }
}

export interface Iterator<Value> {
  nextv(size: number): Promise<[string, Value][]>;
  seek(target: string): void;
  close(): Promise<void>;
}

/** The same snapshot for who makes an iterator; but the library lets an iterator be read only as long as its snapshot is open. */
function unpinned(snapshot: Snapshot): Snapshot {
  const doNothing = { value: (): void => {} };
  return Object.create(snapshot, { ref: doNothing, unref: doNothing }) as Snapshot;
}
