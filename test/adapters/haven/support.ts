// Helpers of the Haven tests: bytes in hex, arbitrary MessagePack, deterministic chance.

import fc from 'fast-check';
import type { ScanLimits } from '../../../src/adapters/haven/scanner.js';
import { pack } from '../../support/haven-client.js';

export const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');

export const LIMITS: ScanLimits = { maxBytes: 1024 * 1024, maxElements: 65_536, maxDepth: 32 };

/** Property tests run a thousandth of their cases unless the long run is asked for. */
export const RUNS = process.env.TRIVIUM_TEST_LONG === '1' ? 1_000_000 : 1_000;

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const scalar = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.maxSafeInteger(),
  fc.integer({ min: -200, max: 300 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n)),
  text,
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.date({ noInvalidDate: true }),
);

/** What a Haven peer can mean, without what msgpackr reads otherwise than it was written. */
export const peerValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 5 }),
    fc
      .array(
        fc.tuple(
          text.filter((key) => key !== '__proto__'),
          tie('value'),
        ),
        { maxLength: 5 },
      )
      .map((members) => Object.fromEntries(members)),
  ),
})).value;

/** Valid MessagePack with a few bytes changed, put in or left out. */
export const nearlyMessagePack: fc.Arbitrary<Buffer> = fc
  .tuple(peerValue, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat(2)), { maxLength: 4 }))
  .map(([value, edits]) => {
    const bytes = [...pack(value)];
    for (const [at, byte, kind] of edits) bytes.splice(at % (bytes.length + 1), kind === 0 ? 0 : 1, ...(kind === 2 ? [] : [byte]));
    return Buffer.from(bytes);
  });
