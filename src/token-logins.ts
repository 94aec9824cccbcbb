// TokenLogins: logins of single requests over HTTP. Each request shows its token again; the limits of the token's policy, on use and
// inactivity, apply to all of them together.

import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Credentials, Identity, Login } from './core/index.js';
import type { WebLogins } from './http/web-logins.js';
import type { Authenticator } from './security/authenticator.js';

/** Logins whose uses are counted; the one that was shown longest ago is forgotten first, and counted anew. */
const COUNTED_MAX = 10_000;

export class TokenLogins implements WebLogins {
  readonly #authenticator: Authenticator;
  readonly #protocol: string;
  /** By token id. */
  readonly #logins = new LRUCache<string, Login>({ max: COUNTED_MAX });

  /** `protocol`: what profiles and the audit call it. */
  constructor(authenticator: Authenticator, protocol: string) {
    this.#authenticator = authenticator;
    this.#protocol = protocol;
  }

  async login(credentials: Credentials): Promise<Identity> {
    return await this.#authenticator.login(credentials, { type: 0, session: randomUUID(), protocol: this.#protocol });
  }

  async identify(token: string, address: string): Promise<Identity> {
    const identity = await this.login({ token, address });
    const { login } = identity;
    if (login === null) return identity;
    const counted = this.#logins.get(login.tokenId);
    const isSame = counted?.policy.name === login.policy.name;
    // Also when it is known already: it has been used now.
    this.#logins.set(login.tokenId, isSame ? counted : login);
    return isSame ? { ...identity, login: counted } : identity;
  }

  async tokenOf(identity: Identity): Promise<string> {
    return await this.#authenticator.tokenOf(identity, randomUUID());
  }

  nonce(publicKey: string | undefined): string {
    return this.#authenticator.nonce(publicKey);
  }

  async revoke(identity: Identity, address: string): Promise<void> {
    await this.#authenticator.revoke(identity, this.#protocol, address);
  }
}
