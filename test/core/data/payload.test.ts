import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { binary, json, raw } from '../../../src/core/data/formats.js';
import { type Format, Payload, type Value } from '../../../src/core/data/payload.js';
import { RowMemory } from '../../../src/core/store/row-memory.js';
import { anyValue, jsonValue } from '../../support/values.js';

/** A format that counts its work. */
function counting(format: Format): Format & { reads: number; writes: number } {
  const counted = {
    id: format.id,
    name: format.name,
    reads: 0,
    writes: 0,
    toValue(bytes: Uint8Array): Value {
      counted.reads++;
      return format.toValue(bytes);
    },
    fromValue(value: Value): Uint8Array {
      counted.writes++;
      return format.fromValue(value);
    },
  };
  return counted;
}

describe('a payload', () => {
  test('gives the very bytes it was made of, and converts nothing for that', () => {
    const format = counting(raw);
    const bytes = Buffer.from(' {"a":1} ');
    const payload = Payload.fromBytes(bytes, format);
    expect(payload.bytes(format)).toBe(bytes);
    expect(payload.ownBytes()).toBe(bytes);
    expect(payload.bytesAtHand).toBe(bytes);
    expect(payload.size).toBe(bytes.length);
    expect(format.reads + format.writes).toBe(0);
  });

  test('converts at most once each way and format', () => {
    const from = counting(raw);
    const to = counting(json);
    const payload = Payload.fromBytes(Buffer.from('{"a":1}'), from);
    for (let i = 0; i < 3; i++) {
      expect(payload.value()).toEqual({ a: 1 });
      expect(payload.bytes(to)).toBe(payload.bytes(to));
    }
    expect([from.reads, from.writes, to.reads, to.writes]).toEqual([1, 0, 0, 1]);
  });

  test('made of a value is written once, when its bytes are asked for', () => {
    const format = counting(json);
    const payload = Payload.fromValue({ a: 1 }, format);
    expect(payload.bytesAtHand).toBeNull();
    expect(payload.size).toBeGreaterThan(0);
    expect(format.writes).toBe(0);
    expect(Buffer.from(payload.ownBytes()).toString()).toBe('{"a":1}');
    expect(payload.bytes(format)).toBe(payload.ownBytes());
    expect(payload.size).toBe(7);
    expect([format.reads, format.writes]).toEqual([0, 1]);
  });

  test('remembers a value that is null or false', () => {
    for (const text of ['null', 'false', '0', '""']) {
      const format = counting(raw);
      const payload = Payload.fromBytes(Buffer.from(text), format);
      payload.value();
      payload.value();
      expect(format.reads).toBe(1);
    }
  });

  test('means the same in every format that can say it', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        const sent = Payload.fromValue(value, json);
        expect(json.toValue(sent.bytes(json))).toEqual(value);
        expect(raw.toValue(sent.bytes(raw))).toEqual(value);
        const stored = Payload.fromBytes(sent.ownBytes(), json);
        expect(stored.value()).toEqual(value);
      }),
    );
  });

  test('of bytes is text to those who know JSON only, and bytes to the others', () => {
    const payload = Payload.fromBytes(Buffer.from([0xff, 0x00]), binary);
    expect(payload.bytes(raw)).toBe(payload.ownBytes());
    expect(Buffer.from(payload.bytes(json)).toString()).toBe('{"$binary":{"base64":"/wA=","subType":"00"}}');
  });

  test('estimates its size without a conversion, never below zero and not far below the truth', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const format = counting(json);
        const payload = Payload.fromValue(value, format);
        const estimated = payload.size;
        expect(payload.size).toBe(estimated);
        expect(format.writes).toBe(0);
        expect(estimated * 40 + 60).toBeGreaterThan(payload.ownBytes().length);
      }),
    );
  });

  test('detached from a larger piece of memory, it is the same and keeps next to nothing of that alive', () => {
    const chunk = Buffer.alloc(64 * 1024);
    chunk.write('{"a":1}', 100);
    const format = counting(json);
    const payload = Payload.fromBytes(chunk.subarray(100, 107), format);
    const value = payload.value();
    payload.detach();
    expect(payload.ownBytes().buffer.byteLength).toBeLessThanOrEqual(1_024);
    expect(payload.value()).toEqual(value);
    chunk.fill(0);
    expect(Buffer.from(payload.ownBytes()).toString()).toBe('{"a":1}');
    expect(format.reads).toBe(2);
  });

  test('of a chunk is the same after that was used again: a short one at once, a long one when it is detached', () => {
    for (const length of [0, 1, 128, 129, 4_000]) {
      const chunk = Buffer.alloc(64 * 1024, 'x');
      const body = 'b'.repeat(length);
      chunk.write(body, 100);
      const payload = Payload.fromChunk(chunk, 100, 100 + length, raw);
      const row = new RowMemory(Buffer.alloc(length + 2, '-'));
      payload.copyTo(row, 1);
      expect([payload.size, payload.ownSize, row.bytes.toString()]).toEqual([length, length, `-${body}-`]);
      expect(payload.frame).toBeNull();
      if (length > 128) {
        expect(payload.ownBytes().buffer).toBe(chunk.buffer);
        payload.detach();
      }
      chunk.fill('y');
      payload.detach();
      expect(Buffer.from(payload.ownBytes()).toString()).toBe(body);
      expect(payload.ownBytes().buffer.byteLength).toBeLessThanOrEqual(Math.max(length, 1_024));
    }
  });

  test('of one chunk are as many as are asked for, of every length, and nothing beside them is touched', () => {
    const chunks = [1, 2, 3].map((n) => Buffer.from(Array.from({ length: 20_000 }, (_, at) => (at * 7 + n) & 0xff)));
    const kept: [Payload, Buffer][] = [];
    for (let n = 0; n < 600; n++) {
      const chunk = chunks[n < 300 ? 0 : n % 3] as Buffer;
      const length = n % 129;
      const start = n * 11;
      kept.push([Payload.fromChunk(chunk, start, start + length, raw), Buffer.from(chunk.subarray(start, start + length))]);
    }
    for (const chunk of chunks) chunk.fill(0);
    for (const [payload, body] of kept) {
      const row = new RowMemory(Buffer.alloc(body.length + 10, 0xee));
      payload.copyTo(row, 5);
      expect(row.bytes.equals(Buffer.concat([Buffer.alloc(5, 0xee), body, Buffer.alloc(5, 0xee)]))).toBe(true);
      expect(body.equals(payload.ownBytes())).toBe(true);
    }
  });

  test('made of a value is detached when it has bytes, also if it was asked to be before', () => {
    const pool = Buffer.alloc(64 * 1024);
    const payload = Payload.fromValue('text', { ...json, fromValue: () => pool.subarray(0, pool.write('"text"')) });
    payload.detach();
    payload.ownBytes();
    payload.detach();
    expect(payload.ownBytes().buffer.byteLength).toBeLessThanOrEqual(1_024);
    expect(payload.value()).toBe('text');
  });

  test('of a frame is the rest of it, has it at hand until it is detached, and is then the same', () => {
    const format = counting(json);
    const frame = Buffer.from('head{"a":1}');
    const payload = Payload.fromFrame(frame, 4, format);
    expect([payload.frame, payload.size]).toEqual([frame, 7]);
    expect(Buffer.from(payload.bytes(format)).toString()).toBe('{"a":1}');
    expect([payload.size, format.reads, format.writes]).toEqual([7, 0, 0]);
    const later = Payload.fromFrame(frame, 4, format);
    later.detach();
    expect([later.frame, later.value()]).toEqual([null, { a: 1 }]);
    expect(Payload.fromFrame(frame, 4, format).look()).toEqual({ a: 1 });
  });

  test('detached, many short ones share memory and long ones have their own', () => {
    const chunk = Buffer.alloc(64 * 1024, 'x');
    const detached = Array.from({ length: 100 }, (_, n) => {
      chunk.write(String(n).padStart(50), n * 600);
      const payload = Payload.fromBytes(chunk.subarray(n * 600, n * 600 + (n % 10 === 0 ? 600 : 50)), raw);
      payload.detach();
      return payload.ownBytes();
    });
    for (const [n, bytes] of detached.entries()) expect(Buffer.from(bytes).toString('utf8', 0, 50).trim()).toBe(String(n));
    const pieces = new Set(detached.map(({ buffer }) => buffer));
    expect(pieces.size).toBeLessThan(20);
    for (const bytes of detached.filter(({ length }) => length === 600)) expect(bytes.buffer.byteLength).toBe(600);
  });

  test('keeps its bytes where they are when they are alone there', () => {
    const bytes = Buffer.allocUnsafeSlow(100);
    const payload = Payload.fromBytes(bytes.subarray(10, 90), raw);
    const before = payload.ownBytes();
    payload.detach();
    expect(payload.ownBytes()).toBe(before);
  });

  test('that is only a value yet stays one', () => {
    const format = counting(json);
    const payload = Payload.fromValue({ a: 1 }, format);
    payload.detach();
    expect(payload.bytesAtHand).toBeNull();
    expect(format.writes).toBe(0);
  });
});
