// Scanner: finds where a MessagePack value ends and refuses what Haven does not speak, before anything is built from it.
// One linear pass over bytes as they come: it goes on where it stopped, so that tiny segments cost no second look.

import { isUtf8 } from 'node:buffer';
import { ConnectionError } from '../../core/index.js';
import { uint16At, uint32At, uintAt } from './integers.js';

export interface ScanLimits {
  /** Bytes of one message. */
  readonly maxBytes: number;
  /** Items of lists and entries of maps in one message, and the message itself. */
  readonly maxElements: number;
  /** Levels of lists and maps inside the message's own map or array. */
  readonly maxDepth: number;
}

/** Returned by `scan` while the value is not complete. */
export const INCOMPLETE = -1;

const TIMESTAMP = 0xff;
const NANOSECONDS_PER_SECOND = 1_000_000_000;
const NANOSECONDS_PER_MILLISECOND = 1_000_000;
/** Seconds on both sides of 1970 that a Date can tell. */
const DATE_SECONDS_MAX = 8_640_000_000_000;
const SAFE_HIGH_MAX = 0x1f_ffff;

/** Bytes after the first of each token from 0xc4 on: the length field of what has one, the body of what has none. */
const HEAD: readonly number[] = [1, 2, 4, 1, 2, 4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4];

export class Scanner {
  /**
   * Why the value scanned last cannot be taken although it is well formed (a number that a double cannot hold, a moment
   * that is no whole millisecond); null when it can.
   */
  problem: string | null = null;
  /** Bytes of the value that were scanned so far. */
  #scanned = 0;
  #elements = 0;
  /** What is still to come in the innermost container: items, or keys and values of a map; outside of all, the value itself. */
  #left = 1;
  #isMap = false;
  /** The same of the containers around it. */
  #depth = 0;
  readonly #outerLeft: number[] = [];
  readonly #outerIsMap: boolean[] = [];

  constructor(public limits: ScanLimits) {}

  /** Forgets the value that was begun. */
  reset(): void {
    this.problem = null;
    this.#scanned = 0;
    this.#elements = 0;
    this.#left = 1;
    this.#isMap = false;
    this.#depth = 0;
  }

  /**
   * Scans the value that begins at `bytes[start]`, as far as it is there (up to `end`, exclusive). Returns where it ends,
   * or INCOMPLETE; then it is to be called again with the same beginning and more behind it. After an end, `reset` comes
   * first. Throws ConnectionError MALFORMED_FRAME for what is no MessagePack or no Haven, FRAME_TOO_LARGE above a limit.
   */
  scan(bytes: Buffer, start: number, end: number): number {
    const { maxBytes } = this.limits;
    let at = start + this.#scanned;
    for (;;) {
      const next = at < end ? this.#token(bytes, at, end) : INCOMPLETE;
      if (next > start + maxBytes) throw tooLarge(`a message has more than ${maxBytes} bytes`);
      if (next > end || next === INCOMPLETE) {
        this.#scanned = at - start;
        if (end - start > maxBytes) throw tooLarge(`a message has more than ${maxBytes} bytes`);
        return INCOMPLETE;
      }
      at = next;
      this.#left -= 1;
      if (this.#left === 0 && this.#closeAll()) return at;
    }
  }

  /** Closes every container that is complete: true when the whole value is. */
  #closeAll(): boolean {
    while (this.#left === 0) {
      if (this.#depth === 0) return true;
      this.#depth -= 1;
      this.#left = this.#outerLeft[this.#depth] as number;
      this.#isMap = this.#outerIsMap[this.#depth] as boolean;
    }
    return false;
  }

  /** Where the token at `at` ends, which may be behind `end` (then nothing was noted); INCOMPLETE: its head is not there. */
  #token(bytes: Buffer, at: number, end: number): number {
    const first = bytes[at] as number;
    if (this.#isMap && (this.#left & 1) === 0) return keyEnd(bytes, at, end, first);
    if (first < 0x80 || first >= 0xe0) return at + 1;
    if (first < 0xa0) return this.#open(first & 0x0f, first < 0x90, at + 1);
    if (first < 0xc0) return at + 1 + (first & 0x1f);
    if (first >= 0xc4) return this.#wideToken(bytes, at, end, first);
    if (first === 0xc1) throw malformed('the byte c1 is no MessagePack');
    return at + 1;
  }

  #wideToken(bytes: Buffer, at: number, end: number, first: number): number {
    const body = at + 1 + (HEAD[first - 0xc4] as number);
    if (body > end) return first >= 0xca && first <= 0xd3 ? body : INCOMPLETE;
    switch (first) {
      case 0xc4:
      case 0xd9:
        return body + (bytes[at + 1] as number);
      case 0xc5:
      case 0xda:
        return body + uint16At(bytes, at + 1);
      case 0xc6:
      case 0xdb:
        return body + uint32At(bytes, at + 1);
      case 0xc7:
        return this.#extension(bytes, body, end, bytes[at + 1] as number);
      case 0xc8:
      case 0xc9:
        throw malformed('of the extension types only the timestamp is spoken here');
      case 0xca:
        this.#checkFloat(bytes.readFloatBE(at + 1));
        return body;
      case 0xcb:
        this.#checkFloat(bytes.readDoubleBE(at + 1));
        return body;
      case 0xcf:
        if (uint32At(bytes, at + 1) > SAFE_HIGH_MAX) this.#outOfRange();
        return body;
      case 0xd3:
        this.#checkInt64(bytes.readInt32BE(at + 1), uint32At(bytes, at + 5));
        return body;
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(bytes, body, end, 1 << (first - 0xd4));
      case 0xdc:
        return this.#open(uint16At(bytes, at + 1), false, body);
      case 0xdd:
        return this.#open(uint32At(bytes, at + 1), false, body);
      case 0xde:
        return this.#open(uint16At(bytes, at + 1), true, body);
      case 0xdf:
        return this.#open(uint32At(bytes, at + 1), true, body);
      default:
        return body;
    }
  }

  #open(count: number, isMap: boolean, body: number): number {
    if (this.#depth > this.limits.maxDepth) throw tooLarge(`a message is nested deeper than ${this.limits.maxDepth}`);
    this.#elements += count;
    if (this.#elements >= this.limits.maxElements) throw tooLarge(`a message has more than ${this.limits.maxElements} elements`);
    if (count === 0) return body;
    // The token itself is still to be counted: here, not there.
    this.#outerLeft[this.#depth] = this.#left - 1;
    this.#outerIsMap[this.#depth] = this.#isMap;
    this.#depth += 1;
    this.#left = (isMap ? 2 * count : count) + 1;
    this.#isMap = isMap;
    return body;
  }

  /** `at` is at the type byte. */
  #extension(bytes: Buffer, at: number, end: number, length: number): number {
    if (at >= end) return INCOMPLETE;
    if (bytes[at] !== TIMESTAMP || (length !== 4 && length !== 8 && length !== 12)) {
      throw malformed('of the extension types only the timestamp is spoken here');
    }
    const body = at + 1;
    if (body + length <= end) this.#checkTimestamp(bytes, body, length);
    return body + length;
  }

  #checkTimestamp(bytes: Buffer, at: number, length: number): void {
    if (length === 4) return;
    const nanoseconds = length === 8 ? uint32At(bytes, at) >>> 2 : uint32At(bytes, at);
    if (nanoseconds >= NANOSECONDS_PER_SECOND) throw malformed('a timestamp has a second or more of nanoseconds');
    if (nanoseconds % NANOSECONDS_PER_MILLISECOND !== 0) {
      this.problem = 'a timestamp must be in whole milliseconds';
    }
    if (length === 12) {
      const seconds = Number(bytes.readBigInt64BE(at + 4));
      const last = seconds === DATE_SECONDS_MAX && nanoseconds > 0;
      if (seconds < -DATE_SECONDS_MAX || seconds > DATE_SECONDS_MAX || last) {
        this.problem = 'a timestamp lies beyond the years that can be told';
      }
    }
  }

  #checkFloat(value: number): void {
    if (!Number.isFinite(value)) this.problem = 'a number must be finite';
  }

  #checkInt64(high: number, low: number): void {
    if (high > SAFE_HIGH_MAX || high < -SAFE_HIGH_MAX - 1 || (high === -SAFE_HIGH_MAX - 1 && low === 0)) this.#outOfRange();
  }

  #outOfRange(): void {
    this.problem = 'an integer must lie within -(2^53 - 1) and 2^53 - 1';
  }
}

/** As `#token`. Keys are text: str or bin (old clients know only one of the two), in UTF-8. */
function keyEnd(bytes: Buffer, at: number, end: number, first: number): number {
  let from = at + 1;
  let length = first & 0x1f;
  if (first < 0xa0 || first >= 0xc0) {
    const width = first >= 0xd9 && first <= 0xdb ? 1 << (first - 0xd9) : first >= 0xc4 && first <= 0xc6 ? 1 << (first - 0xc4) : 0;
    if (width === 0) throw malformed('a key of a map must be text');
    from += width;
    if (from > end) return INCOMPLETE;
    length = uintAt(bytes, at + 1, width);
  }
  const to = from + length;
  if (to <= end && !isText(bytes, from, to)) throw malformed('a key of a map must be UTF-8');
  return to;
}

/** Whether the bytes are UTF-8; short plain ASCII, the usual case, without a call into the runtime. */
export function isText(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    if ((bytes[at] as number) >= 0x80) return isUtf8(bytes.subarray(at, to));
  }
  return true;
}

function malformed(message: string): ConnectionError {
  return new ConnectionError('MALFORMED_FRAME', message);
}

function tooLarge(message: string): ConnectionError {
  return new ConnectionError('FRAME_TOO_LARGE', message);
}
