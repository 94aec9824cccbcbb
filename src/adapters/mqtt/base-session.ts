// BaseSession: what a client's session does in every version of the protocol: its beginning, draining the core's output with one
// write per turn, its end; and what holds its parts together. A version adds its packets.

import { randomBytes } from 'node:crypto';
import {
  ConnectionError,
  type Credentials,
  countEnd,
  type DataRequest,
  denied,
  type Entry,
  isGoodbye,
  OUTBOUND_LIMITS,
  type OutboundLimits,
  type Publication,
  type Reply,
  type Request,
  RequestError,
  type Rights,
  Session,
  type Subscription,
} from '../../core/index.js';
import type { Visit } from './admission.js';
import { malformed } from './codec.js';
import { Deliveries, type DeliveryHost } from './deliveries.js';
import { clientKey, whose } from './durable-keys.js';
import type { Encoder } from './encoder.js';
import { endBy } from './ends.js';
import { Filters } from './filters.js';
import type { Guard, HeaderFault, PacketTaker } from './guard.js';
import { Hearing } from './hearing.js';
import { Intake } from './intake.js';
import { type Awaiting, Keeping, type KeptSession } from './keeping.js';
import { Output } from './output.js';
import { Patience } from './patience.js';
import type { Arrival, SessionHost } from './session-host.js';
import type { SystemReader } from './sys.js';
import { LINGER_MS, type Transport, type TransportOwner } from './transport.js';
import { PACKET } from './wire.js';

/** `streamMs`: after which time retained messages that nobody takes hold on to no state of the store. */
const OUTBOUND: OutboundLimits = Object.freeze({ ...OUTBOUND_LIMITS, dropBytes: 2 * 1024 * 1024, streamMs: 10_000 });

/** new: the CONNECT has not come. connecting: it was not accepted yet. */
type Phase = 'new' | 'connecting' | 'ready' | 'closed';

/** A fault of the gateway, which the log has told of. */
const failed = (text: string): ConnectionError => new ConnectionError('INTERNAL', text);

export abstract class BaseSession extends Session implements PacketTaker, TransportOwner, DeliveryHost, KeptSession, SystemReader {
  /** User and client id: what is taken over, and what a durable session is kept under. */
  key = '';
  flushPlanned = false;
  protected readonly deliveries: Deliveries;
  protected readonly filters: Filters;
  protected readonly hearing: Hearing;
  readonly keeping = new Keeping(this);
  protected phase: Phase = 'new';
  /** Longest silence of this client. */
  protected silenceMs = Number.POSITIVE_INFINITY;
  readonly #intake: Intake;
  readonly #transport: Transport;
  readonly #visit: Visit;
  readonly #output: Output;
  readonly #patience: Patience;
  #flushing = false;
  /** Bytes of answers given at once, since the transport was empty last. */
  #answeredBytes = 0;
  /** The peer is gone, and something that it sent before is still to be done. */
  #isLost = false;
  #closedAt = 0;

  constructor(
    protected readonly host: SessionHost,
    readonly encoder: Encoder,
    headerFault: HeaderFault,
    arrival: Arrival,
  ) {
    super(randomBytes(16).toString('hex'), 'mqtt', true, OUTBOUND);
    this.deliveries = new Deliveries(this, host.limits.outgoingWindow);
    this.filters = new Filters(this, host.topics, host.limits.maxSubscriptions);
    this.hearing = new Hearing(this.outbound, this.filters, this.deliveries, host.system);
    this.#transport = arrival.transport;
    this.#visit = arrival.visit;
    this.#output = new Output(host, arrival.transport);
    this.#patience = new Patience(arrival.visit.openedAt, host.limits.connectTimeoutMs, OUTBOUND);
    this.address = arrival.visit.peer;
    this.#intake = new Intake(host, arrival, this, headerFault);
    arrival.transport.owner = this;
  }

  // What a version adds.

  /** Serves one packet. Throws ConnectionError or RequestError for what breaks the connection. */
  protected abstract take(first: number, bytes: Buffer, start: number, body: number, end: number): void;
  /** A PUBLISH of QoS 1 or 2 was served. */
  protected abstract onPublished(reply: Reply, request: DataRequest): void;
  /** What a request that is refused before it reaches the core means for the connection. */
  protected faultOf(error: RequestError): ConnectionError {
    return malformed(error.message);
  }
  /** The connection is about to end: writes what the version says last. */
  protected onClosing(_error: ConnectionError | null): void {}

  // From the wire.

  onData(chunk: Buffer): void {
    this.host.counts.receivedBytes.add(chunk.length);
    this.#intake.push(chunk);
  }

  protected get guard(): Guard {
    return this.#intake.guard;
  }

  /** The boundary for everything that a peer's packet can break. */
  onPacket(first: number, bytes: Buffer, start: number, body: number, end: number): void {
    this.host.counts.onReceived(first);
    if (first >> 4 === PACKET.PUBLISH) this.#intake.countPublish(end - start);
    try {
      this.take(first, bytes, start, body, end);
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
      this.close(this.faultOf(error));
    } else {
      this.host.context.log.error({ err: error, session: this.id }, 'a packet failed: ending the connection');
      this.close(failed('the packet could not be served'));
    }
  }

  // The beginning.

  get isConnecting(): boolean {
    return this.phase === 'new' || this.phase === 'connecting';
  }

  /** The CONNECT was read: the session is known to the core. What the client sends before it has its CONNACK waits. */
  protected beginConnecting(): void {
    this.phase = 'connecting';
    this.host.counts.connects.add();
    this.guard.hold();
    this.host.context.openSession(this);
  }

  /** What the client gave to say who it is. */
  credentials(username: string | null | undefined, password: Uint8Array | null | undefined): Credentials {
    const { certificateUser } = this.#visit;
    return {
      ...(username == null ? {} : { username }),
      ...(password == null ? {} : { password }),
      ...(certificateUser === null ? {} : { certificateUser }),
    };
  }

  /** Becomes the session of its user and client id: takes over, and goes on with what is kept; see Keeping. */
  protected openDurable(clientId: string, clean: boolean, expiryMs: number, done: (error: RequestError | null) => void): void {
    const refusal = this.#willRefusal();
    if (refusal !== null) return done(refusal);
    this.key = clientKey(this.identity.name, clientId === '' ? this.id : clientId);
    this.host.takeOver(this);
    this.deliveries.blocked = true;
    const onOpened = ({ durable }: Reply): void => {
      if (durable === null) return;
      this.filters.resume();
      this.deliveries.resume(durable, (subscription, rest) => this.filters.resumeRetained(subscription, rest));
    };
    this.keeping.open(this.key, clean, expiryMs, onOpened, done);
  }

  /** [MQTT-3.1.4-2], [MQTT5-3.1.4-2]: asked before it takes the place of another connection; the core asks again when it keeps the will. */
  #willRefusal(): RequestError | null {
    const { keeping, rights } = this;
    if (keeping.will === null || rights === null) return null;
    const { remove, path } = keeping.will;
    const action = remove ? 'remove' : 'set';
    return rights.allows(action, path) ? null : denied(action, path);
  }

  /** The CONNACK is written: the client is served from here on. */
  protected becomeReady(): void {
    if (this.phase !== 'connecting') return;
    this.phase = 'ready';
    this.host.counts.onClient();
    if (this.filters.system.size > 0) this.readSystem();
    this.#visit.arrive();
    this.deliveries.blocked = false;
    this.flushSoon();
    this.#intake.accept();
    this.#endIfLost();
  }

  // To the core.

  submit(request: Request): void {
    this.host.context.submit(request);
  }

  queuedPublication(number: number): Publication | null {
    return this.host.context.queuedPublication(number, this);
  }

  // From the core.

  override onSubscriptionLost(subscription: Subscription): void {
    this.filters.lost(subscription);
  }

  flush(): void {
    if (this.isEnded) return;
    this.#flushing = true;
    try {
      this.#drain();
    } catch (error) {
      this.host.context.log.error({ err: error, session: this.id }, 'writing failed: ending the connection');
      this.close(failed('what was to be sent could not be written'));
    }
    this.#flushing = false;
    if (this.isEnded) return;
    const stalled = this.isFull;
    this.#output.send();
    if (this.bufferedBytes === 0) this.#answeredBytes = 0;
    // What the system took at once is followed by no 'drain'.
    if (stalled && !this.isFull) this.flushSoon();
    this.#checkStuck();
  }

  #drain(): void {
    this.deliveries.pump();
    const { outbound } = this;
    while (!this.isFull) {
      const message = outbound.peek();
      if (message === undefined) break;
      if (message.kind === 'reply') {
        outbound.shift();
        this.#onReply(message);
      } else {
        this.hearing.publication(message);
      }
      if (this.isEnded) return;
    }
    this.deliveries.pump();
  }

  get isEnded(): boolean {
    return this.phase === 'closed';
  }

  /** What waits for acknowledgements counts, too. */
  override get keepsUp(): boolean {
    return super.keepsUp && this.deliveries.waitingCount === 0;
  }

  now(): number {
    return this.host.context.clock.now();
  }

  onExpired(): void {
    this.host.onExpired();
  }

  get rights(): Rights | null {
    return this.identity.principal?.rights ?? null;
  }

  onDenied(): void {
    this.host.onDenied();
  }

  /** It has a filter below $SYS. */
  readSystem(): void {
    if (!this.isEnded) this.host.system.add(this);
  }

  hearSystem(publication: Publication): void {
    this.hearing.systemValue(publication);
  }

  shows(entry: Entry, subscription: Subscription): boolean {
    return this.filters.system.has(subscription) || !this.filters.isHidden(subscription, entry.path);
  }

  #onReply(reply: Reply): void {
    const { request } = reply;
    if (request.op === 'set' || request.op === 'remove') this.onPublished(reply, request);
    else (request.tag as Awaiting | null)?.(reply);
  }

  /** What could not be stored is not acknowledged: the client comes back and sends it again. */
  closeFailed(error: RequestError): void {
    this.close(endBy(error));
  }

  // To the wire.

  /** Joins what goes out at the end of this turn. */
  write(frame: Uint8Array): void {
    if (this.isEnded) return;
    this.#output.push(frame);
    if (this.#flushing) return;
    this.#answeredBytes += frame.length;
    this.flushSoon();
  }

  protected flushSoon(): void {
    this.host.flushSoon(this);
  }

  get bufferedBytes(): number {
    return this.#output.bufferedBytes;
  }

  get isFull(): boolean {
    return this.#output.isFull;
  }

  onDrain(): void {
    this.host.context.flush(this);
  }

  /** Reads no more; what was read is still answered. */
  stopReading(): void {
    this.#intake.stop();
  }

  pauseReading(): void {
    this.#intake.pause();
  }

  resumeReading(): void {
    this.#intake.resume();
    this.#endIfLost();
  }

  // Time.

  /** Called about twice a second with the monotonic time in milliseconds. */
  onTick(now: number): void {
    if (this.phase === 'closed') {
      if (now - this.#closedAt > LINGER_MS) this.#transport.destroy();
      return;
    }
    const isSilent = this.#intake.isSilent(now, this.silenceMs);
    const error = this.#patience.check(now, this.isConnecting, isSilent);
    if (error !== null) this.close(error);
    else if (this.#patience.isStuck(now)) this.#closeStuck();
  }

  #checkStuck(): void {
    if (this.#patience.isOverrun(this.#unreadBytes, this.deliveries.waitingCount, this.#monotonic)) this.#closeStuck();
  }

  /** What is answered at once waits nowhere else than in the output: a client that asks and does not read would fill it. */
  get #unreadBytes(): number {
    return Math.max(this.deliveries.waitingBytes, Math.min(this.#answeredBytes, this.bufferedBytes));
  }

  readonly #monotonic = (): number => this.host.context.clock.monotonic();

  #closeStuck(): void {
    const bytes = this.#unreadBytes;
    this.host.onStuck(this, bytes, this.deliveries.waitingCount);
    this.close(new ConnectionError('SLOW_CONSUMER', `${bytes} bytes were waiting to be read or acknowledged`));
  }

  // The end.

  /** The peer is gone. */
  onTransportClosed(): void {
    this.host.losses.run(() => this.#onLost());
  }

  #onLost(): void {
    // What it sent before is still done, once the engine has room for it, or its CONNECT is accepted: for that it need not wait (3.1.4).
    this.#isLost = !this.isEnded && this.#intake.onLost();
    if (this.#isLost) return;
    this.close(null);
    this.host.onEnded(this);
  }

  #endIfLost(): void {
    if (this.#isLost && !this.#intake.hasRest) this.close(null);
  }

  /** Something that was written for it is not with the system yet. */
  get isOwed(): boolean {
    return this.#transport.bufferedBytes > 0;
  }

  /** Without waiting for what the peer does not read. */
  destroyTransport(): void {
    this.#transport.destroy();
  }

  close(error: ConnectionError | null): void {
    if (this.isEnded) return;
    const known = this.phase !== 'new';
    if (known && !this.isConnecting) this.host.counts.onClientGone();
    // [MQTT-3.1.2-8], [MQTT5-3.1.2-7]: a will is one of a CONNECT that was accepted.
    if (error !== null && this.isConnecting) this.keeping.goodbye = true;
    this.host.system.delete(this);
    this.#visit.arrive();
    if (known) this.keeping.leaveWill();
    this.#flushing = true;
    this.onClosing(error);
    this.#output.send();
    this.phase = 'closed';
    this.#closedAt = this.host.context.clock.monotonic();
    this.#intake.end();
    this.deliveries.clear();
    this.#output.clear();
    if (known) this.host.context.closeSession(this, error);
    else if (error !== null) countEnd(this.host.context.counters, this.adapter, error);
    if (error !== null && !isGoodbye(error)) this.logEnd(error);
    if (error !== null && error.code === 'SLOW_CONSUMER') this.#transport.destroy();
    else this.#transport.end();
    if (this.#isLost) this.host.onEnded(this);
  }

  protected logEnd({ code, message }: ConnectionError): void {
    const whoseEnd = this.key === '' ? {} : whose(this.key);
    this.host.context.log.info({ session: this.id, peer: this.#visit.peer, ...whoseEnd, code }, `a connection ended: ${message}`);
  }
}
