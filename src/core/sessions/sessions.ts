// Sessions: the registry of open sessions. Delivers into their outbound queues, flushes the touched ones once per turn (very many of them
// over several turns of the event loop), and ends those that read too slowly.

import type { Clock, Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import { ConnectionError } from '../errors.js';
import { type ProtocolFigures, ProtocolTotals } from '../figures.js';
import type { Outbound, ReplyRun } from '../message.js';
import type { Subscription } from '../routing/subscription.js';
import type { EntryStream } from '../scans/entry-streams.js';
import type { Session } from './session.js';
import { UsersSessions } from './users-sessions.js';

const SLOW_CHECK_MS = 1_000;
/** Milliseconds after which flushing gives the event loop to others; the clock is looked at after so many sessions. */
const FLUSH_MS = 8;
const FLUSH_SESSIONS = 64;

export class Sessions {
  readonly ofUsers = new UsersSessions();
  #open = new Set<Session>();
  #touched: Session[] = [];
  /** Of these, the ones before it are flushed. */
  #next = 0;
  #isFlushing = false;
  /** Sessions whose outbound queue is above `slowBytes`. */
  #slow = new Set<Session>();
  /** Long answers that are being taken, and by whom. */
  #streams = new Map<EntryStream, Session>();
  /** Sessions in an episode of dropping. */
  #dropping = new Set<Session>();
  #timer: NodeJS.Timeout | null = null;
  #dropped: Counter;
  readonly #totals = new ProtocolTotals();
  #slowClosed: Counter;

  constructor(
    private readonly clock: Clock,
    private readonly log: Log,
    counters: Counters,
    /** Ends a session whose adapter failed to. */
    private readonly abandon: (session: Session, error: ConnectionError | null) => void,
    /** All is flushed that took several turns of the event loop. */
    private readonly onFlushed: () => void,
  ) {
    this.#dropped = counters.counter('outbound_dropped_total', 'QoS 0 publications dropped because the receiver was slow');
    this.#slowClosed = counters.counter('slow_consumers_closed_total', 'Connections ended because they read too slowly');
    counters.gauge('sessions', 'Open sessions', () => this.#open.size);
  }

  get size(): number {
    return this.#open.size;
  }

  /** Publications dropped because their receiver was slow. */
  get dropped(): number {
    return this.#dropped.value;
  }

  /** By name of the adapter. */
  get protocols(): ReadonlyMap<string, ProtocolFigures> {
    return this.#totals.with(this.#open);
  }

  [Symbol.iterator](): IterableIterator<Session> {
    return this.#open.values();
  }

  start(): void {
    this.#timer = setInterval(() => this.#checkSlow(), SLOW_CHECK_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  open(session: Session): void {
    session.opened = this.clock.now();
    this.#open.add(session);
    this.ofUsers.open(session);
  }

  /** False if it was closed before. */
  close(session: Session): boolean {
    if (session.closed) return false;
    session.closed = true;
    this.#totals.add(session);
    this.#open.delete(session);
    this.ofUsers.close(session);
    this.#slow.delete(session);
    this.#dropping.delete(session);
    for (const stream of session.streams ?? []) stream.close();
    session.outbound.clear();
    return true;
  }

  /** `qos` 0 marks what may be dropped for a slow receiver. */
  push(session: Session, message: Outbound, subscription: Subscription | null, qos: number): void {
    if (session.closed) return;
    const { outbound } = session;
    if (qos === 0 && outbound.bytes > outbound.limits.dropBytes) {
      this.#drop(session);
      return;
    }
    outbound.push(message, subscription);
    this.#touch(session);
  }

  /** As if each of them were pushed. */
  pushRun(run: ReplyRun): void {
    const { session } = run;
    if (session.closed) return;
    session.outbound.pushRun(run);
    this.#touch(session);
  }

  #touch(session: Session): void {
    if (session.touched) return;
    session.touched = true;
    this.#touched.push(session);
  }

  /** The session is given a long answer. */
  stream(session: Session, stream: EntryStream): void {
    if (session.closed) {
      stream.close();
      return;
    }
    session.streams ??= new Set();
    session.streams.add(stream);
    this.#streams.set(stream, session);
    void stream.closed.then(() => {
      session.streams?.delete(stream);
      this.#streams.delete(stream);
    });
  }

  /** Some sessions are still to be flushed: nothing that may touch very many should be begun. */
  get isFlushing(): boolean {
    return this.#isFlushing;
  }

  /** In the order in which they were touched. */
  flush(): void {
    if (this.#touched.length > 0 && !this.#isFlushing) this.#flushSome();
  }

  #flushSome(): void {
    const isShort = this.#touched.length - this.#next <= FLUSH_SESSIONS;
    const end = isShort ? Number.POSITIVE_INFINITY : this.clock.monotonic() + FLUSH_MS;
    for (let flushed = 1; this.#next < this.#touched.length; flushed++) {
      const session = this.#touched[this.#next] as Session;
      this.#next += 1;
      session.touched = false;
      if (!session.closed) this.#flush(session);
      if (flushed % FLUSH_SESSIONS === 0 && this.#next < this.#touched.length && this.clock.monotonic() >= end) {
        this.#isFlushing = true;
        setImmediate(this.#flushOn);
        return;
      }
    }
    this.#touched = [];
    this.#next = 0;
  }

  readonly #flushOn = (): void => {
    this.#isFlushing = false;
    this.#flushSome();
    if (!this.#isFlushing) this.onFlushed();
  };

  /** Outside of the engine's turns. */
  flushNow(session: Session): void {
    if (!session.closed) this.#call(session, 'flush');
  }

  /** Something that the session's adapter does for it, outside of the engine's turns. */
  runNow(session: Session, work: () => void): void {
    if (session.closed) return;
    try {
      work();
    } catch (error) {
      this.#failed(session, 'a step of its adapter', error);
    }
  }

  pauseReading(session: Session): void {
    this.#call(session, 'pauseReading');
  }

  resumeReading(session: Session): void {
    this.#call(session, 'resumeReading');
  }

  /** Ends the connection, whatever its adapter makes of it. */
  end(session: Session, error: ConnectionError | null): void {
    try {
      session.close(error);
    } catch (failure) {
      this.log.error({ err: failure, session: session.id, adapter: session.adapter }, 'closing a connection failed');
    }
    if (!session.closed) this.abandon(session, error);
  }

  /** A fault of its adapter ends at most this connection. */
  #call(session: Session, method: 'flush' | 'pauseReading' | 'resumeReading'): void {
    try {
      session[method]();
    } catch (error) {
      this.#failed(session, method, error);
    }
  }

  #failed(session: Session, what: string, error: unknown): void {
    this.log.error({ err: error, session: session.id, adapter: session.adapter }, `${what} failed: ending the connection`);
    this.end(session, new ConnectionError('INTERNAL', 'the gateway failed on this connection'));
  }

  #flush(session: Session): void {
    this.#call(session, 'flush');
    const { outbound } = session;
    if (outbound.bytes <= outbound.limits.slowBytes) {
      if (session.slowSince !== 0) this.#recovered(session);
    } else if (outbound.overflown) {
      this.#closeSlow(session);
    } else if (session.slowSince === 0) {
      session.slowSince = Math.max(1, this.clock.monotonic());
      this.#slow.add(session);
    }
  }

  #drop(session: Session): void {
    this.#dropped.add();
    if (this.#dropping.has(session)) return;
    this.#dropping.add(session);
    this.#slow.add(session);
    this.log.warn(
      { session: session.id, adapter: session.adapter, waitingBytes: session.outbound.bytes },
      'receiver is slow: dropping QoS 0 publications for it',
    );
  }

  #recovered(session: Session): void {
    session.slowSince = 0;
    if (!this.#dropping.has(session)) this.#slow.delete(session);
  }

  #checkSlow(): void {
    const now = this.clock.monotonic();
    for (const session of this.#slow) {
      const { bytes, limits } = session.outbound;
      if (bytes <= limits.dropBytes) this.#dropping.delete(session);
      if (bytes <= limits.slowBytes) this.#recovered(session);
      else if (session.slowSince !== 0 && now - session.slowSince >= limits.slowMs) this.#closeSlow(session);
    }
    for (const [stream, session] of this.#streams) this.#checkStream(session, stream, now);
  }

  /** A stream holds on to records, or to a state of the store. */
  #checkStream(session: Session, stream: EntryStream, now: number): void {
    if (stream.isTaken || stream.quietSince === 0) {
      stream.isTaken = false;
      stream.quietSince = now;
    } else if (now - stream.quietSince >= session.outbound.limits.streamMs && !stream.park()) {
      this.#closeSlow(session, 'nothing of a long answer was read any more');
    }
  }

  #closeSlow(session: Session, why = `${session.outbound.bytes} bytes were waiting to be read`): void {
    this.#slowClosed.add();
    const { outbound } = session;
    this.log.warn(
      { session: session.id, adapter: session.adapter, waitingBytes: outbound.bytes, waitingMessages: outbound.length },
      'receiver is too slow: ending the connection',
    );
    this.end(session, new ConnectionError('SLOW_CONSUMER', why));
  }
}
