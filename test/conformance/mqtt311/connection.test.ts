// MQTT 3.1.1 sections 3.12, 4.8, 6 and 7: PINGREQ, faults, and the connections that carry packets.

import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type GatewayProcess, startGateway } from '../../support/gateway-process.js';
import { connectBytes, field, packet, packetsIn, publishBytes, subscribeBytes } from '../../support/mqtt-bytes.js';
import { publish, stage } from '../stage.js';

describe('a connection', () => {
  const on = stage();

  it('[MQTT-3.12.4-1] answers each PINGREQ with a PINGRESP', async () => {
    const wire = await on.client();
    wire.bytes(Buffer.concat([packet(0xc0), packet(0xc0), packet(0xc0)]));
    for (let i = 0; i < 3; i++) await wire.expect('pingresp');
  });

  it.each([
    ['a packet of type 0', packet(0x00)],
    ['a packet of type 15', packet(0xf0)],
    ['a CONNACK', packet(0x20, Buffer.of(0, 0))],
    ['a SUBACK', packet(0x90, Buffer.of(0, 1, 0))],
    ['an UNSUBACK', packet(0xb0, Buffer.of(0, 1))],
    ['a PINGRESP', packet(0xd0)],
    ['a PINGREQ with a body', packet(0xc0, Buffer.of(0))],
    ['a PUBACK of three bytes', packet(0x40, Buffer.of(0, 1, 0))],
    ['a remaining length of five bytes', Buffer.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x01)],
    ['a PUBLISH without room for its packet id', packet(0x32, field('a'))],
  ])('[MQTT-4.8.0-1] ends over %s, and no other does', async (_what, bytes) => {
    const other = await on.client();
    await on.expectEnd(bytes);
    await publish(other, 'other', 'x');
  });

  it.each([
    ['a retained message', publishBytes(0x33, 'fault', 1)],
    ['a message of QoS 2', publishBytes(0x34, 'away', 1)],
    ['a SUBSCRIBE of a session that is kept', subscribeBytes(0x82, 1, 'fault')],
  ])('[MQTT-4.8.0-2] ends when %s cannot be stored, without an acknowledgement', async (_what, bytes) => {
    const keeper = await on.durable(on.clientId());
    await keeper.subscribe('away', 2);
    const wire = await on.durable(on.clientId());
    on.house.failOnce();
    wire.bytes(bytes);
    await wire.closed();
    expect(wire.rest()).toEqual([]);
  });

  it('[MQTT-7.1.1-1] takes packets from an ordered stream of bytes, however it is cut', async () => {
    const wire = await on.wire();
    const stream = Buffer.concat([
      connectBytes({ payload: [field(on.clientId())] }),
      subscribeBytes(0x82, 1, 'cut'),
      publishBytes(0x30, 'cut', null, 'x'.repeat(200)),
      publishBytes(0x32, 'other', 7),
    ]);
    for (const byte of stream) wire.bytes(Buffer.of(byte));
    await wire.until(() => wire.packets.length === 4, 'four packets');
    expect(wire.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'suback', 'publish', 'puback']);
  });
});

describe('a websocket', () => {
  let gateway: GatewayProcess;

  beforeAll(async () => {
    gateway = await startGateway();
  });

  afterAll(async () => await gateway.stop());

  const CONNECT = connectBytes({ payload: [field('websocket')] });

  async function open(): Promise<{ socket: WebSocket; received: Buffer[] }> {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.happn}/mqtt`, ['mqtt']);
    const received: Buffer[] = [];
    socket.on('message', (data) => received.push(data as Buffer));
    await once(socket, 'open');
    return { socket, received };
  }

  it('[MQTT-6.0.0-1] ends over a text frame, and is answered in binary frames', async () => {
    const { socket } = await open();
    socket.send(CONNECT);
    const [, isBinary] = (await once(socket, 'message')) as [Buffer, boolean];
    expect(isBinary).toBe(true);
    const ended = once(socket, 'close');
    socket.send('\xc0\x00');
    await ended;
  });

  it('[MQTT-6.0.0-2] may hold several packets in a frame, and parts of packets', async () => {
    const { socket, received } = await open();
    const stream = Buffer.concat([CONNECT, subscribeBytes(0x82, 1, 'ws'), publishBytes(0x30, 'ws', null), publishBytes(0x32, 'other', 7)]);
    socket.send(stream.subarray(0, 1));
    socket.send(stream.subarray(1, 20));
    socket.send(stream.subarray(20));
    const expected = ['20020000', '9003000100', publishBytes(0x30, 'ws', null).toString('hex'), '40020007'];
    while (Buffer.concat(received).length * 2 < expected.join('').length) await once(socket, 'message');
    expect(packetsIn(Buffer.concat(received))).toEqual(expected);
    socket.terminate();
  });

  it('[MQTT-6.0.0-4] is answered with the subprotocol mqtt', async () => {
    const { socket } = await open();
    expect(socket.protocol).toBe('mqtt');
    socket.terminate();
  });
});
