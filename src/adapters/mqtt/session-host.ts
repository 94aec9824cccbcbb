// What the sessions of one adapter share, and what a new session is given.

import type { AdapterContext, Portions } from '../../core/index.js';
import type { Visit } from './admission.js';
import type { BaseSession } from './base-session.js';
import type { Topics } from './paths.js';
import type { SystemTopics } from './sys.js';
import type { Transport } from './transport.js';
import type { MqttLimits } from './wire.js';
import type { WireCounts } from './wire-counts.js';

export interface SessionHost {
  readonly context: AdapterContext;
  readonly topics: Topics;
  readonly limits: MqttLimits;
  readonly counts: WireCounts;
  readonly system: SystemTopics;
  /** In which connections that were lost are seen to. */
  readonly losses: Portions;
  /** `session.flush` at the end of this turn of the loop. */
  flushSoon(session: BaseSession): void;
  /** One buffer for these frames; sessions that were given the same frames share it. */
  join(frames: readonly Uint8Array[], bytes: number): Uint8Array;
  /** A client of this key connects: the one that had it before is closed. */
  takeOver(session: BaseSession): void;
  /** A client does not read or acknowledge: its connection is about to be ended. */
  onStuck(session: BaseSession, waitingBytes: number, waitingMessages: number): void;
  /** A message was not sent because its time was over. */
  onExpired(): void;
  /** A message was not sent because its client may not hear it any more. */
  onDenied(): void;
  /** A client publishes faster than it may: it is not read for a while. */
  onSlowed(peer: string): void;
  onEnded(session: BaseSession): void;
}

/** What a transport brings along when the version of its client is known. */
export interface Arrival {
  readonly transport: Transport;
  readonly visit: Visit;
}
