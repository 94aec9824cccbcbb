// Passes the incoming frames and outgoing texts of one connection through the layers of an embedding program, if there are any.

import { type AdapterContext, RequestError, Ring, type Session } from '../../core/index.js';
import { encodeError, jsonText } from './codec.js';
import { copyIn } from './copies.js';
import { isFields } from './fields.js';
import type { FrameWriter } from './frames.js';
import type { Host } from './host.js';
import { ListReader, ListWriter } from './layered-lists.js';
import {
  type HappnLayers,
  type InboundMessage,
  LAYER_TIMEOUT_MS,
  type LayerFault,
  LayerLine,
  type LayerSession,
  type OutboundMessage,
} from './layers.js';
import { PAUSED_BY, type Reading } from './reading.js';
import type { Version } from './versions.js';
import type { Fields, Frame, FrameLimits } from './wire.js';

/** What finished texts are written to. */
export interface Sink extends Pick<FrameWriter, 'text' | 'frame' | 'length'> {
  /** A piece of a list; nothing else is written between the pieces of one. `from`, `to`: where in it its records stand. */
  fragment(text: string, first: boolean, last: boolean, from: number, to: number): void;
}

/** One piece of a message that needs no look at it. */
interface Fragment {
  readonly text: string;
  readonly first: boolean;
  readonly last: boolean;
}

/** The connection. */
export interface Owner extends Session {
  readonly version: Version;
  /** Takes a request that has passed; it may throw. */
  passed(frame: Frame, length: number): void;
  /** Answers a request that has not passed, or failed. */
  refuse(frame: Frame, error: unknown): void;
  /** There is something to be written. */
  finished(): void;
}

/** Reading stops while more requests than this wait. */
const HIGH_WATER = 64;
const QUOTE = 34;
const NOTHING_LEFT = 'a layer left nothing that can be sent';

/** What the answer to a request is going to call it. */
function answeredId({ eventId }: Frame): unknown {
  return typeof eventId === 'number' || typeof eventId === 'string' || eventId === null ? eventId : undefined;
}

export class SessionLayers implements Sink {
  readonly #owner: Owner;
  readonly #context: AdapterContext;
  readonly #limits: FrameLimits;
  readonly #reading: Reading;
  readonly #inbound: LayerLine<InboundMessage> | null;
  readonly #outbound: LayerLine<OutboundMessage> | null;
  /** Requests that are not answered yet, by their eventId. */
  readonly #requests = new Map<unknown, Frame>();
  /** What has passed, in its order. */
  #done = new Ring<string | Fragment | ListWriter>();
  #doneLength = 0;
  /** A list that is not complete. */
  #list: ListReader | null = null;
  /** Characters on their way through the layers. */
  #underway = 0;
  #messages = 0;
  #complained = false;

  constructor(owner: Owner, { context, limits }: Host, layers: HappnLayers, reading: Reading) {
    this.#owner = owner;
    this.#context = context;
    this.#limits = limits;
    this.#reading = reading;
    const { inboundLayers = [], outboundLayers = [], layerTimeoutMs = LAYER_TIMEOUT_MS } = layers;
    this.#inbound = inboundLayers.length === 0 ? null : new LayerLine(inboundLayers, layerTimeoutMs);
    this.#outbound = outboundLayers.length === 0 ? null : new LayerLine(outboundLayers, layerTimeoutMs);
  }

  /** Requests that have not passed yet. */
  get waiting(): number {
    return this.#inbound === null ? 0 : this.#inbound.length;
  }

  /** Something is on its way in or out. */
  get busy(): boolean {
    return this.waiting > 0 || this.length > 0;
  }

  close(): void {
    this.#inbound?.close();
    this.#outbound?.close();
    this.#requests.clear();
    this.#done.clear();
    this.#list = null;
  }

  // -------------------------------------------------------------- in

  /** `length`: of its text. */
  take(frame: Frame, length: number): void {
    if (this.#inbound === null) {
      this.#hand(frame, length);
      return;
    }
    const message = { raw: frame as { [name: string]: unknown }, session: this.#session, id: ++this.#messages };
    this.#inbound.push(message, (fault, passed) => {
      if (fault === null) this.#hand((passed as InboundMessage).raw, length, frame);
      else this.#owner.refuse(frame, this.#errorOf(fault));
      if (this.waiting <= HIGH_WATER) this.#reading.resume(PAUSED_BY.layers);
    });
    if (this.waiting > HIGH_WATER) this.#reading.pause(PAUSED_BY.layers);
  }

  #hand(raw: unknown, length: number, asked = raw as Frame): void {
    try {
      // Layers may keep what they were given: what is stored is a copy.
      const frame = raw === asked && this.#inbound === null ? asked : (copyIn(raw, this.#limits) as Frame | undefined);
      if (!isFields(frame)) throw new RequestError('INVALID_REQUEST', 'a layer made no request of this');
      if (this.#outbound !== null) this.#requests.set(answeredId(frame), frame);
      this.#owner.passed(frame, length);
    } catch (error) {
      this.#owner.refuse(asked, error);
    }
  }

  get #session(): LayerSession {
    const { id, version, identity } = this.#owner;
    return { id, protocol: version.protocol, user: identity.name };
  }

  // -------------------------------------------------------------- out

  get length(): number {
    return this.#underway + this.#doneLength;
  }

  /** A frame that others get too: back to its text, because each connection has its own way through the layers. */
  frame(frame: Buffer): void {
    const short = (frame[1] as number) & 127;
    this.text(frame.toString('utf8', short < 126 ? 2 : short === 126 ? 4 : 10));
  }

  /** What passes layers is a whole message. */
  fragment(text: string, first: boolean, last: boolean, from: number, to: number): void {
    if (this.#outbound === null) {
      this.#add({ text, first, last });
      return;
    }
    this.#list ??= new ListReader();
    const list = this.#list;
    list.add(text, first, last, from, to);
    if (!last) return;
    this.#list = null;
    const message = this.#messageOf(list.value() as Fields | Fields[]);
    if (message !== null) this.#pass(this.#outbound, message, list.length, list.pieces > 1);
  }

  text(text: string): void {
    const message = this.#outbound === null || text.charCodeAt(0) === QUOTE ? null : this.#messageOf(JSON.parse(text) as Fields | Fields[]);
    if (message === null || this.#outbound === null) this.#add(text);
    else this.#pass(this.#outbound, message, text.length, false);
  }

  #pass(outbound: LayerLine<OutboundMessage>, message: OutboundMessage, length: number, isLong: boolean): void {
    this.#underway += length;
    outbound.push(message, (fault, passed) => {
      const list = fault === null && isLong ? this.#listIn(passed as OutboundMessage) : null;
      if (list !== null) {
        this.#done.push(list);
        this.#write(list, message, length);
        return;
      }
      this.#underway -= length;
      this.#leave(message, fault, passed);
    });
  }

  /** Null for what layers do not see: refusals, acknowledgements, notices of the gateway. */
  #messageOf(content: Fields | Fields[]): OutboundMessage | null {
    const meta = (Array.isArray(content) ? content.at(-1) : content._meta) as Fields | undefined;
    if (meta === undefined) return null;
    if (meta.type === 'data' && !Array.isArray(content)) {
      const options = { consistency: meta.consistency };
      return { request: { publication: content, options, action: 'emit' }, session: this.#session };
    }
    if (meta.type !== 'response') return null;
    const request = this.#requests.get(meta.eventId) ?? {};
    this.#requests.delete(meta.eventId);
    if (meta.status === 'error') return null;
    return { request: request as Fields, response: content, session: this.#session };
  }

  #leave(message: OutboundMessage, fault: LayerFault | null, passed: OutboundMessage | null): void {
    let text: string | undefined;
    let error: RequestError | null = fault === null ? null : this.#errorOf(fault);
    if (error === null) {
      try {
        const left = passed as OutboundMessage;
        text = jsonText('response' in left ? left.response : left.request.publication);
      } catch (cause) {
        error = new RequestError('INTERNAL', NOTHING_LEFT, { cause });
      }
    }
    if (error !== null && 'response' in message) text = encodeError(message.request, this.#owner, error);
    // An event that a layer refuses is not sent.
    if (text === undefined) return;
    this.#add(text);
    this.#owner.finished();
  }

  /** null: it is not as long any more, or has no text. */
  #listIn(passed: OutboundMessage): ListWriter | null {
    try {
      return 'response' in passed ? ListWriter.of(passed.response) : null;
    } catch {
      return null;
    }
  }

  /** Makes texts of a list, some in each shift: what has passed behind it waits for them. */
  #write(list: ListWriter, message: OutboundMessage, length: number): void {
    this.#context.inShift(this.#owner, () => {
      try {
        list.step();
      } catch (cause) {
        list.giveUp(encodeError(message.request, this.#owner, new RequestError('INTERNAL', NOTHING_LEFT, { cause })));
      }
      if (!list.isReady) {
        this.#write(list, message, length);
        return;
      }
      this.#underway -= length;
      this.#doneLength += list.length;
      this.#owner.finished();
    });
  }

  #add(done: string | Fragment): void {
    this.#done.push(done);
    this.#doneLength += typeof done === 'string' ? done.length : done.text.length;
  }

  /** Moves what has passed to the writer, as long as that holds less than `room`. */
  writeTo(writer: FrameWriter, room: number): void {
    while (writer.length < room) {
      const next = this.#done.peek();
      if (next === undefined) return;
      if (next instanceof ListWriter) {
        if (!next.isReady) return;
        this.#doneLength -= next.nextLength;
        if (next.writeTo(writer)) this.#done.shift();
        continue;
      }
      this.#done.shift();
      if (typeof next === 'string') {
        this.#doneLength -= next.length;
        writer.text(next);
      } else {
        this.#doneLength -= next.text.length;
        writer.fragment(next.text, next.first, next.last);
      }
    }
  }

  #errorOf(fault: LayerFault): RequestError {
    const { kind, cause, message } = fault;
    this.#context.counters.counter('happn_layer_faults_total', 'Messages that the layers of an embedding program stopped').add();
    if (kind === 'refused') {
      const code = isFields(cause) ? cause.code : undefined;
      if (code === 401) return new RequestError('NOT_AUTHENTICATED', message, { cause });
      return new RequestError(code === 403 ? 'ACCESS_DENIED' : 'INVALID_REQUEST', message, { cause });
    }
    if (!this.#complained) {
      this.#context.log.error({ err: fault, session: this.#owner.id }, 'a layer failed (said once a connection)');
      this.#complained = true;
    }
    if (kind === 'late') return new RequestError('TIMEOUT', message, { cause });
    return new RequestError('INTERNAL', 'a layer failed on this message', { cause });
  }
}
