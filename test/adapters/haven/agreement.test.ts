// The scanner, the readers behind it, the two framings and another implementation of MessagePack agree on where each value ends and
// what it means: on 1,000,000 generated values in the long run, a hundredth of them otherwise.

import { describe, expect, it } from 'vitest';
import { Deframer } from '../../../src/adapters/haven/framing.js';
import { readValue, skipValue } from '../../../src/adapters/haven/msgpack.js';
import { INCOMPLETE, Scanner } from '../../../src/adapters/haven/scanner.js';
import { ConnectionError } from '../../../src/core/index.js';
import { unpack } from '../../support/haven-client.js';
import { pick, type Random, randomOf } from '../../support/random.js';
import { LIMITS } from './support.js';
import { segments, type WireValue, wireMessage, wireValue } from './wire-values.js';

const VALUES = process.env.TRIVIUM_TEST_LONG === '1' ? 1_000_000 : 10_000;
const SEED = Number(process.env.TRIVIUM_FUZZ_SEED ?? 7_854);
const MESSAGES_IN_STREAM = 20;
/** Kinder to long lists than the gateway. */
const ROOMY = { ...LIMITS, maxBytes: 64 * 1024 * 1024 };

/** As the core compares values: bytes by their bytes, -0 is not 0, own keys alone, in their order. */
function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof Date) return b instanceof Date && a.getTime() === b.getTime();
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, index) => isSame(item, b[index]));
  if (Array.isArray(b) || b instanceof Uint8Array || b instanceof Date) return false;
  const names = Object.keys(a);
  const others = Object.keys(b);
  return names.length === others.length && names.every((name, index) => others[index] === name && isSame(own(a, name), own(b, name)));
}

function own(map: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(map, name)?.value;
}

/** Fails with the bytes that nobody can guess. */
function agree(what: string, bytes: Buffer, isTrue: boolean): void {
  if (!isTrue) expect.fail(`${what}: ${bytes.toString('hex').slice(0, 2_000)}`);
}

describe('scanner and readers', () => {
  it(`agree on ${VALUES} values, in whatever pieces they come`, () => {
    const next = randomOf(SEED);
    const scanner = new Scanner(ROOMY);
    for (let n = 0; n < VALUES; n++) {
      const { bytes, meaning, isTakeable, isCommon } = wireValue(next);
      scanner.reset();
      agree('the end', bytes, scanner.scan(bytes, 0, bytes.length) === bytes.length);
      agree('takeable', bytes, (scanner.problem === null) === isTakeable);
      agree('the end when it is skipped', bytes, skipValue(bytes, 0) === bytes.length);
      if (isTakeable) agree('the meaning', bytes, isSame(readValue(bytes, 0), meaning));
      if (isTakeable && isCommon) agree('the meaning to another implementation', bytes, isSame(unpack(bytes), meaning));
      scanner.reset();
      agree('the end, in pieces', bytes, endInPieces(scanner, bytes, next) === bytes.length);
      agree('takeable, in pieces', bytes, (scanner.problem === null) === isTakeable);
    }
  }, 1_800_000);

  it(`agree on ${VALUES} values with a few bytes changed: what is let through ends where it is skipped to, and is read`, () => {
    const next = randomOf(SEED + 1);
    const scanner = new Scanner(LIMITS);
    const counts = { refused: 0, incomplete: 0, accepted: 0 };
    for (let n = 0; n < VALUES; n++) {
      const bytes = changed(wireValue(next).bytes, next);
      const end = verdict(scanner, bytes);
      if (end === null) counts.refused += 1;
      else if (end === INCOMPLETE) counts.incomplete += 1;
      else counts.accepted += 1;
      if (end === null || end === INCOMPLETE) continue;
      const { problem } = scanner;
      agree('the end when it is skipped', bytes, skipValue(bytes, 0) === end);
      const whole = Buffer.from(bytes.subarray(0, end));
      if (problem === null) readValue(whole, 0);
      // The scanner looks at no text but keys: the other implementation must find nothing else wrong with what was let through.
      agree('well formed to another implementation', bytes, isReadElsewhere(whole));
    }
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(VALUES / 100);
  }, 1_800_000);
});

function endInPieces(scanner: Scanner, bytes: Buffer, next: Random): number {
  let stop = 0;
  for (const piece of segments(bytes, next)) {
    stop += piece.length;
    const end = scanner.scan(bytes, 0, stop);
    if (end !== INCOMPLETE) return stop === bytes.length ? end : stop;
  }
  return INCOMPLETE;
}

/** null: refused. */
function verdict(scanner: Scanner, bytes: Buffer): number | null {
  scanner.reset();
  try {
    return scanner.scan(bytes, 0, bytes.length);
  } catch (error) {
    if (error instanceof ConnectionError) return null;
    throw error;
  }
}

function changed(bytes: Buffer, next: Random): Buffer {
  const copy = Buffer.from(bytes);
  for (let edits = 1 + next(3); edits > 0; edits--) {
    copy[next(Math.min(copy.length, 200))] = next(3) === 0 ? next(256) : pick(TOKENS, next);
  }
  return next(10) === 0 ? copy.subarray(0, next(copy.length)) : copy;
}

const TOKENS = [
  0x00, 0x80, 0x81, 0x90, 0x91, 0xa0, 0xa1, 0xc0, 0xc1, 0xc4, 0xc7, 0xca, 0xcb, 0xcf, 0xd3, 0xd6, 0xd7, 0xd9, 0xda, 0xdc, 0xde, 0xff,
];

function isReadElsewhere(bytes: Buffer): boolean {
  try {
    unpack(bytes);
    return true;
  } catch (error) {
    // It has no keys that are bytes.
    return /property type/.test((error as Error).message);
  }
}

describe('both framings, and websocket messages', () => {
  it(`hand out ${VALUES} messages as they were sent, however the stream is cut`, () => {
    const next = randomOf(SEED + 2);
    for (let n = 0; n < VALUES; n += MESSAGES_IN_STREAM) {
      const messages = Array.from({ length: MESSAGES_IN_STREAM }, () => wireMessage(next));
      const framing = pick(['prefixed', 'bare', 'message'] as const, next);
      const pieces = framing === 'message' ? messages.map(({ bytes }) => bytes) : segments(streamOf(messages, framing), next);
      const deframer = new Deframer(framing === 'message' ? framing : null, ROOMY);
      let found = 0;
      for (const piece of pieces) {
        deframer.push(piece);
        while (deframer.next()) {
          const { bytes, isTakeable } = messages[found] as WireValue;
          agree(`message ${found} of a stream (${framing})`, bytes, deframer.bytes.subarray(deframer.from, deframer.to).equals(bytes));
          agree(`message ${found} takeable (${framing})`, bytes, (deframer.problem === null) === isTakeable);
          found += 1;
        }
      }
      expect(found).toBe(MESSAGES_IN_STREAM);
      expect(deframer.framing).toBe(framing);
    }
  }, 1_800_000);
});

function streamOf(messages: readonly WireValue[], framing: 'prefixed' | 'bare'): Buffer {
  if (framing === 'bare') return Buffer.concat(messages.map(({ bytes }) => bytes));
  return Buffer.concat(
    messages.flatMap(({ bytes }) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}

describe('the time that a message takes', () => {
  const KB = 1024;
  const text = (bytes: number): Buffer => Buffer.from('x'.repeat(bytes));
  const many = (bytes: number, item: Buffer): Buffer => Buffer.concat(Array.from({ length: Math.floor(bytes / item.length) }, () => item));
  const listOf = (count: number, body: Buffer): Buffer => {
    const head = Buffer.alloc(5, 0xdd);
    head.writeUInt32BE(count, 1);
    return Buffer.concat([head, body]);
  };
  const body = (token: number, length: number, content: Buffer): Buffer => {
    const head = Buffer.alloc(6, token);
    head[0] = 0x91;
    head.writeUInt32BE(length, 2);
    return Buffer.concat([head, content]);
  };
  const SHAPES: readonly [string, (bytes: number) => Buffer][] = [
    ['one long text', (bytes) => body(0xdb, bytes, text(bytes))],
    ['one long bin', (bytes) => body(0xc6, bytes, text(bytes))],
    [
      'a long key',
      (bytes) => Buffer.concat([body(0xdf, 1, Buffer.alloc(0)), Buffer.of(0xdb), uint32(bytes), text(bytes), Buffer.of(0xc0)]),
    ],
    ['many nils', (bytes) => listOf(bytes, Buffer.alloc(bytes, 0xc0))],
    ['many short texts', (bytes) => listOf(Math.floor(bytes / 13), many(bytes, Buffer.concat([Buffer.of(0xac), text(12)])))],
    [
      'many maps',
      (bytes) =>
        listOf(
          Math.floor(bytes / 8),
          many(bytes, Buffer.from('81a461616161c0c0', 'hex').subarray(0, 7)).subarray(0, Math.floor(bytes / 8) * 7),
        ),
    ],
  ];
  const limits = { maxBytes: 4 * KB * KB, maxElements: 4 * KB * KB, maxDepth: 32 };

  /** CPU microseconds for a byte, the best of three. */
  function costOfByte(message: Buffer, isPrefixed: boolean, segment: number): number {
    const stream = isPrefixed ? Buffer.concat([uint32(message.length), message]) : message;
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 3; round++) {
      const deframer = new Deframer(null, limits);
      const begun = process.cpuUsage();
      let found = 0;
      for (let at = 0; at < stream.length; at += segment) {
        deframer.push(stream.subarray(at, at + segment));
        while (deframer.next()) found += 1;
      }
      const { user, system } = process.cpuUsage(begun);
      expect(found).toBe(1);
      best = Math.min(best, (user + system) / stream.length);
    }
    return best;
  }

  it.each(
    SHAPES.flatMap(([name, make]) =>
      [true, false].flatMap((isPrefixed) => [1, 1_460].map((segment) => [name, isPrefixed ? 'prefixed' : 'bare', segment, make] as const)),
    ),
  )('grows with its bytes alone: %s, %s, in segments of %i', (_name, framing, segment, make) => {
    const isPrefixed = framing === 'prefixed';
    costOfByte(make(16 * KB), isPrefixed, segment);
    const small = costOfByte(make(64 * KB), isPrefixed, segment);
    const large = costOfByte(make(512 * KB), isPrefixed, segment);
    // Eight times the bytes would cost eight times as much for each of them if anything were looked at again and again.
    expect(large).toBeLessThan(3 * small + 0.02);
  });
});

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
