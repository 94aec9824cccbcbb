// A process of its own around one store, for tests that kill it, let it hold the lock, or let its disk fill up.
// The built store: dist is there before any test runs. Says what it did on standard output, one line each.
//
//   write LOCATION DURABILITY            writes batches without end; a line per acknowledged batch: its number
//   hold LOCATION                        opens, says `open`, and closes when its input ends
//   fill LOCATION DURABILITY ROOM        writes until the disk refuses, looks at what is left, reopens, makes room (by
//                                        removing the file ROOM, or with `limit` its own limit on files), reopens again,
//                                        writes on; says what happened as JSON and kills itself

import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync, writeSync } from 'node:fs';
import { LevelStore } from '../../dist/core/store/level-store.js';
import { SECTION } from '../../dist/core/store/store.js';

const [mode, location = '', durability = 'sync', room = ''] = process.argv.slice(2);
const store = new LevelStore({ location, durability });
let state;

/** Past any buffering: what was said is known, even if the process dies on the next line. */
function say(text) {
  writeSync(1, `${text}\n`);
}

/** Two keys that always agree with the batch's number, and one that tells its history. */
async function writeNext(filler) {
  const number = state.batch + 1;
  const batch = store.batch();
  batch.put(SECTION.record, 'first', Buffer.from(String(number)));
  batch.put(SECTION.record, `history/${number}`, Buffer.from(String(number)));
  if (filler > 0) batch.put(SECTION.record, `filler/${number % 50}`, randomBytes(filler));
  batch.put(SECTION.queue, 'last', Buffer.from(String(number)));
  const next = { batch: number, revision: number * 2, applied: number * 3 };
  await store.write(batch, next);
  state = next;
}

async function nameOfError(action) {
  try {
    await action;
    return 'none';
  } catch (error) {
    return error.name;
  }
}

function makeRoom() {
  if (room !== 'limit') {
    rmSync(room);
    return;
  }
  const done = spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited']);
  if (done.status !== 0) throw new Error(`cannot lift the limit: ${done.stderr}`);
}

async function fill() {
  let failure = 'none';
  while (failure === 'none') failure = await nameOfError(writeNext(60_000));
  const acknowledged = state.batch;
  const again = await nameOfError(writeNext(1));
  const readable = Buffer.from(store.read(SECTION.queue, 'last') ?? []).toString();
  const reopenedWhileFull = await nameOfError(store.reopen());
  const readWhileFull = await nameOfError((async () => store.read(SECTION.queue, 'last'))());
  const scan = store.scan({ section: SECTION.record, gte: 'history/', lt: 'history0' }, 100);
  let found = 0;
  const scannedWhileFull = await nameOfError(
    (async () => {
      for (let rows = await scan.next(); rows.length > 0; rows = await scan.next()) found += rows.length;
    })(),
  );
  makeRoom();
  state = await store.reopen();
  const reopened = state.batch;
  for (let i = 0; i < 20; i++) await writeNext(100);
  say(
    JSON.stringify({
      failure,
      again,
      acknowledged,
      readable,
      reopenedWhileFull,
      readWhileFull,
      scannedWhileFull,
      found,
      reopened,
      last: state.batch,
    }),
  );
  process.kill(process.pid, 'SIGKILL');
}

state = await store.open();
if (mode === 'write') {
  say('open');
  for (;;) {
    await writeNext(state.batch % 100 === 0 ? 40_000 : 0);
    say(String(state.batch));
  }
} else if (mode === 'hold') {
  say('open');
  process.stdin.resume().once('end', () => {
    void store.close();
  });
} else {
  await fill();
}
