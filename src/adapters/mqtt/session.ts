// MqttSession: a client of 3.1 or 3.1.1. aedes serves the packets that make and end its session (CONNECT, SUBSCRIBE, UNSUBSCRIBE,
// PINGREQ, DISCONNECT) and the QoS 2 handshake; PUBLISH and PUBACK bypass it, because aedes acknowledges before it stores and needs
// several turns of the loop for each.

import {
  type ConnectionError,
  type DataRequest,
  type Qos,
  type Reply,
  type RequestError,
  SUBSCRIBED,
  type Subscription,
  type SubscriptionOptions,
} from '../../core/index.js';
import { BaseSession } from './base-session.js';
import {
  type ConnectFacts,
  encodeAcknowledge,
  encodeConnack,
  encodeSuback,
  type Filter,
  headerFault,
  headerFault31,
  malformed,
  readAcknowledge,
  readConnect,
  readSubscribe,
  readUnsubscribe,
} from './codec.js';
import type { Encoder } from './encoder.js';
import { endBy } from './ends.js';
import { isSystemTopic, type SharedFilter, splitShared } from './paths.js';
import { Outcome, type PersistentClient } from './persistence.js';
import { Port, type PortOwner } from './port.js';
import { Publishing } from './publishing.js';
import type { Arrival, SessionHost } from './session-host.js';
import {
  CONNECT_FLAG,
  CONNECT_FLAGS_AT,
  FIRST_BYTE,
  MQTT_3_1,
  PACKET,
  type PlainVersion,
  RETURN_CODE,
  SUBSCRIPTION_REFUSED,
} from './wire.js';

/** By QoS. */
const SUBSCRIPTION: readonly SubscriptionOptions[] = [0, 1, 2].map((qos) => Object.freeze({ ...SUBSCRIBED, qos: qos as Qos }));

/** One SUBSCRIBE on its way. */
interface SubscribeBatch {
  readonly packetId: number;
  readonly filters: readonly Filter[];
  readonly refused: Set<string>;
  /** Filters that are not answered yet. */
  open: number;
}

type SubscribeDone = (error: Error | null, granted: boolean) => void;

export interface MqttSessionHost extends SessionHost {
  readonly encoder: Encoder;
  /** Gives the connection to aedes. */
  handle(session: MqttSession, port: Port): void;
  /** The session has ended. */
  leave(port: Port): void;
}

export class MqttSession extends BaseSession implements PortOwner, PersistentClient {
  readonly #host: MqttSessionHost;
  readonly #version: PlainVersion;
  readonly #publishing: Publishing;
  #port: Port | null = null;
  #facts: ConnectFacts | null = null;
  #batch: SubscribeBatch | null = null;

  constructor(host: MqttSessionHost, version: PlainVersion, arrival: Arrival) {
    super(host, host.encoder, version === MQTT_3_1 ? headerFault31 : headerFault, arrival);
    this.#host = host;
    this.#version = version;
    this.#publishing = new Publishing(this, host.topics, host.context.formats.raw);
  }

  // From the wire.

  protected override take(first: number, bytes: Buffer, start: number, body: number, end: number): void {
    const type = first >> 4;
    if (type === PACKET.PUBLISH) return this.#publish(first, bytes, start, body, end);
    if (type === PACKET.PUBACK) return this.#onPuback(readAcknowledge(bytes, body, end));
    switch (type) {
      case PACKET.CONNECT:
        return this.#connect(first, bytes, start, body, end);
      case PACKET.SUBSCRIBE:
        return this.#subscribeAll(first, bytes, start, body, end);
      case PACKET.UNSUBSCRIBE:
        readUnsubscribe(bytes, body, end, this.filters.maxNamed);
        break;
      case PACKET.PUBREC:
      case PACKET.PUBREL:
      case PACKET.PUBCOMP:
        readAcknowledge(bytes, body, end);
        break;
      case PACKET.DISCONNECT:
        this.keeping.goodbye = true;
        break;
    }
    this.#deliver(this.#forAedes(first, bytes, start, body, end));
  }

  #connect(first: number, bytes: Buffer, start: number, body: number, end: number): void {
    // [MQTT-3.1.0-2]
    if (this.phase !== 'new') throw malformed('a second CONNECT');
    const facts = readConnect(bytes, body, end, this.#version, this.host.limits.maxClientIdBytes);
    if ('returnCode' in facts) {
      this.write(encodeConnack(false, facts.returnCode));
      throw malformed(facts.reason);
    }
    this.keeping.will = facts.will === null ? null : this.#publishing.will(facts.will);
    this.#facts = facts;
    this.beginConnecting();
    this.#port = new Port(this);
    this.#host.handle(this, this.#port);
    this.#deliver(this.#forAedes(first, bytes, start, body, end));
  }

  #publish(first: number, bytes: Buffer, start: number, body: number, end: number): void {
    const request = this.#publishing.read(first, bytes, start, body, end);
    if (request.onceId > 0) this.#checkIncomingOnce(request.onceId);
    this.submit(request);
  }

  #checkIncomingOnce(packetId: number): void {
    const received = this.durable?.received ?? this.received;
    const { maxIncomingOnce } = this.#host.limits;
    if (received !== null && received.size >= maxIncomingOnce && !received.has(packetId)) {
      throw malformed(`more than ${maxIncomingOnce} messages of QoS 2 are not released`);
    }
  }

  #onPuback(packetId: number): void {
    if (this.deliveries.onPuback(packetId) && this.deliveries.waitingCount > 0) this.flushSoon();
  }

  #subscribeAll(first: number, bytes: Buffer, start: number, body: number, end: number): void {
    const { packetId, filters } = readSubscribe(bytes, body, end, this.filters.maxNamed);
    const batch: SubscribeBatch = { packetId, filters, refused: new Set(), open: 0 };
    this.#batch = batch;
    this.#withoutAnswer(() => this.#deliver(this.#forAedes(first, bytes, start, body, end)));
    if (batch.open === 0) this.#acknowledgeSubscribe(batch);
  }

  /** aedes names each filter once in its SUBACK, however often the SUBSCRIBE did ([MQTT-3.8.4-5]): it is written here. */
  #withoutAnswer(work: () => void): void {
    const port = this.#port;
    if (port === null) return;
    port.muted = true;
    work();
    port.muted = false;
  }

  #acknowledgeSubscribe({ packetId, filters, refused }: SubscribeBatch): void {
    this.write(
      encodeSuback(
        packetId,
        filters.map(({ text, qos }) => (refused.has(text) ? SUBSCRIPTION_REFUSED : qos)),
      ),
    );
  }

  #deliver(packet: Buffer): void {
    this.#port?.deliver(packet);
  }

  /** The packet as aedes' parser takes it: without bits that 3.1 leaves free (DUP on some packets, one of the connect flags). */
  #forAedes(first: number, bytes: Buffer, start: number, body: number, end: number): Buffer {
    const packet = bytes.subarray(start, end);
    if (this.#version !== MQTT_3_1) return packet;
    const isConnect = first >> 4 === PACKET.CONNECT;
    const plain = isConnect ? first & 0xf0 : first & 0xf7;
    const flagsAt = body - start + CONNECT_FLAGS_AT[MQTT_3_1];
    const hasFreeFlag = isConnect && ((packet[flagsAt] as number) & CONNECT_FLAG.RESERVED) !== 0;
    if (plain === first && !hasFreeFlag) return packet;
    const copy = Buffer.from(packet);
    copy[0] = plain;
    if (hasFreeFlag) copy[flagsAt] = (packet[flagsAt] as number) & ~CONNECT_FLAG.RESERVED;
    return copy;
  }

  // From aedes.

  /** Its identity is known. `done` is called when it is the session of its user and client id, and that is stored. */
  begin(done: (error: RequestError | null) => void): void {
    const { clientId, clean } = this.#facts as ConnectFacts;
    this.openDurable(clientId, clean, clean ? 0 : this.host.limits.sessionExpiryMs, (error) => {
      if (error !== null) this.logEnd(endBy(error));
      done(error);
    });
  }

  /** aedes serves the client from now on. */
  onReady(): void {
    const { keepAlive } = this.#facts as ConnectFacts;
    // [MQTT-3.1.2-24]
    this.silenceMs = keepAlive > 0 ? keepAlive * 1_500 : this.#host.limits.idleLimitMs;
    this.becomeReady();
  }

  /** One filter of a SUBSCRIBE. `done` grants or refuses it. */
  subscribe(filter: string, qos: Qos, done: SubscribeDone): void {
    const batch = this.#batch as SubscribeBatch;
    const isReadable = !isSystemTopic(filter) || this.#host.system.isReadableBy(this.identity);
    const shared = splitShared(filter);
    const isTaken =
      isReadable &&
      shared !== null &&
      this.#take(shared, qos, (reply, subscription) => {
        if (reply.error !== null) batch.refused.add(filter);
        this.#onSubscribed(reply, batch, subscription, done);
      });
    if (isTaken) {
      batch.open += 1;
    } else {
      batch.refused.add(filter);
      done(null, false);
    }
  }

  #take(filter: SharedFilter, qos: Qos, onReply: (reply: Reply, subscription: Subscription) => void): boolean {
    const options: SubscriptionOptions =
      filter.group === null ? (SUBSCRIPTION[qos] as SubscriptionOptions) : { ...SUBSCRIBED, qos, group: filter.group };
    return this.filters.subscribe(filter, options, true, onReply) === null;
  }

  #onSubscribed(reply: Reply, batch: SubscribeBatch, subscription: Subscription, done: SubscribeDone): void {
    batch.open -= 1;
    this.#withoutAnswer(() => done(null, reply.error === null));
    // All that follows waits for the SUBACK.
    this.deliveries.blocked = batch.open > 0;
    if (batch.open === 0) this.#acknowledgeSubscribe(batch);
    if (reply.error === null) this.hearing.retained(reply, subscription);
  }

  unsubscribe(filters: readonly string[]): Outcome {
    const outcome = new Outcome();
    let open = 0;
    const onReply = ({ error }: Reply): void => {
      open -= 1;
      if (error !== null) this.closeFailed(error);
      else if (open === 0) outcome.settle(undefined);
    };
    for (const filter of filters) {
      const shared = splitShared(filter);
      if (shared !== null && this.filters.unsubscribe(shared, onReply)) open += 1;
    }
    return open === 0 ? outcome.settle(undefined) : outcome;
  }

  onReceived(packetId: number): Outcome {
    const outcome = new Outcome();
    const number = this.deliveries.onPubrec(packetId);
    // [MQTT-4.6.0-4]: where others wait for the store, what is not queued waits behind them.
    if (number === null || (number === 0 && this.durable === null)) return outcome.settle(undefined);
    this.keeping.submit({ type: 'release', number }, this.#settling(outcome));
    return outcome;
  }

  onReleased(packetId: number): Outcome {
    const outcome = new Outcome();
    this.keeping.submit({ type: 'forget', onceId: packetId }, this.#settling(outcome));
    return outcome;
  }

  #settling(outcome: Outcome): (reply: Reply) => void {
    return ({ error }) => {
      if (error === null) outcome.settle(undefined);
      else this.closeFailed(error);
    };
  }

  onCompleted(packetId: number): void {
    if (this.deliveries.onPubcomp(packetId) && this.deliveries.waitingCount > 0) this.flushSoon();
  }

  onConnack(returnCode: number): void {
    // A client that was refused leaves nothing behind.
    if (returnCode !== RETURN_CODE.ACCEPTED) this.keeping.goodbye = true;
    // 3.1 knows no such flag.
    const present = this.keeping.present && this.#version !== MQTT_3_1;
    this.write(encodeConnack(present && returnCode === RETURN_CODE.ACCEPTED, returnCode));
  }

  onPortClosed(error: Error | null): void {
    this.#port = null;
    this.close(this.keeping.goodbye || error === null ? null : malformed(error.message));
  }

  // From the core.

  /** PUBACK and PUBREC mean stored; what could not be stored is not acknowledged, the client sends it again. */
  protected override onPublished(reply: Reply, request: DataRequest): void {
    if (reply.error !== null) return this.closeFailed(reply.error);
    this.write(encodeAcknowledge(request.options.qos === 1 ? FIRST_BYTE.PUBACK : FIRST_BYTE.PUBREC, request.id as number));
  }

  override close(error: ConnectionError | null): void {
    super.close(error);
    const port = this.#port;
    this.#port = null;
    if (port !== null) this.#host.leave(port);
  }
}
