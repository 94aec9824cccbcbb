// Sessions of MQTT 5 over raw packets: what each feature of the version means here.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuthenticationExchange } from '../../../../src/adapters/mqtt/v5/authentication.js';
import { REASON } from '../../../../src/adapters/mqtt/v5/reason-codes.js';
import { Meta } from '../../../../src/core/data/meta.js';
import { Payload } from '../../../../src/core/data/payload.js';
import { RequestError } from '../../../../src/core/errors.js';
import { DataRequest, STORED } from '../../../../src/core/message.js';
import { identityNamed } from '../../../../src/core/security/identity.js';
import { accessOf } from '../../../support/access.js';
import { formats, GateStore } from '../../../support/core-harness.js';
import { until } from '../../../support/gateway-process.js';
import { encode, type HouseOptions, MqttHouse, type MqttPacket, MqttWire } from '../../../support/mqtt-wire.js';

let house: MqttHouse;
const houses: MqttHouse[] = [];

async function start(options: HouseOptions = {}): Promise<void> {
  house = await MqttHouse.start(options);
  houses.push(house);
}

beforeEach(async () => await start());

afterEach(async () => {
  for (const one of houses.splice(0)) await one.stop();
});

interface Connected {
  readonly wire: MqttWire;
  readonly connack: MqttPacket;
}

async function connected(clientId: string, options: object = {}): Promise<Connected> {
  const wire = await MqttWire.open(house.port, 5);
  wire.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId, keepalive: 0, ...options });
  return { wire, connack: await wire.expect('connack') };
}

const client = async (clientId: string, options: object = {}): Promise<MqttWire> => (await connected(clientId, options)).wire;
const kept = (clientId: string, seconds = 600, options: object = {}): Promise<Connected> =>
  connected(clientId, { clean: false, properties: { sessionExpiryInterval: seconds }, ...options });
const plain = (clientId: string, options: object = {}): Promise<MqttWire> => MqttWire.connected(house.port, clientId, options);

let lastId = 100;
async function subscribe(wire: MqttWire, topic: string, options: object = {}, properties: object = {}): Promise<number[]> {
  lastId += 1;
  wire.send({ cmd: 'subscribe', messageId: lastId, subscriptions: [{ topic, qos: 0, ...options }], properties });
  return ((await wire.answer('suback', lastId)) as unknown as { granted: number[] }).granted;
}

/** Sends at QoS 1; the reason code of its PUBACK. */
async function publish(wire: MqttWire, topic: string, payload: string, options: object = {}): Promise<number> {
  lastId += 1;
  wire.publish(topic, payload, { qos: 1, messageId: lastId, ...options });
  return ((await wire.answer('puback', lastId)) as unknown as { reasonCode: number }).reasonCode ?? 0;
}

interface Told {
  readonly topic: string;
  readonly payload: string;
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly retain: boolean;
  readonly qos: number;
  readonly messageId?: number;
}

/** PUBLISH packets that have come. */
async function told(wire: MqttWire): Promise<Told[]> {
  const packets = (await wire.settled()).filter(({ cmd }) => cmd === 'publish');
  return packets.map((packet) => ({ ...(packet as unknown as Told), payload: String((packet as unknown as { payload: Buffer }).payload) }));
}

const payloads = async (wire: MqttWire): Promise<string[]> => (await told(wire)).map(({ payload }) => payload);

async function endedWith(wire: MqttWire): Promise<number | undefined> {
  await wire.closed();
  const last = wire.packets.at(-1) as unknown as { cmd: string; reasonCode?: number };
  return last.cmd === 'disconnect' ? last.reasonCode : undefined;
}

describe('a CONNACK', () => {
  it('says what the gateway takes', async () => {
    const { connack } = await connected('a');
    expect(connack).toMatchObject({ reasonCode: 0, sessionPresent: false });
    expect(connack).toHaveProperty('properties', {
      receiveMaximum: 1_000,
      maximumPacketSize: 1024 * 1024,
      topicAliasMaximum: 10,
      serverKeepAlive: 60,
    });
  });

  it('names a client that brings no name, and caps what it asks for', async () => {
    await start({ limits: { sessionExpiryMs: 60_000 }, responseInformation: 'answers/' });
    const { connack } = await connected('', {
      keepalive: 30,
      properties: { sessionExpiryInterval: 3_600, requestResponseInformation: true },
    });
    const { properties } = connack as unknown as { properties: Record<string, unknown> };
    expect(properties).toMatchObject({ sessionExpiryInterval: 60, responseInformation: 'answers/' });
    expect(properties['assignedClientIdentifier']).toMatch(/^[0-9a-f]{32}$/);
    expect(properties).not.toHaveProperty('serverKeepAlive');
  });

  it('refuses credentials with a reason', async () => {
    const authenticate = (): Promise<never> => Promise.reject(new RequestError('NOT_AUTHENTICATED', 'wrong'));
    await start({ access: accessOf(() => true, authenticate) });
    const { wire, connack } = await connected('a', { username: 'u', password: Buffer.from('p') });
    expect(connack).toMatchObject({ reasonCode: REASON.BAD_USER_NAME_OR_PASSWORD });
    await wire.closed();
  });

  it('says that the store failed', async () => {
    house.failOnce();
    const wire = await MqttWire.open(house.port, 5);
    wire.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clean: false,
      clientId: 'a',
      properties: { sessionExpiryInterval: 5 },
    });
    expect(await wire.expect('connack')).toMatchObject({ reasonCode: REASON.SERVER_UNAVAILABLE });
    await wire.closed();
  });
});

describe('a session', () => {
  it('outlives its connection as long as it asked for, with subscriptions and messages', async () => {
    const first = (await kept('a')).wire;
    await subscribe(first, 't/#', { qos: 1 });
    first.send({ cmd: 'disconnect' });
    await first.closed();
    expect(await publish(await client('b'), 't/1', 'x')).toBe(0);
    const { wire, connack } = await kept('a');
    expect(connack).toMatchObject({ sessionPresent: true });
    expect(await told(wire)).toMatchObject([{ topic: 't/1', payload: 'x', qos: 1, dup: false }]);
  });

  it('begins anew with clean start, and is kept all the same', async () => {
    const first = (await kept('a')).wire;
    await subscribe(first, 't', { qos: 1 });
    await first.drop();
    expect((await kept('a', 600, { clean: true })).connack).toMatchObject({ sessionPresent: false });
    expect((await kept('a')).connack).toMatchObject({ sessionPresent: true });
  });

  it('changes how long it is kept when it leaves', async () => {
    const { wire } = await kept('a');
    wire.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 0 } });
    await wire.closed();
    await until('it has left', () => house.counters.gauges.get('requests_unsettled')?.read() === 0);
    expect((await kept('a')).connack).toMatchObject({ sessionPresent: false });
  });

  it('that ends with its connection cannot ask for more when it leaves', async () => {
    const wire = await client('a');
    wire.send({ cmd: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 5 } });
    expect(await endedWith(wire)).toBe(REASON.PROTOCOL_ERROR);
  });

  it('is one with that of the same client in 3.1.1, either way', async () => {
    const old = await plain('a', { clean: false });
    await old.subscribe('t', 1);
    const { wire, connack } = await kept('a');
    expect(connack).toMatchObject({ sessionPresent: true });
    await old.closed();
    expect(await publish(await client('b'), 't', 'x')).toBe(0);
    expect(await payloads(wire)).toEqual(['x']);
    const back = await MqttWire.open(house.port);
    back.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: false, clientId: 'a', keepalive: 0 });
    expect(await back.expect('connack')).toMatchObject({ sessionPresent: true });
    expect(await endedWith(wire)).toBe(REASON.SESSION_TAKEN_OVER);
    expect(await back.settled()).toMatchObject([{ cmd: 'publish', dup: true }]);
  });
});

it('a filter that stands often in one SUBSCRIBE is subscribed to once, as its last occurrence says', async () => {
  await publish(await client('writer'), 't', 'kept', { retain: true });
  const wire = await client('a');
  const requests = (): number => house.counters.counters.get('requests_total')?.value ?? 0;
  const before = requests();
  const often = Array.from({ length: 1_000 }, (_, i) => ({ topic: 't', qos: 1 + (i % 2), nl: true }));
  wire.send({ cmd: 'subscribe', messageId: 7, subscriptions: [...often, { topic: 'u', qos: 2 }, { topic: 't', qos: 0, nl: false }] });
  const { granted } = (await wire.answer('suback', 7)) as unknown as { granted: number[] };
  expect(granted).toEqual([...often.map(({ qos }) => qos), 2, 0]);
  expect(requests() - before).toBeLessThan(10);
  await publish(wire, 't', 'own');
  expect((await told(wire)).map(({ payload, qos }) => [payload, qos])).toEqual([
    ['kept', 0],
    ['own', 0],
  ]);
});

describe('what a message says of itself', () => {
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 100,
    contentType: 'text/plain',
    responseTopic: 'answers/1',
    correlationData: Buffer.from([1, 2, 3]),
    userProperties: { a: ['1', '2'], b: '3' },
  };

  it('reaches other clients of version 5 unchanged, live, retained and queued', async () => {
    const live = await client('live');
    await subscribe(live, 't');
    const away = (await kept('away')).wire;
    await subscribe(away, 't', { qos: 1 });
    await away.drop();
    await publish(await client('writer'), 't', 'x', { retain: true, properties });
    const late = await client('late');
    await subscribe(late, 't');
    for (const wire of [live, late, (await kept('away')).wire]) {
      const [message] = await told(wire);
      expect(message?.payload).toBe('x');
      expect(message?.properties).toEqual({ ...properties, messageExpiryInterval: 100, userProperties: expect.objectContaining({}) });
      expect({ ...(message?.properties?.['userProperties'] as object) }).toEqual({ a: ['1', '2'], b: '3' });
    }
  });

  it('has the path on which an answer is expected, which clients see without the mount point', async () => {
    await start({ mountPoint: 'site/' });
    const [other, wire] = [house.other(), await client('a', { will: { topic: 'w', payload: Buffer.from('x'), qos: 0, properties } })];
    await other.subscribe('site/*');
    const reader = await client('reader');
    await subscribe(reader, '#');
    await publish(wire, 't', 'x', { properties });
    await wire.drop();
    await reader.until(() => reader.packets.filter(({ cmd }) => cmd === 'publish').length === 2, 'message and will');
    expect(other.heard.map(({ publication }) => publication.meta?.responseTopic)).toEqual(['site/answers/1', 'site/answers/1']);
    await other.emit('site/back', 1, { meta: Meta.fromValues({ responseTopic: 'site/answers/2' }) });
    await other.emit('site/back', 1, { meta: Meta.fromValues({ responseTopic: 'elsewhere' }) });
    const topics = (await told(reader)).map((message) => message?.properties?.['responseTopic']);
    expect(topics).toEqual(['answers/1', 'answers/1', 'answers/2', undefined]);
    expect(house.counters.counters.get('mqtt_properties_left_out_total')?.value).toBe(1);
  });

  it('is meta to other protocols, and theirs is properties here', async () => {
    const other = house.other();
    await other.subscribe('t');
    const wire = await client('a');
    await publish(wire, 't', 'x', { properties });
    const [event] = other.heard;
    expect(event?.publication.meta?.values()).toEqual({
      a: ['1', '2'],
      b: '3',
      contentType: 'text/plain',
      responseTopic: 'answers/1',
      correlationData: new Uint8Array([1, 2, 3]),
      payloadFormat: 1,
    });
    await subscribe(wire, 'back');
    await other.emit('back', 1, { meta: Meta.fromValues({ contentType: 'text/html', own: { n: 1 } }) });
    const [message] = await told(wire);
    expect(message?.properties).toMatchObject({ contentType: 'text/html', userProperties: { own: '{"n":1}' } });
  });

  it('is not shown to clients of 3.1.1', async () => {
    const old = await plain('old');
    await old.subscribe('t', 0);
    await publish(await client('a'), 't', 'x', { properties });
    expect(await old.settled()).toMatchObject([{ cmd: 'publish', topic: 't' }]);
  });
});

it('what a client was not handed when it left is no repetition after a restart, and expires', async () => {
  const store = new GateStore();
  const clock = { mono: 1, ahead: 0 };
  const restart = async (): Promise<void> => {
    await house.stop();
    houses.pop();
    await start({ store, clock });
  };
  await start({ store, clock });
  const small = { properties: { sessionExpiryInterval: 600, receiveMaximum: 1 } };
  const { wire: first } = await kept('a', 600, small);
  await subscribe(first, 't', { qos: 1 });
  const writer = await client('b');
  for (const [payload, messageExpiryInterval] of [['1'], ['2', 5], ['3']] as const) {
    await publish(writer, 't', payload, { properties: { messageExpiryInterval } });
  }
  expect(await payloads(first)).toEqual(['1']);
  first.send({ cmd: 'disconnect' });
  await first.closed();
  await until('it is gone', () => house.counters.gauges.get('mqtt_connections')?.read() === 1);
  await restart();
  clock.ahead += 6_000;
  const { wire: second } = await kept('a', 600, small);
  expect(await told(second)).toMatchObject([{ payload: '1', dup: true }]);
  await second.drop();
  await restart();
  const { wire: third } = await kept('a');
  expect(await told(third)).toMatchObject([
    { payload: '1', dup: true },
    { payload: '3', dup: false },
  ]);
  // Both were handed out now.
  await third.drop();
  await restart();
  expect(await told((await kept('a')).wire)).toMatchObject([
    { payload: '1', dup: true },
    { payload: '3', dup: true },
  ]);
});

describe('a message that expires', () => {
  it('is not delivered when its time is over: neither queued nor retained', async () => {
    const { wire } = await kept('a');
    await subscribe(wire, 't', { qos: 1 });
    await wire.drop();
    const writer = await client('writer');
    await publish(writer, 't', 'short', { retain: true, properties: { messageExpiryInterval: 1 } });
    await publish(writer, 't', 'long', { properties: { messageExpiryInterval: 100 } });
    await until('the record is gone', async () => (await house.other().get('t')).entry === null);
    const back = (await kept('a')).wire;
    // The removal is news, too.
    expect((await payloads(back)).filter((payload) => payload !== '')).toEqual(['long']);
    expect(await subscribe(back, 't', { qos: 0 })).toEqual([0]);
    expect(await told(back)).toEqual([]);
  });
});

describe('a subscription', () => {
  it('with no-local does not hear its own client', async () => {
    const wire = await client('a');
    await subscribe(wire, 't', { nl: true });
    await publish(wire, 't', 'own');
    await publish(await client('b'), 't', 'other');
    expect(await payloads(wire)).toEqual(['other']);
  });

  it('with retain-as-published hears what was retained, others do not', async () => {
    const wire = await client('a');
    await subscribe(wire, 't/1', { rap: true });
    await subscribe(wire, 't/2');
    const writer = await client('b');
    for (const topic of ['t/1', 't/2']) {
      await publish(writer, topic, 'kept', { retain: true });
      await publish(writer, topic, 'event');
    }
    expect((await told(wire)).map(({ topic, retain }) => [topic, retain])).toEqual([
      ['t/1', true],
      ['t/1', false],
      ['t/2', false],
      ['t/2', false],
    ]);
  });

  it('is sent retained messages as its retain handling says', async () => {
    await publish(await client('b'), 't', 'kept', { retain: true });
    const wire = await client('a');
    await subscribe(wire, 't', { rh: 2 });
    expect(await payloads(wire)).toEqual([]);
    await subscribe(wire, 't', { rh: 1 });
    expect(await payloads(wire)).toEqual([]);
    await subscribe(wire, 't', { rh: 0 });
    expect(await payloads(wire)).toEqual(['kept']);
    const fresh = await client('c');
    await subscribe(fresh, 't', { rh: 1 });
    expect(await told(fresh)).toMatchObject([{ payload: 'kept', retain: true }]);
  });

  it('is not sent a record without bytes, of which MQTT knows nothing', async () => {
    const empty = Payload.fromBytes(new Uint8Array(0), formats.binary);
    const other = house.other();
    await other.submit(new DataRequest('set', other, 1, 't/1', null, empty, STORED, true, 0, null));
    await other.set('t/2', 'x');
    const [wire, old] = [await client('a'), await plain('b')];
    await subscribe(wire, 't/#');
    await old.subscribe('t/#');
    expect((await told(wire)).map(({ topic }) => topic)).toEqual(['t/2']);
    expect(await old.settled()).toMatchObject([{ topic: 't/2' }]);
  });

  it('has its number on each delivery, all numbers on one copy', async () => {
    const wire = await client('a');
    await subscribe(wire, 't/#', { qos: 1 }, { subscriptionIdentifier: 5 });
    await subscribe(wire, 't/+', { qos: 0 }, { subscriptionIdentifier: 200_000 });
    await subscribe(wire, 't/1', { qos: 0 });
    await publish(await client('b'), 't/1', 'x', { retain: true });
    const [message, ...more] = await told(wire);
    expect(more).toEqual([]);
    expect(message?.properties?.['subscriptionIdentifier']).toEqual([5, 200_000]);
    await subscribe(wire, 't/1', {}, { subscriptionIdentifier: 9 });
    expect((await told(wire))[0]?.properties?.['subscriptionIdentifier']).toBe(9);
  });

  it('has its number also on what waited for it', async () => {
    const { wire } = await kept('a');
    await subscribe(wire, 't', { qos: 1, rap: true }, { subscriptionIdentifier: 7 });
    await wire.drop();
    await publish(await client('b'), 't', 'x', { retain: true });
    expect(await told((await kept('a')).wire)).toMatchObject([{ properties: { subscriptionIdentifier: 7 }, retain: true }]);
  });

  it('that is shared gives each message to one client, of any version', async () => {
    const a = await client('a');
    await subscribe(a, '$share/g/t/#', { qos: 1 });
    const b = await plain('b');
    await b.subscribe('$share/g/t/#', 1);
    const writer = await client('writer');
    for (const payload of ['1', '2', '3', '4']) await publish(writer, 't/x', payload);
    expect([(await payloads(a)).length, (await b.settled()).length]).toEqual([2, 2]);
  });

  it('that does not exist cannot be ended', async () => {
    const wire = await client('a');
    await subscribe(wire, 't');
    wire.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['t', 'other'] });
    expect(await wire.expect('unsuback')).toMatchObject({ granted: [0, REASON.NO_SUBSCRIPTION_EXISTED] });
  });

  it('B3 beyond the limit is refused with a reason', async () => {
    await start({ limits: { maxSubscriptions: 1 } });
    const wire = await client('a');
    expect(await subscribe(wire, 't/1')).toEqual([0]);
    expect(await subscribe(wire, 't/2')).toEqual([REASON.QUOTA_EXCEEDED]);
    expect(await subscribe(wire, 't/1', { qos: 1 })).toEqual([1]);
  });
});

describe('a publication', () => {
  it('that nobody hears is acknowledged with that reason', async () => {
    const wire = await client('a');
    expect(await publish(wire, 'nobody', 'x')).toBe(REASON.NO_MATCHING_SUBSCRIBERS);
    await subscribe(wire, 'somebody');
    expect(await publish(wire, 'somebody', 'x')).toBe(0);
  });

  it('is refused by rights with a reason, and the connection goes on', async () => {
    await start({ access: accessOf((_action, path) => path !== 'secret') });
    const wire = await client('a');
    expect(await publish(wire, 'secret', 'x')).toBe(REASON.NOT_AUTHORIZED);
    expect(await subscribe(wire, 'secret')).toEqual([REASON.NOT_AUTHORIZED]);
    wire.publish('secret', 'x', { qos: 2, messageId: 5 });
    expect(await wire.answer('pubrec', 5)).toMatchObject({ reasonCode: REASON.NOT_AUTHORIZED });
    expect(await publish(wire, 'open', 'x')).toBe(REASON.NO_MATCHING_SUBSCRIBERS);
  });

  it('may name its topic by a number', async () => {
    const wire = await client('a');
    await subscribe(wire, '#');
    wire.publish('t/1', '1', { properties: { topicAlias: 3 } });
    wire.publish('', '2', { properties: { topicAlias: 3 } });
    wire.publish('t/2', '3', { properties: { topicAlias: 3 } });
    wire.publish('', '4', { properties: { topicAlias: 3 } });
    expect((await told(wire)).map(({ topic, payload }) => [topic, payload])).toEqual([
      ['t/1', '1'],
      ['t/1', '2'],
      ['t/2', '3'],
      ['t/2', '4'],
    ]);
    wire.publish('', '5', { properties: { topicAlias: 4 } });
    expect(await endedWith(wire)).toBe(REASON.PROTOCOL_ERROR);
  });

  it('beyond what the client was told it may have open ends the connection', async () => {
    await start({ limits: { maxIncomingOnce: 2 } });
    const wire = await client('a');
    for (const messageId of [1, 2]) wire.publish('t', 'x', { qos: 2, messageId });
    await wire.answer('pubrec', 2);
    wire.send({ cmd: 'pubrel', messageId: 1 });
    await wire.answer('pubcomp', 1);
    wire.publish('t', 'x', { qos: 2, messageId: 3 });
    await wire.answer('pubrec', 3);
    wire.publish('t', 'x', { qos: 2, messageId: 2, dup: true });
    await wire.answer('pubrec', 2);
    wire.publish('t', 'x', { qos: 2, messageId: 4 });
    expect(await endedWith(wire)).toBe(REASON.RECEIVE_MAXIMUM_EXCEEDED);
  });

  it('of QoS 2 is released once, and a release of nothing says so', async () => {
    const wire = await client('a');
    wire.publish('t', 'x', { qos: 2, messageId: 1 });
    await wire.answer('pubrec', 1);
    for (const reasonCode of [0, REASON.PACKET_IDENTIFIER_NOT_FOUND]) {
      wire.send({ cmd: 'pubrel', messageId: 1 });
      expect(await wire.expect('pubcomp')).toMatchObject({ reasonCode });
    }
  });
});

describe.each([0, 600])('a publication of QoS 2 of a session that is kept for %i s', (seconds) => {
  it('may be released at once: its id is free afterwards', async () => {
    const hearer = await client('hearer');
    await subscribe(hearer, 't', { qos: 1 });
    const { wire } = await kept('a', seconds);
    for (const payload of ['1', '2']) {
      wire.send({ cmd: 'publish', topic: 't', payload, qos: 2, messageId: 1, retain: true, dup: false }, { cmd: 'pubrel', messageId: 1 });
      expect(await wire.expect('pubrec')).toMatchObject({ reasonCode: 0 });
      expect(await wire.expect('pubcomp')).toMatchObject({ reasonCode: 0 });
    }
    expect(await payloads(hearer)).toEqual(['1', '2']);
  });
});

describe('a delivery', () => {
  it('keeps to what the client takes at a time', async () => {
    const wire = await client('a', { properties: { receiveMaximum: 2 } });
    await subscribe(wire, 't', { qos: 2 });
    const writer = await client('b');
    for (const payload of ['1', '2', '3', '4']) await publish(writer, 't', payload);
    const first = await told(wire);
    expect(first.map(({ payload }) => payload)).toEqual(['1', '2']);
    for (const { messageId } of first) wire.send({ cmd: 'puback', messageId });
    expect(await payloads(wire)).toEqual(['3', '4']);
  });

  it('that the client refuses is done with', async () => {
    const { wire } = await kept('a');
    await subscribe(wire, 't', { qos: 2 });
    const writer = await client('b');
    writer.publish('t', 'x', { qos: 2, messageId: 1 });
    await writer.answer('pubrec', 1);
    const [message] = await told(wire);
    wire.send({ cmd: 'pubrec', messageId: message?.messageId, reasonCode: REASON.IMPLEMENTATION_SPECIFIC_ERROR });
    expect(await wire.settled()).toEqual([]);
    await wire.drop();
    expect(await told((await kept('a')).wire)).toEqual([]);
  });

  it('of QoS 2 is released with the reason that its id deserves', async () => {
    const wire = await client('a');
    wire.send({ cmd: 'pubrec', messageId: 77 });
    expect(await wire.expect('pubrel')).toMatchObject({ reasonCode: REASON.PACKET_IDENTIFIER_NOT_FOUND });
  });

  it('larger than the client takes is left out and counted', async () => {
    const wire = await client('a', { properties: { maximumPacketSize: 40 } });
    const { wire: away } = await kept('away', 600, { properties: { sessionExpiryInterval: 600, maximumPacketSize: 40 } });
    for (const one of [wire, away]) await subscribe(one, 't', { qos: 1 });
    const writer = await client('b');
    await publish(writer, 't', 'x'.repeat(50));
    await publish(writer, 't', 'small');
    for (const one of [wire, away]) expect(await payloads(one)).toEqual(['small']);
    expect(house.counters.counters.get('mqtt_too_large_total')?.value).toBe(2);
  });

  it('names topics by number when the client takes numbers', async () => {
    const wire = await client('a', { properties: { topicAliasMaximum: 1 } });
    await subscribe(wire, '#', {});
    const writer = await client('b');
    for (const topic of ['t/1', 't/1', 't/2', 't/2']) await publish(writer, topic, 'x');
    const packets = await told(wire);
    expect(packets.map(({ topic, properties }) => [topic, properties?.['topicAlias']])).toEqual([
      ['t/1', 1],
      ['', 1],
      ['t/2', undefined],
      ['t/2', undefined],
    ]);
  });

  it('names its topic in full where a number makes it larger than the client takes', async () => {
    const wire = await client('a', { properties: { topicAliasMaximum: 5, maximumPacketSize: 40 } });
    await subscribe(wire, '#', {});
    const writer = await client('b');
    // Fixed header, topic, length of the properties: 40 bytes with 34 of payload, and with 31 behind a number.
    for (const size of [34, 31, 34, 35]) await publish(writer, 't', 'x'.repeat(size));
    const packets = await told(wire);
    expect(packets.map(({ topic, payload, properties }) => [topic, payload.length, properties?.['topicAlias']])).toEqual([
      ['t', 34, undefined],
      ['t', 31, 1],
      ['t', 34, undefined],
    ]);
  });

  it('at QoS 0 is encoded once for all who get it alike', async () => {
    const wires = await Promise.all(['a', 'b'].map((id) => client(id)));
    for (const wire of wires) await subscribe(wire, 't');
    await publish(await client('writer'), 't', 'x', { properties: { contentType: 'a/b' } });
    for (const wire of wires) expect(await told(wire)).toMatchObject([{ properties: { contentType: 'a/b' } }]);
  });
});

describe('a will', () => {
  const will = { topic: 'status', payload: Buffer.from('gone'), qos: 1, retain: false };

  it('is published with what it says, also after a DISCONNECT that asks for it', async () => {
    const hearer = await client('hearer');
    await subscribe(hearer, 'status');
    const wire = await client('a', { will: { ...will, properties: { contentType: 'text/plain', userProperties: { a: 'b' } } } });
    wire.send({ cmd: 'disconnect', reasonCode: REASON.DISCONNECT_WITH_WILL });
    await wire.closed();
    await until('the will is published', () => hearer.packets.some(({ cmd }) => cmd === 'publish'));
    expect(await told(hearer)).toMatchObject([{ payload: 'gone', properties: { contentType: 'text/plain', userProperties: { a: 'b' } } }]);
  });

  it('is not published after an ordinary DISCONNECT', async () => {
    const hearer = await client('hearer');
    await subscribe(hearer, 'status');
    const wire = await client('a', { will });
    wire.send({ cmd: 'disconnect' });
    await wire.closed();
    await until('it is gone', () => house.counters.gauges.get('mqtt_connections')?.read() === 1);
    expect(await told(hearer)).toEqual([]);
  });

  it('of a CONNECT that is refused is not published', async () => {
    const hearer = await client('hearer');
    await subscribe(hearer, 'status');
    house.store.held = true;
    const connect = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'a', keepalive: 0, will };
    const [first, second] = [await MqttWire.open(house.port, 5), await MqttWire.open(house.port, 5)];
    first.send(connect);
    await until('it is being connected', () => house.store.isWriting);
    second.send({ ...connect, will: undefined });
    expect(await first.expect('connack')).toMatchObject({ reasonCode: REASON.UNSPECIFIED_ERROR });
    house.store.release();
    await second.expect('connack');
    expect(await told(hearer)).toEqual([]);
  });

  it('waits for its delay, and is dropped when the session is resumed', async () => {
    const hearer = await client('hearer');
    await subscribe(hearer, 'status');
    const delayed = { will: { ...will, properties: { willDelayInterval: 1 } } };
    await (await kept('a', 600, delayed)).wire.drop();
    await (await kept('b', 600, delayed)).wire.drop();
    await until('both have left', () => house.counters.gauges.get('mqtt_connections')?.read() === 1);
    await kept('b');
    await until('the will of the other is published', () => hearer.packets.some(({ cmd }) => cmd === 'publish'));
    expect(await payloads(hearer)).toEqual(['gone']);
    expect(house.store.dump().filter(([key]) => key.startsWith('w'))).toEqual([]);
  });
});

describe('a client that breaks the protocol is told', () => {
  it('that it was silent too long', async () => {
    const wire = await client('a', { keepalive: 1 });
    await until('its time is over', () => {
      house.clock.mono += 1_000;
      return wire.ended;
    });
    expect(await endedWith(wire)).toBe(REASON.KEEP_ALIVE_TIMEOUT);
  });

  it('that a packet is too large', async () => {
    await start({ maxPacketBytes: 1_024 });
    const wire = await client('a');
    wire.publish('t', 'x'.repeat(2_000), {});
    expect(await endedWith(wire)).toBe(REASON.PACKET_TOO_LARGE);
  });

  it('that the gateway is stopping', async () => {
    const wire = await client('a');
    houses.splice(houses.indexOf(house), 1);
    const stopped = house.stop();
    expect(await endedWith(wire)).toBe(REASON.SERVER_SHUTTING_DOWN);
    await stopped;
  });

  it('that it connected twice', async () => {
    const wire = await client('a');
    wire.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'a' });
    expect(await endedWith(wire)).toBe(REASON.PROTOCOL_ERROR);
  });
});

describe('enhanced authentication', () => {
  /** Says who it is when it is asked twice; `no` is nobody. */
  const method = (): AuthenticationExchange => {
    let steps = 0;
    return {
      next: async (data) => {
        steps += 1;
        const who = Buffer.from(data ?? []).toString();
        if (who === 'no') throw new RequestError('NOT_AUTHENTICATED', 'not you');
        if (steps < 3) return { done: false, data: Buffer.from(`question ${steps}`) };
        return { done: true, data: Buffer.from('proof'), identity: identityNamed(who) };
      },
    };
  };
  const auth = (data: string, reasonCode: number = REASON.CONTINUE_AUTHENTICATION): object => ({
    cmd: 'auth',
    reasonCode,
    properties: { authenticationMethod: 'TWICE', authenticationData: Buffer.from(data) },
  });

  async function asked(): Promise<MqttWire> {
    await start({ authenticators: new Map([['TWICE', method]]) });
    const wire = await MqttWire.open(house.port, 5);
    const properties = { authenticationMethod: 'TWICE', authenticationData: Buffer.from('hello') };
    wire.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'a', properties });
    expect(await wire.expect('auth')).toMatchObject({ properties: { authenticationData: Buffer.from('question 1') } });
    return wire;
  }

  it('goes on until it is known who it is, and can be repeated', async () => {
    const wire = await asked();
    wire.send(auth('me'));
    await wire.expect('auth');
    wire.send(auth('me'));
    expect(await wire.expect('connack')).toMatchObject({ reasonCode: 0, properties: { authenticationData: Buffer.from('proof') } });
    wire.send(auth('me', REASON.RE_AUTHENTICATE));
    await wire.expect('auth');
    wire.send(auth('me'));
    await wire.expect('auth');
    wire.send(auth('me'));
    expect(await wire.expect('auth')).toMatchObject({ reasonCode: 0 });
    wire.send(auth('me', REASON.RE_AUTHENTICATE));
    await wire.expect('auth');
    wire.send(auth('no'));
    expect(await endedWith(wire)).toBe(REASON.NOT_AUTHORIZED);
  });

  it('refuses who it is not, and a method that nobody knows', async () => {
    const wire = await asked();
    wire.send(auth('no'));
    expect(await wire.expect('connack')).toMatchObject({ reasonCode: REASON.BAD_USER_NAME_OR_PASSWORD });
    await wire.closed();
    const { connack } = await connected('a', { properties: { authenticationMethod: 'UNKNOWN' } });
    expect(connack).toMatchObject({ reasonCode: REASON.BAD_AUTHENTICATION_METHOD });
  });

  it('that the client leaves half way is no failure of the gateway', async () => {
    const wire = await asked();
    await wire.drop();
    await until('it is gone', () => house.adapter.clients.admission.open === 0);
    expect(house.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  it('that is begun once more takes the place of the one before', async () => {
    const wire = await asked();
    for (const question of ['auth', 'connack']) {
      wire.send(auth('me'));
      await wire.expect(question);
    }
    for (let n = 0; n < 2; n++) {
      wire.send(auth('me', REASON.RE_AUTHENTICATE));
      expect(await wire.expect('auth')).toMatchObject({ properties: { authenticationData: Buffer.from('question 1') } });
    }
    for (const reasonCode of [REASON.CONTINUE_AUTHENTICATION, REASON.SUCCESS]) {
      wire.send(auth('me'));
      expect(await wire.expect('auth')).toMatchObject({ reasonCode });
    }
  });

  it('takes nothing else before it is done, and no AUTH without it', async () => {
    const wire = await asked();
    wire.bytes(encode({ cmd: 'pingreq' }, 5));
    expect(await wire.expect('connack')).toMatchObject({ reasonCode: REASON.PROTOCOL_ERROR });
    await wire.closed();
    const other = await client('b');
    other.send(auth('x'));
    expect(await endedWith(other)).toBe(REASON.PROTOCOL_ERROR);
  });
});
