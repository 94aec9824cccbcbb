// History over MQTT 5: a SUBSCRIBE that asks for what was retained at a time.

import mqtt, { type IPublishPacket, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type GatewayProcess, startGateway } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';

let gateway: GatewayProcess;
let client: MqttClient;
let haven: HavenClient;
let got: [topic: string, text: string, retain: boolean, qos: number][];

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os', '--history', JSON.stringify([{ pattern: 'kept/*', revisions: 4 }])] });
  haven = await HavenClient.connect(gateway.ports.haven);
});

afterAll(async () => {
  client.end(true);
  await haven.close();
  await gateway.stop();
});

beforeEach(async () => {
  client?.end(true);
  client = await mqtt.connectAsync({ port: gateway.ports.mqtt, protocolVersion: 5, clean: true });
  got = [];
  client.on('message', (topic, payload, { retain, qos }: IPublishPacket) => got.push([topic, payload.toString(), retain, qos]));
});

/** The reason codes of the SUBACK. */
function subscribe(filters: string | string[], time: unknown, qos: 0 | 1 | 2 = 1): Promise<number[]> {
  const properties = { userProperties: { 'trivium-as-of': String(time) } };
  return new Promise((resolve) => {
    client.subscribe(filters, { qos, properties }, (_error, _granted, packet) => resolve((packet?.granted ?? []) as number[]));
  });
}

/** Everything that was sent before is here. */
async function heard(): Promise<typeof got> {
  await client.publishAsync('other/end', 'end', { qos: 1 });
  return got.filter(([topic]) => topic !== 'other/end');
}

/** Retained texts, one after the other, at different times; resolves with these. */
async function retain(topic: string, texts: readonly string[]): Promise<number[]> {
  const times: number[] = [];
  for (const text of texts) {
    while ((await haven.write('clock', 0)).modified === times.at(-1));
    await client.publishAsync(topic, text, { retain: true, qos: 1 });
    times.push((await haven.ask({ action: 'query', type: 'read', path: topic })).modified ?? 0);
  }
  return times;
}

describe('a SUBSCRIBE as of a time', () => {
  test('gets what was retained then, and from then on what is published', async () => {
    const [one, two] = await retain('kept/a', ['one', 'two']);
    expect(await subscribe('kept/a', one, 2)).toEqual([2]);
    await client.publishAsync('kept/a', 'three', { retain: true, qos: 1 });
    expect(await heard()).toEqual([
      ['kept/a', 'one', true, 0],
      ['kept/a', 'three', false, 1],
    ]);
    await client.unsubscribeAsync('kept/a');
    expect(await subscribe('kept/a', (two as number) - 1)).toEqual([1]);
    expect((await heard()).at(-1)).toEqual(['kept/a', 'one', true, 0]);
  });

  test('gets nothing when nothing was there, and what was removed since', async () => {
    const [made] = await retain('kept/b', ['there', '']);
    expect(await subscribe(['kept/b', 'kept/never'], made)).toEqual([1, 1]);
    expect(await heard()).toEqual([['kept/b', 'there', true, 0]]);
  });

  test('with wildcards gets all that was retained then', async () => {
    await retain('kept/d/1', ['one', 'two']);
    const [then] = await retain('kept/d/2', ['three', '']);
    await retain('kept/d/3', ['four']);
    expect(await subscribe(['kept/d/+', 'kept/d/2'], then)).toEqual([1, 1]);
    expect(await heard()).toEqual([
      ['kept/d/1', 'two', true, 0],
      ['kept/d/2', 'three', true, 0],
      ['kept/d/2', 'three', true, 0],
    ]);
    expect(await subscribe('kept/+/1', then)).toEqual([1]);
    expect((await heard()).at(-1)).toEqual(['kept/d/1', 'two', true, 0]);
  });

  test('is refused when that is more than is sent at once', async () => {
    const ops = (from: number): unknown[] =>
      Array.from({ length: 100 }, (_, n) => ({ type: 'write', path: `kept/many/${from + n}`, value: n }));
    let modified = 0;
    for (let from = 0; from <= 1_000; from += 100) await haven.ask({ action: 'query', type: 'transaction', ops: ops(from) });
    modified = (await haven.write('clock', 0)).modified as number;
    expect(await subscribe('kept/many/+', modified)).toEqual([0x97]);
    await haven.ask({ action: 'query', type: 'delete', path: 'kept/many/*' });
  });

  test('is refused where that is not known', async () => {
    const [made] = await retain('kept/c', ['x']);
    const filters = ['kept/c', 'kept/#', '+/c', 'other/c', '$share/g/kept/c', '$SYS/broker/version'];
    expect(await subscribe(filters, made)).toEqual([1, 0x83, 0x83, 0x83, 0x83, 0x83]);
    expect(await subscribe('kept/c', (made as number) - 3_600_000)).toEqual([0x83]);
    expect(await subscribe('kept/c', Date.now() + 3_600_000)).toEqual([0x83]);
    await client.publishAsync('other/c', 'nobody', { qos: 1 });
    expect(await heard()).toEqual([['kept/c', 'x', true, 0]]);
  });

  test('with what is no time ends the connection', async () => {
    const left = new Promise((resolve) => client.once('disconnect', ({ reasonCode }) => resolve(reasonCode)));
    client.options.reconnectPeriod = 0;
    void subscribe('kept/c', 'yesterday');
    expect(await left).toBe(0x82);
  });
});
