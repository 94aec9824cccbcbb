// Readings: the engine's side of scans: answers and removals that read the store outside of turns are begun, fed, answered and
// ended here.

import type { Clock, Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import { ConnectionError, RequestError } from '../errors.js';
import type { DataRequest, Receipt, Reply, SubscribeRequest } from '../message.js';
import { publish } from '../operations/publish.js';
import type { Run, State } from '../operations/run.js';
import type { Slice } from '../operations/slices.js';
import { undoSubscribe } from '../operations/subscriptions.js';
import { Lanes } from '../pace/lanes.js';
import type { Shifts } from '../pace/shifts.js';
import type { Pattern } from '../paths/pattern.js';
import type { Subscription } from '../routing/subscription.js';
import { ReadBefore } from '../scans/initial-stream.js';
import { removalByPattern } from '../scans/removals.js';
import type { ScanHost, ScanLimits } from '../scans/scan-host.js';
import type { SearchHost } from '../scans/searches.js';
import type { Session } from '../sessions/session.js';
import type { Sessions } from '../sessions/sessions.js';
import type { Delivery } from './delivery.js';
import { type Failures, failedReply } from './failures.js';
import type { Intake } from './intake.js';

export interface ReadingParts {
  readonly state: State;
  readonly limits: ScanLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly shifts: Shifts;
  readonly intake: Intake;
  readonly sessions: Sessions;
  readonly delivery: Delivery;
  readonly failures: Failures;
  /** The run for what takes effect at once. */
  readonly immediate: () => Run;
  readonly submitSlice: (slice: Slice) => void;
  /** Ends a durable subscription that nobody else would end. */
  readonly endSubscription: (subscription: Subscription) => void;
  /** A request was settled beside the turns. */
  readonly conclude: () => void;
}

export class Readings implements ScanHost {
  readonly #parts: ReadingParts;
  readonly state: State;
  readonly limits: ScanLimits;
  readonly scanned: Counter;
  readonly lanes = new Lanes();
  readonly shifts: Shifts;
  readonly readBefore = new ReadBefore();
  readonly search: SearchHost;

  constructor(parts: ReadingParts) {
    this.#parts = parts;
    const { state, limits, clock, counters, shifts } = parts;
    this.state = state;
    this.limits = limits;
    this.shifts = shifts;
    this.scanned = counters.counter('rows_scanned_total', 'Rows read to answer wildcard requests');
    this.search = { limits, lanes: new Lanes(), shifts, now: () => clock.monotonic() };
  }

  submitSlice(slice: Slice): void {
    this.#parts.submitSlice(slice);
  }

  /** The answer, then what happened while it was read, then what its session asked meanwhile. */
  finish(request: DataRequest | SubscribeRequest, reply: Reply): void {
    const { intake, sessions, delivery, conclude } = this.#parts;
    intake.pending.reading.delete(request);
    intake.inbound.settled(request);
    if (reply.stream !== null) sessions.stream(request.session, reply.stream);
    delivery.settle(reply);
    if (request.op === 'subscribe') delivery.releaseHeld(request, reply.past);
    const backlog = intake.detachBacklog(request);
    if (backlog !== null) intake.release(backlog);
    conclude();
  }

  /** Not before the call that began the reading is over: whoever made it settles what is not being read. */
  fail(request: DataRequest | SubscribeRequest, error: unknown): void {
    queueMicrotask(() => {
      const reply = failedReply(request, this.#parts.failures.asRequestError(error, request));
      if (request.op === 'subscribe') this.#endFailed(request);
      this.finish(request, reply);
    });
  }

  /** A subscription without its initial values counts as none. */
  #endFailed(request: SubscribeRequest): void {
    const { subscription } = request;
    // It was there before, and what is still to come of its initial values is kept.
    if (request.isResumed) return;
    if (subscription.durable === null) undoSubscribe(request, this.state.router);
    else this.#parts.endSubscription(subscription);
  }

  ready(session: Session): void {
    this.#parts.sessions.flushNow(session);
  }

  /** A part of the answer may be with the peer: then the end of the connection alone can tell that there is no more of it. */
  lost(session: Session, error: unknown): void {
    if (session.closed) return;
    const text = 'a long answer could not be read to its end';
    this.#parts.log.error({ err: error, session: session.id, adapter: session.adapter }, text);
    if (session.streamLost(new RequestError('STORE_FAILED', text, { cause: error }))) return;
    this.#parts.sessions.end(session, new ConnectionError('STORE_FAILED', text));
  }

  announce(request: DataRequest, pattern: Pattern, removed: number): Receipt | null {
    const match = this.state.router.match(pattern.text);
    if (!match.any) return null;
    const publication = removalByPattern(request, pattern, removed);
    publish(this.#parts.immediate(), publication, match, request.sequence, 0);
    return publication.receipt;
  }
}
