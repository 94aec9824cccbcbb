// MQTT 5 sections 2.2, 3.4 to 3.7, 4.3, 4.4 and 4.6: acknowledgements, handshakes, repetition and order.

import { describe, expect, it } from 'vitest';
import { accessOf } from '../../support/access.js';
import { field, packet, properties, u16 } from '../../support/mqtt-bytes.js';
import { publish, published, stage } from '../stage.js';
import { propertiesOf, subscribe, told } from './support.js';

const access = accessOf((_action, path) => !path.startsWith('forbidden'));
const on = stage({ access }, 5);

const NUMBERS = Array.from({ length: 60 }, (_, i) => i);

/** PUBLISH without properties. */
const publishBytes5 = (first: number, topic: string, id: number, payload: string): Buffer =>
  packet(first, field(topic), u16(id), properties(), Buffer.from(payload));

describe('packet ids', () => {
  it('[MQTT5-2.2.1-4] [MQTT5-4.3.2-1] [MQTT5-4.3.3-1] of messages under way to a client differ', async () => {
    const wire = await on.client();
    await subscribe(wire, 'ids', { qos: 2 });
    for (let i = 0; i < 20; i++) wire.publish('ids', 'x', { qos: 1 + (i % 2), messageId: 100 + i });
    const ids = (await told(wire)).map(({ messageId }) => messageId as number);
    expect(new Set(ids).size).toBe(20);
    expect(Math.min(...ids)).toBeGreaterThan(0);
  });

  it('[MQTT5-2.2.1-5] of acknowledgements are those of their PUBLISH', async () => {
    const wire = await on.client();
    wire.publish('a', 'x', { qos: 1, messageId: 0x1234 });
    wire.publish('a', 'x', { qos: 2, messageId: 0xffff });
    expect(await wire.expect('puback')).toMatchObject({ messageId: 0x1234 });
    expect(await wire.expect('pubrec')).toMatchObject({ messageId: 0xffff });
    wire.send({ cmd: 'pubrel', messageId: 0xffff });
    expect(await wire.expect('pubcomp')).toMatchObject({ messageId: 0xffff });
  });

  it('[MQTT5-2.2.1-6] of SUBACK and UNSUBACK are those of SUBSCRIBE and UNSUBSCRIBE', async () => {
    const wire = await on.client();
    wire.send({ cmd: 'subscribe', messageId: 0xabcd, subscriptions: [{ topic: 'a', qos: 0 }] });
    expect(await wire.expect('suback')).toMatchObject({ messageId: 0xabcd });
    wire.send({ cmd: 'unsubscribe', messageId: 0x0102, unsubscriptions: ['a'] });
    expect(await wire.expect('unsuback')).toMatchObject({ messageId: 0x0102 });
  });
});

describe('acknowledgements', () => {
  it.each([
    ['[MQTT5-3.4.2-2] PUBACK', 1],
    ['[MQTT5-3.5.2-2] PUBREC', 2],
  ])('%s leave out the reason text where it would make them larger than the client takes', async (title, qos) => {
    const cmd = title.endsWith('PUBACK') ? 'puback' : 'pubrec';
    const roomy = await on.client();
    roomy.publish('forbidden/x', 'x', { qos, messageId: 1 });
    expect(propertiesOf(await roomy.answer(cmd, 1))).toHaveProperty('reasonString');
    const narrow = await on.client({ properties: { maximumPacketSize: 22 } });
    narrow.publish('forbidden/x', 'x', { qos, messageId: 1 });
    const answer = await narrow.answer(cmd, 1);
    expect(answer).toMatchObject({ reasonCode: 0x87 });
    expect(propertiesOf(answer)).not.toHaveProperty('reasonString');
  });

  it('[MQTT5-3.4.2-1] [MQTT5-3.5.2-1] [MQTT5-3.6.2-1] [MQTT5-3.7.2-1] have reason codes of their tables', async () => {
    const wire = await on.client();
    for (const topic of ['nobody', 'forbidden/x', '$SYS/x']) {
      for (const qos of [1, 2]) wire.publish(topic, 'x', { qos, messageId: 10 + qos });
    }
    await subscribe(wire, 'own', { qos: 2 });
    wire.publish('own', 'x', { qos: 2, messageId: 20 });
    wire.send({ cmd: 'pubrel', messageId: 999 }, { cmd: 'pubrec', messageId: 999 });
    const [delivery] = (await wire.settled()).filter(({ cmd }) => cmd === 'publish');
    wire.send({ cmd: 'pubrec', messageId: delivery?.messageId });
    await wire.settled();
    const table = { puback: [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99], pubrel: [0, 0x92], pubcomp: [0, 0x92] };
    const tables: Readonly<Record<string, number[]>> = { ...table, pubrec: table.puback };
    const seen = new Set<string>();
    for (const { cmd, reasonCode } of wire.packets as unknown as { cmd: string; reasonCode?: number }[]) {
      if (!(cmd in tables)) continue;
      seen.add(cmd);
      expect(tables[cmd]).toContain(reasonCode ?? 0);
    }
    expect([...seen].sort()).toEqual(['puback', 'pubcomp', 'pubrec', 'pubrel']);
  });
});

describe('a message that the gateway sends', () => {
  it('[MQTT5-4.3.1-1] at QoS 0 goes out once, without DUP', async () => {
    const wire = await on.client();
    await subscribe(wire, 'zero');
    wire.publish('zero', 'x');
    expect(await published(wire)).toEqual(['zero=x/0']);
    expect(await published(wire)).toEqual([]);
  });

  it('[MQTT5-4.3.2-2] [MQTT5-4.3.2-3] at QoS 1 has no DUP, and is owed until PUBACK', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const wire = await on.durable(clientId);
    await subscribe(wire, 'one', { qos: 1 });
    for (const text of ['a', 'b']) await publish(publisher, 'one', text);
    const [a, b] = await told(wire);
    expect([a, b]).toMatchObject([
      { qos: 1, dup: false },
      { qos: 1, dup: false },
    ]);
    wire.send({ cmd: 'puback', messageId: a?.messageId });
    await wire.settled();
    await on.lose(wire);
    expect(await (await on.durable(clientId)).settled()).toMatchObject([{ cmd: 'publish', messageId: b?.messageId, dup: true }]);
  });

  it('[MQTT5-4.3.3-2] [MQTT5-4.3.3-3] [MQTT5-4.3.3-4] [MQTT5-4.3.3-5] [MQTT5-4.3.3-6] at QoS 2 is owed until PUBREC, its PUBREL until PUBCOMP', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await subscribe(first, 'two', { qos: 2 });
    await publish(publisher, 'two', 'x', { qos: 2 });
    const { messageId, dup, qos } = (await told(first))[0] as never as { messageId: number; dup: boolean; qos: number };
    expect({ dup, qos }).toEqual({ dup: false, qos: 2 });
    await on.lose(first);
    const second = await on.durable(clientId);
    expect(await second.expect('publish')).toMatchObject({ messageId, dup: true });
    second.send({ cmd: 'pubrec', messageId });
    expect(await second.expect('pubrel')).toMatchObject({ messageId });
    await on.lose(second);
    const third = await on.durable(clientId);
    expect(await third.settled()).toMatchObject([{ cmd: 'pubrel', messageId }]);
    third.send({ cmd: 'pubcomp', messageId });
    await third.settled();
    await on.lose(third);
    expect(await (await on.durable(clientId)).settled()).toEqual([]);
  });

  it('[MQTT5-4.3.3-7] [MQTT5-4.3.3-13] does not expire any more once it was sent', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await subscribe(first, 'late', { qos: 2 });
    for (const qos of [1, 2] as const) await publish(publisher, 'late', `${qos}`, { qos, properties: { messageExpiryInterval: 5 } });
    const [, two] = await told(first);
    on.house.clock.ahead += 10_000;
    first.send({ cmd: 'pubrec', messageId: two?.messageId });
    expect(await first.expect('pubrel')).toMatchObject({ messageId: two?.messageId });
    first.send({ cmd: 'pubcomp', messageId: two?.messageId });
    await first.settled();
    expect(first.ended).toBe(false);
  });

  it('[MQTT5-4.4.0-1] is sent again when its client comes back, under its id, and at no other time', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await subscribe(first, 'again', { qos: 2 });
    for (const [i, qos] of ([1, 2, 2] as const).entries()) await publish(publisher, 'again', `${i}`, { qos, messageId: 50 + i });
    const [one, two, three] = (await told(first)).map(({ messageId }) => messageId);
    first.send({ cmd: 'pubrec', messageId: three });
    await first.answer('pubrel', three as number);
    on.house.clock.mono += 20_000;
    expect(await first.settled()).toEqual([]);
    await on.lose(first);
    const second = await on.durable(clientId);
    expect(await second.settled()).toMatchObject([
      { cmd: 'pubrel', messageId: three },
      { cmd: 'publish', messageId: one, qos: 1, dup: true },
      { cmd: 'publish', messageId: two, qos: 2, dup: true },
    ]);
  });

  it('[MQTT5-4.4.0-1] is sent again when it was retained, too, under its id, with what belongs to its filter', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    for (const qos of [1, 2] as const) await publish(publisher, `saved/${qos}`, 'x', { qos, retain: true, messageId: 60 + qos });
    const first = await on.durable(clientId);
    await subscribe(first, 'saved/+', { qos: 2 }, 7);
    await first.until(() => first.unseen().length === 2, 'what is retained');
    const [one, two] = first.rest().map(({ messageId }) => messageId);
    await on.lose(first);
    const second = await on.durable(clientId);
    const again = await told(second);
    expect(again).toMatchObject([
      { topic: 'saved/1', messageId: one, qos: 1, retain: true, dup: true },
      { topic: 'saved/2', messageId: two, qos: 2, retain: true, dup: true },
    ]);
    expect(again.map((packet) => propertiesOf(packet).subscriptionIdentifier)).toEqual([7, 7]);
  });

  it('[MQTT5-4.4.0-2] is done with when the client refuses it', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await subscribe(first, 'refused', { qos: 2 });
    for (const qos of [1, 2] as const) await publish(publisher, 'refused', 'x', { qos });
    const [one, two] = await told(first);
    first.bytes(packet(0x40, u16(one?.messageId as number), Buffer.of(0x80)));
    first.bytes(packet(0x50, u16(two?.messageId as number), Buffer.of(0x97)));
    expect(await first.settled()).toEqual([]);
    await on.lose(first);
    expect(await (await on.durable(clientId)).settled()).toEqual([]);
  });
});

describe('a message that the gateway receives', () => {
  it('[MQTT5-4.3.2-4] [MQTT5-4.3.2-5] at QoS 1 is acknowledged, and a new one each time, whatever its id and DUP', async () => {
    const [publisher, wire] = [await on.client(), await on.client()];
    await subscribe(wire, 'new', { qos: 1 });
    for (const dup of [false, false, true]) {
      publisher.publish('new', 'x', { qos: 1, messageId: 7, dup });
      await publisher.answer('puback', 7);
    }
    expect(await published(wire)).toEqual(['new=x/1', 'new=x/1', 'new=x/1']);
  });

  it('[MQTT5-4.3.3-8] [MQTT5-4.3.3-10] [MQTT5-4.3.3-11] [MQTT5-4.3.3-12] at QoS 2 is one until its PUBREL, and a new one afterwards', async () => {
    const [publisher, wire] = [await on.client(), await on.client()];
    await subscribe(wire, 'exact', { qos: 0 });
    for (const dup of [false, true, false]) {
      publisher.publish('exact', 'x', { qos: 2, messageId: 7, dup });
      await publisher.answer('pubrec', 7);
    }
    expect(await published(wire)).toEqual(['exact=x/0']);
    publisher.send({ cmd: 'pubrel', messageId: 7 });
    expect(await publisher.answer('pubcomp', 7)).toMatchObject({ messageId: 7 });
    publisher.publish('exact', 'y', { qos: 2, messageId: 7, dup: true });
    await publisher.answer('pubrec', 7);
    expect(await published(wire)).toEqual(['exact=y/0']);
  });

  it('[MQTT5-4.3.3-9] at QoS 2 that was refused leaves its id free', async () => {
    const [publisher, wire] = [await on.client(), await on.client()];
    await subscribe(wire, 'allowed', { qos: 0 });
    publisher.publish('forbidden/x', 'x', { qos: 2, messageId: 7 });
    expect(await publisher.answer('pubrec', 7)).toMatchObject({ reasonCode: 0x87 });
    publisher.publish('allowed', 'x', { qos: 2, messageId: 7 });
    expect((await publisher.answer('pubrec', 7)) as unknown as { reasonCode?: number }).not.toMatchObject({ reasonCode: 0x87 });
    expect(await published(wire)).toEqual(['allowed=x/0']);
  });

  it('[MQTT5-4.5.0-1] is in the sessions it is for as soon as it is acknowledged', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await subscribe(first, 'owned', { qos: 1 });
    first.socket.pause();
    for (const qos of [1, 2] as const) await publish(publisher, 'owned', `${qos}`, { qos, messageId: qos });
    await on.lose(first);
    const again = await published(await on.durable(clientId));
    expect(again.map((text) => text.replace(/d$/, ''))).toEqual(['owned=1/1', 'owned=2/1']);
  });
});

describe('order', () => {
  it('[MQTT5-4.6.0-1] of messages that are sent again is that in which they were sent first', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await subscribe(first, 'order/#', { qos: 2 });
    for (const i of NUMBERS) await publish(publisher, `order/${i % 3}`, `${i}`, { qos: i % 2 === 0 ? 1 : 2, messageId: i + 1 });
    const sent = (await told(first)).map(({ payload }) => Number(payload));
    await on.lose(first);
    expect(sent).toEqual(NUMBERS);
    expect((await told(await on.durable(clientId))).map(({ payload }) => Number(payload))).toEqual(sent);
  });

  it('[MQTT5-4.6.0-2] [MQTT5-4.6.0-3] of PUBACK and of PUBREC is that of the messages', async () => {
    const wire = await on.client();
    const topics = ['acks/1', 'forbidden/1', '$SYS/x', 'acks/2'];
    wire.bytes(Buffer.concat(NUMBERS.map((i) => publishBytes5(i % 2 === 0 ? 0x32 : 0x35, topics[i % 3] as string, i + 1, `${i}`))));
    await wire.until(() => wire.packets.length === NUMBERS.length + 1, 'all answers');
    const ids = (cmd: string): unknown[] => wire.packets.filter((one) => one.cmd === cmd).map(({ messageId }) => messageId);
    expect(ids('puback')).toEqual(NUMBERS.filter((i) => i % 2 === 0).map((i) => i + 1));
    expect(ids('pubrec')).toEqual(NUMBERS.filter((i) => i % 2 === 1).map((i) => i + 1));
  });

  it('[MQTT5-4.6.0-4] of PUBREL is that of PUBREC, also where retained messages are among them', async () => {
    const [publisher, wire] = [await on.client(), await on.durable(on.clientId())];
    await publish(publisher, 'mixed/kept', 'x', { qos: 2, retain: true, messageId: 1 });
    await subscribe(wire, 'mixed/live', { qos: 2 });
    await publish(publisher, 'mixed/live', 'x', { qos: 2, messageId: 2 });
    await subscribe(wire, 'mixed/kept', { qos: 2 });
    const ids = (await told(wire)).map(({ messageId }) => messageId as number);
    expect(ids).toHaveLength(2);
    wire.bytes(Buffer.concat(ids.map((id) => packet(0x50, u16(id)))));
    await wire.until(() => wire.packets.filter(({ cmd }) => cmd === 'pubrel').length === 2, 'both');
    expect(wire.rest().map(({ messageId }) => messageId)).toEqual(ids);
  });

  it.each([0, 1, 2])('[MQTT5-4.6.0-5] [MQTT5-4.6.0-6] of one topic at QoS %i is that of its publisher', async (qos) => {
    const [publisher, wire] = [await on.client(), await on.client()];
    await subscribe(wire, `topic/${qos}`, { qos });
    const one = (i: number): Buffer =>
      packet(0x30 | (qos << 1), field(`topic/${qos}`), qos === 0 ? Buffer.alloc(0) : u16(i + 1), properties(), Buffer.from(`${i}`));
    publisher.bytes(Buffer.concat(NUMBERS.map(one)));
    await wire.until(() => wire.unseen().length === NUMBERS.length, 'all of them');
    expect(wire.rest().map(({ payload }) => Number(String(payload)))).toEqual(NUMBERS);
  });
});
