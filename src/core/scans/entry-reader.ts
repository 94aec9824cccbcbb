// EntryReader: reads the entries of a scan in slices, counts them, and finds them again by their numbers.

import type { Entry } from '../data/entry.js';
import type { EntrySlice } from './entry-scan.js';

/** Of so many entries the path of one is kept: it leads back to them. */
const BLOCK_ENTRIES = 512;

/** What is read (see EntryScan). */
export interface SeekableScan {
  seek(path: string): void;
  close(): Promise<void>;
}

export interface NumberedSlice extends EntrySlice {
  /** Number of the first entry among all that the scan gives, from 0. */
  readonly number: number;
}

export class EntryReader {
  readonly #scan: SeekableScan;
  readonly #read: () => Promise<EntrySlice | null>;
  /** Paths of the entries whose numbers are multiples of BLOCK_ENTRIES. */
  readonly #paths: string[] = [];
  /** Number of the entry that is read next. */
  #number = 0;

  /** `read` reads the next slice of `scan`, when it is its turn. */
  constructor(scan: SeekableScan, read: () => Promise<EntrySlice | null>) {
    this.#scan = scan;
    this.#read = read;
  }

  /** The next slice, which may be without entries; null: there are no more. */
  async next(): Promise<NumberedSlice | null> {
    const slice = await this.#read();
    if (slice === null) return null;
    const { entries, looked } = slice;
    const number = this.#number;
    for (let at = -number & (BLOCK_ENTRIES - 1); at < entries.length; at += BLOCK_ENTRIES) {
      this.#paths[(number + at) / BLOCK_ENTRIES] = (entries[at] as Entry).path;
    }
    this.#number += entries.length;
    return { entries, looked, number };
  }

  /** A slice in which, or not far behind which, is the entry of this number, which was read before. Not while one is being read. */
  again(number: number): Promise<NumberedSlice | null> {
    const block = Math.floor(number / BLOCK_ENTRIES);
    if (number < this.#number || block * BLOCK_ENTRIES > this.#number) {
      this.#scan.seek(this.#paths[block] as string);
      this.#number = block * BLOCK_ENTRIES;
    }
    return this.next();
  }

  close(): Promise<void> {
    return this.#scan.close();
  }
}
