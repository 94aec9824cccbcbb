// Staged scans: LevelDB's rows, overlaid with what only the journal has. Used while LevelDB cannot take that because its disk is full.

import { valueAt } from './journal-record.js';
import type { Stage } from './staging.js';
import type { Range, StoreKeyScan, StoreRow, StoreScan } from './store.js';

/** The last change of a key; null: deleted. The value shares the memory of its stage. */
export type StagedRow = readonly [key: string, value: Buffer | null];

/** Of the range, in the order of keys. */
export function stagedIn({ section, gte, lt }: Range, stages: readonly Stage[]): StagedRow[] {
  const rows = new Map<string, Buffer | null>();
  for (const { rows: sections, piece } of stages) {
    for (const [key, position] of sections.get(section.charCodeAt(0)) ?? []) {
      if (gte !== undefined && compareKeys(key, gte) < 0) continue;
      if (lt === undefined || compareKeys(key, lt) < 0) rows.set(key, valueAt(piece.bytes, position));
    }
  }
  return [...rows].sort(([a], [b]) => compareKeys(a, b));
}

export class StagedScan implements StoreScan {
  readonly #below: StoreScan;
  readonly #staged: readonly StagedRow[];
  readonly #sliceRows: number;
  /** Rows of LevelDB that were read, and how many of them are done with. */
  #rows: readonly StoreRow[] = [];
  #used = 0;
  #isReadable = true;
  #at = 0;

  constructor(below: StoreScan, staged: readonly StagedRow[], sliceRows: number) {
    this.#below = below;
    this.#staged = staged;
    this.#sliceRows = sliceRows;
  }

  async next(atMost = this.#sliceRows): Promise<StoreRow[]> {
    const found: StoreRow[] = [];
    const most = Math.min(atMost, this.#sliceRows);
    while (found.length < most) {
      if (this.#used === this.#rows.length && this.#isReadable) await this.#readOn();
      const row = this.#rows[this.#used];
      const staged = this.#staged[this.#at];
      const order = row === undefined ? 1 : staged === undefined ? -1 : compareKeys(row.key, staged[0]);
      if (row !== undefined && order <= 0) this.#used += 1;
      if (row !== undefined && order < 0) found.push(row);
      if (order < 0) continue;
      if (staged === undefined) break;
      this.#at += 1;
      const [key, value] = staged;
      if (value !== null) found.push({ key, value: Buffer.from(value) });
    }
    return found;
  }

  async #readOn(): Promise<void> {
    this.#rows = await this.#below.next();
    this.#used = 0;
    this.#isReadable = this.#rows.length > 0;
  }

  seek(key: string): void {
    this.#below.seek(key);
    this.#rows = [];
    this.#used = 0;
    this.#isReadable = true;
    const at = this.#staged.findIndex(([other]) => compareKeys(other, key) >= 0);
    this.#at = at === -1 ? this.#staged.length : at;
  }

  close(): Promise<void> {
    return this.#below.close();
  }
}

export class StagedKeyScan implements StoreKeyScan {
  readonly #open: () => StoreScan;
  readonly #keys: StoreScan;
  #rows: StoreScan | null = null;

  /** `open`: a scan of the rows, each time as of the same moment. */
  constructor(open: () => StoreScan) {
    this.#open = open;
    this.#keys = open();
  }

  async next(rows?: number): Promise<string[]> {
    return (await this.#keys.next(rows)).map(({ key }) => key);
  }

  seek(key: string): void {
    this.#keys.seek(key);
  }

  rows(): StoreScan {
    this.#rows ??= this.#open();
    return this.#rows;
  }

  async close(): Promise<void> {
    await this.#keys.close();
    await this.#rows?.close();
  }
}

const SURROGATE = /[\ud800-\udfff]/;

/** As LevelDB has them: in the order of their bytes, which is that of their letters where none is a pair of surrogates. */
function compareKeys(a: string, b: string): number {
  if (SURROGATE.test(a) || SURROGATE.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
