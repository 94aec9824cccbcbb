// PathBlocks: many paths in the order of the store's keys, as a few large texts, so that a search goes through texts instead of
// paths. A change creates one new text: a holder of the old blocks keeps seeing the old paths.

import { compareTexts } from '../query/values.js';

/** Stands before and behind each path, and in none. */
export const BOUND = '\0';
/** About so many characters are in a block; one that has come to twice as many is parted. */
const BLOCK_CHARACTERS = 4 * 1024;
const BEYOND_LATIN = /[^\0-\xff]/;

/** A path, and whether it is there from now on. */
export type PathChange = readonly [path: string, isThere: boolean];

/** `\0a\0b\0c\0`: at least one path. */
export class PathBlock {
  constructor(
    readonly text: string,
    /** A character takes two bytes. */
    readonly isWide: boolean,
  ) {}

  get first(): string {
    return this.text.slice(1, this.text.indexOf(BOUND, 1));
  }

  /** Whether `path` comes before the first. */
  isBehind(path: string): boolean {
    return isBefore(path, this.first, this.isWide);
  }

  /** Where in the text the bound before the first path stands that is not before this one. */
  placeOf(path: string): number {
    const { text, isWide } = this;
    let [low, high] = [0, text.length - 1];
    while (low < high) {
      const start = text.lastIndexOf(BOUND, (low + high) >>> 1);
      const end = text.indexOf(BOUND, start + 1);
      if (isBefore(text.slice(start + 1, end), path, isWide)) low = end;
      else high = start;
    }
    return low;
  }

  get bytes(): number {
    return this.isWide ? this.text.length * 2 : this.text.length;
  }
}

/** In the order of keys: that of code units is the same, unless both texts have characters beyond them. */
function isBefore(a: string, b: string, isWide: boolean): boolean {
  return isWide ? compareTexts(a, b) < 0 : a < b;
}

const NOTHING = new PathBlock(BOUND, false);

/** The last of the blocks whose first path is not behind this one; -1: there is none. */
export function blockOf(blocks: readonly PathBlock[], path: string): number {
  let [low, high] = [0, blocks.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((blocks[middle] as PathBlock).isBehind(path)) high = middle;
    else low = middle + 1;
  }
  return low - 1;
}

/** What one block takes in a list of them. */
const REFERENCE_BYTES = 8;

export class PathBlocks {
  #blocks: PathBlock[] = [];
  #bytes = 0;
  /** Somebody was given the list: it is not changed any more. */
  #isShared = false;

  get bytes(): number {
    return this.#bytes;
  }

  /** Paths in their order, which all come behind those that are there. */
  append(paths: readonly string[]): void {
    if (paths.length === 0) return;
    const text = BOUND + paths.join(BOUND) + BOUND;
    this.#put(this.#blocks.length, 0, partsOf(text, BEYOND_LATIN.test(text)));
  }

  /** All of them, as they are now. */
  all(): readonly PathBlock[] {
    this.#isShared = true;
    return this.#blocks;
  }

  /** Changes in the order of their paths, one of each. Returns how much of what was handed out is not of use here any more, in bytes. */
  apply(changes: readonly PathChange[]): number {
    let replaced = 0;
    if (this.#isShared) {
      replaced = this.#blocks.length * REFERENCE_BYTES;
      this.#blocks = this.#blocks.slice();
      this.#isShared = false;
    }
    for (let from = 0; from < changes.length; ) {
      const at = Math.max(0, blockOf(this.#blocks, (changes[from] as PathChange)[0]));
      const next = this.#blocks[at + 1];
      let to = from + 1;
      while (to < changes.length && (next === undefined || next.isBehind((changes[to] as PathChange)[0]))) to += 1;
      replaced += this.#change(at, changes.slice(from, to));
      from = to;
    }
    return replaced;
  }

  #change(at: number, changes: readonly PathChange[]): number {
    const block = this.#blocks[at];
    const text = changed(block ?? NOTHING, changes);
    if (text === null) return 0;
    const isWide = block?.isWide === true || changes.some(([path, isThere]) => isThere && BEYOND_LATIN.test(path));
    this.#put(at, block === undefined ? 0 : 1, text.length > 2 * BLOCK_CHARACTERS ? partsOf(text, isWide) : [new PathBlock(text, isWide)]);
    return block?.bytes ?? 0;
  }

  #put(at: number, instead: number, blocks: readonly PathBlock[]): void {
    const put = blocks.filter(({ text }) => text.length > BOUND.length);
    for (const { bytes } of put) this.#bytes += bytes;
    for (const { bytes } of this.#blocks.splice(at, instead, ...put)) this.#bytes -= bytes;
  }
}

/** null: all is as it should be already. */
function changed(block: PathBlock, changes: readonly PathChange[]): string | null {
  const { text } = block;
  const parts: string[] = [];
  let from = 0;
  for (const [path, isThere] of changes) {
    const at = block.placeOf(path);
    if (text.startsWith(path + BOUND, at + 1) === isThere) continue;
    parts.push(text.slice(from, at));
    if (isThere) parts.push(BOUND, path);
    from = isThere ? at : at + BOUND.length + path.length;
  }
  if (parts.length === 0) return null;
  parts.push(text.slice(from));
  return parts.join('');
}

function partsOf(text: string, isWide: boolean): PathBlock[] {
  const last = text.length - 1;
  const blocks: PathBlock[] = [];
  for (let from = 0; from < last; ) {
    const to = from + BLOCK_CHARACTERS < last ? text.indexOf(BOUND, from + BLOCK_CHARACTERS) : last;
    blocks.push(new PathBlock(copied(text.slice(from, to + 1), isWide), isWide));
    from = to;
  }
  return blocks;
}

/** A part of a text holds on to all of it; a copy does not. */
function copied(text: string, isWide: boolean): string {
  const encoding = isWide ? 'utf16le' : 'latin1';
  return Buffer.from(text, encoding).toString(encoding);
}
