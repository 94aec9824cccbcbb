// Reading the entries of a scan, and reading some of them again.

import { expect, test } from 'vitest';
import { EntryReader } from '../../../src/core/scans/entry-reader.js';
import { randomOf } from '../../support/random.js';
import { pathOf, SliceScan } from '../../support/slice-scan.js';

const ENTRIES = 5_000;

test('slices are counted, and any entry is found again, wherever the reader is', async () => {
  const next = randomOf(3);
  const scan = new SliceScan(ENTRIES, 7);
  const reader = new EntryReader(scan, () => scan.read());
  let seen = 0;
  for (let slice = await reader.next(); slice !== null; slice = await reader.next()) {
    expect(slice.number).toBe(seen);
    seen += slice.entries.length;
  }
  expect(seen).toBe(ENTRIES);
  for (let round = 0; round < 300; round++) {
    const wanted = next(ENTRIES);
    let slice = await reader.again(wanted);
    let passed = 0;
    while (slice !== null && slice.number + slice.entries.length <= wanted) {
      passed += slice.entries.length;
      slice = await reader.again(wanted);
    }
    expect(slice?.entries[wanted - slice.number]?.path).toBe(pathOf(wanted));
    expect(passed).toBeLessThan(512);
  }
  await reader.close();
  expect(scan.isClosed).toBe(true);
});
