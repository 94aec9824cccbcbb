// EntryCache: recently changed or read entries, bounded in bytes, in two generations: entries used in neither are dropped.

import type { Entry } from './entry.js';

/** What an entry takes beside its path, body and meta, at least. */
const ENTRY_OVERHEAD_BYTES = 256;

interface Slot {
  entry: Entry;
  /** What it counts. */
  bytes: number;
}

export class EntryCache {
  /** When it has half of the bytes it takes the place of the old generation. */
  #young = new Map<string, Slot>();
  #old = new Map<string, Slot>();
  #youngBytes = 0;
  /** Of the young generation, the slot that was last asked for or set: what is read is often what is changed next. */
  #last: Slot | null = null;
  readonly #generationBytes: number;

  constructor(maxBytes: number) {
    this.#generationBytes = maxBytes / 2;
  }

  get(path: string): Entry | undefined {
    const young = this.#young.get(path);
    if (young !== undefined) {
      this.#last = young;
      return young.entry;
    }
    const old = this.#old.get(path);
    if (old === undefined) return undefined;
    this.#add(old);
    return old.entry;
  }

  /** A look that is no use of it. */
  peek(path: string): Entry | undefined {
    return (this.#young.get(path) ?? this.#old.get(path))?.entry;
  }

  /** An entry that is larger than a generation is not kept. */
  set(entry: Entry): void {
    const { path } = entry;
    const bytes = bytesOf(entry);
    const slot = this.#last?.entry.path === path ? this.#last : this.#young.get(path);
    if (slot !== undefined && this.#youngBytes - slot.bytes + bytes <= this.#generationBytes) {
      this.#youngBytes += bytes - slot.bytes;
      slot.entry = entry;
      slot.bytes = bytes;
      this.#last = slot;
    } else if (bytes <= this.#generationBytes) {
      if (slot !== undefined) this.#youngBytes -= slot.bytes;
      this.#add({ entry, bytes });
    } else {
      this.delete(path);
    }
  }

  #add(slot: Slot): void {
    if (this.#youngBytes + slot.bytes > this.#generationBytes) this.#age();
    this.#youngBytes += slot.bytes;
    this.#young.set(slot.entry.path, slot);
    this.#last = slot;
  }

  delete(path: string): void {
    this.#last = null;
    const young = this.#young.get(path);
    if (young !== undefined) {
      this.#youngBytes -= young.bytes;
      this.#young.delete(path);
    }
    this.#old.delete(path);
  }

  clear(): void {
    this.#age();
    this.#old = new Map();
  }

  #age(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngBytes = 0;
    this.#last = null;
  }
}

function bytesOf({ path, bodyBytes, meta }: Entry): number {
  return ENTRY_OVERHEAD_BYTES + path.length * 2 + bodyBytes + (meta === null ? 0 : meta.size);
}
