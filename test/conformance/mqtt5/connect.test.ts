// MQTT 5 sections 3.1 and 3.2: CONNECT and CONNACK.

import { describe, expect, it } from 'vitest';
import { RequestError } from '../../../src/core/index.js';
import { identityNamed, NOBODY } from '../../../src/core/security/identity.js';
import { accessOf } from '../../support/access.js';
import { connectBytes, field, packet, properties, publishBytes } from '../../support/mqtt-bytes.js';
import { MqttWire } from '../../support/mqtt-wire.js';
import { type ClientOptions, publish, published, stage } from '../stage.js';
import { login, propertiesOf, subscribe, told } from './support.js';

const access = accessOf(
  () => true,
  async ({ username, password }) => {
    if (username === undefined) return NOBODY;
    if (username === 'alice' && password?.toString() === 'a') return identityNamed(username);
    throw new RequestError('NOT_AUTHENTICATED', 'wrong name or password');
  },
);

const on = stage({ access, responseInformation: 'answers/', limits: { maxKeepAliveSeconds: 60 } }, 5);

const connect5 = (flags: number, ...payload: readonly Uint8Array[]): Buffer =>
  connectBytes({ level: 5, flags, payload: [properties(), ...payload] });
/** A PUBLISH of version 5 to `behind`, retained. */
const behind = packet(0x31, field('behind'), properties(), Buffer.from('x'));

describe('the first packet', () => {
  it('[MQTT5-3.1.0-1] is a CONNECT', async () => {
    for (const first of [publishBytes(0x30, 'a', null), packet(0xc0), packet(0xe0), packet(0xf0, Buffer.of(0x18, 0))]) {
      await on.expectEndWithoutConnack(first);
    }
  });

  it('[MQTT5-3.1.0-2] may not come a second time', async () => {
    await on.expectDisconnect(connect5(0x02, field('c')), 0x82);
  });
});

describe('clean start', () => {
  it('[MQTT5-3.1.2-4] begins with nothing of the session before', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const old = await on.durable(clientId);
    await subscribe(old, 'clean', { qos: 1 });
    await on.leave(old);
    await publish(publisher, 'clean', 'waits');
    const next = await on.client({ clientId, clean: true });
    await publish(publisher, 'clean', 'live');
    expect(await next.settled()).toEqual([]);
  });

  it('[MQTT5-3.1.2-5] [MQTT5-3.1.2-23] 0 goes on with the session that was kept', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const old = await on.durable(clientId);
    await subscribe(old, 'resumed', { qos: 2 });
    await on.lose(old);
    await publish(publisher, 'resumed', 'waits');
    expect(await published(await on.durable(clientId))).toEqual(['resumed=waits/1']);
  });

  it('[MQTT5-3.1.2-6] 0 makes a session where there is none', async () => {
    const clientId = on.clientId();
    const { wire, connack } = await on.connect({ clientId, clean: false, properties: { sessionExpiryInterval: 60 } });
    expect(connack).toMatchObject({ sessionPresent: false, reasonCode: 0 });
    await on.leave(wire);
    expect((await on.connect({ clientId, clean: false })).connack).toMatchObject({ sessionPresent: true });
  });

  it('[MQTT5-3.1.4-4] [MQTT5-3.1.4-5] [MQTT5-3.2.2-2] [MQTT5-3.2.2-3] decides whether a session is present, with reason code 0', async () => {
    const clientId = on.clientId();
    const connacks: object[] = [];
    for (const clean of [false, false, true, false]) {
      const { wire, connack } = await on.connect({ clientId, clean, properties: { sessionExpiryInterval: 60 } });
      connacks.push(connack);
      await on.leave(wire);
    }
    expect(connacks).toMatchObject([false, true, false, true].map((sessionPresent) => ({ sessionPresent, reasonCode: 0 })));
  });
});

describe('a will', () => {
  const will = (topic: string, options: object = {}, willProperties: object = {}): ClientOptions => ({
    will: { topic, payload: Buffer.from('gone'), qos: 1, retain: false, properties: willProperties, ...options },
  });
  const kept = { sessionExpiryInterval: 600 };

  it('[MQTT5-3.1.2-7] [MQTT5-3.1.2-8] is kept, and published when the connection has ended', async () => {
    const watcher = await on.client();
    await subscribe(watcher, 'will/#', { qos: 1 });
    await on.lose(await on.client(will('will/cut')));
    const rude = await on.client(will('will/breach'));
    rude.bytes(Buffer.of(0x00, 0));
    await rude.closed();
    const asking = await on.client(will('will/asked'));
    asking.send({ cmd: 'disconnect', reasonCode: 0x04 });
    await asking.closed();
    expect((await published(watcher)).sort()).toEqual(['asked', 'breach', 'cut'].map((why) => `will/${why}=gone/1`));
  });

  it('[MQTT5-3.1.2-8] waits until its delay is over', async () => {
    const watcher = await on.client();
    await subscribe(watcher, 'delayed', { qos: 1 });
    await on.lose(await on.client({ ...will('delayed', {}, { willDelayInterval: 60 }), properties: kept }));
    expect(await published(watcher)).toEqual([]);
    on.house.clock.ahead += 61_000;
    await watcher.until(() => watcher.unseen().some(({ cmd }) => cmd === 'publish'), 'the will');
    expect(await published(watcher)).toEqual(['delayed=gone/1']);
  });

  it('[MQTT5-3.1.2-8] does not wait longer than its session lasts', async () => {
    const watcher = await on.client();
    await subscribe(watcher, 'ended', { qos: 1 });
    await on.lose(await on.client({ ...will('ended', {}, { willDelayInterval: 60 }), properties: { sessionExpiryInterval: 0 } }));
    expect(await published(watcher)).toEqual(['ended=gone/1']);
  });

  it('[MQTT5-3.1.3-9] is not published when its session is resumed before the delay is over', async () => {
    const [watcher, clientId] = [await on.client(), on.clientId()];
    await subscribe(watcher, 'back', { qos: 1 });
    await on.lose(await on.durable(clientId, will('back', {}, { willDelayInterval: 60 })));
    const again = await on.durable(clientId);
    on.house.clock.ahead += 120_000;
    await on.leave(again);
    await on.leave(await on.durable(clientId));
    expect(await published(watcher)).toEqual([]);
  });

  it('[MQTT5-3.1.2-10] [MQTT5-3.14.4-3] is gone when it was published, and after DISCONNECT', async () => {
    const [watcher, clientId] = [await on.client(), on.clientId()];
    await subscribe(watcher, 'once', { qos: 1 });
    await on.lose(await on.durable(clientId, will('once')));
    await on.lose(await on.durable(clientId));
    expect(await published(watcher)).toEqual(['once=gone/1']);
    await on.leave(await on.durable(clientId, will('once')));
    await on.lose(await on.durable(clientId));
    expect(await published(watcher)).toEqual([]);
  });

  it('[MQTT5-3.1.2-14] without will retain is not retained', async () => {
    await on.lose(await on.client(will('fleeting')));
    const late = await on.client();
    await subscribe(late, 'fleeting', { qos: 1 });
    expect(await published(late)).toEqual([]);
  });

  it('[MQTT5-3.1.2-15] with will retain is retained', async () => {
    await on.lose(await on.client(will('lasting', { retain: true })));
    const late = await on.client();
    await subscribe(late, 'lasting', { qos: 1 });
    expect(await published(late)).toEqual(['lasting=gone/1r']);
  });

  it('[MQTT5-3.1.3-10] has its user properties in their order', async () => {
    const watcher = await on.client();
    await subscribe(watcher, 'ordered', { qos: 0 });
    const pairs = [
      ['b', '1'],
      ['a', '2'],
      ['b', '3'],
    ].map(([name, value]) => Buffer.concat([Buffer.of(0x26), field(name as string), field(value as string)]));
    const wire = await on.wire();
    wire.bytes(connect5(0x06, field(on.clientId()), properties(...pairs), field('ordered'), field('gone')));
    await wire.expect('connack');
    const came: Buffer[] = [];
    watcher.socket.on('data', (chunk) => came.push(Buffer.from(chunk)));
    await on.lose(wire);
    await watcher.until(() => watcher.unseen().length > 0, 'the will');
    expect(Buffer.concat(came).toString('hex')).toContain(properties(...pairs).toString('hex'));
  });
});

describe('keep alive', () => {
  it('[MQTT5-3.1.2-22] [MQTT5-3.2.2-22] ends the connection of a client that is silent for one and a half times of it', async () => {
    const { wire: silent, connack } = await on.connect({ keepalive: 10 });
    expect(propertiesOf(connack)).not.toHaveProperty('serverKeepAlive');
    const talking = await on.client({ keepalive: 10 });
    const { clock } = on.house;
    const begun = clock.mono;
    while (!silent.ended) {
      clock.mono += 250;
      await talking.settled();
    }
    expect(clock.mono - begun).toBeGreaterThan(15_000);
    expect(talking.ended).toBe(false);
    expect(silent.rest()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x8d }]);
  });

  it('[MQTT5-3.1.2-21] [MQTT5-3.2.2-21] of the CONNACK is what the gateway goes by', async () => {
    const { wire: silent, connack } = await on.connect({ keepalive: 3_600 });
    expect(propertiesOf(connack)).toMatchObject({ serverKeepAlive: 60 });
    const { clock } = on.house;
    const begun = clock.mono;
    const talking = await on.client({ keepalive: 60 });
    while (!silent.ended) {
      clock.mono += 1_000;
      await talking.settled();
    }
    expect(clock.mono - begun).toBeGreaterThan(90_000);
  });
});

describe('what the client takes', () => {
  it('[MQTT5-3.1.2-24] [MQTT5-3.1.2-25] is no packet above its maximum size: one that is larger counts as sent', async () => {
    const wire = await on.client({ properties: { maximumPacketSize: 60 } });
    await subscribe(wire, 'size', { qos: 2 });
    const publisher = await on.client();
    await publish(publisher, 'size', 'x'.repeat(100));
    await publish(publisher, 'size', 'x'.repeat(100), { qos: 2 });
    await publish(publisher, 'size', 'small');
    expect(await published(wire)).toEqual(['size=small/1']);
  });

  it('[MQTT5-3.1.2-26] [MQTT5-3.3.2-11] is no topic alias above its maximum', async () => {
    const wire = await on.client({ properties: { topicAliasMaximum: 2 } });
    await subscribe(wire, 'alias/#');
    const publisher = await on.client();
    for (let round = 0; round < 2; round++) for (const name of ['a', 'b', 'c']) publisher.publish(`alias/${name}`, 'x');
    await publisher.settled();
    const aliases = (await told(wire)).map((one) => (propertiesOf(one)['topicAlias'] ?? 0) as number);
    expect(Math.max(...aliases)).toBe(2);
    expect(aliases.filter((alias) => alias === 0)).toHaveLength(2);
  });

  it('[MQTT5-3.1.2-27] is no topic alias when it says nothing of them', async () => {
    const wire = await on.client();
    await subscribe(wire, 'plain');
    for (let i = 0; i < 3; i++) wire.publish('plain', 'x');
    const heard = await told(wire);
    expect(heard.map(({ topic }) => topic)).toEqual(['plain', 'plain', 'plain']);
    expect(heard.some((one) => 'topicAlias' in propertiesOf(one))).toBe(false);
  });

  it('[MQTT5-3.1.2-28] is response information only when it asks for it', async () => {
    expect(propertiesOf((await on.connect({ properties: { requestResponseInformation: false } })).connack)).not.toHaveProperty(
      'responseInformation',
    );
    expect(propertiesOf((await on.connect()).connack)).not.toHaveProperty('responseInformation');
    const asked = await on.connect({ properties: { requestResponseInformation: true } });
    expect(propertiesOf(asked.connack)).toMatchObject({ responseInformation: 'answers/' });
  });

  it('[MQTT5-3.1.2-29] is no reason text beside CONNACK and DISCONNECT when it wants none', async () => {
    for (const wants of [true, false]) {
      const wire = await on.client({ properties: { requestProblemInformation: wants } });
      wire.publish('$SYS/x', 'x', { qos: 1, messageId: 1 });
      const puback = await wire.answer('puback', 1);
      expect(puback).toMatchObject({ reasonCode: 0x87 });
      expect('reasonString' in propertiesOf(puback)).toBe(wants);
    }
  });
});

it('[MQTT5-3.2.2-15] a packet above the maximum size of the CONNACK ends the connection', async () => {
  const { wire, connack } = await on.connect();
  const maximum = propertiesOf(connack)['maximumPacketSize'] as number;
  wire.bytes(packet(0x30, field('a'), properties(), Buffer.alloc(maximum - 8)));
  expect(await wire.settled()).toEqual([]);
  wire.bytes(packet(0x30, field('a'), properties(), Buffer.alloc(maximum - 7)).subarray(0, 100));
  await wire.closed();
  expect(wire.rest()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x95 }]);
});

describe('the payload', () => {
  it('[MQTT5-3.1.3-1] is read as client id, will properties, will topic, will payload, user name, password', async () => {
    const [watcher, clientId] = [await on.client(), on.clientId()];
    await subscribe(watcher, 'order/#');
    const wire = await on.wire();
    const willProperties = properties(Buffer.concat([Buffer.of(0x03), field('text/plain')]));
    wire.bytes(connect5(0xc6, field(clientId), willProperties, field('order/will'), field('message'), field('alice'), field('a')));
    expect(await wire.expect('connack')).toMatchObject({ reasonCode: 0 });
    await on.lose(wire);
    await watcher.until(() => watcher.unseen().length > 0, 'the will');
    expect(await told(watcher)).toMatchObject([{ topic: 'order/will', properties: { contentType: 'text/plain' } }]);
  });

  it('[MQTT5-3.1.3-2] has the client id that a session is found by', async () => {
    const [mine, other] = [on.clientId(), on.clientId()];
    const wire = await on.durable(mine);
    await subscribe(wire, 'found', { qos: 1 });
    await on.leave(wire);
    await publish(await on.client(), 'found', 'x');
    expect(await published(await on.durable(other))).toEqual([]);
    expect(await published(await on.durable(mine))).toEqual(['found=x/1']);
  });

  it('[MQTT5-3.1.3-7] [MQTT5-3.2.2-16] may have no client id: the CONNACK names one that nobody has', async () => {
    const ids: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const { wire, connack } = await on.connect({ clientId: '', properties: { sessionExpiryInterval: 60 } });
      ids.push(propertiesOf(connack)['assignedClientIdentifier']);
      await on.leave(wire);
    }
    expect(new Set(ids).size).toBe(3);
    const { connack } = await on.connect({ clientId: String(ids[0]), clean: false });
    expect(connack).toMatchObject({ sessionPresent: true });
    expect(propertiesOf(connack)).not.toHaveProperty('assignedClientIdentifier');
  });
});

describe('the answer', () => {
  it('[MQTT5-3.1.4-1] to a CONNECT that breaks the standard is the end of the connection', async () => {
    await on.expectRefusal(connect5(0x03, field('c')), 0x81);
    const whole = connect5(0x02, field('client'));
    for (const cut of [1, 5, 8]) await on.expectRefusal(packet(0x10, whole.subarray(2, whole.length - cut)), 0x81);
  });

  it('[MQTT5-3.1.4-2] to wrong credentials is the end of the connection', async () => {
    const { wire, connack } = await on.connect(login('alice', 'wrong'));
    expect(connack).toMatchObject({ reasonCode: 0x86, sessionPresent: false });
    await wire.closed();
  });

  it('[MQTT5-3.1.4-3] to a client id that is connected already ends the older connection, which is told', async () => {
    const clientId = on.clientId();
    const first = await on.client({ clientId });
    const second = await on.client({ clientId });
    await first.closed();
    expect(first.rest()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x8e }]);
    expect(await second.settled()).toEqual([]);
  });

  it('[MQTT5-3.1.4-6] that rejects it is followed by nothing: what the client sent behind it is not looked at', async () => {
    const watcher = await on.client();
    await subscribe(watcher, 'behind');
    const wrong = connect5(0xc2, field('c'), field('alice'), field('wrong'));
    await on.expectRefusal(Buffer.concat([wrong, behind]), 0x86);
    await on.expectRefusal(Buffer.concat([connect5(0x03, field('c')), behind]), 0x81);
    await subscribe(watcher, 'behind');
    expect(await told(watcher)).toEqual([]);
  });

  it('[MQTT5-3.2.0-1] [MQTT5-3.2.0-2] is one CONNACK before anything else, also when messages wait', async () => {
    const clientId = on.clientId();
    const first = await on.durable(clientId);
    await subscribe(first, 'waiting', { qos: 1 });
    await on.leave(first);
    const publisher = await on.client();
    for (let i = 0; i < 3; i++) await publish(publisher, 'waiting', `${i}`);
    const wire = await on.wire();
    wire.bytes(connect5(0x00, field(clientId)));
    await wire.until(() => wire.packets.length >= 4, 'all of them');
    await wire.settled();
    const order = wire.packets.map(({ cmd }) => cmd);
    expect(order[0]).toBe('connack');
    expect(order.filter((cmd) => cmd === 'connack')).toHaveLength(1);
  });

  it('[MQTT5-3.2.2-1] has no flags but session present', async () => {
    const clientId = on.clientId();
    const flags: number[] = [];
    for (let i = 0; i < 2; i++) {
      const wire = await on.wire();
      const chunks: Buffer[] = [];
      wire.socket.on('data', (chunk) => chunks.push(Buffer.from(chunk)));
      const expiry = Buffer.of(0x11, 0, 0, 0, 60);
      wire.bytes(connectBytes({ level: 5, flags: 0, payload: [properties(expiry), field(clientId)] }));
      await wire.expect('connack');
      flags.push(Buffer.concat(chunks)[2] as number);
      await on.leave(wire);
    }
    expect(flags).toEqual([0, 1]);
  });

  it('[MQTT5-3.2.2-6] [MQTT5-3.2.2-7] with a reason code that says no has no session present, and ends the connection', async () => {
    const clientId = on.clientId();
    await on.leave(await on.durable(clientId, login('alice', 'a')));
    await on.expectRefusal(connect5(0xc0, field(clientId), field('alice'), field('wrong')), 0x86);
    const { connack } = await on.connect({ clientId, clean: false, ...login('alice', 'a') });
    expect(connack).toMatchObject({ sessionPresent: true });
  });

  it('[MQTT5-3.2.2-8] has a reason code of the table', async () => {
    const TABLE = [
      0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
    ];
    const bad: readonly Buffer[] = [
      connect5(0x03, field('c')),
      connect5(0x02, field('x'.repeat(1_025))),
      connect5(0x06, field('c'), properties(), field('#'), field('w')),
      connect5(0xc2, field('c'), field('alice'), field('wrong')),
      connectBytes({ level: 6, payload: [properties(), field('c')] }),
      connectBytes({ level: 5, payload: [properties(Buffer.of(0x21, 0, 0)), field('c')] }),
      connectBytes({ level: 5, payload: [properties(Buffer.concat([Buffer.of(0x15), field('NONE')])), field('c')] }),
    ];
    for (const bytes of bad) {
      const wire = await on.wire();
      wire.bytes(bytes);
      const { reasonCode } = (await wire.expect('connack')) as unknown as { reasonCode: number };
      expect(TABLE).toContain(reasonCode);
      expect(reasonCode).toBeGreaterThanOrEqual(0x80);
      await wire.closed();
    }
  });

  it('[MQTT5-3.2.2-19] leaves out its reason text where that makes it larger than the client takes', async () => {
    const wire = await on.wire();
    const size = Buffer.of(0x27, 0, 0, 0, 10);
    wire.bytes(connectBytes({ level: 5, flags: 0xc2, payload: [properties(size), field('c'), field('alice'), field('wrong')] }));
    const connack = await wire.expect('connack');
    expect(connack).toMatchObject({ reasonCode: 0x86 });
    expect(propertiesOf(connack)).not.toHaveProperty('reasonString');
    await wire.closed();
    expect(wire.received).toBeLessThanOrEqual(10);
  });

  it('[MQTT5-4.2-1] comes over an ordered stream of bytes, however it is cut', async () => {
    const wire = await MqttWire.open(on.house.port, 5);
    for (const byte of Buffer.concat([connect5(0x02, field(on.clientId())), packet(0xc0)])) wire.bytes(Buffer.of(byte));
    await wire.expect('connack');
    await wire.expect('pingresp');
  });
});
