// DeskSession: a session without a connection, for one request that somebody inside the process asks for.

import { randomBytes } from 'node:crypto';
import type { Identity } from './identity.js';
import type { Reply } from './message.js';
import { Session } from './session.js';

export class DeskSession extends Session {
  readonly #settle: (reply: Reply) => void;

  /** `settle` gets the reply. */
  constructor(identity: Identity, settle: (reply: Reply) => void) {
    super(randomBytes(16).toString('hex'), 'core', false);
    this.identity = identity;
    this.#settle = settle;
  }

  override flush(): void {
    for (let next = this.outbound.shift(); next !== undefined; next = this.outbound.shift()) if (next.kind === 'reply') this.#settle(next);
  }
  override get bufferedBytes(): number {
    return 0;
  }
  override pauseReading(): void {}
  override resumeReading(): void {}
  override close(): void {}
}
