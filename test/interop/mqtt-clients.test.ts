// Real MQTT clients against the running gateway: mqtt.js over TCP and websocket, Mosquitto's programs, kill -9.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
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
  readonly sessionPresent: boolean;
}

const tcp = (): string => `mqtt://127.0.0.1:${gateway.ports.mqtt}`;
const websocket = (): string => `ws://127.0.0.1:${gateway.ports.happn}/mqtt`;

async function connect(options: IClientOptions = {}, url = tcp()): Promise<Connected> {
  const heard: string[] = [];
  const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  open.add(client);
  client.on('message', (topic, payload, { qos, retain }) => heard.push(`${topic}=${payload.toString()}/${qos}${retain ? 'r' : ''}`));
  const [connack] = (await Promise.race([event(client, 'connect'), failure(client)])) as [{ sessionPresent: boolean }];
  return { client, heard, sessionPresent: connack.sessionPresent };
}

/** mqtt.js types its events in a way that node's `once` does not take. */
function event(client: MqttClient, name: 'connect' | 'error' | 'close'): Promise<unknown[]> {
  return new Promise((resolve) => {
    client.once(name, (...values: unknown[]) => resolve(values));
  });
}

async function failure(client: MqttClient): Promise<never> {
  const [error] = (await event(client, 'error')) as [Error];
  throw error;
}

/** Cuts the connection without goodbye. */
async function cut({ client }: Connected): Promise<void> {
  client.stream.destroy();
  if (client.connected) await event(client, 'close');
}

const VERSIONS: readonly (readonly [string, IClientOptions])[] = [
  ['3.1.1', { protocolVersion: 4, protocolId: 'MQTT' }],
  ['3.1', { protocolVersion: 3, protocolId: 'MQIsdp' }],
];
const WAYS = VERSIONS.flatMap(([version, options]) => [
  { name: `MQTT ${version} over TCP`, options, url: tcp, prefix: `${version}-tcp` },
  { name: `MQTT ${version} over websocket`, options, url: websocket, prefix: `${version}-ws` },
]);

describe.each(WAYS)('mqtt.js, $name', ({ options, url, prefix }) => {
  const client = (id: string, more: IClientOptions = {}): Promise<Connected> =>
    connect({ ...options, clientId: `${prefix}-${id}`, ...more }, url());

  it('publishes and hears at every level', async () => {
    const [a, b] = await Promise.all([client('a'), client('b')]);
    expect(await b.client.subscribeAsync({ [`${prefix}/+`]: { qos: 2 } })).toMatchObject([{ qos: 2 }]);
    for (const qos of [0, 1, 2] as const) await a.client.publishAsync(`${prefix}/${qos}`, `level ${qos}`, { qos });
    await until('all three', () => b.heard.length === 3);
    expect(b.heard).toEqual([0, 1, 2].map((qos) => `${prefix}/${qos}=level ${qos}/${qos}`));
    await b.client.unsubscribeAsync(`${prefix}/+`);
    await a.client.publishAsync(`${prefix}/1`, 'nobody', { qos: 1 });
    await b.client.publishAsync(`${prefix}/1`, 'nobody', { qos: 2 });
    expect(b.heard.length).toBe(3);
  });

  it('keeps and removes retained messages', async () => {
    const a = await client('a2');
    await a.client.publishAsync(`${prefix}/kept`, 'value', { qos: 1, retain: true });
    const b = await client('b2');
    await b.client.subscribeAsync(`${prefix}/kept`, { qos: 1 });
    await until('the retained one', () => b.heard.length === 1);
    await a.client.publishAsync(`${prefix}/kept`, '', { qos: 1, retain: true });
    await until('its removal', () => b.heard.length === 2);
    expect(b.heard).toEqual([`${prefix}/kept=value/1r`, `${prefix}/kept=/1`]);
    const c = await client('c2');
    await c.client.subscribeAsync([`${prefix}/kept`, `${prefix}/c`], { qos: 1 });
    await c.client.publishAsync(`${prefix}/c`, 'own', { qos: 1 });
    await until('its own', () => c.heard.length > 0);
    expect(c.heard).toEqual([`${prefix}/c=own/1`]);
  });

  it('leaves its will when it is cut off, and none after goodbye', async () => {
    const b = await client('b3');
    await b.client.subscribeAsync(`${prefix}/will`, { qos: 1 });
    const will = (payload: string): IClientOptions => ({
      will: { topic: `${prefix}/will`, payload: Buffer.from(payload), qos: 1, retain: false },
    });
    await (await client('polite', will('never'))).client.endAsync();
    await cut(await client('cut', will('gone')));
    await until('the will', () => b.heard.length > 0);
    expect(b.heard).toEqual([`${prefix}/will=gone/1`]);
  });

  it('finds its durable session again', async () => {
    const away = await client('away', { clean: false });
    await away.client.subscribeAsync(`${prefix}/queue`, { qos: 2 });
    await away.client.endAsync();
    const a = await client('a4');
    for (const qos of [1, 2] as const) await a.client.publishAsync(`${prefix}/queue`, `${qos}`, { qos });
    const back = await client('away', { clean: false });
    await until('both', () => back.heard.length === 2);
    expect(back.heard).toEqual([`${prefix}/queue=1/1`, `${prefix}/queue=2/2`]);
    // 3.1 has no flag for it.
    expect(back.sessionPresent).toBe(options.protocolVersion === 4);
    await back.client.endAsync();
    expect((await client('away')).sessionPresent).toBe(false);
  });

  it('takes over the connection of the same client', async () => {
    const first = await client('same');
    const ended = event(first.client, 'close');
    const second = await client('same');
    await ended;
    await second.client.publishAsync(`${prefix}/x`, 'x', { qos: 1 });
  });

  it('sends a thousand messages of QoS 2 at once, and hears each once in order', async () => {
    const [a, b] = await Promise.all([client('a6'), client('b6')]);
    await b.client.subscribeAsync(`${prefix}/many`, { qos: 2 });
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => a.client.publishAsync(`${prefix}/many`, `${i}`, { qos: 2 })));
    await until('all', () => b.heard.length >= 1_000);
    expect(b.heard).toEqual(Array.from({ length: 1_000 }, (_, i) => `${prefix}/many=${i}/2`));
  });

  it('sends and hears a megabyte', async () => {
    const a = await client('a7');
    await a.client.subscribeAsync(`${prefix}/large`);
    const payload = 'x'.repeat(1_000_000);
    await a.client.publishAsync(`${prefix}/large`, payload, { qos: 1 });
    await until('it', () => a.heard.length === 1);
    expect(a.heard[0]?.length).toBe(`${prefix}/large=/0`.length + payload.length);
  });
});

describe('the gateway', () => {
  it('refuses protocol version 5 with a return code that clients understand', async () => {
    await expect(connect({ protocolVersion: 5 })).rejects.toThrow(/[Uu]nacceptable protocol version|[Uu]nsupported/);
  });

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

  it('publishes the wills of clients that were connected when it was killed', async () => {
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

describe("Mosquitto's programs", () => {
  /** With `stdbuf`, because into a pipe they write only at their end. */
  async function run(program: string, args: readonly string[], whenReady?: () => Promise<void>): Promise<string> {
    const child = spawn('stdbuf', ['-oL', program, '-h', '127.0.0.1', '-p', String(gateway.ports.mqtt), ...args]);
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const ended = once(child, 'close');
    if (whenReady !== undefined) {
      await until('it subscribed', () => /SUBACK/.test(output + errors));
      await whenReady();
    }
    const [code] = (await ended) as [number];
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${errors}${output}`);
    return output;
  }

  it.each(['mqttv31', 'mqttv311'])('publish and subscribe as %s', async (version) => {
    const topic = `mosquitto/${version}`;
    const output = await run(
      'mosquitto_sub',
      ['-V', version, '-d', '-v', '-q', '2', '-t', `${topic}/#`, '-C', '3', '-W', '10'],
      async () => {
        for (const qos of ['0', '1', '2'])
          await run('mosquitto_pub', ['-V', version, '-t', `${topic}/${qos}`, '-m', `level ${qos}`, '-q', qos]);
      },
    );
    expect(output.split('\n').filter((line) => line.startsWith('mosquitto/'))).toEqual(
      [0, 1, 2].map((qos) => `${topic}/${qos} level ${qos}`),
    );
  });

  it('get retained messages and durable sessions', async () => {
    await run('mosquitto_sub', ['-i', 'kept', '-c', '-q', '1', '-t', 'm/queue', '-E']);
    await run('mosquitto_pub', ['-t', 'm/queue', '-m', 'waited', '-q', '1']);
    await run('mosquitto_pub', ['-t', 'm/kept', '-m', 'retained', '-r', '-q', '1']);
    expect(await run('mosquitto_sub', ['-i', 'kept', '-c', '-q', '1', '-t', 'm/queue', '-C', '1', '-W', '10'])).toBe('waited\n');
    expect(await run('mosquitto_sub', ['-t', 'm/kept', '-C', '1', '-W', '10'])).toBe('retained\n');
  });
});
