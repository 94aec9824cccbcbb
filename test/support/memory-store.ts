// MemoryStore: the Store contract over a sorted map. The second implementation of the contract; a MemoryDisk outlives
// the store that was opened on it, as a directory would, and is lost with the process.

import { RowMemory } from '../../src/core/store/row-memory.js';
import {
  type Range,
  type Section,
  type Store,
  StoreFailure,
  type StoreKeyScan,
  type StoreRow,
  type StoreScan,
  type StoreState,
  type WriteBatch,
} from '../../src/core/store/store.js';

type Change = readonly [key: string, value: Uint8Array | null];

class MemoryBatch implements WriteBatch {
  readonly changes: Change[] = [];
  memory = new RowMemory(Buffer.alloc(0));
  size = 0;

  get length(): number {
    return this.changes.length;
  }

  put(section: Section, key: string, value: Uint8Array): void {
    this.#add(section + key, Uint8Array.from(value));
  }

  place(section: Section, key: string, length: number): number {
    this.memory = new RowMemory(Buffer.alloc(length));
    this.#add(section + key, this.memory.bytes);
    return 0;
  }

  delete(section: Section, key: string): void {
    this.#add(section + key, null);
  }

  #add(key: string, value: Uint8Array | null): void {
    this.changes.push([key, value]);
    this.size += key.length + (value?.length ?? 0);
  }
}

export class MemoryDisk {
  readonly rows = new Map<string, Uint8Array>();
  state: StoreState = { batch: 0, revision: 0, applied: 0 };
}

export class MemoryStore implements Store {
  failed: Store['failed'] = null;
  #open = false;
  #broken = false;
  #failNext = false;

  constructor(readonly disk = new MemoryDisk()) {}

  async open(): Promise<StoreState> {
    this.#open = true;
    this.#broken = false;
    return this.disk.state;
  }

  async close(): Promise<void> {
    this.#open = false;
  }

  async reopen(): Promise<StoreState> {
    return this.open();
  }

  read(section: Section, key: string): Uint8Array | undefined {
    this.#mustBeOpen();
    return this.disk.rows.get(section + key);
  }

  batch(): WriteBatch {
    return new MemoryBatch();
  }

  /** The next write changes nothing and fails, as on a full disk. */
  failNextWrite(): void {
    this.#failNext = true;
  }

  async write(batch: WriteBatch, state: StoreState): Promise<void> {
    this.#mustBeOpen();
    if (this.#broken) throw new StoreFailure('the store failed and accepts nothing until it is reopened');
    if (state.batch !== this.disk.state.batch + 1) {
      throw new RangeError(`batch ${state.batch} does not follow batch ${this.disk.state.batch}`);
    }
    if (this.#failNext) {
      this.#failNext = false;
      this.#broken = true;
      throw new StoreFailure('the disk is full, as a test asked for');
    }
    for (const [key, value] of (batch as MemoryBatch).changes) {
      if (value === null) this.disk.rows.delete(key);
      else this.disk.rows.set(key, value);
    }
    this.disk.state = { batch: state.batch, revision: state.revision, applied: state.applied };
  }

  scan(range: Range, sliceRows: number): StoreScan {
    return scanOf(this.#rowsIn(range), ({ key }) => key, sliceRows);
  }

  scanKeys(range: Range, sliceRows: number): StoreKeyScan {
    const rows = this.#rowsIn(range);
    const keys = rows.map(({ key }) => key);
    const rowScan = scanOf(rows, ({ key }) => key, sliceRows);
    return { ...scanOf(keys, (key) => key, sliceRows), rows: () => rowScan };
  }

  #rowsIn(range: Range): StoreRow[] {
    this.#mustBeOpen();
    const rows: StoreRow[] = [];
    for (const [whole, value] of this.disk.rows) {
      if (whole[0] !== range.section) continue;
      const key = whole.slice(1);
      if (range.gte !== undefined && compareKeys(key, range.gte) < 0) continue;
      if (range.lt === undefined || compareKeys(key, range.lt) < 0) rows.push({ key, value });
    }
    return rows.sort((a, b) => compareKeys(a.key, b.key));
  }

  async size(): Promise<number> {
    let size = 0;
    for (const [key, value] of this.disk.rows) size += key.length + value.length;
    return size;
  }

  /** Everything, in the byte order of the keys. */
  dump(): [string, Uint8Array][] {
    return [...this.disk.rows].sort(([a], [b]) => compareKeys(a, b));
  }

  #mustBeOpen(): void {
    if (!this.#open) throw new StoreFailure('the store is not open');
  }
}

function scanOf<Item>(items: readonly Item[], keyOf: (item: Item) => string, sliceRows: number): StoreScan<Item> {
  let at = 0;
  return {
    next: async (atMost = sliceRows) => {
      const from = at;
      at = Math.min(from + Math.min(atMost, sliceRows), items.length);
      return items.slice(from, at);
    },
    seek: (key) => {
      const found = items.findIndex((item) => compareKeys(keyOf(item), key) >= 0);
      at = found === -1 ? items.length : found;
    },
    close: async () => {
      at = items.length;
    },
  };
}

const SURROGATE = /[\ud800-\udfff]/;

/** In the order of their bytes, which is that of their letters where none is a pair of surrogates. */
function compareKeys(a: string, b: string): number {
  if (SURROGATE.test(a) || SURROGATE.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
