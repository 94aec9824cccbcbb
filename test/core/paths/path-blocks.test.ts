// Blocks of paths: whatever comes and goes, they hold what a sorted set would.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BOUND, blockOf, type PathBlock, PathBlocks, type PathChange } from '../../../src/core/paths/path-blocks.js';
import { compareTexts } from '../../../src/core/query/values.js';

function pathsIn(blocks: PathBlocks): string[] {
  return blocks.all().flatMap(({ text }) => text.slice(1, -1).split(BOUND));
}

const sorted = (paths: Iterable<string>): string[] => [...paths].sort(compareTexts);

test('hold what was put in, for any course of changes', () => {
  const name = fc.constantFrom('a', 'b', 'ab', 'a/', '/', '-', '0', 'é', '€', '\u{1F600}', '\uFFFF', 'x'.repeat(3_000));
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join(''));
  const changes = fc.array(fc.tuple(path, fc.boolean()), { maxLength: 30 });
  fc.assert(
    fc.property(fc.uniqueArray(path, { maxLength: 40 }), fc.array(changes, { maxLength: 8 }), path, (first, rounds, sought) => {
      const blocks = new PathBlocks();
      const model = new Set(first);
      const all = sorted(first);
      blocks.append(all.slice(0, 10));
      blocks.append(all.slice(10));
      for (const round of rounds) {
        const each = new Map(round);
        for (const [key, isThere] of each) isThere ? model.add(key) : model.delete(key);
        blocks.apply([...each].sort(([a], [b]) => compareTexts(a, b)));
        expect(pathsIn(blocks)).toEqual(sorted(model));
      }
      const list = blocks.all();
      const at = blockOf(list, sought);
      const firsts = list.map(({ first }) => compareTexts(first, sought) <= 0);
      expect(at).toBe(firsts.lastIndexOf(true));
      const bytes = blocks.all().reduce((sum, block) => sum + block.bytes, 0);
      expect(blocks.bytes).toBe(bytes);
    }),
    { numRuns: 500 },
  );
});

test('are many of moderate size, however the paths came', () => {
  const paths = sorted(Array.from({ length: 20_000 }, (_, i) => `/fleet/${i % 97}/device/${i}`));
  const appended = new PathBlocks();
  for (let at = 0; at < paths.length; at += 1_000) appended.append(paths.slice(at, at + 1_000));
  const inserted = new PathBlocks();
  for (let turn = 0; turn < 40; turn++) {
    inserted.apply(paths.filter((_, i) => i % 40 === (turn * 7) % 40).map((path): PathChange => [path, true]));
  }
  for (const blocks of [appended, inserted]) {
    expect(pathsIn(blocks)).toEqual(paths);
    const sizes = blocks.all().map(({ text }) => text.length);
    expect(Math.max(...sizes)).toBeLessThan(10_000);
    expect(sizes.length).toBeLessThan(250);
    // Little more than the paths themselves.
    expect(blocks.bytes).toBeLessThan(paths.join(BOUND).length + sizes.length * 2 + 1);
  }
});

test('that were handed out stay as they were', () => {
  const blocks = new PathBlocks();
  blocks.append(['/a', '/b', '/c']);
  const before = blocks.all();
  expect(
    blocks.apply([
      ['/b', false],
      ['/bb', true],
    ]),
    // The block, and the list of it.
  ).toBe((before[0] as PathBlock).bytes + 8);
  expect(
    blocks.apply([
      ['/bb', true],
      ['/x', false],
    ]),
  ).toBe(0);
  expect(before.map(({ text }) => text)).toEqual(['\0/a\0/b\0/c\0']);
  expect(pathsIn(blocks)).toEqual(['/a', '/bb', '/c']);
  blocks.apply([
    ['/a', false],
    ['/bb', false],
    ['/c', false],
  ]);
  expect(pathsIn(blocks)).toEqual([]);
  expect(blocks.bytes).toBe(0);
});
