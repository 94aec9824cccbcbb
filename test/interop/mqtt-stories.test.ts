// The same stories with the MQTT clients that people use: mqtt.js, Mosquitto's programs, Paho for Python and for C, each in
// the versions that it speaks, all against one gateway.

import mqtt, { type IPublishPacket } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { metric } from '../support/metrics.js';
import { Child } from '../support/mqtt-clients/child.js';
import type { ConnectOptions, Heard, Maker, StoryClient, Version } from '../support/mqtt-clients/client.js';
import { mosquitto } from '../support/mqtt-clients/mosquitto.js';
import { mqttJs } from '../support/mqtt-clients/mqttjs.js';
import { compilePahoC, pahoC, pahoPython } from '../support/mqtt-clients/paho.js';

type Properties = NonNullable<IPublishPacket['properties']>;

let gateway: GatewayProcess;
let program = '';

const port = (): number => gateway.ports.mqtt;
const tcp = (): string => `mqtt://127.0.0.1:${port()}`;
const websocket = (): string => `ws://127.0.0.1:${gateway.ports.happn}/mqtt`;

const VERSIONS: readonly Version[] = [3, 4, 5];

const MAKERS: readonly Maker[] = [
  ...VERSIONS.flatMap((version) => [mqttJs(version, 'TCP', tcp), mqttJs(version, 'websocket', websocket), mosquitto(version, port)]),
  ...([4, 5] as const).flatMap((version) => [pahoPython(version, port), pahoC(version, port, () => program)]),
];

/** What a silence of one and a half keep alives may take longer until the gateway notices. */
const SLACK_MS = 1_000;

/** One client of each maker that says nothing through all the stories. */
const silent: StoryClient[] = [];
let silentSince = 0;
const silence = (index: number): string => `silence/${index}`;

beforeAll(async () => {
  program = compilePahoC();
  gateway = await startGateway();
  for (const [i, maker] of MAKERS.entries()) {
    const client = await maker.connect({ clientId: `silent${i}`, keepAlive: maker.shortestKeepAlive });
    silent.push(client);
    await client.subscribe(silence(i), 1);
  }
  silentSince = performance.now();
});

afterAll(async () => {
  await Promise.all(silent.map((client) => client.cut()));
  await gateway.stop();
});

/** `payload/qos`, `r` behind it for retained ones. */
const text = ({ payload, qos, retain }: Heard): string => `${payload.toString()}/${qos}${retain ? 'r' : ''}`;

async function hears(client: StoryClient, expected: readonly string[]): Promise<void> {
  const heard = (): string[] => client.heard.map(text);
  await until(`it hears ${expected.join(', ')}, having heard ${heard().join(', ')}`, () => client.heard.length >= expected.length);
  expect(heard()).toEqual(expected);
}

describe.each(MAKERS.map((maker, i) => [maker.name, maker, i] as const))('%s:', (_name, maker, index) => {
  const clients: StoryClient[] = [];
  /** Clients that were asked for, in all stories. */
  let count = 0;

  /** A topic that no other story has; also a client id. */
  const own = (name: string): string => `s${index}-${name}`;

  async function connect(options: Partial<ConnectOptions> = {}): Promise<StoryClient> {
    count += 1;
    const client = await maker.connect({ clientId: own(`c${count}`), ...options });
    clients.push(client);
    return client;
  }

  async function listener(filter: string, qos: number, options: Partial<ConnectOptions> = {}): Promise<StoryClient> {
    const client = await connect(options);
    expect(await client.subscribe(filter, qos)).toBe(qos);
    return client;
  }

  afterAll(async () => {
    await Promise.all(clients.map((client) => client.cut()));
  });

  it('publishes and hears at every level', async () => {
    const [a, b] = await Promise.all([connect(), listener(`${own('levels')}/+`, 2)]);
    for (const qos of [0, 1, 2]) await a.publish(`${own('levels')}/${qos}`, `level ${qos}`, qos);
    await hears(b, ['level 0/0', 'level 1/1', 'level 2/2']);
    expect(b.heard.map(({ topic }) => topic)).toEqual([0, 1, 2].map((qos) => `${own('levels')}/${qos}`));
  });

  it('hears at the level that it was granted', async () => {
    const [a, b, c] = await Promise.all([connect(), listener(own('min'), 0), listener(own('min'), 1)]);
    for (const qos of [0, 1, 2]) await a.publish(own('min'), 'm', qos);
    await hears(b, ['m/0', 'm/0', 'm/0']);
    await hears(c, ['m/0', 'm/1', 'm/1']);
  });

  it('hears what matches its wildcards', async () => {
    const root = own('wild');
    const [a, b] = await Promise.all([connect(), listener(`${root}/+/x/#`, 1)]);
    for (const topic of ['a/x', 'a/y', 'a/x/b', 'x', '/x/b/c', 'a/b/x']) await a.publish(`${root}/${topic}`, topic, 1);
    await hears(b, ['a/x/1', 'a/x/b/1', '/x/b/c/1']);
  });

  it('sets a retained message, gets it when it subscribes, and clears it', async () => {
    const a = await connect();
    await a.publish(own('kept'), 'first', 1, true);
    await a.publish(own('kept'), 'second', 2, true);
    const b = await listener(own('kept'), 2);
    await hears(b, ['second/2r']);
    await a.publish(own('kept'), '', 1, true);
    await hears(b, ['second/2r', '/1']);
    const c = await listener(own('kept'), 1);
    await a.publish(own('kept'), 'event', 1);
    await hears(c, ['event/1']);
  });

  it('leaves its will when it is cut off, and none after goodbye', async () => {
    const watcher = await listener(own('will'), 1);
    const will = (payload: string): Partial<ConnectOptions> => ({ will: { topic: own('will'), payload, qos: 1, retain: false } });
    await (await listener(own('other'), 0, will('goodbye'))).disconnect();
    await (await listener(own('other'), 0, will('gone'))).cut();
    await hears(watcher, maker.leavesWillAlways ? ['goodbye/1', 'gone/1'] : ['gone/1']);
  });

  it('finds what came while it was away', async () => {
    const options = { clientId: own('away'), clean: false };
    const first = await listener(own('queue'), 2, options);
    await first.disconnect();
    const a = await connect();
    for (const qos of [0, 1, 2]) await a.publish(own('queue'), `${qos}`, qos);
    const second = await listener(own('queue'), 2, options);
    await hears(second, ['1/1', '2/2']);
    // Version 3.1 has no flag for it.
    if (second.sessionPresent !== null) expect(second.sessionPresent).toBe(maker.version > 3);
    await a.publish(own('queue'), 'live', 1);
    await hears(second, ['1/1', '2/2', 'live/1']);
  });

  it('takes over the connection of the same client', async () => {
    const clientId = own('same');
    const first = await listener(own('taken'), 1, { clientId });
    first.holdStill();
    const connections = await metric(gateway, 'mqtt_connections');
    const second = await listener(own('taken'), 1, { clientId });
    await until('the first is gone', async () => (await metric(gateway, 'mqtt_connections')) === connections);
    if (first.ended !== null) await until('the first knows it', () => first.ended === true);
    await (await connect()).publish(own('taken'), 'x', 1);
    await hears(second, ['x/1']);
    expect(first.heard).toEqual([]);
  });

  it('sends and hears a large payload of any bytes', async () => {
    const payload = Buffer.alloc(900_000, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
    const [a, b] = await Promise.all([connect(), listener(own('large'), 1)]);
    await a.publish(own('large'), payload, 1);
    await until('it is there', () => b.heard.length === 1);
    expect(b.heard[0]?.payload.equals(payload)).toBe(true);
  });

  it('hears each of many messages of QoS 2 once, in order', async () => {
    const [a, b] = await Promise.all([connect(), listener(own('many'), 2)]);
    for (let i = 0; i < 10; i++) await a.publish(own('many'), `${i}`, 2);
    await hears(
      b,
      Array.from({ length: 10 }, (_, i) => `${i}/2`),
    );
  });

  if (maker.canUnsubscribe) {
    it('hears nothing more when it has unsubscribed', async () => {
      const [a, b] = await Promise.all([connect(), listener(own('left'), 1)]);
      await a.publish(own('left'), 'before', 1);
      await hears(b, ['before/1']);
      await b.unsubscribe(own('left'));
      await a.publish(own('left'), 'after', 1);
      await b.subscribe(own('back'), 1);
      await a.publish(own('back'), 'end', 1);
      await hears(b, ['before/1', 'end/1']);
    });
  }
});

it.each([
  ['3.1', 'mqttv31'],
  ['3.1.1', 'mqttv311'],
  ['5', 'mqttv5'],
])("Mosquitto's request program asks in version %s and is answered", async (version, flag) => {
  const [ask, answer] = [`ask/${version}`, `answer/${version}`];
  const responder = await mqtt.connectAsync(tcp(), { protocolVersion: 5 });
  // Version 5 says where to; for the others it is agreed on.
  const respond = (question: Buffer, { responseTopic, correlationData }: Properties): void => {
    const topic = version === '5' ? responseTopic : answer;
    responder.publish(topic as string, `${question.toString()}!`, { qos: 1, ...(correlationData && { properties: { correlationData } }) });
  };
  responder.on('message', (_topic, question, { properties = {} }) => respond(question, properties));
  await responder.subscribeAsync(ask, { qos: 1 });
  const program = ['-h', '127.0.0.1', '-p', String(port()), '-V', flag, '-q', '1', '-W', '10'];
  const child = new Child('mosquitto_rr', [...program, '-t', ask, '-e', answer, '-m', 'question']);
  await child.succeeded();
  expect(child.lines).toEqual(['question!']);
  await responder.endAsync();
});

it.each(MAKERS.map(({ name }, i) => [name, i] as const))('%s: stays connected through its own silence', async (_name, i) => {
  const { connect, shortestKeepAlive } = MAKERS[i] as Maker;
  await until('one and a half keep alives are over', () => performance.now() - silentSince > shortestKeepAlive * 1_500 + SLACK_MS);
  const client = await connect({ clientId: `loud${i}` });
  await client.publish(silence(i), 'still there', 1);
  await hears(silent[i] as StoryClient, ['still there/1']);
  await client.cut();
});
