// Generated MessagePack: values in every form that the wire has for them, shortest or not, each with what it means; and streams of
// them, cut into segments.

import { pick, type Random } from '../../support/random.js';

/** One value on the wire. */
export interface WireValue {
  readonly bytes: Buffer;
  /** As the core has it; of no account when it is not takeable. */
  readonly meaning: unknown;
  /** It is MessagePack, but nothing that the core could keep as it is. */
  readonly isTakeable: boolean;
  /** Other implementations read it alike: no bytes that should be text, no keys that are bytes or have a meaning in JavaScript. */
  readonly isCommon: boolean;
}

const TEXTS = [
  '',
  'a',
  'action',
  'ünïcode',
  '€',
  '🙂',
  '\u0000',
  '__proto__',
  'constructor',
  'x'.repeat(31),
  'y'.repeat(32),
  'z'.repeat(300),
];
const LONG_TEXT = 'ä'.repeat(33_000);
const NO_TEXT = [Buffer.of(0xff), Buffer.of(0xc3, 0x28), Buffer.of(0xed, 0xa0, 0x80), Buffer.of(0x61, 0x80)];
const INTEGERS = [
  0,
  1,
  0x7f,
  0x80,
  0xff,
  0x100,
  0xffff,
  0x1_0000,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_ffff,
  2 ** 32,
  2 ** 53 - 2,
  2 ** 53 - 1,
];
const BEYOND = [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 53n), -(2n ** 63n)];
const FLOATS = [0, -0, 1.5, -2.25, 1e300, 5e-324, Number.MAX_SAFE_INTEGER + 1, 0.1];
const DEPTH_MAX = 5;

function plain(bytes: Buffer, meaning: unknown, isCommon = true): WireValue {
  return { bytes, meaning, isTakeable: true, isCommon };
}

function notTakeable(bytes: Buffer): WireValue {
  return { bytes, meaning: undefined, isTakeable: false, isCommon: false };
}

function head(token: number, width: number, value: number): Buffer {
  const bytes = Buffer.alloc(1 + width);
  bytes[0] = token;
  if (width > 0) bytes.writeUIntBE(value, 1, width);
  return bytes;
}

/** `[token, width, most]` of the forms with a length; a length in the token itself has width 0. */
type Form = readonly [token: number, width: number, most: number];
const STR: readonly Form[] = [
  [0xa0, 0, 31],
  [0xd9, 1, 0xff],
  [0xda, 2, 0xffff],
  [0xdb, 4, 0xffff_ffff],
];
const BIN: readonly Form[] = [
  [0xc4, 1, 0xff],
  [0xc5, 2, 0xffff],
  [0xc6, 4, 0xffff_ffff],
];
const LIST: readonly Form[] = [
  [0x90, 0, 15],
  [0xdc, 2, 0xffff],
  [0xdd, 4, 0xffff_ffff],
];
const MAP: readonly Form[] = [
  [0x80, 0, 15],
  [0xde, 2, 0xffff],
  [0xdf, 4, 0xffff_ffff],
];

/** Any form that has room for the length. */
function lengthHead(forms: readonly Form[], length: number, next: Random): Buffer {
  const [token, width] = pick(
    forms.filter(([, , most]) => length <= most),
    next,
  );
  return width === 0 ? Buffer.of(token | length) : head(token, width, length);
}

function integer(next: Random): WireValue {
  const size = pick(INTEGERS, next);
  const value = next(2) === 0 ? size : -size || 0;
  const forms: Buffer[] = [];
  if (value >= 0) {
    if (value < 0x80) forms.push(Buffer.of(value));
    for (const [token, width] of [
      [0xcc, 1],
      [0xcd, 2],
      [0xce, 4],
    ] as const)
      if (value < 2 ** (8 * width)) forms.push(head(token, width, value));
    forms.push(wide(0xcf, BigInt(value)));
  }
  if (value < 0 && value >= -32) forms.push(Buffer.of(value + 0x100));
  for (const [token, width] of [
    [0xd0, 1],
    [0xd1, 2],
    [0xd2, 4],
  ] as const) {
    if (value < -(2 ** (8 * width - 1)) || value >= 2 ** (8 * width - 1)) continue;
    const bytes = Buffer.alloc(1 + width);
    bytes[0] = token;
    bytes.writeIntBE(value, 1, width);
    forms.push(bytes);
  }
  forms.push(wide(0xd3, BigInt(value)));
  return plain(pick(forms, next), value);
}

function wide(token: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = token;
  if (token === 0xcf) bytes.writeBigUInt64BE(value, 1);
  else bytes.writeBigInt64BE(value, 1);
  return bytes;
}

function beyond(next: Random): WireValue {
  const value = pick(BEYOND, next);
  const isSigned = value < 2n ** 63n;
  return notTakeable(wide(value < 0n || (isSigned && next(2) === 0) ? 0xd3 : 0xcf, value));
}

function float(next: Random): WireValue {
  const value = pick(FLOATS, next);
  if (next(2) === 0 || Math.fround(value) !== value) {
    const bytes = Buffer.alloc(9);
    bytes[0] = 0xcb;
    bytes.writeDoubleBE(value, 1);
    return plain(bytes, value);
  }
  const bytes = Buffer.alloc(5);
  bytes[0] = 0xca;
  bytes.writeFloatBE(value, 1);
  // msgpackr gives a short float the fewest digits that mean it.
  return plain(bytes, value);
}

function infinite(next: Random): WireValue {
  return notTakeable(
    Buffer.from(pick(['ca7f800000', 'caff800000', 'ca7fc00000', 'cb7ff0000000000000', 'cb7ff8000000000000'], next), 'hex'),
  );
}

function textOf(next: Random): string {
  return next(2_000) === 0 ? LONG_TEXT : pick(TEXTS, next);
}

function text(next: Random): WireValue {
  const meaning = textOf(next);
  const body = Buffer.from(meaning);
  return plain(Buffer.concat([lengthHead(STR, body.length, next), body]), meaning);
}

/** What old clients send as raw although it is no text. */
function oldBytes(next: Random): WireValue {
  const body = Buffer.concat([pick(NO_TEXT, next), Buffer.alloc(next(40))]);
  return plain(Buffer.concat([lengthHead(STR, body.length, next), body]), body, false);
}

function bytes(next: Random): WireValue {
  const body = Buffer.alloc(next(1_000) === 0 ? 70_000 : next(40), next(256));
  return plain(Buffer.concat([lengthHead(BIN, body.length, next), body]), body);
}

function date(next: Random): WireValue {
  const seconds = pick([0, 1, 1_700_000_000, 2 ** 32 - 1], next);
  const milliseconds = next(1_000);
  const moment = new Date(seconds * 1_000 + milliseconds);
  const nanoseconds = milliseconds * 1_000_000;
  const odd = next(8) === 0 ? 1 + next(999_999) : 0;
  switch (next(3)) {
    case 0:
      return plain(Buffer.concat([Buffer.of(0xd6, 0xff), uint32(seconds)]), new Date(seconds * 1_000));
    case 1: {
      const body = Buffer.concat([uint32((nanoseconds + odd) * 4), uint32(seconds)]);
      const whole = Buffer.concat([Buffer.of(0xd7, 0xff), body]);
      return odd === 0 ? plain(whole, moment) : notTakeable(whole);
    }
    default: {
      const early = next(2) === 0;
      const signed = Buffer.alloc(8);
      signed.writeBigInt64BE(BigInt(early ? -seconds : seconds));
      const whole = Buffer.concat([Buffer.of(0xc7, 12, 0xff), uint32(nanoseconds + odd), signed]);
      return odd === 0 ? plain(whole, early ? new Date(-seconds * 1_000 + milliseconds) : moment, !early) : notTakeable(whole);
    }
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function tooFar(next: Random): WireValue {
  const seconds = Buffer.alloc(8);
  seconds.writeBigInt64BE(pick([8_640_000_000_001n, -8_640_000_000_001n, 2n ** 62n], next));
  return notTakeable(Buffer.concat([Buffer.of(0xc7, 12, 0xff), uint32(0), seconds]));
}

function list(next: Random, depth: number): WireValue {
  const items = Array.from({ length: next(20) === 0 ? 16 + next(20) : next(5) }, () => wireValue(next, depth + 1));
  return container(lengthHead(LIST, items.length, next), items, () => items.map(({ meaning }) => meaning));
}

function map(next: Random, depth: number): WireValue {
  const entries = Array.from({ length: next(20) === 0 ? 16 + next(20) : next(5) }, () => [key(next), wireValue(next, depth + 1)] as const);
  const parts = entries.flatMap((entry) => [...entry]);
  return container(lengthHead(MAP, entries.length, next), parts, () => {
    const meaning = {};
    for (const [{ meaning: name }, { meaning: value }] of entries) {
      Object.defineProperty(meaning, name as string, { value, enumerable: true, writable: true, configurable: true });
    }
    return meaning;
  });
}

/** Text, or the bytes of a text. */
function key(next: Random): WireValue {
  const meaning = textOf(next);
  const body = Buffer.from(meaning);
  const asBytes = next(8) === 0;
  const isCommon = !asBytes && meaning !== '__proto__';
  return plain(Buffer.concat([lengthHead(asBytes ? BIN : STR, body.length, next), body]), meaning, isCommon);
}

function container(first: Buffer, parts: readonly WireValue[], meaning: () => unknown): WireValue {
  const isTakeable = parts.every((part) => part.isTakeable);
  return {
    bytes: Buffer.concat([first, ...parts.map((part) => part.bytes)]),
    meaning: isTakeable ? meaning() : undefined,
    isTakeable,
    isCommon: parts.every((part) => part.isCommon),
  };
}

const LITERALS: readonly WireValue[] = [plain(Buffer.of(0xc0), null), plain(Buffer.of(0xc2), false), plain(Buffer.of(0xc3), true)];
const SCALARS = [integer, integer, float, text, text, bytes, date, oldBytes, (next: Random): WireValue => pick(LITERALS, next)];
/** Each makes everything around it untakeable. */
const UNTAKEABLE = [beyond, infinite, tooFar];

export function wireValue(next: Random, depth = 0): WireValue {
  if (depth < DEPTH_MAX && next(3) === 0) return next(2) === 0 ? list(next, depth) : map(next, depth);
  return next(60) === 0 ? pick(UNTAKEABLE, next)(next) : pick(SCALARS, next)(next);
}

/** A list or a map, as every message is. */
export function wireMessage(next: Random): WireValue {
  return next(2) === 0 ? list(next, 0) : map(next, 0);
}

/** The bytes in pieces: all at once, one by one, or however. */
export function segments(bytes: Buffer, next: Random): Buffer[] {
  const most = pick([1, 3, 50, 1_500, bytes.length], next);
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + next(Math.min(most, bytes.length)));
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}
