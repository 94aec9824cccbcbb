// What messages say of themselves: as a map, as it is stored, and back.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Meta, type MetaPair } from '../../../src/core/data/meta.js';

describe('Meta', () => {
  test('shows properties that repeat as a list, in their order', () => {
    const meta = new Meta(null, null, null, false, [
      ['a', '1'],
      ['b', '2'],
      ['a', '3'],
      ['a', '4'],
    ]);
    expect(meta.values()).toEqual({ a: ['1', '3', '4'], b: '2' });
  });

  test('shows what is named beside what is custom', () => {
    const meta = new Meta('text/plain', 'answers/1', Buffer.from('id'), true, [['a', '1']]);
    expect(meta.values()).toEqual({
      a: '1',
      contentType: 'text/plain',
      responseTopic: 'answers/1',
      correlationData: Buffer.from('id'),
      payloadFormat: 1,
    });
  });

  test('takes from a map what fits, and leaves the rest custom', () => {
    const meta = Meta.fromValues({ contentType: 5, responseTopic: 'r', correlationData: 'id', payloadFormat: 2, own: { deep: [1] } });
    expect(meta).toMatchObject({ contentType: null, responseTopic: 'r', correlationData: Buffer.from('id'), isText: false });
    expect(meta?.pairs).toEqual([
      ['contentType', 5],
      ['payloadFormat', 2],
      ['own', { deep: [1] }],
    ]);
    expect(Meta.fromValues({})).toBeNull();
  });

  test('counts all that it holds, however deep it is', () => {
    const text = 'x'.repeat(10_000);
    const meta = new Meta(text, text, Buffer.alloc(10_000), false, [
      ['text', text],
      ['bytes', Buffer.alloc(10_000)],
      ['list', [text, [text]]],
      ['map', { [text]: { deep: text } }],
    ]);
    expect(meta.size).toBeGreaterThan(90_000);
    expect(meta.size).toBeLessThan(91_000);
  });

  test('a name that is special to JavaScript is a name like any other', () => {
    const meta = new Meta(null, null, null, false, [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    const values = meta.values();
    expect(Object.getPrototypeOf(values)).toBe(Object.prototype);
    expect(Object.keys(values)).toEqual(['__proto__', 'constructor']);
    expect(Meta.fromValues(JSON.parse('{"__proto__":1}'))?.pairs).toEqual([['__proto__', 1]]);
  });

  test('comes back from the store as it was', () => {
    const text = fc.option(fc.string({ unit: 'grapheme' }), { nil: null });
    const pair: fc.Arbitrary<MetaPair> = fc.tuple(fc.string({ unit: 'grapheme' }), fc.oneof(fc.string(), fc.integer(), fc.boolean()));
    const correlation = fc.option(fc.uint8Array(), { nil: null });
    fc.assert(
      fc.property(text, text, correlation, fc.boolean(), fc.array(pair), (contentType, responseTopic, correlationData, isText, pairs) => {
        const meta = new Meta(contentType, responseTopic, correlationData, isText, pairs);
        const again = Meta.fromBytes(meta.bytes());
        expect(again).toMatchObject({ contentType, responseTopic, isText, pairs });
        expect(again.correlationData === null ? null : [...again.correlationData]).toEqual(correlationData && [...correlationData]);
      }),
    );
  });
});
