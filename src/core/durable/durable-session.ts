// DurableSession: the part of a session that outlives its connection: subscriptions, queued messages, exactly-once numbers.
// State only; it is changed by operations alone (operations/durable.ts), so that memory and store agree.

import type { Publication } from '../message.js';
import type { Planned } from '../pace/agenda.js';
import type { Subscription } from '../routing/subscription.js';
import type { Session } from '../sessions/session.js';

/** One message on its way to one durable session. The body is kept once for all sessions, under `number`. */
export interface QueuedMessage {
  readonly number: number;
  readonly qos: 1 | 2;
  /** 1 to 65,535, unique in the queue; given when it was queued, so that it is on disk before it is on the wire. */
  readonly packetId: number;
  /** 'released': received by the peer (QoS 2), only the confirmation is missing. */
  state: 'queued' | 'released';
  readonly size: number;
  /** When it was published. */
  readonly time: number;
  /** From then on it is not to be handed out any more, unless that has begun; 0: never. */
  readonly expires: number;
  /** Numbers that the subscriptions it is for were given; in the order in which these were made. */
  readonly identifiers: readonly number[];
  /** One of them wants to know whether what it gets was stored. */
  readonly asPublished: boolean;
  /** It was there before the subscription that it is for: an initial value. */
  readonly initial: boolean;
  /** It belongs before messages with a higher number than this: its own, but for initial values, which are queued in portions. */
  readonly place: number;
  /** Keys of the shared subscriptions by which it came: who of their members gets it if this session ends before it has it. */
  readonly groups: readonly string[];
  /** Was handed to a connection, so that another time is a repetition. */
  sent: boolean;
  /** The store has it as one that was handed to nobody; see `noteUnsent` of the queues. */
  isUnsentNoted: boolean;
  /** The message itself while it is in memory. */
  publication: Publication | null;
}

export interface QueueLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Messages that waited longer are dropped. */
  readonly maxAgeMs: number;
  /** What a full queue drops: the message that does not fit, or the oldest ones that nobody was handed yet. */
  readonly overflow: 'newest' | 'oldest';
  /** Durable sessions that are kept, half of them at most for one user: whoever asks for one more is refused. */
  readonly maxSessions: number;
}

export const QUEUE_LIMITS: QueueLimits = Object.freeze({
  maxMessages: 1_000,
  maxBytes: 16 * 1024 * 1024,
  maxAgeMs: 7 * 24 * 3_600_000,
  overflow: 'newest',
  maxSessions: 250_000,
});

/** How long a durable session outlives its connection where its protocol does not say. */
export const SESSION_EXPIRY_MS = 7 * 24 * 3_600_000;

export class DurableSession implements Planned {
  place = -1;
  due = 0;
  /** The connection that carries it now; null while it is away. */
  session: Session | null = null;
  /** Id of the connection that opened it last; empty: it has left, or the gateway was cut off. */
  holder = '';
  /** By the key that `subscriptionKey` makes. */
  readonly subscriptions = new Map<string, Subscription>();
  /** By message number, oldest first. */
  readonly queue = new Map<number, QueuedMessage>();
  readonly packetIds = new Set<number>();
  queueBytes = 0;
  lastPacketId = 0;
  /** No message of the queue has to be dropped before this time. */
  nextOverdue = Number.POSITIVE_INFINITY;
  /** Exactly-once numbers that were received and not released. */
  readonly received = new Set<number>();
  /** Name of the user whose it is; empty: the gateway's own; null: it was made without security. */
  user: string | null = null;
  /** How long it outlives its connection; Infinity: for good. */
  expiryMs = Number.POSITIVE_INFINITY;
  /** When its last connection ended; 0: it has one, or had one when the gateway was cut off. */
  awaySince = 0;
  /** The kept will that waits for its delay, and until when; null: none. */
  delayedWill: { readonly key: string; readonly due: number } | null = null;
  /** It is no more: what its last connection still had in flight finds nothing. */
  dropped = false;
  /** Messages are being dropped since the queue was full with so many, until half of them are gone; 0: none are. */
  fullWith = 0;

  constructor(
    /** Short number in store keys. */
    readonly number: number,
    /** Who and which client: unique in the gateway. */
    readonly key: string,
  ) {}

  /** From when on nobody may resume it any more; Infinity: it may always be. */
  get overAt(): number {
    return this.session === null && this.awaySince > 0 ? this.awaySince + this.expiryMs : Number.POSITIVE_INFINITY;
  }

  /** Nobody may resume it any more. */
  isOver(time: number): boolean {
    return this.overAt <= time;
  }
}

const KEPT = 'kept-';

/** By it administrators name a session that no connection carries. */
export function keptId({ number }: Pick<DurableSession, 'number'>): string {
  return KEPT + String(number);
}

/** null: it is the id of something else. */
export function keptNumber(id: string): number | null {
  return /^kept-\d{1,15}$/.test(id) ? Number(id.slice(KEPT.length)) : null;
}

/** What one session's subscriptions are told apart by. */
export interface SubscriptionName {
  readonly pattern: { readonly text: string };
  readonly options: { readonly group: string | null };
}

/** Filters of one session are told apart by this. Groups hold no slash. */
export function subscriptionKey({ pattern, options }: SubscriptionName): string {
  return options.group === null ? `/${pattern.text}` : `&${options.group}/${pattern.text}`;
}
