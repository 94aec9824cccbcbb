// Pattern scans: the ranges of keys that a pattern can match, and scans that skip what lies between them, so that the cost depends
// on the matches and not on what is stored beside them.

import { type Range, SECTION, type StoreRow, type StoreScan } from '../store/store.js';
import { ANY_LEVEL, type Level, type Pattern } from './pattern.js';

/** Rows of a slice, which grows while they follow each other and is small again behind a gap. */
const ROWS_BEHIND_GAP = 16;

/** Keys that can match; `after` leaves out everything up to and including that path. */
export function rangeOf(pattern: Pattern, after: string | null): Range {
  const { prefix } = pattern;
  const gte = after !== null && compareCodePoints(after, prefix) >= 0 ? `${after}\0` : prefix;
  const lt = behindPrefix(prefix);
  return { section: SECTION.record, gte, ...(lt === null ? {} : { lt }) };
}

/** The first text behind all that begin with `prefix`; null when there is none. */
function behindPrefix(prefix: string): string | null {
  const points = [...prefix];
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const point = last.codePointAt(0) as number;
    if (point === LAST_CODE_POINT) continue;
    return points.join('') + String.fromCodePoint(point === BEFORE_SURROGATES ? BEHIND_SURROGATES : point + 1);
  }
  return null;
}

const LAST_CODE_POINT = 0x10ffff;
const BEFORE_SURROGATES = 0xd7ff;
const BEHIND_SURROGATES = 0xe000;

/** The order of keys. */
function compareCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Counts how often a scan had to be sought anew. */
export interface Skips {
  count: number;
}

/** Keys or rows that cannot match are still among what it gives: fewer than a slice at a time. */
export function skipping<Item extends string | StoreRow>(
  scan: StoreScan<Item>,
  pattern: Pattern,
  sliceRows: number,
  skips: Skips = { count: 0 },
): StoreScan<Item> {
  const { form, dialect } = pattern;
  if (dialect !== 'mqtt' || form.type !== 'levels') return scan;
  return new SkippingScan(scan, pattern, form.levels, form.tailMin >= 0, sliceRows, skips);
}

class SkippingScan<Item extends string | StoreRow> implements StoreScan<Item> {
  #rows: number;
  #isOver = false;

  constructor(
    private readonly scan: StoreScan<Item>,
    private readonly pattern: Pattern,
    private readonly levels: readonly Level[],
    private readonly hasTail: boolean,
    private readonly sliceRows: number,
    private readonly skips: Skips,
  ) {
    this.#rows = Math.min(ROWS_BEHIND_GAP, sliceRows);
  }

  async next(): Promise<Item[]> {
    if (this.#isOver) return [];
    const rows = await this.scan.next(this.#rows);
    const last = rows.at(-1);
    if (last === undefined) return rows;
    const key = typeof last === 'string' ? last : last.key;
    if (this.pattern.matches(key)) this.#rows = Math.min(this.#rows * 2, this.sliceRows);
    else this.#skip(key);
    return rows;
  }

  #skip(key: string): void {
    this.skips.count += 1;
    const target = nextCandidate(this.levels, this.hasTail, key);
    this.#rows = Math.min(ROWS_BEHIND_GAP, this.sliceRows);
    if (target === null) this.#isOver = true;
    else this.scan.seek(target);
  }

  seek(key: string): void {
    this.scan.seek(key);
  }

  close(): Promise<void> {
    return this.scan.close();
  }
}

const BEHIND_SLASH = '0';
/** Put behind a text it makes the next one. */
const NEXT = '\0';

/**
 * A key behind `key` before which no other key behind it can match `levels` (MQTT 3.1.1 section 4.7); null: none can. `key`
 * itself does not match. `hasTail`: any number of levels may follow.
 */
function nextCandidate(levels: readonly Level[], hasTail: boolean, key: string): string | null {
  const names = key.split('/');
  for (let i = 0; i < levels.length; i++) {
    // Too short: what is below it may match, and what has a longer name on the last level before that.
    if (i >= names.length) return i > 0 && levels[i - 1] === ANY_LEVEL ? key + NEXT : `${key}/`;
    const level = levels[i] as Level;
    if (level === ANY_LEVEL || level === names[i]) continue;
    const target = [...names.slice(0, i), level].join('/');
    if (isBehind(target, key)) return target;
    const isParent = hasTail || i < levels.length - 1;
    if (isParent && isBehind(`${target}/`, key)) return `${target}/`;
    return behindLastWildcard(levels, i, names);
  }
  // Too deep: the whole rest of this level is.
  return names.slice(0, levels.length).join('/') + BEHIND_SLASH;
}

/** Behind everything with these names up to the last level before `end` that can be any: there the next name follows. */
function behindLastWildcard(levels: readonly Level[], end: number, names: readonly string[]): string | null {
  const at = levels.lastIndexOf(ANY_LEVEL, end - 1);
  return at < 0 || end === 0 ? null : names.slice(0, at + 1).join('/') + BEHIND_SLASH;
}

/** In the order of keys, which is that of their bytes. */
function isBehind(target: string, key: string): boolean {
  return Buffer.compare(Buffer.from(target), Buffer.from(key)) > 0;
}
