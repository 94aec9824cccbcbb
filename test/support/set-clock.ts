// A clock that stands still until the test moves it.

import type { Clock } from '../../src/core/index.js';

export class SetClock implements Clock {
  wall = 1_800_000_000_000;
  mono = 1;

  now(): number {
    return this.wall;
  }

  monotonic(): number {
    return this.mono;
  }

  /** Both times go on. */
  pass(ms: number): void {
    this.wall += ms;
    this.mono += ms;
  }
}
