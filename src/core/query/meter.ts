// Meter: how much work a search may do on one record. Steps are counted, not time, so that the same record and the same
// criteria have the same outcome everywhere.

import { RequestError } from '../errors.js';

/** About ten nanoseconds each, a hundred at most. */
export class Meter {
  /** What was spent on all records. */
  steps = 0;
  #left = 0;
  #path = '';

  constructor(readonly stepsMax: number) {}

  begin(path: string): void {
    this.#path = path;
    this.#left = this.stepsMax;
  }

  /** Throws RequestError LIMIT_EXCEEDED. */
  spend(steps: number): void {
    this.steps += steps;
    this.#left -= steps;
    if (this.#left < 0) {
      throw new RequestError(
        'LIMIT_EXCEEDED',
        `comparing the record at ${this.#path} with the criteria takes more than ${this.stepsMax} steps: its lists or texts are too long for them`,
      );
    }
  }
}
