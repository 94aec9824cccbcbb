// Two engines run the same random programs, one with the index of paths and one without: whatever is asked is answered the same,
// also when the store refuses changes, and when answers are too long to be held.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Reply } from '../../../src/core/message.js';
import { parseQuery } from '../../../src/core/query/query.js';
import { type Harness, startEngine, type TestSession, until } from '../../support/core-harness.js';

const PATTERNS = ['*/x', '/a/*/x', '*1*', '/b/*2', '/a/*', '*', '/*/1*/y', '*/none'] as const;

type Step =
  | { readonly kind: 'set' | 'lasting'; readonly path: string; readonly value: number }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'removeAll' | 'get' | 'sorted' | 'count' | 'initial'; readonly pattern: string }
  | { readonly kind: 'refuse' | 'later' };

const path = fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.nat(20), fc.constantFrom('x', 'y', '')).map(([a, n, x]) => `/${a}/${n}/${x}`);
const pattern = fc.constantFrom(...PATTERNS);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('set' as const, 'lasting' as const), path, value: fc.nat(99) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove' as const), path }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('get' as const, 'get' as const, 'sorted' as const, 'count' as const, 'initial' as const),
      pattern,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('removeAll' as const), pattern }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('refuse' as const, 'later' as const) }) },
);

/** A session that takes streams: of most answers only a part is held. */
const STREAMS = { headBytes: 200, windowBytes: 300 };

class House {
  readonly told: unknown[] = [];
  readonly #asked: Promise<unknown>[] = [];
  readonly session: TestSession;

  constructor(readonly harness: Harness) {
    this.session = harness.session();
    this.session.takesStreams = true;
  }

  static async open(pathIndexBytes: number): Promise<House> {
    const house = new House(await startEngine({ pathIndexBytes, scan: STREAMS }));
    await Promise.all(Array.from({ length: 40 }, (_, i) => house.session.set(`/a/${i}/${i % 2 === 0 ? 'x' : 'y'}`, { n: i })));
    return house;
  }

  /** Makes the index if there may be one. */
  async ready(): Promise<void> {
    const used = this.searches;
    while (this.searches === used) await this.session.find('*never');
  }

  get searches(): number {
    return this.harness.counters.counters.get('path_index_searches_total')?.value ?? 0;
  }

  #note(at: number, asked: Promise<Reply>): void {
    const noted = asked.then((reply) => {
      const entries = (reply.entries ?? []).map((entry) => [entry.path, entry.payload.value()]);
      this.told[at] = [reply.error?.code ?? null, reply.count, entries];
    });
    this.#asked.push(noted);
  }

  do(one: Step, at: number): void {
    const { session } = this;
    switch (one.kind) {
      case 'set':
        return this.#note(at, session.set(one.path, { n: one.value }));
      case 'lasting':
        return this.#note(at, session.set(one.path, { n: one.value }, { lifetimeMs: 5_000 }));
      case 'remove':
        return this.#note(at, session.remove(one.path));
      case 'removeAll':
        return this.#note(at, session.removeAll(one.pattern));
      case 'get':
        return this.#note(at, session.find(one.pattern));
      case 'sorted':
        return this.#note(
          at,
          session.find(one.pattern, { query: parseQuery({ criteria: { n: { $gte: 20 } }, sort: { n: -1 }, skip: 1 }) }),
        );
      case 'count':
        return this.#note(at, session.find(one.pattern, { query: parseQuery({ count: true }) }));
      case 'initial':
        return this.#note(at, session.subscribe(one.pattern, 'glob', {}, true));
      default:
    }
  }

  async rest(): Promise<void> {
    await Promise.all(this.#asked.splice(0));
  }

  /** The next change is refused, and known to be. */
  async refused(): Promise<void> {
    await this.rest();
    this.harness.store.failure = new Error('refused, as a test asked for');
    const { error } = await this.session.set('/refused', 1);
    expect(error?.code).toBe('STORE_FAILED');
    await until(() => this.harness.engine.writable);
  }
}

test('answers are the same with the index and without', async () => {
  let searches = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 8 }), async (rounds) => {
      const houses = [await House.open(0), await House.open(1024 * 1024)] as const;
      await houses[1].ready();
      let at = 0;
      for (const round of rounds) {
        for (const one of round) {
          at += 1;
          for (const house of houses) {
            if (one.kind === 'refuse') await house.refused();
            else if (one.kind === 'later') house.harness.clock.time += 3_000;
            else house.do(one, at);
          }
        }
        await Promise.all(houses.map((house) => house.rest()));
        if (round.some(({ kind }) => kind === 'refuse')) await houses[1].ready();
      }
      const [without, withIndex] = houses;
      expect(withIndex.told).toEqual(without.told);
      searches += withIndex.searches;
      expect(without.searches).toBe(0);
      await Promise.all(houses.map((house) => house.harness.stop()));
    }),
    { numRuns: 60 },
  );
  expect(searches).toBeGreaterThan(200);
});
