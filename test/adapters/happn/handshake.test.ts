// The beginning of a conversation: what a login is answered with, what may come before it, and a protocol that changes on the way.

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
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

async function connected(): Promise<HappnWire> {
  const wire = await gateway.connect();
  open.push(wire);
  return wire;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('a login is answered with the session, and of the upgrade only with what is nobody’s secret', async () => {
  const wire = await connected();
  await wire.request('configure-session', { data: { protocol: 'happn_4', version: '13.12.1', browser: false } });
  const info = { _browser: false, _local: false, mine: { a: 1 } };
  const { data } = await wire.request('login', { data: { username: 'anybody', password: 'secret', info } });
  expect(data).toEqual({
    msgCount: 2,
    id: expect.stringMatching(UUID) as string,
    protocol: 'happn_4',
    happn: { name: 'reference-node', secure: false },
    headers: {
      host: `127.0.0.1:${gateway.port}`,
      'sec-websocket-extensions': expect.any(String) as string,
      'sec-websocket-key': expect.any(String) as string,
      'sec-websocket-version': '13',
    },
    encrypted: false,
    address: { ip: '127.0.0.1', secure: false, port: expect.any(Number) as number },
    url: '/primus?_primuscb=raw',
    version: '13.12.1',
    info,
  });
});

test('a client that tells no version has an unknown one, and one that configures nothing has none', async () => {
  const [vague, old] = [await connected(), await connected()];
  await vague.request('configure-session', { data: { protocol: 'happn_2' } });
  expect((await vague.request('login', { data: {} })).data).toMatchObject({ protocol: 'happn_2', version: 'unknown' });
  const { data } = await old.request('login', { data: {} });
  expect(data).toMatchObject({ protocol: 'happn' });
  expect(data).not.toHaveProperty('version');
  expect(data).not.toHaveProperty('info');
});

test('a second login on a connection keeps the session', async () => {
  const wire = await (await connected()).login('happn_4');
  const again = await wire.request('login', { data: { info: { second: true } } });
  expect(again.data).toMatchObject({ id: wire.sessionId, info: { second: true } });
});

test('all that works after a login works before it, also before the protocol is known', async () => {
  const wire = await connected();
  expect((await wire.request('set', { path: '/early', data: { n: 1 } }))._meta?.status).toBe('ok');
  expect((await wire.request('on', { path: '/SET@/early', data: null, options: {} }))._meta?.status).toBe('ok');
  expect((await wire.request('get', { path: '/early' })).data).toEqual({ n: 1 });
  await wire.request('set', { path: '/early', data: { n: 2 } });
  expect(wire.events().map(({ data }) => data)).toEqual([{ n: 2 }]);
  expect((await wire.request('remove', { path: '/early' })).data).toEqual({ removed: 1 });
});

test('the answer to a change of protocol is of the new protocol, as is everything behind it', async () => {
  const wire = await connected();
  const told: unknown[] = [];
  for (const protocol of ['happn_4', 'happn_1.3.0', 'happn_2', 'happn_3', 'happn', 'happn_4']) {
    const answer = await wire.request('configure-session', { data: { protocol } });
    const short = await wire.request('set', { path: '/changing', data: { n: 1 }, options: { noDataResponse: true } });
    told.push([answer.protocol, short.protocol, short.data]);
  }
  const whole = { n: 1 };
  expect(told).toEqual([
    ['happn_4', undefined, undefined],
    ['happn_1', 'happn_1', whole],
    ['happn_2', 'happn_2', whole],
    ['happn_3', 'happn_3', whole],
    ['happn', 'happn', whole],
    ['happn_4', undefined, undefined],
  ]);
});

test('old clients find data in every answer that is no list', async () => {
  const wire = await (await connected()).login(null);
  const answers: WireFrame[] = [];
  const ask = async (action: string, fields: object = {}): Promise<void> => {
    answers.push(await wire.request(action, { path: '/old/1', ...fields }));
  };
  for (const options of [{}, { noStore: true }, { noDataResponse: true }, { noPublish: true }]) await ask('set', { data: 'text', options });
  for (const options of [{}, { fields: { value: 1 } }, { fields: { nothing: 1 } }]) await ask('get', { options });
  await ask('get', { path: '/old/none' });
  await ask('on', { path: '/SET@/old/1', options: {} });
  await ask('on', { path: '/SET@/old/none', options: { initialCallback: true } });
  for (const action of ['count', 'remove', 'off', 'ack', 'disconnect', 'revoke-session', 'describe']) await ask(action, { data: null });
  for (const answer of answers) {
    expect(answer).toHaveProperty('data');
    expect(answer._meta).toMatchObject({ type: 'response', status: 'ok' });
  }
});

test('an id that is a text, or none at all, is answered as it came', async () => {
  const wire = await (await connected()).login('happn_4');
  wire.send({ action: 'get', eventId: 'mine', path: '/none' });
  expect(await wire.answer('mine')).toMatchObject({ data: null, _meta: { eventId: 'mine' } });
  wire.send({ action: 'set', path: '/nameless', data: { n: 1 } });
  expect(await wire.answer(undefined)).toMatchObject({ data: { n: 1 }, _meta: { status: 'ok', path: '/nameless' } });
});

test('another session’s id in a request changes nothing but what is echoed', async () => {
  const [one, other] = [await (await connected()).login('happn_4'), await (await connected()).login('happn_4')];
  await one.request('on', { path: '/SET@/whose', data: null, options: {} });
  other.send({ action: 'set', eventId: 77, path: '/whose', data: { n: 1 }, sessionId: one.sessionId });
  expect((await other.answer(77)) as WireFrame).toMatchObject({ _meta: { sessionId: one.sessionId } });
  expect(one.events()[0]?._meta?.sessionId).toBe(other.sessionId);
});

test('there are no logins over HTTP without users', async () => {
  for (const path of ['/auth/login?username=a&password=b', '/auth/logout', '/auth/request-nonce?publicKey=x']) {
    expect((await fetch(`http://127.0.0.1:${gateway.port}${path}`)).status).toBe(404);
  }
});
