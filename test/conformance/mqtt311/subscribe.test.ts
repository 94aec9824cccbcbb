// MQTT 3.1.1 sections 3.8 to 3.11 and 4.7: SUBSCRIBE, UNSUBSCRIBE, and what filters match.

import { describe, expect, it } from 'vitest';
import { accessOf } from '../../support/access.js';
import { field, packet, publishBytes, subscribeBytes, u16, unsubscribeBytes } from '../../support/mqtt-bytes.js';
import type { MqttWire } from '../../support/mqtt-wire.js';
import { publish, published, recorded, stage } from '../stage.js';

const access = accessOf((_action, path) => !path.startsWith('forbidden'));

const on = stage({ access });

function subscribe(wire: MqttWire, messageId: number, ...filters: readonly (readonly [string, number])[]): void {
  wire.send({ cmd: 'subscribe', messageId, subscriptions: filters.map(([topic, qos]) => ({ topic, qos })) });
}

describe('SUBSCRIBE', () => {
  it('[MQTT-3.8.1-1] with other flags than 0010 ends the connection', async () => {
    for (let flags = 0; flags < 16; flags++) if (flags !== 2) await on.expectEnd(subscribeBytes(0x80 | flags, 1, 'a'));
  });

  it('[MQTT-3.8.3-1] to a filter that is no UTF-8 text ends the connection', async () => {
    await on.expectEnd(subscribeBytes(0x82, 1, Buffer.of(0x61, 0xff)));
  });

  it('[MQTT-3.8.3-2] takes filters with wildcards', async () => {
    const wire = await on.client();
    expect(await wire.subscribe('wild/+/#', 1)).toMatchObject({ granted: [1] });
    await publish(wire, 'wild/a/b/c', 'x');
    expect(await published(wire)).toEqual(['wild/a/b/c=x/1']);
  });

  it.each([
    ['no filter', packet(0x82, u16(1))],
    ['a filter without QoS', packet(0x82, u16(1), field('a'))],
  ])('[MQTT-3.8.3-3] with %s ends the connection', async (_what, bytes) => await on.expectEnd(bytes));

  it.each([3, 4, 0x40, 0x80, 0xfe])('[MQTT-3-8.3-4] with %i as QoS ends the connection', async (qos) => {
    await on.expectEnd(subscribeBytes(0x82, 1, 'a', qos));
  });

  it('[MQTT-3.8.4-1] [MQTT-3.8.4-2] is answered by a SUBACK of its packet id', async () => {
    const wire = await on.client();
    for (const messageId of [1, 300, 65_535]) {
      subscribe(wire, messageId, ['a', 0]);
      expect(await wire.expect('suback')).toMatchObject({ messageId });
    }
  });

  it('[MQTT-3.8.4-3] to a filter that the session has replaces it, and sends its retained messages again', async () => {
    const wire = await on.client();
    await publish(wire, 'same/kept', 'x', { retain: true });
    await wire.subscribe('same/#', 0);
    expect(await published(wire)).toEqual(['same/kept=x/0r']);
    await wire.subscribe('same/#', 2);
    expect(await published(wire)).toEqual(['same/kept=x/1r']);
    await publish(wire, 'same/live', 'y');
    expect(await published(wire)).toEqual(['same/live=y/1']);
    wire.bytes(unsubscribeBytes(0xa2, 5, 'same/#'));
    await wire.expect('unsuback');
    await publish(wire, 'same/live', 'z');
    expect(await published(wire)).toEqual([]);
  });

  it.each([true, false])('[MQTT-3.8.4-3] does not interrupt what a filter hears when it replaces it (clean %s)', async (clean) => {
    const [publisher, wire] = [await on.client(), await on.client({ clean })];
    const topic = `flow/${clean}`;
    await wire.subscribe(topic, 1);
    const packets = recorded(wire);
    for (let i = 0; i < 60; i++) {
      publisher.bytes(publishBytes(0x32, topic, i + 1, `${i}`));
      if (i % 10 === 5) wire.bytes(subscribeBytes(0x82, 900 + i, topic, 1));
    }
    const heard = (): string[] => packets().filter((bytes) => bytes.startsWith('32'));
    await wire.until(() => heard().length >= 60, 'all of them');
    expect(heard().length).toBe(60);
  });

  it('[MQTT-3.8.4-4] with several filters does what as many packets would do', async () => {
    const [one, many] = [await on.client(), await on.client()];
    await publish(one, 'several/kept', 'x', { retain: true });
    const filters = [
      ['several/kept', 0],
      ['several/+', 2],
      ['several/live', 1],
    ] as const;
    subscribe(many, 7, ...filters);
    expect(await many.expect('suback')).toMatchObject({ messageId: 7 });
    for (const [filter, qos] of filters) await one.subscribe(filter, qos);
    const kept = await published(one);
    expect(kept).toEqual(['several/kept=x/0r', 'several/kept=x/1r']);
    expect(await published(many)).toEqual(kept);
    await publish(await on.client(), 'several/live', 'y', { qos: 2 });
    expect(await published(one)).toEqual(['several/live=y/2']);
    expect(await published(many)).toEqual(['several/live=y/2']);
  });

  it('[MQTT-3.8.4-5] [MQTT-3.9.3-1] has one return code for each filter, in their order', async () => {
    const wire = await on.client();
    subscribe(wire, 9, ['a', 2], ['forbidden/b', 1], ['c', 0], ['a', 1], ['d/#', 2]);
    expect(await wire.expect('suback')).toMatchObject({ granted: [2, 0x80, 0, 1, 2] });
  });

  it('[MQTT-3.8.4-6] has messages at the lower of the level granted and the level published', async () => {
    const [publisher, wire] = [await on.client(), await on.client()];
    subscribe(wire, 1, ['min/0', 0], ['min/1', 1], ['min/2', 2]);
    expect(await wire.expect('suback')).toMatchObject({ granted: [0, 1, 2] });
    for (const topic of ['min/0', 'min/1', 'min/2']) {
      publisher.publish(topic, '0');
      await publish(publisher, topic, '1');
      await publish(publisher, topic, '2', { qos: 2, messageId: 2 });
      publisher.send({ cmd: 'pubrel', messageId: 2 });
      await publisher.answer('pubcomp', 2);
    }
    const levels = [0, 1, 2].flatMap((granted) => [0, 1, 2].map((sent) => `min/${granted}=${sent}/${Math.min(granted, sent)}`));
    expect(await published(wire)).toEqual(levels);
  });

  it('[MQTT-3.9.3-2] is answered with 0, 1, 2 and 128 only', async () => {
    const wire = await on.client();
    const filters = ['a', 'forbidden', 'x'.repeat(1_025), '#', '+', '$SYS/#', '$share/g/a', '/', '*'].flatMap((filter) =>
      [0, 1, 2].map((qos) => [filter, qos] as const),
    );
    subscribe(wire, 9, ...filters);
    const { granted } = await wire.expect('suback');
    expect(granted).toHaveLength(filters.length);
    expect([...new Set(granted as number[])].sort((a, b) => a - b)).toEqual([0, 1, 2, 0x80]);
  });
});

describe('UNSUBSCRIBE', () => {
  it('[MQTT-3.10.1-1] with other flags than 0010 ends the connection', async () => {
    for (let flags = 0; flags < 16; flags++) if (flags !== 2) await on.expectEnd(unsubscribeBytes(0xa0 | flags, 1, 'a'));
  });

  it('[MQTT-3.10.3-1] of a filter that is no UTF-8 text ends the connection', async () => {
    await on.expectEnd(unsubscribeBytes(0xa2, 1, Buffer.of(0x61, 0xff)));
  });

  it('[MQTT-3.10.3-2] without a filter ends the connection', async () => await on.expectEnd(packet(0xa2, u16(1))));

  it('[MQTT-3.10.4-1] takes away the filter that is the same to the last character', async () => {
    const wire = await on.client();
    for (const filter of ['exact/+', 'exact/a']) await wire.subscribe(filter, 0);
    const others = ['exact/#', 'exact/b', 'Exact/+', 'exact/+/', '/exact/+', 'exact'];
    wire.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: others });
    await wire.expect('unsuback');
    await publish(wire, 'exact/b', 'still');
    expect(await published(wire)).toEqual(['exact/b=still/0']);
    wire.bytes(unsubscribeBytes(0xa2, 3, 'exact/+'));
    await wire.expect('unsuback');
    await publish(wire, 'exact/b', 'gone');
    await publish(wire, 'exact/a', 'there');
    expect(await published(wire)).toEqual(['exact/a=there/0']);
  });

  it.each([true, false])('[MQTT-3.10.4-2] ends what is added for the client (clean %s)', async (clean) => {
    const [publisher, clientId] = [await on.client(), on.clientId()];
    const wire = await on.client({ clientId, clean });
    await wire.subscribe('added', 2);
    wire.bytes(unsubscribeBytes(0xa2, 2, 'added'));
    await wire.expect('unsuback');
    await publish(publisher, 'added', 'x');
    expect(await wire.settled()).toEqual([]);
    await on.leave(wire);
    await publish(publisher, 'added', 'y');
    expect(await (await on.client({ clientId, clean })).settled()).toEqual([]);
  });

  it('[MQTT-3.10.4-3] leaves what was begun to be completed', async () => {
    const [publisher, clientId] = [await on.client(), on.clientId()];
    const wire = await on.durable(clientId);
    await wire.subscribe('begun', 2);
    await publish(publisher, 'begun', 'one');
    await publish(publisher, 'begun', 'two', { qos: 2 });
    const [one, two] = await wire.settled();
    wire.bytes(unsubscribeBytes(0xa2, 2, 'begun'));
    await wire.expect('unsuback');
    await on.lose(wire);
    const again = await on.durable(clientId);
    expect(await again.settled()).toMatchObject([
      { cmd: 'publish', messageId: one?.messageId, dup: true },
      { cmd: 'publish', messageId: two?.messageId, dup: true },
    ]);
    again.send({ cmd: 'puback', messageId: one?.messageId }, { cmd: 'pubrec', messageId: two?.messageId });
    expect(await again.expect('pubrel')).toMatchObject({ messageId: two?.messageId });
  });

  it('[MQTT-3.10.4-4] is answered by an UNSUBACK of its packet id', async () => {
    const wire = await on.client();
    await wire.subscribe('a');
    wire.bytes(unsubscribeBytes(0xa2, 65_535, 'a'));
    expect(await wire.expect('unsuback')).toMatchObject({ messageId: 65_535 });
  });

  it('[MQTT-3.10.4-5] is answered also when there was no such filter', async () => {
    const wire = await on.client();
    wire.bytes(unsubscribeBytes(0xa2, 4, 'never/subscribed'));
    expect(await wire.expect('unsuback')).toMatchObject({ messageId: 4 });
  });

  it('[MQTT-3.10.4-6] of several filters has one answer', async () => {
    const wire = await on.client();
    subscribe(wire, 1, ['u/1', 0], ['u/2', 0], ['u/3', 0]);
    await wire.expect('suback');
    wire.send({ cmd: 'unsubscribe', messageId: 6, unsubscriptions: ['u/1', 'nothing', 'u/3', 'u/1'] });
    for (const topic of ['u/1', 'u/2', 'u/3']) wire.publish(topic, 'x');
    expect((await wire.settled()).map(({ cmd, topic }) => topic ?? cmd)).toEqual(['unsuback', 'u/2']);
  });
});

describe('filters and topics', () => {
  const WRONG_MULTI = ['a#', 'a/#/b', '#/a', 'a/b#', '##', '+#'];
  const WRONG_SINGLE = ['a+', '+a', 'a/b+', 'a/+b/c', '++'];

  it.each(WRONG_MULTI)('[MQTT-4.7.1-2] %j ends the connection', async (filter) => {
    await on.expectEnd(subscribeBytes(0x82, 1, filter));
    await on.expectEnd(unsubscribeBytes(0xa2, 1, filter));
  });

  it.each(WRONG_SINGLE)('[MQTT-4.7.1-3] %j ends the connection', async (filter) => {
    await on.expectEnd(subscribeBytes(0x82, 1, filter));
    await on.expectEnd(unsubscribeBytes(0xa2, 1, filter));
  });

  const MATCHES: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['[MQTT-4.7.1-2] #', ['m', 'm/a', '/m', 'm/', '/'], []],
    ['[MQTT-4.7.1-2] m/#', ['m', 'm/', 'm/a', 'm/a/b'], ['ma', 'n', '/m']],
    ['[MQTT-4.7.1-3] +', ['m'], ['m/a', '/m', '/']],
    ['[MQTT-4.7.1-3] /+', ['/m', '/'], ['m', '/m/a']],
    ['[MQTT-4.7.1-3] +/+', ['m/a', '/m', '/'], ['m', 'm/a/b']],
    ['[MQTT-4.7.1-3] m/+/c', ['m/b/c', 'm//c'], ['m/c', 'm/b/b/c', 'm/b/c/d']],
    ['[MQTT-4.7.1-3] +/b/#', ['m/b', 'm/b/c', '/b'], ['m/c/b', 'b']],
  ];
  it.each(MATCHES)('%s matches what it should', async (title, matching, others) => {
    const wire = await on.client();
    await wire.subscribe(title.split(' ')[1] as string);
    for (const topic of [...matching, ...others]) wire.publish(topic, 'x');
    const live = (await wire.settled()).filter(({ retain }) => retain === false);
    expect(live.map(({ topic }) => topic)).toEqual(matching);
  });

  it('[MQTT-4.7.2-1] that begin with a wildcard do not match topics that begin with $', async () => {
    const wire = await on.client();
    await publish(wire, '$own/mine', 'kept', { retain: true });
    for (const filter of ['#', '+/mine', '+/+']) await wire.subscribe(filter);
    wire.publish('$own/mine', 'x');
    expect((await published(wire)).filter((text) => text.startsWith('$'))).toEqual([]);
    await wire.subscribe('$own/+');
    expect(await published(wire)).toEqual(['$own/mine=kept/0r']);
  });

  it('[MQTT-4.7.3-1] have at least one character', async () => {
    await on.expectEnd(publishBytes(0x30, '', null));
    await on.expectEnd(subscribeBytes(0x82, 1, ''));
    await on.expectEnd(unsubscribeBytes(0xa2, 1, ''));
    const wire = await on.client();
    await wire.subscribe(' ');
    wire.publish(' ', 'x');
    expect(await published(wire)).toEqual([' =x/0']);
  });

  it('[MQTT-4.7.3-2] have no U+0000', async () => {
    await on.expectEnd(publishBytes(0x30, 'a\0b', null));
    await on.expectEnd(subscribeBytes(0x82, 1, 'a\0b'));
    await on.expectEnd(unsubscribeBytes(0xa2, 1, 'a\0b'));
  });

  it('[MQTT-4.7.3-3] have at most 65,535 bytes: a topic of as many is served', async () => {
    const wire = await on.client();
    await wire.subscribe('long/#');
    const topic = `long/${'ä'.repeat(32_765)}`;
    wire.publish(topic, 'x');
    expect(Buffer.byteLength(topic)).toBe(65_535);
    expect((await wire.settled()).map((heard) => heard.topic === topic)).toEqual([true]);
  });

  it('[MQTT-4.7.3-4] are compared as they are', async () => {
    const wire = await on.client();
    const topics = ['n/é', 'n/e\u0301', 'n/E', 'n/e', 'n//e', 'n/e/', 'n/%65', 'n/*', 'n/\ufffd', 'n/.', 'n/..', 'n/ e'];
    for (const topic of topics) {
      await wire.subscribe(topic);
      for (const other of topics) wire.publish(other, 'x');
      expect((await wire.settled()).map((heard) => heard.topic)).toEqual([topic]);
      wire.bytes(unsubscribeBytes(0xa2, 2, topic));
      await wire.expect('unsuback');
    }
  });
});
