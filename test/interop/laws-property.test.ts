// Random operations over all protocols against a plain model: after every step the record is the same for all, and in the
// end every subscriber has heard exactly the changes that were made, in order.

import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Value } from '../../src/core/data/payload.js';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { HAPPN, HAVEN, type Heard, MQTT, type Road, type RoadClient } from '../support/roads.js';
import { jsonValue } from '../support/values.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const RUNS = LONG ? 6_000 : 300;
/** A connection may have 1,000 subscriptions; each run makes one. */
const RUNS_PER_CONNECTION = 500;
const PATHS = ['a', 'b', 'deep/c', 'deep//d'] as const;
const roads = [HAPPN, MQTT, HAVEN] as const;

let gateway: GatewayProcess;
let writers: RoadClient[];
let readers: RoadClient[];

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os'] });
  writers = await Promise.all(roads.map((road) => road.connect(gateway.ports)));
  readers = await Promise.all(roads.map((road) => road.connect(gateway.ports)));
});
afterAll(async () => {
  await Promise.all([...writers, ...readers].map((client) => client.close()));
  await gateway.stop();
});

interface Step {
  readonly op: 'set' | 'emit' | 'remove' | 'get';
  readonly road: number;
  readonly name: (typeof PATHS)[number];
  readonly value: Value;
}

/** What every protocol can say and shows again: happn keeps `_meta` for itself, and undefined is nobody's value. */
const value = jsonValue.filter((one) => isSayable(one));
const step: fc.Arbitrary<Step> = fc.record({
  op: fc.constantFrom('set' as const, 'set' as const, 'emit' as const, 'remove' as const, 'get' as const),
  road: fc.nat({ max: roads.length - 1 }),
  name: fc.constantFrom(...PATHS),
  value,
});

function isSayable(one: Value): boolean {
  if (typeof one === 'string') return one.isWellFormed();
  if (one === null || typeof one !== 'object') return true;
  return Object.entries(one).every(([key, item]) => !SPECIAL_KEYS.has(key) && key.isWellFormed() && isSayable(item as Value));
}
const SPECIAL_KEYS = new Set(['_meta', '$binary', '__proto__', 'toJSON', 'constructor', 'prototype', 'hasOwnProperty']);

let run = 0;

async function renewReaders(): Promise<void> {
  await Promise.all(readers.map((client) => client.close()));
  readers = await Promise.all(roads.map((road) => road.connect(gateway.ports)));
}

it(`${RUNS} random histories over happn, MQTT and Haven are those of a plain map`, { timeout: LONG ? 3_600_000 : 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 20 }), async (steps) => {
      const prefix = `property/${++run}`;
      if (run % RUNS_PER_CONNECTION === 0) await renewReaders();
      const ears = await Promise.all(roads.map((road, i) => (readers[i] as RoadClient).listen(road.below(prefix))));
      const model = new Map<string, Value>();
      const news: { path: string; value: Value | undefined }[] = [];
      for (const one of steps) await take(one, prefix, model, news);
      await (writers[0] as RoadClient).set(`${prefix}/end`, { over: true });
      for (const [i, road] of roads.entries()) {
        expect(await (ears[i] as (typeof ears)[number]).before(`${prefix}/end`)).toEqual(expected(road, news));
        for (const name of PATHS) await expectRead(road, readers[i] as RoadClient, `${prefix}/${name}`, model);
      }
    }),
    { numRuns: RUNS, ...(LONG ? {} : { seed: 20_240_229 }) },
  );
});

/** Haven has no events that store nothing: there an event is a set. */
async function take(
  one: Step,
  prefix: string,
  model: Map<string, Value>,
  news: { path: string; value: Value | undefined }[],
): Promise<void> {
  const road = roads[one.road] as Road;
  const client = writers[one.road] as RoadClient;
  const path = `${prefix}/${one.name}`;
  const op = one.op === 'emit' && !road.hasEvents ? 'set' : one.op;
  switch (op) {
    case 'get':
      return expectRead(road, client, path, model);
    case 'remove':
      // Whether removing nothing is news differs by protocol.
      if (!model.has(path)) return;
      await client.remove(path);
      model.delete(path);
      news.push({ path, value: undefined });
      return;
    case 'set':
      model.set(path, one.value);
      break;
    case 'emit':
      break;
  }
  await client[op](path, road.says(one.value));
  news.push({ path, value: one.value });
}

function expected(road: Road, news: readonly { path: string; value: Value | undefined }[]): Heard[] {
  return news.map(({ path, value: given }) => {
    return given === undefined ? { action: 'remove', path, body: null } : { action: 'set', path, body: road.shows(given) };
  });
}

async function expectRead(road: Road, client: RoadClient, path: string, model: ReadonlyMap<string, Value>): Promise<void> {
  const given = model.get(path);
  expect([road.name, path, await client.get(path)]).toEqual([road.name, path, given === undefined ? undefined : road.shows(given)]);
}
