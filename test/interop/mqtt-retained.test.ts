// Very many retained messages, and a SUBSCRIBE among them: it costs by what matches, they come as they are read, who does not read
// them costs little memory and nobody's time, and a kill of the gateway loses none that was not acknowledged.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { metric, residentBytes } from '../support/metrics.js';
import { publishBytes } from '../support/mqtt-bytes.js';
import { MqttReader, type Seen } from '../support/mqtt-reader.js';
import { MqttWire } from '../support/mqtt-wire.js';
import { randomOf } from '../support/random.js';

const LONG = process.env.TRIVIUM_TEST_LONG === '1';
/** Half of it is below a/<group>: one a/<group>/b, and many a/<group>/a/<n> before it. */
const RECORDS = LONG ? 1_000_000 : 200_000;
const GROUP = 1_000;
const MATCHES = RECORDS / 2 / GROUP;
const WITHIN_MS = LONG ? 600_000 : 120_000;
/** Others, at QoS 2, for kills in the middle. */
const KILLED = LONG ? 100_000 : 12_000;
const KILLS = 3;
const BATCH = 500;
const AHEAD = BATCH;
const LONGEST_GAP_MS = 1_000;
const TICKS = 1_000;
/** What a stopped reader may hold: the socket's buffers and two slices, and the collector's leeway. All of it would be far more. */
const GROWTH_BYTES = 96 * 1024 * 1024;
const PAYLOAD = 'p'.repeat(400);

const digits = (n: number): string => String(n).padStart(7, '0');
const topicOf = (n: number): string => {
  if (n % 2 === 1) return `z/${digits(n)}`;
  const group = Math.floor(n / 2 / GROUP);
  return `a/${digits(group)}/${n % (2 * GROUP) === 0 ? 'b' : `a/${digits(n)}`}`;
};

/** No filter of the other tests matches them. */
const killedTopicOf = (n: number): string => `$killed/${digits(n)}`;

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await startGateway({ flags: ['--durability', 'os', '--log-level', 'warn'] });
  await fill();
}, WITHIN_MS);
afterAll(() => gateway.stop());

async function fill(): Promise<void> {
  const filler = await connect('filler', 4);
  await publishAll(filler, RECORDS, 0x33, topicOf);
  filler.confirmed = 0;
  await publishAll(filler, KILLED, 0x35, killedTopicOf);
  filler.close();
}

/** No more than two batches are open. */
async function publishAll(filler: MqttReader, count: number, first: number, topic: (n: number) => string): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    const packets = Array.from({ length: BATCH }, (_, i) => publishBytes(first, topic(from + i), ((from + i) % (2 * BATCH)) + 1, PAYLOAD));
    filler.socket.write(Buffer.concat(packets));
    await filler.until(() => filler.confirmed >= from + BATCH - AHEAD, 'the acknowledgements');
  }
  await filler.until(() => filler.confirmed === count, 'the last acknowledgements');
}

const connect = (clientId: string, version: 4 | 5, durable = false, onSeen: ((seen: Seen) => void) | null = null): Promise<MqttReader> =>
  MqttReader.connect(gateway.ports.mqtt, clientId, version, durable, onSeen);

const scanned = (): Promise<number> => metric(gateway, 'rows_scanned_total');

/** Notes whether they come in the order of the topics, each once. */
class Order {
  last = '';
  isKept = true;

  readonly note = ({ topic, retain }: Seen): void => {
    this.isKept &&= retain && topic > this.last;
    this.last = topic;
  };
}

describe('a SUBSCRIBE', { timeout: WITHIN_MS }, () => {
  it.each([4, 5] as const)('of version %i costs by what matches', async (version) => {
    const reader = await connect(`cost${version}`, version);
    const before = await scanned();
    await reader.subscribe(topicOf(RECORDS - 2), 1);
    await reader.until(() => reader.count === 1, 'one message');
    expect((await scanned()) - before).toBe(0);
    await reader.subscribe('a/+/b', 1);
    await reader.until(() => reader.count === 1 + MATCHES, 'the matches');
    // A slice behind each gap.
    expect((await scanned()) - before).toBeLessThan(MATCHES * 40);
    await reader.subscribe('nothing/+/here', 1);
    expect((await scanned()) - before).toBeLessThan(MATCHES * 40);
    reader.close();
  });

  it.each([
    [4, 0, false],
    [5, 1, false],
    [4, 1, true],
  ] as const)('of version %i to everything at QoS %i (durable %s) gets all of it, in order', async (version, qos, durable) => {
    const reader = await connect(`all${version}${qos}${durable}`, version, durable);
    const order = new Order();
    reader.onSeen = order.note;
    await reader.subscribe('#', qos);
    await reader.until(() => reader.count === RECORDS, 'all of it');
    expect(order.isKept).toBe(true);
    await emptied();
    await reader.unsubscribe('#');
    reader.close();
  });
});

describe('a reader that stops in the middle', { timeout: WITHIN_MS }, () => {
  it.each([
    [5, 0, false],
    [4, 1, true],
  ] as const)(
    'of version %i at QoS %i (durable %s) costs little, slows nobody, and gets the rest and then the news',
    async (version, qos, durable) => {
      const before = await residentBytes(gateway);
      const reader = await connect(`stops${version}${qos}${durable}`, version, durable);
      const order = new Order();
      reader.onSeen = order.note;
      await reader.subscribe('#', qos);
      await reader.until(() => reader.count > 5_000, 'some of it');
      reader.socket.pause();
      expect(await longestGap()).toBeLessThan(LONGEST_GAP_MS);
      expect((await residentBytes(gateway)) - before).toBeLessThan(GROWTH_BYTES);
      const news: string[] = [];
      const writer = await MqttWire.connected(gateway.ports.mqtt, 'writer');
      writer.publish('z/news', 'x', { qos: 1, messageId: 1 });
      await writer.answer('puback', 1);
      reader.onSeen = (seen) => {
        if (reader.count > RECORDS) news.push(`${seen.topic} ${seen.retain}`);
        else order.note(seen);
      };
      reader.socket.resume();
      await reader.until(() => reader.count >= RECORDS + 1, 'the rest');
      await emptied();
      expect([order.isKept, news]).toEqual([true, ['z/news false']]);
      await reader.unsubscribe('#');
      reader.close();
      await writer.drop();
    },
  );
});

/** Every exchange is finished. */
async function emptied(): Promise<void> {
  let queued = 0;
  const isEmpty = async (): Promise<boolean> => {
    queued = await metric(gateway, 'queued_messages');
    return queued === 0;
  };
  await until('the queue is empty', isEmpty, 30_000).catch((error: Error) => {
    throw new Error(`${error.message}: ${queued} are left`, { cause: error });
  });
}

/** The longest time that one of many messages takes from one client to another. */
async function longestGap(): Promise<number> {
  const [ticker, listener] = [await MqttWire.connected(gateway.ports.mqtt, 'ticker'), await connect('listener', 4)];
  await listener.subscribe('$tick', 1);
  let longest = 0;
  for (let n = 1; n <= TICKS; n++) {
    const sent = performance.now();
    ticker.publish('$tick', 'x', { qos: 1, messageId: n });
    await listener.until(() => listener.count >= n, 'the tick');
    longest = Math.max(longest, performance.now() - sent);
  }
  await ticker.drop();
  listener.close();
  return longest;
}

describe('kill -9 in the middle', { timeout: WITHIN_MS }, () => {
  const random = randomOf(11);

  it.each([
    [4, 1],
    [5, 1],
    [4, 2],
    [5, 2],
  ] as const)('[MQTT-4.4.0-1] [MQTT5-4.4.0-1] loses none of a durable session: version %i at QoS %i', async (version, qos) => {
    const clientId = `killed${version}${qos}`;
    const wanted = Array.from({ length: KILLED }, (_, n) => killedTopicOf(n));
    const came = new Map<string, number>();
    /** By packet id: of which the PUBLISH came, and no PUBREL yet. */
    const received = new Map<number, string>();
    const note = ({ topic, messageId, dup }: Seen): void => {
      // A receiver of QoS 2 knows a repetition by its packet id.
      if (qos === 2 && dup && received.get(messageId) === topic) return;
      received.set(messageId, topic);
      came.set(topic, (came.get(topic) ?? 0) + 1);
    };
    for (let kills = 0; kills < KILLS; kills++) {
      const reader = await connect(clientId, version, true, note);
      if (kills === 0) await reader.subscribe('$killed/+', qos);
      const count = reader.count + 1 + random(KILLED / (KILLS + 1));
      await reader.until(() => reader.count >= count, 'some of it');
      await gateway.restart({ kill: true });
    }
    const last = await connect(clientId, version, true, note);
    await last.until(() => came.size === wanted.length, 'the rest');
    await emptied();
    expect([...came.keys()].sort()).toEqual(wanted);
    if (qos === 2) expect([...came.values()].every((times) => times === 1)).toBe(true);
    last.close();
  });
});
