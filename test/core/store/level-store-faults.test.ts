// What LevelDB's files, the disk and other processes can do to the store.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Level } from 'level';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkKey } from '../../../src/core/store/check-trail.js';
import { LevelStore, type LevelStoreOptions } from '../../../src/core/store/level-store.js';
import { STORE_FORMAT } from '../../../src/core/store/opening.js';
import { SECTION, StoreDamage, StoreFailure, StoreFormat, StoreLocked, type StoreState } from '../../../src/core/store/store.js';
import { mustBe } from '../../support/must.js';
import { temporaryDirectory } from '../../support/temporary.js';

const CHILD = fileURLToPath(new URL('../../support/store-child.mjs', import.meta.url));

function storeAt(location: string, options: Partial<LevelStoreOptions> = {}): LevelStore {
  return new LevelStore({ location, durability: 'os', ...options });
}

async function temporaryStore(): Promise<string> {
  return join(await temporaryDirectory(), 'store');
}

function text(store: LevelStore, key: string): string | undefined {
  const value = store.read(SECTION.record, key);
  return value === undefined ? undefined : Buffer.from(value).toString();
}

/** Batch n sets `last` and `k<n % 40>` to n; some are longer than a block of the log. */
async function writeBatches(store: LevelStore, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n++) {
    const batch = store.batch();
    batch.put(SECTION.record, 'last', Buffer.from(String(n)));
    batch.put(SECTION.record, `k${n % 40}`, Buffer.from(String(n).padEnd(n % 30 === 0 ? 70_000 : 200)));
    await store.write(batch, { batch: n, revision: n, applied: n });
  }
}

/** Throws unless the store holds exactly what `writeBatches` had written after batch `last`. */
function expectExactly(store: LevelStore, last: number): void {
  if (last > 0) expect(text(store, 'last')).toBe(String(last));
  for (let n = Math.max(1, last - 39); n <= last; n++) mustBe(text(store, `k${n % 40}`)?.trim(), String(n));
  for (let n = last + 1; n <= 40; n++) mustBe(text(store, `k${n % 40}`), undefined);
}

/** Changes the closed store behind its back. */
async function tamper(location: string, change: (database: Level<string, string>) => Promise<void>): Promise<void> {
  const database = new Level<string, string>(location);
  await database.open();
  await change(database);
  await database.close();
}

function child(args: readonly string[], limit?: string): { process: ChildProcess; lines: AsyncIterator<string> } {
  const command = [process.execPath, CHILD, ...args];
  const [file = '', ...rest] = limit === undefined ? command : ['sh', '-c', `${limit}; exec "$@"`, 'sh', ...command];
  const started = spawn(file, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => {
    started.kill('SIGKILL');
  });
  return { process: started, lines: createInterface({ input: started.stdout })[Symbol.asyncIterator]() };
}

async function ended(started: ChildProcess): Promise<void> {
  if (started.exitCode === null && started.signalCode === null) await once(started, 'exit');
}

describe('the data directory', () => {
  test('is made, with those above it', async () => {
    const location = join(await temporaryDirectory(), 'a', 'b', 'store');
    const store = storeAt(location);
    await store.open();
    await store.close();
    expect(existsSync(join(location, 'CURRENT'))).toBe(true);
  });

  test('may be there and empty, or hold what an interrupted creation left', async () => {
    const location = await temporaryDirectory();
    for (const name of ['LOCK', 'LOG', 'MANIFEST-000001', '000001.dbtmp']) await writeFile(join(location, name), '');
    const store = storeAt(location);
    expect(await store.open()).toEqual({ batch: 0, revision: 0, applied: 0 });
    await store.close();
  });

  test('that holds something else is refused and left alone', async () => {
    const location = await temporaryDirectory();
    await writeFile(join(location, 'holiday.jpg'), 'x');
    await expect(storeAt(location).open()).rejects.toThrow(/holiday\.jpg/);
    await expect(storeAt(location).open()).rejects.toThrow(StoreFailure);
    expect(await readdir(location)).toEqual(['holiday.jpg']);
  });

  test('that holds the LevelDB database of another program is refused', async () => {
    const location = await temporaryStore();
    await tamper(location, (database) => database.put('somebody', 'else'));
    await expect(storeAt(location).open()).rejects.toThrow(StoreFailure);
    await expect(storeAt(location).open()).rejects.toThrow(/not made by this program/);
  });

  test('that cannot be one is refused with the reason', async () => {
    const file = join(await temporaryDirectory(), 'file');
    await writeFile(file, '');
    await expect(storeAt(file).open()).rejects.toThrow(/ENOTDIR/);
    await expect(storeAt(join(file, 'store')).open()).rejects.toThrow(StoreFailure);
    const odd = await temporaryDirectory();
    await mkdir(join(odd, 'LOCK'));
    await expect(storeAt(odd).open()).rejects.toThrow(StoreFailure);
    await expect(storeAt(odd).open()).rejects.toThrow(/cannot be opened: IO error: .*LOCK/);
  });
});

describe('a second opening', () => {
  test('in the same process is refused as locked', async () => {
    const location = await temporaryStore();
    const store = storeAt(location);
    await store.open();
    await expect(storeAt(location).open()).rejects.toThrow(StoreLocked);
    await expect(store.open()).rejects.toThrow(StoreFailure);
    await writeBatches(store, 1, 1);
    await store.close();
  });

  test('A6 in another process is refused as locked, and works once that one is dead', async () => {
    const location = await temporaryStore();
    const holder = child(['hold', location]);
    expect((await holder.lines.next()).value).toBe('open');
    await expect(storeAt(location).open()).rejects.toThrow(StoreLocked);
    await expect(storeAt(location).open()).rejects.toThrow(/another process/);
    holder.process.kill('SIGKILL');
    await ended(holder.process);
    const store = storeAt(location);
    await store.open();
    await store.close();
  });
});

describe('a store of another layout', () => {
  test('that a newer program wrote is refused and not changed', async () => {
    const location = await temporaryStore();
    const store = storeAt(location);
    await store.open();
    await writeBatches(store, 1, 3);
    await store.close();
    await tamper(location, (database) => database.put('f', `{"format":${STORE_FORMAT + 1}}`));
    await expect(storeAt(location).open()).rejects.toThrow(StoreFormat);
    await tamper(location, (database) => database.put('f', `{"format":${STORE_FORMAT}}`));
    expect((await store.open()).batch).toBe(3);
    await store.close();
  });

  test.each(['', 'x', '{"format":0}', '{"format":"1"}', '{"format":1}}'])('whose format number is %j is damaged', async (format) => {
    const location = await temporaryStore();
    const store = storeAt(location);
    await store.open();
    await store.close();
    await tamper(location, (database) => database.put('f', format));
    await expect(storeAt(location).open()).rejects.toThrow(StoreDamage);
  });
});

describe('the trail of batches', () => {
  async function storeWithBatches(last: number): Promise<string> {
    const location = await temporaryStore();
    const store = storeAt(location);
    await store.open();
    await writeBatches(store, 1, last);
    await store.close();
    return location;
  }

  test('A4 with a hole is refused, naming the numbers, every time', async () => {
    const location = await storeWithBatches(50);
    await tamper(location, (database) => database.batch([7, 20, 21, 22, 49].map((n) => ({ type: 'del', key: `c${checkKey(n)}` }))));
    for (let i = 0; i < 2; i++) {
      await expect(storeAt(location).open()).rejects.toThrow(StoreDamage);
      await expect(storeAt(location).open()).rejects.toThrow(/up to 50, 7, 20 to 22, 49 are missing.*backup/);
    }
  });

  test('with a hole opens when the loss is accepted, and is whole from then on', async () => {
    const location = await storeWithBatches(50);
    await tamper(location, (database) => database.del(`c${checkKey(7)}`));
    const notices: string[] = [];
    const store = storeAt(location, { acceptDamage: true, notice: (notice) => notices.push(notice) });
    expect((await store.open()).batch).toBe(50);
    expect(notices).toEqual([expect.stringMatching(/up to 50, 7 are missing/)]);
    await writeBatches(store, 51, 52);
    await store.close();
    const again = storeAt(location);
    expect((await again.open()).batch).toBe(52);
    await again.close();
  });

  test('with a check that was changed, or belongs elsewhere, is refused', async () => {
    const changed = await storeWithBatches(10);
    await tamper(changed, (database) => database.put(`c${checkKey(4)}`, 'x'));
    await expect(storeAt(changed).open()).rejects.toThrow(/up to 10, 4 are missing/);
    const last = await storeWithBatches(10);
    await tamper(last, (database) => database.put(`c${checkKey(10)}`, 'x'));
    await expect(storeAt(last).open()).rejects.toThrow(/10 are missing/);
    const moved = await storeWithBatches(10);
    await tamper(moved, async (database) => {
      const options = { valueEncoding: 'buffer' };
      const value = await database.get<string, Buffer>(`c${checkKey(9)}`, options);
      await database.put<string, Buffer>(`c${checkKey(8)}`, value as Buffer, options);
    });
    await expect(storeAt(moved).open()).rejects.toThrow(StoreDamage);
  });

  test('without its checkpoint is refused', async () => {
    const location = await storeWithBatches(10);
    await tamper(location, (database) => database.del('k'));
    await expect(storeAt(location).open()).rejects.toThrow(/no checkpoint/);
  });

  test('stays short however much is written, and unbroken', async () => {
    const location = await temporaryStore();
    const store = storeAt(location);
    await store.open();
    const batches = 900;
    for (let n = 1; n <= batches; n++) {
      const batch = store.batch();
      batch.put(SECTION.record, `k${n % 100}`, Buffer.alloc(100_000, n));
      await store.write(batch, { batch: n, revision: n, applied: n });
    }
    await store.close();
    await tamper(location, async (database) => {
      const checks = await database.keys({ gte: 'c', lt: 'd' }).all();
      expect(checks.length).toBeLessThan(160);
      expect(checks.length).toBeGreaterThan(80);
      expect(checks.at(-1)).toBe(`c${checkKey(batches)}`);
    });
    expect((await store.open()).batch).toBe(batches);
    await store.close();
  });
});

describe('damaged files', () => {
  const TOTAL = 100;

  async function sample(): Promise<string> {
    const location = await temporaryStore();
    const store = storeAt(location);
    await store.open();
    await writeBatches(store, 1, 50);
    await store.reopen();
    await writeBatches(store, 51, TOTAL);
    await store.close();
    return location;
  }

  async function fileOf(location: string, pattern: RegExp): Promise<string> {
    for (const name of await readdir(location)) {
      if (pattern.test(name) && (await stat(join(location, name))).size > 0) return name;
    }
    throw new Error(`no file like ${pattern}`);
  }

  /** What opening finds after `damage`: the last batch, everything up to it being right; or the error. */
  async function outcome(
    sampleLocation: string,
    damage: (location: string) => Promise<void>,
  ): Promise<{ last: number; told: boolean } | Error> {
    const location = `${sampleLocation}-damaged`;
    await cp(sampleLocation, location, { recursive: true });
    await damage(location);
    let told = false;
    const store = storeAt(location, {
      notice: () => {
        told = true;
      },
    });
    try {
      const { batch } = await store.open();
      expectExactly(store, batch);
      return { last: batch, told };
    } catch (error) {
      if (!(error instanceof StoreDamage)) throw error;
      return error;
    } finally {
      await store.close();
      await rm(location, { recursive: true });
    }
  }

  test('A4 a byte changed anywhere in the log costs the end of it, which is told, or is refused; nothing is ever wrong', async () => {
    const location = await sample();
    const log = await fileOf(location, /\.log$/);
    const bytes = await readFile(join(location, log));
    let refused = 0;
    let cutOff = 0;
    for (let i = 0; i < 50; i++) {
      const at = Math.floor(((i + 0.5) / 50) * bytes.length);
      const found = await outcome(location, async (damaged) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] as number) ^ (i % 2 === 0 ? 0xff : 0x01);
        await writeFile(join(damaged, log), changed);
      });
      if (found instanceof Error) refused++;
      else {
        expect(found.told).toBe(true);
        expect(found.last).toBeLessThan(TOTAL);
        cutOff++;
      }
    }
    expect(refused).toBeGreaterThan(10);
    expect(cutOff).toBeGreaterThan(1);
  });

  test('a log that was cut off anywhere is a shorter history', async () => {
    const location = await sample();
    const log = await fileOf(location, /\.log$/);
    const bytes = await readFile(join(location, log));
    for (let i = 0; i < 20; i++) {
      const length = Math.floor((i / 20) * bytes.length);
      const found = await outcome(location, (damaged) => writeFile(join(damaged, log), bytes.subarray(0, length)));
      expect(found).not.toBeInstanceOf(Error);
      expect((found as { last: number }).last).toBeLessThan(TOTAL);
    }
  });

  test('a byte changed in MANIFEST is refused, or changes nothing', async () => {
    const location = await sample();
    const manifest = await fileOf(location, /^MANIFEST/);
    const bytes = await readFile(join(location, manifest));
    for (let at = 0; at < bytes.length; at += 5) {
      const found = await outcome(location, async (damaged) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] as number) ^ 0x41;
        await writeFile(join(damaged, manifest), changed);
      });
      if (!(found instanceof Error)) expect(found.last).toBe(TOTAL);
    }
  });

  test.each<[string, RegExp, (location: string) => Promise<void>]>([
    ['CURRENT is missing', /CURRENT file is missing.*backup/, (location) => rm(join(location, 'CURRENT'))],
    ['CURRENT is empty', /CURRENT file is not readable.*backup/, (location) => writeFile(join(location, 'CURRENT'), '')],
    ['CURRENT names nothing', /MANIFEST-000099 file is missing/, (location) => writeFile(join(location, 'CURRENT'), 'MANIFEST-000099\n')],
    ['CURRENT is of bytes', /CURRENT file is not readable/, (location) => writeFile(join(location, 'CURRENT'), Buffer.alloc(100, 0xff))],
    ['MANIFEST is missing', /MANIFEST-\d+ file is missing/, async (location) => rm(join(location, await fileOf(location, /^MANIFEST/)))],
    ['MANIFEST is empty', /backup/, async (location) => writeFile(join(location, await fileOf(location, /^MANIFEST/)), '')],
    ['a table is missing', /backup/, async (location) => rm(join(location, await fileOf(location, /\.ldb$/)))],
  ])('that %s is refused, with what to do, and nothing is made anew', async (_, message, damage) => {
    const found = await outcome(await sample(), damage);
    expect(found).toBeInstanceOf(StoreDamage);
    expect((found as Error).message).toMatch(message);
  });
});

describe('a process killed while it writes', () => {
  test.each(['sync', 'os'])('A1 A5 has every batch that was acknowledged (%s), whole, and the numbers go on', async (durability) => {
    const location = await temporaryStore();
    let acknowledged = 0;
    for (const batches of [1, 37, 250]) {
      const writer = child(['write', location, durability]);
      expect((await writer.lines.next()).value).toBe('open');
      const until = acknowledged + batches;
      while (acknowledged < until) acknowledged = Number((await writer.lines.next()).value);
      writer.process.kill('SIGKILL');
      // What it had said before it died counts too.
      for (let line = await writer.lines.next(); line.done !== true; line = await writer.lines.next()) acknowledged = Number(line.value);
      await ended(writer.process);

      const state = await expectHistory(location);
      expect(state.batch).toBeGreaterThanOrEqual(acknowledged);
      acknowledged = state.batch;
    }
  });
});

/** The store holds the whole history up to its last batch, and nothing of a later one. */
async function expectHistory(location: string): Promise<StoreState> {
  const store = storeAt(location);
  const state = await store.open();
  const { batch } = state;
  expect(state).toEqual({ batch, revision: batch * 2, applied: batch * 3 });
  expect(text(store, 'first')).toBe(String(batch));
  expect(Buffer.from(store.read(SECTION.queue, 'last') as Uint8Array).toString()).toBe(String(batch));
  for (let n = 1; n <= batch; n++) mustBe(text(store, `history/${n}`), String(n));
  expect(text(store, `history/${batch + 1}`)).toBeUndefined();
  await store.close();
  return state;
}

describe('a disk that refuses', () => {
  interface Filled {
    failure: string;
    again: string;
    acknowledged: number;
    readable: string;
    reopenedWhileFull: string;
    readWhileFull: string;
    scannedWhileFull: string;
    found: number;
    reopened: number;
    last: number;
  }

  async function expectRecovery(location: string, filled: Filled): Promise<void> {
    expect(filled.failure).toBe('StoreFailure');
    expect(filled.again).toBe('StoreFailure');
    expect(filled.acknowledged).toBeGreaterThan(5);
    // The refused batch is there or not; what was read stays.
    expect(Number(filled.readable)).toBeGreaterThanOrEqual(filled.acknowledged);
    expect(filled.reopened).toBeGreaterThanOrEqual(Number(filled.readable));
    expect(filled.reopened - filled.acknowledged).toBeLessThanOrEqual(1);
    expect(filled.reopened).toBeGreaterThanOrEqual(filled.acknowledged);
    expect(filled.last).toBe(filled.reopened + 20);
    expect((await expectHistory(location)).batch).toBe(filled.last);
  }

  async function fill(location: string, room: string, limit?: string): Promise<Filled> {
    const filler = child(['fill', location, 'sync', room], limit);
    const filled = JSON.parse((await filler.lines.next()).value as string) as Filled;
    await ended(filler.process);
    return filled;
  }

  test('A3 to let a file grow stops the store until it does again and the store was reopened', async () => {
    const location = await temporaryStore();
    // A block is 512 or 1024 bytes, by shell; the log would grow to 4 MiB.
    const filled = await fill(location, 'limit', 'ulimit -S -f 3000');
    // What is on the disk is not refused because there is no room for what follows.
    expect(filled.reopened).toBe(filled.acknowledged);
    await expectRecovery(location, filled);
  });

  test.each(smallDisks())(
    'A3 because it is full ($what) stops the store until there is room and it was reopened',
    async ({ kilobytes, ballast, stuck }) => {
      const disk = await temporaryDirectory();
      mountSmall(disk, kilobytes);
      onTestFinished(() => {
        spawnSync('umount', [disk]);
      });
      await writeFile(join(disk, 'ballast'), Buffer.alloc(ballast * 1024));
      const location = join(disk, 'store');
      const filled = await fill(location, join(disk, 'ballast'));
      if (stuck) {
        expect(filled).toMatchObject({ reopenedWhileFull: 'StoreFailure', readWhileFull: 'none', scannedWhileFull: 'none' });
        expect(filled.found).toBe(filled.acknowledged);
      }
      await expectRecovery(location, filled);
    },
  );

  /** Small file systems, where this process may mount any: real full disks beside the limit above, which works everywhere. */
  function smallDisks(): { what: string; kilobytes: number; ballast: number; stuck: boolean }[] {
    if (!canMount()) return [];
    return [
      { what: 'in the log', kilobytes: 14_000, ballast: 12_000, stuck: true },
      { what: 'while a table is written', kilobytes: 40_000, ballast: 26_000, stuck: false },
    ];
  }
});

function mountSmall(directory: string, kilobytes: number): void {
  const done = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', directory]);
  if (done.status !== 0) throw new Error(`cannot mount: ${done.stderr}`);
}

/** Root may be without the right to mount, in a container: only trying tells. The mount is gone with the try. */
function canMount(): boolean {
  const script = 'd=$(mktemp -d) && { mount -t tmpfs -o size=64k tmpfs "$d" && umount "$d"; s=$?; rmdir "$d"; exit $s; }';
  return spawnSync('sh', ['-c', script]).status === 0;
}
