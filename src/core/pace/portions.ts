// Portions: bursts of work are done a few items per turn of the event loop, so that everything else runs
// in between. A single item is done at once.

import { Ring } from './ring.js';

export class Portions {
  readonly #waiting = new Ring<() => void>();
  /** How many were done in this turn of the loop. */
  #done = 0;
  #planned = false;

  constructor(
    /** At most so many in one turn. */
    private readonly perTurn: number,
  ) {}

  /** Pieces of work that wait for their turn. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Calls `work`, which must not throw, after all that was given before: now, or in a later turn of the loop. */
  run(work: () => void): void {
    this.#plan();
    if (this.#waiting.length > 0 || this.#done >= this.perTurn) {
      this.#waiting.push(work);
      return;
    }
    this.#done += 1;
    work();
  }

  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    setImmediate(this.#begin);
  }

  readonly #begin = (): void => {
    this.#planned = false;
    this.#done = 0;
    for (let work = this.#waiting.shift(); work !== undefined; work = this.#waiting.shift()) {
      this.#plan();
      this.#done += 1;
      work();
      if (this.#done >= this.perTurn) return;
    }
  };
}

/** Does it for each of `items`, `perTurn` in each turn of the loop. Resolves when it is done for the last one. */
export async function inPortions<T>(items: Iterable<T>, perTurn: number, work: (item: T) => void): Promise<void> {
  let done = 0;
  for (const item of items) {
    work(item);
    done += 1;
    if (done % perTurn === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
