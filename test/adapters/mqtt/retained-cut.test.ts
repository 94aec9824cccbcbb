// Retained messages of a durable session, and a gateway that is cut off at each of its batches: before it is written, and after it
// was, without anybody being told. The next gateway goes on with what the store has: all of them come, at QoS 2 once, and in the end
// nothing of them is left ([MQTT-4.4.0-1], [MQTT5-4.4.0-1], [MQTT-4.3.3-1], [MQTT5-4.3.3-1]).

import { describe, expect, it } from 'vitest';
import { SECTION, type StoreState, type WriteBatch } from '../../../src/core/store/store.js';
import { GateStore } from '../../support/core-harness.js';
import { until } from '../../support/gateway-process.js';
import { MemoryDisk, MemoryStore } from '../../support/memory-store.js';
import { MqttHouse, MqttWire } from '../../support/mqtt-wire.js';
import { type Random, randomOf } from '../../support/random.js';

const WINDOW = 3;
const RECORDS = 10;
const LONG = process.env.TRIVIUM_TEST_LONG === '1';
/** With several cuts each. */
const LIVES = LONG ? 400 : 5;
const TIMEOUT_MS = LONG ? 1_800_000 : 60_000;
const topicOf = (n: number): string => `r/${String(n).padStart(2, '0')}`;
const ALL = Array.from({ length: RECORDS }, (_, n) => topicOf(n));

function copyOf(disk: MemoryDisk): MemoryDisk {
  const copy = new MemoryDisk();
  for (const [key, value] of disk.rows) copy.rows.set(key, value);
  copy.state = disk.state;
  return copy;
}

/** What the disk has is taken at one batch; that batch waits until it is released. */
class CutStore extends GateStore {
  cutDisk: MemoryDisk | null = null;

  constructor(
    disk: MemoryDisk,
    /** 0: never. */
    public cutAt: number,
    readonly isWritten: boolean,
  ) {
    super(disk);
  }

  override async write(batch: WriteBatch, state: StoreState): Promise<void> {
    if (this.writes + 1 === this.cutAt) {
      const disk = copyOf(this.disk);
      if (this.isWritten) {
        const store = new MemoryStore(disk);
        await store.open();
        await store.write(batch, state);
      }
      this.cutDisk = disk;
      this.held = true;
    }
    await super.write(batch, state);
  }
}

/** The client: it answers what comes, and remembers over its connections what the standard wants it to. */
class Client {
  readonly came: string[] = [];
  /** QoS 2: by packet id, of what it has received and not seen released. */
  readonly #received = new Map<number, string>();
  isSubscribed = false;
  /** Each of them asks for all that is retained. */
  subscribes = 0;

  constructor(
    readonly version: number,
    readonly qos: number,
  ) {}

  async connect(port: number): Promise<MqttWire> {
    const properties = this.version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {};
    const wire = await MqttWire.open(port, this.version);
    const id = { clientId: 'durable', clean: false, keepalive: 0, protocolId: 'MQTT', protocolVersion: this.version };
    wire.send({ cmd: 'connect', ...id, ...properties });
    return wire;
  }

  /** Answers so many of the packets that came; of the others it knows nothing should the connection end. */
  async answer(wire: MqttWire, count: number): Promise<void> {
    for (const _ of wire.unseen().slice(0, count)) {
      const packet = await wire.next();
      const { cmd, messageId } = packet as unknown as { cmd: string; messageId: number };
      if (cmd === 'connack' && !this.isSubscribed) this.#subscribe(wire);
      if (cmd === 'suback') this.isSubscribed = true;
      if (cmd === 'pubrel') {
        this.#received.delete(messageId);
        wire.send({ cmd: 'pubcomp', messageId });
      }
      if (cmd === 'publish') this.#onPublish(wire, packet as unknown as { topic: string; dup: boolean; messageId: number });
    }
  }

  #subscribe(wire: MqttWire): void {
    this.subscribes += 1;
    wire.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'r/+', qos: this.qos }] });
  }

  #onPublish(wire: MqttWire, { topic, messageId }: { topic: string; dup: boolean; messageId: number }): void {
    wire.send({ cmd: this.qos === 1 ? 'puback' : 'pubrec', messageId });
    if (this.qos === 2 && this.#received.get(messageId) === topic) return;
    this.#received.set(messageId, topic);
    this.came.push(topic);
  }
}

async function filled(qos: 1 | 2): Promise<MemoryDisk> {
  const store = new GateStore();
  const house = await MqttHouse.start({ store });
  for (const topic of ALL) await house.other().set(topic, 'old', { qos });
  await house.stop();
  return store.disk;
}

/** One gateway, until the cut (returns what is on the disk then), or until everything is done (null). */
async function run(
  client: Client,
  disk: MemoryDisk,
  cutAt: number,
  isWritten: boolean,
  random: Random | null = null,
): Promise<MemoryDisk | null> {
  const store = new CutStore(copyOf(disk), cutAt, isWritten);
  const house = await MqttHouse.start({ store, limits: { outgoingWindow: WINDOW } });
  const queued = (): number => house.counters.gauges.get('queued_messages')?.read() as number;
  const rows = (): string[] =>
    store
      .dump()
      .filter(([key]) => key[0] === SECTION.queue || key[0] === SECTION.message)
      .map(([key]) => key);
  const isDone = (): boolean => new Set(client.came).size === RECORDS && queued() === 0 && rows().length === 0;
  const wire = await client.connect(house.port);
  try {
    await until('done', async () => {
      if (store.cutDisk === null) await client.answer(wire, random === null ? Number.POSITIVE_INFINITY : random(4));
      return store.cutDisk !== null || isDone();
    });
  } catch (error) {
    throw new Error(
      `${(error as Error).message}: came ${client.came.length}, queued ${queued()}, rows ${rows()}; ${JSON.stringify(wire.packets.slice(-5))}`,
    );
  }
  store.cutAt = 0;
  await wire.drop();
  store.release();
  await house.stop();
  return store.cutDisk;
}

function check({ came, qos, subscribes }: Client): void {
  if (qos === 2 && subscribes === 1) expect(came.toSorted()).toEqual(ALL);
  else expect([...new Set(came)].sort()).toEqual(ALL);
}

describe.each([
  [4, 1],
  [5, 1],
  [4, 2],
  [5, 2],
] as const)('version %i at QoS %i', (version, qos) => {
  it.each([false, true])('a cut at each batch (written %s)', { timeout: TIMEOUT_MS }, async (isWritten) => {
    const disk = await filled(qos);
    for (let cutAt = 1; ; cutAt++) {
      const client = new Client(version, qos);
      const cut = await run(client, disk, cutAt, isWritten);
      if (cut === null) break;
      await run(client, cut, 0, false).catch((error) => {
        throw new Error(`cut at ${cutAt}: ${error.message}`);
      });
      check(client);
    }
  });

  it(`many cuts (${LIVES} lives)`, { timeout: TIMEOUT_MS }, async () => {
    const disk = await filled(qos);
    for (let seed = 1; seed <= LIVES; seed++) {
      const random: Random = randomOf(seed);
      const client = new Client(version, qos);
      let next: MemoryDisk | null = disk;
      const cuts: string[] = [];
      while (next !== null) {
        const [cutAt, isWritten]: [number, boolean] = [1 + random(40), random(2) === 0];
        cuts.push(`${cutAt}${isWritten}`);
        next = await run(client, next, cutAt, isWritten, random).catch((error) => {
          throw new Error(`life ${seed} ${cuts.join(' ')}: ${error.message}`);
        });
      }
      check(client);
    }
  });
});
