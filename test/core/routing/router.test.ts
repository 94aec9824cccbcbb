// The router: finds what a comparison of every pattern would find, in order, through any history; and what it costs.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DurableSession } from '../../../src/core/durable/durable-session.js';
import type { Qos } from '../../../src/core/message.js';
import { type Dialect, parsePattern } from '../../../src/core/paths/pattern.js';
import { LevelTrie } from '../../../src/core/routing/level-trie.js';
import {
  MATCH_CACHE_MAX_CHANGES,
  MATCH_CACHE_MAX_PATH_LENGTH,
  MATCH_CACHE_MAX_PATHS,
  MATCH_CACHE_MAX_REFERENCES,
  MatchCache,
} from '../../../src/core/routing/match-cache.js';
import { PrefixTree } from '../../../src/core/routing/prefix-tree.js';
import { Router } from '../../../src/core/routing/router.js';
import { SUBSCRIBED, Subscription } from '../../../src/core/routing/subscription.js';
import type { SubscriptionList } from '../../../src/core/routing/subscription-list.js';
import { NO_MATCH } from '../../../src/core/routing/subscription-list.js';
import { anyPath, anyPattern, type PatternText } from '../../support/path-arbitraries.js';

const DURABLE = {} as DurableSession;

function subscription(text: string, dialect: Dialect, depth?: number, qos: Qos = 0, durable = false): Subscription {
  const options = { ...SUBSCRIBED, qos };
  return new Subscription(null, durable ? DURABLE : null, parsePattern(text, dialect, depth), options, null);
}

function routerOf(...subscriptions: Subscription[]): Router {
  const router = new Router();
  for (const each of subscriptions) router.subscribe(each);
  return router;
}

function naive(router: Router, path: string): Subscription[] {
  return [...router.values()].filter((each) => each.pattern.matches(path));
}

describe('Router', () => {
  it('matches nothing when nobody subscribed', () => {
    expect(new Router().match('/a').all).toEqual([]);
  });

  it('lists matches in the order of subscription, whatever the dialect', () => {
    const made = [
      subscription('/a/*', 'glob'),
      subscription('/a/b', 'mqtt'),
      subscription('#', 'mqtt'),
      subscription('a/b', 'segments'),
      subscription('/**', 'segments'),
      subscription('/a/b', 'glob'),
      subscription('*', 'segments'),
      subscription('/+/b', 'mqtt'),
      subscription('*', 'glob'),
    ];
    const router = routerOf(...made);
    expect(router.match('/a/b').all).toEqual(made);
    const [first] = made as [Subscription];
    router.unsubscribe(first);
    router.subscribe(first);
    expect(router.match('/a/b').all).toEqual([...made.slice(1), first]);
    expect([...router.values()]).toEqual([...made.slice(1), first]);
  });

  it('counts each subscription once and knows which it has', () => {
    const one = subscription('/a', 'glob');
    const other = subscription('/a', 'glob');
    const router = routerOf(one, one);
    expect(router.size).toBe(1);
    expect(router.match('/a').all).toEqual([one]);
    expect(router.unsubscribe(other)).toBe(false);
    expect(router.unsubscribe(one)).toBe(true);
    expect(router.unsubscribe(one)).toBe(false);
    expect(router.size).toBe(0);
    expect(router.match('/a').all).toEqual([]);
  });

  it('shares one match until subscriptions change, and leaves it as it was then', () => {
    const one = subscription('a/+', 'mqtt');
    const router = routerOf(one);
    const before = router.match('a/b');
    expect(router.match('a/b')).toBe(before);
    expect(router.match('a/c')).toBe(before);
    router.subscribe(subscription('a/#', 'mqtt'));
    expect(before.all).toEqual([one]);
    expect(router.match('a/b').all).toHaveLength(2);
  });

  it('keeps apart the durable subscriptions, and says whether one of them takes level 1 or 2', () => {
    const all = [
      subscription('a', 'mqtt', undefined, 1, true),
      subscription('a', 'mqtt', undefined, 0, true),
      subscription('+', 'mqtt', undefined, 2, true),
      subscription('a', 'glob', undefined, 1, false),
    ];
    const match = routerOf(...all).match('a');
    expect(match.all).toEqual(all);
    expect(match.durable).toEqual([all[0], all[1], all[2]]);
    expect(match.keeps).toBe(true);
    expect(routerOf(subscription('a', 'mqtt', undefined, 0, true)).match('a').keeps).toBe(false);
  });

  it('lets nobody into a reserved area by a wildcard', () => {
    const router = routerOf(
      subscription('*', 'glob'),
      subscription('/_SYS*', 'glob'),
      subscription('*', 'segments'),
      subscription('**', 'segments'),
      subscription('/*/x', 'segments'),
      subscription('#', 'mqtt'),
      subscription('/#', 'mqtt'),
      subscription('+/x', 'mqtt'),
      subscription('/+/x', 'mqtt'),
    );
    for (const path of ['/_SYSTEM/x', '_SYSTEM/x', '/_HAVEN/x', '$SYS/x']) expect(router.match(path).all).toEqual([]);
    const spelled = [subscription('/_SYSTEM/*', 'glob'), subscription('/_SYSTEM/#', 'mqtt'), subscription('_SYSTEM/**', 'segments')];
    for (const each of spelled) router.subscribe(each);
    expect(router.match('/_SYSTEM/x').all).toEqual(spelled);
    expect(router.match('_SYSTEM/x').all).toEqual([spelled[2]]);
    expect(router.match('/_HAVEN/x').all).toEqual([]);
  });

  it('keeps a wildcard out of a reserved area also when it is alone', () => {
    const router = routerOf(subscription('#', 'mqtt'));
    expect(router.match('/_SYSTEM/x').all).toEqual([]);
    expect(router.match('/system/x').all).toHaveLength(1);
  });

  it('treats names of object properties as names', () => {
    const names = ['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toString'];
    const router = new Router();
    for (const name of names) expect(router.match(`${name}/${name}`).all).toEqual([]);
    for (const name of names) router.subscribe(subscription(`${name}/+`, 'mqtt'));
    for (const name of names) router.subscribe(subscription(name, 'segments'));
    for (const name of names) {
      expect(router.match(`${name}/${name}`).all.map((each) => each.pattern.text)).toEqual([`${name}/+`]);
      expect(router.match(`/${name}`).all.map((each) => each.pattern.text)).toEqual([name]);
    }
  });

  it('finds what comparing every pattern finds, through any history', () => {
    type Step = { readonly kind: 'subscribe'; readonly pattern: PatternText } | { readonly kind: 'unsubscribe'; readonly at: number };
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('subscribe' as const), pattern: anyPattern }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('unsubscribe' as const), at: fc.nat(40) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.array(anyPath, { minLength: 1, maxLength: 8 }), (steps, paths) => {
        const router = new Router();
        const living: Subscription[] = [];
        for (const each of steps) {
          if (each.kind === 'subscribe') {
            const { text, dialect, depth } = each.pattern;
            living.push(subscription(text, dialect, depth, 1, living.length % 2 === 0));
            router.subscribe(living.at(-1) as Subscription);
          } else if (living.length > 0) {
            const [ended] = living.splice(each.at % living.length, 1) as [Subscription];
            expect(router.unsubscribe(ended)).toBe(true);
          }
          // Every path after every step, so that each step meets kept matches.
          for (const path of paths) {
            const expected = naive(router, path);
            const match = router.match(path);
            expect(match.all).toEqual(expected);
            expect(match.durable).toEqual(expected.filter((one) => one.durable !== null));
          }
        }
      }),
      { numRuns: 400 },
    );
  });

  it('forgets what it kept when a subscription changes above, at or below the kept depth', () => {
    for (const [text, dialect] of [
      ['#', 'mqtt'],
      ['a/#', 'mqtt'],
      ['a/b/#', 'mqtt'],
      ['a/b/c/#', 'mqtt'],
      ['a/b/c/d/#', 'mqtt'],
      ['a/b/c/d/e', 'mqtt'],
      ['+/b/#', 'mqtt'],
      ['a*', 'glob'],
      ['a/b*', 'glob'],
      ['a/b/c/*', 'glob'],
      ['/a/b/**', 'segments'],
      ['/a/b/c/d/e', 'segments'],
      ['*', 'segments'],
    ] as [string, Dialect][]) {
      const router = routerOf(subscription('other/#', 'mqtt'));
      const one = subscription(text, dialect);
      expect(router.match('a/b/c/d/e').all).toEqual([]);
      router.subscribe(one);
      expect(router.match('a/b/c/d/e').all).toEqual([one]);
      router.unsubscribe(one);
      expect(router.match('a/b/c/d/e').all).toEqual([]);
    }
  });

  it('forgets what it kept of paths with an empty first level', () => {
    const router = routerOf(subscription('other/#', 'mqtt'));
    expect(router.match('//a/b').all).toEqual([]);
    const made = [subscription('//a/*', 'segments'), subscription('//a/+', 'mqtt'), subscription('//a/*', 'glob')];
    for (const [at, each] of made.entries()) {
      router.subscribe(each);
      expect(router.match('//a/b').all).toEqual(made.slice(0, at + 1));
    }
  });

  it('finds a path of any length', () => {
    const router = routerOf(subscription('#', 'mqtt'), subscription('a/*', 'glob'), subscription('**', 'segments', 100));
    const long = `a/${'b/'.repeat(60_000)}`;
    expect(router.match(long).all.map((each) => each.pattern.text)).toEqual(['#', 'a/*']);
    expect(router.match(`a/${'b'.repeat(100_000)}`).all).toHaveLength(3);
  });
});

describe('the cost of a match', () => {
  /** Nanoseconds per match of `path` when nothing is kept of it: the best of several rounds. */
  function coldCost(router: Router, paths: readonly string[]): number {
    const churn = subscription('#', 'mqtt');
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 15; round++) {
      router.subscribe(churn);
      router.unsubscribe(churn);
      const started = process.hrtime.bigint();
      for (const path of paths) router.match(path);
      best = Math.min(best, Number(process.hrtime.bigint() - started) / paths.length);
    }
    return best;
  }

  it.each([
    ['filters', 'mqtt', (i: number) => `plant/${i}/+/state`],
    ['filters with a leading wildcard', 'mqtt', (i: number) => `+/${i}/#`],
    ['segment patterns', 'segments', (i: number) => `/plant/${i}/**`],
    ['globs', 'glob', (i: number) => `/plant/${i}-*`],
    ['literals', 'glob', (i: number) => `/plant/${i}`],
  ] as [string, Dialect, (i: number) => string][])('does not grow with the number of %s', (_what, dialect, text) => {
    const paths = Array.from({ length: 2_000 }, (_, i) => `/plant/x${i}/line/state`);
    const few = routerOf(...Array.from({ length: 10 }, (_, i) => subscription(text(i), dialect)));
    const many = routerOf(...Array.from({ length: 20_000 }, (_, i) => subscription(text(i), dialect)));
    coldCost(few, paths);
    // A linear search would cost 2,000 times as much.
    expect(coldCost(many, paths)).toBeLessThan(coldCost(few, paths) * 8 + 2_000);
  });

  it('stays small while subscriptions come and go in great number at one place', () => {
    const router = new Router();
    const crowd = Array.from({ length: 20_000 }, () => subscription('all/#', 'mqtt'));
    const started = performance.now();
    for (const each of crowd) router.subscribe(each);
    for (const each of crowd) router.unsubscribe(each);
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(router.size).toBe(0);
  });
});

describe('the indexes', () => {
  function found(collect: (into: SubscriptionList[]) => void): string[] {
    const lists: SubscriptionList[] = [];
    collect(lists);
    return lists.flatMap((list) => list.match.all.map((each) => each.pattern.text)).sort();
  }

  it('leave nothing behind when everything is removed, in any order', () => {
    const wildcards = anyPattern.filter(({ text, dialect }) => parsePattern(text, dialect).form.type !== 'literal');
    fc.assert(
      fc.property(fc.uniqueArray(wildcards, { maxLength: 30 }), fc.infiniteStream(fc.nat(1_000)), (patterns, order) => {
        const [trie, tree] = [new LevelTrie(), new PrefixTree()];
        const made = patterns.map(({ text, dialect, depth }) => subscription(text, dialect, depth));
        for (const each of made) (each.pattern.form.type === 'glob' ? tree : trie).add(each.pattern, each);
        while (made.length > 0) {
          const [each] = made.splice((order.next().value as number) % made.length, 1) as [Subscription];
          (each.pattern.form.type === 'glob' ? tree : trie).remove(each.pattern, each);
        }
        expect([trie.empty, tree.empty]).toEqual([true, true]);
      }),
      { numRuns: 300 },
    );
  });

  it('split and join prefixes without losing a glob', () => {
    const tree = new PrefixTree();
    const texts = ['/plant/1*', '/plant/12*', '/plant/2*', '/pl*', '/x*', '*', '/plant/1*/b', '/plantation*'];
    const made = texts.map((text) => subscription(text, 'glob'));
    for (const each of made) tree.add(each.pattern, each);
    expect(found((into) => tree.collect('/plant/12/b', into))).toEqual(['*', '/pl*', '/plant/1*', '/plant/1*/b', '/plant/12*']);
    for (const each of made) {
      tree.remove(each.pattern, each);
      texts.shift();
      expect(found((into) => tree.collect('/plant/12/b', into))).toEqual(
        texts.filter((text) => parsePattern(text, 'glob').matches('/plant/12/b')).sort(),
      );
    }
  });

  it('survive the removal of what was never there', () => {
    const stranger = subscription('a/+/b', 'mqtt');
    const glob = subscription('a/b*', 'glob');
    const [trie, tree] = [new LevelTrie(), new PrefixTree()];
    trie.remove(stranger.pattern, stranger);
    tree.remove(glob.pattern, glob);
    expect([trie.empty, tree.empty]).toEqual([true, true]);
  });
});

describe('MatchCache', () => {
  const match = { ...NO_MATCH };

  it('drops the paths that were not asked for lately, at its bound', () => {
    const cache = new MatchCache();
    cache.set('asked', match, 0);
    cache.set('forgotten', match, 0);
    for (let i = 0; i < MATCH_CACHE_MAX_PATHS; i++) {
      cache.set(`p/${i}`, match, 0);
      expect(cache.get('asked')).toBe(match);
    }
    expect(cache.get('forgotten')).toBeUndefined();
    const kept = Array.from({ length: MATCH_CACHE_MAX_PATHS }, (_, i) => cache.get(`p/${i}`)).filter((each) => each !== undefined);
    expect(kept.length).toBeLessThanOrEqual(MATCH_CACHE_MAX_PATHS);
    expect(kept.length).toBeGreaterThanOrEqual(MATCH_CACHE_MAX_PATHS / 2 - 2);
  });

  it('forgets a path also when it was not asked for lately', () => {
    const cache = new MatchCache();
    cache.set('ended', match, 0);
    for (let i = 0; i < MATCH_CACHE_MAX_PATHS / 2; i++) cache.set(`p/${i}`, match, 0);
    cache.forgetPath('ended');
    expect(cache.get('ended')).toBeUndefined();
  });

  it('drops earlier when matches are large', () => {
    const cache = new MatchCache();
    for (let i = 0; i < 20; i++) cache.set(`p/${i}`, match, MATCH_CACHE_MAX_REFERENCES / 10);
    expect(Array.from({ length: 20 }, (_, i) => cache.get(`p/${i}`)).filter((each) => each !== undefined).length).toBeLessThanOrEqual(10);
  });

  it('keeps no long path', () => {
    const cache = new MatchCache();
    cache.set('a'.repeat(MATCH_CACHE_MAX_PATH_LENGTH + 1), match, 0);
    expect(cache.get('a'.repeat(MATCH_CACHE_MAX_PATH_LENGTH + 1))).toBeUndefined();
  });

  it('keeps what a change elsewhere does not concern', () => {
    const cache = new MatchCache();
    for (const path of ['a/b/c/d', '/a/b/x', 'a/y', 'z']) cache.set(path, match, 0);
    cache.forgetBelow('a/b/c');
    expect(['a/b/c/d', '/a/b/x', 'a/y', 'z'].map((path) => cache.get(path) !== undefined)).toEqual([false, true, true, true]);
    cache.forgetBelow('/a/b');
    expect(['/a/b/x', 'a/y', 'z'].map((path) => cache.get(path) !== undefined)).toEqual([false, true, true]);
    cache.forgetPath('a/y');
    expect(['a/y', 'z'].map((path) => cache.get(path) !== undefined)).toEqual([false, true]);
    cache.forgetBelow('');
    expect(cache.get('z')).toBeUndefined();
  });

  it('lets go of stale matches after many changes', () => {
    const cache = new MatchCache();
    cache.set('z', match, 0);
    for (let i = 0; i < MATCH_CACHE_MAX_CHANGES; i++) cache.forgetBelow('a/b');
    expect(cache.get('z')).toBeUndefined();
  });
});
