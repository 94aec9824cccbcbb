// Builds dist when it is missing or older than what it is made from. Used by start, test and the test runner's setup;
// called as a program it always builds.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const DIST = join(ROOT, 'dist');
const STAMP = '.built';
/** Files below src that go to dist as they are: scripts for browsers. */
const COPIED = ['adapters/happn/browser/connection.js', 'adapters/happn/browser/client.js'];

function newestUnder(directory) {
  let newest = statSync(directory).mtimeMs;
  for (const item of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, item.name);
    newest = Math.max(newest, item.isDirectory() ? newestUnder(path) : statSync(path).mtimeMs);
  }
  return newest;
}

/** True when dist does not hold what src says now. An installed package has no src and is never stale. */
export function isStale() {
  const sources = ['src', 'package.json', 'tsconfig.json', 'tsconfig.build.json'].map((name) => join(ROOT, name));
  if (statSync(sources[0], { throwIfNoEntry: false }) === undefined) return false;
  const built = statSync(join(DIST, STAMP), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return sources.some((path) => (statSync(path).isDirectory() ? newestUnder(path) : statSync(path).mtimeMs) > built);
}

/**
 * Compiles src to dist; returns the compiler's exit code. Built beside and then swapped in, so that nobody starts a
 * half-written program. Type errors leave a program that is swapped in but counts as stale.
 */
export function build() {
  const begun = new Date();
  const fresh = `${DIST}.${process.pid}.new`;
  const old = `${DIST}.${process.pid}.old`;
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const project = join(ROOT, 'tsconfig.build.json');
  const done = spawnSync(process.execPath, [compiler, '-p', project, '--outDir', fresh], { stdio: 'inherit' });
  chmodSync(join(fresh, 'main.js'), 0o755);
  for (const name of COPIED) cpSync(join(ROOT, 'src', name), join(fresh, name));
  if (done.status === 0) {
    writeFileSync(join(fresh, STAMP), '');
    // The time of the start, so that edits made meanwhile count as newer.
    utimesSync(join(fresh, STAMP), begun, begun);
  }
  if (statSync(DIST, { throwIfNoEntry: false }) !== undefined) renameSync(DIST, old);
  renameSync(fresh, DIST);
  rmSync(old, { recursive: true, force: true });
  return done.status ?? 1;
}

/** Ends the process with the compiler's exit code when the sources do not compile. */
export function buildWhenStale() {
  if (!isStale()) return;
  process.stderr.write('building the program, which takes up to a minute…\n');
  const status = build();
  if (status !== 0) process.exit(status);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(build());
