// Unmodified happn clients of every protocol generation against the running gateway.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS, type Generation, type HappnClient, type Heard } from '../support/happn-clients.js';

describe.each(GENERATIONS)('a client of $name', (generation: Generation) => {
  let gateway: GatewayProcess;
  let client: HappnClient;

  beforeAll(async () => {
    gateway = await startGateway({ flags: ['--durability', 'os'] });
    client = await generation.connect(gateway.ports.happn);
  });

  afterAll(async () => {
    await gateway.stop();
  });

  test('writes and reads what it wrote, of every kind', async () => {
    await client.set('/kinds/object', { a: { b: [1, 'two', null, true] } });
    await client.set('/kinds/text', 'hello');
    await client.set('/kinds/list', [1, { b: 2 }]);
    expect(await client.get('/kinds/object')).toMatchObject({ a: { b: [1, 'two', null, true] } });
    expect(await client.get('/kinds/text')).toMatchObject({ value: 'hello' });
    expect(await client.get('/kinds/list')).toMatchObject({ value: [1, { b: 2 }] });
    expect(await client.get('/kinds/missing')).toBeNull();
  });

  test('merges one level deep', async () => {
    await client.set('/merge/one', { a: 1, deep: { x: 1 } });
    await client.set('/merge/one', { b: 2, deep: { y: 1 } }, { merge: true });
    expect(await client.get('/merge/one')).toMatchObject({ a: 1, b: 2, deep: { y: 1 } });
  });

  test('reads by wildcard, also when there is nothing', async () => {
    await client.set('/wild/a/1', { n: 1 });
    await client.set('/wild/b/2', { n: 2 });
    const items = (await client.get('/wild/*')) as { n: number; _meta: { path: string } }[];
    expect(items.map(({ n, _meta }) => [n, _meta.path])).toEqual([
      [1, '/wild/a/1'],
      [2, '/wild/b/2'],
    ]);
    expect(await client.get('/nothing/*')).toHaveLength(0);
  });

  test('removes one record, and many by wildcard', async () => {
    await client.set('/gone/1', { n: 1 });
    await client.set('/gone/2', { n: 2 });
    await client.set('/gone/3', { n: 3 });
    expect(await client.remove('/gone/1')).toMatchObject({ removed: 1 });
    expect(await client.remove('/gone/*')).toMatchObject({ removed: 2 });
    expect(await client.remove('/gone/*')).toMatchObject({ removed: 0 });
    expect(await client.get('/gone/2')).toBeNull();
  });

  test('hears sets and removals of a path once, with their meta', async () => {
    const heard: Heard[] = [];
    const handle = await client.on('/heard/one', { event_type: 'all' }, (event) => heard.push(event));
    await client.set('/heard/one', { n: 1 });
    await client.remove('/heard/one');
    await until('both events', () => heard.length >= 2);
    expect(heard.map(({ data }) => data)).toMatchObject([{ n: 1 }, { removed: 1 }]);
    expect(heard[0]?.meta).toMatchObject({ path: '/heard/one', channel: '/ALL@/heard/one', action: '/SET@/heard/one' });
    expect(heard[0]?.meta.created).toBe(heard[0]?.meta.modified);
    await client.off(handle);
    await client.set('/heard/one', { n: 2 });
    await client.get('/heard/one');
    expect(heard).toHaveLength(2);
  });

  test('hears events that store nothing', async () => {
    const heard: Heard[] = [];
    await client.on('/event/only', { event_type: 'set' }, (event) => heard.push(event));
    await client.set('/event/only', { n: 1 }, { noStore: true });
    await until('the event', () => heard.length === 1);
    expect(await client.get('/event/only')).toBeNull();
  });

  test('matches wildcards of subscriptions as its generation means them', async () => {
    const heard: string[] = [];
    await client.on('/match/*', { event_type: 'set' }, ({ meta }) => heard.push(meta.path));
    await client.set('/match/1', { n: 1 });
    await client.set('/match/1/2', { n: 2 });
    await client.set('/match/3', { n: 3 });
    const expected = generation.wildcards === 'glob' ? ['/match/1', '/match/1/2', '/match/3'] : ['/match/1', '/match/3'];
    await until('the last event', () => heard.includes('/match/3'));
    expect(heard).toEqual(expected);
  });

  test('keeps the other listener of a channel when one of two is dropped', async () => {
    const first: Heard[] = [];
    const second: Heard[] = [];
    const handle = await client.on('/two/listeners', { event_type: 'set' }, (event) => first.push(event));
    await client.on('/two/listeners', { event_type: 'set' }, (event) => second.push(event));
    await client.off(handle);
    await client.set('/two/listeners', { n: 1 });
    await until('the event', () => second.length > 0);
    expect([first.length, second.length]).toEqual([0, 1]);
    await client.offPath('/two/listeners');
    await client.set('/two/listeners', { n: 2 });
    await client.get('/two/listeners');
    expect(second).toHaveLength(1);
  });

  test('gets the values that are there when it subscribes with initialEmit, then the changes', async () => {
    await client.set('/initial/1', { n: 1 });
    await client.set('/initial/2', { n: 2 });
    const heard: Heard[] = [];
    await client.on('/initial/*', { event_type: 'set', initialEmit: true }, (event) => heard.push(event));
    await client.set('/initial/1', { n: 3 });
    await until('values and change', () => heard.length === 3);
    expect(heard.map(({ data }) => data.n)).toEqual([1, 2, 3]);
  });

  test('gets a refusal as an error with its text', async () => {
    // The client refuses bad paths itself: only an option gets through to the gateway.
    await expect(client.set('/refused', { n: 1 }, { increment: 1 })).rejects.toThrow(/increment/);
  });

  test('comes back after a restart, reads what it wrote, and hears each event once', async () => {
    const heard: Heard[] = [];
    await client.on('/again/*', { event_type: 'set' }, (event) => heard.push(event));
    await client.on('/again/*', { event_type: 'set', count: 0, meta: { second: true } }, () => {});
    await client.set('/again/1', { n: 1 });
    await until('the first event', () => heard.length === 1);
    await gateway.restart();
    await until('the client is back', () => client.reconnects() === 1);
    expect(await client.get('/again/1')).toMatchObject({ n: 1 });
    await client.set('/again/2', { n: 2 });
    await until('the event after the restart', () => heard.length >= 2);
    await client.set('/again/3', { n: 3 });
    await until('one more', () => heard.length >= 3);
    expect(heard.map(({ data }) => data.n)).toEqual([1, 2, 3]);
  });

  test('disconnects, and the gateway forgets it', async () => {
    await client.disconnect();
    await until('no connection is left', async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${gateway.ports.admin}/metrics`)).text();
      return /^trivium_happn_connections 0$/m.test(metrics);
    });
  });
});
