// Pending: the paths and sessions with requests that are executed or waiting but not yet settled, and must not be
// overtaken.

import type { Request } from '../message.js';
import { changedPath } from '../operations/data.js';
import type { Work } from '../operations/slices.js';
import type { Pattern } from '../paths/pattern.js';
import type { Turn } from '../turn.js';

/** Wildcard requests are compared with at most this many pending paths; with more they wait without looking. */
const COMPARED_PATHS = 64;

export class Pending {
  /** Turns that are not settled: they know which paths their requests are about. */
  readonly #turns: Turn[] = [];
  /** Paths of requests that wait to be executed, and of how many. */
  readonly #waiting = new Map<string, number>();
  /** Starts of durable sessions: what a clean one drops is known only when they are done. */
  #opening = 0;
  /** Requests that are answered by a scan beside the turns. */
  readonly reading = new Set<Request>();

  /** It is executed in a turn. */
  add(request: Work): void {
    this.#count(request, 1);
  }

  /** It is settled, or waits no more. */
  remove(request: Work): void {
    this.#count(request, -1);
  }

  /** Of one that was added: it is not executed yet. */
  hold(request: Work): void {
    this.#countPaths(request, 1);
  }

  /** It is going to be executed, or will not be. */
  release(request: Work): void {
    this.#countPaths(request, -1);
  }

  /** Requests are executed in the turn. */
  begin(turn: Turn): void {
    this.#turns.push(turn);
  }

  /** All of its requests are settled, or taken back. */
  end(turn: Turn): void {
    const index = this.#turns.indexOf(turn);
    if (index !== -1) this.#turns.splice(index, 1);
  }

  /** Whether a request that stores nothing must wait: for its path, or for its session's order. */
  concerns(request: Request): boolean {
    const { session } = request;
    if (session.uncommitted > 0 && (session.ordered || session.barriers > 0)) return true;
    switch (request.op) {
      case 'set':
        return this.#touches(request.path);
      case 'get':
        return request.pattern === null ? this.#touches(request.path) : this.#matches(request.pattern);
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

  #count(request: Work, by: 1 | -1): void {
    const { session } = request;
    session.uncommitted += by;
    switch (request.op) {
      case 'remove':
        if (request.pattern !== null && request.pattern.exact === null) session.barriers += by;
        break;
      case 'subscribe':
      case 'unsubscribe':
        session.barriers += by;
        break;
      case 'durable':
        if (request.command.type === 'open') this.#opening += by;
        break;
      default:
    }
  }

  #countPaths(request: Work, by: 1 | -1): void {
    switch (request.op) {
      case 'set':
        this.#countPath(request.path, by);
        break;
      case 'remove':
        if (request.pattern === null || request.pattern.exact !== null) this.#countPath(changedPath(request), by);
        break;
      case 'transaction':
        for (const operation of request.operations) this.#countPath(changedPath(operation), by);
        break;
      case 'removeSlice':
        for (const path of request.paths) this.#countPath(path, by);
        break;
      default:
    }
  }

  #countPath(path: string, by: 1 | -1): void {
    const count = (this.#waiting.get(path) ?? 0) + by;
    if (count === 0) this.#waiting.delete(path);
    else this.#waiting.set(path, count);
  }

  #touches(path: string): boolean {
    for (const turn of this.#turns) if (turn.touches(path)) return true;
    return this.#waiting.has(path);
  }

  #matches(pattern: Pattern): boolean {
    if (pattern.exact !== null) return this.#touches(pattern.exact);
    let paths = this.#waiting.size;
    for (const turn of this.#turns) paths += turn.touched;
    if (paths === 0) return false;
    if (paths > COMPARED_PATHS) return true;
    if (isAnyOf(this.#waiting.keys(), pattern)) return true;
    return this.#turns.some(({ changed, unchanged }) => isAnyOf(changed.view.keys(), pattern) || isAnyOf(unchanged, pattern));
  }
}

function isAnyOf(paths: Iterable<string>, pattern: Pattern): boolean {
  for (const path of paths) if (pattern.matches(path)) return true;
  return false;
}
