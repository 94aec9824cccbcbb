// Pure: packets of MQTT 5 that servers send, except PUBLISH (publish.ts). Property values that the standard does not allow are a
// bug of the program and throw RangeError.

import { lengthBytes, writeLength } from '../codec.js';
import { FIRST_BYTE, PACKET } from '../wire.js';
import { textBytes } from './fields.js';
import { PROPERTY, type PropertyId, type PropertyPlace, PropertyWriter } from './properties.js';
import {
  type ConnackReason,
  type PubackReason,
  type PubrelReason,
  REASON,
  type ServerAuthReason,
  type ServerDisconnectReason,
  type SubackReason,
  type UnsubackReason,
} from './reason-codes.js';

/** What is left out says what section 3.2.2.3 gives it as default. */
export interface ConnackProperties {
  readonly sessionExpirySeconds?: number;
  readonly receiveMaximum?: number;
  readonly maximumQos?: 0 | 1;
  readonly retainAvailable?: boolean;
  readonly maximumPacketSize?: number;
  readonly assignedClientId?: string;
  readonly topicAliasMaximum?: number;
  readonly reasonString?: string;
  readonly wildcardSubscriptionAvailable?: boolean;
  readonly subscriptionIdentifierAvailable?: boolean;
  readonly sharedSubscriptionAvailable?: boolean;
  readonly serverKeepAlive?: number;
  readonly responseInformation?: string;
  readonly serverReference?: string;
  readonly authenticationMethod?: string;
  readonly authenticationData?: Uint8Array;
}

/** All but the reason string. */
type ConnackName = Exclude<keyof ConnackProperties, 'reasonString'>;

const CONNACK_PROPERTY: Readonly<Record<ConnackName, PropertyId>> = {
  sessionExpirySeconds: PROPERTY.SESSION_EXPIRY_INTERVAL,
  receiveMaximum: PROPERTY.RECEIVE_MAXIMUM,
  maximumQos: PROPERTY.MAXIMUM_QOS,
  retainAvailable: PROPERTY.RETAIN_AVAILABLE,
  maximumPacketSize: PROPERTY.MAXIMUM_PACKET_SIZE,
  assignedClientId: PROPERTY.ASSIGNED_CLIENT_IDENTIFIER,
  topicAliasMaximum: PROPERTY.TOPIC_ALIAS_MAXIMUM,
  wildcardSubscriptionAvailable: PROPERTY.WILDCARD_SUBSCRIPTION_AVAILABLE,
  subscriptionIdentifierAvailable: PROPERTY.SUBSCRIPTION_IDENTIFIER_AVAILABLE,
  sharedSubscriptionAvailable: PROPERTY.SHARED_SUBSCRIPTION_AVAILABLE,
  serverKeepAlive: PROPERTY.SERVER_KEEP_ALIVE,
  responseInformation: PROPERTY.RESPONSE_INFORMATION,
  serverReference: PROPERTY.SERVER_REFERENCE,
  authenticationMethod: PROPERTY.AUTHENTICATION_METHOD,
  authenticationData: PROPERTY.AUTHENTICATION_DATA,
};

const NEVER = 0xffff_ffff;

/** [MQTT5-3.2.2-6]: a session is present only where the connection is accepted. */
export function encodeConnack(sessionPresent: boolean, reason: ConnackReason, given: ConnackProperties = {}): Buffer {
  const properties = reasonOf(PACKET.CONNACK, given.reasonString ?? null);
  for (const name of Object.keys(CONNACK_PROPERTY) as ConnackName[]) {
    const value = given[name];
    if (value !== undefined) properties.put(CONNACK_PROPERTY[name], wireValue(value));
  }
  return frameOf(FIRST_BYTE.CONNACK, Buffer.of(sessionPresent ? 1 : 0, reason), properties);
}

/** Infinity is an interval that never ends. */
function wireValue(value: string | number | boolean | Uint8Array): string | number | Uint8Array {
  if (typeof value === 'boolean') return value ? 1 : 0;
  return value === Number.POSITIVE_INFINITY ? NEVER : value;
}

export type AcknowledgeFirstByte =
  | typeof FIRST_BYTE.PUBACK
  | typeof FIRST_BYTE.PUBREC
  | typeof FIRST_BYTE.PUBREL
  | typeof FIRST_BYTE.PUBCOMP;

/** PUBACK, PUBREC, PUBREL, PUBCOMP in their shortest form. `reasonString` null: none. */
export function encodeAcknowledge(
  firstByte: AcknowledgeFirstByte,
  packetId: number,
  reason: PubackReason | PubrelReason,
  reasonString: string | null = null,
): Buffer {
  if (reasonString !== null) {
    const properties = reasonOf((firstByte >> 4) as PropertyPlace, reasonString);
    return frameOf(firstByte, Buffer.of(packetId >> 8, packetId & 0xff, reason), properties);
  }
  const length = reason === REASON.SUCCESS ? 2 : 3;
  const frame = Buffer.allocUnsafe(2 + length);
  frame[0] = firstByte;
  frame[1] = length;
  frame[2] = packetId >> 8;
  frame[3] = packetId & 0xff;
  if (length === 3) frame[4] = reason;
  return frame;
}

/** `reasons`: one for each filter, in the order of the SUBSCRIBE ([MQTT5-3.9.3-1]). */
export function encodeSuback(packetId: number, reasons: readonly SubackReason[], reasonString: string | null = null): Buffer {
  return frameOf(FIRST_BYTE.SUBACK, Buffer.of(packetId >> 8, packetId & 0xff), reasonOf(PACKET.SUBACK, reasonString), reasons);
}

/** `reasons`: one for each filter, in the order of the UNSUBSCRIBE ([MQTT5-3.11.3-1]). */
export function encodeUnsuback(packetId: number, reasons: readonly UnsubackReason[], reasonString: string | null = null): Buffer {
  return frameOf(FIRST_BYTE.UNSUBACK, Buffer.of(packetId >> 8, packetId & 0xff), reasonOf(PACKET.UNSUBACK, reasonString), reasons);
}

export function encodePingresp(): Buffer {
  return Buffer.of(FIRST_BYTE.PINGRESP, 0);
}

/** In its shortest form. */
export function encodeDisconnect(
  reason: ServerDisconnectReason,
  reasonString: string | null = null,
  serverReference: string | null = null,
): Buffer {
  const properties = reasonOf(PACKET.DISCONNECT, reasonString);
  if (serverReference !== null) properties.put(PROPERTY.SERVER_REFERENCE, serverReference);
  if (properties.length > 0) return frameOf(FIRST_BYTE.DISCONNECT, Buffer.of(reason), properties);
  return reason === REASON.SUCCESS ? Buffer.of(FIRST_BYTE.DISCONNECT, 0) : Buffer.of(FIRST_BYTE.DISCONNECT, 1, reason);
}

export function encodeAuth(reason: ServerAuthReason, method: string, data: Uint8Array | null, reasonString: string | null = null): Buffer {
  const properties = reasonOf(PACKET.AUTH, reasonString).put(PROPERTY.AUTHENTICATION_METHOD, method);
  if (data !== null) properties.put(PROPERTY.AUTHENTICATION_DATA, data);
  return frameOf(FIRST_BYTE.AUTH, Buffer.of(reason), properties);
}

/** A reason string that cannot be written is left out: it helps a person, and nothing depends on it. */
function reasonOf(place: PropertyPlace, reasonString: string | null): PropertyWriter {
  const properties = new PropertyWriter(place);
  return reasonString === null || textBytes(reasonString) < 0 ? properties : properties.put(PROPERTY.REASON_STRING, reasonString);
}

function frameOf(firstByte: number, head: Uint8Array, properties: PropertyWriter, tail: readonly number[] = []): Buffer {
  const length = head.length + properties.size + tail.length;
  const frame = Buffer.allocUnsafe(1 + lengthBytes(length) + length);
  frame[0] = firstByte;
  let at = writeLength(frame, 1, length);
  frame.set(head, at);
  at = properties.write(frame, at + head.length);
  frame.set(tail, at);
  return frame;
}
