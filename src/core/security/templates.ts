// Templates: permissions that name their user, such as `/home/{{user.username}}/*` (happn-protocol.md 10.4).

import { textFault } from '../paths/path.js';
import { type Permission, SECURITY_LIMITS, type User } from './model.js';
import { Rule } from './rule-set.js';

const TEMPLATE = /\{\{([^{}]*)\}\}/g;
/** Patterns that one permission may become. */
export const TEMPLATE_PATTERNS_MAX = 1_000;

export function isTemplate(pattern: string): boolean {
  return pattern.includes('{{');
}

/**
 * The rules that a permission with templates is for one user. What has no value in `user` makes no rule; a list makes one for each of
 * its values. A value with a `*` would reach further than whoever gave the permission meant: it allows nothing, and prohibits what it
 * says. Neither does a permission that becomes more than TEMPLATE_PATTERNS_MAX patterns allow anything.
 */
export function rulesFor(pattern: string, permission: Permission, user: User, source: string): readonly Rule[] {
  const patterns = expand(pattern, user);
  if (patterns === null) return [];
  const isWider = patterns.some((text) => stars(text) > stars(pattern));
  const given = isWider ? { prohibit: permission.prohibit ?? [] } : permission;
  return patterns.map((text) => new Rule(text, given, source));
}

/** null: more than there may be. */
function expand(pattern: string, user: User): readonly string[] | null {
  let patterns: readonly string[] = [''];
  let at = 0;
  for (const match of pattern.matchAll(TEMPLATE)) {
    const literal = pattern.slice(at, match.index);
    const values = valuesOf((match[1] as string).trim(), user);
    if (patterns.length * values.length > TEMPLATE_PATTERNS_MAX) return null;
    patterns = patterns.flatMap((begun) => values.map((value) => begun + literal + value));
    at = match.index + match[0].length;
  }
  const rest = pattern.slice(at);
  return patterns.map((begun) => begun + rest);
}

/** What a template without its braces stands for: `user.username`, `user.custom_data.<key>…`; nothing if there is no such value. */
export function valuesOf(name: string, user: User): readonly string[] {
  const [root, field, ...keys] = name.split('.');
  if (root !== 'user') return [];
  switch (field) {
    case 'username':
    case 'name':
      return keys.length === 0 ? [user.name] : [];
    case 'userid':
    case 'id':
      return keys.length === 0 ? [user.id] : [];
    case 'custom_data':
    case 'customData':
      return textsOf(keys.reduce(childOf, user.customData as unknown));
    default:
      return [];
  }
}

function childOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Record<string, unknown>)[key];
}

function textsOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((item) => (Array.isArray(item) ? [] : textsOf(item)));
  // What cannot be in a path cannot be in a pattern of one.
  if (typeof value === 'string') return textFault(value, 'value', SECURITY_LIMITS.patternBytes) === null ? [value] : [];
  return typeof value === 'number' || typeof value === 'boolean' ? [String(value)] : [];
}

function stars(text: string): number {
  return text.split('*').length;
}
