import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checksum } from '../../../src/core/store/checksum.js';

test('a checksum is the CRC-32 of the part, however long, and goes on from what stands before it', () => {
  expect(checksum(Buffer.from('123456789'), 0, 9)).toBe(0xcbf43926);
  const part = fc.tuple(fc.uint8Array({ maxLength: 600 }), fc.nat(600), fc.nat(600));
  fc.assert(
    fc.property(part, ([array, a, b]) => {
      const bytes = Buffer.from(array);
      const from = Math.min(a, b, bytes.length);
      const to = Math.min(Math.max(a, b), bytes.length);
      const before = crc32(bytes.subarray(0, from));
      expect(checksum(bytes, from, to)).toBe(crc32(bytes.subarray(from, to)));
      expect(checksum(bytes, from, to, before)).toBe(crc32(bytes.subarray(0, to)));
    }),
  );
});
