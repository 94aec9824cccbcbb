// MqttAdapter: listens on TCP and takes websockets at /mqtt, gives every connection a session, keeps aedes, and looks at the
// clock for all of them.

import { Aedes, type AuthenticateError, type Client } from 'aedes';
import type { IncomingMessage } from 'node:http';
import { type Server, type Socket, createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  type Adapter,
  type AdapterContext,
  ConnectionError,
  Connections,
  type Counter,
  type Listening,
  listen,
  type Qos,
  RequestError,
  untilNone,
} from '../../core/index.js';
import { BUS } from './bus.js';
import { Topics } from './paths.js';
import { makePersistence } from './persistence.js';
import type { Port } from './port.js';
import { MqttSession, type SessionHost } from './session.js';
import { SocketTransport, type Transport, WebsocketTransport } from './transport.js';
import { MQTT_LIMITS, type MqttLimits, RETURN_CODE, SUBPROTOCOLS } from './wire.js';

const TICK_MS = 500;
const WEBSOCKET_PATH = '/mqtt';
/** aedes needs some interval; nothing of ours depends on it. */
const NEVER_MS = 2 ** 31 - 1;
/** Drops further apart than this belong to another episode. */
const EPISODE_MS = 60_000;

const GONE = new RequestError('TIMEOUT', 'the connection is gone');

export interface MqttConfig {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Put before every topic; default none. */
  readonly mountPoint?: string;
  /** Largest packet of a connected client; default 1 MiB. */
  readonly maxPacketBytes?: number;
  readonly limits?: Partial<MqttLimits>;
}

export class MqttAdapter implements Adapter, SessionHost {
  readonly name = 'mqtt';
  readonly limits: MqttLimits;
  readonly topics: Topics;
  readonly #config: MqttConfig;
  #context: AdapterContext | null = null;
  #server: Server | null = null;
  #websockets: WebSocketServer | null = null;
  #broker: Aedes | null = null;
  #timer: NodeJS.Timeout | null = null;
  readonly #sessions = new Connections<MqttSession>();
  readonly #byKey = new Map<string, MqttSession>();
  /** Connections without an accepted CONNECT. */
  #arriving = 0;
  /** Accepted sockets that are not read yet. */
  #outside: Socket[] = [];
  #toFlush: MqttSession[] = [];
  #joinedFrames: readonly Uint8Array[] = [];
  #joined: Uint8Array = new Uint8Array(0);
  #unforwardable: Counter | null = null;
  #slowClosed: Counter | null = null;
  #unforwardableAt = Number.NEGATIVE_INFINITY;
  #stopping = false;

  constructor(config: MqttConfig) {
    this.#config = config;
    const { maxPacketBytes = MQTT_LIMITS.maxPacketBytes } = config;
    this.limits = Object.freeze({ ...MQTT_LIMITS, maxPacketBytes, ...config.limits });
    this.topics = new Topics(config.mountPoint ?? '');
  }

  get context(): AdapterContext {
    return this.#context as AdapterContext;
  }

  async start(context: AdapterContext): Promise<Listening> {
    this.#context = context;
    this.#unforwardable = context.counters.counter(
      'mqtt_unforwardable_total',
      'Changes of paths that no MQTT topic can name, not forwarded to MQTT subscribers',
    );
    this.#slowClosed = context.counters.counter('slow_consumers_closed_total', 'Connections ended because they read too slowly');
    context.counters.gauge('mqtt_connections', 'Open MQTT connections', () => this.#sessions.size);
    this.#broker = await this.#startBroker();
    this.#websockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      maxPayload: this.limits.maxPacketBytes + this.limits.maxConnectBytes,
      handleProtocols: (offered) => SUBPROTOCOLS.find((name) => offered.has(name)) ?? false,
    });
    const server = createServer({ noDelay: true }, (socket) => this.#onSocket(socket));
    this.#server = server;
    let listening: Listening;
    try {
      listening = await listen(server, this.#config, 'mqtt.port', context.log);
    } catch (error) {
      this.#broker.close();
      throw error;
    }
    context.http.upgrade(WEBSOCKET_PATH, false, (request, socket, head) => this.#onUpgrade(request, socket, head));
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
    return listening;
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#server?.close();
    for (const socket of this.#outside.splice(0)) socket.destroy();
    for (const session of this.#sessions) session.stopReading();
    await untilNone([...this.#sessions], (session) => session.inFlight > 0, deadlineMs / 2);
    for (const session of this.#sessions) session.close(new ConnectionError('SHUTTING_DOWN', 'the gateway is stopping'));
    await this.#sessions.untilEmpty(deadlineMs / 4);
    // Peers that do not close their side in time are cut off.
    for (const session of this.#sessions) session.destroyTransport();
    await this.#sessions.untilEmpty(deadlineMs / 4);
    this.#websockets?.close();
    this.#broker?.close();
  }

  // What sessions ask for.

  handle(session: MqttSession, port: Port): void {
    const client = (this.#broker as Aedes).handle(port);
    client.on('connected', () => session.onReady());
  }

  flushSoon(session: MqttSession): void {
    if (session.flushPlanned) return;
    session.flushPlanned = true;
    if (this.#toFlush.length === 0) setImmediate(this.#flushAll);
    this.#toFlush.push(session);
  }

  readonly #flushAll = (): void => {
    const sessions = this.#toFlush;
    this.#toFlush = [];
    for (const session of sessions) {
      session.flushPlanned = false;
      this.context.flush(session);
    }
  };

  join(frames: readonly Uint8Array[], bytes: number): Uint8Array {
    if (isSameList(frames, this.#joinedFrames)) return this.#joined;
    this.#joinedFrames = frames;
    this.#joined = Buffer.concat(frames, bytes);
    return this.#joined;
  }

  takeOver(session: MqttSession): void {
    const other = this.#byKey.get(session.key);
    this.#byKey.set(session.key, session);
    other?.close(new ConnectionError('TAKEN_OVER', 'the same client connected again'));
  }

  onUnforwardable(path: string): void {
    this.#unforwardable?.add();
    const now = this.context.clock.monotonic();
    if (now - this.#unforwardableAt > EPISODE_MS) {
      this.context.log.warn({ path }, 'a path that no MQTT topic can name changed: not forwarded to MQTT');
    }
    this.#unforwardableAt = now;
  }

  /** Counted and told as the engine does it for receivers whose socket is full. */
  onStuck(session: MqttSession, waitingBytes: number, waitingMessages: number): void {
    this.#slowClosed?.add();
    const fields = { session: session.id, adapter: this.name, waitingBytes, waitingMessages };
    this.context.log.warn(fields, 'receiver is too slow: ending the connection');
  }

  onEnded(session: MqttSession): void {
    this.#sessions.delete(session);
    if (this.#byKey.get(session.key) === session) this.#byKey.delete(session.key);
  }

  // Connections.

  /** A crowd that does not log in waits unread, so that it costs little; its turn comes within the connect timeout. */
  #onSocket(socket: Socket): void {
    if (this.#arriving < this.limits.maxConnecting) {
      this.#open((session) => new SocketTransport(socket, session));
      return;
    }
    socket.on('error', () => socket.destroy());
    this.#outside.push(socket);
  }

  onArrived(): void {
    this.#arriving -= 1;
    if (this.#outside.length > 0) setImmediate(this.#letIn);
  }

  readonly #letIn = (): void => {
    while (this.#arriving < this.limits.maxConnecting) {
      const socket = this.#outside.shift();
      if (socket === undefined) return;
      if (!socket.destroyed) this.#onSocket(socket);
    }
  };

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.#stopping) {
      socket.destroy();
      return;
    }
    this.#websockets?.handleUpgrade(request, socket, head, (websocket: WebSocket) => {
      this.#open((session) => new WebsocketTransport(websocket, session));
    });
  }

  #open(connect: (session: MqttSession) => Transport): void {
    const session = new MqttSession(this);
    this.#arriving += 1;
    this.#sessions.add(session);
    session.attach(connect(session));
  }

  #tick(): void {
    const now = this.context.clock.monotonic();
    for (const session of this.#sessions) session.onTick(now);
  }

  // aedes.

  async #startBroker(): Promise<Aedes> {
    const broker = await Aedes.createBroker({
      id: this.context.node.id,
      mq: BUS,
      persistence: makePersistence(sessionOf),
      heartbeatInterval: NEVER_MS / 4,
      connectTimeout: NEVER_MS,
      drainTimeout: 0,
      keepaliveLimit: 0,
      preConnect: (_client, packet, callback) => {
        // Silence and wills are watched over by the session, which sees every packet and has the core's word.
        const connect = packet as { keepalive?: number; will?: unknown };
        connect.keepalive = 0;
        delete connect.will;
        callback(null, true);
      },
      authenticate: (client, username, password, callback) => {
        this.#authenticate(client, username, password).then(
          () => callback(null, true),
          (error: unknown) => callback(this.#refusal(error), false),
        );
      },
      authorizeSubscribe: (client, subscription, callback) => {
        sessionOf(client).subscribe(subscription.topic, subscription.qos as Qos, (error, granted) => {
          callback(error, granted ? subscription : null);
        });
      },
    });
    // Every such error ends in a closed connection, which is logged there.
    for (const event of ['clientError', 'connectionError'] as const) {
      broker.on(event, (_client, error) => this.context.log.debug({ err: error }, 'aedes ended a connection'));
    }
    return broker;
  }

  /** Who it is, and its session in the core. */
  async #authenticate(client: Client, username: string | undefined, password: Buffer | undefined): Promise<void> {
    const session = ownerOf(client);
    if (session === null) throw GONE;
    session.identity = await this.context.authenticate(
      { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) },
      session,
    );
    if (session.isEnded) throw GONE;
    await new Promise<void>((resolve, reject) => {
      session.begin((error) => (error === null ? resolve() : reject(error)));
    });
    // What aedes knows a client by: one user's id is not another's. "Not clean" makes it ask the persistence about
    // every step; whether the session is durable is for the core to know.
    Object.assign(client, { id: session.key, clean: false });
  }

  #refusal(error: unknown): AuthenticateError {
    const refused = error instanceof RequestError && error.code === 'NOT_AUTHENTICATED';
    if (!refused && !(error instanceof RequestError)) this.context.log.error({ err: error }, 'a CONNECT failed');
    const returnCode = refused ? RETURN_CODE.BAD_USER_NAME_OR_PASSWORD : RETURN_CODE.SERVER_UNAVAILABLE;
    return Object.assign(new Error(error instanceof Error ? error.message : 'refused'), { returnCode });
  }
}

/** The session that aedes calls a client; null when it has ended. */
function ownerOf(client: unknown): MqttSession | null {
  return (client as { conn: Port }).conn.owner as MqttSession | null;
}

/** While a packet is being served its session is there. */
function sessionOf(client: unknown): MqttSession {
  return ownerOf(client) as MqttSession;
}

/** Element by element: frames of QoS 0 are one buffer for all receivers. */
function isSameList(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
