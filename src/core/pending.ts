// Pending: the paths and sessions whose changes are executed or waiting but not yet durable, so that what must not
// overtake them does not.

import type { Request } from './message.js';
import type { RemovalSlice } from './operations.js';

/** Wildcard requests are compared with at most this many pending paths; with more they wait without looking. */
const COMPARED_PATHS = 64;

export class Pending {
  #paths = new Map<string, number>();
  /** Requests that change something. */
  #changing = new Set<Request | RemovalSlice>();
  /** Requests that are answered by a scan beside the turns. */
  readonly reading = new Set<Request>();

  add(request: Request | RemovalSlice, changes: boolean): void {
    if (!changes) {
      if (request.op !== 'removeSlice') request.session.uncommitted += 1;
      return;
    }
    this.#changing.add(request);
    request.session.uncommitted += 1;
    if (request.op === 'removeSlice') for (const path of request.paths) this.#increment(path);
    else if (request.op === 'set' || request.op === 'remove') this.#increment(request.path);
  }

  remove(request: Request | RemovalSlice): void {
    request.session.uncommitted -= 1;
    if (!this.#changing.delete(request)) return;
    if (request.op === 'removeSlice') for (const path of request.paths) this.#decrement(path);
    else if (request.op === 'set' || request.op === 'remove') this.#decrement(request.path);
  }

  /** Whether a request that stores nothing must wait: for its path, or for its session's order. */
  concerns(request: Request): boolean {
    const { session } = request;
    if (session.uncommitted > 0 && session.ordered) return true;
    if (this.#paths.size === 0) return false;
    switch (request.op) {
      case 'set':
        return this.#paths.has(request.path);
      case 'get':
        return request.pattern === null ? this.#paths.has(request.path) : this.#matches(request.pattern);
      case 'subscribe':
        return request.initial !== null && this.#matches(request.initial);
      default:
        return false;
    }
  }

  #matches(pattern: { matches(path: string): boolean }): boolean {
    if (this.#paths.size > COMPARED_PATHS) return true;
    for (const path of this.#paths.keys()) if (pattern.matches(path)) return true;
    return false;
  }

  #increment(path: string): void {
    this.#paths.set(path, (this.#paths.get(path) ?? 0) + 1);
  }

  #decrement(path: string): void {
    const count = (this.#paths.get(path) as number) - 1;
    if (count === 0) this.#paths.delete(path);
    else this.#paths.set(path, count);
  }
}
