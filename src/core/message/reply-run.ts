// ReplyRun: replies of one turn to one session that stand next to each other, as its adapter has written them while the turn was.

import type { Session } from '../sessions/session.js';
import type { Reply } from './reply.js';

/** Goes through the outbound queue as one. */
export class ReplyRun {
  readonly kind = 'run';

  constructor(
    readonly session: Session,
    /** Not empty; in their order. */
    readonly replies: readonly Reply[],
    /** All of them, from the session's `writeAhead`. */
    readonly bytes: Buffer,
  ) {}
}
