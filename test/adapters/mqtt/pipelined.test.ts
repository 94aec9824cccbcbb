// Clients that are gone before what they sent is done: because their CONNECT is not answered, or because it is much.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RequestError } from '../../../src/core/index.js';
import { type Identity, NOBODY } from '../../../src/core/security/identity.js';
import { accessOf } from '../../support/access.js';
import { until } from '../../support/gateway-process.js';
import { encode, MqttHouse, MqttWire, shown } from '../../support/mqtt-wire.js';

let house: MqttHouse;
let logins: { accept(identity: Identity): void; refuse(error: Error): void }[];

beforeEach(async () => {
  logins = [];
  const authenticate = (): Promise<Identity> => new Promise((accept, refuse) => logins.push({ accept, refuse }));
  house = await MqttHouse.start({ access: accessOf(() => true, authenticate) });
});
afterEach(() => house.stop());

const PROTOCOL = { 3: 'MQIsdp', 4: 'MQTT', 5: 'MQTT' } as const;
const VERSIONS = [3, 4, 5] as const;

const connectAs = (version: (typeof VERSIONS)[number]): object => ({
  ...{ cmd: 'connect', protocolId: PROTOCOL[version], protocolVersion: version },
  ...{ clean: true, clientId: 'c', keepalive: 0 },
});

/** Its login is not decided yet, and the gateway knows that it is gone. */
async function sayAndGo(version: (typeof VERSIONS)[number], qos: 0 | 1 | 2, behind: object[] = []): Promise<void> {
  const wire = await MqttWire.open(house.port, version);
  const publish = { cmd: 'publish', topic: 't', payload: 'x', qos, messageId: 1, retain: true, dup: false };
  wire.bytes(Buffer.concat([connectAs(version), publish, ...behind].map((packet) => encode(packet, version))));
  await until('the login is asked for', () => logins.length === 1);
  await wire.drop();
  await until('it is gone', () => house.adapter.clients.admission.open === 0);
}

const open = (): number | undefined => house.counters.gauges.get('mqtt_connections')?.read();

describe.each(VERSIONS)('version %i', (version) => {
  it.each([0, 1, 2] as const)('what it published at QoS %i is done once it is accepted', async (qos) => {
    await sayAndGo(version, qos);
    expect(open()).toBe(1);
    logins[0]?.accept(NOBODY);
    const reader = house.other();
    await until('it is stored', async () => (await reader.get('t')).entry !== null);
    await until('nothing is left', () => open() === 0);
  });

  it('so is what it published before it said goodbye', async () => {
    await sayAndGo(version, 0, [{ cmd: 'disconnect' }]);
    logins[0]?.accept(NOBODY);
    const reader = house.other();
    await until('it is stored', async () => (await reader.get('t')).entry !== null);
    await until('nothing is left', () => open() === 0);
  });

  // [MQTT-3.1.4-5], [MQTT5-3.1.4-6]
  it('nothing is done of one that is refused, and nothing is left of it', async () => {
    await sayAndGo(version, 1);
    logins[0]?.refuse(new RequestError('NOT_AUTHENTICATED', 'no'));
    await until('nothing is left', () => open() === 0);
    expect((await house.other().get('t')).entry).toBeNull();
  });

  it.each([
    ['says goodbye', [{ cmd: 'disconnect' }]],
    ['does not', []],
  ])('what it subscribed to is kept with its session when it ends the connection behind it, and %s', async (_how, behind) => {
    await house.stop();
    house = await MqttHouse.start();
    const other = house.other();
    await other.set('t/0', 'x');
    const connect = { ...connectAs(version), clean: false, properties: { sessionExpiryInterval: 600 } };
    const wire = await MqttWire.open(house.port, version);
    const subscribe = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 't/#', qos: 1 }] };
    wire.bytes(Buffer.concat([connect, subscribe, ...behind].map((packet) => encode(packet, version))));
    wire.socket.end();
    await wire.closed();
    await until('nothing is left', () => open() === 0);
    await other.set('t/1', 'x');
    const next = await MqttWire.open(house.port, version);
    next.send(connect);
    await next.expect('connack');
    expect((await next.settled()).map(shown)).toEqual(['t/0=x/1r', 't/1=x/1']);
  });

  it.each([
    ['says goodbye', [{ cmd: 'disconnect' }]],
    ['does not', []],
  ])('all of a burst is done when the client ends the connection behind it, and %s', async (_how, behind) => {
    await house.stop();
    house = await MqttHouse.start();
    const reader = house.other();
    await reader.subscribe('t');
    const wire = await MqttWire.open(house.port, version);
    wire.bytes(encode(connectAs(version), version));
    await wire.expect('connack');
    // More than a session may have under way.
    const burst = Array.from({ length: 3_000 }, (_, i) => ({
      cmd: 'publish',
      topic: 't',
      payload: `${i}`,
      qos: 0,
      retain: false,
      dup: false,
    }));
    wire.bytes(Buffer.concat([...burst, ...behind].map((packet) => encode(packet, version))));
    wire.socket.end();
    await until('all is heard', () => reader.heard.length === burst.length);
    await until('nothing is left', () => open() === 0);
  });
});
