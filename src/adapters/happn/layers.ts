// Layers: functions of an embedding program through which the messages of every connection pass, one after the other. What a
// layer does wrong (throws, answers twice or never) costs one message.

import { Ring } from '../../core/index.js';

/** A connection, as layers see it. */
export interface LayerSession {
  readonly id: string;
  /** `happn_4` and older; `happn` before the client has said. */
  readonly protocol: string;
  readonly user: string;
}

/** A request before it is decoded. What `raw` is when the last layer is done is what is asked for. */
export interface InboundMessage {
  /** The frame: action, eventId, path, data, options. */
  raw: { [name: string]: unknown };
  readonly session: LayerSession;
  /** Number of the message on its connection. */
  readonly id: number;
}

/** An answer: `response` is what is sent. */
export interface ResponseMessage {
  readonly request: { readonly [name: string]: unknown };
  response: unknown;
  readonly session: LayerSession;
}

/** An event for one subscriber: `request.publication` is what is sent. */
export interface EventMessage {
  readonly request: {
    publication: { [name: string]: unknown };
    readonly options: { readonly [name: string]: unknown };
    readonly action: 'emit';
  };
  /** The subscriber's. */
  readonly session: LayerSession;
}

export type OutboundMessage = ResponseMessage | EventMessage;

/** Calls back once: with an error, or with the message (or another) for the next layer. No message means the same. */
export type Layer<M> = (message: M, callback: (error?: unknown, message?: M) => void) => void;

export interface HappnLayers {
  /** Requests of websocket clients, in the order of the list. Together they have `layerTimeoutMs`. */
  readonly inboundLayers?: readonly Layer<InboundMessage>[];
  /** Answers and events to them. */
  readonly outboundLayers?: readonly Layer<OutboundMessage>[];
  /** Milliseconds for one message to pass all layers; 10,000 when absent. */
  readonly layerTimeoutMs?: number;
}

export const LAYER_TIMEOUT_MS = 10_000;

export function hasLayers({ inboundLayers = [], outboundLayers = [] }: HappnLayers): boolean {
  return inboundLayers.length + outboundLayers.length > 0;
}

/** Why a message did not pass. */
export class LayerFault extends Error {
  constructor(
    /** `refused`: a layer called back with an error. The others are the program's mistakes. */
    readonly kind: 'refused' | 'threw' | 'late',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'LayerFault';
  }
}

/** Exactly one of the two is set. */
export type Passed<M> = (fault: LayerFault | null, message: M | null) => void;

interface Job<M> {
  readonly message: M;
  readonly passed: Passed<M>;
}

/** The layers of one direction of one connection. Messages leave in the order in which they came. */
export class LayerLine<M> {
  readonly #layers: readonly Layer<M>[];
  readonly #timeoutMs: number;
  readonly #waiting = new Ring<Job<M>>();
  #busy = false;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(layers: readonly Layer<M>[], timeoutMs: number) {
    this.#layers = layers;
    this.#timeoutMs = timeoutMs;
  }

  /** Messages that have not passed yet. */
  get length(): number {
    return this.#waiting.length + (this.#busy ? 1 : 0);
  }

  push(message: M, passed: Passed<M>): void {
    if (this.#closed) return;
    this.#waiting.push({ message, passed });
    if (!this.#busy) this.#work();
  }

  /** What has not passed yet never will. */
  close(): void {
    this.#closed = true;
    this.#waiting.clear();
    this.#stopTimer();
  }

  /** One message at a time; those whose layers call back at once need no turn of their own. */
  #work(): void {
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      this.#busy = true;
      this.#run(job);
      if (this.#busy) return;
    }
  }

  #run({ message, passed }: Job<M>): void {
    let running = true;
    let over = false;
    const end = (fault: LayerFault | null, result: M | null): void => {
      if (over) return;
      over = true;
      this.#stopTimer();
      try {
        if (!this.#closed) passed(fault, result);
      } finally {
        this.#busy = false;
      }
      if (!running) this.#work();
    };
    this.#step(0, message, end);
    running = false;
    if (over || this.#closed) return;
    const text = `a layer did not call back within ${this.#timeoutMs} ms`;
    this.#timer = setTimeout(() => end(new LayerFault('late', text), null), this.#timeoutMs);
  }

  #step(index: number, message: M, end: Passed<M>): void {
    const layer = this.#layers[index];
    if (layer === undefined) {
      end(null, message);
      return;
    }
    let called = false;
    const next = (error?: unknown, changed?: M): void => {
      if (called) return;
      called = true;
      if (error === null || error === undefined || error === false) this.#step(index + 1, changed ?? message, end);
      else end(new LayerFault('refused', textOf(error), { cause: error }), null);
    };
    try {
      const result: unknown = layer(message, next);
      if (result instanceof Promise) result.catch((error: unknown) => end(new LayerFault('threw', textOf(error), { cause: error }), null));
    } catch (error) {
      called = true;
      end(new LayerFault('threw', textOf(error), { cause: error }), null);
    }
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function textOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return typeof error === 'string' ? error : 'refused';
}
