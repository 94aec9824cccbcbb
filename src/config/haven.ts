// Settings of Haven.

import { z } from 'zod';
import { KIB, MIB, port, whole } from './kinds.js';

export const haven = z.strictObject({
  port: port(7854, 'port for Haven over TCP'),
  firstFrameBytes: whole(64 * KIB, 128, MIB, 'largest Haven message before CONNECT'),
  maxFrameBytes: whole(MIB, KIB, 15 * MIB, 'largest Haven message after CONNECT'),
  firstElements: whole(1_000, 16, 65_536, 'items and entries in one Haven message before CONNECT'),
  maxElements: whole(65_536, 16, 1_048_576, 'items and entries in one Haven message after CONNECT'),
  firstDepth: whole(8, 4, 32, 'nesting of a Haven message before CONNECT'),
  maxDepth: whole(32, 4, 64, 'nesting of a Haven message after CONNECT'),
  connectMs: whole(10_000, 100, 600_000, 'time for a Haven client to send its CONNECT, and to log in if required'),
  heartbeatMs: whole(60_000, 1_000, 3_600_000, 'a Haven client is disconnected after this much silence, unless it asks for another time'),
  heartbeatMinMs: whole(1_000, 100, 3_600_000, 'shortest time that a Haven client may ask for'),
  heartbeatMaxMs: whole(300_000, 1_000, 86_400_000, 'longest time that a Haven client may ask for'),
  watchMaxEvents: whole(10_000, 1, 1_000_000, 'events waiting for the heartbeat of a Haven client'),
  watchMaxBytes: whole(4 * MIB, KIB, 256 * MIB, 'bytes of these events'),
  maxWatches: whole(1_000, 1, 1_000_000, 'watches of one Haven client'),
  readMaxItems: whole(10_000, 1, 1_000_000, 'records in the answer to one Haven read with wildcards'),
  maxFresh: whole(1_000, 1, 100_000, 'Haven connections from other machines without a CONNECT yet'),
});
