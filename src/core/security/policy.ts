// Policy: limits of a session beyond rights: how long, how often, from where. A profile says which sessions it applies to.

import { SessionOver } from '../errors.js';
import type { Permissions } from './model.js';

/** Of the token that a login gives: for single requests of its own (HTTP), or for a connection. */
export type LoginType = 'stateless' | 'stateful';

export interface Policy {
  readonly name: string;
  /** A login is good for so many milliseconds; 0: for good. */
  readonly ttlMs: number;
  /** The session ends when it has not done anything that needs a right for so long; 0: never. */
  readonly inactivityMs: number;
  /** It ends then by the clock; else with the next thing that it wants to do, so that a session that only listens goes on. */
  readonly endsIdle: boolean;
  /** It may do so many things that need a right; 0: any number. */
  readonly usageLimit: number;
  /** Take the place of the user's permissions; null: these count. */
  readonly permissions: Permissions | null;
  /** Nobody logs in with a token of such a session. */
  readonly disallowTokenLogins: boolean;
  /** Its token is good at the gateway alone that issued it. */
  readonly lockTokenToOrigin: boolean;
  /** Addresses from which such a session may log in; null: all. */
  readonly sourceAddresses: readonly string[] | null;
}

export const NO_LIMITS: Policy = Object.freeze({
  name: 'none',
  ttlMs: 0,
  inactivityMs: 0,
  endsIdle: true,
  usageLimit: 0,
  permissions: null,
  disallowTokenLogins: false,
  lockTokenToOrigin: false,
  sourceAddresses: null,
});

/** Why the gateway ends a session, as happn clients are told (happn-protocol.md 10.5 and 11). */
export type EndReason =
  | 'token-expired'
  | 'inactivity-threshold'
  | 'usage-limit'
  | 'token-revoked'
  | 'no-session-policy'
  | 'security directory update: user deleted'
  | 'session-ended';

/** One login and what was done with it: one object for all that uses the same stateless token. */
export class Login {
  /** Things done that needed a right; counted where the policy asks for it. */
  used = 0;
  /** When the last of them was done, by the wall clock; noted where the policy asks for it. */
  lastUsed: number;
  /** The policy sets it an end. */
  readonly hasEnd: boolean;

  constructor(
    /** Id of the token that stands for the login (`jti`); by it the login is revoked. */
    readonly tokenId: string,
    readonly type: LoginType,
    /** Id of the session whose token was used to log in; null: none was. */
    readonly parentId: string | null,
    /** When the token was issued: milliseconds since 1970. */
    readonly issued: number,
    readonly policy: Policy,
    now: number,
  ) {
    this.lastUsed = now;
    this.hasEnd = policy.ttlMs > 0 || policy.inactivityMs > 0 || policy.usageLimit > 0;
  }
}

/** Why the login is over at that time (by the wall clock), in the words of happn-protocol.md 10.5; null: it is not. */
export function overAt({ issued, lastUsed, used, policy }: Login, now: number): SessionOver | null {
  const { ttlMs, inactivityMs, usageLimit } = policy;
  if (ttlMs > 0 && now > issued + ttlMs) return new SessionOver('expired session token', 'token-expired');
  if (inactivityMs > 0 && now > lastUsed + inactivityMs) {
    return new SessionOver('session inactivity threshold reached', 'inactivity-threshold');
  }
  return usageLimit > 0 && used >= usageLimit ? new SessionOver('session usage limit reached', 'usage-limit') : null;
}

/** Whether time alone has ended it. What else is over ends with the next request, which is told so. */
export function isOverdue(login: Login, now: number): boolean {
  if (!login.hasEnd) return false;
  const reason = overAt(login, now)?.reason;
  return reason === 'token-expired' || (reason === 'inactivity-threshold' && login.policy.endsIdle);
}
