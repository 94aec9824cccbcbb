// The client inside the process: whose its data is, what its handlers may do, and how it ends.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGateway, type EmbeddedGateway, type LocalClient, type LocalDocument, type LocalMeta } from '../src/index.js';
import { temporaryDirectory, until } from './support/gateway-process.js';
import { keptLog } from './support/silent-log.js';

const log = keptLog();

function embedded(): EmbeddedGateway {
  const ports = { happn: { port: 0 }, mqtt: { port: 0 }, haven: { port: 0 }, admin: { port: 0 } };
  return createGateway({ ...ports, data: { dir: temporaryDirectory() } }, { log });
}

let gateway: EmbeddedGateway;
let client: LocalClient;

beforeAll(async () => {
  gateway = embedded();
  await gateway.start();
  client = await gateway.localClient();
});

afterAll(async () => await gateway.stop());

describe('data', () => {
  it('that was given can be changed afterwards without changing the record', async () => {
    const given = { list: [1], deep: { x: 1 } };
    const meta = { note: { n: 1 } };
    const events: unknown[] = [];
    await client.on('/given', (data, about) => void events.push(data, about['note']));
    const answered = client.set('/given', given, { meta });
    given.list.push(2);
    given.deep.x = 2;
    meta.note.n = 2;
    await answered;
    expect(await client.get('/given')).toMatchObject({ list: [1], deep: { x: 1 } });
    expect(events).toEqual([{ list: [1], deep: { x: 1 } }, { n: 1 }]);
  });

  it('that was received is its receiver’s own', async () => {
    const seen: LocalDocument[] = [];
    const spoil = (data: LocalDocument, meta: LocalMeta): void => {
      seen.push(structuredClone(data));
      (data['deep'] as { x: unknown }).x = 'spoilt';
      (meta as { path: string }).path = 'spoilt';
    };
    await client.on('/own', spoil);
    await client.on('/own', spoil);
    const answer = await client.set('/own', { deep: { x: 1 } });
    (answer['deep'] as { x: unknown }).x = 'spoilt';
    const read = (await client.get('/own')) as LocalDocument;
    expect(read).toMatchObject({ deep: { x: 1 } });
    (read['deep'] as { x: unknown }).x = 'spoilt';
    expect(await client.get('/own')).toMatchObject({ deep: { x: 1 } });
    expect(seen).toEqual([{ deep: { x: 1 } }, { deep: { x: 1 } }]);
  });

  it('means what JSON would have made of it', async () => {
    const given = { date: new Date(0), none: undefined, act: () => 1, nan: Number.NaN, own: { toJSON: () => 'told' }, list: [undefined] };
    await client.set('/json', given);
    const { _meta, ...data } = (await client.get('/json')) as LocalDocument;
    expect(data).toEqual(JSON.parse(JSON.stringify(given)));
    await client.set('/proto', JSON.parse('{"__proto__":{"x":1}}'));
    expect(Object.hasOwn((await client.get('/proto')) as object, '__proto__')).toBe(true);
  });

  it('is refused when it has no end, no JSON form, or throws', async () => {
    const circle: { self?: unknown } = {};
    circle.self = circle;
    await expect(client.set('/circle', circle)).rejects.toMatchObject({ code: 413 });
    await expect(client.set('/big', { n: 1n })).rejects.toThrow('bigint');
    const trap = Object.defineProperty({}, 'x', { enumerable: true, get: () => JSON.parse('{') });
    await expect(client.set('/trap', trap)).rejects.toThrow('the data cannot be read');
    expect(await client.get('/circle')).toBeNull();
  });
});

describe('requests', () => {
  it('merge, count siblings and increments like any client’s', async () => {
    await client.set('/m', { a: 1, b: 1 });
    expect(await client.merge('/m', { b: 2 })).toMatchObject({ a: 1, b: 2 });
    const sibling = await client.setSibling('/s', { x: 1 });
    expect(sibling._meta?.path).toMatch(/^\/s\/[0-9a-f]{32}$/);
    expect(await client.getPaths('/s/*')).toEqual([{ _meta: { path: sibling._meta?.path } }]);
    expect(await client.increment('/i')).toMatchObject({ value: 1, gauge: 'counter' });
    expect(await client.increment('/i', 'counter', 4)).toMatchObject({ value: 5 });
  });

  it('search and count records', async () => {
    for (const n of [1, 2, 3]) await client.set(`/search/${n}`, { n, odd: n % 2 === 1, deep: { n } });
    const found = await client.get('/search/*', { criteria: { odd: true }, options: { sort: { n: -1 }, fields: { n: 1 } } });
    expect((found as LocalDocument[]).map((item) => item['n'])).toEqual([3, 1]);
    expect((found as LocalDocument[])[0]).not.toHaveProperty('odd');
    expect(await client.get('/search/1', { criteria: { odd: false } })).toBeNull();
    expect(await client.count('/search/*', { criteria: { n: { $gt: 1 } } })).toMatchObject({ value: 2 });
    expect(await client.count('/search/*')).toMatchObject({ value: 3 });
    const [whole] = (await client.get('/search/*', { fields: { deep: 1 } })) as [{ deep: { n: unknown } }];
    whole.deep.n = 'spoilt';
    expect(await client.get('/search/1')).toMatchObject({ deep: { n: 1 } });
    expect(await client.remove('/search/*', { criteria: { odd: true } })).toMatchObject({ removed: 2 });
    await expect(client.get('/search/*', { criteria: { n: { $where: '1' } } })).rejects.toThrow('$where');
  });

  it('are all answered when more are made at once than the gateway takes from one session', async () => {
    const answers = await Promise.all(Array.from({ length: 5_000 }, (_, i) => client.set(`/many/${i % 50}`, { i }, { noStore: true })));
    expect(answers).toHaveLength(5_000);
  });
});

describe('listeners', () => {
  it('get initial values before events, by callback or one by one', async () => {
    for (const i of [1, 2]) await client.set(`/initial/${i}`, { i });
    const told: unknown[] = [];
    await client.on('/initial/*', { initialCallback: (records) => void told.push(records.map((record) => record['i'])) }, () => {});
    await client.on('/initial/*', { initialEmit: true }, (data, meta) => void told.push([data['i'], meta?.path]));
    await client.set('/initial/3', { i: 3 });
    expect(told).toEqual([
      [1, 2],
      [1, undefined],
      [2, undefined],
      [3, '/initial/3'],
    ]);
  });

  it('end after their count, and once', async () => {
    const heard: unknown[] = [];
    await client.once('/counted', (data) => void heard.push(data['i']));
    await client.on('/counted', { count: 2 }, (data) => void heard.push(data['i']));
    for (let i = 0; i < 4; i++) await client.set('/counted', { i });
    expect(heard).toEqual([0, 0, 1]);
  });

  it('that throw or reject are named in the log and harm nobody', async () => {
    const heard: unknown[] = [];
    await client.on('/faulty', () => {
      throw new Error('thrown by a handler');
    });
    await client.on('/faulty', async () => await Promise.reject(new Error('rejected by a handler')));
    await client.on('/faulty', (data) => void heard.push(data['x']));
    await client.set('/faulty', { x: 1 });
    await client.set('/faulty', { x: 2 });
    expect(heard).toEqual([1, 2]);
    await until('four lines', () => log.lines.filter((line) => line.text.includes('a handler of a local client failed')).length === 4);
  });

  it('may ask, subscribe and disconnect from within', async () => {
    const own = await gateway.localClient();
    const inner = new Promise((resolve) => {
      void own.on('/within', async (data) => {
        await own.set('/within/answer', data);
        await own.on('/other', () => {});
        const read = await own.get('/within/answer');
        await own.disconnect();
        resolve(read);
      });
    });
    await client.set('/within', { x: 1 });
    expect(await inner).toMatchObject({ x: 1 });
    expect(own.connected).toBe(false);
  });

  it('need a handler, and handles that are numbers', async () => {
    await expect(client.on('/x', {}, undefined as never)).rejects.toThrow('handler');
    await expect(client.off(null as never)).rejects.toThrow('handle cannot be null');
    await expect(client.off('1' as never)).rejects.toThrow('handle must be a number');
    await client.off(999_999);
  });
});

describe('the end', () => {
  it('of the client rejects what comes after it', async () => {
    const own = await gateway.localClient();
    const late = own.set('/late', { x: 1 });
    await own.disconnect();
    await expect(late).rejects.toThrow('client is disconnected');
    await expect(own.get('/late')).rejects.toThrow('client is disconnected');
    await own.disconnect();
  });

  it('is told when the program did not ask for it, with the reason when it is for good', async () => {
    for (const reconnect of [true, false]) {
      const other = embedded();
      await other.start();
      const own = await other.localClient();
      const told: unknown[] = [];
      const note =
        (name: string) =>
        (data: unknown): void =>
          void told.push([name, data]);
      own.onEvent('session-ended', () => {
        throw new Error('a fault of the program');
      });
      own.onEvent('connection-ended', note('connection-ended'));
      own.onEvent('session-ended', note('session-ended'));
      own.offEvent(own.onEvent('connection-ended', note('unheard')));
      const left = await other.localClient();
      left.onEvent('connection-ended', note('unheard'));
      await left.disconnect();
      await other.stop({ reconnect });
      const ended = ['connection-ended', own.session.id];
      expect(told).toEqual(reconnect ? [ended] : [['session-ended', { reason: 'reconnect-false' }], ended]);
    }
    expect(() => client.onEvent('', () => {})).toThrow('event name cannot be blank or null');
    expect(() => client.onEvent('session-ended', undefined as never)).toThrow('event handler must be a function');
  });

  it('of the gateway comes when all is answered', async () => {
    const other = embedded();
    await expect(other.localClient()).rejects.toThrow('the gateway is not running');
    await other.start();
    const own = await other.localClient();
    const answers = Array.from({ length: 500 }, (_, i) => own.set(`/last/${i}`, { i }));
    const stopped = other.stop();
    expect(await Promise.all(answers)).toHaveLength(500);
    await stopped;
    expect(own.connected).toBe(false);
    await expect(own.get('/last/1')).rejects.toThrow('client is disconnected');
    await expect(other.localClient()).rejects.toThrow('the gateway is not running');
  });
});
