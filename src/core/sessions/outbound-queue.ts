// OutboundQueue: what one session is still to be sent. Bounded in items and bytes; reports what it refused.

import { type Outbound, type Reply, ReplyRun } from '../message.js';
import { Ring } from '../pace/ring.js';
import type { Subscription } from '../routing/subscription.js';

export interface OutboundLimits {
  /** Publications of QoS 0 are dropped (and counted) while more bytes than this wait; Infinity: never. */
  readonly dropBytes: number;
  /** More than this for `slowMs` ends the connection with SLOW_CONSUMER. */
  readonly slowBytes: number;
  readonly slowMs: number;
  /** A long answer of which nothing is taken for so long ends the connection with SLOW_CONSUMER, unless it can be parked. */
  readonly streamMs: number;
  /** More than this ends the connection with SLOW_CONSUMER at once. */
  readonly closeBytes: number;
  readonly closeItems: number;
}

export const OUTBOUND_LIMITS: OutboundLimits = Object.freeze({
  dropBytes: Number.POSITIVE_INFINITY,
  slowBytes: 8 * 1024 * 1024,
  slowMs: 10_000,
  streamMs: 60_000,
  closeBytes: 32 * 1024 * 1024,
  closeItems: 262_144,
});

/**
 * Messages in order; a publication travels with the subscription that it is delivered under (null for replies), the first reply of a
 * run with all of it. Draining: `peek`, `peekSubscription` and `peekRun` look at the oldest, `shift` takes it, a run as a whole.
 */
export class OutboundQueue {
  #messages = new Ring<Outbound>();
  #companions = new Ring<Subscription | ReplyRun | null>();
  #sizes = new Ring<number>();
  #bytes = 0;

  constructor(readonly limits: OutboundLimits) {}

  get length(): number {
    return this.#messages.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** True once more waits here than a connection may have waiting at all. */
  get overflown(): boolean {
    return this.#bytes > this.limits.closeBytes || this.#messages.length > this.limits.closeItems;
  }

  push(message: Outbound, subscription: Subscription | null): void {
    this.#add(message, subscription, message.size);
  }

  /** For a session that writes ahead. */
  pushRun(run: ReplyRun): void {
    this.#add(run.replies[0] as Reply, run, run.bytes.length);
  }

  #add(message: Outbound, companion: Subscription | ReplyRun | null, size: number): void {
    this.#messages.push(message);
    this.#companions.push(companion);
    this.#sizes.push(size);
    this.#bytes += size;
  }

  peek(): Outbound | undefined {
    return this.#messages.peek();
  }

  /** Subscription of the oldest message. */
  peekSubscription(): Subscription | null {
    const companion = this.#companions.peek() ?? null;
    return companion instanceof ReplyRun ? null : companion;
  }

  /** The run that the oldest message, a reply, is the first one of. */
  peekRun(): ReplyRun | null {
    const companion = this.#companions.peek();
    return companion instanceof ReplyRun ? companion : null;
  }

  shift(): Outbound | undefined {
    const message = this.#messages.shift();
    if (message === undefined) return undefined;
    this.#companions.shift();
    this.#bytes -= this.#sizes.shift() as number;
    return message;
  }

  clear(): void {
    this.#messages.clear();
    this.#companions.clear();
    this.#sizes.clear();
    this.#bytes = 0;
  }
}
