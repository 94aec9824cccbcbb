// EventQueue: the events of one watch on their way to its reader. Bounded: too many at once are dropped for one `resync`, after which
// the watch begins anew as soon as the reader has taken what is there.

import type { HavenError, Watch, WatchEvent } from './types.js';

/** What a queue needs of the client. */
export interface EventSource {
  /** Begins anew, with the records as they are; the reader has taken everything. */
  rewatch(queue: EventQueue): void;
  unwatch(queue: EventQueue): Promise<void>;
}

interface Reader {
  readonly resolve: (result: IteratorResult<WatchEvent>) => void;
  readonly reject: (error: HavenError) => void;
}

const OVER: IteratorResult<WatchEvent> = { done: true, value: undefined };

export class EventQueue implements Watch {
  /** Number at the gateway; 0: none at present. */
  id = 0;
  readonly path: string;
  readonly #source: EventSource;
  readonly #maxEvents: number;
  #events: WatchEvent[] = [];
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

  push(event: WatchEvent): void {
    if (this.#isOver || this.#isOverflown) return;
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: event });
      return;
    }
    if (this.#events.length - this.#next < this.#maxEvents) {
      this.#events.push(event);
      return;
    }
    this.resync('overflow');
    this.#isOverflown = true;
  }

  /** What waits is out of date: the records as they are follow. */
  resync(reason: 'reconnected' | 'overflow'): void {
    this.#events = [];
    this.#next = 0;
    this.#isOverflown = false;
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
      this.#next += 1;
      this.#compact();
      return Promise.resolve({ done: false, value: event });
    }
    return new Promise((resolve, reject) => {
      if (this.#isOver) this.#finish({ resolve, reject });
      else this.#readers.push({ resolve, reject });
    });
  }

  #compact(): void {
    if (this.#next < this.#events.length) return;
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
