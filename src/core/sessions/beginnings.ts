// Beginnings: the subscriptions of one session whose initial values are being read, and what the session is to hear behind these.

import type { Publication } from '../message.js';
import type { Subscription } from '../routing/subscription.js';
import { isAmong } from '../routing/subscription-list.js';
import { type OutboundLimits, OutboundQueue } from './outbound-queue.js';

/** One of them. */
export interface Beginning {
  readonly subscription: Subscription;
  readonly held: OutboundQueue;
}

export class Beginnings {
  readonly #limits: OutboundLimits;
  /** In the order of their beginning. */
  readonly #list: Beginning[] = [];
  /** Held behind all of them together. */
  #messages = 0;
  #bytes = 0;
  /** What was asked about last, and the answer: several subscriptions of the session may hear of one publication. */
  #asked: Publication | null = null;
  #last: Beginning | null = null;

  /** `limits`: those of the session's outbound queue. */
  constructor(limits: OutboundLimits) {
    this.#limits = limits;
  }

  get isEmpty(): boolean {
    return this.#list.length === 0;
  }

  add(subscription: Subscription): Beginning {
    const beginning = { subscription, held: new OutboundQueue(this.#limits) };
    this.#list.push(beginning);
    this.#asked = null;
    return beginning;
  }

  /** null: its initial values are not being read. */
  of(subscription: Subscription): Beginning | null {
    return this.#list.find((one) => one.subscription === subscription) ?? null;
  }

  /** Its initial values are read, or will not be. What is held behind them is left to the caller. */
  end(beginning: Beginning): void {
    const at = this.#list.indexOf(beginning);
    if (at === -1) return;
    this.#list.splice(at, 1);
    this.#messages -= beginning.held.length;
    this.#bytes -= beginning.held.bytes;
    this.#asked = null;
  }

  /**
   * The last one whose initial values tell of the path as it was before: whichever subscription of the session hears of the change,
   * they come first. One that was ended meanwhile still has what came before. null: there is none.
   */
  before(publication: Publication): Beginning | null {
    if (publication === this.#asked) return this.#last;
    const { path, match } = publication;
    const all = match?.all ?? [];
    const isBefore = ({ subscription }: Beginning): boolean =>
      subscription.closed ? subscription.pattern.matches(path) : isAmong(all, subscription);
    this.#asked = publication;
    this.#last = this.#list.findLast(isBefore) ?? null;
    return this.#last;
  }

  /** False: that is more than may wait for one session. */
  hold({ held }: Beginning, publication: Publication, subscription: Subscription): boolean {
    const { bytes } = held;
    held.push(publication, subscription);
    this.#messages += 1;
    this.#bytes += held.bytes - bytes;
    return this.#messages <= this.#limits.closeItems && this.#bytes <= this.#limits.closeBytes;
  }
}
