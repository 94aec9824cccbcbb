// Few passwords are checked at once, few wait, and who comes beyond that is told so.

import { describe, expect, it } from 'vitest';
import { Counters } from '../../src/core/counters.js';
import { HASH_LIMITS, HashQueue } from '../../src/security/hash-queue.js';

/** Work that ends when the test says so. */
function gates() {
  const open: (() => void)[] = [];
  const started: number[] = [];
  const work = (name: number) => () => {
    started.push(name);
    return new Promise<number>((resolve) => open.push(() => resolve(name)));
  };
  return { open, started, work };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the hash queue', () => {
  it('works on two at once and has 64 wait, unless told otherwise', () => {
    expect(HASH_LIMITS).toEqual({ working: 2, waiting: 64 });
  });

  it('takes them in order, few at once, and refuses one more than it can hold', async () => {
    const counters = new Counters();
    const queue = new HashQueue(counters, { working: 2, waiting: 3 });
    const { open, started, work } = gates();
    const all = [1, 2, 3, 4, 5].map((name) => queue.run(work(name)));
    await settled();
    expect(started).toEqual([1, 2]);
    await expect(queue.run(work(6))).rejects.toMatchObject({ code: 'OVERLOADED', retry: true });
    expect(counters.counter('logins_refused_busy_total', '').value).toBe(1);
    expect(counters.gauges.get('passwords_waiting')?.read()).toBe(3);
    for (const name of [1, 2, 3, 4, 5]) {
      open.shift()?.();
      expect(await (all[name - 1] as Promise<number>)).toBe(name);
    }
    expect(started).toEqual([1, 2, 3, 4, 5]);
    expect(counters.gauges.get('passwords_waiting')?.read()).toBe(0);
  });

  it('goes on after one that failed', async () => {
    const queue = new HashQueue(new Counters(), { working: 1, waiting: 1 });
    const failing = queue.run(() => Promise.reject(new Error('no')));
    const next = queue.run(async () => 'yes');
    await expect(failing).rejects.toThrow('no');
    expect(await next).toBe('yes');
    expect(await queue.run(async () => 'again')).toBe('again');
  });
});
