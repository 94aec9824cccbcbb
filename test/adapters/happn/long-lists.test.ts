// Answers of very many records: one message in pieces, between which the gateway does everything else.

import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { encodeItem } from '../../../src/adapters/happn/codec.js';
import { ListStream } from '../../../src/adapters/happn/list-stream.js';
import { Entry } from '../../../src/core/entry.js';
import { Payload } from '../../../src/core/payload.js';
import { formats } from '../../support/core-harness.js';
import { until } from '../../support/gateway-process.js';
import { type HappnGateway, startHappn } from '../../support/happn-wire.js';

const RECORDS = 100_000;
/** What the session promises, and room for the record that goes beyond it. */
const PIECE_CHARACTERS = 64 * 1024 + 1024;

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

test('no piece of a list is large, however long the list is', () => {
  const entries = Array.from({ length: RECORDS }, (_, n) => {
    const payload = Payload.fromBytes(Buffer.from(`{"n":${n},"text":"what is kept"}`), formats.json);
    return new Entry(`long/${n}`, payload, 1, 2, n + 1, '');
  });
  const list = new ListStream(entries, (entry) => encodeItem(entry, formats), '{}]');
  let pieces = 0;
  let text = '';
  for (let last = false; !last; ) {
    const piece = list.next();
    pieces += 1;
    expect(piece.text.length).toBeLessThan(PIECE_CHARACTERS);
    expect(piece.first).toBe(text === '');
    text += piece.text;
    last = piece.last;
  }
  expect(JSON.parse(text)).toHaveLength(RECORDS + 1);
  expect(pieces).toBeGreaterThan(100);
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
