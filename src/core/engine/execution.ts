// Execution: runs one request at a time, and is the error boundary: a failing request is answered and harms nothing else.

import type { Counter } from '../counters.js';
import { type ConnectionError, type RequestError, SessionOver, SessionRevoked } from '../errors.js';
import type { DataRequest, SubscribeRequest } from '../message.js';
import type { Run, State } from '../operations/run.js';
import type { Work } from '../operations/slices.js';
import { authorize, execute } from '../operations.js';
import { answerByPattern } from '../scans/answers.js';
import { removeByPattern } from '../scans/removals.js';
import type { ScanHost } from '../scans/scan-host.js';
import type { Session } from '../sessions/session.js';
import type { Sessions } from '../sessions/sessions.js';
import { Effect, type Job, type Outcome, type Turn } from '../turn.js';
import type { Delivery } from './delivery.js';
import { type Failures, failedReply, isAnswered } from './failures.js';
import type { Intake } from './intake.js';

export interface ExecutionParts {
  readonly state: State;
  readonly intake: Intake;
  readonly delivery: Delivery;
  readonly sessions: Sessions;
  readonly failures: Failures;
  readonly scans: ScanHost;
  /** Counts each request. */
  readonly executed: Counter;
  /** See Run. */
  readonly leave: (session: Session) => void;
}

export class Execution {
  readonly #parts: ExecutionParts;
  readonly #executed: Counter;
  /** For what takes effect at once. */
  readonly immediate: Run;

  constructor(parts: ExecutionParts) {
    this.#parts = parts;
    this.#executed = parts.executed;
    this.immediate = new EngineRun(parts, null);
  }

  in(turn: Turn): Run {
    return new EngineRun(this.#parts, turn);
  }

  execute(request: Work, run: Run): void {
    this.#executed.add();
    request.session.executed += 1;
    try {
      if (request.kind !== 'slice') authorize(request, run.state);
      execute(request, run);
    } catch (error) {
      this.#fail(request, this.#parts.failures.asRequestError(error, request), run);
    }
  }

  #fail(request: Work, failure: RequestError, run: Run): void {
    if (request.kind === 'slice') run.say(() => request.done(0, failure));
    else if (isAnswered(request)) run.say(failedReply(request, failure));
    else this.#parts.state.losses.refusedUnanswered(request, failure);
    const over = failure.cause instanceof SessionOver ? failure.cause : failure;
    if (over instanceof SessionOver) run.say(new Effect(() => run.end(request.session, new SessionRevoked(over.reason))));
  }
}

class EngineRun implements Run {
  readonly state: State;

  constructor(
    private readonly parts: ExecutionParts,
    readonly turn: Turn | null,
  ) {
    this.state = parts.state;
  }

  say(outcome: Outcome): void {
    const { turn } = this;
    if (turn === null) {
      this.parts.delivery.settle(outcome);
      return;
    }
    turn.outcomes.push(outcome);
    if (typeof outcome === 'function' || outcome.kind === 'effect') turn.isPlain = false;
  }

  scan(request: DataRequest | SubscribeRequest): void {
    this.parts.intake.readBeside(request, request.session.ordered);
    this.#begin(() => void answerByPattern(request, this.parts.scans));
  }

  removeByPattern(request: DataRequest): void {
    this.parts.intake.readBeside(request, true);
    this.#begin(() => void removeByPattern(request, this.parts.scans));
  }

  #begin(job: Job): void {
    if (this.turn === null) {
      job();
      return;
    }
    // What stores later must not show in an answer that was asked for earlier.
    this.turn.closed = true;
    this.say(job);
  }

  leave(session: Session): void {
    this.parts.leave(session);
  }

  end(session: Session, error: ConnectionError): void {
    const { sessions } = this.parts;
    sessions.flushNow(session);
    if (!session.closed) sessions.end(session, error);
  }

  tell(session: Session, work: () => void): void {
    this.parts.sessions.runNow(session, work);
  }
}
