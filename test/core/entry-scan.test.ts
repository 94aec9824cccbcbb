import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { Entry, encodeEntry } from '../../src/core/entry.js';
import { parsePattern } from '../../src/core/pattern.js';
import { EntryScan } from '../../src/core/entry-scan.js';
import { Payload } from '../../src/core/payload.js';
import { Records, type View } from '../../src/core/records.js';
import { type Range, SECTION, type StoreKeyScan } from '../../src/core/store/store.js';
import { formats } from '../support/core-harness.js';
import { MemoryStore } from '../support/memory-store.js';

/** Room for about ten entries. */
const SMALL_CACHE_BYTES = 3_000;

/** Says from which keys on rows were read. */
class WatchedStore extends MemoryStore {
  readonly rowsFrom: string[] = [];

  override scanKeys(range: Range, sliceRows: number): StoreKeyScan {
    const scan = super.scanKeys(range, sliceRows);
    return {
      ...scan,
      rowsFrom: (key) => {
        this.rowsFrom.push(key);
        return scan.rowsFrom(key);
      },
    };
  }
}

class House {
  readonly store = new WatchedStore();
  readonly formats = formats;
  readonly records: Records;
  #batch = 0;
  #revision = 0;

  constructor(cacheBytes: number) {
    this.records = new Records(this.store, formats, cacheBytes);
  }

  /** null: remove. */
  async commit(changes: Readonly<Record<string, number | null>>): Promise<void> {
    const view: View = new Map();
    const batch = this.store.batch();
    for (const [path, value] of Object.entries(changes)) {
      this.#revision += 1;
      const entry = value === null ? null : new Entry(path, Payload.fromValue({ value }, formats.json), 1, 1, this.#revision, '');
      if (entry === null) batch.delete(SECTION.record, path);
      else batch.put(SECTION.record, path, encodeEntry(entry));
      view.set(path, entry);
    }
    this.#batch += 1;
    await this.store.write(batch, { batch: this.#batch, revision: this.#revision, applied: this.#batch });
    this.records.committed(view);
  }

  scan(pattern: string, after: string | null = null): EntryScan {
    return new EntryScan(parsePattern(pattern, 'glob'), after, this);
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

  test('shows its moment for any course of changes, with a cache that forgets', async () => {
    const path = fc.integer({ min: 0, max: 29 }).map((i) => `/${i % 3}/${i}`);
    const changes = fc.dictionary(path, fc.oneof(fc.nat(9), fc.constant(null)), { minKeys: 1, maxKeys: 8 });
    const pattern = fc.constantFrom('/0/*', '/*/1*', '*');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(changes, changes, pattern), { maxLength: 12 }), async (rounds) => {
        house = new House(SMALL_CACHE_BYTES);
        await house.store.open();
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
