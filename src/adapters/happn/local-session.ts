// The session of an in-process client: its requests are handled like frames, but answers and events reach it as values.
// A happn session of the newest protocol version in all but its transport.

import { randomUUID } from 'node:crypto';
import {
  type AdapterContext,
  type ConnectionError,
  type DataRequest,
  type Entry,
  type EntrySource,
  type Publication,
  type Reply,
  type Request,
  RequestError,
  Ring,
  Session,
  SubscribeRequest,
  type Subscription,
} from '../../core/index.js';
import type { Acknowledgements } from './acknowledgements.js';
import { copyIn } from './copies.js';
import { publicationId } from './events.js';
import { type Ask, Asks } from './local-asks.js';
import type { LocalDocument, LocalHandler, LocalMeta, LocalOnOptions } from './local-client.js';
import { Handing } from './local-handing.js';
import { type LocalListener, listenerOf } from './local-listener.js';
import { answerValue, clientError, eventData, eventMeta, isChange, itemOf, listItem, resultsIn } from './local-values.js';
import { queryPattern, showsInitial } from './paths.js';
import { ACKNOWLEDGED, consistencyOf, noteOf } from './publishing.js';
import { decodeGet, decodeRemove, decodeSet, decodeTag, isTag, snapshot, TagStep } from './requests.js';
import { type Version, versionNamed } from './versions.js';
import type { Frame, FrameLimits } from './wire.js';

/** Requests that wait in the client while the gateway has enough of them. */
const WAITING_MAX = 100_000;

/** What a local session needs of its adapter. */
export interface LocalHost {
  readonly context: AdapterContext;
  readonly limits: FrameLimits;
  readonly acknowledgements: Acknowledgements;
  /** Sessions that called themselves members of a cluster. */
  readonly clusterMembers: ReadonlySet<Session>;
  localEnded(session: LocalSession): void;
}

export class LocalSession extends Session {
  override readonly takesStreams = true;
  readonly version = versionNamed('happn_4') as Version;
  readonly #host: LocalHost;
  readonly #asks = new Asks();
  readonly #waiting = new Ring<Request>(WAITING_MAX);
  #held = false;
  #draining = false;
  /** An answer of many records that is being handed over. */
  #handing: Handing | null = null;
  #ended = false;
  /** Called when it ends; null: as its program asked for. */
  onEnded: (error: ConnectionError | null) => void = () => {};

  constructor(host: LocalHost) {
    super(randomUUID(), 'happn', false);
    this.#host = host;
  }

  // -------------------------------------------------------------- in

  /** Does what a client's frame would ask for. Rejects with what a client would be answered. */
  request(action: string, path: unknown, data: unknown, options: object | undefined): Promise<unknown> {
    return this.#asks.begin((id, ask) => {
      const asked = { action, eventId: id, path, data, sessionId: this.id, options };
      const frame = copyIn(asked, this.#host.limits) as Frame;
      const request = this.#decode(frame);
      ask.attach(options ?? {}, () => this.#timedOut(id, frame));
      this.#submitData(request);
    });
  }

  /** Throws RequestError. */
  #decode(frame: Frame): DataRequest {
    const { formats } = this.#host.context;
    switch (frame.action) {
      case 'set':
        return isTag(frame) ? decodeTag(frame, this) : decodeSet(frame, this, formats);
      case 'get':
      case 'count':
        return decodeGet(frame, this);
      case 'remove':
        return decodeRemove(frame, this);
      default:
        throw new RequestError('UNSUPPORTED', `the action ${String(frame.action)} is not supported`);
    }
  }

  /** Throws as a client would be answered. */
  listener(path: unknown, options: LocalOnOptions, handler: LocalHandler, ended: () => void): LocalListener {
    try {
      return listenerOf(this, path, options, handler, ended);
    } catch (error) {
      throw clientError(error);
    }
  }

  async listen(listener: LocalListener): Promise<void> {
    const { subscription, options, channel } = listener;
    if (subscription === null) return;
    await this.#asks.begin((id) => {
      const initial = options.initialCallback || options.initialEmit === true ? queryPattern(channel.key) : null;
      this.#submit(new SubscribeRequest('subscribe', this, id, subscription, initial, listener, 'revision'));
    });
  }

  async unlisten(listener: LocalListener): Promise<void> {
    const { subscription } = listener;
    listener.done = true;
    if (subscription === null) return;
    await this.#asks.begin((id) => this.#submit(new SubscribeRequest('unsubscribe', this, id, subscription, null, listener)));
  }

  #submitData(request: DataRequest): void {
    if (consistencyOf(request.options) === ACKNOWLEDGED) this.#host.acknowledgements.open(this, request.id);
    this.#submit(request);
  }

  #submit(request: Request): void {
    if (!this.#held && this.#waiting.length === 0) this.#host.context.submit(request);
    else if (!this.#waiting.push(request)) throw new RequestError('OVERLOADED', `more than ${WAITING_MAX} requests wait`);
  }

  #timedOut(id: number, { path, action }: Frame): void {
    this.#asks.settle(id)?.reject(new Error(`api request timed out path: ${String(path)} action: ${String(action)}`));
  }

  // -------------------------------------------------------------- out

  /** What is heard is handed over after the turn: whatever handlers do, the turn is over by then. */
  override flush(): void {
    if (this.#draining) return;
    this.#draining = true;
    queueMicrotask(this.#drain);
  }

  readonly #drain = (): void => {
    this.#draining = false;
    if (this.#handing?.isWaiting === true) this.#goOn();
    const { outbound } = this;
    while (this.#handing === null && !this.#ended) {
      const message = outbound.peek();
      if (message === undefined) return;
      const subscription = outbound.peekSubscription();
      outbound.shift();
      try {
        if (message.kind === 'publication') this.#hear(message, (subscription as Subscription).tag as LocalListener);
        else this.#answer(message);
      } catch (error) {
        this.#host.context.log.error({ err: error, session: this.id }, 'an answer or event could not be handed to a local client');
      }
    }
  };

  #hear(publication: Publication, listener: LocalListener): void {
    const acknowledged = consistencyOf(publication.options) === ACKNOWLEDGED;
    if (acknowledged) this.#host.acknowledgements.acknowledge(this, publicationId(publication));
    if (listener.done) return;
    listener.runs += 1;
    if (listener.count > 0 && listener.runs >= listener.count) {
      listener.ended();
      this.unlisten(listener).catch((error: unknown) => this.#complain(error, 'a listener could not be ended'));
    }
    const data = eventData(publication, listener.options.merge === true);
    this.#call(() => listener.handler(data as LocalDocument, eventMeta(publication, listener, acknowledged)));
  }

  /** Calls the program back. What it throws is its own fault, and nobody else's. */
  #call(handler: () => unknown): void {
    const complain = (error: unknown): void => this.#complain(error, 'a handler of a local client failed');
    try {
      const result = handler();
      if (result instanceof Promise) result.catch(complain);
    } catch (error) {
      complain(error);
    }
  }

  #complain(error: unknown, text: string): void {
    if (!this.#ended) this.#host.context.log.error({ err: error, session: this.id }, text);
  }

  #answer(reply: Reply): void {
    const { request } = reply;
    const id = request.id as number;
    if (request.op === 'durable' || request.op === 'transaction') return;
    if (isData(request) && request.op === 'get' && request.tag instanceof TagStep && reply.error === null) {
      this.#tag(id, request.tag, reply.entry);
      return;
    }
    this.#conclude(reply, this.#asks.get(id)?.onPublished ?? null);
    if (this.#asks.get(id) === undefined) {
      // It took too long: nobody wants it any more.
      reply.stream?.close();
      return;
    }
    if (reply.error !== null) this.#asks.settle(id)?.reject(clientError(reply.error));
    else if (!isData(request)) this.#begin(id, request.tag as LocalListener, reply.source());
    else this.#done(id, request, reply);
  }

  #done(id: number, request: DataRequest, reply: Reply): void {
    const source = reply.source();
    if (source === null || request.options.query?.count === true) {
      this.#asks.settle(id)?.resolve(answerValue(request, reply, this.#host.clusterMembers));
      return;
    }
    const item = listItem(request);
    const items: LocalDocument[] = [];
    this.#hand(
      source,
      (entry) => items.push(item(entry)),
      () => {
        source.close();
        this.#asks.settle(id)?.resolve(items);
      },
      (error) => this.#asks.settle(id)?.reject(error),
    );
  }

  /** The subscription stands, or has ended: the promise of `on` or `off` is kept once initial values were handed over. */
  #begin(id: number, listener: LocalListener, source: EntrySource | null): void {
    const { channel, depth, options, handler } = listener;
    if (source === null) {
      this.#asks.settle(id)?.resolve(undefined);
      return;
    }
    const begun = (): void => {
      source.close();
      this.#asks.settle(id)?.resolve(undefined);
    };
    const failed = (error: Error): void => {
      this.unlisten(listener).catch((failure: unknown) => this.#complain(failure, 'a listener could not be ended'));
      this.#asks.settle(id)?.reject(error);
    };
    const shows = showsInitial(channel.key, depth === 0 ? Number.POSITIVE_INFINITY : depth);
    const each = (entry: Entry): void => {
      if (shows(entry) && !this.#ended) this.#call(() => handler(itemOf(entry), undefined as unknown as LocalMeta));
    };
    const emit = options.initialEmit === true ? () => this.#hand(source, each, begun, failed) : begun;
    const { initialCallback } = options;
    if (typeof initialCallback !== 'function') {
      emit();
      return;
    }
    const items: LocalDocument[] = [];
    this.#hand(
      source,
      (entry) => shows(entry) && items.push(itemOf(entry)),
      () => {
        this.#call(() => initialCallback(items));
        source.rewind();
        emit();
      },
      failed,
    );
  }

  /** Hands entries over and calls `done`; what is answered or heard meanwhile follows. */
  #hand(source: EntrySource, each: (entry: Entry) => unknown, done: () => void, failed: (error: Error) => void): void {
    this.#handing = new Handing(source, each, done, failed);
    this.#goOn();
  }

  readonly #goOn = (): void => {
    const handing = this.#handing;
    if (handing === null) return;
    const progress = handing.step();
    if (progress === 'more') this.#host.context.inShift(this, this.#goOn);
    if (progress !== 'done' || this.#ended) return;
    this.#handing = null;
    handing.done();
    this.flush();
  };

  /** What is answered then is an error: unlike on a socket, nothing of a list has reached the program yet. */
  override streamLost(error: RequestError): boolean {
    const handing = this.#handing;
    if (handing === null) return false;
    this.#handing = null;
    handing.close();
    handing.failed(clientError(error));
    this.flush();
    return true;
  }

  #tag(id: number, step: TagStep, entry: Entry | null): void {
    try {
      this.#submitData(snapshot(step, entry, this, this.#host.context.formats));
    } catch (error) {
      this.#asks.settle(id)?.reject(clientError(error));
    }
  }

  /** Who got a publication whose answer does not wait for that. */
  #conclude(reply: Reply, onPublished: Ask['onPublished']): void {
    const { request, receipt } = reply;
    if (!isChange(request)) return;
    const consistency = consistencyOf(request.options);
    const { acknowledgements, clusterMembers: members } = this.#host;
    const results = resultsIn(reply, members);
    if (consistency === ACKNOWLEDGED) {
      if (receipt === null || results === null) {
        acknowledgements.drop(this, request.id);
        return;
      }
      const leftOut = (session: Session): boolean => noteOf(request.options)?.noCluster === true && members.has(session);
      acknowledgements.begin(this, request.id, receipt, leftOut, (acknowledged, complete) => {
        const error = complete ? null : new Error('unacknowledged publication');
        if (onPublished !== null) this.#call(() => onPublished(error, { ...results, acknowledged }));
      });
    } else if (consistency === 1 && results !== null && onPublished !== null) {
      this.#call(() => onPublished(null, { ...results }));
    }
  }

  // -------------------------------------------------------------- life

  override get bufferedBytes(): number {
    return 0;
  }

  override pauseReading(): void {
    this.#held = true;
  }

  override resumeReading(): void {
    this.#held = false;
    while (!this.#held) {
      const request = this.#waiting.shift();
      if (request === undefined) return;
      this.#host.context.submit(request);
    }
  }

  /** Requests, answers or events are still on their way. */
  get hasUnsent(): boolean {
    return this.inFlight > 0 || this.outbound.length > 0 || this.#waiting.length > 0 || this.#handing !== null;
  }

  override close(error: ConnectionError | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#handing?.close();
    this.#handing = null;
    this.#waiting.clear();
    this.#host.acknowledgements.forget(this);
    this.#host.context.closeSession(this, error);
    this.#host.localEnded(this);
    this.#asks.end(error);
    this.onEnded(error);
  }

  /** A handler of the program threw: its own fault, and nobody else's. */
  handlerFailed(error: unknown): void {
    this.#host.context.log.error({ err: error, session: this.id }, 'a handler of a local client failed');
  }
}

function isData(request: Request): request is DataRequest {
  return request.op === 'set' || request.op === 'remove' || request.op === 'get';
}
