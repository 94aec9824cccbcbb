// What a message says of itself beside its body is the same over every protocol, so that a request of MQTT 5 is answered by anybody.

import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect, type HavenClient } from '../../src/haven-client/index.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS, type Generation, type HappnClient, type Heard } from '../support/happn-clients.js';

let gateway: GatewayProcess;
let mqtt: MqttClient;
let haven: HavenClient;
let happn: HappnClient;

beforeAll(async () => {
  gateway = await startGateway();
  mqtt = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { protocolVersion: 5 });
  haven = await connect({ port: gateway.ports.haven });
  happn = await (GENERATIONS.at(-1) as Generation).connect(gateway.ports.happn);
});

afterAll(async () => {
  await Promise.all([mqtt.endAsync(), haven.close(), happn.disconnect()]);
  await gateway.stop();
});

const CORRELATION = Buffer.of(0, 0xff, 7);
const BINARY = { $binary: { base64: 'AP8H', subType: '00' } };
const properties = (responseTopic: string): object => ({
  contentType: 'text/plain',
  responseTopic,
  correlationData: CORRELATION,
  payloadFormatIndicator: true,
  userProperties: { of: ['a', 'b'], by: 'test' },
});
const metaOf = (responseTopic: string): object => ({
  ...{ contentType: 'text/plain', responseTopic, payloadFormat: 1 },
  ...{ of: ['a', 'b'], by: 'test' },
});

/** Resolves with the properties of the answer on the topic. */
async function answerOn(topic: string, ask: () => Promise<unknown>): Promise<object | undefined> {
  await mqtt.subscribeAsync(topic, { qos: 1 });
  const answered = new Promise<object | undefined>((resolve) => {
    mqtt.on('message', (on, _payload, { properties }) => {
      if (on === topic) resolve(properties);
    });
  });
  await ask();
  return await answered;
}

it('a happn client hears it, and its answer has the correlation data that it was given', async () => {
  const heard: Heard[] = [];
  await happn.on('ask/happn', {}, (event) => {
    heard.push(event);
    const { responseTopic, correlationData } = event.meta;
    void happn.set(responseTopic as string, { answer: 1 }, { noStore: true, meta: { correlationData, contentType: 'application/json' } });
  });
  const answer = await answerOn('answer/happn', () =>
    mqtt.publishAsync('ask/happn', 'question', { qos: 1, properties: properties('answer/happn') }),
  );
  expect(heard[0]?.meta).toMatchObject({ ...metaOf('answer/happn'), correlationData: BINARY });
  expect(answer).toMatchObject({ contentType: 'application/json', correlationData: CORRELATION });
  expect(answer).not.toHaveProperty('userProperties');
});

it('a Haven client hears and reads it, and its answer has the correlation data that it was given', async () => {
  const watch = await haven.watch('ask/haven');
  const answer = answerOn('answer/haven', () =>
    mqtt.publishAsync('ask/haven', 'question', { qos: 1, retain: true, properties: properties('answer/haven') }),
  );
  const { value: event } = await watch.next();
  const meta = { ...metaOf('answer/haven'), correlationData: CORRELATION };
  expect(event).toMatchObject({ type: 'write', value: 'question', meta });
  expect(await haven.read('ask/haven')).toMatchObject({ value: 'question', meta });
  expect((await haven.list('ask/hav*')).items).toMatchObject([{ path: 'ask/haven', meta }]);
  await watch.close();
  await haven.write('answer/haven', 'it is', { meta: { correlationData: CORRELATION, contentType: 'text/plain', who: 'haven' } });
  expect(await answer).toMatchObject({ contentType: 'text/plain', correlationData: CORRELATION, userProperties: { who: 'haven' } });
});

it('what Haven writes has it for happn, also in transactions, and initial values have it', async () => {
  const heard: Heard[] = [];
  await happn.on('from/*', {}, (event) => heard.push(event));
  const when = new Date(0);
  await haven.create('from/1', 1, { meta: { unit: 'm', when, sessionId: 'forged' } });
  await haven.transaction([{ type: 'write', path: 'from/2', value: 2, meta: { unit: 's' } }]);
  await until('both', () => heard.length === 2);
  expect(heard.map(({ meta }) => meta)).toMatchObject([{ unit: 'm', when: when.toJSON() }, { unit: 's' }]);
  expect(heard[0]?.meta.sessionId).not.toBe('forged');
  const watch = await haven.watch('from/2', { initial: true });
  expect((await watch.next()).value).toMatchObject({ value: 2, meta: { unit: 's' } });
  await haven.write('from/2', 3);
  expect((await watch.next()).value).not.toHaveProperty('meta');
  await watch.close();
});

it('has to be a map', async () => {
  for (const meta of ['text', 1, ['a']]) {
    await expect(haven.write('from/3', 1, { meta: meta as never })).rejects.toMatchObject({ name: 'MALFORMED' });
  }
  expect(await haven.read('from/3')).toBeNull();
});
