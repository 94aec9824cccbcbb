// Housekeeping: requests that the core makes to itself as time passes: expired records, durable sessions, logins, revocations and due
// wills, and excess history. It only submits them; operations do the work, in order with all others.

import type { Clock, Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import type { Expiry, ExpirySweep } from '../data/expiry.js';
import { isDelayed } from '../durable/kept-wills.js';
import type { DurableTable } from '../durable/table.js';
import { SessionRevoked } from '../errors.js';
import type { History } from '../history/history.js';
import type { PastRef } from '../history/rows.js';
import { HistorySweep } from '../history/sweep.js';
import { DataRequest, DurableRequest, type Request, SecurityRequest, STORED, SubscribeRequest } from '../message.js';
import { RemovalSlice, type Slice, TrimSlice } from '../operations/slices.js';
import type { Subscription } from '../routing/subscription.js';
import type { Audit } from '../security/audit.js';
import type { SecurityCommand } from '../security/commands.js';
import { type Directory, FORGOTTEN_AT_A_TIME } from '../security/directory.js';
import { isOverdue, overAt } from '../security/policy.js';
import { SystemSession } from '../sessions/desk-session.js';
import type { Sessions } from '../sessions/sessions.js';
import { Sweeper } from './sweeper.js';

/** Revocations and locks whose time is over are looked for so often. */
const REVOCATIONS_SWEEP_MS = 60_000;

export interface HousekeepingParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly expiry: ExpirySweep;
  /** null: none is kept. */
  readonly history: History | null;
  readonly durables: DurableTable;
  readonly directory: Directory;
  readonly audit: Audit;
  readonly sessions: Sessions;
  /** false: the store takes nothing now. */
  readonly isRunning: () => boolean;
  readonly submit: (request: Request) => void;
  readonly administer: (command: SecurityCommand) => Promise<void>;
  readonly submitSlice: (slice: Slice) => void;
}

export class Housekeeping {
  readonly #parts: HousekeepingParts;
  readonly #system = new SystemSession();
  readonly #sweeper: Sweeper;
  readonly #historySweep: HistorySweep | null;
  readonly #expired: Counter;
  #revocationsSweptAt = 0;
  /** The last entries of the audit on their way to the store. */
  #entering = Promise.resolve();

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
    const { clock, log, expiry, history, counters } = parts;
    this.#expired = counters.counter('records_expired_total', 'Expired records that were removed');
    this.#historySweep = history === null ? null : new HistorySweep(history, (refs) => this.#trim(refs));
    this.#sweeper = new Sweeper({
      clock,
      log,
      expiry,
      removeExpired: (due) => this.#removeExpired(due),
      endOverdue: (now) => this.#endOverdue(now),
      history: this.#historySweep,
    });
  }

  /** Publishes the wills that a crash left behind, too. */
  start(): void {
    this.#sweeper.start();
    this.#parts.audit.whenDone(() => {
      if (this.#parts.isRunning()) void this.enterAudit();
    });
    // Who may not come back any more has no part in what happens from now on.
    this.#endOverdue(this.#parts.clock.now());
    for (const key of this.#parts.durables.wills.keys()) if (!isDelayed(key)) this.#fireWill(key);
  }

  /** Has kept what was noted for the audit. Resolves when all of it is, or the store takes nothing: then it is tried again later. `last`: as of Audit.take. */
  enterAudit(last = false): Promise<void> {
    const { audit, clock, administer } = this.#parts;
    const events = audit.take(last);
    if (events.length === 0 && !audit.hasOverdue(clock.now())) return this.#entering;
    this.#entering = administer({ type: 'enter', events }).catch(() => audit.giveBack(events));
    return this.#entering;
  }

  /** Resolves when nothing of it is at work any more. */
  stop(): Promise<void> {
    return this.#sweeper.stop();
  }

  /** Ends a durable subscription that nobody else would end. */
  endSubscription(subscription: Subscription): void {
    this.#parts.submit(new SubscribeRequest('unsubscribe', this.#system, null, subscription, null, null));
  }

  #removeExpired(due: readonly Expiry[]): Promise<number> {
    const paths = due.map(({ path }) => path);
    const deadlines = due.map(({ deadline }) => deadline);
    // Nobody asked for it.
    const request = new DataRequest('remove', this.#system, null, '', null, null, STORED, false, 0, null);
    return new Promise((resolve, reject) => {
      this.#parts.submitSlice(
        new RemovalSlice(this.#system, request, paths, Number.POSITIVE_INFINITY, deadlines, (removed, error) => {
          if (error !== null) return reject(error);
          this.#expired.add(removed);
          resolve(removed);
        }),
      );
    });
  }

  /** What a failing store leaves is given up later. */
  freeHistory(): void {
    this.#historySweep?.free().catch((error: unknown) => {
      this.#parts.log.warn({ err: error }, 'history could not be trimmed yet');
    });
  }

  #trim(refs: readonly PastRef[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#parts.submitSlice(new TrimSlice(this.#system, refs, (_count, error) => (error === null ? resolve() : reject(error))));
    });
  }

  #endOverdue(now: number): void {
    if (!this.#parts.isRunning()) return;
    this.#endOverdueLogins(now);
    void this.enterAudit();
    // What was asked for before, and waits for the disk, would be asked for again.
    if (this.#system.inFlight > 0) return;
    this.#endOverdueSessions(now);
    this.#forgetRevocations(now);
  }

  #endOverdueSessions(now: number): void {
    const { sessions, wills } = this.#parts.durables.overdue(now);
    for (const key of wills) this.#fireWill(key);
    for (const key of sessions) this.#parts.submit(new DurableRequest(this.#system, null, { type: 'sweep', key }, null));
  }

  #forgetRevocations(now: number): void {
    if (now < this.#revocationsSweptAt + REVOCATIONS_SWEEP_MS && now >= this.#revocationsSweptAt) return;
    const { directory } = this.#parts;
    const over = Math.max(directory.revocationsOver(now).length, directory.locksOver(now).length);
    // Where one operation cannot forget all of them, the next sweep goes on.
    if (over < FORGOTTEN_AT_A_TIME) this.#revocationsSweptAt = now;
    if (over > 0) this.#parts.submit(new SecurityRequest(this.#system, null, { type: 'sweepRevocations' }, null));
  }

  #endOverdueLogins(now: number): void {
    for (const session of this.#parts.sessions) {
      const { login } = session.ownIdentity;
      if (login === null || !isOverdue(login, now)) continue;
      this.#parts.sessions.end(session, new SessionRevoked(overAt(login, now)?.reason ?? 'session-ended'));
    }
  }

  /** Of a connection that is none of this run, or whose delay is over. */
  #fireWill(key: string): void {
    this.#parts.submit(new DurableRequest(this.#system, null, { type: 'fireWill', key }, null));
  }
}
