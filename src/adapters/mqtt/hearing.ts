// Hearing: what one session does with the publications for its filters: one delivery for overlapping ones, values below $SYS,
// and the retained messages of a new one.

import {
  EntryList,
  type Outbound,
  type OutboundQueue,
  type Publication,
  type Reply,
  type Subscription,
  type SubscriptionOptions,
} from '../../core/index.js';
import type { Deliveries } from './deliveries.js';
import { NO_TERMS, type Terms } from './encoder.js';
import type { Filters } from './filters.js';
import type { SystemTopics } from './sys.js';

export class Hearing {
  constructor(
    private readonly outbound: OutboundQueue,
    private readonly filters: Filters,
    private readonly deliveries: Deliveries,
    private readonly system: SystemTopics,
  ) {}

  /** The oldest message of the queue. Overlapping filters make one delivery, at the highest of their levels. */
  publication(publication: Publication): void {
    const { outbound } = this;
    let qos = -1;
    let terms = NO_TERMS;
    for (let next: Outbound | undefined = publication; next === publication; next = outbound.peek()) {
      const subscription = outbound.peekSubscription() as Subscription;
      outbound.shift();
      if (this.filters.isHidden(subscription, publication.path)) continue;
      const { options } = subscription;
      if (options.qos > qos) qos = options.qos;
      if (options.identifier > 0 || options.asPublished) terms = withTerms(terms, options);
    }
    if (qos >= 0) this.deliveries.deliver(publication, qos, terms);
  }

  /** A value below $SYS. */
  systemValue(publication: Publication): void {
    const matching = [...this.filters.system].filter(({ pattern }) => pattern.matches(publication.path));
    if (matching.length === 0) return;
    if (this.deliveries.isFull) return this.system.onSkipped();
    let terms = NO_TERMS;
    for (const { options } of matching) terms = withTerms(terms, options);
    this.deliveries.deliver(publication, 0, terms);
  }

  /** A filter was granted that asked for what is retained. */
  retained(reply: Reply, subscription: Subscription): void {
    const isSystem = this.filters.system.has(subscription);
    const source = isSystem ? new EntryList(this.system.entriesFor(subscription.pattern)) : reply.source();
    if (source === null || (source.count === 0 && subscription.remainder === null)) return;
    if (!this.filters.isOpen(subscription)) return source.close();
    const retained = this.deliveries.addRetained(subscription);
    this.filters.keepRetained(subscription, retained);
    retained.begin(source);
  }
}

function withTerms({ identifiers, asPublished }: Terms, options: SubscriptionOptions): Terms {
  const { identifier } = options;
  return {
    identifiers: identifier === 0 ? identifiers : [...identifiers, identifier],
    asPublished: asPublished || options.asPublished,
  };
}
