// The client inside the process: the same story as over a websocket, data that is nobody else's, and neighbours of other protocols.

import { createRequire } from 'node:module';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGateway, type EmbeddedGateway, type LocalClient, type LocalDocument, type LocalMeta } from '../../src/index.js';
import { temporaryDirectory, until } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';
import { keptLog } from '../support/silent-log.js';

const require = createRequire(new URL('../clients/happn3/package.json', import.meta.url));
type Client = Pick<
  LocalClient,
  | 'set'
  | 'get'
  | 'getCreatedBetween'
  | 'getPaths'
  | 'count'
  | 'remove'
  | 'increment'
  | 'publish'
  | 'on'
  | 'off'
  | 'offPath'
  | 'offAll'
  | 'onAll'
> & {
  readonly session: { readonly id: string };
};
type Websocket = Client & { disconnect(): Promise<void> };

const log = keptLog();
let gateway: EmbeddedGateway;

async function websocket(): Promise<Websocket> {
  const port = gateway.listeners.get('happn')?.port;
  return (await require('happn-3-v13').client.create({ host: '127.0.0.1', port })) as Websocket;
}

beforeAll(async () => {
  const dir = temporaryDirectory();
  gateway = createGateway({ happn: { port: 0 }, mqtt: { port: 0 }, haven: { port: 0 }, admin: { port: 0 }, data: { dir } }, { log });
  await gateway.start();
});

afterAll(async () => await gateway.stop());

/** What must be the same in both: everything but ids and times. */
function settled(value: unknown, ids: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map((item) => settled(item, ids));
  if (value instanceof Error) return { error: value.message, name: value.name, code: (value as { code?: number }).code };
  if (typeof value === 'string') return [...ids].reduce((text, [id, name]) => text.replaceAll(id, name), value).replace(/-\d+$/, '-N');
  if (value === null || typeof value !== 'object') return value;
  const shown = Object.entries(value).filter(([key]) => key !== 'protocol');
  return Object.fromEntries(
    shown.map(([key, item]) => [key, ['created', 'modified', 'timestamp', 'eventId'].includes(key) ? typeof item : settled(item, ids)]),
  );
}

/** All that a client can do in one run; what it is answered and what it hears, in order. */
async function story(client: Client, root: string): Promise<unknown[]> {
  const told: unknown[] = [];
  const ask = async (answer: Promise<unknown>): Promise<void> => {
    try {
      told.push(await answer);
    } catch (error) {
      told.push(error);
    }
  };
  const heard =
    (who: string) =>
    (data: unknown, meta: unknown): void =>
      void told.push({ who, data, meta });
  const all = await client.on(`${root}/**`, { event_type: 'all' }, heard('all'));
  await client.on(`${root}/a/*`, { event_type: 'set', merge: true }, heard('merge'));
  await client.on(`${root}/a/*`, { event_type: 'remove' }, heard('remove'));
  await client.on(`${root}/once`, { event_type: 'set', count: 2 }, heard('twice'));
  for (const data of [
    { a: 1, nested: { b: [1, null, 'x'] } },
    'text',
    12.5,
    true,
    null,
    [1, 2],
    new Date(0),
    { _meta: { x: 1 }, y: undefined, z: 1 },
  ]) {
    await ask(client.set(`${root}/a/1`, data, {}));
    await ask(client.get(`${root}/a/1`));
  }
  await ask(client.set(`${root}/a/2`, { one: 1, two: 2 }, {}));
  await ask(client.set(`${root}/a/2`, { two: 3 }, { merge: true }));
  await ask(client.set(`${root}/a/3`, { kept: false }, { noStore: true, meta: { custom: { x: 1 }, path: 'forged' } }));
  await ask(client.get(`${root}/a/3`));
  await ask(client.set(`${root}/a/4`, { silent: true }, { noPublish: true }));
  await ask(client.set(`${root}/a/5`, { mine: true }, { targetClients: [client.session.id] }));
  await ask(client.set(`${root}/a/5`, { others: true }, { targetClients: ['somebody'] }));
  await ask(client.set(`${root}/a/5`, { results: true }, { publishResults: true }));
  await ask(client.publish(`${root}/event`, { hello: 'there' }));
  await ask(client.increment(`${root}/counter`, 'gauge', 5, {}));
  await ask(client.increment(`${root}/counter`, 'gauge', -2, {}));
  await ask(client.get(`${root}/counter`));
  await ask(client.set(`${root}/binary`, { $binary: { base64: 'AAEC', subType: '00' } }, {}));
  for (let i = 0; i < 3; i++) await ask(client.set(`${root}/once`, { i }, {}));
  await ask(client.get(`${root}/a/*`));
  await ask(client.getPaths(`${root}/a/*`, {}));
  await ask(client.getPaths(`${root}/a/1`, {}));
  await ask(client.get(`${root}/none`));
  await ask(client.getCreatedBetween(`${root}/a/*`, 1, Date.now() + 60_000));
  await ask(client.getCreatedBetween(`${root}/a/*`, 1, 2));
  await ask(client.get(`${root}/a/*`, { criteria: { two: { $gte: 3 } }, options: { fields: { two: 1, '_meta.path': 1 }, limit: 1 } }));
  await ask(client.get(`${root}/a/2`, { fields: { one: 1 } }));
  await ask(client.get(`${root}/a/*`, { criteria: { two: { $no: 3 } } }));
  await ask(client.get(`${root}/a/*`, { aggregate: [] }));
  await ask(client.count(`${root}/a/*`, {}));
  await ask(client.set(`${root}/bad*`, {}, {}));
  await ask(client.set(`${root}/bad#`, {}, {}));
  await ask(client.remove(`${root}/bad?`, {}));
  await ask(client.set(`${root}/x`, { x: 1 }, { consistency: 7 } as never));
  await ask(client.increment(`${root}/counter`, 1 as unknown as string, 5, {}));
  await ask(client.on(`${root}/bad#`, {}, heard('never')));
  await ask(client.remove(`${root}/a/1`, {}));
  await ask(client.remove(`${root}/a/*`, {}));
  await ask(client.remove(`${root}/none`, {}));
  await ask(client.off(all));
  await ask(client.set(`${root}/a/6`, { unheardByAll: true }, {}));
  await ask(client.offPath(`${root}/a/*`));
  await ask(client.set(`${root}/a/6`, { unheard: true }, {}));
  await ask(client.on(`${root}/a/*`, { initialEmit: true }, heard('initial')));
  await ask(client.offAll());
  await ask(client.set(`${root}/a/6`, { unheard: 'too' }, {}));
  return told;
}

interface Told {
  readonly who?: string;
}

/** Answers by themselves, and what each listener heard: a websocket hands over the last event of a counted one a little later. */
function byListener(told: unknown[]): Map<string, unknown[]> {
  const lists = new Map<string, unknown[]>();
  for (const item of told) {
    // Handles are numbers of the client's own.
    if (typeof item === 'number' || item === undefined) continue;
    const who = (item as Told | null)?.who ?? 'answers';
    lists.set(who, [...(lists.get(who) ?? []), item]);
  }
  return lists;
}

describe('the local client', () => {
  it('is answered and hears what a websocket client does', async () => {
    const remote = await websocket();
    const local = await gateway.localClient();
    const other = await gateway.localClient();
    // Whoever listens besides changes nothing.
    await other.onAll(() => {});
    try {
      const expected = byListener((await story(remote, '/story')).map((item) => settled(item, new Map([[remote.session.id, 'SELF']]))));
      await remote.remove('/story/*', {});
      const told = byListener((await story(local, '/story')).map((item) => settled(item, new Map([[local.session.id, 'SELF']]))));
      expect(told).toEqual(expected);
      expect([...told.keys()].sort()).toEqual(['all', 'answers', 'initial', 'merge', 'remove', 'twice']);
      expect(told.get('answers')?.length).toBeGreaterThan(45);
    } finally {
      await Promise.all([remote.disconnect(), local.disconnect(), other.disconnect()]);
    }
  });

  it('hears websocket clients and is heard by them', async () => {
    const remote = await websocket();
    const local = await gateway.localClient();
    const events: unknown[] = [];
    await remote.on('/both/*', {}, (data: LocalDocument, meta: LocalMeta) => void events.push(['remote', data, meta.sessionId]));
    await local.on('/both/*', (data, meta) => void events.push(['local', data, meta.sessionId]));
    await remote.set('/both/1', { by: 'remote' });
    await local.set('/both/1', { by: 'local' });
    await until('four events', () => events.length === 4);
    expect(events).toContainEqual(['local', { by: 'remote' }, remote.session.id]);
    expect(events).toContainEqual(['remote', { by: 'local' }, local.session.id]);
    await Promise.all([remote.disconnect(), local.disconnect()]);
  });

  it('acknowledges publications of consistency 3, and is told when its own are acknowledged', async () => {
    const remote = await websocket();
    const local = await gateway.localClient();
    await remote.on('/sure', {}, () => {});
    const seen: LocalMeta[] = [];
    await local.on('/sure', (_data, meta) => void seen.push(meta));
    for (const client of [remote, local]) {
      const results = await new Promise<unknown>((resolve, reject) => {
        const onPublished = (error: Error | null, got?: unknown): void => (error ? reject(error) : resolve(got));
        client.set('/sure', { x: 1 }, { consistency: 3, onPublished }).catch(reject);
      });
      expect(results).toMatchObject({ successful: 2, acknowledged: 2, failed: 0 });
    }
    expect(seen.map((meta) => [meta.consistency, meta.acknowledged])).toEqual([
      [3, true],
      [3, true],
    ]);
    await expect(local.set('/sure', {}, { consistency: 3 })).rejects.toThrow('onPublished handler in options is missing');
    await Promise.all([remote.disconnect(), local.disconnect()]);
  });

  it('hears what MQTT and Haven write, and what it writes they read', async () => {
    const local = await gateway.localClient();
    const heard = new Map<string, unknown>();
    await local.on('/shared/*', (data, meta) => void heard.set(meta.path as string, data));
    const mqtt = await connectAsync(`mqtt://127.0.0.1:${gateway.listeners.get('mqtt')?.port}`);
    await mqtt.publishAsync('/shared/mqtt', '{"t":1}', { qos: 1, retain: true });
    await mqtt.publishAsync('/shared/bytes', Buffer.from([0xff, 0]), { qos: 1, retain: true });
    const haven = await HavenClient.connect(gateway.listeners.get('haven')?.port as number);
    await haven.write('/shared/haven', { list: [1, new Uint8Array([1])] });
    await until('three events', () => heard.size === 3);
    expect(heard.get('/shared/mqtt')).toEqual({ t: 1 });
    expect(heard.get('/shared/bytes')).toEqual({ $binary: { base64: '/wA=', subType: '00' } });
    expect(heard.get('/shared/haven')).toEqual({ list: [1, { $binary: { base64: 'AQ==', subType: '00' } }] });
    await local.set('/shared/back', { from: 'inside' });
    const got = new Promise((resolve) => mqtt.once('message', (_topic, payload) => resolve(String(payload))));
    await mqtt.subscribeAsync('/shared/back', { qos: 1 });
    expect(await got).toBe('{"from":"inside"}');
    await Promise.all([mqtt.endAsync(), haven.close(), local.disconnect()]);
  });
});
