// Regex: a regular expression from outside, matched in linear time; a pattern that is a plain text with anchors, as most
// are, by comparing texts.

import { RE2JS, RE2JSSyntaxException } from 're2js';
import { invalid } from './checks.js';
import type { Meter } from './meter.js';

/** Instructions of one compiled expression. */
const INSTRUCTIONS_MAX = 1_000;
/** Steps that compiling takes for each character of the source, at the very worst; most take a hundredth. */
const COMPILE_STEPS = 1_000;
/** What a match costs whatever the length of its text, in characters. */
const BASE_LENGTH = 16;
/** Classes of characters beyond ASCII make large tables. */
const WIDE_FACTOR = 4;
/** Looking for a text, a step passes so many characters of the other, */
const CHARACTERS_PER_STEP = 4;
/** as long as the text is no longer than this: the worst longer ones are compared again at every character. */
const QUICK_LENGTH_MAX = 250;
const COMPARED_PER_STEP = 75;
const FLAGS: ReadonlyMap<string, number> = new Map([
  ['i', RE2JS.CASE_INSENSITIVE],
  ['m', RE2JS.MULTILINE],
  ['s', RE2JS.DOTALL],
  // These say nothing about whether a text matches.
  ['g', 0],
  ['u', 0],
]);

const LOOK_AROUND = /\(\?<?[=!]/;
const BACK_REFERENCE = /^(?:[^\\]|\\[^k1-9])*\\[k1-9]/;

const NO_LOOK_AROUND = '$regex: look-ahead and look-behind are not supported, because expressions are matched in linear time';
const NO_BACK_REFERENCES = '$regex: back-references are not supported, because expressions are matched in linear time';

/** A text between anchors. */
interface Plain {
  readonly text: string;
  readonly atStart: boolean;
  readonly atEnd: boolean;
}

export class Regex {
  readonly #flags: number;
  readonly #plain: Plain | null;
  #compiled: RE2JS | null = null;
  /** Steps for each character of a text. */
  #cost = 1;

  /** Throws RequestError INVALID_REQUEST for unknown flags; what is wrong with the source is found by `compile`. */
  constructor(
    readonly source: string,
    flags: string,
  ) {
    let bits = 0;
    for (const flag of flags) {
      const bit = FLAGS.get(flag);
      if (bit === undefined) throw invalid(`the flag ${flag} of $regex is not supported: only i, m, s, g and u`);
      bits |= bit;
    }
    this.#flags = bits;
    this.#plain = (bits & RE2JS.MULTILINE) === 0 ? plainOf(source) : null;
  }

  /** Steps that `compile` will take. */
  get compileSteps(): number {
    return this.#compiled !== null || this.#comparesTexts ? 0 : this.source.length * COMPILE_STEPS;
  }

  /** Throws RequestError INVALID_REQUEST. */
  compile(): void {
    if (this.#compiled !== null || this.#comparesTexts) return;
    this.#compiled = this.#translated();
    if (this.#plain === null) this.#cost = this.#compiled.programSize() * (isWide(this.source) ? WIDE_FACTOR : 1);
  }

  #translated(): RE2JS {
    let compiled: RE2JS;
    // The translation takes \k for a plain k.
    if (BACK_REFERENCE.test(this.source)) throw invalid(NO_BACK_REFERENCES);
    try {
      compiled = RE2JS.compile(RE2JS.translateRegExp(this.source), this.#flags);
    } catch (error) {
      if (!(error instanceof RE2JSSyntaxException)) throw error;
      throw invalid(LOOK_AROUND.test(this.source) ? NO_LOOK_AROUND : `$regex: ${error.message}`);
    }
    const instructions = compiled.programSize();
    if (instructions > INSTRUCTIONS_MAX) {
      throw invalid(`$regex: the expression has ${instructions} instructions, more than ${INSTRUCTIONS_MAX}`);
    }
    return compiled;
  }

  /**
   * The groups of the first part of `text` that matches: 0 is all of it; undefined took no part. null: none matches. Nobody counts the
   * steps: it is for expressions of administrators. Throws RequestError INVALID_REQUEST, unless it was compiled.
   */
  groups(text: string): readonly (string | undefined)[] | null {
    this.#compiled ??= this.#translated();
    return this.#compiled.exec(text);
  }

  get #comparesTexts(): boolean {
    return this.#plain !== null && (this.#flags & RE2JS.CASE_INSENSITIVE) === 0;
  }

  /** Whether a part of `text` matches. To be called after `compile`. */
  test(text: string, meter: Meter): boolean {
    if (this.#compiled === null) return matchesPlain(this.#plain as Plain, text, meter);
    meter.spend(this.#cost * (text.length + BASE_LENGTH));
    return this.#compiled.test(text);
  }
}

function matchesPlain({ text: sought, atStart, atEnd }: Plain, text: string, meter: Meter): boolean {
  if (atStart && atEnd) return text === sought;
  if (atStart) return text.startsWith(sought);
  return atEnd ? text.endsWith(sought) : includesText(text, sought, meter);
}

/** Whether `text` has `part` in it. */
export function includesText(text: string, part: string, meter: Meter): boolean {
  const steps = part.length > QUICK_LENGTH_MAX ? part.length / COMPARED_PER_STEP : 1 / CHARACTERS_PER_STEP;
  meter.spend(Math.ceil(text.length * steps));
  return text.includes(part);
}

/** What a source is when it is only characters between anchors; a `.*` at an open end says nothing. */
function plainOf(source: string): Plain | null {
  const atStart = source.startsWith('^');
  let from = atStart ? 1 : 0;
  if (!atStart) while (source.startsWith('.*', from)) from += 2;
  const atEnd = source.length > from && source.endsWith('$') && !isEscaped(source, source.length - 1);
  let to = atEnd ? source.length - 1 : source.length;
  if (!atEnd) while (to - 2 >= from && source.endsWith('.*', to) && !isEscaped(source, to - 2)) to -= 2;
  let text = '';
  for (let i = from; i < to; i++) {
    let character = source[i] as string;
    if (character === '\\') {
      character = source[++i] ?? '';
      if (i >= to || !/[^\p{L}\p{N}\s_]/u.test(character)) return null;
    } else if (/[$()*+.?[\]^{|}]/.test(character)) {
      return null;
    }
    text += character;
  }
  return { text, atStart, atEnd };
}

function isEscaped(source: string, at: number): boolean {
  let backslashes = 0;
  while (source[at - 1 - backslashes] === '\\') backslashes += 1;
  return backslashes % 2 === 1;
}

function isWide(source: string): boolean {
  if (source.includes('\\p') || source.includes('\\P') || source.includes('\\u') || source.includes('\\x')) return true;
  for (let i = 0; i < source.length; i++) if (source.charCodeAt(i) > 0x7f) return true;
  return false;
}

/** An SQL pattern: `%` is any text, `_` any character, a backslash takes their meaning away; the case of letters does not count. */
export function likeRegex(pattern: string): Regex {
  let source = '';
  for (let i = 0; i < pattern.length; i++) {
    let character = pattern[i] as string;
    if (character === '%') source += '.*';
    else if (character === '_') source += '.';
    else {
      if (character === '\\' && i + 1 < pattern.length) character = pattern[++i] as string;
      source += RE2JS.quote(character);
    }
  }
  return new Regex(`^${source}$`, 'is');
}
