// Patience: whether the next batch waits a moment for company. Whoever was answered by the last one mostly asks again at once; without
// waiting for them they would have to wait for this batch, and so on: two halves that take turns, each with a flush of its own.

import type { Clock } from './adapter.js';

/** Of the time that the last batch took, the part that the next one waits at most. */
const SHARE = 1 / 2;
const WAIT_MAX_MS = 2;
/** It is looked at most so often whether they have come. */
const LOOKS_MAX = 256;
/** Batches that do not wait after one for which nobody came; doubled each time, up to the second number. */
const SKIP_FIRST = 4;
const SKIP_MAX = 256;

export class Patience {
  readonly #clock: Clock;
  /** Requests that a batch is full with. */
  readonly #full: number;
  #begunAt = 0;
  /** Of the batch that is being written. */
  #requests = 0;
  #until = 0;
  #looks = 0;
  /** Requests with which everybody is there; 0: the batch does not wait. */
  #wanted = 0;
  /** With fewer requests the waiting was for nothing. */
  #worth = 0;
  #skip = 0;
  #skipNext = SKIP_FIRST;

  constructor(clock: Clock, full: number) {
    this.#clock = clock;
    this.#full = full;
  }

  /** A batch of so many requests is to be written. */
  begin(requests: number): void {
    this.#begunAt = this.#clock.monotonic();
    this.#requests = requests;
    if (this.#wanted === 0) return;
    if (requests >= this.#worth) {
      this.#skipNext = SKIP_FIRST;
    } else {
      this.#skip = this.#skipNext;
      this.#skipNext = Math.min(this.#skipNext * 2, SKIP_MAX);
    }
  }

  /** It was written and is being answered; meanwhile `waiting` more have come. */
  end(waiting: number): void {
    this.#wanted = 0;
    // One after the other: nobody else is there to be kept waiting.
    if (waiting === 0) return;
    if (this.#skip > 0) {
      this.#skip -= 1;
      return;
    }
    const now = this.#clock.monotonic();
    this.#until = now + Math.min((now - this.#begunAt) * SHARE, WAIT_MAX_MS);
    this.#looks = LOOKS_MAX;
    this.#wanted = Math.min(this.#requests + waiting, this.#full);
    this.#worth = Math.min(waiting + this.#requests / 2, this.#full);
  }

  /** Whether a batch of so many requests should wait on. */
  waits(requests: number): boolean {
    if (requests >= this.#wanted || this.#looks === 0) return false;
    this.#looks -= 1;
    return this.#clock.monotonic() < this.#until;
  }
}
