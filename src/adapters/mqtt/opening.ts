// Pure: reads the first bytes of a connection, which decide the version of the protocol that serves it.

import { ConnectionError } from '../../core/index.js';
import { encodeConnack, malformed } from './codec.js';
import { LENGTH_BYTES_MAX, MQTT_3_1, MQTT_3_1_1, MQTT_5, PACKET, PROTOCOL_NAME, RETURN_CODE, type Version } from './wire.js';

export type Opening =
  | { readonly version: Version }
  /** A version that is not served: the answer, and the reason for the log. */
  | { readonly version: null; readonly answer: Uint8Array; readonly reason: string };

/** Mosquitto's bridges set this bit in the level, and come back without it when they get return code 1. */
const BRIDGE_BIT = 0x80;
/** CONNACK of version 5: reason code 0x84, unsupported protocol version, and no properties. */
const UNSUPPORTED_VERSION = Buffer.of(0x20, 3, 0, 0x84, 0);

/** The first byte of a client that speaks TLS (RFC 8446, section 5.1); of MQTT it would be a reserved packet type. */
const TLS_HANDSHAKE = 0x16;

/** CONNACK of version 5: reason code 0x9F, connection rate exceeded, and no properties. */
const RATE_EXCEEDED = Buffer.of(0x20, 3, 0, 0x9f, 0);

/** The CONNACK for a client of an address that connects too often. */
export function refusalToHasty(version: Version): Uint8Array {
  return version === MQTT_5 ? RATE_EXCEEDED : encodeConnack(false, RETURN_CODE.SERVER_UNAVAILABLE);
}

/**
 * What `bytes`, the first of a connection, say; null: more of them are needed, which 14 never are. Throws ConnectionError for
 * what is no CONNECT ([MQTT-3.1.0-1]), is larger than `maxBytes`, or names another protocol ([MQTT-3.1.2-1]).
 */
export function readOpening(bytes: Buffer, maxBytes: number): Opening | null {
  const body = bodyOf(bytes);
  if (body === 0) return null;
  const length = lengthOf(bytes, body);
  if (body + length > maxBytes)
    throw new ConnectionError('FRAME_TOO_LARGE', `a CONNECT of ${body + length} bytes, ${maxBytes} are allowed`);
  if (length < 2) throw malformed('protocol name is missing');
  if (bytes.length < body + 2) return null;
  const nameLength = bytes.readUInt16BE(body);
  if (nameLength !== PROTOCOL_NAME.MQTT.length && nameLength !== PROTOCOL_NAME.MQISDP.length) throw malformed('unknown protocol name');
  const levelAt = body + 2 + nameLength;
  if (levelAt >= body + length) throw malformed('protocol level is missing');
  if (bytes.length <= levelAt) return null;
  return openingOf(bytes[0] as number, bytes.toString('latin1', body + 2, levelAt), bytes[levelAt] as number);
}

/** Where the body begins; 0: the fixed header is not complete. */
function bodyOf(bytes: Buffer): number {
  if (bytes[0] === TLS_HANDSHAKE) throw malformed('it begins with TLS, which this port does not speak');
  if (bytes.length > 0 && (bytes[0] as number) >> 4 !== PACKET.CONNECT) throw malformed('the first packet is not a CONNECT');
  for (let at = 1; at < bytes.length; at++) {
    if ((bytes[at] as number) < 0x80) return at + 1;
    if (at === LENGTH_BYTES_MAX) throw malformed('a remaining length has at most four bytes');
  }
  return 0;
}

function lengthOf(bytes: Buffer, body: number): number {
  let length = 0;
  for (let at = body - 1; at > 0; at--) length = (length << 7) | ((bytes[at] as number) & 0x7f);
  return length;
}

function openingOf(first: number, name: string, level: number): Opening {
  if (name !== PROTOCOL_NAME.MQTT && name !== PROTOCOL_NAME.MQISDP) throw malformed('unknown protocol name');
  // [MQTT-2.2.2-2]; in 3.1 the low half of the first byte has no meaning in a CONNECT.
  if (name === PROTOCOL_NAME.MQTT && (first & 0x0f) !== 0) throw malformed('reserved flags of CONNECT are set');
  if (name === PROTOCOL_NAME.MQISDP && level === MQTT_3_1) return { version: level };
  if (name === PROTOCOL_NAME.MQTT && (level === MQTT_3_1_1 || level === MQTT_5)) return { version: level };
  const answer = knowsReturnCodes(level) ? encodeConnack(false, RETURN_CODE.UNACCEPTABLE_PROTOCOL_VERSION) : UNSUPPORTED_VERSION;
  return { version: null, answer, reason: `protocol level ${level} of ${name}` };
}

function knowsReturnCodes(level: number): boolean {
  const plain = level & ~BRIDGE_BIT;
  return plain === MQTT_3_1 || plain === MQTT_3_1_1 || plain === MQTT_5;
}
