// Answers of very many records: one message in pieces, between which the gateway does everything else.

import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { until } from '../../support/gateway-process.js';
import { type HappnGateway, startHappn } from '../../support/happn-wire.js';

const RECORDS = process.env.TRIVIUM_TEST_LONG === '1' ? 100_000 : 20_000;
/** What the session promises of a piece, and room for the record that goes beyond it. */
const PIECE_CHARACTERS = 64 * 1024 + 1024;
const PIECE_RECORDS = 512;

let gateway: HappnGateway;
let socket: WebSocket;
let received: Buffer[] = [];

beforeAll(async () => {
  gateway = await startHappn();
  socket = new WebSocket(gateway.url);
  socket.on('message', (bytes: Buffer) => received.push(bytes));
  await once(socket, 'open');
  for (let n = 0; n < RECORDS; n++) {
    const path = `long/${String(n).padStart(6, '0')}`;
    socket.send(
      JSON.stringify({ action: 'set', eventId: n, path, data: { n, text: 'what is kept \u00e4 here' }, options: { noPublish: true } }),
    );
  }
  await until('all are stored', () => received.length === RECORDS, 60_000);
});

afterAll(async () => {
  socket.close();
  await once(socket, 'close');
  await gateway.stop();
});

test(`a list of ${RECORDS} records is one message, complete, and what was asked behind it is answered`, async () => {
  received = [];
  socket.send(JSON.stringify({ action: 'get', eventId: 'list', path: 'long/*' }));
  socket.send(JSON.stringify({ action: 'get', eventId: 'behind', path: 'long/000001' }));
  await until('both answers', () => received.length === 2, 30_000);
  const answers = received.map((bytes) => JSON.parse(bytes.toString()) as unknown);
  const list = answers.find(Array.isArray) as { n: number; text: string; eventId?: string }[];
  expect(list).toHaveLength(RECORDS + 1);
  expect(list.at(-1)).toMatchObject({ type: 'response', status: 'ok', eventId: 'list', action: 'get' });
  expect(list.slice(0, -1).every((item, n) => item.n === n && item.text === 'what is kept \u00e4 here')).toBe(true);
});

test('the event loop is free between the pieces of lists and of initial values', async () => {
  const { inShift } = gateway.context;
  let shifts = 0;
  gateway.context.inShift = (session, work) => {
    shifts += 1;
    inShift(session, work);
  };
  const cases: [protocol: string, request: object, messages: number][] = [
    ['happn_4', { action: 'get', path: 'long/*' }, 1],
    ['happn_4', { action: 'get', path: 'long/*', options: { path_only: true } }, 1],
    ['happn_4', { action: 'get', path: 'long/*', options: { criteria: { n: { $gte: 0 } } } }, 1],
    ['happn_4', { action: 'on', path: '/SET@long/*', options: { initialCallback: true } }, 1],
    ['happn_1', { action: 'on', path: '/SET@long/*', options: { initialEmit: true } }, 1 + RECORDS],
  ];
  for (const [protocol, request, messages] of cases) {
    const { bytes, sent } = await asked(protocol, request, messages, () => {
      shifts = 0;
    });
    expect(shifts, sent).toBeGreaterThan(bytes / PIECE_CHARACTERS - 1);
    expect(shifts, sent).toBeGreaterThanOrEqual(Math.floor(RECORDS / PIECE_RECORDS));
  }
  gateway.context.inShift = inShift;
}, 60_000);

/** Asks on a connection of its own and takes that many messages. */
async function asked(protocol: string, request: object, messages: number, begin: () => void): Promise<{ bytes: number; sent: string }> {
  const client = new WebSocket(gateway.url);
  let bytes = 0;
  let count = 0;
  client.on('message', (message: Buffer) => {
    bytes += message.length;
    count += 1;
  });
  await once(client, 'open');
  client.send(JSON.stringify({ action: 'configure-session', eventId: 1, data: { protocol } }));
  await until('the session is configured', () => count === 1);
  bytes = 0;
  begin();
  const sent = JSON.stringify({ eventId: 2, ...request });
  client.send(sent);
  await until(`the answer to ${sent}`, () => count === 1 + messages, 30_000);
  client.close();
  await once(client, 'close');
  return { bytes, sent };
}

test('initial values come oldest change first, and only then what happens', async () => {
  const changed = `long/${String(RECORDS - 1).padStart(6, '0')}`;
  const first = 'long/000000';
  received = [];
  socket.send(JSON.stringify({ action: 'set', eventId: 1, path: first, data: { n: 0, late: true }, options: { noPublish: true } }));
  await until('the change', () => received.length === 1);
  received = [];
  socket.send(JSON.stringify({ action: 'on', eventId: 'on', path: '/SET@long/*', options: { initialCallback: true } }));
  for (let n = 0; n < 10; n++) socket.send(JSON.stringify({ action: 'set', eventId: n, path: changed, data: { n: RECORDS - 1 } }));
  await until('all answers and events', () => received.length === 21, 30_000);
  const messages = received.map((bytes) => JSON.parse(bytes.toString()) as { data: unknown; _meta: { eventId?: unknown; type: string } });
  const initial = messages.findIndex(({ _meta }) => _meta.eventId === 'on');
  const events = messages.flatMap(({ _meta }, at) => (_meta.type === 'data' ? [at] : []));
  expect(events).toHaveLength(10);
  expect(Math.min(...events)).toBeGreaterThan(initial);
  const items = messages[initial]?.data as { n: number; late?: boolean }[];
  expect(items.map(({ n }) => n)).toEqual([...Array.from({ length: RECORDS - 1 }, (_, n) => n + 1), 0]);
  expect(items.at(-1)?.late).toBe(true);
  received = [];
  socket.send(JSON.stringify({ action: 'off', eventId: 'off', path: '/SET@long/*' }));
  await until('the end of the subscription', () => received.length === 1);
});

test('a client that reads slowly gets all of it, with the events of the time behind it', async () => {
  received = [];
  socket.send(JSON.stringify({ action: 'on', eventId: 'on', path: '/SET@/heard' }));
  await until('the subscription', () => received.length === 1);
  received = [];
  socket.send(JSON.stringify({ action: 'get', eventId: 'list', path: 'long/*' }));
  socket.pause();
  const other = new WebSocket(gateway.url);
  await once(other, 'open');
  let sets = 0;
  other.on('message', () => {
    sets += 1;
  });
  for (let n = 0; n < 10; n++) other.send(JSON.stringify({ action: 'set', eventId: n, path: '/heard', data: { n } }));
  await until('the sets are answered', () => sets === 10);
  socket.resume();
  await until('everything', () => received.length === 11, 30_000);
  const messages = received.map((bytes) => JSON.parse(bytes.toString()) as unknown);
  const list = messages.find(Array.isArray) as unknown[];
  expect(list).toHaveLength(RECORDS + 1);
  const events = messages.filter((message) => !Array.isArray(message)) as { data: { n: number } }[];
  expect(events.map(({ data }) => data.n)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  other.close();
  await once(other, 'close');
});
