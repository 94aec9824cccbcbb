// ReplyRun: consecutive replies of one turn to one session, as encoded by its adapter while the turn was written.

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
