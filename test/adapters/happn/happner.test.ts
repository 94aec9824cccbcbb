// What happner clients do on a gateway: calls as sets on request and response paths, events with versions in their meta.

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
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

async function client(): Promise<HappnWire> {
  const wire = await gateway.connect();
  open.push(wire);
  return await wire.login('happn_4', '13.12.1');
}

const on = (wire: HappnWire, path: string, options: object = {}): Promise<WireFrame> => wire.request('on', { path, data: null, options });
const set = (wire: HappnWire, path: string, data: unknown, options: object): Promise<WireFrame> =>
  wire.request('set', { path, data, options });

/** Answers every call with what it was given. */
async function component(): Promise<HappnWire> {
  const wire = await client();
  await on(wire, '/SET@/_exchange/requests/node/echo/*');
  let answered = 0;
  wire.socket.on('message', () => {
    for (const { data } of wire.events().slice(answered)) {
      answered += 1;
      const { callbackAddress, args, origin } = data as { callbackAddress: string; args: unknown[]; origin: { id: string } };
      const options = { noStore: true, noDataResponse: true, targetClients: [origin.id] };
      wire.send({ action: 'set', eventId: `r${answered}`, path: callbackAddress, data: { status: 'ok', args: [null, ...args] }, options });
    }
  });
  return wire;
}

async function call(wire: HappnWire, number: number, argument: unknown): Promise<void> {
  const callbackAddress = `/_exchange/responses/${wire.sessionId}/node/echo/say/${number}`;
  const data = { callbackAddress, args: [argument], origin: { id: wire.sessionId } };
  await set(wire, '/_exchange/requests/node/echo/say', data, { noStore: true, noCluster: true });
}

test.each([
  ['happner-client', '*'],
  ['MeshClient', '*/*/*/*'],
])('a call of a %s is answered on the channel that it listens to', async (_name, levels) => {
  await component();
  const caller = await client();
  const channel = `/SET@/_exchange/responses/${caller.sessionId}/${levels}`;
  await on(caller, channel);
  await call(caller, 1, 'a');
  await call(caller, 2, { b: 1 });
  await until('both responses', () => caller.events(channel).length === 2);
  expect(caller.events(channel).map(({ data, _meta }) => [data, _meta?.path])).toEqual([
    [{ status: 'ok', args: [null, 'a'] }, `/_exchange/responses/${caller.sessionId}/node/echo/say/1`],
    [{ status: 'ok', args: [null, { b: 1 }] }, `/_exchange/responses/${caller.sessionId}/node/echo/say/2`],
  ]);
  await wireOff(caller, channel);
  await call(caller, 3, 'c');
  await caller.request('get', { path: '/nothing' });
  expect(caller.events(channel)).toHaveLength(2);
});

async function wireOff(wire: HappnWire, path: string): Promise<void> {
  expect((await wire.request('off', { path, data: null, options: {} }))._meta?.status).toBe('ok');
}

test('responses to another session cannot be heard, and whoever asks is told ok', async () => {
  await component();
  const [caller, curious] = [await client(), await client()];
  await on(caller, `/SET@/_exchange/responses/${caller.sessionId}/*`);
  for (const levels of ['*', '*/*/*/*', 'node/echo/say/1']) {
    const answer = await on(curious, `/ALL@/_exchange/responses/${caller.sessionId}/${levels}`);
    expect(answer).toMatchObject({ data: { id: expect.any(Number) as unknown }, _meta: { status: 'ok' } });
  }
  await on(curious, '/ALL@/_exchange/responses/*/*/*/*/*');
  await call(caller, 1, 'secret');
  await until('the response', () => caller.events().length === 1);
  await curious.request('get', { path: '/nothing' });
  expect(curious.events()).toEqual([]);
});

test('events carry the version of their component, and what else meta says', async () => {
  const [emitter, hearer] = [await client(), await client()];
  await on(hearer, '/SET@/_events/node/echo/said', { event_type: 'set', meta: { componentVersion: '^1.0.0' } });
  await set(emitter, '/_events/node/echo/said', { text: 'x' }, { noStore: true, meta: { componentVersion: '1.2.3' } });
  await until('the event', () => hearer.events().length === 1);
  expect(hearer.events()[0]).toMatchObject({ data: { text: 'x' }, _meta: { componentVersion: '1.2.3', path: '/_events/node/echo/said' } });
});

test('the schema of a node is read and followed as any record', async () => {
  const [node, caller] = [await client(), await client()];
  const description = { name: 'node', initializing: false, components: {} };
  await set(node, '/mesh/schema/description', description, {});
  await set(node, '/mesh/schema/config', {}, {});
  const list = await caller.list('get', { path: '/mesh/schema/*', data: null, options: {} });
  expect(list.map(({ _meta }) => _meta?.path)).toEqual(['/mesh/schema/config', '/mesh/schema/description']);
  await on(caller, '/ALL@/mesh/schema/description');
  await set(node, '/mesh/schema/description', { ...description, initializing: true }, {});
  await until('the event', () => caller.events().length === 1);
  expect(caller.events()[0]?.data).toMatchObject({ initializing: true });
});
