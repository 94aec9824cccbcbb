// The settings of the Haven listener, and their defaults.

import { DEFAULT_PORT } from './wire.js';

export interface HavenConfig {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Largest message before and after CONNECT. */
  readonly firstFrameBytes: number;
  readonly maxFrameBytes: number;
  /** Most items and entries in one message before and after CONNECT. */
  readonly firstElements: number;
  readonly maxElements: number;
  /** Deepest nesting inside a message before and after CONNECT. */
  readonly firstDepth: number;
  readonly maxDepth: number;
  /** From accept to CONNECT. */
  readonly connectMs: number;
  /** A session that says nothing for this long is ended, unless it proposes another time within the bounds. */
  readonly heartbeatMs: number;
  readonly heartbeatMinMs: number;
  readonly heartbeatMaxMs: number;
  /** Events that wait for a heartbeat: beyond either bound the oldest go. */
  readonly watchMaxEvents: number;
  readonly watchMaxBytes: number;
  readonly maxWatches: number;
  /** Most records that one read with wildcards answers; the answer says when there are more. */
  readonly readMaxItems: number;
  /** Connections from elsewhere that have not connected yet; more wait unread until some have, or are gone. */
  readonly maxFresh: number;
  /** false: connections from this machine count among these, too. */
  readonly loopbackExempt?: boolean;
}

export const HAVEN_DEFAULTS: HavenConfig = Object.freeze({
  host: '127.0.0.1',
  port: DEFAULT_PORT,
  firstFrameBytes: 64 * 1024,
  maxFrameBytes: 1024 * 1024,
  firstElements: 1_000,
  maxElements: 65_536,
  firstDepth: 8,
  maxDepth: 32,
  connectMs: 10_000,
  heartbeatMs: 60_000,
  heartbeatMinMs: 1_000,
  heartbeatMaxMs: 300_000,
  watchMaxEvents: 10_000,
  watchMaxBytes: 4 * 1024 * 1024,
  maxWatches: 1_000,
  readMaxItems: 10_000,
  maxFresh: 1_000,
});
