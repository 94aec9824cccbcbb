// Path: the rules every concrete address obeys, for all protocols, and the reserved areas.
// A path is never normalised: texts that differ in any character are different addresses.

import { RequestError } from '../errors.js';

/** Longest path in UTF-8 bytes. */
export const PATH_MAX_BYTES = 131_072;

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f]/;
const UTF8_BYTES_PER_UNIT_MAX = 3;

const SLASH = 0x2f;
const UNDERSCORE = 0x5f;
const DOLLAR = 0x24;

/** Areas of the gateway's own records, as they are written with their leading slash. */
const NAMED_AREAS: readonly string[] = ['/_SYSTEM', '/_HAVEN'];

/** Where the roles of this node and its quorums are kept: changed by control requests alone. */
export const CONTROL_AREA = '/_HAVEN/control/';
/** What the right `control` is needed on. */
export const CONTROL_PATH = '/_HAVEN/control';

/** Throws RequestError INVALID_PATH unless `text` can be an address; returns it unchanged. */
export function checkPath(text: unknown): string {
  const fault = textFault(text, 'path', PATH_MAX_BYTES);
  if (fault !== null) throw new RequestError('INVALID_PATH', fault);
  return text as string;
}

/**
 * Why `text` is refused, as a sentence about `what`; null when it is not: text, not empty, at most `maxBytes` of UTF-8,
 * without lone surrogates (they fold into one key on disk) and without control characters (MQTT 3.1.1 section 1.5.3).
 */
export function textFault(text: unknown, what: string, maxBytes: number): string | null {
  if (typeof text !== 'string') return `${what} must be text`;
  if (text.length === 0) return `${what} must not be empty`;
  if (text.length * UTF8_BYTES_PER_UNIT_MAX > maxBytes && Buffer.byteLength(text) > maxBytes) {
    return `${what} must be at most ${maxBytes} bytes`;
  }
  if (!text.isWellFormed()) return `${what} must be well-formed Unicode text`;
  if (CONTROL_CHARACTER.test(text)) return `${what} must not contain control characters`;
  return null;
}

/**
 * The reserved area a path lies in, else null: `/_SYSTEM`, `/_HAVEN`, or the first level of a path that begins with `$`.
 * `_SYSTEM/x` is another address than `/_SYSTEM/x` but lies in the same area, because subscriptions of the `segments`
 * dialect see no difference between the two. `/$x` is an ordinary path (MQTT 3.1.1 section 4.7.2).
 */
export function reservedArea(path: string): string | null {
  const first = path.charCodeAt(0);
  if (first === DOLLAR) {
    const end = path.indexOf('/');
    return end === -1 ? path : path.slice(0, end);
  }
  const start = first === SLASH ? 1 : 0;
  if (path.charCodeAt(start) !== UNDERSCORE) return null;
  for (const area of NAMED_AREAS) {
    const end = start + area.length - 1;
    if (path.startsWith(area.slice(1), start) && (path.length === end || path.charCodeAt(end) === SLASH)) return area;
  }
  return null;
}

/** Whether the path can be the topic of a message (MQTT 3.1.1 section 4.7.1), which is all that filters of MQTT match. */
export function isTopic(path: string): boolean {
  return !path.includes('+') && !path.includes('#');
}

/** `path` without its leading slash, if it has one: how the `segments` dialect sees it. */
export function withoutLeadingSlash(path: string): string {
  return path.charCodeAt(0) === SLASH ? path.slice(1) : path;
}
