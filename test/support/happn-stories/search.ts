// Stories of searches: criteria, fields, order, pages.

import { expect } from 'vitest';
import { found, type Item, items, request, type Stage, stories } from './stage.js';

const PEOPLE: readonly Record<string, unknown>[] = [
  { n: 1, name: 'Ada', age: 36, town: { name: 'London' }, skills: ['math', 'poetry'], rows: [{ a: 1, b: 9 }] },
  {
    n: 2,
    name: 'Bob',
    age: 20,
    town: { name: 'Paris' },
    skills: ['math'],
    rows: [
      { a: 1, b: 2 },
      { a: 5, b: 9 },
    ],
  },
  { n: 3, name: 'cyd', age: 51, town: { name: 'London' }, skills: [], note: null },
  { n: 4, name: 'Dan', town: { name: 'Rome' }, skills: ['cook', 'math', 'sing'] },
];

async function people(stage: Stage): Promise<string> {
  await Promise.all(PEOPLE.map((one) => stage.client.set(stage.at(`p/${one.n}`), one)));
  return stage.at('p/*');
}

/** Each criterion with the numbers of those it finds. */
async function finds(stage: Stage, table: readonly (readonly [criteria: object, numbers: readonly number[]])[]): Promise<void> {
  const path = await people(stage);
  for (const [criteria, numbers] of table) expect([criteria, await found(stage.other, path, criteria)]).toEqual([criteria, numbers]);
}

async function error(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'was not refused',
    (refusal: Error) => refusal.message,
  );
}

export const SEARCH = stories('search', {
  'values are found by equality': (stage) =>
    finds(stage, [
      [{ name: 'Ada' }, [1]],
      [{ name: { $eq: 'Ada' } }, [1]],
      [{ name: 'ada' }, []],
      [{ age: 20 }, [2]],
    ]),
  'values are found by what they are not': (stage) =>
    finds(stage, [
      [{ name: { $ne: 'Ada' } }, [2, 3, 4]],
      [{ age: { $ne: 20 } }, [1, 3, 4]],
    ]),
  'numbers are found by range, records without them are not': (stage) =>
    finds(stage, [
      [{ age: { $gt: 20 } }, [1, 3]],
      [{ age: { $gte: 20, $lt: 51 } }, [1, 2]],
      [{ age: { $lte: 20 } }, [2]],
    ]),
  'values are found in a list of choices': (stage) =>
    finds(stage, [
      [{ name: { $in: ['Ada', 'Dan', 'x'] } }, [1, 4]],
      [{ name: { $nin: ['Ada', 'Dan'] } }, [2, 3]],
      [{ age: { $in: [] } }, []],
    ]),
  'criteria are joined by $and and $or, also within each other': (stage) =>
    finds(stage, [
      [{ $and: [{ 'town.name': 'London' }, { age: { $gt: 40 } }] }, [3]],
      [{ $or: [{ name: 'Bob' }, { $and: [{ name: 'Ada' }, { age: 36 }] }] }, [1, 2]],
      [{ $or: [{ name: 'Bob' }, { name: 'Ada' }], age: 36 }, [1]],
    ]),
  'dotted names reach into objects': (stage) =>
    finds(stage, [
      [{ 'town.name': 'London' }, [1, 3]],
      [{ 'town.other': 'London' }, []],
    ]),
  'names may begin with data. and _data.': (stage) =>
    finds(stage, [
      [{ 'data.name': 'Ada' }, [1]],
      [{ '_data.town.name': 'Rome' }, [4]],
    ]),
  'texts are found by expression, as a text or with flags': (stage) =>
    finds(stage, [
      [{ name: { $regex: '^[AB]' } }, [1, 2]],
      [{ name: { $regex: ['^c', 'i'] } }, [3]],
      [{ name: { $regex: ['^C', 'i'] } }, [3]],
    ]),
  'records are found by having a property': (stage) =>
    finds(stage, [
      [{ age: { $exists: true } }, [1, 2, 3]],
      [{ age: { $exists: false } }, [4]],
    ]),
  'a condition is turned round by $not': (stage) => finds(stage, [[{ age: { $not: { $gt: 30 } } }, [2, 4]]]),
  'elements of a list are found by equality': (stage) =>
    finds(stage, [
      [{ skills: 'math' }, [1, 2, 4]],
      [{ skills: { $size: 1 } }, [2]],
    ]),
  'a list is found by all that it must hold': (stage) => finds(stage, [[{ skills: { $all: ['math', 'sing'] } }, [4]]]),
  'one element must fulfil all of $elemMatch': (stage) => finds(stage, [[{ rows: { $elemMatch: { a: 1, b: 9 } } }, [1]]]),
  'none of the criteria of $nor holds': (stage) => finds(stage, [[{ $nor: [{ name: 'Ada' }, { age: 20 }] }, [3, 4]]]),
  'numbers are found by remainder': (stage) => finds(stage, [[{ age: { $mod: [10, 1] } }, [3]]]),
  'whole objects are found by equality': (stage) => finds(stage, [[{ town: { name: 'Rome' } }, [4]]]),
  'null is what is null or not there': (stage) =>
    finds(stage, [
      [{ note: null }, [1, 2, 3, 4]],
      [{ age: null }, [4]],
    ]),
  'criteria name the path and the times of a record': async (stage) => {
    const path = await people(stage);
    expect(await found(stage.other, path, { path: stage.at('p/2') })).toEqual([2]);
    expect(await found(stage.other, path, { '_meta.path': { $in: [stage.at('p/1'), stage.at('p/3')] } })).toEqual([1, 3]);
    expect(await found(stage.other, path, { '_meta.created': { $gt: 0, $lte: Date.now() + 60_000 } })).toEqual([1, 2, 3, 4]);
    expect(await found(stage.other, path, { '_meta.modified': { $lt: 1 } })).toEqual([]);
  },
  'criteria hold for one path, too': async (stage) => {
    await people(stage);
    expect(await stage.other.get(stage.at('p/1'), { criteria: { age: 36 } })).toMatchObject({ n: 1 });
    expect(await stage.other.get(stage.at('p/1'), { criteria: { age: 37 } })).toBeNull();
  },
  'fields choose what is shown': async (stage) => {
    const path = await people(stage);
    const shown = await items(stage.other, path, { fields: { name: 1 }, criteria: { n: 1 } });
    expect(shown).toHaveLength(1);
    expect([shown[0]?.name, shown[0]?.age]).toEqual(['Ada', undefined]);
    const inner = await items(stage.other, path, { options: { fields: { 'town.name': 1 } }, criteria: { n: 4 } });
    expect(inner[0]).toMatchObject({ town: { name: 'Rome' } });
    expect(inner[0]?.name).toBeUndefined();
  },
  'records come in the order that was asked for': async (stage) => {
    const path = await people(stage);
    const sorted = await items(stage.other, path, { options: { sort: { n: -1 } } });
    expect(sorted.map(({ n }) => n)).toEqual([4, 3, 2, 1]);
    const byTwo = await items(stage.other, path, { sort: { 'town.name': 1, n: -1 } });
    expect(byTwo.map(({ n }) => n)).toEqual([3, 1, 2, 4]);
  },
  'a page is skipped to and bounded': async (stage) => {
    const path = await people(stage);
    const page = await items(stage.other, path, { options: { sort: { n: 1 }, skip: 1, limit: 2 } });
    expect(page.map(({ n }) => n)).toEqual([2, 3]);
  },
  'a limit outside of the options has no effect': async (stage) => {
    expect(await items(stage.other, await people(stage), { limit: 1 })).toHaveLength(4);
  },
  'what criteria find is counted': async (stage) => {
    const path = await people(stage);
    expect(await request(stage.other, 'count', path, { criteria: { 'town.name': 'London' } })).toMatchObject({ value: 2 });
  },
  'a removal takes what its criteria find': async (stage) => {
    const path = await people(stage);
    expect(await stage.client.remove(path, { criteria: { 'town.name': 'London' } })).toMatchObject({ removed: 2 });
    expect((await items(stage.other, path)).map(({ n }) => n)).toEqual([2, 4]);
  },
  'a removal of one path heeds its criteria': async (stage) => {
    await people(stage);
    expect(await stage.client.remove(stage.at('p/1'), { criteria: { name: 'Bob' } })).toMatchObject({ removed: 0 });
    expect(await stage.other.get(stage.at('p/1'))).toMatchObject({ n: 1 });
    expect(await stage.client.remove(stage.at('p/1'), { criteria: { name: 'Ada' } })).toMatchObject({ removed: 1 });
  },
  'an unknown operator is refused, and the next search answered': async (stage) => {
    const path = await people(stage);
    expect(await error(items(stage.other, path, { criteria: { name: { $where: 'true' } } }))).toMatch(/\$where/);
    expect(await found(stage.other, path, { name: 'Ada' })).toEqual([1]);
  },
  'an aggregate is refused by name': async (stage) => {
    const asked = items(stage.other, await people(stage), { aggregate: [{ $group: { _id: '$name' } }] });
    expect(await error(asked)).toBe(`aggregate feature not available for provider on path: ${stage.at('p/*')}`);
  },
  'a collation is refused by name': async (stage) => {
    const asked = items(stage.other, await people(stage), { options: { collation: { locale: 'de' } } });
    expect(await error(asked)).toBe(`collation feature not available for provider on path: ${stage.at('p/*')}`);
  },
  'what was changed is found as it is now': async (stage) => {
    const path = await people(stage);
    await stage.client.set(stage.at('p/2'), { age: 36 }, { merge: true });
    const read: Item[] = await items(stage.other, path, { criteria: { age: 36 } });
    expect(read.map(({ name }) => name)).toEqual(['Ada', 'Bob']);
  },
});
