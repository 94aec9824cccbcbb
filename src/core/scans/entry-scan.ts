// EntryScan: the entries that match a pattern, slice by slice, as of one moment. If the index of paths can find them, only they
// are read. Otherwise only keys are read as long as all entries are in the cache (stored or read recently), and rows from the first one
// that is not.

import type { Formats } from '../adapter.js';
import { decodeEntry, type Entry } from '../data/entry.js';
import type { Records } from '../data/records.js';
import type { PathIndex } from '../paths/path-index.js';
import type { PathSearch } from '../paths/path-search.js';
import type { Pattern } from '../paths/pattern.js';
import { rangeOf, type Skips, skipping } from '../paths/pattern-scan.js';
import type { Store, StoreKeyScan, StoreRow, StoreScan } from '../store/store.js';
import { FoundEntries } from './found-entries.js';

const SLICE_ROWS = 512;
/** Scans that are sought anew more often go on with the index. */
const SKIPS_MAX = 32;

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
  readonly paths: PathIndex;
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
  /** Where the next slice begins that is read by scanning. */
  #next: string;
  readonly #skips: Skips = { count: 0 };
  /** The paths that match, if they are in memory. */
  readonly #search: PathSearch | null;
  /** What is read by them; null: the store is scanned. */
  #found: FoundEntries | null = null;

  /**
   * The moment is that of the call; no change of a path that matches may be on its way to the store. `after` leaves out
   * everything up to and including that path. The caller must finish or `close` it.
   */
  constructor(pattern: Pattern, after: string | null, source: ScanSource) {
    this.#pattern = pattern;
    this.#source = source;
    this.#revision = source.records.revision;
    const range = rangeOf(pattern, after);
    this.#next = range.gte ?? '';
    this.#keys = source.store.scanKeys(range, SLICE_ROWS);
    this.#keySlices = skipping(this.#keys, pattern, SLICE_ROWS, this.#skips);
    this.#search = source.paths.search(pattern, after);
    // Scans that skip what lies between begin with that: they may be done after a few steps.
    if (pattern.dialect === 'glob') this.#find();
  }

  /** The next slice, in the order of the paths; it may be empty. null: there are no more. Rejects with StoreDamage or StoreFailure. */
  async next(): Promise<EntrySlice | null> {
    const found = this.#found;
    if (found === null) return this.#scan();
    const slice = await found.next();
    if (slice !== null || !found.isLost) return slice;
    this.#found = null;
    this.seek(found.behind);
    return this.#scan();
  }

  async #scan(): Promise<EntrySlice | null> {
    if (this.#skips.count > SKIPS_MAX) {
      this.#skips.count = 0;
      this.#find();
      if (this.#found !== null) return this.#found.next();
    }
    if (this.#rowSlices === null) {
      const keys = await this.#keySlices.next();
      return keys.length === 0 ? null : this.#atHand(keys);
    }
    const rows = await this.#rowSlices.next();
    return rows.length === 0 ? null : this.#decoded(rows);
  }

  /** Goes on with the index, if it is there. */
  #find(): void {
    const { records, formats, paths } = this.#source;
    const search = this.#search;
    if (search === null || search.isLost) {
      paths.wanted(this.#pattern);
      return;
    }
    this.#found = new FoundEntries(search, { records, formats, revision: this.#revision, rows: () => this.#keys.rows() });
    this.#found.seek(this.#next);
  }

  /** Ends before the first entry that is not in the cache; the next slice begins with it. */
  #atHand(keys: readonly string[]): EntrySlice {
    const { records } = this.#source;
    const entries: Entry[] = [];
    for (const [at, key] of keys.entries()) {
      if (!this.#pattern.matches(key)) continue;
      const entry = records.asOf(key, this.#revision);
      if (entry === null) {
        this.#readRows(key);
        return { entries, looked: at };
      }
      entries.push(entry);
    }
    this.#next = behind(keys.at(-1) as string);
    return { entries, looked: keys.length };
  }

  #decoded(rows: readonly StoreRow[]): EntrySlice {
    const { byId } = this.#source.formats;
    const entries: Entry[] = [];
    for (const { key, value } of rows) if (this.#pattern.matches(key)) entries.push(decodeEntry(key, value, byId));
    this.#next = behind((rows.at(-1) as StoreRow).key);
    return { entries, looked: rows.length };
  }

  /** Goes on with the entry at this path, which was given before: from the same moment, but not out of the cache alone. */
  seek(path: string): void {
    if (this.#found !== null) {
      this.#found.seek(path);
      return;
    }
    this.#readRows(path);
  }

  #readRows(from: string): void {
    const rows = this.#keys.rows();
    rows.seek(from);
    this.#next = from;
    this.#rowSlices = skipping(rows, this.#pattern, SLICE_ROWS, this.#skips);
  }

  close(): Promise<void> {
    this.#search?.close();
    return this.#keys.close();
  }
}

/** The first key that can come after this one. */
function behind(key: string): string {
  return `${key}\0`;
}
