// EntryCache: the entries that were changed or read lately, bounded in bytes, in two generations: what was used in neither is gone.

import type { Entry } from './entry.js';

/** What an entry takes beside its path, body and meta, at least. */
const ENTRY_OVERHEAD_BYTES = 256;

export class EntryCache {
  /** When it has half of the bytes it takes the place of the old generation. */
  #young = new Map<string, Entry>();
  #old = new Map<string, Entry>();
  #youngBytes = 0;
  /** The entry of the young generation that was last asked for or set: what is read is often what is changed next. */
  #last: Entry | null = null;
  readonly #generationBytes: number;

  constructor(maxBytes: number) {
    this.#generationBytes = maxBytes / 2;
  }

  get(path: string): Entry | undefined {
    const young = this.#young.get(path);
    if (young !== undefined) {
      this.#last = young;
      return young;
    }
    const old = this.#old.get(path);
    if (old !== undefined) this.set(old);
    return old;
  }

  /** A look that is no use of it. */
  peek(path: string): Entry | undefined {
    return this.#young.get(path) ?? this.#old.get(path);
  }

  /** An entry that is larger than a generation is not kept. */
  set(entry: Entry): void {
    const { path } = entry;
    const bytes = bytesOf(entry);
    if (bytes > this.#generationBytes) {
      this.delete(path);
      return;
    }
    const replaced = this.#last?.path === path ? this.#last : this.#young.get(path);
    if (replaced !== undefined) this.#youngBytes -= bytesOf(replaced);
    if (this.#youngBytes + bytes > this.#generationBytes) this.#age();
    this.#youngBytes += bytes;
    this.#young.set(path, entry);
    this.#last = entry;
  }

  delete(path: string): void {
    this.#last = null;
    const young = this.#young.get(path);
    if (young !== undefined) {
      this.#youngBytes -= bytesOf(young);
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
