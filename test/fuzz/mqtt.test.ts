// Seeded fuzzing of everything that reads MQTT bytes: the guard alone, then whole sessions over aedes and the real engine. No
// case may throw, hang, hold more than its limit or write what is no packet. TRIVIUM_FUZZ_CASES and TRIVIUM_FUZZ_SEED say how
// many and which.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, test } from 'vitest';
import type { Visit } from '../../src/adapters/mqtt/admission.js';
import { headerFault } from '../../src/adapters/mqtt/codec.js';
import { Guard } from '../../src/adapters/mqtt/guard.js';
import type { Transport, TransportOwner } from '../../src/adapters/mqtt/transport.js';
import { packetsIn } from '../support/mqtt-bytes.js';
import { encode, MqttHouse } from '../support/mqtt-wire.js';
import { pick, type Random, randomOf } from '../support/random.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
/** A case is a connection with three or four packets: 50,000 packets in a short run, 10,000,000 in a long one. */
const CASES = Number(process.env.TRIVIUM_FUZZ_CASES ?? (LONG ? 3_000_000 : 15_000));
const SEED = Number(process.env.TRIVIUM_FUZZ_SEED ?? 1_883);
const CASES_PER_TURN = 50;
const MAX_BYTES = 4_096;
const CASE_MAX_MS = 100;
/** How much more memory the second half of the cases may leave behind than the first. */
const GROWTH_MAX_BYTES = 30 * 1024 * 1024;
const TIMEOUT_MS = LONG ? 6 * 3_600_000 : 120_000;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

const prototypeKeys = Reflect.ownKeys(Object.prototype).length;

afterEach(() => {
  expect(Reflect.ownKeys(Object.prototype)).toHaveLength(prototypeKeys);
});

const TOPICS = ['a', 'a/b', '/a', 'ä/𪛔', '$SYS/x', '$x', 'a//b', '__proto__', 'constructor/x', 'x'.repeat(200), 'a/'.repeat(60)];
const FILTERS = ['#', '+', 'a/#', '+/+', '$SYS/#', '$share/g/a', 'a/+/b', ...TOPICS];
const IDS = ['a', 'b', 'c', '', '__proto__', 'ä'];

/** What a message of version 5 may say of itself, some of it. */
function messageProperties(next: Random): object {
  const all = {
    topicAlias: 1 + next(10),
    messageExpiryInterval: next(3) * 1_000,
    contentType: pick(TOPICS, next),
    responseTopic: pick(TOPICS, next),
    correlationData: Buffer.alloc(next(20), 7),
    payloadFormatIndicator: next(2) === 0,
    userProperties: { a: 'b', __proto: 'x', constructor: ['1', '2'] },
  };
  return Object.fromEntries(Object.entries(all).filter(() => next(4) === 0));
}

function packet5(next: Random): Buffer {
  const messageId = 1 + next(6);
  const qos = next(3);
  switch (next(11)) {
    case 0:
      return connect5(next);
    case 1:
    case 2:
    case 3: {
      const flags = { qos, retain: next(2) === 0, dup: qos > 0 && next(3) === 0 };
      return encode(
        { cmd: 'publish', topic: pick(TOPICS, next), payload: 'x', ...flags, messageId, properties: messageProperties(next) },
        5,
      );
    }
    case 4:
    case 5: {
      const options = (): object => ({ qos: next(3), nl: next(3) === 0, rap: next(2) === 0, rh: next(3) });
      const subscriptions = Array.from({ length: 1 + next(3) }, () => ({ topic: pick(FILTERS, next), ...options() }));
      const properties = next(2) === 0 ? { subscriptionIdentifier: 1 + next(1_000) } : {};
      return encode({ cmd: 'subscribe', messageId, subscriptions, properties }, 5);
    }
    case 6:
      return encode({ cmd: 'unsubscribe', messageId, unsubscriptions: [pick(FILTERS, next)] }, 5);
    case 7:
      return encode({ cmd: 'pingreq' }, 5);
    case 8:
      return encode({ cmd: 'disconnect', reasonCode: pick([0, 4], next), properties: { sessionExpiryInterval: next(3) } }, 5);
    default:
      return encode({ cmd: pick(['puback', 'pubrec', 'pubrel', 'pubcomp'], next), messageId, reasonCode: 0 }, 5);
  }
}

function connect5(next: Random): Buffer {
  const properties = {
    sessionExpiryInterval: next(3) * 100,
    receiveMaximum: 1 + next(5),
    maximumPacketSize: pick([20, 100, 100_000], next),
    topicAliasMaximum: next(3),
    requestProblemInformation: next(2) === 0,
  };
  const message = { topic: pick(TOPICS, next), payload: Buffer.from('w'), qos: next(3), retain: next(2) === 0 };
  const will = next(3) === 0 ? { will: { ...message, properties: { willDelayInterval: next(3) } } } : {};
  const base = { protocolId: 'MQTT', protocolVersion: 5, clean: next(2) === 0, clientId: pick(IDS, next) || 'x', keepalive: next(100) };
  return encode({ cmd: 'connect', ...base, properties, ...will }, 5);
}

function packet(next: Random): Buffer {
  const messageId = 1 + next(6);
  const qos = next(3);
  switch (next(11)) {
    case 0:
      return connect(next);
    case 1:
    case 2:
    case 3:
      return encode({
        cmd: 'publish',
        topic: pick(TOPICS, next),
        payload: Buffer.alloc(next(80), 65),
        qos,
        retain: next(2) === 0,
        dup: qos > 0 && next(3) === 0,
        messageId,
      });
    case 4:
    case 5: {
      const subscriptions = Array.from({ length: 1 + next(3) }, () => ({ topic: pick(FILTERS, next), qos: next(3) }));
      return encode({ cmd: 'subscribe', messageId, subscriptions });
    }
    case 6:
      return encode({ cmd: 'unsubscribe', messageId, unsubscriptions: [pick(FILTERS, next)] });
    case 7:
      return encode({ cmd: 'pingreq' });
    case 8:
      return encode({ cmd: 'disconnect' });
    default:
      return encode({ cmd: pick(['puback', 'pubrec', 'pubrel', 'pubcomp'], next), messageId });
  }
}

function connect(next: Random): Buffer {
  const old = next(4) === 0;
  const will = next(3) === 0 ? { will: { topic: pick(TOPICS, next), payload: Buffer.from('w'), qos: next(3), retain: next(2) === 0 } } : {};
  const login = next(3) === 0 ? { username: 'u', password: Buffer.from([next(256)]) } : {};
  return encode({
    cmd: 'connect',
    protocolId: old ? 'MQIsdp' : 'MQTT',
    protocolVersion: old ? 3 : 4,
    clean: next(2) === 0,
    clientId: pick(IDS, next) || 'x',
    keepalive: next(100),
    ...will,
    ...login,
  });
}

/** Sometimes as it is, mostly with bytes changed, cut out, doubled or put in. */
function mutated(bytes: Buffer, next: Random): Buffer {
  const kind = next(8);
  if (kind < 3) return bytes;
  const at = next(bytes.length);
  const length = 1 + next(4);
  const around = (middle: Buffer, rest: number): Buffer => Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(rest)]);
  switch (kind) {
    case 3:
      return around(Buffer.of(next(256)), at + 1);
    case 4:
      return around(Buffer.of((bytes[at] as number) ^ (1 << next(8))), at + 1);
    case 5:
      return around(Buffer.alloc(0), at + length);
    case 6:
      return around(bytes.subarray(at, at + length), at);
    default:
      return around(Buffer.from(Array.from({ length }, () => next(256))), at);
  }
}

interface Kind {
  readonly connect: (next: Random) => Buffer;
  readonly packet: (next: Random) => Buffer;
  /** What the gateway answers with when the cases go deep. */
  readonly answers: readonly string[];
}

const ANSWERS = ['2', '3', '4', '5', '6', '7', '9', 'b', 'd'];
const OLD: Kind = { connect, packet, answers: ANSWERS };
const NEW: Kind = { connect: connect5, packet: packet5, answers: [...ANSWERS, 'e'] };

function stream(next: Random, kind = OLD): Buffer {
  const packets = [mutated(kind.connect(next), next)];
  // Most get past the first packet, else little behind it would be tried.
  if (next(5) > 0) packets[0] = kind.connect(next);
  for (let count = next(6); count > 0; count--) packets.push(mutated(kind.packet(next), next));
  if (next(20) === 0) packets.push(Buffer.from(Array.from({ length: next(64) }, () => next(256))));
  return Buffer.concat(packets);
}

function pieces(bytes: Buffer, next: Random): Buffer[] {
  const list: Buffer[] = [];
  const longest = pick([1, 3, 20, 10_000], next);
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + next(longest);
    list.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return list;
}

/** What the guard says of the bytes in these pieces. */
function verdict(list: readonly Buffer[]): string {
  let said = '';
  const guard = new Guard(
    {
      onPacket: (_first, bytes, start, _body, end) => {
        said += `${bytes.toString('hex', start, end)} `;
      },
      onViolation: ({ code, message }) => {
        said += `${code} ${message}`;
      },
    },
    headerFault,
    MAX_BYTES,
  );
  for (const piece of list) {
    guard.push(piece);
    if (guard.waiting > MAX_BYTES) throw new Error(`${guard.waiting} bytes are held`);
  }
  return said;
}

test(
  'the guard says the same wherever the bytes are cut, and holds no more than a packet',
  () => {
    const next = randomOf(SEED);
    for (let i = 0; i < CASES; i++) {
      const bytes = stream(next);
      const whole = verdict([bytes]);
      const cut = verdict(pieces(bytes, next));
      if (whole !== cut) expect(cut, `case ${i}: ${bytes.toString('hex')}`).toBe(whole);
    }
  },
  TIMEOUT_MS,
);

/** Keeps what it is sent: a mutated CONNECT may be of any version, so only the frames are looked at. */
class Peer implements Transport {
  #bytes = Buffer.alloc(0);
  bufferedBytes = 0;
  owner!: TransportOwner;
  visit!: Visit;

  /** Types of the packets that came, as hexadecimal digits. */
  get answers(): string[] {
    return packetsIn(this.#bytes).map((one) => one[0] as string);
  }
  /** Whole packets, and nothing between them. */
  get isWhole(): boolean {
    return packetsIn(this.#bytes).join('').length === this.#bytes.length * 2;
  }
  write(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
  }
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
}

test.each([
  ['3.1 and 3.1.1', OLD],
  ['5', NEW],
])(
  'sessions of %s survive anything, and serve the next client',
  async (_version, kind) => {
    const house = await MqttHouse.start();
    const next = randomOf(SEED + 1);
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    const seen = new Set<string>();
    let peers: Peer[] = [];
    let half = 0;
    const open = (): Peer => {
      const peer = new Peer();
      const { adapter } = house;
      const visit = adapter.clients.admission.accept() as Visit;
      peer.visit = visit;
      adapter.clients.admission.enter(visit, () =>
        adapter.clients.open(visit, (owner) => {
          peer.owner = owner;
          return peer;
        }),
      );
      return peer;
    };
    const finish = async (): Promise<void> => {
      for (let i = 0; i < 12; i++) await turn();
      for (const peer of peers) {
        peer.owner.onTransportClosed();
        peer.visit.leave();
        expect(peer.isWhole).toBe(true);
        for (const type of peer.answers) seen.add(type);
      }
      peers = [];
      expect(house.lines.filter(({ level }) => level === 'error')).toEqual([]);
      // Kept, the lines of all cases would be what grows.
      house.lines.length = 0;
    };
    for (let i = 0; i < CASES; i++) {
      const bytes = stream(next, kind);
      const list = pieces(bytes, next);
      // A busy machine makes one attempt slow, a bad case makes all of them slow.
      const isSlow = (): boolean => {
        const peer = open();
        peers.push(peer);
        const begun = performance.now();
        for (const piece of list) peer.owner.onData(Buffer.from(piece));
        return performance.now() - begun > CASE_MAX_MS;
      };
      if (isSlow() && isSlow() && isSlow()) throw new Error(`case ${i} takes too long: ${bytes.toString('hex')}`);
      if (peers.length >= CASES_PER_TURN) await finish();
      if (i === Math.floor(CASES / 2)) half = heapBytes();
    }
    await finish();
    expect(heapBytes() - half).toBeLessThan(GROWTH_MAX_BYTES);
    // The cases went as deep as they were meant to.
    expect([...seen].sort()).toEqual(kind.answers);

    const last = open();
    last.owner.onData(encode({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'last', keepalive: 0 }));
    while (last.answers.length === 0) await turn();
    last.owner.onData(encode({ cmd: 'publish', topic: 'end', payload: 'x', qos: 1, messageId: 1, retain: true, dup: false }));
    while (last.answers.length === 1) await turn();
    expect(last.answers).toEqual(['2', '4']);
    last.owner.onTransportClosed();
    expect(house.counters.gauges.get('sessions')?.read()).toBe(0);
    await house.stop();
  },
  TIMEOUT_MS,
);
