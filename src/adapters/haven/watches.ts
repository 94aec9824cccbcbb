// The watches of one session and their events, which wait for the next heartbeat, or are sent at once if the watch asked for
// push.

import {
  type EntrySource,
  type Publication,
  type Reply,
  RequestError,
  SUBSCRIBED,
  SubscribeRequest,
  Subscription,
} from '../../core/index.js';
import type { HavenMessage } from './codec.js';
import * as codec from './codec.js';
import { beginPushed, type EventTail, encodeEvent, encodeEventTail, encodePong } from './events.js';
import type { Connection, Host } from './host.js';
import { InitialEvents, type LongAnswer } from './long-answers.js';
import { msgpack } from './msgpack.js';
import type { Output } from './output.js';
import { watchPattern } from './requests.js';
import { WatchList } from './watchlist.js';

/** Where the tail of a watch event is kept with its publication. */
const FRAME_KEY = 'haven:event';

interface Watch {
  /** Its end was asked for: nothing that happens behind that is heard. */
  isEnding: boolean;
  readonly id: number;
  readonly push: boolean;
  readonly subscription: Subscription;
  /** What the paths of its events are relative to. */
  readonly base: string;
}

/** Tag of a watch's request. */
export class Watching {
  constructor(
    readonly message: HavenMessage,
    readonly watch: Watch,
  ) {}
}

/** Tag of the requests that an unwatch leads to; only the last one is answered. */
export class Unwatching {
  constructor(
    readonly message: HavenMessage,
    readonly watch: Watch,
    readonly last: boolean,
  ) {}
}

interface PushedEvent {
  readonly watch: number;
  readonly tail: EventTail;
}

export class Watches {
  readonly #connection: Connection;
  readonly #host: Host;
  readonly #output: Output;
  /** Whether a heartbeat waits for its answer, and for what is written before it. */
  readonly #answers: { readonly isAwaited: boolean };
  readonly #watches = new Map<number, Watch>();
  #ending = 0;
  readonly #list: WatchList;
  #lastWatch = 0;
  #pushed: PushedEvent[] = [];

  constructor(connection: Connection, host: Host, output: Output, answers: { readonly isAwaited: boolean }) {
    this.#connection = connection;
    this.#host = host;
    this.#output = output;
    this.#answers = answers;
    this.#list = new WatchList({ maxEvents: host.config.watchMaxEvents, maxBytes: host.config.watchMaxBytes });
  }

  // ---------------------------------------------------------------- beginning and ending

  /** Hands it to the core; the reply comes to `writeWatching`. Throws RequestError. */
  watch(message: HavenMessage): void {
    const { push, initial, since } = message.details;
    if (push && message.shape === 'array') {
      throw new RequestError('UNSUPPORTED', 'push needs the map shape: a pushed array could not be told from an answer');
    }
    const { maxWatches } = this.#host.config;
    if (this.#watches.size - this.#ending >= maxWatches)
      throw new RequestError('LIMIT_EXCEEDED', `a session has at most ${maxWatches} watches`);
    const connection = this.#connection;
    const pattern = watchPattern(message);
    this.#lastWatch += 1;
    const subscription = new Subscription(connection, null, pattern, SUBSCRIBED, this.#lastWatch);
    const watch: Watch = { isEnding: false, id: this.#lastWatch, push, subscription, base: message.base };
    this.#watches.set(watch.id, watch);
    const tag = new Watching(message, watch);
    connection.submit(
      new SubscribeRequest('subscribe', connection, null, subscription, initial ? pattern : null, tag, 'path', false, since),
    );
  }

  /** As `watch`; the replies come to `writeUnwatching`. */
  unwatch(message: HavenMessage): void {
    const { watch: number } = message.details;
    if (number === null && message.path === null) throw new RequestError('INVALID_REQUEST', 'unwatch needs watch or path');
    const open = [...this.#watches.values()].filter(({ isEnding }) => !isEnding);
    const ending = open.filter(({ id, subscription }) => (number === null ? subscription.pattern.text === message.path : id === number));
    if (ending.length === 0) throw new RequestError('NOT_FOUND', 'there is no such watch');
    const connection = this.#connection;
    for (const [index, watch] of ending.entries()) {
      // It is there until that is answered: what happened before may still be on its way.
      watch.isEnding = true;
      this.#ending += 1;
      const tag = new Unwatching(message, watch, index === ending.length - 1);
      connection.submit(new SubscribeRequest('unsubscribe', connection, null, watch.subscription, null, tag));
    }
  }

  /** The right for it is gone: it has ended. */
  lost(subscription: Subscription): void {
    const id = subscription.tag as number;
    const watch = this.#watches.get(id);
    if (watch?.subscription === subscription) this.#delete(watch);
  }

  #delete(watch: Watch): void {
    if (this.#watches.delete(watch.id) && watch.isEnding) this.#ending -= 1;
  }

  /** Returns the events that the watch begins with. */
  writeWatching(reply: Reply, { message, watch }: Watching): LongAnswer | null {
    if (reply.error !== null) this.#delete(watch);
    const mark = this.#output.begin();
    if (reply.error !== null) this.#output.fault(message, reply.error);
    else codec.encodeWatching(this.#output.writer, message, watch.id, reply.revision, reply.missed);
    this.#output.end(mark);
    const source = reply.source();
    return reply.error !== null || source === null ? null : this.#initialEvents(watch, source);
  }

  #initialEvents(watch: Watch, source: EntrySource): LongAnswer {
    return new InitialEvents(source, watch.base, this.#output, (tail) => {
      if (this.#watches.get(watch.id) !== watch || (watch.isEnding && !this.#answers.isAwaited)) return false;
      this.#onEvent(watch, tail);
      return true;
    });
  }

  writeUnwatching(reply: Reply, { message, watch, last }: Unwatching): void {
    this.#delete(watch);
    if (!last) return;
    const mark = this.#output.begin();
    if (reply.error !== null) this.#output.fault(message, reply.error);
    else codec.encodeDone(this.#output.writer, message);
    this.#output.end(mark);
  }

  // ---------------------------------------------------------------- events

  onPublication(publication: Publication, subscription: Subscription): void {
    const watch = this.#watches.get(subscription.tag as number);
    if (watch === undefined) return;
    const key = watch.base === '' ? FRAME_KEY : `${FRAME_KEY}:${watch.base}`;
    let tail = publication.frame(key) as EventTail | undefined;
    if (tail === undefined) {
      tail = encodeEventTail(this.#output.writer, publication, msgpack, watch.base);
      publication.keepFrame(key, tail);
    }
    this.#onEvent(watch, tail);
  }

  #onEvent(watch: Watch, tail: EventTail): void {
    if (watch.push) {
      this.#pushed.push({ watch: watch.id, tail });
      return;
    }
    const gone = this.#list.push(watch.id, tail);
    if (gone === 0) return;
    this.#host.missed.add(gone);
    if (this.#list.missed !== gone) return;
    const { id, peer } = this.#connection;
    this.#host.context.log.warn(
      { session: id, peer, events: this.#list.length },
      'a watchlist is full: dropping its oldest events until the next heartbeat',
    );
  }

  /** Pushed events that stand side by side go in one pong. */
  writePushed(): void {
    const events = this.#pushed;
    if (events.length === 0) return;
    this.#pushed = [];
    const { writer } = this.#output;
    const mark = this.#output.begin();
    beginPushed(writer, events.length);
    for (const { watch, tail } of events) encodeEvent(writer, watch, tail);
    this.#output.end(mark);
  }

  /** The answer to a heartbeat, without its frame: everything that waited for it. */
  encodePong(message: HavenMessage): void {
    // What is still to be written may be older than what the store holds.
    const revision = this.#connection.outbound.length === 0 ? this.#host.context.revision() : 0;
    encodePong(this.#output.writer, message, this.#list, this.#host.state(), revision);
    this.#list.clear();
  }

  /** The session is over. */
  clear(): void {
    this.#list.clear();
  }
}
