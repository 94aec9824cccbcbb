// `trivium/haven`, as programs get it, against the running gateway.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type HavenClient, HavenError, type HavenOptions, type Watch, type WatchEvent } from '../../src/haven-client/index.js';
import { cleanEnvironment, freePort, type GatewayProcess, startGateway, until } from '../support/gateway-process.js';

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
    expect(await client.read('/data/none')).toBeNull();
    await expect(client.read('/data/*')).rejects.toMatchObject({ name: 'INVALID_PATH' });
    await expect(client.list('/data')).rejects.toMatchObject({ name: 'INVALID_PATH' });
    expect(await client.delete('/data/a')).toBe(1);
    expect(await client.delete('/data/a')).toBe(0);
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

  it('whose reader is too slow begin anew, and say so', async () => {
    const client = await open({ watchMaxEvents: 10 });
    const watch = await client.watch('/slow/*');
    for (let n = 0; n < 50; n++) await client.write('/slow/a', n);
    expect((await take(watch, 2)).map(brief)).toEqual([['overflow'], ['/slow/a', 49]]);
    await client.write('/slow/a', 50);
    expect((await take(watch, 1)).map(brief)).toEqual([['/slow/a', 50]]);
  });
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
