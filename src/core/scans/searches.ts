// Searches: a query's way through the entries of a scan. The work per shift is bounded, so that it never holds the event loop,
// and so is the work in all.

import type { Entry } from '../data/entry.js';
import { RequestError } from '../errors.js';
import type { Lanes } from '../pace/lanes.js';
import type { Shifts } from '../pace/shifts.js';
import type { Query, Search } from '../query/query.js';
import type { Guard } from '../security/guards.js';
import type { Session } from '../sessions/session.js';
import type { EntrySlice } from './entry-scan.js';

/** One shift ends when it has taken so long; one record more may be looked at. */
const SHIFT_MS = 8;

export interface SearchLimits {
  /** Rows that one query may read. */
  readonly queryRows: number;
  /** Milliseconds that it may work. */
  readonly queryWorkMs: number;
  /** Milliseconds from its beginning to its end, most of which it may wait for others. */
  readonly queryMs: number;
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

/** Is given what is wanted, and where in its slice it is; says whether more is. */
type OnFound = (entry: Entry, search: Search, at: number) => boolean;

/** One query on its way through the entries of one scan. */
export class EntrySearch {
  readonly #query: Query;
  readonly #session: Session | null;
  readonly #guard: Guard | null;
  readonly #time: number;
  readonly #host: SearchHost;
  #search: Search | null = null;
  #rows = 0;
  /** On the host's clock; below 0: not yet. */
  #begunAt = -1;
  #shiftFrom = -1;
  #workedMs = 0;

  /**
   * Ends early when the session is closed; null: whoever is there. Sees what there is to see at `time`, and what `guard` may get (null:
   * all).
   */
  constructor(query: Query, session: Session | null, guard: Guard | null, time: number, host: SearchHost) {
    this.#query = query;
    this.#session = session;
    this.#guard = guard;
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
      for (const [at, entry] of entries.entries()) {
        if (this.isShiftOver) await this.shift();
        if (this.#session?.closed === true) return false;
        if (!this.#goesOn(entry, at, found)) return false;
      }
      return true;
    } finally {
      this.#rest();
    }
  }

  #goesOn(entry: Entry, at: number, found: OnFound): boolean {
    const search = this.#search as Search;
    if (this.#guard !== null && !this.#guard.rights.allows('get', entry.path)) return true;
    return entry.isExpired(this.#time) || !search.matches(entry) || found(entry, search, at);
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
