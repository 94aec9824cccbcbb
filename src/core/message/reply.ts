// Reply: the answer to one request.

import type { Entry } from '../data/entry.js';
import { bytesOf, EntryList, type EntrySource } from '../data/entry-source.js';
import type { DurableSession } from '../durable/durable-session.js';
import type { RequestError } from '../errors.js';
import type { EntryStream } from '../scans/entry-streams.js';
import type { Publication, Receipt } from './publication.js';
import type { Request } from './requests.js';

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
  /** Bytes of the paths, payloads and meta of all entries. */
  entriesBytes = 0;
  /** remove: records removed; unsubscribe: subscriptions ended; get that only counts: records found; forget: 1 if it was there. */
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

  /** Bytes for queue accounting: also of the request, which is kept as long as its answer waits. A stream does not wait in the queue. */
  get size(): number {
    const { request, entry } = this;
    const bytes = (entry === null ? 0 : bytesOf(entry)) + (this.entries === null ? 0 : this.entriesBytes);
    return REPLY_BYTES + Math.max(request.size, bytes);
  }
}
