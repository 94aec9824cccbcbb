// MatchCache: matches of recently published paths. Bounded in entries, in references and by path length.
// A change of subscriptions invalidates only the entries it can concern, in constant time.

import { withoutLeadingSlash } from '../paths/path.js';
import type { Match } from './subscription-list.js';

/** Paths kept, in two generations of half as many: a full young generation takes the place of the old one. */
export const MATCH_CACHE_MAX_PATHS = 16_384;
/** Subscriptions that all kept matches may refer to, not counting matches that are shared anyway. */
export const MATCH_CACHE_MAX_REFERENCES = 1_000_000;
/** Longer paths (in UTF-16 units) are not kept. */
export const MATCH_CACHE_MAX_PATH_LENGTH = 512;
/**
 * After so many changes that concern many paths everything is forgotten, so that stale entries do not keep more than
 * about as many ended subscriptions in memory.
 */
export const MATCH_CACHE_MAX_CHANGES = 1_000;

/** Levels of a path by which entries are told apart when something changes. */
const SLOT_LEVELS = 3;
const SLOTS = 4_096;
/** The slot of changes that concern every path. */
const EVERYTHING = 0;
const SLASH = 0x2f;
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** A match, and the sum of its slots' version numbers when it was made: they only grow, so an equal sum means no change. */
class CachedMatch {
  constructor(
    readonly match: Match,
    readonly references: number,
    readonly first: number,
    readonly second: number,
    readonly third: number,
    readonly stamp: number,
  ) {}
}

export class MatchCache {
  #young = new Map<string, CachedMatch>();
  #old = new Map<string, CachedMatch>();
  /** Of the young generation. */
  #references = 0;
  /** How often something changed below the levels that fall into a slot. */
  readonly #versions = new Float64Array(SLOTS);
  readonly #slots = new Int32Array(SLOT_LEVELS);
  #changes = 0;

  /** undefined: not kept, or stale. */
  get(path: string): Match | undefined {
    let cached = this.#young.get(path);
    if (cached !== undefined) return this.#stampOf(cached.first, cached.second, cached.third) === cached.stamp ? cached.match : undefined;
    cached = this.#old.get(path);
    if (cached === undefined || this.#stampOf(cached.first, cached.second, cached.third) !== cached.stamp) return undefined;
    this.#keep(path, cached);
    return cached.match;
  }

  /** `references`: subscriptions that only this match refers to; 0 for a match that is shared. */
  set(path: string, match: Match, references: number): void {
    if (path.length > MATCH_CACHE_MAX_PATH_LENGTH) return;
    const slots = this.#slots;
    this.#hashLevels(path);
    const [first, second, third] = [slots[0] as number, slots[1] as number, slots[2] as number];
    this.#keep(path, new CachedMatch(match, references, first, second, third, this.#stampOf(first, second, third)));
  }

  /** Something changed that concerns this path alone. */
  forgetPath(path: string): void {
    this.#young.delete(path);
    this.#old.delete(path);
  }

  /**
   * Something changed that concerns only paths whose first levels are the levels of `head`, both seen without a leading
   * slash; an empty `head`: any path.
   */
  forgetBelow(head: string): void {
    this.#changes += 1;
    if (this.#changes >= MATCH_CACHE_MAX_CHANGES) {
      this.#young = new Map();
      this.#old = new Map();
      this.#references = 0;
      this.#changes = 0;
      return;
    }
    const slot = head === '' ? EVERYTHING : (this.#slots[this.#hashLevels(head) - 1] as number);
    this.#versions[slot] = (this.#versions[slot] as number) + 1;
  }

  #keep(path: string, cached: CachedMatch): void {
    if (this.#young.size >= MATCH_CACHE_MAX_PATHS / 2 || this.#references >= MATCH_CACHE_MAX_REFERENCES / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#references = 0;
    }
    this.#young.set(path, cached);
    this.#references += cached.references;
  }

  #stampOf(first: number, second: number, third: number): number {
    const versions = this.#versions;
    return (versions[EVERYTHING] as number) + (versions[first] as number) + (versions[second] as number) + (versions[third] as number);
  }

  /** Fills `#slots` with the slots of the first levels, then with EVERYTHING; returns how many levels it took. */
  #hashLevels(text: string): number {
    const slots = this.#slots.fill(EVERYTHING);
    const levels = withoutLeadingSlash(text);
    let hash = FNV_OFFSET;
    let count = 0;
    for (let at = 0; at <= levels.length && count < SLOT_LEVELS; at++) {
      const code = at === levels.length ? SLASH : levels.charCodeAt(at);
      if (code === SLASH) {
        slots[count] = 1 + ((hash >>> 0) % (SLOTS - 1));
        count += 1;
      }
      hash = Math.imul(hash ^ code, FNV_PRIME);
    }
    return count;
  }
}
