// Searches as happn clients ask for them, over real sockets: what they mean is tested in test/core/query.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type HappnGateway, type HappnWire, startHappn, type WireFrame } from '../../support/happn-wire.js';

let gateway: HappnGateway;
let wire: HappnWire;

beforeAll(async () => {
  gateway = await startHappn();
  wire = await (await gateway.connect()).login('happn_4', '13.12.1');
  for (let n = 1; n <= 5; n++)
    await wire.request('set', { path: `search/${n}`, data: { n, even: n % 2 === 0, region: { name: `r${n}` } } });
});

afterAll(async () => {
  await wire.close();
  await gateway.stop();
});

const list = async (options: object): Promise<WireFrame[]> => await wire.list('get', { path: 'search/*', data: null, options });
const numbers = async (options: object): Promise<unknown[]> => (await list(options)).map(({ n }) => n);

test('criteria, sort, limit and skip choose and order', async () => {
  expect(await numbers({ criteria: { n: { $gte: 3 } } })).toEqual([3, 4, 5]);
  expect(await numbers({ criteria: { $or: [{ even: true }, { 'region.name': 'r5' }] }, sort: { n: -1 } })).toEqual([5, 4, 2]);
  expect(await numbers({ options: { sort: { n: -1 }, skip: 1, limit: 2 } })).toEqual([4, 3]);
  expect(await numbers({ criteria: { _meta: { $exists: true } }, options: { limit: 0 } })).toBeDefined();
});

test('limit and skip beside the criteria have no effect, fields and sort do', async () => {
  expect(await numbers({ limit: 1, skip: 3, sort: { n: -1 } })).toEqual([5, 4, 3, 2, 1]);
  expect(await numbers({ limit: -1, skip: 'x' })).toEqual([1, 2, 3, 4, 5]);
  const page = { sort: { even: -1, 'region.name': 1 }, fields: { n: 1 }, options: { limit: 3, sort: { n: 1 } } };
  expect(await list(page)).toEqual([2, 4, 1].map((n) => ({ n, _meta: {} })));
});

test('records come in the order of their paths, to the letter, when no other was asked for', async () => {
  for (const path of ['order/b', 'order/B', 'order/a/b', 'order/a', 'order/10', 'order/9']) await wire.request('set', { path, data: {} });
  const found = await wire.list('get', { path: 'order/*', options: { path_only: true } });
  expect(found.map((item) => item._meta?.path)).toEqual(['order/10', 'order/9', 'order/B', 'order/a', 'order/a/b', 'order/b']);
});

test('criteria that would take too long are refused with the figures, and the connection lives', async () => {
  await wire.request('set', { path: 'budget/1', data: { text: 'a'.repeat(200_000) } });
  for (const path of ['budget/*', 'budget/1']) {
    const begun = performance.now();
    const { _meta } = await wire.request('get', { path, options: { criteria: { text: { $regex: '(a+)+!$' } } } });
    expect(performance.now() - begun).toBeLessThan(1_000);
    expect(_meta).toMatchObject({ status: 'error', error: { name: 'Error', code: 413, message: expect.stringContaining('250000 steps') } });
  }
  expect(await numbers({ criteria: { 'region.name': { $regex: '^r[12]$' } } })).toEqual([1, 2]);
});

test('fields show a part, and only the meta that they name', async () => {
  expect(await list({ fields: { n: 1, 'region.name': 1 }, options: { limit: 1 } })).toEqual([{ n: 1, region: { name: 'r1' }, _meta: {} }]);
  expect(await list({ options: { fields: { '_meta.path': 1 }, limit: 1 } })).toEqual([{ _meta: { path: 'search/1' } }]);
  const one = await wire.request('get', { path: 'search/2', options: { fields: { n: 1 } } });
  expect(one).toMatchObject({ data: { n: 2 }, _meta: { status: 'ok' } });
  for (const key of ['path', 'created', 'modified']) expect(one._meta).not.toHaveProperty(key);
  const named = await wire.request('get', { path: 'search/2', options: { fields: { n: 1, '_meta.path': 1, '_meta.created': 1 } } });
  expect(named).toMatchObject({ data: { n: 2 }, _meta: { path: 'search/2', created: expect.any(Number), status: 'ok' } });
});

test.each([[null], ['happn_1.3.0'], ['happn_2'], ['happn_3'], ['happn_4']])(
  'fields name the path, too, to an older client: %s',
  async (protocol) => {
    const older = await (await gateway.connect()).login(protocol);
    const path = 'search/*';
    expect(await older.list('get', { path, options: { fields: { n: 1 }, options: { limit: 1 } } })).toEqual([
      { n: 1, _meta: { path: 'search/1' } },
    ]);
    const one = await older.request('get', { path: 'search/2', options: { options: { fields: { 'region.name': 1 } } } });
    expect(one).toMatchObject({ data: { region: { name: 'r2' } }, _meta: { path: 'search/2', status: 'ok' } });
    expect(one._meta).not.toHaveProperty('created');
    await older.close();
  },
);

test('paths alone come in the order and number that were asked for', async () => {
  const paths = await list({ options: { path_only: true, limit: 2, skip: 1 } });
  expect(paths).toEqual([{ _meta: { path: 'search/2' } }, { _meta: { path: 'search/3' } }]);
});

test('one record is found only if it meets the criteria', async () => {
  const get = (criteria: object): Promise<WireFrame> => wire.request('get', { path: 'search/1', options: { criteria } });
  expect((await get({ n: 1 })).data).toMatchObject({ n: 1 });
  expect((await get({ n: 2 })).data).toBeNull();
});

test('count tells how many, of one path or of many', async () => {
  const count = async (path: string, options: object = {}): Promise<unknown> =>
    (await wire.request('count', { path, data: null, options })).data;
  expect(await count('search/*')).toEqual({ value: 5 });
  expect(await count('search/*', { criteria: { even: true } })).toEqual({ value: 2 });
  expect(await count('search/*', { options: { limit: 3 } })).toEqual({ value: 3 });
  expect(await count('search/*', { options: { skip: 4, limit: 3 } })).toEqual({ value: 1 });
  expect(await count('search/*', { limit: 1, skip: 5 })).toEqual({ value: 5 });
  expect((await wire.request('get', { path: 'search/*', options: { options: { count: true } } })).data).toEqual({ value: 5 });
  expect(await count('search/1')).toEqual({ value: 1 });
  expect(await count('search/missing')).toEqual({ value: 0 });
});

test('what cannot be searched for is refused, and the connection lives', async () => {
  for (const options of [
    { criteria: { $where: 'x' } },
    { criteria: 5 },
    { fields: { n: 0 } },
    { sort: { n: 'up' } },
    { options: { limit: -1 } },
  ]) {
    expect((await wire.request('get', { path: 'search/*', options }))._meta?.status).toBe('error');
  }
  expect((await wire.request('remove', { path: 'search/*', options: { criteria: [] } }))._meta?.status).toBe('error');
  expect(await numbers({})).toHaveLength(5);
});

test('a removal takes what meets the criteria, on one path, too', async () => {
  const remove = async (path: string, criteria: object): Promise<unknown> =>
    (await wire.request('remove', { path, options: { criteria } })).data;
  expect(await remove('search/1', { n: 2 })).toEqual({ removed: 0 });
  expect(await remove('search/*', { even: true })).toEqual({ removed: 2 });
  expect(await numbers({})).toEqual([1, 3, 5]);
});
