// The index of paths: it finds what a look at every path would, follows what is committed, and keeps to its bounds.

import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { Counters } from '../../../src/core/counters.js';
import { Shifts } from '../../../src/core/pace/shifts.js';
import { PATH_INDEX_BYTES, PathIndex } from '../../../src/core/paths/path-index.js';
import { needleOf, type PathSearch } from '../../../src/core/paths/path-search.js';
import { type Dialect, parsePattern } from '../../../src/core/paths/pattern.js';
import { compareTexts } from '../../../src/core/query/values.js';
import { SECTION } from '../../../src/core/store/store.js';
import { GateStore, until } from '../../support/core-harness.js';
import { keptLog } from '../../support/silent-log.js';

class House {
  readonly store = new GateStore();
  readonly counters = new Counters();
  readonly log = keptLog();
  readonly paths: PathIndex;
  readonly model = new Set<string>();
  #batch = 0;

  constructor(maxBytes = PATH_INDEX_BYTES) {
    this.paths = new PathIndex({ store: this.store, shifts: new Shifts(), log: this.log, counters: this.counters, maxBytes });
  }

  async commit(changes: Iterable<readonly [path: string, isThere: boolean]>): Promise<void> {
    const batch = this.store.batch();
    const each = new Map(changes);
    for (const [path, isThere] of each) {
      if (isThere) batch.put(SECTION.record, path, new Uint8Array(1));
      else batch.delete(SECTION.record, path);
      if (isThere) this.model.add(path);
      else this.model.delete(path);
    }
    this.#batch += 1;
    await this.store.write(batch, { batch: this.#batch, revision: this.#batch, applied: this.#batch });
    this.paths.committed(each);
  }

  /** As a scan does it. */
  search(text: string, after: string | null = null): PathSearch | null {
    const pattern = parsePattern(text, 'glob');
    const search = this.paths.search(pattern, after);
    if (search === null) this.paths.wanted(pattern);
    return search;
  }

  async ready(): Promise<void> {
    this.search('*a')?.close();
    await until(() => this.paths.isReady);
  }
}

async function rest(search: PathSearch | null): Promise<string[]> {
  expect(search).not.toBeNull();
  const found: string[] = [];
  for (let paths = await search?.next(); paths !== null && paths !== undefined; paths = await search?.next()) found.push(...paths);
  search?.close();
  return found;
}

let house: House;

beforeEach(async () => {
  house = new House();
  await house.store.open();
});

const many = (count: number, pathOf: (i: number) => string): [string, boolean][] =>
  Array.from({ length: count }, (_, i) => [pathOf(i), true]);

describe('what a path that matches must have in it', () => {
  test.each<[Dialect, string, string | null]>([
    ['glob', '/a/*', null],
    ['glob', '/a/b', null],
    ['glob', '*', null],
    ['glob', '*b', 'b\0'],
    ['glob', '/a/*/b*', '/b'],
    ['glob', '/a/*/longest/*/end', 'longest/'],
    ['glob', '/a/*/b/*/longest', 'longest\0'],
    ['glob', `*${'x'.repeat(300)}*`, 'x'.repeat(200)],
    ['glob', `*${'x'.repeat(300)}y`, `${'x'.repeat(198)}y\0`],
    ['mqtt', 'd/+/status', 'status\0'],
    ['mqtt', 'd/+/status/#', 'status'],
    ['mqtt', 'd/+', null],
    ['mqtt', '#', null],
    ['mqtt', '+/+', '/'],
    ['mqtt', 'a/+/b*c/+', '/b'],
    ['segments', '/a/*/b', '/b\0'],
    ['segments', '/a/b', null],
  ])('%s %s: %j', (dialect, text, needle) => {
    expect(needleOf(parsePattern(text, dialect))).toBe(needle);
  });
});

describe('a search', () => {
  test('finds what a look at every path would, for any course of changes', async () => {
    const name = fc.constantFrom('', 'a', 'b', 'ab', 'a-', '$s', '\u{1F600}', '\uFFFF', 'é', '0');
    const path = fc
      .array(name, { minLength: 1, maxLength: 4 })
      .map((names) => names.join('/'))
      .filter((text) => text !== '');
    const piece = fc.constantFrom('', '', 'a', '/', 'b/', '/a', '\u{1F600}', 'é', 'ab', '-/');
    const pattern = fc.array(piece, { minLength: 2, maxLength: 4 }).map((pieces) => pieces.join('*'));
    const changes = fc.array(fc.tuple(path, fc.boolean()), { maxLength: 20 });
    const after = fc.option(path, { nil: null });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(changes, changes, pattern, after, fc.boolean()), { maxLength: 10 }), async (rounds) => {
        house = new House();
        await house.store.open();
        for (const [before, during, text, behind, isLoaded] of rounds) {
          if (isLoaded) house.search('*a')?.close();
          await house.commit(before);
          await house.ready();
          const search = house.search(text, behind);
          const parsed = parsePattern(text, 'glob');
          const isWanted = (key: string): boolean => parsed.matches(key) && (behind === null || compareTexts(key, behind) > 0);
          const wanted = [...house.model].filter(isWanted).sort(compareTexts);
          await house.commit(during);
          if (needleOf(parsed) === null) expect(search).toBeNull();
          else expect(await rest(search)).toEqual(wanted);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('finds what came and went while changes were put into the blocks', async () => {
    await house.commit(many(3_000, (i) => `/a/${i}/x`));
    await house.ready();
    const before = house.search('*/x');
    for (let i = 0; i < 3_000; i += 100) {
      await house.commit(many(100, (n) => `/b/${i + n}/x`));
      await house.commit(many(100, (n) => `/a/${i + n}/x`).map(([path]) => [path, false] as const));
    }
    const after = house.search('*/x');
    expect(await rest(before)).toEqual(
      many(3_000, (i) => `/a/${i}/x`)
        .map(([path]) => path)
        .sort(),
    );
    expect(await rest(after)).toEqual(
      many(3_000, (i) => `/b/${i}/x`)
        .map(([path]) => path)
        .sort(),
    );
  });

  test('leaves the event loop to others while it goes through many paths', async () => {
    await house.commit(many(60_000, (i) => `/a/quite/long/path/of/a/device/in/a/fleet/${i}/x${i % 1_000}`));
    await house.ready();
    const search = house.search('*/x7') as PathSearch;
    const steps: number[] = [];
    for (let paths = await search.next(); paths !== null; paths = await search.next()) steps.push(paths.length);
    expect(steps.reduce((sum, found) => sum + found, 0)).toBe(60);
    // A million characters in each, and what is found counts, too.
    expect(steps.length).toBeGreaterThanOrEqual(4);
    search.close();
  });

  test('for a long text that nearly fits everywhere takes no longer than for others', async () => {
    await house.commit(many(500, (i) => `/${'a'.repeat(2_000)}${i}`));
    await house.ready();
    let least = Number.POSITIVE_INFINITY;
    for (let n = 0; n < 5; n++) {
      const begun = performance.now();
      expect(await rest(house.search(`*b${'a'.repeat(1_000)}*`))).toEqual([]);
      expect(await rest(house.search(`*${'a'.repeat(1_000)}b*`))).toEqual([]);
      least = Math.min(least, performance.now() - begun);
    }
    // Of comparing each of the million characters a thousand times it would be seconds.
    expect(least).toBeLessThan(500);
  });
});

describe('the index', () => {
  test('is read when it is needed first, in shifts, and follows what is committed meanwhile', async () => {
    await house.commit(many(5_000, (i) => `/a/${i}`));
    expect(house.paths.bytes).toBe(0);
    house.store.scansHeld = true;
    expect(house.search('/b*')).toBeNull();
    expect(house.search('*1')).toBeNull();
    await house.commit([
      ['/a/new1', true],
      ['/a/1', false],
      ['/a/4991', false],
    ]);
    expect(house.search('*1')).toBeNull();
    house.store.releaseScans();
    await until(() => house.paths.isReady);
    const wanted = [...house.model].filter((path) => path.endsWith('1')).sort();
    expect(await rest(house.search('*1'))).toEqual(wanted);
    expect(house.store.openScans).toBe(0);
    expect(house.counters.counters.get('path_index_searches_total')?.value).toBe(1);
    expect(house.counters.gauges.get('path_index_bytes')?.read()).toBeGreaterThan(5_000 * 7);
  });

  test('that would be larger than it may be is none, until enough paths are gone', async () => {
    house = new House(40_000);
    await house.store.open();
    await house.commit(many(2_000, (i) => `/a/somewhat/longer/${i}`));
    expect(house.search('*1')).toBeNull();
    await until(() => house.counters.counters.get('path_index_overflows_total')?.value === 1);
    expect(house.paths.bytes).toBe(0);
    expect(house.search('*1')).toBeNull();
    expect(house.paths.bytes).toBe(0);
    await house.commit(many(1_900, (i) => `/a/somewhat/longer/${i}`).map(([path]) => [path, false] as const));
    await house.ready();
    expect(await rest(house.search('*1'))).toHaveLength(10);
    // It grows beyond the bound.
    await house.commit(many(1_000, (i) => `/b/somewhat/longer/${i}`));
    expect(house.search('*1')).toBeNull();
    expect(house.paths.bytes).toBe(0);
    expect(house.counters.counters.get('path_index_overflows_total')?.value).toBe(2);
    expect(house.log.lines.filter(({ text }) => text.includes('data.pathIndexBytes'))).toHaveLength(2);
  });

  test('of no bytes is none', async () => {
    house = new House(0);
    await house.store.open();
    await house.commit(many(10, (i) => `/a/${i}`));
    expect(house.search('*1')).toBeNull();
    expect(house.store.openScans).toBe(0);
  });

  test('does not let searches that take long hold on to ever more paths that are gone', async () => {
    house = new House(100_000);
    await house.store.open();
    await house.commit(many(1_000, (i) => `/a/somewhat/longer/${i}`));
    await house.ready();
    const slow = house.search('*1') as PathSearch;
    for (let round = 0; round < 20 && !slow.isLost; round++) {
      const changes = many(600, (i) => `/a/somewhat/longer/${i}`).map(([path]) => [path, round % 2 === 1] as const);
      await house.commit(changes);
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(slow.isLost).toBe(true);
    expect(await slow.next()).toBeNull();
    const wanted = [...house.model].filter((path) => path.endsWith('1')).sort();
    expect(await rest(house.search('*1'))).toEqual(wanted);
  });

  test('that cannot be read is tried again', async () => {
    await house.commit(many(10, (i) => `/a/${i}`));
    house.store.scanFailure = new Error('a disk, as a test asked for');
    expect(house.search('*1')).toBeNull();
    await until(() => house.log.lines.length === 1);
    house.store.scanFailure = null;
    await house.ready();
    expect(await rest(house.search('*1'))).toEqual(['/a/1']);
  });

  test('asks nothing of the store once it is stopped', async () => {
    await house.commit(many(5_000, (i) => `/a/${i}`));
    house.store.scansHeld = true;
    house.search('*1');
    const stopped = house.paths.stop();
    house.store.releaseScans();
    await stopped;
    expect(house.store.openScans).toBe(0);
    expect(house.paths.isReady).toBe(false);
  });
});
