// Connections: the sessions of one listener with open sockets, and the waiting when it stops.

import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 5;
/** How long a stop waits for a peer to close its side: a way there and back, also over a slow network. */
export const CLOSE_GRACE_MS = 250;
const GRACE_POLL_MS = 10;
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

  /**
   * The end of a stop, after goodbye was said to all. A peer that is owed something may take it until `deadlineMs`; one that is owed
   * nothing any more (all is with its system or on the way there, and comes to it whatever happens here) has CLOSE_GRACE_MS to close
   * its side. Then it is cut off. Resolves when none is open, at the deadline at the latest.
   */
  async untilClosed(deadlineMs: number, isOwed: (session: S) => boolean, cutOff: (session: S) => void): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    const graceUntil = new Map<S, number>();
    while (this.#open.size > 0) {
      const now = performance.now();
      for (const session of this.#open) {
        if (now >= deadline) cutOff(session);
        else if (!isOwed(session)) {
          const until = graceUntil.get(session) ?? now + CLOSE_GRACE_MS;
          graceUntil.set(session, until);
          if (now >= until) cutOff(session);
        }
      }
      if (now >= deadline) return;
      await this.#emptyWithin(GRACE_POLL_MS);
    }
  }

  async #emptyWithin(ms: number): Promise<void> {
    if (this.#open.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
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
