import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Check,
  CheckTrail,
  checkKey,
  decodeCheck,
  encodeCheck,
  NOTHING_WRITTEN,
  TrailVerifier,
} from '../../../src/core/store/check-trail.js';

const BUFFER = 1000;
const state = (batch: number) => ({ batch, revision: batch * 2, applied: batch * 3 });

interface Kept {
  checks: Map<number, Check>;
  checkpoint: Check;
}

/** Runs batches of the given sizes through a trail and does what it says. */
function run(trail: CheckTrail, kept: Kept, first: number, sizes: readonly number[]): void {
  sizes.forEach((size, i) => {
    const check = trail.link(state(first + i));
    const step = trail.step({ last: check, count: 1, bytes: size });
    kept.checks.set(first + i, check);
    if (step.checkpoint !== null) kept.checkpoint = step.checkpoint;
    for (let n = step.trimFrom; n < step.trimTo; n++) kept.checks.delete(n);
  });
}

function verify(kept: Kept): TrailVerifier {
  const verifier = new TrailVerifier(kept.checkpoint);
  let last: string | null = null;
  for (const [number, check] of [...kept.checks].sort(([a], [b]) => a - b)) {
    if (number <= kept.checkpoint.batch) continue;
    last = checkKey(number);
    verifier.add({ key: last, value: encodeCheck(check) });
  }
  verifier.finish(last);
  return verifier;
}

/**
 * Batches that may still be in the write-ahead log of an engine that begins a new buffer once the last one holds more
 * than `BUFFER`, and begins the one after that only when the first is in a table.
 */
function inLog(sizes: readonly number[]): number {
  let older = 0;
  let newer = 0;
  let bytes = 0;
  sizes.forEach((size, i) => {
    if (bytes > BUFFER) {
      older = newer;
      newer = i;
      bytes = 0;
    }
    bytes += size;
  });
  return older;
}

const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 3 * BUFFER })), { maxLength: 300 });

describe('the trail of checks', () => {
  test('is unbroken after any course of batches', () => {
    fc.assert(
      fc.property(sizes, (course) => {
        const kept = { checks: new Map<number, Check>(), checkpoint: NOTHING_WRITTEN };
        run(new CheckTrail(NOTHING_WRITTEN, 1, BUFFER), kept, 1, course);
        const verifier = verify(kept);
        expect(verifier.holes).toEqual([]);
        expect(verifier.last.batch).toBe(course.length);
      }),
    );
  });

  test('never drops the check of a batch that may be in the log', () => {
    fc.assert(
      fc.property(sizes, (course) => {
        const kept = { checks: new Map<number, Check>(), checkpoint: NOTHING_WRITTEN };
        run(new CheckTrail(NOTHING_WRITTEN, 1, BUFFER), kept, 1, course);
        // The last step was decided before its own batch was written.
        const oldest = inLog(course.slice(0, -1)) + 1;
        expect(kept.checkpoint.batch).toBeLessThan(Math.max(1, oldest));
      }),
      { numRuns: 1000 },
    );
  });

  test('stays bounded, and trims what an earlier run left a few at a time', () => {
    const kept = { checks: new Map<number, Check>(), checkpoint: NOTHING_WRITTEN };
    const trail = new CheckTrail(NOTHING_WRITTEN, 1, BUFFER);
    run(
      trail,
      kept,
      1,
      Array.from({ length: 1000 }, () => 10),
    );
    expect(kept.checks.size).toBeLessThan(320);
    const before = kept.checks.size;
    const last = kept.checks.get(1000) as Check;
    const oldest = Math.min(...kept.checks.keys());
    kept.checkpoint = last;
    const next = new CheckTrail(last, oldest, BUFFER);
    const check = next.link(state(1001));
    const step = next.step({ last: check, count: 1, bytes: 10 });
    expect(step.trimTo - step.trimFrom).toBeLessThanOrEqual(4);
    kept.checks.set(1001, check);
    for (let n = step.trimFrom; n < step.trimTo; n++) kept.checks.delete(n);
    run(
      next,
      kept,
      1002,
      Array.from({ length: before }, () => 10),
    );
    expect(Math.min(...kept.checks.keys())).toBeGreaterThan(1000);
    expect(verify(kept).holes).toEqual([]);
  });

  test('names every hole', () => {
    const kept = { checks: new Map<number, Check>(), checkpoint: NOTHING_WRITTEN };
    run(
      new CheckTrail(NOTHING_WRITTEN, 1, BUFFER),
      kept,
      1,
      Array.from({ length: 20 }, () => 1),
    );
    for (const n of [1, 2, 9, 15, 16]) kept.checks.delete(n);
    expect(verify(kept).holes).toEqual(['1 to 2', '9', '15 to 16']);
  });

  test('knows a check of another history by its link', () => {
    const kept = { checks: new Map<number, Check>(), checkpoint: NOTHING_WRITTEN };
    run(new CheckTrail(NOTHING_WRITTEN, 1, BUFFER), kept, 1, [1, 1, 1, 1]);
    const other = { checks: new Map<number, Check>(), checkpoint: NOTHING_WRITTEN };
    run(new CheckTrail({ ...NOTHING_WRITTEN, link: 5 }, 1, BUFFER), other, 1, [1, 1, 1, 1]);
    kept.checks.set(3, other.checks.get(3) as Check);
    expect(verify(kept).holes).toEqual(['3 (belongs to another history)', '4 (belongs to another history)']);
  });
});

describe('a check', () => {
  test('is read back as it was written, and never when a byte of it changed', () => {
    const number = fc.maxSafeNat();
    fc.assert(
      fc.property(
        number,
        number,
        number,
        fc.nat(0xffffffff),
        fc.nat(31),
        fc.integer({ min: 1, max: 255 }),
        (batch, revision, applied, link, at, change) => {
          const bytes = encodeCheck({ batch, revision, applied, link });
          expect(decodeCheck(new Uint8Array(bytes))).toEqual({ batch, revision, applied, link });
          bytes[at] = (bytes[at] as number) ^ change;
          expect(decodeCheck(bytes)).toBeNull();
          expect(decodeCheck(bytes.subarray(1))).toBeNull();
        },
      ),
    );
  });

  test('has a key that sorts by number', () => {
    const numbers = [0, 1, 9, 10, 99, 1000, 123456, Number.MAX_SAFE_INTEGER];
    expect(numbers.map(checkKey).sort()).toEqual(numbers.map(checkKey));
  });
});
