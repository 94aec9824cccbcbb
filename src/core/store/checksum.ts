// Checksum: CRC-32 (IEEE 802.3) of parts of what rows and checks are made in. Most are so short that a call into the runtime, and a
// view for it, would cost more than the sum.

import { crc32 } from 'node:zlib';

const SHORT_BYTES = 256;
const POLYNOMIAL = 0xedb88320;
const [FIRST, SECOND, THIRD, FOURTH] = tables();

/** Of `bytes[from]` to `bytes[to]`, exclusive; `begun` is the sum of what stands before. */
export function checksum(bytes: Buffer, from: number, to: number, begun = 0): number {
  if (to - from > SHORT_BYTES) return crc32(bytes.subarray(from, to), begun);
  let sum = ~begun;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    sum ^= (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
    sum =
      (FOURTH[sum & 0xff] as number) ^
      (THIRD[(sum >>> 8) & 0xff] as number) ^
      (SECOND[(sum >>> 16) & 0xff] as number) ^
      (FIRST[sum >>> 24] as number);
  }
  for (; at < to; at++) sum = (FIRST[(sum ^ (bytes[at] as number)) & 0xff] as number) ^ (sum >>> 8);
  return ~sum >>> 0;
}

/** Of a byte with none, one, two and three zeros behind it. */
function tables(): [Int32Array, Int32Array, Int32Array, Int32Array] {
  const first = Int32Array.from({ length: 256 }, (_, byte) => {
    let sum = byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1) === 0 ? sum >>> 1 : POLYNOMIAL ^ (sum >>> 1);
    return sum;
  });
  const behindZero = (table: Int32Array): Int32Array => table.map((sum) => (first[sum & 0xff] as number) ^ (sum >>> 8));
  const second = behindZero(first);
  const third = behindZero(second);
  return [first, second, third, behindZero(third)];
}
