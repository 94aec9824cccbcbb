// Tally: the number of records in the store, and the bytes of their bodies. Every batch that changes them writes it, too, so that
// a start need not count.

import type { Formats } from '../adapter.js';
import { eachRow } from '../store/each-row.js';
import { SEAL_BYTES, seal, unsealed } from '../store/seal.js';
import { SECTION, type Store, StoreDamage, type StoreRow } from '../store/store.js';
import type { Turn } from '../turn.js';
import { decodeEntry } from './entry.js';

const KEY = 'records';

export class Tally {
  #records = 0;
  #bytes = 0;

  constructor(
    private readonly store: Store,
    private readonly formats: Formats,
  ) {}

  get records(): number {
    return this.#records;
  }

  /** Of the bodies alone, in the formats in which they are stored. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What the store says; it is counted where a store has never said it. */
  async load(): Promise<void> {
    const kept = this.#read();
    if (kept === null) {
      await this.#count();
      return;
    }
    this.#records = kept.readDoubleLE(0);
    this.#bytes = kept.readDoubleLE(8);
  }

  /** The turn is about to be written. */
  write(turn: Turn): void {
    if (turn.records === 0 && turn.recordBytes === 0) return;
    const row = Buffer.allocUnsafe(16 + SEAL_BYTES);
    row.writeDoubleLE(this.#records + turn.records, 0);
    row.writeDoubleLE(this.#bytes + turn.recordBytes, 8);
    turn.batch.put(SECTION.meta, KEY, seal(row));
  }

  /** The turn is written. */
  committed(turn: Turn): void {
    this.#records += turn.records;
    this.#bytes += turn.recordBytes;
  }

  /** null: nothing is kept, or it is damaged. */
  #read(): Buffer | null {
    const row = this.store.read(SECTION.meta, KEY);
    if (row === undefined) return null;
    try {
      return unsealed(SECTION.meta, KEY, row);
    } catch (error) {
      if (error instanceof StoreDamage) return null;
      throw error;
    }
  }

  async #count(): Promise<void> {
    let [records, bytes] = [0, 0];
    await eachRow(this.store, SECTION.record, (row) => {
      records += 1;
      bytes += this.#bodyBytes(row);
    });
    this.#records = records;
    this.#bytes = bytes;
  }

  /** A damaged record is told of when somebody reads it. */
  #bodyBytes({ key, value }: StoreRow): number {
    try {
      return decodeEntry(key, value, this.formats.byId).bodyBytes;
    } catch (error) {
      if (error instanceof StoreDamage) return 0;
      throw error;
    }
  }
}
