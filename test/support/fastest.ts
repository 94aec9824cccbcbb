// How long something takes by itself.

const TRIES = 5;

/** Milliseconds of the fastest of some runs: the machine may be busy with something else during the others. */
export function fastestMs(run: () => void): number {
  let fastest = Number.POSITIVE_INFINITY;
  for (let n = 0; n < TRIES; n++) {
    const begun = performance.now();
    run();
    fastest = Math.min(fastest, performance.now() - begun);
  }
  return fastest;
}
