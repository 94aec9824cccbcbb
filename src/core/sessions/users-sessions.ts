// UsersSessions: open sessions by who their peers are.

import type { Principal } from '../security/identity.js';
import { ByUser } from './by-user.js';
import type { Session } from './session.js';

export class UsersSessions {
  readonly #own = new ByUser<Session>();
  /** Those that may have subscriptions by the rights of others than the user that they have now. */
  readonly #mixed = new Set<Session>();

  open(session: Session): void {
    session.users = this;
    const { principal } = session.identity;
    if (principal !== null) this.#own.add(principal.name, session);
  }

  close(session: Session): void {
    session.users = null;
    const { principal } = session.identity;
    if (principal !== null) this.#own.delete(principal.name, session);
    this.#mixed.delete(session);
  }

  /** Its peer is somebody else from now on. */
  moved(session: Session, before: Principal | null): void {
    const now = session.identity.principal;
    if (before?.name === now?.name) return;
    if (before !== null) this.#own.delete(before.name, session);
    if (now !== null) this.#own.add(now.name, session);
    if (session.subscriptions.size > 0) this.#mixed.add(session);
  }

  /** It has a subscription by the rights of that user. */
  subscribed(session: Session, name: string): void {
    if (name !== session.identity.principal?.name) this.#mixed.add(session);
  }

  /** Sessions of these users. */
  of(names: Iterable<string>): Session[] {
    return this.#own.of(names);
  }

  /** Those, and all others that may have subscriptions by the rights of one of them. */
  concernedBy(names: Iterable<string>): ReadonlySet<Session> {
    return new Set([...this.of(names), ...this.#mixed]);
  }
}
