// EntryStream: the entries of a long answer on their way to a session. What was too much to be held is read again, as of the same
// moment, while the session takes it. One session has one stream at a time.

import type { Entry } from '../data/entry.js';
import { bytesOf, EntryList, type EntrySource, SLICE_BYTES, SLICE_ENTRIES } from '../data/entry-source.js';
import type { EntryReader } from './entry-reader.js';
import type { Marks, Ranking } from './gatherers.js';

const NONE: readonly Entry[] = Object.freeze([]);
const MISSING = 'entries of an answer are not there any more';

/** What a stream needs of whoever opened it. */
export interface StreamHost {
  /** Of an answer in another order than that of the paths no more than this is held. */
  readonly windowBytes: number;
  /** What was on its way can be taken. */
  ready(): void;
  /** The rest cannot be read. */
  failed(error: unknown): void;
}

export abstract class EntryStream implements EntrySource {
  /** Resolves when nobody takes anything of it any more. */
  readonly closed: Promise<void>;
  /** Something was taken since this was looked at, and since when (monotonic milliseconds) that was not so; 0: it never was. */
  isTaken = true;
  quietSince = 0;
  protected isClosed = false;
  /** Entries that are still to be taken. */
  #left: number;
  #isReading = false;
  /** The session waits for the next ones. */
  #isAwaited = false;
  #resolve: () => void = () => {};

  /** `count`: Infinity while it is not known. */
  constructor(
    readonly count: number,
    protected readonly host: StreamHost,
  ) {
    this.#left = count;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** The next entries that are in memory; null: none are. */
  protected abstract atHand(): readonly Entry[] | null;
  /** The next ones should be read. */
  protected abstract get isDry(): boolean;
  /** Reads the next ones. */
  protected abstract read(): Promise<void>;
  protected abstract restart(): void;
  /** Nothing is read any more. */
  protected abstract release(): Promise<void>;

  /**
   * Nothing of it was taken for long: it holds on to nothing any more and goes on later where it was taken to. False: it cannot,
   * and its session has to end.
   */
  park(): boolean {
    return false;
  }

  protected get isReading(): boolean {
    return this.#isReading;
  }

  take(): readonly Entry[] | null {
    this.isTaken = true;
    if (this.isClosed || this.#left === 0) return NONE;
    const entries = this.atHand();
    if (entries === null) this.#isAwaited = true;
    else this.#left -= entries.length;
    if (this.#left > 0 && this.isDry) this.#readOn();
    return entries;
  }

  rewind(): void {
    this.#left = this.count;
    this.restart();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.release().catch((error: unknown) => this.host.failed(error));
    this.#resolve();
  }

  #readOn(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.read().then(
      () => this.#onRead(),
      (error: unknown) => {
        if (!this.isClosed) this.host.failed(error);
      },
    );
  }

  #onRead(): void {
    this.#isReading = false;
    if (this.isClosed || !this.#isAwaited) return;
    this.#isAwaited = false;
    this.host.ready();
  }
}

/** What was looked at and counted before. The scan of `reader` is that in which it was found; it is closed with the stream. */
abstract class FoundStream extends EntryStream {
  constructor(
    count: number,
    protected readonly reader: EntryReader,
    host: StreamHost,
  ) {
    super(count, host);
  }

  protected override release(): Promise<void> {
    return this.reader.close();
  }
}

/** Entries in path order: the first ones are held, the others are read a slice ahead. */
export class PathStream extends FoundStream {
  readonly #head: EntryList;
  readonly #rest: Marks;
  /** Number of the entry that is looked at next. */
  #number = 0;
  #ahead: readonly Entry[] | null = null;

  constructor(head: readonly Entry[], rest: Marks, count: number, reader: EntryReader, host: StreamHost) {
    super(count, reader, host);
    this.#head = new EntryList(head);
    this.#rest = rest;
  }

  protected override atHand(): readonly Entry[] | null {
    const head = this.#head.take();
    if (head.length > 0) return head;
    const entries = this.#ahead;
    this.#ahead = null;
    return entries;
  }

  protected override get isDry(): boolean {
    return this.#ahead === null && this.#rest.next(this.#number) !== -1;
  }

  protected override async read(): Promise<void> {
    const wanted: Entry[] = [];
    while (wanted.length === 0 && !this.isClosed) {
      const slice = await this.reader.again(this.#rest.next(this.#number));
      if (slice === null) throw new RangeError(MISSING);
      const { entries, number } = slice;
      for (const [at, entry] of entries.entries()) {
        if (number + at >= this.#number && this.#rest.has(number + at)) wanted.push(entry);
      }
      this.#number = Math.max(this.#number, number + entries.length);
    }
    this.#ahead = wanted;
  }

  protected override restart(): void {
    this.#head.rewind();
    this.#number = 0;
    this.#ahead = null;
  }
}

/** Entries in another order: as many as may be held are read at a time. */
export class RankedStream extends FoundStream {
  readonly #ranking: Ranking;
  /** Rank of the first entry behind the window. */
  #behind = 0;
  #window: EntryWindow | null = null;

  constructor(ranking: Ranking, reader: EntryReader, host: StreamHost) {
    super(ranking.count, reader, host);
    this.#ranking = ranking;
  }

  protected override atHand(): readonly Entry[] | null {
    const entries = this.#window?.take() ?? null;
    if (this.#window?.isEmpty === true) this.#window = null;
    return entries;
  }

  protected override get isDry(): boolean {
    return this.#window === null;
  }

  protected override async read(): Promise<void> {
    const first = this.#behind;
    const behind = this.#ranking.behind(first, this.host.windowBytes);
    const marks = this.#ranking.marks(first, behind);
    const window = new EntryWindow(behind - first);
    for (let wanted = marks.next(0); wanted !== -1 && !this.isClosed; ) {
      const slice = await this.reader.again(wanted);
      if (slice === null) throw new RangeError(MISSING);
      const { entries, number } = slice;
      for (const [at, entry] of entries.entries()) {
        if (marks.has(number + at)) window.put(this.#ranking.rankOf(number + at) - first, entry);
      }
      wanted = marks.next(Math.max(wanted, number + entries.length));
    }
    this.#window = window;
    this.#behind = behind;
  }

  protected override restart(): void {
    this.#behind = 0;
    this.#window = null;
  }
}

/** Entries that are put in in any order, and taken in theirs. */
class EntryWindow {
  readonly #entries: (Entry | undefined)[];
  #next = 0;

  constructor(size: number) {
    this.#entries = new Array<Entry | undefined>(size);
  }

  get isEmpty(): boolean {
    return this.#next === this.#entries.length;
  }

  put(at: number, entry: Entry): void {
    this.#entries[at] = entry;
  }

  /** A slice of them. What was taken is not held any more. */
  take(): Entry[] {
    const taken: Entry[] = [];
    const most = Math.min(this.#entries.length, this.#next + SLICE_ENTRIES);
    for (let bytes = 0; this.#next < most && bytes < SLICE_BYTES; this.#next++) {
      const entry = this.#entries[this.#next] as Entry;
      this.#entries[this.#next] = undefined;
      bytes += bytesOf(entry);
      taken.push(entry);
    }
    return taken;
  }
}
