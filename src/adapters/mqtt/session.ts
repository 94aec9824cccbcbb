// MqttSession: one client's connection: what it sends becomes requests, what the core says becomes packets. aedes serves
// what makes and ends a session (CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT) and the QoS 2 handshake; PUBLISH and
// PUBACK go past it, because aedes acknowledges before it stores and needs several turns of the loop for each.

import { randomBytes } from 'node:crypto';
import {
  type AdapterContext,
  ConnectionError,
  type DataRequest,
  type DurableCommand,
  DurableRequest,
  OUTBOUND_LIMITS,
  type Outbound,
  type OutboundLimits,
  type Publication,
  type Qos,
  type Reply,
  type Request,
  RequestError,
  Session,
  SubscribeRequest,
  Subscription,
  type SubscriptionOptions,
  type Will,
} from '../../core/index.js';
import {
  type ConnectFacts,
  type Filter,
  encodeAcknowledge,
  encodeConnack,
  encodeSuback,
  malformed,
  readAcknowledge,
  readConnect,
  readSubscribe,
  readUnsubscribe,
} from './codec.js';
import { Deliveries, type DeliveryHost } from './deliveries.js';
import { Guard, type PacketTaker } from './guard.js';
import { type Topics, isFilterServed, isSystemTopic } from './paths.js';
import { Outcome, type PersistentClient } from './persistence.js';
import { Port, type PortOwner } from './port.js';
import { Publishing } from './publishing.js';
import type { Transport, TransportOwner } from './transport.js';
import { CONNECT_FLAG, FIRST_BYTE, MQTT_3_1, type MqttLimits, PACKET, RETURN_CODE, SUBSCRIPTION_REFUSED } from './wire.js';

/** Draining stops while more than this waits in the socket. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** A closed connection whose peer does not read its last bytes is cut off after this. */
const LINGER_MS = 2_000;

const OUTBOUND: OutboundLimits = Object.freeze({ ...OUTBOUND_LIMITS, dropBytes: 2 * 1024 * 1024 });

/** Where the connect flags of a 3.1 CONNECT stand in its body, behind name and level. */
const CONNECT_FLAGS_AT_3_1 = 9;
const LAST_OF_MQISDP = 0x70;

/** By QoS. */
const SUBSCRIPTION: readonly SubscriptionOptions[] = [0, 1, 2].map((qos) =>
  Object.freeze({ sets: true, removes: true, removals: 'each-record', qos: qos as Qos, noLocal: false }),
);

/** One SUBSCRIBE on its way. */
interface SubscribeBatch {
  readonly packetId: number;
  readonly filters: readonly Filter[];
  readonly refused: Set<string>;
  /** Filters that are not answered yet. */
  open: number;
}

/** What waits for a reply; carried by the request. */
type Awaiting =
  | { readonly type: 'subscribe'; readonly filter: string; readonly batch: SubscribeBatch; readonly done: SubscribeDone }
  | { readonly type: 'outcome'; readonly outcome: Outcome }
  | { readonly type: 'unsubscribe'; readonly batch: { open: number }; readonly outcome: Outcome }
  | { readonly type: 'open'; readonly done: (error: RequestError | null) => void };

type SubscribeDone = (error: Error | null, granted: boolean) => void;

/** What all sessions of one adapter share. */
export interface SessionHost {
  readonly context: AdapterContext;
  readonly topics: Topics;
  readonly limits: MqttLimits;
  /** Gives the connection to aedes. */
  handle(session: MqttSession, port: Port): void;
  /** `session.flush` at the end of this turn of the loop. */
  flushSoon(session: MqttSession): void;
  /** One buffer for these frames; sessions that were given the same frames share it. */
  join(frames: readonly Uint8Array[], bytes: number): Uint8Array;
  /** A client of this key connects: the one that had it before is closed. */
  takeOver(session: MqttSession): void;
  onUnforwardable(path: string): void;
  /** A client does not acknowledge: its connection is about to be ended. */
  onStuck(session: MqttSession, waitingBytes: number, waitingMessages: number): void;
  /** The CONNECT was accepted, or the connection ended before. */
  onArrived(): void;
  onEnded(session: MqttSession): void;
}

type Phase = 'new' | 'connecting' | 'ready' | 'leaving' | 'closed';

export class MqttSession extends Session implements PacketTaker, PortOwner, TransportOwner, DeliveryHost, PersistentClient {
  readonly #host: SessionHost;
  readonly #guard: Guard;
  readonly #publishing: Publishing;
  readonly #deliveries: Deliveries;
  readonly raw;
  readonly openedAt: number;
  #transport: Transport | null = null;
  #port: Port | null = null;
  #phase: Phase = 'new';
  #facts: ConnectFacts | null = null;
  /** User and client id: what is taken over, and what a durable session is kept under. */
  key = '';
  #present = false;
  #will: Will | null = null;
  #willKept = false;
  #goodbye = false;
  #filters: Map<string, Subscription> | null = null;
  #batch: SubscribeBatch | null = null;
  #frames: Uint8Array[] = [];
  #frameBytes = 0;
  #flushing = false;
  flushPlanned = false;
  /** Something came since the last look at the clock. */
  #heard = true;
  #heardAt: number;
  #silenceMs = Number.POSITIVE_INFINITY;
  #stuckSince = 0;
  #closedAt = 0;

  constructor(host: SessionHost) {
    super(randomBytes(16).toString('hex'), 'mqtt', true, OUTBOUND);
    this.#host = host;
    this.raw = host.context.formats.raw;
    this.#guard = new Guard(this, host.limits.maxConnectBytes);
    this.#publishing = new Publishing(this, host.topics, this.raw);
    this.#deliveries = new Deliveries(this, host.limits.outgoingWindow);
    this.openedAt = host.context.clock.monotonic();
    this.#heardAt = this.openedAt;
  }

  attach(transport: Transport): void {
    this.#transport = transport;
  }

  get isConnecting(): boolean {
    return this.#phase === 'new' || this.#phase === 'connecting';
  }

  get facts(): ConnectFacts {
    return this.#facts as ConnectFacts;
  }

  get topics(): Topics {
    return this.#host.topics;
  }

  // From the wire.

  onData(chunk: Buffer): void {
    this.#heard = true;
    this.#guard.push(chunk);
  }

  /** The boundary for everything that a peer's packet can break. */
  onPacket(first: number, bytes: Buffer, start: number, body: number, end: number): void {
    try {
      this.#take(first, bytes, start, body, end);
    } catch (error) {
      this.#onPacketFailed(error);
    }
  }

  onViolation(error: ConnectionError): void {
    this.close(error);
  }

  #onPacketFailed(error: unknown): void {
    if (error instanceof ConnectionError) {
      this.close(error);
    } else if (error instanceof RequestError) {
      this.close(malformed(error.message));
    } else {
      this.#host.context.log.error({ err: error, session: this.id }, 'a packet failed: ending the connection');
      this.close(malformed('the packet could not be served'));
    }
  }

  #take(first: number, bytes: Buffer, start: number, body: number, end: number): void {
    const type = first >> 4;
    if (type === PACKET.PUBLISH) return this.#publish(first, bytes, body, end);
    if (type === PACKET.PUBACK) return this.#onPuback(readAcknowledge(bytes, body, end));
    switch (type) {
      case PACKET.CONNECT:
        return this.#connect(first, bytes, start, body, end);
      case PACKET.SUBSCRIBE:
        return this.#subscribeAll(first, bytes, start, body, end);
      case PACKET.UNSUBSCRIBE:
        readUnsubscribe(bytes, body, end);
        break;
      case PACKET.PUBREC:
      case PACKET.PUBREL:
      case PACKET.PUBCOMP:
        readAcknowledge(bytes, body, end);
        break;
      case PACKET.DISCONNECT:
        this.#goodbye = true;
        break;
    }
    this.#deliver(forAedes(first, bytes, start, body, end));
  }

  #subscribeAll(first: number, bytes: Buffer, start: number, body: number, end: number): void {
    const batch: SubscribeBatch = { ...readSubscribe(bytes, body, end), refused: new Set(), open: 0 };
    this.#batch = batch;
    this.#withoutAnswer(() => this.#deliver(forAedes(first, bytes, start, body, end)));
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

  #connect(first: number, bytes: Buffer, start: number, body: number, end: number): void {
    // [MQTT-3.1.0-2]
    if (this.#phase !== 'new') throw malformed('a second CONNECT');
    const facts = readConnect(bytes, body, end, first);
    if ('returnCode' in facts) {
      this.write(encodeConnack(false, facts.returnCode));
      const isVersion = facts.returnCode === RETURN_CODE.UNACCEPTABLE_PROTOCOL_VERSION;
      throw new ConnectionError(isVersion ? 'UNSUPPORTED_VERSION' : 'MALFORMED_FRAME', facts.reason);
    }
    this.#will = facts.will === null ? null : this.#publishing.will(facts.will);
    this.#facts = facts;
    this.#phase = 'connecting';
    // What the client sends before it has its CONNACK waits.
    this.#guard.hold();
    this.#guard.dupAllowed = facts.version === MQTT_3_1;
    this.#host.context.openSession(this);
    this.#port = new Port(this);
    this.#host.handle(this, this.#port);
    this.#deliver(forAedes(first, bytes, start, body, end));
  }

  /**
   * Becomes the session of its user and client id: takes over, opens or drops what was kept, keeps the will. `done` is
   * called when all this is stored.
   */
  begin(done: (error: RequestError | null) => void): void {
    const { clientId, clean } = this.facts;
    const will = this.#will;
    this.key = JSON.stringify([this.identity.name, clientId === '' ? this.id : clientId]);
    this.#host.takeOver(this);
    this.#deliveries.blocked = true;
    this.#submitDurable({ type: 'open', key: this.key, clean }, will === null ? { type: 'open', done } : null);
    if (will === null) return;
    this.#willKept = true;
    this.#submitDurable({ type: 'will', will }, { type: 'open', done });
  }

  /** aedes serves the client from now on. */
  onReady(): void {
    if (this.#phase !== 'connecting') return;
    this.#phase = 'ready';
    this.#host.onArrived();
    const { keepAlive } = this.facts;
    // [MQTT-3.1.2-24]
    this.#silenceMs = keepAlive > 0 ? keepAlive * 1_500 : this.#host.limits.idleLimitMs;
    this.#guard.maxBytes = this.#host.limits.maxPacketBytes;
    this.#deliveries.blocked = false;
    this.#host.flushSoon(this);
    if (!this.paused) this.#guard.release();
  }

  #publish(first: number, bytes: Buffer, body: number, end: number): void {
    const request = this.#publishing.read(first, bytes, body, end);
    if (request.onceId > 0) this.#checkIncomingOnce(request.onceId);
    this.#submit(request);
  }

  #checkIncomingOnce(packetId: number): void {
    const received = this.durable?.received ?? this.received;
    if (received !== null && received.size >= this.#host.limits.maxIncomingOnce && !received.has(packetId)) {
      throw malformed(`more than ${this.#host.limits.maxIncomingOnce} messages of QoS 2 are not released`);
    }
  }

  #onPuback(packetId: number): void {
    if (this.#deliveries.onPuback(packetId) && this.#deliveries.waitingCount > 0) this.#host.flushSoon(this);
  }

  // From aedes.

  /** One filter of a SUBSCRIBE. `done` grants or refuses it. */
  subscribe(filter: string, qos: Qos, done: SubscribeDone): void {
    const batch = this.#batch as SubscribeBatch;
    if (isSystemTopic(filter)) return done(null, true);
    const filters = this.#knownFilters();
    const known = filters.get(filter) ?? null;
    const isServed = isFilterServed(filter) && (known !== null || filters.size < this.#host.limits.maxSubscriptions);
    const subscription = isServed ? this.#makeSubscription(filter, qos) : null;
    if (subscription === null) {
      batch.refused.add(filter);
      return done(null, false);
    }
    filters.set(filter, subscription);
    batch.open += 1;
    const awaiting: Awaiting = { type: 'subscribe', filter, batch, done };
    this.#submit(new SubscribeRequest('subscribe', this, null, subscription, subscription.pattern, awaiting));
    // The core itself replaces a durable one. The new one is there first: the flow is not interrupted ([MQTT-3.8.4-3]).
    if (known !== null && this.durable === null) this.#submit(new SubscribeRequest('unsubscribe', this, null, known, null, null));
  }

  /** null: the core cannot serve the filter. */
  #makeSubscription(filter: string, qos: Qos): Subscription | null {
    try {
      const pattern = this.topics.patternOf(filter);
      return new Subscription(this, this.durable, pattern, SUBSCRIPTION[qos] as SubscriptionOptions, filter);
    } catch (error) {
      if (error instanceof RequestError) return null;
      throw error;
    }
  }

  unsubscribe(filters: readonly string[]): Outcome {
    const outcome = new Outcome();
    const batch = { open: 0 };
    const known = this.#knownFilters();
    for (const filter of filters) {
      const subscription = known.get(filter);
      if (subscription === undefined) continue;
      known.delete(filter);
      batch.open += 1;
      const awaiting: Awaiting = { type: 'unsubscribe', batch, outcome };
      this.#submit(new SubscribeRequest('unsubscribe', this, null, subscription, null, awaiting));
    }
    return batch.open === 0 ? outcome.settle(undefined) : outcome;
  }

  onReceived(packetId: number): Outcome {
    const outcome = new Outcome();
    const number = this.#deliveries.onPubrec(packetId);
    if (number === 0) return outcome.settle(undefined);
    this.#submitDurable({ type: 'release', number }, { type: 'outcome', outcome });
    return outcome;
  }

  onReleased(packetId: number): Outcome {
    const outcome = new Outcome();
    this.#submitDurable({ type: 'forget', onceId: packetId }, { type: 'outcome', outcome });
    return outcome;
  }

  onCompleted(packetId: number): void {
    if (this.#deliveries.onPubcomp(packetId) && this.#deliveries.waitingCount > 0) this.#host.flushSoon(this);
  }

  onConnack(returnCode: number): void {
    // A client that was refused leaves nothing behind.
    if (returnCode !== RETURN_CODE.ACCEPTED) this.#goodbye = true;
    // 3.1 knows no such flag.
    const present = this.#present && this.facts.version !== MQTT_3_1;
    this.write(encodeConnack(present && returnCode === RETURN_CODE.ACCEPTED, returnCode));
  }

  onPortClosed(error: Error | null): void {
    this.#port = null;
    this.close(this.#goodbye || error === null ? null : malformed(error.message));
  }

  /** Filters of this session; those of a resumed one are known from before. */
  #knownFilters(): Map<string, Subscription> {
    if (this.#filters === null) {
      this.#filters = new Map();
      for (const subscription of this.durable?.subscriptions.values() ?? []) {
        this.#filters.set(subscription.pattern.text.slice(this.topics.mountPoint.length), subscription);
      }
    }
    return this.#filters;
  }

  // To the core.

  #submit(request: Request): void {
    this.#host.context.submit(request);
  }

  #submitDurable(command: DurableCommand, awaiting: Awaiting | null): void {
    this.#submit(new DurableRequest(this, null, command, awaiting));
  }

  acknowledge(number: number): void {
    this.#submitDurable({ type: 'acknowledge', number }, null);
  }

  queuedPublication(number: number): Publication | null {
    return this.#host.context.queuedPublication(number);
  }

  onUnforwardable(path: string): void {
    this.#host.onUnforwardable(path);
  }

  // From the core.

  flush(): void {
    if (this.isEnded) return;
    this.#flushing = true;
    try {
      this.#drain();
    } catch (error) {
      this.#host.context.log.error({ err: error, session: this.id }, 'writing failed: ending the connection');
      this.close(malformed('what was to be sent could not be written'));
    }
    this.#flushing = false;
    if (this.isEnded) return;
    const stalled = this.isFull;
    this.#send();
    // What the system took at once is followed by no 'drain'.
    if (stalled && !this.isFull) this.#host.flushSoon(this);
    this.#checkStuck();
  }

  #drain(): void {
    this.#deliveries.pump();
    const { outbound } = this;
    while (!this.isFull) {
      const message = outbound.peek();
      if (message === undefined) break;
      if (message.kind === 'reply') {
        outbound.shift();
        this.#onReply(message);
      } else {
        this.#onPublication(message);
      }
      if (this.isEnded) return;
    }
    this.#deliveries.pump();
  }

  get isEnded(): boolean {
    return this.#phase === 'closed';
  }

  /** Overlapping filters make one delivery, at the highest of their levels. */
  #onPublication(publication: Publication): void {
    const { outbound } = this;
    let qos = -1;
    for (let next: Outbound | undefined = publication; next === publication; next = outbound.peek()) {
      const subscription = outbound.peekSubscription() as Subscription;
      outbound.shift();
      if (subscription.options.qos > qos && !this.#isHidden(subscription, publication)) qos = subscription.options.qos;
    }
    if (qos >= 0) this.#deliveries.deliver(publication, qos);
  }

  #isHidden(subscription: Subscription, publication: Publication): boolean {
    const { topics } = this;
    return topics.mountPoint !== '' && topics.isHidden(subscription.pattern.text.slice(topics.mountPoint.length), publication.path);
  }

  #onReply(reply: Reply): void {
    const { request } = reply;
    if (request.op === 'set' || request.op === 'remove') return this.#onPublished(reply, request as DataRequest);
    const awaiting = request.tag as Awaiting | null;
    if (awaiting === null) {
      if (request.op === 'durable') this.#onDurable(reply, request.command);
      return;
    }
    switch (awaiting.type) {
      case 'subscribe':
        return this.#onSubscribed(reply, awaiting, (request as SubscribeRequest).subscription);
      case 'unsubscribe':
        awaiting.batch.open -= 1;
        if (reply.error !== null) this.#closeFailed(reply.error);
        else if (awaiting.batch.open === 0) awaiting.outcome.settle(undefined);
        return;
      case 'outcome':
        if (reply.error === null) awaiting.outcome.settle(undefined);
        else this.#closeFailed(reply.error);
        return;
      case 'open':
        if (request.op === 'durable') this.#onDurable(reply, request.command);
        awaiting.done(reply.error);
    }
  }

  /** PUBACK and PUBREC mean stored; what could not be stored is not acknowledged, the client sends it again. */
  #onPublished(reply: Reply, request: DataRequest): void {
    if (reply.error !== null) return this.#closeFailed(reply.error);
    this.write(encodeAcknowledge(request.options.qos === 1 ? FIRST_BYTE.PUBACK : FIRST_BYTE.PUBREC, request.id as number));
  }

  #onDurable(reply: Reply, command: DurableCommand): void {
    if (command.type !== 'open' || reply.error !== null) return;
    this.#present = reply.present;
    if (reply.durable !== null) this.#deliveries.resume(reply.durable);
  }

  #onSubscribed(reply: Reply, awaiting: Extract<Awaiting, { type: 'subscribe' }>, subscription: Subscription): void {
    const { batch, filter, done } = awaiting;
    batch.open -= 1;
    if (reply.error !== null) {
      batch.refused.add(filter);
      if (this.#filters?.get(filter) === subscription) this.#filters.delete(filter);
    }
    this.#withoutAnswer(() => done(null, reply.error === null));
    // All that follows waits for the SUBACK.
    this.#deliveries.blocked = batch.open > 0;
    if (batch.open === 0) this.#acknowledgeSubscribe(batch);
    if (reply.entries === null) return;
    const { topics } = this;
    const entries = topics.mountPoint === '' ? reply.entries : reply.entries.filter(({ path }) => !topics.isHidden(filter, path));
    this.#deliveries.deliverRetained(entries, subscription.options.qos);
  }

  #closeFailed(error: RequestError): void {
    const code = error.code === 'STORE_FAILED' || error.retry ? 'STORE_FAILED' : 'MALFORMED_FRAME';
    this.close(new ConnectionError(code, error.message, { cause: error }));
  }

  // To the wire.

  /** Joins what goes out at the end of this turn. */
  write(frame: Uint8Array): void {
    if (this.isEnded) return;
    this.#frames.push(frame);
    this.#frameBytes += frame.length;
    if (!this.#flushing) this.#host.flushSoon(this);
  }

  #send(): void {
    const frames = this.#frames;
    if (frames.length === 0) return;
    const transport = this.#transport as Transport;
    transport.write(frames.length === 1 ? (frames[0] as Uint8Array) : this.#host.join(frames, this.#frameBytes));
    this.#frames = [];
    this.#frameBytes = 0;
  }

  get bufferedBytes(): number {
    return this.#frameBytes + (this.#transport?.bufferedBytes ?? 0);
  }

  get isFull(): boolean {
    return this.#frameBytes > HIGH_WATER_BYTES || this.bufferedBytes > HIGH_WATER_BYTES;
  }

  onDrain(): void {
    this.#host.context.flush(this);
  }

  /** Reads no more; what was read is still answered. */
  stopReading(): void {
    this.pauseReading();
    this.#phase = this.#phase === 'ready' ? 'leaving' : this.#phase;
  }

  pauseReading(): void {
    this.#guard.hold();
    this.#transport?.pause();
  }

  resumeReading(): void {
    this.#transport?.resume();
    if (this.#phase === 'ready') this.#guard.release();
  }

  // Time.

  /** Called about twice a second with the monotonic time in milliseconds. */
  onTick(now: number): void {
    if (this.#phase === 'closed') {
      if (now - this.#closedAt > LINGER_MS) this.#transport?.destroy();
      return;
    }
    if (this.#heard) {
      this.#heard = false;
      this.#heardAt = now;
    }
    if (this.isConnecting) {
      if (now - this.openedAt < this.#host.limits.connectTimeoutMs) return;
      this.close(new ConnectionError('CONNECT_TIMEOUT', 'no CONNECT was accepted in time'));
    } else if (now - this.#heardAt > this.#silenceMs && !this.paused) {
      this.close(new ConnectionError('PEER_SILENT', 'nothing came within one and a half times the keep alive'));
    } else if (this.#stuckSince > 0 && now - this.#stuckSince > this.outbound.limits.slowMs) {
      this.#closeStuck();
    }
  }

  /** What waits for acknowledgements is bounded as what waits for the socket is. */
  #checkStuck(): void {
    const { waitingBytes, waitingCount } = this.#deliveries;
    const { slowBytes, closeBytes, closeItems } = this.outbound.limits;
    if (waitingBytes <= slowBytes && waitingCount <= closeItems) this.#stuckSince = 0;
    else if (waitingBytes > closeBytes || waitingCount > closeItems) this.#closeStuck();
    else if (this.#stuckSince === 0) this.#stuckSince = Math.max(1, this.#host.context.clock.monotonic());
  }

  #closeStuck(): void {
    const { waitingBytes, waitingCount } = this.#deliveries;
    this.#host.onStuck(this, waitingBytes, waitingCount);
    this.close(new ConnectionError('SLOW_CONSUMER', `${waitingBytes} bytes were waiting for acknowledgements`));
  }

  // The end.

  /** The peer is gone. */
  onTransportClosed(): void {
    this.close(null);
    this.#transport = null;
    this.#host.onEnded(this);
  }

  /** Without waiting for what the peer does not read. */
  destroyTransport(): void {
    this.#transport?.destroy();
  }

  close(error: ConnectionError | null): void {
    if (this.isEnded) return;
    const known = this.#phase !== 'new';
    if (this.isConnecting) this.#host.onArrived();
    if (known) this.#leaveWill();
    this.#flushing = true;
    this.#send();
    this.#phase = 'closed';
    this.#closedAt = this.#host.context.clock.monotonic();
    this.#guard.end();
    this.#deliveries.clear();
    this.#frames = [];
    if (known) this.#host.context.closeSession(this, error);
    const port = this.#port;
    this.#port = null;
    port?.release();
    if (error !== null && error.code === 'SLOW_CONSUMER') this.#transport?.destroy();
    else this.#transport?.end();
  }

  /** [MQTT-3.1.2-8], [MQTT-3.1.2-10]: only a DISCONNECT takes the will back. */
  #leaveWill(): void {
    if (!this.#willKept) return;
    this.#willKept = false;
    this.#submitDurable(this.#goodbye ? { type: 'will', will: null } : { type: 'fireWill' }, null);
  }
}

/** The packet as aedes' parser takes it: without bits that 3.1 leaves free (DUP on some packets, one of the connect flags). */
function forAedes(first: number, bytes: Buffer, start: number, body: number, end: number): Buffer {
  const packet = bytes.subarray(start, end);
  const isConnect = first >> 4 === PACKET.CONNECT;
  const plain = isConnect ? first & 0xf0 : first & 0xf7;
  const flagsAt = body - start + CONNECT_FLAGS_AT_3_1;
  const hasFreeFlag = isConnect && packet[flagsAt - 2] === LAST_OF_MQISDP && ((packet[flagsAt] as number) & CONNECT_FLAG.RESERVED) !== 0;
  if (plain === first && !hasFreeFlag) return packet;
  const copy = Buffer.from(packet);
  copy[0] = plain;
  if (hasFreeFlag) copy[flagsAt] = (packet[flagsAt] as number) & ~CONNECT_FLAG.RESERVED;
  return copy;
}
