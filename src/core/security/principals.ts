// Principals: everybody who has logged in since the start, live. Rights are compiled when they are needed, once for all users with
// the same groups; a change of the directory makes them stale.

import { Regex } from '../query/regex.js';
import { Decisions } from './decisions.js';
import type { Principal } from './identity.js';
import { LookupRule } from './lookups.js';
import { ADMIN, DELEGATES, type Group, type LookupTable, type Permissions, SECURITY_LIMITS, type User } from './model.js';
import type { Policy } from './policy.js';
import { ALL_RIGHTS, CompiledRights, NO_RIGHTS, type Rights } from './rights.js';
import { Rule, RuleSet } from './rule-set.js';
import { isTemplate, rulesFor } from './templates.js';

/** Compiled combinations of groups, and expressions of lookups, that are kept; at the bound all are forgotten. */
const COMBINATIONS_MAX = 1_024;
const EXPRESSIONS_MAX = 1_024;
const EMPTY: ReadonlySet<string> = new Set();

/** What principals read of the directory. */
export interface Members {
  user(name: string): User | null;
  group(name: string): Group | null;
  lookupTable(name: string): LookupTable | null;
}

class LivePrincipal implements Principal {
  #user: User | null;
  #rights: Rights | null = null;

  constructor(
    user: User,
    readonly policy: Policy | null,
    private readonly compiler: Compiler,
  ) {
    this.#user = user;
    this.name = user.name;
    this.userId = user.id;
  }

  readonly name: string;
  readonly userId: string;

  get isGone(): boolean {
    return this.#user === null;
  }

  get isLimited(): boolean {
    return this.policy !== null;
  }

  get isAdministrator(): boolean {
    return this.#user !== null && !this.isLimited && this.#user.groups.includes(ADMIN);
  }

  get mayDelegate(): boolean {
    return this.#user !== null && !this.isLimited && (this.isAdministrator || this.#user.groups.includes(DELEGATES));
  }

  get rights(): Rights {
    this.#rights ??= this.#user === null ? NO_RIGHTS : this.compiler.compile(this.#user, this.policy);
    return this.#rights;
  }

  /** The user as it is now; null: it is no more. */
  refresh(user: User | null): void {
    this.#user = user;
    if (this.#rights instanceof CompiledRights) this.#rights.retire();
    this.#rights = null;
  }
}

export class Principals {
  /** By user name: one for sessions without permissions of a policy, and one for each policy's. */
  readonly #live = new Map<string, LivePrincipal[]>();
  readonly #compiler: Compiler;
  readonly #members: Members;

  /** `isNested`: as in CompiledRights. */
  constructor(members: Members, isNested: boolean) {
    this.#members = members;
    this.#compiler = new Compiler(members, isNested);
  }

  get decisions(): number {
    return this.#compiler.decisions.count;
  }

  of(name: string, policy: Policy | undefined): Principal | null {
    const user = this.#members.user(name);
    if (user === null) return null;
    const limits = policy === undefined || policy.permissions === null ? null : policy;
    const known = this.#live.get(name) ?? [];
    // A user who was created anew is another user. A policy that was made of another for one login has the same permissions.
    const found = known.find((one) => one.userId === user.id && one.policy?.permissions === limits?.permissions);
    if (found !== undefined) return found;
    const principal = new LivePrincipal(user, limits, this.#compiler);
    this.#live.set(name, [...known, principal]);
    return principal;
  }

  /** Rights of these users, or of all, are stale. `groups`: permissions of groups changed. */
  refresh(users: ReadonlySet<string> | 'all', groups: boolean): void {
    if (groups) this.#compiler.forget();
    for (const name of users === 'all' ? this.#live.keys() : users) {
      const user = this.#members.user(name);
      for (const principal of this.#live.get(name) ?? []) principal.refresh(user?.id === principal.userId ? user : null);
    }
  }

  forgetGone(users: ReadonlySet<string>): void {
    for (const name of users) {
      const left = this.#live.get(name)?.filter(({ isGone }) => !isGone) ?? [];
      if (left.length === 0) this.#live.delete(name);
      else this.#live.set(name, left);
    }
  }
}

class Compiler {
  readonly decisions = new Decisions();
  readonly #members: Members;
  readonly #isNested: boolean;
  #combinations = new Map<string, RuleSet>();
  #expressions = new Map<string, Regex>();

  constructor(members: Members, isNested: boolean) {
    this.#members = members;
    this.#isNested = isNested;
  }

  compile(user: User, policy: Policy | null): Rights {
    if (policy !== null) {
      const source = `policy ${policy.name}`;
      const own = new RuleSet(ruleList(policy.permissions ?? {}, user, source, 'all'));
      return new CompiledRights([own], this.decisions, { isNested: this.#isNested });
    }
    if (user.groups.includes(ADMIN)) return ALL_RIGHTS;
    const groups = user.groups.map((name) => this.#members.group(name)).filter((group) => group !== null);
    const own = ruleList(user.permissions, user, 'user', 'all');
    for (const { permissions, name } of groups) own.push(...ruleList(permissions, user, `group ${name}`, 'templates'));
    return new CompiledRights([this.#combined(groups), new RuleSet(own)], this.decisions, {
      isNested: this.#isNested,
      lookups: this.#lookups(groups, user),
    });
  }

  /** What is the same for all who have these groups. */
  #combined(groups: readonly Group[]): RuleSet {
    const key = JSON.stringify(groups.map(({ name }) => name).sort());
    let set = this.#combinations.get(key);
    if (set === undefined) {
      set = new RuleSet(groups.flatMap(({ permissions, name }) => ruleList(permissions, null, `group ${name}`, 'literals')));
      if (this.#combinations.size >= COMBINATIONS_MAX) this.forget();
      this.#combinations.set(key, set);
    }
    return set;
  }

  #lookups(groups: readonly Group[], user: User): readonly LookupRule[] {
    const rules: LookupRule[] = [];
    for (const { name, lookups } of groups) {
      for (const lookup of lookups.slice(0, SECURITY_LIMITS.lookupsOfUser - rules.length)) {
        const paths = this.#members.lookupTable(lookup.table)?.paths ?? EMPTY;
        rules.push(new LookupRule(lookup, user, { regex: this.#expression(lookup.regex), paths, source: `group ${name}` }));
      }
    }
    return rules;
  }

  #expression(source: string): Regex {
    let regex = this.#expressions.get(source);
    if (regex === undefined) {
      regex = new Regex(source, '');
      if (this.#expressions.size >= EXPRESSIONS_MAX) this.#expressions = new Map();
      this.#expressions.set(source, regex);
    }
    return regex;
  }

  forget(): void {
    this.#combinations = new Map();
  }
}

/** Those of the permissions that name their user, those that do not, or all. */
function ruleList(permissions: Permissions, user: User | null, source: string, which: 'literals' | 'templates' | 'all'): Rule[] {
  const rules: Rule[] = [];
  for (const [pattern, permission] of Object.entries(permissions)) {
    if (!isTemplate(pattern)) {
      if (which !== 'templates') rules.push(new Rule(pattern, permission, source));
    } else if (which !== 'literals' && user !== null) {
      rules.push(...rulesFor(pattern, permission, user, source));
    }
  }
  return rules;
}
