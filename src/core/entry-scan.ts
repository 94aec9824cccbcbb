// EntryScan: the entries that a pattern matches, slice by slice, from one moment. As long as all of them are in the cache
// (they were stored or read lately) only keys are read; from the first one on that is not, rows are.

import type { Formats } from './adapter.js';
import { decodeEntry, type Entry } from './entry.js';
import type { Pattern } from './pattern.js';
import { rangeOf, skipping } from './pattern-scan.js';
import type { Records } from './records.js';
import type { Store, StoreKeyScan, StoreRow, StoreScan } from './store/store.js';

const SLICE_ROWS = 512;

/** Some of the entries, also such as have expired. */
export interface EntrySlice {
  readonly entries: readonly Entry[];
  /** How many records of the store were looked at for it. */
  readonly looked: number;
}

/** What is read. */
export interface ScanSource {
  readonly store: Store;
  readonly records: Records;
  readonly formats: Formats;
}

export class EntryScan {
  readonly #pattern: Pattern;
  readonly #source: ScanSource;
  /** Entries of later changes are not of this moment. */
  readonly #revision: number;
  readonly #keys: StoreKeyScan;
  readonly #keySlices: StoreScan<string>;
  #rowSlices: StoreScan | null = null;
  readonly #first: string;
  /** Rows of the whole range, once it was sought in them. */
  #rows: StoreScan | null = null;

  /**
   * The moment is that of the call; no change of a path that matches may be on its way to the store. `after` leaves out
   * everything up to and including that path. The caller must finish or `close` it.
   */
  constructor(pattern: Pattern, after: string | null, source: ScanSource) {
    this.#pattern = pattern;
    this.#source = source;
    this.#revision = source.records.revision;
    const range = rangeOf(pattern, after);
    this.#first = range.gte ?? '';
    this.#keys = source.store.scanKeys(range, SLICE_ROWS);
    this.#keySlices = skipping(this.#keys, pattern, SLICE_ROWS);
  }

  /** The next slice, in the order of the paths; it may be empty. null: there are no more. Rejects with StoreDamage or StoreFailure. */
  async next(): Promise<EntrySlice | null> {
    if (this.#rowSlices === null) {
      const keys = await this.#keySlices.next();
      return keys.length === 0 ? null : this.#atHand(keys);
    }
    const rows = await this.#rowSlices.next();
    return rows.length === 0 ? null : this.#decoded(rows);
  }

  /** Ends before the first entry that is not in the cache; the next slice begins with it. */
  #atHand(keys: readonly string[]): EntrySlice {
    const { records } = this.#source;
    const entries: Entry[] = [];
    for (const [at, key] of keys.entries()) {
      if (!this.#pattern.matches(key)) continue;
      const entry = records.asOf(key, this.#revision);
      if (entry === null) {
        this.#rowSlices = skipping(this.#keys.rowsFrom(key), this.#pattern, SLICE_ROWS);
        return { entries, looked: at };
      }
      entries.push(entry);
    }
    return { entries, looked: keys.length };
  }

  #decoded(rows: readonly StoreRow[]): EntrySlice {
    const { byId } = this.#source.formats;
    const entries: Entry[] = [];
    for (const { key, value } of rows) if (this.#pattern.matches(key)) entries.push(decodeEntry(key, value, byId));
    return { entries, looked: rows.length };
  }

  /** Goes on with the entry at this path, which was given before: from the same moment, but from the store. */
  seek(path: string): void {
    this.#rows ??= this.#keys.rowsFrom(this.#first);
    this.#rows.seek(path);
    this.#rowSlices = skipping(this.#rows, this.#pattern, SLICE_ROWS);
  }

  close(): Promise<void> {
    return this.#keys.close();
  }
}
