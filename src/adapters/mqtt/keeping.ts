// Keeping: what outlives the connection of one session: the durable session of its user and client id, and its will. Requests to the
// core about them are made here.

import {
  type DurableCommand,
  DurableRequest,
  type Reply,
  type Request,
  type RequestError,
  type Session,
  type Will,
} from '../../core/index.js';
import type { HandOut } from './retained.js';

/** Waits for a reply; carried by the request. */
export type Awaiting = (reply: Reply) => void;

export interface KeptSession extends Session {
  submit(request: Request): void;
  /** What could not be stored is not acknowledged: the connection ends. */
  closeFailed(error: RequestError): void;
}

export class Keeping {
  /** Left by the CONNECT. */
  will: Will | null = null;
  /** The client took its will back, or never had a right to it. */
  goodbye = false;
  /** State of an earlier connection was resumed. */
  present = false;
  #isWillKept = false;

  constructor(private readonly session: KeptSession) {}

  submit(command: DurableCommand, awaiting: Awaiting | null): void {
    this.session.submit(new DurableRequest(this.session, null, command, awaiting));
  }

  /** The client has a queued message, or is never to have it. */
  acknowledge(number: number): void {
    this.submit({ type: 'acknowledge', number }, null);
  }

  /** Initial values are queued before they are sent. `awaiting` hears of what was stored alone. */
  handOut(command: HandOut, awaiting: Awaiting): void {
    this.submit(command, (reply) => {
      if (reply.error !== null) this.session.closeFailed(reply.error);
      else awaiting(reply);
    });
  }

  /**
   * Opens what is kept under the key, or drops it, and keeps the will. `expiryMs`: how long the session outlives the connection.
   * `onOpened` is called when it was opened, `done` when all this is stored.
   */
  open(key: string, clean: boolean, expiryMs: number, onOpened: (reply: Reply) => void, done: (error: RequestError | null) => void): void {
    const { will } = this;
    let refusal: RequestError | null = null;
    this.submit({ type: 'open', key, clean, expiryMs }, (reply) => {
      refusal = reply.error;
      if (refusal === null) {
        this.present = reply.present;
        onOpened(reply);
      } else {
        // A client that is refused leaves nothing behind.
        this.goodbye = true;
      }
      if (will === null) done(refusal);
    });
    if (will === null) return;
    this.#isWillKept = true;
    this.submit({ type: 'will', will }, ({ error }) => done(refusal ?? error));
  }

  /** The connection ends. [MQTT-3.1.2-8], [MQTT-3.1.2-10]: only a DISCONNECT takes the will back. */
  leaveWill(): void {
    if (!this.#isWillKept) return;
    this.#isWillKept = false;
    this.submit(this.goodbye ? { type: 'will', will: null } : { type: 'fireWill' }, null);
  }
}
