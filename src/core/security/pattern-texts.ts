// Pattern texts: how a pattern of any dialect relates to permissions, which are globs. Pure.

import { withoutLeadingSlash } from '../paths/path.js';
import { ANY_LEVEL, type Pattern } from '../paths/pattern.js';
import type { Rule } from './rule-set.js';

/** Stands for what a wildcard matches. No path and no rule has it: only the `*` of a rule matches it. */
export const ANYTHING = '\n';

/** The pattern's text as it was written, with ANYTHING for its wildcards. */
export function instanceOf(pattern: Pattern): string {
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
export function othersOf(pattern: Pattern): readonly string[] {
  const { form, dialect } = pattern;
  if (form.type === 'glob') return [];
  if (dialect === 'segments') {
    const text = instanceOf(pattern);
    return [text.startsWith('/') ? withoutLeadingSlash(text) : `/${text}`];
  }
  if (form.type === 'literal' || form.tailMin !== 0 || form.levels.length === 0) return [];
  return [form.levels.map((level) => (level === ANY_LEVEL ? ANYTHING : level)).join('/')];
}

/**
 * Whether there may be a path that both match; it may say so when there is none. By the literal beginnings and ends: those of paths
 * that both match are the same.
 */
export function mayMeet(rule: Rule, pattern: Pattern): boolean {
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
