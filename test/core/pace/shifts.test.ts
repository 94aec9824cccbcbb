// Shares of the event loop for long work.

import { expect, test } from 'vitest';
import { Shifts } from '../../../src/core/pace/shifts.js';

test('one is given in each turn of the event loop, in the order in which they were asked for', async () => {
  const shifts = new Shifts();
  let turn = 0;
  const given: [string, number][] = [];
  const work = async (name: string, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      await shifts.next();
      given.push([name, turn]);
    }
  };
  const counting = (async () => {
    for (; given.length < 9; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  })();
  await Promise.all([work('a', 3), work('b', 3), work('c', 3), counting]);
  expect(given.map(([name]) => name).join('')).toBe('abcabcabc');
  expect(new Set(given.map(([, at]) => at)).size).toBeGreaterThanOrEqual(8);
});

test('work that is called and work that waits take their turns alike', async () => {
  const shifts = new Shifts();
  const given: string[] = [];
  shifts.run(() => {
    given.push('first');
    shifts.run(() => given.push('third'));
  });
  await shifts.next();
  given.push('second');
  await shifts.next();
  expect(given).toEqual(['first', 'second', 'third']);
});
