// Child processes of a benchmark: starting, watching what they cost in /proc, and making sure that none outlives the run.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Clock ticks a second of /proc/<pid>/stat; fixed by the kernel's interface to user space. */
const TICKS_PER_SECOND = 100;
/** The kernel kills the child when this process dies, however it dies. */
const TIED = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] : [];

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Counts the child among those that end with this process. */
export function track(child) {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Starts a command whose output is kept for error messages (last 4,000 characters). */
export function start(command, args, { env = {}, cwd } = {}) {
  const [file, ...rest] = [...TIED, command, ...args];
  const child = track(spawn(file, rest, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] }));
  child.lastOutput = '';
  const keep = (chunk) => {
    child.lastOutput = (child.lastOutput + chunk).slice(-4000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.once('error', (error) => keep(String(error)));
  return child;
}

/** Asks the child to end, and makes it end after `graceMs`. Resolves when it is gone. */
export async function stop(child, graceMs = 5000) {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await gone;
  clearTimeout(timer);
}

/** Polls `ready` (every 2 ms) until it answers something; the child's end or `limitMs` is an error with its last output. */
export async function until(child, ready, limitMs = 30_000) {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const answer = await ready();
    if (answer) return answer;
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`server ended at start: ${child.lastOutput}`);
    if (performance.now() > deadline) throw new Error(`server not ready after ${limitMs} ms: ${child.lastOutput}`);
    await delay(2);
  }
}

/** True when something accepts connections on the loopback port. */
export function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** User and system time of all threads of the process so far, in seconds. */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The command name may hold spaces and brackets: fields count from behind its last bracket, where field 3 begins.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function statusBytes(pid, field) {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return match === null ? 0 : Number(match[1]) * 1024;
}

/** Resident memory of the process in bytes. */
export const rssBytes = (pid) => statusBytes(pid, 'VmRSS');

/** The most resident memory since `clearPeak`. */
export const peakBytes = (pid) => statusBytes(pid, 'VmHWM');

/** See proc(5), /proc/pid/clear_refs. */
export const clearPeak = (pid) => writeFileSync(`/proc/${pid}/clear_refs`, '5');
