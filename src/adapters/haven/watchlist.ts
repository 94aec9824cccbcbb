// WatchList: the events that wait for a session's next heartbeat, oldest first. Bounded: the oldest make room, counted.

import { Ring } from '../../core/index.js';
import { type EventTail, encodeEvent } from './events.js';
import type { Writer } from './writer.js';

export interface WatchLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** What an event costs beside its tail: the watch it belongs to. */
const EVENT_HEAD_BYTES = 16;

export class WatchList {
  /** Events that had to go since the last heartbeat. */
  missed = 0;
  #watches = new Ring<number>();
  #tails = new Ring<EventTail>();
  #bytes = 0;

  constructor(readonly limits: WatchLimits) {}

  get length(): number {
    return this.#tails.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Returns how many events had to go. */
  push(watch: number, tail: EventTail): number {
    this.#watches.push(watch);
    this.#tails.push(tail);
    this.#bytes += EVENT_HEAD_BYTES + tail.bytes.length;
    let gone = 0;
    while (this.#tails.length > this.limits.maxEvents || this.#bytes > this.limits.maxBytes) {
      this.#shift();
      gone += 1;
    }
    this.missed += gone;
    return gone;
  }

  /** Writes the list as an array and empties it; `missed` stays until `clear`. */
  encode(writer: Writer): void {
    const { length } = this;
    writer.array(length);
    for (let i = 0; i < length; i++) {
      const watch = this.#watches.peek() as number;
      encodeEvent(writer, watch, this.#shift());
    }
  }

  /** After a heartbeat was answered: nothing waits and nothing was missed. */
  clear(): void {
    this.#watches.clear();
    this.#tails.clear();
    this.#bytes = 0;
    this.missed = 0;
  }

  #shift(): EventTail {
    const tail = this.#tails.shift() as EventTail;
    this.#watches.shift();
    this.#bytes -= EVENT_HEAD_BYTES + tail.bytes.length;
    return tail;
  }
}
