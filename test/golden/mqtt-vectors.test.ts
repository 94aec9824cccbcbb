// Replays byte sequences of the Mosquitto project (see vectors/mqtt/README.md) for MQTT 3.1 and 3.1.1, one connection each.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Vector, bytesOf, vectorFiles, vectorsOf } from '../support/mqtt-vectors.js';
import { MqttHouse, MqttWire, encode } from '../support/mqtt-wire.js';

/** Sequences whose expectation is Mosquitto's own choice, and what this gateway does instead. */
const DIFFERENT: ReadonlyMap<string, string> = new Map([
  ['4 10 missing keepalive', 'a level that is not served is refused before the rest is read'],
  ['4 34 QoS 2 Dup flow*3', 'a third copy of an unreleased message is answered as the second was'],
]);

let house: MqttHouse;
beforeAll(async () => {
  house = await MqttHouse.start();
});
afterAll(async () => {
  await house.stop();
});

describe.each(vectorFiles)('%s', (file) => {
  const played = vectorsOf(file).filter(({ version }) => version < 5);

  it.each(played.map((one, i) => [`${one.version} ${one.name}`, i] as const))('%s', async (name, i) => {
    const one = played[i] as Vector;
    const outcome = await play(one);
    if (DIFFERENT.has(name)) expect(outcome, DIFFERENT.get(name)).not.toBe('as expected');
    else expect(outcome).toBe('as expected');
  });
});

async function play(one: Vector): Promise<string> {
  const wire = await MqttWire.open(house.port);
  const answers: Buffer[] = [];
  wire.socket.on('data', (chunk) => answers.push(Buffer.from(chunk)));
  const received = (): string => Buffer.concat(answers).toString('hex');
  let expected = '';
  try {
    if (one.connects) {
      const version = one.version === 3 ? { protocolId: 'MQIsdp', protocolVersion: 3 } : { protocolId: 'MQTT', protocolVersion: 4 };
      wire.bytes(encode({ cmd: 'connect', ...version, clean: true, clientId: 'connect-test', keepalive: 60 }));
      expected += '20020000';
      await wire.until(() => received().length >= expected.length, 'CONNACK');
    }
    for (const { type, payload } of one.messages) {
      if (type === 'send') {
        wire.bytes(bytesOf(payload));
      } else if (type === 'recv') {
        expected += bytesOf(payload).toString('hex');
        await wire.until(() => received().length >= expected.length, `${payload}, got ${received()}`);
      } else {
        return `cannot play ${type}`;
      }
    }
    if (one.disconnects) await wire.closed();
    else await wire.settled();
    // Two PINGRESPs.
    if (!one.disconnects) expected += 'd000d000';
  } catch (error) {
    return (error as Error).message;
  } finally {
    await wire.drop();
  }
  return received() === expected ? 'as expected' : `got ${received()}, expected ${expected}`;
}
