// KeptWills: the wills of open connections and those waiting for their delay, as stored (rows.ts).

import type { Formats } from '../adapter.js';
import { digits } from '../store/digits.js';
import { unsealed } from '../store/seal.js';
import { SECTION, type WriteBatch } from '../store/store.js';
import type { DurableSession } from './durable-session.js';
import type { DurableMaps } from './maps.js';
import { decodeWill, encodeWill, type KeptWill, numberIn } from './rows.js';

export class KeptWills {
  /** Without their seal, by the session id of their connection or, while they wait for their delay, by `delayedKey`. */
  readonly #rows = new Map<string, Buffer>();

  constructor(
    private readonly maps: DurableMaps,
    private readonly formats: Formats,
  ) {}

  has(key: string): boolean {
    return this.#rows.has(key);
  }

  keys(): Iterable<string> {
    return this.#rows.keys();
  }

  /** Takes a row as the store has it. */
  load(key: string, row: Buffer): void {
    this.#rows.set(key, row);
    if (!isDelayed(key)) return;
    const { durable, due } = decodeWill(row, this.formats);
    const session = this.maps.byNumber.get(durable);
    if (session !== undefined) session.delayedWill = { key, due };
  }

  keep(key: string, will: KeptWill, batch: WriteBatch): void {
    const row = encodeWill(will);
    this.#rows.set(key, unsealed(SECTION.will, key, row));
    batch.put(SECTION.will, key, row);
    const durable = this.maps.byNumber.get(will.durable);
    if (durable === undefined || will.due === 0) return;
    durable.delayedWill = { key, due: will.due };
    this.maps.plan(durable);
  }

  /** null: none is kept under the key. */
  get(key: string): KeptWill | null {
    const row = this.#rows.get(key);
    return row === undefined ? null : decodeWill(row, this.formats);
  }

  drop(key: string, batch: WriteBatch): void {
    if (!this.#rows.delete(key)) return;
    batch.delete(SECTION.will, key);
    const durable = isDelayed(key) ? this.maps.byNumber.get(numberIn(SECTION.will, key, 1)) : undefined;
    if (durable === undefined) return;
    durable.delayedWill = null;
    this.maps.plan(durable);
  }
}

/** The key of a will that waits for its delay: one for each durable session. */
export function delayedKey(durable: DurableSession): string {
  return `@${digits(durable.number)}`;
}

export function isDelayed(key: string): boolean {
  return key.startsWith('@');
}
