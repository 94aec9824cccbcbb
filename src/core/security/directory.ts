// Directory: users, groups, tables of lookups and revoked tokens, all in memory as stored. Changed only by operations
// (operations/security.ts): with the turn's batch, and undone if the store refuses that.

import { eachContent } from '../store/each-row.js';
import { SECTION, type Store } from '../store/store.js';
import type { Turn } from '../turn.js';
import { decodeGroup, decodeTable, decodeUntil, decodeUser, encodeRow, encodeTable, encodeUntil, KIND, rowKey } from './directory-rows.js';
import type { Principal } from './identity.js';
import { ADMIN, type Group, type LookupTable, type User } from './model.js';
import type { Login, Policy } from './policy.js';
import { Principals } from './principals.js';
import type { DirectoryReader } from './reader.js';

/** Revocations, and locks, that one operation forgets. */
export const FORGOTTEN_AT_A_TIME = 1_000;

/** It is always there. What its members may do needs no permission; this says so to a person. */
const ADMIN_GROUP: Group = Object.freeze({
  name: ADMIN,
  permissions: Object.freeze({ '*': Object.freeze({ actions: Object.freeze(['*', 'control'] as const) }) }),
  lookups: Object.freeze([]),
  customData: Object.freeze({}),
  created: 0,
  modified: 0,
});

export interface DirectoryOptions {
  /** Whoever reads by a wider pattern than is permitted is given the permitted part, instead of being refused. */
  readonly nestedPermissions: boolean;
}

export class Directory implements DirectoryReader {
  #users = new Map<string, User>();
  #groups = new Map<string, Group>([[ADMIN, ADMIN_GROUP]]);
  #tables = new Map<string, LookupTable>();
  /** Until when each has to be known, by token id. */
  #revocations = new Map<string, number>();
  /** Until when, by name of a user, who need not exist. */
  #locks = new Map<string, number>();
  /** Names of the users that are linked to each group, which need not exist. */
  #members = new Map<string, Set<string>>();
  readonly #principals: Principals;

  constructor(options: DirectoryOptions = { nestedPermissions: false }) {
    this.#principals = new Principals(this, options.nestedPermissions);
  }

  /** Replaces everything in memory by what the store holds, at one moment. Rejects with StoreDamage. */
  async load(store: Store): Promise<void> {
    const users = new Map<string, User>();
    const groups = new Map<string, Group>([[ADMIN, ADMIN_GROUP]]);
    const tables = new Map<string, LookupTable>();
    const revocations = new Map<string, number>();
    const locks = new Map<string, number>();
    await eachContent(store, SECTION.directory, (key, bytes) => {
      const name = key.slice(1);
      if (key.startsWith(KIND.user)) users.set(name, decodeUser(key, bytes));
      else if (key.startsWith(KIND.group)) groups.set(name, decodeGroup(key, bytes));
      else if (key.startsWith(KIND.table)) tables.set(name, decodeTable(key, bytes));
      else if (key.startsWith(KIND.revocation)) revocations.set(name, decodeUntil(key, bytes));
      else if (key.startsWith(KIND.lock)) locks.set(name, decodeUntil(key, bytes));
    });
    this.#users = users;
    this.#groups = groups;
    this.#tables = tables;
    this.#revocations = revocations;
    this.#locks = locks;
    this.#members = new Map();
    for (const user of users.values()) this.#link(user);
    this.#principals.refresh('all', true);
  }

  // Reading.

  user(name: string): User | null {
    return this.#users.get(name) ?? null;
  }

  group(name: string): Group | null {
    return this.#groups.get(name) ?? null;
  }

  users(): Iterable<User> {
    return this.#users.values();
  }

  groups(): Iterable<Group> {
    return this.#groups.values();
  }

  lookupTable(name: string): LookupTable | null {
    return this.#tables.get(name) ?? null;
  }

  lookupTables(): Iterable<LookupTable> {
    return this.#tables.values();
  }

  groupsLookingUpIn(table: string): string[] {
    return [...this.#groups.values()].filter(({ lookups }) => lookups.some((one) => one.table === table)).map(({ name }) => name);
  }

  *members(group: string): Iterable<User> {
    for (const name of this.#members.get(group) ?? []) yield this.#users.get(name) as User;
  }

  memberNames(group: string): ReadonlySet<string> {
    return new Set(this.#members.get(group));
  }

  principal(name: string, policy?: Policy): Principal | null {
    return this.#principals.of(name, policy);
  }

  isRevoked(user: User, { tokenId, issued }: Pick<Login, 'tokenId' | 'issued'>): boolean {
    return issued < user.tokensSince || this.#revocations.has(tokenId);
  }

  get userCount(): number {
    return this.#users.size;
  }

  get groupCount(): number {
    return this.#groups.size;
  }

  get tableCount(): number {
    return this.#tables.size;
  }

  lockedUntil(name: string): number | null {
    return this.#locks.get(name) ?? null;
  }

  get lockCount(): number {
    return this.#locks.size;
  }

  /** Names whose lock is over; not more than can be forgotten at a time. */
  locksOver(now: number): string[] {
    const over = [...this.#locks].filter(([, until]) => until <= now).map(([name]) => name);
    return over.slice(0, FORGOTTEN_AT_A_TIME);
  }

  get revocationCount(): number {
    return this.#revocations.size;
  }

  /** Decisions that are kept in memory. */
  get decisionCount(): number {
    return this.#principals.decisions;
  }

  /** Token ids of revocations that need not be known any more; not more than can be forgotten at a time. */
  revocationsOver(now: number): string[] {
    const over: string[] = [];
    for (const [id, until] of this.#revocations) {
      if (until <= now) over.push(id);
      if (over.length === FORGOTTEN_AT_A_TIME) break;
    }
    return over;
  }

  // Changing. Who changes has to refresh those whom it concerns.

  putUser(user: User, turn: Turn): void {
    turn.batch.put(SECTION.directory, rowKey(KIND.user, user.name), encodeRow(user));
    this.#setUser(user.name, Object.freeze(user), turn);
  }

  dropUser(name: string, turn: Turn): void {
    turn.batch.delete(SECTION.directory, rowKey(KIND.user, name));
    this.#setUser(name, null, turn);
  }

  putGroup(group: Group, turn: Turn): void {
    turn.batch.put(SECTION.directory, rowKey(KIND.group, group.name), encodeRow(group));
    set(this.#groups, group.name, Object.freeze(group), turn);
  }

  dropGroup(name: string, turn: Turn): void {
    turn.batch.delete(SECTION.directory, rowKey(KIND.group, name));
    set(this.#groups, name, null, turn);
  }

  putTable(table: LookupTable, turn: Turn): void {
    turn.batch.put(SECTION.directory, rowKey(KIND.table, table.name), encodeTable(table));
    set(this.#tables, table.name, Object.freeze(table), turn);
  }

  dropTable(name: string, turn: Turn): void {
    turn.batch.delete(SECTION.directory, rowKey(KIND.table, name));
    set(this.#tables, name, null, turn);
  }

  revoke(tokenId: string, until: number, turn: Turn): void {
    turn.batch.put(SECTION.directory, rowKey(KIND.revocation, tokenId), encodeUntil(until));
    set(this.#revocations, tokenId, until, turn);
  }

  lock(name: string, until: number, turn: Turn): void {
    turn.batch.put(SECTION.directory, rowKey(KIND.lock, name), encodeUntil(until));
    set(this.#locks, name, until, turn);
  }

  unlock(name: string, turn: Turn): void {
    turn.batch.delete(SECTION.directory, rowKey(KIND.lock, name));
    set(this.#locks, name, null, turn);
  }

  forgetRevocation(tokenId: string, turn: Turn): void {
    turn.batch.delete(SECTION.directory, rowKey(KIND.revocation, tokenId));
    set(this.#revocations, tokenId, null, turn);
  }

  /** What these users may do is compiled anew when it is asked for. `groups`: permissions of groups changed. */
  refresh(users: ReadonlySet<string>, groups: boolean): void {
    this.#principals.refresh(users, groups);
  }

  /** Principals of deleted users are kept until it is stored that they are no more. */
  forgetGone(users: ReadonlySet<string>): void {
    this.#principals.forgetGone(users);
  }

  #setUser(name: string, user: User | null, turn: Turn): void {
    const before = this.#users.get(name) ?? null;
    this.#replaceUser(name, before, user);
    turn.onRefused(() => this.#replaceUser(name, user, before));
  }

  #replaceUser(name: string, before: User | null, user: User | null): void {
    if (before !== null) this.#unlink(before);
    if (user === null) this.#users.delete(name);
    else this.#users.set(name, user);
    if (user !== null) this.#link(user);
  }

  #link({ name, groups }: User): void {
    for (const group of groups) {
      const members = this.#members.get(group);
      if (members === undefined) this.#members.set(group, new Set([name]));
      else members.add(name);
    }
  }

  #unlink({ name, groups }: User): void {
    for (const group of groups) {
      const members = this.#members.get(group);
      members?.delete(name);
      if (members?.size === 0) this.#members.delete(group);
    }
  }
}

/** null: nothing is there any more. */
function set<Value>(map: Map<string, Value>, key: string, value: Value | null, turn: Turn): void {
  const before = map.get(key);
  if (value === null) map.delete(key);
  else map.set(key, value);
  turn.onRefused(() => {
    if (before === undefined) map.delete(key);
    else map.set(key, before);
  });
}
