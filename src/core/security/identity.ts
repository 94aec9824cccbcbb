// Identity: who a session is, and whose rights apply to its requests.

import type { Login } from './policy.js';
import { ALL_RIGHTS, type Rights } from './rights.js';

/**
 * Somebody of the directory, live: `rights` and the rest change with it, for all sessions at once. Made by the directory alone; one
 * object for all sessions of a user, and one more for each policy that limits what its sessions may do.
 */
export interface Principal {
  /** User name. */
  readonly name: string;
  /** The user's id: one who is created anew is another principal. */
  readonly userId: string;
  /** What the principal may do now. A change of rights is another object. */
  readonly rights: Rights;
  /** Member of the group ADMIN, and not limited by a policy. */
  readonly isAdministrator: boolean;
  /** May act on behalf of others. */
  readonly mayDelegate: boolean;
  /** The rights are those of a policy, not of the user. */
  readonly isLimited: boolean;
  /** The user was deleted: nothing is allowed any more. */
  readonly isGone: boolean;
}

/** Who a session is. */
export interface Identity {
  /** User name; empty when nobody logged in. */
  readonly name: string;
  /** null: nobody of the directory. That may do everything in a gateway without security and nothing in one with it. */
  readonly principal: Principal | null;
  /** How the session logged in and what its policy says; null: without a login. */
  readonly login: Login | null;
}

/** What the audit says of somebody who asks for a change. */
export interface Asker {
  /** User name; empty: the gateway itself, or nobody who logged in. */
  readonly name: string;
  /** As in AuditEvent. */
  readonly protocol: string;
  readonly address: string;
  /** Of the token that it asks with; null: with none. */
  readonly tokenId: string | null;
}

/** Somebody with that identity. `protocol`, `address`: as in Asker. */
export function askerOf({ name, login }: Identity, protocol: string, address: string): Asker {
  return { name, protocol, address, tokenId: login?.tokenId ?? null };
}

export const NOBODY: Identity = Object.freeze({ name: '', principal: null, login: null });

/** The gateway itself: sessions that no client speaks through. May do everything, in every gateway. */
export const THE_GATEWAY: Identity = Object.freeze({
  name: '',
  principal: Object.freeze({
    name: '',
    userId: '',
    rights: ALL_RIGHTS,
    isAdministrator: true,
    mayDelegate: true,
    isLimited: false,
    isGone: false,
  }),
  login: null,
});

/** Somebody who is known by name alone, as in a gateway without security. */
export function identityNamed(name: string): Identity {
  return { name, principal: null, login: null };
}
