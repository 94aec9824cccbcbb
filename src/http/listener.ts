// HttpListener: the HTTP or HTTPS port that protocols share. Limits requests, checks their origin,
// and passes them to the owner of their path. Knows no protocol.

import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse, STATUS_CODES } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import {
  type Counters,
  endWith,
  type HttpRoutes,
  type Listening,
  type Log,
  listen,
  peerName,
  type Room,
  rawSocketOf,
  StartError,
} from '../core/index.js';
import { CustomRoutes } from './custom-routes.js';
import { HEADERS_KEPT, headFault, makeSafe } from './heads.js';
import { isOriginAllowed, type OriginRule } from './origin.js';
import { ANYBODY, type RouteCaller, type RouteGuard } from './route-guard.js';
import { endUnread } from './unread.js';

export interface HttpListenerOptions {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  readonly origins: readonly string[];
  /** A socket that has not sent the head of its request by then is closed. */
  readonly headerTimeoutMs: number;
  /** A socket that takes nothing of an answer for so long is closed. */
  readonly answerTimeoutMs: number;
  readonly maxHeaderBytes: number;
  readonly maxUrlBytes: number;
  /** null: the system does not say how much there is. */
  readonly room?: Pick<Room, 'share'> | null;
  /** Speaks TLS alone; `setSecureContext` has to be called before `listen`. */
  readonly tls?: boolean;
  /** Asked for paths that nobody here took. */
  readonly custom?: CustomRoutes;
  /** Says who may ask for these; null: everybody. */
  readonly guard?: RouteGuard | null;
}

type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

const CHECK_TIMEOUTS_MS = 1_000;

/** Handlers by path: whole paths first, then the longest of those that take all below them. */
class Routes<Handler> {
  readonly #exact = new Map<string, Handler>();
  readonly #below: { readonly path: string; readonly handler: Handler }[] = [];

  add(path: string, prefix: boolean, handler: Handler): void {
    if (this.#exact.has(path)) throw new Error(`two handlers for ${path}`);
    this.#exact.set(path, handler);
    if (!prefix) return;
    this.#below.push({ path: path.endsWith('/') ? path : `${path}/`, handler });
    this.#below.sort((a, b) => b.path.length - a.path.length);
  }

  find(path: string): Handler | undefined {
    return this.#exact.get(path) ?? this.#below.find((route) => path.startsWith(route.path))?.handler;
  }
}

export class HttpListener implements HttpRoutes {
  readonly #options: HttpListenerOptions;
  readonly #log: Log;
  readonly #counters: Counters;
  readonly #server: Server | SecureServer;
  readonly #custom: CustomRoutes;
  readonly #sockets = new Set<Socket>();
  /** One function for all sockets: idle connections are many. */
  readonly #untrack: (this: Socket) => void;
  readonly #upgrades = new Routes<UpgradeHandler>();
  readonly #requests = new Routes<RequestHandler>();
  readonly #origins: OriginRule;

  constructor(options: HttpListenerOptions, log: Log, counters: Counters) {
    this.#options = options;
    this.#log = log;
    this.#counters = counters;
    this.#custom = options.custom ?? new CustomRoutes();
    this.#origins = { listed: new Set(options.origins) };
    const sockets = this.#sockets;
    this.#untrack = function (this: Socket): void {
      sockets.delete(this);
    };
    const limits: ServerOptions = {
      maxHeaderSize: options.maxHeaderBytes,
      headersTimeout: options.headerTimeoutMs,
      requestTimeout: options.headerTimeoutMs,
      connectionsCheckingInterval: CHECK_TIMEOUTS_MS,
      noDelay: true,
      keepAliveTimeout: 5_000,
    };
    this.#server =
      options.tls === true ? createSecureServer({ ...limits, handshakeTimeout: options.headerTimeoutMs }) : createServer(limits);
    options.room?.share(this.#server);
    this.#server.maxHeadersCount = HEADERS_KEPT;
    this.#server.on('connection', (socket) => this.#track(socket));
    this.#server.on('request', (request, response) => this.#onRequest(request, response));
    this.#server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head));
    this.#server.on('clientError', (error, socket) => this.#onClientError(error, socket));
    // Node would take a failed handshake for a bad request and answer it in plain text.
    this.#server.removeAllListeners('tlsClientError');
    this.#server.on('tlsClientError', (error: Error, socket: TLSSocket) => this.#onHandshakeError(error, socket));
  }

  /** The certificate of new connections from now on; those that are open keep theirs. */
  setSecureContext(options: SecureContextOptions): void {
    (this.#server as SecureServer).setSecureContext(options);
  }

  upgrade(path: string, prefix: boolean, handler: UpgradeHandler): void {
    this.#upgrades.add(path, prefix, handler);
  }

  request(path: string, prefix: boolean, handler: RequestHandler): void {
    this.#requests.add(path, prefix, handler);
  }

  /** Accepts when this resolves. Rejects with StartError. */
  async listen(): Promise<Listening> {
    try {
      this.#custom.reserve((path) => this.#requests.find(path) !== undefined || this.#upgrades.find(path) !== undefined);
    } catch (error) {
      throw new StartError(`a route of this program cannot be used: ${(error as Error).message}`, { cause: error });
    }
    return await listen(this.#server, this.#options, { host: 'host', port: 'happn.port' }, this.#log);
  }

  /** No new connections from now on; those that are open live on. */
  stopAccepting(): void {
    this.#server.close();
    this.#server.closeIdleConnections();
  }

  /** Ends whatever is still open. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    // For the case that its handshake fails: it is remembered, and cannot be asked for when the peer has gone.
    if (this.#options.tls === true) void socket.remoteAddress;
    socket.on('close', this.#untrack);
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    endUnread(response, this.#options.answerTimeoutMs, this.#onUnread);
    const path = pathOf(request.url);
    const fault = (request.url as string).length > this.#options.maxUrlBytes ? 414 : headFault(request);
    if (fault !== null) return refuse(response, fault);
    const handler = this.#requests.find(path);
    if (handler === undefined) return void this.#onCustomRequest(request, response, path);
    try {
      makeSafe(response);
      handler(request, response);
    } catch (error) {
      this.#fail(error, response, path);
    }
  }

  async #onCustomRequest(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    try {
      const { guard = null } = this.#options;
      const caller = guard === null ? ANYBODY : await guard.admit(request, response, path);
      if (caller !== null) await this.#runCustom(request, response, path, caller);
    } catch (error) {
      this.#fail(error, response, path);
    }
  }

  async #runCustom(request: IncomingMessage, response: ServerResponse, path: string, caller: RouteCaller): Promise<void> {
    const found = this.#custom.find(request.method as string, path);
    if (typeof found === 'function') {
      // A handler that goes on writing after the end must find a listener.
      response.on('error', (error) => this.#log.warn({ err: error, path }, 'an HTTP answer failed'));
      await found(request, response, caller);
    } else if (found.length === 0) {
      refuse(response, 404);
    } else {
      response.setHeader('allow', found.join(', '));
      refuse(response, 405);
    }
  }

  #fail(error: unknown, response: ServerResponse, path: string): void {
    this.#log.error({ err: error, path }, 'an HTTP request failed');
    if (response.writableEnded) return;
    if (response.headersSent) {
      response.destroy();
      return;
    }
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    refuse(response, 500);
  }

  readonly #onUnread = (): void => {
    this.#counters.counter('http_unread_total', 'HTTP connections ended because an answer was not read').add();
  };

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // A reset by the peer must find a listener, also before a protocol takes the socket over.
    socket.on('error', destroyOnError);
    if ((request.url as string).length > this.#options.maxUrlBytes) return refuseUpgrade(socket, 414);
    const fault = headFault(request);
    if (fault !== null) return refuseUpgrade(socket, fault);
    const handler = this.#upgrades.find(pathOf(request.url));
    if (handler === undefined) return refuseUpgrade(socket, 404);
    if (!isOriginAllowed(request.headers.origin, request.headers.host, this.#origins)) {
      this.#counters.counter('http_origin_refused_total', 'Websocket upgrades refused because of their Origin').add();
      this.#log.warn({ origin: request.headers.origin }, 'refused a websocket of a foreign page; see http.origins');
      return refuseUpgrade(socket, 403);
    }
    try {
      handler(request, socket, head);
    } catch (error) {
      this.#log.error({ err: error }, 'a websocket upgrade failed');
      socket.destroy();
    }
  }

  #onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    this.#counters.counter('http_bad_requests_total', 'Requests that were not HTTP, too large, or too slow').add();
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    refuseUpgrade(socket, STATUS_OF_ERROR.get(error.code ?? '') ?? 400);
  }

  /** No TLS, too old a version, too slow, or not content with the certificate: there is no secure way to say more. */
  #onHandshakeError(error: Error, socket: TLSSocket): void {
    this.#counters.counter('tls_handshakes_failed_total', 'Connections to TLS ports that ended during the handshake').add();
    const { remoteAddress = '', remotePort = 0 } = rawSocketOf(socket);
    this.#log.debug({ peer: peerName(remoteAddress, remotePort), err: error }, 'a TLS handshake failed');
    socket.destroy();
  }
}

const STATUS_OF_ERROR: ReadonlyMap<string, number> = new Map([
  ['HPE_HEADER_OVERFLOW', 431],
  ['ERR_HTTP_REQUEST_TIMEOUT', 408],
]);

function destroyOnError(this: Duplex): void {
  this.destroy();
}

function pathOf(url: string | undefined): string {
  const text = url ?? '/';
  const end = text.indexOf('?');
  return end === -1 ? text : text.slice(0, end);
}

function refuse(response: ServerResponse, status: number): void {
  makeSafe(response);
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
  response.end(`${status}\n`);
}

function refuseUpgrade(socket: Duplex, status: number): void {
  endWith(socket, `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
