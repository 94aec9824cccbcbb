// Keeping: what outlives the connection of one session: the durable session of its user and client id, and its will.

import type { DurableCommand, Reply, RequestError, Will } from '../../core/index.js';

type Submit = (command: DurableCommand, awaiting: ((reply: Reply) => void) | null) => void;

export class Keeping {
  /** Left by the CONNECT. */
  will: Will | null = null;
  /** The client took its will back, or never had a right to it. */
  goodbye = false;
  /** State of an earlier connection was resumed. */
  present = false;
  #isWillKept = false;

  constructor(private readonly submit: Submit) {}

  /**
   * Opens what is kept under the key, or drops it, and keeps the will. `expiryMs`: how long the session outlives the connection.
   * `onOpened` is called when it was opened, `done` when all this is stored.
   */
  open(key: string, clean: boolean, expiryMs: number, onOpened: (reply: Reply) => void, done: (error: RequestError | null) => void): void {
    const { will } = this;
    this.submit({ type: 'open', key, clean, expiryMs }, (reply) => {
      if (reply.error === null) {
        this.present = reply.present;
        onOpened(reply);
      }
      if (will === null) done(reply.error);
    });
    if (will === null) return;
    this.#isWillKept = true;
    this.submit({ type: 'will', will }, ({ error }) => done(error));
  }

  /** The connection ends. [MQTT-3.1.2-8], [MQTT-3.1.2-10]: only a DISCONNECT takes the will back. */
  leaveWill(): void {
    if (!this.#isWillKept) return;
    this.#isWillKept = false;
    this.submit(this.goodbye ? { type: 'will', will: null } : { type: 'fireWill' }, null);
  }
}
