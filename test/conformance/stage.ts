// What the tests of the normative statements share: a gateway for a file, clients of their own for each test, and what it
// looks like when the gateway ends a connection.

import { afterAll, beforeAll, expect } from 'vitest';
import { packetsIn } from '../support/mqtt-bytes.js';
import { type HouseOptions, MqttHouse, type MqttPacket, MqttWire, shown } from '../support/mqtt-wire.js';

/** As mqtt-packet names the fields of a CONNECT. */
export interface ClientOptions {
  readonly clientId?: string;
  readonly clean?: boolean;
  readonly keepalive?: number;
  readonly [field: string]: unknown;
}

export interface PublishOptions {
  readonly qos?: 1 | 2;
  readonly messageId?: number;
  readonly retain?: boolean;
  readonly properties?: object;
}

/** How long a session of version 5 is kept here, in seconds, where it does not matter. */
const KEPT_SECONDS = 600;

export class Stage {
  #house: MqttHouse | null = null;
  #clients = 0;

  constructor(
    private readonly options: HouseOptions,
    readonly version: 4 | 5,
  ) {}

  get house(): MqttHouse {
    return this.#house as MqttHouse;
  }

  async open(): Promise<void> {
    this.#house = await MqttHouse.start(this.options);
  }

  async close(): Promise<void> {
    await this.house.stop();
  }

  /** A socket without CONNECT. */
  wire(): Promise<MqttWire> {
    return MqttWire.open(this.house.port, this.version);
  }

  /** A client id that no other test uses. */
  clientId(): string {
    this.#clients += 1;
    return `client${this.#clients}`;
  }

  /** Connected; under an id of its own unless `options` name one. */
  async client(options: ClientOptions = {}): Promise<MqttWire> {
    const { wire, connack } = await this.connect(options);
    if ((connack.returnCode ?? connack.reasonCode) !== 0) throw new Error(`refused: ${JSON.stringify(connack)}`);
    return wire;
  }

  /** Whether it is accepted or not. */
  async connect(options: ClientOptions = {}): Promise<{ readonly wire: MqttWire; readonly connack: MqttPacket }> {
    const { clientId = this.clientId() } = options;
    const wire = await this.wire();
    wire.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: this.version, clean: true, clientId, keepalive: 0, ...options });
    return { wire, connack: await wire.expect('connack') };
  }

  /** A session that outlives its connection. */
  durable(clientId: string, options: ClientOptions = {}): Promise<MqttWire> {
    const { properties = {} } = options as { properties?: object };
    const kept = this.version === 5 ? { properties: { sessionExpiryInterval: KEPT_SECONDS, ...properties } } : {};
    return this.client({ clientId, clean: false, ...options, ...kept });
  }

  /** The connection is cut, and the gateway knows it. */
  async lose(wire: MqttWire): Promise<void> {
    const sessions = (): number => this.house.counters.gauges.get('sessions')?.read() as number;
    const before = sessions();
    await wire.drop();
    while (sessions() >= before) await new Promise<void>((resolve) => setImmediate(resolve));
  }

  /** DISCONNECT, and the gateway has ended the connection. */
  async leave(wire: MqttWire): Promise<void> {
    wire.send({ cmd: 'disconnect' });
    await wire.closed();
  }

  /** The gateway ends the connection over these bytes of a connected client; of version 5: with a DISCONNECT of this reason code. */
  async expectDisconnect(bytes: Uint8Array, reasonCode: number, options: ClientOptions = {}): Promise<void> {
    const wire = await this.client(options);
    wire.bytes(bytes);
    await wire.closed();
    expect(wire.rest()).toMatchObject([{ cmd: 'disconnect', reasonCode }]);
  }

  /** The gateway ends the connection over these bytes of a connected client, and says nothing more. */
  async expectEnd(bytes: Uint8Array): Promise<void> {
    const wire = await this.client();
    wire.bytes(bytes);
    await wire.closed();
    expect(wire.rest()).toEqual([]);
  }

  /** The gateway ends a new connection over these bytes without any packet. */
  async expectEndWithoutConnack(bytes: Uint8Array): Promise<void> {
    const wire = await this.wire();
    wire.bytes(bytes);
    await wire.closed();
    expect(wire.packets).toEqual([]);
  }

  /** The gateway answers a new connection's bytes with a return code (reason code), without a session, and ends it. */
  async expectRefusal(bytes: Uint8Array, returnCode: number): Promise<void> {
    const wire = await this.wire();
    wire.bytes(bytes);
    const field = this.version === 5 ? 'reasonCode' : 'returnCode';
    expect(await wire.expect('connack')).toMatchObject({ [field]: returnCode, sessionPresent: false });
    await wire.closed();
    expect(wire.rest()).toEqual([]);
  }
}

/** One gateway for the tests of a file. */
export function stage(options: HouseOptions = {}, version: 4 | 5 = 4): Stage {
  const made = new Stage(options, version);
  beforeAll(() => made.open());
  afterAll(() => made.close());
  return made;
}

/** What the client was published until now, each as `topic=payload/qos`, with `r` and `d` for the flags; acknowledged. */
export async function published(wire: MqttWire): Promise<string[]> {
  const packets = (await wire.settled()).filter(({ cmd }) => cmd === 'publish');
  for (const packet of packets) acknowledge(wire, packet);
  return packets.map(shown);
}

/** The first half of QoS 2, all of QoS 1. */
export function acknowledge(wire: MqttWire, { qos, messageId }: MqttPacket): void {
  if (qos === 1) wire.send({ cmd: 'puback', messageId });
  if (qos === 2) wire.send({ cmd: 'pubrec', messageId });
}

/** Publishes at a level above 0 and waits for the first acknowledgement. */
export async function publish(wire: MqttWire, topic: string, payload: string, options: PublishOptions = {}): Promise<void> {
  const { qos = 1, messageId = 4_000 } = options;
  wire.publish(topic, payload, { ...options, qos, messageId });
  await wire.answer(qos === 1 ? 'puback' : 'pubrec', messageId);
}

/** All bytes that come from now on, as packets in hexadecimal. */
export function recorded(wire: MqttWire): () => string[] {
  const chunks: Buffer[] = [];
  wire.socket.on('data', (chunk) => chunks.push(Buffer.from(chunk)));
  return () => packetsIn(Buffer.concat(chunks));
}
