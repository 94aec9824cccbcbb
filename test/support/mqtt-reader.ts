// A client of MQTT that reads very many publications and keeps next to nothing of them: it looks at the bytes themselves.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { encode } from './mqtt-wire.js';

const CONNACK = 2;
const PUBLISH = 3;
const CONFIRMED = 4;
const RECEIVED = 5;
const COMPLETE = 7;
const RELEASE = 0x62;
const PUBACK = 0x40;
const PUBREC = 0x50;
const PUBREL = 6;
const PUBCOMP = 0x70;
const SUBACK = 9;
const UNSUBACK = 11;

/** One PUBLISH as it lies in the bytes. */
export interface Seen {
  readonly topic: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly messageId: number;
}

export class MqttReader {
  /** PUBLISH packets that came. */
  count = 0;
  ended = false;
  /** Sees each of them. */
  onSeen: ((seen: Seen) => void) | null = null;
  /** Its own publications that are confirmed to the end, of QoS 1 and of QoS 2. */
  confirmed = 0;
  #rest: Buffer = Buffer.alloc(0);
  #answers = 0;
  #changed: (() => void) | null = null;

  private constructor(
    readonly socket: Socket,
    readonly version: 4 | 5,
  ) {
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.ended = true;
      this.#wake();
    });
  }

  /** Connected; `durable`: as a session that is kept, which is sent something at once. */
  static async connect(
    port: number,
    clientId: string,
    version: 4 | 5,
    durable = false,
    onSeen: ((seen: Seen) => void) | null = null,
  ): Promise<MqttReader> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const reader = new MqttReader(socket, version);
    reader.onSeen = onSeen;
    const properties = version === 5 && durable ? { properties: { sessionExpiryInterval: 600 } } : {};
    reader.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: version, clean: !durable, clientId, keepalive: 0, ...properties });
    await reader.until(() => reader.#answers > 0, 'the CONNACK');
    return reader;
  }

  send(packet: object): void {
    this.socket.write(encode(packet, this.version));
  }

  /** Resolves with the SUBACK. */
  async subscribe(topic: string, qos: 0 | 1 | 2): Promise<void> {
    const answers = this.#answers;
    this.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos }] });
    await this.until(() => this.#answers > answers, 'the SUBACK');
  }

  async unsubscribe(topic: string): Promise<void> {
    const answers = this.#answers;
    this.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [topic] });
    await this.until(() => this.#answers > answers, 'the UNSUBACK');
  }

  async until(fact: () => boolean, what: string): Promise<void> {
    while (!fact()) {
      if (this.ended) throw new Error(`the connection ended before ${what}; ${this.count} publications came`);
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
  }

  close(): void {
    this.socket.destroy();
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = null;
    changed?.();
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const answers: number[] = [];
    let at = 0;
    for (;;) {
      const body = bodyAt(bytes, at);
      if (body === null || body.end > bytes.length) break;
      this.#take(bytes, at, body.start, answers);
      at = body.end;
    }
    this.#rest = bytes.subarray(at);
    if (answers.length > 0) this.socket.write(Buffer.from(answers));
    this.#wake();
  }

  #take(bytes: Buffer, at: number, body: number, answers: number[]): void {
    const first = bytes[at] as number;
    const type = first >> 4;
    if (type === PUBLISH) this.#onPublish(first, bytes, body, answers);
    else if (type === CONFIRMED || type === COMPLETE) this.confirmed += 1;
    else if (type === RECEIVED) answers.push(RELEASE, 2, bytes[body] as number, bytes[body + 1] as number);
    else if (type === CONNACK || type === SUBACK || type === UNSUBACK) this.#answers += 1;
    else if (type === PUBREL) answers.push(PUBCOMP, 2, bytes[body] as number, bytes[body + 1] as number);
  }

  #onPublish(first: number, bytes: Buffer, body: number, answers: number[]): void {
    const qos = (first >> 1) & 3;
    const idAt = body + 2 + bytes.readUInt16BE(body);
    const messageId = qos === 0 ? 0 : bytes.readUInt16BE(idAt);
    this.count += 1;
    if (this.onSeen !== null) {
      const topic = bytes.toString('latin1', body + 2, idAt);
      this.onSeen({ topic, qos, messageId, retain: (first & 1) !== 0, dup: (first & 8) !== 0 });
    }
    if (qos > 0) answers.push(qos === 1 ? PUBACK : PUBREC, 2, messageId >> 8, messageId & 0xff);
  }
}

/** Where the packet's body begins and ends; null: its length is cut off. */
function bodyAt(bytes: Buffer, start: number): { readonly start: number; readonly end: number } | null {
  let length = 0;
  for (let at = start + 1, shift = 0; at < bytes.length; at++, shift += 7) {
    const byte = bytes[at] as number;
    length += (byte & 0x7f) << shift;
    if (byte < 0x80) return { start: at + 1, end: at + 1 + length };
  }
  return null;
}
