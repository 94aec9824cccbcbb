// Between one connection and the layers of an embedding program: frames in and texts out take this way when there are any layers.

import { type AdapterContext, RequestError, type Session } from '../../core/index.js';
import { encodeError, jsonText } from './codec.js';
import { copyIn } from './copies.js';
import { isFields } from './fields.js';
import type { FrameWriter } from './frames.js';
import {
  type HappnLayers,
  type InboundMessage,
  LAYER_TIMEOUT_MS,
  type LayerFault,
  LayerLine,
  type LayerSession,
  type OutboundMessage,
} from './layers.js';
import type { Version } from './versions.js';
import type { Fields, Frame, FrameLimits } from './wire.js';

/** What finished texts are written to. */
export type Sink = Pick<FrameWriter, 'text' | 'fragment' | 'frame' | 'length'>;

/** The connection. */
export interface Owner extends Session {
  readonly version: Version;
  /** Takes a request that has passed; it may throw. */
  passed(frame: Frame): void;
  /** Answers a request that has not passed, or failed. */
  refuse(frame: Frame, error: unknown): void;
  /** There is something to be written. */
  finished(): void;
}

const QUOTE = 34;

export class SessionLayers implements Sink {
  readonly #owner: Owner;
  readonly #context: AdapterContext;
  readonly #limits: FrameLimits;
  readonly #inbound: LayerLine<InboundMessage> | null;
  readonly #outbound: LayerLine<OutboundMessage> | null;
  /** Requests that are not answered yet, by their eventId. */
  readonly #requests = new Map<unknown, Frame>();
  /** Texts that have passed. */
  #done: string[] = [];
  #doneLength = 0;
  /** Of a message that is not complete. */
  #fragments: string[] = [];
  /** Characters on their way through the layers. */
  #underway = 0;
  #messages = 0;
  #complained = false;

  constructor(owner: Owner, context: AdapterContext, limits: FrameLimits, layers: HappnLayers) {
    this.#owner = owner;
    this.#context = context;
    this.#limits = limits;
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
    this.#done = [];
    this.#fragments = [];
  }

  // -------------------------------------------------------------- in

  take(frame: Frame): void {
    if (this.#inbound === null) {
      this.#hand(frame);
      return;
    }
    const message = { raw: frame as { [name: string]: unknown }, session: this.#session, id: ++this.#messages };
    this.#inbound.push(message, (fault, passed) => {
      if (fault === null) this.#hand((passed as InboundMessage).raw, frame);
      else this.#owner.refuse(frame, this.#errorOf(fault));
    });
  }

  #hand(raw: unknown, asked = raw as Frame): void {
    try {
      // Layers may keep what they were given: what is stored is a copy.
      const frame = raw === asked && this.#inbound === null ? asked : (copyIn(raw, this.#limits) as Frame | undefined);
      if (!isFields(frame)) throw new RequestError('INVALID_REQUEST', 'a layer made no request of this');
      if (this.#outbound !== null) this.#requests.set(frame.eventId, frame);
      this.#owner.passed(frame);
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
  fragment(text: string, _first: boolean, last: boolean): void {
    this.#fragments.push(text);
    if (!last) return;
    const whole = this.#fragments.join('');
    this.#fragments = [];
    this.text(whole);
  }

  text(text: string): void {
    const message = this.#outbound === null || text.charCodeAt(0) === QUOTE ? null : this.#messageOf(text);
    if (message === null || this.#outbound === null) {
      this.#add(text);
      return;
    }
    this.#underway += text.length;
    this.#outbound.push(message, (fault, passed) => {
      this.#underway -= text.length;
      this.#leave(message, fault, passed);
    });
  }

  /** Null for what layers do not see: refusals, acknowledgements, notices of the gateway. */
  #messageOf(text: string): OutboundMessage | null {
    const content = JSON.parse(text) as Fields | Fields[];
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
        error = new RequestError('INTERNAL', 'a layer left nothing that can be sent', { cause });
      }
    }
    if (error !== null && 'response' in message) text = encodeError(message.request, this.#owner, error);
    // An event that a layer refuses is not sent.
    if (text === undefined) return;
    this.#add(text);
    this.#owner.finished();
  }

  #add(text: string): void {
    this.#done.push(text);
    this.#doneLength += text.length;
  }

  /** Moves what has passed to the writer. */
  writeTo(writer: Sink): void {
    const done = this.#done;
    this.#done = [];
    this.#doneLength = 0;
    for (const text of done) writer.text(text);
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
