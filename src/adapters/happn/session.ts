// One happn connection: routes the client's frames to the part that serves them, and the core's output to the part that writes it; and
// how it ends. The socket is the identity. Its parts: handshake.ts, account.ts, data-answers.ts, subscriptions.ts, output.ts,
// liveness.ts and reading.ts.

import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import {
  type AdapterContext,
  ConnectionError,
  type ConnectionErrorCode,
  type Formats,
  type Outbound,
  PolicyRefusal,
  RequestError,
  type SecurityChange,
  Session,
  SessionRevoked,
  type Subscription,
} from '../../core/index.js';
import { Account } from './account.js';
import * as codec from './codec.js';
import { DataAnswers } from './data-answers.js';
import { encodeNotices } from './directory-notices.js';
import { fieldsOf, isFields } from './fields.js';
import { checkFrameText, checkNumbers, parseFrame, peekFrame } from './frame-text.js';
import { Handshake, type Peer } from './handshake.js';
import type { Connection, Host } from './host.js';
import { Liveness, type LivenessLimits } from './liveness.js';
import type { LongAnswer } from './long-answers.js';
import { Output, type Speaker } from './output.js';
import { PAUSED_BY, Reading } from './reading.js';
import { decodeGet, decodeRemove, decodeSet, decodeTag, isTag } from './requests.js';
import { type Owner, SessionLayers, type Sink } from './session-layers.js';
import { Subscriptions } from './subscriptions.js';
import type { MergeForm, Version } from './versions.js';
import { CONTROL, FIRST_FRAME_LIMITS, type Fields, type Frame, MESSAGES, SERVER_CLOSE_FRAME } from './wire.js';

const PING = new RegExp(`^"${CONTROL.ping}(\\d{1,20})"$`);
const ID_REQUEST = JSON.stringify(CONTROL.id);

/** Need a login, where there are users. */
const DATA_ACTIONS: ReadonlySet<unknown> = new Set(['set', 'get', 'count', 'remove', 'on']);

/** Ends that are not announced: the peer is gone, deaf or hostile. */
const ABRUPT: ReadonlySet<ConnectionErrorCode> = new Set([
  'SLOW_CONSUMER',
  'PEER_SILENT',
  'CONNECT_TIMEOUT',
  'FRAME_TOO_LARGE',
  'MALFORMED_FRAME',
]);

export class HappnSession extends Session implements Connection, Owner, Speaker {
  override readonly takesStreams = true;
  /** No valid request yet; where users have to log in, nobody has. */
  fresh = true;
  readonly #host: Host;
  readonly #context: AdapterContext;
  readonly #formats: Formats;
  readonly #websocket: WebSocket;
  readonly #socket: Duplex;
  readonly #peer: Peer;
  readonly #liveness: Liveness;
  readonly #reading: Reading;
  readonly #handshake: Handshake;
  readonly #data: DataAnswers;
  readonly #subscriptions: Subscriptions;
  readonly #account: Account;
  readonly #layers: SessionLayers | null;
  readonly #output: Output;
  #ending = false;
  #complained = false;

  constructor(host: Host, websocket: WebSocket, socket: Duplex, peer: Peer) {
    super(randomUUID(), 'happn', false);
    const { context, layers } = host;
    this.#host = host;
    this.#context = context;
    this.#formats = context.formats;
    this.#websocket = websocket;
    this.#socket = socket;
    this.#peer = peer;
    this.#liveness = new Liveness(socket, context.clock.monotonic());
    this.#reading = new Reading(websocket);
    this.#handshake = new Handshake(peer);
    this.address = peer.address;
    this.#data = new DataAnswers(this, host);
    this.#subscriptions = new Subscriptions(this, host);
    this.#account = new Account(this, host, { handshake: this.#handshake, liveness: this.#liveness, subscriptions: this.#subscriptions });
    this.#layers = layers ? new SessionLayers(this, host, layers, this.#reading) : null;
    this.#output = new Output(this, host, { websocket, socket, layers: this.#layers, reading: this.#reading });
  }

  get version(): Version {
    return this.#handshake.version;
  }

  get mergeForm(): MergeForm {
    return this.#handshake.mergeForm;
  }

  get ending(): boolean {
    return this.#ending;
  }

  // -------------------------------------------------------------- in

  /** One websocket message. Whatever it holds, only this connection can suffer from it. */
  onMessage(bytes: Buffer, isBinary: boolean): void {
    this.#liveness.heard = true;
    if (this.#ending) return;
    this.#liveness.messages += 1;
    if (isBinary) {
      this.#ignore('a binary frame');
      return;
    }
    const text = bytes.toString('utf8');
    if (text.charCodeAt(0) === 34) this.#onControl(text);
    else this.#onFrame(text);
  }

  /** A ping or pong of the websocket itself. */
  onWebsocketControl(): void {
    this.#liveness.heard = true;
    this.#liveness.controls += 1;
  }

  #onFrame(text: string): void {
    let frame: Frame | null = null;
    try {
      checkFrameText(text, this.fresh ? FIRST_FRAME_LIMITS : this.#host.limits);
      frame = parseFrame(text);
      if (frame === null) {
        this.#ignore('a frame that is no JSON object');
        return;
      }
      if (frame.action === 'set') checkNumbers(text);
      if (this.#layers === null) this.passed(frame, text.length);
      else this.#layers.take(frame, text.length);
    } catch (error) {
      this.fail(frame ?? peekFrame(text), error);
    }
  }

  /** What is asked for, once it has passed the layers, if there are any; and its length as it came. Throws RequestError. */
  passed(frame: Frame, length: number): void {
    if (this.#ending) return;
    this.frameBytes = length;
    try {
      this.#handle(frame);
    } finally {
      this.frameBytes = 0;
    }
    this.settle();
  }

  refuse(frame: Frame, error: unknown): void {
    if (!this.#ending) this.fail(frame, error);
  }

  finished(): void {
    if (!this.#ending) this.#host.touch(this);
  }

  /** Whoever has not logged in where that is asked for is kept as short as before the first request. */
  settle(): void {
    if (!this.fresh || this.#account.isStranger) return;
    this.fresh = false;
    this.#host.settled(this);
  }

  #refuseStranger(frame: Frame): void {
    this.fail(frame, new PolicyRefusal(MESSAGES.noLogin));
    if (this.#handshake.endsBeforeLogin) this.close(new SessionRevoked('no-session-policy'));
  }

  #onControl(text: string): void {
    const ping = PING.exec(text);
    if (ping !== null) {
      this.settle();
      this.answer(`"${CONTROL.pong}${ping[1]}"`);
    } else if (text === ID_REQUEST) {
      this.answer(`"${CONTROL.id}${this.id}"`);
    }
  }

  #ignore(what: string): void {
    this.#context.counters.counter('happn_frames_ignored_total', 'Frames that are not of the happn protocol').add();
    if (this.#complained) return;
    this.#complained = true;
    this.#context.log.info({ session: this.id, peer: this.#peer.address }, `ignoring ${what} (said once a connection)`);
  }

  fail(frame: Frame, error: unknown): void {
    if (error instanceof RequestError) {
      this.answer(codec.encodeError(frame, this, error));
      return;
    }
    this.#context.log.error({ err: error, session: this.id, action: frame.action }, 'a frame could not be handled');
    this.answer(codec.encodeError(frame, this, new RequestError('INTERNAL', 'the gateway failed on this request')));
  }

  /** Throws RequestError. */
  #handle(frame: Frame): void {
    if (frame.encrypted !== undefined || (isFields(frame.data) && isSealed(frame))) {
      throw new RequestError('INVALID_REQUEST', MESSAGES.encrypted);
    }
    if (this.fresh && this.#account.isStranger && DATA_ACTIONS.has(frame.action)) return this.#refuseStranger(frame);
    switch (frame.action) {
      case 'set':
        return this.#data.submit(isTag(frame) ? decodeTag(frame, this) : decodeSet(frame, this, this.#formats));
      case 'get':
      case 'count':
        return this.#data.submit(decodeGet(frame, this, this.#handshake.namesPaths));
      case 'remove':
        return this.#data.submit(decodeRemove(frame, this));
      case 'on':
        return this.#subscriptions.on(frame);
      case 'off':
        return this.#subscriptions.off(frame);
      case 'configure-session':
        return this.#configure(frame);
      case 'describe':
        return this.answer(
          codec.encodeOk(frame, this, this.#handshake.gatewayText(this.#context.node.name, this.#context.logins !== null)),
        );
      case 'login':
        return this.#account.login(frame);
      case 'request-nonce':
        return this.#account.sendNonce(frame);
      case 'ack':
        if (typeof frame.data === 'string') this.#host.acknowledgements.acknowledge(this, frame.data);
        return this.answer(codec.encodeOk(frame, this, 'null'));
      case 'disconnect':
        return this.answer(codec.encodeOk(frame, this, 'null'));
      case 'disconnect-child-sessions':
        this.#context.endChildren(this);
        return this.answer(codec.encodeOk(frame, this, 'null'));
      case 'change-password':
        return this.#account.changePassword(frame);
      case 'revoke-token':
        return this.#account.revokeToken(frame);
      case 'revoke-session':
        return this.#account.revokeSession(frame);
      default:
        throw new RequestError('UNKNOWN_OPERATION', `unknown action: ${String(frame.action).slice(0, 100)}`);
    }
  }

  #configure(frame: Frame): void {
    try {
      this.#handshake.configure(fieldsOf(frame.data, 'data'));
    } catch (error) {
      if (!(error instanceof RequestError) || error.code !== 'UNSUPPORTED') throw error;
      this.fail(frame, error);
      this.close(new ConnectionError('UNSUPPORTED_VERSION', error.message));
      return;
    }
    this.#subscriptions.refresh();
    this.answer(codec.encodeOk(frame, this, 'null'));
  }

  // -------------------------------------------------------------- out

  answer(text: string): void {
    this.#output.text(text);
    this.#host.touch(this);
  }

  override flush(): void {
    this.#output.flush();
  }

  override onSubscriptionLost(subscription: Subscription): void {
    this.#subscriptions.lost(subscription);
  }

  override onSecurityChange(change: SecurityChange): void {
    if (!this.version.directoryNotices) return;
    const { identity, version } = this;
    for (const text of encodeNotices(change, this.#context.directory, identity.principal, version.protocol)) this.answer(text);
  }

  write(writer: Sink, message: Outbound, subscription: Subscription | null): LongAnswer | null {
    if (message.kind === 'publication') {
      this.#subscriptions.writeEvent(writer, message, subscription as Subscription);
      return null;
    }
    const { request } = message;
    switch (request.op) {
      case 'set':
      case 'remove':
      case 'get':
        return this.#data.writeReply(writer, request, message);
      case 'subscribe':
      case 'unsubscribe':
        return this.#subscriptions.writeReply(writer, request, message);
      case 'security':
        this.#account.writeRevoked(writer, request.tag as Frame, message.error);
        return null;
      case 'transaction':
      case 'durable':
        return null;
    }
  }

  // -------------------------------------------------------------- life

  /** The server's heartbeat is due; the answer to it is any sign of life. `now`: wall clock. */
  onBeat(now: number): void {
    if (this.#ending || this.version.heartbeat !== 'server') return;
    const silent = this.#liveness.beat();
    if (silent === null) this.answer(`"${CONTROL.ping}${now}"`);
    else this.close(silent);
  }

  /** To be called now and then. `now`: monotonic. */
  onSweep(now: number, limits: LivenessLimits): void {
    if (this.#ending) return;
    const error = this.#liveness.check(now, this.fresh, this.version.heartbeat, limits);
    if (error !== null) this.close(error);
  }

  /** The socket took what was written: goes on draining. */
  onDrain(): void {
    // Whoever reads a long answer lives, although no heartbeat can come between its pieces.
    if (this.#output.hasLong) this.#liveness.heard = true;
    this.#context.flush(this);
  }

  override get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  override pauseReading(): void {
    this.#reading.pause(PAUSED_BY.engine);
  }

  override resumeReading(): void {
    this.#reading.resume(PAUSED_BY.engine);
  }

  /** Reads no more; what was read is still answered. */
  stopReading(): void {
    this.#reading.pause(PAUSED_BY.stop);
  }

  /** Answers or events are still on their way to the socket. */
  get hasUnsent(): boolean {
    return this.inFlight > 0 || this.outbound.length > 0 || this.#output.busy;
  }

  override close(error: ConnectionError | null): void {
    if (this.#ending) return;
    if (error !== null && ABRUPT.has(error.code)) {
      this.#end(error);
      this.#websocket.terminate();
      return;
    }
    if (error !== null && !error.reconnect) {
      this.#output.text(codec.encodeDisconnect(this.version, error));
      this.#output.text(SERVER_CLOSE_FRAME);
    }
    this.#flushLast();
    this.#end(error);
    // Without a code: clients come back by themselves, unless they were told not to.
    this.#websocket.close();
    // The peer's side of the closing handshake has to be read.
    this.#websocket.resume();
  }

  /** What cannot be said any more does not keep the connection from ending. */
  #flushLast(): void {
    try {
      this.flush();
    } catch (error) {
      this.#context.log.error({ err: error, session: this.id }, 'the last messages of a connection could not be written');
    }
  }

  /** The socket is gone. */
  onClosed(): void {
    if (!this.#ending) this.#end(null);
  }

  #end(error: ConnectionError | null): void {
    this.#ending = true;
    this.#host.clusterMembers.delete(this);
    this.#host.acknowledgements.forget(this);
    this.#output.close();
    this.#context.closeSession(this, error);
    this.#host.ended(this);
  }

  /** For a peer that does not close its side in time. */
  destroy(): void {
    this.#websocket.terminate();
  }
}

/** Payload encryption puts everything under one key; a set may carry a field of that name as its data. */
function isSealed(frame: Frame): boolean {
  return frame.action !== 'set' && (frame.data as Fields).encrypted !== undefined;
}
