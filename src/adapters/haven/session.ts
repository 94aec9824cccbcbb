// One Haven connection: takes messages in their order, hands them to the core or answers them, and keeps every answer in
// the order of its request. Watch events wait for the next heartbeat, or go out at once where the watch asked for that.

import { randomBytes } from 'node:crypto';
import {
  type AdapterContext,
  ConnectionError,
  type ConnectionErrorCode,
  type Counter,
  type Credentials,
  type Entry,
  type EntrySource,
  type Identity,
  type Pattern,
  type Publication,
  type Query,
  type Reply,
  type Request,
  RequestError,
  Ring,
  Session,
  SubscribeRequest,
  SUBSCRIBED,
  Subscription,
  type Value,
} from '../../core/index.js';
import * as codec from './codec.js';
import { HavenMessage } from './codec.js';
import type { HavenConfig } from './config.js';
import type { Control, Found } from './control.js';
import { Deframer, framingOf } from './framing.js';
import type { Link } from './link.js';
import { InitialEvents, ItemsAnswer, type LongAnswer, type Outlet, type Progress, SHORT_BYTES } from './long-answers.js';
import { msgpack, pack } from './msgpack.js';
import { deleteRequest, readRequest, transactionRequest, watchPattern, writeRequest } from './requests.js';
import type { ScanLimits } from './scanner.js';
import { WatchList } from './watchlist.js';
import { connectionErrorName, type HavenError, havenError, MAGIC, type Shape, VERSION } from './wire.js';
import type { Writer } from './writer.js';

/** Draining stops, and so does reading, while the socket holds more than this. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** Reading stops while more answers than this wait for earlier ones. */
const WAITING_MAX = 1_024;
/** Where the tail of a watch event is kept with its publication. */
const FRAME_KEY = 'haven:event';

const NOT_CONNECTED: HavenError = Object.freeze({ name: 'NOT_CONNECTED', message: 'the first message must be CONNECT' });

/** Ends without another word: the peer does not read. */
const ABRUPT: ReadonlySet<ConnectionErrorCode> = new Set(['SLOW_CONSUMER']);
/** Ends of which the peer is told; of the others its closed connection tells. */
const TOLD: ReadonlySet<ConnectionErrorCode> = new Set(['CONNECT_TIMEOUT', 'MALFORMED_FRAME', 'FRAME_TOO_LARGE']);

/** What a session needs of its adapter. */
export interface Host {
  readonly context: AdapterContext;
  readonly config: HavenConfig;
  readonly writer: Writer;
  readonly early: ScanLimits;
  readonly full: ScanLimits;
  readonly received: Counter;
  readonly malformed: Counter;
  readonly missed: Counter;
  readonly control: Pick<Control, 'become' | 'discover'>;
  /** Of the listener for TCP. */
  readonly port: number;
  /** State of this node as MessagePack. */
  state(): Uint8Array;
  /** CONNECT was answered. */
  connected(session: HavenSession): void;
}

interface Watch {
  readonly id: number;
  readonly push: boolean;
  readonly subscription: Subscription;
}

/** Tag of a watch's request. */
class Watching {
  constructor(
    readonly message: HavenMessage,
    readonly watch: Watch,
  ) {}
}

/** Tag of the requests that an unwatch leads to; only the last one is answered. */
class Unwatching {
  constructor(
    readonly message: HavenMessage,
    readonly last: boolean,
  ) {}
}

/** An answer that the core has no part in, in its place behind those that it has. */
interface LocalAnswer {
  readonly message: HavenMessage;
  readonly kind: 'connected' | 'pong' | 'became' | 'located' | 'error';
  readonly error: HavenError | null;
  /** became: what the answer names. */
  readonly uuid: string;
  /** Requests handed to the core before it. */
  readonly behind: number;
}

interface PushedEvent {
  readonly watch: number;
  readonly tail: codec.EventTail;
}

/** open: reads. ending: reads no more, says what is still to be said. ended: waits for the peer to close. */
type Phase = 'open' | 'ending' | 'ended';

export class HavenSession extends Session {
  override readonly takesStreams = true;
  connected = false;
  heartbeatMs: number;
  /** Monotonic milliseconds. */
  readonly openedAt: number;
  lastHeardAt: number;
  /** Began to end; 0: it does not. */
  endedAt = 0;
  readonly #host: Host;
  readonly #link: Link;
  readonly #deframer: Deframer;
  readonly #watchList: WatchList;
  readonly #watches = new Map<number, Watch>();
  #lastWatch = 0;
  #phase: Phase = 'open';
  /** Why it is ending. */
  #reason: ConnectionError | null = null;
  /** Shape of the last request: what an error speaks that belongs to none. */
  #shape: Shape = 'map';
  /** Requests handed to the core, and those of them that were answered. */
  #submitted = 0;
  #replied = 0;
  readonly #waiting = new Ring<LocalAnswer>();
  #pushed: PushedEvent[] = [];
  /** The answer that is being worked off; everything behind it waits. */
  #long: LongAnswer | null = null;
  #isStepScheduled = false;
  /** Websocket messages that came while reading was held. */
  #frames: Buffer[] = [];
  /** No further message is taken: credentials are looked at, or this node changes what it is. */
  #holding = false;
  #outputFull = false;
  #reading = true;

  constructor(host: Host, link: Link) {
    super(randomBytes(16).toString('hex'), 'haven', true);
    this.#host = host;
    this.#link = link;
    this.#deframer = new Deframer(link.byMessage ? 'message' : null, host.early);
    this.#watchList = new WatchList({ maxEvents: host.config.watchMaxEvents, maxBytes: host.config.watchMaxBytes });
    this.heartbeatMs = host.config.heartbeatMs;
    this.openedAt = host.context.clock.monotonic();
    this.lastHeardAt = this.openedAt;
  }

  get peer(): string {
    return this.#link.peer;
  }

  get ended(): boolean {
    return this.#phase === 'ended';
  }

  /** Nothing is owed to the peer any more. */
  get idle(): boolean {
    return this.#submitted === this.#replied && this.#waiting.length === 0 && !this.#holding;
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
      this.#writing(() => this.#refuse(new ConnectionError('MALFORMED_FRAME', 'a message must be a binary frame')));
      return;
    }
    this.#frames.push(bytes);
    this.#read();
  }

  /** The peer says no more; what it asked is still answered. */
  onEnd(): void {
    if (this.#phase === 'open') this.#beginEnd(null);
  }

  /** The connection is gone. */
  onClosed(): void {
    this.#phase = 'ended';
    this.#long?.close();
    this.#long = null;
    this.#waiting.clear();
    this.#watchList.clear();
    this.#frames = [];
    this.#host.context.closeSession(this, this.#reason);
  }

  onDrain(): void {
    this.#outputFull = false;
    this.flush();
  }

  #read(): void {
    if (this.#holding) return;
    this.#writing(() => {
      try {
        this.#readAll();
      } catch (error) {
        if (!(error instanceof ConnectionError)) throw error;
        this.#refuse(error);
      }
    });
  }

  #readAll(): void {
    let heard = false;
    while (this.#phase === 'open' && !this.#holding) {
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
    if (!this.connected && message.action !== 'connect') this.#answer('error', message, NOT_CONNECTED);
    else if (message.fault !== null) this.#answerFault(message, message.fault);
    else if (message.credentials !== null) this.#authenticate(message, message.credentials);
    else this.#handle(message);
  }

  /** On CONNECT they open the session, elsewhere they have to be good for their message. */
  #authenticate(message: HavenMessage, credentials: Credentials): void {
    this.#holding = true;
    this.#adjustReading();
    this.#host.context.authenticate(credentials, this).then(
      (identity) => this.#authenticated(message, identity, null),
      (error: unknown) => this.#authenticated(message, null, error),
    );
  }

  #authenticated(message: HavenMessage, identity: Identity | null, error: unknown): void {
    this.#holding = false;
    if (this.#phase === 'ended') return;
    this.#writing(() => {
      if (identity === null) {
        this.#answerFault(message, asRequestError(error));
        return;
      }
      if (message.action === 'connect') this.identity = identity;
      this.#handle(message);
    });
    this.#read();
  }

  #handle(message: HavenMessage): void {
    try {
      switch (message.action) {
        case 'connect':
          return this.#connect(message);
        case 'heartbeat':
          return this.#heartbeat(message);
        case 'data':
          return this.#data(message);
        case 'control':
          return this.#control(message);
        case 'discover':
          return this.#answer('located', message, null);
        case null:
          throw new RequestError('UNKNOWN_OPERATION', 'no such message');
      }
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#answerFault(message, error);
    }
  }

  #connect(message: HavenMessage): void {
    if (this.connected) throw new RequestError('INVALID_REQUEST', 'this connection has its session already');
    const refusal = refusalOf(message);
    if (refusal !== null) {
      this.#answer('error', message, refusal);
      this.#beginEnd(new ConnectionError('UNSUPPORTED_VERSION', refusal.message));
      return;
    }
    const { heartbeatMs, heartbeatMinMs, heartbeatMaxMs } = this.#host.config;
    this.heartbeatMs = Math.min(Math.max(message.heartbeatMs ?? heartbeatMs, heartbeatMinMs), heartbeatMaxMs);
    this.connected = true;
    this.#deframer.limits = this.#host.full;
    this.#host.connected(this);
    this.#answer('connected', message, null);
  }

  #heartbeat(message: HavenMessage): void {
    if (message.type !== null && message.type !== 'ping') throw new RequestError('INVALID_REQUEST', 'the type of a heartbeat is ping');
    this.#answer('pong', message, null);
  }

  /** What comes next is taken when this is done, and sees it. */
  #control(message: HavenMessage): void {
    this.#holding = true;
    this.#adjustReading();
    this.#host.control.become(message, this.identity, this.peer).then(
      (uuid) => this.#controlled(() => this.#answer('became', message, null, uuid)),
      (error: unknown) => this.#controlled(() => this.#answerFault(message, this.#asFault(error))),
    );
  }

  #controlled(answer: () => void): void {
    this.#holding = false;
    if (this.#phase === 'ended') return;
    this.#writing(answer);
    this.#read();
  }

  #asFault(error: unknown): RequestError {
    if (error instanceof RequestError) return error;
    this.#host.context.log.error({ err: error, session: this.id }, 'a Haven control message failed');
    return new RequestError('INTERNAL', 'the gateway failed on this request');
  }

  #data(message: HavenMessage): void {
    switch (message.type) {
      case 'create':
      case 'write':
      case 'update':
        return this.#submit(writeRequest(this, message));
      case 'read':
        return this.#submit(readRequest(this, message, this.#host.config.readMaxItems));
      case 'delete':
        return this.#submit(deleteRequest(this, message));
      case 'watch':
        return this.#watch(message);
      case 'unwatch':
        return this.#unwatch(message);
      default:
        return this.#submit(transactionRequest(this, message));
    }
  }

  #watch(message: HavenMessage): void {
    if (message.push && message.shape === 'array') {
      throw new RequestError('UNSUPPORTED', 'push needs the map shape: a pushed array could not be told from an answer');
    }
    const { maxWatches } = this.#host.config;
    if (this.#watches.size >= maxWatches) throw new RequestError('LIMIT_EXCEEDED', `a session has at most ${maxWatches} watches`);
    const pattern = watchPattern(message);
    this.#lastWatch += 1;
    const subscription = new Subscription(this, null, pattern, SUBSCRIBED, this.#lastWatch);
    const watch: Watch = { id: this.#lastWatch, push: message.push, subscription };
    this.#watches.set(watch.id, watch);
    const initial: Pattern | null = message.initial ? pattern : null;
    this.#submit(new SubscribeRequest('subscribe', this, null, subscription, initial, new Watching(message, watch)));
  }

  #unwatch(message: HavenMessage): void {
    if (message.watch === null && message.path === null) throw new RequestError('INVALID_REQUEST', 'unwatch needs watch or path');
    const ending = [...this.#watches.values()].filter((watch) =>
      message.watch === null ? watch.subscription.pattern.text === message.path : watch.id === message.watch,
    );
    if (ending.length === 0) throw new RequestError('NOT_FOUND', 'there is no such watch');
    for (const [index, { id, subscription }] of ending.entries()) {
      this.#watches.delete(id);
      const tag = new Unwatching(message, index === ending.length - 1);
      this.#submit(new SubscribeRequest('unsubscribe', this, null, subscription, null, tag));
    }
  }

  #submit(request: Request): void {
    this.#submitted += 1;
    this.#host.context.submit(request);
  }

  // ---------------------------------------------------------------- answering

  #answerFault(message: HavenMessage, fault: RequestError): void {
    this.#answer('error', message, havenError(fault));
  }

  /** At once, or when all requests before it are answered. */
  #answer(kind: LocalAnswer['kind'], message: HavenMessage, error: HavenError | null, uuid = ''): void {
    const answer: LocalAnswer = { message, kind, error, uuid, behind: this.#submitted };
    if (this.#submitted === this.#replied && this.#waiting.length === 0) {
      this.#writeLocal(answer);
      return;
    }
    this.#waiting.push(answer);
    if (this.#waiting.length > WAITING_MAX) this.#adjustReading();
  }

  #writeLocal(answer: LocalAnswer): void {
    const { writer } = this.#host;
    this.#writePushed();
    const mark = this.#beginFrame();
    switch (answer.kind) {
      case 'connected':
        codec.encodeConnected(writer, answer.message, this.#welcome());
        break;
      case 'pong':
        codec.encodePong(writer, answer.message, this.#watchList, this.#host.state());
        this.#watchList.clear();
        break;
      case 'became':
        codec.encodeBecame(writer, answer.message, answer.uuid);
        break;
      case 'located':
        this.#encodeLocated(answer.message);
        break;
      case 'error':
        codec.encodeError(writer, answer.message, answer.error as HavenError, !this.connected);
    }
    this.#endFrame(mark);
  }

  #encodeLocated(message: HavenMessage): void {
    try {
      const found = this.#host.control.discover(message);
      if (found === null) throw new RequestError('NOT_FOUND', 'there is no such thing here');
      codec.encodeLocated(this.#host.writer, message, pack(this.#locationOf(found)));
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#encodeError(message, error);
    }
  }

  /** The address is the one by which the peer reached this node. */
  #locationOf(found: Found): Value {
    const { node } = this.#host.context;
    const address = this.#link.localAddress.replace(/^::ffff:(?=\d+\.)/, '');
    const location = { address, port: this.#host.port, uuid: found.uuid, role: found.role, versions: [String(VERSION)] };
    return found.role === 'leader' ? { ...location, path: found.path, leader: node.id, members: [node.id] } : location;
  }

  #welcome(): codec.Welcome {
    const { node } = this.#host.context;
    return { session: this.id, nodeId: node.id, nodeName: node.name, heartbeatMs: this.heartbeatMs };
  }

  flush(): void {
    if (this.#phase === 'ended') return;
    if (this.#long === null) this.#writing(() => this.#drain());
    else this.#stepSoon();
  }

  #drain(): void {
    const { outbound } = this;
    while (this.#long === null && !this.#isFull) {
      const message = outbound.peek();
      if (message === undefined) break;
      const subscription = outbound.peekSubscription();
      outbound.shift();
      if (message.kind === 'reply') this.#onReply(message);
      else if (subscription !== null) this.#onPublication(message, subscription);
    }
    this.#writePushed();
  }

  get #isFull(): boolean {
    return this.#link.bufferedBytes + this.#host.writer.length > HIGH_WATER_BYTES;
  }

  #onReply(reply: Reply): void {
    const { tag } = reply.request;
    this.#writePushed();
    if (tag instanceof Watching) this.#onWatching(reply, tag);
    else if (tag instanceof HavenMessage && reply.entriesBytes > SHORT_BYTES) this.#long = this.#itemsOf(reply, tag);
    else if (tag instanceof HavenMessage) this.#writeReply(reply, tag);
    else if (tag instanceof Unwatching && tag.last) this.#writeReply(reply, tag.message);
    if (this.#long === null) this.#onReplied();
    else this.#step();
  }

  /** A request of the core was answered: what the core had no part in and waited for that is answered, too. */
  #onReplied(): void {
    this.#replied += 1;
    for (let next = this.#waiting.peek(); next !== undefined && next.behind <= this.#replied; next = this.#waiting.peek()) {
      this.#waiting.shift();
      this.#writeLocal(next);
    }
  }

  #onWatching(reply: Reply, { message, watch }: Watching): void {
    if (reply.error !== null) this.#watches.delete(watch.id);
    const mark = this.#beginFrame();
    if (reply.error !== null) this.#encodeError(message, reply.error);
    else codec.encodeWatching(this.#host.writer, message, watch.id);
    this.#endFrame(mark);
    const source = reply.source();
    if (reply.error !== null || source === null) return;
    this.#long = new InitialEvents(source, this.#outlet, (tail) => {
      if (this.#watches.get(watch.id) !== watch) return false;
      this.#onEvent(watch, tail);
      return true;
    });
  }

  // ---------------------------------------------------------------- long answers

  #itemsOf(reply: Reply, message: HavenMessage): LongAnswer {
    return new ItemsAnswer(reply.source() as EntrySource, message, message.limit as number, queryOf(reply.request), this.#outlet);
  }

  get #outlet(): Outlet {
    const { writer } = this.#host;
    const isPrefixed = this.#deframer.framing === 'prefixed';
    return { writer, link: this.#link, format: msgpack, isPrefixed, isFull: () => this.#isFull };
  }

  #step(): void {
    const long = this.#long as LongAnswer;
    const progress = this.#progressOf(long);
    this.#writePushed();
    if (progress === 'more') {
      this.#stepSoon();
    } else if (progress === 'done') {
      this.#long = null;
      long.close();
      this.#onReplied();
    }
  }

  /** Of an answer that cannot be written, the peer is told so as long as it has nothing of it. */
  #progressOf(long: LongAnswer): Progress {
    const { length } = this.#host.writer;
    try {
      return long.step();
    } catch (error) {
      if (long.message === null) throw error;
      this.#host.writer.discard(length);
      const mark = this.#beginFrame();
      this.#onUnwritable(long.message, this.#host.writer.length, error);
      this.#endFrame(mark);
      return 'done';
    }
  }

  #stepSoon(): void {
    if (this.#isStepScheduled) return;
    this.#isStepScheduled = true;
    this.#host.context.inShift(this, this.#goOn);
  }

  readonly #goOn = (): void => {
    this.#isStepScheduled = false;
    if (this.#phase === 'ended' || this.#long === null) return;
    this.#writing(() => {
      this.#step();
      this.#drain();
    });
  };

  // ---------------------------------------------------------------- short answers

  #writeReply(reply: Reply, message: HavenMessage): void {
    const { writer } = this.#host;
    const mark = this.#beginFrame();
    const length = writer.length;
    try {
      this.#encodeReply(reply, message);
    } catch (error) {
      this.#onUnwritable(message, length, error);
    }
    this.#endFrame(mark);
  }

  /** Says so instead of what was written behind the first `length` bytes. */
  #onUnwritable(message: HavenMessage, length: number, error: unknown): void {
    this.#host.context.log.error({ err: error, session: this.id }, 'an answer could not be written');
    this.#host.writer.discard(length);
    this.#encodeError(message, new RequestError('INTERNAL', 'the answer could not be written'));
  }

  #encodeReply(reply: Reply, message: HavenMessage): void {
    const { writer } = this.#host;
    const { request, error, entry } = reply;
    if (error !== null) {
      this.#encodeError(message, error);
      return;
    }
    switch (request.op) {
      case 'set':
        return codec.encodeWritten(writer, message, entry as Entry);
      case 'remove':
        return codec.encodeRemoved(writer, message, reply.count);
      case 'transaction':
        return codec.encodeRevisions(writer, message, reply.revisions as readonly number[]);
      case 'get':
        return this.#encodeFound(reply, message, request.options.query);
      default:
        return codec.encodeDone(writer, message);
    }
  }

  #encodeFound({ entry, entries }: Reply, message: HavenMessage, query: Query | null): void {
    const { writer } = this.#host;
    if (entries !== null) {
      const limit = message.limit as number;
      const more = entries.length > limit;
      codec.encodeItems(writer, message, more ? entries.slice(0, limit) : entries, more, query, msgpack);
    } else if (entry !== null) {
      codec.encodeRead(writer, message, entry, query, msgpack);
    } else {
      const what = query?.hasCriteria === true ? 'no record at this path meets the criteria' : 'there is no record at this path';
      this.#encodeError(message, new RequestError('NOT_FOUND', what));
    }
  }

  #encodeError(message: HavenMessage, error: RequestError): void {
    codec.encodeError(this.#host.writer, message, havenError(error), false);
  }

  // ---------------------------------------------------------------- events

  #onPublication(publication: Publication, subscription: Subscription): void {
    const watch = this.#watches.get(subscription.tag as number);
    if (watch === undefined) return;
    let tail = publication.frame(FRAME_KEY) as codec.EventTail | undefined;
    if (tail === undefined) {
      tail = codec.encodeEventTail(this.#host.writer, publication, msgpack);
      publication.keepFrame(FRAME_KEY, tail);
    }
    this.#onEvent(watch, tail);
  }

  #onEvent(watch: Watch, tail: codec.EventTail): void {
    if (watch.push) {
      this.#pushed.push({ watch: watch.id, tail });
      return;
    }
    const gone = this.#watchList.push(watch.id, tail);
    if (gone === 0) return;
    this.#host.missed.add(gone);
    if (this.#watchList.missed !== gone) return;
    this.#host.context.log.warn(
      { session: this.id, peer: this.peer, events: this.#watchList.length },
      'a watchlist is full: its oldest events go until the next heartbeat',
    );
  }

  /** Pushed events that stand side by side go in one pong. */
  #writePushed(): void {
    const events = this.#pushed;
    if (events.length === 0) return;
    this.#pushed = [];
    const { writer } = this.#host;
    const mark = this.#beginFrame();
    codec.beginPushed(writer, events.length);
    for (const { watch, tail } of events) codec.encodeEvent(writer, watch, tail);
    this.#endFrame(mark);
  }

  // ---------------------------------------------------------------- the link

  /** Whatever `write` writes goes out together; then what follows from it being said. */
  #writing(write: () => void): void {
    const { writer } = this.#host;
    this.#link.cork();
    try {
      write();
    } catch (error) {
      // Not the peer's fault alone, but the end of its connection alone.
      writer.discard();
      this.#host.context.log.error({ err: error, session: this.id, peer: this.peer }, 'a Haven connection failed');
      this.close(new ConnectionError('STORE_FAILED', 'the gateway failed on this connection'));
    }
    if (writer.length > 0) this.#link.send(writer.take());
    this.#link.uncork();
    if (this.#link.bufferedBytes > HIGH_WATER_BYTES) this.#outputFull = true;
    if (this.#phase === 'ending' && this.idle && this.outbound.length === 0) this.#end();
    else this.#adjustReading();
  }

  #beginFrame(): number {
    const { writer } = this.#host;
    return this.#deframer.framing === 'prefixed' ? writer.beginPrefixed() : writer.length;
  }

  #endFrame(mark: number): void {
    const { writer } = this.#host;
    if (this.#deframer.framing === 'prefixed') writer.endPrefixed(mark);
    if (this.#link.byMessage) this.#link.send(writer.take());
  }

  pauseReading(): void {
    this.#adjustReading();
  }

  resumeReading(): void {
    this.#adjustReading();
  }

  #adjustReading(): void {
    const read = this.#phase !== 'open' || !(this.paused || this.#holding || this.#outputFull || this.#waiting.length > WAITING_MAX);
    if (read === this.#reading) return;
    this.#reading = read;
    if (read) this.#link.resume();
    else this.#link.pause();
  }

  // ---------------------------------------------------------------- the end

  /** What was wrong is answered in its place, then the connection ends. */
  #refuse(error: ConnectionError): void {
    this.#host.malformed.add();
    this.#host.context.log.info({ session: this.id, peer: this.peer, code: error.code }, `Haven: ${error.message}`);
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
    this.#answer('error', new HavenMessage(this.#shape), { name: connectionErrorName(error.code), message: error.message });
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

  /** Answers what is in flight, then ends; for a stop. */
  finish(reason: ConnectionError): void {
    this.#beginEnd(reason);
  }

  close(error: ConnectionError | null): void {
    if (this.#phase === 'ended') return;
    this.#reason = error;
    if (error !== null && ABRUPT.has(error.code)) {
      this.destroy();
      return;
    }
    if (error !== null && TOLD.has(error.code) && this.idle) {
      const told = error;
      this.#writing(() => this.#sayEnd(told));
    }
    this.#end();
  }

  destroy(): void {
    this.#phase = 'ended';
    this.#host.context.closeSession(this, this.#reason);
    this.#link.destroy();
  }
}

/** Magic first, as havend looks at them; the map shape may leave it out. */
function refusalOf(message: HavenMessage): HavenError | null {
  const { magic, version, shape } = message;
  if (magic === null ? shape === 'array' : magic !== MAGIC) {
    return { name: 'BAD_MAGIC', message: 'the magic number is not that of Haven' };
  }
  if (version === VERSION || version === String(VERSION)) return null;
  return { name: 'UNSUPPORTED_VERSION', message: `the version spoken here is ${VERSION}` };
}

function queryOf(request: Request): Query | null {
  return request.op === 'get' ? request.options.query : null;
}

function asRequestError(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  return new RequestError('INTERNAL', 'the credentials could not be looked at', { cause: error });
}
