// `trivium/haven`, as programs get it, against the running gateway.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Packr } from 'msgpackr';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connect,
  type Found,
  type HavenClient,
  HavenError,
  type HavenOptions,
  type Watch,
  type WatchEvent,
} from '../../src/haven-client/index.js';
import { AdminApi } from '../support/admin-api.js';
import { cleanEnvironment, freePort, type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { ALL, by, startSecureGateway } from '../support/secure-roads.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let gateway: GatewayProcess;
const clients: HavenClient[] = [];

beforeAll(async () => {
  gateway = await startGateway();
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await gateway.stop();
});

async function open(options: HavenOptions = {}): Promise<HavenClient> {
  const client = await connect({ port: gateway.ports.haven, ...options });
  clients.push(client);
  return client;
}

async function take(watch: Watch, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  while (events.length < count) {
    const { value, done } = await watch.next();
    if (done === true) break;
    events.push(value);
  }
  return events;
}

const brief = (event: WatchEvent): unknown[] =>
  event.type === 'resync' ? [event.reason] : event.type === 'write' ? [event.path, event.value] : [event.path];

describe('data', () => {
  it('is created, read, changed and deleted', async () => {
    const client = await open();
    const written = await client.create('/data/a', { n: 1 });
    expect(written).toMatchObject({ revision: expect.any(Number), created: expect.any(Number) });
    await expect(client.create('/data/a', 2)).rejects.toMatchObject({ name: 'CONFLICT', code: 8, op: null });
    await client.update('/data/a', { m: Buffer.from([1]) }, { merge: true, expect: written.revision });
    expect((await client.read('/data/a'))?.value).toMatchObject({ n: 1 });
    await expect(client.write('/data/a', 0, { expect: written.revision })).rejects.toBeInstanceOf(HavenError);
    const times = { created: expect.any(Number), modified: expect.any(Number) };
    expect(await client.create('/data/b', 1)).toEqual({ revision: expect.any(Number), ...times });
    expect(await client.read('/data/b')).toEqual({ value: 1, revision: expect.any(Number), ...times });
    expect(await client.read('/data/none')).toBeNull();
    await expect(client.read(5 as never)).rejects.toMatchObject({ name: 'INVALID_PATH', code: 11 });
    await expect(client.list(undefined as never)).rejects.toMatchObject({ name: 'INVALID_PATH', code: 11 });
    await expect(client.read('/data/*')).rejects.toMatchObject({ name: 'INVALID_PATH' });
    await expect(client.list('/data')).rejects.toMatchObject({ name: 'INVALID_PATH' });
    expect(await client.delete('/data/a')).toBe(1);
    expect(await client.delete('/data/a')).toBe(0);
  });

  it('that cannot be said is refused before it is sent, and what others are answered stays theirs', async () => {
    const client = await open({ reconnect: false });
    const circle: unknown[] = [];
    circle.push({ circle });
    const unsayable = [
      Symbol('x'),
      { call: () => 1 },
      [Number.NaN],
      Number.POSITIVE_INFINITY,
      2n ** 64n,
      new Date(Number.NaN),
      new Map([[1, 1]]),
      new Set([1]),
      /x/,
      new Error('x'),
      new Float32Array([1.5]),
      new ArrayBuffer(1),
      circle,
      'half a character \ud83d',
      [{ '\ude00': 1 }],
      new Map([['\ud83d', 1]]),
    ];
    for (const value of unsayable) {
      const asked = [client.write('/say/it', value), client.write('/say/n', 1), client.read('/say/n')] as const;
      await expect(asked[0], String(typeof value)).rejects.toMatchObject({ name: 'MALFORMED', code: 1 });
      expect((await asked[1]).revision).toBeGreaterThan(0);
      expect((await asked[2])?.value).toBe(1);
    }
    class Reading {
      n = 1;
    }
    await client.write('/say/it', [
      undefined,
      -5n,
      new Map([['a', Buffer.from('b')]]),
      new Reading(),
      new Date(5),
      'x',
      Object.create(null),
    ]);
    const { value } = (await client.read('/say/it')) as Found;
    expect(value).toEqual([null, -5, { a: Buffer.from('b') }, { n: 1 }, new Date(5), 'x', {}]);
  });

  it('is found by pattern', async () => {
    const client = await open();
    await Promise.all([3, 1, 2].map((n) => client.write(`/list/${n}`, { n, text: 'x' })));
    const { items, more } = await client.list('/list/*', { criteria: { n: { $gt: 1 } }, fields: { n: 1 }, sort: { n: -1 }, limit: 1 });
    expect([items.map(({ path, value }) => [path, value]), more]).toEqual([[['/list/3', { n: 3 }]], true]);
    expect((await client.list('/list/*', { after: '/list/2' })).items).toMatchObject([{ path: '/list/3' }]);
  });

  it('changes whole or not at all', async () => {
    const client = await open();
    const revisions = await client.transaction([
      { type: 'create', path: '/move/a', value: 1 },
      { type: 'delete', path: '/move/b' },
    ]);
    expect(revisions).toEqual([expect.any(Number), 0]);
    const failing = client.transaction([
      { type: 'delete', path: '/move/a' },
      { type: 'update', path: '/move/b', value: 1 },
    ]);
    await expect(failing).rejects.toMatchObject({ name: 'NOT_FOUND', op: 1 });
    expect((await client.read('/move/a'))?.value).toBe(1);
  });

  it('a long answer comes in many pieces and is one', async () => {
    const client = await open();
    const value = Buffer.alloc(300_000, 7);
    await Promise.all([1, 2, 3, 4].map((n) => client.write(`/long/${n}`, value)));
    const { items } = await client.list('/long/*');
    expect(items.map((item) => (item.value as Buffer).equals(value))).toEqual([true, true, true, true]);
  });
});

describe('watches', () => {
  it('begin with the records, and tell every change in order', async () => {
    const client = await open();
    await client.write('/watch/a', 0);
    const watch = await client.watch('/watch/*', { initial: true });
    for (let n = 1; n <= 3; n++) await client.write('/watch/b', n);
    await client.delete('/watch/a');
    expect((await take(watch, 5)).map(brief)).toEqual([['/watch/a', 0], ['/watch/b', 1], ['/watch/b', 2], ['/watch/b', 3], ['/watch/a']]);
    const next = watch.next();
    await watch.close();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  it('end when their loop is left', async () => {
    const client = await open();
    const watch = await client.watch('/loop/*');
    await client.write('/loop/a', 1);
    for await (const event of watch) {
      expect(event).toMatchObject({ type: 'write', path: '/loop/a', value: 1, by: '' });
      break;
    }
    await client.write('/loop/a', 2);
    expect(await watch.next()).toEqual({ done: true, value: undefined });
  });

  it('whose reader is too slow begin anew behind what waits, and say so', async () => {
    const client = await open({ watchMaxEvents: 10 });
    const watch = await client.watch('/slow/*');
    for (let n = 0; n < 50; n++) await client.write('/slow/a', n);
    const waiting = Array.from({ length: 10 }, (_, n) => ['/slow/a', n]);
    expect((await take(watch, 12)).map(brief)).toEqual([...waiting, ['overflow'], ['/slow/a', 49]]);
    await client.write('/slow/a', 50);
    expect((await take(watch, 1)).map(brief)).toEqual([['/slow/a', 50]]);
  });

  it('that are closed while they begin anew are watched no more', async () => {
    const client = await open({ watchMaxEvents: 1 });
    const api = await AdminApi.of(gateway.ports.admin);
    const subscriptions = async (): Promise<unknown> => {
      const { body } = await api.ask('GET', '/sessions?protocol=haven');
      const sessions = body['sessions'] as { readonly id: string; readonly subscriptions: number }[];
      return sessions.find(({ id }) => id === client.hello?.session)?.subscriptions;
    };
    const watch = await client.watch('/closed/*');
    for (let n = 0; n < 3; n++) await client.write('/closed/a', n);
    expect((await take(watch, 1)).map(brief)).toEqual([['/closed/a', 0]]);
    await watch.close();
    await client.read('/closed/a');
    await until('it is watched no more', async () => (await subscriptions()) === 0);
  });

  it('whose right is taken away end like any other', async () => {
    const own = await startSecureGateway();
    await own.user('reader', { '/right/*': ALL });
    const [reader, writer] = await Promise.all(
      ['reader', '_ADMIN'].map((name) => open({ port: own.process.ports.haven, credentials: by(name), watchMaxEvents: 1 })),
    );
    const [closed, slow] = [await reader?.watch('/right/a'), await reader?.watch('/right/b')] as [Watch, Watch];
    for (let n = 0; n < 3; n++) await writer?.write('/right/b', n);
    // What it is answered comes behind the events.
    await reader?.read('/right/b');
    await own.user('reader', {});
    await closed.close();
    expect((await take(slow, 1)).map(brief)).toEqual([['/right/b', 0]]);
    await expect(slow.next()).rejects.toMatchObject({ name: 'ACCESS_DENIED' });
    await reader?.close();
    await own.process.stop();
  });
});

describe('with history', () => {
  const HISTORY = JSON.stringify([{ pattern: '/kept/*', revisions: 1_000 }]);
  let own: GatewayProcess;

  beforeAll(async () => {
    own = await startGateway({ flags: ['--history', HISTORY] });
  });

  afterAll(() => own.stop());

  it('records are read as of a moment', async () => {
    const client = await open({ port: own.ports.haven });
    const { revision, modified } = await client.write('/kept/a', 'one');
    await client.write('/kept/a', 'two');
    await client.delete('/kept/a');
    expect(await client.read('/kept/a', { at: { revision } })).toMatchObject({ value: 'one', revision });
    expect(await client.read('/kept/a', { at: { revision: revision + 2 } })).toBeNull();
    expect(await client.read('/kept/none', { at: { time: new Date(modified) } })).toBeNull();
    await client.write('/kept/b', 'late');
    expect(await client.list('/kept/*', { at: { revision: revision + 1 }, limit: 1 })).toMatchObject({
      items: [{ path: '/kept/a', value: 'two', revision: revision + 1 }],
      more: false,
    });
    await expect(client.list('/*', { at: { revision } })).rejects.toMatchObject({ name: 'UNSUPPORTED', code: 9 });
    await expect(client.read('/kept/a', { at: { time: modified - 3_600_000 } })).rejects.toMatchObject({ name: 'OUT_OF_HISTORY', code: 9 });
    await expect(client.read('/other', { at: { revision } })).rejects.toMatchObject({ name: 'UNSUPPORTED', code: 9 });
  });

  it('a watch that found nothing misses nothing, either', async () => {
    const fresh = await startGateway({ flags: ['--history', HISTORY] });
    try {
      const [writer, watcher] = [await open({ port: fresh.ports.haven }), await open({ port: fresh.ports.haven })];
      const watch = await watcher.watch('/kept/*', { initial: true });
      await writer.write('/kept/1', 1);
      expect((await take(watch, 1)).map(brief)).toEqual([['/kept/1', 1]]);
      // What it is answered came behind the answer to the watch.
      await watcher.read('/kept/1');
      await fresh.restart({ kill: true });
      await settle(writer, '/kept/2', 2);
      expect((await take(watch, 1)).map(brief)).toEqual([['/kept/2', 2]]);
    } finally {
      await fresh.stop();
    }
  });

  it('watches begin behind a revision', async () => {
    const client = await open({ port: own.ports.haven });
    const { revision } = await client.write('/kept/b/1', 1);
    await client.write('/kept/b/2', 2);
    await client.delete('/kept/b/1');
    const watch = await client.watch('/kept/b/*', { since: revision });
    await client.write('/kept/b/3', 3);
    expect((await take(watch, 3)).map(brief)).toEqual([['/kept/b/2', 2], ['/kept/b/1'], ['/kept/b/3', 3]]);
    const other = await client.watch('/other/*', { since: revision });
    expect((await take(other, 1)).map(brief)).toEqual([['missed']]);
  });

  it('a slow reader misses nothing', async () => {
    const client = await open({ port: own.ports.haven, watchMaxEvents: 10 });
    const watch = await client.watch('/kept/c');
    for (let n = 0; n < 95; n++) await client.write('/kept/c', n);
    expect((await take(watch, 95)).map(brief)).toEqual(Array.from({ length: 95 }, (_, n) => ['/kept/c', n]));
  });

  it('no event is missed and none comes twice, however often the gateway is killed', async () => {
    const [writer, watcher] = [await open({ port: own.ports.haven }), await open({ port: own.ports.haven })];
    await writer.write('/kept/d/0', -1);
    const watch = await watcher.watch('/kept/d/*', { initial: true });
    expect((await take(watch, 1)).map(brief)).toEqual([['/kept/d/0', -1]]);
    let written = 0;
    const write = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n++) await settle(writer, `/kept/d/${n % 7}`, written++);
    };
    for (let round = 0; round < 4; round++) {
      const writing = write(60);
      await until('some of it is written', () => Promise.resolve(written >= round * 60 + 20));
      await own.restart({ kill: true });
      await writing;
    }
    const events = await take(watch, written);
    expect(events.map((event) => (event.type === 'write' ? event.value : event))).toEqual(Array.from({ length: written }, (_, n) => n));
    const revisions = events.map((event) => (event.type === 'resync' ? 0 : event.revision));
    expect([...new Set(revisions)].sort((a, b) => a - b)).toEqual(revisions);
  });

  /** Writes once, however often the answer is lost. */
  async function settle(client: HavenClient, path: string, value: number): Promise<void> {
    for (;;) {
      try {
        const found = await client.read(path);
        if (found?.value === value) return;
        await client.write(path, value, { expect: found?.revision ?? 0 });
        return;
      } catch (error) {
        if (!(error instanceof HavenError) || (error.name !== 'CONNECTION_LOST' && error.name !== 'CONFLICT')) throw error;
      }
    }
  }
});

describe('the node', () => {
  it('is told what to be, and found', async () => {
    const client = await open();
    const uuid = await client.become('leader', { path: '/library' });
    expect(await client.discover('quorum', { path: '/library/x' })).toMatchObject({ uuid, port: gateway.ports.haven, path: '/library' });
    expect(await client.discover('quorum', { path: '/elsewhere' })).toBeNull();
    expect(await client.state()).toMatchObject({ uuid: client.hello?.node.uuid, quorums: [{ uuid }] });
    expect(await client.become('destroy', { uuid })).toBe(uuid);
  });
});

describe('the connection', () => {
  it('that nobody takes is an error', async () => {
    await expect(connect({ port: await freePort() })).rejects.toMatchObject({ name: 'CONNECTION_LOST', code: 0 });
  });

  it('to something that is no gateway says what became of it', async () => {
    const packr = new Packr({ useRecords: false });
    const hello = packr.pack({ result: true, version: '1', session: 's', node: { uuid: 'u', name: 'n' }, heartbeat: 30 });
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32BE(hello.length);
    const others = {
      silent: createServer(),
      ending: createServer((socket) => socket.end()),
      http: createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
      silentLater: createServer((socket) => socket.once('data', () => socket.write(Buffer.concat([prefix, hello])))),
    };
    const portOf = async (server: Server): Promise<number> => {
      await once(server.listen(0, '127.0.0.1'), 'listening');
      return (server.address() as AddressInfo).port;
    };
    await expect(connect({ port: await portOf(others.silent), timeoutMs: 50 })).rejects.toMatchObject({
      name: 'TIMEOUT',
      code: 0,
      message: 'no answer within 50 ms',
    });
    await expect(connect({ port: await portOf(others.ending) })).rejects.toMatchObject({
      name: 'CONNECTION_LOST',
      message: expect.stringContaining('is this a Haven port?'),
    });
    await expect(connect({ port: await portOf(others.http) })).rejects.toMatchObject({
      name: 'CONNECTION_LOST',
      message: 'the answer is not Haven: is this a Haven port?',
    });
    const client = await connect({ port: await portOf(others.silentLater), timeoutMs: 1_000, reconnect: false });
    await expect(client.read('/a')).rejects.toMatchObject({ name: 'CONNECTION_LOST', message: 'no answer within 1000 ms' });
    for (const server of Object.values(others)) server.close();
  });

  it('lives on when nobody says anything', async () => {
    const [quiet, other] = await Promise.all([open({ heartbeatMs: 1_000 }), open()]);
    const session = quiet.hello?.session;
    const begun = (await other.state()).uptime as number;
    await until('more than two heartbeats have passed', async () => ((await other.state()).uptime as number) > begun + 2_500);
    expect(await quiet.read('/quiet')).toBeNull();
    expect(quiet.hello?.session).toBe(session);
  });

  it('that is lost is made again, with its watches', async () => {
    const own = await startGateway();
    const client = await connect({ port: own.ports.haven });
    const watch = await client.watch('/kept/*');
    await client.write('/kept/a', 1);
    expect((await take(watch, 1)).map(brief)).toEqual([['/kept/a', 1]]);
    const { session } = client.hello as { session: string };
    await own.restart({ kill: true });
    await client.write('/kept/b', 2);
    expect(client.hello?.session).not.toBe(session);
    expect(await client.read('/kept/a')).toMatchObject({ value: 1 });
    const events = (await take(watch, 3)).map(brief);
    expect(events[0]).toEqual(['reconnected']);
    expect(events).toContainEqual(['/kept/a', 1]);
    expect(events).toContainEqual(['/kept/b', 2]);
    await client.close();
    expect(await watch.next()).toEqual({ done: true, value: undefined });
    await expect(client.read('/kept/a')).rejects.toMatchObject({ name: 'CLOSED' });
    await own.stop();
  });

  it('that is being made again, and comes to nothing, does not keep the client from closing', async () => {
    const own = await startGateway();
    const client = await connect({ port: own.ports.haven, timeoutMs: 600_000 });
    await own.stop();
    const silent = createServer();
    const tried = once(silent, 'connection');
    silent.listen(own.ports.haven, '127.0.0.1');
    await tried;
    await client.close();
    await expect(client.read('/a')).rejects.toMatchObject({ name: 'CLOSED' });
    silent.close();
  });

  it('that must not be made again ends everything', async () => {
    const own = await startGateway();
    const client = await connect({ port: own.ports.haven, reconnect: false });
    const watch = await client.watch('*');
    const told = expect(watch.next()).rejects.toMatchObject({ name: 'CONNECTION_LOST' });
    await own.stop();
    await told;
    await expect(client.read('a')).rejects.toMatchObject({ name: 'CONNECTION_LOST' });
    await client.close();
  });
});

it('the program on the page does what the page says', async () => {
  const page = readFileSync(`${ROOT}/docs/haven-client.md`, 'utf8');
  const found = /<!-- test: program -->\n```js\n([\s\S]*?)```\n\n```\n([\s\S]*?)```/.exec(page);
  const [, program, output] = found as RegExpExecArray;
  const source = (program as string).replace('7854', String(gateway.ports.haven));
  const ran = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', source], { cwd: ROOT, env: cleanEnvironment() });
  expect(ran.stdout).toBe(output);
});
