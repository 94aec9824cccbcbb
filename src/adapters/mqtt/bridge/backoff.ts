// Backoff: how long to wait before the next attempt: twice as long after each failure, up to a limit, and never all at once.

export interface BackoffLimits {
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

export class Backoff {
  #failures = 0;

  constructor(
    private readonly limits: BackoffLimits,
    /** From 0 up to 1. */
    private readonly random: () => number = Math.random,
  ) {}

  /** Between half and all of retryMinMs · 2ⁿ, n failures after the last success; at most retryMaxMs. */
  next(): number {
    const { retryMinMs, retryMaxMs } = this.limits;
    const most = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(this.#failures, 32));
    this.#failures += 1;
    return Math.round((most / 2) * (1 + this.random()));
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
