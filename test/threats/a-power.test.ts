// A power cut: the process is killed, and of each file of the store only what it has synced is left.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { describe, expect, it } from 'vitest';
import { startGateway, temporaryDirectory, until } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';

const SOURCE = fileURLToPath(new URL('../support/synced.c', import.meta.url));
const CAN_COMPILE = process.platform === 'linux' && spawnSync('cc', ['--version']).status === 0;
const ROUNDS = process.env.TRIVIUM_TEST_LONG === '1' ? 60 : 3;
/** LevelDB makes them whole before anything depends on them, or nothing does. */
const APART = new Set(['CURRENT', 'LOCK', 'LOG', 'LOG.old']);
const JOURNAL = /\/journal\.\d+$/;

interface Written {
  readonly acknowledged: number;
  /** Numbers of which the store still has the record. */
  readonly left: readonly number[];
}

/** Cuts the power in the middle of a flood of retained messages, at some point of it. */
async function cut(durability: 'sync' | 'os', after: number): Promise<Written> {
  const directory = temporaryDirectory();
  const [library, log] = [join(directory, 'synced.so'), join(directory, 'synced.log')];
  expect(spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl']).stderr.toString()).toBe('');
  writeFileSync(log, '');
  await using gateway = await startGateway({ flags: ['--durability', durability], env: { LD_PRELOAD: library, SYNCED_LOG: log } });
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { protocolVersion: 4, reconnectPeriod: 0 });
  client.on('error', () => {});
  let acknowledged = 0;
  for (let n = 0; n < 100_000 && n < acknowledged + 2_000; n++) {
    client.publish(`p/${n}`, `value ${n}`, { qos: 1, retain: true }, (error) => {
      // They are acknowledged in their order.
      if (error === undefined || error === null) acknowledged = n + 1;
    });
    if (n % 200 === 0) await until('some are acknowledged', () => acknowledged >= after || n < acknowledged + 1_000);
    if (acknowledged >= after) break;
  }
  await until('so many are acknowledged', () => acknowledged >= after);
  await gateway.kill();
  const counted = acknowledged;
  await client.endAsync(true);
  forget(gateway.dataDir, log);
  await gateway.restart();
  const haven = await HavenClient.connect(gateway.ports.haven);
  const left = new Set<number>();
  for (let path: string | null = ''; path !== null; ) {
    const { items, more } = (await haven.read('p/*', { limit: 5_000, ...(path === '' ? {} : { after: path }) })) as never as {
      items: { path: string; value: string }[];
      more?: boolean;
    };
    for (const item of items) {
      expect(item.value).toBe(`value ${item.path.slice(2)}`);
      left.add(Number(item.path.slice(2)));
    }
    path = more === true ? (items.at(-1)?.path ?? null) : null;
  }
  await haven.close();
  await gateway.stop();
  return { acknowledged: counted, left: [...left] };
}

type Span = readonly [from: number, end: number];

/** Only what was synced is left. */
function forget(dataDir: string, log: string): void {
  const synced = new Map<string, Span[]>();
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    const [from, end, ...path] = line.split(' ');
    if (end === undefined) continue;
    const name = path.join(' ');
    const spans = synced.get(name) ?? [];
    spans.push([Number(from), Number(end)]);
    synced.set(name, spans);
  }
  const [store = ''] = [...synced.keys()].filter((path) => path.endsWith('.log') && existsSync(path)).map((path) => join(path, '..'));
  const files = store === '' ? levelFiles(dataDir) : readdirSync(store).map((name) => join(store, name));
  for (const file of files) {
    const name = file.slice(file.lastIndexOf('/') + 1);
    const spans = synced.get(file) ?? [];
    // Files of the journal are written over, in several places at once.
    if (JOURNAL.test(file)) forgetBetween(file, spans);
    else if (!APART.has(name) && /^(\d+\.(log|ldb|sst)|MANIFEST-\d+)$/.test(name)) {
      truncateSync(file, Math.min(statSync(file).size, spans.at(-1)?.[1] ?? 0));
    }
  }
}

/** Zeros take the place of what was never synced. */
function forgetBetween(file: string, spans: readonly Span[]): void {
  const bytes = readFileSync(file);
  let known = 0;
  for (const [from, end] of spans.toSorted(([a], [b]) => a - b)) {
    if (from > known) bytes.fill(0, known, from);
    known = Math.max(known, end);
  }
  writeFileSync(file, bytes.subarray(0, known));
}

function levelFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => join(directory, name));
}

describe.runIf(CAN_COMPILE)('A2 a power cut', () => {
  it(`loses nothing that was acknowledged under durability sync, at ${ROUNDS} points`, { timeout: ROUNDS * 60_000 }, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const { acknowledged, left } = await cut('sync', 500 + 1_777 * round);
      const kept = new Set(left);
      const lost = Array.from({ length: acknowledged }, (_, n) => n).filter((n) => !kept.has(n));
      expect(lost).toEqual([]);
    }
  });

  it('may lose something under os: what is cut here is seen', { timeout: 60_000 }, async () => {
    const { acknowledged, left } = await cut('os', 500);
    expect(left.length).toBeLessThan(acknowledged);
  });
});
