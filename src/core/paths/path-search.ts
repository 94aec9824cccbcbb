// PathSearch: finds the paths that match a pattern with text after its wildcards in the index, as of one moment. It searches
// for that text in large texts of many paths, in shifts, and checks the few paths that contain it against the pattern.

import type { Shifts } from '../pace/shifts.js';
import { compareTexts } from '../query/values.js';
import { BOUND, blockOf, type PathBlock, type PathChange } from './path-blocks.js';
import { ANY_LEVEL, type Pattern } from './pattern.js';

/** What a search needs of the index. */
export interface PathSearchHost {
  readonly shifts: Shifts;
  /** It is gone through. */
  begun(): void;
  closed(search: PathSearch): void;
}

/** In one shift no more characters are gone through, */
const SHIFT_CHARACTERS = 1024 * 1024;
/** for so many of which a path counts that has the text; */
const PATH_CHARACTERS = 256;
/** and no more paths are found. */
const SHIFT_PATHS = 512;
/** Longer texts can make a search compare each character very often. */
const NEEDLE_MAX = 200;
/** Slashes before so many other characters say little and are met often: without them a search is faster. */
const TELLING_CHARACTERS = 3;
const LEADING_SLASHES = /^\/+/;

/** What a path that matches must have in it, between its bounds; null: nothing but its beginning is known. */
export function needleOf(pattern: Pattern): string | null {
  const [, ...pieces] = piecesOf(pattern);
  const last = pieces.pop();
  let needle = last === undefined || last === '' ? '' : last.slice(1 - NEEDLE_MAX) + BOUND;
  for (const piece of pieces) if (piece.length > needle.length) needle = piece.slice(0, NEEDLE_MAX);
  const bare = needle.replace(LEADING_SLASHES, '');
  if (bare.length >= TELLING_CHARACTERS) return bare;
  return needle === '' ? null : needle;
}

/** The texts around any characters that are in a path in this order, the first at its beginning and the last at its end. */
function piecesOf({ form }: Pattern): readonly string[] {
  if (form.type === 'literal') return [];
  if (form.type === 'glob') return form.pieces;
  const text = form.levels.map((level) => (level === ANY_LEVEL ? '*' : level)).join('/');
  return (form.tailMin === -1 ? text : `${text}*`).split('*');
}

/** What is looked for, and in what. */
export interface Sought {
  readonly pattern: Pattern;
  /** From `needleOf`. */
  readonly needle: string;
  /** Paths before it do not count, */
  readonly gte: string;
  /** and from this one on (undefined: the end) there are none that match. */
  readonly lt: string | undefined;
  /** Of all paths. */
  readonly blocks: readonly PathBlock[];
  /** Those of the paths that match, in any order. */
  readonly changes: readonly PathChange[];
}

export class PathSearch {
  readonly #pattern: Pattern;
  readonly #needle: string;
  #blocks: readonly PathBlock[];
  /** What is in the blocks from this one on is behind all that match. */
  readonly #end: number;
  /** What the blocks do not know yet: paths that are there, in their order, and paths that are not. */
  readonly #added: readonly string[];
  readonly #removed: ReadonlySet<string>;
  readonly #host: PathSearchHost;
  #isBegun = false;
  #at = 0;
  /** In the text of the block that is gone through. */
  #from = 0;
  #nextAdded = 0;
  #isOver = false;
  #isLost = false;

  constructor({ pattern, needle, gte, lt, blocks, changes }: Sought, host: PathSearchHost) {
    this.#pattern = pattern;
    this.#needle = needle;
    this.#blocks = blocks;
    this.#end = lt === undefined ? blocks.length : blockOf(blocks, lt) + 1;
    const paths = (wanted: boolean): string[] => changes.filter(([, isThere]) => isThere === wanted).map(([path]) => path);
    this.#added = paths(true).sort(compareTexts);
    this.#removed = new Set(paths(false));
    this.#host = host;
    this.seek(gte);
  }

  /** The index could not hold on to the moment any longer: the rest has to be found elsewhere. */
  get isLost(): boolean {
    return this.#isLost;
  }

  lose(): void {
    this.#isLost = true;
    this.#blocks = [];
  }

  /** The next paths, in their order; there may be none among what was gone through. null: there are no more, or they are lost. */
  async next(): Promise<readonly string[] | null> {
    if (!this.#isBegun) this.#host.begun();
    this.#isBegun = true;
    await this.#host.shifts.next();
    if (this.#isOver || this.#isLost) return null;
    const found: string[] = [];
    for (let left = SHIFT_CHARACTERS; left > 0 && found.length < SHIFT_PATHS; ) {
      const block = this.#blocks[this.#at];
      if (block === undefined || this.#at >= this.#end) {
        this.#addUpTo(null, found);
        this.#isOver = true;
        break;
      }
      left -= this.#lookIn(block, found);
    }
    return found;
  }

  /** Goes on to the next path that may match, or to the next block. Returns what that counts. */
  #lookIn({ text }: PathBlock, found: string[]): number {
    const from = this.#from;
    const at = text.indexOf(this.#needle, from);
    if (at === -1) {
      this.#at += 1;
      this.#from = 0;
      return text.length - from;
    }
    const end = text.indexOf(BOUND, at);
    const path = text.slice(text.lastIndexOf(BOUND, at) + 1, end);
    this.#from = end;
    if (this.#pattern.matches(path) && !this.#removed.has(path)) {
      this.#addUpTo(path, found);
      found.push(path);
    }
    return end - from + PATH_CHARACTERS;
  }

  /** null: all that are left. What is in the blocks, too, counts there. */
  #addUpTo(path: string | null, found: string[]): void {
    for (; this.#nextAdded < this.#added.length; this.#nextAdded++) {
      const added = this.#added[this.#nextAdded] as string;
      const order = path === null ? -1 : compareTexts(added, path);
      if (order > 0) return;
      if (order < 0) found.push(added);
    }
  }

  /** The next path is this one, or the first behind it: back or forth. */
  seek(path: string): void {
    this.#at = Math.max(0, blockOf(this.#blocks, path));
    const block = this.#blocks[this.#at];
    this.#from = block === undefined ? 0 : block.placeOf(path);
    this.#nextAdded = 0;
    while (this.#nextAdded < this.#added.length && compareTexts(this.#added[this.#nextAdded] as string, path) < 0) this.#nextAdded += 1;
    this.#isOver = false;
  }

  close(): void {
    this.#host.closed(this);
  }
}
