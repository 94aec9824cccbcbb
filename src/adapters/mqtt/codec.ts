// Pure: bytes of packets ⇄ their meaning. Reading is strict (UTF-8, lengths, reserved bits, packet ids); a breach of the
// standard throws ConnectionError, which ends that one connection.

import { isUtf8 } from 'node:buffer';
import { ConnectionError, type Qos } from '../../core/index.js';
import { filterFault, topicFault } from './paths.js';
import {
  CLIENT_ID_BYTES_MAX,
  CLIENT_ID_CHARACTERS_MAX_3_1,
  CONNECT_FLAG,
  CONNECT_FLAGS_AT,
  DUP,
  FIRST_BYTE,
  MQTT_3_1,
  PACKET,
  type PlainVersion,
  QOS_SHIFT,
  RETURN_CODE,
} from './wire.js';

export interface WillFacts {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
}

export interface ConnectFacts {
  readonly clean: boolean;
  /** Seconds; 0: the client promises no sign of life. */
  readonly keepAlive: number;
  readonly clientId: string;
  readonly will: WillFacts | null;
  readonly username: string | null;
  readonly password: Buffer | null;
}

/** A CONNECT that is answered with a return code before the connection ends. */
export interface ConnectRefusal {
  readonly returnCode: number;
  readonly reason: string;
}

/** Reads fields in order; every read checks that the bytes are there. */
export class Fields {
  constructor(
    protected readonly bytes: Buffer,
    public at: number,
    protected readonly end: number,
  ) {}

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(what: string): number {
    if (this.at + 1 > this.end) throw this.fault(`${what} is missing`);
    return this.bytes[this.at++] as number;
  }

  number(what: string): number {
    return this.byte(what) * 256 + this.byte(what);
  }

  /** Never 0 (2.3.1). */
  packetId(): number {
    const id = this.number('packet id');
    if (id === 0) throw this.fault('packet id 0');
    return id;
  }

  binary(what: string): Buffer {
    const start = this.skip(what);
    return this.bytes.subarray(start, this.at);
  }

  text(what: string): string {
    const start = this.skip(what);
    const text = readText(this.bytes, start, this.at);
    if (text === null) throw this.fault(`${what} is not UTF-8 text without control characters`);
    return text;
  }

  /** Goes behind a field with its length before it, and says where the field begins. */
  protected skip(what: string): number {
    const length = this.number(what);
    if (this.at + length > this.end) throw this.fault(`${what} is cut off`);
    this.at += length;
    return this.at - length;
  }

  /** What is thrown for bytes that break the standard. */
  protected fault(text: string): ConnectionError {
    return malformed(text);
  }
}

/**
 * Text of the wire (1.5.3): well-formed UTF-8 (no surrogates, no overlong forms) without U+0000 and, as everywhere in this
 * gateway, without control characters. null: it is not. A byte order mark stays what it is.
 */
export function readText(bytes: Buffer, start: number, end: number): string | null {
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte < 0x20 || byte === 0x7f) return null;
    if (byte > 0x7f) return readUnicode(bytes.subarray(start, end));
  }
  return bytes.toString('latin1', start, end);
}

function readUnicode(bytes: Buffer): string | null {
  if (!isUtf8(bytes)) return null;
  const text = bytes.toString('utf8');
  return /\p{Cc}/u.test(text) ? null : text;
}

/** `bytes` from `start` to `end` follow the fixed header of a CONNECT; its `version` was read by `readOpening`. */
export function readConnect(
  bytes: Buffer,
  start: number,
  end: number,
  version: PlainVersion,
  maxClientIdBytes = CLIENT_ID_BYTES_MAX,
): ConnectFacts | ConnectRefusal {
  const fields = new Fields(bytes, start + CONNECT_FLAGS_AT[version], end);
  const flags = fields.byte('connect flags');
  checkConnectFlags(flags, version);
  const keepAlive = fields.number('keep alive');
  const clientId = fields.text('client id');
  const will = (flags & CONNECT_FLAG.WILL) === 0 ? null : readWill(fields, flags);
  const username = (flags & CONNECT_FLAG.USER_NAME) === 0 ? null : fields.text('user name');
  const password = (flags & CONNECT_FLAG.PASSWORD) === 0 ? null : fields.binary('password');
  if (!fields.done) throw malformed('bytes behind the last field of CONNECT');
  const clean = (flags & CONNECT_FLAG.CLEAN_SESSION) !== 0;
  const fault = clientIdFault(clientId, clean, version, maxClientIdBytes);
  if (fault !== null) return { returnCode: RETURN_CODE.IDENTIFIER_REJECTED, reason: fault };
  return { clean, keepAlive, clientId, will, username, password };
}

function checkConnectFlags(flags: number, version: PlainVersion): void {
  const willQos = (flags >> CONNECT_FLAG.WILL_QOS_SHIFT) & 3;
  // [MQTT-3.1.2-3]; in 3.1 the bit is unused.
  if (version !== MQTT_3_1 && (flags & CONNECT_FLAG.RESERVED) !== 0) throw malformed('reserved connect flag is set');
  if (willQos === 3) throw malformed('will QoS 3');
  if ((flags & CONNECT_FLAG.WILL) === 0 && (willQos !== 0 || (flags & CONNECT_FLAG.WILL_RETAIN) !== 0)) {
    throw malformed('will QoS or will retain without a will');
  }
  // [MQTT-3.1.2-22]
  if ((flags & CONNECT_FLAG.USER_NAME) === 0 && (flags & CONNECT_FLAG.PASSWORD) !== 0) {
    throw malformed('password without user name');
  }
}

function readWill(fields: Fields, flags: number): WillFacts {
  const topic = fields.text('will topic');
  const fault = topicFault(topic);
  if (fault !== null) throw malformed(`will topic ${fault}`);
  return {
    topic,
    payload: Buffer.from(fields.binary('will message')),
    qos: ((flags >> CONNECT_FLAG.WILL_QOS_SHIFT) & 3) as Qos,
    retain: (flags & CONNECT_FLAG.WILL_RETAIN) !== 0,
  };
}

function clientIdFault(clientId: string, clean: boolean, version: PlainVersion, maxBytes: number): string | null {
  if (Buffer.byteLength(clientId) > maxBytes) return `client id of more than ${maxBytes} bytes`;
  if (version === MQTT_3_1) {
    return clientId.length >= 1 && clientId.length <= CLIENT_ID_CHARACTERS_MAX_3_1 ? null : 'client id must have 1 to 23 characters';
  }
  // [MQTT-3.1.3-8]
  return clientId === '' && !clean ? 'an empty client id needs a clean session' : null;
}

export interface Filter {
  readonly text: string;
  readonly qos: Qos;
}

/** Filters in the order of the packet. */
/** `max`: filters that the packet may name. */
export function readSubscribe(
  bytes: Buffer,
  start: number,
  end: number,
  max = Number.POSITIVE_INFINITY,
): { packetId: number; filters: Filter[] } {
  const fields = new Fields(bytes, start, end);
  const packetId = fields.packetId();
  const filters: Filter[] = [];
  do {
    const text = readFilter(fields);
    const qos = fields.byte('requested QoS');
    // [MQTT-3-8.3-4]
    if (qos > 2) throw malformed('requested QoS with reserved bits or of 3');
    if (filters.push({ text, qos: qos as Qos }) > max) throw tooManyFilters(max);
  } while (!fields.done);
  return { packetId, filters };
}

/** `max`: as in `readSubscribe`. */
export function readUnsubscribe(bytes: Buffer, start: number, end: number, max = Number.POSITIVE_INFINITY): string[] {
  const fields = new Fields(bytes, start, end);
  fields.packetId();
  const filters: string[] = [];
  do {
    if (filters.push(readFilter(fields)) > max) throw tooManyFilters(max);
  } while (!fields.done);
  return filters;
}

/** Each of them is work, also if it is refused. */
export function tooManyFilters(max: number): ConnectionError {
  return new ConnectionError('FRAME_TOO_LARGE', `a packet names more than ${max} filters`);
}

function readFilter(fields: Fields): string {
  const text = fields.text('topic filter');
  const fault = filterFault(text);
  if (fault !== null) throw malformed(`topic filter ${fault}`);
  return text;
}

/** Packet id of PUBACK, PUBREC, PUBREL, PUBCOMP. */
export function readAcknowledge(bytes: Buffer, start: number, end: number): number {
  if (end - start !== 2) throw malformed('an acknowledgement has two bytes');
  const id = bytes.readUInt16BE(start);
  if (id === 0) throw malformed('packet id 0');
  return id;
}

/** What the first byte and the length of a packet say is wrong; null: nothing. */
export function headerFault(first: number, length: number): ConnectionError | null {
  const text = headerFaultText(first, length);
  return text === null ? null : malformed(text);
}

/** In 3.1 SUBSCRIBE, UNSUBSCRIBE and PUBREL may be repeated with the DUP flag. */
export function headerFault31(first: number, length: number): ConnectionError | null {
  const type = first >> 4;
  const isRepeatable = type === PACKET.SUBSCRIBE || type === PACKET.UNSUBSCRIBE || type === PACKET.PUBREL;
  return headerFault(isRepeatable ? first & ~DUP : first, length);
}

function headerFaultText(first: number, length: number): string | null {
  const flags = first & 0x0f;
  switch (first >> 4) {
    case PACKET.PUBLISH:
      return publishFlagsFault(flags);
    case PACKET.CONNECT:
      return null;
    case PACKET.PUBACK:
    case PACKET.PUBREC:
    case PACKET.PUBCOMP:
      return flags !== 0 ? 'reserved flags are set' : acknowledgementFault(length);
    case PACKET.PUBREL:
      return flags !== 2 ? 'flags must be 0010' : acknowledgementFault(length);
    case PACKET.SUBSCRIBE:
    case PACKET.UNSUBSCRIBE:
      return flags !== 2 ? 'flags must be 0010' : null;
    case PACKET.PINGREQ:
    case PACKET.DISCONNECT:
      return flags !== 0 ? 'reserved flags are set' : length !== 0 ? 'the packet has no body' : null;
    default:
      return `packet type ${first >> 4} does not come from clients`;
  }
}

function acknowledgementFault(length: number): string | null {
  return length === 2 ? null : 'an acknowledgement has two bytes';
}

function publishFlagsFault(flags: number): string | null {
  const qos = (flags >> QOS_SHIFT) & 3;
  if (qos === 3) return 'QoS 3';
  // [MQTT-3.3.1-2]
  return qos === 0 && (flags & DUP) !== 0 ? 'DUP at QoS 0' : null;
}

/** `head` is the topic with its length before it; `packetId` 0 leaves the id out (QoS 0). */
export function encodePublish(head: Uint8Array, payload: Uint8Array, flags: number, packetId: number): Buffer {
  const withId = packetId > 0 ? 2 : 0;
  const length = head.length + withId + payload.length;
  const frame = Buffer.allocUnsafe(1 + lengthBytes(length) + length);
  frame[0] = FIRST_BYTE.PUBLISH | flags;
  let at = writeLength(frame, 1, length);
  frame.set(head, at);
  at += head.length;
  if (withId > 0) {
    frame[at++] = packetId >> 8;
    frame[at++] = packetId & 0xff;
  }
  frame.set(payload, at);
  return frame;
}

/** PUBACK, PUBREC, PUBREL: two bytes of fixed header and a packet id. */
export function encodeAcknowledge(firstByte: number, packetId: number): Buffer {
  const frame = Buffer.allocUnsafe(4);
  frame[0] = firstByte;
  frame[1] = 2;
  frame[2] = packetId >> 8;
  frame[3] = packetId & 0xff;
  return frame;
}

export function encodeConnack(sessionPresent: boolean, returnCode: number): Buffer {
  return Buffer.of(FIRST_BYTE.CONNACK, 2, sessionPresent ? 1 : 0, returnCode);
}

/** `codes`: the granted QoS of each filter, or 0x80. */
export function encodeSuback(packetId: number, codes: readonly number[]): Buffer {
  const length = 2 + codes.length;
  const frame = Buffer.allocUnsafe(1 + lengthBytes(length) + length);
  frame[0] = FIRST_BYTE.SUBACK;
  const at = writeLength(frame, 1, length);
  frame.writeUInt16BE(packetId, at);
  frame.set(codes, at + 2);
  return frame;
}

/** Bytes of a variable byte integer. */
export function lengthBytes(length: number): number {
  return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x20_0000 ? 3 : 4;
}

/** A variable byte integer in its shortest form; says where it ends. */
export function writeLength(frame: Buffer, start: number, length: number): number {
  let at = start;
  let rest = length;
  while (rest > 0x7f) {
    frame[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  frame[at++] = rest;
  return at;
}

export function malformed(text: string): ConnectionError {
  return new ConnectionError('MALFORMED_FRAME', text);
}
