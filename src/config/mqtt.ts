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
  mountPoint: mountPoint.meta(about('text', 'prefix of every MQTT topic', 'at most 1024 bytes of text without + and #')),
  maxConnectBytes: whole(64 * KIB, KIB, MIB, 'largest MQTT packet before the login is accepted'),
  maxPacketBytes: whole(MIB, KIB, 256 * MIB - 1, 'largest MQTT packet afterwards'),
  connectTimeoutMs: whole(10_000, 100, 600_000, 'time for an MQTT client to log in'),
  maxConnecting: whole(1_000, 1, 100_000, 'MQTT connections without an accepted login yet; further ones wait'),
  maxConnections: whole(100_000, 1, 1_000_000, 'MQTT connections in all; further ones are closed'),
  maxConnectionsPerAddress: whole(10_000, 1, 1_000_000, 'MQTT connections from one address, except loopback and proxies'),
  maxConnectingPerAddress: whole(500, 1, 100_000, 'MQTT connections from one address without an accepted login yet'),
  idleLimitMs: whole(3_600_000, 1_000, 86_400_000, 'longest silence of an MQTT client without keep alive'),
  outgoingWindow: whole(100, 1, 65_535, 'unacknowledged messages of QoS 1 and 2 to one MQTT client'),
  maxIncomingOnce: whole(
    1_000,
    1,
    65_535,
    'unreleased messages of QoS 2 from one MQTT client; in MQTT 5, unacknowledged ones of QoS 1 and 2',
  ),
  maxClientIdBytes: whole(1_024, 23, 65_535, 'longest MQTT client id'),
  maxConnectsPerSecond: whole(0, 0, 1_000_000, 'new MQTT connections a second from one address; 0: unlimited'),
  maxPublishesPerSecond: whole(0, 0, 10_000_000, 'messages a second that one MQTT client may publish; 0: unlimited'),
  maxPublishBytesPerSecond: whole(0, 0, 1_000_000 * MIB, 'bytes a second of these messages; 0: unlimited'),
  maxSubscriptions: whole(1_000, 1, 1_000_000, 'filters of one MQTT session'),
  maxTopicAliases: whole(10, 0, 65_535, 'topic aliases of an MQTT 5 client, in each direction'),
  maxKeepAliveSeconds: whole(60, 1, 65_535, 'longest keep alive of an MQTT 5 client'),
  responseInformation: z
    .string()
    .default('')
    .meta(about('text', 'answer to MQTT 5 clients that request response information', 'a text')),
  sysIntervalMs: whole(10_000, 0, 3_600_000, 'time between publications of the $SYS topics; 0: no $SYS topics'),
  proxyProtocol: choice('off', ['off', 'required'], 'whether every MQTT connection over TCP begins with a PROXY header'),
  proxyAddresses: networks.meta(
    about('list', 'proxies in front of MQTT, which may send such a header', 'a list of IP addresses and networks such as 10.0.0.0/8'),
  ),
  tls: z.strictObject({
    port: optionalPort('port for MQTT over TLS; uses the certificate of tls.certFile, or makes one'),
    clientCertificates: choice('off', ['off', 'optional', 'required'], 'whether clients on this port present a certificate'),
    clientCaFile: optionalText('file with the CA certificates for client certificates, in PEM form', 'a file name'),
    userFrom: choice('none', ['none', 'commonName'], 'field of the client certificate that names the user'),
  }),
  sessionExpiryMs: whole(
    SESSION_EXPIRY_MS,
    1_000,
    3_650 * DAY_MS,
    'how long an MQTT session is kept without a connection; MQTT 5 clients may ask for less',
  ),
});
