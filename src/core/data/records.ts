// Records: the entries as operations see them. The plan of a transaction takes precedence over the cache, which has every change as soon as
// it is made. Removals, and entries that do not fit into the cache, are found among the changes not yet stored; these take precedence over
// the store.

import type { Formats } from '../adapter.js';
import { SECTION, type Store, StoreDamage } from '../store/store.js';
import type { ChangedRecords, View } from './changed-records.js';
import { decodeEntry, type Entry } from './entry.js';
import { EntryCache } from './entry-cache.js';

/** What is at a path cannot be read. */
export class DamagedRecord {
  constructor(
    readonly path: string,
    readonly error: StoreDamage,
  ) {}
}

export class Records {
  readonly #cache: EntryCache;
  /** Changes of a transaction that is being planned: they may come to nothing. */
  planned: View | null = null;
  /** Changes of the turn that is being executed, and is not written yet: the cache has them at once, as far as there is room. */
  executing: ChangedRecords | null = null;
  /** Changes that are being written. */
  #committing: ChangedRecords | null = null;
  /** Bytes that were read from the store, counted up. */
  bytesRead = 0;
  /** No entry of the cache that is committed has a higher one, and every change that is still to be committed does. */
  revision = 0;

  constructor(
    private readonly store: Store,
    private readonly formats: Formats,
    cacheMaxBytes: number,
  ) {
    this.#cache = new EntryCache(cacheMaxBytes);
  }

  /** What there is to see at that time. Throws StoreDamage or StoreFailure. */
  read(path: string, time: number): Entry | null {
    const entry = this.stored(path);
    return entry === null || entry.isExpired(time) ? null : entry;
  }

  /** Also what has expired and is still to be removed. Throws StoreDamage or StoreFailure. */
  stored(path: string): Entry | null {
    const planned = this.planned?.get(path);
    if (planned !== undefined) return planned;
    const cached = this.#cache.get(path);
    if (cached !== undefined) return cached;
    const executing = this.executing?.view.get(path);
    if (executing !== undefined) return executing;
    const committing = this.#committing?.view.get(path);
    if (committing !== undefined) return committing;
    const bytes = this.store.read(SECTION.record, path);
    if (bytes === undefined) return null;
    this.bytesRead += bytes.length;
    const entry = decodeEntry(path, bytes, this.formats.byId);
    this.#keep(entry);
    if (entry.revision > this.revision) this.revision = entry.revision;
    return entry;
  }

  /** As `stored`, for who can do without what is in the record. Throws StoreFailure. */
  storedOrDamaged(path: string): Entry | DamagedRecord | null {
    try {
      return this.stored(path);
    } catch (error) {
      if (error instanceof StoreDamage) return new DamagedRecord(path, error);
      throw error;
    }
  }

  /** The entry at `path`, if it is in the cache and no change after `revision` made it; else null. */
  asOf(path: string, revision: number): Entry | null {
    const entry = this.#cache.peek(path);
    return entry !== undefined && entry.revision <= revision ? entry : null;
  }

  /** The change of a turn that is being executed; null: removed. */
  changed(path: string, entry: Entry | null): void {
    if (entry === null) this.#cache.delete(path);
    else this.#keep(entry);
  }

  /** These changes are going to be written, after all that were before. */
  writing(changed: ChangedRecords): void {
    this.executing = null;
    this.#committing = changed;
  }

  /** The changes that were being written are what the store holds now. */
  committed(revision: number): void {
    this.#committing = null;
    this.revision = revision;
  }

  /** The cache counts the bytes of a payload, so these must be all that it holds on to. */
  #keep(entry: Entry): void {
    entry.payload.detach();
    this.#cache.set(entry);
  }

  /** The store may differ from what was last read of it. */
  forget(): void {
    this.executing = null;
    this.#committing = null;
    this.#cache.clear();
  }
}
