// MQTT clients against the running gateway: bursts, subprotocols, and what a restart or kill -9 leaves.

import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { MqttWire, shown } from '../support/mqtt-wire.js';

let gateway: GatewayProcess;
const open = new Set<MqttClient>();

beforeAll(async () => {
  gateway = await startGateway();
});

afterAll(async () => {
  await Promise.all([...open].map((client) => client.endAsync(true)));
  await gateway.stop();
});

interface Connected {
  readonly client: MqttClient;
  /** `topic=payload/qos`, `r` behind it for retained ones. */
  readonly heard: string[];
}

const tcp = (): string => `mqtt://127.0.0.1:${gateway.ports.mqtt}`;
const websocket = (): string => `ws://127.0.0.1:${gateway.ports.happn}/mqtt`;

async function connect(options: IClientOptions = {}, url = tcp()): Promise<Connected> {
  const heard: string[] = [];
  const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  open.add(client);
  client.on('message', (topic, payload, { qos, retain }) => heard.push(`${topic}=${payload.toString()}/${qos}${retain ? 'r' : ''}`));
  await Promise.race([event(client, 'connect'), failure(client)]);
  return { client, heard };
}

/** mqtt.js types its events in a way that node's `once` does not take. */
function event(client: MqttClient, name: 'connect' | 'error'): Promise<unknown[]> {
  return new Promise((resolve) => {
    client.once(name, (...values: unknown[]) => resolve(values));
  });
}

async function failure(client: MqttClient): Promise<never> {
  const [error] = (await event(client, 'error')) as [Error];
  throw error;
}

it.each([
  ['TCP', tcp],
  ['websocket', websocket],
])('mqtt.js over %s sends a thousand messages of QoS 2 at once, and hears each once in order', async (way, url) => {
  const [a, b] = await Promise.all([connect({}, url()), connect({}, url())]);
  await b.client.subscribeAsync(`many/${way}`, { qos: 2 });
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => a.client.publishAsync(`many/${way}`, `${i}`, { qos: 2 })));
  await until('all', () => b.heard.length >= 1_000);
  expect(b.heard).toEqual(Array.from({ length: 1_000 }, (_, i) => `many/${way}=${i}/2`));
});

describe('the gateway', () => {
  it('speaks the subprotocol that a websocket client offers', async () => {
    const a = await connect({ wsOptions: { protocol: 'mqttv3.1' } } as IClientOptions, websocket());
    await a.client.publishAsync('ws', 'x', { qos: 1 });
  });
});

describe('a durable session over the end of the gateway', () => {
  it.each([
    ['a restart', false],
    ['kill -9', true],
  ])('is there after %s, with its queue and the handshakes of QoS 2', async (_what, kill) => {
    const house = await startGateway();
    const wire = (id: string, clean = false): Promise<MqttWire> => MqttWire.connected(house.ports.mqtt, id, { clean });
    const [away, half] = [await wire('away'), await wire('half')];
    await away.subscribe('q/#', 2);
    await away.drop();
    await half.subscribe('h', 2);
    const a = await wire('a');
    for (let i = 1; i <= 20; i++) {
      a.publish(`q/${i}`, `${i}`, { qos: 1, messageId: i });
      await a.answer('puback', i);
    }
    a.publish('h', 'once', { qos: 2, messageId: 100 });
    await a.answer('pubrec', 100);
    const { messageId } = await half.expect('publish');
    half.send({ cmd: 'pubrec', messageId });
    await half.answer('pubrel', messageId as number);
    await house.restart({ kill });

    const back = await wire('away');
    expect(back.packets[0]).toMatchObject({ sessionPresent: true });
    const queued = (await back.settled()).filter(({ cmd }) => cmd === 'publish');
    expect(queued.map((packet) => shown(packet).replace(/d$/, ''))).toEqual(Array.from({ length: 20 }, (_, i) => `q/${i + 1}=${i + 1}/1`));

    const receiver = await wire('half');
    expect(await receiver.expect('pubrel')).toMatchObject({ messageId });
    receiver.send({ cmd: 'pubcomp', messageId });

    const sender = await wire('a');
    sender.publish('h', 'once', { qos: 2, messageId: 100, dup: true });
    await sender.answer('pubrec', 100);
    sender.send({ cmd: 'pubrel', messageId: 100 });
    await sender.answer('pubcomp', 100);
    expect(await receiver.settled()).toEqual([]);
    await house.stop();
  });

  it('A8 publishes the wills of clients that were connected when it was killed', async () => {
    const house = await startGateway();
    const will = { topic: 'w', payload: Buffer.from('gone'), qos: 1, retain: true };
    await MqttWire.connected(house.ports.mqtt, 'a', { will });
    await house.restart({ kill: true });
    const b = await MqttWire.connected(house.ports.mqtt, 'b');
    await until('the will', async () => {
      await b.subscribe('w', 1);
      return (await b.settled()).some((packet) => packet.topic === 'w');
    });
    await house.stop();
  });
});

describe('kill -9 under load', () => {
  const ROUNDS = process.env.TRIVIUM_TEST_LONG === '1' ? 200 : 5;
  const MESSAGES = 700;

  it(`loses nothing that was acknowledged, in ${ROUNDS} rounds`, async () => {
    const house = await startGateway();
    for (let round = 0; round < ROUNDS; round++) {
      const away = await MqttWire.connected(house.ports.mqtt, `away-${round}`, { clean: false });
      await away.subscribe(`queue/${round}/#`, 1);
      away.send({ cmd: 'disconnect' });
      await away.closed();
      const acknowledged = await publishUntilKilled(house, round, 5 + ((round * 97) % 400));

      const back = await MqttWire.connected(house.ports.mqtt, `away-${round}`, { clean: false });
      const queued: number[] = [];
      for (let some = await numbers(back); some.length > 0; some = await numbers(back)) queued.push(...some.map(([, n]) => n));
      expect(queued).toEqual([...new Set(queued)].sort((a, b) => a - b));
      expect(acknowledged.filter((n) => n % 2 === 1 && !queued.includes(n))).toEqual([]);

      const reader = await MqttWire.connected(house.ports.mqtt, 'reader');
      await reader.subscribe(`record/${round}/#`);
      const kept = new Map(await numbers(reader));
      const newest = new Map(acknowledged.filter((n) => n % 2 === 0).map((n) => [record(round, n), n]));
      for (const [topic, n] of newest) expect(kept.get(topic)).toBeGreaterThanOrEqual(n);
    }
    await house.stop();
  }, 3_600_000);

  const record = (round: number, n: number): string => `record/${round}/${n % 20}`;

  /** Even numbers are records, odd ones messages for the queue. Returns what was acknowledged. */
  async function publishUntilKilled(house: GatewayProcess, round: number, acknowledgements: number): Promise<number[]> {
    const wire = await MqttWire.connected(house.ports.mqtt, 'writer');
    const acknowledged = (): number[] => wire.packets.filter(({ cmd }) => cmd === 'puback').map(({ messageId }) => messageId as number);
    for (let n = 1; n <= MESSAGES; n++) {
      const isRecord = n % 2 === 0;
      wire.publish(isRecord ? record(round, n) : `queue/${round}/${n}`, `${n}`, { qos: 1, messageId: n, retain: isRecord });
    }
    await wire.until(() => acknowledged().length >= acknowledgements, 'enough PUBACKs');
    await house.restart({ kill: true });
    await wire.drop();
    return acknowledged();
  }

  /** Topics and numbers of what came, acknowledged. */
  async function numbers(wire: MqttWire): Promise<[string, number][]> {
    const packets = (await wire.settled()).filter(({ cmd }) => cmd === 'publish');
    for (const { qos, messageId } of packets) if (qos === 1) wire.send({ cmd: 'puback', messageId });
    return packets.map(({ topic, payload }) => [String(topic), Number(String(payload))]);
  }
});
