// Publications of consistency 3: which of their receivers have not acknowledged them yet. A receiver is known by its socket.

import { type Receipt, RequestError, type RequestId, type Session } from '../../core/index.js';

/** Publications of one session that may wait at once. */
const WAITING_MAX = 10_000;
/** A session id is the first part of a publication id. */
const SESSION_ID_CHARACTERS = 36;

/** Called once: all have acknowledged, or the time is over. `acknowledged` counts events. */
export type Done = (acknowledged: number, complete: boolean) => void;

interface Waiting {
  /** Acknowledgements of each session that have come before it was known who is to send any. */
  readonly early: Map<Session, number>;
  /** Events of each session that it has not acknowledged; null: not known yet. */
  left: Map<Session, number> | null;
  acknowledged: number;
  timer: NodeJS.Timeout | null;
  done: Done | null;
}

export class Acknowledgements {
  /** By publisher, then by the id of its request. */
  readonly #waiting = new Map<string, Map<string, Waiting>>();

  constructor(private readonly timeoutMs: number) {}

  /**
   * To be called before the request is submitted: receivers may be quicker than the publisher's answer. Throws INVALID_REQUEST
   * without an id by which the publisher would know its publication, LIMIT_EXCEEDED.
   */
  open(publisher: Session, id: RequestId): void {
    const key = id === null ? '' : String(id);
    const own = this.#waiting.get(publisher.id) ?? new Map<string, Waiting>();
    if (key === '') throw new RequestError('INVALID_REQUEST', 'consistency 3 needs an eventId');
    if (own.has(key)) throw new RequestError('INVALID_REQUEST', `the publication ${key.slice(0, 40)} is not acknowledged yet`);
    if (own.size >= WAITING_MAX) {
      throw new RequestError('LIMIT_EXCEEDED', `more than ${WAITING_MAX} publications of this connection wait for acknowledgements`);
    }
    this.#waiting.set(publisher.id, own);
    own.set(key, { early: new Map(), left: null, acknowledged: 0, timer: null, done: null });
  }

  /** Nothing was published. */
  drop(publisher: Session, id: RequestId): void {
    this.#take(publisher.id, String(id));
  }

  /** The publication is out. What sessions of other protocols got counts as acknowledged. `leftOut` did not get it. */
  begin(publisher: Session, id: RequestId, receipt: Receipt, leftOut: (session: Session) => boolean, done: Done): void {
    const key = String(id);
    const waiting = this.#waiting.get(publisher.id)?.get(key);
    if (waiting === undefined) return;
    const left = new Map<Session, number>();
    for (const session of receipt.sessions) {
      if (leftOut(session)) continue;
      if (session.adapter === publisher.adapter) left.set(session, (left.get(session) ?? 0) + 1);
      else waiting.acknowledged += 1;
    }
    waiting.left = left;
    waiting.done = done;
    for (const [session, count] of waiting.early) for (let i = 0; i < count && left.has(session); i++) noteOne(waiting, session);
    if (left.size === 0) this.#finish(publisher.id, key, true);
    else waiting.timer = setTimeout(() => this.#finish(publisher.id, key, false), this.timeoutMs);
  }

  /** Unknown publications and sessions that did not get it change nothing. */
  acknowledge(session: Session, publicationId: string): void {
    const publisher = publicationId.slice(0, SESSION_ID_CHARACTERS);
    const key = publicationId.slice(SESSION_ID_CHARACTERS + 1);
    const waiting = this.#waiting.get(publisher)?.get(key);
    if (waiting === undefined) return;
    noteOne(waiting, session);
    if (waiting.left !== null && waiting.left.size === 0) this.#finish(publisher, key, true);
  }

  /** Nobody waits for its publications any more. */
  forget(publisher: Session): void {
    const own = this.#waiting.get(publisher.id);
    if (own === undefined) return;
    this.#waiting.delete(publisher.id);
    for (const { timer } of own.values()) if (timer !== null) clearTimeout(timer);
  }

  #finish(publisher: string, key: string, complete: boolean): void {
    const waiting = this.#take(publisher, key);
    if (waiting !== null && waiting.done !== null) waiting.done(waiting.acknowledged, complete);
  }

  #take(publisher: string, key: string): Waiting | null {
    const own = this.#waiting.get(publisher);
    const waiting = own?.get(key);
    if (own === undefined || waiting === undefined) return null;
    own.delete(key);
    if (own.size === 0) this.#waiting.delete(publisher);
    if (waiting.timer !== null) clearTimeout(waiting.timer);
    return waiting;
  }
}

function noteOne(waiting: Waiting, session: Session): void {
  const { left, early } = waiting;
  if (left === null) {
    early.set(session, (early.get(session) ?? 0) + 1);
    return;
  }
  const due = left.get(session);
  if (due === undefined) return;
  waiting.acknowledged += 1;
  if (due === 1) left.delete(session);
  else left.set(session, due - 1);
}
