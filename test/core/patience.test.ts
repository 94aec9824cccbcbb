import { describe, expect, it } from 'vitest';
import { Patience } from '../../src/core/patience.js';

/** A batch of `requests` that took `tookMs`, while `waiting` more came. */
function batch(patience: Patience, clock: { mono: number }, requests: number, tookMs: number, waiting: number): void {
  patience.begin(requests);
  clock.mono += tookMs;
  patience.end(waiting);
}

function patient(): { patience: Patience; clock: { mono: number } } {
  const clock = { mono: 1_000 };
  return { clock, patience: new Patience({ now: () => 0, monotonic: () => clock.mono }, 256) };
}

describe('a batch waits for those who were just answered', () => {
  it('until all of them are there', () => {
    const { patience, clock } = patient();
    batch(patience, clock, 32, 4, 32);
    expect(patience.waits(32)).toBe(true);
    expect(patience.waits(63)).toBe(true);
    expect(patience.waits(64)).toBe(false);
  });

  it('for half of the time that the last one took, and 2 ms at most', () => {
    const { patience, clock } = patient();
    batch(patience, clock, 32, 1, 32);
    clock.mono += 0.4;
    expect(patience.waits(32)).toBe(true);
    clock.mono += 0.2;
    expect(patience.waits(32)).toBe(false);
    patience.begin(64);
    clock.mono += 100;
    patience.end(1);
    clock.mono += 1.9;
    expect(patience.waits(1)).toBe(true);
    clock.mono += 0.2;
    expect(patience.waits(1)).toBe(false);
  });

  it('no longer than it is looked at, should the clock stand', () => {
    const { patience, clock } = patient();
    batch(patience, clock, 32, 4, 32);
    let looks = 0;
    while (patience.waits(32)) looks += 1;
    expect(looks).toBe(256);
  });

  it('not when nobody else is kept waiting, and not beyond what a batch holds', () => {
    const { patience, clock } = patient();
    batch(patience, clock, 64, 4, 0);
    expect(patience.waits(1)).toBe(false);
    batch(patience, clock, 256, 4, 100);
    expect(patience.waits(255)).toBe(true);
    expect(patience.waits(256)).toBe(false);
  });
});

it('when nobody came, the next batches do not wait, ever more of them', () => {
  const { patience, clock } = patient();
  const waited: boolean[] = [];
  for (let n = 0; n < 40; n++) {
    batch(patience, clock, 10, 4, 10);
    waited.push(patience.waits(10));
  }
  // Half of those who were answered are enough.
  expect(waited.flatMap((did, n) => (did ? [n] : []))).toEqual([0, 5, 14, 31]);
});

it('when they came again, it is as it was at first', () => {
  const { patience, clock } = patient();
  batch(patience, clock, 10, 4, 10);
  batch(patience, clock, 10, 4, 10);
  for (let n = 0; n < 4; n++) batch(patience, clock, 10, 4, 10);
  expect(patience.waits(10)).toBe(true);
  batch(patience, clock, 20, 4, 20);
  expect(patience.waits(20)).toBe(true);
  batch(patience, clock, 30, 4, 10);
  expect(patience.waits(10)).toBe(true);
});
