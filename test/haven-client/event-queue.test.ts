// What a queue of events keeps while it is filled and read.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { EventQueue } from '../../src/haven-client/event-queue.js';
import type { WatchEvent } from '../../src/haven-client/index.js';

const source = { rewatch: () => {}, unwatch: async () => {} };
const event = (revision: number): WatchEvent => ({ type: 'write', path: '/a', value: revision, revision, time: 1, by: '' });

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heap(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

it('keeps nothing of what was read, also for a reader that is never quite done', async () => {
  const queue = new EventQueue('/a', 10_000, source);
  for (let n = 1; n <= 3; n++) queue.push(event(n));
  const before = heap();
  for (let n = 4; n <= 400_000; n++) {
    queue.push(event(n));
    const { value } = (await queue.next()) as { value: { revision: number } };
    if (value.revision !== n - 3) throw new Error(`event ${value.revision} came in the place of ${n - 3}`);
  }
  expect(heap() - before).toBeLessThan(2 * 1024 * 1024);
  expect(await queue.next()).toMatchObject({ value: { revision: 399_998 } });
});

it('gives all that fits to a reader that comes late, in order', async () => {
  const queue = new EventQueue('/a', 5_000, source);
  for (let n = 1; n <= 5_000; n++) queue.push(event(n));
  for (let n = 1; n <= 5_000; n++) expect(await queue.next()).toMatchObject({ value: { revision: n } });
});
