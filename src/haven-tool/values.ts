// Values on the command line: what a word means, and how a value is shown. Bytes have the JSON form of the gateway,
// {"$binary":{"base64":…,"subType":"00"}}, in both directions.

import { readFileSync } from 'node:fs';
import { isExactNumber, jsonText } from '../core/data/formats.js';
import type { Value } from '../core/data/payload.js';
import { binaryFromDocument, escapeControls, isDocument } from '../core/data/value.js';
import { reasonOf } from '../system-error.js';
import { UsageError } from './usage-error.js';

/** Bytes that are shown of a longer value. */
const SHOWN_BYTES = 16;
/** Texts, and between them what may be numbers. */
const JSON_TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/** `@file`: its bytes; JSON if it is JSON; else text. `asText`: the word as it is. Throws UsageError. */
export function valueIn(word: string, asText = false): Value {
  if (asText) return word;
  if (word.startsWith('@')) return fileBytes(word.slice(1));
  const parsed = parseJson(word);
  return parsed === undefined ? word : checked(word, parsed);
}

/** JSON on the command line, or in `@file`. Throws UsageError for anything else. */
export function jsonOf(word: string, what: string): Value {
  const text = word.startsWith('@') ? fileBytes(word.slice(1)).toString('utf8') : word;
  const parsed = parseJson(text);
  if (parsed === undefined) throw new UsageError(`${what} must be JSON`);
  return checked(text, parsed);
}

/** A map in JSON. */
export function mapOf(word: string, what: string): object {
  const value = jsonOf(word, what);
  if (!isDocument(value)) throw new UsageError(`${what} must be a map in JSON`);
  return value;
}

export function fileBytes(name: string): Buffer {
  try {
    return readFileSync(name);
  } catch (error) {
    throw new UsageError(`cannot read the file ${name}: ${reasonOf(error)}`);
  }
}

/** undefined: it is no JSON. */
function parseJson(text: string): Value | undefined {
  try {
    return JSON.parse(text) as Value;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function checked(text: string, value: Value): Value {
  for (const [token] of text.matchAll(JSON_TOKENS)) {
    if (!token.startsWith('"') && !isExactNumber(token)) throw new UsageError(`the number ${token} cannot be kept exactly`);
  }
  return withBytes(value);
}

function withBytes(value: Value): Value {
  if (Array.isArray(value)) return value.map(withBytes);
  if (!isDocument(value)) return value;
  const bytes = binaryFromDocument(value);
  if (bytes !== null) return bytes;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withBytes(item)]));
}

/** One line for a person. */
export function shownValue(value: unknown): string {
  if (typeof value === 'string') return shownText(value);
  if (!(value instanceof Uint8Array)) return shownText(jsonText(value as Value));
  const first = Buffer.from(value.subarray(0, SHOWN_BYTES))
    .toString('hex')
    .replace(/..(?=.)/g, '$& ');
  const rest = value.length > SHOWN_BYTES ? ' …' : '';
  return value.length === 0 ? '<0 bytes>' : `<${value.length} bytes: ${first}${rest}>`;
}

/** Text that can neither break a line nor command a terminal. */
export function shownText(text: string): string {
  return escapeControls(text.replaceAll('\n', '\\n').replaceAll('\t', '\\t'));
}

/** As MQTT would get it: bytes and text as they are, everything else as JSON. */
export function rawBytes(value: unknown): string | Uint8Array {
  return typeof value === 'string' || value instanceof Uint8Array ? value : jsonText(value as Value);
}
