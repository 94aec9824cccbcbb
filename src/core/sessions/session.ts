// Session: one connection's state in the core. Adapters extend it with their protocol; the engine owns the accounting.

import type { DurableSession } from '../durable/durable-session.js';
import type { ConnectionError, RequestError } from '../errors.js';
import type { Reply, Request } from '../message.js';
import type { Ring } from '../pace/ring.js';
import type { Subscription } from '../routing/subscription.js';
import type { EntryStream } from '../scans/entry-streams.js';
import type { SecurityChange } from '../security/commands.js';
import { type Asker, askerOf, type Identity, NOBODY } from '../security/identity.js';
import type { Beginnings } from './beginnings.js';
import { OUTBOUND_LIMITS, type OutboundLimits, OutboundQueue } from './outbound-queue.js';
import { SubscriptionSet } from './subscription-set.js';
import type { UsersSessions } from './users-sessions.js';

/** A session with more than this waiting does not keep up. */
const KEEPS_UP_BYTES = 256 * 1024;

export abstract class Session {
  #identity: Identity = NOBODY;
  /** In whose name it asks meanwhile; null: in its own. */
  #lent: Identity | null = null;
  /** Address and port of the peer, for people; empty: it has no connection of its own. The adapter's. */
  address = '';
  readonly outbound: OutboundQueue;
  /** Live subscriptions; the engine ends them with the session (durable ones stay behind). */
  readonly subscriptions = new SubscriptionSet();
  /** The durable session that this connection carries; it stays for what a connection that is gone had in flight. */
  durable: DurableSession | null = null;
  /** Exactly-once numbers that were received and not released; null until the first. */
  received: Set<number> | null = null;
  /** Takes long answers as streams, one after the other, and closes each; else they come as lists that are held in memory. */
  readonly takesStreams: boolean = false;
  /** Can write replies that it is not given yet. */
  readonly writesAhead: boolean = false;

  /** Bytes of the frame that is being handled: what is submitted meanwhile may keep all of it, and counts no less. The adapter's. */
  frameBytes = 0;

  // Engine's accounting: adapters read, never write.
  /** Where it is found by its user while it is open. */
  users: UsersSessions | null = null;
  /** Requests executed, all in all. */
  executed = 0;
  /** Requests submitted and not yet settled. */
  inFlight = 0;
  /** Bytes of these. */
  inFlightBytes = 0;
  /** Of these, the ones that wait for the disk. */
  uncommitted = 0;
  /** Of those, the ones that concern many paths and that no later request may overtake: subscriptions, wildcard removals. */
  barriers = 0;
  /** A request that works in slices and that all later ones wait for, in `backlog`. */
  behind: Request | null = null;
  backlog: Ring<Request> | null = null;
  /** Reading was paused because too much of this session's work waits. */
  paused = false;
  /** Subscriptions whose initial values are being read; null: none are. */
  beginnings: Beginnings | null = null;
  /** The long answers that it takes; null until the first. */
  streams: Set<EntryStream> | null = null;
  /** On the list of sessions to flush. */
  touched = false;
  /** Began to be slow at this monotonic millisecond; 0: it is not. */
  slowSince = 0;
  closed = false;
  /** When it was opened: milliseconds since 1970. */
  opened = 0;

  constructor(
    /** Unique, from 128 random bits. */
    readonly id: string,
    /** Name of the adapter. */
    readonly adapter: string,
    /**
     * true: replies come in the order of the requests, so a request waits for earlier ones that wait for the disk.
     * false: only requests that touch the same path wait for each other.
     */
    readonly ordered: boolean,
    limits: OutboundLimits = OUTBOUND_LIMITS,
  ) {
    this.outbound = new OutboundQueue(limits);
  }

  /** In whose name it asks: its own, as a rule. The adapter's. */
  get identity(): Identity {
    return this.#lent ?? this.#identity;
  }

  set identity(identity: Identity) {
    const before = this.#identity;
    this.#identity = identity;
    if (before !== identity) this.users?.moved(this, before);
  }

  /** Whose it is: with them it ends, whoever it asks for meanwhile. */
  get ownIdentity(): Identity {
    return this.#identity;
  }

  /** What is asked from now on is asked in that name; null: in its own again. */
  askAs(identity: Identity | null): void {
    this.#lent = identity;
  }

  /** What the audit says of who asks. */
  get asker(): Asker {
    return askerOf(this.identity, this.adapter, this.address);
  }

  /** Takes what comes without letting it pile up: of several that could get a message, it is one to choose. */
  get keepsUp(): boolean {
    return this.outbound.bytes <= KEEPS_UP_BYTES;
  }

  /** Drains `outbound` to the socket while it takes more; called at most once a turn. Never throws for the peer's faults. */
  abstract flush(): void;

  /**
   * Replies as they are going to be sent, if they come: that they are given is seen in `outbound` (`peekRun`). null: it wants them one
   * by one. Asked only of a session that `writesAhead`.
   */
  writeAhead(_replies: readonly Reply[]): Buffer | null {
    return null;
  }

  /** Bytes that left `outbound` and are not with the operating system yet. */
  abstract get bufferedBytes(): number;

  /** Stop reading the socket; the engine calls `resumeReading` when there is room again. */
  abstract pauseReading(): void;
  abstract resumeReading(): void;

  /** The rest of its long answer cannot be read. false: the end of the connection alone can tell that. */
  streamLost(_error: RequestError): boolean {
    return false;
  }

  /** Ends the connection as the protocol does it; null: normal end. Idempotent; ends in `context.closeSession`. */
  abstract close(error: ConnectionError | null): void;

  /** The right for one of its subscriptions is gone: it has ended, as if the client had asked for that. Never throws. */
  onSubscriptionLost(_subscription: Subscription): void {}

  /** Something changed that concerns its rights; subscriptions that were lost by it have ended before. Never throws. */
  onSecurityChange(_change: SecurityChange): void {}
}
