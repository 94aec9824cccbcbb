// PropertySession: one client's connection in MQTT 5. Packets become requests, the core's output becomes packets, and
// failures are reported with a reason code.

import { type ConnectionError, DataRequest, type Identity, type Reply, RequestError, UNSTORED } from '../../../core/index.js';
import { BaseSession } from '../base-session.js';
import { isForbiddenTopic } from '../paths.js';
import type { Arrival, SessionHost } from '../session-host.js';
import { FIRST_BYTE, PACKET } from '../wire.js';
import { type ConnackProperties, encodeAcknowledge, encodeAuth, encodeConnack, encodeDisconnect, encodePingresp } from './answers.js';
import { Authentication, type AuthenticationExchange, type Authenticators, Cancelled } from './authentication.js';
import { type Auth, type Connect, headerFault, readAuth, readConnect, readDisconnect, readPuback, readPubrel } from './codec.js';
import { type EncoderHost, PropertyEncoder } from './encoder.js';
import { PropertyPublishing } from './publishing.js';
import {
  type ConnackReason,
  connackReason,
  disconnectReason,
  FAILURE,
  ProtocolFault,
  type PubackReason,
  protocolError,
  publishReason,
  REASON,
  refusalReason,
} from './reason-codes.js';
import { Subscribing } from './subscribing.js';

export interface PropertySessionHost extends SessionHost {
  readonly encoderHost: EncoderHost;
  readonly authenticators: Authenticators;
  /** What clients are told that ask for response information (section 3.2.2.3.14); empty: nothing. */
  readonly responseInformation: string;
}

export class PropertySession extends BaseSession {
  readonly #host: PropertySessionHost;
  readonly #encoder: PropertyEncoder;
  readonly #publishing: PropertyPublishing;
  readonly #subscribing: Subscribing;
  #connect: Connect | null = null;
  #authentication: Authentication | null = null;
  /** Publications of QoS 1 that were not answered yet. */
  #unanswered = 0;
  /** Packet ids of QoS 2 that came on this connection and were not released yet. */
  readonly #unreleased = new Set<number>();

  constructor(host: PropertySessionHost, arrival: Arrival) {
    const encoder = new PropertyEncoder(host.encoderHost);
    super(host, encoder, headerFault, arrival);
    this.#host = host;
    this.#encoder = encoder;
    this.#publishing = new PropertyPublishing(this, host.topics, host.context.formats.raw, host.limits.maxTopicAliases);
    const { filters, deliveries, hearing } = this;
    this.#subscribing = new Subscribing({ session: this, topics: host.topics, system: host.system, filters, deliveries, hearing });
  }

  // From the wire.

  protected override take(first: number, bytes: Buffer, _start: number, body: number, end: number): void {
    const type = first >> 4;
    if (this.isConnecting && type !== PACKET.CONNECT && type !== PACKET.AUTH && type !== PACKET.DISCONNECT) {
      // [MQTT5-3.1.2-30]
      throw protocolError('the CONNECT is not answered yet');
    }
    switch (type) {
      case PACKET.PUBLISH:
        return this.#onPublish(first, bytes, body, end);
      case PACKET.PUBACK:
        if (this.deliveries.onPuback(readPuback(bytes, body, end, type).packetId)) this.#onRoom();
        return;
      case PACKET.PUBREC:
        return this.#onPubrec(bytes, body, end);
      case PACKET.PUBREL:
        return this.#onPubrel(readPubrel(bytes, body, end, type).packetId);
      case PACKET.PUBCOMP:
        if (this.deliveries.onPubcomp(readPubrel(bytes, body, end, type).packetId)) this.#onRoom();
        return;
      case PACKET.SUBSCRIBE:
        return this.#subscribing.onSubscribe(bytes, body, end);
      case PACKET.UNSUBSCRIBE:
        return this.#subscribing.onUnsubscribe(bytes, body, end);
      case PACKET.PINGREQ:
        return this.write(encodePingresp());
      case PACKET.CONNECT:
        return this.#onConnect(bytes, body, end);
      case PACKET.DISCONNECT:
        return this.#onDisconnect(bytes, body, end);
      case PACKET.AUTH:
        return this.#onAuth(bytes, body, end);
    }
  }

  protected override faultOf(error: RequestError): ConnectionError {
    return new ProtocolFault(
      error.code === 'INVALID_PATH' ? REASON.TOPIC_NAME_INVALID : REASON.IMPLEMENTATION_SPECIFIC_ERROR,
      error.message,
    );
  }

  // CONNECT.

  #onConnect(bytes: Buffer, body: number, end: number): void {
    // [MQTT5-3.1.0-2]
    if (this.phase !== 'new') throw protocolError('a second CONNECT');
    const { limits } = this.#host;
    const connect = readConnect(bytes, body, end, limits.maxClientIdBytes);
    this.#connect = connect;
    this.#encoder.maxBytes = connect.maximumPacketSize;
    this.#encoder.takeAliases(Math.min(connect.topicAliasMaximum, limits.maxTopicAliases));
    this.deliveries.window = Math.min(limits.outgoingWindow, connect.receiveMaximum);
    this.keeping.will = connect.will === null ? null : this.#publishing.will(connect.will);
    this.beginConnecting();
    if (connect.authenticationMethod !== null) this.#authenticateEnhanced(connect.authenticationMethod, connect);
    else this.#authenticate(connect);
  }

  #authenticate({ username, password }: Connect): void {
    this.#host.context.authenticate(this.credentials(username, password), this).then(
      (identity) => this.#begin(identity, {}),
      (error: unknown) => this.#refuse(error),
    );
  }

  #refuse(error: unknown): void {
    if (error instanceof Cancelled) return;
    const reason = error instanceof RequestError ? refusalReason(error) : null;
    if (reason === null) this.#host.context.log.error({ err: error, session: this.id }, 'a CONNECT failed');
    const text = error instanceof RequestError ? error.message : 'the gateway failed';
    this.#endConnecting(reason ?? REASON.UNSPECIFIED_ERROR, text);
  }

  /** A client that was refused leaves nothing behind. */
  #endConnecting(reason: ConnackReason, reasonString: string): void {
    if (this.isEnded) return;
    this.keeping.goodbye = true;
    this.#writeExplained(reasonString, (text) => encodeConnack(false, reason, explained(text)));
    this.#connect = null;
    this.close(null);
  }

  /** `proof`: what the CONNACK says of an enhanced authentication. */
  #begin(identity: Identity, proof: ConnackProperties): void {
    if (this.isEnded) return;
    this.identity = identity;
    const { clientId, cleanStart } = this.#connect as Connect;
    this.openDurable(clientId, cleanStart, this.#expiryMs, (error) => {
      if (error !== null) return error.code === 'LIMIT_EXCEEDED' ? this.#refuse(error) : this.closeFailed(error);
      this.#accept(proof);
    });
  }

  /** What the client asked for, as far as it is granted. */
  get #expiryMs(): number {
    const { sessionExpirySeconds } = this.#connect as Connect;
    return Math.min(sessionExpirySeconds * 1_000, this.#host.limits.sessionExpiryMs);
  }

  #accept(proof: ConnackProperties): void {
    if (this.isEnded) return;
    const { limits, responseInformation } = this.#host;
    const { clientId, keepAlive, sessionExpirySeconds, requestResponseInformation } = this.#connect as Connect;
    const grantedSeconds = Math.floor(this.#expiryMs / 1_000);
    const keepAliveSeconds = keepAlive === 0 || keepAlive > limits.maxKeepAliveSeconds ? limits.maxKeepAliveSeconds : keepAlive;
    this.silenceMs = keepAliveSeconds * 1_500;
    const frame = encodeConnack(this.keeping.present, REASON.SUCCESS, {
      ...proof,
      receiveMaximum: limits.maxIncomingOnce,
      maximumPacketSize: limits.maxPacketBytes,
      topicAliasMaximum: limits.maxTopicAliases,
      ...(clientId === '' ? { assignedClientId: this.id } : {}),
      ...(grantedSeconds < sessionExpirySeconds ? { sessionExpirySeconds: grantedSeconds } : {}),
      ...(keepAliveSeconds === keepAlive ? {} : { serverKeepAlive: keepAliveSeconds }),
      ...(requestResponseInformation && responseInformation !== '' ? { responseInformation } : {}),
    });
    if (frame.length > this.#encoder.maxBytes)
      return this.close(new ProtocolFault(REASON.PACKET_TOO_LARGE, 'no CONNACK is as small as the client wants'));
    this.write(frame);
    this.becomeReady();
  }

  // Enhanced authentication (section 4.12).

  #authenticateEnhanced(method: string, { authenticationData }: Connect): void {
    const begin = this.#host.authenticators.get(method);
    if (begin === undefined) {
      // [MQTT5-4.12.0-1]
      this.#endConnecting(REASON.BAD_AUTHENTICATION_METHOD, `authentication method ${JSON.stringify(method)} is not known here`);
      return;
    }
    this.#authentication = new Authentication(method, begin(), (frame) => this.#writeAuth(frame));
    // AUTH packets belong to the beginning.
    this.guard.release();
    this.#authentication.go(authenticationData).then(
      ({ identity, data }) => {
        this.guard.hold();
        this.#begin(identity, { authenticationMethod: method, ...(data === null ? {} : { authenticationData: data }) });
      },
      (error: unknown) => this.#refuse(error),
    );
  }

  #writeAuth(frame: Uint8Array): void {
    this.write(frame);
    this.flushSoon();
  }

  #onAuth(bytes: Buffer, body: number, end: number): void {
    const auth = readAuth(bytes, body, end);
    const authentication = this.#authentication;
    // [MQTT5-4.12.0-5], [MQTT5-4.12.0-6]
    if (authentication === null || authentication.method !== auth.method) throw protocolError('AUTH without its authentication');
    if (auth.reason === REASON.RE_AUTHENTICATE && !this.isConnecting) this.#authenticateAgain(auth);
    else authentication.take(auth);
  }

  /** Section 4.12.1: whoever it was it still has to be. */
  #authenticateAgain({ method, data: first }: Auth): void {
    const begin = this.#host.authenticators.get(method) as () => AuthenticationExchange;
    this.#authentication?.cancel();
    this.#authentication = new Authentication(method, begin(), (frame) => this.#writeAuth(frame));
    this.#authentication.go(first).then(
      ({ identity, data }) => {
        if (identity.name !== this.identity.name) return this.close(new ProtocolFault(REASON.NOT_AUTHORIZED, 'another user'));
        this.#writeAuth(encodeAuth(REASON.SUCCESS, method, data));
      },
      (error: unknown) => {
        if (error instanceof Cancelled) return;
        const text = error instanceof RequestError ? error.message : 'the authentication failed';
        this.close(new ProtocolFault(REASON.NOT_AUTHORIZED, text));
      },
    );
  }

  // Incoming messages.

  #onPublish(first: number, bytes: Buffer, body: number, end: number): void {
    const request = this.#publishing.read(first, bytes, body, end);
    if (request.answered) this.#countIncoming(request);
    if (isForbiddenTopic(request.path.slice(this.#host.topics.mountPoint.length))) this.#forbid(request);
    else this.submit(request);
  }

  /** Answered in its turn ([MQTT5-4.6.0-2]), by a request that changes nothing. */
  #forbid({ path, id, options, answered }: DataRequest): void {
    if (!answered) return;
    const error = new RequestError('ACCESS_DENIED', 'nobody publishes below $SYS and $share');
    const onTurn = (): void => this.#answerPublish(options.qos === 1, id as number, REASON.NOT_AUTHORIZED, error);
    this.submit(new DataRequest('get', this, id, path, null, null, UNSTORED, true, 0, onTurn));
  }

  /** Section 3.3.4: the client has been told how many it may have open. */
  #countIncoming({ onceId }: DataRequest): void {
    if (onceId === 0) this.#unanswered += 1;
    else if (!this.#isReceived(onceId)) this.#unreleased.add(onceId);
    const { maxIncomingOnce } = this.#host.limits;
    if (this.#unanswered + this.#unreleased.size > maxIncomingOnce) {
      throw new ProtocolFault(REASON.RECEIVE_MAXIMUM_EXCEEDED, `more than ${maxIncomingOnce} messages of QoS 1 and 2 are open`);
    }
  }

  #isReceived(packetId: number): boolean {
    return (this.durable?.received ?? this.received)?.has(packetId) === true;
  }

  /** PUBACK and PUBREC mean stored; what could not be stored is not acknowledged, the client sends it again. */
  protected override onPublished({ error, heard, repeated }: Reply, request: DataRequest): void {
    if (error !== null && (error.code === 'STORE_FAILED' || error.retry)) return this.closeFailed(error);
    const packetId = request.id as number;
    const isFirst = request.options.qos === 1;
    const isUnheard = isFirst && !heard && !repeated;
    const reason = error !== null ? publishReason(error) : isUnheard ? REASON.NO_MATCHING_SUBSCRIBERS : REASON.SUCCESS;
    this.#answerPublish(isFirst, packetId, reason, error);
  }

  #answerPublish(isFirst: boolean, packetId: number, reason: PubackReason, error: RequestError | null): void {
    if (isFirst) this.#unanswered -= 1;
    else if (reason >= FAILURE) this.#unreleased.delete(packetId);
    const firstByte = isFirst ? FIRST_BYTE.PUBACK : FIRST_BYTE.PUBREC;
    // [MQTT5-3.1.2-29]
    const isExplained = error !== null && this.#connect?.requestProblemInformation === true;
    if (isExplained) this.#writeExplained(error.message, (text) => encodeAcknowledge(firstByte, packetId, reason, text));
    else this.write(encodeAcknowledge(firstByte, packetId, reason));
  }

  #onPubrel(packetId: number): void {
    // In its turn: the message may be on its way to the core still, when a client sends both at once.
    this.keeping.submit({ type: 'forget', onceId: packetId }, ({ error, count }) => {
      if (error !== null) return this.closeFailed(error);
      this.#unreleased.delete(packetId);
      this.write(encodeAcknowledge(FIRST_BYTE.PUBCOMP, packetId, count > 0 ? REASON.SUCCESS : REASON.PACKET_IDENTIFIER_NOT_FOUND));
    });
  }

  // Outgoing messages.

  #onPubrec(bytes: Buffer, body: number, end: number): void {
    const { packetId, reason } = readPuback(bytes, body, end, PACKET.PUBREC);
    if (reason >= FAILURE) {
      // The client does not want it: that ends the exchange (section 4.3.3).
      if (this.deliveries.onRefused(packetId)) this.#onRoom();
      return;
    }
    const number = this.deliveries.onPubrec(packetId);
    if (number === null) {
      this.write(encodeAcknowledge(FIRST_BYTE.PUBREL, packetId, REASON.PACKET_IDENTIFIER_NOT_FOUND));
    } else if (number === 0 && this.durable === null) {
      this.write(encodeAcknowledge(FIRST_BYTE.PUBREL, packetId, REASON.SUCCESS));
    } else {
      // [MQTT5-4.6.0-4]: where others wait for the store, what is not queued waits behind them.
      this.keeping.submit({ type: 'release', number }, ({ error }) => {
        if (error !== null) return this.closeFailed(error);
        this.write(encodeAcknowledge(FIRST_BYTE.PUBREL, packetId, REASON.SUCCESS));
      });
    }
  }

  #onRoom(): void {
    if (this.deliveries.waitingCount > 0) this.flushSoon();
  }

  // The end.

  #onDisconnect(bytes: Buffer, body: number, end: number): void {
    const { reason, sessionExpirySeconds } = readDisconnect(bytes, body, end);
    if (this.isConnecting) return this.#leave();
    const { sessionExpirySeconds: before } = this.#connect as Connect;
    if (sessionExpirySeconds !== null) {
      // Section 3.14.2.2.2.
      if (before === 0 && sessionExpirySeconds > 0) throw protocolError('a session that ends with its connection cannot be kept');
      const expiryMs = Math.min(sessionExpirySeconds * 1_000, this.#host.limits.sessionExpiryMs);
      this.keeping.submit({ type: 'expiry', expiryMs }, null);
    }
    // [MQTT5-3.14.4-3]
    this.keeping.goodbye = reason === REASON.SUCCESS;
    this.#leave();
  }

  #leave(): void {
    this.#connect = null;
    this.close(null);
  }

  /** [MQTT5-3.1.2-24], [MQTT5-3.1.2-25]: what is larger than the client takes counts as sent. */
  override write(frame: Uint8Array): void {
    if (frame.length <= this.#encoder.maxBytes) super.write(frame);
  }

  /** [MQTT5-4.13.1-1], [MQTT5-4.13.2-1]: the peer learns why. */
  protected override onClosing(error: ConnectionError | null): void {
    this.#authentication?.cancel();
    if (error === null) return;
    this.#writeExplained(error.message, (text) => {
      if (this.isConnecting) return encodeConnack(false, connackReason(error), explained(text));
      return encodeDisconnect(disconnectReason(error), text);
    });
  }

  /** [MQTT5-3.2.2-19], [MQTT5-3.4.2-2], [MQTT5-3.5.2-2], [MQTT5-3.14.2-3]: a text that the client has no room for is left out. */
  #writeExplained(text: string, encode: (text: string | null) => Buffer): void {
    const frame = encode(text);
    this.write(frame.length <= this.#encoder.maxBytes ? frame : encode(null));
  }
}

function explained(reasonString: string | null): ConnackProperties {
  return reasonString === null ? {} : { reasonString };
}
