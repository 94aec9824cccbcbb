import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ring } from '../../../src/core/pace/ring.js';

describe('a ring', () => {
  it('behaves like a list that is pushed to and shifted from', () => {
    const step = fc.oneof(fc.record({ push: fc.integer() }), fc.constant('shift' as const), fc.constant('peek' as const));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 1, max: 40 }), (steps, max) => {
        const ring = new Ring<number>(max);
        const list: number[] = [];
        for (const next of steps) {
          if (next === 'shift') expect(ring.shift()).toBe(list.shift());
          else if (next === 'peek') expect(ring.peek()).toBe(list[0]);
          else if (ring.push(next.push)) list.push(next.push);
          else expect(list.length).toBe(max);
          expect(ring.length).toBe(list.length);
        }
      }),
    );
  });

  it('is empty and usable after clear', () => {
    const ring = new Ring<string>();
    for (let i = 0; i < 5_000; i++) ring.push('x');
    ring.clear();
    expect(ring.shift()).toBeUndefined();
    ring.push('y');
    expect([ring.length, ring.shift(), ring.shift()]).toEqual([1, 'y', undefined]);
  });
});
