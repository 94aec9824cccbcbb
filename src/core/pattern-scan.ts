// PatternScan: the rows of a scan that a pattern of levels can match. What lies between is skipped, so that finding matches costs
// by them and not by what is stored beside them.

import { ANY_LEVEL, type Level, type Pattern } from './pattern.js';
import type { Range, Store, StoreRow, StoreScan } from './store/store.js';

/** Rows of a slice, which grows while they follow each other and is small again behind a gap. */
const ROWS_BEHIND_GAP = 16;

/** Rows that cannot match are still among what it gives: fewer than a slice at a time. */
export function scanPattern(store: Store, pattern: Pattern, range: Range, sliceRows: number): StoreScan {
  const { form, dialect } = pattern;
  const scan = store.scan(range, sliceRows);
  if (dialect !== 'mqtt' || form.type !== 'levels') return scan;
  return new PatternScan(scan, pattern, form.levels, form.tailMin >= 0, sliceRows);
}

class PatternScan implements StoreScan {
  #rows: number;
  #isOver = false;

  constructor(
    private readonly scan: StoreScan,
    private readonly pattern: Pattern,
    private readonly levels: readonly Level[],
    private readonly hasTail: boolean,
    private readonly sliceRows: number,
  ) {
    this.#rows = Math.min(ROWS_BEHIND_GAP, sliceRows);
  }

  async next(): Promise<StoreRow[]> {
    if (this.#isOver) return [];
    const rows = await this.scan.next(this.#rows);
    const last = rows.at(-1);
    if (last === undefined) return rows;
    if (this.pattern.matches(last.key)) this.#rows = Math.min(this.#rows * 2, this.sliceRows);
    else this.#skip(last.key);
    return rows;
  }

  #skip(key: string): void {
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

/**
 * A key behind `key` before which no other key behind it can match `levels` (MQTT 3.1.1 section 4.7); null: none can. `key`
 * itself does not match. `hasTail`: any number of levels may follow.
 */
export function nextCandidate(levels: readonly Level[], hasTail: boolean, key: string): string | null {
  const names = key.split('/');
  for (let i = 0; i < levels.length; i++) {
    // Too short: what is below it may match.
    if (i >= names.length) return `${key}/`;
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
