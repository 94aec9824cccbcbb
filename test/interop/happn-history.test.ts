// History over happn: unmodified clients of every protocol generation read records as they were.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { GENERATIONS, type Generation } from '../support/happn-clients.js';

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os', '--history', JSON.stringify([{ pattern: '/kept/*', revisions: 3 }])] });
});

afterAll(async () => {
  await gateway.stop();
});

interface Shown {
  readonly n: number;
  readonly _meta: { readonly modified: number };
}

describe.each(GENERATIONS)('a client of $name', (generation: Generation) => {
  test('reads a record as of a time', async () => {
    const client = await generation.connect(gateway.ports.happn);
    const path = `/kept/${generation.name.replaceAll(/[^a-z0-9]/gi, '')}`;
    const show = async (): Promise<Shown> => (await client.get(path)) as unknown as Shown;
    await client.set(path, { n: 1 });
    const { modified } = (await show())._meta;
    const clock = async (): Promise<number> => {
      await client.set('/clock', {});
      return ((await client.get('/clock')) as unknown as Shown)._meta.modified;
    };
    while ((await clock()) === modified);
    await client.set(path, { n: 2 });
    const second = (await show())._meta.modified;
    expect(await client.get(path, { asOf: second - 1 })).toMatchObject({ n: 1, _meta: { modified } });
    expect(await client.get(path, { asOf: { time: second } })).toMatchObject({ n: 2 });
    await client.remove(path);
    expect(await client.get(path)).toBeNull();
    expect(await client.get(path, { asOf: second })).toMatchObject({ n: 2 });
    for (const asOf of [{ time: modified - 3_600_000 }, Date.now() + 3_600_000, 'then', { time: second, revision: 1 }]) {
      await expect(client.get(path, { asOf })).rejects.toThrow();
    }
    await expect(client.get('/other', { asOf: second })).rejects.toThrow('no history of /other is kept');
    const place = `/kept/all/${generation.name}`.replaceAll(/[^/a-z0-9]/gi, '');
    await client.set(`${place}/a`, { n: 1 });
    await client.set(`${place}/b`, { n: 2 });
    const then = ((await client.get(`${place}/b`)) as unknown as Shown)._meta.modified;
    while ((await clock()) === then);
    await client.remove(`${place}/*`);
    await client.set(`${place}/c`, { n: 3 });
    const all = (await client.get(`${place}/*`, { asOf: then })) as unknown as (Shown & { _meta: { path: string } })[];
    expect(all.map(({ n, _meta }) => [_meta.path, n])).toEqual([
      [`${place}/a`, 1],
      [`${place}/b`, 2],
    ]);
    const wanted = { asOf: then, criteria: { n: { $gt: 1 } } };
    expect(await client.get(`${place}/*`, wanted)).toMatchObject([{ n: 2 }]);
    await expect(client.get('/*', { asOf: then })).rejects.toThrow('no history of all that /* matches is kept');
    await client.disconnect();
  });
});
