// What LevelDB 1.20, which `level` brings, reads while it compacts and snapshots are open: now and then an older version of a key, or
// one that was deleted, in place of the last (google/leveldb#320, mended in 1.21). Prints the first such read, and what is read of
// the key a moment later. Without snapshots (`--snapshots 0`) there is none.
// Usage: node bench/micro/level-snapshots.mjs [--snapshots N] [--writes N]

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Level } from 'level';

const { values } = parseArgs({ options: { snapshots: { type: 'string', default: '400' }, writes: { type: 'string', default: '9000' } } });
const SNAPSHOTS = Number(values.snapshots);
const WRITES = Number(values.writes);
const KEYS = 60;
const BODY_BYTES = 60_000;

const directory = mkdtempSync(join(tmpdir(), 'trivium-level-'));
const database = new Level(directory, { keyEncoding: 'utf8', valueEncoding: 'buffer' });
/** Number of the last write of each key; none: it is deleted. */
const written = new Map();
const snapshots = [];

function read(key) {
  return database.getSync(key)?.readUInt32LE(0);
}

async function write(number) {
  const key = `k${number % KEYS}`;
  if (number % 7 === 0) {
    await database.del(key);
    written.delete(key);
    return;
  }
  const body = randomBytes(BODY_BYTES);
  body.writeUInt32LE(number, 0);
  await database.put(key, body);
  written.set(key, number);
}

async function holdSnapshot() {
  snapshots.push(database.snapshot());
  if (snapshots.length > SNAPSHOTS) await snapshots.shift().close();
}

function findWrong() {
  for (let i = 0; i < KEYS; i++) {
    const key = `k${i}`;
    const found = read(key);
    if (found !== written.get(key)) return { key, found };
  }
  return null;
}

await database.open();
let wrong = null;
for (let number = 1; number <= WRITES && wrong === null; number++) {
  await write(number);
  if (SNAPSHOTS > 0 && number % 3 === 0) await holdSnapshot();
  wrong = findWrong();
  if (wrong !== null) {
    await delay(1_500);
    const { key, found } = wrong;
    console.log(`after write ${number}, ${key}: read ${found}, last written ${written.get(key)}, read 1.5 s later ${read(key)}`);
  }
}
if (wrong === null) console.log(`${WRITES} writes: every read gave the last version`);
for (const snapshot of snapshots) await snapshot.close();
await database.close();
rmSync(directory, { recursive: true });
