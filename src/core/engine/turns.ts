// Turns: takes requests in bounded slices, executes each at once, in a turn, or behind the commit, and plans the next slice.

import type { Clock } from '../adapter.js';
import type { RequestError } from '../errors.js';
import type { Request } from '../message.js';
import { changedPath } from '../operations/data.js';
import type { Run, State } from '../operations/run.js';
import { noteRefusal } from '../operations/security.js';
import type { Slice, Work } from '../operations/slices.js';
import { isPlain, stores } from '../operations.js';
import type { Sessions } from '../sessions/sessions.js';
import type { Turn } from '../turn.js';
import type { Commits } from './commits.js';
import type { Delivery } from './delivery.js';
import type { Execution } from './execution.js';
import { failedReply, isAnswered, isBeingReopened, isLeftBehind } from './failures.js';
import type { InboundQueue } from './inbound-queue.js';
import type { Intake } from './intake.js';
import type { Lifecycle } from './lifecycle.js';

/** A turn takes no more once it has taken so many requests, or so many bytes of them and of what they read and write, */
const TURN_REQUESTS = 256;
const TURN_BYTES = 4 * 1024 * 1024;
/** or what it took makes so many copies for receivers, */
const TURN_COPIES = 65_536;
/** or so many steps of queries on single records and of merges, */
const TURN_STEPS = 1_000_000;
/** and nothing that stores once its batch holds so many changes (messages queued for durable sessions, that is). */
const TURN_CHANGES = 16_384;

export interface TurnParts {
  readonly state: State;
  readonly clock: Clock;
  readonly lifecycle: Lifecycle;
  readonly intake: Intake;
  readonly sessions: Sessions;
  readonly delivery: Delivery;
  readonly execution: Execution;
  readonly commits: Commits;
}

export class Turns {
  readonly #state: State;
  readonly #clock: Clock;
  readonly #lifecycle: Lifecycle;
  readonly #intake: Intake;
  readonly #inbound: InboundQueue;
  readonly #sessions: Sessions;
  readonly #delivery: Delivery;
  readonly #execution: Execution;
  readonly #commits: Commits;
  #scheduled = false;
  /** For the turn that is being executed. */
  #turnRun: Run;
  #now = 0;
  /** Requests that were taken this time, and bytes of them and of what they write. */
  #taken = 0;
  #takenBytes = 0;
  #idle: (() => void) | null = null;

  constructor(parts: TurnParts) {
    this.#state = parts.state;
    this.#clock = parts.clock;
    this.#lifecycle = parts.lifecycle;
    this.#intake = parts.intake;
    this.#inbound = parts.intake.inbound;
    this.#sessions = parts.sessions;
    this.#delivery = parts.delivery;
    this.#execution = parts.execution;
    this.#commits = parts.commits;
    this.#turnRun = parts.execution.immediate;
  }

  /** See AdapterContext.submit. */
  submit(request: Request): boolean {
    const goOn = this.#inbound.push(request);
    this.#schedule();
    return goOn;
  }

  /** What the core asks of itself; its `done` is told, also that the store takes nothing now. */
  submitSlice(slice: Slice): void {
    if (!this.#lifecycle.isRunning) {
      slice.done(0, isBeingReopened());
      return;
    }
    this.#intake.wait(slice);
    this.#schedule();
  }

  /** Resolves when everything that was taken is settled; while the store is being reopened, when all is that needs none. */
  async untilIdle(): Promise<void> {
    if (this.#isBusy) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  get #isBusy(): boolean {
    const { pending, waiting } = this.#intake;
    switch (this.#lifecycle.phase) {
      case 'running':
        return this.#inbound.unsettled > 0 || waiting.length > 0 || this.#commits.isWriting || this.#sessions.isFlushing;
      case 'recovering':
        return this.#intake.hasNext || pending.reading.size > 0 || this.#sessions.isFlushing;
      default:
        return false;
    }
  }

  /** Whether the request that has waited longest for the commit can be executed. */
  get #canTakeWaiting(): boolean {
    const first = this.#intake.waiting.peek();
    if (first === undefined || !this.#lifecycle.isRunning) return false;
    return !this.#commits.isWriting || (this.#commits.isOpenAhead && isPlain(first, this.#state));
  }

  /** Behind a turn that is being written, one is filled with what is plain, up to the first request that is not. */
  #mayJoin(turn: Turn, request: Work): boolean {
    if (turn.closed) return false;
    if (isPlain(request, this.#state)) return true;
    if (this.#commits.isWriting) turn.closed = true;
    else turn.isPlain = false;
    return !turn.closed;
  }

  #schedule(): void {
    if (this.#scheduled || this.#lifecycle.isStopped) return;
    this.#scheduled = true;
    setImmediate(this.#pump);
  }

  readonly #pump = (): void => {
    this.#scheduled = false;
    // What was said before goes out first: so queues of receivers do not grow, and it is `conclude` that comes back here.
    if (this.#lifecycle.isStopped || this.#sessions.isFlushing) return;
    this.#begin();
    const turn = this.#lifecycle.isRunning ? this.#commits.open() : null;
    if (turn !== null) this.#takeWaiting(turn);
    while (this.#hasRoom) {
      const request = this.#intake.next();
      if (request === undefined) break;
      this.#noteTaken(request);
      this.take(request, turn);
    }
    this.#end();
    if (turn !== null) this.#commits.finish(turn);
    this.conclude();
  };

  #begin(): void {
    this.#now = this.#clock.now();
    this.#taken = 0;
    this.#takenBytes = 0;
    this.#state.records.bytesRead = 0;
    this.#state.copies = 0;
    this.#state.steps = 0;
  }

  #end(): void {
    const { history } = this.#state;
    if (history !== null) history.executing = null;
    this.#turnRun = this.#execution.immediate;
  }

  /** Whether one more may be taken before others have the event loop. */
  get #hasRoom(): boolean {
    const { records, copies, steps } = this.#state;
    const bytes = this.#takenBytes + records.bytesRead;
    return this.#taken < TURN_REQUESTS && bytes < TURN_BYTES && copies < TURN_COPIES && steps < TURN_STEPS;
  }

  #noteTaken(request: Work): void {
    this.#taken += 1;
    this.#takenBytes += request.size;
  }

  /** What all work ends with: readers go on, sockets get their bytes, and more work is planned if there is any. */
  conclude(): void {
    this.#inbound.resumePaused();
    this.#sessions.flush();
    if (this.#intake.hasNext || this.#canTakeWaiting) this.#schedule();
    else if (this.#idle !== null && !this.#isBusy) this.#idle();
  }

  /** What waited for the last commit goes first. */
  #takeWaiting(turn: Turn): void {
    const { waiting } = this.#intake;
    for (let request = waiting.peek(); request !== undefined && this.#hasRoom; request = waiting.peek()) {
      if (!this.#mayJoin(turn, request)) break;
      this.#intake.takeWaiting();
      this.#noteTaken(request);
      this.#executeIn(turn, request);
    }
    if (waiting.length > 0) turn.closed = true;
  }

  /** Decides whether a request is executed now, in this turn, or behind the commit. `turn` null: none can be begun. */
  take(request: Request, turn: Turn | null): void {
    const { session } = request;
    if (session.backlog !== null) {
      session.backlog.push(request);
      return;
    }
    const { pending } = this.#intake;
    request.time ||= this.#now;
    const changes = stores(request, this.#state);
    if (!changes && !pending.concerns(request)) {
      this.#executeNow(request);
      return;
    }
    if (changes && !this.#lifecycle.isRunning && !isLeftBehind(request)) {
      this.refuse(request, isBeingReopened());
      return;
    }
    if (turn === null || !this.#mayJoin(turn, request)) {
      this.#intake.wait(request);
      return;
    }
    pending.add(request);
    this.#executeIn(turn, request);
  }

  #executeNow(request: Request): void {
    this.#execution.execute(request, this.#execution.immediate);
    if (!this.#intake.pending.reading.has(request)) this.#inbound.settled(request);
  }

  #executeIn(turn: Turn, request: Work): void {
    const { records, history, copies, revision } = this.#state;
    const { size } = turn;
    if (this.#turnRun.turn !== turn) this.#turnRun = this.#execution.in(turn);
    records.executing = turn.changed;
    if (history !== null) history.executing = turn;
    request.time ||= this.#now;
    if (turn.requests.length === 0) this.#intake.pending.begin(turn);
    turn.requests.push(request);
    this.#execution.execute(request, this.#turnRun);
    if (this.#state.revision === revision || request.op === 'transaction') noteUnchanged(request, turn);
    // A merge brings little, and writes all of its record.
    const bytes = Math.max(request.size, turn.size - size);
    turn.bytes += bytes;
    this.#takenBytes += bytes - request.size;
    turn.copies += this.#state.copies - copies;
    if (isFull(turn)) turn.closed = true;
  }

  /** Settles a request that was not executed, or whose turn was refused. */
  refuse(request: Request, failure: RequestError): void {
    this.#inbound.settled(request);
    if (request.op === 'security') noteRefusal(request, failure, this.#state.audit);
    if (isAnswered(request)) this.#delivery.settle(failedReply(request, failure));
    else this.#state.losses.refusedUnanswered(request, failure);
  }
}

/** What the turn's changes do not tell of a request that changed no record, or not all that it is about. */
function noteUnchanged(request: Work, { unchanged }: Turn): void {
  switch (request.op) {
    case 'set':
    case 'remove':
      if (request.pattern === null || request.pattern.exact !== null) unchanged.add(changedPath(request));
      break;
    case 'transaction':
      for (const operation of request.operations) unchanged.add(changedPath(operation));
      break;
    case 'durable':
      if (request.firedPath !== null) unchanged.add(request.firedPath);
      break;
    default:
  }
}

/** Several takes may have filled it. */
function isFull({ requests, bytes, copies, changes }: Turn): boolean {
  return requests.length >= TURN_REQUESTS || bytes >= TURN_BYTES || copies >= TURN_COPIES || changes >= TURN_CHANGES;
}
