// PUBLISH of MQTT 5 (section 3.3), reading and writing, without an object for what a packet does not contain.

import type { Meta, Qos } from '../../../core/index.js';
import { lengthBytes, writeLength } from '../codec.js';
import { isSame } from '../publishing.js';
import { DUP, FIRST_BYTE, PACKET, QOS_SHIFT, RETAIN } from '../wire.js';
import { Fields } from './fields.js';
import { MessageProperties, type WireMeta } from './meta.js';
import { PROPERTY, PropertyReader } from './properties.js';
import { malformed, protocolError } from './reason-codes.js';
import { readTopic } from './topics.js';

/** Above this, and for a message that lives longer, the wire has no number. */
const SECONDS_MAX = 0xffff_ffff;

/** Reads the PUBLISH packets of one client; the fields hold what the last one says. */
export class PublishReader {
  qos: Qos = 0;
  retain = false;
  dup = false;
  /** 0 at QoS 0. */
  packetId = 0;
  /** Empty: `topicAlias` stands for it. The same string, not only an equal one, while the client repeats its topic. */
  topic = '';
  /** 0: none. */
  topicAlias = 0;
  /** null: the message does not expire. 0: no time is left to it. */
  expirySeconds: number | null = null;
  /** null: the packet says nothing about its payload. */
  meta: Meta | null = null;
  /** The payload goes from here to the end of the packet. */
  payloadStart = 0;
  #topicBytes: Buffer | null = null;
  #topic = '';

  /** The header obeys `headerFault`; the body goes from `body` to `end`. Throws ProtocolFault. */
  read(first: number, bytes: Buffer, body: number, end: number): void {
    this.qos = ((first >> QOS_SHIFT) & 3) as Qos;
    this.retain = (first & RETAIN) !== 0;
    this.dup = (first & DUP) !== 0;
    const topicAt = body + 2;
    if (topicAt > end) throw malformed('the topic is missing');
    const topicEnd = topicAt + bytes.readUInt16BE(body);
    const propertiesAt = this.qos === 0 ? topicEnd : topicEnd + 2;
    if (propertiesAt >= end) throw malformed('PUBLISH is cut off');
    this.topic = topicEnd === topicAt ? '' : this.#topicOf(bytes, topicAt, topicEnd);
    this.packetId = this.qos === 0 ? 0 : bytes.readUInt16BE(topicEnd);
    // [MQTT5-2.2.1-3]
    if (this.qos > 0 && this.packetId === 0) throw protocolError('packet id 0');
    this.topicAlias = 0;
    this.expirySeconds = null;
    this.meta = null;
    if (bytes[propertiesAt] === 0) this.payloadStart = propertiesAt + 1;
    else this.#readProperties(new Fields(bytes, propertiesAt, end));
    if (this.topic === '' && this.topicAlias === 0) throw malformed('PUBLISH has neither topic nor topic alias');
  }

  #topicOf(bytes: Buffer, start: number, end: number): string {
    const known = this.#topicBytes;
    if (known !== null && isSame(known, bytes, start, end)) return this.#topic;
    this.#topic = readTopic(bytes, start, end, 'the topic');
    this.#topicBytes = Buffer.from(bytes.subarray(start, end));
    return this.#topic;
  }

  #readProperties(fields: Fields): void {
    const properties = new PropertyReader(fields, PACKET.PUBLISH);
    const message = new MessageProperties();
    while (properties.next()) {
      if (properties.id === PROPERTY.TOPIC_ALIAS) this.topicAlias = properties.number;
      // [MQTT5-3.3.4-6]
      else if (properties.id === PROPERTY.SUBSCRIPTION_IDENTIFIER) throw protocolError('a client sends no subscription identifier');
      else message.take(properties);
    }
    this.expirySeconds = message.expirySeconds;
    this.meta = message.meta();
    this.payloadStart = fields.at;
  }
}

/** What a PUBLISH to a client says beside topic and payload. */
export interface PublishProperties {
  /** 0: none. */
  readonly topicAlias: number;
  /** What is left, see `remainingSeconds`; null: the message does not expire. */
  readonly expirySeconds: number | null;
  /** Of the subscriptions that the message is for; each from 1 to 268,435,455. */
  readonly identifiers: readonly number[];
  readonly meta: WireMeta | null;
}

/** Instead of a topic where an alias stands for it. */
export const NO_TOPIC_HEAD: Uint8Array = Buffer.alloc(2);

/**
 * `head` is the topic with its length before it; `flags` are those of the first byte; `packetId` 0 leaves the id out (QoS 0).
 * `properties` null: none, which costs one byte.
 */
export function encodePublish(
  head: Uint8Array,
  payload: Uint8Array,
  flags: number,
  packetId: number,
  properties: PublishProperties | null,
): Buffer {
  const propertiesLength = properties === null ? 0 : lengthOf(properties);
  const withId = packetId > 0 ? 2 : 0;
  const length = head.length + withId + lengthBytes(propertiesLength) + propertiesLength + payload.length;
  const frame = Buffer.allocUnsafe(1 + lengthBytes(length) + length);
  frame[0] = FIRST_BYTE.PUBLISH | flags;
  let at = writeLength(frame, 1, length);
  frame.set(head, at);
  at += head.length;
  if (withId > 0) {
    frame[at++] = packetId >> 8;
    frame[at++] = packetId & 0xff;
  }
  at = writeLength(frame, at, propertiesLength);
  if (properties !== null) at = writeProperties(frame, at, properties);
  frame.set(payload, at);
  return frame;
}

function lengthOf({ topicAlias, expirySeconds, identifiers, meta }: PublishProperties): number {
  let length = (topicAlias > 0 ? 3 : 0) + (expirySeconds === null ? 0 : 5) + (meta === null ? 0 : meta.length);
  for (let i = 0; i < identifiers.length; i++) length += 1 + lengthBytes(identifiers[i] as number);
  return length;
}

function writeProperties(frame: Buffer, start: number, { topicAlias, expirySeconds, identifiers, meta }: PublishProperties): number {
  let at = start;
  if (topicAlias > 0) {
    frame[at] = PROPERTY.TOPIC_ALIAS;
    at = frame.writeUInt16BE(topicAlias, at + 1);
  }
  if (expirySeconds !== null) {
    frame[at] = PROPERTY.MESSAGE_EXPIRY_INTERVAL;
    at = frame.writeUInt32BE(expirySeconds, at + 1);
  }
  for (let i = 0; i < identifiers.length; i++) {
    frame[at] = PROPERTY.SUBSCRIPTION_IDENTIFIER;
    at = writeLength(frame, at + 1, identifiers[i] as number);
  }
  return meta === null ? at : meta.write(frame, at);
}

/**
 * The message expiry interval of a message that is sent at `now` and dies at `deadline`, both in milliseconds since 1970
 * ([MQTT5-3.3.2-6]): rounded up, so that what lives still has time.
 */
export function remainingSeconds(deadline: number, now: number): number {
  return Math.min(Math.max(Math.ceil((deadline - now) / 1000), 0), SECONDS_MAX);
}
