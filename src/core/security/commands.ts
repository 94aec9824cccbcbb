// The commands of the directory, and the notices to those whom a change concerns.

import type { NotedEvent } from './audit-entries.js';
import type { Action, CustomData, Group, Lookup, Permission, Permissions, User } from './model.js';

/** 'absent': only create (else CONFLICT); 'present': only change (else NOT_FOUND). */
export type When = 'any' | 'absent' | 'present';

/** What is not named stays as it is; for a new user or group it is empty. */
export interface DescribedFields {
  /** With `merge`, null takes a pattern away. */
  readonly permissions?: Readonly<Record<string, Permission | null>>;
  /** With `merge`, null takes a key away. */
  readonly customData?: CustomData;
}

export interface GroupFields extends DescribedFields {
  /** In place of those that were there, also with `merge`. */
  readonly lookups?: readonly Lookup[];
}

export interface UserFields extends DescribedFields {
  /** The encoded hash, never the password itself; null: none. Another one than before makes all tokens worthless. */
  readonly password?: string | null;
  readonly publicKey?: string | null;
  readonly groups?: readonly string[];
}

export interface Owner {
  readonly kind: 'user' | 'group';
  readonly name: string;
}

/**
 * Changes to the directory. They take effect in their place among all other requests, and are kept when they are answered. Only
 * administrators and the gateway itself may ask for them; for exceptions see there. `name`s are checked when something is created:
 * INVALID_REQUEST for text with a slash or a reserved part (happn-protocol.md 10.1), LIMIT_EXCEEDED above SECURITY_LIMITS.
 */
export type SecurityCommand =
  /**
   * `merge`: permissions and customData are changed key by key; else what is named is replaced. `id`: of the user if this creates
   * one, from 128 random bits.
   */
  | {
      readonly type: 'putUser';
      readonly name: string;
      readonly id: string;
      readonly fields: UserFields;
      readonly when: When;
      readonly merge: boolean;
    }
  /** NOT_FOUND. Ends the user's sessions, and what is kept of them. */
  | { readonly type: 'deleteUser'; readonly name: string }
  /**
   * A new hash in place of `from`, else CONFLICT; NOT_FOUND. Users may do this to themselves. `endsTokens`: those that were issued
   * before are no longer good (a new password, not only a new hash of the same).
   */
  | {
      readonly type: 'password';
      readonly name: string;
      readonly from: string | null;
      readonly to: string;
      readonly endsTokens: boolean;
    }
  | { readonly type: 'putGroup'; readonly name: string; readonly fields: GroupFields; readonly when: When; readonly merge: boolean }
  /** NOT_FOUND. Users stay linked: a group of that name that is created later is theirs again. */
  | { readonly type: 'deleteGroup'; readonly name: string }
  /** NOT_FOUND for the user, and for a group to be linked. Doing it twice is fine. */
  | { readonly type: 'link' | 'unlink'; readonly user: string; readonly group: string }
  /**
   * One action on one pattern. true: allowed, false: prohibited, null: neither. NOT_FOUND for the owner, and for null where the action is
   * neither (`*` stands for itself alone).
   */
  | {
      readonly type: 'permission';
      readonly of: Owner;
      readonly path: string;
      readonly action: Action | '*';
      readonly authorized: boolean | null;
    }
  /** A table of lookups. Its paths are in place of those that were there; NOT_FOUND and CONFLICT as `when` says. */
  | { readonly type: 'putTable'; readonly name: string; readonly paths: readonly string[]; readonly when: When }
  /** NOT_FOUND for the table; what is there already, or not there, is fine. What is in both is added. */
  | { readonly type: 'changeTable'; readonly name: string; readonly add: readonly string[]; readonly remove: readonly string[] }
  /** NOT_FOUND. Lookups that name it permit nothing, until there is a table of that name again. */
  | { readonly type: 'deleteTable'; readonly name: string }
  /** The token is no longer good; the sessions that use it end. `until`: milliseconds since 1970, from which on that need not be known any more; Infinity: it never ends. A session may do this to its own token. */
  | { readonly type: 'revoke'; readonly tokenId: string; readonly until: number }
  /** All tokens of the user that were issued until now are no longer good; the sessions that use one end. NOT_FOUND. */
  | { readonly type: 'revokeAll'; readonly name: string }
  /** Nobody can log in with a password as the user until then. The user need not exist. LIMIT_EXCEEDED above SECURITY_LIMITS.locks. */
  | { readonly type: 'lock'; readonly name: string; readonly until: number }
  /** NOT_FOUND: the user is not locked. */
  | { readonly type: 'unlock'; readonly name: string }
  /** Forgets revocations and locks whose time is over. The core's own. */
  | { readonly type: 'sweepRevocations' }
  /** Keeps entries of the audit, and drops those whose time is over. The core's own. */
  | { readonly type: 'enter'; readonly events: readonly NotedEvent[] };

/** What became of a command; sessions of those whom it concerns are told. Users are shown without their password. */
export type SecurityChange =
  /** `before` null: there was none. */
  | { readonly type: 'userPut'; readonly user: User; readonly before: User | null }
  /** `permissions`: those that the command named; `before`: all that stood there before. */
  | { readonly type: 'groupPut'; readonly group: Group; readonly permissions: Permissions; readonly before: Permissions }
  | { readonly type: 'groupDeleted'; readonly group: Group }
  /** `groups`: those that look up in it. */
  | { readonly type: 'tableChanged'; readonly table: string; readonly groups: readonly string[] }
  | { readonly type: 'linked' | 'unlinked'; readonly user: string; readonly group: string; readonly permissions: Permissions }
  | {
      readonly type: 'permission';
      readonly of: Owner;
      readonly path: string;
      readonly action: Action | '*';
      readonly authorized: boolean | null;
    };
