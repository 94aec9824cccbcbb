import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { msgpack } from '../../../src/adapters/haven/index.js';
import { Scanner } from '../../../src/adapters/haven/scanner.js';
import { json, raw } from '../../../src/core/data/formats.js';
import { Payload, type Value } from '../../../src/core/index.js';
import { pack, unpack } from '../../support/haven-client.js';
import { anyValue } from '../../support/values.js';
import { hex, LIMITS, RUNS } from './support.js';

const prototypeKeys = Reflect.ownKeys(Object.prototype).length;

afterEach(() => {
  expect(Reflect.ownKeys(Object.prototype)).toHaveLength(prototypeKeys);
});

/** What MessagePack cannot say: lone surrogates, dates that are none. */
function expressible(value: Value): Value {
  if (typeof value === 'string') return value.toWellFormed();
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value;
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(expressible);
  const entries = Object.entries(value).map(([key, item]) => [key.toWellFormed(), expressible(item)] as const);
  return Object.fromEntries(entries);
}

/** Buffers and plain byte arrays are the same bytes. */
const plain = (value: Value): unknown => JSON.stringify(value, (_key, item) => (item instanceof Uint8Array ? [...item] : item));

describe('as a format', () => {
  it('is number 2 on disk', () => {
    expect([msgpack.id, msgpack.name]).toEqual([2, 'msgpack']);
  });

  it('every value of the model comes back as it was', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const bytes = msgpack.fromValue(value);
        expect(msgpack.toValue(bytes)).toEqual(asBuffers(expressible(value)));
      }),
      { numRuns: RUNS },
    );
  });

  it('whatever is written passes the scanner', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const bytes = Buffer.from(msgpack.fromValue(value));
        const scanner = new Scanner({ ...LIMITS });
        expect(scanner.scan(bytes, 0, bytes.length)).toBe(bytes.length);
        expect(scanner.problem).toBeNull();
      }),
      { numRuns: RUNS },
    );
  });

  it('JSON, MessagePack and JSON again is the same JSON', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const value = JSON.parse(text) as Value;
        const there = Payload.fromBytes(Payload.fromValue(value, json).bytes(msgpack), msgpack);
        expect(plain(there.value())).toBe(plain(expressible(value)));
      }),
      { numRuns: RUNS },
    );
  });

  it('keeps the very bytes that came', () => {
    const bytes = hex('82 a161 d100 01 a161 cd0002');
    const payload = Payload.fromBytes(bytes, msgpack);
    expect(payload.bytes(msgpack)).toBe(bytes);
  });
});

function asBuffers(value: Value): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(asBuffers);
  if (value === null || typeof value !== 'object' || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, asBuffers(item as Value)]));
}

describe('reading', () => {
  it.each<[string, string, Value]>([
    ['the largest integers', '92 cf001fffffffffffff d3ffe0000000000001', [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]],
    ['small integers', '94 7f e0 d080 d18000', [127, -32, -128, -32768]],
    ['floats', '92 ca3fc00000 cb3ff8000000000000', [1.5, 1.5]],
    [
      'timestamps',
      '93 d6ff00000001 d7ff01312d0000000001 c70cff00000000ffffffffffffffff',
      [new Date(1000), new Date(1005), new Date(-1000)],
    ],
    ['text', '92 a3e282ac d903616263', ['€', 'abc']],
    ['the last of two equal keys', '82 a161 01 a161 02', { a: 2 }],
    ['keys that came as bytes', '81 c40161 01', { a: 1 }],
  ])('%s', (_name, text, value) => {
    expect(msgpack.toValue(hex(text))).toEqual(value);
  });

  it('text that is no UTF-8 is bytes, never repaired', () => {
    expect(msgpack.toValue(hex('a2 c328'))).toEqual(hex('c328'));
    expect(msgpack.toValue(hex('81 a161 d902 fffe'))).toEqual({ a: hex('fffe') });
    const long = Buffer.concat([Buffer.alloc(200, 0x61), hex('ff')]);
    expect(msgpack.toValue(Buffer.concat([hex('d9c9'), long]))).toEqual(long);
  });

  it('__proto__, constructor and prototype are plain keys', () => {
    const value = msgpack.toValue(
      pack(
        new Map<string, unknown>([
          ['__proto__', { polluted: 1 }],
          ['constructor', 2],
          ['prototype', 3],
        ]),
      ),
    ) as { [key: string]: Value };
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor', 'prototype']);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.getOwnPropertyDescriptor(value, '__proto__')?.value).toEqual({ polluted: 1 });
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(msgpack.toValue(msgpack.fromValue(value))).toEqual(value);
  });

  it('reads a slice of a larger buffer', () => {
    const whole = hex('c1c1 92 01 a161 c1c1');
    expect(msgpack.toValue(new Uint8Array(whole.buffer, whole.byteOffset + 2, 4))).toEqual([1, 'a']);
  });
});

describe('writing', () => {
  it('methods among the data are data', () => {
    const value: Value = { toJSON: 'x', hasOwnProperty: 1, valueOf: null };
    expect(unpack(msgpack.fromValue(value))).toEqual(value);
  });

  it('lone surrogates become the replacement character, so that the text is UTF-8', () => {
    expect(unpack(msgpack.fromValue({ '\ud800': 'a\udc00b' }))).toEqual({ '\ufffd': 'a\ufffdb' });
  });

  it('what MQTT and happn wrote is written by its meaning', () => {
    expect(unpack(Payload.fromBytes(Buffer.from('{"a":1.5}'), raw).bytes(msgpack))).toEqual({ a: 1.5 });
    expect(unpack(Payload.fromBytes(hex('fffe'), raw).bytes(msgpack))).toEqual(hex('fffe'));
  });
});
