// Shifts: time slices of the event loop for long work, one per turn of
// the loop, so that everything else runs in between.

import { Ring } from './ring.js';

export class Shifts {
  readonly #waiting = new Ring<() => void>();
  #given = false;

  /** Calls `work`, which must not throw, when its turn has come: after all that was asked for before. */
  run(work: () => void): void {
    this.#waiting.push(work);
    this.#give();
  }

  /** Resolves when the shift has come. */
  next(): Promise<void> {
    return new Promise((resolve) => this.run(resolve));
  }

  #give(): void {
    if (this.#given) return;
    this.#given = true;
    setImmediate(this.#begin);
  }

  readonly #begin = (): void => {
    this.#given = false;
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) this.#give();
  };
}
