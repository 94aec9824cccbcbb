// Scans that give made-up entries in slices of any length.

import { Entry } from '../../src/core/data/entry.js';
import { Payload } from '../../src/core/data/payload.js';
import type { SeekableScan } from '../../src/core/scans/entry-reader.js';
import type { EntrySlice } from '../../src/core/scans/entry-scan.js';
import { formats } from './core-harness.js';
import { type Random, randomOf } from './random.js';

export const pathOf = (n: number): string => `r/${String(n).padStart(6, '0')}`;

export class SliceScan implements SeekableScan {
  isClosed = false;
  /** Slices with entries that were read. */
  reads = 0;
  failure: Error | null = null;
  readonly #entries: readonly Entry[];
  readonly #next: Random;
  #at = 0;

  /** `count` entries with payloads of `bytes` each; the revision of the n-th is a permutation. */
  constructor(count: number, seed: number, bytes = 20) {
    this.#next = randomOf(seed);
    this.#entries = Array.from({ length: count }, (_, n) => {
      const payload = Payload.fromBytes(Buffer.alloc(bytes, '1'), formats.json);
      return new Entry(pathOf(n), payload, 1, 1, ((n * 7_919) % count) + 1, '');
    });
  }

  read(): Promise<EntrySlice | null> {
    if (this.failure !== null) return Promise.reject(this.failure);
    const from = this.#at;
    // Some slices have no entries.
    const rows = this.#next(8) === 0 ? 0 : 5 + this.#next(500);
    this.#at = Math.min(this.#entries.length, from + rows);
    if (from === this.#entries.length) return Promise.resolve(null);
    if (rows > 0) this.reads += 1;
    return Promise.resolve({ entries: this.#entries.slice(from, this.#at), looked: rows });
  }

  seek(path: string): void {
    this.#at = this.#entries.findIndex((entry) => entry.path >= path);
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}
