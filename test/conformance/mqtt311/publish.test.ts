// MQTT 3.1.1 sections 3.3 to 3.7, 4.3 and 4.6: PUBLISH, its levels, and the order of messages.

import { describe, expect, it } from 'vitest';
import { accessOf } from '../../support/access.js';
import { packet, publishBytes, u16 } from '../../support/mqtt-bytes.js';
import { type MqttWire, shown } from '../../support/mqtt-wire.js';
import { publish, published, recorded, stage } from '../stage.js';

const access = accessOf((_action, path) => !path.startsWith('forbidden'));

const on = stage({ access });

/** A client that is subscribed. */
async function subscriber(filter: string, qos: number): Promise<MqttWire> {
  const wire = await on.client();
  await wire.subscribe(filter, qos);
  return wire;
}

describe('DUP', () => {
  it('[MQTT-3.3.1-1] is set when a message is sent again', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await first.subscribe('dup', 2);
    for (const qos of [1, 2] as const) await publish(publisher, 'dup', 'x', { qos });
    expect((await first.settled()).map(shown)).toEqual(['dup=x/1', 'dup=x/2']);
    await on.lose(first);
    expect(await published(await on.durable(clientId))).toEqual(['dup=x/1d', 'dup=x/2d']);
  });

  it('[MQTT-3.3.1-2] is never set at QoS 0, and ends the connection there', async () => {
    await on.expectEnd(publishBytes(0x38, 'a', null));
    const [publisher, wire] = [await on.client(), await subscriber('plain', 0)];
    publisher.publish('plain', 'x', { qos: 1, messageId: 5, dup: true });
    await publisher.answer('puback', 5);
    expect(await published(wire)).toEqual(['plain=x/0']);
  });

  it('[MQTT-3.3.1-3] is not handed on from the publisher', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('first', 2)];
    publisher.publish('first', 'one', { qos: 1, messageId: 5, dup: true });
    publisher.publish('first', 'two', { qos: 2, messageId: 6, dup: true });
    await publisher.answer('pubrec', 6);
    expect(await published(wire)).toEqual(['first=one/1', 'first=two/2']);
  });
});

it('[MQTT-3.3.1-4] QoS 3 ends the connection', async () => await on.expectEnd(publishBytes(0x36, 'a', 1)));

describe('RETAIN', () => {
  it('[MQTT-3.3.1-5] keeps message and QoS for those who subscribe later', async () => {
    const publisher = await on.client();
    publisher.publish('kept/0', 'x', { retain: true });
    await publish(publisher, 'kept/1', 'x', { retain: true });
    await publish(publisher, 'kept/2', 'x', { retain: true, qos: 2 });
    expect(await published(await subscriber('kept/+', 2))).toEqual(['kept/0=x/0r', 'kept/1=x/1r', 'kept/2=x/2r']);
  });

  it('[MQTT-3.3.1-6] gives a new subscription the last message of each topic', async () => {
    const publisher = await on.client();
    for (const topic of ['last/a', 'last/b']) for (const text of ['old', 'new']) await publish(publisher, topic, text, { retain: true });
    await publish(publisher, 'lost/a', 'x', { retain: true });
    expect(await published(await subscriber('last/#', 1))).toEqual(['last/a=new/1r', 'last/b=new/1r']);
  });

  it('[MQTT-3.3.1-7] at QoS 0 replaces what was retained', async () => {
    const publisher = await on.client();
    await publish(publisher, 'replaced', 'old', { retain: true });
    publisher.publish('replaced', 'new', { retain: true });
    await publisher.settled();
    expect(await published(await subscriber('replaced', 2))).toEqual(['replaced=new/0r']);
  });

  it('[MQTT-3.3.1-8] is set on what a new subscription is sent', async () => {
    const publisher = await on.client();
    await publish(publisher, 'flag', 'x', { retain: true });
    expect((await (await subscriber('flag', 0)).settled())[0]).toMatchObject({ retain: true });
  });

  it('[MQTT-3.3.1-9] is not set on what an established subscription is sent', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('live', 2)];
    for (const qos of [1, 2] as const) await publish(publisher, 'live', 'x', { retain: true, qos });
    publisher.publish('live', 'x', { retain: true });
    await publisher.settled();
    expect(await published(wire)).toEqual(['live=x/1', 'live=x/2', 'live=x/0']);
  });

  it('[MQTT-3.3.1-10] [MQTT-3.3.1-11] with an empty payload is handed on, and removes what was retained', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('empty', 1)];
    await publish(publisher, 'empty', 'x', { retain: true });
    await publish(publisher, 'empty', '', { retain: true });
    expect(await published(wire)).toEqual(['empty=x/1', 'empty=/1']);
    expect(await published(await subscriber('empty', 1))).toEqual([]);
  });

  it('[MQTT-3.3.1-12] when it is not set, leaves what is retained as it is', async () => {
    const publisher = await on.client();
    await publish(publisher, 'alone', 'kept', { retain: true });
    await publish(publisher, 'alone', 'event');
    await publish(publisher, 'alone', '');
    await publish(publisher, 'never', 'event');
    expect(await published(await subscriber('alone', 1))).toEqual(['alone=kept/1r']);
    expect(await published(await subscriber('never', 1))).toEqual([]);
  });
});

describe('the topic', () => {
  it.each([
    ['missing', packet(0x30)],
    ['cut off', packet(0x30, u16(5), Buffer.from('a'))],
    ['no UTF-8 text', publishBytes(0x30, Buffer.of(0xc3, 0x28), null)],
  ])('[MQTT-3.3.2-1] that is %s ends the connection', async (_what, bytes) => await on.expectEnd(bytes));

  it.each(['+', '#', 'a/+', 'a/#', 'a+b', 'a#', '+/a'])('[MQTT-3.3.2-2] [MQTT-4.7.1-1] %j ends the connection', async (topic) => {
    for (const [first, packetId] of [
      [0x30, null],
      [0x32, 1],
      [0x34, 1],
    ] as const) {
      await on.expectEnd(publishBytes(first, topic, packetId));
    }
  });

  it('[MQTT-3.3.2-3] of what a client is sent matches its filter', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('match/+/x', 0)];
    for (const topic of ['match/a/x', 'match/a/y', 'match/x', 'match/a/b/x', 'match//x', 'Match/a/x']) publisher.publish(topic, '');
    await publisher.settled();
    expect((await wire.settled()).map(({ topic }) => topic)).toEqual(['match/a/x', 'match//x']);
  });
});

describe('the answer', () => {
  it('[MQTT-3.3.4-1] is none at QoS 0, PUBACK at 1, PUBREC at 2', async () => {
    const wire = await on.client();
    for (const qos of [0, 1, 2]) wire.publish('a', 'x', { qos, messageId: 10 + qos });
    expect((await wire.settled()).map(({ cmd, messageId }) => [cmd, messageId])).toEqual([
      ['puback', 11],
      ['pubrec', 12],
    ]);
  });

  it('[MQTT-3.3.5-1] goes to a client once for all its filters, at the highest of their levels', async () => {
    const [publisher, wire] = [await on.client(), await on.client()];
    for (const [filter, qos] of [
      ['over/#', 1],
      ['over/+', 2],
      ['over/x', 0],
    ] as const) {
      await wire.subscribe(filter, qos);
    }
    await publish(publisher, 'over/x', 'x', { qos: 2 });
    expect(await published(wire)).toEqual(['over/x=x/2']);
  });

  it.each([1, 2])('[MQTT-3.3.5-2] to a publication of QoS %i that is not allowed is the end of the connection', async (qos) => {
    const [wire, watcher] = [await on.client(), await subscriber('#', 0)];
    wire.publish('forbidden/x', 'x', { qos, messageId: 1 });
    await wire.closed();
    expect(wire.rest()).toEqual([]);
    expect((await published(watcher)).filter((text) => text.startsWith('forbidden'))).toEqual([]);
  });

  it('[MQTT-3.3.5-2] to a publication of QoS 0 that is not allowed is none, and nobody hears it', async () => {
    const [wire, watcher] = [await on.client(), await subscriber('#', 0)];
    wire.publish('forbidden/x', 'x');
    expect(await wire.settled()).toEqual([]);
    expect((await published(watcher)).filter((text) => text.startsWith('forbidden'))).toEqual([]);
  });

  it('[MQTT-3.6.1-1] to a PUBREL with other flags than 0010 is the end of the connection', async () => {
    for (let flags = 0; flags < 16; flags++) if (flags !== 2) await on.expectEnd(packet(0x60 | flags, u16(1)));
  });
});

describe('a message that the gateway sends', () => {
  it('[MQTT-4.3.1-1] at QoS 0 goes out once, without DUP', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('zero', 0)];
    publisher.publish('zero', 'x');
    await publisher.settled();
    expect(await published(wire)).toEqual(['zero=x/0']);
    expect(await published(wire)).toEqual([]);
  });

  it('[MQTT-4.3.2-1] at QoS 1 has an unused id, no DUP, and is owed until PUBACK', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const wire = await on.durable(clientId);
    await wire.subscribe('one', 1);
    await publish(publisher, 'one', 'a');
    await publish(publisher, 'one', 'b');
    const [a, b] = await wire.settled();
    expect([a, b]).toMatchObject([
      { qos: 1, dup: false },
      { qos: 1, dup: false },
    ]);
    expect(a?.messageId).not.toBe(b?.messageId);
    wire.send({ cmd: 'puback', messageId: a?.messageId });
    await wire.settled();
    await on.lose(wire);
    expect(await (await on.durable(clientId)).settled()).toMatchObject([{ cmd: 'publish', messageId: b?.messageId }]);
  });

  it('[MQTT-4.3.3-1] at QoS 2 is owed until PUBREC, its PUBREL until PUBCOMP, and is not sent again after PUBREL', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await first.subscribe('two', 2);
    await publish(publisher, 'two', 'x', { qos: 2 });
    const { messageId } = await first.expect('publish');
    expect(first.packets.at(-1)).toMatchObject({ qos: 2, dup: false });
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
});

describe('a message that the gateway receives', () => {
  it('[MQTT-4.3.2-2] at QoS 1 is a new one each time, whatever its id and DUP', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('new', 1)];
    for (const dup of [false, false, true]) {
      publisher.publish('new', 'x', { qos: 1, messageId: 7, dup });
      await publisher.answer('puback', 7);
    }
    expect(await published(wire)).toEqual(['new=x/1', 'new=x/1', 'new=x/1']);
  });

  it('[MQTT-4.3.3-2] at QoS 2 is one until its PUBREL, and a new one afterwards', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('exact', 2)];
    for (const dup of [false, true, false]) {
      publisher.publish('exact', 'x', { qos: 2, messageId: 7, dup });
      await publisher.answer('pubrec', 7);
    }
    expect(await published(wire)).toEqual(['exact=x/2']);
    for (let i = 0; i < 2; i++) {
      publisher.send({ cmd: 'pubrel', messageId: 7 });
      await publisher.answer('pubcomp', 7);
    }
    publisher.publish('exact', 'y', { qos: 2, messageId: 7, dup: true });
    await publisher.answer('pubrec', 7);
    expect((await published(wire)).filter((text) => text.startsWith('exact'))).toEqual(['exact=y/2']);
  });
});

describe('order', () => {
  const NUMBERS = Array.from({ length: 60 }, (_, i) => i);

  it('[MQTT-4.6.0-1] of messages that are sent again is that in which they were sent first', async () => {
    const [clientId, publisher] = [on.clientId(), await on.client()];
    const first = await on.durable(clientId);
    await first.subscribe('order/#', 2);
    for (const i of NUMBERS) await publish(publisher, `order/${i % 3}`, `${i}`, { qos: i % 2 === 0 ? 1 : 2, messageId: i + 1 });
    await first.until(() => first.packets.filter(({ cmd }) => cmd === 'publish').length === NUMBERS.length, 'all of them');
    const payloads = (packets: readonly { cmd?: string; payload?: unknown }[]): number[] =>
      packets.filter(({ cmd }) => cmd === 'publish').map(({ payload }) => Number(String(payload)));
    const sent = payloads(first.rest());
    await on.lose(first);
    expect(sent).toEqual(NUMBERS);
    const again = await on.durable(clientId);
    expect(payloads(await again.settled())).toEqual(sent);
  });

  it('[MQTT-4.6.0-2] [MQTT-4.6.0-3] of PUBACK and of PUBREC is that of the messages', async () => {
    const wire = await on.client();
    const packets = NUMBERS.map((i) => publishBytes(i % 2 === 0 ? 0x32 : 0x35, `acks/${i % 5}`, i + 1, `${i}`));
    wire.bytes(Buffer.concat(packets));
    await wire.until(() => wire.packets.length === NUMBERS.length + 1, 'all answers');
    const ids = (cmd: string): unknown[] => wire.packets.filter((one) => one.cmd === cmd).map(({ messageId }) => messageId);
    expect(ids('puback')).toEqual(NUMBERS.filter((i) => i % 2 === 0).map((i) => i + 1));
    expect(ids('pubrec')).toEqual(NUMBERS.filter((i) => i % 2 === 1).map((i) => i + 1));
  });

  it('[MQTT-4.6.0-4] of PUBREL is that of PUBREC', async () => {
    const [publisher, wire] = [await on.client(), await subscriber('releases', 2)];
    for (let i = 1; i <= 10; i++) await publish(publisher, 'releases', `${i}`, { qos: 2, messageId: i });
    const ids = (await wire.settled()).map(({ messageId }) => messageId as number).reverse();
    wire.bytes(Buffer.concat(ids.map((id) => packet(0x50, u16(id)))));
    await wire.until(() => wire.packets.filter(({ cmd }) => cmd === 'pubrel').length === ids.length, 'all of them');
    expect(wire.rest().map(({ messageId }) => messageId)).toEqual(ids);
  });

  it('[MQTT-4.6.0-4] of PUBREL is that of PUBREC also where retained messages are among them', async () => {
    const [publisher, wire] = [await on.client(), await on.durable(on.clientId())];
    await publish(publisher, 'mixed/kept', 'x', { qos: 2, retain: true, messageId: 1 });
    await wire.subscribe('mixed/live', 2);
    await publish(publisher, 'mixed/live', 'x', { qos: 2, messageId: 2 });
    await wire.subscribe('mixed/kept', 2);
    const ids = (await wire.settled()).map(({ messageId }) => messageId as number);
    wire.bytes(Buffer.concat(ids.map((id) => packet(0x50, u16(id)))));
    await wire.until(() => wire.packets.filter(({ cmd }) => cmd === 'pubrel').length === 2, 'both');
    expect(wire.rest().map(({ messageId }) => messageId)).toEqual(ids);
  });

  it.each([0, 1, 2])('[MQTT-4.6.0-5] [MQTT-4.6.0-6] of one topic at QoS %i is that of its publisher', async (qos) => {
    const [publisher, wire] = [await on.client(), await subscriber(`topic/${qos}`, qos)];
    const packets = recorded(wire);
    const first = 0x30 | (qos << 1);
    publisher.bytes(Buffer.concat(NUMBERS.map((i) => publishBytes(first, `topic/${qos}`, qos === 0 ? null : i + 1, `${i}`))));
    await wire.until(() => packets().length === NUMBERS.length, 'all of them');
    expect(wire.rest().map(({ payload }) => Number(String(payload)))).toEqual(NUMBERS);
  });
});
