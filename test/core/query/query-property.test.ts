// Random criteria on random records: the outcome is that of a second, plain implementation; and whatever stands in a query, it
// is either taken or refused, and leaves no trace.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Entry } from '../../../src/core/data/entry.js';
import { json } from '../../../src/core/data/formats.js';
import { Payload, type Value } from '../../../src/core/data/payload.js';
import { RequestError } from '../../../src/core/errors.js';
import { parseQuery, type Query, type QueryInput } from '../../../src/core/query/query.js';
import { anyValue, jsonValue } from '../../support/values.js';
import { matchesPlainly } from './reference.js';

const RUNS = process.env.TRIVIUM_TEST_LONG === '1' ? 20_000 : 1_000;

const entryOf = (data: Value, path = '/p', time = 1): Entry => new Entry(path, Payload.fromValue(data, json), time, time, 1, '');

/** Few names and few values, so that they meet. */
const name = fc.constantFrom('a', 'b', 'c', 'a.b', 'a.b.c', 'b.0', 'a.1.b', 'c.0.0');
const scalar: fc.Arbitrary<Value> = fc.constantFrom<Value>(null, true, false, 0, 1, 2, -1, 1.5, '', 'x', 'y', '1');
const { value } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    { weight: 3, arbitrary: scalar },
    { weight: 1, arbitrary: fc.array(tie('value'), { maxLength: 3 }) },
    { weight: 1, arbitrary: fc.dictionary(fc.constantFrom('a', 'b', 'c', '0', '1'), tie('value'), { maxKeys: 3, noNullPrototype: true }) },
  ),
}));
const document = fc.dictionary(fc.constantFrom('a', 'b', 'c'), value, { maxKeys: 3, noNullPrototype: true });

const { criteria } = fc.letrec<{ criteria: Value; operators: Value }>((tie) => ({
  operators: fc
    .array(
      fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        fc.tuple(fc.constantFrom('$eq', '$ne'), value),
        fc.tuple(fc.constantFrom('$gt', '$gte', '$lt', '$lte'), fc.constantFrom<Value>(0, 1, 1.5, 'x', '1', true, false)),
        fc.tuple(fc.constantFrom('$in', '$nin', '$all'), fc.array(value, { maxLength: 3 })),
        fc.tuple(fc.constant('$exists'), fc.boolean()),
        fc.tuple(fc.constant('$size'), fc.nat(3)),
        fc.tuple(fc.constant('$not'), tie('operators')),
        fc.tuple(
          fc.constant('$elemMatch'),
          tie('criteria').filter((inner) => !Object.keys(inner as object).some((key) => key === '$not')),
        ),
      ),
      { minLength: 1, maxLength: 2 },
    )
    .map((pairs) => Object.fromEntries(pairs) as Value),
  criteria: fc
    .array(
      fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        fc.tuple(name, value),
        fc.tuple(name, tie('operators')),
        fc.tuple(fc.constantFrom('$and', '$or', '$nor'), fc.array(tie('criteria'), { maxLength: 2 })),
        fc.tuple(fc.constant('$not'), tie('criteria')),
      ),
      { minLength: 1, maxLength: 3 },
    )
    .map((pairs) => Object.fromEntries(pairs) as Value),
}));

const outcome = (input: QueryInput, entry: Entry): boolean | 'refused' => {
  try {
    return parseQuery(input).matches(entry);
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    return 'refused';
  }
};

describe('criteria', () => {
  test('match what a plain implementation finds', () => {
    let matched = 0;
    fc.assert(
      fc.property(criteria, document, (wanted, data) => {
        const found = outcome({ criteria: wanted }, entryOf(data));
        // Only nesting of more than eight levels is refused here.
        fc.pre(found !== 'refused');
        expect(found).toBe(matchesPlainly(wanted, data));
        matched += found ? 1 : 0;
      }),
      { numRuns: RUNS * 5 },
    );
    expect(matched).toBeGreaterThan(RUNS / 4);
  });

  test('see a record the same whether it comes as bytes or as a value', () => {
    fc.assert(
      fc.property(criteria, document, (wanted, data) => {
        const bytes = new Entry('/p', Payload.fromBytes(json.fromValue(data), json), 1, 1, 1, '');
        expect(outcome({ criteria: wanted }, bytes)).toBe(outcome({ criteria: wanted }, entryOf(data)));
      }),
      { numRuns: RUNS },
    );
  });

  test('that a record equals as a whole are found in it', () => {
    fc.assert(
      fc.property(anyValue, (whole) => {
        const found = outcome({ criteria: { field: { $eq: whole } } }, entryOf({ field: whole }));
        // Texts that are keys of objects themselves, or look like operators, are refused.
        if (found !== 'refused') expect(found).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
});

describe('the order', () => {
  const direction = fc.constantFrom<1 | -1>(1, -1);
  const sort = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'a.b', '_meta.created'), direction, {
    minKeys: 1,
    maxKeys: 3,
    noNullPrototype: true,
  });
  const entries = fc
    .array(fc.tuple(fc.oneof(document, anyValue), fc.nat(3)), { maxLength: 40 })
    .map((records) => records.map(([data, time], i) => entryOf(data, `/${String(i).padStart(3, '0')}`, time)));

  const selected = (query: Query, from: readonly Entry[]): Entry[] => {
    const search = query.begin();
    const selection = query.selection<Entry>();
    for (const entry of from) selection.add(entry, search.sortValues(entry));
    const reversed: Entry[] = [];
    for (let last = selection.takeLast(); last !== undefined; last = selection.takeLast()) reversed.push(last);
    return reversed.reverse();
  };

  test('is one order of all records: comparing is consistent', () => {
    fc.assert(
      fc.property(sort, entries, (by, records) => {
        const query = parseQuery({ sort: by });
        for (const a of records.slice(0, 6)) {
          for (const b of records.slice(0, 6)) {
            expect(Math.sign(query.compare(a, b))).toBe(0 - Math.sign(query.compare(b, a)));
            for (const c of records.slice(0, 6))
              if (query.compare(a, b) <= 0 && query.compare(b, c) <= 0) expect(query.compare(a, c)).toBeLessThanOrEqual(0);
          }
        }
      }),
      { numRuns: RUNS / 5 },
    );
  });

  test('of a selection is that of sorting them all, and keeps only as many as are wanted', () => {
    fc.assert(
      fc.property(sort, entries, fc.nat(10), fc.nat(5), (by, records, limit, skip) => {
        const query = parseQuery({ sort: by, limit, skip });
        const sorted = [...records].sort((a, b) => query.compare(a, b));
        const end = limit === 0 ? Number.POSITIVE_INFINITY : skip + limit;
        expect(selected(query, records)).toEqual(sorted.slice(0, end));
      }),
      { numRuns: RUNS },
    );
  });

  test('of equal ones is that in which they came', () => {
    const query = parseQuery({ sort: { a: -1 } });
    const records = Array.from({ length: 100 }, (_, i) => entryOf({ a: i % 3 }, `/${i}`));
    const paths = selected(query, records).map((entry) => Number(entry.path.slice(1)));
    const expected = [2, 1, 0].flatMap((rest) => Array.from({ length: 100 }, (_, i) => i).filter((i) => i % 3 === rest));
    expect(paths).toEqual(expected);
  });
});

describe('whatever stands in a query', () => {
  const operator = fc.constantFrom(
    ...[
      '$eq',
      '$ne',
      '$gt',
      '$gte',
      '$lt',
      '$lte',
      '$in',
      '$nin',
      '$exists',
      '$regex',
      '$options',
      '$size',
      '$type',
      '$contains',
      '$between',
    ],
    ...['$like', '$not', '$and', '$or', '$nor', '$all', '$mod', '$elemMatch', '$where', '$expr', '$function', '$nope', '$', '$binary'],
  );
  const key = fc.oneof(
    operator,
    fc.constantFrom('a', 'a.b', '', '.', 'path', '_meta.created', 'data.a', '_data.', '__proto__', 'constructor', 'prototype', 'toString'),
    fc.constantFrom('a.__proto__.x', '_data.constructor', 'data.prototype', 'hasOwnProperty', 'then', 'toJSON', 'length', 'value'),
    fc.string({ unit: 'binary', maxLength: 6 }),
  );
  const odd: fc.Arbitrary<unknown> = fc.oneof(
    jsonValue,
    fc.constantFrom<unknown>(
      undefined,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      /x/,
      new Date(Number.NaN),
      new Date(0),
      Symbol('s'),
      5n,
      () => 1,
    ),
    fc.constantFrom<unknown>(new Map(), new Set(), Object.create(null), Buffer.from('x'), ['(a+)+$', 'i'], '(?=a)', '[', 'a{9999}'),
  );
  const { anything } = fc.letrec<{ anything: unknown }>((tie) => ({
    anything: fc.oneof(
      { maxDepth: 6, withCrossShrink: true },
      odd,
      fc.array(tie('anything'), { maxLength: 4 }),
      fc.array(fc.tuple(key, tie('anything')), { maxLength: 4 }).map((members) => {
        const map: Record<string, unknown> = {};
        for (const [member, inner] of members) {
          Object.defineProperty(map, member, { value: inner, enumerable: true, writable: true, configurable: true });
        }
        return map;
      }),
    ),
  }));

  const prototypes = [Object.prototype, Array.prototype, Function.prototype, String.prototype, Map.prototype] as const;
  const shapeOf = (): string => JSON.stringify(prototypes.map((prototype) => Object.getOwnPropertyNames(prototype).sort()));

  test('is taken or refused as a request, and no prototype is changed', () => {
    const before = shapeOf();
    const entry = entryOf({ a: [{ b: 1 }, 'x', [2]], path: 'x', o: { b: 'y' } });
    let taken = 0;
    fc.assert(
      fc.property(anything, anything, anything, anything, anything, (criteria, fields, sort, limit, skip) => {
        for (const input of [
          { criteria },
          { fields },
          { sort },
          { limit, skip },
          { criteria, fields, sort, limit, skip },
          { count: limit },
        ]) {
          try {
            const query = parseQuery(input);
            expect(typeof query.matches(entry)).toBe('boolean');
            expect(query.compare(entry, entry)).toBe(0);
            expect(() => json.fromValue(query.project(entry).document)).not.toThrow();
            taken += 1;
          } catch (error) {
            if (!(error instanceof RequestError)) throw error;
            expect(['INVALID_REQUEST', 'LIMIT_EXCEEDED']).toContain(error.code);
            expect(error.message.length).toBeLessThan(1_500);
          }
        }
      }),
      { numRuns: RUNS * 2 },
    );
    expect(shapeOf()).toBe(before);
    expect(taken).toBeGreaterThan(RUNS / 4);
  });

  test('matches any record, as any value, with or without success', () => {
    fc.assert(
      fc.property(criteria, anyValue, (wanted, data) => {
        expect([true, false, 'refused']).toContain(
          outcome({ criteria: wanted, sort: { a: 1, 'b.c': -1 }, fields: { 'a.b': 1 } }, entryOf(data)),
        );
        parseQuery({ sort: { a: 1 } }).compare(entryOf(data, '/a'), entryOf({ a: data }, '/b'));
        parseQuery({ fields: { 'value.a': 1, a: 1, 'data.$binary': 1 } }).project(entryOf(data));
      }),
      { numRuns: RUNS },
    );
  });
});
