// Engine: the one owner of state. Takes requests in bounded turns, executes them without waiting, writes one batch a turn,
// then publishes, answers and flushes. What stores nothing overtakes the disk wherever order allows it.

import type { AdapterContext, Clock, Formats, GatewayLoad, HttpRoutes, Log, Logins, NodeInfo } from './adapter.js';
import type { Counter, Counters } from './counters.js';
import { ExpirySweep } from './data/expiry.js';
import { Records } from './data/records.js';
import { Tally } from './data/tally.js';
import { Delivery } from './delivery.js';
import type { QueueLimits } from './durable/durable-session.js';
import { DurableTable } from './durable/table.js';
import { ConnectionError, RequestError, SessionOver, SessionRevoked } from './errors.js';
import type { GatewayFigures } from './figures.js';
import { History } from './history/history.js';
import { type HistorySettings, NO_HISTORY } from './history/rules.js';
import { openHistory } from './history/start.js';
import { Housekeeping } from './housekeeping.js';
import { type InboundLimits, InboundQueue } from './inbound-queue.js';
import { Losses } from './losses.js';
import { type DataRequest, DurableRequest, Reply, type Request, SecurityRequest, type SubscribeRequest } from './message.js';
import { publish } from './operations/publish.js';
import type { RemovalSlice, Run, State } from './operations/run.js';
import { undoSubscribe } from './operations/subscriptions.js';
import { authorize, execute, stores } from './operations.js';
import { Lanes } from './pace/lanes.js';
import { LoadMeter } from './pace/load-meter.js';
import { Ring } from './pace/ring.js';
import { Shifts } from './pace/shifts.js';
import { PathIndex } from './paths/path-index.js';
import { Pending } from './pending.js';
import { Router } from './routing/router.js';
import { ReadBefore } from './scans/initial-stream.js';
import { answerByPattern, removalByPattern, removeByPattern, type ScanHost, type ScanLimits } from './scans/scans.js';
import { type Access, withControlArea } from './security/access.js';
import type { Audit } from './security/audit.js';
import type { SecurityCommand } from './security/commands.js';
import type { Directory } from './security/directory.js';
import { type Identity, THE_GATEWAY } from './security/identity.js';
import type { EndReason } from './security/policy.js';
import { DeskSession } from './sessions/desk-session.js';
import type { Session } from './sessions/session.js';
import { Sessions } from './sessions/sessions.js';
import { type Durability, type Store, StoreDamage, StoreFailure, type StoreState } from './store/store.js';
import { Effect, type Job, Turn } from './turn.js';

/** A turn takes no more once it has taken so many requests, or so many bytes of them and of what they read, */
export const TURN_REQUESTS = 256;
const TURN_BYTES = 4 * 1024 * 1024;
/** or what it took makes so many copies for receivers, */
const TURN_COPIES = 65_536;
/** or so many steps of queries on single records, */
const TURN_STEPS = 1_000_000;
/** and nothing that stores once its batch holds so many changes (messages queued for durable sessions, that is). */
const TURN_CHANGES = 16_384;
const REOPEN_FIRST_MS = 250;
const REOPEN_MAX_MS = 30_000;

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
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly limits: EngineLimits;
}

/** What a context is made of beside the engine itself. */
export interface ContextParts {
  readonly node: NodeInfo;
  readonly log: Log;
  readonly http: HttpRoutes;
  /** Of a gateway with users. */
  readonly logins?: Logins | null;
  /** Absent: nobody reads it. */
  readonly audit?: Pick<Audit, 'add'>;
}

export class Engine {
  readonly #parts: EngineParts;
  readonly #state: State;
  readonly #records: Records;
  readonly #durables: DurableTable;
  readonly #tally: Tally;
  readonly #paths: PathIndex;
  readonly #expiry: ExpirySweep;
  readonly #history: History | null;
  readonly #inbound: InboundQueue;
  readonly #sessions: Sessions;
  readonly #pending = new Pending();
  readonly #load: LoadMeter;
  /** Requests that wait for the commit, in order. */
  readonly #waiting = new Ring<Request | RemovalSlice>();
  /** Requests that waited behind an answer in slices and wait no more: older than any that the inbound queue has of them. */
  #released = new Ring<Request>();
  readonly #shifts = new Shifts();
  readonly #delivery: Delivery;
  readonly #losses: Losses;
  readonly #housekeeping: Housekeeping;
  readonly #scanHost: ScanHost;
  /** For what takes effect at once. */
  readonly #immediate: Run;
  /** For the turn that is being executed. */
  #turnRun: Run;
  /** The turn that is being written. */
  #committing: Turn | null = null;
  /** What the store holds. */
  #stored: StoreState = { batch: 0, revision: 0, applied: 0 };
  #scheduled = false;
  #phase: 'new' | 'running' | 'recovering' | 'stopped' = 'new';
  #now = 0;
  /** Requests and their bytes that the pump has taken this time. */
  #taken = 0;
  #takenBytes = 0;
  #idle: (() => void) | null = null;
  #stopping: Promise<void> | null = null;
  #recovering: Promise<void> | null = null;
  /** Ends the pause before the next attempt to reopen the store. */
  #retry: (() => void) | null = null;
  readonly #executed: Counter;
  readonly #turns: Counter;
  readonly #storeFailures: Counter;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    const { store, formats, counters, limits, clock, log, directory } = parts;
    const access = withControlArea(parts.access);
    const router = new Router();
    this.#records = new Records(store, formats, limits.cacheBytes);
    this.#expiry = new ExpirySweep(store);
    this.#tally = new Tally(store, formats);
    this.#paths = new PathIndex({ store, shifts: this.#shifts, log, counters, maxBytes: limits.pathIndexBytes });
    const settings = limits.history ?? NO_HISTORY;
    this.#history = settings.rules.length === 0 ? null : new History({ store, formats, counters, log, settings });
    this.#durables = new DurableTable(store, formats, router, limits.queue.maxAgeMs);
    this.#sessions = new Sessions(
      clock,
      log,
      counters,
      (session, error) => this.#abandon(session, error),
      () => this.#conclude(),
    );
    this.#inbound = new InboundQueue(limits.inbound, this.#sessions);
    this.#executed = counters.counter('requests_total', 'Requests executed');
    this.#turns = counters.counter('batches_total', 'Batches written to the store');
    this.#storeFailures = counters.counter('store_failures_total', 'Batches that the store refused');
    this.#losses = new Losses(log, counters);
    this.#delivery = new Delivery(this.#sessions, this.#durables, log, counters);
    this.#state = {
      store,
      records: this.#records,
      paths: this.#paths,
      router,
      durables: this.#durables,
      expiry: this.#expiry,
      history: this.#history,
      formats,
      access,
      directory,
      sessions: this.#sessions,
      queueLimits: limits.queue,
      losses: this.#losses,
      queuedPublication: (number) => this.#delivery.queuedPublication(number, null),
      revision: 0,
      committed: 0,
      applied: 0,
      copies: 0,
      steps: 0,
    };
    this.#housekeeping = new Housekeeping({
      ...{ clock, log, counters, directory },
      ...{ expiry: this.#expiry, history: this.#history, durables: this.#durables, sessions: this.#sessions },
      isRunning: () => this.writable,
      submit: (request) => void this.submit(request),
      submitSlice: (slice) => this.#submitSlice(slice),
    });
    this.#load = new LoadMeter(clock, this.#executed);
    this.#scanHost = this.#makeScanHost(counters);
    this.#immediate = this.#run(null);
    this.#turnRun = this.#immediate;
    counters.gauge('requests_unsettled', 'Requests taken and not yet settled', () => this.#inbound.unsettled);
    counters.gauge('subscriptions', 'Subscriptions of all sessions', () => router.size);
    counters.gauge('queued_messages', 'Messages queued for durable sessions', () => this.#durables.queuedMessages);
    counters.gauge('users', 'Users of the directory', () => directory.userCount);
    counters.gauge('groups', 'Groups of the directory', () => directory.groupCount);
    counters.gauge('revoked_tokens', 'Revoked tokens that are still remembered', () => directory.revocationCount);
    counters.gauge('decisions', 'Decisions on rights that are kept in memory', () => directory.decisionCount);
    counters.gauge('records', 'Records stored', () => this.#tally.records);
    counters.gauge('record_bytes', 'Bytes of the bodies of all records', () => this.#tally.bytes);
    counters.gauge('revision', 'Number of the last stored change', () => this.#stored.revision);
  }

  /** Opens the store, loads what it keeps of sessions, and publishes the wills that a crash left behind. */
  async start(): Promise<void> {
    const now = this.#parts.clock.now();
    this.#restore(await this.#openHistory(await this.#parts.store.open(), now));
    await this.#loadPeople(now);
    await this.#tally.load();
    this.#phase = 'running';
    this.#sessions.start();
    this.#load.start();
    this.#housekeeping.start();
  }

  async #openHistory(state: StoreState, now: number): Promise<StoreState> {
    const { store, limits } = this.#parts;
    const opened = await openHistory(limits.history ?? NO_HISTORY, store, state, now);
    this.#history?.load(opened.rules);
    return opened.state;
  }

  /** Who there is, and what is kept of their sessions. */
  async #loadPeople(now: number): Promise<void> {
    const { access, directory } = this.#state;
    await directory.load(this.#parts.store);
    await this.#durables.load(now);
    for (const { user, subscriptions } of this.#durables.sessions.values()) {
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
    if (this.#busy) await new Promise<void>((resolve) => (this.#idle = resolve));
    this.#phase = 'stopped';
    this.#sessions.stop();
    this.#load.stop();
    this.#retry?.();
    await this.#recovering;
    await this.#paths.stop();
    await this.#parts.store.close();
  }

  context(parts: ContextParts): AdapterContext {
    const { clock, counters, formats, access } = this.#parts;
    const inbound = this.#inbound;
    return {
      ...parts,
      logins: parts.logins ?? null,
      audit: parts.audit ?? { add: () => {} },
      clock,
      counters,
      formats,
      openSession: (session) => this.#sessions.open(session),
      closeSession: (session, reason) => this.#closeSession(session, reason),
      authenticate: (credentials, session) => access.authenticate(credentials, session),
      submit: (request) => this.submit(request),
      flush: (session) => this.#sessions.flushNow(session),
      inShift: (session, work) => this.#shifts.run(() => this.#sessions.runNow(session, work)),
      get overloaded() {
        return inbound.overloaded;
      },
      queuedPublication: (number, session) => this.#delivery.queuedPublication(number, session),
      directory: this.#state.directory,
      endChildren: (session) => this.#endChildren(session),
      load: () => this.load(),
      revision: () => this.#stored.revision,
      figures: () => this.#figures(),
    };
  }

  /** False while the store is being reopened after a failure: what stores is refused until then. */
  get writable(): boolean {
    return this.#phase === 'running';
  }

  load(): GatewayLoad {
    return this.#load.read(this.#sessions.size, this.#inbound.unsettled);
  }

  #figures(): GatewayFigures {
    const durables = this.#durables;
    return {
      records: this.#tally.records,
      recordBytes: this.#tally.bytes,
      messages: durables.messages,
      messageBytes: durables.messageBytes,
      queued: durables.queuedMessages,
      queuedBytes: durables.queuedBytes,
      subscriptions: this.#state.router.size,
      durableSessions: durables.sessions.size,
      durableAway: durables.away,
      durableExpired: this.#losses.sessionsOver,
      dropped: this.#sessions.dropped + this.#losses.queueDropped,
      unsettled: this.#inbound.unsettled,
      eventLoopDelayMs: this.load().eventLoopDelayMs,
      protocols: this.#sessions.protocols,
    };
  }

  /** See AdapterContext.submit. */
  submit(request: Request): boolean {
    const goOn = this.#inbound.push(request);
    this.#schedule();
    return goOn;
  }

  /**
   * Has the directory changed, in the name of `by`. Rejects with the RequestError of the reply. Never settles once the engine is
   * stopped.
   */
  administer(command: SecurityCommand, by: Identity = THE_GATEWAY): Promise<void> {
    return new Promise((resolve, reject) => {
      const desk = new DeskSession(by, ({ error }) => (error === null ? resolve() : reject(error)));
      this.submit(new SecurityRequest(desk, null, command, null));
    });
  }

  /** All that are open, for administrators. */
  sessions(): Iterable<Session> {
    return this.#sessions;
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
    const children = [...this.#sessions].filter(({ identity }) => identity.login?.parentId === id);
    for (const child of children) this.#sessions.end(child, new SessionRevoked('token-revoked'));
    return children.length;
  }

  get #busy(): boolean {
    switch (this.#phase) {
      case 'running':
        return this.#inbound.unsettled > 0 || this.#waiting.length > 0 || this.#committing !== null || this.#sessions.isFlushing;
      case 'recovering':
        return this.#hasWork || this.#pending.reading.size > 0 || this.#sessions.isFlushing;
      default:
        return false;
    }
  }

  get #hasWork(): boolean {
    return this.#released.length > 0 || this.#inbound.length > 0;
  }

  /** Whether a batch can be begun. */
  get #writable(): boolean {
    return this.#committing === null && this.#phase === 'running';
  }

  #schedule(): void {
    if (this.#scheduled || this.#phase === 'stopped') return;
    this.#scheduled = true;
    setImmediate(this.#pump);
  }

  readonly #pump = (): void => {
    this.#scheduled = false;
    // What was said before goes out first: so queues of receivers do not grow, and it is `#conclude` that comes back here.
    if (this.#phase === 'stopped' || this.#sessions.isFlushing) return;
    this.#now = this.#parts.clock.now();
    this.#taken = 0;
    this.#takenBytes = 0;
    this.#records.bytesRead = 0;
    this.#state.copies = 0;
    this.#state.steps = 0;
    const turn = this.#writable ? new Turn(this.#parts.store) : null;
    if (turn !== null) this.#takeWaiting(turn);
    while (this.#hasRoom) {
      const request = this.#released.shift() ?? this.#inbound.shift();
      if (request === undefined) break;
      this.#noteTaken(request);
      this.#take(request, turn);
    }
    this.#records.executing = null;
    if (this.#history !== null) this.#history.executing = null;
    this.#turnRun = this.#immediate;
    if (turn !== null) this.#finish(turn);
    this.#conclude();
  };

  /** Whether the pump may take one more before it lets others have the event loop. */
  get #hasRoom(): boolean {
    const bytes = this.#takenBytes + this.#records.bytesRead;
    return this.#taken < TURN_REQUESTS && bytes < TURN_BYTES && this.#state.copies < TURN_COPIES && this.#state.steps < TURN_STEPS;
  }

  #noteTaken(request: Request | RemovalSlice): void {
    this.#taken += 1;
    this.#takenBytes += request.size;
  }

  /** What all work ends with: readers go on, sockets get their bytes, and more work is planned if there is any. */
  #conclude(): void {
    this.#inbound.resumePaused();
    this.#sessions.flush();
    if (this.#hasWork || (this.#waiting.length > 0 && this.#writable)) this.#schedule();
    else if (this.#idle !== null && !this.#busy) this.#idle();
  }

  /** What waited for the last commit goes first. */
  #takeWaiting(turn: Turn): void {
    while (this.#hasRoom && !turn.closed) {
      const request = this.#waiting.shift();
      if (request === undefined) return;
      this.#noteTaken(request);
      this.#executeIn(turn, request);
    }
    if (this.#waiting.length > 0) turn.closed = true;
  }

  /** Decides whether a request is executed now, in this turn, or behind the commit. */
  #take(request: Request, turn: Turn | null): void {
    const { session } = request;
    if (session.backlog !== null) {
      session.backlog.push(request);
      return;
    }
    request.time ||= this.#now;
    const changes = stores(request, this.#state);
    if (!changes && !this.#pending.concerns(request)) {
      this.#executeNow(request);
      return;
    }
    if (changes && this.#phase !== 'running' && !isGoodbye(request)) {
      this.#settleFailed(request, new RequestError('STORE_FAILED', 'the store is being reopened after a failure'));
      return;
    }
    this.#pending.add(request);
    if (turn === null || turn.closed) this.#waiting.push(request);
    else this.#executeIn(turn, request);
  }

  #executeNow(request: Request): void {
    this.#execute(request, this.#immediate);
    if (!this.#pending.reading.has(request)) this.#inbound.settled(request);
  }

  #executeIn(turn: Turn, request: Request | RemovalSlice): void {
    if (this.#turnRun.turn !== turn) this.#turnRun = this.#run(turn);
    this.#records.executing = turn.view;
    if (this.#history !== null) this.#history.executing = turn;
    request.time ||= this.#now;
    turn.requests.push(request);
    this.#execute(request, this.#turnRun);
    if (request.op === 'durable' && request.firedPath !== null) this.#pending.addPath(request.firedPath);
    if (turn.changes >= TURN_CHANGES) turn.closed = true;
  }

  /** The boundary: a request that fails is answered and harms nothing else. */
  #execute(request: Request | RemovalSlice, run: Run): void {
    this.#executed.add();
    request.session.executed += 1;
    try {
      if (request.op !== 'removeSlice') authorize(request, this.#state.access);
      execute(request, run);
    } catch (error) {
      const failure = this.#asRequestError(error, request);
      if (request.op === 'removeSlice') run.say(() => request.done(0, failure));
      else this.#sayError(request, failure, run);
      const over = failure.cause instanceof SessionOver ? failure.cause : failure;
      if (over instanceof SessionOver) run.say(new Effect(() => run.end(request.session, new SessionRevoked(over.reason))));
    }
  }

  #sayError(request: Request, failure: RequestError, run: Run): void {
    if (!isAnswered(request)) return;
    const reply = new Reply(request);
    reply.error = failure;
    run.say(reply);
  }

  /** What the peer may know of a failure; the rest goes to the log. */
  #asRequestError(error: unknown, request: Request | RemovalSlice): RequestError {
    if (error instanceof RequestError) return error;
    const { op, session } = request;
    // That the store is closed was said when it failed.
    if (this.#phase === 'running' || !(error instanceof StoreFailure)) {
      this.#parts.log.error({ err: error, op, session: session.id, adapter: session.adapter }, 'a request failed');
    }
    if (error instanceof StoreDamage || error instanceof StoreFailure) {
      return new RequestError('STORE_FAILED', 'the store could not read what the request needs', { cause: error });
    }
    return new RequestError('INTERNAL', 'the gateway failed on this request', { cause: error });
  }

  #run(turn: Turn | null): Run {
    const begin = (job: Job): void => {
      if (turn === null) {
        job();
        return;
      }
      // What stores later must not show in an answer that was asked for earlier.
      turn.closed = true;
      turn.outcomes.push(job);
    };
    return {
      state: this.#state,
      turn,
      say: (outcome) => {
        if (turn === null) this.#delivery.settle(outcome);
        else turn.outcomes.push(outcome);
      },
      scan: (request) => {
        this.#pending.reading.add(request);
        if (request.session.ordered) this.#holdBack(request);
        begin(() => void answerByPattern(request, this.#scanHost));
      },
      removeByPattern: (request) => {
        this.#pending.reading.add(request);
        this.#holdBack(request);
        begin(() => void removeByPattern(request, this.#scanHost));
      },
      leave: (session) => this.#leave(session),
      end: (session, error) => {
        this.#sessions.flushNow(session);
        if (!session.closed) this.#sessions.end(session, error);
      },
      tell: (session, work) => this.#sessions.runNow(session, work),
    };
  }

  /** What its session asks from now on, and asked but had to wait for the disk, waits until the request is answered. */
  #holdBack(request: DataRequest | SubscribeRequest): void {
    const { session } = request;
    const backlog = new Ring<Request>();
    session.behind = request;
    session.backlog = backlog;
    if (session.uncommitted === 0) return;
    for (let left = this.#waiting.length; left > 0; left--) {
      const next = this.#waiting.shift() as Request | RemovalSlice;
      if (next.session !== session || next.op === 'removeSlice') {
        this.#waiting.push(next);
        continue;
      }
      this.#pending.remove(next);
      backlog.push(next);
    }
  }

  /** What waits behind the request, if anything does, waits no more. */
  #detachBacklog(request: Request): Ring<Request> | null {
    const { session } = request;
    if (session.behind !== request) return null;
    const { backlog } = session;
    session.behind = null;
    session.backlog = null;
    return backlog;
  }

  /** What was held back goes before everything that has come since. */
  #release(backlog: Ring<Request>): void {
    for (let next = this.#released.shift(); next !== undefined; next = this.#released.shift()) backlog.push(next);
    this.#released = backlog;
  }

  /** Writes the turn's batch, or settles at once when nothing changed. */
  #finish(turn: Turn): void {
    if (turn.requests.length === 0) return;
    if (turn.changes === 0) {
      this.#settle(turn);
      return;
    }
    const next: StoreState = { batch: this.#stored.batch + 1, revision: this.#state.revision, applied: this.#state.applied };
    this.#committing = turn;
    this.#records.committing = turn.view;
    this.#tally.write(turn);
    if (this.#history !== null) this.#history.committing = turn;
    this.#history?.write(turn);
    this.#turns.add();
    if (this.#parts.durability === 'none') this.#sayAll(turn, false);
    this.#parts.store.write(turn.batch, next).then(
      () => this.#committed(turn, next),
      (error: unknown) => this.#commitFailed(turn, error),
    );
  }

  #committed(turn: Turn, state: StoreState): void {
    this.#stored = state;
    this.#state.committed = state.revision;
    this.#committing = null;
    this.#records.committing = null;
    this.#records.committed(turn.view);
    this.#tally.committed(turn);
    this.#paths.committed(turn.paths);
    this.#history?.committed(turn);
    if (this.#parts.durability === 'none') {
      this.#settleRequests(turn);
      this.#sayAll(turn, true);
    } else {
      this.#settle(turn);
    }
    if (this.#history?.isFull === true) this.#housekeeping.freeHistory();
    this.#conclude();
  }

  #settle(turn: Turn): void {
    this.#settleRequests(turn);
    for (const outcome of turn.outcomes) this.#delivery.settle(outcome);
  }

  /** Nothing has to wait for the turn's requests any more. */
  #settleRequests(turn: Turn): void {
    for (const request of turn.requests) {
      this.#pending.remove(request);
      if (request.op !== 'removeSlice' && !this.#pending.reading.has(request)) this.#inbound.settled(request);
    }
  }

  /** Without durability the news goes out before the batch is written; only jobs must read what is written. */
  #sayAll(turn: Turn, jobs: boolean): void {
    for (const outcome of turn.outcomes) if ((typeof outcome === 'function') === jobs) this.#delivery.settle(outcome);
  }

  #submitSlice(slice: RemovalSlice): void {
    if (this.#phase !== 'running') {
      slice.done(0, new RequestError('STORE_FAILED', 'the store is being reopened after a failure'));
      return;
    }
    this.#pending.add(slice);
    this.#waiting.push(slice);
    this.#schedule();
  }

  #makeScanHost(counters: Counters): ScanHost {
    const { clock, limits } = this.#parts;
    return {
      state: this.#state,
      limits: limits.scan,
      scanned: counters.counter('rows_scanned_total', 'Rows read to answer wildcard requests'),
      lanes: new Lanes(),
      shifts: this.#shifts,
      readBefore: new ReadBefore(),
      search: { limits: limits.scan, lanes: new Lanes(), shifts: this.#shifts, now: () => clock.monotonic() },
      submitSlice: (slice) => this.#submitSlice(slice),
      finish: (request, reply) => this.#finishReading(request, reply),
      ready: (session) => this.#sessions.flushNow(session),
      lost: (session, error) => this.#onStreamLost(session, error),
      fail: (request, error) => {
        const reply = new Reply(request);
        reply.error = this.#asRequestError(error, request);
        if (request.op === 'subscribe') this.#endFailed(request);
        this.#finishReading(request, reply);
      },
      announce: (request, pattern, removed) => {
        const match = this.#state.router.match(pattern.text);
        if (!match.any) return null;
        const publication = removalByPattern(request, pattern, removed);
        publish(this.#immediate, publication, match, request.sequence, 0);
        return publication.receipt;
      },
    };
  }

  /** The answer, then what happened while it was read, then what its session asked meanwhile. */
  #finishReading(request: DataRequest | SubscribeRequest, reply: Reply): void {
    this.#pending.reading.delete(request);
    this.#inbound.settled(request);
    if (reply.stream !== null) this.#sessions.stream(request.session, reply.stream);
    this.#delivery.settle(reply);
    if (request.op === 'subscribe') this.#delivery.releaseHeld(request, reply.past);
    const backlog = this.#detachBacklog(request);
    if (backlog !== null) this.#release(backlog);
    this.#conclude();
  }

  /** A part of the answer may be with the peer: then the end of the connection alone can tell that there is no more of it. */
  #onStreamLost(session: Session, error: unknown): void {
    if (session.closed) return;
    const text = 'a long answer could not be read to its end';
    this.#parts.log.error({ err: error, session: session.id, adapter: session.adapter }, text);
    if (session.streamLost(new RequestError('STORE_FAILED', text, { cause: error }))) return;
    this.#sessions.end(session, new ConnectionError('STORE_FAILED', text));
  }

  /** A subscription without its initial values counts as none. */
  #endFailed(request: SubscribeRequest): void {
    const { subscription } = request;
    // It was there before, and what is still to come of its initial values is kept.
    if (request.isResumed) return;
    if (subscription.durable === null) undoSubscribe(request, this.#state.router);
    else this.#housekeeping.endSubscription(subscription);
  }

  #closeSession(session: Session, reason: ConnectionError | null): void {
    if (!this.#sessions.close(session)) return;
    for (const subscription of session.subscriptions) {
      if (subscription.durable !== null) continue;
      subscription.close();
      this.#state.router.unsubscribe(subscription);
    }
    session.subscriptions.clear();
    const { durable } = session;
    if (durable !== null && durable.session === session) {
      this.#durables.attach(durable, null);
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

  /** Nothing of the turn counts: what stores fails, the rest begins anew, and the store is reopened. */
  #commitFailed(turn: Turn, error: unknown): void {
    this.#storeFailures.add();
    this.#phase = 'recovering';
    this.#committing = null;
    this.#records.committing = null;
    this.#records.forget();
    this.#paths.reset();
    this.#history?.forget();
    this.#parts.log.error({ err: error }, 'the store refused a batch: nothing of it was acknowledged, reopening the store');
    const failure = new RequestError('STORE_FAILED', 'the store refused the change', { cause: error });
    const waiting = this.#drainWaiting();
    const backlogs = turn.requests.map((request) => {
      this.#pending.remove(request);
      return request.op === 'removeSlice' ? null : this.#detachBacklog(request);
    });
    // Without durability all but the answers in slices was said before.
    const isSaid = this.#parts.durability === 'none';
    if (!isSaid) turn.undo();
    for (const [index, request] of turn.requests.entries()) {
      if (request.op === 'removeSlice') request.done(0, failure);
      else if (isSaid && !this.#pending.reading.has(request)) this.#inbound.settled(request);
      else this.#beginAnew(request, failure);
      const backlog = backlogs[index] ?? null;
      for (let next = backlog?.shift(); next !== undefined; next = backlog?.shift()) this.#take(next, null);
    }
    for (const request of waiting) {
      if (request.op === 'removeSlice') request.done(0, failure);
      else this.#take(request, null);
    }
    // What memory knows of durable sessions may be ahead of the store: their connections resume on what was stored.
    for (const session of [...this.#sessions]) {
      if (session.durable !== null) this.#sessions.end(session, new ConnectionError('STORE_FAILED', 'the store was reopened'));
    }
    this.#recovering = this.#recover();
    this.#conclude();
  }

  #drainWaiting(): (Request | RemovalSlice)[] {
    const drained: (Request | RemovalSlice)[] = [];
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#pending.remove(next);
      drained.push(next);
    }
    return drained;
  }

  /** A request of a refused turn. What has an operation number has stored something. */
  #beginAnew(request: Request, failure: RequestError): void {
    const stored = request.sequence > 0;
    this.#pending.reading.delete(request);
    if (stored && isGoodbye(request)) {
      request.sequence = 0;
      request.firedPath = null;
      this.#pending.add(request);
      this.#waiting.push(request);
    } else if (stored) {
      this.#settleFailed(request, failure);
    } else {
      this.#take(request, null);
    }
  }

  #settleFailed(request: Request, failure: RequestError): void {
    this.#inbound.settled(request);
    if (!isAnswered(request)) return;
    const reply = new Reply(request);
    reply.error = failure;
    this.#delivery.settle(reply);
  }

  async #recover(): Promise<void> {
    for (let delayMs = REOPEN_FIRST_MS; ; delayMs = Math.min(delayMs * 2, REOPEN_MAX_MS)) {
      try {
        const state = await this.#parts.store.reopen();
        await this.#loadPeople(this.#parts.clock.now());
        await this.#tally.load();
        await this.#openHistory(state, this.#parts.clock.now());
        if (this.#phase === 'recovering') this.#recovered(state);
        return;
      } catch (error) {
        this.#parts.log.error({ err: error, retryInMs: delayMs }, 'the store cannot be reopened yet');
      }
      await this.#untilRetry(delayMs);
      if (this.#phase !== 'recovering') return;
    }
  }

  #untilRetry(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#retry = resolve;
      setTimeout(resolve, delayMs).unref();
    });
  }

  #recovered(state: StoreState): void {
    const { revision, applied } = this.#state;
    this.#restore(state);
    if (this.#parts.durability === 'none') {
      // Numbers that were given to what is lost are known outside: they are not given again.
      this.#state.revision = Math.max(revision, state.revision);
      this.#state.applied = Math.max(applied, state.applied);
    }
    this.#phase = 'running';
    this.#parts.log.info({ revision: this.#stored.revision }, 'the store is open again');
    this.#conclude();
  }

  #restore(state: StoreState): void {
    this.#stored = state;
    this.#state.committed = state.revision;
    this.#expiry.reset();
    this.#state.revision = state.revision;
    this.#state.applied = state.applied;
  }
}

/** What a connection leaves behind: nobody would ask for it again, so it waits for the store. */
function isGoodbye(request: Request): request is DurableRequest {
  if (request.op !== 'durable') return false;
  const { command } = request;
  return command.type === 'fireWill' || (command.type === 'will' && command.will === null);
}

function isAnswered(request: Request): boolean {
  return request.op === 'set' || request.op === 'remove' || request.op === 'get' ? request.answered : true;
}
