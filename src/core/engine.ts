// Engine: the one owner of state. Puts its parts together, starts and stops them, and is what adapters and administrators talk to;
// the work is done in `engine/`. Requests are taken in bounded turns and executed without waiting; each turn writes one batch,
// then is published, answered and flushed. Requests that store nothing overtake the disk wherever order allows it.

import type { AdapterContext, Clock, Formats, GatewayLoad, HttpRoutes, Log, Logins, NodeInfo } from './adapter.js';
import type { Counters } from './counters.js';
import { ExpirySweep } from './data/expiry.js';
import { Records } from './data/records.js';
import { Tally } from './data/tally.js';
import type { DurableSession, QueueLimits } from './durable/durable-session.js';
import { DurableTable } from './durable/table.js';
import { countEnd } from './ends.js';
import { Commits } from './engine/commits.js';
import { Delivery } from './engine/delivery.js';
import { EngineFigures } from './engine/engine-figures.js';
import { Execution } from './engine/execution.js';
import { Failures } from './engine/failures.js';
import { Housekeeping } from './engine/housekeeping.js';
import { type InboundLimits, InboundQueue } from './engine/inbound-queue.js';
import { Intake } from './engine/intake.js';
import { Lifecycle } from './engine/lifecycle.js';
import { Readings } from './engine/readings.js';
import { Recovery } from './engine/recovery.js';
import { Turns } from './engine/turns.js';
import { type ConnectionError, SessionRevoked } from './errors.js';
import { History } from './history/history.js';
import { type HistorySettings, NO_HISTORY } from './history/rules.js';
import { openHistory } from './history/start.js';
import { Losses } from './losses.js';
import { DurableRequest, type Request, SecurityRequest } from './message.js';
import type { State } from './operations/run.js';
import { Shifts } from './pace/shifts.js';
import { PathIndex } from './paths/path-index.js';
import { Router } from './routing/router.js';
import type { ScanLimits } from './scans/scan-host.js';
import { type Access, withControlArea } from './security/access.js';
import type { Audit } from './security/audit.js';
import type { SecurityCommand } from './security/commands.js';
import type { Directory } from './security/directory.js';
import { type Asker, type Identity, THE_GATEWAY } from './security/identity.js';
import type { EndReason } from './security/policy.js';
import { DeskSession } from './sessions/desk-session.js';
import type { Session } from './sessions/session.js';
import { Sessions } from './sessions/sessions.js';
import type { Durability, Store, StoreState } from './store/store.js';

export interface EngineLimits {
  readonly inbound: InboundLimits;
  readonly queue: QueueLimits;
  readonly scan: ScanLimits;
  readonly cacheBytes: number;
  /** Memory for the paths of all records; 0: none. */
  readonly pathIndexBytes: number;
  /** None when left out. */
  readonly history?: HistorySettings;
}

export interface EngineParts {
  readonly store: Store;
  readonly durability: Durability;
  readonly formats: Formats;
  readonly access: Access;
  readonly directory: Directory;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly limits: EngineLimits;
  /** What the log says of the key of a durable session; the key itself when absent. */
  readonly whose?: (key: string) => object;
}

/** What a context is made of beside the engine itself. */
export interface ContextParts {
  readonly node: NodeInfo;
  readonly log: Log;
  readonly http: HttpRoutes;
  readonly room?: AdapterContext['room'];
  /** Of a gateway with users. */
  readonly logins?: Logins | null;
}

export class Engine {
  readonly #parts: EngineParts;
  readonly #lifecycle = new Lifecycle();
  readonly #shifts = new Shifts();
  readonly #sessions: Sessions;
  readonly #inbound: InboundQueue;
  readonly #tally: Tally;
  readonly #state: State;
  readonly #delivery: Delivery;
  readonly #housekeeping: Housekeeping;
  readonly #execution: Execution;
  readonly #commits: Commits;
  readonly #turns: Turns;
  readonly #recovery: Recovery;
  readonly #figures: EngineFigures;
  #stopping: Promise<void> | null = null;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    const { store, durability, formats, counters, limits, clock, log, directory, audit } = parts;
    const lifecycle = this.#lifecycle;
    const sessions = new Sessions(
      clock,
      log,
      counters,
      (session, error) => this.#abandon(session, error),
      () => this.#turns.conclude(),
    );
    const state = this.#makeState(sessions);
    const { expiry, history, durables } = state;
    const tally = new Tally(store, formats);
    const intake = new Intake(new InboundQueue(limits.inbound, sessions));
    const delivery = new Delivery(sessions, durables, log, counters);
    const failures = new Failures(log, lifecycle);
    const executed = counters.counter('requests_total', 'Requests executed');
    const scans = new Readings({
      ...{ state, limits: limits.scan, clock, log, counters, shifts: this.#shifts, intake, sessions, delivery, failures },
      immediate: () => this.#execution.immediate,
      submitSlice: (slice) => this.#turns.submitSlice(slice),
      endSubscription: (subscription) => this.#housekeeping.endSubscription(subscription),
      conclude: () => this.#turns.conclude(),
    });
    const leave = (session: Session): void => this.#leave(session);
    this.#execution = new Execution({ state, intake, delivery, sessions, failures, scans, executed, leave });
    const execution = this.#execution;
    const commits = new Commits({
      ...{ store, durability, state, tally, intake, delivery, counters },
      committed: () => this.#committed(),
      refused: (refused, error) => this.#recovery.begin(refused, error),
    });
    // A turn that is being written by then is refused for the same reason.
    const lost = (error: Error): void => {
      if (lifecycle.isRunning && !commits.isWriting) commits.failed(error);
    };
    store.failed = (error) => void setImmediate(lost, error);
    const turns = new Turns({ state, clock, lifecycle, intake, sessions, delivery, execution, commits });
    this.#recovery = new Recovery({
      ...{ log, lifecycle, state, intake, sessions, turns, commits },
      reopen: async () => {
        const opened = await store.reopen();
        // What was read meanwhile is not what a change made that was refused, and is there all the same.
        commits.forget();
        return await this.#load(opened);
      },
    });
    this.#housekeeping = new Housekeeping({
      ...{ clock, log, counters, directory, audit, expiry, history, durables, sessions },
      isRunning: () => lifecycle.isRunning,
      submit: (request) => void turns.submit(request),
      administer: (command) => this.administer(command),
      submitSlice: (slice) => turns.submitSlice(slice),
    });
    this.#figures = new EngineFigures({ clock, counters, state, tally, inbound: intake.inbound, sessions, commits, executed });
    this.#sessions = sessions;
    this.#inbound = intake.inbound;
    this.#tally = tally;
    this.#state = state;
    this.#delivery = delivery;
    this.#commits = commits;
    this.#turns = turns;
  }

  #makeState(sessions: Sessions): State {
    const { store, formats, counters, limits, log, directory, audit, access } = this.#parts;
    const router = new Router();
    const settings = limits.history ?? NO_HISTORY;
    return {
      store,
      records: new Records(store, formats, limits.cacheBytes),
      paths: new PathIndex({ store, shifts: this.#shifts, log, counters, maxBytes: limits.pathIndexBytes }),
      router,
      durables: new DurableTable(store, formats, router, limits.queue.maxAgeMs),
      expiry: new ExpirySweep(store),
      history: settings.rules.length === 0 ? null : new History({ store, formats, counters, log, settings }),
      formats,
      access: withControlArea(access),
      directory,
      audit,
      sessions,
      queueLimits: limits.queue,
      losses: new Losses(log, counters, this.#parts.whose),
      queuedPublication: (number) => this.#delivery.queuedPublication(number, null),
      revision: 0,
      committed: 0,
      applied: 0,
      copies: 0,
      steps: 0,
    };
  }

  /** Opens the store, loads what it keeps of sessions, and publishes the wills that a crash left behind. */
  async start(): Promise<void> {
    this.#commits.restore(await this.#load(await this.#parts.store.open()));
    this.#lifecycle.phase = 'running';
    this.#sessions.start();
    this.#figures.start();
    this.#housekeeping.start();
  }

  /** Loads what memory keeps of a store that was just opened. Returns its state: history that begins or goes is written. */
  async #load(opened: StoreState): Promise<StoreState> {
    const { store, limits, clock } = this.#parts;
    const now = clock.now();
    const { rules, state } = await openHistory(limits.history ?? NO_HISTORY, store, opened, now);
    this.#state.history?.load(rules);
    await this.#loadPeople(now);
    await this.#tally.load();
    return state;
  }

  /** Who there is, and what is kept of their sessions. */
  async #loadPeople(now: number): Promise<void> {
    const { access, directory, audit, durables } = this.#state;
    await directory.load(this.#parts.store);
    await audit.load(this.#parts.store);
    await durables.load(now);
    for (const { user, subscriptions } of durables.sessions.values()) {
      for (const subscription of subscriptions.values()) subscription.guard = access.guardOfUser(user, subscription.pattern);
    }
  }

  /** Settles what was taken, then closes the store. What needs a store that cannot be reopened is not waited for. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#housekeeping.stop();
    if (this.writable) await this.#housekeeping.enterAudit(true);
    await this.#turns.untilIdle();
    this.#lifecycle.phase = 'stopped';
    this.#sessions.stop();
    this.#figures.stop();
    await this.#recovery.stop();
    await this.#state.paths.stop();
    await this.#parts.store.close();
  }

  context(parts: ContextParts): AdapterContext {
    const { clock, counters, formats, access, directory, audit } = this.#parts;
    const inbound = this.#inbound;
    return {
      ...parts,
      room: parts.room ?? null,
      logins: parts.logins ?? null,
      clock,
      counters,
      formats,
      directory,
      audit,
      openSession: (session) => this.#sessions.open(session),
      closeSession: (session, reason) => this.#closeSession(session, reason),
      authenticate: (credentials, session) => access.authenticate(credentials, session),
      submit: (request) => this.#turns.submit(request),
      flush: (session) => this.#sessions.flushNow(session),
      inShift: (session, work) => this.#shifts.run(() => this.#sessions.runNow(session, work)),
      get overloaded() {
        return inbound.overloaded;
      },
      queuedPublication: (number, session) => this.#delivery.queuedPublication(number, session),
      endChildren: (session) => this.#endChildren(session),
      load: () => this.load(),
      revision: () => this.#commits.revision,
      figures: () => this.#figures.read(),
    };
  }

  /** False while the store is being reopened after a failure: what stores is refused until then. */
  get writable(): boolean {
    return this.#lifecycle.isRunning;
  }

  load(): GatewayLoad {
    return this.#figures.load();
  }

  /** See AdapterContext.submit. */
  submit(request: Request): boolean {
    return this.#turns.submit(request);
  }

  /**
   * Has the directory changed, with the rights of `by`. `asker`: what the audit says of who asks; null: what `by` says. Rejects with the
   * RequestError of the reply. Never settles once the engine is stopped.
   */
  administer(command: SecurityCommand, by: Identity = THE_GATEWAY, asker: Asker | null = null): Promise<void> {
    // What was noted before it comes before it.
    if (command.type !== 'enter') void this.#housekeeping.enterAudit();
    return this.#ask(by, asker, (desk) => new SecurityRequest(desk, null, command, null));
  }

  /** Resolves when the request is done that `make` makes for a session without a connection. Rejects with the RequestError of the reply. */
  #ask(by: Identity, asker: Asker | null, make: (desk: DeskSession) => Request): Promise<void> {
    return new Promise((resolve, reject) => {
      this.submit(make(new DeskSession(by, ({ error }) => (error === null ? resolve() : reject(error)), asker)));
    });
  }

  /** Resolves when everything that was noted for the audit is kept, or the store takes nothing. */
  settleAudit(): Promise<void> {
    return this.#housekeeping.enterAudit();
  }

  /** All that are open, for administrators. */
  sessions(): Iterable<Session> {
    return this.#sessions;
  }

  /** What is kept of sessions that no connection carries now, for administrators. */
  *keptSessions(): Iterable<DurableSession> {
    const { durables } = this.#state;
    for (const durable of durables.sessions.values()) if (!durables.isHeld(durable)) yield durable;
  }

  /** Ends one of them for good. Rejects as DurableCommand `end` says. */
  endKept(number: number, asker: Asker): Promise<void> {
    return this.#ask(THE_GATEWAY, asker, (desk) => new DurableRequest(desk, null, { type: 'end', number }, null));
  }

  /** Ends the session of that id; false: there is none. */
  endSession(id: string, reason: EndReason = 'session-ended'): boolean {
    for (const session of this.#sessions) {
      if (session.id !== id) continue;
      this.#sessions.end(session, new SessionRevoked(reason));
      return true;
    }
    return false;
  }

  #endChildren({ id }: Session): number {
    const children = [...this.#sessions].filter(({ ownIdentity }) => ownIdentity.login?.parentId === id);
    for (const child of children) this.#sessions.end(child, new SessionRevoked('token-revoked'));
    return children.length;
  }

  #committed(): void {
    if (this.#state.history?.isFull === true) this.#housekeeping.freeHistory();
    this.#turns.conclude();
  }

  #closeSession(session: Session, reason: ConnectionError | null): void {
    if (!this.#sessions.close(session)) return;
    if (reason !== null) countEnd(this.#parts.counters, session.adapter, reason);
    const { router, durables } = this.#state;
    for (const subscription of session.subscriptions) {
      if (subscription.durable !== null) continue;
      subscription.close();
      router.unsubscribe(subscription);
    }
    session.subscriptions.clear();
    const { durable } = session;
    if (durable !== null && durable.session === session) {
      durables.attach(durable, null);
      this.#leave(session);
    }
    this.#parts.log.debug(
      { session: session.id, adapter: session.adapter, code: reason?.code ?? null },
      reason === null ? 'session closed' : `session closed: ${reason.message}`,
    );
  }

  #leave(session: Session): void {
    this.submit(new DurableRequest(session, null, { type: 'leave' }, null));
  }

  /** Ends a session whose adapter failed to, as if its connection had been lost. */
  #abandon(session: Session, reason: ConnectionError | null): void {
    this.submit(new DurableRequest(session, null, { type: 'fireWill' }, null));
    this.#closeSession(session, reason);
  }
}
