// Gatherers: build an answer by wildcard from the entries found, and measure it. A result too large to be held is noted as row
// numbers of the scan, to be read again (entry-streams.ts).

import type { Entry } from '../data/entry.js';
import { bytesOf } from '../data/entry-source.js';
import { RequestError } from '../errors.js';
import { Selection, type SortValues } from '../query/order.js';
import type { Query, Search } from '../query/query.js';

const FIRST_MARK_BYTES = 1_024;
/** Entries that are put into their order in one shift. */
const SHIFT_ENTRIES = 4_096;

/** Entries by their numbers in a scan: a bit for each. */
export class Marks {
  #bits = new Uint8Array(FIRST_MARK_BYTES);
  #behind = 0;

  mark(number: number): void {
    const byte = number >>> 3;
    if (byte >= this.#bits.length) this.#grow(byte);
    this.#bits[byte] = (this.#bits[byte] as number) | (1 << (number & 7));
    this.#behind = Math.max(this.#behind, number + 1);
  }

  has(number: number): boolean {
    return ((this.#bits[number >>> 3] ?? 0) & (1 << (number & 7))) !== 0;
  }

  /** The first marked number from this one on; -1: there is none. */
  next(number: number): number {
    for (let at = number; at < this.#behind; at++) {
      if ((at & 7) === 0 && this.#bits[at >>> 3] === 0) at += 7;
      else if (this.has(at)) return at;
    }
    return -1;
  }

  #grow(byte: number): void {
    const grown = new Uint8Array(Math.max(byte + 1, this.#bits.length * 2));
    grown.set(this.#bits);
    this.#bits = grown;
  }
}

/** Entries, by their numbers in a scan, in another order than that of the scan. */
export class Ranking {
  readonly #rankOf: Uint32Array;
  readonly #sizes: Uint32Array;

  /** `numbers` in their order, and the bytes of each entry. */
  constructor(numbers: Uint32Array, sizes: Uint32Array) {
    let last = -1;
    for (const number of numbers) last = Math.max(last, number);
    this.#rankOf = new Uint32Array(last + 1);
    for (let rank = 0; rank < numbers.length; rank++) this.#rankOf[numbers[rank] as number] = rank + 1;
    this.#sizes = sizes;
  }

  get count(): number {
    return this.#sizes.length;
  }

  /** -1: it has none. */
  rankOf(number: number): number {
    return (this.#rankOf[number] ?? 0) - 1;
  }

  /** The rank behind the last of those from `first` on that have `bytes` together; at least the next one. */
  behind(first: number, bytes: number): number {
    let sum = 0;
    let rank = first;
    do {
      sum += this.#sizes[rank] as number;
      rank += 1;
    } while (rank < this.count && sum + (this.#sizes[rank] as number) <= bytes);
    return rank;
  }

  /** Those with the ranks from `first` to before `behind`. */
  marks(first: number, behind: number): Marks {
    const marks = new Marks();
    for (let number = 0; number < this.#rankOf.length; number++) {
      const rank = this.rankOf(number);
      if (rank >= first && rank < behind) marks.mark(number);
    }
    return marks;
  }
}

/** What is answered. */
export interface Found {
  /** All of it; in path order, all before `rest`; none before a ranking. */
  readonly entries: readonly Entry[];
  /** What has to be read once more; null: nothing. */
  readonly rest: Marks | Ranking | null;
  /** Number and bytes of all of it. */
  readonly count: number;
  readonly bytes: number;
}

export const NOTHING: Found = Object.freeze({ entries: Object.freeze([]), rest: null, count: 0, bytes: 0 });

/** The shifts in which something works. */
export interface WorkShifts {
  readonly isShiftOver: boolean;
  shift(): Promise<void>;
}

/** Shifts of so many steps. */
export class CountedShifts implements WorkShifts {
  #steps = 0;

  constructor(private readonly next: () => Promise<void>) {}

  get isShiftOver(): boolean {
    this.#steps += 1;
    return this.#steps >= SHIFT_ENTRIES;
  }

  shift(): Promise<void> {
    this.#steps = 0;
    return this.next();
  }
}

/** Gathers what was found: in the order in which it is read, sorted, or only counted. */
export interface Gatherer {
  /** `number`: in the scan, from 0. false: nothing more is wanted. Throws RequestError LIMIT_EXCEEDED. */
  take(entry: Entry, search: Search | null, number: number): boolean;
  /** How many there are between skip and limit. */
  readonly count: number;
  /** What is answered. To be asked once. */
  found(shifts: WorkShifts): Promise<Found>;
}

export interface GatherLimits {
  /** An answer of more bytes is LIMIT_EXCEEDED. */
  readonly answerBytes: number;
  /** Of an answer no more is held than this, and one entry; Infinity: all of it is. */
  readonly headBytes: number;
}

/** `limit` is that of the request, the query may have a smaller one of its own. */
export function gathererFor(query: Query | null, limit: number, limits: GatherLimits): Gatherer {
  if (query === null) return new InOrder(0, limit, limits);
  const end = query.skip + Math.min(query.limit, limit);
  if (query.count) return new Count(query.skip, end);
  if (!query.isSorted) return new InOrder(query.skip, end, limits);
  const sortValue = (entry: Entry, search: Search | null): SortValues => (search as Search).sortValues(entry);
  return new Sorted(query.selection<FoundEntry>(end), sortValue, query.skip, limits);
}

/** All of it, oldest change first. */
export function gathererByRevision(limits: GatherLimits): Gatherer {
  const selection = new Selection<FoundEntry, number>((a, b) => a - b, Number.POSITIVE_INFINITY);
  return new Sorted(selection, (entry) => entry.revision, 0, limits);
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
  readonly #head: Entry[] = [];
  readonly #headBytes: number;
  readonly #bytes: ByteCount;
  #marks: Marks | null = null;
  #found = 0;

  constructor(
    private readonly skip: number,
    private readonly end: number,
    { answerBytes, headBytes }: GatherLimits,
  ) {
    this.#bytes = new ByteCount(answerBytes);
    this.#headBytes = headBytes;
  }

  take(entry: Entry, _search: Search | null, number: number): boolean {
    if (this.#found >= this.end) return false;
    this.#found += 1;
    if (this.#found <= this.skip) return true;
    const before = this.#bytes.total;
    this.#bytes.add(bytesOf(entry));
    if (before <= this.#headBytes) {
      this.#head.push(entry);
    } else {
      this.#marks ??= new Marks();
      this.#marks.mark(number);
    }
    return this.#found < this.end;
  }

  get count(): number {
    return Math.max(0, this.#found - this.skip);
  }

  async found(): Promise<Found> {
    return { entries: this.#head, rest: this.#marks, count: this.count, bytes: this.#bytes.total };
  }
}

/** An entry that was found. */
interface FoundEntry {
  /** null: there was no room to hold it. */
  readonly entry: Entry | null;
  readonly number: number;
  readonly size: number;
}

class Sorted<V> implements Gatherer {
  readonly #selection: Selection<FoundEntry, V>;
  readonly #sortValue: (entry: Entry, search: Search | null) => V;
  readonly #skip: number;
  readonly #bytes: ByteCount;
  readonly #headBytes: number;
  #isHeld = true;

  constructor(
    selection: Selection<FoundEntry, V>,
    sortValue: (entry: Entry, search: Search | null) => V,
    skip: number,
    { answerBytes, headBytes }: GatherLimits,
  ) {
    this.#selection = selection;
    this.#sortValue = sortValue;
    this.#skip = skip;
    this.#bytes = new ByteCount(answerBytes);
    this.#headBytes = headBytes;
  }

  take(entry: Entry, search: Search | null, number: number): boolean {
    this.#isHeld &&= this.#bytes.total <= this.#headBytes;
    const one: FoundEntry = { entry: this.#isHeld ? entry : null, number, size: bytesOf(entry) };
    const left = this.#selection.add(one, this.#sortValue(entry, search));
    if (left === one) return true;
    this.#bytes.add(one.size);
    if (left !== null) this.#bytes.remove(left.size);
    return true;
  }

  get count(): number {
    return Math.max(0, this.#selection.length - this.#skip);
  }

  async found(shifts: WorkShifts): Promise<Found> {
    const { count } = this;
    const entries = new Array<Entry | null>(count);
    const numbers = new Uint32Array(count);
    const sizes = new Uint32Array(count);
    let held = 0;
    await shifts.shift();
    for (let at = count - 1; at >= 0; at--) {
      if (shifts.isShiftOver) await shifts.shift();
      const { entry, number, size } = this.#selection.takeLast() as FoundEntry;
      if (entry !== null) held += 1;
      entries[at] = entry;
      numbers[at] = number;
      sizes[at] = size;
    }
    const bytes = this.#bytes.total;
    if (held === count) return { entries: entries as Entry[], rest: null, count, bytes };
    return { entries: [], rest: new Ranking(numbers, sizes), count, bytes };
  }
}

/** Bytes of an answer that is being put together. */
class ByteCount {
  #total = 0;

  constructor(private readonly max: number) {}

  get total(): number {
    return this.#total;
  }

  add(bytes: number): void {
    this.#total += bytes;
    if (this.#total <= this.max) return;
    throw new RequestError('LIMIT_EXCEEDED', `the answer is larger than ${this.max} bytes: ask for less`);
  }

  remove(bytes: number): void {
    this.#total -= bytes;
  }
}
