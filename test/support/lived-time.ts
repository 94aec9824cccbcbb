// Time as this process lives it: it goes on in small steps, and stands still while the process gets no processor. What has to be over
// after a time is over after as much of it, however busy the machine is.

const STEP_MS = 10;

/** Begins now. `ms`: what was lived since, never more than has passed; `end`: it counts no further. */
export function livedTime(): { readonly ms: () => number; readonly end: () => void } {
  let steps = 0;
  const timer = setInterval(() => {
    steps += 1;
  }, STEP_MS);
  timer.unref();
  return { ms: () => steps * STEP_MS, end: () => clearInterval(timer) };
}
