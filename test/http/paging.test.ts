// Pages of a collection in another order: they are those of the sorted whole.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { pageOf } from '../../src/http/api/paging.js';

const self = (name: string): string => name;

it('pages are those of the sorted whole, whatever the order of the items', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ maxLength: 3 }), { maxLength: 40 }), fc.integer({ min: 1, max: 7 }), (names, limit) => {
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const { items, next } = pageOf(names, self, after, limit);
        expect(items.length).toBeLessThanOrEqual(limit);
        seen.push(...items);
        after = next ?? undefined;
      } while (after !== undefined);
      expect(seen).toEqual(names.toSorted((a, b) => (a < b ? -1 : 1)));
    }),
  );
});

it('a page goes on behind a name that is no more', () => {
  expect(pageOf(['a', 'c', 'd'], self, 'b', 1)).toEqual({ items: ['c'], next: 'c' });
});
