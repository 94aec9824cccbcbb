// EntrySource: the entries of one answer by wildcard, which its reader takes in slices, so that it never has to do anything with
// very many of them at once.

import type { Entry } from './entry.js';
import { contentBytes } from './meta.js';

/** A slice ends when it has so many entries, or so many bytes of paths, payloads and meta. */
export const SLICE_ENTRIES = 512;
export const SLICE_BYTES = 256 * 1024;

export interface EntrySource {
  /** How many there are in all. */
  readonly count: number;
  /**
   * The next ones, in the order of the answer; none: there are no more. null: they are on their way; the session that was
   * answered is flushed when they are there.
   */
  take(): readonly Entry[] | null;
  /** Begins with the first one again, once all were taken. */
  rewind(): void;
  /** To be called when nothing more of it is taken, also when all of it was. */
  close(): void;
}

/** Entries that are in memory. */
export class EntryList implements EntrySource {
  #next = 0;

  constructor(private readonly entries: readonly Entry[]) {}

  get count(): number {
    return this.entries.length;
  }

  take(): readonly Entry[] {
    const { entries } = this;
    const from = this.#next;
    const most = Math.min(entries.length, from + SLICE_ENTRIES);
    let to = from;
    for (let bytes = 0; to < most && bytes < SLICE_BYTES; to++) bytes += bytesOf(entries[to] as Entry);
    this.#next = to;
    return from === 0 && to === entries.length ? entries : entries.slice(from, to);
  }

  rewind(): void {
    this.#next = 0;
  }

  close(): void {}
}

/** Goes through a source, entry by entry. */
export class EntryCursor {
  #slice: readonly Entry[] | null = null;
  #at = 0;
  /** There are no more entries. */
  isOver = false;

  constructor(private readonly source: EntrySource) {
    this.#fill();
  }

  /** The next entry is on its way. */
  get isWaiting(): boolean {
    return this.#slice === null;
  }

  /** The next entry; null: there is none (yet). */
  next(): Entry | null {
    if (this.#slice === null) this.#fill();
    const entry = this.#slice?.[this.#at];
    if (entry === undefined) return null;
    this.#at += 1;
    if (this.#at === this.#slice?.length) this.#fill();
    return entry;
  }

  #fill(): void {
    this.#slice = this.source.take();
    this.#at = 0;
    this.isOver = this.#slice?.length === 0;
  }
}

/** What an entry counts in an answer. */
export function bytesOf({ path, payload, meta }: Entry): number {
  return contentBytes(path, payload, meta);
}
