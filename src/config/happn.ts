// Settings of happn.

import { z } from 'zod';
import { KIB, MIB, port, whole } from './kinds.js';

export const happn = z.strictObject({
  port: port(55_000, 'port for happn websockets and HTTP (and MQTT and Haven over websocket)'),
  maxFrameBytes: whole(10 * MIB, 64 * KIB, 256 * MIB, 'largest happn message'),
  pingIntervalMs: whole(30_000, 100, 45_000, 'time between heartbeats to happn clients of protocol 4'),
  silentMs: whole(125_000, 1_000, 3_600_000, 'an older happn client is disconnected after this much silence'),
  firstRequestMs: whole(10_000, 100, 600_000, 'time for a happn client to send its first valid request, or to log in if required'),
  messageMs: whole(60_000, 1_000, 3_600_000, 'time between the first and the last byte of one happn message'),
  maxFresh: whole(1_000, 1, 100_000, 'happn connections from other machines without a valid request yet'),
  ackTimeoutMs: whole(60_000, 100, 3_600_000, 'time for receivers to acknowledge a happn publication of consistency 3'),
});
