// Rights: what one user may do, compiled from permissions. Immutable: a change of permissions makes another object. Decisions are
// kept, so that what is asked again costs a lookup.

import { reservedArea, withoutLeadingSlash } from '../paths/path.js';
import { ANY_LEVEL, type Pattern } from '../paths/pattern.js';
import type { Action } from './model.js';
import { bitOf, type Mask, type Rule, type RuleSet } from './rule-set.js';

/**
 * Whether a pattern may be used for an action. 'all': every path that it matches is allowed. 'checked': it is covered, but some
 * paths that it matches may be denied, so that each is looked at. 'none': it is not covered.
 */
export type Coverage = 'all' | 'checked' | 'none';

/** The permission that decided, for a person. */
export interface Verdict {
  readonly allowed: boolean;
  /** Pattern of the permission; null: none speaks for it. */
  readonly pattern: string | null;
  /** Where it stands: `user`, `group <name>` or `policy <name>`; null: nowhere. */
  readonly source: string | null;
}

export interface Rights {
  /** Whether the action is allowed on a concrete path. */
  allows(action: Action, path: string): boolean;
  covers(action: Action, pattern: Pattern): Coverage;
  /** Whether everything is allowed that the pattern's text stands for as it was written: no other leading slash, no parent level. */
  coversWritten(action: Action, pattern: Pattern): boolean;
  /** Of a pattern: the permission that covers it, or the prohibition that leaves nothing of it. */
  explain(action: Action, path: string | Pattern): Verdict;
}

const ALLOWED: Verdict = Object.freeze({ allowed: true, pattern: '*', source: null });

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
  explain: (): Verdict => ({ allowed: false, pattern: null, source: null }),
});

/** Decisions kept for one user, and for all together; at a bound those of the user, or all, are forgotten. */
export const DECISIONS_MAX = 8_192;
export const ALL_DECISIONS_MAX = 131_072;
/** Decisions on longer paths (in UTF-16 units) are not kept. */
const DECISION_PATH_MAX = 512;

/** Counts the decisions that are kept by all rights together. */
export class Decisions {
  #kept = new Set<Map<string, Mask>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  keep(map: Map<string, Mask>, path: string, mask: Mask): void {
    if (path.length > DECISION_PATH_MAX) return;
    if (map.size >= DECISIONS_MAX) this.#forget(map);
    if (this.#count >= ALL_DECISIONS_MAX) for (const other of this.#kept) this.#forget(other);
    if (map.size === 0) this.#kept.add(map);
    map.set(path, mask);
    this.#count += 1;
  }

  #forget(map: Map<string, Mask>): void {
    this.#count -= map.size;
    this.#kept.delete(map);
    map.clear();
  }
}

/** No path and no rule has it: only the `*` of a rule matches it. */
const ANYTHING = '\n';
const CONTROL = bitOf('control');

export class CompiledRights implements Rights {
  readonly #sets: readonly RuleSet[];
  readonly #decisions: Decisions;
  /** By path, or by the text of a pattern with ANYTHING for its wildcards. */
  readonly #masks = new Map<string, Mask>();
  readonly #found: Rule[] = [];

  constructor(sets: readonly RuleSet[], decisions: Decisions) {
    this.#sets = sets;
    this.#decisions = decisions;
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
    if (!isAllowed(instanceOf(pattern))) return 'none';
    for (const text of othersOf(pattern)) if (!isAllowed(text)) return 'checked';
    return this.#mayTouch(bit, pattern) ? 'checked' : 'all';
  }

  coversWritten(action: Action, pattern: Pattern): boolean {
    const bit = bitOf(action);
    return (this.#maskOf(instanceOf(pattern)) & bit) !== 0 && !this.#mayTouch(bit, pattern);
  }

  explain(action: Action, subject: string | Pattern): Verdict {
    const path = typeof subject === 'string' ? subject : instanceOf(subject);
    const bit = bitOf(action);
    if (isReserved(path, bit)) return { allowed: false, pattern: null, source: null };
    const found = this.#collect(path);
    const rule = found.find(({ prohibit }) => (prohibit & bit) !== 0) ?? found.find(({ allow }) => (allow & bit) !== 0);
    const allowed = rule !== undefined && (rule.prohibit & bit) === 0;
    return { allowed, pattern: rule?.pattern ?? null, source: rule?.source ?? null };
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
    const mask = allow & ~prohibit;
    return reservedArea(path) === null ? mask : mask & CONTROL;
  }

  #collect(path: string): readonly Rule[] {
    const found = this.#found;
    found.length = 0;
    for (const set of this.#sets) set.collect(path, found);
    return found;
  }

  /** Whether a prohibition may match a path that the pattern matches; it may say so when that is not the case. */
  #mayTouch(bit: Mask, pattern: Pattern): boolean {
    for (const { prohibitions } of this.#sets) {
      for (const rule of prohibitions) if ((rule.prohibit & bit) !== 0 && mayMeet(rule, pattern)) return true;
    }
    return false;
  }
}

function isReserved(path: string, bit: Mask): boolean {
  return (bit & CONTROL) === 0 && reservedArea(path) !== null;
}

/** The pattern's text as it was written, with ANYTHING for its wildcards. */
function instanceOf(pattern: Pattern): string {
  const { form, text, dialect } = pattern;
  switch (form.type) {
    case 'literal':
      return text;
    case 'glob':
      return form.pieces.join(ANYTHING);
    case 'levels': {
      const slash = dialect === 'segments' && text.startsWith('/') ? '/' : '';
      return slash + levelsText(pattern);
    }
  }
}

function levelsText({ form }: Pattern): string {
  if (form.type !== 'levels') throw new TypeError(`not a pattern of levels: ${form.type}`);
  const levels = form.levels.map((level) => (level === ANY_LEVEL ? ANYTHING : level));
  if (form.tailMin !== -1) levels.push(ANYTHING);
  return levels.join('/');
}

/** Texts for what the pattern matches beside that: with or without a leading slash, and the parent level of `a/#`. */
function othersOf(pattern: Pattern): readonly string[] {
  const { form, dialect } = pattern;
  if (form.type === 'glob') return [];
  if (dialect === 'segments') {
    const text = instanceOf(pattern);
    return [text.startsWith('/') ? withoutLeadingSlash(text) : `/${text}`];
  }
  if (form.type === 'literal' || form.tailMin !== 0 || form.levels.length === 0) return [];
  return [form.levels.map((level) => (level === ANY_LEVEL ? ANYTHING : level)).join('/')];
}

/** By the literal beginnings and ends: those of paths that both match are the same. */
function mayMeet(rule: Rule, pattern: Pattern): boolean {
  if (rule.pieces === null) return pattern.matches(rule.pattern);
  const [first, last] = [rule.pieces[0] as string, rule.pieces[rule.pieces.length - 1] as string];
  if (pattern.exact !== null) return rule.matches(pattern.exact);
  if (pattern.dialect !== 'segments') return isBeginning(first, pattern.prefix) && isEnd(last, endOf(pattern));
  const text = withoutLeadingSlash(instanceOf(pattern));
  const prefix = text.slice(0, firstOf(text));
  return (isBeginning(first, prefix) || isBeginning(first, `/${prefix}`)) && isEnd(last, endOf(pattern));
}

function firstOf(text: string): number {
  const at = text.indexOf(ANYTHING);
  return at === -1 ? text.length : at;
}

/** What every path that it matches ends with. */
function endOf(pattern: Pattern): string {
  const text = instanceOf(pattern);
  const { form } = pattern;
  // The parent level ends otherwise.
  if (form.type === 'levels' && form.tailMin === 0) return '';
  return text.slice(text.lastIndexOf(ANYTHING) + 1);
}

function isBeginning(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a);
}

function isEnd(a: string, b: string): boolean {
  return a.endsWith(b) || b.endsWith(a);
}
