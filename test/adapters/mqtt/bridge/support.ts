// A bridge over an engine in this process, a client of its remote, and a session on this side.

import { randomUUID } from 'node:crypto';
import { connect, type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt';
import { onTestFinished } from 'vitest';
import { BridgeAdapter } from '../../../../src/adapters/mqtt/index.js';
import type { BridgeInput } from '../../../../src/config/bridges.js';
import { loadConfig } from '../../../../src/config/index.js';
import { goodbye } from '../../../../src/core/index.js';
import { type GateStore, type Harness, type HarnessOptions, startEngine, type TestSession } from '../../../support/core-harness.js';
import { until } from '../../../support/gateway-process.js';
import { type KeptLine, keptLog } from '../../../support/silent-log.js';

export interface House {
  readonly harness: Harness;
  readonly adapter: BridgeAdapter;
  readonly session: TestSession;
  readonly lines: readonly KeptLine[];
  readonly node: string;
  /** The figure of that name without its prefix; `reason` picks one kind of drop. */
  count(name: string, reason?: string, bridge?: string): number;
  connected(bridge?: string): Promise<void>;
  stop(): Promise<void>;
}

export interface HouseOptions extends HarnessOptions {
  /** The store of an earlier house: what it kept is there again. */
  readonly store?: GateStore;
  readonly node?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export const NAME = 'b';

/** One bridge, or several with names, or none; they retry soon. */
export async function startHouse(
  bridge: Partial<BridgeInput> | readonly Partial<BridgeInput>[] | null,
  options: HouseOptions = {},
): Promise<House> {
  const list = bridge === null ? [] : Array.isArray(bridge) ? bridge : [bridge];
  const given = list.map((one) => ({ name: NAME, retryMinMs: 100, retryMaxMs: 400, ...one }) as BridgeInput);
  const { bridges } = loadConfig({ given: { bridges: given } }).config;
  const log = keptLog();
  const node = options.node ?? randomUUID();
  const harness = await startEngine({ ...options, log });
  const adapter = new BridgeAdapter({ bridges, maxPacketBytes: 1024 * 1024 }, options.env ?? {});
  const http = { upgrade() {}, request() {} };
  await adapter.start(harness.engine.context({ node: { id: node, name: 'test', version: '0', startedAt: 0 }, log, http }));
  let stopped = false;
  const house: House = {
    harness,
    adapter,
    session: harness.session(),
    lines: log.lines,
    node,
    count: (name, reason, one = NAME) => {
      const full = `${name}{bridge="${one}"${reason === undefined ? '' : `,reason="${reason}"`}}`;
      return harness.counters.counters.get(full)?.value ?? harness.counters.gauges.get(full)?.read() ?? 0;
    },
    connected: (one = NAME) => until('the bridge is connected and has caught up', () => isCaughtUp(house, one)),
    stop: async () => {
      if (stopped) return;
      stopped = true;
      await adapter.stop(2_000, goodbye(true));
      await harness.stop();
    },
  };
  onTestFinished(house.stop);
  return house;
}

/** The last that a bridge does on a new connection is to note what it did. */
async function isCaughtUp(house: House, bridge: string): Promise<boolean> {
  if (house.count('bridge_connected', undefined, bridge) !== 1) return false;
  const { entry } = await house.session.get(`/_SYSTEM/_BRIDGES/${bridge}`);
  return entry !== null;
}

export interface Heard {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly packet: IPublishPacket;
}

/** A client of the remote that writes down what it hears. */
export class Far {
  readonly heard: Heard[] = [];

  /** Listens before it is connected: a kept session sends at once. */
  private constructor(readonly client: MqttClient) {
    client.on('message', (topic, payload, packet) => {
      this.heard.push({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain, packet });
    });
  }

  /** Hears `filter` as published, at QoS 2. */
  static async connect(url: string, filter = '#', options: IClientOptions = {}): Promise<Far> {
    const far = new Far(connect(url, { protocolVersion: 5, reconnectPeriod: 0, ...options }));
    onTestFinished(async () => await far.client.endAsync(true));
    await new Promise<void>((resolve, reject) => {
      far.client.once('connect', () => resolve());
      far.client.once('error', reject);
    });
    await far.client.subscribeAsync(filter, { qos: 2, rap: true });
    return far;
  }

  async publish(topic: string, payload: string, options: { qos?: 0 | 1 | 2; retain?: boolean; properties?: object } = {}): Promise<void> {
    await this.client.publishAsync(topic, payload, { qos: 1, ...options });
  }

  /** Payloads on a topic, in order. */
  payloads(topic: string): string[] {
    return this.heard.filter((one) => one.topic === topic).map(({ payload }) => payload);
  }

  async until(count: number, topic?: string): Promise<void> {
    const all = (): readonly Heard[] => (topic === undefined ? this.heard : this.heard.filter((one) => one.topic === topic));
    await until(`${count} messages at the remote`, () => all().length >= count).catch((error: Error) => {
      throw new Error(`${error.message}; heard ${JSON.stringify(all().map((one) => [one.topic, one.payload]))}`);
    });
  }
}

/** Events that a session of this side heard on a path, as values. */
export function valuesOf(session: TestSession, path: string): unknown[] {
  return session.heard
    .filter(({ publication }) => publication.path === path)
    .map(({ publication }) => publication.payload?.value() ?? null);
}

export async function untilHeard(session: TestSession, path: string, count: number): Promise<void> {
  await until(`${count} events on ${path} here`, () => valuesOf(session, path).length >= count).catch((error: Error) => {
    throw new Error(`${error.message}; heard ${JSON.stringify(valuesOf(session, path))}`);
  });
}
