// HashQueue: checking a password occupies a core for a tenth of a second, so few are checked at once and few wait; others,
// and those that would wait longer than clients do, are told to try later. Everything else keeps its speed.

import { type Clock, type Counters, RequestError, Ring } from '../core/index.js';

export interface HashLimits {
  /** Hashes that are worked on at once. */
  readonly working: number;
  /** Further ones that wait. */
  readonly waiting: number;
  /** Nobody waits longer. */
  readonly waitMs: number;
}

export const HASH_LIMITS: HashLimits = Object.freeze({ working: 2, waiting: 64, waitMs: 5_000 });

/** Of all that may wait, and of the time, that one address takes. */
const SHARE = 0.5;
/** How much the latest work counts in what the next one is expected to take. */
const LATEST = 0.2;

interface Waiting {
  readonly since: number;
  readonly from: string;
  readonly enter: () => void;
  readonly refuse: (error: RequestError) => void;
}

const CLOCK: Pick<Clock, 'monotonic'> = { monotonic: () => performance.now() };

export class HashQueue {
  readonly #limits: HashLimits;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #waiting = new Ring<Waiting>();
  /** How many wait of each address that has some. */
  readonly #waitingFrom = new Map<string, number>();
  readonly #refused: { add(): void };
  #working = 0;
  /** What one piece of work has taken lately. */
  #usualMs = 0;

  constructor(counters: Counters, limits: HashLimits = HASH_LIMITS, clock = CLOCK) {
    this.#limits = limits;
    this.#clock = clock;
    this.#refused = counters.counter('logins_refused_busy_total', 'Logins refused because too many passwords wait to be checked');
    counters.gauge('passwords_waiting', 'Passwords that wait to be checked', () => this.#waiting.length);
  }

  /**
   * In the order in which they come. `from`: the address that it is for, which takes no more than half of the places, so that others come
   * to their turn; empty: nobody is asked to share. Rejects with RequestError OVERLOADED at the limits, else as `work` does.
   */
  async run<T>(work: () => Promise<T>, from = ''): Promise<T> {
    await this.#enter(from);
    const begun = this.#clock.monotonic();
    try {
      return await work();
    } finally {
      const tookMs = this.#clock.monotonic() - begun;
      this.#usualMs = this.#usualMs === 0 ? tookMs : this.#usualMs * (1 - LATEST) + tookMs * LATEST;
      this.#leave();
    }
  }

  async #enter(from: string): Promise<void> {
    if (this.#working < this.#limits.working) {
      this.#working += 1;
      return;
    }
    const own = this.#waitingFrom.get(from) ?? 0;
    if (this.#isFull(this.#waiting.length, 1) || (from !== '' && this.#isFull(own, SHARE))) throw this.#refusal();
    this.#waitingFrom.set(from, own + 1);
    await new Promise<void>((enter, refuse) => this.#waiting.push({ since: this.#clock.monotonic(), from, enter, refuse }));
  }

  /** Whether one more than `count` would be more than that share of what may wait, or would wait longer than that share of the time. */
  #isFull(count: number, share: number): boolean {
    const { working, waiting, waitMs } = this.#limits;
    return count >= waiting * share || ((count + 1) * this.#usualMs) / working > waitMs * share;
  }

  /** The place goes to the next that waits, so that nobody who comes now gets before it. */
  #leave(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#forget(next.from);
      if (this.#clock.monotonic() - next.since <= this.#limits.waitMs) return next.enter();
      next.refuse(this.#refusal());
    }
    this.#working -= 1;
  }

  #forget(from: string): void {
    const left = (this.#waitingFrom.get(from) as number) - 1;
    if (left === 0) this.#waitingFrom.delete(from);
    else this.#waitingFrom.set(from, left);
  }

  #refusal(): RequestError {
    this.#refused.add();
    return new RequestError('OVERLOADED', 'too many logins at once: try again later');
  }
}
