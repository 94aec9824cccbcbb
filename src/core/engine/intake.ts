// Intake: requests that have arrived and are not settled: which is next, which wait for the commit, and which are held back
// behind an answer of their session that is read in slices.

import type { DataRequest, Request, SubscribeRequest } from '../message.js';
import type { Work } from '../operations/slices.js';
import { Ring } from '../pace/ring.js';
import type { InboundQueue } from './inbound-queue.js';
import { Pending } from './pending.js';

export class Intake {
  readonly pending = new Pending();
  /** Requests that wait for the commit, in order. */
  readonly waiting = new Ring<Work>();
  /** Requests that were held back and are no more, what is next last: older than any that the inbound queue has of their sessions. */
  readonly #released: Ring<Request>[] = [];

  constructor(readonly inbound: InboundQueue) {}

  get hasNext(): boolean {
    return this.#released.length > 0 || this.inbound.length > 0;
  }

  next(): Request | undefined {
    const released = this.#released.at(-1);
    if (released === undefined) return this.inbound.shift();
    const next = released.shift();
    if (released.length === 0) this.#released.pop();
    return next;
  }

  /** Its turn, or the commit that another one makes, is what it waits for. */
  wait(request: Work): void {
    this.pending.add(request);
    this.pending.hold(request);
    this.waiting.push(request);
  }

  /** The one that has waited longest, which is going to be executed. */
  takeWaiting(): Work | undefined {
    const request = this.waiting.shift();
    if (request !== undefined) this.pending.release(request);
    return request;
  }

  /** The request is answered beside the turns: it is not settled with the turn that executed it. */
  readBeside(request: DataRequest | SubscribeRequest, holdsBack: boolean): void {
    this.pending.reading.add(request);
    if (holdsBack) this.#holdBack(request);
  }

  /** What its session asks from now on, and asked but had to wait for the disk, waits until the request is answered. */
  #holdBack(request: DataRequest | SubscribeRequest): void {
    const { session } = request;
    const backlog = new Ring<Request>();
    session.behind = request;
    session.backlog = backlog;
    if (session.uncommitted === 0) return;
    for (let left = this.waiting.length; left > 0; left--) {
      const next = this.waiting.shift() as Work;
      if (next.session !== session || next.kind === 'slice') {
        this.waiting.push(next);
        continue;
      }
      this.#forget(next);
      backlog.push(next);
    }
  }

  /** It does not wait for the commit any more. */
  #forget(request: Work): void {
    this.pending.release(request);
    this.pending.remove(request);
  }

  /** What waits behind the request, if anything does, waits no more. */
  detachBacklog(request: Request): Ring<Request> | null {
    const { session } = request;
    if (session.behind !== request) return null;
    const { backlog } = session;
    session.behind = null;
    session.backlog = null;
    return backlog;
  }

  /** What was held back goes before everything that has come since. */
  release(backlog: Ring<Request>): void {
    if (backlog.length > 0) this.#released.push(backlog);
  }

  /** All that waits for the commit, which there will not be. */
  drainWaiting(): Work[] {
    const drained: Work[] = [];
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      this.#forget(next);
      drained.push(next);
    }
    return drained;
  }
}
