// PathIndex: the paths of all records in memory, so that a pattern with text after its wildcards is found without reading every
// key of the store. It is built from the store when the first such pattern arrives, follows every commit, and is never the truth: what
// it finds is read from cache and store. Until it is ready, or if it is too large, the store is scanned instead.

import type { Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import type { Shifts } from '../pace/shifts.js';
import { compareTexts } from '../query/values.js';
import { SECTION, type Store } from '../store/store.js';
import { PathBlocks, type PathChange } from './path-blocks.js';
import { needleOf, PathSearch, type PathSearchHost } from './path-search.js';
import type { Pattern } from './pattern.js';
import { rangeOf } from './pattern-scan.js';

/** Memory for it that is used when nothing else is said. */
export const PATH_INDEX_BYTES = 64 * 1024 * 1024;
/** Keys that are read at a time. */
const LOAD_ROWS = 1_000;
/** Changes that wait until they are put into the blocks, and that are put in at a time. */
const MERGE_CHANGES = 512;
/** A part of its bytes has to go before an index that was too large is read again. */
const REGAIN = 1 / 8;
/** What a change that waits takes beside its path. */
const CHANGE_BYTES = 64;

export interface PathIndexParts {
  readonly store: Store;
  readonly shifts: Shifts;
  readonly log: Log;
  readonly counters: Counters;
  /** Bytes of memory; 0: none, and no index. */
  readonly maxBytes: number;
}

export class PathIndex {
  readonly #parts: PathIndexParts;
  #state: 'empty' | 'loading' | 'ready' | 'full' = 'empty';
  #blocks = new PathBlocks();
  /** What the blocks do not know yet. */
  readonly #changes = new Map<string, boolean>();
  #changeBytes = 0;
  #isMerging = false;
  /** Those that hold on to blocks, and the bytes of what was made anew since there are any. */
  readonly #searches = new Set<PathSearch>();
  #replacedBytes = 0;
  /** Of the paths that came and went since the index was too large. */
  #grownBytes = 0;
  /** Number of the load that counts. */
  #load = 0;
  #loading: Promise<void> | null = null;
  readonly #host: PathSearchHost;
  readonly #overflows: Counter;

  constructor(parts: PathIndexParts) {
    this.#parts = parts;
    const { counters, shifts } = parts;
    const used = counters.counter('path_index_searches_total', 'Wildcard requests answered with the in-memory index of all paths');
    this.#host = { shifts, begun: () => used.add(), closed: (search) => void this.#searches.delete(search) };
    this.#overflows = counters.counter('path_index_overflows_total', 'Times that the index of all paths exceeded its limit');
    counters.gauge('path_index_bytes', 'Bytes of the in-memory index of all paths', () => this.bytes);
  }

  get bytes(): number {
    return this.#blocks.bytes + this.#changeBytes;
  }

  /** All paths are there. */
  get isReady(): boolean {
    return this.#state === 'ready';
  }

  /**
   * The paths that match as of this call, at which no change of such a path may be on its way to the store; those up to and
   * including `after` are left out. null: the store has to be asked. To be closed, whether it was used or not.
   */
  search(pattern: Pattern, after: string | null): PathSearch | null {
    const needle = this.#parts.maxBytes === 0 ? null : needleOf(pattern);
    if (needle === null) return null;
    if (this.#state !== 'ready') return null;
    const { gte = '', lt } = rangeOf(pattern, after);
    const isWanted = ([path]: PathChange): boolean => pattern.matches(path) && compareTexts(path, gte) >= 0;
    const changes = this.#changes.size === 0 ? [] : [...this.#changes].filter(isWanted);
    const search = new PathSearch({ pattern, needle, gte, lt, blocks: this.#blocks.all(), changes }, this.#host);
    this.#searches.add(search);
    return search;
  }

  /** These paths have come or gone, and the store knows. */
  committed(changes: ReadonlyMap<string, boolean>): void {
    if (this.#state === 'empty') return;
    for (const [path, isThere] of changes) {
      const bytes = path.length * 2 + CHANGE_BYTES;
      if (this.#state === 'full') {
        this.#grownBytes += isThere ? bytes : -bytes;
        continue;
      }
      if (!this.#changes.has(path)) this.#changeBytes += bytes;
      this.#changes.set(path, isThere);
    }
    if (this.#state === 'full') return;
    if (this.bytes > this.#parts.maxBytes) this.#overflow();
    else this.#mergeSoon();
  }

  /** The store may hold something else than was committed. */
  reset(): void {
    this.#load += 1;
    this.#state = 'empty';
    this.#clear();
  }

  /** Resolves when it asks nothing of the store any more. */
  async stop(): Promise<void> {
    this.reset();
    await this.#loading;
  }

  #clear(): void {
    this.#blocks = new PathBlocks();
    this.#changes.clear();
    this.#changeBytes = 0;
    this.#loseSearches();
  }

  #loseSearches(): void {
    for (const search of this.#searches) search.lose();
    this.#searches.clear();
    this.#replacedBytes = 0;
  }

  #overflow(): void {
    this.#load += 1;
    this.#state = 'full';
    this.#grownBytes = 0;
    this.#clear();
    this.#overflows.add();
    const { log, maxBytes } = this.#parts;
    log.warn({ maxBytes }, 'all paths together exceed data.pathIndexBytes: patterns with text after a wildcard read every key');
  }

  /** A search for such a pattern was wanted: the next ones shall find it. */
  wanted(pattern: Pattern): void {
    const { store, maxBytes } = this.#parts;
    if (this.#state === 'ready' || this.#loading !== null || maxBytes === 0 || needleOf(pattern) === null) return;
    if (this.#state === 'full' && this.#grownBytes > -maxBytes * REGAIN) return;
    this.#state = 'loading';
    const number = ++this.#load;
    this.#loading = this.#read(store, number).finally(() => {
      this.#loading = null;
    });
  }

  /** What is committed from its call on is a change to what it reads, whether that shows there or not. */
  async #read(store: Store, number: number): Promise<void> {
    try {
      const scan = store.scanKeys({ section: SECTION.record }, LOAD_ROWS);
      try {
        for (let keys = await scan.next(); keys.length > 0; keys = await scan.next()) {
          await this.#parts.shifts.next();
          if (number !== this.#load) return;
          this.#blocks.append(keys);
          if (this.bytes > this.#parts.maxBytes) return this.#overflow();
        }
      } finally {
        await scan.close();
      }
      if (number !== this.#load) return;
      this.#state = 'ready';
      this.#mergeSoon();
    } catch (error) {
      if (number !== this.#load) return;
      this.#parts.log.warn({ err: error }, 'the index of all paths could not be built yet');
      this.reset();
    }
  }

  #mergeSoon(): void {
    if (this.#isMerging || this.#state !== 'ready' || this.#changes.size < MERGE_CHANGES) return;
    this.#isMerging = true;
    this.#parts.shifts.run(this.#merge);
  }

  readonly #merge = (): void => {
    this.#isMerging = false;
    if (this.#state !== 'ready') return;
    const changes: PathChange[] = [];
    for (const change of this.#changes) {
      if (changes.push(change) === MERGE_CHANGES) break;
    }
    for (const [path] of changes) {
      this.#changes.delete(path);
      this.#changeBytes -= path.length * 2 + CHANGE_BYTES;
    }
    this.#replacedBytes += this.#blocks.apply(changes.sort(([a], [b]) => compareTexts(a, b)));
    // Searches that take long hold on to blocks that are no more: together no more of these than of the others.
    if (this.#searches.size === 0) this.#replacedBytes = 0;
    else if (this.#replacedBytes > this.#parts.maxBytes) this.#loseSearches();
    this.#mergeSoon();
  };
}
