// happn connections over real sockets: subscriptions, heartbeats, ends, bad input.

import { once } from 'node:events';
import { connect, Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { until } from '../../support/gateway-process.js';
import { type HappnGateway, type HappnWire, startHappn, type WireFrame } from '../../support/happn-wire.js';

let gateway: HappnGateway;
const open: HappnWire[] = [];

beforeAll(async () => {
  gateway = await startHappn();
});

afterAll(async () => {
  await gateway.stop();
});

afterEach(async () => {
  for (const wire of open.splice(0)) if (wire.closed === null) await wire.close();
});

async function client(protocol: string | null = 'happn_4', version?: string, info?: object): Promise<HappnWire> {
  const wire = await gateway.connect();
  open.push(wire);
  return await wire.login(protocol, version, info);
}

const on = (wire: HappnWire, path: string, options: object = {}): Promise<WireFrame> => wire.request('on', { path, data: null, options });
const set = (wire: HappnWire, path: string, data: unknown, options: object = {}): Promise<WireFrame> =>
  wire.request('set', { path, data, options });
const off = (wire: HappnWire, path: string, options: object = {}): Promise<WireFrame> => wire.request('off', { path, data: null, options });
const errorOf = (answer: WireFrame): unknown => (answer._meta as { error?: unknown }).error;
const idOf = (answer: WireFrame): string => (answer.data as { id: string }).id;

let nextArea = 0;
/** A part of the data space of its own for each test. */
const area = (): string => `/area/${nextArea++}`;

/** The connection below a websocket of this test. */
function tcpOf({ socket }: HappnWire): Socket {
  return (socket as unknown as { _socket: Socket })._socket;
}

describe('events', () => {
  test('come once for each channel, however many references the session holds on it', async () => {
    const at = area();
    const wire = await client();
    for (let i = 0; i < 3; i++) await on(wire, `/ALL@${at}/x`);
    await on(wire, `/SET@${at}/x`);
    await on(wire, `/SET@${at}/*`);
    await set(wire, `${at}/x`, { n: 1 });
    expect(
      wire
        .events()
        .map(({ _meta }) => _meta?.channel)
        .toSorted(),
    ).toEqual([`/ALL@${at}/x`, `/SET@${at}/*`, `/SET@${at}/x`]);
  });

  test.each(['happn_1', 'happn_2', 'happn_3', 'happn_4'])('of everything are of the kind that was asked for: %s', async (protocol) => {
    const at = area();
    const wire = await client(protocol);
    for (const path of ['/SET@*', '/REMOVE@*', '/ALL@*']) await on(wire, path);
    await set(wire, `${at}/x/y`, { n: 1 });
    await wire.request('remove', { path: `${at}/x/y` });
    const heard = wire.events().map(({ _meta }) => `${String(_meta?.action).split('@')[0]} on ${String(_meta?.channel)}`);
    expect(heard.toSorted()).toEqual(['/REMOVE on /ALL@*', '/REMOVE on /REMOVE@*', '/SET on /ALL@*', '/SET on /SET@*']);
  });

  test('come before the answer of the change that made them', async () => {
    const at = area();
    const wire = await client();
    await on(wire, `/SET@${at}`);
    await set(wire, at, { n: 1 });
    const kinds = wire.frames.slice(-2).map((frame) => (frame as WireFrame)._meta?.type);
    expect(kinds).toEqual(['data', 'response']);
  });

  test('name the publisher, on whatever connection they are heard', async () => {
    const at = area();
    const [publisher, subscriber] = [await client(), await client()];
    await on(subscriber, `/ALL@${at}`);
    await set(publisher, at, { n: 1 });
    await until('the event', () => subscriber.events().length === 1);
    expect(subscriber.events()[0]?._meta).toMatchObject({
      sessionId: publisher.sessionId,
      publicationId: expect.stringContaining(`${publisher.sessionId}-`) as unknown,
    });
  });

  test('are equal for a hundred subscribers of one channel', async () => {
    const at = area();
    const wires = await Promise.all(Array.from({ length: 100 }, () => client()));
    await Promise.all(wires.map((wire) => on(wire, `/SET@${at}/*`)));
    const publisher = await client();
    for (let n = 0; n < 5; n++) await set(publisher, `${at}/${n}`, { n }, { noStore: true });
    await until('all events', () => wires.every((wire) => wire.events().length === 5));
    for (const wire of wires) expect(wire.events()).toEqual(wires[0]?.events());
  });

  test('of one turn leave in one write, not each in its own', async () => {
    const at = area();
    const [listener, publisher] = [await client(), await client()];
    await on(listener, `/SET@${at}/*`);
    const port = tcpOf(listener).localPort;
    const write = vi.spyOn(Socket.prototype, 'write');
    tcpOf(publisher).cork();
    for (let n = 0; n < 200; n++)
      publisher.send({ action: 'set', eventId: `w${n}`, path: `${at}/${n}`, data: { n }, options: { noStore: true } });
    tcpOf(publisher).uncork();
    await until('all events', () => listener.events().length === 200);
    const writes = write.mock.contexts.filter((socket) => (socket as Socket).remotePort === port).length;
    write.mockRestore();
    expect(writes).toBeGreaterThan(0);
    expect(writes).toBeLessThanOrEqual(10);
  });

  test('of removals by wildcard are one, with the pattern as its path', async () => {
    const at = area();
    const wire = await client();
    for (const n of [1, 2, 3]) await set(wire, `${at}/${n}`, { n });
    for (const key of [`${at}/*`, `${at}/**`, `${at}/1`]) await on(wire, `/REMOVE@${key}`);
    const answer = await wire.request('remove', { path: `${at}/*` });
    expect(answer.data).toEqual({ removed: 3 });
    expect(wire.events().map(({ data, _meta }) => [data, _meta?.path, _meta?.channel])).toEqual([
      [{ removed: 3 }, `${at}/*`, `/REMOVE@${at}/*`],
      [{ removed: 3 }, `${at}/*`, `/REMOVE@${at}/**`],
    ]);
  });

  test('of merge subscriptions carry what the client of that age expects', async () => {
    const at = area();
    const newer = await client('happn_4', '13.12.1');
    const older = await client('happn_4', '10.6.0');
    const oldest = await client('happn_1.3.0');
    for (const wire of [newer, older, oldest]) await on(wire, `/SET@${at}`, { merge: true });
    await set(newer, at, { base: 1 });
    await set(newer, at, { delta: 1 }, { merge: true });
    await set(newer, at, 'text', { noStore: true });
    await until('all events', () => [older, oldest].every((wire) => wire.events().length === 3));
    expect(newer.events().map(({ data }) => data)).toEqual([{ base: 1 }, { delta: 1 }, 'text']);
    expect(older.events().map(({ data }) => data)).toEqual([{ base: 1 }, { base: 1, delta: 1 }, 'text']);
    expect(oldest.events().map(({ data }) => data)).toEqual([{ base: 1 }, { base: 1, delta: 1 }, { value: 'text' }]);
  });

  test('take the form of a protocol that is configured later', async () => {
    const at = area();
    const wire = await client('happn_3');
    await on(wire, `/SET@${at}`);
    await wire.request('configure-session', { data: { protocol: 'happn_4' } });
    await set(wire, at, 1);
    expect(wire.events()[0]?.protocol).toBe('happn_4');
  });
});

describe('a depth', () => {
  test('named in an event is the smallest of the session that covers the path', async () => {
    const at = area();
    const wire = await client();
    for (const depth of [2, 4, 6]) await on(wire, `/ALL@${at}/**`, { depth });
    const deep = ['a', 'a/b', 'a/b/c', 'a/b/c/d', 'a/b/c/d/e', 'a/b/c/d/e/f', 'a/b/c/d/e/f/g'];
    for (const below of deep) await set(wire, `${at}/${below}`, 1, { noStore: true });
    expect(wire.events().map(({ _meta }) => _meta?.depth)).toEqual([2, 2, 4, 4, 6, 6]);
  });

  test('that grows while events are under way loses and doubles none', async () => {
    const at = area();
    const [publisher, wire] = [await client(), await client()];
    await on(wire, `/SET@${at}/**`, { depth: 1 });
    const sets: Promise<unknown>[] = [];
    const ons: Promise<unknown>[] = [];
    for (let n = 0; n < 400; n++) {
      sets.push(set(publisher, `${at}/x`, { n }, { noStore: true }));
      if (n % 100 === 50) ons.push(on(wire, `/SET@${at}/**`, { depth: 2 + n / 100 }));
    }
    await Promise.all([...sets, ...ons]);
    await until('all events', () => wire.events().length >= 400);
    expect(wire.events().map(({ data }) => (data as { n: number }).n)).toEqual(Array.from({ length: 400 }, (_, n) => n));
  });

  test('is not named when the client named none', async () => {
    const at = area();
    const wire = await client();
    await on(wire, `/SET@${at}/**`);
    await set(wire, `${at}/1/2/3/4/5`, 1, { noStore: true });
    await set(wire, `${at}/1/2/3/4/5/6`, 1, { noStore: true });
    expect(wire.events().map(({ _meta }) => _meta?.depth)).toEqual([undefined]);
  });
});

describe('the end of a subscription', () => {
  test('comes with its last reference', async () => {
    const at = area();
    const wire = await client();
    const first = idOf(await on(wire, `/SET@${at}`));
    const second = idOf(await on(wire, `/SET@${at}`));
    await off(wire, `/SET@${at}`, { referenceId: first });
    await set(wire, at, 1);
    expect(wire.events()).toHaveLength(1);
    await off(wire, `/SET@${at}`, { referenceId: second });
    await set(wire, at, 2);
    expect(wire.events()).toHaveLength(1);
  });

  test('without a reference ends the channel, and * ends all', async () => {
    const at = area();
    const wire = await client();
    for (let i = 0; i < 2; i++) await on(wire, `/SET@${at}/1`);
    await on(wire, `/SET@${at}/2`);
    await on(wire, '/ALL@*');
    expect((await off(wire, `/SET@${at}/1`)).data).toEqual({ id: false, removed: [] });
    await set(wire, `${at}/1`, 1);
    expect(wire.events().map(({ _meta }) => _meta?.channel)).toEqual(['/ALL@*']);
    await off(wire, '*', { referenceId: 0 });
    await set(wire, `${at}/2`, 1);
    expect(wire.events()).toHaveLength(1);
  });

  test('of what was never begun is ok', async () => {
    const wire = await client();
    expect((await off(wire, '/SET@/never')).data).toEqual({ id: false, removed: 0 });
    expect((await off(wire, '/SET@/never', { referenceId: 'x' }))._meta?.status).toBe('ok');
  });

  test('by another reference leaves the channel alone', async () => {
    const at = area();
    const wire = await client();
    await on(wire, `/SET@${at}`);
    await off(wire, `/SET@${at}`, { referenceId: 'not-mine' });
    await set(wire, at, 1);
    expect(wire.events()).toHaveLength(1);
  });

  test('comes to a client that counts when as many listeners went as came', async () => {
    const at = area();
    const wire = await client(null);
    for (const refCount of [0, 1, 2]) await on(wire, `/SET@${at}`, { event_type: 'set', count: 0, refCount });
    await off(wire, `/SET@${at}`, { refCount: 1 });
    await off(wire, `/SET@${at}`, { refCount: 1 });
    await set(wire, at, 1);
    expect(wire.events()).toHaveLength(1);
    await off(wire, `/SET@${at}`, { refCount: 1 });
    await set(wire, at, 2);
    expect(wire.events()).toHaveLength(1);
  });

  test('counts all listeners that a client of happn 2 brought back at once', async () => {
    const at = area();
    const wire = await client(null);
    await on(wire, `/SET@${at}`, { refCount: 3 });
    await off(wire, `/SET@${at}`, { refCount: 2 });
    await set(wire, at, 1);
    expect(wire.events()).toHaveLength(1);
    await off(wire, `/SET@${at}`, { refCount: 1 });
    await set(wire, at, 2);
    expect(wire.events()).toHaveLength(1);
  });
});

describe('initial values', () => {
  test('come oldest change first, and what happens meanwhile follows', async () => {
    const at = area();
    const [publisher, wire] = [await client(), await client()];
    for (const name of ['c', 'b', 'a']) {
      await set(publisher, `${at}/${name}`, { name });
      await new Promise((resolve) => setImmediate(resolve));
    }
    const changes = Array.from({ length: 50 }, (_, n) => set(publisher, `${at}/a`, { n }));
    const answer = await on(wire, `/SET@${at}/*`, { initialCallback: true });
    await Promise.all(changes);
    await set(publisher, `${at}/a`, { n: 'last' });
    await until('the last event', () => wire.events().some(({ data }) => (data as { n: unknown }).n === 'last'));
    const items = answer.data as { name?: string; n?: number; _meta: { path: string } }[];
    const seen = items.find(({ _meta }) => _meta.path === `${at}/a`)?.n ?? -1;
    const events = wire.events().map(({ data }) => (data as { n: unknown }).n);
    expect(events).toEqual([...Array.from({ length: 49 - seen }, (_, i) => seen + 1 + i), 'last']);
    expect(wire.frames.indexOf(answer)).toBeLessThan(wire.frames.length - events.length);
  });

  test('of a second listener of the channel are read again', async () => {
    const at = area();
    const wire = await client();
    await set(wire, `${at}/1`, { n: 1 });
    await on(wire, `/SET@${at}/*`, { initialEmit: true });
    await set(wire, `${at}/2`, { n: 2 });
    const again = await on(wire, `/SET@${at}/*`, { initialEmit: true });
    expect((again.data as object[]).length).toBe(2);
    expect((again._meta as { referenceId?: string }).referenceId).toBeTypeOf('string');
    await set(wire, `${at}/3`, { n: 3 });
    expect(wire.events().map(({ data }) => data)).toEqual([{ n: 2 }, { n: 3 }]);
  });

  test('are events, too, for clients of protocol 1', async () => {
    const at = area();
    const wire = await client('happn_1');
    await set(wire, `${at}/1`, 'x');
    await on(wire, `/SET@${at}/*`, { initialEmit: true });
    await until('the event', () => wire.events().length === 1);
    expect(wire.events()[0]).toMatchObject({ data: { value: 'x', _meta: { path: `${at}/1` } }, _meta: { channel: `/SET@${at}/*` } });
  });
});

test('an option is on when what it says counts as true', async () => {
  const at = area();
  const [publisher, wire] = [await client(), await client('happn_4', '13.12.1')];
  await set(publisher, `${at}/a`, { a: 1 });
  expect((await on(wire, `/ALL@${at}/*`, { initialCallback: 1, merge: 'yes' })).data).toMatchObject([{ a: 1 }]);
  expect(await set(publisher, `${at}/a`, { b: 2 }, { merge: 1 })).toMatchObject({ data: { a: 1, b: 2 } });
  await set(publisher, `${at}/a`, { c: 3 }, { noStore: 'true' });
  await set(publisher, `${at}/b`, { d: 4 }, { noPublish: 1 });
  await publisher.request('remove', { path: `${at}/b`, options: { noPublish: 1 } });
  expect(await set(publisher, `${at}/b`, { d: 4 }, { noDataResponse: 1 })).not.toHaveProperty('data');
  expect(await publisher.request('get', { path: `${at}/a` })).toMatchObject({ data: { a: 1, b: 2 } });
  expect(await publisher.request('get', { path: `${at}/a`, options: { path_only: 1 } })).not.toHaveProperty('data');
  await until('the last event', () => wire.events().length >= 3);
  expect(wire.events().map(({ data }) => data)).toEqual([{ b: 2 }, { c: 3 }, { d: 4 }]);
});

describe('bad input', () => {
  test('an empty path is refused in the words of the clients', async () => {
    const wire = await client();
    for (const action of ['set', 'remove', 'on']) {
      expect(errorOf(await wire.request(action, { path: '', data: {} }))).toEqual({
        name: 'Error',
        message: expect.stringContaining('Bad path, can only contain characters') as string,
      });
    }
  });

  const DATA = [null, undefined, 0, 1, '', 'x', true, [], [null], {}, { data: null }, { protocol: null }, { protocol: {} }, { info: null }];
  const ACTIONS = [
    'configure-session',
    'describe',
    'login',
    'request-nonce',
    'get',
    'count',
    'set',
    'remove',
    'on',
    'off',
    'ack',
    'change-password',
    'revoke-token',
    'disconnect-child-sessions',
    'disconnect',
    'revoke-session',
    'constructor',
    'toString',
    'then',
    '__proto__',
    '',
    'SET',
  ];

  test.each(ACTIONS)('in the action %j is answered, and hurts nobody', async (action) => {
    const wire = await client();
    let eventId = 1_000;
    for (const data of DATA) {
      for (const options of [undefined, null, 'x', [], { referenceId: {} }, { meta: 5 }]) {
        wire.send({ action, eventId: ++eventId, path: '/bad/input', data, options });
      }
    }
    for (const path of [null, 5, {}, [], '', '*', '/*', '/\u0000', '\ud800', 'x'.repeat(70_000), '/a/'.repeat(200), '/_SYSTEM/x']) {
      wire.send({ action, eventId: ++eventId, path, data: { a: 1 } });
    }
    const answered = (id: number): boolean => wire.frames.some((frame) => typeof frame !== 'string' && metaOf(frame)?.eventId === id);
    await until('all answers', () => wire.closed !== null || Array.from({ length: eventId - 1_000 }, (_, i) => 1_001 + i).every(answered));
    expect(wire.closed).toBeNull();
    expect(wire.broken).toEqual([]);
    expect((await set(wire, '/bad/input', 1))._meta?.status).toBe('ok');
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  function metaOf(frame: WireFrame | WireFrame[]): Record<string, unknown> | undefined {
    return (Array.isArray(frame) ? frame.at(-1) : frame._meta) as Record<string, unknown> | undefined;
  }

  test.each(['null', '1', '"text"', '[]', '[[[[', '{not json', '', '"primus::what::1"', '"primus::ping', 'true'])(
    '%j is passed over',
    async (text) => {
      const wire = await client();
      const before = wire.frames.length;
      wire.send(text);
      await set(wire, '/bad/frames', 1);
      expect(wire.frames.length).toBe(before + 1);
    },
  );

  test('in a binary frame is passed over', async () => {
    const wire = await client();
    wire.socket.send(Buffer.from('{"action":"describe","eventId":77}'), { binary: true });
    await set(wire, '/bad/frames', 1);
    expect(wire.frames.some((frame) => (frame as WireFrame)._meta?.eventId === 77)).toBe(false);
  });

  test('of too much depth is refused by name, and the connection lives', async () => {
    const wire = await client();
    const deep = `${'['.repeat(5_000)}${']'.repeat(5_000)}`;
    wire.send(`{"action":"set","eventId":901,"path":"/deep","data":${deep}}`);
    expect(errorOf((await wire.answer(901)) as WireFrame)).toMatchObject({ code: 413 });
    expect((await set(wire, '/deep', 1))._meta?.status).toBe('ok');
  });

  test('C5 in merges cannot reach prototypes', async () => {
    const at = area();
    const wire = await client();
    await set(wire, at, { a: 1 });
    wire.send(`{"action":"set","eventId":902,"path":"${at}","data":{"__proto__":{"polluted":1}},"options":{"merge":true}}`);
    expect(errorOf((await wire.answer(902)) as WireFrame)).toMatchObject({ name: 'Error' });
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test('over the size limit ends the connection', async () => {
    const wire = await client();
    wire.send(`{"action":"set","eventId":1,"path":"/big","data":"${'x'.repeat(10_485_760)}"}`);
    await until('the end', () => wire.closed !== null);
  });

  test('in half a million fragments ends the connection', async () => {
    const wire = await client();
    const socket = wire.socket as WebSocket & { _socket: { write(bytes: Buffer): void } };
    socket.send('{', { fin: false });
    const fragment = Buffer.from([0x00, 0x81, 0, 0, 0, 0, 0x20]);
    socket._socket.write(Buffer.concat(Array.from({ length: 500_000 }, () => fragment)));
    await until('the end', () => wire.closed !== null, 20_000);
  });

  test('of an unknown protocol is told so, and sent away for good', async () => {
    const wire = await gateway.connect();
    wire.send({ action: 'configure-session', eventId: 1, data: { protocol: 'other' } });
    await until('the end', () => wire.closed !== null);
    expect(wire.frames.at(-1)).toBe('primus::server::close');
    expect((wire.frames[0] as WireFrame)._meta?.status).toBe('error');
  });
});

test('a client is read no further than its credit, wherever in its frames the bytes are', async () => {
  const [greedy, other] = [await client(), await client()];
  const unsettled = (): number => gateway.counters.gauges.get('requests_unsettled')?.read() ?? 0;
  gateway.store.scansHeld = true;
  const options = { junk: 'x'.repeat(1024 * 1024) };
  const answers = Array.from({ length: 12 }, () => greedy.request('get', { path: '/junk/*', options }));
  await until('its credit is used up', () => unsettled() >= 4);
  for (let i = 0; i < 50; i++) await other.request('get', { path: '/nothing' });
  expect(unsettled()).toBeLessThanOrEqual(5);
  gateway.store.releaseScans();
  await Promise.all(answers);
});

describe('control messages', () => {
  test('are answered as JSON texts', async () => {
    const wire = await client(null);
    wire.send('"primus::ping::1700000000000"');
    wire.send('"primus::id::"');
    await until('both answers', () => wire.frames.filter((frame) => typeof frame === 'string').length === 2);
    expect(wire.frames.filter((frame) => typeof frame === 'string')).toEqual([
      'primus::pong::1700000000000',
      `primus::id::${wire.sessionId}`,
    ]);
  });

  test('that are too long or broken are passed over', async () => {
    const wire = await client(null);
    wire.send(`"primus::ping::${'1'.repeat(1_000)}"`);
    wire.send('"primus::ping::1');
    await set(wire, '/control', 1);
    expect(wire.frames.filter((frame) => typeof frame === 'string')).toEqual([]);
    expect(wire.broken).toEqual([]);
  });
});

describe('a connection of its own gateway', () => {
  const started: HappnGateway[] = [];

  afterEach(async () => {
    for (const one of started.splice(0)) await one.stop();
  });

  async function start(config: Parameters<typeof startHappn>[0] = {}): Promise<HappnGateway> {
    const one = await startHappn(config);
    started.push(one);
    return one;
  }

  const pings = (wire: HappnWire): number => wire.frames.filter((frame) => String(frame).startsWith('primus::ping')).length;

  test('gets heartbeats in protocol 4 only, and lives as long as it answers them', async () => {
    const one = await start({ pingIntervalMs: 40 });
    const four = await one.connect();
    four.socket.on('message', (data: Buffer) => {
      const text = data.toString();
      if (text.startsWith('"primus::ping')) four.send(text.replace('ping', 'pong'));
    });
    await four.login('happn_4');
    const three = await (await one.connect()).login('happn_3');
    await until('eight heartbeats', () => pings(four) >= 8);
    expect([four.closed, three.closed, pings(three)]).toEqual([null, null, 0]);
  });

  test('F2 that answers no heartbeat gets an extra beat, and is closed without the mark that keeps clients away', async () => {
    const one = await start({ pingIntervalMs: 60 });
    const wire = await (await one.connect()).login('happn_4');
    await until('the end', () => wire.closed !== null);
    // Counted from its last sign of life on, whenever the beats came.
    const answered = wire.frames.findLastIndex((frame) => typeof frame !== 'string');
    expect(wire.frames.slice(answered + 1).filter((frame) => String(frame).startsWith('primus::ping'))).toHaveLength(2);
    expect(wire.frames).not.toContain('primus::server::close');
  });

  test.each([null, 'happn_1', 'happn_2', 'happn_3'])(
    'of protocol %s is closed when it says nothing for long, and not before',
    async (protocol) => {
      const one = await start({ silentMs: 300, firstRequestMs: 200 });
      const silent = await (await one.connect()).login(protocol);
      const talking = await (await one.connect()).login(protocol);
      const timer = setInterval(() => talking.send('"primus::ping::1"'), 30);
      await until('the silent one is closed', () => silent.closed !== null);
      clearInterval(timer);
      expect(talking.closed).toBeNull();
      expect(silent.frames).not.toContain('primus::server::close');
    },
  );

  test('lives as long as its websocket gives a sign of life, in every protocol', async () => {
    const one = await start({ silentMs: 500, pingIntervalMs: 200 });
    const living: HappnWire[] = [];
    const timer = setInterval(() => {
      for (const { socket } of living) socket.ping();
    }, 30);
    for (const protocol of [null, 'happn_3', 'happn_4']) {
      const wire = await one.connect();
      living.push(wire);
      await wire.login(protocol);
    }
    const silent = await Promise.all(['happn_3', 'happn_4'].map(async (protocol) => (await one.connect()).login(protocol)));
    await until('the silent ones are closed', () => silent.every(({ closed }) => closed !== null));
    clearInterval(timer);
    expect(living.map(({ closed }) => closed)).toEqual([null, null, null]);
  });

  test('that asks for nothing is closed in time, while another works', async () => {
    const one = await start({ firstRequestMs: 200 });
    const idle = await one.connect();
    const junk = await one.connect();
    const timer = setInterval(() => junk.closed === null && junk.send('null'), 20);
    const working = await (await one.connect()).login();
    await until('both are closed', () => idle.closed !== null && junk.closed !== null);
    clearInterval(timer);
    expect(working.closed).toBeNull();
  });

  test('that sends much before its first request is closed early', async () => {
    const one = await start();
    const wire = await one.connect();
    const socket = (wire.socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket;
    // The head of a masked frame of 8 MiB, and then a part of it.
    const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]);
    socket.write(head);
    socket.write(Buffer.alloc(70_000, 0x20));
    await until('the end', () => wire.closed !== null);
  });

  test('that leaves a message unfinished is closed', async () => {
    const one = await start({ firstRequestMs: 200, messageMs: 200 });
    const wire = await (await one.connect()).login('happn_1');
    const socket = (wire.socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket;
    socket.write(Buffer.from([0x81, 0xfe, 0x10, 0x00, 0, 0, 0, 0, 0x20]));
    const timer = setInterval(() => socket.write(Buffer.from([0x20])), 20);
    await until('the end', () => wire.closed !== null);
    clearInterval(timer);
  });

  test('is closed without a mark when the gateway stops, after its answers', async () => {
    const one = await startHappn();
    const wire = await (await one.connect()).login();
    await set(wire, '/stop', 1);
    await one.stop();
    await until('the end', () => wire.closed !== null);
    expect(wire.frames).not.toContain('primus::server::close');
  });

  test.each([
    [null, 'server-side-disconnect'],
    ['happn_1', 'server-side-disconnect'],
    ['happn_2', { reason: 'reconnect-false' }],
    ['happn_4', { reason: 'reconnect-false' }],
  ])('of protocol %s is told to stay away in this order: notice, mark, close', async (protocol, data) => {
    const one = await startHappn();
    const wire = await (await one.connect()).login(protocol);
    await one.stop(false);
    await until('the end', () => wire.closed !== null);
    expect(wire.frames.slice(-2)).toEqual([
      { _meta: { type: 'system' }, eventKey: 'server-side-disconnect', data },
      'primus::server::close',
    ]);
    expect(wire.closed).toEqual({ code: 1005 });
  });

  test('that never reads is ended, and nobody else waits for it', async () => {
    const one = await start();
    const deaf = await (await one.connect()).login();
    await on(deaf, '/ALL@/flood/*');
    const publisher = await (await one.connect()).login();
    const reader = await (await one.connect()).login();
    await on(reader, '/ALL@/flood/*');
    deaf.socket.pause();
    const body = 'x'.repeat(64_000);
    let sent = 0;
    const counter = one.counters.counter('slow_consumers_closed_total', '');
    while (counter.value === 0 && sent < 4_000) {
      await set(publisher, '/flood/1', body, { noStore: true, noDataResponse: true });
      sent += 1;
    }
    expect(counter.value).toBe(1);
    expect(sent * 64_000).toBeLessThan(80 * 1024 * 1024);
    await until('the reader has heard all', () => reader.events().length === sent);
  });

  test('that asks without reading is not read on', async () => {
    const one = await start();
    const wire = await (await one.connect()).login();
    wire.socket.pause();
    const long = 'e'.repeat(10_000);
    for (let i = 0; i < 5_000; i++) wire.send({ action: 'describe', eventId: `${long}${i}` });
    await settledBuffer(wire);
    expect(wire.socket.bufferedAmount).toBeGreaterThan(10_000_000);
    wire.socket.resume();
    await until('all are answered', () => wire.frames.length >= 5_000, 20_000);
  });

  /** Waits until the gateway takes no more. */
  async function settledBuffer(wire: HappnWire): Promise<void> {
    let before = -1;
    await until('nothing moves any more', async () => {
      const now = wire.socket.bufferedAmount;
      const still = now === before;
      before = now;
      for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
      return still;
    });
  }

  test('answers plain HTTP where clients look', async () => {
    const one = await start();
    const at = `http://127.0.0.1:${one.port}`;
    expect(await (await fetch(`${at}/ping`)).text()).toBe('pong');
    expect(await (await fetch(`${at}/version`)).json()).toEqual({ version: '1.2.3' });
    expect(await (await fetch(`${at}/primus/spec`)).json()).toMatchObject({ pathname: '/primus', pingInterval: 30_000 });
    expect((await fetch(`${at}/primus`)).status).toBe(426);
    expect((await fetch(`${at}/primus/x?y=1`)).status).toBe(426);
  });

  test('takes any path below /primus, and no other', async () => {
    const one = await start();
    const below = new WebSocket(`ws://127.0.0.1:${one.port}/primus/x?ping=25000&pong=10000`);
    await once(below, 'open');
    below.terminate();
    const elsewhere = new WebSocket(`ws://127.0.0.1:${one.port}/other`);
    const [error] = (await once(elsewhere, 'error')) as [Error];
    expect(error.message).toMatch(/404/);
  });

  test('is silent and cheap when it goes at once', async () => {
    const one = await start();
    for (let i = 0; i < 20; i++) {
      const socket = connect(one.port, '127.0.0.1');
      socket.write(
        `GET /primus HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16, i).toString('base64')}\r\n\r\n`,
      );
      await once(socket, 'data');
      socket.destroy();
    }
    const gauge = one.counters.gauges.get('happn_connections');
    await until('all are forgotten', () => gauge?.read() === 0);
  });

  test('B5 never offers compression', async () => {
    const one = await start();
    const wire = await one.connect({ perMessageDeflate: true });
    expect(wire.socket.extensions).toBe('');
  });
});
