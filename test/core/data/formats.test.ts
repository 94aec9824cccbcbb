import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import {
  binary,
  isExactJson,
  isExactNumber,
  json,
  jsonText,
  RAW_DEPTH_MAX,
  RAW_ELEMENTS_MAX,
  raw,
} from '../../../src/core/data/formats.js';
import { Payload, type Value } from '../../../src/core/data/payload.js';
import { growth } from '../../support/processor-time.js';
import { anyValue, jsonValue } from '../../support/values.js';

const utf8 = (text: string): Uint8Array => Buffer.from(text);
const meaning = (text: string): Value => raw.toValue(utf8(text));
const written = (value: Value): string => Buffer.from(raw.fromValue(value)).toString('utf8');
const limits = { depthMax: RAW_DEPTH_MAX, elementsMax: RAW_ELEMENTS_MAX };
const prototypeKeys = Reflect.ownKeys(Object.prototype).length;

afterEach(() => {
  expect(Reflect.ownKeys(Object.prototype)).toHaveLength(prototypeKeys);
});

/** Bytes that are nearly JSON: real JSON with a few bytes changed, put in or left out. */
const nearlyJson = fc
  .tuple(
    jsonValue,
    fc.array(fc.tuple(fc.nat(), fc.constantFrom(...'{}[],:"\\0123456789.eE+-truefalsn u\n\t'), fc.nat(2)), { maxLength: 3 }),
  )
  .map(([value, edits]) => {
    const text = [...JSON.stringify(value)];
    for (const [at, character, kind] of edits) text.splice(at % (text.length + 1), kind === 0 ? 0 : 1, ...(kind === 2 ? [] : [character]));
    return text.join('');
  });

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    return !(error instanceof SyntaxError);
  }
}

describe('raw bytes', () => {
  test.each<[string, Value]>([
    ['', ''],
    ['23.5', 23.5],
    [' {"a":[1,true,null,"x"]}\r\n', { a: [1, true, null, 'x'] }],
    ['"text"', 'text'],
    ['null', null],
    ['on', 'on'],
    ['true story', 'true story'],
    ['nul', 'nul'],
    ['[1,2', '[1,2'],
    ['[1,]', '[1,]'],
    ['{"a"}', '{"a"}'],
    ['{"a":1,}', '{"a":1,}'],
    ["{'a':1}", "{'a':1}"],
    ['[}', '[}'],
    ['01', '01'],
    ['+1', '+1'],
    ['1.', '1.'],
    ['.5', '.5'],
    ['-', '-'],
    ['1 2', '1 2'],
    ['"a\tb"', '"a\tb"'],
    ['"\\x"', '"\\x"'],
    ['"\\u12g4"', '"\\u12g4"'],
    ['"open', '"open'],
    ['   ', '   '],
    ['\ufeff1', '\ufeff1'],
    ['NaN', 'NaN'],
    ['größer', 'größer'],
  ])('%j mean %j', (text, value) => {
    expect(meaning(text)).toEqual(value);
  });

  test('that are not UTF-8 stay bytes, even inside what looks like JSON', () => {
    for (const bytes of [
      Buffer.from([0xff, 0xfe]),
      Buffer.from([0x22, 0xc0, 0x80, 0x22]),
      Buffer.from([0x5b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x5d]),
    ]) {
      expect(raw.toValue(bytes)).toBe(bytes);
      expect(raw.fromValue(raw.toValue(bytes))).toBe(bytes);
    }
  });

  test('may lie anywhere in a larger buffer', () => {
    const whole = new Uint8Array(Buffer.from('xx{"a":1}yy'));
    expect(raw.toValue(whole.subarray(2, 9))).toEqual({ a: 1 });
    expect(raw.toValue(whole.subarray(0, 2))).toBe('xx');
  });

  test('nested up to the limit are JSON, one deeper are text', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(meaning(nested(RAW_DEPTH_MAX))).toBeInstanceOf(Array);
    expect(meaning(nested(RAW_DEPTH_MAX + 1))).toBe(nested(RAW_DEPTH_MAX + 1));
    const maps = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
    expect(typeof meaning(maps(RAW_DEPTH_MAX))).toBe('object');
    expect(meaning(maps(RAW_DEPTH_MAX + 1))).toBe(maps(RAW_DEPTH_MAX + 1));
    const mixed = `${'[{"a":'.repeat(16)}0${'}]'.repeat(16)}`;
    expect(typeof meaning(mixed)).toBe('object');
  });

  test('of as many values as the limit are JSON, one more are text', () => {
    const list = (items: number): string => `[${'0,'.repeat(items - 1)}0]`;
    expect(meaning(list(RAW_ELEMENTS_MAX - 1))).toHaveLength(RAW_ELEMENTS_MAX - 1);
    expect(meaning(list(RAW_ELEMENTS_MAX))).toBe(list(RAW_ELEMENTS_MAX));
    const empty = `[${'{},'.repeat(RAW_ELEMENTS_MAX)}{}]`;
    expect(meaning(empty)).toBe(empty);
  });

  test('with long numbers, deep nesting or many values are judged in time that grows with their length', () => {
    const bombs: ((size: number) => string)[] = [
      (size) => '1'.repeat(size),
      (size) => `0.${'0'.repeat(size)}1`,
      (size) => `1${'0'.repeat(size)}.${'0'.repeat(size)}1`,
      (size) => '['.repeat(size),
      (size) => '{"a":'.repeat(size / 5),
      (size) => '[[],'.repeat(size / 4),
      (size) => `"${'\\'.repeat(size)}`,
      (size) => `[${'1e999999,'.repeat(size / 10)}`,
      (size) => ' '.repeat(size),
    ];
    for (const bomb of bombs) {
      const judging = (size: number) => {
        const text = bomb(size);
        return () => expect(meaning(text) === text).toBe(true);
      };
      // Eight times as much where it grows with the length, 64 times where with its square.
      expect(growth(judging(5_000), judging(40_000)), bomb(10)).toBeLessThan(32);
    }
  });

  test('keep keys of prototypes as plain members', () => {
    const value = meaning('{"__proto__":{"polluted":true},"constructor":1,"prototype":2}') as { [key: string]: Value };
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor', 'prototype']);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as { polluted?: true }).polluted).toBeUndefined();
  });

  test('C4 that hold a key twice mean the last one', () => {
    expect(meaning('{"a":1,"a":2}')).toEqual({ a: 2 });
  });

  test('of any kind are given back as they came', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const payload = Payload.fromBytes(bytes, raw);
        payload.value();
        expect(payload.bytes(raw)).toBe(bytes);
      }),
    );
  });

  test('of any kind mean a value whose bytes mean the same value', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), nearlyJson.map(utf8)), (bytes) => {
        const value = raw.toValue(bytes);
        expect(raw.toValue(raw.fromValue(value))).toEqual(normal(value));
      }),
      { numRuns: 2000 },
    );
  });

  test('that are text or bytes by meaning are written as the same bytes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 60 }), nearlyJson.map(utf8)), (bytes) => {
        const value = raw.toValue(bytes);
        const isOwn =
          bytes.length > 0 && (value instanceof Uint8Array || (typeof value === 'string' && !parses(Buffer.from(bytes).toString())));
        if (isOwn) expect(Buffer.from(raw.fromValue(value))).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 2000 },
    );
  });
});

/** JSON has no negative zero to write, and dates and bytes inside maps come back as what they were written as. */
function normal(value: Value): Value {
  if (value instanceof Uint8Array) return value;
  return typeof value === 'string' ? value : (JSON.parse(JSON.stringify(value)) as Value);
}

describe('the check before parsing', () => {
  test('says yes to exactly what JSON.parse accepts, but for digits that a double loses', () => {
    fc.assert(
      fc.property(nearlyJson, (text) => {
        const exact = isExactJson(utf8(text), limits);
        if (exact) expect(parses(text)).toBe(true);
        else if (parses(text)) expect(text).toMatch(/\d{16}|\d\.\d{15}|[eE][+-]?\d{3}|\d+\.\d+/);
      }),
      { numRuns: 5000 },
    );
  });

  test('says yes to what JSON.stringify writes of every value within the limits', () => {
    fc.assert(
      fc.property(jsonValue, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        expect(isExactJson(utf8(JSON.stringify(value, null, indent)), limits)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test('obeys the limits it is given', () => {
    expect(isExactJson(utf8('[[1]]'), { depthMax: 1, elementsMax: 10 })).toBe(false);
    expect(isExactJson(utf8('[[1]]'), { depthMax: 2, elementsMax: 3 })).toBe(true);
    expect(isExactJson(utf8('[[1]]'), { depthMax: 2, elementsMax: 2 })).toBe(false);
  });
});

describe('a number', () => {
  test.each<[string, boolean]>([
    ['0', true],
    ['-0', true],
    ['0.000', true],
    ['0e99999', true],
    ['0.1', true],
    ['1.0', true],
    ['1E5', true],
    ['1e+5', true],
    ['100000000000000000000', true],
    ['1e22', true],
    ['1e308', true],
    ['5e-324', true],
    ['1.7976931348623157e308', true],
    ['0.30000000000000004', true],
    ['0.3000000000000000400', true],
    ['9007199254740991', true],
    ['9007199254740992', true],
    ['9007199254740993', false],
    ['-9007199254740993', false],
    ['18446744073709551615', false],
    ['0.1000000000000000055511151231257827', false],
    ['3.141592653589793238', false],
    ['1e400', false],
    ['-1e400', false],
    ['1e309', false],
    ['1e-400', false],
    ['4.9e-324', false],
    ['123456789012345678901234567890', false],
    ['123456789012345', true],
    ['0.00000000000000000000123456789012345', true],
  ])('%s is exact: %s', (literal, exact) => {
    expect(isExactNumber(literal)).toBe(exact);
    expect(isExactJson(utf8(literal), limits)).toBe(exact);
    expect(isExactJson(utf8(`{"a":[${literal}]}`), limits)).toBe(exact);
    const value = meaning(literal);
    if (exact) expect(value).toBe(JSON.parse(literal));
    else expect(value).toBe(literal);
    expect(written(value)).toBe(exact ? JSON.stringify(value) : literal);
  });

  test('that a double prints is exact, in every way of writing it', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
        for (const literal of [String(number), number.toExponential(), JSON.stringify(number)]) expect(isExactNumber(literal)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('of at most 15 digits is exact', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -999_999_999_999_999n, max: 999_999_999_999_999n }),
        fc.integer({ min: -99, max: 99 }),
        (digits, exponent) => {
          expect(isExactNumber(`${digits}e${exponent}`)).toBe(true);
          expect(isExactJson(utf8(`${digits}e${exponent}`), limits)).toBe(true);
        },
      ),
    );
  });

  test('of many digits is exact only when the double prints the very same', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 10n ** 15n, max: 10n ** 20n }), (integer) => {
        expect(isExactNumber(String(integer))).toBe(String(Number(integer)) === String(integer));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a value as raw bytes', () => {
  test.each<[Value, string]>([
    ['on', 'on'],
    ['', '""'],
    ['true', '"true"'],
    ['12', '"12"'],
    ['1e400', '1e400'],
    ['{"a":1}', '"{\\"a\\":1}"'],
    ['"x"', '"\\"x\\""'],
    ['"x', '"x'],
    [' 7', '" 7"'],
    ['\ud800', '"\\ud800"'],
    [12, '12'],
    [true, 'true'],
    [null, 'null'],
    [[1, 'a'], '[1,"a"]'],
    [{ a: { b: 1 } }, '{"a":{"b":1}}'],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    [{ bytes: Buffer.from('hi') }, '{"bytes":{"$binary":{"base64":"aGk=","subType":"00"}}}'],
  ])('%j is %s', (value, text) => {
    expect(written(value)).toBe(text);
  });

  test('is the bytes themselves for bytes', () => {
    const bytes = Buffer.from('{"a":1}');
    expect(raw.fromValue(bytes)).toBe(bytes);
    expect(binary.fromValue(bytes)).toBe(bytes);
  });

  test('is read back as the same value when JSON can say it', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        expect(raw.toValue(raw.fromValue(value))).toEqual(value);
      }),
      { numRuns: 2000 },
    );
  });

  test('is a fixed point after one round, for every value', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const once = raw.toValue(raw.fromValue(value));
        expect(raw.toValue(raw.fromValue(once))).toEqual(normal(once));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('json', () => {
  test('writes every value, and reads back what JSON can say', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        expect(isUtf8(json.fromValue(value))).toBe(true);
        JSON.parse(jsonText(value));
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(jsonValue, (value) => {
        expect(json.toValue(json.fromValue(value))).toEqual(value);
      }),
      { numRuns: 1000 },
    );
  });

  test('writes what JSON.stringify writes when there are no bytes', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        const plain = JSON.stringify(value).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
        expect(jsonText(value)).toBe(plain);
      }),
    );
  });

  test('writes bytes wherever they are, and keys of prototypes beside them', () => {
    const value = JSON.parse('{"__proto__":{"x":1},"toJSON":2}') as { [key: string]: Value };
    expect(jsonText([value, { __proto__: null, b: new Uint8Array([1, 2]) } as unknown as Value])).toBe(
      '[{"__proto__":{"x":1},"toJSON":2},{"b":{"$binary":{"base64":"AQI=","subType":"00"}}}]',
    );
  });

  test('escapes the line separators that JavaScript texts cannot hold, in keys too', () => {
    const text = jsonText({ 'a\u2028': 'b\u2029', c: new Uint8Array(1) });
    expect(text).toBe('{"a\\u2028":"b\\u2029","c":{"$binary":{"base64":"AA==","subType":"00"}}}');
  });

  test('writes an invalid date as null', () => {
    expect(jsonText([new Date(Number.NaN), new Uint8Array(0)])).toBe('[null,{"$binary":{"base64":"","subType":"00"}}]');
  });
});

describe('binary', () => {
  test('means its bytes, whatever they look like', () => {
    const bytes = utf8('{"a":1}');
    expect(binary.toValue(bytes)).toBe(bytes);
    expect(Payload.fromBytes(bytes, binary).bytes(raw)).toBe(bytes);
  });

  test('writes what is no bytes as raw does', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        expect(binary.fromValue(value)).toEqual(raw.fromValue(value));
      }),
    );
  });
});
