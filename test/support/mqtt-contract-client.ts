// An MQTT 3.1.1 client on mqtt-packet, as the adapter contract asks for one. A read is a subscription whose retained
// message is awaited; a message to itself behind it tells that there is none.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import mqttPacket, { type IPublishPacket, type Packet } from 'mqtt-packet';
import { createWebSocketStream, WebSocket } from 'ws';
import { type ContractClient, type Doc, Pending, Watch, type WatchOptions } from '../contract/contract-client.js';
import type { Address } from './contract-house.js';

const { generate, parser: makeParser } = mqttPacket;

interface Reading {
  value: Doc | null;
  readonly done: (value: Doc | null) => void;
}

export interface MqttCredentials {
  readonly username?: string;
  readonly password?: Buffer;
}

export class MqttContractClient implements ContractClient {
  readonly ended: Promise<void>;
  readonly #socket: Duplex;
  readonly #pending = new Pending();
  readonly #watches = new Map<Watch, { readonly matches: (topic: string) => boolean; readonly initial: boolean }>();
  readonly #reading = new Map<string, Reading>();
  readonly #fences = new Map<string, string>();
  readonly #id = randomUUID();
  #lastId = 0;
  #lastFence = 0;
  #ended = false;

  private constructor(socket: Duplex) {
    this.#socket = socket;
    const parser = makeParser({ protocolVersion: 4 });
    parser.on('packet', (packet: Packet) => this.#onPacket(packet));
    this.ended = new Promise<void>((resolve) => socket.once('close', () => resolve())).then(() => {
      this.#ended = true;
      this.#pending.rejectAll(new Error('connection ended'));
    });
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.destroy());
    socket.on('data', (chunk) => parser.parse(chunk));
  }

  static async connect(at: Address, credentials: MqttCredentials = {}): Promise<MqttContractClient> {
    const socket = connect({ port: at.port, host: at.host, noDelay: true });
    await once(socket, 'connect');
    return await MqttContractClient.#begin(socket, credentials);
  }

  static async connectOverWebsocket(at: Address): Promise<MqttContractClient> {
    const websocket = new WebSocket(`ws://${at.host}:${at.httpPort}/mqtt`, 'mqtt');
    await once(websocket, 'open');
    return await MqttContractClient.#begin(createWebSocketStream(websocket));
  }

  static async #begin(socket: Duplex, credentials: MqttCredentials = {}): Promise<MqttContractClient> {
    const client = new MqttContractClient(socket);
    const accepted = client.#pending.add('connack');
    client.#send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: '', keepalive: 0, ...credentials });
    await accepted;
    return client;
  }

  set(path: string, value: Doc): Promise<void> {
    return this.publish(path, JSON.stringify(value), true);
  }
  emit(path: string, value: Doc): Promise<void> {
    return this.publish(path, JSON.stringify(value), false);
  }
  remove(path: string): Promise<void> {
    return this.publish(path, '', true);
  }
  publish(topic: string, payload: string, retain: boolean): Promise<void> {
    return this.#ask({ cmd: 'publish', topic, payload, qos: 1, retain, dup: false });
  }

  async get(path: string): Promise<Doc | null> {
    const fence = `fence/${this.#lastFence++}/${this.#id}`;
    const value = new Promise<Doc | null>((resolve) => {
      this.#reading.set(path, { value: null, done: resolve });
      this.#fences.set(fence, path);
    });
    const topics = [path, fence];
    const asked = this.#ask({ cmd: 'subscribe', subscriptions: topics.map((topic) => ({ topic, qos: 1 })) });
    await Promise.all([asked, this.publish(fence, 'x', false)]);
    const read = await value;
    const kept = [...this.#watches.keys()].some(({ pattern }) => pattern === path);
    await this.#ask({ cmd: 'unsubscribe', unsubscriptions: kept ? [fence] : topics });
    return read;
  }

  async watch(pattern: string, { initial = false }: WatchOptions = {}): Promise<Watch> {
    const watch = new Watch(pattern);
    this.#watches.set(watch, { matches: matcher(pattern), initial });
    await this.#ask({ cmd: 'subscribe', subscriptions: [{ topic: pattern, qos: 1 }] });
    return watch;
  }
  async unwatch(watch: Watch): Promise<void> {
    await this.#ask({ cmd: 'unsubscribe', unsubscriptions: [watch.pattern] });
    this.#watches.delete(watch);
  }
  raw(bytes: Buffer): void {
    this.#socket.write(bytes);
  }
  stall(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }
  async close(): Promise<void> {
    this.#socket.resume();
    this.#send({ cmd: 'disconnect' });
    this.#socket.end();
    await this.ended;
  }

  #send(packet: Packet): void {
    this.#socket.write(generate(packet, { protocolVersion: 4 }));
  }

  #ask(packet: object): Promise<void> {
    const messageId = (this.#lastId++ % 65_535) + 1;
    const answer = this.#pending.add<void>(messageId);
    if (this.#ended) this.#pending.reject(messageId, new Error('connection ended'));
    else this.#send({ ...packet, messageId } as Packet);
    return answer;
  }

  #onPacket(packet: Packet): void {
    switch (packet.cmd) {
      case 'connack':
        if (packet.returnCode === 0) this.#pending.resolve('connack', packet);
        else this.#pending.reject('connack', new Error(`refused with ${packet.returnCode}`));
        return;
      case 'publish':
        if (packet.qos > 0) this.#send({ cmd: 'puback', messageId: packet.messageId as number });
        return this.#onPublish(packet);
      case 'suback':
        if (packet.granted.includes(0x80)) this.#pending.reject(packet.messageId as number, new Error('refused'));
        else this.#pending.resolve(packet.messageId as number, packet);
        return;
      default:
        this.#pending.resolve(packet.messageId as number, packet);
    }
  }

  #onPublish({ topic, payload, retain }: IPublishPacket): void {
    const read = this.#fences.get(topic);
    if (read !== undefined) {
      this.#fences.delete(topic);
      const reading = this.#reading.get(read);
      this.#reading.delete(read);
      reading?.done(reading.value);
      return;
    }
    const value = payload.length === 0 ? null : (JSON.parse(payload.toString()) as Doc);
    const reading = this.#reading.get(topic);
    if (retain && reading !== undefined) {
      reading.value = value;
      return;
    }
    for (const [watch, { matches, initial }] of this.#watches) {
      if (matches(topic) && (!retain || initial)) watch.push({ action: value === null ? 'remove' : 'set', path: topic, value });
    }
  }
}

/** Filters of the tests: a topic, or everything below one. */
function matcher(filter: string): (topic: string) => boolean {
  if (!filter.endsWith('/#')) return (topic) => topic === filter;
  return (topic) => topic.startsWith(filter.slice(0, -1)) || topic === filter.slice(0, -2);
}
