// Haven against the running gateway: the same stories in both shapes, both framings, over TCP and over websocket.

import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import {
  type Answer,
  type Fields,
  HavenClient,
  type HavenClientOptions,
  type HavenEvent,
  pack,
  prefixed,
} from '../support/haven-client.js';

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await startGateway();
});

afterAll(async () => {
  expect(await gateway.stop()).toEqual({ code: 0, signal: null });
});

/** One way to speak Haven: what a story needs of it, whatever the shape. */
interface Speaker {
  readonly client: HavenClient;
  data(type: string, path: string | null, value?: unknown, options?: Fields): Promise<Answer>;
  /** [watchlist, state, missed] */
  beat(): Promise<[HavenEvent[], Answer, number]>;
}

const VERBS: { readonly [type: string]: number } = { read: 1, write: 3, transaction: 4, unwatch: 5, delete: 6, watch: 7 };

function mapSpeaker(client: HavenClient): Speaker {
  return {
    client,
    data: (type, path, value, options = {}) =>
      client.ask({ action: 'query', type, ...(path === null ? {} : { path }), ...(value === undefined ? {} : { value }), ...options }),
    beat: async () => {
      const { result, state, missed } = await client.heartbeat();
      return [result, state, missed ?? 0];
    },
  };
}

function arraySpeaker(client: HavenClient): Speaker {
  return {
    client,
    data: async (type, path, value = null, options = {}) => {
      const [status, code, body] = await client.ask([2, VERBS[type], 0x0c, null, path, value, options]);
      if (status !== 0x14) return { result: false, error: { code, ...body } };
      return type === 'read' && !(path ?? '').includes('*') ? { result: true, value: body } : { result: true, ...body };
    },
    beat: async () => {
      const [success, code, list, state, missed] = await client.ask([7]);
      expect([success, code]).toEqual([1, 0]);
      return [list, state, missed ?? 0];
    },
  };
}

const ROADS: { readonly name: string; readonly options: () => HavenClientOptions }[] = [
  { name: 'TCP, prefixed', options: () => ({ framing: 'prefixed' }) },
  { name: 'TCP, bare', options: () => ({ framing: 'bare' }) },
  { name: 'websocket', options: () => ({ url: `ws://127.0.0.1:${gateway.ports.happn}/haven` }) },
];
const SHAPES = [
  { name: 'map', speaker: mapSpeaker, hello: { action: 'connect', version: '1' } as unknown },
  { name: 'array', speaker: arraySpeaker, hello: [1, 0xdecafbad, 1] as unknown },
];

let stories = 0;

describe.each(ROADS)('$name', ({ options }) => {
  describe.each(SHAPES)('$name shape', ({ speaker, hello }) => {
    async function speak(): Promise<Speaker> {
      const client = await HavenClient.connect(gateway.ports.haven, { ...options(), hello: false });
      const answer = await client.ask(hello);
      expect(Array.isArray(answer) ? answer : answer.result).toEqual(Array.isArray(hello) ? [1, 0, 1] : true);
      return speaker(client);
    }
    const place = (): string => `/interop/${++stories}`;

    it('values of every kind are read as they were written', async () => {
      const { data, client } = await speak();
      const at = place();
      const values = [null, true, 0, -5, 2 ** 40, 1.5, '', 'täxt', Buffer.from([0, 255]), new Date(1_234_567), [1, [2]], { a: { b: [] } }];
      for (const value of values) {
        // A nil in the array shape is a value in its place.
        expect(await data('write', at, value)).toMatchObject({ result: true, revision: expect.any(Number) });
        expect((await data('read', at)).value).toEqual(value);
      }
      await client.close();
    });

    it('compare-and-set: one of two wins, the other hears of it', async () => {
      const [one, two] = await Promise.all([speak(), speak()]);
      const at = place();
      const { revision } = await one.data('write', at, 'first', { expect: 0 });
      const [first, second] = await Promise.all([
        one.data('write', at, 'one', { expect: revision }),
        two.data('write', at, 'two', { expect: revision }),
      ]);
      expect([first.result, second.result].sort()).toEqual([false, true]);
      expect((first.result ? second : first).error).toMatchObject({ code: 8, name: 'CONFLICT', message: expect.any(String) });
      expect((await one.data('read', at)).value).toBe(first.result ? 'one' : 'two');
      await Promise.all([one.client.close(), two.client.close()]);
    });

    it('a transaction moves a record, or fails and leaves it where it is', async () => {
      const { data, client } = await speak();
      const at = place();
      const { revision } = await data('write', `${at}/from`, 'it');
      const move = (expect: number): Fields => ({
        ops: [
          { type: 'delete', path: `${at}/from`, expect },
          { type: 'create', path: `${at}/to`, value: 'it' },
        ],
      });
      expect((await data('transaction', null, undefined, move(revision + 1))).error).toMatchObject({ code: 8, op: 0 });
      expect((await data('read', `${at}/from`)).value).toBe('it');
      const moved = await data('transaction', null, undefined, move(revision));
      expect(moved).toMatchObject({ result: true, revisions: [expect.any(Number), expect.any(Number)] });
      const { items } = await data('read', `${at}/*`);
      expect(items).toMatchObject([{ path: `${at}/to`, value: 'it', revision: moved.revisions[1] }]);
      await client.close();
    });

    it('a watcher is told of all that happens, in order, with its heartbeat', async () => {
      const [watcher, writer] = await Promise.all([speak(), speak()]);
      const at = place();
      await writer.data('write', `${at}/before`, 0);
      const { watch } = await watcher.data('watch', `${at}/*`, undefined, { initial: true });
      for (let n = 1; n <= 3; n++) await writer.data('write', `${at}/a`, n);
      await writer.data('delete', `${at}/*`);
      const events: HavenEvent[] = [];
      while (events.length < 6) {
        const [list, state, missed] = await watcher.beat();
        events.push(...list);
        expect(missed).toBe(0);
        expect(state).toMatchObject({ uuid: expect.any(String), load: { sessions: expect.any(Number) } });
      }
      expect(events.map(({ path, type, value }) => [path.slice(at.length), type, value])).toEqual([
        ['/before', 'write', 0],
        ['/a', 'write', 1],
        ['/a', 'write', 2],
        ['/a', 'write', 3],
        ['/a', 'delete', undefined],
        ['/before', 'delete', undefined],
      ]);
      expect(new Set(events.map((event) => event.watch))).toEqual(new Set([watch]));
      expect(await watcher.data('unwatch', null, undefined, { watch })).toMatchObject({ result: true });
      await Promise.all([watcher.client.close(), writer.client.close()]);
    });

    it('lists what is below a path, in slices', async () => {
      const { data, client } = await speak();
      const at = place();
      await Promise.all(['c', 'a', 'b'].map((name) => data('write', `${at}/${name}`, name)));
      const first = await data('read', `${at}/*`, undefined, { limit: 2 });
      expect(first.items.map(({ value }: Answer) => value)).toEqual(['a', 'b']);
      const rest = await data('read', `${at}/*`, undefined, { limit: 2, after: first.items[1].path });
      expect(rest.items.map(({ value }: Answer) => value)).toEqual(['c']);
      expect(await data('delete', `${at}/*`)).toEqual({ result: true, removed: 3 });
      expect((await data('read', `${at}/a`)).error.code).toBe(7);
      await client.close();
    });

    it('a thousand pipelined writes are answered in their order', async () => {
      const { data, client } = await speak();
      const at = place();
      const answers = await Promise.all(Array.from({ length: 1_000 }, (_, n) => data('write', at, n)));
      const revisions = answers.map(({ revision }) => revision as number);
      expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
      expect((await data('read', at)).value).toBe(999);
      await client.close();
    });
  });
});

describe('the process', () => {
  it('shapes may be mixed on one connection: each answer has the shape of its request', async () => {
    const client = await HavenClient.connect(gateway.ports.haven);
    await client.write('/mixed', 'value', { id: Buffer.from([1, 2]) });
    expect(await client.ask([2, 1, 0x0d, null, '/mixed', null])).toEqual([0x14, 0, 'value']);
    expect(await client.read('/mixed', { id: { any: 'value' } })).toMatchObject({ value: 'value', id: { any: 'value' } });
    await client.close();
  });

  it('hundreds of broken connections harm nobody', async () => {
    const client = await HavenClient.connect(gateway.ports.haven);
    await client.watch('/broken', { push: true });
    const bad = [
      Buffer.from([0xc1]),
      Buffer.from('hello'),
      prefixed(Buffer.from([0xc1])),
      Buffer.alloc(100, 0x91),
      Buffer.from([0x7f, 0xff, 0xff, 0xff]),
    ];
    const ends = Array.from({ length: 200 }, async (_, n) => {
      const socket = connectTcp(gateway.ports.haven, '127.0.0.1');
      socket.on('error', () => socket.destroy());
      socket.resume();
      const closed = new Promise((resolve) => socket.once('close', resolve));
      await once(socket, 'connect');
      socket.write(bad[n % bad.length] as Buffer);
      await closed;
    });
    for (let n = 0; n < 100; n++) await client.write('/broken', n);
    await Promise.all(ends);
    expect(client.pushed.map(({ value }) => value)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    await client.close();
  });

  it('one that ends in the middle of a message, or of everything, leaves nothing behind', async () => {
    const client = await HavenClient.connect(gateway.ports.haven);
    const sessions = async (): Promise<number> => (await client.heartbeat()).state.load.sessions;
    await until('the others are gone', async () => (await sessions()) === 1);
    const others = await Promise.all(Array.from({ length: 20 }, () => HavenClient.connect(gateway.ports.haven)));
    for (const other of others) other.send({ action: 'query', type: 'watch', path: '/gone/*', push: true });
    for (const other of others) other.raw(prefixed(pack({ action: 'query' })).subarray(0, 7));
    await until('they are counted', async () => (await sessions()) === 21);
    await Promise.all(others.map((other) => other.close()));
    await until('they are forgotten', async () => (await sessions()) === 1);
    await client.close();
  });

  it('what was answered is there after a kill', async () => {
    const own = await startGateway();
    const client = await HavenClient.connect(own.ports.haven);
    const { uuid } = await client.request({ action: 'become', type: 'leader', path: '/kept' });
    const value = { list: [1, 'two'], bytes: Buffer.from([0, 1, 254, 255]), at: new Date(1_700_000_000_123) };
    const written = await client.write('/kept', value);
    await own.restart({ kill: true });
    const later = await HavenClient.connect(own.ports.haven, { framing: 'bare' });
    expect(await later.read('/kept')).toEqual({ ...written, value });
    expect((await later.heartbeat()).state.quorums).toEqual([{ uuid, path: '/kept', role: 'leader', members: 1 }]);
    expect((await later.write('/kept', 2)).revision).toBeGreaterThan(written.revision);
    await own.stop();
    await Promise.all([client.ended, later.ended]);
  });
});
