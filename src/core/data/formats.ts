// The formats that need no library: json, raw (bytes of unknown meaning) and binary. All of them are total: bytes of any
// kind become a value, and every value becomes bytes. What raw bytes mean is decided here and nowhere else.

import { isUtf8 } from 'node:buffer';
import type { Format, Value } from './payload.js';
import { binaryDocument } from './value.js';

/** Raw bytes nested deeper than this are text, not JSON: `[[1]]` has depth 2. At most 32. */
export const RAW_DEPTH_MAX = 32;
/** Raw bytes with more values than this (each list, map, entry and item counts one) are text, not JSON. */
export const RAW_ELEMENTS_MAX = 65_536;

export interface JsonLimits {
  /** Nesting of lists and maps; at most 32. */
  readonly depthMax: number;
  /** Values of every kind, containers included. */
  readonly elementsMax: number;
}

const RAW_LIMITS: JsonLimits = Object.freeze({ depthMax: RAW_DEPTH_MAX, elementsMax: RAW_ELEMENTS_MAX });

/** JSON text, checked on its way in. Dates become ISO texts, bytes become {"$binary":{"base64":…,"subType":"00"}}. */
export const json: Format = {
  id: 1,
  name: 'json',
  toValue: (bytes) => JSON.parse(textOf(bytes)) as Value,
  fromValue: (value) => Buffer.from(jsonText(value)),
};

/**
 * Bytes that came without a word about their meaning. They mean JSON if `isExactJson` says so, else text if they are
 * UTF-8, else bytes. No bytes at all mean the empty text.
 *
 * The other way: bytes as they are; a text as itself, unless it is empty or would be read as JSON, then as a JSON text;
 * everything else as JSON. So a text comes back as the same text, whatever it looks like.
 */
export const raw: Format = {
  id: 3,
  name: 'raw',
  toValue(bytes) {
    if (!isUtf8(bytes)) return bytes;
    const text = textOf(bytes);
    return isExactJson(bytes, RAW_LIMITS) ? (JSON.parse(text) as Value) : text;
  },
  fromValue(value) {
    if (typeof value === 'string') return rawText(value);
    return value instanceof Uint8Array ? value : json.fromValue(value);
  },
};

/** Bytes that their sender called bytes: never looked into. What is no bytes is written as raw would. */
export const binary: Format = {
  id: 4,
  name: 'binary',
  toValue: (bytes) => bytes,
  fromValue: (value) => raw.fromValue(value),
};

/**
 * JSON text of any value; never throws. U+2028 and U+2029 are written as escapes, so that the text is also valid
 * JavaScript (happn frames need that).
 */
export function jsonText(value: Value): string {
  const text = holdsBytes(value) ? writeJson(value) : JSON.stringify(value);
  return text.includes('\u2028') || text.includes('\u2029') ? escapeSeparators(text) : text;
}

function escapeSeparators(text: string): string {
  return text.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

/** Bytes are the only values that JSON.stringify would write otherwise than we do. */
function holdsBytes(value: Value): boolean {
  if (value === null || typeof value !== 'object' || value instanceof Date) return false;
  if (value instanceof Uint8Array) return true;
  if (Array.isArray(value)) return value.some(holdsBytes);
  for (const key of Object.keys(value)) if (holdsBytes(value[key] as Value)) return true;
  return false;
}

function writeJson(value: Value): string {
  if (value === null || typeof value !== 'object' || value instanceof Date) return JSON.stringify(value);
  if (value instanceof Uint8Array) return JSON.stringify(binaryDocument(value));
  if (Array.isArray(value)) return `[${value.map(writeJson).join(',')}]`;
  const members = Object.keys(value).map((key) => `${JSON.stringify(key)}:${writeJson(value[key] as Value)}`);
  return `{${members.join(',')}}`;
}

/** A text that UTF-8 cannot hold (a lone surrogate) goes as JSON too, whose escapes can. */
function rawText(text: string): Uint8Array {
  if (text === '' || !text.isWellFormed()) return json.fromValue(text);
  const bytes = Buffer.from(text);
  return isExactJson(bytes, RAW_LIMITS) ? json.fromValue(text) : bytes;
}

function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString('utf8');
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const LIST = 0x5b;
const LIST_END = 0x5d;
const BACKSLASH = 0x5c;
const MAP = 0x7b;
const MAP_END = 0x7d;
const LITERALS = new Map([
  [0x66, Buffer.from('false')],
  [0x6e, Buffer.from('null')],
  [0x74, Buffer.from('true')],
]);
const ESCAPES = new Set(Buffer.from('"\\/bfnrt'));

/**
 * Whether `bytes` (valid UTF-8) are one JSON text (RFC 8259) within the limits, each of whose numbers a double holds
 * without losing a digit. One pass, no recursion; stops at the first byte that says no, which for most texts is the first.
 */
export function isExactJson(bytes: Uint8Array, limits: JsonLimits): boolean {
  let at = skipSpace(bytes, 0);
  let depth = 0;
  let elements = 0;
  /** One bit for each open container, the innermost lowest: 1 for a map. */
  let maps = 0;
  for (;;) {
    // A value begins here.
    if (++elements > limits.elementsMax) return false;
    const first = bytes[at];
    if (first === MAP || first === LIST) {
      if (++depth > limits.depthMax) return false;
      const map = first === MAP;
      maps = (maps << 1) | (map ? 1 : 0);
      at = skipSpace(bytes, at + 1);
      if (bytes[at] !== (map ? MAP_END : LIST_END)) {
        if (map) at = skipKey(bytes, at);
        if (at < 0) return false;
        continue;
      }
    } else {
      at = skipScalar(bytes, at);
      if (at < 0) return false;
      at = skipSpace(bytes, at);
    }
    // A value has ended, or (just after an empty container) the next byte ends one.
    while (depth > 0 && bytes[at] === ((maps & 1) === 1 ? MAP_END : LIST_END)) {
      depth--;
      maps >>>= 1;
      at = skipSpace(bytes, at + 1);
    }
    if (depth === 0) return at === bytes.length;
    if (bytes[at] !== COMMA) return false;
    at = skipSpace(bytes, at + 1);
    if ((maps & 1) === 1) at = skipKey(bytes, at);
    if (at < 0) return false;
  }
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at++;
  }
}

/** The functions below return where what they skip ends; -1 when it is not there. */
function skipKey(bytes: Uint8Array, from: number): number {
  if (bytes[from] !== QUOTE) return -1;
  let at = skipText(bytes, from);
  if (at < 0) return -1;
  at = skipSpace(bytes, at);
  return bytes[at] === COLON ? skipSpace(bytes, at + 1) : -1;
}

function skipScalar(bytes: Uint8Array, from: number): number {
  const first = bytes[from];
  if (first === undefined) return -1;
  if (first === QUOTE) return skipText(bytes, from);
  if (first === MINUS || isDigit(first)) return skipNumber(bytes, from);
  const literal = LITERALS.get(first);
  if (literal === undefined) return -1;
  for (let i = 1; i < literal.length; i++) if (bytes[from + i] !== literal[i]) return -1;
  return from + literal.length;
}

function skipText(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  for (;;) {
    const byte = bytes[at];
    if (byte === undefined || byte < 0x20) return -1;
    at++;
    if (byte === QUOTE) return at;
    if (byte !== BACKSLASH) continue;
    const escaped = bytes[at++];
    if (escaped === 0x75) {
      for (const end = at + 4; at < end; at++) if (!isHexDigit(bytes[at])) return -1;
    } else if (escaped === undefined || !ESCAPES.has(escaped)) {
      return -1;
    }
  }
}

function skipNumber(bytes: Uint8Array, from: number): number {
  let at = bytes[from] === MINUS ? from + 1 : from;
  const whole = at;
  at = skipDigits(bytes, at);
  if (at === whole || (bytes[whole] === ZERO && at > whole + 1)) return -1;
  let digits = at - whole;
  if (bytes[at] === POINT) {
    const fraction = at + 1;
    at = skipDigits(bytes, fraction);
    if (at === fraction) return -1;
    digits += at - fraction;
  }
  let exponentDigits = 0;
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    at++;
    if (bytes[at] === 0x2b || bytes[at] === MINUS) at++;
    const exponent = at;
    at = skipDigits(bytes, exponent);
    if (at === exponent) return -1;
    exponentDigits = at - exponent;
  }
  // Any 15 digits survive a double, as long as its exponent range is not left.
  if (digits <= 15 && exponentDigits <= 2) return at;
  return isExactNumber(Buffer.from(bytes.subarray(from, at)).toString('latin1')) ? at : -1;
}

function skipDigits(bytes: Uint8Array, from: number): number {
  let at = from;
  while (isDigit(bytes[at])) at++;
  return at;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

function isHexDigit(byte: number | undefined): boolean {
  return isDigit(byte) || (byte !== undefined && (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66);
}

/**
 * Whether no digit of the decimal `literal` (as JSON writes numbers) is lost in a double: its digits and exponent are
 * those of the double's shortest print. Trailing zeros and the sign of zero are no digits in this sense.
 */
export function isExactNumber(literal: string): boolean {
  const number = Number(literal);
  if (!Number.isFinite(number)) return false;
  const meant = decimal(literal);
  const kept = decimal(String(number));
  return meant.digits === kept.digits && meant.exponent === kept.exponent;
}

/** The value is 0.digits times ten to the exponent; digits without zeros at either end; zero is '' and 0. */
function decimal(literal: string): { digits: string; exponent: number } {
  const unsigned = literal.startsWith('-') ? literal.slice(1) : literal;
  const e = unsigned.search(/e/i);
  const mantissa = e < 0 ? unsigned : unsigned.slice(0, e);
  const point = mantissa.indexOf('.');
  const digits = point < 0 ? mantissa : mantissa.slice(0, point) + mantissa.slice(point + 1);
  let start = 0;
  while (digits.charCodeAt(start) === ZERO) start++;
  let end = digits.length;
  while (end > start && digits.charCodeAt(end - 1) === ZERO) end--;
  if (start === end) return { digits: '', exponent: 0 };
  const exponent = (e < 0 ? 0 : Number(unsigned.slice(e + 1))) + (point < 0 ? digits.length : point) - start;
  return { digits: digits.slice(start, end), exponent };
}
