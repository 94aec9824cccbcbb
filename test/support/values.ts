// Arbitrary values of the shared model, for property tests: every kind, nasty keys and texts, numbers that a double holds.

import fc from 'fast-check';
import type { Value } from '../../src/core/data/payload.js';

const nastyKeys = fc.constantFrom('__proto__', 'constructor', 'prototype', 'toJSON', 'value', '$binary', '', 'hasOwnProperty', '\u2028');
const key = fc.oneof({ weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength: 8 }) }, { weight: 1, arbitrary: nastyKeys });
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.constantFrom('', 'true', 'null', '12', '-0', '1e400', '"quoted"', '{"a":1}', '[1,2', ' 1 ', '\u2028\u2029', '\ud800', '\ufeff1'),
);
const number = fc.oneof(fc.maxSafeInteger(), fc.double({ noNaN: true, noDefaultInfinity: true })).map((n) => (n === 0 ? 0 : n));

function nested(scalar: fc.Arbitrary<Value>): fc.Arbitrary<Value> {
  const tree = fc.letrec<{ value: Value }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      scalar,
      fc.array(tie('value'), { maxLength: 4 }),
      fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map((members) => Object.fromEntries(members)),
    ),
  }));
  return tree.value;
}

/** What JSON can say: no bytes, no dates, no negative zero. */
export const jsonValue: fc.Arbitrary<Value> = nested(fc.oneof(fc.constant(null), fc.boolean(), number, text));

/** Every value of the model, invalid dates included (nothing may throw on them). */
export const anyValue: fc.Arbitrary<Value> = nested(
  fc.oneof(fc.constant(null), fc.boolean(), number, text, fc.uint8Array({ maxLength: 20 }), fc.date({ noInvalidDate: false })),
);
