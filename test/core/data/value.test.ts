import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { json } from '../../../src/core/data/formats.js';
import type { Value } from '../../../src/core/data/payload.js';
import { binaryDocument, binaryFromDocument, type Document, documentOf, isDocument, mergeDocuments } from '../../../src/core/data/value.js';
import { RequestError } from '../../../src/core/errors.js';
import { anyValue, jsonValue } from '../../support/values.js';

const parsed = (text: string): Document => JSON.parse(text) as Document;

describe('the document form', () => {
  test('is the value itself for maps only', () => {
    const map = { a: 1 };
    expect(documentOf(map)).toBe(map);
    for (const value of [null, true, 1, 'x', [1], new Date(0)] as Value[]) {
      expect(isDocument(value)).toBe(false);
      expect(documentOf(value)).toEqual({ value });
    }
  });

  test('of bytes is their $binary document', () => {
    expect(isDocument(new Uint8Array(2))).toBe(false);
    expect(documentOf(Buffer.from('hi'))).toEqual({ $binary: { base64: 'aGk=', subType: '00' } });
  });

  test('does not wrap a map that looks wrapped', () => {
    expect(documentOf({ value: 1 })).toEqual({ value: 1 });
  });
});

describe('a $binary document', () => {
  test('stands for the bytes it was made of, wherever they lie in a buffer', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.nat(3), (bytes, from) => {
        const part = bytes.subarray(from);
        const back = binaryFromDocument(json.toValue(json.fromValue(binaryDocument(part))));
        expect(Buffer.from(back as Uint8Array)).toEqual(Buffer.from(part));
      }),
    );
  });

  test.each<[string]>([
    ['{"$binary":{"base64":"aGk=","subType":"00"},"more":1}'],
    ['{"$binary":{"base64":"aGk=","subType":"00","more":1}}'],
    ['{"$binary":{"base64":"aGk="}}'],
    ['{"$binary":{"base64":"aGk=","subType":"05"}}'],
    ['{"$binary":{"base64":"aGk=","subType":0}}'],
    ['{"$binary":{"base64":5,"subType":"00"}}'],
    ['{"$binary":{"base64":"aGk","subType":"00"}}'],
    ['{"$binary":{"base64":"aGl=","subType":"00"}}'],
    ['{"$binary":{"base64":"a-_=","subType":"00"}}'],
    ['{"$binary":{"base64":"a Gk","subType":"00"}}'],
    ['{"$binary":{"__proto__":{"base64":"aGk="},"subType":"00"}}'],
    ['{"$binary":"aGk="}'],
    ['{"$binary":null}'],
    ['{"__proto__":{"$binary":{"base64":"aGk=","subType":"00"}}}'],
    ['[{"$binary":{"base64":"aGk=","subType":"00"}}]'],
    ['{}'],
    ['null'],
    ['"$binary"'],
  ])('is not %s', (text) => {
    expect(binaryFromDocument(JSON.parse(text) as Value)).toBeNull();
  });

  test('is looked for in every value without a throw', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        expect(binaryFromDocument(value)).toBeNull();
      }),
    );
  });
});

describe('a merge', () => {
  test('replaces top-level keys and leaves both sides alone', () => {
    const base = { a: { x: 1 }, b: 2 };
    const change = { a: { y: 2 }, c: 3 };
    expect(mergeDocuments(base, change)).toEqual({ a: { y: 2 }, b: 2, c: 3 });
    expect(base).toEqual({ a: { x: 1 }, b: 2 });
    expect(change).toEqual({ a: { y: 2 }, c: 3 });
  });

  test.each(['__proto__', 'constructor', 'prototype'])('refuses the key %s', (key) => {
    const change = parsed(`{"${key}":{"polluted":true}}`);
    expect(() => mergeDocuments({}, change)).toThrowError(RequestError);
    expect(() => mergeDocuments({}, change)).toThrowError(expect.objectContaining({ code: 'INVALID_REQUEST' }) as Error);
  });

  test('keeps such keys of the record, and those deeper down, as plain data', () => {
    const merged = mergeDocuments(parsed('{"__proto__":{"x":1}}'), parsed('{"a":{"__proto__":{"y":1}}}'));
    expect(Object.keys(merged)).toEqual(['__proto__', 'a']);
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
    expect(JSON.stringify(merged)).toBe('{"__proto__":{"x":1},"a":{"__proto__":{"y":1}}}');
  });

  test('equals the keys of both, the change winning, and pollutes nothing', () => {
    const keys = Reflect.ownKeys(Object.prototype).length;
    fc.assert(
      fc.property(jsonValue, jsonValue, (a, b) => {
        const base = documentOf(a);
        const change = documentOf(b);
        const forbidden = ['__proto__', 'constructor', 'prototype'].some((key) => Object.hasOwn(change, key));
        if (forbidden) {
          expect(() => mergeDocuments(base, change)).toThrow();
          return;
        }
        const merged = mergeDocuments(base, change);
        for (const key of Object.keys(change)) expect(merged[key]).toBe(change[key]);
        expect(new Set(Object.keys(merged))).toEqual(new Set([...Object.keys(base), ...Object.keys(change)]));
      }),
    );
    expect(Reflect.ownKeys(Object.prototype)).toHaveLength(keys);
  });
});
