// Stories of records: what is written, how it is read again, and what is refused.

import { expect } from 'vitest';
import { call } from '../happn-clients.js';
import { fence, type Item, items, listen, request, type Stage, stories } from './stage.js';

async function writeAndRead(stage: Stage, data: unknown): Promise<unknown> {
  const path = stage.at('record');
  await stage.client.set(path, data);
  return await stage.other.get(path);
}

async function refused(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    const { code, message } = (typeof error === 'string' ? new Error(error) : error) as Error & { code?: number };
    if (code === 501) throw error;
    return message;
  }
  throw new Error('was not refused');
}

const increment = (stage: Stage, path: string, gauge: unknown, by: unknown): Promise<Record<string, unknown>> =>
  stage.client.set(path, gauge, { increment: by });

export const DATA = stories('data', {
  'an object comes back as it was set': async (stage) => {
    const data = { text: 'x', list: [1, 'two', null, { three: 3 }], deep: { a: { b: false } }, nothing: null };
    expect(await writeAndRead(stage, data)).toMatchObject(data);
  },
  'a text is read as a value': async (stage) => {
    expect(await writeAndRead(stage, 'hello')).toMatchObject({ value: 'hello' });
  },
  'an empty text is read as a value': async (stage) => {
    expect(await writeAndRead(stage, '')).toMatchObject({ value: '' });
  },
  'a number is read as a value': async (stage) => {
    expect(await writeAndRead(stage, -1.5e-7)).toMatchObject({ value: -1.5e-7 });
  },
  'zero and false are values like others': async (stage) => {
    expect(await writeAndRead(stage, 0)).toMatchObject({ value: 0 });
    expect(await writeAndRead(stage, false)).toMatchObject({ value: false });
  },
  'a list is read as a value': async (stage) => {
    expect(await writeAndRead(stage, [1, [2], { three: 3 }])).toMatchObject({ value: [1, [2], { three: 3 }] });
  },
  'null is a value, from clients that send it': async (stage) => {
    const read = (await writeAndRead(stage, null)) as Item;
    expect('value' in read).toBe(stage.traits.sendsNull);
    if (stage.traits.sendsNull) expect(read.value).toBeNull();
  },
  'an empty object is a record': async (stage) => {
    const read = (await writeAndRead(stage, {})) as Item;
    expect(Object.keys(read).filter((key) => key !== '_meta')).toEqual([]);
    expect(read._meta.path).toBe(stage.at('record'));
  },
  'text of every plane and line separators survive': async (stage) => {
    const text = 'Grüße \u2028\u2029 ⚙ 日本 🚀 \u0000 "\\';
    expect(await writeAndRead(stage, { text })).toMatchObject({ text });
  },
  'names that objects inherit are ordinary names': async (stage) => {
    const data = { constructor: 'c', hasOwnProperty: 1, toString: 't' };
    expect(await writeAndRead(stage, data)).toMatchObject(data);
  },
  'a record of 300 KB comes back': async (stage) => {
    const text = 'abc'.repeat(100_000);
    expect(((await writeAndRead(stage, { text })) as Item).text).toBe(text);
  },
  'the answer to a set shows the record and its meta': async (stage) => {
    const answer = (await stage.client.set(stage.at('a'), { n: 1 })) as Item;
    expect(answer.n).toBe(1);
    expect(answer._meta).toMatchObject({ path: stage.at('a') });
    expect(answer._meta.created).toBe(answer._meta.modified);
    expect(Math.abs(answer._meta.created - Date.now())).toBeLessThan(60_000);
  },
  'created stays and modified moves on': async (stage) => {
    const first = (await stage.client.set(stage.at('a'), { n: 1 })) as Item;
    const second = (await stage.other.set(stage.at('a'), { n: 2 })) as Item;
    expect(second._meta.created).toBe(first._meta.created);
    expect(second._meta.modified).toBeGreaterThanOrEqual(first._meta.modified);
    expect((await items(stage.client, stage.at('*')))[0]?._meta).toMatchObject({
      created: first._meta.created,
      modified: second._meta.modified,
    });
  },
  'a set replaces the whole record': async (stage) => {
    await stage.client.set(stage.at('record'), { a: 1, b: 2 });
    const read = (await writeAndRead(stage, { b: 3 })) as Item;
    expect([read.a, read.b]).toEqual([undefined, 3]);
  },
  'a merge keeps what it does not name': async (stage) => {
    await stage.client.set(stage.at('a'), { a: 1, b: 2 });
    expect(await stage.client.set(stage.at('a'), { b: 3 }, { merge: true })).toMatchObject({ a: 1, b: 3 });
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ a: 1, b: 3 });
  },
  'a merge replaces named objects wholly': async (stage) => {
    await stage.client.set(stage.at('a'), { deep: { x: 1, y: 2 } });
    await stage.client.set(stage.at('a'), { deep: { y: 3 } }, { merge: true });
    expect(((await stage.other.get(stage.at('a'))) as Item).deep).toEqual({ y: 3 });
  },
  'a merge of nothing makes a record': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 }, { merge: true });
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ n: 1 });
  },
  'a merged primitive is the property value': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 });
    await stage.client.set(stage.at('a'), 'text', { merge: true });
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ n: 1, value: 'text' });
  },
  'a property _meta of the data is not kept': async (stage) => {
    const read = (await writeAndRead(stage, { n: 1, _meta: { path: '/elsewhere', mine: true } })) as Item;
    expect(read._meta.path).toBe(stage.at('record'));
    expect(read._meta).not.toHaveProperty('mine');
  },
  'a set with noStore stores nothing': async (stage) => {
    expect(await stage.client.set(stage.at('a'), { n: 1 }, { noStore: true })).toMatchObject({ n: 1 });
    expect(await stage.other.get(stage.at('a'))).toBeNull();
  },
  'noDataResponse spares the data of the answer where the generation has it': async (stage) => {
    const answer = await stage.client.set(stage.at('a'), { n: 1 }, { noDataResponse: true });
    expect(answer.n).toBe(stage.traits.noDataResponse ? undefined : 1);
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ n: 1 });
  },
  'upsertType insert on a record that exists updates it': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 });
    await stage.client.set(stage.at('a'), { n: 2 }, { upsertType: 2 });
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ n: 2 });
  },
  'a hundred sets at once are all answered': async (stage) => {
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    const answers = await Promise.all(numbers.map((n) => stage.client.set(stage.at(`many/${n}`), { n })));
    expect(answers.map(({ n }) => n)).toEqual(numbers);
    expect(await items(stage.other, stage.at('many/*'))).toHaveLength(100);
  },
  'sets of one record by two clients end the same for both': async (stage) => {
    await Promise.all([1, 2, 3, 4].map((n) => (n % 2 ? stage.client : stage.other).set(stage.at('a'), { n })));
    expect(await stage.client.get(stage.at('a'))).toMatchObject({ n: ((await stage.other.get(stage.at('a'))) as Item).n });
  },
  'a record that is not there is null': async (stage) => {
    expect(await stage.client.get(stage.at('missing'))).toBeNull();
  },
  'paths are taken to the letter': async (stage) => {
    const path = stage.at('a');
    const spellings = [path, path.slice(1), `${path}/`, path.toUpperCase(), `/${path}`];
    for (const [n, spelling] of spellings.entries()) await stage.client.set(spelling, { n });
    for (const [n, spelling] of spellings.entries()) expect(await stage.other.get(spelling)).toMatchObject({ n });
  },
  'a wildcard of a get crosses segments': async (stage) => {
    await stage.client.set(stage.at('a/1'), { n: 1 });
    await stage.client.set(stage.at('a/b/c/2'), { n: 2 });
    const read = await items(stage.other, stage.at('*'));
    expect(read.map(({ n, _meta }) => [n, _meta.path])).toEqual([
      [1, stage.at('a/1')],
      [2, stage.at('a/b/c/2')],
    ]);
  },
  'a wildcard of a get ends within a segment': async (stage) => {
    for (const name of ['part', 'partial', 'parted/x', 'other']) await stage.client.set(stage.at(name), { name });
    expect((await items(stage.other, stage.at('part*'))).map(({ name }) => name)).toEqual(['part', 'parted/x', 'partial']);
  },
  'wildcards of a get may stand anywhere': async (stage) => {
    for (const name of ['a/x/end', 'a/y/z/end', 'a/x/other']) await stage.client.set(stage.at(name), { name });
    expect((await items(stage.other, stage.at('a/*/end'))).map(({ name }) => name)).toEqual(['a/x/end', 'a/y/z/end']);
    expect((await items(stage.other, stage.at('*/y/*/end'))).map(({ name }) => name)).toEqual(['a/y/z/end']);
  },
  'a wildcard that finds nothing is an empty list': async (stage) => {
    expect(await items(stage.client, stage.at('*'))).toHaveLength(0);
  },
  'getPaths gives the paths alone': async (stage) => {
    await stage.client.set(stage.at('a/1'), { n: 1 });
    await stage.client.set(stage.at('a/2'), { n: 2 });
    const paths = await call<Item[]>(stage.other.raw, 'getPaths', stage.at('a/*'));
    expect(paths.map((item) => [item._meta.path, item.n])).toEqual([
      [stage.at('a/1'), undefined],
      [stage.at('a/2'), undefined],
    ]);
  },
  'getPaths of one path': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 });
    const one = await call<Item & Item[]>(stage.other.raw, 'getPaths', stage.at('a'));
    const none = await call<Item[] | null>(stage.other.raw, 'getPaths', stage.at('missing'));
    if (!stage.traits.listsOnePath) expect([one._meta.path, one.n, none]).toEqual([stage.at('a'), undefined, null]);
    else expect([one.map(({ _meta, n }) => [_meta.path, n]), [...(none as Item[])]]).toEqual([[[stage.at('a'), undefined]], []]);
  },
  'count tells how many there are': async (stage) => {
    await Promise.all([1, 2, 3].map((n) => stage.client.set(stage.at(`a/${n}`), { n })));
    expect(await request(stage.other, 'count', stage.at('a/*'))).toMatchObject({ value: 3 });
    expect(await request(stage.other, 'count', stage.at('a/1'))).toMatchObject({ value: 1 });
    expect(await request(stage.other, 'count', stage.at('b/*'))).toMatchObject({ value: 0 });
  },
  'a removal takes one record': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 });
    await stage.client.set(stage.at('ab'), { n: 2 });
    const answer = (await stage.client.remove(stage.at('a'))) as Item;
    expect(answer).toMatchObject({ removed: 1, _meta: { path: stage.at('a') } });
    expect(await stage.other.get(stage.at('a'))).toBeNull();
    expect(await stage.other.get(stage.at('ab'))).toMatchObject({ n: 2 });
  },
  'to remove what is not there is no error': async (stage) => {
    expect(await stage.client.remove(stage.at('missing'))).toMatchObject({ removed: 0 });
  },
  'a removal by wildcard takes all it matches': async (stage) => {
    for (const name of ['a/1', 'a/b/2', 'b/3']) await stage.client.set(stage.at(name), { name });
    expect(await stage.client.remove(stage.at('a/*'))).toMatchObject({ removed: 2 });
    expect((await items(stage.other, stage.at('*'))).map(({ name }) => name)).toEqual(['b/3']);
  },
  'a removed record begins anew': async (stage) => {
    await stage.client.set(stage.at('a'), { a: 1 });
    await stage.client.remove(stage.at('a'));
    const again = (await stage.client.set(stage.at('a'), { b: 2 }, { merge: true })) as Item;
    expect([again.a, again.b]).toEqual([undefined, 2]);
  },
  'a set of a wildcard is refused': async (stage) => {
    expect(await refused(stage.client.set(stage.at('*'), { n: 1 }))).toMatch(/the path cannot contain the \* wildcard/);
  },
  'a path of other characters is refused with the text of the clients': async (stage) => {
    expect(await refused(stage.client.set(stage.at('a?b'), { n: 1 }))).toMatch(/^Bad path, can only contain/);
    expect(await refused(stage.client.remove(stage.at('a?b')))).toMatch(/^Bad path, can only contain/);
    await fence(stage.client);
  },
  'every character that a path may hold is kept': async (stage) => {
    const path = stage.at(stage.traits.characters);
    await stage.client.set(path, { n: 1 });
    expect(((await stage.other.get(path)) as Item)._meta.path).toBe(path);
  },
  'records of the gateway itself are in no wildcard read': async (stage) => {
    const all = await items(stage.client, '*');
    expect(all.filter(({ _meta }) => /^\/?(_SYSTEM|_HAVEN|\$)/.test(_meta.path))).toEqual([]);
  },
  'a counter is made and counts on': async (stage) => {
    expect(await increment(stage, stage.at('a'), 'counter', 1)).toMatchObject({ value: 1, gauge: 'counter' });
    expect(await increment(stage, stage.at('a'), 'counter', 5)).toMatchObject({ value: 6 });
    expect(await increment(stage, stage.at('a'), 'other', -2)).toMatchObject({ value: -2, gauge: 'other' });
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ counter: { value: 6 }, other: { value: -2 } });
  },
  'increments of two clients at once are all counted': async (stage) => {
    const steps = Array.from({ length: 40 }, (_, n) => (n % 2 ? stage.client : stage.other));
    await Promise.all(steps.map((client) => client.set(stage.at('a'), 'counter', { increment: 1 })));
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ counter: { value: 40 } });
  },
  'an increment is published as it is answered': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('a'));
    await increment(stage, stage.at('a'), 'counter', 3);
    await fence(stage.other);
    expect(heard.map(({ data }) => data)).toMatchObject([{ value: 3, gauge: 'counter' }]);
  },
  'an increment of no counter, or by no number, is refused': async (stage) => {
    expect(await refused(increment(stage, stage.at('a'), { n: 1 }, 1))).toBe('invalid increment counter field name, must be a string');
    expect(await refused(increment(stage, stage.at('a'), 'counter', 'x'))).toBe('increment option value must be a number');
  },
  'siblings get paths of their own below the one that was named': async (stage) => {
    const make = (n: number): Promise<Item> => stage.client.set(stage.at('s'), { n }, { set_type: 'sibling' }) as Promise<Item>;
    const [first, second] = [await make(1), await make(2)];
    expect(first._meta.path).not.toBe(second._meta.path);
    expect(first._meta.path.startsWith(`${stage.at('s')}/`)).toBe(true);
    expect(await stage.other.get(first._meta.path)).toMatchObject({ n: 1 });
    expect((await items(stage.other, stage.at('s/*'))).map(({ n }) => n).sort()).toEqual([1, 2]);
    expect(await stage.other.get(stage.at('s'))).toBeNull();
  },
  'a sibling is heard of': async (stage) => {
    const { heard } = await listen(stage.other, stage.at('s/*'));
    const made = (await stage.client.set(stage.at('s'), { n: 1 }, { set_type: 'sibling' })) as Item;
    await fence(stage.other);
    expect(heard.map(({ data, meta }) => [data.n, meta.path])).toEqual([[1, made._meta.path]]);
  },
  'a tag keeps a snapshot under /_TAGS': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 });
    await stage.client.set(stage.at('a'), null, { tag: 'first' });
    await stage.client.set(stage.at('a'), { n: 2 });
    const tags = await items(stage.other, `/_TAGS${stage.at('a')}/*`);
    expect(tags).toHaveLength(1);
    expect(tags[0]).toMatchObject({ data: { n: 1 }, _id: stage.at('a') });
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ n: 2 });
  },
  'a tag is known by its name: in its answer, its event, and when it is read': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 });
    const { heard } = await listen(stage.other, `/_TAGS${stage.at('a')}/*`);
    const answer = (await stage.client.set(stage.at('a'), null, { tag: 'first' })) as Item;
    await stage.client.set(stage.at('a'), null, { tag: 'second' });
    await fence(stage.other);
    const list = await items(stage.other, `/_TAGS${stage.at('a')}/*`);
    const name = (meta: object): unknown => (meta as { tag?: string }).tag;
    expect(name(answer._meta)).toBe('first');
    expect(heard.map(({ data, meta }) => [data.data, name(meta)])).toEqual([
      [{ n: 1 }, 'first'],
      [{ n: 1 }, 'second'],
    ]);
    expect(list.map(({ data, _meta }) => [data, name(_meta)]).toSorted()).toEqual([
      [{ n: 1 }, 'first'],
      [{ n: 1 }, 'second'],
    ]);
    const one = (await stage.other.get(answer._meta.path)) as Item;
    expect([one.data, name(one._meta)]).toEqual([{ n: 1 }, 'first']);
  },
  'a tag of a path without a slash is kept without one': async (stage) => {
    const path = stage.at('a').slice(1);
    await stage.client.set(path, { n: 1 });
    const answer = (await stage.client.set(path, null, { tag: 'first' })) as Item;
    expect(answer._meta.path.startsWith(`/_TAGS${path}/`)).toBe(true);
  },
  'to tag what is not there is refused': async (stage) => {
    expect(await refused(stage.client.set(stage.at('missing'), null, { tag: 'first' }))).toMatch(
      /Attempt to tag something that doesn't exist/,
    );
    expect(await stage.other.get(stage.at('missing'))).toBeNull();
  },
  'a tag with data is refused': async (stage) => {
    await stage.client.set(stage.at('a'), { n: 1 });
    expect(await refused(stage.client.set(stage.at('a'), { n: 2 }, { tag: 'first' }))).toMatch(/Cannot set tag with new data/);
    expect(await stage.other.get(stage.at('a'))).toMatchObject({ n: 1 });
  },
});
