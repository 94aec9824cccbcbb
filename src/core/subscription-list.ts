// SubscriptionList: the subscriptions that sit at one place of an index, oldest first, and what matches when only they do.
// Small for one subscription, constant time for thousands.

import type { Subscription } from './subscription.js';

/** Immutable result, shared between publications while subscriptions do not change. */
export interface Match {
  /** Somebody may hear of it. */
  readonly any: boolean;
  /** Every matching subscription, in the order in which they were made. */
  readonly all: readonly Subscription[];
  /** Of these, the ones that outlive their connection and take QoS 1 or 2. */
  readonly durable: readonly Subscription[];
}

export const NO_MATCH: Match = { any: false, all: [], durable: [] };

export function matchOf(all: readonly Subscription[]): Match {
  if (all.length === 0) return NO_MATCH;
  const durable = all.filter((subscription) => subscription.durable !== null && subscription.options.qos > 0);
  return { any: true, all, durable: durable.length === 0 ? NO_MATCH.durable : durable };
}

export class SubscriptionList {
  #only: Subscription | null = null;
  /** Holds everything once there were two at a time. */
  #many: Set<Subscription> | null = null;
  #match: Match | null = null;

  /** Must be newer than all that are there. */
  add(subscription: Subscription): void {
    this.#match = null;
    if (this.#many !== null) this.#many.add(subscription);
    else if (this.#only === null) this.#only = subscription;
    else {
      this.#many = new Set([this.#only, subscription]);
      this.#only = null;
    }
  }

  remove(subscription: Subscription): void {
    this.#match = null;
    if (this.#many !== null) this.#many.delete(subscription);
    else if (this.#only === subscription) this.#only = null;
  }

  get empty(): boolean {
    return this.#only === null && (this.#many === null || this.#many.size === 0);
  }

  /** The match of a path that concerns these and no others; made once until something changes. */
  get match(): Match {
    this.#match ??= matchOf(this.#many !== null ? [...this.#many] : this.#only !== null ? [this.#only] : []);
    return this.#match;
  }
}
