// What the store costs, alone: batches of 1, 64 and 256 changes at each durability, point reads, scans, opening.
// Needs a build. `node bench/micro/store.mjs [directory]`: the directory's disk is what is measured (default: temporary).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LevelStore } from '../../dist/core/store/level-store.js';

const RECORDS = 100_000;
const VALUE = Buffer.alloc(100, 'v');
const key = (n) => `/plant/${n % 10}/sensor/${n % RECORDS}`;

const directory = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'trivium-bench-'));
try {
  for (const durability of ['sync', 'os']) await writes(durability);
  await reads();
} finally {
  rmSync(directory, { recursive: true });
}

async function writes(durability) {
  const store = new LevelStore({ location: join(directory, durability), durability });
  let { batch: number } = await store.open();
  let next = 0;
  for (const size of [1, 64, 256]) {
    const rounds = durability === 'sync' ? 400 : Math.ceil(60_000 / Math.max(size, 8));
    const run = async (count) => {
      for (let i = 0; i < count; i++) {
        const batch = store.batch();
        for (let j = 0; j < size; j++) batch.put('r', key(next++), VALUE);
        number++;
        await store.write(batch, { batch: number, revision: next, applied: number });
      }
    };
    await run(Math.ceil(rounds / 10));
    const { seconds, cpu } = await measured(() => run(rounds));
    const changes = rounds * size;
    print(
      `write ${durability} batch of ${size}`,
      changes / seconds,
      `${((seconds / rounds) * 1e6).toFixed(0)} us a batch, ${(cpu / changes).toFixed(2)} us of CPU a change`,
    );
  }
  await store.close();
}

async function reads() {
  const location = join(directory, 'read');
  const store = new LevelStore({ location, durability: 'os' });
  await store.open();
  for (let n = 0, number = 1; n < RECORDS; number++) {
    const batch = store.batch();
    for (let i = 0; i < 256; i++) batch.put('r', key(n++), VALUE);
    await store.write(batch, { batch: number, revision: n, applied: number });
  }
  await store.close();
  const opening = await measured(() => store.open());
  print(`open with ${RECORDS} records`, 1 / opening.seconds, `${(opening.seconds * 1e3).toFixed(0)} ms`);
  const point = await measured(() => {
    for (let n = 0; n < RECORDS; n++) store.read('r', key(n * 7919));
  });
  print('read a record', RECORDS / point.seconds, `${((point.seconds / RECORDS) * 1e6).toFixed(2)} us`);
  const absent = await measured(() => {
    for (let n = 0; n < RECORDS; n++) store.read('r', `/absent/${n}`);
  });
  print('read what is absent', RECORDS / absent.seconds, `${((absent.seconds / RECORDS) * 1e6).toFixed(2)} us`);
  let rows = 0;
  const scan = await measured(async () => {
    const all = store.scan({ section: 'r' }, 1000);
    for (let slice = await all.next(); slice.length > 0; slice = await all.next()) rows += slice.length;
    await all.close();
  });
  print('scan', rows / scan.seconds, `${((scan.seconds / rows) * 1e6).toFixed(2)} us a row`);
  await store.close();
}

async function measured(work) {
  const cpuBefore = process.cpuUsage();
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1e3;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { seconds, cpu: user + system };
}

function print(what, perSecond, detail) {
  console.log(`${what.padEnd(28)} ${Math.round(perSecond).toLocaleString('en').padStart(12)} /s   ${detail}`);
}
