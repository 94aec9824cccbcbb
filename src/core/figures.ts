// Figures: what a protocol may tell administrators about the whole gateway.

import type { Session } from './sessions/session.js';

/** What the sessions of one protocol are and did. */
export interface ProtocolFigures {
  readonly sessions: number;
  /** Requests executed since the start, also of sessions that have ended. */
  readonly requests: number;
}

export interface GatewayFigures {
  readonly records: number;
  /** Bytes of their bodies. */
  readonly recordBytes: number;
  /** Bodies that wait for durable sessions, each once however many it waits for. */
  readonly messages: number;
  readonly messageBytes: number;
  /** What waits in all queues of durable sessions: a body counts once for each that it waits for. */
  readonly queued: number;
  readonly queuedBytes: number;
  readonly subscriptions: number;
  readonly durableSessions: number;
  /** Of these, the ones without a connection. */
  readonly durableAway: number;
  /** Durable sessions that nobody resumed in time, since the start. */
  readonly durableExpired: number;
  /** Publications dropped since the start, for slow receivers and full queues. */
  readonly dropped: number;
  /** Requests taken and not yet settled. */
  readonly unsettled: number;
  /** Highest delay of the event loop in the last second. */
  readonly eventLoopDelayMs: number;
  /** By name of the adapter. */
  readonly protocols: ReadonlyMap<string, ProtocolFigures>;
}

/** Requests of sessions that have ended. */
export class ProtocolTotals {
  readonly #ended = new Map<string, number>();

  add({ adapter, executed }: Session): void {
    this.#ended.set(adapter, (this.#ended.get(adapter) ?? 0) + executed);
  }

  with(open: Iterable<Session>): ReadonlyMap<string, ProtocolFigures> {
    const protocols = new Map<string, { sessions: number; requests: number }>();
    for (const [adapter, requests] of this.#ended) protocols.set(adapter, { sessions: 0, requests });
    for (const { adapter, executed } of open) {
      const figures = protocols.get(adapter) ?? { sessions: 0, requests: 0 };
      protocols.set(adapter, figures);
      figures.sessions += 1;
      figures.requests += executed;
    }
    return protocols;
  }
}
