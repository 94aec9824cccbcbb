// Reading: whether a connection is read. Several parts may pause it at once; it resumes when the last of them lets go.

import type { WebSocket } from 'ws';

/** Who may want it, one bit each. */
export const PAUSED_BY = Object.freeze({ engine: 1, output: 2, stop: 4, layers: 8 });

export class Reading {
  readonly #websocket: WebSocket;
  #pausedBy = 0;

  constructor(websocket: WebSocket) {
    this.#websocket = websocket;
  }

  pause(by: number): void {
    if (this.#pausedBy === 0) this.#websocket.pause();
    this.#pausedBy |= by;
  }

  resume(by: number): void {
    if ((this.#pausedBy & by) === 0) return;
    this.#pausedBy &= ~by;
    if (this.#pausedBy === 0) this.#websocket.resume();
  }
}
