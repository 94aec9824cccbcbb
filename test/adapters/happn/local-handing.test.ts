// Records handed to a client inside the process, some at a time.

import { expect, test } from 'vitest';
import { Handing } from '../../../src/adapters/happn/local-handing.js';
import { Entry } from '../../../src/core/entry.js';
import { EntryList } from '../../../src/core/entry-source.js';
import { Payload } from '../../../src/core/payload.js';
import { formats } from '../../support/core-harness.js';

test('a step hands over few of many records, in their order', () => {
  const payload = Payload.fromValue({ a: 1 }, formats.json);
  const all = Array.from({ length: 1_500 }, (_, n) => new Entry(`r/${n}`, payload, 1, 1, n + 1, ''));
  const seen: Entry[] = [];
  const handing = new Handing(
    new EntryList(all),
    (entry) => seen.push(entry),
    () => {},
  );
  const steps: number[] = [];
  for (let isOver = false; !isOver; ) {
    const before = seen.length;
    isOver = handing.step();
    steps.push(seen.length - before);
  }
  expect(steps).toEqual([512, 512, 476]);
  expect(seen).toEqual(all);
});
