// Reason codes of MQTT 5 (section 2.4), the packets in which each may stand, and the fault that carries one to the place
// where it is written.

import {
  ConnectionError,
  type ConnectionErrorCode,
  type RequestError,
  type RequestErrorCode,
  SessionRevoked,
} from '../../../core/index.js';

export const REASON = {
  /** Also: normal disconnection; granted QoS 0. */
  SUCCESS: 0x00,
  GRANTED_QOS_1: 0x01,
  GRANTED_QOS_2: 0x02,
  DISCONNECT_WITH_WILL: 0x04,
  NO_MATCHING_SUBSCRIBERS: 0x10,
  NO_SUBSCRIPTION_EXISTED: 0x11,
  CONTINUE_AUTHENTICATION: 0x18,
  RE_AUTHENTICATE: 0x19,
  UNSPECIFIED_ERROR: 0x80,
  MALFORMED_PACKET: 0x81,
  PROTOCOL_ERROR: 0x82,
  IMPLEMENTATION_SPECIFIC_ERROR: 0x83,
  UNSUPPORTED_PROTOCOL_VERSION: 0x84,
  CLIENT_IDENTIFIER_NOT_VALID: 0x85,
  BAD_USER_NAME_OR_PASSWORD: 0x86,
  NOT_AUTHORIZED: 0x87,
  SERVER_UNAVAILABLE: 0x88,
  SERVER_BUSY: 0x89,
  BANNED: 0x8a,
  SERVER_SHUTTING_DOWN: 0x8b,
  BAD_AUTHENTICATION_METHOD: 0x8c,
  KEEP_ALIVE_TIMEOUT: 0x8d,
  SESSION_TAKEN_OVER: 0x8e,
  TOPIC_FILTER_INVALID: 0x8f,
  TOPIC_NAME_INVALID: 0x90,
  PACKET_IDENTIFIER_IN_USE: 0x91,
  PACKET_IDENTIFIER_NOT_FOUND: 0x92,
  RECEIVE_MAXIMUM_EXCEEDED: 0x93,
  TOPIC_ALIAS_INVALID: 0x94,
  PACKET_TOO_LARGE: 0x95,
  MESSAGE_RATE_TOO_HIGH: 0x96,
  QUOTA_EXCEEDED: 0x97,
  ADMINISTRATIVE_ACTION: 0x98,
  PAYLOAD_FORMAT_INVALID: 0x99,
  RETAIN_NOT_SUPPORTED: 0x9a,
  QOS_NOT_SUPPORTED: 0x9b,
  USE_ANOTHER_SERVER: 0x9c,
  SERVER_MOVED: 0x9d,
  SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: 0x9e,
  CONNECTION_RATE_EXCEEDED: 0x9f,
  MAXIMUM_CONNECT_TIME: 0xa0,
  SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: 0xa1,
  WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: 0xa2,
} as const;

export type ReasonCode = (typeof REASON)[keyof typeof REASON];

/** What may answer a CONNECT (table 3-1). */
export const CONNACK_REASONS = [
  0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
] as const satisfies readonly ReasonCode[];

/** PUBACK and PUBREC (tables 3-4, 3-5). */
export const PUBACK_REASONS = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] as const satisfies readonly ReasonCode[];

/** PUBREL and PUBCOMP (tables 3-6, 3-7). */
export const PUBREL_REASONS = [0x00, 0x92] as const satisfies readonly ReasonCode[];

/** One for each filter of a SUBSCRIBE (table 3-8). */
export const SUBACK_REASONS = [
  0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2,
] as const satisfies readonly ReasonCode[];

/** One for each filter of an UNSUBSCRIBE (table 3-9). */
export const UNSUBACK_REASONS = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91] as const satisfies readonly ReasonCode[];

/** DISCONNECT from the server (table 3-10); 0x8c stands in section 2.4 alone. */
export const SERVER_DISCONNECT_REASONS = [
  0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c,
  0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
] as const satisfies readonly ReasonCode[];

/** DISCONNECT from a client (table 3-10). */
export const CLIENT_DISCONNECT_REASONS = [
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
] as const satisfies readonly ReasonCode[];

/** AUTH from the server (table 3-11). */
export const SERVER_AUTH_REASONS = [0x00, 0x18] as const satisfies readonly ReasonCode[];

/** AUTH from a client (table 3-11). */
export const CLIENT_AUTH_REASONS = [0x18, 0x19] as const satisfies readonly ReasonCode[];

/** Reason codes from here on say that something failed. */
export const FAILURE = 0x80;

export type ConnackReason = (typeof CONNACK_REASONS)[number];
export type PubackReason = (typeof PUBACK_REASONS)[number];
export type PubrelReason = (typeof PUBREL_REASONS)[number];
export type SubackReason = (typeof SUBACK_REASONS)[number];
export type UnsubackReason = (typeof UNSUBACK_REASONS)[number];
export type ServerDisconnectReason = (typeof SERVER_DISCONNECT_REASONS)[number];
export type ClientDisconnectReason = (typeof CLIENT_DISCONNECT_REASONS)[number];
export type ServerAuthReason = (typeof SERVER_AUTH_REASONS)[number];
export type ClientAuthReason = (typeof CLIENT_AUTH_REASONS)[number];

/** What a packet can be at fault with: the codes that both CONNACK and DISCONNECT know, and the few that only one of them knows. */
export type FaultReason = ConnackReason | ServerDisconnectReason;

/** A packet that breaks the standard or a limit; it ends the connection. `reason` is for the CONNACK or DISCONNECT before that. */
export class ProtocolFault extends ConnectionError {
  constructor(
    readonly reason: FaultReason,
    message: string,
  ) {
    super(CORE_CODES.get(reason) ?? 'MALFORMED_FRAME', message);
    this.name = 'ProtocolFault';
  }
}

const CORE_CODES: ReadonlyMap<FaultReason, ConnectionErrorCode> = new Map([
  [REASON.UNSUPPORTED_PROTOCOL_VERSION, 'UNSUPPORTED_VERSION'],
  [REASON.PACKET_TOO_LARGE, 'FRAME_TOO_LARGE'],
]);

export function malformed(message: string): ProtocolFault {
  return new ProtocolFault(REASON.MALFORMED_PACKET, message);
}

export function protocolError(message: string): ProtocolFault {
  return new ProtocolFault(REASON.PROTOCOL_ERROR, message);
}

/** What a DISCONNECT says about the end of a connection for other reasons than a fault of the codec. */
const DISCONNECT_REASON: Readonly<Record<ConnectionErrorCode, ServerDisconnectReason>> = {
  MALFORMED_FRAME: REASON.MALFORMED_PACKET,
  FRAME_TOO_LARGE: REASON.PACKET_TOO_LARGE,
  UNSUPPORTED_VERSION: REASON.PROTOCOL_ERROR,
  SLOW_CONSUMER: REASON.QUOTA_EXCEEDED,
  CONNECT_TIMEOUT: REASON.MAXIMUM_CONNECT_TIME,
  PEER_SILENT: REASON.KEEP_ALIVE_TIMEOUT,
  TAKEN_OVER: REASON.SESSION_TAKEN_OVER,
  SESSION_REVOKED: REASON.NOT_AUTHORIZED,
  NOT_ALLOWED: REASON.NOT_AUTHORIZED,
  STORE_FAILED: REASON.IMPLEMENTATION_SPECIFIC_ERROR,
  INTERNAL: REASON.UNSPECIFIED_ERROR,
  SHUTTING_DOWN: REASON.SERVER_SHUTTING_DOWN,
  DISMISSED: REASON.SERVER_SHUTTING_DOWN,
};

/** What a CONNACK says instead, where a DISCONNECT would say what no CONNACK may. */
const CONNACK_REASON: Readonly<Record<ConnectionErrorCode, ConnackReason>> = {
  MALFORMED_FRAME: REASON.MALFORMED_PACKET,
  FRAME_TOO_LARGE: REASON.PACKET_TOO_LARGE,
  UNSUPPORTED_VERSION: REASON.UNSUPPORTED_PROTOCOL_VERSION,
  SLOW_CONSUMER: REASON.QUOTA_EXCEEDED,
  CONNECT_TIMEOUT: REASON.UNSPECIFIED_ERROR,
  PEER_SILENT: REASON.UNSPECIFIED_ERROR,
  TAKEN_OVER: REASON.UNSPECIFIED_ERROR,
  SESSION_REVOKED: REASON.NOT_AUTHORIZED,
  NOT_ALLOWED: REASON.NOT_AUTHORIZED,
  STORE_FAILED: REASON.SERVER_UNAVAILABLE,
  INTERNAL: REASON.UNSPECIFIED_ERROR,
  SHUTTING_DOWN: REASON.SERVER_UNAVAILABLE,
  DISMISSED: REASON.SERVER_UNAVAILABLE,
};

/** The reason code of the DISCONNECT that tells a client why its connection ends. */
export function disconnectReason(error: ConnectionError): ServerDisconnectReason {
  if (error instanceof ProtocolFault && isReason(SERVER_DISCONNECT_REASONS, error.reason)) return error.reason;
  if (error instanceof SessionRevoked && error.reason === 'token-expired') return REASON.MAXIMUM_CONNECT_TIME;
  if (error instanceof SessionRevoked && error.reason === 'session-ended') return REASON.ADMINISTRATIVE_ACTION;
  return DISCONNECT_REASON[error.code];
}

/** The same where the CONNECT was not accepted yet. */
export function connackReason(error: ConnectionError): ConnackReason {
  if (error instanceof ProtocolFault && isReason(CONNACK_REASONS, error.reason)) return error.reason;
  return CONNACK_REASON[error.code];
}

/** Whether `code` is one of `reasons`, which are the legal ones of some packet. */
export function isReason<Reason extends ReasonCode>(reasons: readonly Reason[], code: number): code is Reason {
  return (reasons as readonly number[]).includes(code);
}

const REFUSALS: ReadonlyMap<RequestErrorCode, ConnackReason> = new Map<RequestErrorCode, ConnackReason>([
  ['NOT_AUTHENTICATED', REASON.BAD_USER_NAME_OR_PASSWORD],
  ['LOGIN_REFUSED', REASON.NOT_AUTHORIZED],
  ['ACCOUNT_LOCKED', REASON.NOT_AUTHORIZED],
  ['OVERLOADED', REASON.QUOTA_EXCEEDED],
  ['LIMIT_EXCEEDED', REASON.QUOTA_EXCEEDED],
]);

/** What a CONNECT is answered whose login the core refused; null: it was no refusal. */
export function refusalReason({ code }: RequestError): ConnackReason | null {
  return REFUSALS.get(code) ?? null;
}

/** What a PUBACK or PUBREC says. */
export function publishReason(error: RequestError): PubackReason {
  switch (error.code) {
    case 'ACCESS_DENIED':
      return REASON.NOT_AUTHORIZED;
    case 'INVALID_PATH':
      return REASON.TOPIC_NAME_INVALID;
    case 'LIMIT_EXCEEDED':
      return REASON.QUOTA_EXCEEDED;
    default:
      return REASON.UNSPECIFIED_ERROR;
  }
}

/** What a SUBACK says of one filter. */
export function subscribeReason(error: RequestError): SubackReason {
  switch (error.code) {
    case 'ACCESS_DENIED':
      return REASON.NOT_AUTHORIZED;
    case 'LIMIT_EXCEEDED':
      return REASON.QUOTA_EXCEEDED;
    case 'UNSUPPORTED':
    case 'OUT_OF_HISTORY':
    case 'INVALID_REQUEST':
      return REASON.IMPLEMENTATION_SPECIFIC_ERROR;
    case 'INVALID_PATH':
      return REASON.TOPIC_FILTER_INVALID;
    default:
      return REASON.UNSPECIFIED_ERROR;
  }
}
