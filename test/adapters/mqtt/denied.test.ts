// What is not allowed: what the client is told, and what the log says.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Identity, identityNamed } from '../../../src/core/security/identity.js';
import { accessOf } from '../../support/access.js';
import { encode, MqttHouse, MqttWire } from '../../support/mqtt-wire.js';

let house: MqttHouse;
beforeEach(async () => {
  const ann = async (): Promise<Identity> => identityNamed('ann');
  house = await MqttHouse.start({ access: accessOf((action, path) => action !== 'set' || path === 'ok', ann) });
});
afterEach(() => house.stop());

const PROTOCOL = { 3: 'MQIsdp', 4: 'MQTT', 5: 'MQTT' } as const;
const VERSIONS = [3, 4, 5] as const;

async function connect(version: (typeof VERSIONS)[number], fields: object = {}): Promise<MqttWire> {
  const wire = await MqttWire.open(house.port, version);
  const protocol = { protocolId: PROTOCOL[version], protocolVersion: version };
  wire.bytes(encode({ cmd: 'connect', ...protocol, clean: true, clientId: 'c', keepalive: 0, ...fields }, version));
  return wire;
}

const told = (): { text: string; code: unknown }[] =>
  house.lines.filter(({ level }) => level === 'info').map(({ text, fields }) => ({ text, code: (fields as { code?: unknown }).code }));

describe.each(VERSIONS)('in version %i', (version) => {
  // [MQTT-3.1.4-5]; section 3.2.2.2 of version 5.
  it('a will that may not be published is refused as not authorized', async () => {
    const wire = await connect(version, { will: { topic: 'no', payload: Buffer.from('x'), qos: 1, retain: false } });
    const { returnCode, reasonCode } = await wire.expect('connack');
    expect(version === 5 ? reasonCode : returnCode).toBe(version === 5 ? 0x87 : 5);
    await wire.closed();
    expect(told()).toEqual([{ text: 'a connection ended: set on no is not allowed', code: 'NOT_ALLOWED' }]);
  });

  it('messages without acknowledgement that are refused are counted, and told of once a session', async () => {
    const wire = await connect(version);
    await wire.expect('connack');
    for (const topic of ['no', 'no', 'ok', 'no/2'])
      wire.bytes(encode({ cmd: 'publish', topic, payload: 'x', qos: 0, retain: false, dup: false }, version));
    wire.bytes(encode({ cmd: 'pingreq' }, version));
    await wire.expect('pingresp');
    expect(house.counters.counters.get('refused_unanswered_total')?.value).toBe(3);
    expect(told()).toHaveLength(1);
    expect(told()[0]).toMatchObject({ text: expect.stringContaining('set on no is not allowed'), code: 'ACCESS_DENIED' });
  });
});

it.each([3, 4] as const)('in version %i a PUBLISH that cannot be refused ends the connection, for what it is', async (version) => {
  const wire = await connect(version);
  await wire.expect('connack');
  wire.bytes(encode({ cmd: 'publish', topic: 'no', payload: 'x', qos: 1, messageId: 1, retain: false, dup: false }, version));
  await wire.closed();
  expect(told()).toEqual([{ text: 'a connection ended: set on no is not allowed', code: 'NOT_ALLOWED' }]);
  expect(house.lines.at(-1)?.fields).toMatchObject({ user: 'ann', client: 'c' });
});
