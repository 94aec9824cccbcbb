// One Haven connection: reads its messages in order, has its answers sent, and manages its lifetime. Its parts:
// dispatcher.ts, handshake.ts, data-answers.ts, watches.ts, local-answers.ts, local-writer.ts and output.ts.

import { randomBytes } from 'node:crypto';
import {
  ConnectionError,
  type ConnectionErrorCode,
  isGoodbye,
  type Outbound,
  type Reply,
  type ReplyRun,
  type Request,
  RequestError,
  Session,
  type Subscription,
} from '../../core/index.js';
import { Attachment } from './attachment.js';
import * as codec from './codec.js';
import { HavenMessage } from './codec.js';
import { DataAnswers } from './data-answers.js';
import { Dispatcher, type Holder } from './dispatcher.js';
import { Deframer, framingOf } from './framing.js';
import { Handshake } from './handshake.js';
import type { Host } from './host.js';
import type { Link } from './link.js';
import { LocalAnswers } from './local-answers.js';
import { LocalWriter } from './local-writer.js';
import type { LongAnswer } from './long-answers.js';
import { HIGH_WATER_BYTES, Output, type Speaker } from './output.js';
import { Unwatching, Watches, Watching } from './watches.js';
import { connectionErrorName, type Shape } from './wire.js';

/** Ends without another word: the peer does not read. */
const ABRUPT: ReadonlySet<ConnectionErrorCode> = new Set(['SLOW_CONSUMER']);
/** Ends of which the peer is told; of the others its closed connection tells. */
const TOLD: ReadonlySet<ConnectionErrorCode> = new Set(['CONNECT_TIMEOUT', 'MALFORMED_FRAME', 'FRAME_TOO_LARGE', 'SESSION_REVOKED']);

/** open: reads. ending: reads no more, says what is still to be said. ended: waits for the peer to close. */
type Phase = 'open' | 'ending' | 'ended';

export class HavenSession extends Session implements Holder, Speaker {
  override readonly takesStreams = true;
  override readonly writesAhead: boolean;
  /** Monotonic milliseconds. */
  readonly openedAt: number;
  lastHeardAt: number;
  /** Began to end; 0: it does not. */
  endedAt = 0;
  /** Connected, and has shown who it is where that has to be shown: it has the limits and the time of those who belong here. */
  admitted = false;
  readonly #host: Host;
  readonly #link: Link;
  readonly #deframer: Deframer;
  readonly #handshake: Handshake;
  readonly #output: Output;
  readonly #answers = new LocalAnswers((answer) => this.#local.write(answer));
  readonly #local: LocalWriter;
  readonly #data: DataAnswers;
  readonly #watches: Watches;
  readonly #dispatcher: Dispatcher;
  #phase: Phase = 'open';
  /** Why it is ending. */
  #reason: ConnectionError | null = null;
  /** Shape of the last request: what an error speaks that belongs to none. */
  #shape: Shape = 'map';
  /** Websocket messages that came while reading was held. */
  #frames: Buffer[] = [];
  /** How often it was held: while it is, no further message is taken. */
  #holds = 0;
  /** It says no more, but something of it may still wait to be taken. */
  #peerIsDone = false;
  #outputFull = false;
  #reading = true;
  /** Messages that came may wait for room for their answers. */
  #isLeft = false;
  #isTaking = false;

  constructor(host: Host, link: Link) {
    super(randomBytes(16).toString('hex'), 'haven', true);
    this.#host = host;
    this.#link = link;
    this.writesAhead = !link.byMessage;
    this.address = link.peer;
    this.#deframer = new Deframer(link.byMessage ? 'message' : null, host.early);
    this.#handshake = new Handshake(host.config);
    this.#output = new Output(this, host, link, this.#deframer);
    this.#data = new DataAnswers(this, host, this.#output);
    this.#watches = new Watches(this, host, this.#output, this.#answers);
    this.#local = new LocalWriter(this, host, link, { output: this.#output, handshake: this.#handshake, watches: this.#watches });
    const parts = {
      handshake: this.#handshake,
      answers: this.#answers,
      data: this.#data,
      watches: this.#watches,
      attachment: new Attachment(host.control),
    };
    this.#dispatcher = new Dispatcher(this, host, parts);
    this.openedAt = host.context.clock.monotonic();
    this.lastHeardAt = this.openedAt;
  }

  get peer(): string {
    return this.#link.peer;
  }

  get connected(): boolean {
    return this.#handshake.connected;
  }

  get heartbeatMs(): number {
    return this.#handshake.heartbeatMs;
  }

  get ended(): boolean {
    return this.#phase === 'ended';
  }

  /** Nothing is owed to the peer any more. */
  get idle(): boolean {
    return this.#answers.idle && this.#holds === 0;
  }

  get bufferedBytes(): number {
    return this.#link.bufferedBytes;
  }

  // ---------------------------------------------------------------- reading

  /** Bytes of a stream. */
  onBytes(chunk: Buffer): void {
    if (this.#phase !== 'open') return;
    this.#deframer.push(chunk);
    this.#read();
  }

  /** One websocket message. */
  onMessage(bytes: Buffer, binary: boolean): void {
    if (this.#phase !== 'open') return;
    if (!binary || bytes.length === 0) {
      this.writing(() => this.#refuse(new ConnectionError('MALFORMED_FRAME', 'a message must be a binary frame, and not empty')));
      return;
    }
    this.#frames.push(bytes);
    this.#read();
  }

  /** The peer says no more; what it asked is still answered. */
  onEnd(): void {
    this.#peerIsDone = true;
    if (this.#holds === 0 && !this.#isLeft) this.#beginEnd(null);
  }

  /** The connection is gone. */
  onClosed(): void {
    this.#phase = 'ended';
    this.#output.close();
    this.#answers.clear();
    this.#watches.clear();
    this.#frames = [];
    this.#host.context.closeSession(this, this.#reason);
  }

  onDrain(): void {
    // Nothing was read while so much waited: that it was taken is the sign of life.
    if (this.#outputFull) this.lastHeardAt = this.#host.context.clock.monotonic();
    this.#outputFull = false;
    this.flush();
    this.#readOn();
  }

  /** Takes what came, as far as there is room for its answers: a short request may have a long one. */
  #read(): void {
    this.#isLeft = true;
    this.#isTaking = true;
    while (this.#isLeft && this.#holds === 0 && this.#hasRoom) this.writing(this.#readSome);
    this.#isTaking = false;
  }

  #readOn(): void {
    if (this.#isLeft && !this.#isTaking && this.#phase === 'open') this.#read();
  }

  get #hasRoom(): boolean {
    return !this.#outputFull && !this.#answers.tooMany && this.#host.writer.length <= HIGH_WATER_BYTES;
  }

  readonly #readSome = (): void => {
    this.#isLeft = false;
    try {
      this.#readAll();
      if (this.#peerIsDone && this.#holds === 0 && !this.#isLeft) this.#beginEnd(null);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#refuse(error);
    }
  };

  #readAll(): void {
    let heard = false;
    while (this.#phase === 'open' && this.#holds === 0) {
      if (!this.#hasRoom) {
        this.#isLeft = true;
        break;
      }
      const frame = this.#frames.length > 0 && this.#deframer.pending === 0 ? this.#frames.shift() : undefined;
      if (frame !== undefined) this.#deframer.push(frame);
      if (!this.#deframer.next()) break;
      heard = true;
      this.#take();
    }
    if (heard) this.lastHeardAt = this.#host.context.clock.monotonic();
  }

  /** The message that the deframer found. */
  #take(): void {
    const { bytes, from, to, problem } = this.#deframer;
    const message = codec.decodeMessage(bytes, from, to);
    if (message === null) throw new ConnectionError('MALFORMED_FRAME', 'a message must be a map or an array');
    this.#shape = message.shape;
    this.#host.received.add();
    if (problem !== null) message.fault ??= new RequestError('INVALID_REQUEST', problem);
    this.frameBytes = to - from;
    this.#dispatcher.take(message);
    this.frameBytes = 0;
  }

  hold(): void {
    this.#holds += 1;
    this.#adjustReading();
  }

  release(write: () => void): void {
    this.#holds -= 1;
    if (this.#phase === 'ended') return;
    this.writing(write);
    this.#read();
  }

  onAdmitted(): void {
    if (this.admitted) return;
    this.admitted = true;
    this.#deframer.limits = this.#host.full;
    this.#host.admitted(this);
  }

  submit(request: Request): void {
    this.#answers.onSubmit();
    this.#host.context.submit(request);
  }

  // ---------------------------------------------------------------- writing

  flush(): void {
    if (this.#phase !== 'ended') this.#output.flush();
  }

  override onSubscriptionLost(subscription: Subscription): void {
    this.#watches.lost(subscription);
  }

  write(message: Outbound, subscription: Subscription | null): LongAnswer | null {
    if (message.kind === 'reply') return this.#writeReply(message);
    if (subscription !== null) this.#watches.onPublication(message, subscription);
    return null;
  }

  #writeReply(reply: Reply): LongAnswer | null {
    const { tag } = reply.request;
    this.#watches.writePushed();
    if (tag instanceof HavenMessage) return this.#data.writeReply(reply, tag);
    if (tag instanceof Watching) return this.#watches.writeWatching(reply, tag);
    if (tag instanceof Unwatching) this.#watches.writeUnwatching(reply, tag);
    return null;
  }

  override writeAhead(replies: readonly Reply[]): Buffer | null {
    const { writer } = this.#host;
    // A peer that does not keep up: what waits for it would keep alive the memory that it was written in.
    if (this.outbound.length > 0) return null;
    // What a failure may have left.
    writer.discard();
    for (const reply of replies) {
      const { tag } = reply.request;
      if (!(tag instanceof HavenMessage) || reply.entries !== null || reply.stream !== null || writer.length > HIGH_WATER_BYTES) {
        writer.discard();
        return null;
      }
      this.#data.writeReply(reply, tag);
    }
    return writer.take();
  }

  writeRun({ replies, bytes }: ReplyRun): void {
    this.#watches.writePushed();
    if (this.#answers.isAwaited) {
      for (const reply of replies) {
        this.#writeReply(reply);
        this.#answers.onReplied();
      }
    } else {
      this.#host.writer.raw(bytes);
      this.#answers.onReplied(replies.length);
    }
  }

  writePushed(): void {
    this.#watches.writePushed();
  }

  onReplied(): void {
    this.#answers.onReplied();
  }

  // ---------------------------------------------------------------- the link

  /** Whatever `write` writes goes out together; then what follows from it being said. */
  writing(write: () => void): void {
    const { writer } = this.#host;
    this.#link.cork();
    try {
      write();
    } catch (error) {
      // Not the peer's fault alone, but the end of its connection alone.
      writer.discard();
      this.#host.context.log.error({ err: error, session: this.id, peer: this.peer }, 'a Haven connection failed');
      this.close(new ConnectionError('INTERNAL', 'the gateway failed on this connection'));
    }
    if (writer.length > 0) this.#link.send(writer.take());
    this.#link.uncork();
    if (this.#link.bufferedBytes > HIGH_WATER_BYTES) this.#outputFull = true;
    if (this.#phase === 'ending' && this.idle && this.outbound.length === 0) this.#end();
    else this.#adjustReading();
    this.#readOn();
  }

  pauseReading(): void {
    this.#adjustReading();
  }

  resumeReading(): void {
    this.#adjustReading();
  }

  #adjustReading(): void {
    const read = this.#phase !== 'open' || !(this.paused || this.#holds > 0 || this.#outputFull || this.#answers.tooMany);
    if (read === this.#reading) return;
    this.#reading = read;
    if (read) this.#link.resume();
    else this.#link.pause();
  }

  // ---------------------------------------------------------------- the end

  /** What was wrong is answered in its place, then the connection ends. */
  #refuse(error: ConnectionError): void {
    this.#host.malformed.add();
    this.#logEnd(error);
    this.#sayEnd(error);
    this.#beginEnd(error);
  }

  /** Tells of an end in the framing and shape of the connection, or what they most likely are. */
  #sayEnd(error: ConnectionError): void {
    const deframer = this.#deframer;
    if (deframer.framing === null) {
      const first = deframer.firstPending ?? 0x80;
      deframer.framing = framingOf(first) ?? (first < 0x80 ? 'prefixed' : 'bare');
    }
    this.#answers.answer('error', new HavenMessage(this.#shape), { name: connectionErrorName(error.code), message: error.message });
  }

  #beginEnd(reason: ConnectionError | null): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'ending';
    this.#reason = reason;
    this.endedAt = this.#host.context.clock.monotonic();
    // What the peer still sends is read and forgotten: a socket closed over unread bytes would tear down the answer.
    this.#adjustReading();
    if (this.idle && this.outbound.length === 0 && this.#host.writer.length === 0) this.#end();
  }

  #end(): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    this.endedAt = this.#host.context.clock.monotonic();
    this.#host.context.closeSession(this, this.#reason);
    this.#adjustReading();
    this.#link.end(this.#reason);
  }

  /** Answers what is in flight, then ends. */
  finish(reason: ConnectionError): void {
    this.#logEnd(reason);
    this.#beginEnd(reason);
  }

  close(error: ConnectionError | null): void {
    if (this.#phase === 'ended') return;
    this.#reason = error;
    if (error !== null) this.#logEnd(error);
    if (error !== null && ABRUPT.has(error.code)) {
      this.destroy();
      return;
    }
    if (error !== null && TOLD.has(error.code) && this.idle) {
      const told = error;
      this.writing(() => this.#sayEnd(told));
    }
    this.#end();
  }

  #logEnd(error: ConnectionError): void {
    if (isGoodbye(error)) return;
    const { code, message } = error;
    this.#host.context.log.info({ session: this.id, peer: this.peer, code }, `a connection ended: ${message}`);
  }

  destroy(): void {
    this.#phase = 'ended';
    this.#host.context.closeSession(this, this.#reason);
    this.#link.destroy();
  }
}
