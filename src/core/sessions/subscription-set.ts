// SubscriptionSet: the live subscriptions of a session, and how much text their patterns are: some are as long as paths may be.

import { RequestError } from '../errors.js';
import type { Subscription } from '../routing/subscription.js';

/** Characters of all patterns of one session. */
export const PATTERNS_MAX = 16 * 1024 * 1024;

export class SubscriptionSet extends Set<Subscription> {
  #characters = 0;

  /** Throws RequestError LIMIT_EXCEEDED when there is no room for it. */
  checkRoom({ pattern }: Subscription): void {
    if (this.#characters + pattern.text.length <= PATTERNS_MAX) return;
    throw new RequestError('LIMIT_EXCEEDED', `the patterns of a connection have at most ${PATTERNS_MAX} characters together`);
  }

  override add(subscription: Subscription): this {
    if (!this.has(subscription)) this.#characters += subscription.pattern.text.length;
    return super.add(subscription);
  }

  override delete(subscription: Subscription): boolean {
    const isThere = super.delete(subscription);
    if (isThere) this.#characters -= subscription.pattern.text.length;
    return isThere;
  }

  override clear(): void {
    super.clear();
    this.#characters = 0;
  }
}
