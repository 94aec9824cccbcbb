// Pending: the paths and sessions whose requests are executed or waiting but not yet settled, so that what must not
// overtake them does not.

import type { Request } from '../message.js';
import { changedPath } from '../operations/data.js';
import type { RemovalSlice } from '../operations/run.js';
import type { Pattern } from '../paths/pattern.js';

/** Wildcard requests are compared with at most this many pending paths; with more they wait without looking. */
const COMPARED_PATHS = 64;

export class Pending {
  #paths = new Map<string, number>();
  /** Starts of durable sessions: what a clean one drops is known only when they are done. */
  #opening = 0;
  /** Requests that are answered by a scan beside the turns. */
  readonly reading = new Set<Request>();

  add(request: Request | RemovalSlice): void {
    this.#count(request, 1);
  }

  remove(request: Request | RemovalSlice): void {
    this.#count(request, -1);
  }

  /** A path that a pending request turned out to change when it was executed; `remove` finds it in the request. */
  addPath(path: string): void {
    this.#countPath(path, 1);
  }

  /** Whether a request that stores nothing must wait: for its path, or for its session's order. */
  concerns(request: Request): boolean {
    const { session } = request;
    if (session.uncommitted > 0 && (session.ordered || session.barriers > 0)) return true;
    switch (request.op) {
      case 'set':
        return this.#paths.has(request.path);
      case 'get':
        return request.pattern === null ? this.#paths.has(request.path) : this.#matches(request.pattern);
      case 'subscribe':
        return (
          (request.initial !== null && this.#matches(request.initial)) ||
          (request.since !== null && this.#matches(request.subscription.pattern)) ||
          (session.uncommitted > 0 && this.#matches(request.subscription.pattern))
        );
      case 'unsubscribe':
        return this.#matches(request.subscription.pattern);
      case 'durable':
        return this.#opening > 0 && request.command.type === 'open';
      default:
        return false;
    }
  }

  #count(request: Request | RemovalSlice, by: 1 | -1): void {
    const { session } = request;
    session.uncommitted += by;
    switch (request.op) {
      case 'set':
        this.#countPath(request.path, by);
        break;
      case 'remove':
        if (request.pattern !== null && request.pattern.exact === null) session.barriers += by;
        else this.#countPath(changedPath(request), by);
        break;
      case 'transaction':
        for (const operation of request.operations) this.#countPath(changedPath(operation), by);
        break;
      case 'removeSlice':
        for (const path of request.paths) this.#countPath(path, by);
        break;
      case 'subscribe':
      case 'unsubscribe':
        session.barriers += by;
        break;
      case 'durable':
        if (request.command.type === 'open') this.#opening += by;
        if (request.firedPath !== null) this.#countPath(request.firedPath, by);
        break;
      case 'security':
      case 'get':
    }
  }

  #countPath(path: string, by: 1 | -1): void {
    const count = (this.#paths.get(path) ?? 0) + by;
    if (count === 0) this.#paths.delete(path);
    else this.#paths.set(path, count);
  }

  #matches(pattern: Pattern): boolean {
    if (this.#paths.size === 0) return false;
    if (pattern.exact !== null) return this.#paths.has(pattern.exact);
    if (this.#paths.size > COMPARED_PATHS) return true;
    for (const path of this.#paths.keys()) if (pattern.matches(path)) return true;
    return false;
  }
}
