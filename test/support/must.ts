// Comparisons for loops that make very many: they say what `expect` says, and cost next to nothing while they hold.

import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';

/** As `expect(actual, what).toEqual(expected)`. */
export function mustEqual(actual: unknown, expected: unknown, what?: string): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual, what).toEqual(expected);
}

/** As `expect(actual, what).toBe(expected)`. */
export function mustBe(actual: unknown, expected: unknown, what?: string): void {
  if (!Object.is(actual, expected)) expect(actual, what).toBe(expected);
}

/** As `expect(holds, what).toBe(true)`. */
export function must(holds: boolean, what: string): void {
  mustBe(holds, true, what);
}
