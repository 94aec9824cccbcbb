// What the `on` and `off` of one session lead to: requests to the core, the answers to the client, and its events.

import {
  type Entry,
  type EntrySource,
  type Pattern,
  type Publication,
  type Reply,
  SUBSCRIBED,
  SubscribeRequest,
  Subscription,
  type SubscriptionOptions,
} from '../../core/index.js';
import { type Added, ChannelState, Channels } from './channels.js';
import * as codec from './codec.js';
import { actorIn } from './delegation.js';
import { encodeEvent, encodeInitialEvent, publicationId } from './events.js';
import { fieldsOf } from './fields.js';
import { textFrame } from './frames.js';
import type { Connection, Host } from './host.js';
import { type LongAnswer, RecordEvents, RecordList, Sequence } from './long-answers.js';
import { checkRequestPath, declaredDepth, effectiveDepth, hasDepth, isForeignResponse, queryPattern, showsInitial } from './paths.js';
import { ACKNOWLEDGED, noteOf } from './publishing.js';
import type { Sink } from './session-layers.js';
import type { Fields, Frame } from './wire.js';

/** Tag of the request that answers an `on`. */
interface OnTag {
  readonly frame: Frame;
  readonly added: Added;
  /** Registered only to read initial values, or only to ask: it hears nothing, and goes when it is answered. */
  readonly probe: Subscription | null;
}

/** Shared tag of all the requests that an `off` leads to. */
interface OffTag {
  readonly frame: Frame;
  readonly answer: string;
  remaining: number;
}

const PROBE_OPTIONS: SubscriptionOptions = Object.freeze({ ...SUBSCRIBED, sets: false, removes: false, qos: 0 });

export class Subscriptions {
  readonly #connection: Connection;
  readonly #host: Host;
  readonly #channels: Channels;

  constructor(connection: Connection, host: Host) {
    this.#connection = connection;
    this.#host = host;
    this.#channels = new Channels(connection);
  }

  /** To be called when the connection's version changed. */
  refresh(): void {
    const { version, mergeForm } = this.#connection;
    this.#channels.refresh(version.protocol, mergeForm);
  }

  // -------------------------------------------------------------- on

  /** Throws RequestError. */
  on(frame: Frame): void {
    const connection = this.#connection;
    const path = checkRequestPath(frame.path);
    const options = fieldsOf(frame.options, 'options');
    // As a mesh node does it: whoever asks does not learn that there is nothing to be heard.
    if (isForeignResponse(path, connection.id)) {
      return connection.answer(codec.encodeOk(frame, connection, `{"id":${this.#host.context.clock.now()}}`));
    }
    const added = this.#channels.add(path, options, connection.version, connection.mergeForm);
    const { channel, made, widens, reference } = added;
    if (channel.subscription === null) {
      const empty = codec.INITIAL_HEAD + codec.initialEnd(frame, connection, reference);
      connection.answer(wantsInitial(options) ? empty : this.#onText(frame, reference));
      return;
    }
    // A key that could be subscribed can be read: the grammar of queries is the wider one.
    const initial = wantsInitial(options) ? queryPattern(channel.key) : null;
    if (made !== null && !widens) {
      this.#subscribe(made, initial, { frame, added, probe: null });
      return;
    }
    if (made !== null) {
      channel.replacing += 1;
      this.#subscribe(made, null, channel);
    }
    // Whoever is asked for, must be allowed to; what is heard stays what the first of the channel may hear.
    const actor = actorIn(options, connection);
    const probed = actor === null ? PROBE_OPTIONS : { ...PROBE_OPTIONS, actor };
    const probe = new Subscription(connection, null, channel.subscription.pattern, probed, channel);
    this.#subscribe(probe, initial, { frame, added, probe });
  }

  #subscribe(subscription: Subscription, initial: Pattern | null, tag: OnTag | ChannelState): void {
    this.#host.context.submit(new SubscribeRequest('subscribe', this.#connection, null, subscription, initial, tag, 'revision'));
  }

  #unsubscribe(subscription: Subscription, tag: OffTag | ChannelState | null): void {
    this.#host.context.submit(new SubscribeRequest('unsubscribe', this.#connection, null, subscription, null, tag));
  }

  #onText(frame: Frame, reference: string): string {
    return codec.encodeOk(frame, this.#connection, `{"id":"${reference}"}`);
  }

  // -------------------------------------------------------------- off

  /** Throws RequestError. */
  off(frame: Frame): void {
    const connection = this.#connection;
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
    const answer = codec.encodeOk(frame, connection, data);
    if (ended.length === 0) {
      connection.answer(answer);
      return;
    }
    const tag: OffTag = { frame, answer, remaining: ended.length };
    for (const subscription of ended) this.#unsubscribe(subscription, tag);
  }

  /** The channels that an `off` may end. */
  #channelsOf(path: string): ChannelState[] {
    const { countsListeners } = this.#connection.version;
    const everything = path === '*' || (!countsListeners && path.endsWith('@*') && path.indexOf('@') === path.length - 2);
    if (everything) return this.#channels.all();
    const channel = this.#channels.find(path);
    return channel === undefined ? [] : [channel];
  }

  /** The channel whose last reference goes with this one. */
  #released(channels: ChannelState[], reference: string): ChannelState[] {
    const { version, mergeForm } = this.#connection;
    const channel = this.#channels.dropReference(channels, reference, version.protocol, mergeForm);
    return channel === null || channel.references.size > 0 ? [] : [channel];
  }

  /** All of them; for a client that counts listeners, the channel of which it drops the last. */
  #counted(channels: ChannelState[], path: string, options: Fields): ChannelState[] {
    const { refCount } = options;
    const { countsListeners } = this.#connection.version;
    if (!countsListeners || path === '*' || typeof refCount !== 'number' || refCount < 1) return channels;
    return channels.filter((channel) => {
      channel.listeners -= refCount;
      return channel.listeners <= 0;
    });
  }

  /** The session is somebody else from now on: what was asked for before is heard no more. */
  end(): void {
    for (const channel of this.#channels.all()) {
      const subscription = this.#channels.drop(channel);
      if (subscription !== null) this.#unsubscribe(subscription, null);
    }
  }

  /** The right for it is gone: it has ended, and with it all references to its channel. */
  lost(subscription: Subscription): void {
    const channel = subscription.tag as ChannelState;
    if (channel.subscription === subscription) this.#channels.drop(channel);
  }

  // -------------------------------------------------------------- replies

  /** The reply to one of the requests that `on` and `off` made; returns the initial values that are answered. */
  writeReply(writer: Sink, request: SubscribeRequest, reply: Reply): LongAnswer | null {
    if (request.op === 'subscribe') return this.#writeOn(writer, request.subscription, request.tag as OnTag | ChannelState, reply);
    this.#writeOff(writer, request.tag as OffTag | ChannelState | null, reply);
    return null;
  }

  #writeOn(writer: Sink, subscription: Subscription, tag: OnTag | ChannelState, reply: Reply): LongAnswer | null {
    const connection = this.#connection;
    if (tag instanceof ChannelState) {
      this.#widened(tag, subscription, reply.error === null);
      return null;
    }
    const { frame, added, probe } = tag;
    if (reply.error !== null) {
      this.#undoOn(added);
      writer.text(codec.encodeError(frame, connection, reply.error));
      return null;
    }
    if (probe === null) added.channel.granted = subscription;
    else this.#unsubscribe(probe, null);
    const source = reply.source();
    if (source !== null) return this.#initial(added, frame, source);
    writer.text(this.#onText(frame, added.reference));
    return null;
  }

  /** Below a trailing `**` only as deep as was asked for. */
  #initial({ channel, reference }: Added, frame: Frame, source: EntrySource): LongAnswer {
    const connection = this.#connection;
    const { formats } = this.#host.context;
    const { depth, initialEmit } = fieldsOf(frame.options, 'options');
    const isDeep = hasDepth(channel.key, connection.version);
    const shows = showsInitial(channel.key, isDeep ? effectiveDepth(declaredDepth(depth)) : Number.POSITIVE_INFINITY);
    const item = (entry: Entry): string => codec.encodeItem(entry, formats);
    const end = codec.initialEnd(frame, connection, reference);
    const list = new RecordList(source, { head: codec.INITIAL_HEAD, shows, item, end, endsInList: false });
    if (!connection.version.emitsInitialValues || !initialEmit) return list;
    return new Sequence(list, () => {
      source.rewind();
      return new RecordEvents(source, shows, (entry) => encodeInitialEvent(frame, connection, channel.text, item(entry)));
    });
  }

  /** A wider subscription was granted: the one before can go. Refused: the one before stays, whatever else was asked for meanwhile. */
  #widened(channel: ChannelState, made: Subscription, isGranted: boolean): void {
    const before = channel.granted?.closed === false ? channel.granted : null;
    if (isGranted) channel.granted = made;
    if (isGranted && before !== null) {
      this.#unsubscribe(before, channel);
      return;
    }
    channel.replacing -= 1;
    if (isGranted || channel.subscription !== made) return;
    channel.subscription = before;
    channel.depth = before === null ? 0 : before.pattern.depth;
    // An `off` came in between, and ended the one that was to take its place.
    if (before !== null && !this.#channels.has(channel)) this.#unsubscribe(before, null);
  }

  /** Nothing stays of an `on` that was refused. */
  #undoOn({ channel, reference, listeners, made, widens }: Added): void {
    const { version, mergeForm } = this.#connection;
    this.#channels.dropReference([channel], reference, version.protocol, mergeForm);
    channel.listeners -= listeners;
    if (!widens && channel.subscription === made) channel.subscription = null;
    if (channel.references.size > 0) return;
    const subscription = this.#channels.drop(channel);
    if (subscription !== null) this.#unsubscribe(subscription, null);
  }

  #writeOff(writer: Sink, tag: OffTag | ChannelState | null, reply: Reply): void {
    if (tag === null) return;
    if ('answer' in tag) {
      tag.remaining -= 1;
      if (tag.remaining > 0) return;
      writer.text(reply.error === null ? tag.answer : codec.encodeError(tag.frame, this.#connection, reply.error));
      return;
    }
    tag.replacing -= 1;
    if (tag.replacing === 0) tag.last = null;
  }

  // -------------------------------------------------------------- events

  /** A publication that one of the session's subscriptions matched. */
  writeEvent(writer: Sink, publication: Publication, subscription: Subscription): void {
    const { clusterMembers, acknowledgements, context } = this.#host;
    const { formats } = context;
    const channel = subscription.tag as ChannelState;
    const note = noteOf(publication.options);
    if (note?.noCluster === true && clusterMembers.has(this.#connection)) return;
    if (channel.replacing > 0) {
      if (channel.last === publication) {
        // Handed to this session twice, shown once.
        if (note?.consistency === ACKNOWLEDGED) acknowledgements.acknowledge(this.#connection, publicationId(publication));
        return;
      }
      channel.last = publication;
    }
    const depth = channel.depthFor(publication.path);
    if (depth === -1) return;
    const { protocol } = this.#connection.version;
    if (publication.match !== null && publication.match.all.length === 1) {
      writer.text(encodeEvent(publication, protocol, channel.text, depth, channel.form, formats));
      return;
    }
    const key = depth === channel.eventDepth ? channel.frameKey : channel.keyFor(depth, protocol);
    let frame = publication.frame(key) as Buffer | undefined;
    if (frame === undefined) {
      frame = textFrame(encodeEvent(publication, protocol, channel.text, depth, channel.form, formats));
      publication.keepFrame(key, frame);
    }
    writer.frame(frame);
  }
}

function wantsInitial(options: Fields): boolean {
  return Boolean(options.initialCallback || options.initialEmit);
}
