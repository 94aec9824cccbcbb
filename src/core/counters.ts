// Counters: named running totals that cost an addition on the hot path. Rendered for scraping by the admin listener.

export class Counter {
  value = 0;

  constructor(
    /** Prometheus name without the `trivium_` prefix, with its labels: `messages_in_total{protocol="mqtt"}`. */
    readonly name: string,
    readonly help: string,
  ) {}

  add(n = 1): void {
    this.value += n;
  }
}

export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly read: () => number;
}

export class Counters {
  readonly counters = new Map<string, Counter>();
  readonly gauges = new Map<string, Gauge>();

  /** The counter of that name, made on first use. */
  counter(name: string, help: string): Counter {
    let counter = this.counters.get(name);
    if (counter === undefined) {
      counter = new Counter(name, help);
      this.counters.set(name, counter);
    }
    return counter;
  }

  /** A figure read when somebody asks; a later one of the same name replaces it. */
  gauge(name: string, help: string, read: () => number): void {
    this.gauges.set(name, { name, help, read });
  }
}
