// Filters: what one session subscribes to. A filter becomes a subscription in the core, and ends there.

import {
  ConnectionError,
  type Reply,
  RequestError,
  SubscribeRequest,
  Subscription,
  type SubscriptionOptions,
  subscriptionKey,
} from '../../core/index.js';
import type { BaseSession } from './base-session.js';
import { isFilterServed, isSystemTopic, type SharedFilter, type Topics } from './paths.js';
import type { RetainedMessages } from './retained.js';

/** So many filters may stand in a packet, however few a session may have. */
const NAMED_MAX = 4_096;

/** Why a filter is not subscribed to. */
export type FilterFault = 'invalid' | 'limit';

export class Filters {
  /** By the key that the core has for them; null until somebody asks, because a resumed session has filters from before. */
  #known: Map<string, Subscription> | null = null;
  /** Those below $SYS, for which the core has nothing. */
  readonly system = new Set<Subscription>();
  /** Of whose retained messages some may still be to be sent. */
  readonly #retained = new Map<string, RetainedMessages>();

  constructor(
    private readonly session: BaseSession,
    private readonly topics: Topics,
    private readonly max: number,
  ) {}

  /**
   * `onReply` gets the core's answer, with what is retained under the filter when `retained` asks for it and the filter is
   * neither shared nor below $SYS. null: it is on its way.
   */
  subscribe(
    filter: SharedFilter,
    options: SubscriptionOptions,
    retained: boolean,
    onReply: (reply: Reply, subscription: Subscription) => void,
  ): FilterFault | null {
    const { session } = this;
    const isSystem = isSystemTopic(filter.text);
    if (!isFilterServed(filter.text) || (isSystem && filter.group !== null)) return 'invalid';
    const filters = this.#all();
    const key = this.#keyOf(filter);
    const known = filters.get(key) ?? null;
    if (known === null && filters.size >= this.max) return 'limit';
    const subscription = this.#make(filter, isSystem ? { ...options, qos: 0 } : options);
    if (subscription === null) return 'invalid';
    filters.set(key, subscription);
    if (known !== null) this.system.delete(known);
    if (isSystem) this.system.add(subscription);
    const awaiting = (reply: Reply): void => {
      if (reply.error !== null) this.#drop(key, subscription);
      else if (isSystem) session.readSystem();
      onReply(reply, subscription);
    };
    const initial = retained && filter.group === null && !isSystem ? subscription.pattern : null;
    session.submit(new SubscribeRequest('subscribe', session, null, subscription, initial, awaiting, 'path', true));
    // The core itself replaces a durable one. The new one is there first: the flow is not interrupted ([MQTT-3.8.4-3]).
    if (known !== null && session.durable === null) {
      session.submit(new SubscribeRequest('unsubscribe', session, null, known, null, null));
    }
    return null;
  }

  /** Filters that one packet may name: each is work, also if it is refused. */
  get maxNamed(): number {
    return Math.max(this.max, NAMED_MAX);
  }

  has(filter: SharedFilter): boolean {
    return this.#all().has(this.#keyOf(filter));
  }

  /** False: there is no such subscription, and no reply. */
  unsubscribe(filter: SharedFilter, onReply: (reply: Reply) => void): boolean {
    const key = this.#keyOf(filter);
    const subscription = this.#all().get(key);
    if (subscription === undefined) return false;
    this.#drop(key, subscription);
    this.#cancelRetained(key);
    this.session.submit(new SubscribeRequest('unsubscribe', this.session, null, subscription, null, onReply));
    return true;
  }

  /** The right for it is gone: it has ended. */
  lost(subscription: Subscription): void {
    const key = subscriptionKey(subscription);
    if (this.#all().get(key) === subscription) this.#cancelRetained(key);
    this.#drop(key, subscription);
  }

  /** Whether the session subscribes to its filter: it may have ended before it was answered. */
  isOpen(subscription: Subscription): boolean {
    return this.#all().has(subscriptionKey(subscription));
  }

  /** A durable session was resumed. */
  resume(): void {
    for (const subscription of this.session.durable?.subscriptions.values() ?? []) {
      if (isSystemTopic(subscription.pattern.text.slice(this.topics.mountPoint.length))) this.system.add(subscription);
    }
  }

  /** Retained messages of a filter go out from now on, in place of those that an earlier SUBSCRIBE to it asked for. */
  keepRetained(subscription: Subscription, retained: RetainedMessages): void {
    const key = subscriptionKey(subscription);
    this.#retained.get(key)?.cancel();
    this.#retained.set(key, retained);
  }

  /** What an earlier connection of a durable session did not get of them. */
  resumeRetained(subscription: Subscription, rest: RetainedMessages): void {
    this.keepRetained(subscription, rest);
    const { session } = this;
    const onReply = (reply: Reply): void => {
      const source = reply.source();
      if (source !== null) return rest.begin(source);
      rest.cancel();
      // The next connection tries it again.
      if (reply.error?.code === 'STORE_FAILED') session.close(new ConnectionError('STORE_FAILED', reply.error.message));
    };
    session.submit(new SubscribeRequest('subscribe', session, null, subscription, subscription.pattern, onReply, 'path', true));
  }

  #cancelRetained(key: string): void {
    this.#retained.get(key)?.cancel();
    this.#retained.delete(key);
  }

  #drop(key: string, subscription: Subscription): void {
    this.system.delete(subscription);
    if (this.#all().get(key) === subscription) this.#all().delete(key);
  }

  /**
   * [MQTT-4.7.2-1] below a mount point, which the core does not know. And what other protocols put below $SYS is not what
   * the broker says of itself.
   */
  isHidden(subscription: Subscription, path: string): boolean {
    const { mountPoint } = this.topics;
    if (this.topics.isSystemPath(path)) return true;
    return mountPoint !== '' && this.topics.isHidden(subscription.pattern.text.slice(mountPoint.length), path);
  }

  #keyOf({ text, group }: SharedFilter): string {
    return subscriptionKey({ pattern: { text: this.topics.mountPoint + text }, options: { group } });
  }

  #all(): Map<string, Subscription> {
    this.#known ??= new Map(this.session.durable?.subscriptions);
    return this.#known;
  }

  /** null: the core cannot serve the filter. */
  #make({ text }: SharedFilter, options: SubscriptionOptions): Subscription | null {
    try {
      return new Subscription(this.session, this.session.durable, this.topics.patternOf(text), options, null);
    } catch (error) {
      if (error instanceof RequestError) return null;
      throw error;
    }
  }
}
