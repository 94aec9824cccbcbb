// Publication: the news of one change or event, and who got it.

import type { Entry } from '../data/entry.js';
import { contentBytes, type Meta } from '../data/meta.js';
import type { Payload } from '../data/payload.js';
import type { Match } from '../routing/router.js';
import type { Subscription } from '../routing/subscription.js';
import type { Session } from '../sessions/session.js';
import type { DataOptions, Qos } from './options.js';
import type { RequestId } from './requests.js';

const PUBLICATION_BYTES = 64;

/** Who got a publication; complete once the reply that carries it is delivered. */
export class Receipt {
  /** Subscriptions that matched and hear this action. */
  matched = 0;
  /** Sessions that it was handed to, once for each of their subscriptions. */
  readonly sessions: Session[] = [];
  /** Of these, the ones that were left out because of `targets` or `noLocal`. */
  skipped = 0;
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
    return PUBLICATION_BYTES + contentBytes(this.path, this.payload, this.meta);
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
