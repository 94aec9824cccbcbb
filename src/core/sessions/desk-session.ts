// Sessions without a connection: DeskSession for a single request from inside the process, SystemSession for requests of the
// gateway itself.

import { randomBytes } from 'node:crypto';
import type { Reply } from '../message.js';
import { type Asker, type Identity, THE_GATEWAY } from '../security/identity.js';
import { Session } from './session.js';

export class DeskSession extends Session {
  readonly #settle: (reply: Reply) => void;

  readonly #asker: Asker | null;

  /** `settle` gets the reply. `asker`: what the audit says of who asks; null: what `identity` says. */
  constructor(identity: Identity, settle: (reply: Reply) => void, asker: Asker | null = null) {
    super(randomBytes(16).toString('hex'), 'core', false);
    this.identity = identity;
    this.#asker = asker;
    this.#settle = settle;
  }

  override get asker(): Asker {
    return this.#asker ?? super.asker;
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

/** Stands in for sessions of an earlier run, and for nobody's. */
export class SystemSession extends Session {
  constructor() {
    super('system', 'core', false);
    this.identity = THE_GATEWAY;
    this.closed = true;
  }
  flush(): void {}
  get bufferedBytes(): number {
    return 0;
  }
  pauseReading(): void {}
  resumeReading(): void {}
  close(): void {}
}
