// Replays byte sequences of the Mosquitto project (see vectors/mqtt/README.md) for MQTT 3.1 and 3.1.1, one connection each.

import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MqttHouse, MqttWire, encode } from '../support/mqtt-wire.js';

const VECTORS = new URL('./vectors/mqtt/', import.meta.url);

interface Message {
  readonly type: string;
  readonly payload: string;
}

interface Case {
  readonly name: string;
  readonly ver?: number;
  readonly connect?: boolean;
  readonly disable?: boolean;
  readonly expect_disconnect?: boolean;
  readonly msgs: readonly Message[];
}

interface Group extends Omit<Case, 'name' | 'msgs'> {
  readonly group: string;
  readonly tests: readonly Case[];
}

/** Sequences whose expectation is Mosquitto's own choice, and what this gateway does instead. */
const DIFFERENT: ReadonlyMap<string, string> = new Map([
  ['3 10 proto ver 2', 'answered with return code 1 of the standard, not with a version 5 CONNACK'],
  ['3 10 proto ver 6', 'answered with return code 1 of the standard, not with a version 5 CONNACK'],
  ['4 10 proto ver 2 [MQTT-3.1.2-2]', 'answered with return code 1 of the standard, not with a version 5 CONNACK'],
  ['4 10 proto ver 6 [MQTT-3.1.2-2]', 'answered with return code 1 of the standard, not with a version 5 CONNACK'],
  ['4 10 missing keepalive', 'a level that is not served is refused before the rest is read'],
  ['4 34 QoS 2 Dup flow*3', 'a third copy of an unreleased message is answered as the second was'],
]);

const files = readdirSync(VECTORS).filter((name) => name.endsWith('.json'));

let house: MqttHouse;
beforeAll(async () => {
  house = await MqttHouse.start();
});
afterAll(async () => {
  await house.stop();
});

describe.each(files)('%s', (file) => {
  const groups = JSON.parse(readFileSync(new URL(file, VECTORS), 'utf8')) as Group[];
  const cases = groups.flatMap((group) =>
    group.tests.map((test) => ({
      ...test,
      version: test.ver ?? group.ver ?? 4,
      connects: test.connect ?? group.connect ?? true,
      disconnects: test.expect_disconnect ?? group.expect_disconnect ?? true,
      disabled: (group.disable ?? false) || (test.disable ?? false),
    })),
  );
  const played = cases.filter(({ version, disabled }) => version < 5 && !disabled);

  it.each(played.map((one, i) => [`${one.version} ${one.name}`, i] as const))('%s', async (name, i) => {
    const one = played[i] as (typeof played)[number];
    const outcome = await play(one);
    if (DIFFERENT.has(name)) expect(outcome, DIFFERENT.get(name)).not.toBe('as expected');
    else expect(outcome).toBe('as expected');
  });
});

async function play(one: Case & { version: number; connects: boolean; disconnects: boolean }): Promise<string> {
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
    for (const { type, payload } of one.msgs) {
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
  } catch (error) {
    return (error as Error).message;
  } finally {
    await wire.drop();
  }
  return received().replace(/d000$/, '') === expected ? 'as expected' : `got ${received()}, expected ${expected}`;
}

/** Words of a payload: hexadecimal bytes, a kind letter with a number, or quoted text. */
function bytesOf(payload: string): Buffer {
  const words = payload.match(/'[^']*'|\S+/g) ?? [];
  return Buffer.concat(words.map(wordOf));
}

function wordOf(word: string): Buffer {
  if (word.startsWith("'")) return Buffer.from(word.slice(1, -1));
  const number = Number(word.slice(1));
  switch (word[0]) {
    case 'i':
      return Buffer.of(number);
    case 'H':
    case 'k':
    case 'm':
    case 's':
      return Buffer.of(number >> 8, number & 0xff);
    case 'L':
      return Buffer.of(number >>> 24, (number >> 16) & 0xff, (number >> 8) & 0xff, number & 0xff);
    case 'v':
    case 'r':
      return variable(number);
    default:
      return Buffer.from(word, 'hex');
  }
}

function variable(number: number): Buffer {
  const bytes: number[] = [];
  let rest = number;
  do {
    bytes.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}
