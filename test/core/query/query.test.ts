// What criteria, fields and sort mean, one case after the other. In `data` stands what a record holds as its body.

import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Entry } from '../../../src/core/data/entry.js';
import { json } from '../../../src/core/data/formats.js';
import { Payload, type Value } from '../../../src/core/data/payload.js';
import { RequestError } from '../../../src/core/errors.js';
import { parseQuery, type QueryInput } from '../../../src/core/query/query.js';
import { compareTexts } from '../../../src/core/query/values.js';
import { costMs } from '../../support/processor-time.js';

const CREATED = 1_700_000_000_000;
const MODIFIED = 1_700_000_100_000;

function entryOf(data: Value, path = '/a/b', author = ''): Entry {
  return new Entry(path, Payload.fromValue(data, json), CREATED, MODIFIED, 7, author);
}

const matches = (criteria: unknown, data: Value): boolean => parseQuery({ criteria }).matches(entryOf(data));

function refusal(input: QueryInput): string {
  try {
    parseQuery(input).begin();
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    expect((error as RequestError).code).toBe('INVALID_REQUEST');
    return (error as RequestError).message;
  }
  throw new Error(`was taken: ${JSON.stringify(input)}`);
}

const DATE = new Date('2024-02-03T04:05:06.789Z');
const ISO = '2024-02-03T04:05:06.789Z';

type Case = readonly [criteria: unknown, matching: readonly Value[], others: readonly Value[]];

const OPERATORS: Readonly<Record<string, readonly Case[]>> = {
  equality: [
    [{ a: 3 }, [{ a: 3 }, { a: [1, 3] }, { a: 3, b: 1 }], [{ a: '3' }, { a: [[3]] }, { a: { x: 3 } }, {}, { a: null }, 3]],
    [{ a: 'x' }, [{ a: 'x' }, { a: ['x'] }], [{ a: 'X' }, { a: 'xx' }]],
    [{ a: true }, [{ a: true }, { a: [false, true] }], [{ a: 1 }, { a: 'true' }, {}]],
    [{ a: null }, [{ a: null }, {}, { b: 1 }, { a: [1, null] }], [{ a: 0 }, { a: '' }, { a: false }, { a: [] }, { a: [1] }]],
    [{ a: [1, 2] }, [{ a: [1, 2] }, { a: [[1, 2], 5] }], [{ a: [2, 1] }, { a: [1] }, { a: [1, 2, 3] }, { a: 1 }]],
    [{ a: [] }, [{ a: [] }, { a: [[]] }], [{ a: [1] }, {}, { a: null }]],
    [{ o: { x: 1 } }, [{ o: { x: 1 } }, { o: [{ x: 1 }] }], [{ o: { x: 1, y: 2 } }, { o: {} }, { o: { x: '1' } }, {}]],
    [{ o: { x: 1, y: [2] } }, [{ o: { y: [2], x: 1 } }], [{ o: { x: 1, y: 2 } }]],
    [{ o: {} }, [{ o: {} }, { o: [{}] }], [{ o: { x: 1 } }, {}, { o: [] }]],
    [{ a: 0 }, [{ a: -0 }], [{ a: null }, {}, { a: false }]],
    [{ $and: [] }, [{}, { a: 1 }], []],
  ],
  'dotted names': [
    [{ 'a.b': 1 }, [{ a: { b: 1 } }, { a: [{ b: 1 }] }, { a: [{}, { b: [1] }] }], [{ a: 1 }, { 'a.b': 1 }, { a: [[{ b: 1 }]] }, {}]],
    [{ 'a.1': 5 }, [{ a: [0, 5] }, { a: { 1: 5 } }, { a: [{ 1: 5 }] }, { a: [0, [5]] }], [{ a: [5] }, { a: 5 }]],
    [{ 'a.0.b': 1 }, [{ a: [{ b: 1 }] }, { a: [[{ b: 1 }]] }], [{ a: [{}, { b: 1 }] }]],
    [{ 'a.b': null }, [{}, { a: {} }, { a: null }, { a: 5 }, { a: [{ b: 1 }, {}] }], [{ a: { b: 1 } }, { a: [] }, { a: [5] }]],
    [{ 'a.length': 2 }, [], [{ a: [1, 2] }, { a: 'xy' }]],
    [{ toString: null }, [{}, { toString: null }], [{ toString: 1 }]],
    [{ 'a.hasOwnProperty': { $exists: true } }, [{ a: { hasOwnProperty: 1 } }], [{ a: {} }, {}]],
    [{ '': 1 }, [{ '': 1 }], [{}]],
  ],
  $eq: [
    [{ a: { $eq: 3 } }, [{ a: 3 }, { a: [3] }], [{ a: 4 }, {}]],
    [{ a: { $eq: { x: 1 } } }, [{ a: { x: 1 } }], [{ a: { x: 2 } }]],
  ],
  $ne: [
    [{ a: { $ne: 3 } }, [{ a: 4 }, {}, { a: null }, { a: [1, 2] }, { a: '3' }], [{ a: 3 }, { a: [1, 3] }]],
    [{ a: { $ne: null } }, [{ a: 1 }, { a: [] }], [{}, { a: null }, { a: [null] }]],
  ],
  'less and greater': [
    [{ n: { $gt: 1 } }, [{ n: 2 }, { n: [0, 2] }], [{ n: 1 }, { n: '2' }, {}, { n: null }, { n: true }, { n: [] }, { n: { x: 2 } }]],
    [{ n: { $gte: 1 } }, [{ n: 1 }, { n: 2 }], [{ n: 0 }, {}, { n: null }, { n: true }]],
    [{ n: { $lt: 1 } }, [{ n: 0 }, { n: -5 }], [{}, { n: null }, { n: '' }, { n: false }, { n: 1 }]],
    [{ n: { $lte: 1 } }, [{ n: 1 }, { n: 0 }], [{}, { n: null }, { n: 2 }, { n: [2, 3] }]],
    [{ n: { $gt: 1, $lt: 3 } }, [{ n: 2 }, { n: [0, 9] }, { n: [1, 3] }], [{ n: 1 }, { n: 3 }, { n: [3, 4] }]],
    [{ s: { $gt: 'b' } }, [{ s: 'c' }, { s: 'ba' }], [{ s: 'b' }, { s: 'B' }, { s: 5 }, {}]],
    [{ s: { $lt: '\u{1F600}' } }, [{ s: '\uFFFD' }, { s: 'z' }], [{ s: '\u{1F601}' }]],
    [{ t: { $gte: false } }, [{ t: false }, { t: true }], [{ t: 0 }, {}]],
    [{ t: { $lt: true } }, [{ t: false }], [{ t: true }, { t: null }]],
    [{ n: { $gte: null } }, [{ n: null }, {}], [{ n: 0 }]],
    [{ n: { $gt: null } }, [], [{ n: null }, {}, { n: 1 }]],
    [{ l: { $gt: [1, 2] } }, [{ l: [1, 3] }, { l: [1, 2, 0] }, { l: [2] }], [{ l: [1, 2] }, { l: [0, 9] }, { l: 5 }]],
    [{ o: { $lt: { a: 2 } } }, [{ o: { a: 1 } }, { o: {} }], [{ o: { a: 2 } }, { o: { b: 1 } }, { o: 1 }]],
  ],
  $between: [
    [{ n: { $between: [1, 3] } }, [{ n: 1 }, { n: 2 }, { n: 3 }, { n: [9, 2] }], [{ n: 0 }, { n: 4 }, {}, { n: null }, { n: [0, 4] }]],
    [{ s: { $between: ['a', 'c'] } }, [{ s: 'a' }, { s: 'bz' }], [{ s: 'ca' }, { s: 2 }]],
  ],
  $in: [
    [{ a: { $in: [1, 'x', true] } }, [{ a: 1 }, { a: 'x' }, { a: true }, { a: [7, 'x'] }], [{ a: 2 }, { a: '1' }, {}, { a: null }]],
    [{ a: { $in: [null] } }, [{ a: null }, {}], [{ a: 0 }, { a: [] }]],
    [{ a: { $in: [[1], { x: 1 }] } }, [{ a: [1] }, { a: { x: 1 } }, { a: [{ x: 1 }] }], [{ a: 1 }, { a: { x: 2 } }]],
    [{ a: { $in: [] } }, [], [{ a: 1 }, {}]],
  ],
  $nin: [
    [{ a: { $nin: [1, 'x'] } }, [{ a: 2 }, {}, { a: null }, { a: [] }], [{ a: 1 }, { a: ['x', 5] }]],
    [{ a: { $nin: [null] } }, [{ a: 1 }], [{}, { a: null }]],
  ],
  $exists: [
    [{ a: { $exists: true } }, [{ a: null }, { a: 0 }, { a: [] }], [{}, { b: 1 }]],
    [{ a: { $exists: false } }, [{}, { b: 1 }], [{ a: null }, { a: 1 }]],
    [{ 'a.b': { $exists: true } }, [{ a: { b: null } }, { a: [{}, { b: 1 }] }], [{ a: 1 }, { a: [1] }, { a: [] }]],
    [{ 'a.b': { $exists: false } }, [{ a: 1 }, { a: [] }, {}], [{ a: { b: 1 } }]],
    [{ a: { $exists: 1 } }, [{ a: 1 }], [{}]],
  ],
  $type: [
    [{ a: { $type: 'string' } }, [{ a: 'x' }, { a: [1, 'x'] }], [{ a: 1 }, {}]],
    [{ a: { $type: 'number' } }, [{ a: 1 }, { a: 1.5 }], [{ a: '1' }]],
    [{ a: { $type: 'int' } }, [{ a: 1 }], [{ a: 1.5 }, { a: 2 ** 40 }]],
    [{ a: { $type: 18 } }, [{ a: 2 ** 40 }], [{ a: 1 }, { a: 0.5 }]],
    [{ a: { $type: 'double' } }, [{ a: 1.5 }], [{ a: 1 }]],
    [{ a: { $type: 'bool' } }, [{ a: false }], [{ a: 0 }]],
    [{ a: { $type: 'boolean' } }, [{ a: true }], [{ a: 'true' }]],
    [{ a: { $type: 'object' } }, [{ a: {} }, { a: [{}] }], [{ a: [] }, { a: null }]],
    [{ a: { $type: 'array' } }, [{ a: [] }, { a: [1] }], [{ a: {} }, { a: 'x' }]],
    [{ a: { $type: 'null' } }, [{ a: null }], [{}, { a: 0 }]],
    [{ a: { $type: 'undefined' } }, [{}], [{ a: null }]],
    [{ a: { $type: ['string', 10] } }, [{ a: 'x' }, { a: null }], [{ a: 1 }]],
  ],
  $regex: [
    [{ a: { $regex: '^b' } }, [{ a: 'bob' }, { a: ['x', 'by'] }], [{ a: 'Bob' }, { a: 'abc' }, { a: 5 }, {}, { a: null }]],
    [{ a: { $regex: ['^b', 'i'] } }, [{ a: 'Bob' }], [{ a: 'abc' }]],
    [{ a: { $regex: '^b', $options: 'i' } }, [{ a: 'Bob' }], [{ a: 'abc' }]],
    [{ a: { $options: 'i', $regex: '^b' } }, [{ a: 'Bob' }], []],
    [{ a: { $regex: 'b$' } }, [{ a: 'ab' }], [{ a: 'ba' }]],
    [{ a: { $regex: '^a.c$' } }, [{ a: 'abc' }], [{ a: 'abbc' }, { a: 'a\nc' }]],
    [{ a: { $regex: ['^a.c$', 's'] } }, [{ a: 'a\nc' }], []],
    [{ a: { $regex: ['^b', 'm'] } }, [{ a: 'a\nb' }], [{ a: 'ab' }]],
    [{ a: { $regex: ['.*SIMON.*', 'i'] } }, [{ a: 'x simon y' }], [{ a: 'peter' }]],
    [{ a: { $regex: '\\d+\\.\\d+' } }, [{ a: 'v1.5' }], [{ a: 'v15' }]],
    [{ a: { $regex: '' } }, [{ a: '' }, { a: 'x' }], [{ a: 1 }]],
  ],
  $like: [
    [{ a: { $like: 'b%' } }, [{ a: 'bob' }, { a: 'B' }, { a: 'b\nx' }], [{ a: 'abc' }, { a: 5 }, {}]],
    [{ a: { $like: '%.o_' } }, [{ a: 'x.ob' }], [{ a: 'xyob' }, { a: 'x.o' }]],
    [{ a: { $like: '50\\%' } }, [{ a: '50%' }], [{ a: '500' }]],
    [{ a: { $like: 'a(b' } }, [{ a: 'a(b' }], [{ a: 'ab' }]],
  ],
  $mod: [
    [{ n: { $mod: [4, 1] } }, [{ n: 5 }, { n: 1.9 }, { n: [2, 9] }], [{ n: 4 }, { n: '5' }, {}, { n: null }]],
    [{ n: { $mod: [-3, -1] } }, [{ n: -4 }], [{ n: 4 }]],
  ],
  $size: [
    [{ a: { $size: 2 } }, [{ a: [1, 2] }], [{ a: [1] }, { a: 2 }, { a: 'xy' }, { a: [[1, 2]] }, {}]],
    [{ a: { $size: 0 } }, [{ a: [] }], [{}, { a: null }]],
    [{ a: { $size: { $gte: 2 } } }, [{ a: [1, 2, 3] }], [{ a: [1] }, { a: 5 }]],
  ],
  $contains: [
    [{ a: { $contains: 'x' } }, [{ a: ['x', 'y'] }, { a: 'axb' }, { a: { x: 1 } }], [{ a: ['axb'] }, { a: 'y' }, { a: {} }, {}, { a: 5 }]],
    [{ a: { $contains: ['x', 'y'] } }, [{ a: ['y', 'z', 'x'] }, { a: 'yx' }, { a: { x: 1, y: 2 } }], [{ a: ['x'] }, { a: 'x' }]],
    [{ a: { $contains: 3 } }, [{ a: [1, 3] }], [{ a: '3' }, { a: 3 }, { a: { 3: 1 } }]],
    [{ a: { $contains: 'toString' } }, [], [{ a: {} }]],
  ],
  $all: [
    [{ a: { $all: [1, 2] } }, [{ a: [2, 3, 1] }], [{ a: [1] }, { a: 1 }, {}]],
    [{ a: { $all: [1] } }, [{ a: 1 }, { a: [1] }], [{ a: 2 }]],
    [{ a: { $all: [[1, 2]] } }, [{ a: [1, 2] }, { a: [[1, 2]] }], [{ a: [2, 1] }]],
    [{ a: { $all: [] } }, [], [{ a: [] }, { a: 1 }]],
    [{ a: { $all: [{ $elemMatch: { x: 1 } }, { $elemMatch: { x: 2 } }] } }, [{ a: [{ x: 2 }, { x: 1 }] }], [{ a: [{ x: 1 }] }]],
  ],
  $elemMatch: [
    [{ a: { $elemMatch: { x: 1, y: 2 } } }, [{ a: [{ x: 1, y: 2 }] }], [{ a: [{ x: 1 }, { y: 2 }] }, { a: { x: 1, y: 2 } }, { a: [] }, {}]],
    [{ a: { $elemMatch: { 'x.z': { $gt: 1 } } } }, [{ a: [{ x: { z: 2 } }] }, { a: [5, { x: [{ z: 3 }] }] }], [{ a: [{ x: 2 }] }]],
    [{ a: { $elemMatch: { $gt: 1, $lt: 3 } } }, [{ a: [0, 2] }], [{ a: [0, 9] }, { a: 2 }, { a: [[2]] }]],
    [{ a: { $elemMatch: { data: 1 } } }, [{ a: [{ data: 1 }] }], [{ a: [1] }]],
    [{ a: { $elemMatch: { path: 'p' } } }, [{ a: [{ path: 'p' }] }], [{ a: [{}] }]],
    [{ a: { $elemMatch: { $or: [{ x: 1 }, { y: 1 }] } } }, [{ a: [{ y: 1 }] }], [{ a: [{ x: 2 }] }, { a: [1] }]],
    [{ a: { $elemMatch: { $elemMatch: { $gt: 4 } } } }, [{ a: [[1, 5]] }], [{ a: [5] }]],
    [{ a: { $elemMatch: { 0: 5 } } }, [{ a: [[5]] }, { a: [{ 0: 5 }] }], [{ a: [[1, 5]] }]],
    [{ a: { $elemMatch: {} } }, [{ a: [{}] }, { a: [[]] }], [{ a: [1] }, { a: [] }]],
  ],
  $not: [
    [{ a: { $not: { $gt: 1 } } }, [{ a: 1 }, {}, { a: 'x' }, { a: null }], [{ a: 2 }, { a: [0, 2] }]],
    [{ a: { $not: { $regex: '^b' } } }, [{ a: 'ab' }, {}, { a: 5 }], [{ a: 'b' }]],
    [{ $not: { a: 1 } }, [{ a: 2 }, {}], [{ a: 1 }]],
    [{ $not: { a: 1, b: 2 } }, [{ a: 1 }, { b: 2 }], [{ a: 1, b: 2 }]],
  ],
  'and, or, nor': [
    [{ $and: [{ a: 1 }, { b: 2 }] }, [{ a: 1, b: 2 }], [{ a: 1 }, { b: 2 }]],
    [{ $or: [{ a: 1 }, { b: 2 }] }, [{ a: 1 }, { b: 2 }], [{}, { a: 2 }]],
    [{ $nor: [{ a: 1 }, { b: 2 }] }, [{}, { a: 2, b: 1 }], [{ a: 1 }, { b: 2 }]],
    [{ $or: [] }, [], [{}]],
    [
      { $or: [{ $and: [{ a: 1 }, { b: { $in: [2] } }] }, { c: 3 }], d: 4 },
      [
        { a: 1, b: 2, d: 4 },
        { c: 3, d: 4 },
      ],
      [{ c: 3 }, { d: 4 }],
    ],
    [{ n: { $or: [{ $lt: 1 }, { $gt: 5 }] } }, [{ n: 0 }, { n: 6 }], [{ n: 3 }, {}]],
    [{ n: { $and: [{ $gt: 1 }, { $lt: 5 }] } }, [{ n: 3 }], [{ n: 5 }]],
    [{ n: { $nor: [{ $lt: 1 }, { $gt: 5 }] } }, [{ n: 3 }, {}], [{ n: 0 }]],
  ],
  'values that are no maps': [
    [{ value: 5 }, [5, { value: 5 }, [5]], [6, {}, '5']],
    [{ value: { $size: 2 } }, [[1, 2]], [[1], 'xy']],
    [{ value: null }, [null, {}], [0]],
    [{ 'data.value': 'x' }, ['x'], ['y']],
  ],
  dates: [
    [{ at: ISO }, [{ at: DATE }, { at: ISO }], [{ at: new Date(0) }, {}]],
    [{ at: DATE.getTime() }, [{ at: DATE }, { at: DATE.getTime() }], [{ at: ISO }]],
    [{ at: DATE }, [{ at: DATE }, { at: ISO }, { at: DATE.getTime() }], [{ at: 0 }, {}]],
    [{ at: { $gt: '2024' } }, [{ at: DATE }, { at: ISO }], [{ at: new Date(0) }, { at: DATE.getTime() }]],
    [{ at: { $gte: DATE } }, [{ at: DATE }, { at: ISO }, { at: DATE.getTime() }, { at: '2025' }], [{ at: '2023' }, { at: 1 }, {}]],
    [{ at: { $lt: DATE.getTime() } }, [{ at: new Date(5) }, { at: 5 }], [{ at: DATE }, { at: '1970' }]],
    [{ at: { $in: [ISO] } }, [{ at: DATE }], [{ at: new Date(0) }]],
    [{ at: { $in: [DATE] } }, [{ at: ISO }], [{ at: 'x' }]],
    [{ at: { $type: 'date' } }, [{ at: DATE }], [{ at: ISO }]],
    [{ at: { $type: 'string' } }, [{ at: DATE }, { at: ISO }], [{ at: 5 }]],
    [{ at: { $regex: '^2024-02' } }, [{ at: DATE }, { at: ISO }], [{ at: new Date(0) }]],
    [{ o: { at: DATE } }, [{ o: { at: DATE } }, { o: { at: ISO } }], [{ o: {} }]],
    [{ at: null }, [{ at: new Date(Number.NaN) }], [{ at: DATE }]],
    [{ at: new Date(Number.NaN) }, [{ at: null }, {}], [{ at: 0 }]],
  ],
  bytes: [
    [{ '$binary.base64': 1 }, [], []],
    [{ 'data.$binary.base64': 'aGk=' }, [Buffer.from('hi')], [Buffer.from('ho'), {}]],
    [{ photo: { $binary: { base64: 'aGk=', subType: '00' } } }, [{ photo: Buffer.from('hi') }], [{ photo: Buffer.from('ho') }, {}]],
    [{ photo: Buffer.from('hi') }, [{ photo: Buffer.from('hi') }], [{ photo: 'hi' }]],
    [{ 'photo.$binary.subType': '00' }, [{ photo: Buffer.from('hi') }], [{ photo: 'hi' }]],
    [{ photo: { $type: 'binData' } }, [{ photo: Buffer.from('hi') }], [{ photo: 'hi' }]],
  ],
};

describe.each(Object.entries(OPERATORS).filter(([name]) => name !== 'bytes'))('%s', (_, cases) => {
  test.each(cases.map(([criteria, yes, no]) => [JSON.stringify(criteria), criteria, yes, no] as const))(
    '%s',
    (_text, criteria, yes, no) => {
      for (const data of yes) expect(matches(criteria, data), JSON.stringify(data)).toBe(true);
      for (const data of no) expect(matches(criteria, data), JSON.stringify(data)).toBe(false);
    },
  );
});

describe('bytes', () => {
  test.each((OPERATORS.bytes as readonly Case[]).slice(1))('%j', (criteria, yes, no) => {
    for (const data of yes) expect(matches(criteria, data)).toBe(true);
    for (const data of no) expect(matches(criteria, data)).toBe(false);
  });
});

describe('names', () => {
  const entry = entryOf({ name: 'anna', data: { name: 'inner' }, path: 'own', _meta: { path: 'x' }, timestamp: 5 }, '/users/a', 'bob');
  test.each<[unknown, boolean]>([
    [{ path: '/users/a' }, true],
    [{ path: 'own' }, false],
    [{ '_meta.path': '/users/a' }, true],
    [{ 'data.path': 'own' }, true],
    [{ '_data.path': 'own' }, true],
    [{ created: CREATED }, true],
    [{ '_meta.created': { $lte: CREATED } }, true],
    [{ '_meta.modified': { $gt: CREATED } }, true],
    [{ modified: { $between: [MODIFIED, MODIFIED] } }, true],
    [{ modifiedBy: 'bob' }, true],
    [{ '_meta.modifiedBy': 'bob' }, true],
    [{ _id: '/users/a' }, true],
    [{ timestamp: { $exists: false } }, true],
    [{ 'data.timestamp': 5 }, true],
    [{ createdBy: null }, true],
    [{ '_meta.other': null }, true],
    [{ '_meta.other': { $exists: true } }, false],
    [{ _meta: { path: '/users/a', created: CREATED, modified: MODIFIED, modifiedBy: 'bob' } }, true],
    [{ name: 'anna' }, true],
    [{ 'data.name': 'anna' }, true],
    [{ 'data.data.name': 'inner' }, true],
    [{ '_data.data.name': 'inner' }, true],
    [{ data: { name: 'inner' } }, true],
    [{ 'path.x': null }, true],
  ])('%j: %s', (criteria, expected) => {
    expect(parseQuery({ criteria }).matches(entry)).toBe(expected);
  });

  test('of an author that nobody was do not exist', () => {
    expect(parseQuery({ criteria: { modifiedBy: { $exists: false } } }).matches(entryOf({}))).toBe(true);
  });
});

/** Cases under a title of their own. */
const titled = <Row extends readonly unknown[]>(rows: readonly Row[]): (readonly [string, ...Row])[] =>
  rows.map((row) => [inspect(row[0], { breakLength: Number.POSITIVE_INFINITY, depth: 3 }).slice(0, 100), ...row]);

const nested = (depth: number): unknown => (depth === 1 ? { a: 1 } : { $and: [nested(depth - 1)] });

describe('refuses', () => {
  test.each(
    titled<[unknown, RegExp]>([
      [{ $where: 'return true' }, /operator \$where is not supported/],
      [{ a: { $where: 'return true' } }, /operator \$where is not supported/],
      [{ $expr: {} }, /\$expr/],
      [{ a: { $nope: 1 } }, /operator \$nope is not supported/],
      [{ $gt: 1 }, /\$gt must stand below a field name/],
      [{ $all: [1] }, /\$all must stand below a field name/],
      [{ a: { $gt: 1, b: 2 } }, /beside a name \(b\)/],
      [{ a: { b: { $gt: 1 } } }, /\$gt stands where a value is expected/],
      [{ a: [{ $gt: 1 }] }, /\$gt stands where a value is expected/],
      [{ a: { $in: [{ $gt: 1 }] } }, /\$gt stands where a value is expected/],
      [{ a: { $gt: { $gt: 1 } } }, /\$gt stands where a value is expected/],
      [{ a: { $all: [{ $gt: 1 }] } }, /\$gt stands where a value is expected/],
      [{ a: { $in: 5 } }, /\$in takes a list/],
      [{ a: { $in: { 0: 1 } } }, /\$in takes a list/],
      [{ a: { $nin: 'x' } }, /\$nin takes a list/],
      [{ a: { $all: 1 } }, /\$all takes a list/],
      [{ a: { $between: [1] } }, /\$between takes/],
      [{ a: { $between: 5 } }, /\$between takes a list/],
      [{ a: { $mod: [0, 1] } }, /divisor of \$mod is zero/],
      [{ a: { $mod: [0.5, 1] } }, /divisor of \$mod is zero/],
      [{ a: { $mod: [3] } }, /\$mod takes/],
      [{ a: { $mod: ['3', 1] } }, /\$mod takes/],
      [{ a: { $size: -1 } }, /\$size takes/],
      [{ a: { $size: '2' } }, /\$size takes/],
      [{ a: { $size: 1.5 } }, /\$size takes/],
      [{ a: { $size: {} } }, /\$size below a field name takes operators/],
      [{ a: { $exists: 'yes' } }, /\$exists takes true or false/],
      [{ a: { $type: 'text' } }, /\$type knows no such type: text/],
      [{ a: { $type: null } }, /\$type knows no such type: object/],
      [{ a: { $type: [5n] } }, /\$type knows no such type: bigint/],
      [{ a: { $not: 5 } }, /\$not below a field name takes operators/],
      [{ a: { $not: { b: 1 } } }, /\$not below a field name takes operators/],
      [{ a: { $or: [{ b: 1 }] } }, /\$or below a field name takes operators/],
      [{ $or: { a: 1 } }, /\$or takes a list/],
      [{ $or: [5] }, /an item of \$or must be an object/],
      [{ $and: [[]] }, /an item of \$and must be an object/],
      [{ $not: [{ a: 1 }] }, /\$not must be an object/],
      [{ a: { $elemMatch: 5 } }, /\$elemMatch must be an object/],
      [{ a: { $elemMatch: { $nope: 1 } } }, /operator \$nope is not supported/],
      [{ a: { $regex: { a: 1 } } }, /^\$regex parameter value must be an Array or a string$/],
      [{ a: { $regex: [5] } }, /\$regex takes a text/],
      [{ a: { $regex: ['a', 5] } }, /flags of \$regex must be a text/],
      [{ a: { $regex: ['a', 'x'] } }, /flag x of \$regex is not supported/],
      [{ a: { $regex: '(' } }, /\$regex: .*missing closing/],
      [{ a: { $regex: '(?=x)' } }, /look-ahead and look-behind are not supported/],
      [{ a: { $regex: '(?<!x)y' } }, /look-ahead and look-behind are not supported/],
      [{ a: { $regex: '(a)\\1' } }, /back-references are not supported/],
      [{ a: { $regex: '(?<n>a)\\k<n>' } }, /back-references are not supported/],
      [{ a: { $regex: '(?:a{1000}){2}' } }, /repeat|instructions/],
      [{ a: { $options: 'i' } }, /\$options stands without \$regex/],
      [{ a: { $like: 5 } }, /\$like takes a text/],
      [{ a: Number.NaN }, /no value/],
      [{ a: () => true }, /no value: function/],
      [{ a: undefined }, /no value: undefined/],
      [{ a: /x/ }, /use \$regex/],
      [{ a: 1n }, /no value: bigint/],
      [JSON.parse('{"__proto__": {"a": 1}}'), /key __proto__ is not allowed/],
      [{ constructor: 1 }, /key constructor is not allowed/],
      [{ 'a.prototype.b': 1 }, /key prototype is not allowed/],
      [{ '_data.__proto__': 1 }, /key __proto__ is not allowed/],
      [{ a: JSON.parse('{"b": {"__proto__": 1}}') }, /key __proto__ is not allowed/],
      [{ a: { $elemMatch: { 'x.constructor': 1 } } }, /key constructor is not allowed/],
      ['x', /criteria must be an object/],
      [[], /criteria must be an object/],
      [5, /criteria must be an object/],
      [new Date(), /criteria must be an object/],
      [{ [`a${'.b'.repeat(40)}`]: 1 }, /more than 32 parts/],
      [{ ['x'.repeat(2_000)]: 1 }, /longer than 1024/],
      [nested(9), /deeper than 8 levels/],
      [{ $or: Array.from({ length: 100 }, () => ({ a: 1 })) }, /more than 100 terms/],
      [{ a: { $in: Array.from({ length: 10_001 }, (_, i) => i) } }, /more than 10000 values/],
      [Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`f${i}`, { $regex: 'x' }])), /more than 10 expressions/],
      [{ a: { $regex: 'x'.repeat(1_001) } }, /longer than 1000 characters/],
      [{ a: { $like: 'x'.repeat(1_001) } }, /longer than 1000 characters/],
    ]),
  )('the criteria %s', (_title, criteria, text) => {
    expect(refusal({ criteria })).toMatch(text);
  });

  test('values that are nested without end', () => {
    const list: unknown[] = [];
    list.push(list);
    expect(refusal({ criteria: { a: list } })).toMatch(/deeper than 32 levels/);
    const map: Record<string, unknown> = {};
    map.a = map;
    expect(refusal({ criteria: map })).toMatch(/deeper/);
    const logical: Record<string, unknown> = {};
    logical.$and = [logical];
    expect(refusal({ criteria: logical })).toMatch(/deeper than 8 levels/);
    const not: Record<string, unknown> = {};
    not.$not = not;
    expect(refusal({ criteria: { a: not } })).toMatch(/deeper than 8 levels/);
  });

  test.each(
    titled<[QueryInput, RegExp]>([
      [{ limit: -1 }, /limit must be a whole number/],
      [{ limit: '5' }, /limit must be a whole number/],
      [{ skip: 1.5 }, /skip must be a whole number/],
      [{ count: 1 }, /count must be true or false/],
      [{ pathsOnly: 'yes' }, /pathsOnly must be true or false/],
      [{ sort: 'name' }, /sort must be an object/],
      [{ sort: ['name'] }, /sort must be an object/],
      [{ sort: { a: 2 } }, /takes 1 \(ascending\) or -1/],
      [{ sort: { a: '1' } }, /takes 1 \(ascending\) or -1/],
      [{ sort: { a: { $meta: 'x' } } }, /takes 1/],
      [{ sort: { $a: 1 } }, /operator \$a/],
      [{ sort: { 'x.__proto__': 1 } }, /__proto__/],
      [{ sort: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`f${i}`, 1])) }, /more than 32 fields/],
      [{ fields: 'name' }, /fields must be an object/],
      [{ fields: ['name'] }, /fields must be an object/],
      [{ fields: { a: 0 } }, /can only be named to be shown/],
      [{ fields: { a: { $slice: 1 } } }, /can only be named to be shown/],
      [{ fields: { $a: 1 } }, /operator \$a/],
      [{ fields: { constructor: 1 } }, /constructor/],
      [{ fields: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`f${i}`, 1])) }, /more than 100 names/],
      [{ aggregate: [] } as QueryInput, /a query has no aggregate/],
    ]),
  )('%s', (_title, input, text) => {
    expect(refusal(input)).toMatch(text);
  });
});

describe('a query', () => {
  test('of nothing wants everything as it is', () => {
    for (const input of [
      {},
      { criteria: {}, fields: {}, sort: {} },
      { criteria: null, fields: null, sort: null, limit: null, skip: null },
    ]) {
      const query = parseQuery(input);
      expect(query).toMatchObject({ limit: Number.POSITIVE_INFINITY, skip: 0, count: false, pathsOnly: false });
      expect([query.hasCriteria, query.isSorted, query.hasFields]).toEqual([false, false, false]);
      expect(query.matches(entryOf(5))).toBe(true);
    }
  });

  test('with the limit 0 wants all', () => {
    expect(parseQuery({ limit: 0 }).limit).toBe(Number.POSITIVE_INFINITY);
    expect(parseQuery({ limit: 3, skip: 2 })).toMatchObject({ limit: 3, skip: 2 });
  });

  test('keeps nothing of what it was made from', () => {
    const criteria = { a: { $in: [1] }, o: { x: [1] } };
    const query = parseQuery({ criteria });
    criteria.a.$in.push(2);
    criteria.o.x.push(2);
    expect(query.matches(entryOf({ a: 1, o: { x: [1] } }))).toBe(true);
    expect(query.matches(entryOf({ a: 2, o: { x: [1] } }))).toBe(false);
  });

  test('does not make a record keep what it looked at', () => {
    const payload = Payload.fromBytes(Buffer.from('{"a":1}'), json);
    const entry = new Entry('/p', payload, 1, 2, 3, '');
    expect(parseQuery({ criteria: { a: 1 } }).matches(entry)).toBe(true);
    expect(payload.look()).not.toBe(payload.look());
  });

  test('that asks for the meta of records never reads their bodies', () => {
    const broken = new Entry('/p', Payload.fromBytes(Buffer.from('not json'), json), 1, 2, 3, '');
    const query = parseQuery({ criteria: { '_meta.created': { $gte: 0 } }, sort: { path: -1 }, fields: { '_meta.path': 1 } });
    expect(query.matches(broken)).toBe(true);
    expect(query.project(broken)).toEqual({ document: {}, meta: { path: '/p' } });
  });
});

describe('fields', () => {
  const data = { name: 'anna', age: 30, region: { name: 'North', code: 5 }, list: [{ a: 1, b: 2 }, 5, [{ a: 3 }], { b: 4 }], value: null };
  const meta = { path: '/a/b', created: CREATED, modified: MODIFIED };
  const project = (fields: unknown, of: Value = data): unknown => parseQuery({ fields }).project(entryOf(of));

  test.each<[Record<string, unknown>, unknown, unknown]>([
    [{ name: 1 }, { name: 'anna' }, {}],
    [{ age: true, name: 1 }, { name: 'anna', age: 30 }, {}],
    [{ 'region.name': 1, '_meta.created': 1 }, { region: { name: 'North' } }, { created: CREATED }],
    [{ 'data.name': 1 }, { name: 'anna' }, {}],
    [{ '_data.region.code': 1, path: 1 }, { region: { code: 5 } }, { path: '/a/b' }],
    [{ region: 1, 'region.name': 1 }, { region: data.region }, {}],
    [{ 'region.name': 1, region: 1 }, { region: data.region }, {}],
    [{ 'region.name': 1, 'region.code': 1 }, { region: data.region }, {}],
    [{ 'list.a': 1 }, { list: [{ a: 1 }, [{ a: 3 }], {}] }, {}],
    [{ 'name.x': 1, none: 1 }, {}, {}],
    [{ value: 1 }, { value: null }, {}],
    [{ _meta: 1 }, {}, meta],
    [{ _id: 1 }, {}, { _id: '/a/b' }],
    [{ _id: 0, name: 1 }, { name: 'anna' }, {}],
    [{ toString: 1, timestamp: 1, '_meta.other': 1 }, {}, {}],
  ])('%j', (fields, document, shown) => {
    expect(project(fields)).toEqual({ document, meta: shown });
  });

  test('of a value that is no map are those of its document', () => {
    expect(project({ value: 1 }, 5)).toEqual({ document: { value: 5 }, meta: {} });
    expect(project({ other: 1 }, 5)).toEqual({ document: {}, meta: {} });
  });

  test('of paths only are none', () => {
    expect(parseQuery({ pathsOnly: true }).project(entryOf(data))).toEqual({ document: null, meta: { path: '/a/b' } });
  });

  test('are all when none are asked for', () => {
    expect(parseQuery({}).project(entryOf(data))).toEqual({ document: data, meta });
    expect(parseQuery({}).project(entryOf(5, '/p', 'bob'))).toEqual({
      document: { value: 5 },
      meta: { ...meta, path: '/p', modifiedBy: 'bob' },
    });
  });
});

describe('sort', () => {
  const order = (sort: Record<string, 1 | -1>, values: readonly Value[]): Value[] => {
    const query = parseQuery({ sort });
    return values
      .map((value, i) => entryOf(value, `/${String(i).padStart(3, '0')}`))
      .sort((a, b) => query.compare(a, b))
      .map((entry) => entry.payload.value());
  };

  test('puts kinds of values one behind the other', () => {
    const values: Value[] = [{ a: true }, { a: [] }, { a: { x: 1 } }, { a: 'x' }, { a: 5 }, { a: null }, {}, { a: false }, { a: -1 }];
    expect(order({ a: 1 }, values)).toEqual([
      { a: [] },
      { a: null },
      {},
      { a: -1 },
      { a: 5 },
      { a: 'x' },
      { a: { x: 1 } },
      { a: false },
      { a: true },
    ]);
  });

  /** All alike but for the member that counts last; the keys stand in no order. */
  const mapOf = (size: number, last: number): Value =>
    Object.fromEntries(
      Array.from({ length: size }, (_, i) => [`k${String((i * 7_919) % size).padStart(6, '0')}`, i === 0 ? 0 : 1]).concat([['l', last]]),
    );

  test('by large maps puts the members of each in their order once', () => {
    const query = parseQuery({ sort: { a: 1 } });
    const entries = Array.from({ length: 32 }, (_, n) => entryOf({ a: mapOf(2_000, 32 - n) }, `/${n}`));
    const once = costMs(() => {
      for (const entry of entries) Object.keys((entry.payload.value() as { a: object }).a).sort(compareTexts);
    });
    const sorting = costMs(() => {
      const [search, selection] = [query.begin(), query.selection<Entry>()];
      for (const entry of entries) selection.add(entry, search.sortValues(entry));
      for (let n = 0; n < 32; n++) expect(selection.takeLast()?.path).toBe(`/${n}`);
    });
    expect(sorting).toBeLessThan(once * 5);
  });

  test('by a map that is too large for that is refused', () => {
    const query = parseQuery({ sort: { a: 1 } });
    const sortValues = (size: number) => query.begin().sortValues(entryOf({ a: { deep: [mapOf(size, 0)] } }));
    expect(sortValues(10_000)).toHaveLength(1);
    expect(() => sortValues(40_000)).toThrow(/takes more than 250000 steps/);
  });

  test('takes the keys in their order, each in its direction, and the path last', () => {
    const values: Value[] = [
      { a: 1, b: 1, n: 0 },
      { a: 2, b: 1, n: 1 },
      { a: 1, b: 2, n: 2 },
      { a: 1, b: 2, n: 3 },
    ];
    expect(order({ a: 1, b: -1 }, values).map((value) => (value as { n: number }).n)).toEqual([2, 3, 0, 1]);
    expect(order({ b: -1, a: 1 }, values).map((value) => (value as { n: number }).n)).toEqual([2, 3, 0, 1]);
    expect(order({ path: -1 }, values).map((value) => (value as { n: number }).n)).toEqual([3, 2, 1, 0]);
  });

  test('takes the least item of a list, descending the greatest', () => {
    expect(order({ a: 1 }, [{ a: [5, 1] }, { a: 3 }, { a: [2, 9] }])).toEqual([{ a: [5, 1] }, { a: [2, 9] }, { a: 3 }]);
    expect(order({ a: -1 }, [{ a: [5, 1] }, { a: 6 }, { a: [2, 9] }])).toEqual([{ a: [2, 9] }, { a: 6 }, { a: [5, 1] }]);
    expect(order({ 'a.b': 1 }, [{ a: [{ b: 5 }] }, { a: [{ b: 9 }, { b: 2 }] }])).toEqual([{ a: [{ b: 9 }, { b: 2 }] }, { a: [{ b: 5 }] }]);
  });

  test('takes dates as their ISO texts', () => {
    expect(order({ a: 1 }, [{ a: DATE }, { a: '2023' }, { a: '2025' }])).toEqual([{ a: '2023' }, { a: DATE }, { a: '2025' }]);
  });
});

describe('one record', () => {
  const long = entryOf({ list: Array.from({ length: 60_000 }, (_, i) => ({ x: i })), text: 'a'.repeat(2_000_000) });
  const limit = (criteria: unknown): string => {
    try {
      parseQuery({ criteria }).matches(long);
    } catch (error) {
      return (error as RequestError).code;
    }
    return 'done';
  };

  test('that takes too many steps ends the query, with the figures', () => {
    const criteria = { $or: Array.from({ length: 10 }, (_, i) => ({ 'list.x': -i - 1 })) };
    expect(() => parseQuery({ criteria }).matches(long)).toThrow(/record at \/a\/b .* more than 250000 steps/);
    expect(limit(criteria)).toBe('LIMIT_EXCEEDED');
  });

  test('counts for itself, and not for those before it', () => {
    const search = parseQuery({ criteria: { 'list.x': -1 } }).begin();
    for (let i = 0; i < 20; i++) expect(search.matches(long)).toBe(false);
    expect(search.steps).toBeGreaterThan(250_000);
  });

  test.each<[unknown, string]>([
    [{ text: { $regex: '^aab$' } }, 'done'],
    [{ text: { $regex: '^b' } }, 'done'],
    [{ text: { $regex: 'ab' } }, 'LIMIT_EXCEEDED'],
    [{ text: { $regex: '(a+)+$' } }, 'LIMIT_EXCEEDED'],
    [{ text: { $contains: 'ab' } }, 'LIMIT_EXCEEDED'],
    [{ 'list.x': { $contains: 'y' } }, 'done'],
    [{ list: { $elemMatch: { x: { $in: [{}, []] } } } }, 'done'],
  ])('with %j: %s', (criteria, expected) => {
    expect(limit(criteria)).toBe(expected);
  });
});
