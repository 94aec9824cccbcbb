// Requests: what adapters, and the core itself, put on the inbound queue.

import type { Entry } from '../data/entry.js';
import type { Payload } from '../data/payload.js';
import type { Pattern } from '../paths/pattern.js';
import type { Subscription } from '../routing/subscription.js';
import type { SecurityCommand } from '../security/commands.js';
import type { Guard } from '../security/guards.js';
import type { Session } from '../sessions/session.js';
import type { DurableCommand } from './durable-commands.js';
import type { DataOptions } from './options.js';

/** What the asker uses to recognise the answer (happn eventId, Haven id); echoed, never interpreted. */
export type RequestId = number | string | null;

/** set, remove, get. `path` is concrete unless `pattern` is set (get and remove by wildcard). */
export class DataRequest {
  readonly kind = 'request';
  /** Milliseconds since 1970; put in by the engine before execution, so that executing reads no clock. */
  time = 0;
  /** Operation number; put in by the engine for what stores. A number that was already applied changes nothing. */
  sequence = 0;
  /** Bytes that it counts in its session's credit: no less than the frame that it came in; the engine's. */
  size = 0;
  /** By wildcard: whose right is looked at for each record; null: all of them are allowed. The engine's. */
  guard: Guard | null = null;
  /** Number of the durable session whose will it is; 0: it is no will, or nothing is kept of who left it. The core's own. */
  leftBy = 0;

  constructor(
    readonly op: 'set' | 'remove' | 'get',
    readonly session: Session,
    readonly id: RequestId,
    readonly path: string,
    readonly pattern: Pattern | null,
    readonly payload: Payload | null,
    readonly options: DataOptions,
    /** false: no Reply is made, not even for an error (MQTT QoS 0). */
    readonly answered: boolean,
    /** Sender's number for exactly-once delivery (MQTT QoS 2 packet id); 0: none. A repeated number answers `repeated`. */
    readonly onceId: number,
    /** The adapter's own; the core never looks at it. */
    readonly tag: unknown,
  ) {}
}

/** Most operations of one transaction. */
export const TRANSACTION_MAX = 128;

/**
 * Changes of single records that happen all or not at all, in one batch. Each is done on what those before it leave, and so are
 * its conditions judged. They are sets that store, removals of one path, and gets of one path, which are there for their
 * conditions (`expect`, `condition`); none has an exactly-once number. From 1 to TRANSACTION_MAX of them, else INVALID_REQUEST or
 * LIMIT_EXCEEDED; every other failure of an operation fails the request with a TransactionError that has its code. Needs the right
 * of each operation. Every change is news of its own, in their order; the one Reply has their `revisions`.
 *
 * `control`: changes what CONTROL_AREA keeps, which nothing else can, and needs the right `control` instead of all others.
 */
export class TransactionRequest {
  readonly kind = 'request';
  readonly op = 'transaction';
  time = 0;
  sequence = 0;
  size = 0;

  constructor(
    readonly session: Session,
    readonly id: RequestId,
    readonly operations: readonly DataRequest[],
    readonly tag: unknown,
    readonly control = false,
  ) {}
}

/** subscribe, unsubscribe. */
export class SubscribeRequest {
  readonly kind = 'request';
  time = 0;
  sequence = 0;
  size = 0;
  /** Whose right is looked at for each of the initial entries; null: all of them are allowed. The engine's. */
  guard: Guard | null = null;
  /** What is at the one path of `initial`; the engine's. */
  found: Entry | null = null;
  /** A durable subscription that was there before is asked for what is left of its initial values; the engine's. */
  isResumed = false;

  constructor(
    readonly op: 'subscribe' | 'unsubscribe',
    readonly session: Session,
    readonly id: RequestId,
    /** For unsubscribe: the subscription to end. Unknown or ended ones answer ok with `count` 0. */
    readonly subscription: Subscription,
    /**
     * What the Reply's `entries` hold, taken at the revision at which the subscription begins; what happens
     * meanwhile follows the Reply. null: nothing. Usually the subscription's own pattern, but a protocol may
     * read with another one.
     */
    readonly initial: Pattern | null,
    readonly tag: unknown,
    /** The order of these entries: that of their paths, or oldest change first. */
    readonly initialOrder: 'path' | 'revision' = 'path',
    /**
     * true: of many there is always a stream, in path order, whose end nobody knows before it is taken, without limit; when it
     * waits long for its session, what changes meanwhile is left out of it, as it is news to the subscription. A session may have
     * several, and need not take one before it is answered to other requests.
     */
    readonly streamed = false,
    /**
     * The changes behind this revision follow the Reply, oldest first and without a gap, before what happens from then on; `initial`
     * is not answered then. When history does not know all of them any more, `Reply.missed` says so, and `initial` is answered.
     * null: what is past is past.
     */
    readonly since: number | null = null,
  ) {}
}

/** Needs no right: a session changes only what is its own (the will's right is checked when it fires and is kept). */
export class DurableRequest {
  readonly kind = 'request';
  readonly op = 'durable';
  time = 0;
  sequence = 0;
  size = 0;
  /** fireWill: the path of the will that it published; the engine's. */
  firedPath: string | null = null;

  constructor(
    readonly session: Session,
    readonly id: RequestId,
    readonly command: DurableCommand,
    readonly tag: unknown,
  ) {}
}

/** Changes the directory. Who may ask for what is said with the commands. */
export class SecurityRequest {
  readonly kind = 'request';
  readonly op = 'security';
  time = 0;
  sequence = 0;
  size = 0;

  constructor(
    readonly session: Session,
    readonly id: RequestId,
    readonly command: SecurityCommand,
    readonly tag: unknown,
  ) {}
}

export type Request = DataRequest | TransactionRequest | SubscribeRequest | DurableRequest | SecurityRequest;
