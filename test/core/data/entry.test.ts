import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeEntry, Entry, encodeEntry } from '../../../src/core/data/entry.js';
import { binary, json, raw } from '../../../src/core/data/formats.js';
import { Meta } from '../../../src/core/data/meta.js';
import { Payload } from '../../../src/core/data/payload.js';
import type { Qos } from '../../../src/core/message.js';
import { StoreDamage } from '../../../src/core/store/store.js';

const formats = new Map([json, raw, binary].map((format) => [format.id, format]));
const arbitraryEntry = fc
  .record({
    payload: fc.uint8Array({ maxLength: 100 }),
    format: fc.constantFrom(json, raw, binary),
    created: fc.maxSafeNat(),
    modified: fc.maxSafeNat(),
    revision: fc.maxSafeNat(),
    author: fc.string({ unit: 'grapheme', maxLength: 20 }),
    qos: fc.constantFrom<Qos>(0, 1, 2),
    expires: fc.oneof(fc.constant(0), fc.maxSafeNat()),
    meta: fc.option(fc.dictionary(fc.string(), fc.string(), { minKeys: 1 })),
  })
  .map(({ created, modified, revision, author, qos, expires, meta, ...it }) => {
    const payload = Payload.fromBytes(it.payload, it.format);
    return new Entry('/a/b', payload, created, modified, revision, author, qos, expires, meta === null ? null : Meta.fromValues(meta));
  });

describe('an entry on disk', () => {
  test('is read back as it was written', () => {
    fc.assert(
      fc.property(arbitraryEntry, (entry) => {
        const back = decodeEntry(entry.path, encodeEntry(entry), formats);
        const facts = ({ path, created, modified, revision, author, qos, expires, meta }: Entry) => {
          return [path, created, modified, revision, author, qos, expires, meta?.pairs];
        };
        expect(facts(back)).toEqual(facts(entry));
        expect(back.payload.format).toBe(entry.payload.format);
        expect(Buffer.from(back.payload.ownBytes())).toEqual(Buffer.from(entry.payload.ownBytes()));
      }),
    );
  });

  test('may lie anywhere in a larger buffer', () => {
    const entry = new Entry('a', Payload.fromBytes(Buffer.from('on'), raw), 1, 2, 3, 'Zoë');
    const whole = Buffer.concat([Buffer.from('xx'), encodeEntry(entry), Buffer.from('yy')]);
    const back = decodeEntry('a', new Uint8Array(whole).subarray(2, whole.length - 2), formats);
    expect([back.payload.value(), back.created, back.modified, back.revision, back.author]).toEqual(['on', 1, 2, 3, 'Zoë']);
  });

  test('holds an empty payload and no author', () => {
    const back = decodeEntry('a', encodeEntry(new Entry('a', Payload.fromBytes(new Uint8Array(0), raw), 0, 0, 1, '')), formats);
    expect([back.payload.value(), back.author]).toEqual(['', '']);
  });

  test('of which any byte is changed or missing is damage, never another entry', () => {
    fc.assert(
      fc.property(arbitraryEntry, fc.nat(), fc.integer({ min: 1, max: 255 }), (entry, at, change) => {
        const bytes = encodeEntry(entry);
        const flipped = Buffer.from(bytes);
        flipped[at % bytes.length] = (flipped[at % bytes.length] as number) ^ change;
        expect(() => decodeEntry('a', flipped, formats)).toThrowError(StoreDamage);
        expect(() => decodeEntry('a', bytes.subarray(0, at % bytes.length), formats)).toThrowError(StoreDamage);
      }),
    );
  });

  test('of an unknown format is damage that names the path', () => {
    const bytes = encodeEntry(new Entry('/a', Payload.fromBytes(Buffer.from('1'), binary), 0, 0, 1, ''));
    expect(() => decodeEntry('/a', bytes, new Map([[json.id, json]]))).toThrowError(/"\/a".*unknown form/);
  });
});
