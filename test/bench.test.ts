// The benchmark is a program that people wait for: it measures, ends by itself and leaves nothing behind. What it finds is not
// judged here, because that belongs to a quiet machine.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { cleanEnvironment, until } from './support/gateway-process.js';
import { temporaryDirectory } from './support/temporary.js';

const MAIN = fileURLToPath(new URL('../bench/run.mjs', import.meta.url));

interface Run {
  readonly child: ChildProcess;
  /** Names this run in the environment of all its processes; holds all its files. */
  readonly folder: string;
  output(): string;
}

async function begin(args: readonly string[]): Promise<Run> {
  const folder = await temporaryDirectory();
  const env = { ...cleanEnvironment(), TMPDIR: folder };
  const child = spawn(process.execPath, [MAIN, '--peers', 'none', '--out', 'none', ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  return { child, folder, output: () => text };
}

function processesOf({ folder }: Run): string[] {
  return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && environmentOf(pid).includes(`TMPDIR=${folder}\0`));
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(join('/proc', pid, 'environ'), 'latin1');
  } catch {
    return ''; // It has ended meanwhile, or is another user's.
  }
}

it('measures the loads whose names were given, ends, and leaves neither process nor file', { timeout: 60_000 }, async () => {
  const run = await begin(['--only', 'mqtt-qos1,happn-subscriptions', '--rounds', '1', '--seconds', '0.1']);
  const [code] = await once(run.child, 'close');
  expect(code).toBe(0);
  const figures = run.output().match(/^\| trivium(, \S+)? \| [\d,]+ \| [\d,]+ \|/gm);
  expect(figures).toHaveLength(3);
  expect(processesOf(run)).toEqual([]);
  expect(readdirSync(run.folder)).toEqual([]);
});

it('leaves neither process nor file when it is interrupted', { timeout: 60_000 }, async () => {
  const run = await begin(['--only', 'mqtt-qos0', '--rounds', '100']);
  // Runner, generator and server.
  await until('a run of three processes', () => processesOf(run).length === 3);
  run.child.kill('SIGINT');
  await once(run.child, 'close');
  await until('no process is left', () => processesOf(run).length === 0);
  expect(readdirSync(run.folder)).toEqual([]);
});
