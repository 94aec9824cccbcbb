// MqttAdapter: listens on TCP and takes websockets at /mqtt, gives connections the session of their version, and looks at the
// clock for all of them.

import type { Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import {
  type Adapter,
  type AdapterContext,
  ConnectionError,
  Connections,
  type Counter,
  ENDED_PER_TURN,
  type Identity,
  inPortions,
  isLoopbackPeer,
  type Listeners,
  type Listening,
  Portions,
  untilNone,
} from '../../core/index.js';
import { AddressList } from './addresses.js';
import { Admission, type Exceeded, type Visit } from './admission.js';
import type { BaseSession } from './base-session.js';
import { Broker } from './broker.js';
import { type ConnectionHost, MqttConnection } from './connection.js';
import { type Encoder, PlainEncoder } from './encoder.js';
import { Episode } from './episode.js';
import type { ClientCertificates } from './handshakes.js';
import { Listener, type ListenerHost } from './listener.js';
import { Topics } from './paths.js';
import type { Port } from './port.js';
import { MqttSession, type MqttSessionHost } from './session.js';
import type { Arrival } from './session-host.js';
import { isAdministrator, SystemTopics } from './sys.js';
import { SocketTransport, type Transport, type TransportOwner } from './transport.js';
import type { Authenticators } from './v5/authentication.js';
import type { EncoderHost } from './v5/encoder.js';
import { PropertySession } from './v5/session.js';
import { Websockets } from './websockets.js';
import { MQTT_5, MQTT_LIMITS, type MqttLimits, type Version } from './wire.js';
import { WireCounts } from './wire-counts.js';

const SYS_INTERVAL_MS = 10_000;
const TICK_MS = 500;
const WEBSOCKET_PATH = '/mqtt';
const TLS_LISTENER = 'mqttTls';
/** CONNECTs that are served in one turn of the loop, and connections whose loss is seen to: a crowd does not keep others waiting. */
const CONNECTS_PER_TURN = 32;
const LOSSES_PER_TURN = 64;

export interface MqttConfig {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Put before every topic; default none. */
  readonly mountPoint?: string;
  /** Largest packet of a connected client; default 1 MiB. */
  readonly maxPacketBytes?: number;
  readonly limits?: Partial<MqttLimits>;
  /** What MQTT 5 clients are told that ask for response information; default nothing. */
  readonly responseInformation?: string;
  /** Enhanced authentication of MQTT 5, by method; default none. */
  readonly authenticators?: Authenticators;
  /** A second port, for TLS; its certificate comes through `setSecureContext`. */
  readonly tls?: ClientCertificates & { readonly port: number | null };
  /** 'required': every TCP connection begins with a PROXY header; default 'off'. */
  readonly proxyProtocol?: 'off' | 'required';
  /** Addresses and networks of proxies: who may send that header. Not limited as the address of one client. */
  readonly proxyAddresses?: readonly string[];
  /** Time between publications of $SYS topics; 0: there are none. Default 10 s. */
  readonly sysIntervalMs?: number;
  /** Who reads them; default everybody. */
  readonly isAdministrator?: (identity: Identity) => boolean;
}

export class MqttAdapter implements Adapter, MqttSessionHost, ConnectionHost, ListenerHost {
  readonly name = 'mqtt';
  readonly limits: MqttLimits;
  readonly topics: Topics;
  readonly authenticators: Authenticators;
  readonly responseInformation: string;
  readonly connects = new Portions(CONNECTS_PER_TURN);
  readonly losses = new Portions(LOSSES_PER_TURN);
  readonly #config: MqttConfig;
  #context: AdapterContext | null = null;
  #admission: Admission | null = null;
  readonly #listeners = new Map<string, Listener>();
  #secureContext: SecureContextOptions | null = null;
  #websockets: Websockets | null = null;
  #broker: Broker | null = null;
  #encoder: Encoder | null = null;
  #timer: NodeJS.Timeout | null = null;
  readonly #connections = new Connections<MqttConnection | BaseSession>();
  readonly #byKey = new Map<string, BaseSession>();
  #toFlush: BaseSession[] = [];
  #joinedFrames: readonly Uint8Array[] = [];
  #joined: Uint8Array = new Uint8Array(0);
  #unforwardable: Counter | null = null;
  #slowClosed: Counter | null = null;
  #expired: Counter | null = null;
  #encoderHost: EncoderHost | null = null;
  #counts: WireCounts | null = null;
  #system: SystemTopics | null = null;
  readonly #unforwardableEpisode = new Episode();
  #slowed: Counter | null = null;
  readonly #slowedEpisode = new Episode();
  readonly #refusedEpisode = new Episode();

  constructor(config: MqttConfig) {
    this.#config = config;
    const { maxPacketBytes = MQTT_LIMITS.maxPacketBytes } = config;
    this.limits = Object.freeze({ ...MQTT_LIMITS, maxPacketBytes, ...config.limits });
    this.topics = new Topics(config.mountPoint ?? '');
    this.authenticators = config.authenticators ?? new Map();
    this.responseInformation = config.responseInformation ?? '';
  }

  get context(): AdapterContext {
    return this.#context as AdapterContext;
  }

  get encoder(): Encoder {
    return this.#encoder as Encoder;
  }

  get encoderHost(): EncoderHost {
    return this.#encoderHost as EncoderHost;
  }

  get counts(): WireCounts {
    return this.#counts as WireCounts;
  }

  get system(): SystemTopics {
    return this.#system as SystemTopics;
  }

  async start(context: AdapterContext): Promise<Listeners> {
    this.#context = context;
    this.#counts = new WireCounts(context.counters);
    const { sysIntervalMs: intervalMs = SYS_INTERVAL_MS, isAdministrator: isReadableBy = isAdministrator } = this.#config;
    this.#system = new SystemTopics({ intervalMs, mountPoint: this.topics.mountPoint, isReadableBy }, context, this.#counts);
    this.#unforwardable = context.counters.counter(
      'mqtt_unforwardable_total',
      'Changes of paths that no MQTT topic can name, not forwarded to MQTT subscribers',
    );
    this.#slowClosed = context.counters.counter('slow_consumers_closed_total', 'Connections ended because they read too slowly');
    context.counters.gauge('mqtt_connections', 'Open MQTT connections', () => this.#connections.size);
    this.#slowed = context.counters.counter('mqtt_slowed_total', 'Pauses in reading MQTT clients that published faster than they may');
    this.#expired = context.counters.counter('mqtt_expired_total', 'Messages not sent to an MQTT client because their time was over');
    this.#encoder = new PlainEncoder(this.topics, context.formats.raw, (path) => this.#onUnforwardable(path));
    this.#encoderHost = this.#makeEncoderHost(context);
    this.#broker = await Broker.start(context);
    const listeners = await this.#listen();
    const websockets = new Websockets(this);
    this.#websockets = websockets;
    context.http.upgrade(WEBSOCKET_PATH, false, (request, socket, head) => websockets.onUpgrade(request, socket, head));
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
    this.#system.start();
    return listeners;
  }

  #makeEncoderHost({ counters, formats, clock }: AdapterContext): EncoderHost {
    const tooLarge = counters.counter('mqtt_too_large_total', 'Messages not sent because the MQTT 5 client takes no packet of their size');
    const leftOut = counters.counter('mqtt_properties_left_out_total', 'Meta of messages that no MQTT 5 property can hold, left out');
    return {
      topics: this.topics,
      raw: formats.raw,
      now: () => clock.now(),
      onUnforwardable: (path) => this.#onUnforwardable(path),
      onTooLarge: () => tooLarge.add(),
      onLeftOut: (count) => leftOut.add(count),
    };
  }

  async #listen(): Promise<Listeners> {
    const { host, port, tls, proxyProtocol = 'off', proxyAddresses = [] } = this.#config;
    const proxies = new AddressList(proxyAddresses);
    this.#admission = new Admission(this.limits, (address) => isLoopbackPeer(address) || proxies.has(address), this.context.clock);
    const shared = { host, proxies: proxyProtocol === 'required' ? proxies : null, timeoutMs: this.limits.connectTimeoutMs };
    this.#listeners.set(this.name, new Listener({ ...shared, port, key: 'mqtt.port', tls: null }, this));
    if (tls?.port != null) this.#listeners.set(TLS_LISTENER, new Listener({ ...shared, port: tls.port, key: 'mqtt.tls.port', tls }, this));
    if (this.#secureContext !== null) this.setSecureContext(this.#secureContext);
    const listening = new Map<string, Listening>();
    try {
      for (const [name, listener] of this.#listeners) listening.set(name, await listener.open());
    } catch (error) {
      for (const listener of this.#listeners.values()) listener.close();
      this.#broker?.close();
      throw error;
    }
    return listening;
  }

  /** Certificate of the TLS port from now on, also before the start. */
  setSecureContext(options: SecureContextOptions): void {
    this.#secureContext = options;
    this.#listeners.get(TLS_LISTENER)?.setSecureContext(options);
  }

  async stop(deadlineMs: number, reason: ConnectionError): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    this.#websockets?.close();
    this.#system?.stop();
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    for (const listener of this.#listeners.values()) listener.close();
    for (const connection of this.#connections) connection.stopReading();
    await untilNone([...this.#connections], (connection) => connection.inFlight > 0, deadlineMs / 2);
    await inPortions([...this.#connections], ENDED_PER_TURN, (connection) => connection.close(reason));
    await this.#connections.untilClosed(
      deadline - performance.now(),
      (connection) => connection.isOwed,
      (connection) => connection.destroyTransport(),
    );
    this.#broker?.close();
  }

  // What sessions ask for.

  handle(session: MqttSession, port: Port): void {
    this.#broker?.handle(session, port);
  }

  leave(port: Port): void {
    this.#broker?.leave(port);
  }

  flushSoon(session: BaseSession): void {
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

  takeOver(session: BaseSession): void {
    const other = this.#byKey.get(session.key);
    this.#byKey.set(session.key, session);
    other?.close(new ConnectionError('TAKEN_OVER', 'the same client connected again'));
  }

  #onUnforwardable(path: string): void {
    this.#unforwardable?.add();
    if (this.#unforwardableEpisode.begins(this.context.clock.monotonic())) {
      this.context.log.warn({ path }, 'a path that no MQTT topic can name changed: not forwarded to MQTT');
    }
  }

  onExpired(): void {
    this.#expired?.add();
  }

  /** Counted and told as the engine does it for receivers whose socket is full. */
  onStuck(session: BaseSession, waitingBytes: number, waitingMessages: number): void {
    this.#slowClosed?.add();
    const fields = { session: session.id, adapter: this.name, waitingBytes, waitingMessages };
    this.context.log.warn(fields, 'receiver is too slow: ending the connection');
  }

  onEnded(session: BaseSession): void {
    this.#connections.delete(session);
    if (this.#byKey.get(session.key) === session) this.#byKey.delete(session.key);
  }

  // Connections.

  get admission(): Admission {
    return this.#admission as Admission;
  }

  begin(socket: Socket, visit: Visit): void {
    this.open(visit, (owner) => new SocketTransport(socket, owner));
  }

  onSlowed(peer: string): void {
    this.#slowed?.add();
    if (this.#slowedEpisode.begins(this.context.clock.monotonic())) {
      this.context.log.warn({ peer }, 'an MQTT client publishes faster than it may: reading it more slowly');
    }
  }

  onRefused(limit: Exceeded | 'maxConnectsPerSecond', peer: string): void {
    const name = `mqtt_connections_refused_total{limit="${limit}"}`;
    this.context.counters.counter(name, 'MQTT connections refused because of a limit, by the limit').add();
    if (this.#refusedEpisode.begins(this.context.clock.monotonic())) {
      this.context.log.warn({ peer, limit: `mqtt.${limit}` }, 'refusing MQTT connections: there are too many');
    }
  }

  /** Takes a connection over; `connect` makes its transport. */
  open(visit: Visit, connect: (owner: TransportOwner) => Transport): void {
    this.counts.sockets.add();
    this.#connections.add(new MqttConnection(this, visit, connect));
  }

  beginSession(connection: MqttConnection, version: Version, arrival: Arrival): void {
    this.#connections.add(version === MQTT_5 ? new PropertySession(this, arrival) : new MqttSession(this, version, arrival));
    this.#connections.delete(connection);
  }

  onConnectionEnded(connection: MqttConnection): void {
    this.#connections.delete(connection);
  }

  #tick(): void {
    const now = this.context.clock.monotonic();
    this.admission.onTick(now);
    for (const listener of this.#listeners.values()) listener.onTick(now);
    for (const connection of this.#connections) connection.onTick(now);
  }
}

/** Element by element: frames of QoS 0 are one buffer for all receivers. */
function isSameList(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
