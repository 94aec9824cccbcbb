// SubscriptionList: the subscriptions that sit at one place of an index, oldest first, and what matches when only they do.
// Small for one subscription, constant time for thousands.

import type { SharedGroup } from './shared-group.js';
import type { Subscription } from './subscription.js';

/** Immutable result, shared between publications while subscriptions do not change. */
export interface Match {
  /** Somebody may hear of it. */
  readonly any: boolean;
  /** Every matching subscription that shares with nobody, in the order in which they were made. */
  readonly all: readonly Subscription[];
  /** Of these, the ones that outlive their connection. */
  readonly durable: readonly Subscription[];
  /** Of each of these one member gets it. */
  readonly groups: readonly SharedGroup[];
  /** A message of QoS 1 or 2 may have to be kept for somebody. */
  readonly keeps: boolean;
}

const NOBODY: readonly never[] = [];

export const NO_MATCH: Match = { any: false, all: NOBODY, durable: NOBODY, groups: NOBODY, keeps: false };

export function matchOf(matching: readonly Subscription[]): Match {
  if (matching.length === 0) return NO_MATCH;
  const durable = matching.filter((subscription) => subscription.durable !== null);
  const keeps = durable.some(({ options }) => options.qos > 0);
  if (matching.every(({ shared }) => shared === null)) {
    return { any: true, all: matching, durable: durable.length === 0 ? NOBODY : durable, groups: NOBODY, keeps };
  }
  const groups = new Set<SharedGroup>();
  for (const { shared } of matching) if (shared !== null) groups.add(shared);
  const alone = (list: readonly Subscription[]): readonly Subscription[] => list.filter(({ shared }) => shared === null);
  return { any: true, all: alone(matching), durable: alone(durable), groups: [...groups], keeps };
}

/** Whether it is one of these, which are in the order in which they were made. */
export function isAmong(subscriptions: readonly Subscription[], subscription: Subscription): boolean {
  let [low, high] = [0, subscriptions.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { order } = subscriptions[middle] as Subscription;
    if (order === subscription.order) return true;
    if (order < subscription.order) low = middle + 1;
    else high = middle;
  }
  return false;
}

export class SubscriptionList {
  #only: Subscription | null = null;
  /** Holds everything once there were two at a time. */
  #many: Set<Subscription> | null = null;
  #all: readonly Subscription[] | null = null;
  #match: Match | null = null;

  /** Must be newer than all that are there. */
  add(subscription: Subscription): void {
    this.#all = null;
    this.#match = null;
    if (this.#many !== null) this.#many.add(subscription);
    else if (this.#only === null) this.#only = subscription;
    else {
      this.#many = new Set([this.#only, subscription]);
      this.#only = null;
    }
  }

  remove(subscription: Subscription): void {
    this.#all = null;
    this.#match = null;
    if (this.#many !== null) this.#many.delete(subscription);
    else if (this.#only === subscription) this.#only = null;
  }

  get empty(): boolean {
    return this.#only === null && (this.#many === null || this.#many.size === 0);
  }

  /** The match of a path that concerns these and no others; made once until something changes. */
  get match(): Match {
    this.#match ??= matchOf(this.all);
    return this.#match;
  }

  get all(): readonly Subscription[] {
    this.#all ??= this.#many !== null ? [...this.#many] : this.#only === null ? NOBODY : [this.#only];
    return this.#all;
  }
}
