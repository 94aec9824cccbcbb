// Random paths and patterns over few names, so that they meet often.

import fc from 'fast-check';
import type { Dialect } from '../../src/core/paths/pattern.js';

const FIRST_NAMES = ['a', 'b', '', 'ab', '*', '+', '_SYSTEM', '_HAVEN', '$SYS', '__proto__'];
const NAMES = ['a', 'b', 'c', '', 'ab', '*', '**', '+', '#', '__proto__', 'constructor'];

function joined(first: readonly string[], rest: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom('', '/'), fc.constantFrom(...first), fc.array(fc.constantFrom(...rest), { maxLength: 6 }))
    .map(([slash, head, tail]) => slash + [head, ...tail].join('/'))
    .filter((text) => text !== '');
}

export const anyPath: fc.Arbitrary<string> = joined(FIRST_NAMES, NAMES);

export interface PatternText {
  readonly text: string;
  readonly dialect: Dialect;
  readonly depth: number;
}

function ofDialect(dialect: Dialect, text: fc.Arbitrary<string>): fc.Arbitrary<PatternText> {
  return fc.record({ text, dialect: fc.constant(dialect), depth: fc.integer({ min: 1, max: 6 }) });
}

const filter = fc
  .tuple(
    fc.constantFrom('', '/'),
    fc.constantFrom('a', 'b', '', '+', '_SYSTEM', '_HAVEN', '$SYS', '*'),
    fc.array(fc.constantFrom('a', 'b', '', '+', '*', '__proto__'), { maxLength: 4 }),
    fc.constantFrom('', '/#'),
  )
  .map(([slash, head, tail, end]) => slash + [head, ...tail].join('/') + end)
  .filter((text) => text !== '');

const globNames = ['a', 'b', '', 'a*', '*b', '*', 'a*b', '+'];

/** A well-formed pattern of any dialect. */
export const anyPattern: fc.Arbitrary<PatternText> = fc.oneof(
  ofDialect('glob', joined(['a', '*', 'a*', '_SYSTEM', '_SYS*', '_*', '$SYS', '$*', ''], globNames)),
  ofDialect('segments', joined(['a', 'b', '*', '**', '', '_SYSTEM', '_HAVEN', '$SYS', 'a*'], NAMES)),
  ofDialect('mqtt', fc.oneof(filter, fc.constantFrom('#', '/#', '+'))),
);
