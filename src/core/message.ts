// The internal message: what adapters put on the inbound queue (Request) and take from an outbound queue
// (Reply, Publication). Plain data; every field is set, in one order.

import type { Entry } from './data/entry.js';
import { bytesOf, EntryList, type EntrySource } from './data/entry-source.js';
import type { Meta } from './data/meta.js';
import type { Payload } from './data/payload.js';
import type { DurableSession } from './durable/durable-session.js';
import type { RequestError } from './errors.js';
import type { Pattern } from './paths/pattern.js';
import type { Query } from './query/query.js';
import type { Match } from './routing/router.js';
import type { Subscription } from './routing/subscription.js';
import type { EntryStream } from './scans/entry-streams.js';
import type { SecurityCommand } from './security/commands.js';
import type { Guard } from './security/guards.js';
import type { Session } from './sessions/session.js';

/** Delivery level of a publication: 0 at most once, 1 at least once, 2 exactly once. */
export type Qos = 0 | 1 | 2;

/**
 * `<record>.<name>.value` becomes greater by `by`, from 0 when the record or the counter is missing. INVALID_REQUEST when
 * there is something else than a number. Others hear of the record, the given payload is `{value, gauge: name}`.
 */
export interface Increment {
  readonly name: string;
  readonly by: number;
}

/** Who got a publication; complete once the reply that carries it is delivered. */
export class Receipt {
  /** Subscriptions that matched and hear this action. */
  matched = 0;
  /** Sessions that it was handed to, once for each of their subscriptions. */
  readonly sessions: Session[] = [];
  /** Of these, the ones that were left out because of `targets` or `noLocal`. */
  skipped = 0;
}

/** A moment of the past: right behind the change of that revision, or, when `revision` is null, a time in milliseconds since 1970. */
export interface AsOf {
  readonly revision: number | null;
  readonly time: number;
}

/** How `set` and `remove` behave. Share frozen constants for the common cases. */
export interface DataOptions {
  /** false: an event only, nothing is stored. */
  readonly store: boolean;
  /** false: nobody hears of it. */
  readonly publish: boolean;
  /** true: top-level keys of the payload's document form replace those of the record; the rest stays. */
  readonly merge: boolean;
  /** 'absent': only create (else CONFLICT); 'present': only change (else NOT_FOUND). */
  readonly condition: 'any' | 'absent' | 'present';
  /** Compare-and-set: the record's revision must be this (0: it must not exist), else CONFLICT. null: no comparison. */
  readonly expect: number | null;
  /** Level at which subscribers that know levels get it. */
  readonly qos: Qos;
  /** A removal of nothing is still news to everybody (else only to subscriptions that ask for requests). */
  readonly publishMissing: boolean;
  /** Shown beside the event; a set that stores keeps it with the record, a merge without it keeps what the record has. */
  readonly meta: Meta | null;
  /**
   * set: so many milliseconds after it the record is removed, or the event no longer handed out; 0: never. Each set decides
   * anew; a merge or an increment with 0 leaves the record's deadline as it is.
   */
  readonly lifetimeMs: number;
  /** set: adds to a counter of the record instead of taking the payload's value; see Increment. */
  readonly increment: Increment | null;
  /** Only these sessions hear of it, by id; null: whoever subscribed. */
  readonly targets: ReadonlySet<string> | null;
  /** The reply says who got it. */
  readonly receipt: boolean;
  /** The adapter's own, for its sessions that hear of it; the core never looks at it. */
  readonly note: unknown;
  /** Name of the user on whose behalf the session asks: whose rights count, and who is the author. null: its own. */
  readonly actor: string | null;
  /** get by wildcard: at most this many entries, in path order unless the query has another. */
  readonly limit: number;
  /** get by wildcard: only paths behind this one. */
  readonly after: string | null;
  /**
   * get: which records are answered, in what order, or only their number (`Reply.count`); what of them is shown is for who
   * writes the answer. remove: only what meets the criteria is removed, the rest of the query means nothing. null: all.
   */
  readonly query: Query | null;
  /**
   * get: the record, or what the pattern matched, as it was then (see History.at and PastEntries); INVALID_REQUEST in a transaction.
   * null: as it is.
   */
  readonly asOf: AsOf | null;
}

export const STORED: DataOptions = Object.freeze({
  store: true,
  publish: true,
  merge: false,
  condition: 'any',
  expect: null,
  qos: 1,
  publishMissing: false,
  meta: null,
  lifetimeMs: 0,
  increment: null,
  targets: null,
  receipt: false,
  note: null,
  actor: null,
  limit: Number.POSITIVE_INFINITY,
  after: null,
  query: null,
  asOf: null,
});

export const UNSTORED: DataOptions = Object.freeze({ ...STORED, store: false, qos: 0 });

/** What the asker uses to recognise the answer (happn eventId, Haven id); echoed, never interpreted. */
export type RequestId = number | string | null;

/** set, remove, get. `path` is concrete unless `pattern` is set (get and remove by wildcard). */
export class DataRequest {
  readonly kind = 'request';
  /** Milliseconds since 1970; put in by the engine before execution, so that executing reads no clock. */
  time = 0;
  /** Operation number; put in by the engine for what stores. A number that was already applied changes nothing. */
  sequence = 0;
  /** Bytes that it counts in its session's credit; the engine's. */
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
  /** With `since`, what is at the one path of `initial`; the engine's. */
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

const REPLY_BYTES = 64;

/** The answer to one request. `error` null means done, and as durable as configured. */
export class Reply {
  readonly kind = 'reply';
  error: RequestError | null = null;
  /** set: the entry as stored (after a merge with no more than what was given, for who may not get it); get of a path: the entry or null. */
  entry: Entry | null = null;
  /**
   * get by wildcard, subscribe with initial: entries in path order, or as the query or `initialOrder` says; else null. A long
   * answer to a session that takes streams, or to a subscription that asks for one, comes as `stream` instead.
   */
  entries: readonly Entry[] | null = null;
  stream: EntryStream | null = null;
  /** Bytes of the paths and payloads of all entries. */
  entriesBytes = 0;
  /** remove: records removed; unsubscribe: subscriptions ended; get that only counts: records found. */
  count = 0;
  /** set: a subscriber could hear of it (options.publish). */
  published = false;
  /** set, remove: its path matched somebody's subscription. */
  heard = false;
  /** increment: the counter's new value. */
  counter = 0;
  /** transaction: of each record as its operation left it, or of its removal; 0: there was none. Else null. */
  revisions: readonly number[] | null = null;
  /** Who got the publication, when the request asked for a receipt. */
  receipt: Receipt | null = null;
  /** subscribe: no change up to this revision follows as news, but for those asked for by `since`. */
  revision = 0;
  /** subscribe: with `since`, the changes that follow; null: none were asked for, or they are not known. */
  past: readonly Publication[] | null = null;
  /** subscribe: what happened since then is not known any more. */
  missed = false;
  /** The operation (or exactly-once number) was applied before; nothing changed now. */
  repeated = false;
  /** durable open: the session that is kept, or null for a clean one. */
  durable: DurableSession | null = null;
  /** durable handOut: numbers in the queue. */
  queued: readonly number[] | null = null;
  /** durable open: state was found and resumed. */
  present = false;

  constructor(readonly request: Request) {}

  /** Answers with one entry or none where many could be. */
  showOne(entry: Entry | null): void {
    this.entries = entry === null ? [] : [entry];
    this.entriesBytes = entry === null ? 0 : bytesOf(entry);
  }

  /** `entries` or `stream`, to be taken in slices; null: the answer has none of them. */
  source(): EntrySource | null {
    return this.stream ?? (this.entries === null ? null : new EntryList(this.entries));
  }

  /** Bytes for queue accounting: a stream does not wait in the queue. */
  get size(): number {
    const bytes = this.entry === null ? 0 : this.entry.payload.size;
    return REPLY_BYTES + bytes + (this.entries === null ? 0 : this.entriesBytes);
  }
}

/** Whom one publication of a removal concerns: all, or (wildcard removal) one of the two ways to hear of it. */
export type Audience = 'all' | 'each-record' | 'each-request';

/** The news of one change or event. Shared by all receivers: immutable but for the frames kept with it. */
export class Publication {
  readonly kind = 'publication';
  /** Position in the durable queues that refer to it; 0: in none. */
  number = 0;
  /** The subscriptions that matched when the operation was executed. */
  match: Match | null = null;
  /** As its request has it. */
  leftBy = 0;
  /** The members of shared subscriptions that get it; null: none. */
  chosen: readonly Subscription[] | null = null;
  readonly receipt: Receipt | null = null;
  #frameKey: string | null = null;
  #frame: unknown = null;
  #frames: Map<string, unknown> | null = null;

  constructor(
    readonly action: 'set' | 'remove',
    /** The changed path; for an each-request removal the text of the pattern. */
    readonly path: string,
    /** set: what subscribers see (the record after a merge). remove: null. */
    readonly payload: Payload | null,
    /** set: the payload as the request gave it, before a merge. */
    readonly given: Payload | null,
    /** The record as it is now; null for an event that stored nothing and for removals. */
    readonly entry: Entry | null,
    /** remove: records removed by this. */
    readonly removed: number,
    /** Revision of the change; 0 when nothing was stored. */
    readonly revision: number,
    readonly time: number,
    /** The options of its request. */
    readonly options: DataOptions,
    /** Id of the session that caused it, and its request's id. */
    readonly origin: string,
    readonly requestId: RequestId,
    readonly author: string,
    readonly audience: Audience,
  ) {
    if (options.receipt) this.receipt = new Receipt();
  }

  /** The same news at a later time, for others than those that it was for. It is good for as long as it was. */
  again(time: number): Publication {
    const { action, path, payload, given, entry, removed, revision, expires, origin, requestId, author, audience } = this;
    const options = { ...this.options, lifetimeMs: expires === 0 ? 0 : Math.max(1, expires - time) };
    return new Publication(action, path, payload, given, entry, removed, revision, time, options, origin, requestId, author, audience);
  }

  get qos(): Qos {
    return this.options.qos;
  }

  get meta(): Meta | null {
    return this.options.meta;
  }

  /** Milliseconds since 1970 from which on nobody is to be given it; 0: none. */
  get expires(): number {
    if (this.entry !== null) return this.entry.expires;
    const { lifetimeMs } = this.options;
    return lifetimeMs > 0 ? this.time + lifetimeMs : 0;
  }

  /** Bytes for queue accounting. */
  get size(): number {
    return 64 + this.path.length + (this.payload === null ? 0 : this.payload.size) + (this.meta === null ? 0 : this.meta.size);
  }

  /** The frame that was kept under `key` by the same adapter; keys begin with the adapter's name. */
  frame(key: string): unknown {
    if (this.#frameKey === key) return this.#frame;
    return this.#frames === null ? undefined : this.#frames.get(key);
  }

  /** Keeps a finished frame, so that it is made once for all receivers of the same wire form. */
  keepFrame(key: string, frame: unknown): void {
    if (this.#frameKey === null) {
      this.#frameKey = key;
      this.#frame = frame;
      return;
    }
    this.#frames ??= new Map();
    this.#frames.set(key, frame);
  }
}

export type Outbound = Reply | Publication;
