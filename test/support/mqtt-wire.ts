// MQTT for tests: the adapter over an engine in this process, a bare aedes beside it, and a client that is nothing but a
// socket, so that tests decide about every byte.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Aedes, type AedesOptions } from 'aedes';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { MqttAdapter, type MqttConfig } from '../../src/adapters/mqtt/index.js';
import { Counters } from '../../src/core/counters.js';
import { QUEUE_LIMITS, type QueueLimits } from '../../src/core/durable/durable-session.js';
import { INBOUND_LIMITS } from '../../src/core/engine/inbound-queue.js';
import { Engine } from '../../src/core/engine.js';
import { type AdapterContext, goodbye, type Listening, type Log } from '../../src/core/index.js';
import { PATH_INDEX_BYTES } from '../../src/core/paths/path-index.js';
import { SCAN_LIMITS } from '../../src/core/scans/scan-host.js';
import { type Access, OPEN_ACCESS } from '../../src/core/security/access.js';
import { Audit } from '../../src/core/security/audit.js';
import { Directory } from '../../src/core/security/directory.js';
import { formats, GateStore, TestSession } from './core-harness.js';
import { type KeptLine, keptLog } from './silent-log.js';

const ANSWER_WITHIN_MS = 5_000;

export type MqttPacket = Packet & { readonly [key: string]: unknown };

/** A socket that speaks packets. Everything received is kept in `packets`. */
export class MqttWire {
  readonly packets: MqttPacket[] = [];
  ended = false;
  received = 0;
  #next = 0;
  #changed: (() => void) | null = null;
  readonly #parser;

  private constructor(
    readonly socket: Socket,
    readonly version: number,
  ) {
    this.#parser = mqttPacket.parser({ protocolVersion: version });
    this.#parser.on('packet', (packet) => {
      this.packets.push(packet as MqttPacket);
      this.#wake();
    });
    socket.on('data', (chunk) => {
      this.received += chunk.length;
      this.#parser.parse(chunk);
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.ended = true;
      this.#wake();
    });
  }

  static async open(port: number, version = 4): Promise<MqttWire> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    return new MqttWire(socket, version);
  }

  /** Over a connection that is made already. */
  static over(socket: Socket, version = 4): MqttWire {
    return new MqttWire(socket, version);
  }

  /** Connected as `clientId`, CONNACK read. */
  static async connected(port: number, clientId: string, options: object = {}): Promise<MqttWire> {
    const wire = await MqttWire.open(port, (options as { protocolVersion?: number }).protocolVersion);
    wire.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId, keepalive: 0, ...options });
    await wire.expect('connack');
    return wire;
  }

  send(...packets: object[]): void {
    this.bytes(Buffer.concat(packets.map((packet) => encode(packet, this.version))));
  }

  bytes(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** The next packet that was not looked at; fails when the connection ends before it. */
  async next(): Promise<MqttPacket> {
    await this.until(() => this.#next < this.packets.length, 'a packet');
    const packet = this.packets[this.#next] as MqttPacket;
    this.#next += 1;
    return packet;
  }

  async expect(cmd: string): Promise<MqttPacket> {
    const packet = await this.next();
    if (packet.cmd !== cmd) throw new Error(`expected ${cmd}, got ${JSON.stringify(packet)}`);
    return packet;
  }

  /** Packets that came and were not looked at; they stay so. */
  unseen(): MqttPacket[] {
    return this.packets.slice(this.#next);
  }

  /** Packets that came and were not looked at. */
  rest(): MqttPacket[] {
    const packets = this.packets.slice(this.#next);
    this.#next = this.packets.length;
    return packets;
  }

  /**
   * Everything that the broker had to say before now was said. Returns what it was. A PINGRESP may overtake what was asked for
   * just before it; a second one does not.
   */
  async settled(): Promise<MqttPacket[]> {
    await this.#pinged();
    await this.#pinged();
    return this.rest().filter(({ cmd }) => cmd !== 'pingresp');
  }

  async #pinged(): Promise<void> {
    const from = this.packets.length;
    this.send({ cmd: 'pingreq' });
    await this.until(() => this.packets.findIndex((packet, i) => i >= from && packet.cmd === 'pingresp') >= 0, 'pingresp');
  }

  async until(fact: () => boolean, what: string): Promise<void> {
    const deadline = setTimeout(() => {
      this.socket.destroy();
    }, ANSWER_WITHIN_MS);
    while (!fact()) {
      if (this.ended) throw new Error(`the connection ended before ${what}; got ${this.packets.map(({ cmd }) => cmd).join(' ')}`);
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
    clearTimeout(deadline);
  }

  /** Resolves when the other side ended the connection. */
  async closed(): Promise<void> {
    const deadline = setTimeout(() => this.#wake(), ANSWER_WITHIN_MS);
    while (!this.ended) {
      const before = this.packets.length;
      await new Promise<void>((resolve) => (this.#changed = resolve));
      if (!this.ended && this.packets.length === before) throw new Error('the connection was not ended');
    }
    clearTimeout(deadline);
  }

  /** The answer to a packet, wherever it stands among the packets that were not looked at. */
  async answer(cmd: string, messageId: number): Promise<MqttPacket> {
    const from = this.#next;
    const find = (): number => this.packets.findIndex((packet, i) => i >= from && packet.cmd === cmd && packet.messageId === messageId);
    await this.until(() => find() >= 0, cmd);
    return this.packets.splice(find(), 1)[0] as MqttPacket;
  }

  async subscribe(filter: string, qos = 0, messageId = 1): Promise<MqttPacket> {
    this.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: filter, qos }] });
    return await this.answer('suback', messageId);
  }

  publish(topic: string, payload: string, options: object = {}): void {
    this.send({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false, ...options });
  }

  /** Without goodbye. */
  async drop(): Promise<void> {
    this.socket.destroy();
    if (!this.ended) await once(this.socket, 'close');
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = null;
    changed?.();
  }
}

export function encode(packet: object, version = 4): Buffer {
  return mqttPacket.generate(packet as Packet, { protocolVersion: version });
}

/** `topic=payload/qos`, with `r` and `d` for the flags. */
export function shown(packet: MqttPacket): string {
  const { topic, payload, qos, retain, dup } = packet as unknown as {
    topic: string;
    payload: Buffer;
    qos: number;
    retain: boolean;
    dup: boolean;
  };
  return `${topic}=${payload.toString()}/${qos}${retain ? 'r' : ''}${dup ? 'd' : ''}`;
}

export interface Broker {
  readonly port: number;
  /** The next attempt to keep something fails. */
  failOnce(): void;
  stop(): Promise<void>;
}

export interface HouseOptions extends Partial<MqttConfig> {
  readonly store?: GateStore;
  readonly queue?: QueueLimits;
  readonly access?: Access;
  /** Shared by houses that follow each other. */
  readonly clock?: { mono: number; ahead: number };
}

/** The adapter over a real engine on a store in memory. */
export class MqttHouse implements Broker {
  private constructor(
    readonly port: number,
    readonly engine: Engine,
    readonly adapter: MqttAdapter,
    readonly context: AdapterContext,
    readonly store: GateStore,
    readonly counters: Counters,
    /** Milliseconds: the monotonic time, and how far the time of day is ahead of the machine's. */
    readonly clock: { mono: number; ahead: number },
    readonly lines: KeptLine[],
    readonly tlsPort: number | undefined,
  ) {}

  static async start(options: HouseOptions = {}): Promise<MqttHouse> {
    const { store = new GateStore(), queue = QUEUE_LIMITS, access = OPEN_ACCESS, clock = { mono: 1, ahead: 0 }, ...config } = options;
    const counters = new Counters();
    const log = keptLog();
    const time = { now: () => Date.now() + clock.ahead, monotonic: () => clock.mono };
    const engine = new Engine({
      store,
      durability: 'sync',
      formats,
      access,
      directory: new Directory(),
      audit: new Audit(time, log, counters),
      clock: time,
      log,
      counters,
      limits: { inbound: INBOUND_LIMITS, queue, scan: SCAN_LIMITS, cacheBytes: 1024 * 1024, pathIndexBytes: PATH_INDEX_BYTES },
    });
    await engine.start();
    const context = engine.context({
      node: { id: randomUUID(), name: 'test', version: '0', startedAt: 0 },
      log: log as Log,
      http: { upgrade() {}, request() {} },
    });
    const adapter = new MqttAdapter({ host: '127.0.0.1', port: 0, ...config });
    const listeners = await adapter.start(context);
    const { port } = listeners.get('mqtt') as Listening;
    return new MqttHouse(port, engine, adapter, context, store, counters, clock, log.lines, listeners.get('mqttTls')?.port);
  }

  failOnce(): void {
    this.store.failure = new Error('no space left on device');
  }

  /** A session of another protocol. */
  other(): TestSession {
    return new TestSession(this.context, false);
  }

  async stop(): Promise<void> {
    await this.adapter.stop(1_000, goodbye(true));
    await this.engine.stop();
  }
}

/** aedes as it comes. */
export class BareAedes implements Broker {
  private constructor(
    readonly port: number,
    private readonly server: Server,
    readonly broker: Aedes,
  ) {}

  static async start(options: AedesOptions = {}): Promise<BareAedes> {
    const broker = await Aedes.createBroker(options);
    const server = createServer({ noDelay: true }, (socket) => broker.handle(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new BareAedes((server.address() as { port: number }).port, server, broker);
  }

  /** What aedes next wants to queue for sessions that are away cannot be kept. */
  failOnce(): void {
    const { persistence } = this.broker as unknown as { persistence: { outgoingEnqueueCombi: unknown } };
    const kept = persistence.outgoingEnqueueCombi;
    persistence.outgoingEnqueueCombi = async () => {
      persistence.outgoingEnqueueCombi = kept;
      throw new Error('no space left on device');
    };
  }

  async stop(): Promise<void> {
    this.server.close();
    await new Promise<void>((resolve) => this.broker.close(() => resolve()));
  }
}
