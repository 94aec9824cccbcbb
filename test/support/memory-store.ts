// MemoryStore: the Store contract over a sorted map. The second implementation of the contract; loses everything with the process.

import {
  type Range,
  type Section,
  type Store,
  StoreFailure,
  type StoreRow,
  type StoreScan,
  type StoreState,
  type WriteBatch,
} from '../../src/core/store/store.js';

type Change = readonly [key: string, value: Uint8Array | null];

class MemoryBatch implements WriteBatch {
  readonly changes: Change[] = [];
  get length(): number {
    return this.changes.length;
  }
  put(section: Section, key: string, value: Uint8Array): void {
    this.changes.push([section + key, value]);
  }
  delete(section: Section, key: string): void {
    this.changes.push([section + key, null]);
  }
}

export class MemoryStore implements Store {
  #rows = new Map<string, Uint8Array>();
  #state: StoreState = { batch: 0, revision: 0, applied: 0 };
  #broken = false;

  async open(): Promise<StoreState> {
    return this.#state;
  }
  async close(): Promise<void> {}
  async reopen(): Promise<StoreState> {
    this.#broken = false;
    return this.#state;
  }
  read(section: Section, key: string): Uint8Array | undefined {
    return this.#rows.get(section + key);
  }
  batch(): WriteBatch {
    return new MemoryBatch();
  }

  async write(batch: WriteBatch, state: StoreState): Promise<void> {
    if (this.#broken) throw new StoreFailure('the store must be reopened after a failed write');
    if (state.batch !== this.#state.batch + 1) {
      this.#broken = true;
      throw new StoreFailure(`batch ${state.batch} does not follow ${this.#state.batch}`);
    }
    for (const [key, value] of (batch as MemoryBatch).changes) {
      if (value === null) this.#rows.delete(key);
      else this.#rows.set(key, Uint8Array.from(value));
    }
    this.#state = state;
  }

  scan(range: Range, sliceRows: number): StoreScan {
    const rows = this.dump()
      .filter(([key]) => key[0] === range.section)
      .map(([key, value]): StoreRow => ({ key: key.slice(1), value }))
      .filter(({ key }) => (range.gte === undefined || key >= range.gte) && (range.lt === undefined || key < range.lt));
    let at = 0;
    return {
      next: async () => {
        at += sliceRows;
        return rows.slice(at - sliceRows, at);
      },
      close: async () => {},
    };
  }

  async size(): Promise<number> {
    let size = 0;
    for (const [key, value] of this.#rows) size += key.length + value.length;
    return size;
  }

  /** Everything, in the byte order of the keys. */
  dump(): [string, Uint8Array][] {
    return [...this.#rows].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }
}
