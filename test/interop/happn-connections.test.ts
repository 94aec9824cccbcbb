// Heartbeats and broken connections, with the unmodified happn client of each generation beside the others.

import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { connectionOf, GENERATIONS, type HappnClient } from '../support/happn-clients.js';

/** Of the gateway to new clients, and of old clients to the gateway. */
const BEAT_MS = 100;
const BEATS = 10;

let gateway: GatewayProcess;
let clients: HappnClient[] = [];

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os', '--happn-ping-interval-ms', String(BEAT_MS)] });
  // The libraries load their parts when they first connect, which can take many seconds.
  await connectAll(30_000);
  await leaveAll();
});

afterAll(async () => {
  await gateway.stop();
});

afterEach(async () => {
  await leaveAll();
});

async function leaveAll(): Promise<void> {
  await Promise.all(clients.map((client) => client.disconnect()));
}

/** `patienceMs`: without a sign of life for so long, clients give a connection up. */
async function connectAll(patienceMs: number): Promise<HappnClient[]> {
  const heartbeats = { everyMs: BEAT_MS, patienceMs };
  clients = await Promise.all(GENERATIONS.map((generation) => generation.connect(gateway.ports.happn, {}, heartbeats)));
  return clients;
}

function counter(client: HappnClient, ...events: string[]): () => number {
  let count = 0;
  for (const event of events) {
    connectionOf(client).on(event, () => {
      count += 1;
    });
  }
  return () => count;
}

/** What each client hears, told apart by handlers: two on one path, one on a wildcard. */
async function listenAll(all: readonly HappnClient[]): Promise<number[][][]> {
  return await Promise.all(
    all.map(async (client) => {
      const heard: number[][] = [[], [], []];
      for (const [handler, path] of ['/broken/1', '/broken/1', '/broken/*'].entries()) {
        await client.on(path, { event_type: 'set' }, ({ data }) => heard[handler]?.push(data.n as number));
      }
      return heard;
    }),
  );
}

async function publish(publisher: HappnClient, listeners: readonly HappnClient[], n: number): Promise<void> {
  await publisher.set('/broken/1', { n }, { noStore: true });
  await Promise.all(listeners.map((client) => client.get('/fence')));
}

const namesOf = (test: (client: HappnClient) => boolean): string[] =>
  GENERATIONS.filter((_, at) => test(clients[at] as HappnClient)).map(({ name }) => name);

async function allAreBack(): Promise<void> {
  await until('all clients are back', () => clients.every((client) => client.reconnects() >= 1));
}

test('every client lives on through heartbeats, whoever sends them', async () => {
  const all = await connectAll(5_000);
  const beats = all.map((client) => counter(client, 'incoming::ping', 'incoming::pong'));
  await until(`${BEATS} heartbeats on each connection`, () => beats.every((count) => count() >= BEATS));
  expect(namesOf((client) => client.reconnects() > 0)).toEqual([]);
});

test('a client whose connection is cut comes back, and each handler hears each event once', async () => {
  const all = await connectAll(5_000);
  const heard = await listenAll(all);
  await publish(all[0] as HappnClient, all, 1);
  for (const client of all) connectionOf(client).socket._socket.destroy();
  await allAreBack();
  await publish(all[0] as HappnClient, all, 2);
  await publish(all[0] as HappnClient, all, 3);
  for (const [at, handlers] of heard.entries()) expect([GENERATIONS[at]?.name, handlers]).toEqual([GENERATIONS[at]?.name, each([1, 2, 3])]);
});

test('a client leaves a gateway that is silent, comes back when it speaks again, and hears each event once', async () => {
  const all = await connectAll(1_000);
  const heard = await listenAll(all);
  const lost = all.map((client) => counter(client, 'offline'));
  gateway.signal('SIGSTOP');
  try {
    await until('all clients give the connection up', () => lost.every((count) => count() > 0));
  } finally {
    gateway.signal('SIGCONT');
  }
  await allAreBack();
  await publish(all[0] as HappnClient, all, 1);
  await publish(all[0] as HappnClient, all, 2);
  for (const [at, handlers] of heard.entries()) expect([GENERATIONS[at]?.name, handlers]).toEqual([GENERATIONS[at]?.name, each([1, 2])]);
});

const each = (numbers: readonly number[]): readonly number[][] => [[...numbers], [...numbers], [...numbers]];
