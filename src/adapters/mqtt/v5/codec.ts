// Pure: packets of MQTT 5 as clients send them, read strictly. A breach of the standard throws ProtocolFault with the reason
// code for the wire; where the standard leaves the code open it is that of Mosquitto 2.1. PUBLISH is read in
// publish.ts, what servers send is written in answers.ts.

import type { Meta, Qos } from '../../../core/index.js';
import { type ConnectFacts, lengthBytes, readText, tooManyFilters } from '../codec.js';
import type { SharedFilter } from '../paths.js';
import { CLIENT_ID_BYTES_MAX, CONNECT_FLAG, DUP, MQTT_5, PACKET, QOS_SHIFT } from '../wire.js';
import { AS_OF_PROPERTY, timeIn } from './as-of.js';
import { Fields } from './fields.js';
import { MessageProperties } from './meta.js';
import { PROPERTY, type PropertyPlace, PropertyReader, WILL } from './properties.js';
import {
  CLIENT_AUTH_REASONS,
  CLIENT_DISCONNECT_REASONS,
  type ClientAuthReason,
  type ClientDisconnectReason,
  isReason,
  malformed,
  ProtocolFault,
  PUBACK_REASONS,
  PUBREL_REASONS,
  type PubackReason,
  type PubrelReason,
  protocolError,
  REASON,
  type ReasonCode,
} from './reason-codes.js';
import { checkNoLocal, readFilter, readTopic } from './topics.js';

/** An interval of this many seconds never ends. */
const NEVER = 0xffff_ffff;

export interface Will {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly delaySeconds: number;
  /** null: the message does not expire. 0: no time is left to it. */
  readonly expirySeconds: number | null;
  readonly meta: Meta | null;
}

export interface Connect extends Pick<ConnectFacts, 'keepAlive' | 'clientId' | 'username' | 'password'> {
  readonly cleanStart: boolean;
  readonly will: Will | null;
  /** 0: the session ends with the connection; Infinity: never. */
  readonly sessionExpirySeconds: number;
  /** Publications of QoS 1 and 2 that the client takes unacknowledged. */
  readonly receiveMaximum: number;
  /** Largest packet that the client takes, header included; Infinity: it sets no limit. */
  readonly maximumPacketSize: number;
  /** Highest topic alias that the client takes; 0: none. */
  readonly topicAliasMaximum: number;
  readonly requestResponseInformation: boolean;
  /** False: reason strings and user properties stand in CONNACK, PUBLISH and DISCONNECT alone ([MQTT5-3.1.2-29]). */
  readonly requestProblemInformation: boolean;
  readonly authenticationMethod: string | null;
  readonly authenticationData: Uint8Array | null;
}

/** What the first byte and the length, which is written in `lengthSize` bytes, say is wrong; null: nothing. */
export function headerFault(first: number, length: number, lengthSize: number): ProtocolFault | null {
  // [MQTT5-1.5.5-1]
  if (lengthSize !== lengthBytes(length)) return malformed('remaining length is longer than it need be');
  const flags = first & 0x0f;
  switch (first >> 4) {
    case PACKET.PUBLISH:
      return publishFlagsFault(flags);
    case PACKET.PUBREL:
    case PACKET.SUBSCRIBE:
    case PACKET.UNSUBSCRIBE:
      return flags === 2 ? null : malformed('flags must be 0010');
    case PACKET.DISCONNECT:
      return flags === 0 ? null : protocolError('reserved flags are set');
    case PACKET.CONNECT:
    case PACKET.PUBACK:
    case PACKET.PUBREC:
    case PACKET.PUBCOMP:
    case PACKET.AUTH:
      return flags === 0 ? null : malformed('reserved flags are set');
    case PACKET.PINGREQ:
      return flags !== 0 ? malformed('reserved flags are set') : length !== 0 ? malformed('the packet has no body') : null;
    default:
      return protocolError(`packet type ${first >> 4} does not come from clients`);
  }
}

function publishFlagsFault(flags: number): ProtocolFault | null {
  const qos = (flags >> QOS_SHIFT) & 3;
  // [MQTT5-3.3.1-4]
  if (qos === 3) return malformed('QoS 3');
  // [MQTT5-3.3.1-2]
  return qos === 0 && (flags & DUP) !== 0 ? malformed('DUP at QoS 0') : null;
}

/** `bytes` from `start` to `end` are the body of a CONNECT. */
export function readConnect(bytes: Buffer, start: number, end: number, maxClientIdBytes = CLIENT_ID_BYTES_MAX): Connect {
  const fields = new Fields(bytes, start, end);
  const name = fields.text('protocol name');
  const level = fields.byte('protocol level');
  // [MQTT5-3.1.2-1], [MQTT5-3.1.2-2]
  if (name !== 'MQTT' || level !== MQTT_5) {
    throw new ProtocolFault(REASON.UNSUPPORTED_PROTOCOL_VERSION, `protocol level ${level} of ${name}`);
  }
  const flags = fields.byte('connect flags');
  checkConnectFlags(flags);
  const keepAlive = fields.number('keep alive');
  const properties = readConnectProperties(fields);
  const clientId = readClientId(fields, maxClientIdBytes);
  const will = (flags & CONNECT_FLAG.WILL) === 0 ? null : readWill(fields, flags);
  const username = (flags & CONNECT_FLAG.USER_NAME) === 0 ? null : fields.text('user name');
  const password = (flags & CONNECT_FLAG.PASSWORD) === 0 ? null : fields.binary('password');
  fields.finish('CONNECT');
  return { cleanStart: (flags & CONNECT_FLAG.CLEAN_SESSION) !== 0, keepAlive, clientId, will, username, password, ...properties };
}

function checkConnectFlags(flags: number): void {
  const willQos = (flags >> CONNECT_FLAG.WILL_QOS_SHIFT) & 3;
  // [MQTT5-3.1.2-3]
  if ((flags & CONNECT_FLAG.RESERVED) !== 0) throw malformed('reserved connect flag is set');
  // [MQTT5-3.1.2-12]
  if (willQos === 3) throw malformed('will QoS 3');
  // [MQTT5-3.1.2-11], [MQTT5-3.1.2-13]
  if ((flags & CONNECT_FLAG.WILL) === 0 && (willQos !== 0 || (flags & CONNECT_FLAG.WILL_RETAIN) !== 0)) {
    throw malformed('will QoS or will retain without a will');
  }
}

type ConnectProperties = Omit<Connect, 'cleanStart' | 'keepAlive' | 'clientId' | 'will' | 'username' | 'password'>;

function readConnectProperties(fields: Fields): ConnectProperties {
  const facts = {
    sessionExpirySeconds: 0,
    receiveMaximum: 0xffff,
    maximumPacketSize: Number.POSITIVE_INFINITY,
    topicAliasMaximum: 0,
    requestResponseInformation: false,
    requestProblemInformation: true,
    authenticationMethod: null as string | null,
    authenticationData: null as Uint8Array | null,
  };
  const properties = new PropertyReader(fields, PACKET.CONNECT);
  while (properties.next()) {
    const { id, number, text, binary } = properties;
    if (id === PROPERTY.SESSION_EXPIRY_INTERVAL) facts.sessionExpirySeconds = secondsOf(number);
    else if (id === PROPERTY.RECEIVE_MAXIMUM) facts.receiveMaximum = number;
    else if (id === PROPERTY.MAXIMUM_PACKET_SIZE) facts.maximumPacketSize = number;
    else if (id === PROPERTY.TOPIC_ALIAS_MAXIMUM) facts.topicAliasMaximum = number;
    else if (id === PROPERTY.REQUEST_RESPONSE_INFORMATION) facts.requestResponseInformation = number === 1;
    else if (id === PROPERTY.REQUEST_PROBLEM_INFORMATION) facts.requestProblemInformation = number === 1;
    else if (id === PROPERTY.AUTHENTICATION_METHOD) facts.authenticationMethod = text;
    else if (id === PROPERTY.AUTHENTICATION_DATA) facts.authenticationData = new Uint8Array(binary);
  }
  checkAuthentication(facts.authenticationMethod, facts.authenticationData);
  return facts;
}

function secondsOf(interval: number): number {
  return interval === NEVER ? Number.POSITIVE_INFINITY : interval;
}

/** Section 3.1.2.11.10. */
function checkAuthentication(method: string | null, data: Uint8Array | null): void {
  if (data !== null && method === null) throw protocolError('authentication data without method');
}

/** An empty one asks for one ([MQTT5-3.1.3-6]). */
function readClientId(fields: Fields, maxBytes: number): string {
  const field = fields.binary('client id');
  const clientId = readText(field, 0, field.length);
  if (clientId === null) {
    throw new ProtocolFault(REASON.CLIENT_IDENTIFIER_NOT_VALID, 'client id is not UTF-8 text without control characters');
  }
  if (field.length > maxBytes) {
    throw new ProtocolFault(REASON.CLIENT_IDENTIFIER_NOT_VALID, `client id of more than ${maxBytes} bytes`);
  }
  return clientId;
}

function readWill(fields: Fields, flags: number): Will {
  const message = new MessageProperties();
  let delaySeconds = 0;
  const properties = new PropertyReader(fields, WILL);
  while (properties.next()) {
    if (properties.id === PROPERTY.WILL_DELAY_INTERVAL) delaySeconds = properties.number;
    else message.take(properties);
  }
  const topic = fields.binary('will topic');
  return {
    topic: readTopic(topic, 0, topic.length, 'will topic'),
    payload: Buffer.from(fields.binary('will payload')),
    qos: ((flags >> CONNECT_FLAG.WILL_QOS_SHIFT) & 3) as Qos,
    retain: (flags & CONNECT_FLAG.WILL_RETAIN) !== 0,
    delaySeconds,
    expirySeconds: message.expirySeconds,
    meta: message.meta(),
  };
}

/** When retained messages are sent at a subscription (section 3.8.3.1). */
export const RETAIN_HANDLING = { ALWAYS: 0, WHEN_NEW: 1, NEVER: 2 } as const;
export type RetainHandling = (typeof RETAIN_HANDLING)[keyof typeof RETAIN_HANDLING];

export interface SubscribeFilter extends SharedFilter {
  readonly qos: Qos;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: RetainHandling;
}

export interface Subscribe {
  readonly packetId: number;
  /** 0: none. */
  readonly identifier: number;
  /** See as-of.ts; null: what is retained now. */
  readonly asOf: number | null;
  /** In the order of the packet; at least one. */
  readonly filters: SubscribeFilter[];
}

/** `max`: filters that the packet may name. */
export function readSubscribe(bytes: Buffer, start: number, end: number, max = Number.POSITIVE_INFINITY): Subscribe {
  const fields = new Fields(bytes, start, end);
  const packetId = fields.packetId();
  const properties = new PropertyReader(fields, PACKET.SUBSCRIBE);
  let identifier = 0;
  let asOf: number | null = null;
  while (properties.next()) {
    if (properties.id === PROPERTY.SUBSCRIPTION_IDENTIFIER) identifier = properties.number;
    else if (properties.id === PROPERTY.USER_PROPERTY && properties.name === AS_OF_PROPERTY) asOf = timeIn(properties.text);
  }
  const filters: SubscribeFilter[] = [];
  // [MQTT5-3.8.3-2]
  do {
    if (filters.push(readSubscribeFilter(fields)) > max) throw tooManyFilters(max);
  } while (!fields.done);
  return { packetId, identifier, asOf, filters };
}

const NO_LOCAL = 0x04;
const RETAIN_AS_PUBLISHED = 0x08;
const RETAIN_HANDLING_SHIFT = 4;
const RESERVED_OPTIONS = 0xc0;

function readSubscribeFilter(fields: Fields): SubscribeFilter {
  const filter = readFilter(fields.binary('topic filter'));
  const options = fields.byte('subscription options');
  const qos = options & 3;
  const retainHandling = (options >> RETAIN_HANDLING_SHIFT) & 3;
  // [MQTT5-3.8.3-5]
  if ((options & RESERVED_OPTIONS) !== 0) throw malformed('reserved subscription options are set');
  if (qos === 3) throw malformed('requested QoS 3');
  if (retainHandling === 3) throw malformed('retain handling 3');
  const noLocal = (options & NO_LOCAL) !== 0;
  checkNoLocal(filter, noLocal);
  return {
    qos: qos as Qos,
    noLocal,
    retainAsPublished: (options & RETAIN_AS_PUBLISHED) !== 0,
    retainHandling: retainHandling as RetainHandling,
    ...filter,
  };
}

export interface Unsubscribe {
  readonly packetId: number;
  /** In the order of the packet; at least one. */
  readonly filters: SharedFilter[];
}

/** `max`: as in `readSubscribe`. */
export function readUnsubscribe(bytes: Buffer, start: number, end: number, max = Number.POSITIVE_INFINITY): Unsubscribe {
  const fields = new Fields(bytes, start, end);
  const packetId = fields.packetId();
  skipProperties(fields, PACKET.UNSUBSCRIBE);
  const filters: SharedFilter[] = [];
  // [MQTT5-3.10.3-2]
  do {
    if (filters.push(readFilter(fields.binary('topic filter'))) > max) throw tooManyFilters(max);
  } while (!fields.done);
  return { packetId, filters };
}

/** Checks properties that the gateway has no use for. */
function skipProperties(fields: Fields, place: PropertyPlace): void {
  const properties = new PropertyReader(fields, place);
  while (properties.next());
}

export interface Acknowledgement<Reason> {
  readonly packetId: number;
  readonly reason: Reason;
}

type PubackType = typeof PACKET.PUBACK | typeof PACKET.PUBREC;
type PubrelType = typeof PACKET.PUBREL | typeof PACKET.PUBCOMP;

/** PUBACK and PUBREC. */
export function readPuback(bytes: Buffer, start: number, end: number, type: PubackType): Acknowledgement<PubackReason> {
  return readAcknowledgement(bytes, start, end, type, PUBACK_REASONS);
}

/** PUBREL and PUBCOMP. */
export function readPubrel(bytes: Buffer, start: number, end: number, type: PubrelType): Acknowledgement<PubrelReason> {
  return readAcknowledgement(bytes, start, end, type, PUBREL_REASONS);
}

function readAcknowledgement<Reason extends ReasonCode>(
  bytes: Buffer,
  start: number,
  end: number,
  type: PropertyPlace,
  legal: readonly (Reason | 0)[],
): Acknowledgement<Reason | 0> {
  if (end - start < 2) throw malformed('an acknowledgement has at least two bytes');
  const packetId = bytes.readUInt16BE(start);
  if (packetId === 0) throw protocolError('packet id 0');
  // Most are as short as this.
  if (end - start === 2) return { packetId, reason: REASON.SUCCESS };
  const fields = new Fields(bytes, start + 2, end);
  const reason = fields.byte('reason code');
  readRest(fields, type);
  return { packetId, reason: checkedReason(reason, legal, 'an acknowledgement') };
}

/** Properties, which may be left out, and then nothing. */
function readRest(fields: Fields, type: PropertyPlace): void {
  if (fields.done) return;
  skipProperties(fields, type);
  fields.finish('the packet');
}

function checkedReason<Reason extends ReasonCode>(code: number, legal: readonly Reason[], packet: string): Reason {
  if (!isReason(legal, code)) throw protocolError(`reason code ${code} in ${packet}`);
  return code;
}

export interface Disconnect {
  readonly reason: ClientDisconnectReason;
  /** null: as it was. Infinity: the session never ends. */
  readonly sessionExpirySeconds: number | null;
  readonly reasonString: string | null;
}

export function readDisconnect(bytes: Buffer, start: number, end: number): Disconnect {
  const fields = new Fields(bytes, start, end);
  let sessionExpirySeconds: number | null = null;
  let reasonString: string | null = null;
  const code = fields.done ? REASON.SUCCESS : fields.byte('reason code');
  if (!fields.done) {
    const properties = new PropertyReader(fields, PACKET.DISCONNECT);
    while (properties.next()) {
      if (properties.id === PROPERTY.SESSION_EXPIRY_INTERVAL) sessionExpirySeconds = secondsOf(properties.number);
      else if (properties.id === PROPERTY.REASON_STRING) reasonString = properties.text;
    }
    fields.finish('DISCONNECT');
  }
  // [MQTT5-3.14.2-1]
  return { reason: checkedReason(code, CLIENT_DISCONNECT_REASONS, 'DISCONNECT'), sessionExpirySeconds, reasonString };
}

export interface Auth {
  readonly reason: ClientAuthReason;
  readonly method: string;
  readonly data: Uint8Array | null;
}

export function readAuth(bytes: Buffer, start: number, end: number): Auth {
  const fields = new Fields(bytes, start, end);
  let method: string | null = null;
  let data: Uint8Array | null = null;
  const code = fields.done ? REASON.SUCCESS : fields.byte('reason code');
  if (!fields.done) {
    const properties = new PropertyReader(fields, PACKET.AUTH);
    while (properties.next()) {
      if (properties.id === PROPERTY.AUTHENTICATION_METHOD) method = properties.text;
      else if (properties.id === PROPERTY.AUTHENTICATION_DATA) data = new Uint8Array(properties.binary);
    }
    fields.finish('AUTH');
  }
  // [MQTT5-3.15.2-1]
  const reason = checkedReason(code, CLIENT_AUTH_REASONS, 'AUTH');
  // Section 3.15.2.2.2.
  if (method === null) throw protocolError('AUTH without authentication method');
  return { reason, method, data };
}
