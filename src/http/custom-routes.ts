// CustomRoutes: the routes of an embedding program on the HTTP port, beside the gateway's own paths.
// Keeps handlers; the listener calls them, and answers if they fail.

import { type IncomingMessage, METHODS, type ServerResponse } from 'node:http';
import type { RouteCaller } from './route-guard.js';

/**
 * Answers one request of `caller`, whose right has been checked, now or later, by ending the response. If it throws or rejects, the error
 * is logged and the request answered with 500. The head and the body of a request have to arrive within
 * `http.headerTimeoutMs`.
 */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse, caller: RouteCaller) => void | Promise<void>;

/** Routes on the happn and HTTP port. They may be added before and after the start, and stay until the gateway stops. */
export interface GatewayHttp {
  /**
   * Handles requests of this method at `path`, compared as it stands in the URL, without the query. A path that ends in `/*` matches the
   * path before it and everything below; exact paths take precedence, then longer ones. GET handlers also answer HEAD.
   * Throws Error for an invalid path or method, one that has a handler already, or a path of the gateway's own; if that
   * shows only at the start, `start` rejects with StartError.
   */
  request(method: string, path: string, handler: HttpHandler): void;
  get(path: string, handler: HttpHandler): void;
  post(path: string, handler: HttpHandler): void;
  put(path: string, handler: HttpHandler): void;
  patch(path: string, handler: HttpHandler): void;
  delete(path: string, handler: HttpHandler): void;
}

interface Route {
  readonly path: string;
  /** Paths that begin with it belong to the route, too; empty: none. */
  readonly below: string;
  readonly handlers: Map<string, HttpHandler>;
}

/** The handler, or the methods that have one at this path; empty: the path is unknown. */
export type Found = HttpHandler | readonly string[];

export class CustomRoutes implements GatewayHttp {
  /** Whole paths first, then the longest. */
  #routes: Route[] = [];
  #isOwn: ((path: string) => boolean) | null = null;

  request(method: string, path: string, handler: HttpHandler): void {
    const verb = method.toUpperCase();
    if (!METHODS.includes(verb) || verb === 'CONNECT') throw new Error(`${method} is not an HTTP method that can be handled`);
    if (!/^(\/[^?#\s*]*|(\/[^?#\s*]*)?\/\*)$/.test(path)) throw new Error(`${path} is not a path: it must begin with / and may end in /*`);
    const base = path.endsWith('/*') ? path.slice(0, -2) || '/' : path;
    this.#refuseOwn(base);
    const below = path.endsWith('/*') ? path.slice(0, -1) : '';
    let route = this.#routes.find((one) => one.path === base && one.below === below);
    if (route === undefined) {
      route = { path: base, below, handlers: new Map() };
      this.#routes = [...this.#routes, route].sort((a, b) => rank(b) - rank(a));
    }
    if (route.handlers.has(verb)) throw new Error(`${verb} ${path} has a handler already`);
    route.handlers.set(verb, handler);
  }

  get(path: string, handler: HttpHandler): void {
    this.request('GET', path, handler);
  }

  post(path: string, handler: HttpHandler): void {
    this.request('POST', path, handler);
  }

  put(path: string, handler: HttpHandler): void {
    this.request('PUT', path, handler);
  }

  patch(path: string, handler: HttpHandler): void {
    this.request('PATCH', path, handler);
  }

  delete(path: string, handler: HttpHandler): void {
    this.request('DELETE', path, handler);
  }

  /** Says which paths are not to be had, those that are taken already included. Throws Error for one of them. */
  reserve(isOwn: (path: string) => boolean): void {
    this.#isOwn = isOwn;
    for (const { path } of this.#routes) this.#refuseOwn(path);
  }

  find(method: string, path: string): Found {
    const fitting = this.#routes.filter((route) => route.path === path || (route.below !== '' && path.startsWith(route.below)));
    for (const { handlers } of fitting) {
      const handler = handlers.get(method) ?? (method === 'HEAD' ? handlers.get('GET') : undefined);
      if (handler !== undefined) return handler;
    }
    return [...new Set(fitting.flatMap(({ handlers }) => [...handlers.keys()]))];
  }

  #refuseOwn(path: string): void {
    if (this.#isOwn?.(path) === true) throw new Error(`${path} is answered by the gateway itself`);
  }
}

function rank({ path, below }: Route): number {
  return path.length + (below === '' ? 1_000_000 : 0);
}
