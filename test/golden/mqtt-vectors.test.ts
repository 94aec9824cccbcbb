// Replays byte sequences of the Mosquitto project (see vectors/mqtt/README.md), one connection each.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/gateway-process.js';
import { connectBytes, field, packetsIn } from '../support/mqtt-bytes.js';
import { bytesOf, type Vector, vectorFiles, vectorsOf } from '../support/mqtt-vectors.js';
import { MqttHouse } from '../support/mqtt-wire.js';

const VERSIONS: readonly number[] = [3, 4, 5];

/** Sequences whose expectation is Mosquitto's own choice, by version and name, and what this gateway does instead. */
const DIFFERENT: readonly (readonly [RegExp, string])[] = [
  [/^4 10 missing keepalive$/, 'the level is 5: the client is told that its CONNECT is malformed'],
  [/^[45] 34 QoS 2 Dup flow\*3$/, 'a third copy of an unreleased message is answered as the second was ([MQTT-4.3.3-2])'],
  [/^5 (20|30|40|E0) remaining length 5 bytes$/, 'the client is told that its packet is malformed before the connection ends'],
  [/^5 10 (Username with|\[MQTT-3\.1\.2-1[79]\]|Will flag 1 Will Qos 3)/, 'the client is told that its CONNECT is malformed'],
  [/^5 E0 RC=.*( - |\()invalid\)$/, 'the client is told that its DISCONNECT breaks the protocol'],
  [/^5 PUBLISH with \$ topic - connection\/state$/, 'no client publishes below $SYS, bridges neither'],
];

function differenceOf(title: string): string | null {
  return DIFFERENT.find(([pattern]) => pattern.test(title))?.[1] ?? null;
}

/** The part of each version's sequences that has to come out as expected. */
const SHARE: Readonly<Record<number, number>> = { 3: 0.95, 4: 0.95, 5: 0.85 };

let house: MqttHouse;
beforeAll(async () => {
  house = await MqttHouse.start();
});
afterAll(async () => {
  await house.stop();
});

const all = vectorFiles.flatMap(vectorsOf).filter(({ version }) => VERSIONS.includes(version));
const titleOf = ({ version, name }: Vector): string => `${version} ${name}`;

describe.each(vectorFiles)('%s', (file) => {
  const played = vectorsOf(file).filter(({ version }) => VERSIONS.includes(version));

  it.each(played.map((vector) => [titleOf(vector), vector] as const))('%s', async (title, vector) => {
    const outcome = await play(vector);
    const difference = differenceOf(title);
    if (difference !== null) expect(outcome, difference).not.toBe('as expected');
    else expect(outcome).toBe('as expected');
  });
});

it.each(VERSIONS)('enough sequences of version %i come out as expected', (version) => {
  const titles = all.filter((vector) => vector.version === version).map(titleOf);
  const different = titles.filter((title) => differenceOf(title) !== null).length;
  expect(1 - different / titles.length).toBeGreaterThanOrEqual(SHARE[version] as number);
});

it('lists only sequences that there are', () => {
  expect(DIFFERENT.filter(([pattern]) => !all.some((vector) => pattern.test(titleOf(vector))))).toEqual([]);
});

/** A socket, and the packets that it was sent. */
class Player {
  #received = Buffer.alloc(0);
  ended = false;

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.ended = true;
    });
  }

  static async open(port: number): Promise<Player> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Player(socket);
  }

  get packets(): string[] {
    return packetsIn(this.#received);
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** Until `count` packets are there, or the connection is over. */
  async received(count: number): Promise<void> {
    await until(`${count} packets come, after ${this.packets.join(' ')}`, () => this.ended || this.packets.length >= count);
  }

  close(): void {
    this.socket.destroy();
  }
}

async function play({ version, connects, disconnects, messages }: Vector): Promise<string> {
  const player = await Player.open(house.port);
  const expected: string[] = [];
  const expectPackets = async (bytes: Buffer): Promise<void> => {
    expected.push(...packetsIn(bytes));
    await player.received(expected.length);
  };
  try {
    if (connects) {
      player.send(connectOf(version));
      await expectPackets(version === 5 ? bytesOf('20 03 00 00 00') : bytesOf('20 02 00 00'));
    }
    for (const { type, payload } of messages) {
      if (type === 'send') player.send(bytesOf(payload));
      else if (type === 'recv') await expectPackets(bytesOf(payload));
      else return `cannot play ${type}`;
    }
    if (disconnects) {
      await until(`the connection is ended, after ${player.packets.join(' ')}`, () => player.ended);
    } else {
      player.send(bytesOf('c0 00'));
      await expectPackets(bytesOf('d0 00'));
      if (player.ended) return 'the connection was ended';
    }
  } catch (error) {
    return (error as Error).message;
  } finally {
    player.close();
  }
  const [got, wanted] = [player.packets, expected].map((packets) => packets.map((packet) => comparable(version, packet)).join(' '));
  return got === wanted ? 'as expected' : `got ${got}, expected ${wanted}`;
}

function connectOf(version: number): Buffer {
  const properties = version === 5 ? [Buffer.of(0)] : [];
  return connectBytes({
    name: version === 3 ? 'MQIsdp' : 'MQTT',
    level: version,
    keepAlive: 60,
    payload: [...properties, field('connect-test')],
  });
}

/** Where the reason code stands in the body of a version 5 packet, by its first byte. */
const REASON_AT: Readonly<Record<number, number>> = { 32: 1, 64: 2, 80: 2, 98: 2, 112: 2, 224: 0 };

/** Properties of version 5 tell of the broker that wrote them: of these packets only what stands before them is compared. */
function comparable(version: number, packet: string): string {
  const bytes = Buffer.from(packet, 'hex');
  const reasonAt = version < 5 ? undefined : REASON_AT[bytes[0] as number];
  if (reasonAt === undefined) return packet;
  const body = (bytes[1] as number) < 0x80 ? 2 : 3;
  return `${bytes.toString('hex', 0, 1)} ${bytes.toString('hex', body, body + reasonAt + 1)}`;
}
