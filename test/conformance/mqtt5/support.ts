// What the tests of MQTT 5 share beyond the stage: subscribing and publishing with options, and what came with properties.

import type { MqttPacket, MqttWire } from '../../support/mqtt-wire.js';
import type { ClientOptions } from '../stage.js';

export interface FilterOptions {
  readonly qos?: number;
  /** No local. */
  readonly nl?: boolean;
  /** Retain as published. */
  readonly rap?: boolean;
  /** Retain handling. */
  readonly rh?: number;
}

let lastId = 10_000;

/** The reason code of the SUBACK. */
export async function subscribe(wire: MqttWire, topic: string, options: FilterOptions = {}, identifier = 0): Promise<number> {
  lastId += 1;
  const properties = identifier > 0 ? { subscriptionIdentifier: identifier } : {};
  wire.send({ cmd: 'subscribe', messageId: lastId, subscriptions: [{ topic, qos: 0, ...options }], properties });
  const { granted } = (await wire.answer('suback', lastId)) as unknown as { granted: number[] };
  return granted[0] as number;
}

/** The reason codes of the UNSUBACK. */
export async function unsubscribe(wire: MqttWire, ...unsubscriptions: readonly string[]): Promise<number[]> {
  lastId += 1;
  wire.send({ cmd: 'unsubscribe', messageId: lastId, unsubscriptions });
  return ((await wire.answer('unsuback', lastId)) as unknown as { granted: number[] }).granted;
}

export interface Told {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly messageId?: number;
  readonly properties?: Readonly<Record<string, unknown>>;
}

/** PUBLISH packets that have come, not acknowledged. */
export async function told(wire: MqttWire): Promise<Told[]> {
  return (await wire.settled()).filter(({ cmd }) => cmd === 'publish') as unknown as Told[];
}

export const propertiesOf = (packet: MqttPacket | Told): Readonly<Record<string, unknown>> =>
  ((packet as { properties?: Record<string, unknown> }).properties ?? {}) as Readonly<Record<string, unknown>>;

/** A login of the test's own users. */
export const login = (username: string, password: string): ClientOptions => ({ username, password: Buffer.from(password) });
