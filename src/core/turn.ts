// Turn: one slice of engine work: its changes, its publications and replies, and the requests that wait for its commit.

import { ChangedRecords } from './data/changed-records.js';
import { type Entry, putEntry } from './data/entry.js';
import { expiryKey } from './data/expiry.js';
import type { Records } from './data/records.js';
import type { PastView } from './history/history.js';
import type { Outbound, Publication, ReplyRun } from './message.js';
import type { Work } from './operations/slices.js';
import { SEALED_NOTHING } from './store/seal.js';
import { SECTION, type Store, type WriteBatch } from './store/store.js';

/** What begins when the turn is committed: an answer or a removal that reads the store in slices. */
export type Job = () => void;

/** A change of memory that takes effect in its place among what is said: what was said before it knows nothing of it. */
export class Effect {
  readonly kind = 'effect';

  constructor(readonly apply: () => void) {}
}

export type Outcome = Outbound | ReplyRun | Effect | Job;

export class Turn {
  #batch: WriteBatch | null = null;
  /** The records that it changes. */
  readonly changed = new ChangedRecords();
  /** Paths that its requests are about without a change there: of events, of what failed, of what a transaction reads. */
  readonly unchanged = new Set<string>();
  /** In the order in which they were made. */
  outcomes: Outcome[] = [];
  /** Requests whose effects are in the batch, or that follow one of those. */
  readonly requests: Work[] = [];
  /** Nothing more that stores may join: a job of this turn must see the store as it is after this turn. */
  closed = false;
  /** Its requests change records and answer, and nothing else: it may be followed before the store has it. */
  isPlain = true;
  /** Bytes of its requests, or of what they write if that is more, and copies of its publications for their receivers. */
  bytes = 0;
  copies = 0;
  /** By how many the turn changes the number of records, and the bytes of their bodies. */
  records = 0;
  recordBytes = 0;
  /** Paths that come (true) or go (false) with it. */
  readonly paths = new Map<string, boolean>();
  /** What it changes of history; null: nothing. */
  past: PastView | null = null;
  #undo: (() => void)[] | null = null;
  #shared: Map<number, Publication> | null = null;

  constructor(
    private readonly store: Store,
    private readonly known: Records,
  ) {}

  get batch(): WriteBatch {
    this.#batch ??= this.store.batch();
    return this.#batch;
  }

  /** Whether a request of it is about that path. */
  touches(path: string): boolean {
    return this.changed.view.has(path) || (this.unchanged.size > 0 && this.unchanged.has(path));
  }

  /** Of how many paths. */
  get touched(): number {
    return this.changed.view.size + this.unchanged.size;
  }

  /** How much there is to write. */
  get changes(): number {
    return this.#batch === null ? 0 : this.#batch.length;
  }

  /** The same in bytes. */
  get size(): number {
    return this.#batch === null ? 0 : this.#batch.size;
  }

  /** `before`: what the entry takes the place of. */
  put(entry: Entry, before: Entry | null): void {
    putEntry(this.batch, entry);
    this.changed.note(entry.path, entry);
    this.known.changed(entry.path, entry);
    if (before === null) {
      this.records += 1;
      this.paths.set(entry.path, true);
    }
    this.recordBytes += entry.bodyBytes - (before === null ? 0 : before.bodyBytes);
    if (before !== null && before.expires !== entry.expires) this.forgetDeadline(before.path, before.expires);
    if (entry.expires !== 0) this.batch.put(SECTION.expiry, expiryKey(entry.expires, entry.path), SEALED_NOTHING);
  }

  remove({ path, expires, bodyBytes }: Entry): void {
    this.removeDamaged(path, expires);
    this.recordBytes -= bodyBytes;
  }

  /** A record that cannot be read, with its deadline (0: none is known): the bytes of its body stay counted. */
  removeDamaged(path: string, deadline: number): void {
    this.changed.note(path, null);
    this.known.changed(path, null);
    this.paths.set(path, false);
    this.batch.delete(SECTION.record, path);
    this.records -= 1;
    this.forgetDeadline(path, deadline);
  }

  /** `deadline` 0: there is none. */
  forgetDeadline(path: string, deadline: number): void {
    if (deadline !== 0) this.batch.delete(SECTION.expiry, expiryKey(deadline, path));
  }

  /** What it queues for a member of a shared subscription is at hand while the turn lasts. */
  keepShared(publication: Publication): void {
    this.#shared ??= new Map();
    this.#shared.set(publication.number, publication);
  }

  shared(number: number): Publication | null {
    return this.#shared?.get(number) ?? null;
  }

  /** `undo` takes back a change that memory alone knows, should the store refuse the turn. */
  onRefused(undo: () => void): void {
    this.#undo ??= [];
    this.#undo.push(undo);
  }

  /** The last change first. */
  undo(): void {
    for (const undo of this.#undo?.reverse() ?? []) undo();
  }
}
