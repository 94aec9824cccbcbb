// Bridges in circles: every message arrives, and nothing goes round.

import { describe, expect, it, onTestFinished } from 'vitest';
import { until } from '../../../support/gateway-process.js';
import { Mosquitto } from '../../../support/mosquitto.js';
import { Far, type House, startHouse, untilHeard, valuesOf } from './support.js';

const all = [{ direction: 'both' as const, filter: '#', qos: 1 as const }];
const MESSAGES = 25;

async function startMosquitto(): Promise<Mosquitto> {
  const mosquitto = await Mosquitto.start();
  onTestFinished(async () => await mosquitto.stop());
  return mosquitto;
}

async function publish(house: House, path: string): Promise<void> {
  for (let i = 0; i < MESSAGES; i++) await (i % 2 === 0 ? house.session.set(path, i) : house.session.emit(path, i, { qos: 1 }));
}

const numbers = (times: number): number[] => Array.from({ length: MESSAGES * times }, (_item, i) => Math.floor(i / times));
const sorted = (values: readonly unknown[]): unknown[] => [...values].sort((a, b) => Number(a) - Number(b));

const sent = (house: House, ...bridges: string[]): number =>
  bridges.reduce((sum, bridge) => sum + house.count('bridge_messages_out_total', undefined, bridge), 0);

/** What an ended circle and one that still goes round differ in: after a while of the real network nothing more is sent. */
async function quiet(...counts: (() => number)[]): Promise<void> {
  let last = '';
  let since = 0;
  await until('nothing moves any more', () => {
    const now = counts.map((count) => count()).join();
    if (now !== last) since = performance.now();
    last = now;
    return performance.now() - since > 300;
  });
}

describe('two gateways at one broker, both ways', () => {
  it.each([
    ['5', { version: '5' as const }],
    ['3.1.1 in bridge mode', { version: '3.1.1' as const }],
    ['3.1.1', { version: '3.1.1' as const, bridgeMode: false }],
  ])('hear each message once (version %s)', async (_name, version) => {
    const mosquitto = await startMosquitto();
    const [a, b] = [
      await startHouse({ url: mosquitto.url, ...version, rules: all }),
      await startHouse({ url: mosquitto.url, ...version, rules: all }),
    ];
    const far = await Far.connect(mosquitto.url, 'x/#');
    for (const house of [a, b]) {
      await house.connected();
      await house.session.subscribe('x/*');
    }
    await Promise.all([publish(a, 'x/a'), publish(b, 'x/b')]);
    for (const house of [a, b]) for (const path of ['x/a', 'x/b']) await untilHeard(house.session, path, MESSAGES);
    await quiet(
      () => sent(a, 'b'),
      () => sent(b, 'b'),
    );
    for (const house of [a, b]) for (const path of ['x/a', 'x/b']) expect(valuesOf(house.session, path)).toEqual(numbers(1));
    expect(far.heard).toHaveLength(2 * MESSAGES);
    expect([sent(a, 'b'), sent(b, 'b')]).toEqual([MESSAGES, MESSAGES]);
  });
});

describe('a ring of two gateways and two brokers (version 5)', () => {
  it('brings each message twice, once over each way, and ends there', async () => {
    const [m1, m2] = [await startMosquitto(), await startMosquitto()];
    const bridges = [
      { name: 'one', url: m1.url, rules: all },
      { name: 'two', url: m2.url, rules: all },
    ];
    const [a, b] = [await startHouse(bridges), await startHouse(bridges)];
    for (const house of [a, b]) {
      for (const { name } of bridges) await house.connected(name);
      await house.session.subscribe('x/*');
    }
    await publish(a, 'x/a');
    await untilHeard(b.session, 'x/a', 2 * MESSAGES);
    await quiet(
      () => sent(a, 'one', 'two'),
      () => sent(b, 'one', 'two'),
    );
    expect(valuesOf(a.session, 'x/a')).toEqual(numbers(1));
    expect(sorted(valuesOf(b.session, 'x/a'))).toEqual(numbers(2));
    expect([sent(a, 'one', 'two'), sent(b, 'one', 'two')]).toEqual([2 * MESSAGES, 2 * MESSAGES]);
    const loops = ['one', 'two'].map((bridge) => a.count('bridge_dropped_total', 'loop', bridge));
    expect(loops).toEqual([MESSAGES, MESSAGES]);
    expect(a.lines.filter(({ text }) => text.includes('came back'))).toHaveLength(2);
  });
});
