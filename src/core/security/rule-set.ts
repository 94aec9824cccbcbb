// RuleSet: permissions indexed by the text of paths: exact ones by lookup, globs under their
// literal beginnings. Immutable; one set serves every user with these permissions.

import { globMatches } from '../paths/glob.js';
import { ACTIONS, type Action, type Permission, type PermittedAction } from './model.js';

/** A bit for each action. */
export type Mask = number;

const BITS: ReadonlyMap<Action, Mask> = new Map(ACTIONS.map((action, at) => [action, 1 << at]));
const CONTROL = BITS.get('control') as Mask;
const EVERY_ACTION: Mask = (1 << ACTIONS.length) - 1;

export function bitOf(action: Action): Mask {
  return BITS.get(action) as Mask;
}

/** `*` leaves out what must be spelled out. */
export function maskOf(actions: readonly PermittedAction[] | undefined): Mask {
  let mask = 0;
  for (const action of actions ?? []) mask |= action === '*' ? EVERY_ACTION & ~CONTROL : bitOf(action);
  return mask;
}

/** One pattern and what it allows and prohibits. */
export class Rule {
  readonly allow: Mask;
  readonly prohibit: Mask;
  /** The literal pieces around the `*`s; null: there is none. */
  readonly pieces: readonly string[] | null;

  constructor(
    readonly pattern: string,
    { actions, prohibit }: Permission,
    /** For a person: where it stands. */
    readonly source: string,
  ) {
    this.allow = maskOf(actions);
    this.prohibit = maskOf(prohibit);
    this.pieces = piecesOf(pattern);
  }

  matches(path: string): boolean {
    return this.pieces === null ? this.pattern === path : globMatches(path, this.pieces);
  }
}

function piecesOf(pattern: string): readonly string[] | null {
  if (!pattern.includes('*')) return null;
  const pieces = pattern.split('*');
  const [first, last] = [pieces[0] as string, pieces[pieces.length - 1] as string];
  return [first, ...pieces.slice(1, -1).filter((piece) => piece !== ''), last];
}

export class RuleSet {
  readonly #exact = new Map<string, Rule[]>();
  /** By their literal beginning. */
  readonly #globs = new Map<string, Rule[]>();
  /** Of these beginnings, ascending. */
  readonly #lengths: readonly number[];
  /** Those that allow something. */
  readonly allowances: readonly Rule[];
  /** Those that prohibit something. */
  readonly prohibitions: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    const lengths = new Set<number>();
    for (const rule of rules) {
      if (rule.pieces === null) {
        add(this.#exact, rule.pattern, rule);
      } else {
        const prefix = rule.pieces[0] as string;
        lengths.add(prefix.length);
        add(this.#globs, prefix, rule);
      }
    }
    this.#lengths = [...lengths].sort((a, b) => a - b);
    this.allowances = rules.filter(({ allow }) => allow !== 0);
    this.prohibitions = rules.filter(({ prohibit }) => prohibit !== 0);
  }

  /** Adds what matches `path` to `found`. */
  collect(path: string, found: Rule[]): void {
    const exact = this.#exact.get(path);
    if (exact !== undefined) found.push(...exact);
    for (const length of this.#lengths) {
      if (length > path.length) return;
      const globs = this.#globs.get(path.slice(0, length));
      if (globs === undefined) continue;
      for (const rule of globs) if (globMatches(path, rule.pieces as readonly string[])) found.push(rule);
    }
  }
}

function add(map: Map<string, Rule[]>, key: string, rule: Rule): void {
  const rules = map.get(key);
  if (rules === undefined) map.set(key, [rule]);
  else rules.push(rule);
}
