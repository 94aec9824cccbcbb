// Connections: the sessions of one listener whose sockets are open, and the waits of its stop.

import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 5;
/** Connections that a stop ends in one turn of the event loop. */
export const ENDED_PER_TURN = 128;

export class Connections<S> {
  readonly #open = new Set<S>();
  #onEmpty: (() => void) | null = null;

  get size(): number {
    return this.#open.size;
  }

  [Symbol.iterator](): IterableIterator<S> {
    return this.#open.values();
  }

  add(session: S): void {
    this.#open.add(session);
  }

  delete(session: S): void {
    this.#open.delete(session);
    if (this.#open.size === 0) this.#onEmpty?.();
  }

  /** Resolves when none is open, or after `deadlineMs`. */
  async untilEmpty(deadlineMs: number): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#onEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onEmpty = null;
  }
}

/** Resolves when none of `sessions` is busy, or after `deadlineMs`. They are looked at often: nobody tells when they are done. */
export async function untilNone<S>(sessions: readonly S[], isBusy: (session: S) => boolean, deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (performance.now() < deadline && sessions.some(isBusy)) await delay(POLL_MS);
}
