// Settings of MQTT. Bridges to other brokers have theirs in bridges.ts.

import { z } from 'zod';
import { SESSION_EXPIRY_MS } from '../core/durable/durable-session.js';
import { isAddressOrNetwork } from './addresses.js';
import { about, choice, DAY_MS, KIB, MIB, optionalPort, optionalText, port, whole } from './kinds.js';

const mountPoint = z
  .string()
  .refine((text) => !/[+#\p{Cc}]/u.test(text) && text.isWellFormed() && Buffer.byteLength(text) <= 1_024)
  .default('');

const networks = z.array(z.string().refine(isAddressOrNetwork)).default([]);

export const mqtt = z.strictObject({
  port: port(1883, 'port for MQTT over TCP'),
  mountPoint: mountPoint.meta(about('text', 'text put before every MQTT topic', 'at most 1024 bytes of text without + and #')),
  maxConnectBytes: whole(64 * KIB, KIB, MIB, 'largest MQTT packet before the login is accepted'),
  maxPacketBytes: whole(MIB, KIB, 256 * MIB - 1, 'largest MQTT packet after it'),
  connectTimeoutMs: whole(10_000, 100, 600_000, 'time for an MQTT client to log in'),
  maxConnecting: whole(1_000, 1, 100_000, 'MQTT connections that may be open without an accepted login; further ones wait'),
  maxConnections: whole(100_000, 1, 1_000_000, 'MQTT connections that may be open; further ones are closed'),
  maxConnectionsPerAddress: whole(10_000, 1, 1_000_000, 'of these from one address, loopback and proxies excepted'),
  maxConnectingPerAddress: whole(500, 1, 100_000, 'of these without an accepted login'),
  idleLimitMs: whole(3_600_000, 1_000, 86_400_000, 'longest silence of an MQTT client without keep alive'),
  outgoingWindow: whole(100, 1, 65_535, 'messages of QoS 1 and 2 that an MQTT client may have unacknowledged'),
  maxIncomingOnce: whole(1_000, 1, 65_535, 'messages of QoS 2 that an MQTT client may have unreleased; of QoS 1 and 2 in MQTT 5'),
  maxClientIdBytes: whole(1_024, 23, 65_535, 'longest MQTT client id'),
  maxConnectsPerSecond: whole(0, 0, 1_000_000, 'MQTT connections a second from one address; 0: any number'),
  maxPublishesPerSecond: whole(0, 0, 10_000_000, 'messages a second that one MQTT client may publish; 0: any number'),
  maxPublishBytesPerSecond: whole(0, 0, 1_000_000 * MIB, 'bytes of these; 0: any number'),
  maxSubscriptions: whole(1_000, 1, 1_000_000, 'filters of one MQTT session'),
  maxTopicAliases: whole(10, 0, 65_535, 'topics that an MQTT 5 client may give a number, and is given one for'),
  maxKeepAliveSeconds: whole(60, 1, 65_535, 'longest keep alive of an MQTT 5 client'),
  responseInformation: z
    .string()
    .default('')
    .meta(about('text', 'what MQTT 5 clients are told that ask for response information', 'a text')),
  sysIntervalMs: whole(10_000, 0, 3_600_000, 'time between publications of the $SYS topics; 0: there are none'),
  proxyProtocol: choice('off', ['off', 'required'], 'whether every MQTT connection over TCP begins with a PROXY header'),
  proxyAddresses: networks.meta(
    about('list', 'proxies in front of MQTT: who may send such a header', 'a list of IP addresses and networks such as 10.0.0.0/8'),
  ),
  tls: z.strictObject({
    port: optionalPort('port for MQTT over TLS; its certificate is that of tls.certFile, or one is made'),
    clientCertificates: choice('off', ['off', 'optional', 'required'], 'whether clients on this port show a certificate'),
    clientCaFile: optionalText('file of the certificates that vouch for those of clients, in PEM form', 'a file name'),
    userFrom: choice('none', ['none', 'commonName'], 'what of its certificate names the user that a client is'),
  }),
  sessionExpiryMs: whole(
    SESSION_EXPIRY_MS,
    1_000,
    3_650 * DAY_MS,
    'how long an MQTT session is kept that nobody resumes; MQTT 5 clients may ask for less',
  ),
});
