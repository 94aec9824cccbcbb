// The directory as it is read by logins, lists of users, and explanations of rights.

import type { Principal } from './identity.js';
import type { Group, LookupTable, User } from './model.js';
import type { Login, Policy } from './policy.js';

export interface DirectoryReader {
  /** null: there is no such user. */
  user(name: string): User | null;
  group(name: string): Group | null;
  /** In the order in which they were made. */
  users(): Iterable<User>;
  groups(): Iterable<Group>;
  /** Links of users to the group. */
  members(group: string): Iterable<User>;
  lookupTable(name: string): LookupTable | null;
  lookupTables(): Iterable<LookupTable>;
  /** Names of the groups that have a lookup in the table, which need not exist. */
  groupsLookingUpIn(table: string): string[];
  /**
   * The live principal of the user; null: there is no such user. With a policy that has permissions: one with these rights alone.
   * Sessions keep it as long as they live.
   */
  principal(name: string, policy?: Policy): Principal | null;
  /** Until when nobody can log in with a password as the user of that name, milliseconds since 1970; null: the user was not locked. */
  lockedUntil(name: string): number | null;
  /** Whether the login's token was revoked, alone or with all of the user's that were issued then. */
  isRevoked(user: User, login: Pick<Login, 'tokenId' | 'issued'>): boolean;
}
