// One happn connection: what its frames ask for, what it is answered, and what it hears. The socket is the identity.

import { randomBytes, randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import {
  type AdapterContext,
  ConnectionError,
  type ConnectionErrorCode,
  type Credentials,
  type DataRequest,
  type Entry,
  type Formats,
  type Pattern,
  type Publication,
  type Receipt,
  type Reply,
  RequestError,
  type RequestId,
  Session,
  SubscribeRequest,
  Subscription,
} from '../../core/index.js';
import type { Acknowledgements } from './acknowledgements.js';
import { type Added, Channels, type ChannelState } from './channels.js';
import * as codec from './codec.js';
import { fieldsOf, isFields } from './fields.js';
import { checkFrameText, checkNumbers, parseFrame, peekFrame } from './frame-text.js';
import { type FrameWriter, textFrame } from './frames.js';
import { checkRequestPath, declaredDepth, effectiveDepth, hasDepth, initialEntries, isForeignResponse, queryPattern } from './paths.js';
import { ACKNOWLEDGED, type Note, noteOf, type Results, resultsOf, TRANSACTIONAL } from './publishing.js';
import { decodeGet, decodeRemove, decodeSet, decodeTag, isTag, snapshot, TagStep } from './requests.js';
import type { HappnLayers } from './layers.js';
import { type Owner, SessionLayers, type Sink } from './session-layers.js';
import { ListStream, WHOLE_BYTES } from './list-stream.js';
import { mergeHearsRequest, UNCONFIGURED, type Version, versionNamed } from './versions.js';
import { CONTROL, FIRST_FRAME_LIMITS, type Fields, type Frame, type FrameLimits, MESSAGES, SERVER_CLOSE_FRAME } from './wire.js';

/** Draining stops while the socket holds more than this. */
const HIGH_WATER_BYTES = 1024 * 1024;
const PING = new RegExp(`^"${CONTROL.ping}(\\d{1,20})"$`);
const ID_REQUEST = JSON.stringify(CONTROL.id);
const COOKIE_NAME = 'happn_token';

/** What a session needs of its adapter. */
export interface Host {
  readonly context: AdapterContext;
  readonly writer: FrameWriter;
  readonly limits: FrameLimits;
  /** Calls `flush` soon, once. */
  touch(session: HappnSession): void;
  /** The session has sent its first valid request. */
  settled(session: HappnSession): void;
  ended(session: HappnSession): void;
  /** Sessions that called themselves members of a cluster. */
  readonly clusterMembers: Set<Session>;
  readonly acknowledgements: Acknowledgements;
  /** Absent: none, and messages take the short way. */
  readonly layers?: HappnLayers | null;
}

/** What the upgrade said about the peer, as it appears in the answer to a login. */
export interface Peer {
  /** JSON text of the properties `headers`, `encrypted`, `address` and `url`. */
  readonly described: string;
  /** Address and port, for the log. */
  readonly address: string;
}

const PAUSED_BY_ENGINE = 1;
const PAUSED_BY_ANSWERS = 2;
const PAUSED_BY_STOP = 4;
const PAUSED_BY_LAYERS = 8;
/** Reading stops while more requests than this wait for layers. */
const LAYERS_HIGH_WATER = 64;

/** Ends that are not announced: the peer is gone, deaf or hostile. */
const ABRUPT: ReadonlySet<ConnectionErrorCode> = new Set([
  'SLOW_CONSUMER',
  'PEER_SILENT',
  'CONNECT_TIMEOUT',
  'FRAME_TOO_LARGE',
  'MALFORMED_FRAME',
]);

/** Tag of the request that answers an `on`. */
interface OnTag {
  readonly frame: Frame;
  readonly added: Added;
  /** Registered only to read initial values, or only to ask: it hears nothing, and goes when it is answered. */
  readonly probe: Subscription | null;
}

/** Tag of the request that makes the wider subscription of a channel. */
interface WidenTag {
  readonly channel: ChannelState;
  readonly replaced: Subscription;
}

/** Shared tag of all the requests that an `off` leads to. */
interface OffTag {
  readonly frame: Frame;
  readonly answer: string;
  remaining: number;
}

export class HappnSession extends Session implements Owner {
  version: Version = UNCONFIGURED;
  /** Something came since the last sweep. */
  heard = true;
  /** Monotonic milliseconds: accepted, and last heard as of a sweep. */
  readonly openedAt: number;
  lastHeardAt: number;
  /** Heartbeats sent without any sign of life since. */
  unanswered = 0;
  /** Since when only a part of a message has come; 0: no such part. */
  partialSince = 0;
  /** No valid request yet. */
  fresh = true;
  readonly #host: Host;
  readonly #formats: Formats;
  readonly #websocket: WebSocket;
  readonly #socket: Duplex;
  readonly #peer: Peer;
  readonly #channels: Channels;
  readonly #layers: SessionLayers | null;
  /** Finished frame texts that came from no queue of the core. */
  #answers: string[] = [];
  #answerBytes = 0;
  /** The answer that is under way; everything else waits until it is complete. */
  #list: ListStream | null = null;
  #isListScheduled = false;
  #paused = 0;
  #ending = false;
  #messages = 0;
  #controls = 0;
  /** Whole messages and socket bytes that the last look at `isPartial` saw. */
  #seenMessages = 0;
  #seenBytes = 0;
  /** What the client calls its protocol; version 1 has many names. */
  #protocolName: string = UNCONFIGURED.protocol;
  /** As the client told it; null: it told nothing. */
  #clientVersion: string | null = null;
  #browser = false;
  #complained = false;

  constructor(host: Host, websocket: WebSocket, socket: Duplex, peer: Peer) {
    super(randomUUID(), 'happn', false);
    this.#host = host;
    this.#formats = host.context.formats;
    this.#websocket = websocket;
    this.#socket = socket;
    this.#peer = peer;
    this.#channels = new Channels(this);
    this.#layers = host.layers ? new SessionLayers(this, host.context, host.limits, host.layers) : null;
    this.openedAt = host.context.clock.monotonic();
    this.lastHeardAt = this.openedAt;
  }

  get ending(): boolean {
    return this.#ending;
  }

  // -------------------------------------------------------------- in

  /** One websocket message. Whatever it holds, only this connection can suffer from it. */
  onMessage(bytes: Buffer, isBinary: boolean): void {
    this.heard = true;
    if (this.#ending) return;
    this.#messages += 1;
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
    this.heard = true;
    this.#controls += 1;
  }

  /** Whether bytes have come since the last look that are no whole message yet. */
  isPartial(): boolean {
    const messages = this.#messages + this.#controls;
    const bytes = 'bytesRead' in this.#socket ? (this.#socket.bytesRead as number) : 0;
    if (messages === this.#seenMessages) return bytes > this.#seenBytes;
    this.#seenMessages = messages;
    this.#seenBytes = bytes;
    return false;
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
      if (this.#layers === null) this.passed(frame);
      else this.#takeLayers(this.#layers, frame);
    } catch (error) {
      this.#fail(frame ?? peekFrame(text), error);
    }
  }

  /** What is asked for, once it has passed the layers, if there are any. Throws RequestError. */
  passed(frame: Frame): void {
    if (this.#ending) return;
    this.#handle(frame);
    if (this.fresh) this.#settle();
    if (this.#layers !== null && this.#layers.waiting <= LAYERS_HIGH_WATER) this.#resume(PAUSED_BY_LAYERS);
  }

  refuse(frame: Frame, error: unknown): void {
    if (this.#ending) return;
    this.#fail(frame, error);
    if (this.#layers !== null && this.#layers.waiting <= LAYERS_HIGH_WATER) this.#resume(PAUSED_BY_LAYERS);
  }

  finished(): void {
    if (!this.#ending) this.#host.touch(this);
  }

  #takeLayers(layers: SessionLayers, frame: Frame): void {
    layers.take(frame);
    if (layers.waiting > LAYERS_HIGH_WATER) this.#pause(PAUSED_BY_LAYERS);
  }

  #settle(): void {
    this.fresh = false;
    this.#host.settled(this);
  }

  #onControl(text: string): void {
    const ping = PING.exec(text);
    if (ping !== null) {
      if (this.fresh) this.#settle();
      this.#answer(`"${CONTROL.pong}${ping[1]}"`);
    } else if (text === ID_REQUEST) {
      this.#answer(`"${CONTROL.id}${this.id}"`);
    }
  }

  #ignore(what: string): void {
    this.#host.context.counters.counter('happn_frames_ignored_total', 'Frames that are not of the happn protocol').add();
    if (this.#complained) return;
    this.#complained = true;
    this.#host.context.log.info({ session: this.id, peer: this.#peer.address }, `ignoring ${what} (said once a connection)`);
  }

  #fail(frame: Frame, error: unknown): void {
    if (error instanceof RequestError) {
      this.#answer(codec.encodeError(frame, this, error));
      return;
    }
    this.#host.context.log.error({ err: error, session: this.id, action: frame.action }, 'a frame could not be handled');
    this.#answer(codec.encodeError(frame, this, new RequestError('INTERNAL', 'the gateway failed on this request')));
  }

  /** Throws RequestError. */
  #handle(frame: Frame): void {
    if (frame.encrypted !== undefined || (isFields(frame.data) && isSealed(frame))) {
      throw new RequestError('INVALID_REQUEST', MESSAGES.encrypted);
    }
    switch (frame.action) {
      case 'set':
        return this.#submitData(isTag(frame) ? decodeTag(frame, this) : decodeSet(frame, this, this.#formats));
      case 'get':
      case 'count':
        return this.#submitData(decodeGet(frame, this));
      case 'remove':
        return this.#submitData(decodeRemove(frame, this));
      case 'on':
        return this.#on(frame);
      case 'off':
        return this.#off(frame);
      case 'configure-session':
        return this.#configure(frame);
      case 'describe':
        return this.#describe(frame);
      case 'login':
        return this.#login(frame);
      case 'request-nonce':
        return this.#nonce(frame);
      case 'ack':
        if (typeof frame.data === 'string') this.#host.acknowledgements.acknowledge(this, frame.data);
        return this.#answer(codec.encodeOk(frame, this, 'null'));
      case 'disconnect':
      case 'disconnect-child-sessions':
      case 'revoke-session':
        return this.#answer(codec.encodeOk(frame, this, 'null'));
      case 'change-password':
      case 'revoke-token':
        throw new RequestError('INVALID_REQUEST', `Cannot ${frame.action} Not Secure`);
      default:
        throw new RequestError('UNKNOWN_OPERATION', `unknown action: ${String(frame.action).slice(0, 100)}`);
    }
  }

  #submitData(request: DataRequest): void {
    if (noteOf(request.options)?.consistency === ACKNOWLEDGED) this.#host.acknowledgements.open(this, request.id);
    this.#host.context.submit(request);
  }

  // -------------------------------------------------------------- handshake

  #configure(frame: Frame): void {
    const data = fieldsOf(frame.data, 'data');
    if (typeof data.protocol !== 'string') throw new RequestError('INVALID_REQUEST', 'data.protocol must be a string');
    const version = versionNamed(data.protocol);
    if (version === null) {
      const text = `the protocol ${data.protocol.slice(0, 40)} is not spoken here`;
      this.#answer(codec.encodeError(frame, this, new RequestError('UNSUPPORTED', text)));
      this.close(new ConnectionError('UNSUPPORTED_VERSION', text));
      return;
    }
    this.version = version;
    this.#protocolName = data.protocol.slice(0, 64);
    this.#clientVersion = typeof data.version === 'string' ? data.version.slice(0, 64) : 'unknown';
    this.#channels.refresh(version.protocol, this.#hearsRequest);
    this.#browser = data.browser === true;
    this.#answer(codec.encodeOk(frame, this, 'null'));
  }

  get #hearsRequest(): boolean {
    return this.#clientVersion !== null && mergeHearsRequest(this.#clientVersion);
  }

  #describe(frame: Frame): void {
    const about = { name: this.#host.context.node.name, secure: false };
    // Browsers keep their token in a cookie of this name.
    const data = this.#browser ? { cookieName: COOKIE_NAME, ...about } : about;
    this.#answer(codec.encodeOk(frame, this, codec.jsonText(data)));
  }

  #login(frame: Frame): void {
    const data = fieldsOf(frame.data, 'data');
    this.#host.context.authenticate(credentialsIn(data), this).then(
      (identity) => {
        if (this.#ending) return;
        this.identity = identity;
        this.#noteCluster(data.info);
        this.#answer(codec.encodeOk(frame, this, this.#sessionText(data.info)));
      },
      (error: unknown) => {
        if (!this.#ending) this.#fail(frame, error);
      },
    );
  }

  #noteCluster(info: unknown): void {
    if (isFields(info) && info.clusterName) this.#host.clusterMembers.add(this);
    else this.#host.clusterMembers.delete(this);
  }

  /** The session as its client sees it. */
  #sessionText(info: unknown): string {
    const happn = codec.jsonText({ name: this.#host.context.node.name, secure: false });
    const version = this.#clientVersion === null ? '' : `,"version":${codec.jsonText(this.#clientVersion)}`;
    const shown = info === undefined ? '' : `,"info":${codec.jsonText(info)}`;
    return (
      `{"msgCount":${this.#messages},"id":"${this.id}","protocol":${codec.jsonText(this.#protocolName)},"happn":${happn},` +
      `${this.#peer.described}${version}${shown}}`
    );
  }

  #nonce(frame: Frame): void {
    const { publicKey } = fieldsOf(frame.data, 'data');
    if (typeof publicKey !== 'string' || publicKey === '') throw new RequestError('INVALID_REQUEST', MESSAGES.noPublicKey);
    this.#answer(codec.encodeNonce(frame, this, randomBytes(32).toString('base64')));
  }

  // -------------------------------------------------------------- subscriptions

  #on(frame: Frame): void {
    const path = checkRequestPath(frame.path);
    const options = fieldsOf(frame.options, 'options');
    // As a mesh node does it: whoever asks does not learn that there is nothing to be heard.
    if (isForeignResponse(path, this.id)) return this.#answer(codec.encodeOk(frame, this, `{"id":${this.#host.context.clock.now()}}`));
    const added = this.#channels.add(path, options, this.version, this.#hearsRequest);
    const { channel, made, replaced, reference } = added;
    if (channel.subscription === null) {
      this.#answer(wantsInitial(options) ? codec.encodeOnInitial(frame, this, reference, []) : this.#onText(frame, reference));
      return;
    }
    const initial = wantsInitial(options) ? this.#initialPattern(channel) : null;
    if (made !== null && replaced === null) {
      this.#subscribe(made, initial, { frame, added, probe: null });
      return;
    }
    if (made !== null && replaced !== null) {
      channel.replacing += 1;
      this.#subscribe(made, null, { channel, replaced });
    }
    const probe = new Subscription(this, null, channel.subscription.pattern, PROBE_OPTIONS, channel);
    this.#subscribe(probe, initial, { frame, added, probe });
  }

  /** A key that could be subscribed can be read: the grammar of queries is the wider one. */
  #initialPattern(channel: ChannelState): Pattern {
    return queryPattern(channel.key);
  }

  #subscribe(subscription: Subscription, initial: Pattern | null, tag: OnTag | WidenTag): void {
    this.#host.context.submit(new SubscribeRequest('subscribe', this, null, subscription, initial, tag));
  }

  #unsubscribe(subscription: Subscription, tag: OffTag | ChannelState | null): void {
    this.#host.context.submit(new SubscribeRequest('unsubscribe', this, null, subscription, null, tag));
  }

  #onText(frame: Frame, reference: string): string {
    return codec.encodeOk(frame, this, `{"id":"${reference}"}`);
  }

  #off(frame: Frame): void {
    const path = checkRequestPath(frame.path);
    const options = fieldsOf(frame.options, 'options');
    const { referenceId } = options;
    const named = typeof referenceId === 'string' && referenceId !== '';
    const channels = this.#channelsOf(path);
    const ended: Subscription[] = [];
    for (const channel of named ? this.#released(channels, referenceId) : this.#counted(channels, path, options)) {
      const subscription = this.#channels.drop(channel);
      if (subscription !== null) ended.push(subscription);
    }
    const removed = channels.length === 0 && path !== '*' ? '0' : '[]';
    const data = `{"id":${named ? codec.jsonText(referenceId) : 'false'},"removed":${removed}}`;
    const answer = codec.encodeOk(frame, this, data);
    if (ended.length === 0) {
      this.#answer(answer);
      return;
    }
    const tag: OffTag = { frame, answer, remaining: ended.length };
    for (const subscription of ended) this.#unsubscribe(subscription, tag);
  }

  /** The channels that an `off` may end. */
  #channelsOf(path: string): ChannelState[] {
    const everything = path === '*' || (!this.version.countsListeners && path.endsWith('@*') && path.indexOf('@') === path.length - 2);
    if (everything) return this.#channels.all();
    const channel = this.#channels.find(path);
    return channel === undefined ? [] : [channel];
  }

  /** The channel whose last reference goes with this one. */
  #released(channels: ChannelState[], reference: string): ChannelState[] {
    const channel = this.#channels.dropReference(channels, reference, this.version.protocol, this.#hearsRequest);
    return channel === null || channel.references.size > 0 ? [] : [channel];
  }

  /** All of them; for a client that counts listeners, the channel of which it drops the last. */
  #counted(channels: ChannelState[], path: string, options: Fields): ChannelState[] {
    const { refCount } = options;
    if (!this.version.countsListeners || path === '*' || typeof refCount !== 'number' || refCount < 1) return channels;
    return channels.filter((channel) => {
      channel.listeners -= refCount;
      return channel.listeners <= 0;
    });
  }

  // -------------------------------------------------------------- out

  #answer(text: string): void {
    this.#answers.push(text);
    this.#answerBytes += text.length;
    if (this.#answerBytes + this.#unwritten > HIGH_WATER_BYTES) this.#pause(PAUSED_BY_ANSWERS);
    this.#host.touch(this);
  }

  override flush(): void {
    if (this.#websocket.readyState !== this.#websocket.OPEN) return;
    const { writer } = this.#host;
    try {
      if (!this.#isListScheduled) this.#writeListPiece(writer);
      if (this.#list === null) this.#drainAnswers(this.#layers ?? writer);
      this.#drainOutbound(this.#layers ?? writer);
      if (this.#layers !== null) this.#layers.writeTo(writer);
      writer.writeTo(this.#socket);
    } finally {
      // Only after a fault is anything left: it must not go to the next session.
      writer.clear();
    }
    if (this.#list !== null && !this.#isListScheduled && this.#unwritten < HIGH_WATER_BYTES) {
      this.#isListScheduled = true;
      setImmediate(this.#continueList);
    }
    if (this.#paused !== 0 && this.#answers.length === 0 && this.#unwritten < HIGH_WATER_BYTES) {
      this.#resume(PAUSED_BY_ANSWERS);
    }
  }

  /** Bytes in the socket, and what layers have not let pass yet. */
  get #unwritten(): number {
    return this.#socket.writableLength + (this.#layers === null ? 0 : this.#layers.length);
  }

  #drainAnswers(writer: Sink): void {
    const answers = this.#answers;
    if (answers.length === 0) return;
    this.#answers = [];
    this.#answerBytes = 0;
    for (const text of answers) writer.text(text);
  }

  #drainOutbound(writer: Sink): void {
    const { outbound } = this;
    const room = HIGH_WATER_BYTES - this.#socket.writableLength;
    while (this.#list === null && writer.length < room) {
      const message = outbound.peek();
      if (message === undefined) return;
      const subscription = outbound.peekSubscription();
      outbound.shift();
      if (message.kind === 'publication') this.#writePublication(writer, message, subscription as Subscription);
      else this.#writeReply(writer, message);
    }
  }

  #writePublication(writer: Sink, publication: Publication, subscription: Subscription): void {
    const channel = subscription.tag as ChannelState;
    const note = noteOf(publication.options);
    if (note?.noCluster === true && this.#host.clusterMembers.has(this)) return;
    if (channel.replacing > 0) {
      if (channel.last === publication) {
        // Handed to this session twice, shown once.
        if (note?.consistency === ACKNOWLEDGED) this.#host.acknowledgements.acknowledge(this, codec.publicationId(publication));
        return;
      }
      channel.last = publication;
    }
    const depth = channel.depthFor(publication.path);
    if (depth === -1) return;
    const { protocol } = this.version;
    if (publication.match !== null && publication.match.all.length === 1) {
      writer.text(codec.encodeEvent(publication, protocol, channel.text, depth, channel.raw, this.#formats));
      return;
    }
    const key = depth === channel.eventDepth ? channel.frameKey : channel.keyFor(depth, protocol);
    let frame = publication.frame(key) as Buffer | undefined;
    if (frame === undefined) {
      frame = textFrame(codec.encodeEvent(publication, protocol, channel.text, depth, channel.raw, this.#formats));
      publication.keepFrame(key, frame);
    }
    writer.frame(frame);
  }

  #writeReply(writer: Sink, reply: Reply): void {
    const { request } = reply;
    switch (request.op) {
      case 'set':
      case 'remove':
        this.#writeChange(writer, request, reply);
        return;
      case 'get':
        if (request.tag instanceof TagStep) this.#storeSnapshot(request.tag, reply);
        else this.#writeRead(writer, request, request.tag as Frame, reply);
        return;
      case 'subscribe':
        this.#writeOn(writer, request.subscription, request.tag as OnTag | WidenTag, reply);
        return;
      case 'unsubscribe':
        this.#writeOff(writer, request.tag as OffTag | ChannelState | null, reply);
        return;
      case 'durable':
        return;
    }
  }

  /** Few records are answered whole, many in pieces. */
  #writeRead(writer: Sink, request: DataRequest, frame: Frame, reply: Reply): void {
    const { entries, error } = reply;
    const { query } = request.options;
    if (this.#layers !== null || error !== null || entries === null || query?.count === true || reply.size <= WHOLE_BYTES) {
      writer.text(this.#readText(request, frame, reply));
      return;
    }
    this.#list = new ListStream(entries, codec.itemEncoder(frame, query, this.#formats), codec.listEnd(frame, this));
    this.#writeListPiece(this.#host.writer);
  }

  #writeListPiece(writer: FrameWriter): void {
    const list = this.#list;
    if (list === null) return;
    const { text, first, last } = list.next();
    writer.fragment(text, first, last);
    if (last) this.#list = null;
  }

  readonly #continueList = (): void => {
    this.#isListScheduled = false;
    if (!this.#ending) this.flush();
  };

  #readText(request: DataRequest, frame: Frame, reply: Reply): string {
    if (reply.error !== null) return codec.encodeError(frame, this, reply.error);
    const { query } = request.options;
    if (query?.count === true) return codec.encodeOk(frame, this, `{"value":${reply.count}}`);
    if (request.pattern === null) return codec.encodeGet(frame, this, reply.entry, query, this.#formats);
    return codec.encodeGetMany(frame, this, reply.entries ?? [], query, this.#formats);
  }

  /** The answer to a set or remove, and what else its publisher is told. */
  #writeChange(writer: Sink, request: DataRequest, reply: Reply): void {
    const note = noteOf(request.options);
    if (note === null || reply.error !== null) {
      if (note?.consistency === ACKNOWLEDGED) this.#host.acknowledgements.drop(this, request.id);
      writer.text(this.#changeText(request, reply, reply.published, null));
      return;
    }
    const results = reply.receipt === null ? null : resultsOf(reply.receipt, note, this.#host.clusterMembers);
    if (note.consistency === TRANSACTIONAL) {
      writer.text(this.#changeText(request, reply, reply.published, note.results ? results : null));
      return;
    }
    writer.text(this.#changeText(request, reply, false, null));
    if (!this.version.publicationNotices) {
      if (note.consistency === ACKNOWLEDGED) this.#host.acknowledgements.drop(this, request.id);
      return;
    }
    const frame = frameOf(request);
    if (note.consistency !== ACKNOWLEDGED) writer.text(codec.encodePublicationAck(frame, this, results as Results, null, true));
    else this.#awaitAcknowledgements(frame, request.id, reply.receipt as Receipt, note);
  }

  #awaitAcknowledgements(frame: Frame, id: RequestId, receipt: Receipt, note: Note): void {
    const { acknowledgements, clusterMembers } = this.#host;
    const results = resultsOf(receipt, note, clusterMembers);
    const leftOut = (session: Session): boolean => note.noCluster && clusterMembers.has(session);
    acknowledgements.begin(this, id, receipt, leftOut, (acknowledged, complete) => {
      if (!this.#ending) this.#answer(codec.encodePublicationAck(frame, this, results, acknowledged, complete));
    });
  }

  #changeText(request: DataRequest, reply: Reply, published: boolean, results: Results | null): string {
    const frame = frameOf(request);
    if (reply.error !== null) return codec.encodeError(frame, this, reply.error);
    if (request.op === 'remove') return codec.encodeRemove(frame, this, reply, published, results);
    if (!(request.tag instanceof TagStep)) return codec.encodeSet(frame, this, reply, published, results, this.#formats);
    const { path, name } = request.tag;
    return codec.encodeTag(frame, this, reply.entry as Entry, path, name, published, this.#formats);
  }

  /** The record that is tagged was read: its snapshot is stored. */
  #storeSnapshot(step: TagStep, reply: Reply): void {
    try {
      if (reply.error !== null) throw reply.error;
      this.#submitData(snapshot(step, reply.entry, this, this.#formats));
    } catch (error) {
      this.#fail(step.frame, error);
    }
  }

  #writeOn(writer: Sink, subscription: Subscription, tag: OnTag | WidenTag, reply: Reply): void {
    if ('replaced' in tag) {
      this.#widened(subscription, tag, reply.error);
      return;
    }
    const { frame, added, probe } = tag;
    if (probe !== null && reply.error === null) this.#unsubscribe(probe, null);
    if (reply.error !== null) {
      this.#undoOn(added, probe === null);
      writer.text(codec.encodeError(frame, this, reply.error));
      return;
    }
    if (reply.entries === null) {
      writer.text(this.#onText(frame, added.reference));
      return;
    }
    const items = this.#initialItems(added.channel, frame, reply.entries);
    writer.text(codec.encodeOnInitial(frame, this, added.reference, items));
    if (!this.version.emitsInitialValues || fieldsOf(frame.options, 'options').initialEmit !== true) return;
    for (const item of items) writer.text(codec.encodeInitialEvent(frame, this, added.channel.text, item));
  }

  /** The wider subscription stands: the one that it replaces can go. */
  #widened(made: Subscription, tag: WidenTag, error: RequestError | null): void {
    const { channel, replaced } = tag;
    if (error === null) {
      this.#unsubscribe(replaced, channel);
      return;
    }
    channel.replacing -= 1;
    if (channel.subscription !== made) return;
    channel.subscription = replaced;
    channel.depth = replaced.pattern.depth;
  }

  /** Nothing stays of an `on` that was refused. */
  #undoOn(added: Added, wasOnly: boolean): void {
    const { channel, reference } = added;
    this.#channels.dropReference([channel], reference, this.version.protocol, this.#hearsRequest);
    channel.listeners -= 1;
    if (wasOnly) channel.subscription = null;
    if (channel.references.size > 0) return;
    const subscription = this.#channels.drop(channel);
    if (subscription !== null) this.#unsubscribe(subscription, null);
  }

  /** Oldest change first; below a trailing `**` only as deep as was asked for. */
  #initialItems(channel: ChannelState, frame: Frame, entries: readonly Entry[]): string[] {
    const deepest = hasDepth(channel.key, this.version)
      ? effectiveDepth(declaredDepth(fieldsOf(frame.options, 'options').depth))
      : Number.POSITIVE_INFINITY;
    return initialEntries(channel.key, entries, deepest).map((entry) => codec.encodeItem(entry, this.#formats));
  }

  #writeOff(writer: Sink, tag: OffTag | ChannelState | null, reply: Reply): void {
    if (tag === null) return;
    if ('answer' in tag) {
      tag.remaining -= 1;
      if (tag.remaining > 0) return;
      writer.text(reply.error === null ? tag.answer : codec.encodeError(tag.frame, this, reply.error));
      return;
    }
    tag.replacing -= 1;
    if (tag.replacing === 0) tag.last = null;
  }

  // -------------------------------------------------------------- life

  /** A heartbeat of the server; the answer is any sign of life. */
  sendPing(now: number): void {
    this.unanswered += 1;
    this.#answer(`"${CONTROL.ping}${now}"`);
  }

  /** The socket took what was written: goes on draining. */
  onDrain(): void {
    // Whoever reads a long answer lives, although no heartbeat can come between its pieces.
    if (this.#list !== null) this.heard = true;
    this.#host.context.flush(this);
  }

  override get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  override pauseReading(): void {
    this.#pause(PAUSED_BY_ENGINE);
  }

  override resumeReading(): void {
    this.#resume(PAUSED_BY_ENGINE);
  }

  /** Reads no more; what was read is still answered. */
  stopReading(): void {
    this.#pause(PAUSED_BY_STOP);
  }

  /** Answers or events are still on their way to the socket. */
  get hasUnsent(): boolean {
    return this.inFlight > 0 || this.outbound.length > 0 || this.#answers.length > 0 || this.#list !== null || this.#layers?.busy === true;
  }

  #pause(by: number): void {
    if (this.#paused === 0) this.#websocket.pause();
    this.#paused |= by;
  }

  #resume(by: number): void {
    if ((this.#paused & by) === 0) return;
    this.#paused &= ~by;
    if (this.#paused === 0) this.#websocket.resume();
  }

  override close(error: ConnectionError | null): void {
    if (this.#ending) return;
    if (error !== null && ABRUPT.has(error.code)) {
      this.#end(error);
      this.#websocket.terminate();
      return;
    }
    if (error !== null && !error.reconnect) {
      const reason = error.code.toLowerCase().replaceAll('_', '-');
      this.#answers.push(codec.encodeDisconnect(this.version, reason), SERVER_CLOSE_FRAME);
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
      this.#host.context.log.error({ err: error, session: this.id }, 'the last words of a connection could not be written');
    }
  }

  /** The socket is gone. */
  onClosed(): void {
    if (!this.#ending) this.#end(null);
  }

  #end(error: ConnectionError | null): void {
    this.#ending = true;
    this.#list = null;
    this.#host.clusterMembers.delete(this);
    this.#host.acknowledgements.forget(this);
    this.#answers = [];
    this.#layers?.close();
    this.#host.context.closeSession(this, error);
    this.#host.ended(this);
  }

  /** For a peer that does not close its side in time. */
  destroy(): void {
    this.#websocket.terminate();
  }
}

const PROBE_OPTIONS = Object.freeze({ sets: false, removes: false, removals: 'each-request', qos: 0, noLocal: false } as const);

function wantsInitial(options: Fields): boolean {
  return options.initialCallback === true || options.initialEmit === true;
}

function frameOf({ tag }: DataRequest): Frame {
  return tag instanceof TagStep ? tag.frame : (tag as Frame);
}

/** Payload encryption puts everything under one key; a set may carry a field of that name as its data. */
function isSealed(frame: Frame): boolean {
  return frame.action !== 'set' && (frame.data as Fields).encrypted !== undefined;
}

/** Only texts are credentials. */
function credentialsIn(data: Fields): Credentials {
  const credentials: { username?: string; password?: string; token?: string } = {};
  if (typeof data.username === 'string') credentials.username = data.username;
  if (typeof data.password === 'string') credentials.password = data.password;
  if (typeof data.token === 'string') credentials.token = data.token;
  return credentials;
}
