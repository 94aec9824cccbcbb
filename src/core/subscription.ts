// Subscription: one session's interest in the paths of one pattern.

import type { DurableSession } from './durable-session.js';
import type { Qos } from './message.js';
import type { OutboundQueue } from './outbound-queue.js';
import type { Pattern } from './pattern.js';
import type { Session } from './session.js';

export interface SubscriptionOptions {
  /** Hears sets and events. */
  readonly sets: boolean;
  /** Hears removals. */
  readonly removes: boolean;
  /** A wildcard removal is heard 'each-record' (path by path) or 'each-request' (once, with the pattern as path). */
  readonly removals: 'each-record' | 'each-request';
  /** Highest level at which it is delivered. */
  readonly qos: Qos;
  /** Does not hear what its own session publishes. */
  readonly noLocal: boolean;
}

export class Subscription {
  /** Receives the deliveries; null while a durable session is away. */
  session: Session | null;
  closed = false;
  /** While initial values are being read: what waits behind them. */
  held: OutboundQueue | null = null;
  /** The router's: its place among all subscriptions. */
  order = 0;

  constructor(
    session: Session | null,
    /** Set for subscriptions that outlive the connection. */
    readonly durable: DurableSession | null,
    readonly pattern: Pattern,
    readonly options: SubscriptionOptions,
    /** The adapter's own (happn channel, Haven watch id, MQTT filter options); the core never looks at it. */
    readonly tag: unknown,
  ) {
    this.session = session;
  }

  /** It hears nothing any more; what waited behind its initial values is dropped. */
  close(): void {
    this.closed = true;
    this.held = null;
  }
}
