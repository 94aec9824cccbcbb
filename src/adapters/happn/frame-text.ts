// From the text of a message to a frame: what a text may hold is checked before it is parsed. Pure functions.

import { isExactNumber, RequestError } from '../../core/index.js';
import { isFields } from './fields.js';
import type { Frame, FrameLimits } from './wire.js';

const OPEN_BRACE = 123;
const OPEN_BRACKET = 91;
const CLOSE_BRACE = 125;
const CLOSE_BRACKET = 93;
const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;

/**
 * Refuses a text that holds more than a frame may, before it is parsed. Throws LIMIT_EXCEEDED. Most frames are so short and flat
 * that counting their brackets is enough; the others are scanned once.
 */
export function checkFrameText(text: string, limits: FrameLimits): void {
  if (text.length > limits.maxBytes) throw tooMuch(`a frame of ${text.length} bytes`, `${limits.maxBytes} bytes`);
  // An element takes two characters at least.
  if (text.length <= limits.maxElements * 2 && opensAtMost(text, limits.maxDepth)) return;
  scan(text, limits);
}

function opensAtMost(text: string, max: number): boolean {
  let count = 0;
  for (let at = text.indexOf('{'); at !== -1; at = text.indexOf('{', at + 1)) if (++count > max) return false;
  for (let at = text.indexOf('['); at !== -1; at = text.indexOf('[', at + 1)) if (++count > max) return false;
  return true;
}

function scan(text: string, limits: FrameLimits): void {
  let depth = 0;
  let elements = 1;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth += 1;
      elements += 1;
      if (depth > limits.maxDepth) throw tooMuch('nesting', `${limits.maxDepth} levels`);
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth -= 1;
    } else if (code === COMMA) {
      elements += 1;
    }
    if (elements > limits.maxElements) throw tooMuch('a frame', `${limits.maxElements} elements`);
  }
}

/** Index of the quote that ends the string which begins at `at`. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

function tooMuch(what: string, limit: string): RequestError {
  return new RequestError('LIMIT_EXCEEDED', `${what} is more than this connection may send: at most ${limit}`);
}

/** A frame is an object; null for broken JSON and for everything else, which is not answered. */
export function parseFrame(text: string): Frame | null {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return null;
  }
  return isFields(frame) ? frame : null;
}

const HEAD = /^\s*\{\s*"action"\s*:\s*"([a-z-]{1,40})"\s*,\s*"eventId"\s*:\s*(\d{1,15})\s*,/;

/** What the beginning of an unparsed text says about itself, so that its refusal reaches the one who waits for it. */
export function peekFrame(text: string): Frame {
  const head = HEAD.exec(text.slice(0, 200));
  return head === null ? {} : { action: head[1], eventId: Number(head[2]) };
}

// Literals that may not come back as they were: many digits, and exponents of three digits (generated ids look alike, up to
// what follows them).
const SUSPECT_NUMBER = /[\d.]{16}|\d[eE]\+?\d{3,}\s*[,\]}]/;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;

/** Throws INVALID_REQUEST for a number of which a double loses a digit: it is refused, never rounded. */
export function checkNumbers(text: string): void {
  if (!SUSPECT_NUMBER.test(text)) return;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
    } else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      NUMBER.lastIndex = at;
      const literal = NUMBER.exec(text)?.[0] ?? '';
      if (!isExactNumber(literal)) {
        throw new RequestError('INVALID_REQUEST', `the number ${literal.slice(0, 40)} cannot be kept exactly`);
      }
      at += literal.length - 1;
    }
  }
}
