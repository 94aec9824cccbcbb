// The subscriptions of one happn session: references to channels, one core subscription a channel, and which depth an event of a
// channel names. Changes only what it owns; the session submits what follows from it.

import { type Publication, RequestError, type Session, SUBSCRIBED, Subscription } from '../../core/index.js';
import { actorIn } from './delegation.js';
import { declaredDepth, effectiveDepth, hasDepth, parseChannel, segmentsBelow, subscriptionPattern } from './paths.js';
import type { MergeForm, Version } from './versions.js';
import type { Fields } from './wire.js';

const REFERENCES_MAX = 10_000;

/** One `on` of a client. */
interface Reference {
  /** Segments below the prefix, as the client said; 0: it said nothing. */
  readonly depth: number;
  readonly merge: boolean;
}

/** One channel of one session, and the tag of its core subscription. */
export class ChannelState {
  readonly references = new Map<string, Reference>();
  /** What this session is to get of the channel's publications, granted or asked for; null while nothing can match. */
  subscription: Subscription | null = null;
  /** The last one that the core has granted: `subscription` itself, or one that it is to replace. */
  granted: Subscription | null = null;
  /** Effective depth of `subscription`. */
  depth = 0;
  /** Listeners that clients of protocol 1 count by number instead of naming references. */
  listeners = 0;
  /** Subscriptions that were replaced and are not ended yet: what they and their successor both get is sent once. */
  replacing = 0;
  /** The last publication that was sent while `replacing`. */
  last: Publication | null = null;
  /** What events carry. */
  form: MergeForm = 'record';
  /** Depth that every event names; -1: it depends on the path. */
  eventDepth = 0;
  /** Key of frames with `eventDepth`. */
  frameKey = '';

  constructor(
    /** As the client sent it, and as its events name it. */
    readonly text: string,
    readonly event: 'ALL' | 'SET' | 'REMOVE' | null,
    readonly key: string,
  ) {}

  /** The smallest depth among the references that covers the path; -1: none does. 0 names no depth. */
  depthFor(path: string): number {
    if (this.eventDepth !== -1) return this.eventDepth;
    const below = segmentsBelow(this.key, path);
    let smallest = -1;
    for (const { depth } of this.references.values()) {
      const effective = effectiveDepth(depth);
      if (effective >= below && (smallest === -1 || effective < effectiveDepth(smallest))) smallest = depth;
    }
    return smallest;
  }

  /** To be called when references or the session's version changed. */
  refresh(protocol: string, mergeForm: MergeForm): void {
    let depth: number | null = null;
    let merge = false;
    for (const reference of this.references.values()) {
      if (depth === null) {
        depth = reference.depth;
        merge = reference.merge;
      } else if (depth !== reference.depth) {
        depth = -1;
      }
    }
    this.eventDepth = depth ?? 0;
    this.form = merge ? mergeForm : 'record';
    this.frameKey = this.keyFor(this.eventDepth, protocol);
  }

  /** Everything that makes an event of this channel differ from one of another, for all sessions. */
  keyFor(depth: number, protocol: string): string {
    return `happn:${protocol}|${this.form === 'record' ? '' : this.form}${depth}|${this.text}`;
  }
}

/** What an `on` leads to. */
export interface Added {
  readonly channel: ChannelState;
  readonly reference: string;
  /** How many the client counts it as. */
  readonly listeners: number;
  /** The subscription to be made for it; null when the channel has one that covers it. */
  readonly made: Subscription | null;
  /** `made` is to replace one. */
  readonly widens: boolean;
}

export class Channels {
  readonly #channels = new Map<string, ChannelState>();
  #references = 0;
  #nextReference = 0;

  constructor(private readonly session: Session) {}

  /** Throws INVALID_PATH, LIMIT_EXCEEDED; nothing has changed then. */
  add(path: string, options: Fields, version: Version, mergeForm: MergeForm): Added {
    if (this.#references >= REFERENCES_MAX) {
      throw new RequestError('LIMIT_EXCEEDED', `more than ${REFERENCES_MAX} subscriptions on one connection`);
    }
    const channel = this.#channelOf(path);
    const declared = hasDepth(channel.key, version) ? declaredDepth(options.depth) : 0;
    const before = channel.subscription;
    const made = this.#subscriptionFor(channel, version, effectiveDepth(declared), actorIn(options, this.session));
    const reference = `${this.session.id.slice(0, 8)}-${this.#nextReference++}`;
    this.#channels.set(channel.text, channel);
    channel.references.set(reference, { depth: declared, merge: Boolean(options.merge) });
    this.#references += 1;
    const listeners = listenersIn(options);
    channel.listeners += listeners;
    channel.refresh(version.protocol, mergeForm);
    return { channel, reference, listeners, made, widens: made !== null && before !== null };
  }

  #channelOf(path: string): ChannelState {
    const { text, event, key } = parseChannel(path);
    return this.#channels.get(text) ?? new ChannelState(text, event, key);
  }

  #subscriptionFor(channel: ChannelState, version: Version, depth: number, actor: string | null): Subscription | null {
    if (channel.event === null) return null;
    if (channel.subscription !== null && (!hasDepth(channel.key, version) || channel.depth >= depth)) return null;
    const pattern = subscriptionPattern(channel.key, version, depth);
    const options = {
      ...SUBSCRIBED,
      sets: channel.event !== 'REMOVE',
      removes: channel.event !== 'SET',
      removals: 'each-request',
      actor: channel.subscription?.options.actor ?? actor,
    } as const;
    channel.subscription = new Subscription(this.session, null, pattern, options, channel);
    channel.depth = depth;
    return channel.subscription;
  }

  find(path: string): ChannelState | undefined {
    return this.#channels.get(parseChannel(path).text);
  }

  all(): ChannelState[] {
    return [...this.#channels.values()];
  }

  /** Takes one reference away from whatever channel holds it; returns that channel. */
  dropReference(channels: Iterable<ChannelState>, reference: string, protocol: string, mergeForm: MergeForm): ChannelState | null {
    for (const channel of channels) {
      if (!channel.references.delete(reference)) continue;
      this.#references -= 1;
      channel.refresh(protocol, mergeForm);
      return channel;
    }
    return null;
  }

  /** False once it was dropped, also if the client has made another one of the same name. */
  has(channel: ChannelState): boolean {
    return this.#channels.get(channel.text) === channel;
  }

  /** Forgets a channel; returns the subscription that is to be ended. */
  drop(channel: ChannelState): Subscription | null {
    if (!this.has(channel)) return null;
    this.#channels.delete(channel.text);
    this.#references -= channel.references.size;
    channel.references.clear();
    return channel.subscription;
  }

  refresh(protocol: string, mergeForm: MergeForm): void {
    for (const channel of this.#channels.values()) channel.refresh(protocol, mergeForm);
  }
}

/**
 * How many listeners an `on` of a counting client stands for. When it listens, `refCount` is a number of its own choosing and comes
 * with `event_type`; when it comes back after a lost connection, it says with `refCount` alone how many listeners wait there.
 */
function listenersIn(options: Fields): number {
  const { refCount, event_type: eventType } = options;
  if (eventType !== undefined || typeof refCount !== 'number' || !Number.isInteger(refCount)) return 1;
  return Math.max(1, Math.min(refCount, REFERENCES_MAX));
}
