// Lookups: permissions that consult a table (happn-protocol.md 10.7). An expression and a template rewrite a path; it is
// allowed if the table has the result.

import { withoutLeadingSlash } from '../paths/path.js';
import type { Regex } from '../query/regex.js';
import { type Lookup, SECURITY_LIMITS, type User } from './model.js';
import { type Mask, maskOf } from './rule-set.js';
import { TEMPLATE_PATTERNS_MAX, valuesOf } from './templates.js';

const TEMPLATE = /\{\{([^{}]*)\}\}/g;
const GROUP = /^\$(\d{1,3})$/;

/** A text, or the number of the group of the expression that stands there. */
type Part = string | number;

export interface LookupParts {
  readonly regex: Regex;
  /** Of the table, without their leading slash. */
  readonly paths: ReadonlySet<string>;
  /** For a person: where the lookup stands. */
  readonly source: string;
}

/** One lookup for one user. */
export class LookupRule {
  readonly allow: Mask;
  readonly #paths: readonly (readonly Part[])[];

  constructor(
    readonly lookup: Lookup,
    user: User,
    private readonly parts: LookupParts,
  ) {
    this.allow = maskOf(lookup.actions);
    this.#paths = pathsFor(lookup.path, user);
  }

  get source(): string {
    return this.parts.source;
  }

  /** Whether no path is allowed by it. */
  get isEmpty(): boolean {
    return this.parts.paths.size === 0 || this.#paths.length === 0;
  }

  /** Whether what `text` becomes is in the table. */
  grants(text: string): boolean {
    if (text.length > SECURITY_LIMITS.lookupPath || this.isEmpty) return false;
    const groups = this.parts.regex.groups(text);
    return groups !== null && this.#paths.some((path) => this.#has(path, groups));
  }

  #has(path: readonly Part[], groups: readonly (string | undefined)[]): boolean {
    let made = '';
    for (const part of path) {
      const text = typeof part === 'string' ? part : groups[part];
      // What took no part stands for nothing.
      if (text === undefined) return false;
      made += text;
    }
    return this.parts.paths.has(withoutLeadingSlash(made));
  }
}

/** One for each combination of the user's values; none if there is no value, or if there are more than there may be. */
function pathsFor(path: string, user: User): readonly (readonly Part[])[] {
  let paths: readonly (readonly Part[])[] = [[]];
  let at = 0;
  for (const match of path.matchAll(TEMPLATE)) {
    const literal = path.slice(at, match.index);
    const name = (match[1] as string).trim();
    const group = GROUP.exec(name);
    const values: readonly Part[] = group === null ? valuesOf(name, user) : [Number(group[1])];
    if (paths.length * values.length > TEMPLATE_PATTERNS_MAX) return [];
    paths = paths.flatMap((begun) => values.map((value) => [...begun, literal, value]));
    at = match.index + match[0].length;
  }
  const rest = path.slice(at);
  return paths.map((begun) => [...begun, rest]);
}
