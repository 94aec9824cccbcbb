// A restart of the gateway under 200 connected clients of all generations: all come back and subscribe again, and from the moment
// a client is back it hears every event, once and in order.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS, type HappnClient } from '../support/happn-clients.js';
import { HappnWire } from '../support/happn-wire.js';

const CLIENTS = process.env.TRIVIUM_TEST_LONG === '1' ? 800 : 200;
/** Back-off of the oldest clients doubles from half a second: some need several attempts. */
const BACK_WITHIN_MS = 60_000;
/** Published after the last client is back. */
const LAST = 20;

interface Member {
  readonly name: string;
  readonly client: HappnClient;
  /** Numbers heard, since it was connected first. */
  heard: number[];
  /** The first number that was sent after this client was back and had its subscriptions. One that was on its way may be heard. */
  from: number | null;
}

let gateway: GatewayProcess;
let members: Member[] = [];

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os'] });
  members = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, n) => {
      const generation = GENERATIONS[n % GENERATIONS.length] as (typeof GENERATIONS)[number];
      const member: Member = { name: generation.name, client: await generation.connect(gateway.ports.happn), heard: [], from: null };
      await member.client.on('/load/*', { event_type: 'set' }, ({ data }) => member.heard.push(data.n as number));
      // Never concerned: these are to come back, too, and to stay silent.
      await member.client.on(`/load/private/${n}`, { event_type: 'all' }, () => member.heard.push(-1));
      return member;
    }),
  );
}, 120_000);

afterAll(async () => {
  await Promise.all(members.map(({ client }) => client.disconnect()));
  await gateway.stop();
}, 60_000);

async function wire(): Promise<HappnWire> {
  return await (await HappnWire.connect(`ws://127.0.0.1:${gateway.ports.happn}/primus`)).login();
}

/** Notes for each client when it is back: when it says so, and an answer showed that its requests before were served. */
function watch(upcoming: () => number): Promise<void>[] {
  return members.map(async (member) => {
    await until(`a client of ${member.name} is back`, () => member.client.reconnects() >= 1, BACK_WITHIN_MS);
    await member.client.get('/load/fence');
    member.from = upcoming();
  });
}

/** What those who are back lack of the numbers below `next`, and what they heard too much. */
function wrong(next: number): string[] {
  return members.flatMap(({ name, heard, from }) => {
    if (from === null) return [];
    const after = heard.filter((n) => n < 0 || n >= from);
    const expected = Array.from({ length: next - from }, (_, n) => n + from);
    return after.join() === expected.join() ? [] : [`${name}, back at ${from}: heard ${after.join()}`];
  });
}

test(`${CLIENTS} clients come back after a restart and miss nothing from then on`, async () => {
  const before = await wire();
  await before.request('set', { path: '/load/0', data: { n: 0 }, options: { noStore: true } });
  await until('all hear the event before the restart', () => members.every(({ heard }) => heard.length === 1));
  expect(members.every(({ heard }) => heard[0] === 0)).toBe(true);

  await gateway.restart();
  const publisher = await wire();
  let next = 1;
  const back = watch(() => next);
  let all = false;
  const everyone = Promise.all(back).finally(() => {
    all = true;
  });
  for (let left = LAST; left > 0; left -= all ? 1 : 0) {
    const due = members.filter(({ from }) => from !== null);
    const n = next++;
    await publisher.request('set', { path: `/load/${n % 7}`, data: { n }, options: { noStore: n % 2 === 0 } });
    await until(`those who are back hear ${n}`, () => due.every(({ heard }) => heard.at(-1) === n));
  }
  await everyone;
  expect(members.filter(({ from }) => from === null)).toEqual([]);
  await until('all hear the last', () => members.every(({ heard }) => heard.at(-1) === next - 1));
  expect(wrong(next)).toEqual([]);
  expect(members.filter(({ client }) => client.reconnects() !== 1).map(({ name }) => name)).toEqual([]);

  const metrics = await (await fetch(`http://127.0.0.1:${gateway.ports.admin}/metrics`)).text();
  expect(metrics).toMatch(new RegExp(`^trivium_happn_connections ${CLIENTS + 1}$`, 'm'));
  await publisher.close();
}, 180_000);
