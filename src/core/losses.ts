// Losses: everything dropped by design is counted, and logged once per episode.

import type { Log } from './adapter.js';
import type { Counter, Counters } from './counters.js';
import type { DamagedRecord } from './data/records.js';
import type { DurableSession, QueueLimits } from './durable/durable-session.js';
import type { RequestError } from './errors.js';
import type { Request } from './message.js';
import type { Identity } from './security/identity.js';
import type { Session } from './sessions/session.js';

/** Queued messages, of the core or of an adapter, that are not sent because of a change of rights. */
export function deniedMessages(counters: Counters): Counter {
  return counters.counter('queue_denied_total', 'Queued messages whose receiver no longer has the right to them');
}

export class Losses {
  readonly #log: Log;
  readonly #whose: (key: string) => object;
  readonly #dropped: Counter;
  readonly #noTopic: Counter;
  readonly #overdue: Counter;
  readonly #sessionsOver: Counter;
  readonly #sessionsRefused: Counter;
  #isToldOfSessions = false;
  readonly #willsDenied: Counter;
  readonly #unanswered: Counter;
  readonly #recordsDamaged: Counter;
  /** Durable sessions of which it was told that something that no topic can name was not queued. */
  readonly #unnamed = new WeakSet<DurableSession>();
  /** Sessions of which it was told that messages of theirs were refused. */
  readonly #refused = new WeakSet<Session>();

  /** `whose`: what the log says of the key of a durable session. */
  constructor(log: Log, counters: Counters, whose: (key: string) => object = (durable) => ({ durable })) {
    this.#log = log;
    this.#whose = whose;
    this.#dropped = counters.counter('queue_dropped_total', 'Messages that a full queue of a durable session refused');
    this.#noTopic = counters.counter(
      'queue_no_topic_total',
      'Changes not queued for absent sessions because no MQTT topic can name the path',
    );
    this.#overdue = counters.counter('queue_overdue_total', 'Messages of durable sessions that waited too long and were dropped');
    this.#sessionsOver = counters.counter('durable_sessions_expired_total', 'Durable sessions that expired');
    this.#sessionsRefused = counters.counter(
      'durable_sessions_refused_total',
      'Durable sessions that were not made because there were too many',
    );
    this.#willsDenied = counters.counter('wills_denied_total', 'Wills not published because their author no longer has the right');
    this.#unanswered = counters.counter('refused_unanswered_total', 'Messages refused without an answer, because their protocol has none');
    this.#recordsDamaged = counters.counter(
      'records_damaged_total',
      'Records that were damaged on disk when they were replaced or removed',
    );
  }

  /** Messages that full queues refused. */
  get queueDropped(): number {
    return this.#dropped.value;
  }

  /** Durable sessions that nobody resumed. */
  get sessionsOver(): number {
    return this.#sessionsOver.value;
  }

  /** A full queue dropped so many messages: what came, or what waited longest (`overflow`). */
  queueFull(durable: DurableSession, dropped: number, overflow: QueueLimits['overflow']): void {
    this.#dropped.add(dropped);
    if (durable.fullWith > 0) return;
    const { queue, queueBytes } = durable;
    durable.fullWith = Math.max(1, queue.size);
    const what = overflow === 'newest' ? 'messages for it' : 'its oldest messages';
    this.#log.warn(
      { ...this.#whose(durable.key), messages: queue.size, bytes: queueBytes },
      `the queue of a durable session is full: ${what} are dropped until it has room`,
    );
  }

  /** A path that no topic can name changed while the session was away: no message for it can say that. */
  noTopic(durable: DurableSession, path: string): void {
    this.#noTopic.add();
    if (this.#unnamed.has(durable)) return;
    this.#unnamed.add(durable);
    const fields = { ...this.#whose(durable.key), path };
    this.#log.info(fields, 'a path that cannot be an MQTT topic changed: not queued; further ones of this session are only counted');
  }

  /** So many messages waited too long in a queue, and were dropped. */
  queueOverdue({ key }: DurableSession, dropped: number): void {
    this.#overdue.add(dropped);
    this.#log.info({ ...this.#whose(key), messages: dropped }, 'messages waited too long for a durable session: dropped');
  }

  /** The time of a durable session that nobody resumed is over. */
  sessionOver({ key, queue }: DurableSession): void {
    this.#sessionsOver.add();
    this.#log.info({ ...this.#whose(key), messages: queue.size }, 'nobody resumed a durable session in time: dropped');
  }

  /** A durable session was not made: so many are kept. It is told once until there is room for others. */
  sessionRefused({ name }: Identity, kept: number): void {
    this.#sessionsRefused.add();
    if (this.#isToldOfSessions) return;
    this.#isToldOfSessions = true;
    this.#log.warn(
      { user: name, sessions: kept },
      'clients that ask for one more durable session are refused: queue.maxSessions is reached',
    );
  }

  sessionsHaveRoom(): void {
    this.#isToldOfSessions = false;
  }

  /** A will was not published: its author may not do that any more. */
  willDenied(author: string, path: string): void {
    this.#willsDenied.add();
    this.#log.info({ user: author, path }, 'a will was not published: its author no longer has the right');
  }

  /** A record that cannot be read was replaced or removed. */
  recordDamaged({ path, error }: DamagedRecord): void {
    this.#recordsDamaged.add();
    this.#log.error({ err: error, path }, 'a record is damaged on disk: replaced or removed');
  }

  /** A message was refused, and its sender awaits no answer. */
  refusedUnanswered({ op, session }: Request, { code, message }: RequestError): void {
    this.#unanswered.add();
    if (this.#refused.has(session)) return;
    this.#refused.add(session);
    const { id, adapter, address, identity } = session;
    const fields = { session: id, adapter, peer: address, user: identity.name, op, code };
    this.#log.info(
      fields,
      `a message that nobody is answered about was refused: ${message}; further ones of this session are only counted`,
    );
  }
}
