// Rights that change while messages wait for a client: what is sent is what it may hear by then.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MqttAdapter } from '../../../src/adapters/mqtt/index.js';
import { ADMIN, type Permissions } from '../../../src/core/index.js';
import { type Address, type ContractHouse, passwordOf, secureHouse } from '../../support/contract-house.js';
import { type MqttPacket, MqttWire } from '../../support/mqtt-wire.js';

const ALL = { actions: ['*'] } as const;
const OPEN: Permissions = { 'ok/*': ALL };
const SECRET: Permissions = { 'ok/*': ALL, 'ok/secret/*': { prohibit: ['*'] } };

let house: ContractHouse;
let at: Address;
let root: MqttWire;

const put = (name: string, permissions: Permissions, groups: readonly string[] = []): Promise<void> =>
  house.administer({ type: 'putUser', name, id: `${name}-id`, fields: { permissions, groups }, when: 'any', merge: false });

/** Takes one message at a time. */
async function connectAs(username: string, seconds: number, clean = false): Promise<MqttWire> {
  return await MqttWire.connected(at.port, 'c', {
    protocolVersion: 5,
    username,
    password: Buffer.from(passwordOf(username)),
    clean,
    properties: { receiveMaximum: 1, sessionExpiryInterval: seconds },
  });
}

let lastId = 0;
async function publish(topic: string, retain = false): Promise<void> {
  lastId += 1;
  root.publish(topic, 'x', { qos: 1, messageId: lastId, retain });
  await root.answer('puback', lastId);
}

/** Acknowledges message by message. */
async function topicsTo(wire: MqttWire): Promise<string[]> {
  const topics: string[] = [];
  for (let packets: MqttPacket[] = await wire.settled(); packets.length > 0; packets = await wire.settled()) {
    for (const packet of packets as unknown as { cmd: string; topic: string; messageId: number }[]) {
      if (packet.cmd !== 'publish') continue;
      topics.push(packet.topic);
      wire.send({ cmd: 'puback', messageId: packet.messageId });
    }
  }
  return topics;
}

beforeEach(async () => {
  house = secureHouse();
  await house.start();
  at = await house.add(new MqttAdapter({ host: '127.0.0.1', port: 0 }));
  await put('root', {}, [ADMIN]);
  await put('ann', OPEN);
  root = await MqttWire.connected(at.port, 'root', { username: 'root', password: Buffer.from(passwordOf('root')) });
});
afterEach(() => house.stop());

const PATHS = ['ok/1', 'ok/2', 'ok/secret/1', 'ok/secret/2', 'ok/z'];

describe.each([
  ['kept', 600],
  ['not kept', 0],
])('of a session that is %s', (_what, seconds) => {
  it('messages that wait for an acknowledgement', async () => {
    const ann = await connectAs('ann', seconds);
    await ann.subscribe('ok/#', 1);
    for (const path of PATHS) await publish(path);
    await put('ann', SECRET);
    expect(await topicsTo(ann)).toEqual(['ok/1', 'ok/2', 'ok/z']);
    expect(house.counter('queue_denied_total')).toBe(2);
    await publish('ok/4');
    expect(await topicsTo(ann)).toEqual(['ok/4']);
  });

  it('messages that wait when nothing is allowed any more', async () => {
    const ann = await connectAs('ann', seconds);
    await ann.subscribe('ok/#', 1);
    for (const path of PATHS) await publish(path);
    await put('ann', {});
    expect(await topicsTo(ann)).toEqual(['ok/1']);
    await put('ann', OPEN);
    await ann.subscribe('ok/#', 1);
    await publish('ok/4');
    expect(await topicsTo(ann)).toEqual(['ok/4']);
  });

  it('retained messages that are still to be sent', async () => {
    for (const path of PATHS) await publish(path, true);
    const ann = await connectAs('ann', seconds);
    await ann.subscribe('ok/#', 1);
    await put('ann', SECRET);
    expect(await topicsTo(ann)).toEqual(['ok/1', 'ok/2', 'ok/z']);
  });
});

it('of a session that is away messages that were queued', async () => {
  const before = await connectAs('ann', 600);
  await before.subscribe('ok/#', 1);
  await before.drop();
  for (const path of PATHS) await publish(path);
  await put('ann', SECRET);
  const ann = await connectAs('ann', 600);
  expect(await topicsTo(ann)).toEqual(['ok/1', 'ok/2', 'ok/z']);
  expect(house.counter('queue_denied_total')).toBe(2);
});

it.each([4, 5])('a CONNECT of version %i with a will that may not be published takes the place of nobody', async (protocolVersion) => {
  const login = { protocolVersion, username: 'ann', password: Buffer.from(passwordOf('ann')) };
  const ann = await MqttWire.connected(at.port, 'c', login);
  const other = await MqttWire.open(at.port, protocolVersion);
  const will = { topic: 'no/1', payload: Buffer.from('x'), qos: 0, retain: false };
  other.send({ cmd: 'connect', protocolId: 'MQTT', clean: true, clientId: 'c', keepalive: 0, will, ...login });
  const { returnCode, reasonCode } = await other.expect('connack');
  expect(protocolVersion === 5 ? reasonCode : returnCode).toBe(protocolVersion === 5 ? 0x87 : 5);
  await other.closed();
  expect(await ann.settled()).toEqual([]);
});
