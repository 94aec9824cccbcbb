// Store: the contract of what keeps bytes under keys. Ranges, atomic numbered batches, synchronous point reads.
// Knows no records and no sessions: those are written by the core under the sections named here.

import type { RowMemory } from './row-memory.js';

/** Where a key belongs; the first character of every key on disk. */
export const SECTION = {
  /** r<path> → Entry */
  record: 'r',
  /** x<deadline>/<path> → nothing; in the order in which records expire */
  expiry: 'x',
  /** s<durable session key> → state and subscriptions of a durable session */
  durableSession: 's',
  /** q<durable session number>/<message number> → QoS, packet id and state of one queued message */
  queue: 'q',
  /** b<message number> → the body that queue entries refer to, once for all of them */
  message: 'b',
  /** w<session key> → the will of a connected session */
  will: 'w',
  /** h<revision> → one change that history keeps, with its body */
  history: 'h',
  /** t<path> → the changes of one record that history keeps, without their bodies */
  timeline: 't',
  /** d<deadline>/<revision><path> → nothing; in the order in which history forgets changes because of their age */
  pastExpiry: 'd',
  /** u<kind><name> → a user, a group or a revocation (security/directory-rows.ts) */
  directory: 'u',
  /** a<number> → an entry of the audit (security/audit-rows.ts) */
  audit: 'a',
  /** m<name> → what there is once: the node's id and the like */
  meta: 'm',
} as const;

export type Section = (typeof SECTION)[keyof typeof SECTION];

/**
 * Keys from `gte` (inclusive) to `lt` (exclusive) of one section, or all of it; keys are without the section.
 * The order of keys is that of their code points (which is that of their UTF-8 bytes), not of JavaScript's `<`.
 */
export interface Range {
  readonly section: Section;
  readonly gte?: string;
  /** Absent: to the end of the section. */
  readonly lt?: string;
}

export interface StoreRow {
  readonly key: string;
  readonly value: Uint8Array;
}

/** What the last durable batch recorded; the engine continues counting from here. */
export interface StoreState {
  /** Number of the last batch; 0 for an empty store. */
  readonly batch: number;
  /** Last revision given to a stored change; 0 for none. */
  readonly revision: number;
  /** Number of the last applied operation; 0 for none. */
  readonly applied: number;
}

/** Collects changes in order; a later change of one key wins. Reusable only by making a new one. */
export interface WriteBatch {
  /** The value is copied. */
  put(section: Section, key: string, value: Uint8Array): void;
  /** Makes room for a value of `length` bytes in `memory`, which the caller fills before the next change; returns where it begins. */
  place(section: Section, key: string, length: number): number;
  /** May be another one after each change. */
  readonly memory: RowMemory;
  delete(section: Section, key: string): void;
  /** Number of changes so far. */
  readonly length: number;
  /** Bytes of them, about. */
  readonly size: number;
}

export type Durability = 'sync' | 'os' | 'none';

/**
 * All methods but `read` are asynchronous; errors are StoreFailure (the disk), StoreDamage (the data),
 * StoreLocked (another process) or StoreFormat (made by a newer program).
 */
export interface Store {
  /**
   * Told when the store failed and no write was refused for it: what was acknowledged is safe, and the store has to be reopened before
   * it takes anything.
   */
  failed: ((error: Error) => void) | null;
  /** Opens and verifies. Refuses a store with a hole in its batch numbers (StoreDamage). */
  open(): Promise<StoreState>;
  close(): Promise<void>;
  /** The value as of the last completed write; undefined when absent. Does not wait. */
  read(section: Section, key: string): Uint8Array | undefined;
  /**
   * Rows in key order, in slices of at most `sliceRows` (fewer when rows are long), all from the moment of this call.
   * The caller must finish or `close` it.
   */
  scan(range: Range, sliceRows: number): StoreScan;
  /**
   * Keys in order, in slices of at most `sliceRows`, all from the moment of this call. Costs less than half of what their rows
   * do. The caller must finish or `close` it.
   */
  scanKeys(range: Range, sliceRows: number): StoreKeyScan;
  batch(): WriteBatch;
  /**
   * Writes the batch atomically as number `state.batch`, which must be the last number plus one.
   * Resolves when it has reached the configured durability. One write at a time.
   * After a failure nothing more is accepted until `reopen` succeeds.
   */
  write(batch: WriteBatch, state: StoreState): Promise<void>;
  /**
   * After a failed write: close, open, verify. Resolves with what is really there. Rejects with StoreFailure as long as that cannot be
   * done; where the disk is known to be full before anything is closed, what was acknowledged can be read until then.
   */
  reopen(): Promise<StoreState>;
  /** Approximate bytes on disk. */
  size(): Promise<number>;
}

export interface StoreScan<Item = StoreRow> {
  /** The next slice, of at most `rows` if that is less than in every slice; empty when done. */
  next(rows?: number): Promise<Item[]>;
  /**
   * The next slice begins at `key`, which is in the range, or with the first row behind it: back or forth, also after the end, and
   * from the same moment. Not while a slice is being read.
   */
  seek(key: string): void;
  close(): Promise<void>;
}

export interface StoreKeyScan extends StoreScan<string> {
  /** The rows of the range, as of the same moment: always the same scan, which ends with this one. */
  rows(): StoreScan;
}

/** The disk refused. `cause` is the library's error. */
export class StoreFailure extends Error {
  override readonly name = 'StoreFailure';
}

/** The data on disk is not what was written. */
export class StoreDamage extends Error {
  override readonly name = 'StoreDamage';
}

/** Another process has the store open. */
export class StoreLocked extends Error {
  override readonly name = 'StoreLocked';
}

/** The store was written by a newer program. */
export class StoreFormat extends Error {
  override readonly name = 'StoreFormat';
}
