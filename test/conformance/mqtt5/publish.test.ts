// MQTT 5 section 3.3: PUBLISH, retained messages, properties of messages, and how many of them may be open.

import { describe, expect, it } from 'vitest';
import { field, packet, properties, u16 } from '../../support/mqtt-bytes.js';
import type { MqttWire } from '../../support/mqtt-wire.js';
import { publish, published, stage } from '../stage.js';
import { type FilterOptions, propertiesOf, subscribe, told } from './support.js';

const on = stage({ limits: { maxIncomingOnce: 20 } }, 5);

async function subscriber(filter: string, options: FilterOptions = {}, identifier = 0): Promise<MqttWire> {
  const wire = await on.client();
  await subscribe(wire, filter, options, identifier);
  return wire;
}

describe('flags', () => {
  it('[MQTT5-3.3.1-1] DUP is set when a message is sent again', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await subscribe(first, 'dup', { qos: 2 });
    for (const qos of [1, 2] as const) await publish(publisher, 'dup', 'x', { qos });
    expect((await told(first)).map(({ dup }) => dup)).toEqual([false, false]);
    await on.lose(first);
    expect(await published(await on.durable(clientId))).toEqual(['dup=x/1d', 'dup=x/2d']);
  });

  it('[MQTT5-3.3.1-3] DUP is not handed on from the publisher', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('first', { qos: 2 })];
    publisher.publish('first', 'one', { qos: 1, messageId: 5, dup: true });
    publisher.publish('first', 'two', { qos: 2, messageId: 6, dup: true });
    await publisher.answer('pubrec', 6);
    expect(await published(wire)).toEqual(['first=one/1', 'first=two/2']);
  });

  it('[MQTT5-3.3.1-5] RETAIN keeps the message with its QoS, in place of the one before', async () => {
    const publisher = await on.client();
    await publish(publisher, 'kept/1', 'old', { retain: true });
    for (const qos of [1, 2] as const) await publish(publisher, `kept/${qos}`, 'new', { retain: true, qos });
    expect(await published(await subscriber('kept/+', { qos: 2 }))).toEqual(['kept/1=new/1r', 'kept/2=new/2r']);
  });

  it('[MQTT5-3.3.1-6] [MQTT5-3.3.1-7] RETAIN with an empty payload removes what was retained, and is handed on', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('empty', { qos: 1 })];
    await publish(publisher, 'empty', 'x', { retain: true });
    await publish(publisher, 'empty', '', { retain: true });
    expect(await published(wire)).toEqual(['empty=x/1', 'empty=/1']);
    expect(await published(await subscriber('empty'))).toEqual([]);
  });

  it('[MQTT5-3.3.1-8] without RETAIN what is retained stays as it is', async () => {
    const publisher = await on.client();
    await publish(publisher, 'alone', 'kept', { retain: true });
    await publish(publisher, 'alone', 'event');
    await publish(publisher, 'alone', '');
    expect(await published(await subscriber('alone', { qos: 1 }))).toEqual(['alone=kept/1r']);
  });
});

describe('retain handling', () => {
  async function heard(rh: number): Promise<string[][]> {
    const publisher = await on.client();
    await publish(publisher, `handling/${rh}`, 'x', { retain: true });
    const wire = await on.client();
    const times: string[][] = [];
    for (let i = 0; i < 2; i++) {
      await subscribe(wire, `handling/${rh}`, { rh });
      times.push(await published(wire));
    }
    return times;
  }

  it('[MQTT5-3.3.1-9] 0 sends retained messages with every subscription', async () => {
    expect(await heard(0)).toEqual([['handling/0=x/0r'], ['handling/0=x/0r']]);
  });

  it('[MQTT5-3.3.1-10] 1 sends them with a new one alone', async () => {
    expect(await heard(1)).toEqual([['handling/1=x/0r'], []]);
  });

  it('[MQTT5-3.3.1-11] 2 sends none', async () => {
    expect(await heard(2)).toEqual([[], []]);
  });
});

describe('retain as published', () => {
  it.each([
    ['[MQTT5-3.3.1-12]', false],
    ['[MQTT5-3.3.1-13]', true],
  ])('%s decides about the flag of what is handed on', async (number, rap) => {
    const topic = `rap/${number.slice(-3, -1)}`;
    const [publisher, wire] = [await on.client(), await subscriber(topic, { rap, qos: 1 })];
    await publish(publisher, topic, 'kept', { retain: true });
    await publish(publisher, topic, 'event');
    expect((await told(wire)).map(({ retain }) => retain)).toEqual([rap, false]);
  });
});

describe('properties', () => {
  const ALL = {
    payloadFormatIndicator: true,
    contentType: 'text/ä',
    responseTopic: 'answer/to',
    correlationData: Buffer.from([0, 255, 1]),
  };

  it('[MQTT5-3.3.2-4] [MQTT5-3.3.2-15] [MQTT5-3.3.2-16] [MQTT5-3.3.2-20] come to subscribers as they were sent: live, queued, retained', async () => {
    const clientId = on.clientId();
    const away = await on.durable(clientId);
    await subscribe(away, 'meta', { qos: 1 });
    await on.leave(away);
    const [publisher, live] = [await on.client(), await subscriber('meta', { qos: 1 })];
    await publish(publisher, 'meta', 'x', { retain: true, properties: ALL });
    await publish(publisher, 'meta', 'y', { properties: { payloadFormatIndicator: false } });
    const [first, second] = await told(live);
    expect(propertiesOf(first as never)).toEqual(ALL);
    expect(propertiesOf(second as never)['payloadFormatIndicator'] ?? false).toBe(false);
    const queued = await told(await on.durable(clientId));
    expect(propertiesOf(queued[0] as never)).toEqual(ALL);
    const [retained] = await told(await subscriber('meta'));
    expect(propertiesOf(retained as never)).toEqual(ALL);
  });

  it('[MQTT5-3.3.2-17] [MQTT5-3.3.2-18] of the user come unchanged and in their order', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('user')];
    const pairs = [
      ['b', '1'],
      ['a', ''],
      ['', 'x'],
      ['b', '2'],
      ['a', 'ä'],
    ].map(([name, value]) => Buffer.concat([Buffer.of(0x26), field(name as string), field(value as string)]));
    const came: Buffer[] = [];
    wire.socket.on('data', (chunk) => came.push(Buffer.from(chunk)));
    publisher.bytes(packet(0x30, field('user'), properties(...pairs), Buffer.from('x')));
    await publisher.settled();
    await wire.settled();
    expect(Buffer.concat(came).toString('hex')).toContain(properties(...pairs).toString('hex'));
  });

  it('[MQTT5-3.3.2-5] [MQTT5-3.3.2-6] of a message that waited say how long it is still good, and no longer deliver it after that', async () => {
    const clientId = on.clientId();
    const away = await on.durable(clientId);
    await subscribe(away, 'expiry/#', { qos: 1 });
    await on.leave(away);
    const publisher = await on.client();
    await publish(publisher, 'expiry/long', 'x', { properties: { messageExpiryInterval: 100 } });
    await publish(publisher, 'expiry/short', 'x', { properties: { messageExpiryInterval: 10 } });
    await publish(publisher, 'expiry/none', 'x');
    on.house.clock.ahead += 30_000;
    const heard = await told(await on.durable(clientId));
    expect(heard.map(({ topic }) => topic)).toEqual(['expiry/long', 'expiry/none']);
    expect(propertiesOf(heard[0] as never)['messageExpiryInterval']).toBeGreaterThan(60);
    expect(propertiesOf(heard[0] as never)['messageExpiryInterval']).toBeLessThanOrEqual(70);
    expect(propertiesOf(heard[1] as never)).not.toHaveProperty('messageExpiryInterval');
  });
});

describe('topic aliases', () => {
  const aliased = (alias: number, topic = ''): Buffer =>
    packet(0x30, field(topic), properties(Buffer.of(0x23, 0, alias)), Buffer.from('x'));

  it('[MQTT5-3.3.2-7] end with their connection', async () => {
    const [clientId, watcher] = [on.clientId(), await subscriber('alias/#')];
    const first = await on.durable(clientId);
    first.bytes(Buffer.concat([aliased(1, 'alias/a'), aliased(1)]));
    await first.settled();
    expect((await told(watcher)).map(({ topic }) => topic)).toEqual(['alias/a', 'alias/a']);
    await on.lose(first);
    const second = await on.durable(clientId);
    second.bytes(aliased(1));
    await second.closed();
    expect(second.rest()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x82 }]);
  });

  it('[MQTT5-3.3.2-9] above what the CONNACK says end the connection', async () => {
    await on.expectDisconnect(aliased(11, 'alias/a'), 0x94);
  });

  it('[MQTT5-3.3.2-12] are taken up to what the CONNACK says', async () => {
    const { wire, connack } = await on.connect();
    const watcher = await subscriber('all/#');
    const maximum = propertiesOf(connack)['topicAliasMaximum'] as number;
    expect(maximum).toBe(10);
    for (let alias = 1; alias <= maximum; alias++) wire.bytes(aliased(alias, `all/${alias}`));
    for (let alias = maximum; alias >= 1; alias--) wire.bytes(aliased(alias));
    await wire.settled();
    const up = Array.from({ length: maximum }, (_, i) => `all/${i + 1}`);
    expect((await told(watcher)).map(({ topic }) => topic)).toEqual([...up, ...up.toReversed()]);
  });

  it('[MQTT5-3.2.2-17] [MQTT5-3.3.2-8] of 0 end the connection', async () => {
    await on.expectDisconnect(aliased(0, 'alias/a'), 0x94);
  });
});

describe('subscribers', () => {
  it('[MQTT5-3.3.2-3] hear topics that match their filter', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('match/+/x')];
    for (const topic of ['match/a/x', 'match/a/y', 'match/x', 'match/a/b/x', 'match//x']) publisher.publish(topic, 'x');
    await publisher.settled();
    expect((await told(wire)).map(({ topic }) => topic)).toEqual(['match/a/x', 'match//x']);
  });

  it('[MQTT5-3.3.4-1] are acknowledged to: nothing at QoS 0, PUBACK at 1, PUBREC at 2', async () => {
    const wire = await on.client();
    for (const qos of [0, 1, 2]) wire.publish('a', 'x', { qos, messageId: 10 + qos });
    expect((await wire.settled()).map(({ cmd, messageId }) => [cmd, messageId])).toEqual([
      ['puback', 11],
      ['pubrec', 12],
    ]);
  });

  it('[MQTT5-3.3.4-2] [MQTT5-3.3.4-3] [MQTT5-3.3.4-4] of overlapping filters get one copy at the highest level, with all numbers', async () => {
    const [publisher, wire] = [await on.client(), await on.client()];
    await subscribe(wire, 'over/#', { qos: 1 }, 7);
    await subscribe(wire, 'over/+', { qos: 2 }, 268_435_455);
    await subscribe(wire, 'over/x', { qos: 0 });
    await subscribe(wire, 'other', { qos: 0 }, 9);
    await publish(publisher, 'over/x', 'x', { qos: 2 });
    const heard = await told(wire);
    expect(heard.map(({ qos }) => qos)).toEqual([2]);
    const numbers = propertiesOf(heard[0] as never)['subscriptionIdentifier'] as number[];
    expect([...numbers].sort((a, b) => a - b)).toEqual([7, 268_435_455]);
  });
});

describe('what is open', () => {
  it('[MQTT5-3.3.4-7] beyond what the CONNACK allows ends the connection', async () => {
    const { wire, connack } = await on.connect();
    const maximum = propertiesOf(connack)['receiveMaximum'] as number;
    expect(maximum).toBe(20);
    for (let id = 1; id <= maximum; id++) {
      wire.publish('open', 'x', { qos: 2, messageId: id });
      await wire.answer('pubrec', id);
    }
    wire.publish('open', 'x', { qos: 2, messageId: 100 });
    await wire.closed();
    expect(wire.rest()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x93 }]);
  });

  it('[MQTT5-3.3.4-9] [MQTT5-4.9.0-1] [MQTT5-4.9.0-2] towards a client is no more than it takes', async () => {
    const wire = await on.client({ properties: { receiveMaximum: 2 } });
    await subscribe(wire, 'quota', { qos: 2 });
    const publisher = await on.client();
    for (let i = 1; i <= 5; i++) await publish(publisher, 'quota', `${i}`, { qos: i % 2 === 0 ? 2 : 1, messageId: i });
    const [one, two] = await told(wire);
    expect([String(one?.payload), String(two?.payload)]).toEqual(['1', '2']);
    wire.send({ cmd: 'pubrec', messageId: two?.messageId });
    expect((await wire.settled()).map(({ cmd }) => cmd)).toEqual(['pubrel']);
    wire.send({ cmd: 'pubcomp', messageId: two?.messageId });
    const [three] = await told(wire);
    expect(String(three?.payload)).toBe('3');
    wire.send({ cmd: 'puback', messageId: one?.messageId });
    const [four] = await told(wire);
    expect(String(four?.payload)).toBe('4');
    wire.bytes(packet(0x50, u16(four?.messageId as number), Buffer.of(0x97)));
    expect((await told(wire)).map(({ payload }) => String(payload))).toEqual(['5']);
  });

  it('[MQTT5-3.3.4-10] [MQTT5-4.9.0-3] does not keep back other packets', async () => {
    const wire = await on.client({ properties: { receiveMaximum: 1 } });
    await subscribe(wire, 'full', { qos: 1 });
    const publisher = await on.client();
    for (let i = 0; i < 3; i++) await publish(publisher, 'full', `${i}`);
    expect(await told(wire)).toHaveLength(1);
    await publish(wire, 'own', 'x');
    expect(await subscribe(wire, 'another')).toBe(0);
    wire.publish('own', 'x', { qos: 2, messageId: 9 });
    await wire.answer('pubrec', 9);
    wire.send({ cmd: 'pubrel', messageId: 9 });
    await wire.answer('pubcomp', 9);
  });

  it('[MQTT5-4.4.0-1] [MQTT5-4.9.0-3] does not keep back PUBREL from a client that comes back and takes less', async () => {
    const first = await on.durable('less');
    await subscribe(first, 'less', { qos: 2 });
    const publisher = await on.client();
    for (let i = 1; i <= 5; i++) await publish(publisher, 'less', `${i}`, { qos: 2, messageId: i });
    const ids = (await told(first)).map(({ messageId }) => messageId as number);
    const released = ids.slice(2);
    for (const messageId of released) first.send({ cmd: 'pubrec', messageId });
    for (const messageId of released) await first.answer('pubrel', messageId);
    await on.lose(first);
    const second = await on.durable('less', { properties: { receiveMaximum: 1 } });
    expect(await second.settled()).toMatchObject(released.map((messageId) => ({ cmd: 'pubrel', messageId })));
    for (const messageId of released) second.send({ cmd: 'pubcomp', messageId });
    for (const messageId of ids.slice(0, 2)) {
      expect(await second.settled()).toMatchObject([{ cmd: 'publish', messageId, dup: true }]);
      second.send({ cmd: 'pubrec', messageId }, { cmd: 'pubcomp', messageId });
      await second.answer('pubrel', messageId);
    }
  });
});
