// InboundQueue: requests on their way to the engine, with the credit of each session. Always accepts a request;
// pauses the sender's reading when its credit is used up, or the whole queue, unless it has asked for little.

import { contentBytes } from '../data/meta.js';
import type { Request } from '../message.js';
import { Ring } from '../pace/ring.js';
import type { Pattern } from '../paths/pattern.js';
import type { Session } from '../sessions/session.js';

export interface InboundLimits {
  /** Requests of one session that may be unsettled before its reading pauses. */
  readonly sessionMessages: number;
  readonly sessionBytes: number;
  /** Unsettled requests of all sessions before the reading of those pauses that have `fewMessages` or `fewBytes` of them. */
  readonly messages: number;
  readonly bytes: number;
  /** Who has less never waits for what others have asked: that can take very long, and be very much together. */
  readonly fewMessages: number;
  readonly fewBytes: number;
}

export const INBOUND_LIMITS: InboundLimits = Object.freeze({
  sessionMessages: 1_024,
  sessionBytes: 4 * 1024 * 1024,
  messages: 65_536,
  bytes: 128 * 1024 * 1024,
  fewMessages: 16,
  fewBytes: 64 * 1024,
});

const REQUEST_OVERHEAD_BYTES = 128;
/** What is held for a request that is answered by a scan: the scan is of the moment at which it was asked for, however long it waits. */
const SCAN_BYTES = 8 * 1024;

/** Who stops and starts the reading of sessions. */
export interface Readers {
  pauseReading(session: Session): void;
  resumeReading(session: Session): void;
}

export class InboundQueue {
  #requests = new Ring<Request>();
  /** Sessions whose reading was paused. */
  #paused = new Set<Session>();
  /** Requests taken and not yet settled. */
  unsettled = 0;
  unsettledBytes = 0;

  constructor(
    readonly limits: InboundLimits,
    private readonly readers: Readers,
  ) {}

  /** Requests that wait to be taken. */
  get length(): number {
    return this.#requests.length;
  }

  get overloaded(): boolean {
    return this.unsettled >= this.limits.messages || this.unsettledBytes >= this.limits.bytes;
  }

  /** False: the session's reading was paused; `settled` resumes it. */
  push(request: Request): boolean {
    const session = request.session;
    request.size = Math.max(sizeOf(request), session.frameBytes);
    session.inFlight += 1;
    session.inFlightBytes += request.size;
    this.unsettled += 1;
    this.unsettledBytes += request.size;
    this.#requests.push(request);
    const { sessionMessages, sessionBytes } = this.limits;
    if (session.inFlight < sessionMessages && session.inFlightBytes < sessionBytes && (!this.overloaded || this.#hasFew(session))) {
      return true;
    }
    this.#pause(session);
    return false;
  }

  shift(): Request | undefined {
    return this.#requests.shift();
  }

  /** The request's work is done; gives its credit back. */
  settled(request: Request): void {
    const session = request.session;
    session.inFlight -= 1;
    session.inFlightBytes -= request.size;
    this.unsettled -= 1;
    this.unsettledBytes -= request.size;
  }

  #hasFew({ inFlight, inFlightBytes }: Session): boolean {
    return inFlight < this.limits.fewMessages && inFlightBytes < this.limits.fewBytes;
  }

  /** Lets sessions read on that have half of their credit again; called once a turn. */
  resumePaused(): void {
    for (const session of this.#paused) {
      if (session.closed) {
        this.#paused.delete(session);
        continue;
      }
      // Each that goes on may fill what has become free.
      const isCrowded = this.unsettled > this.limits.messages / 2 || this.unsettledBytes > this.limits.bytes / 2;
      if (isCrowded && !this.#hasFew(session)) continue;
      if (session.inFlight > this.limits.sessionMessages / 2) continue;
      if (session.inFlightBytes > this.limits.sessionBytes / 2) continue;
      this.#paused.delete(session);
      session.paused = false;
      this.readers.resumeReading(session);
    }
  }

  #pause(session: Session): void {
    if (session.paused || session.closed) return;
    session.paused = true;
    this.#paused.add(session);
    this.readers.pauseReading(session);
  }
}

function sizeOf(request: Request): number {
  switch (request.op) {
    case 'set':
    case 'remove':
    case 'get':
      return REQUEST_OVERHEAD_BYTES + scanBytes(request.pattern) + contentBytes(request.path, request.payload, request.options.meta);
    case 'transaction':
      return request.operations.reduce((bytes, operation) => bytes + sizeOf(operation), REQUEST_OVERHEAD_BYTES);
    case 'subscribe':
    case 'unsubscribe':
      return REQUEST_OVERHEAD_BYTES + scanBytes(request.initial) + request.subscription.pattern.text.length;
    case 'security':
      return REQUEST_OVERHEAD_BYTES;
    case 'durable': {
      const will = request.command.type === 'will' ? request.command.will : null;
      return REQUEST_OVERHEAD_BYTES + (will === null ? 0 : contentBytes(will.path, will.payload, will.options.meta));
    }
  }
}

function scanBytes(pattern: Pattern | null): number {
  return pattern === null || pattern.exact !== null ? 0 : SCAN_BYTES;
}
