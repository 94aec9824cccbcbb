import { describe, expect, it } from 'vitest';
import { Backoff } from '../../../../src/adapters/mqtt/bridge/backoff.js';

describe('the wait between attempts', () => {
  it('doubles up to its limit, with jitter of a half, and begins anew after a success', () => {
    const limits = { retryMinMs: 100, retryMaxMs: 1_000 };
    const waits = (random: number): number[] => {
      const backoff = new Backoff(limits, () => random);
      const first = Array.from({ length: 6 }, () => backoff.next());
      backoff.succeeded();
      return [...first, backoff.next()];
    };
    expect(waits(0)).toEqual([50, 100, 200, 400, 500, 500, 50]);
    expect(waits(1)).toEqual([100, 200, 400, 800, 1_000, 1_000, 100]);
  });

  it('stays finite after years of failures', () => {
    const backoff = new Backoff({ retryMinMs: 1_000, retryMaxMs: 60_000 }, () => 0.5);
    for (let i = 0; i < 5_000; i++) backoff.next();
    expect(backoff.next()).toBe(45_000);
  });
});
