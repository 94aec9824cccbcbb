// Every row of part B of the reference, against the running gateway: in both shapes, both framings, and over websocket.

import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { HappnWire } from '../support/happn-wire.js';
import { HavenClient, type HavenClientOptions, type HavenEvent, prefixed } from '../support/haven-client.js';
import { type ShapeName, type Talk, type Told, talk } from '../support/haven-shapes.js';

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await startGateway({
    flags: ['--history', '[{"pattern":"/history/*","revisions":100}]', '--haven-watch-max-events', '5', '--haven-heartbeat-min-ms', '1000'],
  });
});
afterAll(async () => {
  expect(await gateway.stop()).toEqual({ code: 0, signal: null });
});

const ROADS: { readonly [road: string]: () => HavenClientOptions } = {
  prefixed: () => ({ framing: 'prefixed' }),
  bare: () => ({ framing: 'bare' }),
  websocket: () => ({ url: `ws://127.0.0.1:${gateway.ports.happn}/haven` }),
};
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const open = (road: string): Promise<HavenClient> => HavenClient.connect(gateway.ports.haven, { ...ROADS[road]?.(), hello: false });

async function connected(road: string, shape: ShapeName): Promise<Talk> {
  const peer = talk(await open(road), shape);
  expect(await peer.connect()).toMatchObject({ code: 0 });
  return peer;
}

/** Heartbeats until so many events came. */
async function eventsOf({ heartbeat }: Talk, count: number): Promise<HavenEvent[]> {
  const events: HavenEvent[] = [];
  while (events.length < count) events.push(...(await heartbeat()).events);
  return events;
}

const combinations = (['map', 'array'] as const).flatMap((shape) => Object.keys(ROADS).map((road) => [shape, road] as const));
let places = 0;

describe.each(combinations)('%s, %s', (shape, road) => {
  const place = (): string => `/rows/${++places}`;
  const peer = (): Promise<Talk> => connected(road, shape);

  describe('B.1 one connection', () => {
    it('answers in the framing and the shape of the request, in order, with its id', async () => {
      const { client } = await peer();
      const at = place();
      const mixed = [
        client.ask({ action: 'query', type: 'write', path: at, value: 1, id: 'a' }),
        client.ask([2, 1, 0x0c, null, at, null]),
        client.ask({ action: 'query', type: 'read', path: at, id: [7, null] }),
        client.ask([7]),
        client.ask({ action: 'nothing', id: 'b' }),
        client.ask([99]),
      ];
      expect(await Promise.all(mixed)).toEqual([
        expect.objectContaining({ result: true, id: 'a' }),
        [0x14, 0, 1],
        expect.objectContaining({ result: true, value: 1, id: [7, null] }),
        [1, 0, [], expect.anything()],
        { result: false, error: { code: 9, name: 'UNSUPPORTED', message: expect.any(String) }, id: 'b' },
        [0x34, 9, { name: 'UNSUPPORTED', message: expect.any(String) }],
      ]);
    });

    it('text may come as bytes', async () => {
      const { client, data } = await peer();
      const at = place();
      await data('write', at, { value: 'x' });
      const path = Buffer.from(at);
      const request =
        shape === 'map' ? { action: Buffer.from('query'), type: Buffer.from('read'), key: path } : [2, 1, 0x0c, null, path, null];
      const answer = await client.ask(request);
      expect(shape === 'map' ? answer.value : answer[2]).toBe('x');
    });

    it('what is no MessagePack is answered, then the connection ends; others live on', async () => {
      const other = await peer();
      const { client } = await peer();
      const bytes = Buffer.of(shape === 'map' ? 0x81 : 0x91, 0xc1);
      client.raw(road === 'prefixed' ? prefixed(bytes) : bytes);
      await client.ended;
      const [answer] = client.strays;
      expect(Array.isArray(answer) ? answer[1] : answer.error.code).toBe(1);
      expect((await other.heartbeat()).events).toEqual([]);
    });
  });

  describe('B.2 CONNECT', () => {
    it('comes first, as version 1 in text or number, and once', async () => {
      const { connect, data, heartbeat } = talk(await open(road), shape);
      expect((await data('read', '/x')).code).toBe(4);
      expect((await connect({ version: shape === 'map' ? 1 : '1' })).code).toBe(0);
      expect((await connect()).code).toBe(1);
      expect((await heartbeat()).missed).toBe(0);
    });

    it('tells who answers, and for how long one may be silent', async () => {
      const { connect } = talk(await open(road), shape);
      const told = await connect({ heartbeat: 5_000 });
      const known = {
        version: '1',
        session: expect.any(String),
        node: { uuid: expect.stringMatching(UUID), name: expect.any(String) },
        heartbeat: 5_000,
      };
      expect(told).toEqual(shape === 'map' ? { code: 0, ...known } : { code: 0 });
    });

    it.each([
      ['another version', { version: 2 }, 2],
      ['another magic', { magic: 7 }, 3],
    ])('%s is told, then the connection ends', async (_what, fields, code) => {
      const { connect, client } = talk(await open(road), shape);
      expect((await connect(fields)).code).toBe(code);
      await client.ended;
    });

    it('a session that is silent for longer is dropped', async () => {
      // Arrays propose nothing: theirs is the gateway's.
      const { connect, client } = talk(await open(road), 'map');
      expect(await connect({ heartbeat: 1 })).toMatchObject({ code: 0, heartbeat: 1_000 });
      await client.ended;
    });
  });

  describe('B.3 DATA', () => {
    it('create: only where nothing is', async () => {
      const { data } = await peer();
      const at = place();
      expect(await data('create', at, { value: 1 })).toMatchObject({ code: 0, revision: expect.any(Number) });
      expect(await data('create', at, { value: 2 })).toMatchObject({ code: 8, name: 'CONFLICT' });
      expect((await data('read', at)).value).toBe(1);
    });

    it('write: creates or replaces', async () => {
      const { data } = await peer();
      const at = place();
      const first = await data('write', at, { value: { a: 1 } });
      const second = await data('write', at, { value: { b: 2 } });
      expect(second).toEqual({ code: 0, revision: expect.any(Number), created: first.created, modified: expect.any(Number) });
      expect(second.revision).toBeGreaterThan(first.revision);
      expect((await data('read', at)).value).toEqual({ b: 2 });
    });

    it('update: only where something is; merges one level', async () => {
      const { data } = await peer();
      const at = place();
      expect(await data('update', at, { value: 1 })).toMatchObject({ code: 7, name: 'NOT_FOUND' });
      await data('write', at, { value: { a: { x: 1 }, b: 1 } });
      expect((await data('update', at, { value: { a: { y: 2 } }, merge: true })).code).toBe(0);
      expect((await data('read', at)).value).toEqual({ a: { y: 2 }, b: 1 });
      expect((await data('update', at, { value: 'all' })).code).toBe(0);
      expect((await data('read', at)).value).toBe('all');
    });

    it('read: one record', async () => {
      const { data } = await peer();
      const at = place();
      const { revision, created, modified } = await data('write', at, { value: [1] });
      const known = shape === 'map' ? { revision, created, modified } : {};
      expect(await data('read', at)).toEqual({ code: 0, value: [1], ...known });
      expect(await data('read', `${at}/none`)).toMatchObject({ code: 7 });
    });

    it('read with wildcards: criteria, fields, sort, limit, after', async () => {
      const { data } = await peer();
      const at = place();
      for (const n of [1, 2, 3, 4]) await data('write', `${at}/${n}`, { value: { n, odd: n % 2 === 1 } });
      const values = (told: Told): unknown[] => told.items.map((item: { value: unknown }) => item.value);
      const all = await data('read', `${at}/*`);
      expect(all.more).toBeUndefined();
      expect(all.items[0]).toEqual({
        path: `${at}/1`,
        value: { n: 1, odd: true },
        revision: expect.any(Number),
        created: expect.any(Number),
        modified: expect.any(Number),
      });
      expect(values(all)).toMatchObject([{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]);
      const two = await data('read', `${at}/*`, { limit: 2 });
      expect([values(two), two.more]).toMatchObject([[{ n: 1 }, { n: 2 }], true]);
      expect(values(await data('read', `${at}/*`, { after: `${at}/3` }))).toMatchObject([{ n: 4 }]);
      expect(values(await data('read', `${at}/*`, { criteria: { odd: true }, fields: { n: 1 }, sort: { n: -1 } }))).toEqual([
        { n: 3 },
        { n: 1 },
      ]);
    });

    it('delete: one record, those of a pattern, those that meet criteria', async () => {
      const { data } = await peer();
      const at = place();
      for (const n of [1, 2, 3, 4]) await data('write', `${at}/${n}`, { value: { n } });
      expect(await data('delete', `${at}/1`)).toEqual({ code: 0, removed: 1 });
      expect(await data('delete', `${at}/1`)).toEqual({ code: 0, removed: 0 });
      expect(await data('delete', `${at}/*`, { criteria: { n: 2 } })).toEqual({ code: 0, removed: 1 });
      expect(await data('delete', `${at}/*`)).toEqual({ code: 0, removed: 2 });
    });

    it('expect: compare-and-set on create, write, update and delete', async () => {
      const { data } = await peer();
      const at = place();
      const { revision } = await data('write', at, { value: 1, expect: 0 });
      for (const type of ['write', 'update', 'delete']) {
        expect(await data(type, at, { ...(type === 'delete' ? {} : { value: 2 }), expect: revision + 1 }), type).toMatchObject({ code: 8 });
      }
      expect(await data('create', at, { value: 2, expect: revision })).toMatchObject({ code: 8 });
      const updated = await data('update', at, { value: 2, expect: revision });
      expect(updated.code).toBe(0);
      expect(await data('delete', at, { expect: updated.revision })).toEqual({ code: 0, removed: 1 });
      expect((await data('create', at, { value: 3, expect: 0 })).code).toBe(0);
    });

    it('watch: initial records, then what happens, oldest first; unwatch by number and by path', async () => {
      const { data, heartbeat, ...rest } = await peer();
      const at = place();
      await data('write', `${at}/a`, { value: 1 });
      const { watch } = await data('watch', `${at}/*`, { initial: true });
      await data('write', `${at}/b`, { value: Buffer.from([0, 255]) });
      await data('delete', `${at}/a`);
      expect(await eventsOf({ data, heartbeat, ...rest }, 3)).toEqual([
        { watch, path: `${at}/a`, type: 'write', value: 1, revision: expect.any(Number), time: expect.any(Number), by: '' },
        {
          watch,
          path: `${at}/b`,
          type: 'write',
          value: Buffer.from([0, 255]),
          revision: expect.any(Number),
          time: expect.any(Number),
          by: '',
        },
        { watch, path: `${at}/a`, type: 'delete', revision: expect.any(Number), time: expect.any(Number), by: '' },
      ]);
      await data('watch', `${at}/b`);
      expect((await data('unwatch', null, { watch })).code).toBe(0);
      expect((await data('unwatch', `${at}/b`)).code).toBe(0);
      expect((await data('unwatch', `${at}/b`)).code).toBe(7);
      await data('write', `${at}/b`, { value: 2 });
      expect((await heartbeat()).events).toEqual([]);
    });

    it('watch with push: events at once in maps, refused in arrays', async () => {
      const { data, client } = await peer();
      const at = place();
      const told = await data('watch', at, { push: true });
      if (shape === 'array') {
        expect(told).toMatchObject({ code: 9, name: 'UNSUPPORTED' });
        return;
      }
      await data('write', at, { value: 1 });
      await until('the event', () => client.pushed.length === 1);
      expect(client.pushed[0]).toMatchObject({ watch: told.watch, path: at, type: 'write', value: 1 });
    });

    it('watch from a revision, as long as history has it', async () => {
      const { data, heartbeat, ...rest } = await peer();
      const at = `/history${place()}`;
      const { revision } = await data('write', `${at}/a`, { value: 1 });
      await data('write', `${at}/a`, { value: 2 });
      await data('delete', `${at}/a`);
      await data('watch', `${at}/*`, { since: revision });
      await data('write', `${at}/a`, { value: 3 });
      const events = await eventsOf({ data, heartbeat, ...rest }, 3);
      expect(events.map(({ type, value }) => [type, value])).toEqual([
        ['write', 2],
        ['delete', undefined],
        ['write', 3],
      ]);
    });

    it('transaction: all or nothing; the error names the operation', async () => {
      const { data } = await peer();
      const at = place();
      const done = await data('transaction', null, {
        ops: [
          { type: 'create', path: `${at}/a`, value: 1 },
          { type: 'write', path: `${at}/b`, value: 2, expect: 0 },
        ],
      });
      expect(done).toEqual({ code: 0, revisions: [expect.any(Number), expect.any(Number)] });
      const failed = await data('transaction', null, {
        ops: [
          { type: 'delete', path: `${at}/a` },
          { type: 'write', path: `${at}/b`, value: 3, expect: 0 },
        ],
      });
      expect(failed).toMatchObject({ code: 8, op: 1 });
      expect((await data('read', `${at}/a`)).value).toBe(1);
    });

    it('modes: RW writes, RO does not, RB is never behind, RT reads the past where it is kept', async () => {
      const { data } = await peer();
      const at = `/history${place()}/a`;
      const first = await data('write', at, { value: 'then', mode: 'rw' });
      expect((await data('write', at, { value: 'x', mode: 'ro' })).code).toBe(6);
      expect((await data('delete', at, { mode: 'ro' })).code).toBe(6);
      expect((await data('read', at, { mode: 'ro' })).value).toBe('then');
      await data('write', at, { value: 'now' });
      expect((await data('read', at, { mode: 'rb', bound: 0 })).value).toBe('now');
      expect((await data('read', at, { mode: 'rt', revision: first.revision })).value).toBe('then');
      expect((await data('read', at, { mode: 'rt', time: first.created - 1 })).code).toBe(7);
      expect((await data('read', at, { mode: 'rt', time: [first.created - 1, Date.now() + 60_000] })).value).toBe('now');
      const elsewhere = place();
      await data('write', elsewhere, { value: 1 });
      expect((await data('read', elsewhere, { mode: 'rt', time: Date.now() })).code).toBe(9);
    });

    it('a wildcard where one record is meant is error 11', async () => {
      const { data } = await peer();
      expect((await data('write', '/rows/*', { value: 1 })).code).toBe(11);
      expect((await data('create', '', { value: 1 })).code).toBe(11);
    });

    it('happn and MQTT see the same record and the same event, and the reverse', async () => {
      const { data, heartbeat, ...rest } = await peer();
      const at = place();
      const happn = await (await HappnWire.connect(`ws://127.0.0.1:${gateway.ports.happn}/primus`)).login();
      const device = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`);
      await device.subscribeAsync(`${at}/#`);
      const heard: [string, string][] = [];
      device.on('message', (topic, payload) => heard.push([topic, payload.toString('latin1')]));
      await data('watch', `${at}/*`);

      await data('write', `${at}/haven`, { value: { n: 1 } });
      await data('write', `${at}/bytes`, { value: Buffer.from([0, 255]) });
      await happn.request('set', { path: `${at}/happn`, data: { n: 2 } });
      await device.publishAsync(`${at}/mqtt`, '{"n":3}', { retain: true, qos: 1 });

      await until('MQTT heard all', () => heard.length === 4);
      expect(Object.fromEntries(heard)).toEqual({
        [`${at}/haven`]: '{"n":1}',
        [`${at}/bytes`]: '\u0000ÿ',
        [`${at}/happn`]: '{"n":2}',
        [`${at}/mqtt`]: '{"n":3}',
      });
      const events = await eventsOf({ data, heartbeat, ...rest }, 4);
      expect(events.map(({ path, value }) => [path.slice(at.length), value])).toEqual([
        ['/haven', { n: 1 }],
        ['/bytes', Buffer.from([0, 255])],
        ['/happn', { n: 2 }],
        ['/mqtt', { n: 3 }],
      ]);
      expect((await data('read', `${at}/mqtt`)).value).toEqual({ n: 3 });
      expect((await happn.request('get', { path: `${at}/haven` })).data).toMatchObject({ n: 1 });
      expect((await happn.request('get', { path: `${at}/bytes` })).data).toMatchObject({ $binary: { base64: 'AP8=', subType: '00' } });
      await device.endAsync();
      await happn.close();
    });
  });

  describe('B.4 HEARTBEAT', () => {
    it('tells the state, and what a full list had to let go', async () => {
      const { data, heartbeat } = await peer();
      const at = place();
      const { watch } = await data('watch', `${at}/*`);
      for (let n = 0; n < 8; n++) await data('write', `${at}/${n}`, { value: n });
      const { events, missed, state } = await heartbeat();
      expect(events.map(({ value }) => value)).toEqual([3, 4, 5, 6, 7]);
      expect(events.every((event) => event.watch === watch)).toBe(true);
      expect(missed).toBe(3);
      expect(state).toEqual({
        uuid: expect.stringMatching(UUID),
        name: expect.any(String),
        roles: expect.any(Array),
        quorums: expect.any(Array),
        uptime: expect.any(Number),
        load: {
          sessions: expect.any(Number),
          queued: expect.any(Number),
          messagesPerSecond: expect.any(Number),
          eventLoopDelayMs: expect.any(Number),
        },
      });
      expect((await heartbeat()).missed).toBe(0);
    });
  });

  describe('B.5 CONTROL and B.6 DISCOVER', () => {
    const base = `/rows_${shape}_${road}`;

    it('location: taken, found, given up', async () => {
      const { control, discover, heartbeat } = await peer();
      const { uuid: node } = (await heartbeat()).state;
      expect((await discover('location')).code).toBe(7);
      expect(await control('location')).toEqual({ code: 0, uuid: node });
      expect(await discover('location')).toMatchObject({
        code: 0,
        location: { address: '127.0.0.1', port: gateway.ports.haven, uuid: node, role: 'location', versions: ['1'] },
      });
      expect((await discover('uuid', { uuid: node })).location).toMatchObject({ uuid: node });
      expect(await control('exit')).toEqual({ code: 0, uuid: node });
      expect((await discover('location')).code).toBe(7);
    });

    it('leader, follower, destroy: a quorum comes, is joined, found by its longest base key and its uuid, and goes', async () => {
      const watcher = await peer();
      const { control, discover, heartbeat } = await peer();
      await watcher.data('watch', '/_HAVEN/*');
      const { uuid } = await control('leader', { path: base });
      expect(uuid).toMatch(UUID);
      expect((await control('leader', { path: base })).code).toBe(8);
      const inner = await control('leader', { path: `${base}/inner` });
      expect(await control('follower', { uuid })).toEqual({ code: 0, uuid });
      expect(await control('follower', { path: base })).toEqual({ code: 0, uuid });
      expect(await control('follower', { uuid: Buffer.from(uuid.replaceAll('-', ''), 'hex') })).toEqual({ code: 0, uuid });
      const node = (await heartbeat()).state.uuid;
      expect((await discover('quorum', { path: `${base}/other` })).location).toMatchObject({
        uuid,
        role: 'leader',
        path: base,
        leader: node,
        members: [node],
      });
      expect((await discover('quorum', { path: `${base}/inner/x` })).location.uuid).toBe(inner.uuid);
      expect((await discover('uuid', { uuid })).location.path).toBe(base);
      expect((await control('exit')).code).toBe(8);
      for (const quorum of [inner.uuid, uuid]) expect(await control('destroy', { uuid: quorum })).toEqual({ code: 0, uuid: quorum });
      expect((await discover('uuid', { uuid })).code).toBe(7);
      expect((await discover('quorum', { path: base })).code).toBe(7);
      const announced = await eventsOf(watcher, 4);
      expect(announced.map(({ type }) => type)).toEqual(['write', 'write', 'delete', 'delete']);
    });

    it('processor, join and leave are words of the map shape alone', async () => {
      const { control, heartbeat } = talk((await peer()).client, 'map');
      const node = (await heartbeat()).state.uuid;
      expect(await control('processor', { path: base })).toEqual({ code: 0, uuid: node });
      const { uuid } = await control('leader', { path: base });
      expect(await control('join', { path: base })).toEqual({ code: 0, uuid });
      expect((await control('leave', { path: base })).code).toBe(8);
      expect((await control('exit', { force: true })).code).toBe(0);
      // It is looked at now and then.
      await until('no role and no quorum', async () => {
        const { roles, quorums } = (await heartbeat()).state;
        return roles.length === 0 && quorums.length === 0;
      });
    });

    it('proxy and router: forward only, to nobody as long as there is no other node', async () => {
      const { control, data } = await peer();
      expect((await control('router', { path: base })).code).toBe(0);
      expect((await data('write', `${base}/1`, { value: 1 })).code).toBe(9);
      expect((await data('write', place(), { value: 1 })).code).toBe(0);
      expect((await control('proxy')).code).toBe(0);
      expect((await data('read', place())).code).toBe(9);
      expect((await control('exit')).code).toBe(0);
      expect((await data('write', `${base}/1`, { value: 1 })).code).toBe(0);
    });

    it('attach: paths of this connection are relative to the base key', async () => {
      const other = await peer();
      const { control, data, heartbeat, ...rest } = await peer();
      const { uuid } = await control('leader', { path: base });
      expect(await control('attach', { uuid })).toEqual({ code: 0, uuid });
      await data('watch', '/*');
      await data('write', '/1', { value: 'near' });
      expect((await other.data('read', `${base}/1`)).value).toBe('near');
      const [event] = await eventsOf({ control, data, heartbeat, ...rest }, 1);
      expect(event).toMatchObject({ path: '/1', value: 'near' });
      expect(await data('delete', '/*')).toMatchObject({ removed: 1 });
      expect((await control('destroy', { uuid })).code).toBe(0);
    });

    it.each([
      ['an unknown uuid', 'destroy', { uuid: '00000000-0000-4000-8000-000000000000' }, 7],
      ['a base key that is none', 'leader', { path: 'Plant 1' }, 11],
      ['a uuid that is none', 'attach', { uuid: 'x' }, 1],
    ])('%s is told', async (_what, type, fields, code) => {
      const { control } = await peer();
      expect((await control(type, fields)).code).toBe(code);
    });
  });
});

it('what a node is survives a restart, in all shapes and over all roads', async () => {
  const made = await Promise.all(
    combinations.map(async ([shape, road]) => {
      const base = `/restarted/${shape}/${road}`;
      const { control } = await connected(road, shape);
      return { shape, road, base, uuid: (await control('leader', { path: base })).uuid };
    }),
  );
  await gateway.restart();
  for (const { shape, road, base, uuid } of made) {
    const { discover, control } = await connected(road, shape);
    expect((await discover('uuid', { uuid })).location.path).toBe(base);
    expect((await control('destroy', { uuid })).code).toBe(0);
  }
});
