// EngineFigures: what the engine measures about itself: gauges for metrics, figures that protocols show administrators, its load.

import type { Clock, GatewayLoad } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import type { Tally } from '../data/tally.js';
import type { GatewayFigures } from '../figures.js';
import type { State } from '../operations/run.js';
import { LoadMeter } from '../pace/load-meter.js';
import type { Sessions } from '../sessions/sessions.js';
import type { Commits } from './commits.js';
import type { InboundQueue } from './inbound-queue.js';

export interface FigureParts {
  readonly clock: Clock;
  readonly counters: Counters;
  readonly state: State;
  readonly tally: Tally;
  readonly inbound: InboundQueue;
  readonly sessions: Sessions;
  readonly commits: Commits;
  /** Counts each request that is executed. */
  readonly executed: Counter;
}

export class EngineFigures {
  readonly #parts: FigureParts;
  readonly #load: LoadMeter;

  constructor(parts: FigureParts) {
    this.#parts = parts;
    this.#load = new LoadMeter(parts.clock, parts.executed);
    this.#makeGauges();
  }

  #makeGauges(): void {
    const { counters, state, tally, inbound, commits } = this.#parts;
    const { router, durables, directory } = state;
    counters.gauge('requests_unsettled', 'Requests in progress', () => inbound.unsettled);
    counters.gauge('subscriptions', 'Subscriptions of all sessions', () => router.size);
    counters.gauge('queued_messages', 'Messages queued for durable sessions', () => durables.queues.length);
    counters.gauge('users', 'Users of the directory', () => directory.userCount);
    counters.gauge('groups', 'Groups of the directory', () => directory.groupCount);
    counters.gauge('revoked_tokens', 'Revoked tokens that are still remembered', () => directory.revocationCount);
    counters.gauge('decisions', 'Cached decisions on rights', () => directory.decisionCount);
    counters.gauge('records', 'Records stored', () => tally.records);
    counters.gauge('record_bytes', 'Bytes of the bodies of all records', () => tally.bytes);
    counters.gauge('revision', 'Number of the last stored change', () => commits.revision);
  }

  start(): void {
    this.#load.start();
  }

  stop(): void {
    this.#load.stop();
  }

  load(): GatewayLoad {
    const { sessions, inbound } = this.#parts;
    return this.#load.read(sessions.size, inbound.unsettled);
  }

  read(): GatewayFigures {
    const { state, tally, sessions, inbound } = this.#parts;
    const { durables, router, losses } = state;
    return {
      records: tally.records,
      recordBytes: tally.bytes,
      messages: durables.queues.bodies,
      messageBytes: durables.queues.bodyBytes,
      queued: durables.queues.length,
      queuedBytes: durables.queues.bytes,
      subscriptions: router.size,
      durableSessions: durables.sessions.size,
      durableAway: durables.away,
      durableExpired: losses.sessionsOver,
      dropped: sessions.dropped + losses.queueDropped,
      unsettled: inbound.unsettled,
      eventLoopDelayMs: this.load().eventLoopDelayMs,
      protocols: sessions.protocols,
    };
  }
}
