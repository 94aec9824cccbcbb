// The Haven listener: takes TCP connections on its own port and websockets at /haven, gives each a session, ends those that
// do not connect in time or fall silent, and lets all of them finish at the stop.

import type { IncomingMessage } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import {
  type Adapter,
  type AdapterContext,
  ConnectionError,
  Connections,
  type Counter,
  ENDED_PER_TURN,
  inPortions,
  isLoopbackPeer,
  type Listeners,
  limitEarlyBytes,
  listen,
  Newcomers,
  onBytes,
  peerOf,
  sendAway,
  websocketFault,
} from '../../core/index.js';
import { HAVEN_DEFAULTS, type HavenConfig } from './config.js';
import { Control } from './control.js';
import type { Host } from './host.js';
import { type Link, TcpLink, WebsocketLink } from './link.js';
import { pack } from './msgpack.js';
import type { ScanLimits } from './scanner.js';
import { HavenSession } from './session.js';
import { Writer } from './writer.js';

const PATH = '/haven';
const SWEEP_MS = 1_000;
/** How long a peer may take to close its side. */
const LINGER_MS = 2_000;
/** Age at which the state that pongs carry is made again; of roles and quorums it is never behind. */
const STATE_MS = 50;
/** Options that the type declarations of the library do not know yet. */
const NEWER_OPTIONS = Object.freeze({ maxFragments: 4_096, closeTimeout: LINGER_MS });

export class HavenAdapter implements Adapter, Host {
  readonly name = 'haven';
  readonly config: HavenConfig;
  readonly writer = new Writer();
  readonly early: ScanLimits;
  readonly full: ScanLimits;
  /** Where TCP connections are taken. */
  port = 0;
  readonly #sessions = new Connections<HavenSession>();
  /** Sessions from elsewhere that were not admitted yet, and their sockets. */
  readonly #fresh = new Map<HavenSession, Duplex>();
  /** Sockets that wait, unread, for room among the fresh. */
  readonly #waitingRoom = new Set<Socket>();
  /** Both. */
  #newcomers: Newcomers<Duplex> | null = null;
  readonly #websockets: WebSocketServer;
  #context: AdapterContext | null = null;
  #counters: { received: Counter; malformed: Counter; missed: Counter } | null = null;
  #control: Control | null = null;
  #server: Server | null = null;
  #sweep: NodeJS.Timeout | null = null;
  #accepting = false;
  #state: Uint8Array = new Uint8Array();
  #stateAt = Number.NEGATIVE_INFINITY;
  /** What `control.changes` was then. */
  #stateOf = 0;

  constructor(config: Partial<HavenConfig> = {}) {
    this.config = { ...HAVEN_DEFAULTS, ...config };
    const { firstFrameBytes, firstElements, firstDepth, maxFrameBytes, maxElements, maxDepth } = this.config;
    this.full = { maxBytes: maxFrameBytes, maxElements, maxDepth };
    this.early = { maxBytes: Math.min(firstFrameBytes, maxFrameBytes), maxElements: firstElements, maxDepth: firstDepth };
    this.#websockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
      clientTracking: false,
      ...NEWER_OPTIONS,
    });
  }

  get context(): AdapterContext {
    if (this.#context === null) throw new Error('the haven adapter is not started');
    return this.#context;
  }

  get control(): Control {
    if (this.#control === null) throw new Error('the haven adapter is not started');
    return this.#control;
  }

  get received(): Counter {
    return this.#started.received;
  }

  get malformed(): Counter {
    return this.#started.malformed;
  }

  get missed(): Counter {
    return this.#started.missed;
  }

  get #started(): { received: Counter; malformed: Counter; missed: Counter } {
    if (this.#counters === null) throw new Error('the haven adapter is not started');
    return this.#counters;
  }

  async start(context: AdapterContext): Promise<Listeners> {
    this.#context = context;
    const { counters } = context;
    this.#counters = {
      received: counters.counter('haven_messages_total', 'Haven messages received'),
      malformed: counters.counter('haven_malformed_total', 'Haven connections ended because of what they sent'),
      missed: counters.counter('haven_watch_events_missed_total', 'Watch events that a full watchlist dropped'),
    };
    counters.gauge('haven_connections', 'Open Haven connections', () => this.#sessions.size);
    const { maxFresh } = this.config;
    // As many may wait as are read.
    this.#newcomers = new Newcomers({ max: 2 * maxFresh, ofNetwork: Math.ceil(maxFresh / 2), key: 'haven.maxFresh' }, this.name, context);
    this.#control = await Control.load(context);
    const listeners = await this.#listen();
    this.#accepting = true;
    context.http.upgrade(PATH, false, (request, socket, head) => this.#onUpgrade(request, socket, head));
    this.#sweep = setInterval(() => this.#onSweep(), Math.min(SWEEP_MS, this.config.connectMs / 4));
    return listeners;
  }

  async #listen(): Promise<Listeners> {
    const { host, port } = this.config;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#onConnection(socket));
    this.context.room?.share(server);
    const listening = await listen(server, { host, port }, { host: 'host', port: 'haven.port' }, this.context.log);
    this.#server = server;
    this.port = listening.port;
    return new Map([[this.name, listening]]);
  }

  async stop(deadlineMs: number, reason: ConnectionError): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    this.#accepting = false;
    const closed = this.#server === null ? Promise.resolve() : new Promise<void>((resolve) => this.#server?.close(() => resolve()));
    for (const socket of this.#waitingRoom) socket.destroy();
    this.#waitingRoom.clear();
    await inPortions([...this.#sessions], ENDED_PER_TURN, (session) => session.finish(reason));
    await this.#sessions.untilClosed(
      deadline - performance.now(),
      (session) => !session.ended || session.bufferedBytes > 0,
      (session) => session.destroy(),
    );
    if (this.#sweep !== null) clearInterval(this.#sweep);
    await closed;
  }

  // ---------------------------------------------------------------- connections

  #onConnection(socket: Socket): void {
    if (!this.#accepting) {
      socket.destroy();
      return;
    }
    // Also while it waits: a socket without this listener could end the process.
    socket.on('error', (error) => this.context.log.debug({ err: error }, 'a Haven connection failed'));
    const elsewhere = this.#isElsewhere(socket.remoteAddress);
    if (elsewhere && !this.#enter(socket, socket)) {
      socket.destroy();
      return;
    }
    if (elsewhere && this.#fresh.size >= this.config.maxFresh) {
      // Nobody listens to its data, so hardly any of it is read.
      this.#waitingRoom.add(socket);
      socket.once('close', () => this.#waitingRoom.delete(socket));
      return;
    }
    this.#admit(socket, elsewhere);
  }

  /** False: there is no place for another newcomer. Its place is free when its socket is closed, at the latest. */
  #enter(socket: Duplex, raw: Socket): boolean {
    const newcomers = this.#newcomers as Newcomers<Duplex>;
    const { remoteAddress = '' } = raw;
    if (!newcomers.hasPlace(remoteAddress)) {
      newcomers.onRefused(peerOf(raw));
      return false;
    }
    newcomers.add(socket, remoteAddress);
    socket.once('close', () => newcomers.delete(socket));
    return true;
  }

  #isElsewhere(address: string | undefined): boolean {
    return this.config.loopbackExempt === false || !isLoopbackPeer(address ?? '');
  }

  #admit(socket: Socket, elsewhere: boolean): void {
    const session = this.#open(new TcpLink(socket), elsewhere ? socket : null);
    onBytes(socket, (chunk) => session.onBytes(chunk));
    socket.on('end', () => session.onEnd());
    socket.on('drain', () => session.onDrain());
    socket.on('close', () => this.#onClosed(session));
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const elsewhere = this.#isElsewhere(request.socket.remoteAddress);
    const isCrowded = elsewhere && this.#fresh.size >= this.config.maxFresh;
    if (isCrowded) this.#newcomers?.onRefused(peerOf(request.socket));
    if (!this.#accepting || isCrowded || (elsewhere && !this.#enter(socket, request.socket))) {
      sendAway(socket);
      return;
    }
    this.#websockets.handleUpgrade(request, socket, head, (websocket) => {
      const session = this.#open(
        new WebsocketLink(websocket, socket, peerOf(request.socket), request.socket.localAddress ?? ''),
        elsewhere ? socket : null,
      );
      this.#limitFirstBytes(session, socket);
      websocket.on('message', (data, binary) => session.onMessage(data as Buffer, binary));
      websocket.on('error', (error) => {
        const fault = websocketFault(error);
        if (fault !== null) session.close(fault);
        else this.context.log.debug({ err: error }, 'a Haven connection failed');
      });
      websocket.on('close', () => this.#onClosed(session));
      socket.on('drain', () => session.onDrain());
    });
  }

  /** A websocket is ended before it has collected a large frame of a peer that has not connected. */
  #limitFirstBytes(session: HavenSession, socket: Duplex): void {
    const early = (): boolean => !session.admitted && !session.ended;
    const tooMuch = (): void => session.close(new ConnectionError('FRAME_TOO_LARGE', 'too much before CONNECT'));
    limitEarlyBytes(socket, 2 * this.early.maxBytes, early, tooMuch);
  }

  /** `newcomer`: its socket, where it counts among them. */
  #open(link: Link, newcomer: Duplex | null): HavenSession {
    const session = new HavenSession(this, link);
    this.#sessions.add(session);
    if (newcomer !== null) this.#fresh.set(session, newcomer);
    this.context.openSession(session);
    return session;
  }

  admitted(session: HavenSession): void {
    this.#leaveFresh(session);
  }

  #onClosed(session: HavenSession): void {
    session.onClosed();
    this.#sessions.delete(session);
    this.#leaveFresh(session);
  }

  #leaveFresh(session: HavenSession): void {
    const socket = this.#fresh.get(session);
    if (socket === undefined) return;
    this.#fresh.delete(session);
    this.#newcomers?.delete(socket);
    for (const socket of this.#waitingRoom) {
      if (this.#fresh.size >= this.config.maxFresh) return;
      this.#waitingRoom.delete(socket);
      if (!socket.destroyed) this.#admit(socket, true);
    }
  }

  #onSweep(): void {
    const now = this.context.clock.monotonic();
    for (const session of this.#sessions) {
      if (session.endedAt !== 0) {
        const patience = session.ended && session.bufferedBytes === 0 ? LINGER_MS : session.heartbeatMs;
        if (now - session.endedAt > patience) session.destroy();
      } else if (!session.admitted) {
        const missing = session.connected ? 'login' : 'CONNECT';
        if (now - session.openedAt > this.config.connectMs) {
          session.close(new ConnectionError('CONNECT_TIMEOUT', `no ${missing} in time`));
        }
      } else if (now - session.lastHeardAt > session.heartbeatMs) {
        session.close(new ConnectionError('PEER_SILENT', 'no heartbeat in time'));
      }
    }
  }

  // ---------------------------------------------------------------- state

  state(): Uint8Array {
    const { clock, node } = this.context;
    const at = clock.monotonic();
    const { changes } = this.control;
    if (at - this.#stateAt < STATE_MS && changes === this.#stateOf) return this.#state;
    this.#stateAt = at;
    this.#stateOf = changes;
    const load = this.context.load();
    this.#state = pack({
      uuid: node.id,
      name: node.name,
      roles: this.control.roles.map(({ type, path }) => (path === null ? { type } : { type, path })),
      quorums: this.control.quorums.map(({ uuid, path }) => ({ uuid, path, role: 'leader', members: 1 })),
      uptime: Math.max(0, clock.now() - node.startedAt),
      load: {
        sessions: load.sessions,
        queued: load.queued,
        messagesPerSecond: load.messagesPerSecond,
        eventLoopDelayMs: load.eventLoopDelayMs,
      },
    });
    return this.#state;
  }
}
