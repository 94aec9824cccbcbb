// MQTT 5 sections 3.12 to 3.15, 4.1, 4.12, 4.13, 6 and 7: PINGREQ, DISCONNECT, AUTH, sessions, and how connections end.

import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { AuthenticationExchange } from '../../../src/adapters/mqtt/v5/authentication.js';
import { RequestError } from '../../../src/core/errors.js';
import { identityNamed } from '../../../src/core/security/identity.js';
import { type GatewayProcess, startGateway } from '../../support/gateway-process.js';
import { connectBytes, field, packet, packetsIn, properties, u16 } from '../../support/mqtt-bytes.js';
import type { MqttWire } from '../../support/mqtt-wire.js';
import { publish, published, stage } from '../stage.js';
import { propertiesOf, subscribe, told } from './support.js';

/** Asks once; who answers `no` is nobody. */
const asksOnce = (): AuthenticationExchange => {
  let steps = 0;
  return {
    next: async (data) => {
      steps += 1;
      const who = Buffer.from(data ?? []).toString();
      if (who === 'no') throw new RequestError('NOT_AUTHENTICATED', 'not you');
      if (steps < 2) return { done: false, data: Buffer.from('question') };
      return { done: true, data: Buffer.from('proof'), identity: identityNamed(who) };
    },
  };
};

const on = stage({ authenticators: new Map([['ONCE', asksOnce]]) }, 5);

describe('a connection', () => {
  it('[MQTT5-3.12.4-1] answers each PINGREQ with a PINGRESP', async () => {
    const wire = await on.client();
    wire.bytes(Buffer.concat([packet(0xc0), packet(0xc0), packet(0xc0)]));
    for (let i = 0; i < 3; i++) await wire.expect('pingresp');
  });

  it('[MQTT5-3.14.0-1] that was not accepted is sent no DISCONNECT', async () => {
    const wire = await on.wire();
    wire.bytes(connectBytes({ level: 5, flags: 0x03, payload: [properties(), field('c')] }));
    await wire.closed();
    expect(wire.packets.map(({ cmd }) => cmd)).toEqual(['connack']);
    await on.expectEndWithoutConnack(packet(0xc0));
  });

  it.each([
    ['a packet of type 0', packet(0x00), 0x82],
    ['a CONNACK', packet(0x20, Buffer.of(0, 0, 0)), 0x82],
    ['a PINGREQ with a body', packet(0xc0, Buffer.of(0)), 0x81],
    ['a remaining length of five bytes', Buffer.of(0x30, 0x80, 0x80, 0x80, 0x80, 0x01), 0x81],
    ['a property that stands twice', packet(0x30, field('a'), properties(Buffer.of(1, 0, 1, 0))), 0x82],
    ['a second CONNECT', connectBytes({ level: 5, payload: [properties(), field('c')] }), 0x82],
  ])('[MQTT5-4.13.1-1] [MQTT5-4.13.2-1] ends over %s with a reason code, and no other does', async (_what, bytes, reason) => {
    const other = await on.client();
    await on.expectDisconnect(bytes, reason);
    await publish(other, 'other', 'x');
  });

  it('[MQTT5-3.14.2-2] [MQTT5-3.14.2-3] that ends is told no session expiry, and no text that the client has no room for', async () => {
    const roomy = await on.client();
    roomy.bytes(packet(0x00));
    await roomy.closed();
    expect(propertiesOf(roomy.packets.at(-1) as never)).toHaveProperty('reasonString');
    expect(propertiesOf(roomy.packets.at(-1) as never)).not.toHaveProperty('sessionExpiryInterval');
    const narrow = await on.client({ properties: { maximumPacketSize: 24 } });
    narrow.bytes(packet(0x30, field('+'), properties()));
    await narrow.closed();
    expect(narrow.packets.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x81 });
    expect(propertiesOf(narrow.packets.at(-1) as never)).not.toHaveProperty('reasonString');
  });

  it('[MQTT5-3.14.4-1] [MQTT5-3.14.4-2] is over after DISCONNECT, either way', async () => {
    const watcher = await on.client();
    await subscribe(watcher, 'after');
    const wire = await on.client();
    const event = (payload: string): Buffer => packet(0x30, field('after'), properties(), Buffer.from(payload));
    wire.bytes(Buffer.concat([event('before'), packet(0xe0), event('behind')]));
    await wire.closed();
    expect(wire.rest()).toEqual([]);
    expect(await published(watcher)).toEqual(['after=before/0']);
    const rude = await on.client();
    rude.bytes(Buffer.concat([packet(0x00), packet(0xc0), event('behind')]));
    await rude.closed();
    expect(rude.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'disconnect']);
    expect(await published(watcher)).toEqual([]);
  });

  it('[MQTT5-4.1.0-1] keeps its session as long as it lasts, however soon that is to expire', async () => {
    const [wire, publisher] = [await on.client({ properties: { sessionExpiryInterval: 1 } }), await on.client()];
    await subscribe(wire, 'lasting', { qos: 1 });
    on.house.clock.ahead += 60_000;
    await publish(publisher, 'lasting', 'x');
    expect(await published(wire)).toEqual(['lasting=x/1']);
  });

  it('[MQTT5-4.1.0-2] leaves a session that is discarded when its time is over', async () => {
    const clientId = on.clientId();
    const wire = await on.client({ clientId, properties: { sessionExpiryInterval: 30 } });
    await on.leave(wire);
    on.house.clock.ahead += 20_000;
    const second = await on.connect({ clientId, clean: false, properties: { sessionExpiryInterval: 30 } });
    expect(second.connack).toMatchObject({ sessionPresent: true });
    await on.leave(second.wire);
    on.house.clock.ahead += 31_000;
    expect((await on.connect({ clientId, clean: false })).connack).toMatchObject({ sessionPresent: false });
  });
});

describe('enhanced authentication', () => {
  const auth = (data: string, reasonCode = 0x18, authenticationMethod = 'ONCE'): object => ({
    cmd: 'auth',
    reasonCode,
    properties: { authenticationMethod, authenticationData: Buffer.from(data) },
  });

  async function asked(): Promise<MqttWire> {
    const wire = await on.wire();
    const method = { authenticationMethod: 'ONCE', authenticationData: Buffer.from('hello') };
    wire.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clean: true,
      clientId: on.clientId(),
      keepalive: 0,
      properties: method,
    });
    return wire;
  }

  it('[MQTT5-4.12.0-1] by a method that is not known ends the connection', async () => {
    const { wire, connack } = await on.connect({ properties: { authenticationMethod: 'NONE' } });
    expect(connack).toMatchObject({ reasonCode: 0x8c });
    await wire.closed();
  });

  it('[MQTT5-4.12.0-2] [MQTT5-4.12.0-3] [MQTT5-4.12.0-5] asks with reason code 0x18, and names its method everywhere', async () => {
    const wire = await asked();
    expect(await wire.expect('auth')).toMatchObject({ reasonCode: 0x18, properties: { authenticationMethod: 'ONCE' } });
    wire.send(auth('me'));
    expect(await wire.expect('connack')).toMatchObject({ reasonCode: 0, properties: { authenticationMethod: 'ONCE' } });
    const other = await asked();
    await other.expect('auth');
    other.send(auth('me', 0x00));
    await other.closed();
  });

  it('[MQTT5-4.12.0-4] that fails ends the connection', async () => {
    const wire = await asked();
    await wire.expect('auth');
    wire.send(auth('no'));
    const { reasonCode } = (await wire.expect('connack')) as unknown as { reasonCode: number };
    expect(reasonCode).toBeGreaterThanOrEqual(0x80);
    await wire.closed();
  });

  it('[MQTT5-3.1.2-30] takes nothing but AUTH and DISCONNECT before it is done', async () => {
    const wire = await asked();
    await wire.expect('auth');
    wire.bytes(packet(0xc0));
    expect(await wire.expect('connack')).toMatchObject({ reasonCode: 0x82 });
    await wire.closed();
  });

  it('[MQTT5-4.12.0-6] [MQTT5-4.12.0-7] is no matter for a client that asked for none', async () => {
    const { wire, connack } = await on.connect();
    expect(propertiesOf(connack)).not.toHaveProperty('authenticationMethod');
    wire.send(auth('me'));
    await wire.closed();
    expect(wire.rest()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x82 }]);
  });

  it('[MQTT5-4.12.1-1] [MQTT5-4.12.1-2] again is by the same method, and ends the connection when it fails', async () => {
    const ready = async (): Promise<MqttWire> => {
      const wire = await asked();
      await wire.expect('auth');
      wire.send(auth('me'));
      await wire.expect('connack');
      return wire;
    };
    const good = await ready();
    good.send(auth('hello', 0x19));
    await good.expect('auth');
    good.send(auth('me'));
    expect(await good.expect('auth')).toMatchObject({ reasonCode: 0 });
    await publish(good, 'still', 'x');
    good.send(auth('hello', 0x19, 'OTHER'));
    await good.closed();
    const bad = await ready();
    bad.send(auth('hello', 0x19));
    await bad.expect('auth');
    bad.send(auth('no'));
    await bad.closed();
    expect(bad.rest()).toMatchObject([{ cmd: 'disconnect', reasonCode: 0x87 }]);
  });
});

describe('a websocket', () => {
  let gateway: GatewayProcess;

  beforeAll(async () => {
    gateway = await startGateway();
  });

  afterAll(async () => await gateway.stop());

  const CONNECT = connectBytes({ level: 5, payload: [properties(), field('websocket')] });

  async function open(): Promise<{ socket: WebSocket; received: Buffer[] }> {
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.happn}/mqtt`, ['mqtt']);
    const received: Buffer[] = [];
    socket.on('message', (data) => received.push(data as Buffer));
    await once(socket, 'open');
    return { socket, received };
  }

  it('[MQTT5-6.0.0-1] ends over a text frame, and is answered in binary frames', async () => {
    const { socket } = await open();
    socket.send(CONNECT);
    const [, isBinary] = (await once(socket, 'message')) as [Buffer, boolean];
    expect(isBinary).toBe(true);
    const ended = once(socket, 'close');
    socket.send('text');
    await ended;
  });

  it('[MQTT5-6.0.0-2] may hold several packets in a frame, and parts of packets', async () => {
    const { socket, received } = await open();
    const stream = Buffer.concat([
      CONNECT,
      packet(0x82, u16(1), properties(), field('ws'), Buffer.of(0)),
      packet(0x30, field('ws'), properties(), Buffer.from('x')),
      packet(0x32, field('other'), u16(7), properties()),
    ]);
    socket.send(stream.subarray(0, 1));
    socket.send(stream.subarray(1, 20));
    socket.send(stream.subarray(20));
    while (packetsIn(Buffer.concat(received)).length < 4) await once(socket, 'message');
    expect(packetsIn(Buffer.concat(received)).map((bytes) => bytes.slice(0, 2))).toEqual(['20', '90', '30', '40']);
    socket.terminate();
  });

  it('[MQTT5-6.0.0-4] is answered with the subprotocol mqtt', async () => {
    const { socket } = await open();
    expect(socket.protocol).toBe('mqtt');
    socket.terminate();
  });
});

it('[MQTT5-7.1.1-1] TCP carries what a client is told', async () => {
  const wire = await on.client();
  await subscribe(wire, 'tcp');
  for (let i = 0; i < 100; i++) wire.publish('tcp', `${i}`);
  await wire.until(() => wire.unseen().length === 100, 'all of them');
  expect((await told(wire)).map(({ payload }) => Number(payload))).toEqual(Array.from({ length: 100 }, (_, i) => i));
});
