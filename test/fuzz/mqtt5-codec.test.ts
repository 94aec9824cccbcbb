// Seeded fuzzing of the MQTT 5 codec: valid packets of every kind with bytes changed, cut, doubled and inserted. Whatever they
// have become, they are read or refused with a fault of the codec, and what is read keeps the promises of its types.
// TRIVIUM_FUZZ_CASES and TRIVIUM_FUZZ_SEED say how many and which.

import fc from 'fast-check';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { expect, test } from 'vitest';
import type { Connect, Subscribe } from '../../src/adapters/mqtt/v5/codec.js';
import type { PublishReader } from '../../src/adapters/mqtt/v5/publish.js';
import { CONNACK_REASONS, ProtocolFault, SERVER_DISCONNECT_REASONS } from '../../src/adapters/mqtt/v5/reason-codes.js';
import { PACKET } from '../../src/adapters/mqtt/wire.js';
import { clientPacket } from '../support/mqtt5-packets.js';
import { type ReadPacket, readPackets } from '../support/mqtt5-read.js';
import { pick, type Random, randomOf } from '../support/random.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
const CASES = Number(process.env.TRIVIUM_FUZZ_CASES ?? (LONG ? 10_000_000 : 50_000));
const SEED = Number(process.env.TRIVIUM_FUZZ_SEED ?? 1_883);
const TIMEOUT_MS = LONG ? 3_600_000 : 60_000;
const VALID_PACKETS = 500;
const MUTATIONS_MAX = 4;
/** Larger packets are mostly payload. */
const BYTES_MAX = 1_000;
/** Bytes at which something ends or begins. */
const EDGES = [0x00, 0x01, 0x0b, 0x1f, 0x26, 0x7f, 0x80, 0x81, 0xc0, 0xed, 0xff];

const legalReasons = new Set<number>([...CONNACK_REASONS, ...SERVER_DISCONNECT_REASONS]);

function validPackets(): Buffer[] {
  return fc
    .sample(clientPacket, { numRuns: VALID_PACKETS, seed: SEED })
    .map((packet) => mqttPacket.generate(packet as Packet, { protocolVersion: 5 }))
    .filter(({ length }) => length <= BYTES_MAX);
}

function mutated(packet: Buffer, next: Random): Buffer {
  let bytes: Buffer = Buffer.from(packet);
  for (let i = 1 + next(MUTATIONS_MAX); i > 0; i--) bytes = mutatedOnce(bytes, next);
  return bytes;
}

function mutatedOnce(bytes: Buffer, next: Random): Buffer {
  const at = next(bytes.length + 1);
  const to = at + next(bytes.length + 1 - at);
  switch (next(6)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), Buffer.of(pick(EDGES, next)), bytes.subarray(at)]);
    default:
      if (at < bytes.length) bytes[at] = next(2) === 0 ? pick(EDGES, next) : next(256);
      return bytes;
  }
}

/** Makes the remaining length that of the packet, so that what follows it is looked at. */
function repaired(bytes: Buffer): Buffer {
  const rest = bytes.subarray(2);
  const length: number[] = [];
  let left = rest.length;
  do {
    length.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    left >>= 7;
  } while (left > 0);
  return Buffer.concat([bytes.subarray(0, 1), Buffer.from(length), rest]);
}

test(`${CASES} mutated packets are read or refused`, { timeout: TIMEOUT_MS }, () => {
  const next = randomOf(SEED);
  const packets = validPackets();
  let read = 0;
  for (let i = 0; i < CASES; i++) {
    const mutant = mutated(pick(packets, next), next);
    const bytes = next(3) > 0 && mutant.length > 1 ? repaired(mutant) : mutant;
    try {
      for (const packet of readPackets(bytes)) checkPromises(packet);
      read += 1;
    } catch (error) {
      const isFault = error instanceof ProtocolFault && legalReasons.has(error.reason);
      if (!isFault) throw new Error(`case ${i}: ${bytes.toString('hex')}`, { cause: error });
    }
  }
  // Both happen often, else the cases are of no use.
  expect(read).toBeGreaterThan(CASES / 20);
  expect(read).toBeLessThan(CASES / 2);
});

function checkPromises({ type, facts }: ReadPacket): void {
  if (type === PACKET.PUBLISH) {
    const { topic, topicAlias, qos, packetId, payloadStart } = facts as PublishReader;
    assert(topic !== '' || topicAlias > 0, 'a topic or an alias');
    assert(!/[+#\p{Cc}]/u.test(topic) && topic.isWellFormed(), 'a topic that can be published to');
    assert(qos === 0 ? packetId === 0 : packetId > 0, 'a packet id');
    assert(payloadStart > 0, 'a payload');
  } else if (type === PACKET.SUBSCRIBE) {
    const { packetId, filters } = facts as Subscribe;
    assert(packetId > 0 && filters.length > 0, 'filters');
    for (const { qos, retainHandling, group, noLocal } of filters) {
      assert(qos <= 2 && retainHandling <= 2 && !(noLocal && group !== null), 'options');
    }
  } else if (type === PACKET.CONNECT) {
    const { receiveMaximum, maximumPacketSize, clientId } = facts as Connect;
    assert(receiveMaximum > 0 && maximumPacketSize > 0 && !/\p{Cc}/u.test(clientId), 'limits and a client id');
  }
}

function assert(fact: boolean, what: string): void {
  if (!fact) throw new Error(`what was read lacks ${what}`);
}
