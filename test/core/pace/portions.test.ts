import { describe, expect, it } from 'vitest';
import { inPortions, Portions } from '../../../src/core/pace/portions.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('work in portions', () => {
  it('is done at once as long as there is little of it', async () => {
    const portions = new Portions(3);
    const done: number[] = [];
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 3; i++) portions.run(() => done.push(i));
      expect(done.splice(0)).toEqual([0, 1, 2]);
      await turn();
    }
  });

  it('is done in order, so much in each turn of the loop, when there is more of it', async () => {
    const portions = new Portions(3);
    const done: number[] = [];
    for (let i = 0; i < 8; i++) portions.run(() => done.push(i));
    expect(done).toEqual([0, 1, 2]);
    expect(portions.waiting).toBe(5);
    await turn();
    expect(done).toEqual([0, 1, 2, 3, 4, 5]);
    portions.run(() => done.push(8));
    await turn();
    expect(done).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('may bring more work', async () => {
    const portions = new Portions(2);
    let done = 0;
    const again = (): void => {
      done += 1;
      if (done < 7) portions.run(again);
    };
    again();
    for (let i = 0; i < 5; i++) await turn();
    expect(done).toBe(7);
  });

  it('for each of many leaves the loop to others in between', async () => {
    const done: number[] = [];
    const at: number[] = [];
    let isDone = false;
    const all = inPortions([1, 2, 3, 4, 5], 2, (item) => done.push(item)).then(() => (isDone = true));
    for (at.push(done.length); !isDone; at.push(done.length)) await turn();
    await all;
    expect(done).toEqual([1, 2, 3, 4, 5]);
    expect(at.slice(0, 3)).toEqual([2, 4, 5]);
  });
});
