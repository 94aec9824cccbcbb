// HashQueue: checking a password takes a core for a tenth of a second, so few are checked at once, few wait, and whoever comes
// beyond that is told to come later. What goes on elsewhere keeps its speed.

import { type Counters, RequestError, Ring } from '../core/index.js';

export interface HashLimits {
  /** Hashes that are worked on at once. */
  readonly working: number;
  /** Further ones that wait. */
  readonly waiting: number;
}

export const HASH_LIMITS: HashLimits = Object.freeze({ working: 2, waiting: 64 });

export class HashQueue {
  readonly #limits: HashLimits;
  readonly #waiting: Ring<() => void>;
  readonly #refused: { add(): void };
  #working = 0;

  constructor(counters: Counters, limits: HashLimits = HASH_LIMITS) {
    this.#limits = limits;
    this.#waiting = new Ring();
    this.#refused = counters.counter('logins_refused_busy_total', 'Logins that were refused because too many passwords wait to be checked');
    counters.gauge('passwords_waiting', 'Passwords that wait to be checked', () => this.#waiting.length);
  }

  /** In the order in which they come. Rejects with RequestError OVERLOADED at the limit, else as `work` does. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#enter();
    try {
      return await work();
    } finally {
      this.#leave();
    }
  }

  async #enter(): Promise<void> {
    if (this.#working < this.#limits.working) {
      this.#working += 1;
      return;
    }
    if (this.#waiting.length >= this.#limits.waiting) {
      this.#refused.add();
      throw new RequestError('OVERLOADED', 'too many logins at once: try again later');
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** The place goes to the next that waits, so that nobody who comes now gets before it. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#working -= 1;
    else next();
  }
}
