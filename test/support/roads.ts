// The roads into the data space, each with a real client of its protocol behind one face: what is written over one is looked
// at over the others in the form in which that protocol shows it.

import type { Socket } from 'node:net';
import mqtt, { type MqttClient } from 'mqtt';
import type { Value } from '../../src/core/data/payload.js';
import type { Ports } from './gateway-process.js';
import { GENERATIONS, type HappnClient, type Heard as HappnHeard } from './happn-clients.js';
import { HavenClient, type HavenEvent, HavenRefusal } from './haven-client.js';

export interface Heard {
  readonly action: 'set' | 'remove';
  readonly path: string;
  /** As the protocol shows it; null for a removal. */
  readonly body: unknown;
}

/** One subscription and what it heard, oldest first. */
export class Ear {
  readonly heard: Heard[] = [];
  #waiting: (() => void)[] = [];

  constructor(readonly pattern: string) {}

  push(heard: Heard): void {
    this.heard.push(heard);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves with everything so far as soon as `fact` holds for one of it. */
  async until(fact: (heard: Heard) => boolean): Promise<readonly Heard[]> {
    for (let seen = 0; ; ) {
      for (; seen < this.heard.length; seen++) if (fact(this.heard[seen] as Heard)) return this.heard;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** What was heard before the news of `path`. */
  async before(path: string): Promise<readonly Heard[]> {
    const all = await this.until((heard) => heard.path === path);
    return all.slice(
      0,
      all.findIndex((heard) => heard.path === path),
    );
  }
}

export interface RoadClient {
  /** Resolves when acknowledged. Bodies as the protocol's users give them. */
  set(path: string, body: unknown): Promise<void>;
  /** An event that stores nothing; Haven has none and throws. */
  emit(path: string, body: unknown): Promise<void>;
  /** As the protocol shows it; undefined: there is no record. */
  get(path: string): Promise<unknown>;
  remove(path: string): Promise<void>;
  /** Resolves when the subscription is answered. `initial`: the records come first. */
  listen(pattern: string, initial?: boolean): Promise<Ear>;
  close(): Promise<void>;
}

export interface Road {
  readonly name: string;
  readonly protocol: 'happn' | 'mqtt' | 'haven';
  readonly hasEvents: boolean;
  /** A pattern for everything below. */
  readonly below: (prefix: string) => string;
  /** How a value of the shared model is given to `set`. */
  readonly says: (value: Value) => unknown;
  /** How a value of the shared model is shown. */
  readonly shows: (value: Value) => unknown;
  readonly connect: (ports: Ports) => Promise<RoadClient>;
}

class HappnRoadClient implements RoadClient {
  constructor(readonly client: HappnClient) {}

  async set(path: string, body: unknown): Promise<void> {
    await this.client.set(path, body);
  }
  async emit(path: string, body: unknown): Promise<void> {
    await this.client.set(path, body, { noStore: true });
  }
  async get(path: string): Promise<unknown> {
    const record = (await this.client.get(path)) as object | null;
    return record === null ? undefined : withoutMeta(record);
  }
  async remove(path: string): Promise<void> {
    await this.client.remove(path);
  }
  async listen(pattern: string, initial = false): Promise<Ear> {
    const ear = new Ear(pattern);
    await this.client.on(pattern, { event_type: 'all', initialEmit: initial }, ({ data, meta }: HappnHeard) => {
      // Initial values come to the handler with their own meta inside, and that of the subscription or none beside.
      const beside: Partial<HappnHeard['meta']> = (meta as HappnHeard['meta'] | undefined) ?? {};
      const path = data._meta?.path ?? beside.path;
      const isRemoval = String(beside.action).startsWith('/REMOVE@');
      ear.push({ action: isRemoval ? 'remove' : 'set', path: path as string, body: isRemoval ? null : withoutMeta(data) });
    });
    return ear;
  }
  close(): Promise<void> {
    return this.client.disconnect();
  }
}

function withoutMeta(record: object): object {
  const { _meta, ...rest } = record as { _meta?: unknown };
  return rest;
}

class HavenRoadClient implements RoadClient {
  readonly #ears = new Map<number, Ear>();
  readonly #early: HavenEvent[] = [];

  constructor(readonly client: HavenClient) {
    client.onPushed = (event) => this.#onEvent(event);
  }

  async set(path: string, body: unknown): Promise<void> {
    await this.client.write(path, body);
  }
  emit(): Promise<void> {
    return Promise.reject(new Error('Haven has no events that store nothing'));
  }
  async get(path: string): Promise<unknown> {
    try {
      return (await this.client.read(path)).value;
    } catch (error) {
      if (error instanceof HavenRefusal && error.errorName === 'NOT_FOUND') return undefined;
      throw error;
    }
  }
  async remove(path: string): Promise<void> {
    await this.client.delete(path);
  }
  async listen(pattern: string, initial = false): Promise<Ear> {
    const ear = new Ear(pattern);
    this.#ears.set(await this.client.watch(pattern, { push: true, initial }), ear);
    for (const event of this.#early.splice(0)) this.#onEvent(event);
    return ear;
  }
  close(): Promise<void> {
    return this.client.close();
  }

  #onEvent(event: HavenEvent): void {
    const ear = this.#ears.get(event.watch);
    if (ear === undefined) this.#early.push(event);
    else if (event.type === 'delete') ear.push({ action: 'remove', path: event.path, body: null });
    else ear.push({ action: 'set', path: event.path, body: event.value });
  }
}

interface Reading {
  readonly path: string;
  found: Buffer | undefined;
  readonly done: (found: Buffer | undefined) => void;
}

class MqttRoadClient implements RoadClient {
  readonly #ears: { readonly ear: Ear; readonly matches: (topic: string) => boolean; readonly initial: boolean }[] = [];
  /** By the topic of the message to itself that follows the retained one. */
  readonly #readings = new Map<string, Reading>();
  #lastReading = 0;

  constructor(readonly client: MqttClient) {
    client.on('message', (topic, payload, { retain }) => this.#onMessage(topic, payload, retain));
  }

  async set(path: string, body: unknown): Promise<void> {
    await this.client.publishAsync(path, body as Buffer, { qos: 1, retain: true });
  }
  async emit(path: string, body: unknown): Promise<void> {
    await this.client.publishAsync(path, body as Buffer, { qos: 1 });
  }
  remove(path: string): Promise<void> {
    return this.set(path, '');
  }
  async get(path: string): Promise<unknown> {
    const fence = `fence/${this.client.options.clientId}/${this.#lastReading++}`;
    const read = new Promise<Buffer | undefined>((done) => this.#readings.set(fence, { path, found: undefined, done }));
    await this.client.subscribeAsync([path, fence], { qos: 1 });
    await this.client.publishAsync(fence, '.', { qos: 1 });
    const found = await read;
    const isHeard = this.#ears.some(({ ear }) => ear.pattern === path);
    await this.client.unsubscribeAsync(isHeard ? [fence] : [path, fence]);
    return found;
  }
  async listen(pattern: string, initial = false): Promise<Ear> {
    const ear = new Ear(pattern);
    this.#ears.push({ ear, matches: filterMatcher(pattern), initial });
    await this.client.subscribeAsync(pattern, { qos: 1 });
    return ear;
  }
  async close(): Promise<void> {
    await this.client.endAsync();
  }

  #onMessage(topic: string, payload: Buffer, retain: boolean): void {
    const fenced = this.#readings.get(topic);
    if (fenced !== undefined) {
      this.#readings.delete(topic);
      fenced.done(fenced.found);
      return;
    }
    if (retain) for (const reading of this.#readings.values()) if (reading.path === topic) reading.found = payload;
    const isRemoval = payload.length === 0;
    for (const { ear, matches, initial } of this.#ears) {
      if (!matches(topic) || (retain && !initial)) continue;
      ear.push({ action: isRemoval ? 'remove' : 'set', path: topic, body: isRemoval ? null : payload });
    }
  }
}

/** MQTT 3.1.1 section 4.7, by a regular expression of our own making. */
function filterMatcher(filter: string): (topic: string) => boolean {
  const levels = filter.split('/').map((level) => {
    if (level === '+') return '[^/]*';
    return level === '#' ? '.*' : level.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  });
  const source = levels.join('/').replace(/\/\.\*$/, '(/.*)?');
  const expression = new RegExp(`^${source}$`, 'su');
  return (topic) => expression.test(topic) && !(topic.startsWith('$') && /^[+#]/.test(filter));
}

export async function connectMqtt(ports: Ports, options: mqtt.IClientOptions = {}): Promise<MqttClient> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${ports.mqtt}`, { reconnectPeriod: 0, ...options });
  (client.stream as Socket).setNoDelay(true);
  return client;
}

/** The gateway's JSON escapes the two separators that JavaScript once did not allow in texts; happn clients need that. */
const text = (value: Value): Buffer => {
  return Buffer.from(JSON.stringify(value).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029'));
};

/** A value of the shared model as MQTT bytes: a text as itself unless it could be taken for something else. */
function mqttBytes(value: Value): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (typeof value !== 'string' || value === '') return text(value);
  try {
    // A number that no double holds is not taken for a number, so a text like it needs no quotes.
    return JSON.parse(value) === Number.POSITIVE_INFINITY ? Buffer.from(value) : text(value);
  } catch {
    return Buffer.from(value);
  }
}

function happnForm(value: Value): unknown {
  if (value instanceof Uint8Array) return { $binary: { base64: Buffer.from(value).toString('base64'), subType: '00' } };
  if (value !== null && typeof value === 'object' && !Array.isArray(value) && !(value instanceof Date)) return value;
  return { value };
}

export function happnRoad(name: string, generation: string, below: (prefix: string) => string): Road {
  const { connect } = GENERATIONS.find((one) => one.name === generation) as (typeof GENERATIONS)[number];
  return {
    name,
    protocol: 'happn',
    hasEvents: true,
    below,
    says: (value) => (value instanceof Uint8Array ? happnForm(value) : value),
    shows: happnForm,
    connect: async (ports) => new HappnRoadClient(await connect(ports.happn)),
  };
}

export const HAPPN: Road = happnRoad('happn', 'happn-3-v13', (prefix) => `${prefix}/**`);
export const HAPPN_2: Road = happnRoad('happn 2', 'happn 2.21.4', (prefix) => `${prefix}/*`);

export const MQTT: Road = {
  name: 'MQTT',
  protocol: 'mqtt',
  hasEvents: true,
  below: (prefix) => `${prefix}/#`,
  says: mqttBytes,
  shows: mqttBytes,
  connect: async (ports) => new MqttRoadClient(await connectMqtt(ports)),
};

export const HAVEN: Road = {
  name: 'Haven',
  protocol: 'haven',
  hasEvents: false,
  below: (prefix) => `${prefix}/*`,
  says: (value) => (value instanceof Uint8Array ? Buffer.from(value) : value),
  shows: (value) => (value instanceof Uint8Array ? Buffer.from(value) : value),
  connect: async (ports) => new HavenRoadClient(await HavenClient.connect(ports.haven)),
};

export const ROADS: readonly Road[] = [HAPPN, HAPPN_2, MQTT, HAVEN];
