// The happn listener: takes websockets under /primus on the HTTP listener, keeps their heartbeats, and ends them at the stop.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  type Adapter,
  type AdapterContext,
  ConnectionError,
  Connections,
  type Credentials,
  countWebsocketFault,
  ENDED_PER_TURN,
  inPortions,
  isLoopbackPeer,
  type Listeners,
  limitEarlyBytes,
  Newcomers,
  peerOf,
  plainAddress,
  type Session,
  sendAway,
  tokenCookie,
  untilNone,
} from '../../core/index.js';
import { Acknowledgements } from './acknowledgements.js';
import { serveBrowserFiles } from './browser-files.js';
import { jsonText } from './codec.js';
import { FrameWriter } from './frames.js';
import type { Peer } from './handshake.js';
import type { Host } from './host.js';
import { type HappnLayers, hasLayers } from './layers.js';
import type { LivenessLimits } from './liveness.js';
import { LocalClient } from './local-client.js';
import { type LocalHost, LocalSession } from './local-session.js';
import { clientError } from './local-values.js';
import { HappnSession } from './session.js';
import { FIRST_FRAME_LIMITS, type FrameLimits, frameLimits } from './wire.js';

export interface HappnConfig extends LivenessLimits {
  /** Largest message that is taken. Clients expect 10 MiB. */
  readonly maxFrameBytes: number;
  /** Heartbeats to clients of protocol 4. They call themselves offline after 45 s without one. */
  readonly pingIntervalMs: number;
  /** Connections from elsewhere that have not sent a valid request yet: more are refused until some have, or are gone. */
  readonly maxFresh: number;
  /** From a publication of consistency 3 to its last acknowledgement. */
  readonly ackTimeoutMs: number;
  /** Cookie that browsers keep their token in, as `tokenCookie` takes it. */
  readonly cookieName: string;
}

export const HAPPN_DEFAULTS: HappnConfig = Object.freeze({
  maxFrameBytes: 10 * 1024 * 1024,
  pingIntervalMs: 30_000,
  silentMs: 125_000,
  firstRequestMs: 10_000,
  messageMs: 60_000,
  maxFresh: 1_000,
  ackTimeoutMs: 60_000,
  cookieName: 'happn_token',
});

const PATH = '/primus';
const SWEEP_MS = 1_000;
/** Options that the type declarations of the library do not know yet. */
const NEWER_OPTIONS = Object.freeze({ maxFragments: 4_096, closeTimeout: 5_000 });
/** Of the upgrade's headers, those that a client may see again in the answer to its login. */
const SHOWN_HEADERS = [
  'host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-forwarded-for',
  'sec-websocket-extensions',
  'sec-websocket-key',
  'sec-websocket-version',
] as const;

export class HappnAdapter implements Adapter, Host, LocalHost {
  readonly name = 'happn';
  readonly writer = new FrameWriter();
  readonly limits: FrameLimits;
  readonly layers: HappnLayers | null;
  readonly clusterMembers = new Set<Session>();
  readonly acknowledgements: Acknowledgements;
  readonly #config: HappnConfig;
  readonly #sessions = new Connections<HappnSession>();
  readonly #locals = new Set<LocalSession>();
  readonly #server: WebSocketServer;
  #context: AdapterContext | null = null;
  #touched: HappnSession[] = [];
  /** Sessions from elsewhere without a valid request. */
  #newcomers: Newcomers<HappnSession> | null = null;
  #accepting = false;
  #sweep: NodeJS.Timeout | null = null;
  #beat: NodeJS.Timeout | null = null;

  constructor(config: Partial<HappnConfig> = {}, layers: HappnLayers = {}) {
    this.layers = hasLayers(layers) ? layers : null;
    this.#config = { ...HAPPN_DEFAULTS, ...config };
    this.acknowledgements = new Acknowledgements(this.#config.ackTimeoutMs);
    this.limits = frameLimits(this.#config.maxFrameBytes);
    this.#server = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: this.limits.maxBytes,
      clientTracking: false,
      ...NEWER_OPTIONS,
    });
  }

  get context(): AdapterContext {
    if (this.#context === null) throw new Error('the happn adapter is not started');
    return this.#context;
  }

  async start(context: AdapterContext): Promise<Listeners> {
    this.#context = context;
    const { maxFresh } = this.#config;
    this.#newcomers = new Newcomers({ max: maxFresh, ofNetwork: Math.ceil(maxFresh / 2), key: 'happn.maxFresh' }, this.name, context);
    this.#accepting = true;
    context.http.upgrade(PATH, true, (request, socket, head) => this.#onUpgrade(request, socket, head));
    context.http.request(PATH, true, (request, response) => this.#onPrimusRequest(request, response));
    context.http.request('/ping', false, (_request, response) => answer(response, 200, 'text/plain', 'pong'));
    context.http.request('/version', false, (_request, response) => {
      answer(response, 200, 'application/json', jsonText({ version: context.node.version }));
    });
    serveBrowserFiles(context.http);
    context.counters.gauge('happn_connections', 'Open happn connections', () => this.#sessions.size);
    const { pingIntervalMs, firstRequestMs } = this.#config;
    this.#sweep = setInterval(() => this.#onSweep(), Math.min(SWEEP_MS, firstRequestMs / 4));
    this.#beat = setInterval(() => this.#onBeat(), pingIntervalMs);
    return new Map();
  }

  async stop(deadlineMs: number, reason: ConnectionError): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    this.#accepting = false;
    if (this.#sweep !== null) clearInterval(this.#sweep);
    if (this.#beat !== null) clearInterval(this.#beat);
    const open = [...this.#sessions];
    const all = [...open, ...this.#locals];
    for (const session of open) session.stopReading();
    await untilNone<HappnSession | LocalSession>(all, (session) => !session.closed && session.hasUnsent, deadlineMs / 2);
    await inPortions(all, ENDED_PER_TURN, (session) => session.close(reason));
    await this.#sessions.untilClosed(
      deadline - performance.now(),
      (session) => session.bufferedBytes > 0,
      (session) => session.destroy(),
    );
  }

  // -------------------------------------------------------------- in-process clients

  /** A client inside this process. Rejects when the adapter does not run, and as a login is refused. */
  async localClient(credentials: Credentials = {}): Promise<LocalClient> {
    if (!this.#accepting) throw new Error('the gateway is not running');
    const session = new LocalSession(this);
    this.#locals.add(session);
    this.context.openSession(session);
    try {
      session.identity = await this.context.authenticate(credentials, session);
    } catch (error) {
      session.close(null);
      throw clientError(error);
    }
    return new LocalClient(session);
  }

  localEnded(session: LocalSession): void {
    this.#locals.delete(session);
  }

  // -------------------------------------------------------------- connections

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const address = request.socket.remoteAddress ?? '';
    const elsewhere = !isLoopbackPeer(address);
    const newcomers = this.#newcomers as Newcomers<HappnSession>;
    const isRefused = elsewhere && !newcomers.hasPlace(address);
    if (isRefused) newcomers.onRefused(peerOf(request.socket));
    if (!this.#accepting || isRefused) {
      sendAway(socket);
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (websocket) => {
      const session = new HappnSession(this, websocket, socket, describePeer(request, this.#config.cookieName));
      this.#sessions.add(session);
      if (elsewhere) newcomers.add(session, address);
      this.context.openSession(session);
      limitFirstBytes(session, websocket, socket);
      websocket.on('message', (data, isBinary) => session.onMessage(data as Buffer, isBinary));
      websocket.on('ping', () => session.onWebsocketControl());
      websocket.on('pong', () => session.onWebsocketControl());
      websocket.on('error', (error) => {
        countWebsocketFault(this.context.counters, this.name, error);
        this.context.log.debug({ err: error, session: session.id }, 'a happn connection failed');
      });
      websocket.on('close', () => this.#onClose(session));
      socket.on('drain', () => session.onDrain());
    });
  }

  #onClose(session: HappnSession): void {
    session.onClosed();
    this.#sessions.delete(session);
  }

  touch(session: HappnSession): void {
    if (this.#touched.length === 0) setImmediate(this.#flushTouched);
    this.#touched.push(session);
  }

  readonly #flushTouched = (): void => {
    const touched = this.#touched;
    this.#touched = [];
    // A second flush of the same session finds nothing to write.
    for (const session of touched) if (!session.ending) this.context.flush(session);
  };

  settled(session: HappnSession): void {
    this.#newcomers?.delete(session);
  }

  ended(session: HappnSession): void {
    this.settled(session);
  }

  // -------------------------------------------------------------- heartbeats

  #onBeat(): void {
    const now = this.context.clock.now();
    for (const session of this.#sessions) session.onBeat(now);
  }

  #onSweep(): void {
    const now = this.context.clock.monotonic();
    for (const session of this.#sessions) session.onSweep(now, this.#config);
  }

  // -------------------------------------------------------------- plain HTTP

  #onPrimusRequest(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path === `${PATH}/spec` && request.method === 'GET') {
      const { pingIntervalMs } = this.#config;
      const spec = { pingInterval: pingIntervalMs, pathname: PATH, version: '8.0.9', parser: 'json', transformer: 'websockets' };
      answer(response, 200, 'application/json', jsonText(spec));
      return;
    }
    response.setHeader('Connection', 'Upgrade');
    response.setHeader('Upgrade', 'websocket');
    answer(response, 426, 'text/plain', 'Upgrade Required');
  }
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

/** A connection that sends much and asks nothing is ended before the websocket has collected a whole frame of it. */
function limitFirstBytes(session: HappnSession, websocket: WebSocket, socket: Duplex): void {
  const early = (): boolean => session.fresh && !session.ending && websocket.readyState === websocket.OPEN;
  const tooMuch = (): void => session.close(new ConnectionError('FRAME_TOO_LARGE', 'too much before the first valid request'));
  limitEarlyBytes(socket, FIRST_FRAME_LIMITS.maxBytes, early, tooMuch);
}

function describePeer(request: IncomingMessage, cookieName: string): Peer {
  const headers: { [name: string]: string } = {};
  for (const name of SHOWN_HEADERS) {
    const value = request.headers[name];
    if (typeof value === 'string') headers[name] = value;
  }
  const socket = request.socket as Socket & { encrypted?: boolean };
  const secure = socket.encrypted === true;
  const address = { ip: plainAddress(socket.remoteAddress ?? ''), secure, port: socket.remotePort ?? 0 };
  return {
    described: `"headers":${jsonText(headers)},"encrypted":${secure},"address":${jsonText(address)},"url":${jsonText(request.url ?? '')}`,
    address: peerOf(socket),
    cookieName: tokenCookie(cookieName, secure),
  };
}
