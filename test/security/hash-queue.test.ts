// Few passwords are checked at once, few wait, and who comes beyond that is told so.

import { describe, expect, it } from 'vitest';
import { Counters } from '../../src/core/counters.js';
import { HASH_LIMITS, HashQueue } from '../../src/security/hash-queue.js';
import { SetClock } from '../support/set-clock.js';

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
  it('works on two at once, and has 64 wait for 5 s at most, unless told otherwise', () => {
    expect(HASH_LIMITS).toEqual({ working: 2, waiting: 64, waitMs: 5_000 });
  });

  it('takes them in order, few at once, and refuses one more than it can hold', async () => {
    const counters = new Counters();
    const queue = new HashQueue(counters, { working: 2, waiting: 3, waitMs: 5_000 });
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

  it('B10 D2 gives one address half of the places, and half of the time, so that others come to their turn', async () => {
    const clock = new SetClock();
    const queue = new HashQueue(new Counters(), { working: 1, waiting: 8, waitMs: 1_000 }, clock);
    const { open, work } = gates();
    const flood = [1, 2, 3, 4, 5].map((name) => queue.run(work(name), 'flood'));
    await settled();
    await expect(queue.run(work(6), 'flood')).rejects.toMatchObject({ code: 'OVERLOADED' });
    const others = ['a', 'b', ''].map((from, at) => queue.run(work(10 + at), from));
    for (const _one of [...flood, ...others]) {
      clock.pass(100);
      open.shift()?.();
      await settled();
    }
    expect(await Promise.all([...flood, ...others])).toEqual([1, 2, 3, 4, 5, 10, 11, 12]);
    expect(await queue.run(async () => 'free', 'flood')).toBe('free');
  });

  it('refuses at once whoever would wait too long, by what the work has taken lately', async () => {
    const clock = new SetClock();
    const queue = new HashQueue(new Counters(), { working: 1, waiting: 64, waitMs: 1_000 }, clock);
    await queue.run(async () => clock.pass(400));
    const { open, work } = gates();
    const all = [1, 2, 3].map((name) => queue.run(work(name)));
    await expect(queue.run(work(4))).rejects.toMatchObject({ code: 'OVERLOADED' });
    for (const _one of all) {
      await settled();
      open.shift()?.();
    }
    expect(await Promise.all(all)).toEqual([1, 2, 3]);
  });

  it('refuses whoever has waited too long, and takes the next', async () => {
    const clock = new SetClock();
    const queue = new HashQueue(new Counters(), { working: 1, waiting: 64, waitMs: 1_000 }, clock);
    const { open, started, work } = gates();
    const first = queue.run(work(1));
    const late = queue.run(work(2));
    await settled();
    clock.pass(1_001);
    const next = queue.run(work(3));
    await settled();
    open.shift()?.();
    await expect(late).rejects.toMatchObject({ code: 'OVERLOADED' });
    await first;
    await settled();
    open.shift()?.();
    expect(await next).toBe(3);
    expect(started).toEqual([1, 3]);
    expect(await queue.run(async () => 4)).toBe(4);
  });

  it('goes on after one that failed', async () => {
    const queue = new HashQueue(new Counters(), { working: 1, waiting: 1, waitMs: 5_000 });
    const failing = queue.run(() => Promise.reject(new Error('no')));
    const next = queue.run(async () => 'yes');
    await expect(failing).rejects.toThrow('no');
    expect(await next).toBe('yes');
    expect(await queue.run(async () => 'again')).toBe('again');
  });
});
