// Engine: the one owner of state. Takes requests in bounded turns, executes them without waiting, writes one batch a turn,
// then publishes, answers and flushes. What stores nothing overtakes the disk wherever order allows it.

import type { Access } from './access.js';
import type { AdapterContext, Clock, Formats, GatewayLoad, HttpRoutes, Log, NodeInfo } from './adapter.js';
import type { Counter, Counters } from './counters.js';
import type { QueueLimits } from './durable-session.js';
import { DurableTable } from './durable-table.js';
import { ConnectionError, RequestError } from './errors.js';
import { InboundQueue, type InboundLimits } from './inbound-queue.js';
import { LoadMeter } from './load-meter.js';
import { type DataRequest, DurableRequest, type Outbound, type Publication, Reply, type Request, type SubscribeRequest } from './message.js';
import { actionOf, execute, pathOf, publish, type RemovalSlice, type Run, type State, stores } from './operations.js';
import { Pending } from './pending.js';
import { Records } from './records.js';
import { Ring } from './ring.js';
import { Router } from './router.js';
import { answerByPattern, removalByPattern, removeByPattern, type ScanHost, type ScanLimits } from './scans.js';
import { Session } from './session.js';
import { Sessions } from './sessions.js';
import { type Durability, type Store, StoreDamage, StoreFailure, type StoreState } from './store/store.js';
import { type Job, Turn } from './turn.js';

/** Requests that one turn takes at most. */
export const TURN_REQUESTS = 256;
const REOPEN_FIRST_MS = 250;
const REOPEN_MAX_MS = 30_000;

export interface EngineLimits {
  readonly inbound: InboundLimits;
  readonly queue: QueueLimits;
  readonly scan: ScanLimits;
  readonly cacheBytes: number;
}

export interface EngineParts {
  readonly store: Store;
  readonly durability: Durability;
  readonly formats: Formats;
  readonly access: Access;
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
}

export class Engine {
  readonly #parts: EngineParts;
  readonly #state: State;
  readonly #records: Records;
  readonly #durables: DurableTable;
  readonly #inbound: InboundQueue;
  readonly #sessions: Sessions;
  readonly #pending = new Pending();
  readonly #load: LoadMeter;
  /** Requests that wait for the commit, in order. */
  readonly #waiting = new Ring<Request | RemovalSlice>();
  readonly #scanHost: ScanHost;
  /** For what takes effect at once. */
  readonly #immediate: Run;
  /** For the turn that is being executed. */
  #turnRun: Run;
  readonly #system = new SystemSession();
  /** The turn that is being written. */
  #committing: Turn | null = null;
  /** What the store holds. */
  #stored: StoreState = { batch: 0, revision: 0, applied: 0 };
  #scheduled = false;
  #phase: 'new' | 'running' | 'recovering' | 'stopped' = 'new';
  #now = 0;
  #idle: (() => void) | null = null;
  readonly #executed: Counter;
  readonly #turns: Counter;
  readonly #storeFailures: Counter;
  readonly #queueDamaged: Counter;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    const { store, formats, access, counters, limits, clock, log } = parts;
    const router = new Router();
    this.#records = new Records(store, formats, limits.cacheBytes);
    this.#durables = new DurableTable(store, formats, router);
    this.#inbound = new InboundQueue(limits.inbound);
    this.#sessions = new Sessions(clock, log, counters);
    this.#executed = counters.counter('requests_total', 'Requests executed');
    this.#turns = counters.counter('batches_total', 'Batches written to the store');
    this.#queueDamaged = counters.counter('queue_damaged_total', 'Queued messages that were damaged on disk and not delivered');
    this.#storeFailures = counters.counter('store_failures_total', 'Batches that the store refused');
    this.#state = {
      store,
      records: this.#records,
      router,
      durables: this.#durables,
      formats,
      access,
      queueLimits: limits.queue,
      queueDropped: counters.counter('queue_dropped_total', 'Messages that a full queue of a durable session refused'),
      revision: 0,
      applied: 0,
    };
    this.#load = new LoadMeter(clock, this.#executed);
    this.#scanHost = this.#makeScanHost(counters);
    this.#immediate = this.#run(null);
    this.#turnRun = this.#immediate;
    counters.gauge('requests_unsettled', 'Requests taken and not yet settled', () => this.#inbound.unsettled);
    counters.gauge('subscriptions', 'Subscriptions of all sessions', () => router.size);
    counters.gauge('queued_messages', 'Messages queued for durable sessions', () => this.#durables.queuedMessages);
    counters.gauge('revision', 'Number of the last stored change', () => this.#stored.revision);
  }

  /** Opens the store, loads what it keeps of sessions, and publishes the wills that a crash left behind. */
  async start(): Promise<void> {
    this.#restore(await this.#parts.store.open());
    await this.#durables.load();
    this.#phase = 'running';
    this.#sessions.start();
    this.#load.start();
    for (const key of this.#durables.wills.keys()) {
      this.submit(new DurableRequest(this.#system, null, { type: 'fireWill', key }, null));
    }
  }

  /** Settles what was taken, then closes the store. */
  async stop(): Promise<void> {
    if (this.#phase === 'running' && this.#busy) await new Promise<void>((resolve) => (this.#idle = resolve));
    this.#phase = 'stopped';
    this.#sessions.stop();
    this.#load.stop();
    await this.#parts.store.close();
  }

  context(parts: ContextParts): AdapterContext {
    const { clock, counters, formats, access } = this.#parts;
    const inbound = this.#inbound;
    return {
      ...parts,
      clock,
      counters,
      formats,
      openSession: (session) => this.#sessions.open(session),
      closeSession: (session, reason) => this.#closeSession(session, reason),
      authenticate: (credentials) => access.authenticate(credentials),
      submit: (request) => this.submit(request),
      get overloaded() {
        return inbound.overloaded;
      },
      queuedPublication: (number) => this.#queuedPublication(number),
      load: () => this.load(),
    };
  }

  /** False while the store is being reopened after a failure: what stores is refused until then. */
  get writable(): boolean {
    return this.#phase === 'running';
  }

  /** A body that is damaged on disk is gone: it is counted, and the queue goes on without it. */
  #queuedPublication(number: number): Publication | null {
    try {
      return this.#durables.message(number);
    } catch (error) {
      if (!(error instanceof StoreDamage)) throw error;
      this.#queueDamaged.add();
      this.#parts.log.error({ err: error }, 'a queued message cannot be delivered');
      return null;
    }
  }

  load(): GatewayLoad {
    return this.#load.read(this.#sessions.size, this.#inbound.unsettled);
  }

  /** See AdapterContext.submit. */
  submit(request: Request): boolean {
    const goOn = this.#inbound.push(request);
    this.#schedule();
    return goOn;
  }

  get #busy(): boolean {
    return this.#inbound.unsettled > 0 || this.#waiting.length > 0 || this.#committing !== null;
  }

  #schedule(): void {
    if (this.#scheduled || this.#phase === 'stopped') return;
    this.#scheduled = true;
    setImmediate(this.#pump);
  }

  readonly #pump = (): void => {
    this.#scheduled = false;
    this.#now = this.#parts.clock.now();
    const turn = this.#committing === null ? new Turn(this.#parts.store) : null;
    let taken = turn === null ? 0 : this.#takeWaiting(turn);
    for (; taken < TURN_REQUESTS; taken++) {
      const request = this.#inbound.shift();
      if (request === undefined) break;
      this.#take(request, turn);
    }
    this.#records.executing = null;
    if (turn !== null) this.#finish(turn);
    this.#inbound.resumePaused();
    this.#sessions.flush();
    const more = this.#inbound.length > 0 || (this.#waiting.length > 0 && this.#committing === null);
    if (more) this.#schedule();
    else if (this.#idle !== null && !this.#busy) this.#idle();
  };

  /** What waited for the last commit goes first; returns how many were taken. */
  #takeWaiting(turn: Turn): number {
    let taken = 0;
    while (taken < TURN_REQUESTS && !turn.closed) {
      const request = this.#waiting.shift();
      if (request === undefined) return taken;
      if (request.op !== 'removeSlice' && request.session.backlog !== null) {
        this.#pending.remove(request);
        request.session.backlog.push(request);
        continue;
      }
      this.#executeIn(turn, request);
      taken += 1;
    }
    if (this.#waiting.length > 0) turn.closed = true;
    return taken;
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
    if (changes && this.#phase !== 'running') {
      this.#settleFailed(request, new RequestError('STORE_FAILED', 'the store is being reopened after a failure'));
      return;
    }
    this.#pending.add(request, changes);
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
    request.time ||= this.#now;
    turn.requests.push(request);
    this.#execute(request, this.#turnRun);
  }

  /** The boundary: a request that fails is answered and harms nothing else. */
  #execute(request: Request | RemovalSlice, run: Run): void {
    this.#executed.add();
    try {
      if (request.op !== 'removeSlice') this.#authorize(request);
      execute(request, run);
    } catch (error) {
      const failure = this.#asRequestError(error, request);
      if (request.op === 'removeSlice') run.say(() => request.done(0, failure));
      else this.#sayError(request, failure, run);
    }
  }

  #authorize(request: Request): void {
    const action = actionOf(request);
    if (action === null) return;
    const path = pathOf(request);
    if (this.#parts.access.authorize(request.session.identity, action, path)) return;
    throw new RequestError('ACCESS_DENIED', `${action} on ${path} is not allowed`);
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
    this.#parts.log.error({ err: error, op, session: session.id, adapter: session.adapter }, 'a request failed');
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
        if (turn === null) this.#settleOutcome(outcome);
        else turn.outcomes.push(outcome);
      },
      scan: (request) => {
        this.#pending.reading.add(request);
        if (request.session.ordered) request.session.backlog = new Ring();
        begin(() => void answerByPattern(request, this.#scanHost));
      },
      removeByPattern: (request) => {
        this.#pending.reading.add(request);
        request.session.backlog = new Ring();
        begin(() => void removeByPattern(request, this.#scanHost));
      },
    };
  }

  /** Writes the turn's batch, or settles at once when nothing changed. */
  #finish(turn: Turn): void {
    if (turn.requests.length === 0) return;
    if (!turn.changed) {
      this.#settle(turn);
      return;
    }
    const next: StoreState = { batch: this.#stored.batch + 1, revision: this.#state.revision, applied: this.#state.applied };
    this.#committing = turn;
    this.#records.committing = turn.view;
    this.#turns.add();
    if (this.#parts.durability === 'none') this.#sayAll(turn, false);
    this.#parts.store.write(turn.batch, next).then(
      () => this.#committed(turn, next),
      (error: unknown) => this.#commitFailed(turn, error),
    );
  }

  #committed(turn: Turn, state: StoreState): void {
    this.#stored = state;
    this.#committing = null;
    this.#records.committing = null;
    this.#records.committed(turn.view);
    if (this.#parts.durability === 'none') {
      this.#release(turn);
      this.#sayAll(turn, true);
    } else {
      this.#settle(turn);
    }
    this.#inbound.resumePaused();
    this.#sessions.flush();
    if (this.#waiting.length > 0 || this.#inbound.length > 0) this.#schedule();
    else if (this.#idle !== null && !this.#busy) this.#idle();
  }

  #settle(turn: Turn): void {
    this.#release(turn);
    for (const outcome of turn.outcomes) this.#settleOutcome(outcome);
  }

  /** Nothing has to wait for the turn's requests any more. */
  #release(turn: Turn): void {
    for (const request of turn.requests) {
      this.#pending.remove(request);
      if (request.op !== 'removeSlice' && !this.#pending.reading.has(request)) this.#inbound.settled(request);
    }
  }

  /** Without durability the news goes out before the batch is written; only jobs must read what is written. */
  #sayAll(turn: Turn, jobs: boolean): void {
    for (const outcome of turn.outcomes) if ((typeof outcome === 'function') === jobs) this.#settleOutcome(outcome);
  }

  #settleOutcome(outcome: Outbound | Job): void {
    if (typeof outcome === 'function') outcome();
    else if (outcome.kind === 'reply') this.#sessions.push(outcome.request.session, outcome, null, 1);
    else this.#deliver(outcome);
  }

  #deliver(publication: Publication): void {
    const { match, action, audience, qos } = publication;
    if (match === null) return;
    for (const subscription of match.all) {
      const { session, options } = subscription;
      if (subscription.closed || session === null) continue;
      if (action === 'set' ? !options.sets : !options.removes) continue;
      if (audience !== 'all' && audience !== options.removals) continue;
      if (options.noLocal && publication.origin === session.id) continue;
      if (subscription.held !== null) {
        if (!subscription.held.push(publication)) {
          session.close(new ConnectionError('SLOW_CONSUMER', 'too much happened while initial values were read'));
        }
        continue;
      }
      this.#sessions.push(session, publication, subscription, options.qos < qos ? options.qos : qos);
    }
  }

  #makeScanHost(counters: Counters): ScanHost {
    return {
      state: this.#state,
      limits: this.#parts.limits.scan,
      scanned: counters.counter('rows_scanned_total', 'Rows read to answer wildcard requests'),
      submitSlice: (slice) => {
        this.#pending.add(slice, true);
        this.#waiting.push(slice);
        this.#schedule();
      },
      finish: (request, reply) => this.#finishReading(request, reply),
      fail: (request, error) => {
        const reply = new Reply(request);
        reply.error = this.#asRequestError(error, request);
        if (request.op === 'subscribe') this.#undoSubscribe(request);
        this.#finishReading(request, reply);
      },
      announce: (request, pattern, removed) => {
        publish(this.#immediate, removalByPattern(request, pattern, removed), request.sequence, 0);
      },
    };
  }

  /** The answer, then what happened while it was read, then what its session asked meanwhile. */
  #finishReading(request: DataRequest | SubscribeRequest, reply: Reply): void {
    const { session } = request;
    this.#pending.reading.delete(request);
    this.#inbound.settled(request);
    this.#settleOutcome(reply);
    if (request.op === 'subscribe') this.#releaseHeld(request);
    const backlog = session.backlog;
    session.backlog = null;
    if (backlog !== null) {
      this.#now = this.#parts.clock.now();
      for (let next = backlog.shift(); next !== undefined; next = backlog.shift()) this.#take(next, null);
    }
    this.#inbound.resumePaused();
    this.#sessions.flush();
    this.#schedule();
  }

  #releaseHeld(request: SubscribeRequest): void {
    const { subscription } = request;
    const held = subscription.held;
    subscription.held = null;
    if (held === null || subscription.session === null) return;
    for (let next = held.shift(); next !== undefined; next = held.shift()) {
      const qos = Math.min(next.qos, subscription.options.qos);
      this.#sessions.push(subscription.session, next, subscription, qos);
    }
  }

  #undoSubscribe(request: SubscribeRequest): void {
    const { subscription, session } = request;
    if (subscription.durable !== null) return;
    subscription.closed = true;
    subscription.held = null;
    this.#state.router.unsubscribe(subscription);
    session.subscriptions.delete(subscription);
  }

  #closeSession(session: Session, reason: ConnectionError | null): void {
    if (!this.#sessions.close(session)) return;
    for (const subscription of session.subscriptions) {
      if (subscription.durable !== null) continue;
      subscription.closed = true;
      subscription.held = null;
      this.#state.router.unsubscribe(subscription);
    }
    session.subscriptions.clear();
    const { durable } = session;
    if (durable !== null && durable.session === session) this.#durables.attach(durable, null);
    session.durable = null;
    this.#parts.log.debug(
      { session: session.id, adapter: session.adapter, code: reason?.code ?? null },
      reason === null ? 'session closed' : `session closed: ${reason.message}`,
    );
  }

  /** Nothing of the turn counts: its requests fail, nobody hears of it, and the store is opened anew. */
  #commitFailed(turn: Turn, error: unknown): void {
    this.#storeFailures.add();
    this.#phase = 'recovering';
    this.#committing = null;
    this.#records.committing = null;
    this.#records.forget();
    this.#parts.log.error({ err: error }, 'the store refused a batch: nothing of it was acknowledged, reopening the store');
    const failure = new RequestError('STORE_FAILED', 'the store refused the change', { cause: error });
    for (const request of turn.requests) this.#failInTurn(request, failure);
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) this.#failInTurn(next, failure);
    // What memory knows of durable sessions may be ahead of the store: their connections resume on what was stored.
    for (const session of [...this.#sessions]) {
      if (session.durable !== null) session.close(new ConnectionError('STORE_FAILED', 'the store was reopened'));
    }
    this.#sessions.flush();
    void this.#recover(REOPEN_FIRST_MS);
  }

  #failInTurn(request: Request | RemovalSlice, failure: RequestError): void {
    this.#pending.remove(request);
    if (request.op === 'removeSlice') {
      request.done(0, failure);
      return;
    }
    this.#pending.reading.delete(request);
    if (request.op === 'subscribe') this.#undoSubscribe(request);
    this.#settleFailed(request, failure);
    const backlog = request.session.backlog;
    request.session.backlog = null;
    if (backlog !== null) {
      for (let next = backlog.shift(); next !== undefined; next = backlog.shift()) this.#settleFailed(next, failure);
    }
  }

  #settleFailed(request: Request, failure: RequestError): void {
    this.#inbound.settled(request);
    if (!isAnswered(request)) return;
    const reply = new Reply(request);
    reply.error = failure;
    this.#settleOutcome(reply);
  }

  async #recover(delayMs: number): Promise<void> {
    try {
      this.#restore(await this.#parts.store.reopen());
      await this.#durables.load();
    } catch (error) {
      this.#parts.log.error({ err: error, retryInMs: delayMs }, 'the store cannot be reopened yet');
      setTimeout(() => void this.#recover(Math.min(delayMs * 2, REOPEN_MAX_MS)), delayMs).unref();
      return;
    }
    this.#phase = 'running';
    this.#parts.log.info({ revision: this.#stored.revision }, 'the store is open again');
    this.#schedule();
  }

  #restore(state: StoreState): void {
    this.#stored = state;
    this.#state.revision = state.revision;
    this.#state.applied = state.applied;
  }
}

function isAnswered(request: Request): boolean {
  return request.op === 'set' || request.op === 'remove' || request.op === 'get' ? request.answered : true;
}

/** Stands in for sessions of an earlier run. */
class SystemSession extends Session {
  constructor() {
    super('system', 'core', false);
    this.closed = true;
  }
  flush(): void {}
  get bufferedBytes(): number {
    return 0;
  }
  pauseReading(): void {}
  resumeReading(): void {}
  close(): void {}
}
