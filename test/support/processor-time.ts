// Processor time: what work costs, whatever else the machine does meanwhile.

import { readFileSync } from 'node:fs';

const TRIES = 5;
/** What is over sooner is done again and again, so that its cost can be told. */
const LEAST_MS = 2;
const NS_PER_MS = 1e6;

function ownMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** Milliseconds for which the main thread of a process, with its event loop, has been on a processor; null: the process is gone. */
export function loopMs(pid: number): number | null {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ', 1)[0]) / NS_PER_MS;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

/** Milliseconds of processor time that a run costs; the least of some. */
export function costMs(run: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let n = 0; n < TRIES; n++) {
    const begun = ownMs();
    let runs = 0;
    do {
      run();
      runs += 1;
    } while (ownMs() - begun < LEAST_MS);
    least = Math.min(least, (ownMs() - begun) / runs);
  }
  return least;
}

/** How many times as much as `small` it costs to run `large`. */
export function growth(small: () => void, large: () => void): number {
  const before = costMs(small);
  return costMs(large) / before;
}
