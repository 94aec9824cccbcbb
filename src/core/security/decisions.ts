// Decisions: the budget of cached decisions that all rights share.

import type { Mask } from './rule-set.js';

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
    if (map.size >= DECISIONS_MAX) this.forget(map);
    if (this.#count >= ALL_DECISIONS_MAX) for (const other of this.#kept) this.forget(other);
    if (map.size === 0) this.#kept.add(map);
    map.set(path, mask);
    this.#count += 1;
  }

  /** They are of no use any more, or there is no room for them. */
  forget(map: Map<string, Mask>): void {
    this.#count -= map.size;
    this.#kept.delete(map);
    map.clear();
  }
}
