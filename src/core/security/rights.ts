// Rights: what one user may do, compiled from permissions. Immutable: a change of permissions makes another object. Decisions are
// cached, so that repeated questions cost a lookup.

import { reservedArea } from '../paths/path.js';
import type { Pattern } from '../paths/pattern.js';
import type { Decisions } from './decisions.js';
import type { LookupRule } from './lookups.js';
import type { Action, Lookup } from './model.js';
import { ANYTHING, instanceOf, mayMeet, othersOf } from './pattern-texts.js';
import { bitOf, type Mask, type Rule, type RuleSet } from './rule-set.js';

/**
 * Whether a pattern may be used for an action. 'all': every path that it matches is allowed. 'checked': it is covered, but some
 * paths that it matches may be denied, so that each is looked at. 'partial': it is not covered, but some paths that it matches may be
 * allowed, and nested rights are on; each is looked at. 'none': it may not be used.
 */
export type Coverage = 'all' | 'checked' | 'partial' | 'none';

/** The permission that decided, for a person. */
export interface Verdict {
  readonly allowed: boolean;
  /** Pattern of the permission; null: none speaks for it. */
  readonly pattern: string | null;
  /** Where it stands: `user`, `group <name>` or `policy <name>`; null: nowhere. */
  readonly source: string | null;
  /** The lookup that allowed it, in place of a permission with that pattern; null: none did. */
  readonly lookup: Lookup | null;
}

export interface Rights {
  /** Whether the action is allowed on a concrete path. */
  allows(action: Action, path: string): boolean;
  covers(action: Action, pattern: Pattern): Coverage;
  /** Whether everything is allowed that the pattern's text stands for as it was written: no other leading slash, no parent level. */
  coversWritten(action: Action, pattern: Pattern): boolean;
  /** Of a pattern: the permission that covers it or reaches into it, or the prohibition that leaves nothing of it. */
  explain(action: Action, path: string | Pattern): Verdict;
}

const ALLOWED: Verdict = Object.freeze({ allowed: true, pattern: '*', source: null, lookup: null });

const DENIED: Verdict = Object.freeze({ allowed: false, pattern: null, source: null, lookup: null });

/** Of administrators and of the gateway itself. */
export const ALL_RIGHTS: Rights = Object.freeze({
  allows: () => true,
  covers: (): Coverage => 'all',
  coversWritten: () => true,
  explain: () => ALLOWED,
});

/** Of users who are no more, and of those who never were. */
export const NO_RIGHTS: Rights = Object.freeze({
  allows: () => false,
  covers: (): Coverage => 'none',
  coversWritten: () => false,
  explain: () => DENIED,
});

const CONTROL = bitOf('control');
/** What nested rights are for: whoever reads is given the permitted part. */
const NESTED = bitOf('get') | bitOf('on');
/** Between the parts of a key of decisions that is no text of a path or pattern. */
const BETWEEN = '\r';

export interface RightsOptions {
  /** Whoever may read a part of what a pattern matches is given that part. */
  readonly isNested?: boolean;
  readonly lookups?: readonly LookupRule[];
}

export class CompiledRights implements Rights {
  readonly #sets: readonly RuleSet[];
  readonly #decisions: Decisions;
  readonly #isNested: boolean;
  readonly #lookups: readonly LookupRule[];
  /** By path, by the text of a pattern with ANYTHING for its wildcards, or by a key that begins with BETWEEN. */
  readonly #masks = new Map<string, Mask>();
  readonly #found: Rule[] = [];

  constructor(sets: readonly RuleSet[], decisions: Decisions, { isNested = false, lookups = [] }: RightsOptions = {}) {
    this.#sets = sets;
    this.#decisions = decisions;
    this.#isNested = isNested;
    this.#lookups = lookups.filter(({ isEmpty }) => !isEmpty);
  }

  /** Others have taken its place: what was decided is not kept any more. */
  retire(): void {
    this.#decisions.forget(this.#masks);
  }

  allows(action: Action, path: string): boolean {
    return (this.#maskOf(path) & bitOf(action)) !== 0;
  }

  /**
   * A rule covers a pattern if it matches its text with ANYTHING for each wildcard: what stands there is then matched by a `*` of the
   * rule, whatever it is. A prohibition that covers it leaves nothing of it.
   */
  covers(action: Action, pattern: Pattern): Coverage {
    const bit = bitOf(action);
    const isAllowed = (text: string): boolean => (this.#maskOf(text) & bit) !== 0;
    if (!isAllowed(instanceOf(pattern))) {
      if ((this.#lookupMask(pattern) & bit) !== 0) return 'checked';
      return this.#reaches(bit, pattern) ? 'partial' : 'none';
    }
    for (const text of othersOf(pattern)) if (!isAllowed(text)) return 'checked';
    return this.#mayTouch(bit, pattern) ? 'checked' : 'all';
  }

  coversWritten(action: Action, pattern: Pattern): boolean {
    const bit = bitOf(action);
    return (this.#maskOf(instanceOf(pattern)) & bit) !== 0 && !this.#mayTouch(bit, pattern);
  }

  explain(action: Action, subject: string | Pattern): Verdict {
    const bit = bitOf(action);
    if (typeof subject === 'string') return this.#explainText(bit, subject);
    if (this.covers(action, subject) !== 'partial') return this.#explainText(bit, instanceOf(subject));
    const rule = this.#reachingRule(bit, subject);
    return rule === undefined ? verdictByLookup(this.#reachingLookup(bit) as LookupRule) : verdictBy(rule, true);
  }

  /** `text`: a path, or that of a pattern with ANYTHING for its wildcards. */
  #explainText(bit: Mask, text: string): Verdict {
    if (isReserved(text, bit)) return DENIED;
    const rule = this.#decidingRule(bit, text);
    if (rule !== undefined) return verdictBy(rule, (rule.prohibit & bit) === 0);
    const written = asWritten(text);
    const lookup = this.#lookups.find((one) => (one.allow & bit) !== 0 && one.grants(written));
    return lookup === undefined ? DENIED : verdictByLookup(lookup);
  }

  #decidingRule(bit: Mask, path: string): Rule | undefined {
    const found = this.#collect(path);
    return found.find(({ prohibit }) => (prohibit & bit) !== 0) ?? found.find(({ allow }) => (allow & bit) !== 0);
  }

  #maskOf(path: string): Mask {
    const kept = this.#masks.get(path);
    if (kept !== undefined) return kept;
    const mask = this.#decide(path);
    this.#decisions.keep(this.#masks, path, mask);
    return mask;
  }

  #decide(path: string): Mask {
    let allow = 0;
    let prohibit = 0;
    for (const rule of this.#collect(path)) {
      allow |= rule.allow;
      prohibit |= rule.prohibit;
    }
    for (const lookup of this.#lookups) {
      // What stands for a wildcard would be taken for a character of the path.
      if ((lookup.allow & ~(allow | prohibit)) !== 0 && !path.includes(ANYTHING) && lookup.grants(path)) allow |= lookup.allow;
    }
    const mask = allow & ~prohibit;
    return reservedArea(path) === null ? mask : mask & CONTROL;
  }

  /**
   * What lookups allow of a pattern, by its text as it was written, as on happn servers. That says nothing of the paths that it matches:
   * each has to be looked at.
   */
  #lookupMask(pattern: Pattern): Mask {
    if (this.#lookups.length === 0) return 0;
    const text = instanceOf(pattern);
    const key = BETWEEN + text;
    const kept = this.#masks.get(key);
    if (kept !== undefined) return kept;
    const written = asWritten(text);
    let mask = 0;
    for (const lookup of this.#lookups) if ((lookup.allow & ~mask) !== 0 && lookup.grants(written)) mask |= lookup.allow;
    for (const { prohibit } of this.#collect(text)) mask &= ~prohibit;
    if (reservedArea(text) !== null) mask &= CONTROL;
    this.#decisions.keep(this.#masks, key, mask);
    return mask;
  }

  #collect(path: string): readonly Rule[] {
    const found = this.#found;
    found.length = 0;
    for (const set of this.#sets) set.collect(path, found);
    return found;
  }

  #reaches(bit: Mask, pattern: Pattern): boolean {
    if (!this.#isNested || (bit & NESTED) === 0) return false;
    const key = reachKey(pattern);
    let mask = this.#masks.get(key);
    if (mask === undefined) {
      mask = (this.#reachedBy(bitOf('get'), pattern) ? bitOf('get') : 0) | (this.#reachedBy(bitOf('on'), pattern) ? bitOf('on') : 0);
      this.#decisions.keep(this.#masks, key, mask);
    }
    return (mask & bit) !== 0;
  }

  /**
   * Whether some path that the pattern matches may be allowed; it may say so when none is. What is in a reserved area is not, nor is
   * anything if one prohibition covers all of it.
   */
  #reachedBy(bit: Mask, pattern: Pattern): boolean {
    if (pattern.form.type === 'literal') return false;
    const isShut = (text: string): boolean => isReserved(text, bit) || this.#collect(text).some(({ prohibit }) => (prohibit & bit) !== 0);
    if ([instanceOf(pattern), ...othersOf(pattern)].every(isShut)) return false;
    return this.#reachingLookup(bit) !== undefined || this.#reachingRule(bit, pattern) !== undefined;
  }

  /** Which paths an expression matches is not known: one may be among those of any pattern. */
  #reachingLookup(bit: Mask): LookupRule | undefined {
    return this.#lookups.find(({ allow }) => (allow & bit) !== 0);
  }

  /** An allowance that may match a path that the pattern matches, and is not prohibited as a whole. */
  #reachingRule(bit: Mask, pattern: Pattern): Rule | undefined {
    for (const { allowances } of this.#sets) {
      for (const rule of allowances) {
        if ((rule.allow & bit) !== 0 && mayMeet(rule, pattern) && this.#isOpen(bit, rule)) return rule;
      }
    }
    return undefined;
  }

  #isOpen(bit: Mask, rule: Rule): boolean {
    return (this.#maskOf(rule.pieces === null ? rule.pattern : rule.pieces.join(ANYTHING)) & bit) !== 0;
  }

  /** Whether a prohibition may match a path that the pattern matches; it may say so when that is not the case. */
  #mayTouch(bit: Mask, pattern: Pattern): boolean {
    for (const { prohibitions } of this.#sets) {
      for (const rule of prohibitions) if ((rule.prohibit & bit) !== 0 && mayMeet(rule, pattern)) return true;
    }
    return false;
  }
}

/** How a pattern is written in happn: `*` for what ANYTHING stands for. */
function asWritten(text: string): string {
  return text.replaceAll(ANYTHING, '*');
}

/** No path has one, and no text of a pattern. */
function reachKey({ dialect, depth, text }: Pattern): string {
  return BETWEEN + dialect + depth + BETWEEN + text;
}

function verdictBy({ pattern, source }: Rule, allowed: boolean): Verdict {
  return { allowed, pattern, source, lookup: null };
}

function verdictByLookup({ lookup, source }: LookupRule): Verdict {
  return { allowed: true, pattern: lookup.regex, source, lookup };
}

function isReserved(path: string, bit: Mask): boolean {
  return (bit & CONTROL) === 0 && reservedArea(path) !== null;
}
