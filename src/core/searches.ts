// Searches: a query's way through the entries of a scan. What it does at a time is bounded, so that it never holds the event loop,
// and what it does in all is bounded, too.

import type { Entry } from './entry.js';
import { bytesOf } from './entry-source.js';
import { RequestError } from './errors.js';
import type { Lanes } from './lanes.js';
import type { EntrySlice } from './entry-scan.js';
import type { Query, Search } from './query.js';
import type { Selection, SortValues } from './query/order.js';
import type { Session } from './session.js';
import type { Shifts } from './shifts.js';

/** One shift ends when it has taken so long; one record more may be looked at. */
const SHIFT_MS = 8;

export interface SearchLimits {
  /** Rows that one query may read. */
  readonly queryRows: number;
  /** Milliseconds that it may work. */
  readonly queryWorkMs: number;
  /** Milliseconds from its beginning to its end, most of which it may wait for others. */
  readonly queryMs: number;
  /** An answer of more bytes is LIMIT_EXCEEDED. */
  readonly answerBytes: number;
}

/** What searches need of whoever runs them. */
export interface SearchHost {
  readonly limits: SearchLimits;
  /** Held while rows are read and looked at, so that those of few searches are in memory at a time. */
  readonly lanes: Lanes;
  readonly shifts: Shifts;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
}

/** Is given what is wanted; says whether more is. */
type OnFound = (entry: Entry, search: Search) => boolean;

/** One query on its way through the entries of one scan. */
export class EntrySearch {
  readonly #query: Query;
  readonly #session: Session | null;
  readonly #time: number;
  readonly #host: SearchHost;
  #search: Search | null = null;
  #rows = 0;
  /** On the host's clock; below 0: not yet. */
  #begunAt = -1;
  #shiftFrom = -1;
  #workedMs = 0;

  /** Ends early when the session is closed; null: whoever is there. Sees what there is to see at `time`. */
  constructor(query: Query, session: Session | null, time: number, host: SearchHost) {
    this.#query = query;
    this.#session = session;
    this.#time = time;
    this.#host = host;
  }

  /** Rejects with RequestError INVALID_REQUEST when an expression of the query is none. */
  async begin(): Promise<void> {
    await this.shift();
    this.#search ??= this.#query.begin();
  }

  /**
   * To be called after `begin`: calls `found` for each of the entries that is wanted, until it says false. Resolves to whether
   * more are wanted. Rejects with RequestError LIMIT_EXCEEDED.
   */
  async look({ entries, looked }: EntrySlice, found: OnFound): Promise<boolean> {
    await this.shift();
    this.#spend(looked);
    try {
      for (const entry of entries) {
        if (this.isShiftOver) await this.shift();
        if (this.#session?.closed === true) return false;
        if (!this.#goesOn(entry, found)) return false;
      }
      return true;
    } finally {
      this.#rest();
    }
  }

  #goesOn(entry: Entry, found: OnFound): boolean {
    const search = this.#search as Search;
    return entry.isExpired(this.#time) || !search.matches(entry) || found(entry, search);
  }

  /** To be called after `begin`: those of the entries that are wanted. Rejects as `look` does. */
  async wanted(slice: EntrySlice): Promise<readonly Entry[]> {
    const wanted: Entry[] = [];
    await this.look(slice, (entry) => wanted.push(entry) > 0);
    return wanted;
  }

  /** Waits for the next shift. Rejects with RequestError LIMIT_EXCEEDED. */
  async shift(): Promise<void> {
    this.#rest();
    await this.#host.shifts.next();
    const now = this.#host.now();
    if (this.#begunAt < 0) this.#begunAt = now;
    const { queryMs, queryWorkMs } = this.#host.limits;
    if (this.#workedMs > queryWorkMs) throw this.#tooMuch(`works longer than ${queryWorkMs} ms`);
    if (now - this.#begunAt > queryMs) throw this.#tooMuch(`takes longer than ${queryMs} ms`);
    this.#shiftFrom = now;
  }

  #rest(): void {
    if (this.#shiftFrom >= 0) this.#workedMs += this.#host.now() - this.#shiftFrom;
    this.#shiftFrom = -1;
  }

  get isShiftOver(): boolean {
    return this.#host.now() >= this.#shiftFrom + SHIFT_MS;
  }

  #spend(rows: number): void {
    this.#rows += rows;
    const { queryRows } = this.#host.limits;
    if (this.#rows > queryRows) throw this.#tooMuch(`looks at more than ${queryRows} records`);
  }

  #tooMuch(what: string): RequestError {
    return new RequestError('LIMIT_EXCEEDED', `the query ${what} (${this.#rows} until now): ask for a narrower path or a smaller limit`);
  }
}

/** What is answered, and the bytes of it. */
export interface Found {
  readonly entries: readonly Entry[];
  readonly bytes: number;
}

export const NOTHING: Found = Object.freeze({ entries: Object.freeze([]), bytes: 0 });

/** Gathers what was found: in the order in which it is read, sorted, or only counted. */
export interface Gatherer {
  /** false: nothing more is wanted. Throws RequestError LIMIT_EXCEEDED. */
  take(entry: Entry, search: Search): boolean;
  /** How many there are between skip and limit. */
  readonly count: number;
  /** What is answered. To be asked once. */
  found(search: EntrySearch): Promise<Found>;
}

/** `limit` is that of the request, the query may have a smaller one of its own. */
export function gathererFor(query: Query, limit: number, answerBytes: number): Gatherer {
  const end = query.skip + Math.min(query.limit, limit);
  if (query.count) return new Count(query.skip, end);
  return query.isSorted ? new Sorted(query, end, answerBytes) : new InOrder(query.skip, end, answerBytes);
}

class Count implements Gatherer {
  #found = 0;

  constructor(
    private readonly skip: number,
    private readonly end: number,
  ) {}

  take(): boolean {
    if (this.#found < this.end) this.#found += 1;
    return this.#found < this.end;
  }

  get count(): number {
    return Math.max(0, this.#found - this.skip);
  }

  async found(): Promise<Found> {
    return NOTHING;
  }
}

class InOrder implements Gatherer {
  readonly #entries: Entry[] = [];
  readonly #bytes: ByteCount;
  #found = 0;

  constructor(
    private readonly skip: number,
    private readonly end: number,
    answerBytes: number,
  ) {
    this.#bytes = new ByteCount(answerBytes);
  }

  take(entry: Entry): boolean {
    this.#found += 1;
    if (this.#found > this.end) return false;
    if (this.#found <= this.skip) return true;
    this.#bytes.add(entry);
    this.#entries.push(entry);
    return this.#found < this.end;
  }

  get count(): number {
    return this.#entries.length;
  }

  async found(): Promise<Found> {
    return { entries: this.#entries, bytes: this.#bytes.total };
  }
}

class Sorted implements Gatherer {
  readonly #selection: Selection<SortValues>;
  readonly #skip: number;
  readonly #bytes: ByteCount;

  constructor(query: Query, end: number, answerBytes: number) {
    this.#selection = query.selection(end);
    this.#skip = query.skip;
    this.#bytes = new ByteCount(answerBytes);
  }

  take(entry: Entry, search: Search): boolean {
    const left = this.#selection.add(entry, search.sortValues(entry));
    if (left === entry) return true;
    this.#bytes.add(entry);
    if (left !== null) this.#bytes.remove(left);
    return true;
  }

  get count(): number {
    return Math.max(0, this.#selection.length - this.#skip);
  }

  async found(search: EntrySearch): Promise<Found> {
    const entries = new Array<Entry>(this.count);
    await search.shift();
    for (let at = entries.length - 1; at >= 0; at--) {
      if (search.isShiftOver) await search.shift();
      entries[at] = this.#selection.takeLast() as Entry;
    }
    return { entries, bytes: this.#bytes.total };
  }
}

/** Bytes of an answer that is being put together. */
class ByteCount {
  #total = 0;

  constructor(private readonly max: number) {}

  get total(): number {
    return this.#total;
  }

  add(entry: Entry): void {
    this.#total += bytesOf(entry);
    if (this.#total <= this.max) return;
    throw new RequestError('LIMIT_EXCEEDED', `the answer is larger than ${this.max} bytes: ask for less`);
  }

  remove(entry: Entry): void {
    this.#total -= bytesOf(entry);
  }
}
