// MQTT 5 sections 3.8 to 3.11, 4.7 and 4.8: SUBSCRIBE, UNSUBSCRIBE, filters and shared subscriptions.

import { describe, expect, it } from 'vitest';
import { accessOf } from '../../support/access.js';
import { field, packet, properties, publishBytes, u16 } from '../../support/mqtt-bytes.js';
import type { MqttWire } from '../../support/mqtt-wire.js';
import { publish, published, recorded, stage } from '../stage.js';
import { type FilterOptions, subscribe, told, unsubscribe } from './support.js';

const access = accessOf((_action, path) => !path.startsWith('forbidden'));
const on = stage({ access }, 5);

async function subscriber(filter: string, options: FilterOptions = {}): Promise<MqttWire> {
  const wire = await on.client();
  await subscribe(wire, filter, options);
  return wire;
}

/** SUBSCRIBE to one filter, byte by byte. */
const subscribe5 = (filter: string | Uint8Array, options: number): Buffer =>
  packet(0x82, u16(1), properties(), field(filter), Buffer.of(options));

describe('SUBSCRIBE', () => {
  it('[MQTT5-3.8.3-3] with no local keeps from a client what it publishes itself', async () => {
    const [wire, other] = [await subscriber('local', { nl: true }), await on.client()];
    await publish(wire, 'local', 'own');
    await publish(other, 'local', 'other');
    expect(await published(wire)).toEqual(['local=other/0']);
  });

  it('[MQTT5-3.8.4-1] [MQTT5-3.8.4-2] is answered by a SUBACK of its packet id', async () => {
    const wire = await on.client();
    for (const messageId of [1, 300, 65_535]) {
      wire.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: 'a', qos: 0 }] });
      expect(await wire.expect('suback')).toMatchObject({ messageId });
    }
  });

  it('[MQTT5-3.8.4-3] to a filter that the session has replaces it, options and number included', async () => {
    const wire = await on.client();
    await subscribe(wire, 'same', { qos: 1, nl: true }, 5);
    await subscribe(wire, 'same', { qos: 2 }, 6);
    await publish(wire, 'same', 'x', { qos: 2 });
    expect(await told(wire)).toMatchObject([{ qos: 2, properties: { subscriptionIdentifier: 6 } }]);
    await subscribe(wire, 'same', { qos: 0 });
    await publish(wire, 'same', 'y');
    const [last] = await told(wire);
    expect(last).toMatchObject({ qos: 0 });
    expect(last?.properties ?? {}).not.toHaveProperty('subscriptionIdentifier');
    expect(await unsubscribe(wire, 'same')).toEqual([0]);
    await publish(wire, 'same', 'z');
    expect(await told(wire)).toEqual([]);
  });

  it.each([true, false])(
    '[MQTT5-3.8.4-4] that replaces sends retained messages again and loses none meanwhile (clean %s)',
    async (clean) => {
      const [publisher, wire] = [await on.client(), await (clean ? on.client() : on.durable(on.clientId()))];
      const topic = `flow/${clean}`;
      await publish(publisher, topic, 'kept', { retain: true });
      await subscribe(wire, topic, { qos: 1 });
      await subscribe(wire, topic, { qos: 1 });
      expect(await published(wire)).toEqual([`${topic}=kept/1r`, `${topic}=kept/1r`]);
      const packets = recorded(wire);
      for (let i = 0; i < 60; i++) {
        publisher.publish(topic, `${i}`, { qos: 1, messageId: i + 1 });
        if (i % 10 === 5) {
          wire.send({ cmd: 'subscribe', messageId: 900 + i, subscriptions: [{ topic, qos: 1, rh: 2 }] });
        }
      }
      const heard = (): string[] => packets().filter((bytes) => bytes.startsWith('32'));
      await wire.until(() => heard().length >= 60, 'all of them');
      expect(heard().length).toBe(60);
    },
  );

  it('[MQTT5-3.8.4-5] [MQTT5-3.8.4-6] [MQTT5-3.8.4-7] [MQTT5-3.9.3-1] with several filters has one answer, with a reason code for each in their order', async () => {
    const wire = await on.client();
    const filters = [
      ['a', 2],
      ['forbidden/b', 1],
      ['c', 0],
      ['a', 1],
      ['d/#', 2],
    ] as const;
    wire.send({ cmd: 'subscribe', messageId: 9, subscriptions: filters.map(([topic, qos]) => ({ topic, qos })) });
    expect(await wire.expect('suback')).toMatchObject({ messageId: 9, granted: [2, 0x87, 0, 1, 2] });
    expect((await wire.settled()).filter(({ cmd }) => cmd === 'suback')).toEqual([]);
  });

  it('[MQTT5-3.8.4-8] has messages at the lower of the level granted and the level published', async () => {
    const [publisher, wire] = [await on.client(), await on.client()];
    for (const qos of [0, 1, 2]) expect(await subscribe(wire, `min/${qos}`, { qos })).toBe(qos);
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

  it('[MQTT5-3.9.3-2] is answered with reason codes of the table', async () => {
    const wire = await on.client();
    const table = [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];
    for (const filter of ['a', 'forbidden', 'x'.repeat(1_025), '#', '$SYS/#', '$share/g/a', '$share/g/forbidden', '*']) {
      for (const qos of [0, 1, 2]) expect(table).toContain(await subscribe(wire, filter, { qos }));
    }
  });
});

describe('UNSUBSCRIBE', () => {
  it('[MQTT5-3.10.4-1] takes away the filter that is the same to the last character', async () => {
    const wire = await subscriber('exact/+');
    expect(await unsubscribe(wire, 'exact/#', 'exact/b', 'Exact/+', 'exact/+/')).toEqual([0x11, 0x11, 0x11, 0x11]);
    await publish(wire, 'exact/b', 'still');
    expect(await published(wire)).toEqual(['exact/b=still/0']);
    expect(await unsubscribe(wire, 'exact/+')).toEqual([0]);
    await publish(wire, 'exact/b', 'gone');
    expect(await published(wire)).toEqual([]);
  });

  it('[MQTT5-3.10.4-2] ends what is added for the client, also while it is away', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const wire = await on.durable(clientId);
    await subscribe(wire, 'added', { qos: 2 });
    await unsubscribe(wire, 'added');
    await publish(publisher, 'added', 'x');
    expect(await wire.settled()).toEqual([]);
    await on.leave(wire);
    await publish(publisher, 'added', 'y');
    expect(await (await on.durable(clientId)).settled()).toEqual([]);
  });

  it('[MQTT5-3.10.4-3] leaves what was begun to be completed', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const wire = await on.durable(clientId);
    await subscribe(wire, 'begun', { qos: 2 });
    for (const qos of [1, 2] as const) await publish(publisher, 'begun', 'x', { qos });
    const [one, two] = await told(wire);
    await unsubscribe(wire, 'begun');
    await on.lose(wire);
    expect(await (await on.durable(clientId)).settled()).toMatchObject([
      { cmd: 'publish', messageId: one?.messageId, dup: true },
      { cmd: 'publish', messageId: two?.messageId, dup: true },
    ]);
  });

  it('[MQTT5-3.10.4-4] [MQTT5-3.10.4-5] is answered by an UNSUBACK of its packet id, also when there was no such filter', async () => {
    const wire = await on.client();
    wire.send({ cmd: 'unsubscribe', messageId: 65_535, unsubscriptions: ['never'] });
    expect(await wire.expect('unsuback')).toMatchObject({ messageId: 65_535, granted: [0x11] });
  });

  it('[MQTT5-3.10.4-6] [MQTT5-3.11.3-1] [MQTT5-3.11.3-2] of several filters has one answer, with a reason code for each in their order', async () => {
    const wire = await on.client();
    for (const filter of ['u/1', 'u/2', 'u/3']) await subscribe(wire, filter);
    expect(await unsubscribe(wire, 'u/1', 'nothing', 'u/3', 'u/1')).toEqual([0, 0x11, 0, 0x11]);
    for (const topic of ['u/1', 'u/2', 'u/3']) wire.publish(topic, 'x');
    expect((await told(wire)).map(({ topic }) => topic)).toEqual(['u/2']);
  });
});

describe('filters and topics', () => {
  it.each(['+', '#', 'a/+', 'a/#', 'a+b'])('[MQTT5-4.7.0-1] a topic %j ends the connection', async (topic) => {
    await on.expectDisconnect(packet(0x30, field(topic), properties()), 0x81);
  });

  it('[MQTT5-4.7.2-1] that begin with a wildcard do not match topics that begin with $', async () => {
    const wire = await on.client();
    await publish(wire, '$own/mine', 'kept', { retain: true });
    for (const filter of ['#', '+/mine', '+/+']) await subscribe(wire, filter);
    wire.publish('$own/mine', 'x');
    expect((await told(wire)).filter(({ topic }) => topic.startsWith('$'))).toEqual([]);
    await subscribe(wire, '$own/+');
    expect(await published(wire)).toEqual(['$own/mine=kept/0r']);
  });

  it('[MQTT5-4.7.3-2] have no U+0000', async () => {
    await on.expectDisconnect(packet(0x30, field('a\0b'), properties()), 0x81);
    await on.expectDisconnect(subscribe5('a\0b', 0), 0x81);
  });

  it('[MQTT5-4.7.3-3] have at most 65,535 bytes: a topic of as many is served', async () => {
    const wire = await subscriber('long/#');
    const topic = `long/${'ä'.repeat(32_765)}`;
    wire.publish(topic, 'x');
    await wire.until(() => wire.unseen().some(({ cmd }) => cmd === 'publish'), 'it');
    expect((await told(wire)).map((heard) => heard.topic === topic)).toEqual([true]);
  });

  it('[MQTT5-4.7.3-4] are compared as they are', async () => {
    const wire = await on.client();
    const topics = ['n/é', 'n/e\u0301', 'n/E', 'n/e', 'n//e', 'n/e/', 'n/%65', 'n/*', 'n/..'];
    for (const topic of topics) {
      await subscribe(wire, topic);
      for (const other of topics) wire.publish(other, 'x');
      expect((await told(wire)).map((heard) => heard.topic)).toEqual([topic]);
      await unsubscribe(wire, topic);
    }
  });
});

describe('a shared subscription', () => {
  /** Members of a group, each durable, with their client ids. */
  async function members(topic: string, qos: number, count: number): Promise<{ clientId: string; wire: MqttWire }[]> {
    const list: { clientId: string; wire: MqttWire }[] = [];
    for (let i = 0; i < count; i++) {
      const clientId = on.clientId();
      const wire = await on.durable(clientId);
      expect(await subscribe(wire, `$share/group/${topic}`, { qos })).toBe(qos);
      list.push({ clientId, wire });
    }
    return list;
  }

  it('[MQTT5-4.8.2-3] has messages at the level of the member that gets them', async () => {
    const publisher = await on.client();
    const [low, high] = [await subscriber('$share/levels/level', { qos: 0 }), await subscriber('$share/levels/level', { qos: 2 })];
    for (let i = 1; i <= 10; i++) await publish(publisher, 'level', `${i}`, { qos: 2, messageId: i });
    const [lows, highs] = [await told(low), await told(high)];
    expect(lows.length + highs.length).toBe(10);
    expect(new Set(lows.map(({ qos }) => qos))).toEqual(new Set([0]));
    expect(new Set(highs.map(({ qos }) => qos))).toEqual(new Set([2]));
  });

  it('[MQTT5-4.8.2-4] completes a message of QoS 2 to the member that it was begun with', async () => {
    const publisher = await on.client();
    const [only] = await members('begun', 2, 1);
    await publish(publisher, 'begun', 'x', { qos: 2 });
    const { messageId } = (await told(only?.wire as MqttWire))[0] as { messageId: number };
    await on.lose(only?.wire as MqttWire);
    const [other] = await members('begun', 2, 1);
    expect(await told(other?.wire as MqttWire)).toEqual([]);
    const back = await on.durable(only?.clientId as string);
    expect(await back.expect('publish')).toMatchObject({ messageId, dup: true });
    back.send({ cmd: 'pubrec', messageId });
    await back.expect('pubrel');
    back.send({ cmd: 'pubcomp', messageId });
    expect(await back.settled()).toEqual([]);
  });

  it('[MQTT5-4.8.2-5] sends such a message to nobody else when the session of its member ends', async () => {
    const publisher = await on.client();
    const [only] = await members('over', 2, 1);
    await publish(publisher, 'over', 'x', { qos: 2 });
    expect(await told(only?.wire as MqttWire)).toHaveLength(1);
    await on.lose(only?.wire as MqttWire);
    const [other] = await members('over', 2, 1);
    await on.leave(await on.client({ clientId: only?.clientId as string, clean: true }));
    expect(await told(other?.wire as MqttWire)).toEqual([]);
  });

  it('[MQTT5-4.8.2-6] sends to nobody else what its member refuses', async () => {
    const publisher = await on.client();
    const both = await members('refused', 2, 2);
    for (const qos of [1, 2] as const) await publish(publisher, 'refused', `${qos}`, { qos });
    let refused = 0;
    for (const { wire } of both) {
      for (const { messageId, qos } of await told(wire)) {
        wire.bytes(packet(qos === 1 ? 0x40 : 0x50, u16(messageId as number), Buffer.of(0x83)));
        refused += 1;
      }
    }
    expect(refused).toBe(2);
    for (const { wire } of both) expect(await told(wire)).toEqual([]);
  });
});

it('[MQTT5-3.1.0-1] a PUBLISH of another version is none of this one', async () => {
  // Without properties: the payload is taken for their length.
  await on.expectDisconnect(publishBytes(0x30, 'a', null, '\xff\xff\xff\xff\xff'), 0x81);
});
