// FoundEntries: the entries at the paths found in the index, as of one moment: from the cache, else from the store.

import type { Formats } from '../adapter.js';
import { decodeEntry, type Entry } from '../data/entry.js';
import type { Records } from '../data/records.js';
import type { PathSearch } from '../paths/path-search.js';
import { compareTexts } from '../query/values.js';
import type { StoreRow, StoreScan } from '../store/store.js';
import type { EntrySlice } from './entry-scan.js';

/** A slice ends when so many bytes were read for it. */
const SLICE_BYTES = 256 * 1024;
const READ_ROWS_MAX = 512;

export interface FoundSource {
  readonly records: Records;
  readonly formats: Formats;
  /** Entries of later changes are not of the moment. */
  readonly revision: number;
  /** The rows of the moment; asked for once, when one is needed. */
  rows(): StoreScan;
}

export class FoundEntries {
  readonly #search: PathSearch;
  readonly #source: FoundSource;
  #rows: RowFinder | null = null;
  #paths: readonly string[] = [];
  #at = 0;
  #behind = '';

  /** Begins with what is sought first. The search is closed by whoever made it. */
  constructor(search: PathSearch, source: FoundSource) {
    this.#search = search;
    this.#source = source;
  }

  /** Where it has to be gone on without the search when that is lost: at the path, or the first behind it. */
  get behind(): string {
    return this.#behind;
  }

  get isLost(): boolean {
    return this.#search.isLost;
  }

  /** The next slice; null: there are no more, or the search is lost. Rejects with StoreDamage or StoreFailure. */
  async next(): Promise<EntrySlice | null> {
    if (this.#at === this.#paths.length) {
      const paths = await this.#search.next();
      if (paths === null) return null;
      this.#paths = paths;
      this.#at = 0;
      const last = paths.at(-1);
      if (last !== undefined) this.#behind = `${last}\0`;
    }
    return this.#slice();
  }

  async #slice(): Promise<EntrySlice> {
    const { records, formats, revision } = this.#source;
    const entries: Entry[] = [];
    const from = this.#at;
    for (let bytes = 0; this.#at < this.#paths.length && bytes < SLICE_BYTES; this.#at++) {
      const path = this.#paths[this.#at] as string;
      const atHand = records.asOf(path, revision);
      if (atHand !== null) {
        entries.push(atHand);
        continue;
      }
      this.#rows ??= new RowFinder(this.#source.rows());
      const row = await this.#rows.find(path);
      if (row === null) continue;
      bytes += row.value.length;
      entries.push(decodeEntry(path, row.value, formats.byId));
    }
    return { entries, looked: this.#at - from };
  }

  /** Goes on with the entry at this path, or the first behind it. */
  seek(path: string): void {
    this.#paths = [];
    this.#at = 0;
    this.#behind = path;
    this.#search.seek(path);
    this.#rows?.reset();
  }
}

/** Finds rows, one behind the other, by their keys: sought where they lie apart, read on where they follow each other. */
class RowFinder {
  #rows: readonly StoreRow[] = [];
  #at = 0;
  /** How many of them were wanted. */
  #wanted = 0;
  #size = 1;

  constructor(private readonly scan: StoreScan) {}

  /** null: there is none. */
  async find(key: string): Promise<StoreRow | null> {
    for (;;) {
      while (this.#at < this.#rows.length && compareTexts((this.#rows[this.#at] as StoreRow).key, key) < 0) this.#at += 1;
      const row = this.#rows[this.#at];
      if (row !== undefined && row.key !== key) return null;
      if (row !== undefined) {
        this.#wanted += 1;
        return row;
      }
      const isDense = this.#wanted * 2 > this.#rows.length;
      if (!isDense) this.scan.seek(key);
      this.#size = isDense ? Math.min(this.#size * 2, READ_ROWS_MAX) : 1;
      this.#rows = await this.scan.next(this.#size);
      this.#at = 0;
      this.#wanted = 0;
      if (this.#rows.length === 0 && !isDense) return null;
    }
  }

  /** The next one may be before the last. */
  reset(): void {
    this.#rows = [];
    this.#at = 0;
    this.#wanted = 0;
  }
}
