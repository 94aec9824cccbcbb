// InitialStream: the initial values of a subscription on their way to a session that takes them one by one and need not know
// their number. They are read once, a slice ahead. Its position is a path, so that it can be resumed at another
// time, without a scan that holds a state of the store, or on another connection.

import type { Entry } from '../data/entry.js';
import type { Pattern } from '../paths/pattern.js';
import type { Guard } from '../security/guards.js';
import type { EntrySlice } from './entry-scan.js';
import { EntryStream, type StreamHost } from './entry-streams.js';

/** So many streams at most have read something that their session has not begun to take. */
const MAX_READ_BEFORE = 256;

const NONE: readonly Entry[] = Object.freeze([]);

/** What is to be read. */
export interface InitialValues {
  readonly pattern: Pattern;
  /** Only what is behind this path. */
  readonly after: string | null;
  /** What later changes made is news to the subscription: it is left out. */
  readonly revision: number;
  /** What has expired then is left out. */
  readonly time: number;
  /** Who must be allowed to get each of them when it is read; null: all are allowed. */
  readonly guard: Guard | null;
}

/** A scan of it (see EntryScan). */
export interface InitialScan {
  next(): Promise<EntrySlice | null>;
  close(): Promise<void>;
}

/** How many streams have read something that nobody takes yet: one for all. */
export class ReadBefore {
  count = 0;
}

export interface InitialHost extends StreamHost {
  readonly readBefore: ReadBefore;
  /** As of now, behind that path. */
  open(pattern: Pattern, after: string | null): InitialScan;
}

export class InitialStream extends EntryStream {
  readonly #values: InitialValues;
  readonly #host: InitialHost;
  #scan: InitialScan | null = null;
  /** Path of the last entry that was read, and of the last one that was taken. */
  #read: string | null;
  #taken: string | null;
  #ahead: readonly Entry[] | null = null;
  #isOver = false;
  #isBefore = false;

  constructor(values: InitialValues, host: InitialHost) {
    super(Number.POSITIVE_INFINITY, host);
    this.#values = values;
    this.#host = host;
    this.#read = values.after;
    this.#taken = values.after;
  }

  /**
   * Reads the first slice, from the moment of this call; with very many that wait to be taken, it is read when it is taken.
   * Rejects with StoreDamage or StoreFailure.
   */
  async begin(): Promise<void> {
    const { readBefore } = this.#host;
    if (readBefore.count >= MAX_READ_BEFORE) return;
    readBefore.count += 1;
    this.#isBefore = true;
    await this.read();
  }

  /** There is nothing more to be taken. */
  get isEmpty(): boolean {
    return this.#isOver && this.#ahead === null;
  }

  override take(): readonly Entry[] | null {
    this.#noLongerBefore();
    return super.take();
  }

  override close(): void {
    this.#noLongerBefore();
    super.close();
  }

  override park(): boolean {
    if (this.isReading) return true;
    this.#noLongerBefore();
    this.restart();
    this.release().catch((error: unknown) => this.host.failed(error));
    return true;
  }

  #noLongerBefore(): void {
    if (this.#isBefore) this.#host.readBefore.count -= 1;
    this.#isBefore = false;
  }

  protected override atHand(): readonly Entry[] | null {
    const entries = this.#ahead;
    if (entries === null) return this.#isOver ? NONE : null;
    this.#ahead = null;
    this.#taken = (entries.at(-1) as Entry).path;
    return entries;
  }

  protected override get isDry(): boolean {
    return this.#ahead === null && !this.#isOver;
  }

  protected override async read(): Promise<void> {
    const { pattern, revision, time, guard } = this.#values;
    while (this.#ahead === null && !this.#isOver && !this.isClosed) {
      this.#scan ??= this.#host.open(pattern, this.#read);
      const slice = await this.#scan.next();
      if (slice === null) {
        this.#isOver = true;
        await this.release();
        return;
      }
      const last = slice.entries.at(-1);
      if (last !== undefined) this.#read = last.path;
      const entries = slice.entries.filter(
        (entry) => entry.revision <= revision && !entry.isExpired(time) && (guard === null || guard.rights.allows('get', entry.path)),
      );
      if (entries.length > 0) this.#ahead = entries;
    }
  }

  /** Goes on behind what was taken. */
  protected override restart(): void {
    this.#ahead = null;
    this.#isOver = false;
    this.#read = this.#taken;
  }

  protected override async release(): Promise<void> {
    const scan = this.#scan;
    this.#scan = null;
    await scan?.close();
  }
}
