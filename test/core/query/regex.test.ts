// Expressions from outside: what they match, and that no expression takes long.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RequestError } from '../../../src/core/errors.js';
import { Meter } from '../../../src/core/query/meter.js';
import { includesText, likeRegex, Regex } from '../../../src/core/query/regex.js';

const meter = (steps = 250_000): Meter => {
  const made = new Meter(steps);
  made.begin('/p');
  return made;
};

function matches(source: string, flags: string, text: string): boolean {
  const regex = new Regex(source, flags);
  regex.compile();
  return regex.test(text, meter(1e9));
}

describe('an expression', () => {
  test.each<[string, string]>([
    ['', ''],
    ['abc', ''],
    ['^abc', ''],
    ['abc$', ''],
    ['^abc$', ''],
    ['^$', ''],
    ['$', ''],
    ['^', ''],
    ['.*abc.*', ''],
    ['.*', ''],
    ['^.*', ''],
    ['.*$', ''],
    ['^abc.*', ''],
    ['.*abc$', ''],
    ['a\\.c', ''],
    ['a\\/c', ''],
    ['a\\\\', ''],
    ['a\\\\.*', ''],
    ['a\\.*', ''],
    ['a\\$', ''],
    ['a\\\\$', ''],
    ['a-c', ''],
    ['a.c', ''],
    ['a.c', 's'],
    ['abc', 'i'],
    ['^ABC$', 'i'],
    ['^b', 'm'],
    ['b$', 'gm'],
    ['(a|b)+c', ''],
    ['[^]', ''],
    ['\\d{2,3}', ''],
    ['\\u0061', ''],
    ['(?<n>a)b', ''],
    ['\\bab', 'u'],
  ])('/%s/%s means what it means in JavaScript', (source, flags) => {
    const native = new RegExp(source, flags.replace('g', ''));
    const texts = [
      '',
      'abc',
      'xabc',
      'abcx',
      'a\nb',
      'b\na',
      'a.c',
      'a/c',
      'a-c',
      'a\\',
      'a$',
      'ABC',
      '\n',
      'a\nc',
      'aabbc',
      '12',
      'x\nabc\ny',
      'aaa',
    ];
    for (const text of texts) expect(matches(source, flags, text), JSON.stringify(text)).toBe(native.test(text));
  });

  test('of plain characters is found as a text, wherever the text ends', () => {
    const plain = fc.string({ unit: fc.constantFrom('a', 'b', '-', ' ', 'é', '/', '\u{1F600}'), maxLength: 4 });
    const frame = fc.constantFrom<[string, string]>(['', ''], ['^', ''], ['', '$'], ['^', '$'], ['.*', '.*'], ['^', '.*']);
    fc.assert(
      fc.property(plain, frame, plain, plain, (sought, [before, after], left, right) => {
        const source = `${before}${sought}${after}`;
        for (const text of [left, `${left}${sought}${right}`, `${sought}${right}`, `${left}${sought}`]) {
          expect(matches(source, '', text), `${source} in ${text}`).toBe(new RegExp(source).test(text));
        }
      }),
    );
  });

  test('is found in texts that are not well formed, too', () => {
    expect(matches('a.', '', 'a\ud800')).toBe(true);
    expect(matches('[^a]$', '', '\udc00')).toBe(true);
  });
});

describe('the time an expression takes', () => {
  /** A backtracking engine takes longer than the age of the universe to find that most of these do not match. */
  const CATASTROPHIC = [
    '(a+)+$',
    '^(a|a)*$',
    '^(a|aa)+$',
    '(.*a){20}!a',
    '^(([a-z])+.)+[A-Z]([a-z])+$',
    '(a?){50}a{50}b',
    '^(\\w+\\s?)*$',
    '(a+a+)+y',
  ];

  test.each(CATASTROPHIC)('B8 does not explode for %s', (source) => {
    const regex = new Regex(source, '');
    regex.compile();
    expect(regex.test(`${'a'.repeat(2_000)}!`, meter(1e9))).toBe(false);
  });

  test.each(CATASTROPHIC)('is counted for %s before it is spent', (source) => {
    const regex = new Regex(source, '');
    regex.compile();
    const counted = meter(Number.POSITIVE_INFINITY);
    regex.test('b'.repeat(1_000), counted);
    const once = counted.steps;
    regex.test('b'.repeat(2_000), counted);
    expect(once).toBeGreaterThan(1_000);
    expect(counted.steps - once).toBeLessThan(2 * once);
    expect(() => regex.test('a'.repeat(1_000_000), meter())).toThrow(RequestError);
  });

  test('is more for wide classes of characters', () => {
    const steps = (source: string): number => {
      const regex = new Regex(source, '');
      regex.compile();
      const counted = meter(Number.POSITIVE_INFINITY);
      regex.test('a'.repeat(100), counted);
      return counted.steps;
    };
    expect(steps('[^\\p{L}]x')).toBe(4 * steps('[^a-z]x'));
    expect(steps('[à-ü]x')).toBe(4 * steps('[a-z]x'));
  });

  test('is that of comparing for a text', () => {
    const counted = meter(Number.POSITIVE_INFINITY);
    const regex = new Regex('^abc', '');
    regex.compile();
    regex.test('x'.repeat(10_000_000), counted);
    expect(counted.steps).toBe(0);
    includesText('a'.repeat(1_000), 'b', counted);
    expect(counted.steps).toBe(250);
    includesText('a'.repeat(1_000), 'b'.repeat(750), counted);
    expect(counted.steps).toBe(10_250);
  });
});

describe('an SQL pattern', () => {
  test.each<[string, string, boolean]>([
    ['', '', true],
    ['', 'a', false],
    ['%', '', true],
    ['a%', 'abc', true],
    ['a%', 'ba', false],
    ['%a', 'ba', true],
    ['%b%', 'abc', true],
    ['a_c', 'abc', true],
    ['a_c', 'ac', false],
    ['_', '\u{1F600}', true],
    ['100\\%', '100%', true],
    ['100\\%', '1000', false],
    ['a\\_c', 'abc', false],
    ['a\\', 'a\\', true],
    ['(a|b)*', '(a|b)*', true],
    ['(a|b)*', 'a', false],
    ['ÄB', 'äb', true],
  ])('%s on %s: %s', (pattern, text, expected) => {
    const regex = likeRegex(pattern);
    regex.compile();
    expect(regex.test(text, meter())).toBe(expected);
  });
});
