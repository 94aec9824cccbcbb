// UsersSessions: open sessions by user, and by the token of their login.

import type { Identity } from '../security/identity.js';
import { ByKey } from './by-key.js';
import type { Session } from './session.js';

export class UsersSessions {
  readonly #own = new ByKey<Session>();
  readonly #byToken = new ByKey<Session>();
  /** Those that may have subscriptions by the rights of others than the user that they have now. */
  readonly #mixed = new Set<Session>();

  open(session: Session): void {
    session.users = this;
    const { principal, login } = session.ownIdentity;
    if (principal !== null) this.#own.add(principal.name, session);
    if (login !== null) this.#byToken.add(login.tokenId, session);
  }

  close(session: Session): void {
    session.users = null;
    const { principal, login } = session.ownIdentity;
    if (principal !== null) this.#own.delete(principal.name, session);
    if (login !== null) this.#byToken.delete(login.tokenId, session);
    this.#mixed.delete(session);
  }

  /** Its peer is somebody else from now on, or has logged in anew. */
  moved(session: Session, before: Identity): void {
    const { principal, login } = session.ownIdentity;
    if (before.login?.tokenId !== login?.tokenId) {
      if (before.login !== null) this.#byToken.delete(before.login.tokenId, session);
      if (login !== null) this.#byToken.add(login.tokenId, session);
    }
    if (before.principal?.name === principal?.name) return;
    if (before.principal !== null) this.#own.delete(before.principal.name, session);
    if (principal !== null) this.#own.add(principal.name, session);
    if (session.subscriptions.size > 0) this.#mixed.add(session);
  }

  /** It has a subscription by the rights of that user. */
  subscribed(session: Session, name: string): void {
    if (name !== session.ownIdentity.principal?.name) this.#mixed.add(session);
  }

  /** Sessions of these users. */
  of(names: Iterable<string>): Session[] {
    return this.#own.of(names);
  }

  /** Sessions whose login is that of a token. */
  ofToken(id: string): Session[] {
    return this.#byToken.of([id]);
  }

  /** Those of users, and all others that may have subscriptions by the rights of one of them. */
  concernedBy(names: Iterable<string>): ReadonlySet<Session> {
    return new Set([...this.of(names), ...this.#mixed]);
  }
}
