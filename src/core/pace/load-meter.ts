// LoadMeter: measures load: rate of executed requests and delay of the event loop.

import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock, GatewayLoad } from '../adapter.js';
import type { Counter } from '../counters.js';

const SAMPLE_MS = 1_000;
/** How often the loop is woken to see whether it comes late: what is idle should sleep. */
const RESOLUTION_MS = 100;

export class LoadMeter {
  #timer: NodeJS.Timeout | null = null;
  #histogram: IntervalHistogram | null = null;
  #lastCount = 0;
  #lastAt = 0;
  #rate = 0;
  #delayMs = 0;

  constructor(
    private readonly clock: Clock,
    private readonly executed: Counter,
  ) {}

  start(): void {
    this.#histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    this.#histogram.enable();
    this.#lastAt = this.clock.monotonic();
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#histogram?.disable();
    this.#timer = null;
  }

  read(sessions: number, queued: number): GatewayLoad {
    return { sessions, queued, messagesPerSecond: this.#rate, eventLoopDelayMs: this.#delayMs };
  }

  /** Rate and highest delay over the last second; the histogram counts its own resolution in. */
  #sample(): void {
    const now = this.clock.monotonic();
    const elapsed = now - this.#lastAt;
    if (elapsed > 0) this.#rate = Math.round(((this.executed.value - this.#lastCount) * 1_000) / elapsed);
    this.#lastCount = this.executed.value;
    this.#lastAt = now;
    if (this.#histogram === null) return;
    this.#delayMs = Math.max(0, Math.round(this.#histogram.max / 1e6 - RESOLUTION_MS));
    this.#histogram.reset();
  }
}
