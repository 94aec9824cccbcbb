// Subscribing: SUBSCRIBE and UNSUBSCRIBE. Each filter is a request of its own to the core; one packet answers all, with a reason code each.

import { type Reply, RequestError, SUBSCRIBED, type Subscription } from '../../../core/index.js';
import type { BaseSession } from '../base-session.js';
import type { Deliveries } from '../deliveries.js';
import type { Filters } from '../filters.js';
import type { Hearing } from '../hearing.js';
import { isSystemTopic, type Topics } from '../paths.js';
import type { SessionHost } from '../session-host.js';
import { encodeSuback, encodeUnsuback } from './answers.js';
import { PastMessages, pastRequest } from './as-of.js';
import { RETAIN_HANDLING, readSubscribe, readUnsubscribe, type SubscribeFilter } from './codec.js';
import { FAILURE, REASON, type SubackReason, subscribeReason, type UnsubackReason } from './reason-codes.js';

export interface SubscribingParts {
  readonly session: BaseSession;
  readonly topics: Topics;
  readonly system: SessionHost['system'];
  readonly filters: Filters;
  readonly deliveries: Deliveries;
  readonly hearing: Hearing;
}

export class Subscribing {
  readonly #session: BaseSession;
  readonly #topics: Topics;
  readonly #system: SessionHost['system'];
  readonly #filters: Filters;
  readonly #deliveries: Deliveries;
  readonly #hearing: Hearing;

  constructor(parts: SubscribingParts) {
    this.#session = parts.session;
    this.#topics = parts.topics;
    this.#system = parts.system;
    this.#filters = parts.filters;
    this.#deliveries = parts.deliveries;
    this.#hearing = parts.hearing;
  }

  /** SUBSCRIBE. Throws ProtocolFault. */
  onSubscribe(bytes: Buffer, body: number, end: number): void {
    const { packetId, identifier, asOf, filters } = readSubscribe(bytes, body, end, this.#filters.maxNamed);
    const past = new PastMessages(this.#topics);
    const reasons: SubackReason[] = filters.map(({ qos }) => qos);
    const repeated = repetitionsIn(filters);
    let open = 1;
    const close = (): void => {
      open -= 1;
      // All that follows waits for the SUBACK.
      this.#deliveries.blocked = open > 0;
      if (open > 0) return;
      for (const [index, last] of repeated) if ((reasons[last] as SubackReason) >= FAILURE) reasons[index] = reasons[last] as SubackReason;
      this.#session.write(encodeSuback(packetId, reasons));
      const terms = { identifiers: identifier > 0 ? [identifier] : [], asPublished: true };
      for (const entry of past) this.#deliveries.sendRetained(entry, 0, terms);
    };
    const fail = (index: number, reason: SubackReason): void => {
      reasons[index] = reason;
      close();
    };
    const begin = (filter: SubscribeFilter, index: number): void => {
      const failure = this.#subscribe(filter, identifier, (reply, subscription, wantsRetained) => {
        if (reply.error !== null) reasons[index] = subscribeReason(reply.error);
        close();
        if (reply.error === null && wantsRetained) this.#hearing.retained(reply, subscription);
      });
      if (failure !== null) fail(index, failure);
    };
    open += filters.length - repeated.size;
    for (const [index, filter] of filters.entries()) {
      if (repeated.has(index)) continue;
      if (asOf === null) {
        begin(filter, index);
        continue;
      }
      this.#readPast(filter, asOf, past, (error) => {
        if (error !== null) return fail(index, subscribeReason(error));
        begin({ ...filter, retainHandling: RETAIN_HANDLING.NEVER }, index);
      });
    }
    close();
  }

  /** `done` gets the reason why not; null: `past` has it. */
  #readPast(filter: SubscribeFilter, time: number, past: PastMessages, done: (error: RequestError | null) => void): void {
    const attempt = (work: () => void): RequestError | null => {
      try {
        work();
        return null;
      } catch (error) {
        if (error instanceof RequestError) return error;
        throw error;
      }
    };
    const onReply = (reply: Reply): void => done(reply.error ?? attempt(() => past.take(reply, filter.text)));
    const refused = attempt(() => void this.#session.submit(pastRequest(this.#session, filter, this.#topics, time, onReply)));
    if (refused !== null) done(refused);
  }

  /** The reason why not, or the granted level of what is none of the core's; null: the core will answer. */
  #subscribe(
    filter: SubscribeFilter,
    identifier: number,
    onReply: (reply: Reply, subscription: Subscription, wantsRetained: boolean) => void,
  ): SubackReason | null {
    const { text, group, qos, noLocal, retainAsPublished, retainHandling } = filter;
    if (isSystemTopic(text) && !this.#system.isReadableBy(this.#session.identity)) return REASON.NOT_AUTHORIZED;
    const options = { ...SUBSCRIBED, qos, noLocal, identifier, asPublished: retainAsPublished, group };
    const isNew = !this.#filters.has(filter);
    const wantsRetained = retainHandling === RETAIN_HANDLING.ALWAYS || (retainHandling === RETAIN_HANDLING.WHEN_NEW && isNew);
    const fault = this.#filters.subscribe(filter, options, wantsRetained, (reply, subscription) =>
      onReply(reply, subscription, wantsRetained),
    );
    if (fault === null) return null;
    return fault === 'limit' ? REASON.QUOTA_EXCEEDED : REASON.TOPIC_FILTER_INVALID;
  }

  /** UNSUBSCRIBE. Throws ProtocolFault. */
  onUnsubscribe(bytes: Buffer, body: number, end: number): void {
    const { packetId, filters } = readUnsubscribe(bytes, body, end, this.#filters.maxNamed);
    const reasons: UnsubackReason[] = filters.map(() => REASON.SUCCESS);
    let open = 1;
    const close = (): void => {
      open -= 1;
      if (open === 0) this.#session.write(encodeUnsuback(packetId, reasons));
    };
    for (const [index, filter] of filters.entries()) {
      const isThere = this.#filters.unsubscribe(filter, ({ error }) => {
        if (error !== null) reasons[index] = REASON.UNSPECIFIED_ERROR;
        close();
      });
      if (isThere) open += 1;
      else reasons[index] = REASON.NO_SUBSCRIPTION_EXISTED;
    }
    close();
  }
}

/** By index, where the filter stands once more: it is subscribed to once, as its last occurrence says, however often a packet has it. */
function repetitionsIn(filters: readonly SubscribeFilter[]): ReadonlyMap<number, number> {
  const repeated = new Map<number, number>();
  if (filters.length === 1) return repeated;
  const lasts = new Map<string, number>();
  for (let index = filters.length - 1; index >= 0; index--) {
    const { text, group } = filters[index] as SubscribeFilter;
    const whole = group === null ? text : `$share/${group}/${text}`;
    const last = lasts.get(whole);
    if (last === undefined) lasts.set(whole, index);
    else repeated.set(index, last);
  }
  return repeated;
}
