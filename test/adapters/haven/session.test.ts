import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { HavenAdapter, type HavenConfig } from '../../../src/adapters/haven/index.js';
import { HavenSession } from '../../../src/adapters/haven/session.js';
import { MAGIC } from '../../../src/adapters/haven/wire.js';
import { type Clock, goodbye, type Reply } from '../../../src/core/index.js';
import type { Address } from '../../support/contract-house.js';
import { ContractHouse } from '../../support/contract-house.js';
import { type Answer, HavenClient, type HavenClientOptions, type HavenEvent, pack, prefixed } from '../../support/haven-client.js';
import { SetClock } from '../../support/set-clock.js';
import { hex } from './support.js';

let house: ContractHouse;
let at: Address;
let adapter: HavenAdapter;

async function begin(config: Partial<HavenConfig> = {}, clock?: Clock): Promise<void> {
  house = new ContractHouse(undefined, undefined, undefined, clock);
  await house.start();
  adapter = new HavenAdapter({ port: 0, ...config });
  at = await house.add(adapter);
}

beforeEach(() => begin());
afterEach(() => house.stop());

async function again(config: Partial<HavenConfig>, clock?: Clock): Promise<void> {
  await house.stop();
  await begin(config, clock);
}

const connect = (options: HavenClientOptions = {}): Promise<HavenClient> => HavenClient.connect(at.port, options);
const overWebsocket = (): string => `ws://127.0.0.1:${at.httpPort}/haven`;
const error = (code: number, name: string): Answer => ({ result: false, error: { code, name, message: expect.any(String) } });
const fault = (code: number, name: string): Answer => ({ code, errorName: name });

/** Waits for a fact about this process; the test's own time limit bounds it. */
async function become(fact: () => boolean): Promise<void> {
  while (!fact()) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Time goes on, by so much in each turn of the loop, until that has come. */
async function passing(clock: SetClock, ms: number, fact: Promise<unknown>): Promise<void> {
  let isThere = false;
  void fact.then(() => (isThere = true));
  await become(() => {
    if (!isThere) clock.pass(ms);
    return isThere;
  });
}

async function rawSocket(): Promise<{ socket: Socket; received: () => Buffer; closed: Promise<unknown> }> {
  const socket = connectTcp(at.port, at.host);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => socket.destroy());
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  return { socket, received: () => Buffer.concat(chunks), closed };
}

describe('CONNECT', () => {
  it('opens a session and introduces the node', async () => {
    const { hello } = await connect({ connect: { id: 'a', magic: MAGIC, client: 'test' } });
    expect(hello).toEqual({
      result: true,
      version: '1',
      session: expect.stringMatching(/^[0-9a-f]{32}$/),
      node: { uuid: expect.any(String), name: 'house' },
      heartbeat: 60_000,
      id: 'a',
    });
  });

  it('answers an array with an array', async () => {
    const client = await connect({ hello: false });
    expect(await client.ask([1, MAGIC, 1])).toEqual([1, 0, 1]);
    expect(await client.ask([2, 3, 0x0c, null, '/a', 'x'])).toEqual([0x14, 0, expect.objectContaining({ revision: 1 })]);
  });

  it.each<[string, unknown, Answer]>([
    ['a wrong version', { action: 'connect', version: '2', id: 1 }, { ...error(2, 'UNSUPPORTED_VERSION'), id: 1 }],
    ['no version', { action: 'connect' }, error(2, 'UNSUPPORTED_VERSION')],
    ['a wrong magic', { action: 'connect', version: 1, magic: 1 }, error(3, 'BAD_MAGIC')],
    ['a wrong version (array)', [1, MAGIC, 9], [0, 2, 1, { name: 'UNSUPPORTED_VERSION', message: expect.any(String) }]],
    ['a wrong magic (array)', [1, 7, 1], [0, 3, 1, { name: 'BAD_MAGIC', message: expect.any(String) }]],
    ['no magic (array)', [1], [0, 3, 1, { name: 'BAD_MAGIC', message: expect.any(String) }]],
  ])('answers %s, then closes', async (_name, message, answer) => {
    for (const options of [{}, { framing: 'bare' as const }, { url: overWebsocket() }]) {
      const client = await connect({ ...options, hello: false });
      expect(await client.ask(message)).toEqual(answer);
      await client.ended;
    }
  });

  it('comes first: anything else is error 4, and the connection lives', async () => {
    const client = await connect({ hello: false });
    expect(await client.ask({ action: 'heartbeat', type: 'ping', id: 3 })).toEqual({ ...error(4, 'NOT_CONNECTED'), id: 3 });
    expect(await client.ask([2, 1, 0x0c, null, '/a', null])).toEqual([0x34, 4, { name: 'NOT_CONNECTED', message: expect.any(String) }]);
    expect(await client.ask({ action: 'dance' })).toEqual(error(4, 'NOT_CONNECTED'));
    expect(await client.request({ action: 'connect', version: '1' })).toMatchObject({ result: true });
    expect(await client.ask({ action: 'connect', version: '1' })).toEqual(error(1, 'MALFORMED'));
    expect(await client.request({ action: 'heartbeat', type: 'ping' })).toMatchObject({ type: 'pong' });
  });

  it('takes the heartbeat that is proposed, within the bounds', async () => {
    expect((await connect({ connect: { heartbeat: 5_000 } })).hello.heartbeat).toBe(5_000);
    expect((await connect({ connect: { heartbeat: 1 } })).hello.heartbeat).toBe(1_000);
    expect((await connect({ connect: { heartbeat: 10_000_000 } })).hello.heartbeat).toBe(300_000);
  });

  it('has to come in time', async () => {
    const clock = new SetClock();
    await again({ connectMs: 60 }, clock);
    const told = await connect({ hello: false });
    const { closed } = await rawSocket();
    await passing(clock, 10, Promise.all([told.ended, closed]));
    expect(house.lines.some(({ fields }) => fields.code === 'CONNECT_TIMEOUT')).toBe(true);
    const client = await connect();
    await client.write('a', 1);
    expect(client.closed).toBe(false);
  });

  it('that is refused, or does not come, is told of in the log with its sender', async () => {
    const clock = new SetClock();
    await again({ connectMs: 60 }, clock);
    const wrong = await connect({ hello: false });
    await wrong.ask([1, 7, 1]);
    const silent = await rawSocket();
    await passing(clock, 10, Promise.all([wrong.ended, silent.closed]));
    const told = house.lines.filter(({ level }) => level === 'info');
    expect(told.map(({ text }) => text).sort()).toEqual([
      'a connection ended: no CONNECT in time',
      'a connection ended: the magic number is not that of Haven',
    ]);
    for (const { fields } of told) expect(fields.peer).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  it('limits what comes before it', async () => {
    const client = await connect({ hello: false });
    client.raw(hex('0001 0001'));
    await client.ended;
    const deep = await connect({ hello: false });
    const nested = Buffer.concat([hex('82'), pack('action'), pack('connect'), pack('x'), Buffer.alloc(12, 0x91), hex('c0')]);
    deep.raw(prefixed(nested));
    await deep.ended;
    const wide = await connect({ hello: false, framing: 'bare' });
    wide.send({ action: 'connect', x: new Array(1_000).fill(null) });
    await wide.ended;
    const later = await connect();
    await later.write('a', new Array(10_000).fill([[[[[[[[[[1]]]]]]]]]]).slice(0, 5_000));
  });

  it('credentials are looked at, on CONNECT and on every message', async () => {
    const client = await connect({ connect: { credentials: { username: 'ann', password: 'x' } } });
    const answers = [
      client.write('a', 1, { credentials: { token: 't' } }),
      client.write('b', 2),
      client.ask([7, { username: 'ann' }]),
      client.read('a', { credentials: { username: 'ann' } }),
    ];
    expect(await Promise.all(answers)).toMatchObject([{ revision: 1 }, { revision: 2 }, [1, 0, [], {}], { value: 1 }]);
  });
});

describe('DATA', () => {
  it('write and read: value, revision and times', async () => {
    const client = await connect();
    const written = await client.write('/a/b', { n: 1 });
    expect(written).toEqual({ result: true, revision: 1, created: expect.any(Number), modified: expect.any(Number) });
    const again = await client.write('/a/b', { n: 2 });
    expect(again).toMatchObject({ revision: 2, created: written.created });
    expect(await client.read('/a/b')).toEqual({ ...again, value: { n: 2 } });
  });

  it('create only where nothing is, update only where something is', async () => {
    const client = await connect();
    await expect(client.data('update', 'a', { value: 1 })).rejects.toMatchObject(fault(7, 'NOT_FOUND'));
    await client.data('create', 'a', { value: 1 });
    await expect(client.data('create', 'a', { value: 2 })).rejects.toMatchObject(fault(8, 'CONFLICT'));
    await client.data('update', 'a', { value: 3 });
    expect((await client.read('a')).value).toBe(3);
  });

  it('update with merge replaces one level', async () => {
    const client = await connect();
    await client.write('a', { x: 1, y: { z: 1 } });
    await client.data('update', 'a', { value: { y: { w: 2 } }, merge: true });
    expect((await client.read('a')).value).toEqual({ x: 1, y: { w: 2 } });
  });

  it('expect compares before it sets or deletes', async () => {
    const client = await connect();
    const { revision } = await client.write('a', 1, { expect: 0 });
    await expect(client.write('a', 2, { expect: 0 })).rejects.toMatchObject(fault(8, 'CONFLICT'));
    await expect(client.write('a', 2, { expect: revision + 1 })).rejects.toMatchObject(fault(8, 'CONFLICT'));
    await expect(client.data('update', 'a', { value: 2, expect: 99 })).rejects.toMatchObject(fault(8, 'CONFLICT'));
    const next = await client.write('a', 2, { expect: revision });
    await expect(client.delete('a', { expect: revision })).rejects.toMatchObject(fault(8, 'CONFLICT'));
    expect(await client.delete('a', { expect: next.revision })).toMatchObject({ removed: 1 });
    await expect(client.delete('*', { expect: 1 })).rejects.toMatchObject(fault(1, 'MALFORMED'));
  });

  it('read with wildcards: items in path order, limit and after', async () => {
    const client = await connect();
    for (const path of ['p/c', 'p/a', 'p/b', 'q/a']) await client.write(path, path);
    const all = await client.read('p/*');
    expect(all.items.map(({ path, value }: Answer) => [path, value])).toEqual([
      ['p/a', 'p/a'],
      ['p/b', 'p/b'],
      ['p/c', 'p/c'],
    ]);
    expect(Object.keys(all.items[0])).toEqual(['path', 'value', 'revision', 'created', 'modified']);
    expect(all.more).toBeUndefined();
    const first = await client.read('p/*', { limit: 2 });
    expect([first.items.map(({ path }: Answer) => path), first.more]).toEqual([['p/a', 'p/b'], true]);
    const rest = await client.read('p/*', { limit: 2, after: 'p/b' });
    expect([rest.items.map(({ path }: Answer) => path), rest.more]).toEqual([['p/c'], undefined]);
    expect((await client.read('p/*', { limit: 0 })).items).toEqual([]);
    expect((await client.read('none/*')).items).toEqual([]);
    expect(await client.ask([2, 1, 0x0d, null, 'p/*', null, { limit: 1 }])).toEqual([0x14, 0, { items: [all.items[0]], more: true }]);
  });

  it('one read never answers more than the limit of the gateway', async () => {
    await again({ readMaxItems: 3 });
    const client = await connect();
    for (let n = 0; n < 5; n++) await client.write(`p/${n}`, n);
    const answer = await client.read('*', { limit: 100 });
    expect([answer.items.length, answer.more]).toEqual([3, true]);
  });

  it('read by criteria, sorted, and only some fields, in both shapes', async () => {
    const client = await connect();
    for (const [name, n] of Object.entries({ a: 3, b: 1, c: 2 })) await client.write(`p/${name}`, { n, name, deep: { x: n, y: 0 } });
    await client.write('p/text', 'no map');
    const options = { criteria: { n: { $gte: 1 } }, sort: { n: -1 }, fields: { 'deep.x': 1, n: 1 }, limit: 2 };
    const { items, more } = await client.read('p/*', options);
    expect(items.map(({ path, value }: Answer) => [path, value])).toEqual([
      ['p/a', { n: 3, deep: { x: 3 } }],
      ['p/c', { n: 2, deep: { x: 2 } }],
    ]);
    expect(more).toBe(true);
    expect(await client.ask([2, 1, 0x0c, null, 'p/*', null, options])).toEqual([0x14, 0, { items, more }]);
    expect((await client.read('p/*', { criteria: { value: 'no map' } })).items).toMatchObject([{ path: 'p/text', value: 'no map' }]);
  });

  it('read of one record by criteria and fields', async () => {
    const client = await connect();
    await client.write('p', { n: 1, m: 2 });
    expect(await client.read('p', { criteria: { n: 1 }, fields: { m: 1 } })).toMatchObject({ value: { m: 2 }, revision: 1 });
    expect(await client.ask([2, 1, 0x0c, null, 'p', null, { fields: { m: 1 } }])).toEqual([0x14, 0, { m: 2 }]);
    await expect(client.read('p', { criteria: { n: 2 } })).rejects.toMatchObject(fault(7, 'NOT_FOUND'));
  });

  it('fields of a long answer', async () => {
    const client = await connect();
    const text = 'x'.repeat(1_000);
    await Promise.all(Array.from({ length: 200 }, (_, n) => client.write(`p/${n}`, { n, text })));
    const { items } = await client.read('p/*', { fields: { n: 1 }, sort: { n: 1 } });
    expect(items.map(({ value }: Answer) => value)).toEqual(Array.from({ length: 200 }, (_, n) => ({ n })));
  });

  it('a transaction happens whole, in both shapes', async () => {
    const client = await connect();
    await client.write('old', 1);
    const ops = [
      { type: 'create', path: 'a', value: Buffer.from([1, 2]) },
      { type: 'update', path: 'a', value: { n: 1 }, merge: true, expect: 2 },
      { type: 'delete', path: 'old', expect: 1 },
      { type: 'read', path: 'none', expect: 0 },
    ];
    expect(await client.ask({ action: 'query', type: 'transaction', ops, id: 'x' })).toEqual({
      result: true,
      revisions: [2, 3, 4, 0],
      id: 'x',
    });
    expect((await client.read('a')).value).toMatchObject({ n: 1 });
    const answer = await client.ask([2, 4, 0x0c, null, null, null, { ops: [{ type: 'write', path: 'b', value: null }] }]);
    expect(answer).toEqual([0x14, 0, { revisions: [5] }]);
    expect((await client.read('b')).value).toBeNull();
  });

  it.each<[string, unknown, number]>([
    ['a record is not as expected', { type: 'write', path: 'b', value: 1, expect: 5 }, 8],
    ['a record is there', { type: 'create', path: 'a', value: 1 }, 8],
    ['a record is not there', { type: 'update', path: 'b', value: 1 }, 7],
    ['a read sees something else', { type: 'read', path: 'b', expect: 1 }, 8],
    ['an operation lacks its path', { type: 'write', value: 1 }, 1],
    ['an operation lacks its value', { type: 'write', path: 'b' }, 1],
    ['an operation has a wildcard', { type: 'delete', path: 'b/*' }, 11],
    ['an operation is none', { type: 'watch', path: 'b' }, 1],
    ['an operation is no map', 5, 1],
    ['a field has a wrong type', { type: 'write', path: 'b', value: 1, expect: 'x' }, 1],
  ])('a transaction fails when %s: the answer names the operation, and nothing happened', async (_name, operation, code) => {
    const client = await connect();
    const ops = [{ type: 'write', path: 'a', value: 1 }, operation, { type: 'write', path: 'c', value: 1 }];
    const detail = { name: expect.any(String), message: expect.stringMatching(/^operation 1: /), op: 1 };
    expect(await client.ask({ action: 'query', type: 'transaction', ops })).toEqual({ result: false, error: { code, ...detail } });
    expect(await client.ask([2, 4, 0x0c, null, null, null, { ops }])).toEqual([0x34, code, detail]);
    expect((await client.read('*')).items).toEqual([]);
  });

  it('delete by criteria leaves the rest', async () => {
    const client = await connect();
    for (let n = 0; n < 4; n++) await client.write(`p/${n}`, { n });
    expect(await client.delete('p/*', { criteria: { n: { $lt: 2 } } })).toEqual({ result: true, removed: 2 });
    expect(await client.delete('p/2', { criteria: { n: 3 } })).toEqual({ result: true, removed: 0 });
    expect((await client.read('p/*')).items.map(({ path }: Answer) => path)).toEqual(['p/2', 'p/3']);
  });

  it('delete: one, many, none', async () => {
    const client = await connect();
    for (const path of ['p/a', 'p/b', 'q']) await client.write(path, 1);
    expect(await client.delete('p/*')).toEqual({ result: true, removed: 2 });
    expect(await client.delete('p/*')).toEqual({ result: true, removed: 0 });
    expect(await client.delete('q')).toEqual({ result: true, removed: 1 });
    await expect(client.read('q')).rejects.toMatchObject(fault(7, 'NOT_FOUND'));
  });

  it('modes: only read-write writes, read-timestamp needs history', async () => {
    const client = await connect();
    await client.write('a', 1, { mode: 'rw' });
    await expect(client.write('a', 2, { mode: 'ro' })).rejects.toMatchObject(fault(6, 'ACCESS_DENIED'));
    await expect(client.delete('a', { mode: 'ro' })).rejects.toMatchObject(fault(6, 'ACCESS_DENIED'));
    await expect(client.write('a', 2, { mode: 'rb', bound: 10 })).rejects.toMatchObject(fault(6, 'ACCESS_DENIED'));
    await expect(client.write('a', 2, { mode: 'rt', time: 1 })).rejects.toMatchObject(fault(6, 'ACCESS_DENIED'));
    await expect(client.read('a', { mode: 'rb', bound: -1 })).rejects.toMatchObject(fault(1, 'MALFORMED'));
    expect(await client.read('a', { mode: 'ro' })).toMatchObject({ value: 1 });
    expect(await client.read('a', { mode: 'rb', bound: 10 })).toMatchObject({ value: 1 });
    await expect(client.read('a', { mode: 'rt', time: 1 })).rejects.toMatchObject(fault(9, 'UNSUPPORTED'));
    expect(await client.ask([2, 3, 0x0d, null, 'a', 2])).toEqual([0x34, 6, { name: 'ACCESS_DENIED', message: expect.any(String) }]);
  });

  it.each<[string, unknown, number]>([
    ['criteria that are none', { action: 'query', type: 'read', path: '*', criteria: { a: { $where: '1' } } }, 1],
    ['criteria that are no map', { action: 'query', type: 'read', path: '*', criteria: 'a' }, 1],
    ['criteria of a delete that are none', { action: 'query', type: 'delete', path: '*', criteria: { $or: 1 } }, 1],
    ['fields that are no map', { action: 'query', type: 'read', path: '*', fields: 7 }, 1],
    ['sort by what is no order', { action: 'query', type: 'read', path: '*', sort: { a: 'up' } }, 1],
    ['sort together with after', { action: 'query', type: 'read', path: '*', sort: { a: 1 }, after: 'a' }, 1],
    ['a transaction of nothing', { action: 'query', type: 'transaction', ops: [] }, 1],
    ['a transaction without operations', { action: 'query', type: 'transaction' }, 1],
    ['a transaction that must not write', { action: 'query', type: 'transaction', mode: 'ro', ops: [] }, 6],
    ['operations that are no list', { action: 'query', type: 'transaction', ops: 'a' }, 1],
    ['an unknown action', { action: 'dance' }, 9],
    ['an unknown type', { action: 'query', type: 'upsert', path: 'a' }, 9],
    ['no path', { action: 'query', type: 'read' }, 1],
    ['no value', { action: 'query', type: 'write', path: 'a' }, 1],
    ['a wildcard where one path is meant', { action: 'query', type: 'write', path: 'a/*', value: 1 }, 11],
    ['an empty path', { action: 'query', type: 'write', path: '', value: 1 }, 11],
    ['a path with a control character', { action: 'query', type: 'read', path: 'a\u0000b' }, 11],
    ['a heartbeat that is no ping', { action: 'heartbeat', type: 'pong' }, 1],
    ['an integer beyond a double', { action: 'query', type: 'write', path: 'a', value: 2n ** 60n }, 1],
    ['a number that is none', { action: 'query', type: 'write', path: 'a', value: [Number.NaN] }, 1],
  ])('%s is answered with its error, and the connection lives', async (_name, message, code) => {
    const client = await connect();
    const answer = await client.ask({ ...(message as object), id: 'q' });
    expect(answer).toMatchObject({ result: false, error: { code }, id: 'q' });
    await client.write('alive', true);
    await expect(client.read('a')).rejects.toMatchObject(fault(7, 'NOT_FOUND'));
  });

  it.each<[unknown[], unknown[]]>([
    [
      [3, 1, null, '/location'],
      [0x1c, 7],
    ],
    [
      [6, 'location', null, null],
      [0x1c, 7],
    ],
    [
      [2, 4, 0x0c, null, 'a', null],
      [0x34, 1],
    ],
    [
      [2, 1, 0x0c, null, 'none', null],
      [0x34, 7],
    ],
    [
      [2, 7, null, null, 'a', null, { push: true }],
      [0x34, 9],
    ],
    [
      [2, 5, null, null, 'a', null],
      [0x34, 7],
    ],
  ])('%j is answered as an array: %j', async (message, start) => {
    const client = await connect();
    expect(await client.ask(message)).toEqual([...start, { name: expect.any(String), message: expect.any(String) }]);
  });

  it('keeps the bytes of a value as they came', async () => {
    const { socket, received } = await rawSocket();
    const value = hex('83 a161 d10001 a162 ca3fc00000 a163 da0002 fffe');
    const request = Buffer.concat([
      hex('84'),
      pack('action'),
      pack('query'),
      pack('type'),
      pack('write'),
      pack('path'),
      pack('v'),
      pack('value'),
      value,
    ]);
    for (const message of [pack({ action: 'connect', version: 1 }), request, pack([2, 1, null, null, 'v'])]) socket.write(message);
    const expected = Buffer.concat([hex('93 14 00'), value]);
    await become(() => received().includes(expected));
    expect(received().subarray(-expected.length)).toEqual(expected);
    socket.destroy();
  });
});

describe('order', () => {
  it('pipelined requests of every kind are answered in their order, while the disk is slow', async () => {
    const client = await connect();
    await client.write('a', 0);
    house.store.held = true;
    const answered: number[] = [];
    const messages = [
      { action: 'query', type: 'write', path: 'a', value: 1 },
      { action: 'heartbeat', type: 'ping' },
      { action: 'query', type: 'read', path: 'a' },
      { action: 'become' },
      { action: 'query', type: 'write', path: 'b', value: 1 },
      { action: 'query', type: 'watch', path: 'w' },
      { action: 'query', type: 'read' },
      [7],
      { action: 'query', type: 'read', path: '*' },
      { action: 'query', type: 'delete', path: '*' },
      { action: 'heartbeat', type: 'ping' },
    ];
    const all = messages.map((message, index) => client.ask(message).finally(() => answered.push(index)));
    await become(() => house.store.writes === 2);
    expect(answered).toEqual([]);
    house.store.release();
    expect(await Promise.all(all)).toMatchObject([
      { result: true, revision: 2 },
      { type: 'pong' },
      { value: 1 },
      { error: { code: 9 } },
      { revision: 3 },
      { watch: 1 },
      { error: { code: 1 } },
      [1, 0, [], {}],
      { items: [{ path: 'a' }, { path: 'b' }] },
      { removed: 2 },
      { type: 'pong' },
    ]);
    expect(answered).toEqual(messages.map((_, index) => index));
  });

  const speakers: [string, () => HavenClientOptions][] = [
    ['with lengths in front', () => ({})],
    ['bare', () => ({ framing: 'bare' })],
    ['over a websocket', () => ({ url: overWebsocket() })],
  ];
  for (const [how, options] of speakers) {
    for (const shape of ['map', 'array'] as const) {
      it(`many writes that go to the disk together, pings among them, are answered in their order (${how}, ${shape})`, async () => {
        const client = await connect(options());
        const other = await connect();
        const push = await other.watch('w/*', { push: true });
        await client.write('first', 0);
        house.store.held = true;
        const write = (n: number): unknown =>
          shape === 'map' ? { action: 'query', type: 'write', path: `w/${n}`, value: n } : [2, 3, null, null, `w/${n}`, n];
        const isPing = (index: number): boolean => index < 100 && index % 20 === 19;
        const messages = Array.from({ length: 200 }, (_, index) => (isPing(index) ? { action: 'heartbeat', type: 'ping' } : write(index)));
        const answered: number[] = [];
        const all = messages.map((message, index) => client.ask(message).finally(() => answered.push(index)));
        await become(() => house.store.isWriting);
        expect([answered, other.pushed]).toEqual([[], []]);
        house.store.release();
        const answers = await Promise.all(all);
        expect(answered).toEqual(messages.map((_, index) => index));
        let revision = 1;
        for (const [index, answer] of answers.entries()) {
          if (!isPing(index)) revision += 1;
          const written = shape === 'map' ? { result: true, revision } : [20, 0, expect.objectContaining({ revision })];
          expect(answer).toMatchObject(isPing(index) ? { type: 'pong' } : written);
        }
        await other.heartbeat();
        expect(other.pushed.map(({ watch, value }) => [watch, value])).toEqual(
          messages.flatMap((_, index) => (isPing(index) ? [] : [[push, index]])),
        );
      });
    }
  }

  it('answers are not written ahead for a peer that others wait for', async () => {
    const client = await connect();
    const { writeAhead } = HavenSession.prototype;
    const written: boolean[] = [];
    const spy = vi.spyOn(HavenSession.prototype, 'writeAhead').mockImplementation(function (this: HavenSession, replies) {
      this.outbound.push(replies[0] as Reply, null);
      written.push(writeAhead.call(this, replies) !== null);
      this.outbound.clear();
      const bytes = writeAhead.call(this, replies);
      written.push(bytes !== null);
      return bytes;
    });
    onTestFinished(() => spy.mockRestore());
    house.store.held = true;
    const all = Array.from({ length: 8 }, (_, n) => client.write(`w/${n}`, n));
    await become(() => house.counter('haven_messages_total') > all.length);
    house.store.release();
    await Promise.all(all);
    expect(written.slice(0, 2)).toEqual([false, true]);
  });

  it('an end that a broken message brings comes behind the answers before it', async () => {
    const client = await connect();
    house.store.held = true;
    const written = client.write('a', 1);
    const refused = client.ask(1);
    await become(() => house.store.writes === 1);
    house.store.release();
    expect(await written).toMatchObject({ result: true });
    expect(await refused).toEqual(error(1, 'MALFORMED'));
    await client.ended;
  });

  it('a peer that says no more is answered to the end', async () => {
    const { socket, received, closed } = await rawSocket();
    house.store.held = true;
    socket.end(
      Buffer.concat([pack({ action: 'connect', version: 1 }), pack([2, 3, null, null, 'a', 'value']), pack([2, 1, null, null, 'a'])]),
    );
    await become(() => house.store.writes === 1);
    house.store.release();
    await closed;
    expect(received().subarray(-9)).toEqual(hex('93 14 00 a5 76616c7565'));
  });
});

describe('watches', () => {
  const brief = ({ watch, path, type, value }: HavenEvent): unknown[] => [watch, path, type, value];

  it('collect events until the heartbeat, in order, each once', async () => {
    const [client, other] = await Promise.all([connect(), connect()]);
    const watch = await client.watch('a/*');
    await other.write('a/b', { n: 1 });
    await other.write('x', 1);
    await client.write('a/c', 2);
    await other.delete('a/b');
    const pong = await client.heartbeat();
    expect(pong).toMatchObject({ action: 'heartbeat', type: 'pong' });
    expect(pong.missed).toBeUndefined();
    expect(pong.result.map(brief)).toEqual([
      [watch, 'a/b', 'write', { n: 1 }],
      [watch, 'a/c', 'write', 2],
      [watch, 'a/b', 'delete', undefined],
    ]);
    expect(pong.result.map(({ revision }: HavenEvent) => revision)).toEqual([1, 3, 4]);
    expect(pong.result[0]).toEqual({ watch, path: 'a/b', type: 'write', value: { n: 1 }, revision: 1, time: expect.any(Number), by: '' });
    expect((await client.heartbeat()).result).toEqual([]);
  });

  it('a removal by wildcard is one event a record', async () => {
    const client = await connect();
    for (const path of ['a/1', 'a/2', 'a/3']) await client.write(path, 1);
    await client.watch('a/*');
    await client.delete('a/*');
    expect((await client.events(3)).map(({ path, type }) => [path, type])).toEqual([
      ['a/1', 'delete'],
      ['a/2', 'delete'],
      ['a/3', 'delete'],
    ]);
  });

  it('initial puts the records first', async () => {
    const client = await connect();
    await client.write('a/1', 'one');
    await client.write('a/2', 'two');
    const watch = await client.watch('a/*', { initial: true });
    await client.write('a/1', 'three');
    expect((await client.events(3)).map(brief)).toEqual([
      [watch, 'a/1', 'write', 'one'],
      [watch, 'a/2', 'write', 'two'],
      [watch, 'a/1', 'write', 'three'],
    ]);
  });

  it('push sends at once, as pongs that nobody asked for, between the answers', async () => {
    for (const options of [{}, { framing: 'bare' as const }, { url: overWebsocket() }]) {
      const client = await connect(options);
      const path = `p/${Math.random()}`;
      await client.write(path, 0);
      const watch = await client.watch('p/*', { push: true, initial: true });
      await client.write(path, 1);
      await client.delete('p/*');
      await client.heartbeat();
      expect(client.pushed.map(brief)).toEqual([
        [watch, path, 'write', 0],
        [watch, path, 'write', 1],
        [watch, path, 'delete', undefined],
      ]);
      expect(client.strays).toEqual([]);
      await client.close();
    }
  });

  it('end by number or by path', async () => {
    const client = await connect();
    const first = await client.watch('a');
    const second = await client.watch('a');
    const third = await client.watch('a/*');
    await client.request({ action: 'query', type: 'unwatch', watch: third });
    await client.write('a/b', 1);
    await client.write('a', 1);
    expect((await client.events(2)).map(brief)).toEqual([
      [first, 'a', 'write', 1],
      [second, 'a', 'write', 1],
    ]);
    await client.request({ action: 'query', type: 'unwatch', path: 'a' });
    await client.write('a', 2);
    expect((await client.heartbeat()).result).toEqual([]);
    await expect(client.data('unwatch', 'a')).rejects.toMatchObject(fault(7, 'NOT_FOUND'));
    await expect(client.request({ action: 'query', type: 'unwatch', watch: 99 })).rejects.toMatchObject(fault(7, 'NOT_FOUND'));
    await expect(client.request({ action: 'query', type: 'unwatch' })).rejects.toMatchObject(fault(1, 'MALFORMED'));
    expect(house.gauge('subscriptions')).toBe(0);
  });

  it('hear what was asked before their end, also when all of it comes at once', async () => {
    const client = await connect();
    await client.write('a/1', 'old');
    for (const push of [false, true]) {
      const at = client.pushed.length;
      const watching = client.data('watch', 'a/*', { initial: true, push });
      const asked = [
        client.write('a/1', 'one'),
        client.heartbeat(),
        client.write('a/1', 'two'),
        client.data('unwatch', 'a/*'),
        client.ask({ action: 'query', type: 'unwatch', path: 'a/*' }),
        client.write('a/1', 'three'),
        client.heartbeat(),
      ];
      const { watch } = await watching;
      const [, first, , , again, , last] = await Promise.all(asked);
      const events = push ? client.pushed.slice(at) : [...first.result, ...last.result];
      expect(events.map(brief)).toEqual([
        [watch, 'a/1', 'write', push ? 'three' : 'old'],
        [watch, 'a/1', 'write', 'one'],
        [watch, 'a/1', 'write', 'two'],
      ]);
      expect(again.error).toMatchObject({ code: 7 });
    }
    expect(house.gauge('subscriptions')).toBe(0);
  });

  it('work in the array shape', async () => {
    const client = await connect();
    expect(await client.ask([2, 7, null, null, 'a', null, { initial: true }])).toEqual([0x14, 0, { watch: 1, revision: 0 }]);
    await client.write('a', 1);
    const event = { watch: 1, path: 'a', type: 'write', value: 1, revision: 1, time: expect.any(Number), by: '' };
    expect(await client.ask([7])).toEqual([1, 0, [event], expect.objectContaining({ uuid: client.hello.node.uuid })]);
    expect(await client.ask([2, 5, null, null, null, null, { watch: 1 }])).toEqual([0x14, 0, {}]);
  });

  it('beyond the bound the oldest go, counted, told, and logged once an episode', async () => {
    await again({ watchMaxEvents: 3 });
    const client = await connect();
    await client.watch('a');
    for (let episode = 1; episode <= 2; episode++) {
      for (let n = 1; n <= 5; n++) await client.write('a', n);
      const pong = await client.heartbeat();
      expect(pong.missed).toBe(2);
      expect(pong.result.map(({ value }: HavenEvent) => value)).toEqual([3, 4, 5]);
      expect(house.counter('haven_watch_events_missed_total')).toBe(2 * episode);
      expect(house.lines.filter(({ level }) => level === 'warn')).toHaveLength(episode);
    }
    await client.watch('a');
    for (let n = 1; n <= 3; n++) await client.write('a', n);
    const array = await client.ask([7]);
    expect([array.length, array[4]]).toEqual([5, 3]);
  });

  it('are limited in number', async () => {
    await again({ maxWatches: 2 });
    const client = await connect();
    await client.watch('a');
    const second = await client.watch('b');
    await expect(client.watch('c')).rejects.toMatchObject(fault(10, 'LIMIT_EXCEEDED'));
    await client.request({ action: 'query', type: 'unwatch', watch: second });
    await client.watch('c');
  });

  it('end with their connection', async () => {
    const client = await connect();
    await client.watch('a');
    await client.watch('b/*', { push: true });
    await client.close();
    await become(() => house.gauge('subscriptions') === 0 && house.gauge('sessions') === 0);
  });
});

describe('HEARTBEAT', () => {
  it('tells the true state of this node', async () => {
    const clients = await Promise.all([connect(), connect(), connect()]);
    const { state } = await (clients[0] as HavenClient).heartbeat();
    expect(state).toEqual({
      uuid: clients[0]?.hello.node.uuid,
      name: 'house',
      roles: [],
      quorums: [],
      uptime: expect.any(Number),
      load: { sessions: 3, queued: 0, messagesPerSecond: expect.any(Number), eventLoopDelayMs: expect.any(Number) },
    });
  });

  it('F2 a session that falls silent is dropped, one that goes on beating stays', async () => {
    const clock = new SetClock();
    // The sessions are looked at four times in this time of the real clock.
    await again({ connectMs: 100 }, clock);
    const [silent, busy] = await Promise.all([1, 2].map(() => connect({ connect: { heartbeat: 5_000 } })));
    clock.pass(4_000);
    await busy?.heartbeat();
    clock.pass(4_000);
    await silent?.ended;
    await busy?.heartbeat();
    expect(busy?.closed).toBe(false);
    expect(house.lines.filter(({ level, fields }) => level === 'info' && fields.code === 'PEER_SILENT')).toHaveLength(1);
  });
});

describe('broken bytes', () => {
  it.each<[string, Buffer, number]>([
    ['a frame that is no MessagePack', prefixed(hex('c1')), 1],
    ['a frame that is neither map nor array', prefixed(hex('07')), 1],
    ['an empty frame', hex('00000000'), 1],
    ['a frame that ends within its value', hex('00000002 9201'), 1],
    ['a frame that goes on behind its value', hex('00000003 90 9090'), 1],
    ['an extension type', prefixed(hex('81 a161 d40100')), 1],
    ['a key that is no text', prefixed(hex('81 01 01')), 1],
    ['a length beyond the limit', hex('00200000'), 10],
    ['deep nesting', prefixed(Buffer.concat([Buffer.alloc(100, 0x91), hex('c0')])), 10],
    ['too many elements', prefixed(Buffer.concat([hex('dd 00020000'), Buffer.alloc(0x20000, 0xc0)])), 10],
  ])('%s: answered, closed, and nobody else is touched', async (_name, bytes, code) => {
    const [client, other] = await Promise.all([connect(), connect()]);
    const answer = client.ask(new Map([['action', 'heartbeat']]));
    client.raw(bytes);
    expect(await answer).toMatchObject({ type: 'pong' });
    await client.ended;
    expect(client.strays).toEqual([error(code, code === 1 ? 'MALFORMED' : 'LIMIT_EXCEEDED')]);
    await other.write('a', 1);
    expect(house.lines.filter(({ level }) => level === 'error')).toEqual([]);
    expect(house.counter('haven_malformed_total')).toBe(1);
  });

  it('are answered in the shape of what came before', async () => {
    const client = await connect({ hello: false });
    await client.ask([1, MAGIC, 1]);
    client.raw(prefixed(hex('c1')));
    await client.ended;
    expect(client.strays).toEqual([[0x34, 1, { name: 'MALFORMED', message: expect.any(String) }]]);
  });

  it('what is no Haven at all is closed', async () => {
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), hex('16 0301'), hex('c0'), hex('10 0f 0004 4d515454')]) {
      const { socket, closed } = await rawSocket();
      socket.write(bytes);
      await closed;
    }
    await (await connect()).write('a', 1);
  });

  it('over a websocket whose peer goes on after a frame that is too large: counted once', async () => {
    const socket = connectTcp(at.httpPort, at.host);
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.write(
      'GET /haven HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await once(socket, 'data');
    socket.write(hex('82 ff 00 00 00 00 0f ff ff ff 00 00 00 00'));
    await once(socket, 'data');
    await new Promise<void>((resolve) => socket.write(Buffer.alloc(2 ** 20), () => resolve()));
    await (await connect({ url: overWebsocket() })).close();
    expect(house.counter('connections_ended_total{protocol="haven",code="FRAME_TOO_LARGE"}')).toBe(1);
  });

  it('over a websocket: text frames, empty frames, two values in one', async () => {
    for (const [frame, code] of [
      ['text', 1002],
      [Buffer.alloc(0), 1002],
      [hex('9090'), 1002],
      [pack(Buffer.alloc(70_000)), 1009],
    ] as const) {
      const websocket = new WebSocket(overWebsocket());
      await once(websocket, 'open');
      websocket.send(frame);
      const [status] = await once(websocket, 'close');
      expect(status).toBe(code);
    }
  });

  it('an incomplete message of a silent peer does not live longer than the heartbeat', async () => {
    const clock = new SetClock();
    await again({ heartbeatMinMs: 80, connectMs: 100 }, clock);
    const client = await connect({ framing: 'bare', connect: { heartbeat: 80 } });
    client.raw(hex('df 00000fff'));
    let isGone = false;
    void client.ended.then(() => (isGone = true));
    await become(() => {
      if (isGone) return true;
      client.raw(hex('a161 01'));
      clock.pass(1);
      return false;
    });
  });
});

describe('slow and hostile peers', () => {
  it('pongs that nobody reads stop the reading of pings', async () => {
    const client = await connect();
    const other = await connect();
    await client.watch('a');
    await other.write('a', 'x'.repeat(200_000));
    client.stall();
    const ping = prefixed(pack([7]));
    client.raw(Buffer.concat(new Array(100_000).fill(ping)));
    await become(() => house.counter('haven_messages_total') > 5_000);
    await other.write('a', 1);
    await other.heartbeat();
    client.resume();
    await become(() => house.counter('haven_messages_total') >= 100_000);
    await client.close();
  });

  it.each([
    ['TCP', 'at once'],
    ['TCP', 'behind a write'],
    ['websocket', 'at once'],
  ])('of short requests with long answers that come together over %s no more are taken than have room (%s)', async (road, when) => {
    const admitted = vi.spyOn(adapter, 'admitted');
    const client = await connect(road === 'TCP' ? {} : { url: overWebsocket() });
    const session = admitted.mock.calls[0]?.[0] as HavenSession;
    // Every pong names them.
    for (let n = 1; n <= 60; n++) await client.request({ action: 'become', type: 'leader', path: `/${'a'.repeat(n)}${'/b'.repeat(450)}` });
    const ping = pack({ action: 'heartbeat', type: 'ping' });
    client.stall();
    if (when === 'at once') {
      if (road === 'TCP') client.raw(Buffer.concat(new Array(800).fill(prefixed(ping))));
      else for (let n = 0; n < 800; n++) client.raw(ping);
    } else {
      house.store.held = true;
      const { writes } = house.store;
      const write = prefixed(pack({ action: 'query', type: 'write', path: 'w', value: 1 }));
      client.raw(Buffer.concat([write, ...new Array(800).fill(prefixed(ping))]));
      await become(() => house.store.writes > writes);
      house.store.release();
    }
    await become(() => session.bufferedBytes > 0);
    expect(session.bufferedBytes).toBeLessThan((when === 'at once' ? 4 : 24) * 1024 * 1024);
    client.resume();
    const answers = when === 'at once' ? 800 : 801;
    await become(() => client.strays.length === answers);
    await client.close();
  });

  it('who takes a long answer slowly is not silent, although nothing of it is read meanwhile', async () => {
    const clock = new SetClock();
    await again({ heartbeatMinMs: 1_000, connectMs: 100 }, clock);
    const writer = await connect();
    for (let n = 0; n < 30; n++) await writer.write(`l/${n}`, 'y'.repeat(1_000_000));
    const { socket, closed } = await rawSocket();
    let bytes = 0;
    let isClosed = false;
    socket.on('data', (chunk) => (bytes += chunk.length));
    void closed.then(() => (isClosed = true));
    const looks = vi.spyOn(clock, 'monotonic');
    const asked = [
      { action: 'connect', version: '1', heartbeat: 1_000 },
      { action: 'query', type: 'read', path: 'l/*' },
    ];
    socket.write(Buffer.concat(asked.map((message) => prefixed(pack(message)))));
    while (bytes < 30_000_000 && !isClosed) {
      const enough = bytes + 3_000_000;
      await become(() => bytes >= Math.min(enough, 30_000_000) || isClosed);
      socket.pause();
      clock.pass(500);
      const before = looks.mock.calls.length;
      await become(() => looks.mock.calls.length > before);
      socket.resume();
    }
    expect(isClosed).toBe(false);
    socket.destroy();
  });

  it('a peer with pushed events that it does not read is ended, and does not slow the others', async () => {
    const [slow, fast, writer] = await Promise.all([connect(), connect(), connect()]);
    await slow.watch('a', { push: true });
    await fast.watch('a', { push: true });
    slow.stall();
    const text = 'x'.repeat(512 * 1024);
    for (let n = 0; n < 100; n++) await writer.write('a', { n, text });
    await become(() => fast.pushed.length === 100);
    expect(house.counter('slow_consumers_closed_total')).toBe(1);
    slow.resume();
    await slow.ended;
  });

  it('a large answer comes whole', async () => {
    const client = await connect();
    const text = 'y'.repeat(300_000);
    for (let n = 0; n < 20; n++) await client.write(`l/${n}`, text);
    const { items } = await client.read('l/*');
    expect(items.map(({ value }: Answer) => value === text)).toEqual(new Array(20).fill(true));
  });
});

describe('connections that have not connected', () => {
  it('are limited: more of them wait unread until others have connected or are gone', async () => {
    await again({ maxFresh: 2, loopbackExempt: false });
    const [first, second, ...later] = await Promise.all([2, 3, 4, 5].map((n) => connect({ hello: false, localAddress: `127.0.0.${n}` })));
    const hello = { action: 'connect', version: '1' };
    let answered = 0;
    const late = later.map((client) => client.request(hello).then(() => (answered += 1)));
    await expect(connect({ url: overWebsocket() })).rejects.toThrow(/503/);
    expect([house.gauge('haven_connections'), answered]).toEqual([2, 0]);
    await first?.request(hello);
    await second?.close();
    await Promise.all(late);
    await (await connect({ url: overWebsocket() })).close();
  });

  it('B7 of one address are half of them, those that wait included; more are refused, counted, and told once', async () => {
    await again({ maxFresh: 4, loopbackExempt: false });
    const from = (n: number): Promise<HavenClient> => connect({ hello: false, localAddress: `127.0.0.${n}` });
    const [first, second] = (await Promise.all([from(2), from(2)])) as [HavenClient, HavenClient];
    for (let n = 0; n < 3; n++) await (await from(2)).ended;
    const others = await Promise.all([3, 3, 4, 4].map(from));
    await (await from(4)).ended;
    others.push(...(await Promise.all([5, 5].map(from))));
    await (await from(6)).ended;
    expect(house.counter('newcomers_refused_total{protocol="haven"}')).toBe(5);
    expect(house.lines.filter(({ fields }) => fields.limit === 'haven.maxFresh')).toHaveLength(1);
    expect(house.gauge('haven_connections')).toBe(4);
    // Whoever is known leaves a place.
    await first.request({ action: 'connect', version: '1' });
    others.push(await from(2));
    await Promise.all([first, second, ...others].map((client) => client.close()));
    expect(house.counter('newcomers_refused_total{protocol="haven"}')).toBe(5);
  });
});

describe('stop', () => {
  it('answers what is in flight, closes, and takes nobody any more', async () => {
    const clients = await Promise.all([connect(), connect({ framing: 'bare' }), connect({ url: overWebsocket() })]);
    house.store.held = true;
    const writes = clients.map((client, n) => client.write(`s/${n}`, n));
    await become(() => house.store.writes === 1);
    const stopping = adapter.stop(5_000, goodbye(true));
    house.store.release();
    expect(await Promise.all(writes)).toMatchObject([{ result: true }, { result: true }, { result: true }]);
    await Promise.all([stopping, ...clients.map((client) => client.ended)]);
    await expect(connect()).rejects.toThrow();
    expect(house.gauge('sessions')).toBe(0);
  });

  it('a port in use is one clear line', async () => {
    const second = new HavenAdapter({ port: at.port });
    await expect(house.add(second)).rejects.toThrow(/^haven\.port: port \d+ on 127\.0\.0\.1 is in use/);
  });
});
