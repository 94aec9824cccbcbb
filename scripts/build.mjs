// Builds dist when it is missing or older than what it is made from. Used by start, test and the test runner's setup.

import { spawnSync } from 'node:child_process';
import { readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const STAMP = join(ROOT, 'dist', '.built');

function newestUnder(directory) {
  let newest = statSync(directory).mtimeMs;
  for (const item of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, item.name);
    const time = item.isDirectory() ? newestUnder(path) : statSync(path).mtimeMs;
    if (time > newest) newest = time;
  }
  return newest;
}

/** True when dist does not hold what src says now. An installed package has no src and is never stale. */
export function isStale() {
  let sources;
  try {
    sources = newestUnder(join(ROOT, 'src'));
  } catch {
    return false; // An installed package has no src.
  }
  for (const file of ['package.json', 'tsconfig.json', 'tsconfig.build.json']) {
    sources = Math.max(sources, statSync(join(ROOT, file)).mtimeMs);
  }
  return (statSync(STAMP, { throwIfNoEntry: false })?.mtimeMs ?? 0) < sources;
}

/** Compiles src to dist; returns the exit code. The stamp carries the time of the start, so that edits during it count. */
export function build() {
  const begun = new Date();
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const done = spawnSync(process.execPath, [compiler, '-p', join(ROOT, 'tsconfig.build.json')], { stdio: 'inherit' });
  if (done.status === 0) {
    writeFileSync(STAMP, '');
    utimesSync(STAMP, begun, begun);
  }
  return done.status ?? 1;
}

/** Ends the process with the compiler's exit code when the sources do not compile. */
export function buildWhenStale() {
  if (!isStale()) return;
  process.stderr.write('building…\n');
  const status = build();
  if (status !== 0) process.exit(status);
}
