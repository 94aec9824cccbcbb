// Generated rules, patterns and paths against the naive meaning: nothing that is denied gets through, and no pattern is refused
// that one allowance covers; with nested rights, none of which a part is allowed.

import { describe, expect, it } from 'vitest';
import { type Dialect, type Pattern, type Permission, type PermittedAction, parsePattern } from '../../../src/core/index.js';
import { Decisions } from '../../../src/core/security/decisions.js';
import { guardOf } from '../../../src/core/security/guards.js';
import { CompiledRights } from '../../../src/core/security/rights.js';
import { Rule, RuleSet } from '../../../src/core/security/rule-set.js';
import { pick, type Random, randomOf } from '../../support/random.js';
import { globSays, oneCovers, prohibits, type Rules, rulesAllow } from '../../support/rights-oracle.js';

const TRIPLES = process.env.TRIVIUM_TEST_LONG === '1' ? 1_000_000 : 50_000;
const PATHS = 25;

/** Few names, so that everything meets; no rule and no pattern has the last one, which stands for all others. */
const NAMES = ['a', 'b', 'ab', '', 'aa'];
const OTHER = 'z';
const FIRST_NAMES = [...NAMES, '_SYSTEM', '$SYS', '/_HAVEN', '/a', '/b', '/'];
const ACTIONS: readonly PermittedAction[] = ['on', 'get', '*', 'control'];
const DIALECTS: readonly Dialect[] = ['glob', 'segments', 'mqtt'];

function levels(first: readonly string[], rest: readonly string[], next: Random): string {
  const list = [pick(first, next)];
  for (let more = next(4); more > 0; more--) list.push(pick(rest, next));
  return list.join('/');
}

function globText(next: Random): string {
  return levels([...FIRST_NAMES, '*', 'a*', '/*', '*b', '/a*'], [...NAMES, '*', '*', 'a*', '*b', '**'], next) || '*';
}

function permission(next: Random): Permission {
  const some = (): PermittedAction[] => Array.from({ length: 1 + next(2) }, () => pick(ACTIONS, next));
  const kind = next(5);
  if (kind === 0) return { prohibit: some() };
  return kind === 1 ? { actions: some(), prohibit: some() } : { actions: some() };
}

/** Half of them are about what the pattern is about. */
function someRules(pattern: Pattern, next: Random): Rules {
  return Array.from({ length: 1 + next(6) }, () => {
    const text = next(2) === 0 ? globText(next) : near(pattern, next);
    return [text, permission(next)] as const;
  });
}

function near(pattern: Pattern, next: Random): string {
  const text = pattern.text.replaceAll(/\*\*|[+#]/g, '*');
  const end = next(text.length + 1);
  const cut = next(3) === 0 ? `${text.slice(0, end)}*` : text;
  return next(6) === 0 ? cut.replace(/^\//, '') : cut;
}

function somePattern(next: Random): Pattern {
  const dialect = pick(DIALECTS, next);
  switch (dialect) {
    case 'glob':
      return parsePattern(globText(next), dialect);
    case 'segments': {
      const text = levels([...FIRST_NAMES, '*', '/*'], [...NAMES, '*', '*'], next) + pick(['', '/**', '/**'], next);
      return parsePattern(next(20) === 0 ? '*' : text || '*', dialect, 1 + next(6));
    }
    case 'mqtt': {
      const text = levels([...FIRST_NAMES, '+'], [...NAMES, '+', '+', 'a*b'], next) + pick(['', '/#', '/#'], next);
      return parsePattern(next(20) === 0 ? '#' : text || '#', dialect);
    }
  }
}

/** One of the paths that the text of a pattern stands for, as it was written; not of MQTT's parent level. */
function written({ text, dialect, form, depth }: Pattern, next: Random): string {
  const run = (): string => pick(['', 'a', 'b', OTHER, 'a/b', `${OTHER}/a`, '/'], next);
  const level = (): string => pick(['a', 'b', OTHER, OTHER, 'ab', ''], next);
  const deep = (most: number): string => Array.from({ length: 1 + next(most) }, level).join('/');
  if (form.type === 'literal') return text;
  if (form.type === 'glob') return form.pieces.slice(1).reduce((made, piece) => made + run() + piece, form.pieces[0] as string);
  const named = form.levels.map((name) => (typeof name === 'string' ? name : level()));
  if (form.tailMin !== -1) named.push(deep(Math.min(depth, 3)));
  return (dialect === 'segments' && text.startsWith('/') ? '/' : '') + named.join('/');
}

/** As `written`, with a name that no rule knows wherever the pattern leaves it open. */
function strangest({ text, dialect, form }: Pattern): string {
  if (form.type === 'literal') return text;
  if (form.type === 'glob') return form.pieces.join(OTHER);
  const named = form.levels.map((name) => (typeof name === 'string' ? name : OTHER));
  if (form.tailMin !== -1) named.push(OTHER);
  return (dialect === 'segments' && text.startsWith('/') ? '/' : '') + named.join('/');
}

function somePath(pattern: Pattern, next: Random): string {
  const path = next(4) === 0 ? levels(FIRST_NAMES, [...NAMES, OTHER], next) : written(pattern, next);
  if (next(4) > 0) return path;
  if (next(3) === 0) return path.slice(0, Math.max(0, path.lastIndexOf('/')));
  return path.startsWith('/') ? path.slice(1) : `/${path}`;
}

const NOBODY_AT_ALL = { name: '', userId: '', isAdministrator: false, mayDelegate: false, isLimited: false, isGone: false };

interface Seen {
  readonly coverage: Record<string, number>;
  edges: number;
  delivered: number;
  held: number;
}

/** Throws what is wrong with one set of rules and one pattern. */
function examine(next: Random, seen: Seen): void {
  const pattern = somePattern(next);
  const rules = someRules(pattern, next);
  const action = next(2) === 0 ? 'on' : 'get';
  const at = next(rules.length + 1);
  const compiled = rules.map(([text, given]) => new Rule(text, given, 'test'));
  const sets = [new RuleSet(compiled.slice(0, at)), new RuleSet(compiled.slice(at))];
  const isNested = next(2) === 0;
  const rights = new CompiledRights(sets, new Decisions(), { isNested });
  const coverage = rights.covers(action, pattern);
  const guard = guardOf({ ...NOBODY_AT_ALL, rights }, action, pattern);
  if (guard !== null && guard.rights !== rights) seen.edges += 1;
  seen.coverage[coverage] = (seen.coverage[coverage] ?? 0) + 1;
  if (coverage === 'partial' && !isNested) throw new Error('granted in part without being told to');
  const where = (path: string): string => JSON.stringify({ rules, pattern: [pattern.text, pattern.dialect], action, path, coverage });
  const language = [strangest(pattern)];
  for (let i = 0; i < PATHS; i++) {
    const path = somePath(pattern, next);
    if (path === '') continue;
    const isAllowed = rulesAllow(rules, action, path);
    if (rights.allows(action, path) !== isAllowed) throw new Error(`decided wrongly: ${where(path)}`);
    if (rights.explain(action, path).allowed !== isAllowed) throw new Error(`explained wrongly: ${where(path)}`);
    language.push(written(pattern, next));
    if (!pattern.matches(path)) continue;
    const isHeard = guard === null || guard.rights.allows(action, path);
    if (coverage !== 'none' && isHeard !== isAllowed) throw new Error(`${isHeard ? 'leaks' : 'hides'}: ${where(path)}`);
    if (coverage !== 'none') seen.delivered += 1;
    else seen.held += 1;
    const isWide = pattern.form.type !== 'literal';
    if (coverage === 'none' && isNested && isWide && isAllowed) throw new Error(`refused, although a part is allowed: ${where(path)}`);
  }
  if (coverage !== 'none' || pattern.area !== null) return;
  const paths = language.filter((path) => path !== '' && pattern.matches(path));
  if (paths.length === 0 || !oneCovers(rules, action, paths)) return;
  // Refused although it is covered: only if all of it is prohibited.
  const allowed = paths.find((path) => !prohibits(rules, action, path));
  if (allowed !== undefined && !oneProhibits(rules, action, paths)) throw new Error(`refused: ${where(allowed)}`);
}

function oneProhibits(rules: Rules, action: 'on' | 'get', paths: readonly string[]): boolean {
  const turned: Rules = rules.map(([text, { prohibit }]) => [text, { actions: prohibit ?? [] }] as const);
  return oneCovers(turned, action, paths);
}

describe('generated rules, patterns and paths', () => {
  it('D8 leak nothing and refuse nothing that one allowance covers', () => {
    const next = randomOf(20_261_127);
    const seen: Seen = { coverage: {}, edges: 0, delivered: 0, held: 0 };
    for (let i = 0; i < TRIPLES / PATHS; i++) examine(next, seen);
    // The generator meets every case often enough.
    for (const coverage of ['all', 'checked', 'partial', 'none'])
      expect(seen.coverage[coverage], coverage).toBeGreaterThan(TRIPLES / PATHS / 50);
    expect(seen.edges).toBeGreaterThan(TRIPLES / PATHS / 50);
    expect(seen.delivered).toBeGreaterThan(TRIPLES / 50);
    expect(seen.held).toBeGreaterThan(TRIPLES / 50);
  }, 600_000);

  it('are judged by an oracle that knows what a glob is', () => {
    expect(globSays('/a/*', '/a/b/c')).toBe(true);
    expect(globSays('/a/*', '/a')).toBe(false);
    expect(globSays('a*b*', 'aab')).toBe(true);
    expect(globSays('a*b', 'aba')).toBe(false);
  });
});
