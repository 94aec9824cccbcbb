// Records handed to a client inside the process, some at a time.

import { expect, test } from 'vitest';
import { Handing } from '../../../src/adapters/happn/local-handing.js';
import { Entry } from '../../../src/core/data/entry.js';
import { EntryList } from '../../../src/core/data/entry-source.js';
import { Payload } from '../../../src/core/data/payload.js';
import { formats } from '../../support/core-harness.js';

test('a step hands over few of many records, in their order', () => {
  const payload = Payload.fromValue({ a: 1 }, formats.json);
  const all = Array.from({ length: 1_500 }, (_, n) => new Entry(`r/${n}`, payload, 1, 1, n + 1, ''));
  const seen: Entry[] = [];
  const handing = new Handing(
    new EntryList(all),
    (entry) => seen.push(entry),
    () => {},
    () => {},
  );
  const steps: number[] = [];
  for (let progress = 'more'; progress !== 'done'; ) {
    const before = seen.length;
    progress = handing.step();
    steps.push(seen.length - before);
  }
  expect(steps).toEqual([512, 512, 476]);
  expect(seen).toEqual(all);
});

test('a step hands over few large records', () => {
  const payload = Payload.fromBytes(Buffer.from(JSON.stringify('x'.repeat(100_000))), formats.json);
  const all = Array.from({ length: 10 }, (_, n) => new Entry(`r/${n}`, payload, 1, 1, n + 1, ''));
  let handed = 0;
  const handing = new Handing(
    new EntryList(all),
    () => {
      handed += 1;
    },
    () => {},
    () => {},
  );
  const steps: number[] = [];
  for (let progress = 'more'; progress !== 'done'; ) {
    const before = handed;
    progress = handing.step();
    steps.push(handed - before);
  }
  expect(steps).toEqual([3, 3, 3, 1]);
});

test('what is on its way is waited for, and what is handed over is closed by whoever asked', () => {
  const payload = Payload.fromValue({ a: 1 }, formats.json);
  const entry = (n: number): Entry => new Entry(`r/${n}`, payload, 1, 1, n, '');
  const slices: (readonly Entry[] | null)[] = [null, null, [entry(1)], null, null, [entry(2)], []];
  let closed = 0;
  const close = (): void => {
    closed += 1;
  };
  const source = { count: 2, take: () => slices.shift() ?? null, rewind() {}, close };
  const seen: string[] = [];
  const handing = new Handing(
    source,
    ({ path }) => seen.push(path),
    () => {},
    () => {},
  );
  expect([handing.step(), handing.isWaiting, [...seen]]).toEqual(['waiting', true, []]);
  expect([handing.step(), handing.isWaiting, [...seen]]).toEqual(['waiting', true, ['r/1']]);
  expect([handing.step(), handing.isWaiting, [...seen]]).toEqual(['done', false, ['r/1', 'r/2']]);
  expect(closed).toBe(0);
  handing.close();
  expect(closed).toBe(1);
});
