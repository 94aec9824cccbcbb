// The wire of MQTT 3.1, 3.1.1 and 5: packet types, flags, return codes and limits, named as the standard names them.

import { SESSION_EXPIRY_MS } from '../../core/index.js';

/** Control packet types (3.1.1 section 2.2.1): the high half of a packet's first byte. */
export const PACKET = {
  CONNECT: 1,
  CONNACK: 2,
  PUBLISH: 3,
  PUBACK: 4,
  PUBREC: 5,
  PUBREL: 6,
  PUBCOMP: 7,
  SUBSCRIBE: 8,
  SUBACK: 9,
  UNSUBSCRIBE: 10,
  UNSUBACK: 11,
  PINGREQ: 12,
  PINGRESP: 13,
  DISCONNECT: 14,
  /** Version 5 alone. */
  AUTH: 15,
} as const;

/** Flags in the first byte of PUBLISH. */
export const DUP = 0x08;
export const QOS_SHIFT = 1;
export const RETAIN = 0x01;

/** First byte of the packets that this side writes itself. */
export const FIRST_BYTE = {
  CONNACK: 0x20,
  PUBLISH: 0x30,
  PUBACK: 0x40,
  PUBREC: 0x50,
  PUBREL: 0x62,
  PUBCOMP: 0x70,
  SUBACK: 0x90,
  UNSUBACK: 0xb0,
  PINGRESP: 0xd0,
  DISCONNECT: 0xe0,
  AUTH: 0xf0,
} as const;

/** Connect flags (3.1.1 section 3.1.2.3). */
export const CONNECT_FLAG = {
  RESERVED: 0x01,
  CLEAN_SESSION: 0x02,
  WILL: 0x04,
  WILL_QOS_SHIFT: 3,
  WILL_RETAIN: 0x20,
  PASSWORD: 0x40,
  USER_NAME: 0x80,
} as const;

/** CONNACK return codes (3.1.1 section 3.2.2.3). */
export const RETURN_CODE = {
  ACCEPTED: 0,
  UNACCEPTABLE_PROTOCOL_VERSION: 1,
  IDENTIFIER_REJECTED: 2,
  SERVER_UNAVAILABLE: 3,
  BAD_USER_NAME_OR_PASSWORD: 4,
  NOT_AUTHORIZED: 5,
} as const;

/** Protocol levels. */
export const MQTT_3_1 = 3;
export const MQTT_3_1_1 = 4;
export const MQTT_5 = 5;

/** The versions that are served. */
export type Version = PlainVersion | typeof MQTT_5;

/** Those without properties. */
export type PlainVersion = typeof MQTT_3_1 | typeof MQTT_3_1_1;

/** Protocol names: of 3.1, and of every later version. */
export const PROTOCOL_NAME = { MQISDP: 'MQIsdp', MQTT: 'MQTT' } as const;

/** Where the connect flags stand in the body of a CONNECT: behind protocol name and level. */
export const CONNECT_FLAGS_AT: Readonly<Record<PlainVersion, number>> = { [MQTT_3_1]: 9, [MQTT_3_1_1]: 7 };

/** SUBACK return code of a refused filter (3.1.1 section 3.9.3). */
export const SUBSCRIPTION_REFUSED = 0x80;

/** A remaining length has at most this many bytes (section 2.2.3). */
export const LENGTH_BYTES_MAX = 4;
export const PACKET_ID_MAX = 65_535;
export const TOPIC_BYTES_MAX = 65_535;
export const TOPIC_LEVELS_MAX = 100;
export const FILTER_BYTES_MAX = 1_024;
export const CLIENT_ID_BYTES_MAX = 1_024;
/** MQTT 3.1 section 3.1: a client id has 1 to 23 characters. */
export const CLIENT_ID_CHARACTERS_MAX_3_1 = 23;

/** Websocket subprotocols (3.1.1 section 6): the standard's and that of 3.1 clients. */
export const SUBPROTOCOLS = ['mqtt', 'mqttv3.1'] as const;

export interface MqttLimits {
  /** Largest packet before the CONNECT is accepted. */
  readonly maxConnectBytes: number;
  /** Largest packet afterwards. */
  readonly maxPacketBytes: number;
  /** From accepting the socket to accepting the CONNECT. */
  readonly connectTimeoutMs: number;
  /** Longest silence of a client that connected with keep alive 0. */
  readonly idleLimitMs: number;
  /** Publications of QoS 1 and 2 that one client may have unacknowledged; further ones wait. */
  readonly outgoingWindow: number;
  /** Connections that have no accepted CONNECT yet; further ones wait unread. */
  readonly maxConnecting: number;
  /** Connections in all; further ones are closed. */
  readonly maxConnections: number;
  /** Of one address (IPv6: of one /64 network), loopback and proxies excepted; further ones are closed. */
  readonly maxConnectionsPerAddress: number;
  /** Of these, without an accepted CONNECT. */
  readonly maxConnectingPerAddress: number;
  /** Longest client id; 3.1 allows 23 characters. */
  readonly maxClientIdBytes: number;
  /** Connections a second from one address, as it is counted above; further ones are answered with a refusal. 0: any number. */
  readonly maxConnectsPerSecond: number;
  /** Messages a second of one client; who sends more is read more slowly. 0: any number. */
  readonly maxPublishesPerSecond: number;
  /** Bytes of these, packets whole. 0: any number. */
  readonly maxPublishBytesPerSecond: number;
  /** QoS 2 packet ids that one client may have unreleased. */
  readonly maxIncomingOnce: number;
  /** Filters of one session. */
  readonly maxSubscriptions: number;
  /** How long a durable session outlives its connection, at most. */
  readonly sessionExpiryMs: number;
  /** Topics that a client of version 5 may give a number, and that it is given a number for. */
  readonly maxTopicAliases: number;
  /** Longest keep alive of a client of version 5, in seconds; one without keep alive gets this. */
  readonly maxKeepAliveSeconds: number;
}

export const MQTT_LIMITS: MqttLimits = Object.freeze({
  maxConnectBytes: 64 * 1024,
  maxPacketBytes: 1024 * 1024,
  connectTimeoutMs: 10_000,
  idleLimitMs: 3_600_000,
  outgoingWindow: 100,
  maxConnecting: 1_000,
  maxConnections: 100_000,
  maxConnectionsPerAddress: 10_000,
  maxConnectingPerAddress: 500,
  maxClientIdBytes: CLIENT_ID_BYTES_MAX,
  maxConnectsPerSecond: 0,
  maxPublishesPerSecond: 0,
  maxPublishBytesPerSecond: 0,
  maxIncomingOnce: 1_000,
  maxSubscriptions: 1_000,
  sessionExpiryMs: SESSION_EXPIRY_MS,
  maxTopicAliases: 10,
  maxKeepAliveSeconds: 60,
});
