// Which paths have history, how much of it, and since when. Stored, so that a start knows which history exists.

import type { DataOptions } from '../message.js';
import { type Pattern, parsePattern } from '../paths/pattern.js';
import { sealed, unsealed } from '../store/seal.js';
import { SECTION, type Store, type WriteBatch } from '../store/store.js';

/** Of the records that a pattern matches, what is kept. */
export interface HistoryRuleSettings {
  /** Glob. */
  readonly pattern: string;
  /** Changes of one record, the last one included. */
  readonly revisions: number;
  /** Milliseconds for which is known what a record was; null: for as long as the other bounds allow. */
  readonly age: number | null;
}

export interface HistorySettings {
  /** The first one that matches a path counts. */
  readonly rules: readonly HistoryRuleSettings[];
  /** Bytes of all history; above it the oldest changes of all go. */
  readonly maxBytes: number;
}

export const NO_HISTORY: HistorySettings = Object.freeze({ rules: Object.freeze([]), maxBytes: 0 });

/** Of what came before it, all or part may be forgotten. */
export interface Floor {
  readonly revision: number;
  readonly time: number;
}

export function higherFloor(a: Floor, b: Floor): Floor {
  return { revision: Math.max(a.revision, b.revision), time: Math.max(a.time, b.time) };
}

export class HistoryRule {
  readonly pattern: Pattern;
  readonly revisions: number;
  /** Infinity: unbounded. */
  readonly ageMs: number;

  constructor(
    { pattern, revisions, age }: HistoryRuleSettings,
    /** Whoever has no timeline, did not change since then. */
    public floor: Floor,
  ) {
    this.pattern = parsePattern(pattern, 'glob');
    this.revisions = revisions;
    this.ageMs = age ?? Number.POSITIVE_INFINITY;
  }
}

const KEY = 'historyRules';

interface KeptRule extends Floor {
  readonly pattern: string;
}

export class HistoryRules {
  /** Every path that has history begins with it. */
  readonly #prefix: string;

  constructor(readonly rules: readonly HistoryRule[]) {
    this.#prefix = commonPrefix(rules.map(({ pattern }) => pattern.prefix));
  }

  /**
   * `settings` with the floors that the store knows. A pattern that was not there before, or had others before it, begins now:
   * at `now`. `same`: none of them does, and none that was there is gone.
   */
  static read(
    { rules }: HistorySettings,
    store: Store,
    now: Floor,
  ): { readonly rules: HistoryRules; readonly same: boolean; readonly kept: number } {
    const before = readKept(store);
    let kept = 0;
    while (kept < rules.length && rules[kept]?.pattern === before[kept]?.pattern) kept += 1;
    const made = rules.map((rule, at) => new HistoryRule(rule, at < kept ? (before[at] as KeptRule) : now));
    return { rules: new HistoryRules(made), same: kept === rules.length && kept === before.length, kept };
  }

  /** null: no history is kept of this path. */
  of(path: string): HistoryRule | null {
    if (!path.startsWith(this.#prefix)) return null;
    for (const rule of this.rules) if (rule.pattern.matches(path)) return rule;
    return null;
  }

  /** What no floor of the rules that keep what `pattern` matches is behind; null: of some of it no history is kept. */
  floorOf(pattern: Pattern): Floor | null {
    if (pattern.exact !== null) return this.of(pattern.exact)?.floor ?? null;
    let floor: Floor = { revision: 0, time: 0 };
    for (const rule of this.rules) {
      if (!mayOverlap(rule.pattern, pattern)) continue;
      floor = higherFloor(floor, rule.floor);
      if (covers(rule.pattern, pattern)) return floor;
    }
    return null;
  }

  write(batch: WriteBatch): void {
    const kept: KeptRule[] = this.rules.map(({ pattern, floor: { revision, time } }) => ({ pattern: pattern.text, revision, time }));
    writeKept(batch, kept);
  }

  /** As if there had been no rules but the first `count`: so that a start that is cut off is begun anew. */
  writeFirst(count: number, batch: WriteBatch): void {
    new HistoryRules(this.rules.slice(0, count)).write(batch);
  }
}

function readKept(store: Store): KeptRule[] {
  const row = store.read(SECTION.meta, KEY);
  return row === undefined ? [] : (JSON.parse(unsealed(SECTION.meta, KEY, row).toString()) as KeptRule[]);
}

function writeKept(batch: WriteBatch, kept: readonly KeptRule[]): void {
  batch.put(SECTION.meta, KEY, sealed(Buffer.from(JSON.stringify(kept))));
}

function commonPrefix(texts: readonly string[]): string {
  const [first = '', ...others] = texts;
  let length = first.length;
  for (const text of others) while (!text.startsWith(first.slice(0, length))) length -= 1;
  return first.slice(0, length);
}

/** Whether some path may match both. */
function mayOverlap(rule: Pattern, pattern: Pattern): boolean {
  return rule.prefix.startsWith(pattern.prefix) || pattern.prefix.startsWith(rule.prefix);
}

/** Whether every path that `pattern` matches is known to match `rule`, too. */
function covers(rule: Pattern, pattern: Pattern): boolean {
  if (rule.text === pattern.text) return true;
  const { form } = rule;
  // Only a wildcard of the rule matches the wildcards in the text of another glob, and then whatever they stand for.
  if (pattern.dialect === 'glob') return rule.matches(pattern.text);
  const endsOpen = form.type === 'glob' && form.pieces.length === 2 && form.pieces[1] === '';
  if (!endsOpen || !pattern.prefix.startsWith(rule.prefix)) return false;
  return pattern.area === null || pattern.area === rule.area;
}

/** Whether whoever is told later what happened is not to be told of this. */
export function isQuiet({ publish, targets }: DataOptions): boolean {
  return !publish || targets !== null;
}
