// DurableSession: what is kept of a session beyond its connection: subscriptions, queued messages, exactly-once numbers.
// State only; it is changed by operations alone (operations/durable.ts), so memory and store tell the same.

import type { Publication } from './message.js';
import type { Session } from './session.js';
import type { Subscription } from './subscription.js';

/** One message on its way to one durable session. The body is kept once for all sessions, under `number`. */
export interface QueuedMessage {
  readonly number: number;
  readonly qos: 1 | 2;
  /** 1 to 65,535, unique in the queue; given when it was queued, so that it is on disk before it is on the wire. */
  readonly packetId: number;
  /** 'released': received by the peer (QoS 2), only the confirmation is missing. */
  state: 'queued' | 'released';
  readonly size: number;
  /** Was handed to a connection, so that another time is a repetition. */
  sent: boolean;
  /** The message itself while it is in memory. */
  publication: Publication | null;
}

export interface QueueLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export const QUEUE_LIMITS: QueueLimits = Object.freeze({ maxMessages: 1_000, maxBytes: 16 * 1024 * 1024 });

export class DurableSession {
  /** The connection that carries it now; null while it is away. */
  session: Session | null = null;
  /** By filter text. */
  readonly subscriptions = new Map<string, Subscription>();
  /** By message number, oldest first. */
  readonly queue = new Map<number, QueuedMessage>();
  readonly packetIds = new Set<number>();
  queueBytes = 0;
  lastPacketId = 0;
  /** Exactly-once numbers that were received and not released. */
  readonly received = new Set<number>();
  /** It is no more: what its last connection still had in flight finds nothing. */
  dropped = false;
  /** Messages are being refused since the queue was full; until there is room again. */
  refusing = false;

  constructor(
    /** Short number in store keys. */
    readonly number: number,
    /** Who and which client: unique in the gateway. */
    readonly key: string,
  ) {}
}
