// Patterns: what each dialect matches, refuses and tells about itself; each against an independent slow reading of its rules.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestError } from '../../../src/core/errors.js';
import { PATH_MAX_BYTES, reservedArea } from '../../../src/core/paths/path.js';
import { DEFAULT_DEPTH, type Dialect, PATTERN_MAX_BYTES, PATTERN_MAX_LEVELS, parsePattern } from '../../../src/core/paths/pattern.js';
import { anyPath, anyPattern } from '../../support/path-arbitraries.js';
import { growth } from '../../support/processor-time.js';

const vectors = JSON.parse(readFileSync(new URL('../../fixtures/happn-matching-vectors.json', import.meta.url), 'utf8')) as {
  paths: string[];
  channels: { channel: string; key: string; matches: string[] }[];
};

function codeOf(text: unknown, dialect: Dialect): string {
  try {
    parsePattern(text as string, dialect);
  } catch (error) {
    if (error instanceof RequestError) return error.code;
    throw error;
  }
  return 'accepted';
}

/** Globs by dynamic programming over all pairs of places. */
function globReference(pattern: string, path: string): boolean {
  let row = Array.from({ length: path.length + 1 }, (_, at) => at === 0);
  for (const unit of pattern.split('')) {
    const next = new Array<boolean>(path.length + 1).fill(false);
    for (let at = 0; at <= path.length; at++) {
      if (unit === '*') next[at] = row[at] === true || (at > 0 && next[at - 1] === true);
      else next[at] = at > 0 && row[at - 1] === true && path[at - 1] === unit;
    }
    row = next;
  }
  return row[path.length] === true;
}

function segmentsReference(pattern: string, path: string, depth: number): boolean {
  if (pattern === '*') return true;
  const names = pattern.replace(/^\//, '').split('/');
  const levels = path.replace(/^\//, '').split('/');
  const deep = names.at(-1) === '**';
  if (deep) names.pop();
  const extra = levels.length - names.length;
  if (deep ? extra < 1 || extra > depth : extra !== 0) return false;
  return names.every((name, at) => name === '*' || name === levels[at]);
}

function mqttReference(filter: string, path: string): boolean {
  const names = filter.split('/');
  const levels = path.split('/');
  const deep = names.at(-1) === '#';
  if (deep) names.pop();
  if (deep ? levels.length < names.length : levels.length !== names.length) return false;
  return names.every((name, at) => name === '+' || name === levels[at]);
}

/** A reserved area is entered only by a pattern whose first level is that area, letter for letter. */
function reference(text: string, dialect: Dialect, path: string, depth: number): boolean {
  const area = reservedArea(path);
  const spelled = dialect === 'segments' ? text.replace(/^\//, '') : text;
  const first = spelled.startsWith('/_') ? spelled.split('/', 2).join('/') : (spelled.split('/')[0] as string);
  const canonical = first.startsWith('_') ? `/${first}` : first;
  if (area !== null && area !== canonical) return false;
  if (dialect === 'glob') return globReference(text, path);
  return dialect === 'mqtt' ? mqttReference(text, path) : segmentsReference(text, path, depth);
}

describe('glob', () => {
  it.each([
    ['/a/b', ['/a/b'], ['a/b', '/a/b/', '/A/b', '/a/b/c']],
    ['/a/*', ['/a/', '/a/b', '/a/b/c'], ['/a', 'a/b', '/ab']],
    ['/a*', ['/a', '/ab', '/a/b/c'], ['a', '/b']],
    ['*', ['a', '/a/b', '+/#'], []],
    ['**', ['a', '/a/b'], []],
    ['*end', ['/w/1/end', 'end'], ['/w/1/end/', 'END']],
    ['/w/*/end', ['/w/1/end', '/w/1/2/end', '/w//end'], ['/w/end', '/w/1/ends']],
    ['a*a', ['aa', 'aba', 'aaa'], ['a', 'ab']],
    ['ab*bc', ['abbc', 'abxbc'], ['abc']],
    ['*a*b*', ['ab', 'xaxbx', 'aabb'], ['ba', 'a', 'b']],
    ['get/us*', ['get/us', 'get/users/1'], ['get/u']],
    ['a/+/#', ['a/+/#'], ['a/b/c']],
    ['a.c*', ['a.c', 'a.cd'], ['abc']],
    ['[ab]*(c)*', ['[ab](c)', '[ab]x(c)y'], ['ac', 'a(c)']],
  ])('%s', (text, matching, others) => {
    const pattern = parsePattern(text, 'glob');
    expect(matching.filter((path) => !pattern.matches(path))).toEqual([]);
    expect(others.filter((path) => pattern.matches(path))).toEqual([]);
  });

  it('agrees with trying every place for every star', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[ab/*]{1,12}$/), fc.stringMatching(/^[ab/]{1,16}$/), (text, path) => {
        expect(parsePattern(text, 'glob').matches(path)).toBe(globReference(text, path));
      }),
      { numRuns: 5_000 },
    );
  });

  it('finds long pieces as short ones', () => {
    const piece = fc.array(fc.constantFrom('a', 'b'), { minLength: 201, maxLength: 203 }).map((units) => units.join(''));
    const noise = fc.array(fc.constantFrom('a', 'b'), { maxLength: 80 }).map((units) => units.join(''));
    fc.assert(
      fc.property(piece, piece, noise, noise, fc.boolean(), (needle, other, before, after, present) => {
        const path = `${before}${present ? needle : other}${after}`;
        expect(parsePattern(`*${needle}*`, 'glob').matches(path)).toBe(path.includes(needle));
      }),
    );
    const repeated = `${'a'.repeat(250)}b`;
    expect(parsePattern(`*${repeated}*x`, 'glob').matches(`${'a'.repeat(900)}bx`)).toBe(true);
  });

  /** Pattern and path, as long as they may be or a part of that: a quarter has to cost about a quarter. */
  it.each<[what: string, one: (part: number) => [text: string, path: string]]>([
    ['thirty stars', (part) => [`${'*a'.repeat(30 / part)}*b`, 'a'.repeat(PATH_MAX_BYTES / part)]],
    ['a star between all letters', (part) => [`${'a*'.repeat(500 / part)}b`, 'a'.repeat(PATH_MAX_BYTES / part)]],
    [
      'a piece that almost fits everywhere',
      (part) => [`*${'a'.repeat(500 / part)}b${'a'.repeat(500 / part)}*`, 'a'.repeat(PATH_MAX_BYTES / part)],
    ],
    ['a piece that almost fits at its end', (part) => [`*${'a'.repeat(1000 / part)}b*`, `${'a'.repeat(1000 / part - 10)}b`.repeat(132)]],
  ])('takes linear time for %s', (_what, one) => {
    const matching = (part: number) => {
      const [text, path] = one(part);
      const pattern = parsePattern(text, 'glob');
      return () => expect(pattern.matches(path)).toBe(false);
    };
    // Backtracking would take centuries, a product of both lengths sixteen times as much.
    expect(growth(matching(4), matching(1))).toBeLessThan(10);
  });
});

describe('segments', () => {
  it.each(vectors.channels)('$channel matches what a happn server delivered', ({ key, matches }) => {
    const pattern = parsePattern(key, 'segments');
    expect(vectors.paths.filter((path) => pattern.matches(path))).toEqual(matches);
  });

  it.each([
    ['/a/*', ['/a/'], ['/a//']],
    ['//a', ['//a'], ['/a', 'a', '///a']],
    ['a//b', ['a//b', '/a//b'], ['a/b']],
    ['/*/*', ['a/b', '/a/b', '//'], ['a', '/a/b/c']],
    ['*/**', ['a/b', '/a/b/c'], ['a', '/a']],
    ['/a/+/#', ['/a/+/#'], ['/a/b/c']],
    // Measured on happn-3 13.12.1: `remove /a*` is heard on `/a*` and on nothing that it would match as a glob.
    ['/a*', ['/a*', 'a*'], ['/a', '/ab', '/a/b']],
    ['/a/**/c', ['/a/**/c'], ['/a/b/c', '/a/b/x/c']],
    ['/m/*', ['/m/*', '/m/1'], ['/m/*/x']],
    ['/m/**', ['/m/*', '/m/**'], ['/m']],
    ['/m/1', ['/m/1'], ['/m/*']],
  ])('%s', (text, matching, others) => {
    const pattern = parsePattern(text, 'segments');
    expect(matching.filter((path) => !pattern.matches(path))).toEqual([]);
    expect(others.filter((path) => pattern.matches(path))).toEqual([]);
  });

  it('goes as deep as asked', () => {
    const deep = (levels: number): string => `/a${'/x'.repeat(levels)}`;
    const depths = (depth?: number): number[] => {
      const pattern = parsePattern('/a/**', 'segments', depth);
      return Array.from({ length: 120 }, (_, levels) => levels).filter((levels) => pattern.matches(deep(levels)));
    };
    expect(depths(2)).toEqual([1, 2]);
    expect(depths()).toEqual([1, 2, 3, 4, 5]);
    for (const odd of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '3' as unknown as number]) {
      expect(depths(odd)).toHaveLength(DEFAULT_DEPTH);
    }
    expect(depths(1e9)).toHaveLength(PATTERN_MAX_LEVELS);
  });
});

describe('mqtt', () => {
  it.each([
    ['a/b', ['a/b'], ['/a/b', 'a/b/', 'a']],
    ['a/+', ['a/b', 'a/'], ['a', 'a/b/c', '/a/b']],
    ['+/+', ['a/b', '/a', '/'], ['a', 'a/b/c']],
    ['/+', ['/a', '/'], ['a']],
    ['+', ['a', ' '], ['/a', 'a/b']],
    ['#', ['a', '/a', 'a/b/c', '/'], ['$SYS/x', '$x']],
    ['a/#', ['a', 'a/', 'a/b', 'a/b/c'], ['ab', '/a', 'b/a']],
    ['a/+/#', ['a/b', 'a/b/c', 'a/'], ['a']],
    ['+/a/#', ['x/a', 'x/a/b', '/a'], ['x', 'x/b', '$SYS/a']],
    ['/#', ['/a', '/', '/a/b', '/$SYS/x'], ['a']],
    ['$SYS/#', ['$SYS/x', '$SYS'], ['$OTHER/x', 'x']],
    ['$SYS/+', ['$SYS/x'], ['$SYS/x/y']],
    ['+/x', ['a/x'], ['$SYS/x', '_SYSTEM/x']],
    ['a*/*', ['a*/*'], ['ab/c']],
    ['/+/x', ['/a/x', '/$SYS/x'], ['/_SYSTEM/x', '/_HAVEN/x']],
  ])('%s', (text, matching, others) => {
    const pattern = parsePattern(text, 'mqtt');
    expect(matching.filter((path) => !pattern.matches(path))).toEqual([]);
    expect(others.filter((path) => pattern.matches(path))).toEqual([]);
  });

  it.each([['a/#/b'], ['a#'], ['a/b#'], ['#/'], ['##'], ['a+'], ['+a/b'], ['a/++'], ['a/+#'], ['#+'], ['']])('refuses %j', (text) => {
    expect(codeOf(text, 'mqtt')).toBe('INVALID_PATH');
  });

  it('refuses filters above its limits', () => {
    expect(codeOf('a'.repeat(PATTERN_MAX_BYTES), 'mqtt')).toBe('accepted');
    expect(codeOf('a'.repeat(PATTERN_MAX_BYTES + 1), 'mqtt')).toBe('INVALID_PATH');
    expect(codeOf('\u00e9'.repeat(PATTERN_MAX_BYTES / 2 + 1), 'mqtt')).toBe('INVALID_PATH');
    expect(codeOf('/'.repeat(PATTERN_MAX_LEVELS - 1), 'mqtt')).toBe('accepted');
    expect(codeOf('/'.repeat(PATTERN_MAX_LEVELS), 'mqtt')).toBe('INVALID_PATH');
  });
});

describe('every dialect', () => {
  const dialects: Dialect[] = ['glob', 'segments', 'mqtt'];

  it.each(dialects)('refuses ill-formed text: %s', (dialect) => {
    for (const text of ['', 'a\u0000', 'a\n', '\ud800', 'a\u0085/b', 7, null, {}]) expect(codeOf(text, dialect)).toBe('INVALID_PATH');
  });

  it('bounds what costs more than its text', () => {
    expect(codeOf(`${'a'.repeat(PATTERN_MAX_BYTES)}*`, 'glob')).toBe('INVALID_PATH');
    expect(codeOf(`${'a'.repeat(PATTERN_MAX_BYTES)}/*`, 'segments')).toBe('INVALID_PATH');
    expect(codeOf(`${'a/'.repeat(PATTERN_MAX_LEVELS)}*`, 'segments')).toBe('INVALID_PATH');
    expect(codeOf('a/'.repeat(PATTERN_MAX_LEVELS * 2), 'segments')).toBe('accepted');
    expect(codeOf('a'.repeat(PATH_MAX_BYTES), 'glob')).toBe('accepted');
    expect(codeOf('a'.repeat(PATH_MAX_BYTES + 1), 'glob')).toBe('INVALID_PATH');
  });

  it.each([
    // A character that is a wildcard in one dialect is a letter in the others.
    ['a/*', { glob: ['a/*', 'a/+', 'a/#', 'a/b'], segments: ['a/*', 'a/+', 'a/#', 'a/b'], mqtt: ['a/*'] }],
    ['a/+', { glob: ['a/+'], segments: ['a/+'], mqtt: ['a/*', 'a/+', 'a/#', 'a/b'] }],
    ['a/#', { glob: ['a/#'], segments: ['a/#'], mqtt: ['a/*', 'a/+', 'a/#', 'a/b'] }],
  ])('%s keeps its meaning in each dialect', (text, expected) => {
    const paths = ['a/*', 'a/+', 'a/#', 'a/b'];
    for (const dialect of dialects) {
      const pattern = parsePattern(text, dialect);
      expect(paths.filter((path) => pattern.matches(path))).toEqual(expected[dialect]);
    }
  });

  it.each([
    ['glob', ['*', '/*', '/_*', '/_SYS*', '/_SYSTEM*', '*/x', '_*', '$*', '$S*', '$SYS*', '*x', '/_SYSTE*M/x']],
    ['segments', ['*', '/*', '**', '/**', '*/*', '/*/x', '/*/**']],
    ['mqtt', ['#', '+/#', '/#', '+/+', '/+/x', '+/+/x', '/+/#', '+/x', '+/_SYSTEM/x', '+/_SYSTEM/#']],
  ] as [Dialect, string[]][])('%s enters no reserved area by a wildcard', (dialect, texts) => {
    const reserved = ['/_SYSTEM/x', '_SYSTEM/x', '/_SYSTEM', '_SYSTEM', '/_HAVEN/x', '_HAVEN/x', '$SYS/x', '$SYS', '$x'];
    for (const text of texts) {
      const pattern = parsePattern(text, dialect);
      expect(pattern.area).toBeNull();
      expect(reserved.filter((path) => pattern.matches(path))).toEqual([]);
    }
  });

  it.each([
    ['glob', '/_SYSTEM/*', '/_SYSTEM', ['/_SYSTEM/x', '/_SYSTEM/x/y']],
    ['glob', '/_SYSTEM/x', '/_SYSTEM', ['/_SYSTEM/x']],
    ['glob', '_SYSTEM/*', '/_SYSTEM', ['_SYSTEM/x']],
    ['glob', '$SYS/*', '$SYS', ['$SYS/x']],
    ['segments', '/_SYSTEM/*', '/_SYSTEM', ['/_SYSTEM/x', '_SYSTEM/x']],
    ['segments', '_SYSTEM/**', '/_SYSTEM', ['/_SYSTEM/x', '_SYSTEM/x', '/_SYSTEM/x/y']],
    ['segments', '/_SYSTEM/x', '/_SYSTEM', ['/_SYSTEM/x', '_SYSTEM/x']],
    ['segments', '/$SYS/**', '$SYS', ['$SYS/x']],
    ['mqtt', '/_SYSTEM/#', '/_SYSTEM', ['/_SYSTEM/x', '/_SYSTEM', '/_SYSTEM/x/y']],
    ['mqtt', '/_HAVEN/+', '/_HAVEN', ['/_HAVEN/x']],
    ['mqtt', '$SYS/+', '$SYS', ['$SYS/x']],
  ] as [Dialect, string, string, string[]][])('%s %s spells out %s', (dialect, text, area, matching) => {
    const paths = ['/_SYSTEM/x', '_SYSTEM/x', '/_SYSTEM/x/y', '/_SYSTEM', '/_HAVEN/x', '$SYS/x', '/x', 'x'];
    const pattern = parsePattern(text, dialect);
    expect(pattern.area).toBe(area);
    expect(paths.filter((path) => pattern.matches(path)).sort()).toEqual([...matching].sort());
  });

  it('agrees with a slow reading of the rules', () => {
    fc.assert(
      fc.property(anyPattern, anyPath, ({ text, dialect, depth }, path) => {
        expect(parsePattern(text, dialect, depth).matches(path)).toBe(reference(text, dialect, path, depth));
      }),
      { numRuns: 20_000 },
    );
  });

  it('has an exact path and a prefix that hold for every match', () => {
    fc.assert(
      fc.property(anyPattern, anyPath, ({ text, dialect, depth }, path) => {
        const pattern = parsePattern(text, dialect, depth);
        if (pattern.exact !== null) expect(pattern.matches(path)).toBe(path === pattern.exact);
        if (pattern.matches(path)) expect(path.startsWith(pattern.prefix)).toBe(true);
      }),
      { numRuns: 10_000 },
    );
  });

  it.each([
    ['glob', '/a/b', '/a/b', '/a/b'],
    ['glob', '/a/b*c*', null, '/a/b'],
    ['glob', '*', null, ''],
    ['segments', '/a/b', null, ''],
    ['segments', '/a/*', null, ''],
    ['mqtt', 'a/b', 'a/b', 'a/b'],
    ['mqtt', 'a/+/b', null, 'a/'],
    ['mqtt', 'a/b/#', null, 'a/b'],
    ['mqtt', '/#', null, ''],
    ['mqtt', '+', null, ''],
    ['mqtt', '/+', null, '/'],
  ] as [Dialect, string, string | null, string][])('%s %s has exact %j and prefix %j', (dialect, text, exact, prefix) => {
    const pattern = parsePattern(text, dialect);
    expect([pattern.exact, pattern.prefix]).toEqual([exact, prefix]);
  });
});
