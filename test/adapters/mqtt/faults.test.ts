// Faults of the gateway itself: each ends the connection on which it happens, and is not called a fault of the client.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { REASON } from '../../../src/adapters/mqtt/v5/reason-codes.js';
import { identityNamed } from '../../../src/core/security/identity.js';
import { accessOf } from '../../support/access.js';
import { MqttHouse, MqttWire } from '../../support/mqtt-wire.js';

const fault = (): never => {
  throw new Error('a fault');
};

let house: MqttHouse;
beforeEach(async () => {
  const allows = (_action: string, path: string): boolean => (path === 'faulty' ? fault() : true);
  house = await MqttHouse.start({ access: accessOf(allows, async () => identityNamed('ann')) });
});
afterEach(() => house.stop());

const told = (level: string): unknown[] =>
  house.lines.filter((line) => line.level === level).map(({ text, fields }) => [text, (fields as { code?: unknown }).code]);

async function expectEnd(wire: MqttWire, text: string): Promise<void> {
  await wire.closed();
  const last = wire.packets.at(-1);
  if (wire.version === 5) expect(last).toMatchObject({ cmd: 'disconnect', reasonCode: REASON.UNSPECIFIED_ERROR });
  expect(told('info')).toEqual([[`a connection ended: ${text}`, 'INTERNAL']]);
}

describe.each([4, 5])('in version %i a fault ends the connection', (version) => {
  const client = (): Promise<MqttWire> => MqttWire.connected(house.port, 'c', { protocolVersion: version });

  it('on one of its packets', async () => {
    const wire = await client();
    vi.spyOn(house.adapter.clients.topics, 'pathOf').mockImplementationOnce(fault);
    wire.publish('t', 'x');
    await expectEnd(wire, 'the packet could not be served');
    expect(told('error')).toHaveLength(1);
  });

  it('on what it is to be sent', async () => {
    const wire = await client();
    await wire.subscribe('t', 1);
    vi.spyOn(house.adapter.clients.topics, 'headOf').mockImplementationOnce(fault);
    wire.publish('t', 'x', { qos: 1, messageId: 1 });
    await expectEnd(wire, 'what was to be sent could not be written');
    expect(told('error')).toHaveLength(1);
  });
});

it('in version 4 a PUBLISH on which the engine fails ends the connection: it cannot be told otherwise', async () => {
  const wire = await MqttWire.connected(house.port, 'c');
  wire.publish('faulty', 'x', { qos: 1, messageId: 1 });
  await expectEnd(wire, 'the gateway failed on this request');
});

it('in version 5 a CONNECT is answered with that reason', async () => {
  const wire = await MqttWire.open(house.port, 5);
  vi.spyOn(house.adapter.clients.topics, 'pathOf').mockImplementationOnce(fault);
  const will = { topic: 't', payload: Buffer.from('x'), qos: 0, retain: false };
  wire.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, clientId: 'c', keepalive: 0, will });
  expect(await wire.expect('connack')).toMatchObject({ reasonCode: REASON.UNSPECIFIED_ERROR });
  await wire.closed();
});
