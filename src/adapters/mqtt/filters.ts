// Filters: what one session subscribes to. A filter becomes a subscription in the core, and ends there.

import { type Reply, RequestError, SubscribeRequest, Subscription, type SubscriptionOptions } from '../../core/index.js';
import type { BaseSession } from './base-session.js';
import { type Topics, isFilterServed } from './paths.js';

/** Why a filter is not subscribed to. */
export type FilterFault = 'invalid' | 'limit';

export class Filters {
  /** By text; null until somebody asks, because a resumed session has filters from before. */
  #known: Map<string, Subscription> | null = null;

  constructor(
    private readonly session: BaseSession,
    private readonly topics: Topics,
    private readonly max: number,
  ) {}

  /** `onReply` gets the core's answer, with what is retained under the filter. null: it is on its way. */
  subscribe(filter: string, options: SubscriptionOptions, onReply: (reply: Reply, subscription: Subscription) => void): FilterFault | null {
    const { session } = this;
    const filters = this.#all();
    const known = filters.get(filter) ?? null;
    if (!isFilterServed(filter)) return 'invalid';
    if (known === null && filters.size >= this.max) return 'limit';
    const subscription = this.#make(filter, options);
    if (subscription === null) return 'invalid';
    filters.set(filter, subscription);
    const awaiting = (reply: Reply): void => {
      if (reply.error !== null && filters.get(filter) === subscription) filters.delete(filter);
      onReply(reply, subscription);
    };
    session.submit(new SubscribeRequest('subscribe', session, null, subscription, subscription.pattern, awaiting));
    // The core itself replaces a durable one. The new one is there first: the flow is not interrupted ([MQTT-3.8.4-3]).
    if (known !== null && session.durable === null) {
      session.submit(new SubscribeRequest('unsubscribe', session, null, known, null, null));
    }
    return null;
  }

  /** False: there is no such subscription, and no reply. */
  unsubscribe(filter: string, onReply: (reply: Reply) => void): boolean {
    const subscription = this.#all().get(filter);
    if (subscription === undefined) return false;
    this.#all().delete(filter);
    this.session.submit(new SubscribeRequest('unsubscribe', this.session, null, subscription, null, onReply));
    return true;
  }

  /** [MQTT-4.7.2-1] below a mount point, which the core does not know. */
  isHidden(subscription: Subscription, path: string): boolean {
    const { mountPoint } = this.topics;
    return mountPoint !== '' && this.topics.isHidden(subscription.pattern.text.slice(mountPoint.length), path);
  }

  #all(): Map<string, Subscription> {
    if (this.#known === null) {
      this.#known = new Map();
      for (const subscription of this.session.durable?.subscriptions.values() ?? []) {
        this.#known.set(subscription.pattern.text.slice(this.topics.mountPoint.length), subscription);
      }
    }
    return this.#known;
  }

  /** null: the core cannot serve the filter. */
  #make(filter: string, options: SubscriptionOptions): Subscription | null {
    try {
      return new Subscription(this.session, this.session.durable, this.topics.patternOf(filter), options, filter);
    } catch (error) {
      if (error instanceof RequestError) return null;
      throw error;
    }
  }
}
