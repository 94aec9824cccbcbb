// History sweep: has history trimmed: changes past their age, and the oldest of all while there are too many bytes.
// It only submits a request; an operation does the work.

import type { History } from './history.js';
import type { PastRef } from './rows.js';

/** Changes that one operation gives up. */
const TRIM_SLICE = 1_000;

/** Resolves once `refs` are given up, and that is committed. */
export type Trim = (refs: readonly PastRef[]) => Promise<void>;

export class HistorySweep {
  #isFreeing = false;

  constructor(
    private readonly history: History,
    private readonly trim: Trim,
  ) {}

  /** What is too old at `now`. Rejects with what `trim` rejects with; a later sweep goes on then. */
  async age(now: number, goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const refs = await this.history.overdue(now, TRIM_SLICE);
      if (refs.length === 0) return;
      await this.trim(refs);
    }
  }

  /** Makes room again when there are too many bytes. Rejects as `age` does. */
  async free(): Promise<void> {
    if (this.#isFreeing || !this.history.isFull) return;
    this.#isFreeing = true;
    try {
      for (let refs = await this.history.excess(TRIM_SLICE); refs.length > 0; refs = await this.history.excess(TRIM_SLICE)) {
        await this.trim(refs);
      }
    } finally {
      this.#isFreeing = false;
    }
  }

  reset(): void {
    this.history.resetExpiry();
  }
}
