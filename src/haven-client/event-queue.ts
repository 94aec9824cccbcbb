// EventQueue: the events of one watch on their way to its reader, and how far they go. Bounded: events beyond the limit are not taken, and
// requested again once the reader has taken the others.

import type { HavenError, ResyncReason, Watch, WatchEvent } from './types.js';

/** What a queue needs of the client. */
export interface EventSource {
  /** Goes on behind `position`; the reader has taken everything. */
  rewatch(queue: EventQueue): void;
  unwatch(queue: EventQueue): Promise<void>;
}

/** What was read is let go of at once, its places in the list when there are so many of them. */
const READ_PLACES_MAX = 1_024;

interface Reader {
  readonly resolve: (result: IteratorResult<WatchEvent>) => void;
  readonly reject: (error: HavenError) => void;
}

const OVER: IteratorResult<WatchEvent> = { done: true, value: undefined };

export class EventQueue implements Watch {
  /** Number at the gateway; 0: none at present. */
  id = 0;
  /** Every event up to this revision is here or was taken; null: that is not known. */
  position: number | null = null;
  readonly path: string;
  readonly #source: EventSource;
  readonly #maxEvents: number;
  /** undefined: it was read. */
  #events: (WatchEvent | undefined)[] = [];
  #next = 0;
  readonly #readers: Reader[] = [];
  #isOver = false;
  #isOverflown = false;
  #error: HavenError | null = null;

  constructor(path: string, maxEvents: number, source: EventSource) {
    this.path = path;
    this.#maxEvents = maxEvents;
    this.#source = source;
  }

  /** Nobody reads it any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  push(event: WatchEvent): void {
    if (this.#isOver || this.#isOverflown) return;
    const reader = this.#readers.shift();
    if (reader === undefined && this.#events.length - this.#next >= this.#maxEvents) {
      // Where it is not known how far the events go, those that wait say nothing, either.
      if (this.position === null) this.resync('overflow');
      this.#isOverflown = true;
      return;
    }
    if (this.position !== null && event.type !== 'resync') this.position = Math.max(this.position, event.revision);
    if (reader === undefined) this.#events.push(event);
    else reader.resolve({ done: false, value: event });
  }

  /** No event up to this revision follows, of those that the watch began with neither. */
  reached(revision: number): void {
    if (!this.#isOverflown) this.position = Math.max(this.position ?? 0, revision);
  }

  /** What waits is out of date: the records as they are follow. */
  resync(reason: ResyncReason): void {
    this.#events = [];
    this.#next = 0;
    this.#isOverflown = false;
    this.position = null;
    this.push({ type: 'resync', reason });
  }

  /** Ends it; with an error when the gateway would not watch any more. */
  end(error: HavenError | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    for (const reader of this.#readers.splice(0)) this.#finish(reader);
  }

  next(): Promise<IteratorResult<WatchEvent>> {
    const event = this.#events[this.#next];
    if (event !== undefined) {
      this.#events[this.#next] = undefined;
      this.#next += 1;
      this.#compact();
      return Promise.resolve({ done: false, value: event });
    }
    return new Promise((resolve, reject) => {
      if (this.#isOver) this.#finish({ resolve, reject });
      else this.#readers.push({ resolve, reject });
    });
  }

  /** A reader that is never done keeps no more than what it has not read, and as much again. */
  #compact(): void {
    if (this.#next < this.#events.length) {
      if (this.#next < READ_PLACES_MAX || this.#next * 2 < this.#events.length) return;
      this.#events = this.#events.slice(this.#next);
      this.#next = 0;
      return;
    }
    this.#events = [];
    this.#next = 0;
    if (!this.#isOverflown) return;
    this.#isOverflown = false;
    this.#source.rewatch(this);
  }

  #finish({ resolve, reject }: Reader): void {
    if (this.#error === null) resolve(OVER);
    else reject(this.#error);
    // It is told once.
    this.#error = null;
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#events = [];
    this.end(null);
    await this.#source.unwatch(this);
  }

  async return(): Promise<IteratorResult<WatchEvent>> {
    await this.close();
    return OVER;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
