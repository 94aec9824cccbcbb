// Pattern: a path with wildcards, parsed once, in one of three dialects. Says whether a path matches and what a range scan
// or an index needs to know; finding the patterns that match a path is the router's job.

import { RequestError } from '../errors.js';
import { globMatches } from './glob.js';
import { PATH_MAX_BYTES, reservedArea, textFault, withoutLeadingSlash } from './path.js';

/** glob: happn queries, happn 1/2 subscriptions, Haven. segments: happn 3/4 subscriptions. mqtt: topic filters. */
export type Dialect = 'glob' | 'segments' | 'mqtt';

/** Longest MQTT filter, and longest pattern with a wildcard in every dialect, in UTF-8 bytes. */
export const PATTERN_MAX_BYTES = 1_024;
/** Most levels of an MQTT filter, and of a `segments` pattern with a wildcard. */
export const PATTERN_MAX_LEVELS = 100;
/** Levels that a trailing `**` of the `segments` dialect covers when nothing else is said. */
export const DEFAULT_DEPTH = 5;

const SLASH = 0x2f;

/** In the levels of a pattern: any one level. */
export const ANY_LEVEL: unique symbol = Symbol('any level');
export type Level = string | typeof ANY_LEVEL;

export interface Pattern {
  readonly text: string;
  readonly dialect: Dialect;
  /** The one path it matches (glob, mqtt) when it has no wildcard; null otherwise, and always for segments. */
  readonly exact: string | null;
  /** Every match begins with this text (segments: always empty, since it ignores a leading slash): bounds a range scan. */
  readonly prefix: string;
  /** Largest number of extra levels of a trailing `**` (segments dialect); Infinity where there is no bound. */
  readonly depth: number;
  /** The reserved area that the first level spells out, in canonical form; null if it spells none. */
  readonly area: string | null;
  /** How it is matched; what an index goes by. */
  readonly form: PatternForm;
  /** Reserved areas included: false for a path in an area that the pattern does not spell out. */
  matches(path: string): boolean;
}

/**
 * literal: one text; `key` is compared with the path (segments: with the path without its leading slash).
 * glob: the literal pieces around the `*`s; the first and the last may be empty.
 * levels: one entry a level (segments: without the leading slash); `tailMin` is the least number of levels of a trailing
 * `#` (0) or `**` (1) and -1 when there is none.
 */
export type PatternForm =
  | { readonly type: 'literal'; readonly key: string }
  | { readonly type: 'glob'; readonly pieces: readonly string[] }
  | { readonly type: 'levels'; readonly levels: readonly Level[]; readonly tailMin: -1 | 0 | 1 };

/**
 * Parses `text`. `depth` counts for a trailing `**` of the segments dialect; anything but a whole number from 1 on means
 * DEFAULT_DEPTH, and more than PATTERN_MAX_LEVELS means that many. Throws RequestError INVALID_PATH for what `checkPath`
 * would refuse, for a malformed MQTT filter, and above PATTERN_MAX_BYTES or PATTERN_MAX_LEVELS.
 *
 * - glob: `*` is any run of characters, slashes included; both ends are anchored.
 * - segments: a leading slash means nothing, on both sides; a level `*` is any one level; a last level `**` is 1 to
 *   `depth` levels; `*` as the whole text is everything. Any other `*` is a plain character (so is a `**` in the
 *   middle): only a wildcard removal has such a path. A trailing slash makes an empty last level, which counts.
 * - mqtt: `+` and `#` by MQTT 3.1.1 section 4.7.
 */
export function parsePattern(text: string, dialect: Dialect, depth: number = DEFAULT_DEPTH): Pattern {
  const fault = textFault(text, 'pattern', dialect === 'mqtt' ? PATTERN_MAX_BYTES : PATH_MAX_BYTES);
  if (fault !== null) throw new RequestError('INVALID_PATH', fault);
  switch (dialect) {
    case 'glob':
      return parseGlob(text);
    case 'segments':
      return parseSegments(text, Number.isInteger(depth) && depth >= 1 ? Math.min(depth, PATTERN_MAX_LEVELS) : DEFAULT_DEPTH);
    case 'mqtt':
      return parseFilter(text);
  }
}

/** One shape for all patterns, so that callers see one kind of object. */
class ParsedPattern implements Pattern {
  constructor(
    readonly text: string,
    readonly dialect: Dialect,
    readonly exact: string | null,
    readonly prefix: string,
    readonly depth: number,
    readonly area: string | null,
    readonly form: PatternForm,
  ) {}

  matches(path: string): boolean {
    const { form } = this;
    const from = this.dialect === 'segments' && path.charCodeAt(0) === SLASH ? 1 : 0;
    switch (form.type) {
      case 'literal':
        // Spells out all of the path, so also its area.
        return path.length - from === form.key.length && path.endsWith(form.key);
      case 'glob':
        return globMatches(path, form.pieces) && this.#mayEnter(path);
      case 'levels':
        return levelsMatch(path, from, form.levels, form.tailMin, this.depth) && this.#mayEnter(path);
    }
  }

  #mayEnter(path: string): boolean {
    const area = reservedArea(path);
    return area === null || area === this.area;
  }
}

function parseGlob(text: string): Pattern {
  if (!text.includes('*')) return literal(text, 'glob');
  checkWildcardSize(text);
  const pieces = text.split('*');
  const first = pieces[0] as string;
  const last = pieces[pieces.length - 1] as string;
  const kept = [first, ...pieces.slice(1, -1).filter((piece) => piece !== ''), last];
  const area = reservedArea(text);
  // The area counts as spelled out only if no wildcard stands in the first level.
  const spelled = area !== null && !area.includes('*') ? area : null;
  return new ParsedPattern(text, 'glob', null, first, Number.POSITIVE_INFINITY, spelled, { type: 'glob', pieces: kept });
}

function parseSegments(text: string, depth: number): Pattern {
  if (text === '*') {
    const form: PatternForm = { type: 'glob', pieces: ['', ''] };
    return new ParsedPattern(text, 'segments', null, '', Number.POSITIVE_INFINITY, null, form);
  }
  const key = withoutLeadingSlash(text);
  const names = key.split('/');
  const deep = names[names.length - 1] === '**';
  if (!deep && !names.includes('*')) return literal(text, 'segments');
  checkWildcardSize(text);
  checkLevels(names.length);
  if (deep) names.pop();
  const levels = names.map((name): Level => (name === '*' ? ANY_LEVEL : name));
  const form: PatternForm = { type: 'levels', levels, tailMin: deep ? 1 : -1 };
  return new ParsedPattern(text, 'segments', null, '', deep ? depth : Number.POSITIVE_INFINITY, areaOfKey(key), form);
}

/** MQTT 3.1.1 section 4.7.1: `#` is alone in the last level, `+` alone in any. */
function parseFilter(text: string): Pattern {
  const names = text.split('/');
  checkLevels(names.length);
  for (const [at, name] of names.entries()) {
    if (name.includes('#') && (name !== '#' || at !== names.length - 1)) {
      throw new RequestError('INVALID_PATH', '# must stand alone in the last level of a filter');
    }
    if (name.includes('+') && name !== '+') throw new RequestError('INVALID_PATH', '+ must stand alone in its level of a filter');
  }
  const deep = names[names.length - 1] === '#';
  const firstWildcard = names.findIndex((name) => name === '+' || name === '#');
  if (firstWildcard === -1) return literal(text, 'mqtt');
  const head = names.slice(0, firstWildcard).join('/');
  // `a/#` also matches `a` [4.7.1.2]: the slash belongs to the prefix only where `+` needs it.
  const prefix = firstWildcard === 0 || names[firstWildcard] === '#' ? head : `${head}/`;
  if (deep) names.pop();
  const levels = names.map((name): Level => (name === '+' ? ANY_LEVEL : name));
  const form: PatternForm = { type: 'levels', levels, tailMin: deep ? 0 : -1 };
  return new ParsedPattern(text, 'mqtt', null, prefix, Number.POSITIVE_INFINITY, reservedArea(text), form);
}

function literal(text: string, dialect: Dialect): Pattern {
  const key = dialect === 'segments' ? withoutLeadingSlash(text) : text;
  const exact = dialect === 'segments' ? null : text;
  const form: PatternForm = { type: 'literal', key };
  const area = dialect === 'segments' ? areaOfKey(key) : reservedArea(text);
  return new ParsedPattern(text, dialect, exact, exact ?? '', Number.POSITIVE_INFINITY, area, form);
}

/** `key` has lost its leading slash: another one means an empty first level, which is no area. A `*` spells none. */
function areaOfKey(key: string): string | null {
  return key.startsWith('/') ? null : reservedArea(key);
}

/** A pattern costs memory and time with its length, a literal path only the memory of its text. */
function checkWildcardSize(text: string): void {
  if (text.length > PATTERN_MAX_BYTES || Buffer.byteLength(text) > PATTERN_MAX_BYTES) {
    throw new RequestError('INVALID_PATH', `pattern must be at most ${PATTERN_MAX_BYTES} bytes`);
  }
}

function checkLevels(count: number): void {
  if (count > PATTERN_MAX_LEVELS) throw new RequestError('INVALID_PATH', `pattern must have at most ${PATTERN_MAX_LEVELS} levels`);
}

/** Compares level by level from `start` on, without taking the path apart. */
function levelsMatch(path: string, start: number, levels: readonly Level[], tailMin: number, tailMax: number): boolean {
  let at = start;
  for (const level of levels) {
    if (at > path.length) return false;
    const slash = path.indexOf('/', at);
    const end = slash === -1 ? path.length : slash;
    if (level !== ANY_LEVEL && (end - at !== level.length || !path.startsWith(level, at))) return false;
    at = end + 1;
  }
  // `at` is one past the end when no level is left; at the end itself an empty last level is.
  if (tailMin === -1) return at > path.length;
  const rest = at > path.length ? 0 : countLevels(path, at, tailMax);
  return rest >= tailMin && rest <= tailMax;
}

/** Levels of `path` from `start` on, at least 1; stops counting above `max`, and does not count beyond 1 without a bound. */
export function countLevels(path: string, start: number, max: number): number {
  let count = 1;
  if (max === Number.POSITIVE_INFINITY) return count;
  for (let slash = path.indexOf('/', start); slash !== -1 && count <= max; slash = path.indexOf('/', slash + 1)) count += 1;
  return count;
}
