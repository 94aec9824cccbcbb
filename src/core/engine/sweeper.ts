// Sweeper: once a second, has everything removed that is past its time. It only submits requests; operations do the work.

import type { Clock, Log } from '../adapter.js';
import type { Expiry, ExpirySweep } from '../data/expiry.js';
import type { HistorySweep } from '../history/sweep.js';
import { REMOVAL_SLICE } from '../scans/removals.js';

const SWEEP_MS = 1_000;

export interface SweepHost {
  readonly clock: Clock;
  readonly log: Log;
  readonly expiry: ExpirySweep;
  /** Resolves to how many records were removed, once that is committed. */
  removeExpired(due: readonly Expiry[]): Promise<number>;
  /** Submits what ends durable sessions and fires wills whose time has come. */
  endOverdue(now: number): void;
  /** null: no history is kept. */
  readonly history: HistorySweep | null;
}

export class Sweeper {
  #timer: NodeJS.Timeout | null = null;
  #sweeping: Promise<void> | null = null;

  constructor(private readonly host: SweepHost) {}

  start(): void {
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  /** Resolves when no sweep is at work any more. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#sweeping;
  }

  #sweep(): void {
    this.host.endOverdue(this.host.clock.now());
    this.#sweeping ??= this.#removeExpired().finally(() => {
      this.#sweeping = null;
    });
  }

  /** What a failing store leaves is removed by a later sweep. */
  async #removeExpired(): Promise<void> {
    const { clock, expiry, log, history } = this.host;
    try {
      await history?.age(clock.now(), () => this.#timer !== null);
      while (this.#timer !== null) {
        const due = await expiry.due(clock.now(), REMOVAL_SLICE);
        if (due.length === 0) return;
        await this.host.removeExpired(due);
      }
    } catch (error) {
      expiry.reset();
      history?.reset();
      log.warn({ err: error }, 'expired records could not be removed yet');
    }
  }
}
