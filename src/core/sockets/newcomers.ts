// Newcomers: connections from elsewhere of which nobody knows yet whose they are. Bounded in all and by network, so that those of one
// place cannot keep all others out.

import type { Clock, Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import { Episode } from '../pace/episode.js';
import { networkOf } from './addresses.js';

export interface NewcomersLimits {
  /** In all, and from one address of IPv4 or one network of IPv6. */
  readonly max: number;
  readonly ofNetwork: number;
  /** Key of the configuration, for who reads the log. */
  readonly key: string;
}

export class Newcomers<T> {
  readonly #limits: NewcomersLimits;
  readonly #networks = new Map<T, string>();
  /** How many each network has. */
  readonly #counts = new Map<string, number>();
  readonly #refused: Counter;
  readonly #episode = new Episode();
  readonly #clock: Clock;
  readonly #log: Log;

  /** `protocol`: whose they are, as counters have it. */
  constructor(limits: NewcomersLimits, protocol: string, { counters, clock, log }: { counters: Counters; clock: Clock; log: Log }) {
    this.#limits = limits;
    this.#clock = clock;
    this.#log = log;
    const help = 'Connections refused because too many were open of which nobody knew whose they are';
    this.#refused = counters.counter(`newcomers_refused_total{protocol="${protocol}"}`, help);
  }

  hasPlace(address: string): boolean {
    const { max, ofNetwork } = this.#limits;
    return this.#networks.size < max && (this.#counts.get(networkOf(address)) ?? 0) < ofNetwork;
  }

  add(one: T, address: string): void {
    const network = networkOf(address);
    this.#networks.set(one, network);
    this.#counts.set(network, (this.#counts.get(network) ?? 0) + 1);
  }

  /** It is known, or gone. */
  delete(one: T): void {
    const network = this.#networks.get(one);
    if (network === undefined) return;
    this.#networks.delete(one);
    const left = (this.#counts.get(network) as number) - 1;
    if (left === 0) this.#counts.delete(network);
    else this.#counts.set(network, left);
  }

  /** There was no place for a connection. */
  onRefused(peer: string): void {
    this.#refused.add();
    if (!this.#episode.begins(this.#clock.monotonic())) return;
    this.#log.warn({ peer, limit: this.#limits.key }, 'refusing connections: too many are open of which nobody knows whose they are');
  }
}
