// Recovery: what happens when the store refuses a turn. It is undone, with the turn executed after it: changes
// fail, other requests start again, and the store is reopened and verified before it is written to again.

import type { Log } from '../adapter.js';
import { ConnectionError, RequestError } from '../errors.js';
import type { Request } from '../message.js';
import type { State } from '../operations/run.js';
import type { Work } from '../operations/slices.js';
import type { Ring } from '../pace/ring.js';
import type { Sessions } from '../sessions/sessions.js';
import type { StoreState } from '../store/store.js';
import type { Turn } from '../turn.js';
import type { Commits } from './commits.js';
import { isLeftBehind } from './failures.js';
import type { Intake } from './intake.js';
import type { Lifecycle } from './lifecycle.js';
import type { Turns } from './turns.js';

const REOPEN_FIRST_MS = 250;
const REOPEN_MAX_MS = 30_000;

export interface RecoveryParts {
  readonly log: Log;
  readonly lifecycle: Lifecycle;
  readonly state: State;
  readonly intake: Intake;
  readonly sessions: Sessions;
  readonly turns: Turns;
  readonly commits: Commits;
  /** Reopens the store, and loads anew what memory keeps of it. */
  readonly reopen: () => Promise<StoreState>;
}

export class Recovery {
  readonly #parts: RecoveryParts;
  #done: Promise<void> | null = null;
  /** Ends the pause before the next attempt to reopen the store. */
  #endPause: (() => void) | null = null;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  /** Resolves when no attempt is at work any more. To be called when the engine is stopped. */
  async stop(): Promise<void> {
    this.#endPause?.();
    await this.#done;
  }

  /** `refused`: the turn that was being written, then the one behind it, if there is one. */
  begin(refused: readonly Turn[], error: unknown): void {
    const { lifecycle, log, turns } = this.#parts;
    lifecycle.phase = 'recovering';
    log.error({ err: error }, 'the store failed: what it refused was not acknowledged, reopening the store');
    this.#takeBack(refused, new RequestError('STORE_FAILED', 'the store refused the change', { cause: error }));
    this.#endDurable();
    this.#done = this.#reopen();
    turns.conclude();
  }

  #takeBack(refused: readonly Turn[], failure: RequestError): void {
    const { intake, turns } = this.#parts;
    const waiting = intake.drainWaiting();
    const backlogs = new Map<Request, Ring<Request>>();
    for (const turn of refused) {
      intake.pending.end(turn);
      for (const request of turn.requests) this.#takeOut(request, backlogs);
    }
    for (const turn of refused.toReversed()) if (!this.#isSaid(turn, refused)) turn.undo();
    for (const turn of refused) {
      for (const request of turn.requests) {
        if (request.kind === 'slice') {
          request.done(0, failure);
          continue;
        }
        this.#takeBackRequest(request, failure, this.#isSaid(turn, refused));
        const backlog = backlogs.get(request);
        for (let next = backlog?.shift(); next !== undefined; next = backlog?.shift()) turns.take(next, null);
      }
    }
    for (const request of waiting) {
      if (request.kind === 'slice') request.done(0, failure);
      else turns.take(request, null);
    }
  }

  #isSaid(turn: Turn, [written]: readonly Turn[]): boolean {
    return this.#parts.commits.isSaidBefore && turn === written;
  }

  #takeOut(request: Work, backlogs: Map<Request, Ring<Request>>): void {
    const { intake } = this.#parts;
    intake.pending.remove(request);
    if (request.kind === 'slice') return;
    const backlog = intake.detachBacklog(request);
    if (backlog !== null) backlogs.set(request, backlog);
  }

  /** A request of a refused turn. What has an operation number has stored something. */
  #takeBackRequest(request: Request, failure: RequestError, isSaid: boolean): void {
    const { intake, turns } = this.#parts;
    if (isSaid && !intake.pending.reading.has(request)) {
      intake.inbound.settled(request);
      return;
    }
    const stored = request.sequence > 0;
    intake.pending.reading.delete(request);
    if (stored && isLeftBehind(request)) {
      request.sequence = 0;
      request.firedPath = null;
      intake.wait(request);
    } else if (stored) {
      turns.refuse(request, failure);
    } else {
      turns.take(request, null);
    }
  }

  /** What memory knows of durable sessions may be ahead of the store: their connections resume on what was stored. */
  #endDurable(): void {
    const { sessions } = this.#parts;
    for (const session of [...sessions]) {
      if (session.durable !== null) sessions.end(session, new ConnectionError('STORE_FAILED', 'the store was reopened'));
    }
  }

  async #reopen(): Promise<void> {
    const { lifecycle, log, reopen } = this.#parts;
    for (let delayMs = REOPEN_FIRST_MS; ; delayMs = Math.min(delayMs * 2, REOPEN_MAX_MS)) {
      try {
        const stored = await reopen();
        if (!lifecycle.isStopped) this.#recovered(stored);
        return;
      } catch (error) {
        log.error({ err: error, retryInMs: delayMs }, 'the store cannot be reopened yet');
      }
      if (!lifecycle.isStopped) await this.#untilRetry(delayMs);
      if (lifecycle.isStopped) return;
    }
  }

  #untilRetry(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      timer.unref();
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #recovered(stored: StoreState): void {
    const { log, lifecycle, state, turns, commits } = this.#parts;
    const { revision, applied } = state;
    commits.restore(stored);
    if (commits.isSaidBefore) {
      // Numbers that were given to what is lost are known outside: they are not given again.
      state.revision = Math.max(revision, stored.revision);
      state.applied = Math.max(applied, stored.applied);
    }
    lifecycle.phase = 'running';
    log.info({ revision: stored.revision }, 'the store is open again');
    turns.conclude();
  }
}
