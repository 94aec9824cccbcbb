// Scans of the store on LevelDB while it is written: LevelDB 1.20 gives wrong answers when it compacts under open snapshots.

import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LevelStore } from '../../../src/core/store/level-store.js';
import { SECTION, type StoreScan, type StoreState } from '../../../src/core/store/store.js';
import { makeDirectory } from '../../support/temporary.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const WRITES = LONG ? 60_000 : 1_500;
/** A wrong read may be right again after a while. */
const WRITES_A_LOOK = 8;
/** Some dozens of values make a table, so that the versions of a key may fall apart. */
const VALUE_BYTES = 60_000;
const KEYS = 60;
const OPEN_SCANS = 400;

interface Opened {
  readonly options: { readonly snapshot?: object } | undefined;
}

describe('scans of the store on LevelDB', { timeout: LONG ? 600_000 : 60_000 }, () => {
  let directory: string;
  let store: LevelStore;
  let state: StoreState;

  beforeEach(async () => {
    directory = await makeDirectory();
    store = new LevelStore({ location: join(directory, 'store'), durability: 'os' });
    state = await store.open();
  });

  afterEach(async () => {
    vi.restoreAllMocks();
    await store.close();
    await rm(directory, { recursive: true });
  });

  async function write(key: string, value: Buffer | null): Promise<void> {
    const batch = store.batch();
    if (value === null) batch.delete(SECTION.record, key);
    else batch.put(SECTION.record, key, value);
    state = { batch: state.batch + 1, revision: state.revision + 1, applied: state.applied + 1 };
    await store.write(batch, state);
  }

  test('hold no snapshot of it while a batch is written, nor have LevelDB take one of its own', async () => {
    let open = 0;
    const snapshot = vi.spyOn(Level.prototype, 'snapshot').mockImplementation(function (this: Level, ...args) {
      const taken = takeSnapshot.apply(this, args);
      const close = taken.close.bind(taken);
      open += 1;
      taken.close = () => {
        open -= 1;
        return close();
      };
      return taken;
    });
    const iterators = vi.spyOn(Level.prototype, 'iterator');
    const openAtWrites: number[] = [];
    vi.spyOn(Level.prototype, 'batch').mockImplementation(function (this: Level, ...args: unknown[]) {
      const made = makeBatch.apply(this, args as never) as unknown as { write(): Promise<void> };
      const writeMade = made.write.bind(made);
      made.write = () => {
        openAtWrites.push(open);
        return writeMade();
      };
      return made as never;
    });

    await write('a', Buffer.from('1'));
    const rows = store.scan({ section: SECTION.record }, 10);
    const keys = store.scanKeys({ section: SECTION.record }, 10);
    const writing = write('a', Buffer.from('2'));
    const during = store.scan({ section: SECTION.record }, 10);
    await writing;
    await write('a', null);

    expect(snapshot).toHaveBeenCalled();
    expect(openAtWrites).toEqual([0, 0, 0]);
    for (const [options] of iterators.mock.calls as Opened['options'][][]) expect(options?.snapshot).toBeDefined();
    expect(await valuesOf(rows)).toEqual(['1']);
    expect(await valuesOf(keys.rows())).toEqual(['1']);
    expect(['1', '2']).toContain((await valuesOf(during))[0]);
    for (const scan of [rows, keys, during]) await scan.close();
  });

  test('leave every read the last version, however many are open while it is overwritten and compacted', async () => {
    const written = new Map<string, number>();
    const scans: StoreScan[] = [];
    for (let number = 1; number <= WRITES; number++) {
      const key = `k${number % KEYS}`;
      const value = number % 7 === 0 ? null : randomBytes(VALUE_BYTES);
      value?.writeUInt32LE(number);
      await write(key, value);
      if (value === null) written.delete(key);
      else written.set(key, number);
      if (number % 3 === 0) scans.push(store.scan({ section: SECTION.record }, 10));
      if (scans.length > OPEN_SCANS) await scans.shift()?.close();
      const wrong = number % WRITES_A_LOOK === 0 ? firstWrong(written) : null;
      if (wrong !== null) expect.fail(`after write ${number}: ${wrong}`);
    }
    for (const scan of scans) await scan.close();
  });

  function firstWrong(written: ReadonlyMap<string, number>): string | null {
    for (let i = 0; i < KEYS; i++) {
      const key = `k${i}`;
      const value = store.read(SECTION.record, key) as Buffer | undefined;
      const found = value?.readUInt32LE();
      if (found !== written.get(key)) return `${key} was written last by ${written.get(key)}, and ${found} is read`;
    }
    return null;
  }
});

const takeSnapshot = Level.prototype.snapshot;
const makeBatch = Level.prototype.batch;

async function valuesOf(scan: StoreScan): Promise<string[]> {
  return (await scan.next()).map(({ value }) => Buffer.from(value).toString());
}
