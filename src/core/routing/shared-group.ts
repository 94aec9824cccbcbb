// SharedGroup: subscriptions to one pattern under one name, of which each publication goes to one.

import type { Publication } from '../message.js';
import type { Subscription } from './subscription.js';

export class SharedGroup {
  readonly #members: Subscription[] = [];
  /** Whose turn it is. */
  #next = 0;

  constructor(
    /** Name and pattern: unique in the gateway. Holds no NUL. */
    readonly key: string,
  ) {}

  add(subscription: Subscription): void {
    this.#members.push(subscription);
  }

  remove(subscription: Subscription): void {
    const at = this.#members.indexOf(subscription);
    if (at >= 0) this.#members.splice(at, 1);
  }

  get size(): number {
    return this.#members.length;
  }

  /**
   * Who of those that may hear it gets the publication: in turn, whoever is there and keeps up; else one that is there; else one that keeps it for
   * later. null: nobody can.
   */
  choose(publication: Publication): Subscription | null {
    const count = this.#members.length;
    let slow: Subscription | null = null;
    let away: Subscription | null = null;
    for (let i = 0; i < count; i++) {
      const member = this.#members[(this.#next + i) % count] as Subscription;
      if (!member.wants(publication)) continue;
      const { session, durable, options, guard } = member;
      if (guard !== null && !guard.rights.allows('on', publication.path)) continue;
      if (session !== null && !session.closed) {
        if (session.keepsUp) return this.#chosen((this.#next + i) % count);
        slow ??= member;
      } else if (durable !== null && options.qos > 0 && publication.qos > 0) {
        away ??= member;
      }
    }
    const member = slow ?? away;
    return member === null ? null : this.#chosen(this.#members.indexOf(member));
  }

  #chosen(at: number): Subscription {
    this.#next = at + 1;
    return this.#members[at] as Subscription;
  }
}
