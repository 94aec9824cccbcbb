// MQTT 3.1.1 sections 1.5 and 2: text, flags and packet ids.

import { describe, expect, it } from 'vitest';
import { connectBytes, field, packet, publishBytes, subscribeBytes, u16, unsubscribeBytes } from '../../support/mqtt-bytes.js';
import { published, recorded, stage } from '../stage.js';

const on = stage();

/** The same bytes as every kind of text that a client sends; the first three in a CONNECT. */
function inEveryField(bad: Buffer): readonly (readonly [string, Buffer])[] {
  return [
    ['client id', connectBytes({ payload: [field(bad)] })],
    ['will topic', connectBytes({ flags: 0x06, payload: [field('c'), field(bad), field('w')] })],
    ['user name', connectBytes({ flags: 0x82, payload: [field('c'), field(bad)] })],
    ['topic', publishBytes(0x30, bad, null)],
    ['filter of SUBSCRIBE', subscribeBytes(0x82, 1, bad)],
    ['filter of UNSUBSCRIBE', unsubscribeBytes(0xa2, 1, bad)],
  ];
}

async function expectRefused(bytes: Buffer): Promise<void> {
  if (bytes[0] === 0x10) await on.expectEndWithoutConnack(bytes);
  else await on.expectEnd(bytes);
}

describe('text', () => {
  const ILL_FORMED: readonly (readonly [string, Buffer])[] = [
    ['an encoded surrogate', Buffer.from('61eda080', 'hex')],
    ['an overlong form', Buffer.from('61c0af', 'hex')],
    ['a character that is cut off', Buffer.from('61e282', 'hex')],
  ];
  const cases = ILL_FORMED.flatMap(([fault, bytes]) =>
    inEveryField(bytes).map(([name, sent]) => [`${fault} in the ${name}`, sent] as const),
  );

  it.each(cases)('[MQTT-1.5.3-1] with %s ends the connection', async (_what, bytes) => await expectRefused(bytes));

  it.each(inEveryField(Buffer.from('610062', 'hex')))(
    '[MQTT-1.5.3-2] with U+0000 in the %s ends the connection',
    async (_what, bytes) => await expectRefused(bytes),
  );

  it('[MQTT-1.5.3-3] keeps EF BB BF wherever it stands', async () => {
    const wire = await on.client();
    const packets = recorded(wire);
    await wire.subscribe('bom/#');
    const topic = Buffer.concat([Buffer.from('bom/'), Buffer.from('efbbbf', 'hex'), Buffer.from('a')]);
    wire.bytes(publishBytes(0x30, topic, null));
    wire.bytes(publishBytes(0x30, 'bom/a', null));
    await wire.settled();
    expect(packets()).toContain(publishBytes(0x30, topic, null).toString('hex'));
    expect(packets()).toContain(publishBytes(0x30, 'bom/a', null).toString('hex'));
  });
});

describe('the flags of the first byte', () => {
  it('[MQTT-2.2.2-1] are as listed in every packet that the gateway sends', async () => {
    const wire = await on.wire();
    const packets = recorded(wire);
    wire.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: on.clientId(), keepalive: 0 });
    await wire.expect('connack');
    await wire.subscribe('flags', 2);
    wire.publish('flags', 'x', { qos: 1, messageId: 2 });
    wire.publish('flags', 'x', { qos: 2, messageId: 3 });
    const second = await wire.answer('publish', 2);
    wire.send({ cmd: 'pubrec', messageId: second.messageId }, { cmd: 'pubrel', messageId: 3 });
    await wire.answer('pubcomp', 3);
    wire.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['flags'] }, { cmd: 'pingreq' });
    await wire.until(() => wire.packets.some(({ cmd }) => cmd === 'pingresp'), 'pingresp');
    const firstBytes = new Set(packets().map((bytes) => bytes.slice(0, 2)));
    expect([...firstBytes].sort()).toEqual(['20', '32', '34', '40', '50', '62', '70', '90', 'b0', 'd0']);
  });

  const body = u16(1);
  const FLAGS: readonly (readonly [string, number, (first: number) => Buffer])[] = [
    ['PUBACK', 0x40, (first) => packet(first, body)],
    ['PUBREC', 0x50, (first) => packet(first, body)],
    ['PUBREL', 0x62, (first) => packet(first, body)],
    ['PUBCOMP', 0x70, (first) => packet(first, body)],
    ['SUBSCRIBE', 0x82, (first) => subscribeBytes(first, 1, 'a')],
    ['UNSUBSCRIBE', 0xa2, (first) => unsubscribeBytes(first, 1, 'a')],
    ['PINGREQ', 0xc0, (first) => packet(first)],
    ['DISCONNECT', 0xe0, (first) => packet(first)],
  ];
  it.each(FLAGS)('[MQTT-2.2.2-2] of %s end the connection when one of them is wrong', async (_name, right, make) => {
    for (const flag of [1, 2, 4, 8]) await on.expectEnd(make(right ^ flag));
  });

  it('[MQTT-2.2.2-2] of CONNECT end the connection when one of them is set', async () => {
    for (const flag of [1, 2, 4, 8]) await on.expectEndWithoutConnack(connectBytes({ first: 0x10 | flag, payload: [field('c')] }));
  });
});

describe('packet ids', () => {
  it.each([
    ['PUBLISH of QoS 1', publishBytes(0x32, 'a', 0)],
    ['PUBLISH of QoS 2', publishBytes(0x34, 'a', 0)],
    ['SUBSCRIBE', subscribeBytes(0x82, 0, 'a')],
    ['UNSUBSCRIBE', unsubscribeBytes(0xa2, 0, 'a')],
  ])('[MQTT-2.3.1-1] of 0 in %s end the connection', async (_what, bytes) => await on.expectEnd(bytes));

  it('[MQTT-2.3.1-4] of messages under way to a client differ, and are free again after their acknowledgement', async () => {
    const wire = await on.client();
    await wire.subscribe('ids', 2);
    for (let i = 0; i < 20; i++) wire.publish('ids', 'x', { qos: 1 + (i % 2), messageId: 100 + i });
    const packets = (await wire.settled()).filter(({ cmd }) => cmd === 'publish');
    const ids = packets.map(({ messageId }) => messageId as number);
    expect(new Set(ids).size).toBe(20);
    expect(Math.min(...ids)).toBeGreaterThan(0);
  });

  it('[MQTT-2.3.1-4] stay the same when a message is sent again', async () => {
    const clientId = on.clientId();
    const first = await on.durable(clientId);
    await first.subscribe('again', 1);
    first.publish('again', 'x', { qos: 1, messageId: 9 });
    await first.answer('puback', 9);
    const { messageId } = await first.expect('publish');
    await on.lose(first);
    const second = await on.durable(clientId);
    expect(await second.expect('publish')).toMatchObject({ messageId, dup: true });
  });

  it('[MQTT-2.3.1-5] are not in a PUBLISH of QoS 0', async () => {
    const wire = await on.client();
    const packets = recorded(wire);
    await wire.subscribe('plain', 2);
    wire.publish('plain', 'x');
    await wire.settled();
    expect(packets()).toContain(publishBytes(0x30, 'plain', null).toString('hex'));
  });

  it('[MQTT-2.3.1-6] of PUBACK, PUBREC and PUBREL are those of their PUBLISH', async () => {
    const wire = await on.client();
    wire.publish('a', 'x', { qos: 1, messageId: 0x1234 });
    wire.publish('a', 'x', { qos: 2, messageId: 0xffff });
    expect(await wire.expect('puback')).toMatchObject({ messageId: 0x1234 });
    expect(await wire.expect('pubrec')).toMatchObject({ messageId: 0xffff });
    await wire.subscribe('back', 2);
    wire.publish('back', 'x', { qos: 2, messageId: 7 });
    const [out] = (await wire.settled()).filter(({ cmd }) => cmd === 'publish');
    wire.send({ cmd: 'pubrec', messageId: out?.messageId });
    expect(await wire.expect('pubrel')).toMatchObject({ messageId: out?.messageId });
  });

  it('[MQTT-2.3.1-7] of SUBACK and UNSUBACK are those of SUBSCRIBE and UNSUBSCRIBE', async () => {
    const wire = await on.client();
    wire.bytes(subscribeBytes(0x82, 0xabcd, 'a'));
    expect(await wire.expect('suback')).toMatchObject({ messageId: 0xabcd });
    wire.bytes(unsubscribeBytes(0xa2, 0x0102, 'a'));
    expect(await wire.expect('unsuback')).toMatchObject({ messageId: 0x0102 });
    expect(await published(wire)).toEqual([]);
  });
});
