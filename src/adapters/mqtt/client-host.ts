// ClientHost: everything that the connections and sessions of MQTT clients share while the adapter runs; and the list of all of them,
// from acceptance to end.

import type { Socket } from 'node:net';
import {
  type AdapterContext,
  ConnectionError,
  Connections,
  type Counter,
  type Counters,
  deniedMessages,
  ENDED_PER_TURN,
  Episode,
  inPortions,
  isLoopbackPeer,
  Portions,
  untilNone,
} from '../../core/index.js';
import type { AddressList } from './addresses.js';
import { Admission, type Exceeded, type Visit } from './admission.js';
import type { BaseSession } from './base-session.js';
import type { Broker } from './broker.js';
import type { MqttConfig } from './config.js';
import { type ConnectionHost, MqttConnection } from './connection.js';
import { type Encoder, PlainEncoder } from './encoder.js';
import type { ListenerHost } from './listener.js';
import { Topics } from './paths.js';
import type { Port } from './port.js';
import { MqttSession, type MqttSessionHost } from './session.js';
import type { Arrival } from './session-host.js';
import { isAdministrator, SystemTopics } from './sys.js';
import { SocketTransport, type Transport, type TransportOwner } from './transport.js';
import type { Authenticators } from './v5/authentication.js';
import type { EncoderHost } from './v5/encoder.js';
import { PropertySession, type PropertySessionHost } from './v5/session.js';
import type { WebsocketHost } from './websockets.js';
import { MQTT_5, MQTT_LIMITS, type MqttLimits, type Version } from './wire.js';
import { WireCounts } from './wire-counts.js';

const SYS_INTERVAL_MS = 10_000;
/** CONNECTs that are served in one turn of the loop, and connections whose loss is seen to: a crowd does not keep others waiting. */
const CONNECTS_PER_TURN = 32;
const LOSSES_PER_TURN = 64;

export class ClientHost implements MqttSessionHost, PropertySessionHost, ConnectionHost, ListenerHost, WebsocketHost {
  readonly context: AdapterContext;
  readonly limits: MqttLimits;
  readonly topics: Topics;
  readonly authenticators: Authenticators;
  readonly responseInformation: string;
  readonly admission: Admission;
  readonly connects = new Portions(CONNECTS_PER_TURN);
  readonly losses = new Portions(LOSSES_PER_TURN);
  readonly counts: WireCounts;
  readonly system: SystemTopics;
  readonly encoder: Encoder;
  readonly encoderHost: EncoderHost;
  readonly #broker: Broker;
  readonly #counters: ReturnType<typeof countersIn>;
  readonly #connections = new Connections<MqttConnection | BaseSession>();
  readonly #byKey = new Map<string, BaseSession>();
  #toFlush: BaseSession[] = [];
  #joinedFrames: readonly Uint8Array[] = [];
  #joined: Uint8Array = new Uint8Array(0);
  readonly #unforwardableEpisode = new Episode();
  readonly #slowedEpisode = new Episode();
  readonly #refusedEpisode = new Episode();

  /** `proxies`: not limited as the address of one client. `broker`: closed with the stop. */
  constructor(config: MqttConfig, context: AdapterContext, broker: Broker, proxies: AddressList) {
    const {
      maxPacketBytes = MQTT_LIMITS.maxPacketBytes,
      sysIntervalMs = SYS_INTERVAL_MS,
      isAdministrator: reads = isAdministrator,
    } = config;
    const { clock, counters, formats } = context;
    this.context = context;
    this.limits = Object.freeze({ ...MQTT_LIMITS, maxPacketBytes, ...config.limits });
    this.topics = new Topics(config.mountPoint ?? '');
    this.authenticators = config.authenticators ?? new Map();
    this.responseInformation = config.responseInformation ?? '';
    this.admission = new Admission(this.limits, (address) => isLoopbackPeer(address) || proxies.has(address), clock);
    this.counts = new WireCounts(counters);
    const { mountPoint } = this.topics;
    this.system = new SystemTopics({ intervalMs: sysIntervalMs, mountPoint, isReadableBy: reads }, context, this.counts);
    this.encoder = new PlainEncoder(this.topics, formats.raw, (path) => this.#onUnforwardable(path));
    this.encoderHost = this.#makeEncoderHost(context);
    this.#broker = broker;
    this.#counters = countersIn(counters);
    counters.gauge('mqtt_connections', 'Open MQTT connections', () => this.#connections.size);
  }

  #makeEncoderHost({ counters, formats, clock }: AdapterContext): EncoderHost {
    const tooLarge = counters.counter(
      'mqtt_too_large_total',
      'Messages not sent because they exceed the maximum packet size of an MQTT 5 client',
    );
    const leftOut = counters.counter('mqtt_properties_left_out_total', 'Meta of messages omitted because no MQTT 5 property can hold it');
    return {
      topics: this.topics,
      raw: formats.raw,
      now: () => clock.now(),
      onUnforwardable: (path) => this.#onUnforwardable(path),
      onTooLarge: () => tooLarge.add(),
      onLeftOut: (count) => leftOut.add(count),
    };
  }

  /** Those that are there end as `reason` says. No more may come. */
  async stop(deadlineMs: number, reason: ConnectionError): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    this.system.stop();
    for (const connection of this.#connections) connection.stopReading();
    await untilNone([...this.#connections], (connection) => connection.inFlight > 0, deadlineMs / 2);
    await inPortions([...this.#connections], ENDED_PER_TURN, (connection) => connection.close(reason));
    await this.#connections.untilClosed(
      deadline - performance.now(),
      (connection) => connection.isOwed,
      (connection) => connection.destroyTransport(),
    );
    this.#broker.close();
  }

  /** Called about twice a second with the monotonic time in milliseconds. */
  onTick(now: number): void {
    this.admission.onTick(now);
    for (const connection of this.#connections) connection.onTick(now);
  }

  // What sessions ask for.

  handle(session: MqttSession, port: Port): void {
    this.#broker.handle(session, port);
  }

  leave(port: Port): void {
    this.#broker.leave(port);
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
    this.#counters.unforwardable.add();
    if (this.#unforwardableEpisode.begins(this.context.clock.monotonic())) {
      this.context.log.warn({ path }, 'a path that cannot be an MQTT topic changed: not forwarded to MQTT');
    }
  }

  onExpired(): void {
    this.#counters.expired.add();
  }

  onDenied(): void {
    this.#counters.denied.add();
  }

  /** Counted and told as the engine does it for receivers whose socket is full. */
  onStuck(session: BaseSession, waitingBytes: number, waitingMessages: number): void {
    this.#counters.slowClosed.add();
    const fields = { session: session.id, adapter: 'mqtt', waitingBytes, waitingMessages };
    this.context.log.warn(fields, 'receiver is too slow: ending the connection');
  }

  onEnded(session: BaseSession): void {
    this.#connections.delete(session);
    if (this.#byKey.get(session.key) === session) this.#byKey.delete(session.key);
  }

  // Connections.

  begin(socket: Socket, visit: Visit): void {
    this.open(visit, (owner) => new SocketTransport(socket, owner));
  }

  onSlowed(peer: string): void {
    this.#counters.slowed.add();
    if (this.#slowedEpisode.begins(this.context.clock.monotonic())) {
      this.context.log.warn({ peer }, 'an MQTT client publishes faster than allowed: reading it more slowly');
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
}

function countersIn(counters: Counters): { readonly [name in 'unforwardable' | 'slowClosed' | 'slowed' | 'expired' | 'denied']: Counter } {
  return {
    unforwardable: counters.counter(
      'mqtt_unforwardable_total',
      'Changes of paths that no MQTT topic can name, not forwarded to MQTT subscribers',
    ),
    slowClosed: counters.counter('slow_consumers_closed_total', 'Connections ended because they read too slowly'),
    slowed: counters.counter('mqtt_slowed_total', 'Pauses in reading MQTT clients that published faster than allowed'),
    expired: counters.counter('mqtt_expired_total', 'Messages not sent to an MQTT client because they had expired'),
    denied: deniedMessages(counters),
  };
}

/** Element by element: frames of QoS 0 are one buffer for all receivers. */
function isSameList(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
