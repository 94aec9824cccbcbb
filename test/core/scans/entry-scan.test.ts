import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { Counters } from '../../../src/core/counters.js';
import { ChangedRecords } from '../../../src/core/data/changed-records.js';
import { Entry, encodeEntry } from '../../../src/core/data/entry.js';
import { Payload } from '../../../src/core/data/payload.js';
import { Records } from '../../../src/core/data/records.js';
import { Shifts } from '../../../src/core/pace/shifts.js';
import { PATH_INDEX_BYTES, PathIndex } from '../../../src/core/paths/path-index.js';
import { type Dialect, parsePattern } from '../../../src/core/paths/pattern.js';
import { EntryScan } from '../../../src/core/scans/entry-scan.js';
import { type Range, SECTION, type StoreKeyScan } from '../../../src/core/store/store.js';
import { formats, SILENT, until } from '../../support/core-harness.js';
import { MemoryStore } from '../../support/memory-store.js';

/** Room for about ten entries. */
const SMALL_CACHE_BYTES = 3_000;

/** Says from which keys on rows were read. */
class WatchedStore extends MemoryStore {
  readonly rowsFrom: string[] = [];

  override scanKeys(range: Range, sliceRows: number): StoreKeyScan {
    const scan = super.scanKeys(range, sliceRows);
    return {
      ...scan,
      rows: () => {
        const rows = scan.rows();
        const seek = (key: string): void => {
          this.rowsFrom.push(key);
          rows.seek(key);
        };
        return { ...rows, seek };
      },
    };
  }
}

class House {
  readonly store = new WatchedStore();
  readonly formats = formats;
  readonly records: Records;
  readonly paths: PathIndex;
  readonly counters = new Counters();
  #batch = 0;
  #revision = 0;

  constructor(cacheBytes: number, pathIndexBytes = 0) {
    this.records = new Records(this.store, formats, cacheBytes);
    const { store, counters } = this;
    this.paths = new PathIndex({ store, shifts: new Shifts(), log: SILENT, counters, maxBytes: pathIndexBytes });
  }

  /** null: remove. */
  async commit(changes: Readonly<Record<string, number | null>>): Promise<void> {
    const changed = new ChangedRecords();
    const batch = this.store.batch();
    for (const [path, value] of Object.entries(changes)) {
      this.#revision += 1;
      const entry = value === null ? null : new Entry(path, Payload.fromValue({ value }, formats.json), 1, 1, this.#revision, '');
      if (entry === null) batch.delete(SECTION.record, path);
      else batch.put(SECTION.record, path, encodeEntry(entry));
      changed.note(path, entry);
      this.records.changed(path, entry);
    }
    this.#batch += 1;
    await this.store.write(batch, { batch: this.#batch, revision: this.#revision, applied: this.#batch });
    this.records.writing(changed);
    this.records.committed(this.#revision);
    this.paths.committed(new Map([...changed.view].map(([path, entry]) => [path, entry !== null])));
  }

  /** The paths are found in memory from now on. */
  async indexed(): Promise<void> {
    this.paths.wanted(parsePattern('*a', 'glob'));
    await until(() => this.paths.isReady);
  }

  scan(pattern: string, after: string | null = null, dialect: Dialect = 'glob'): EntryScan {
    return new EntryScan(parsePattern(pattern, dialect), after, this);
  }
}

let house: House;

beforeEach(async () => {
  house = new House(1024 * 1024);
  await house.store.open();
});

const shown = ({ path, payload }: Entry): string => `${path}=${(payload.value() as { value: number }).value}`;

async function rest(scan: EntryScan): Promise<string[]> {
  const found: string[] = [];
  for (let slice = await scan.next(); slice !== null; slice = await scan.next()) found.push(...slice.entries.map(shown));
  await scan.close();
  return found;
}

describe('a scan by pattern', () => {
  test('reads keys alone while all that matches is in the cache', async () => {
    await house.commit({ '/a/1': 1, '/a/2': 2, '/b/1': 3 });
    expect(await rest(house.scan('/a/*'))).toEqual(['/a/1=1', '/a/2=2']);
    expect(await rest(house.scan('/*/1'))).toEqual(['/a/1=1', '/b/1=3']);
    expect(await rest(house.scan('/a/*', '/a/1'))).toEqual(['/a/2=2']);
    expect(house.store.rowsFrom).toEqual([]);
  });

  test('reads rows from the first entry on that matches and is not in the cache', async () => {
    await house.commit({ '/a/1': 1, '/a/2': 2, '/a/3': 3, '/b/1': 4 });
    house.records.forget();
    house.records.read('/a/1', 1);
    expect(await rest(house.scan('/a/*'))).toEqual(['/a/1=1', '/a/2=2', '/a/3=3']);
    expect(await rest(house.scan('/b/*'))).toEqual(['/b/1=4']);
    expect(house.store.rowsFrom).toEqual(['/a/2', '/b/1']);
  });

  test('shows what was there at its beginning, whatever the cache holds meanwhile', async () => {
    await house.commit({ '/a/1': 1, '/a/2': 2, '/a/3': 3 });
    const scan = house.scan('/a/*');
    await house.commit({ '/a/2': 20, '/a/3': null, '/a/4': 4 });
    expect(await rest(scan)).toEqual(['/a/1=1', '/a/2=2', '/a/3=3']);
  });

  test('counts what it looked at, each record once', async () => {
    await house.commit(Object.fromEntries(Array.from({ length: 1_200 }, (_, i) => [`/a/${1_000 + i}`, i])));
    house.records.forget();
    for (let i = 0; i < 700; i++) house.records.read(`/a/${1_000 + i}`, 1);
    const scan = house.scan('/a/*');
    let looked = 0;
    for (let slice = await scan.next(); slice !== null; slice = await scan.next()) looked += slice.looked;
    await scan.close();
    expect(looked).toBe(1_200);
  });

  test('that is found in memory reads only what matches', async () => {
    house = new House(1024 * 1024, PATH_INDEX_BYTES);
    await house.store.open();
    await house.commit(Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`/a/${i}/b${i % 100}`, i])));
    await house.indexed();
    const wanted = Array.from({ length: 30 }, (_, i) => `/a/${i * 100 + 7}/b7=${i * 100 + 7}`).sort();
    const looked = async (scan: EntryScan): Promise<number> => {
      let sum = 0;
      for (let slice = await scan.next(); slice !== null; slice = await scan.next()) sum += slice.looked;
      await scan.close();
      return sum;
    };
    expect(await rest(house.scan('/a/*/b7'))).toEqual(wanted);
    expect(await looked(house.scan('/a/*/b7'))).toBe(30);
    expect(house.store.rowsFrom).toEqual([]);
    house.records.forget();
    house.records.read('/a/107/b7', 1);
    expect(await rest(house.scan('/a/*/b7'))).toEqual(wanted);
    expect(await looked(house.scan('/a/*/b7', '/a/1507/b7'))).toBe(wanted.filter((text) => text > '/a/1507/b7=').length - 1);
  });

  test('goes on from any of its entries, again and again, whether found in memory or not', async () => {
    for (const bytes of [0, PATH_INDEX_BYTES]) {
      house = new House(SMALL_CACHE_BYTES, bytes);
      await house.store.open();
      await house.commit(Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`/a/${i}/b${i % 10}`, i])));
      if (bytes > 0) await house.indexed();
      const scan = house.scan('*/b3');
      await house.commit({ '/a/3/b3': null, '/a/1/b3': 1, '/a/13/b3': 14 });
      const all: string[] = [];
      for (let slice = await scan.next(); slice !== null; slice = await scan.next()) all.push(...slice.entries.map(shown));
      expect(all).toHaveLength(200);
      for (const at of [150, 7, 199, 0]) {
        scan.seek((all[at] as string).split('=')[0] as string);
        const slice = await scan.next();
        expect(slice?.entries.slice(0, 2).map(shown)).toEqual(all.slice(at, at + 2));
      }
      await scan.close();
    }
  });

  test('goes on without the index when that cannot hold on to its moment any longer', async () => {
    house = new House(SMALL_CACHE_BYTES, PATH_INDEX_BYTES);
    await house.store.open();
    await house.commit(Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`/a/${i}/b${i % 2}`, i])));
    await house.indexed();
    const paths = Array.from({ length: 1_000 }, (_, i) => `/a/${2 * i}/b0`).sort();
    for (const slices of [0, 1, 2]) {
      const scan = house.scan('*/b0');
      const found: string[] = [];
      for (let i = 0; i < slices; i++) found.push(...((await scan.next())?.entries ?? []).map(({ path }) => path));
      house.paths.reset();
      for (let slice = await scan.next(); slice !== null; slice = await scan.next()) found.push(...slice.entries.map(({ path }) => path));
      await scan.close();
      expect(found).toEqual(paths);
      await house.indexed();
    }
  });

  test('by levels goes on with the index when it would have to be sought anew too often', async () => {
    house = new House(SMALL_CACHE_BYTES, PATH_INDEX_BYTES);
    await house.store.open();
    const below = (i: number): string[] => Array.from({ length: 40 }, (_, n) => `d/${1_000 + i}/${n}/status`);
    const parts = Array.from({ length: 150 }, (_, i) => [`d/${1_000 + i}/status`, ...below(i)]);
    await house.commit(Object.fromEntries(parts.flat().map((path, i) => [path, i])));
    const wanted = parts.map(([path], i) => `${path}=${41 * i}`);
    const used = (): number => house.counters.counters.get('path_index_searches_total')?.value ?? 0;
    expect(await rest(house.scan('d/+/status', null, 'mqtt'))).toEqual(wanted);
    await until(() => house.paths.isReady);
    expect(used()).toBe(0);
    expect(await rest(house.scan('d/+/status', null, 'mqtt'))).toEqual(wanted);
    expect(used()).toBe(1);
    expect(await rest(house.scan('d/+/status', 'd/1140/status', 'mqtt'))).toEqual(wanted.slice(141));
    expect(await rest(house.scan('d/1001/#', null, 'mqtt'))).toHaveLength(41);
    expect(used()).toBe(1);
    const scan = house.scan('d/+/status', null, 'mqtt');
    for (let i = 0; i < 60; i++) await scan.next();
    scan.seek('d/1002/status');
    expect(await rest(scan)).toEqual(wanted.slice(2));
  });

  test('shows its moment for any course of changes, with a cache that forgets', async () => {
    const path = fc.integer({ min: 0, max: 29 }).map((i) => `/${i % 3}/${i}`);
    const changes = fc.dictionary(path, fc.oneof(fc.nat(9), fc.constant(null)), { minKeys: 1, maxKeys: 8 });
    const pattern = fc.constantFrom('/0/*', '/*/1*', '*', '*2', '/1/*1*', '/*5');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(changes, changes, pattern), { maxLength: 12 }), fc.boolean(), async (rounds, isIndexed) => {
        house = new House(SMALL_CACHE_BYTES, isIndexed ? PATH_INDEX_BYTES : 0);
        await house.store.open();
        if (isIndexed) await house.indexed();
        const model = new Map<string, number>();
        const commit = async (some: Readonly<Record<string, number | null>>): Promise<void> => {
          await house.commit(some);
          for (const [key, value] of Object.entries(some)) value === null ? model.delete(key) : model.set(key, value);
        };
        for (const [before, during, text] of rounds) {
          await commit(before);
          const scan = house.scan(text);
          const matches = parsePattern(text, 'glob');
          const paths = [...model.keys()].filter((key) => matches.matches(key)).sort();
          const wanted = paths.map((key) => `${key}=${model.get(key)}`);
          await commit(during);
          expect(await rest(scan)).toEqual(wanted);
        }
      }),
    );
  });
});
