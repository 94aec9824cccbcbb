// A directory in memory that takes what commands name: for those who ask it who there is.

import type { DirectoryReader, Group, LookupTable, Principal, SecurityCommand, User } from '../../src/core/index.js';
import { ALL_RIGHTS } from '../../src/core/security/rights.js';

export class FakeDirectory implements DirectoryReader {
  readonly known = new Map<string, User>();
  readonly commands: SecurityCommand[] = [];
  readonly revoked = new Set<string>();

  add(name: string, fields: Partial<User> = {}): User {
    const base = { id: `id of ${name}`, password: null, publicKey: null, groups: [], permissions: {}, customData: {} };
    const user = { ...base, created: 0, modified: 0, tokensSince: 0, ...fields, name };
    this.known.set(name, user);
    return user;
  }

  async change(command: SecurityCommand): Promise<void> {
    this.commands.push(command);
    if (command.type === 'revoke') this.revoked.add(command.tokenId);
    if (command.type !== 'password') return;
    const user = this.known.get(command.name) as User;
    this.known.set(command.name, { ...user, password: command.to });
  }

  user(name: string): User | null {
    return this.known.get(name) ?? null;
  }

  group(): Group | null {
    return null;
  }

  users(): Iterable<User> {
    return this.known.values();
  }

  groups(): Iterable<Group> {
    return [];
  }

  lookupTable(): LookupTable | null {
    return null;
  }

  lookupTables(): Iterable<LookupTable> {
    return [];
  }

  groupsLookingUpIn(): string[] {
    return [];
  }

  members(): Iterable<User> {
    return [];
  }

  principal(name: string): Principal | null {
    const user = this.known.get(name);
    if (user === undefined) return null;
    const flags = { isAdministrator: false, mayDelegate: false, isLimited: false, isGone: false };
    return { name, userId: user.id, rights: ALL_RIGHTS, ...flags };
  }

  lockedUntil(): null {
    return null;
  }

  isRevoked({ tokensSince }: User, { tokenId, issued }: { tokenId: string; issued: number }): boolean {
    return this.revoked.has(tokenId) || issued < tokensSince;
  }
}
