// The case suite of the Store contract: every store runs it. `create` gives data that outlives the stores opened on it.

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type Range,
  SECTION,
  type Section,
  type Store,
  StoreFailure,
  type StoreRow,
  type StoreScan,
  type StoreState,
} from '../../src/core/store/store.js';

export interface StoreData {
  /** A store over the data that was not opened yet. */
  store(): Store;
  destroy(): Promise<void>;
}

type Change = readonly [key: string, text: string | null];

const bytes = (text: string): Uint8Array => Buffer.from(text);
const shown = (row: StoreRow): string => `${row.key}=${Buffer.from(row.value).toString()}`;

async function allRows(store: Store, range: Range, sliceRows = 100): Promise<string[]> {
  const scan = store.scan(range, sliceRows);
  const rows: string[] = [];
  for (let slice = await scan.next(); slice.length > 0; slice = await scan.next()) {
    expect(slice.length).toBeLessThanOrEqual(sliceRows);
    rows.push(...slice.map(shown));
  }
  await scan.close();
  return rows;
}

export function storeContract(name: string, create: () => Promise<StoreData>): void {
  describe(`${name} keeps the contract of a store`, () => {
    let data: StoreData;
    let store: Store;
    let state: StoreState;

    beforeEach(async () => {
      data = await create();
      store = data.store();
      state = await store.open();
    });

    afterEach(async () => {
      await store.close();
      await data.destroy();
    });

    async function write(changes: readonly Change[], section: Section = SECTION.record): Promise<void> {
      const batch = store.batch();
      for (const [key, text] of changes) {
        if (text === null) batch.delete(section, key);
        else batch.put(section, key, bytes(text));
      }
      const next = { batch: state.batch + 1, revision: state.revision + changes.length, applied: state.applied + 1 };
      await store.write(batch, next);
      state = next;
    }

    function read(key: string, section: Section = SECTION.record): string | undefined {
      const value = store.read(section, key);
      return value === undefined ? undefined : Buffer.from(value).toString();
    }

    async function reopenFromOutside(): Promise<void> {
      await store.close();
      store = data.store();
      state = await store.open();
    }

    test('begins empty, with all numbers at 0', async () => {
      expect(state).toEqual({ batch: 0, revision: 0, applied: 0 });
      expect(read('a')).toBeUndefined();
      for (const section of Object.values(SECTION)) expect(await allRows(store, { section })).toEqual([]);
    });

    test('reads what was written, and nothing under other keys', async () => {
      await write([['a', '1']]);
      expect(read('a')).toBe('1');
      expect(read('')).toBeUndefined();
      expect(read('aa')).toBeUndefined();
      expect(read('A')).toBeUndefined();
    });

    test('lets a later change of the same key win, within a batch and after it', async () => {
      await write([
        ['a', '1'],
        ['a', null],
        ['b', '1'],
        ['b', '2'],
        ['c', null],
        ['c', '3'],
        ['d', '4'],
        ['d', null],
      ]);
      expect([read('a'), read('b'), read('c'), read('d')]).toEqual([undefined, '2', '3', undefined]);
      await write([
        ['b', null],
        ['a', 'again'],
      ]);
      expect([read('a'), read('b'), read('c')]).toEqual(['again', undefined, '3']);
    });

    test('counts the changes of a batch', () => {
      const batch = store.batch();
      expect(batch.length).toBe(0);
      batch.put(SECTION.record, 'a', bytes('1'));
      batch.put(SECTION.record, 'a', bytes('2'));
      batch.delete(SECTION.record, 'a');
      expect(batch.length).toBe(3);
    });

    test('shows nothing of a batch that was not written', async () => {
      store.batch().put(SECTION.record, 'a', bytes('1'));
      expect(read('a')).toBeUndefined();
      await reopenFromOutside();
      expect(read('a')).toBeUndefined();
    });

    test('takes an empty batch, which only moves the numbers', async () => {
      await write([]);
      await write([]);
      await reopenFromOutside();
      expect(state).toEqual({ batch: 2, revision: 0, applied: 2 });
    });

    test('keeps what it was given, whatever the giver does to the memory afterwards', async () => {
      const memory = Buffer.from('before');
      const batch = store.batch();
      batch.put(SECTION.record, 'a', memory);
      await store.write(batch, { batch: 1, revision: 1, applied: 1 });
      memory.fill('x');
      expect(read('a')).toBe('before');
    });

    test('refuses a batch whose number does not follow, and goes on with the right one', async () => {
      await write([['a', '1']]);
      const batch = store.batch();
      batch.put(SECTION.record, 'a', bytes('2'));
      await expect(store.write(batch, { batch: 3, revision: 2, applied: 2 })).rejects.toThrow(RangeError);
      await expect(store.write(batch, { batch: 1, revision: 2, applied: 2 })).rejects.toThrow(RangeError);
      expect(read('a')).toBe('1');
      await write([['a', '2']]);
      expect(read('a')).toBe('2');
    });

    test('keeps sections apart, in reads and in scans', async () => {
      const sections = Object.values(SECTION);
      for (const section of sections)
        await write(
          [
            ['k', section],
            ['', `${section}-empty`],
          ],
          section,
        );
      for (const section of sections) {
        expect(read('k', section)).toBe(section);
        expect(await allRows(store, { section })).toEqual([`=${section}-empty`, `k=${section}`]);
      }
      await write([['k', null]], SECTION.record);
      expect(read('k', SECTION.queue)).toBe(SECTION.queue);
    });

    test('scans in the order of code points', async () => {
      const keys = ['', '!', 'A', 'a', 'a/b', 'aa', 'é', 'あ', '\ue000', '\uffee', '😀', '𐀀'];
      await write([...keys].reverse().map((key): Change => [key, 'x']));
      const inOrder = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(await allRows(store, { section: SECTION.record })).toEqual(inOrder.map((key) => `${key}=x`));
    });

    test('scans from the lower bound, with it, to the upper, without it', async () => {
      await write(['a', 'a/1', 'a/2', 'a0', 'b'].map((key): Change => [key, '']));
      const rows = (range: Omit<Range, 'section'>): Promise<string[]> => allRows(store, { section: SECTION.record, ...range });
      expect(await rows({ gte: 'a/', lt: 'a0' })).toEqual(['a/1=', 'a/2=']);
      expect(await rows({ gte: 'a/2' })).toEqual(['a/2=', 'a0=', 'b=']);
      expect(await rows({ lt: 'a/1' })).toEqual(['a=']);
      expect(await rows({ gte: 'a', lt: 'a' })).toEqual([]);
      expect(await rows({ gte: 'b', lt: 'a' })).toEqual([]);
      expect(await rows({ gte: 'c' })).toEqual([]);
      expect(await rows({ lt: '' })).toEqual([]);
    });

    test('scans in slices that together are all rows, once each', async () => {
      const changes = Array.from({ length: 257 }, (_, i): Change => [`k${String(i).padStart(4, '0')}`, String(i)]);
      await write(changes);
      for (const sliceRows of [1, 7, 256, 257, 1000]) {
        expect(await allRows(store, { section: SECTION.record }, sliceRows)).toEqual(changes.map(([key, text]) => `${key}=${text}`));
      }
    });

    test('scans from one moment while writes go on', async () => {
      await write(Array.from({ length: 50 }, (_, i): Change => [`k${i}`, 'old']));
      const scan = store.scan({ section: SECTION.record }, 3);
      const rows: string[] = [];
      for (let i = 0, slice = await scan.next(); slice.length > 0; i++, slice = await scan.next()) {
        rows.push(...slice.map(shown));
        await write([
          [`k${49 - i}`, 'new'],
          [`k${i}`, null],
          [`l${i}`, 'new'],
        ]);
      }
      await scan.close();
      expect(rows).toHaveLength(50);
      expect(rows.every((row) => row.endsWith('=old'))).toBe(true);
    });

    test('takes the moment of the call for a scan, not that of its first slice', async () => {
      await write([['a', 'old']]);
      const scan = store.scan({ section: SECTION.record }, 10);
      await write([
        ['a', 'new'],
        ['b', 'new'],
      ]);
      expect((await scan.next()).map(shown)).toEqual(['a=old']);
      expect(await scan.next()).toEqual([]);
      await scan.close();
    });

    test('goes on behind a gap when it is told to, within the range', async () => {
      await write(Array.from({ length: 100 }, (_, i): Change => [`k${String(i).padStart(2, '0')}`, '']));
      const scan = store.scan({ section: SECTION.record, lt: 'k90' }, 50);
      const keys = async (rows?: number): Promise<string[]> => (await scan.next(rows)).map(({ key }) => key);
      expect(await keys(3)).toEqual(['k00', 'k01', 'k02']);
      scan.seek('k50');
      expect(await keys(2)).toEqual(['k50', 'k51']);
      scan.seek('k60x');
      expect(await keys(1)).toEqual(['k61']);
      expect((await keys()).at(-1)).toBe('k89');
      scan.seek('k95');
      expect(await keys()).toEqual([]);
      await scan.close();
    });

    test('lets a scan go back, also after its end, and still from its one moment', async () => {
      await write(Array.from({ length: 30 }, (_, i): Change => [`k${i + 10}`, 'old']));
      const scan = store.scan({ section: SECTION.record, gte: 'k12', lt: 'k35' }, 4);
      const keys = store.scanKeys({ section: SECTION.record, gte: 'k12', lt: 'k35' }, 4);
      await write([
        ['k20', null],
        ['k21', 'new'],
        ['k21x', 'new'],
      ]);
      const rest = async (of: StoreScan): Promise<string[]> => {
        const rows: string[] = [];
        for (let slice = await of.next(); slice.length > 0; slice = await of.next()) rows.push(...slice.map(shown));
        return rows;
      };
      const all = Array.from({ length: 23 }, (_, i) => `k${i + 12}=old`);
      for (const rows of [scan, keys.rows()]) {
        expect(await rest(rows)).toEqual(all);
        rows.seek('k20');
        expect(await rest(rows)).toEqual(all.slice(8));
        rows.seek('k20\0');
        expect(await rest(rows)).toEqual(all.slice(9));
        rows.seek('k12');
        expect(await rows.next()).toHaveLength(4);
        rows.seek('k34\0');
        expect(await rest(rows)).toEqual([]);
      }
      await scan.close();
      await keys.close();
    });

    test('lets a scan be closed before its end, and several run beside each other', async () => {
      await write(Array.from({ length: 20 }, (_, i): Change => [`k${i}`, '']));
      const first = store.scan({ section: SECTION.record }, 5);
      const second = store.scan({ section: SECTION.record }, 7);
      expect(await first.next()).toHaveLength(5);
      expect(await second.next()).toHaveLength(7);
      await first.close();
      expect(await second.next()).toHaveLength(7);
      await second.close();
    });

    test('scans keys in slices, and their rows from any key on, all from the moment of the call', async () => {
      const changes = Array.from({ length: 30 }, (_, i): Change => [`k${10 + i}`, 'old']);
      await write(changes);
      await write([['k', 'another section']], SECTION.queue);
      const scan = store.scanKeys({ section: SECTION.record, gte: 'k11', lt: 'k38' }, 10);
      await write([
        ['k10', null],
        ['k12', 'new'],
        ['k13', null],
        ['k131', 'new'],
      ]);
      const names = changes.map(([key]) => key);
      expect(await scan.next()).toEqual(names.slice(1, 11));
      expect(await scan.next()).toEqual(names.slice(11, 21));
      const rows = scan.rows();
      rows.seek('k12');
      expect((await rows.next()).map(shown)).toEqual(names.slice(2, 12).map((key) => `${key}=old`));
      expect(await rows.next()).toHaveLength(10);
      expect(await rows.next()).toHaveLength(6);
      expect(await rows.next()).toEqual([]);
      await scan.close();
    });

    test('ends a scan of keys at the end of its range, and lets it be closed before', async () => {
      await write(Array.from({ length: 20 }, (_, i): Change => [`k${i}`, '']));
      const whole = store.scanKeys({ section: SECTION.record }, 15);
      const closed = store.scanKeys({ section: SECTION.record }, 5);
      expect(await whole.next()).toHaveLength(15);
      expect(await closed.next()).toHaveLength(5);
      await closed.close();
      expect(await whole.next()).toHaveLength(5);
      expect(await whole.next()).toEqual([]);
      await whole.close();
    });

    test('takes every key and value, of any length and script', async () => {
      const keys = [
        '/__proto__',
        '/constructor',
        'あ'.repeat(41),
        'あ'.repeat(1365),
        'x'.repeat(4095),
        'é'.repeat(4096),
        '😀'.repeat(30_000),
        `${'x'.repeat(73)}あ`,
      ];
      for (const [i, key] of keys.entries()) await write([[key, `value ${i}`]]);
      for (const [i, key] of keys.entries()) expect(read(key)).toBe(`value ${i}`);
      await reopenFromOutside();
      for (const [i, key] of keys.entries()) expect(read(key)).toBe(`value ${i}`);
      expect(await allRows(store, { section: SECTION.record })).toHaveLength(keys.length);
    });

    test('takes values of no and of many bytes', async () => {
      const large = Buffer.alloc(20 * 1024 * 1024, 'abcdefg');
      const batch = store.batch();
      batch.put(SECTION.record, 'large', large);
      batch.put(SECTION.record, 'empty', new Uint8Array(0));
      await store.write(batch, { batch: 1, revision: 2, applied: 1 });
      await reopenFromOutside();
      expect(store.read(SECTION.record, 'empty')).toHaveLength(0);
      expect(Buffer.compare(large, store.read(SECTION.record, 'large') as Uint8Array)).toBe(0);
    });

    test('keeps data and numbers over a close and an open', async () => {
      await write([
        ['a', '1'],
        ['b', '2'],
      ]);
      await write([['a', null]]);
      const before = state;
      for (let i = 0; i < 3; i++) {
        await reopenFromOutside();
        expect(state).toEqual(before);
        expect([read('a'), read('b')]).toEqual([undefined, '2']);
      }
      await write([['c', '3']]);
      expect(state.batch).toBe(before.batch + 1);
    });

    test('is the same after it was reopened', async () => {
      await write([['a', '1']]);
      expect(await store.reopen()).toEqual(state);
      expect(read('a')).toBe('1');
      await write([['a', '2']]);
      expect(read('a')).toBe('2');
    });

    test('grows in size with what is in it', async () => {
      const before = await store.size();
      const batch = store.batch();
      for (let i = 0; i < 300; i++) batch.put(SECTION.record, `k${i}`, Buffer.from(String(Math.random()).repeat(10)));
      await store.write(batch, { batch: 1, revision: 300, applied: 1 });
      expect(await store.size()).toBeGreaterThan(before + 300 * 100);
    });

    test('refuses with StoreFailure what is asked of it when it is closed', async () => {
      await store.close();
      await store.close();
      expect(() => store.read(SECTION.record, 'a')).toThrow(StoreFailure);
      expect(() => store.scan({ section: SECTION.record }, 1)).toThrow(StoreFailure);
      expect(() => store.scanKeys({ section: SECTION.record }, 1)).toThrow(StoreFailure);
      await expect(store.write(store.batch(), { batch: 1, revision: 0, applied: 1 })).rejects.toThrow(StoreFailure);
    });

    test('does over any course of batches, reads, scans and openings what a map would do', async () => {
      const key = fc.constantFrom('', 'a', 'a/b', 'b', 'é', '😀', '\uffee');
      const batches = fc.array(
        fc.record({
          changes: fc.array(fc.tuple(key, fc.option(fc.string({ maxLength: 5 }))), { maxLength: 6 }),
          reopen: fc.boolean(),
        }),
        { maxLength: 6 },
      );
      const model = new Map<string, string>();
      await fc.assert(
        fc.asyncProperty(batches, async (course) => {
          for (const { changes, reopen } of course) {
            await write(changes);
            for (const [changed, text] of changes) {
              if (text === null) model.delete(changed);
              else model.set(changed, text);
            }
            if (reopen) await reopenFromOutside();
            for (const known of ['', 'a', 'a/b', 'b', 'é', '😀', '\uffee']) expect(read(known)).toBe(model.get(known));
            expect((await allRows(store, { section: SECTION.record })).sort()).toEqual([...model].map((row) => row.join('=')).sort());
          }
        }),
        { numRuns: 20 },
      );
    });
  });
}
