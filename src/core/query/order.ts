// Order: the sort order of found records, and a selection that keeps the first of them while they arrive in any order.

import { asMap, invalid } from './checks.js';
import { anyValue, type Reader, type RecordView, recordReader } from './fields.js';
import type { Meter } from './meter.js';
import { compareValues, makeComparable, type Seen } from './values.js';

const SORT_KEYS_MAX = 32;

interface SortKey {
  readonly reader: Reader<RecordView>;
  readonly descending: boolean;
}

export type Sort = readonly SortKey[];

/** What the fields of one record are sorted by. */
export type SortValues = readonly Seen[];

/**
 * {field: 1 or -1, …}, the first key first. What comes after the path changes nothing, because there is one record of a path;
 * ascending paths are the order in which records are read. Throws RequestError INVALID_REQUEST.
 */
export function parseSort(sort: unknown): Sort {
  const map = asMap(sort, 'sort');
  const names = Object.keys(map);
  if (names.length > SORT_KEYS_MAX) throw invalid(`sort has more than ${SORT_KEYS_MAX} fields`);
  const keys: SortKey[] = [];
  for (const name of names) {
    if (name.startsWith('$')) throw invalid(`the operator ${name.slice(0, 60)} is not supported in sort`);
    if (map[name] !== 1 && map[name] !== -1) throw invalid('each field of sort takes 1 (ascending) or -1 (descending)');
    keys.push({ reader: recordReader(name), descending: map[name] === -1 });
  }
  return keys;
}

/** A list is sorted by its least item, descending by its greatest. */
export function sortValues(sort: Sort, record: RecordView, meter: Meter): SortValues {
  return sort.map(({ reader, descending }) => {
    let best: Seen;
    let any = false;
    const consider = (value: Seen): boolean => {
      if (Array.isArray(value)) return false;
      const order = any ? compareValues(value, best, meter) : 0;
      if (!any || (descending ? order > 0 : order < 0)) best = value;
      any = true;
      return false;
    };
    anyValue(reader, record, consider, false, meter);
    makeComparable(best, meter);
    return best;
  });
}

export function compareSorted(sort: Sort, a: SortValues, b: SortValues): number {
  for (let i = 0; i < sort.length; i++) {
    const order = compareValues(a[i], b[i], null);
    if (order !== 0) return (sort[i] as SortKey).descending ? -order : order;
  }
  return 0;
}

interface Kept<T, V> {
  readonly item: T;
  readonly value: V;
  /** Equal ones stay in the order in which they came. */
  readonly number: number;
}

/**
 * The first `size` of what is added. A heap with the last of them on top: adding one, and taking one out, costs the
 * logarithm of what is kept, so that both can be done in slices.
 */
export class Selection<T, V> {
  readonly #compare: (a: V, b: V) => number;
  readonly #size: number;
  readonly #heap: Kept<T, V>[] = [];
  #added = 0;

  /** `compare` says which of two values comes first, as for Array.sort. */
  constructor(compare: (a: V, b: V) => number, size: number) {
    this.#compare = compare;
    this.#size = size;
  }

  get length(): number {
    return this.#heap.length;
  }

  /** Returns the one that has no room; null: there was room. */
  add(item: T, value: V): T | null {
    const heap = this.#heap;
    const kept: Kept<T, V> = { item, value, number: this.#added++ };
    if (heap.length < this.#size) {
      heap.push(kept);
      this.#rise(heap.length - 1);
      return null;
    }
    const last = heap[0];
    if (last === undefined || this.#isBehind(kept, last)) return item;
    heap[0] = kept;
    this.#sink(0);
    return last.item;
  }

  /** Takes out the last one. */
  takeLast(): T | undefined {
    const heap = this.#heap;
    const last = heap[0];
    const moved = heap.pop();
    if (last === undefined || moved === undefined) return undefined;
    if (heap.length > 0) {
      heap[0] = moved;
      this.#sink(0);
    }
    return last.item;
  }

  #isBehind(a: Kept<T, V>, b: Kept<T, V>): boolean {
    const order = this.#compare(a.value, b.value);
    return order === 0 ? a.number > b.number : order > 0;
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const risen = heap[from] as Kept<T, V>;
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!this.#isBehind(risen, heap[above] as Kept<T, V>)) break;
      heap[at] = heap[above] as Kept<T, V>;
      at = above;
    }
    heap[at] = risen;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const sunk = heap[from] as Kept<T, V>;
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && this.#isBehind(heap[below + 1] as Kept<T, V>, heap[below] as Kept<T, V>)) below += 1;
      if (!this.#isBehind(heap[below] as Kept<T, V>, sunk)) break;
      heap[at] = heap[below] as Kept<T, V>;
      at = below;
    }
    heap[at] = sunk;
  }
}
