// Router: which subscriptions a path concerns. Cost follows the depth of the path, not the number of subscriptions.

import type { Subscription } from './subscription.js';

/** Immutable result, shared between publications of one path while subscriptions do not change. */
export interface Match {
  /** Every matching subscription, in the order in which they were made. */
  readonly all: readonly Subscription[];
  /** Of these, the ones that outlive their connection and take QoS 1 or 2. */
  readonly durable: readonly Subscription[];
}

export declare class Router {
  subscribe(subscription: Subscription): void;
  /** False if it was not there. */
  unsubscribe(subscription: Subscription): boolean;
  match(path: string): Match;
  readonly size: number;
}
