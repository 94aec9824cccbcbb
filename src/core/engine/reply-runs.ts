// Reply runs: replies of a turn that adapters encode, as far as they can, while the turn is being written and the processor is idle.
// They are sent only when the store has the turn.

import { type Reply, ReplyRun } from '../message.js';
import type { Session } from '../sessions/session.js';
import type { Outcome, Turn } from '../turn.js';

/** Fewer are not worth a run. */
const REPLIES_MIN = 4;
/** More are several runs. */
const REPLIES_MAX = 64;

/** Has the turn's replies written, and puts the runs of them among the outcomes: each session is told in the same order as without. */
export function writeAhead(turn: Turn): void {
  if (turn.outcomes.length < REPLIES_MIN) return;
  const gathering = new Gathering(turn.isPlain);
  for (const outcome of turn.outcomes) gathering.take(outcome);
  turn.outcomes = gathering.end();
}

class Gathering {
  readonly #said: Outcome[] = [];
  /** The run that is being gathered, */
  #replies: Reply[] = [];
  /** and whose it is; null: nobody's. */
  #session: Session | null = null;
  /** What came between its replies and concerns others. */
  #between: Outcome[] = [];

  /** `isPlain`: no subscription ended in the turn, so that what a session has is all that it hears of. */
  constructor(private readonly isPlain: boolean) {}

  take(outcome: Outcome): void {
    const session = writerOf(outcome);
    if (session === null && this.#concernsOthers(outcome)) {
      this.#between.push(outcome);
      return;
    }
    if (session !== this.#session || this.#replies.length === REPLIES_MAX) this.#close();
    if (session === null) {
      this.#said.push(outcome);
    } else {
      this.#session = session;
      this.#replies.push(outcome as Reply);
    }
  }

  end(): Outcome[] {
    this.#close();
    return this.#said;
  }

  /** News, and the session of the run hears none. */
  #concernsOthers(outcome: Outcome): boolean {
    if (!this.isPlain || this.#session === null || typeof outcome === 'function' || outcome.kind !== 'publication') return false;
    return this.#session.subscriptions.size === 0;
  }

  #close(): void {
    const replies = this.#replies;
    if (this.#session === null) return;
    const bytes = replies.length < REPLIES_MIN ? null : written(this.#session, replies);
    if (bytes === null) for (const reply of replies) this.#said.push(reply);
    else this.#said.push(new ReplyRun(this.#session, replies, bytes));
    for (const outcome of this.#between) this.#said.push(outcome);
    this.#session = null;
    this.#replies = [];
    if (this.#between.length > 0) this.#between = [];
  }
}

/** null also where its adapter fails: it does so again when they are given, and that ends this connection alone. */
function written(session: Session, replies: readonly Reply[]): Buffer | null {
  try {
    return session.writeAhead(replies);
  } catch {
    return null;
  }
}

/** Whose reply it is, if it may be written ahead. */
function writerOf(outcome: Outcome): Session | null {
  if (typeof outcome === 'function' || outcome.kind !== 'reply') return null;
  const { session } = outcome.request;
  return session.writesAhead && !session.closed ? session : null;
}
