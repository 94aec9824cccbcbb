// Commands on durable sessions.

import type { Entry } from '../data/entry.js';
import type { Payload } from '../data/payload.js';
import type { Subscription } from '../routing/subscription.js';
import type { DataOptions, Qos } from './options.js';

/** A message that is published by the core when the session that left it is gone without goodbye. */
export interface Will {
  readonly path: string;
  readonly payload: Payload;
  readonly options: DataOptions;
  /** true: removes the record instead of setting it. */
  readonly remove: boolean;
  /** Published so many milliseconds after the connection ended, unless its session is resumed or ends before; 0: at once. */
  readonly delayMs: number;
}

/** Initial values that are handed out at a time. */
export const HAND_OUT_MAX = 128;

/** Changes to what is kept of a session beyond its connection. */
export type DurableCommand =
  /**
   * Begins the connection's durable session. `clean`: what was kept under the key is dropped; else it is resumed, which
   * Reply.present tells. `expiryMs`: what is kept outlives its connection by so much (Infinity: for good); with 0 nothing new
   * is kept (reply.durable null), and what was resumed ends with the connection.
   */
  | { readonly type: 'open'; readonly key: string; readonly clean: boolean; readonly expiryMs: number }
  /** The durable session outlives its connection by so much from now on. Nothing if nothing is kept. */
  | { readonly type: 'expiry'; readonly expiryMs: number }
  /** The connection is gone: what is kept waits, or ends if it does not outlive it. The core's own. */
  | { readonly type: 'leave' }
  /** Ends a durable session whose time is over, and drops messages of its queue whose time is. The core's own. */
  | { readonly type: 'sweep'; readonly key: string }
  /**
   * Ends a durable session that no connection carries, with its queue and subscriptions: an administrator's. NOT_FOUND: there is none of
   * that number; CONFLICT: a connection carries it.
   */
  | { readonly type: 'end'; readonly number: number }
  /** The queued message was received: it leaves the queue. Unknown numbers are ok. */
  | { readonly type: 'acknowledge'; readonly number: number }
  /** The queued QoS 2 message was received, its release is still to be confirmed. */
  | { readonly type: 'release'; readonly number: number }
  /**
   * Queues initial values of a subscription of the connection's durable session, which are to be sent next, and notes that
   * everything up to the path `after` is handed out; null: everything is. `entries`: in path order, those that are delivered at a
   * level above 0 (the lower one of `qos` and that of the entry); no more than HAND_OUT_MAX. `place`: that of the remainder that
   * they are of. Reply.queued: their numbers in the queue; null: nobody waits for them any more, nothing was done. The limits of
   * the queue do not hold: whoever hands out does so as messages are acknowledged.
   */
  | {
      readonly type: 'handOut';
      readonly subscription: Subscription;
      readonly place: number;
      readonly qos: Qos;
      readonly entries: readonly Entry[];
      readonly after: string | null;
    }
  /** The sender released its exactly-once number: it may be used again. */
  | { readonly type: 'forget'; readonly onceId: number }
  /** Keeps (null: drops) the will of this connection. */
  | { readonly type: 'will'; readonly will: Will | null }
  /**
   * Publishes the kept will and drops it, in one batch, or lets it wait for its delay; nothing if none is kept. `key`: that
   * of a will whose connection is none of this run.
   */
  | { readonly type: 'fireWill'; readonly key?: string };
