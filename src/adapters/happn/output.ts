// What goes out on one connection: finished texts, the long answer in progress, and the core's queue; one socket
// write per flush, and no more at a time than the socket accepts.

import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Outbound, Session, Subscription } from '../../core/index.js';
import type { Host } from './host.js';
import type { LongAnswer, Progress } from './long-answers.js';
import { PAUSED_BY, type Reading } from './reading.js';
import type { SessionLayers, Sink } from './session-layers.js';

/** Draining stops while the socket holds more than this. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** Whose output it is. */
export interface Speaker extends Session {
  readonly ending: boolean;
  /** Writes what a message of the queue means to the client; returns what is to be written in pieces instead. */
  write(writer: Sink, message: Outbound, subscription: Subscription | null): LongAnswer | null;
}

/** The connection that it goes out on. */
export interface OutputParts {
  readonly websocket: WebSocket;
  /** Below the websocket. */
  readonly socket: Duplex;
  readonly layers: SessionLayers | null;
  /** Paused while more waits than is good: nothing that is answered should be read. */
  readonly reading: Reading;
}

export class Output {
  readonly #speaker: Speaker;
  readonly #websocket: WebSocket;
  readonly #socket: Duplex;
  readonly #host: Host;
  readonly #layers: SessionLayers | null;
  readonly #reading: Reading;
  /** Finished frame texts that came from no queue of the core. */
  #texts: string[] = [];
  #textLength = 0;
  /** The answer that is under way; everything else waits until it is complete. */
  #long: LongAnswer | null = null;
  #isPieceScheduled = false;

  constructor(speaker: Speaker, host: Host, { websocket, socket, layers, reading }: OutputParts) {
    this.#speaker = speaker;
    this.#websocket = websocket;
    this.#socket = socket;
    this.#host = host;
    this.#layers = layers;
    this.#reading = reading;
  }

  /** Goes out with the next flush. */
  text(text: string): void {
    this.#texts.push(text);
    this.#textLength += text.length;
    if (this.#textLength + this.#unwritten > HIGH_WATER_BYTES) this.#reading.pause(PAUSED_BY.output);
  }

  flush(): void {
    this.#write(false);
  }

  /** The next piece of the long answer. */
  readonly #writePiece = (): void => {
    this.#isPieceScheduled = false;
    if (!this.#speaker.ending) this.#write(true);
  };

  #write(withPiece: boolean): void {
    if (this.#websocket.readyState !== this.#websocket.OPEN) return;
    const { writer } = this.#host;
    const sink: Sink = this.#layers ?? writer;
    let progress: Progress = 'more';
    try {
      if (withPiece && this.#long !== null) progress = this.#goOn(sink, this.#long);
      if (this.#long === null) this.#drainTexts(sink);
      if (this.#long === null) progress = this.#drainQueue(sink);
      if (this.#layers !== null) this.#layers.writeTo(writer, HIGH_WATER_BYTES - this.#socket.writableLength);
      writer.writeTo(this.#socket);
    } finally {
      // Only after a fault is anything left: it must not go to the next session.
      writer.clear();
    }
    const hasRoom = this.#unwritten < HIGH_WATER_BYTES;
    if (hasRoom && progress !== 'waiting') this.#schedulePiece();
    if (this.#texts.length === 0 && hasRoom) this.#reading.resume(PAUSED_BY.output);
  }

  #goOn(sink: Sink, long: LongAnswer): Progress {
    const progress = long.write(sink);
    this.#long = progress === 'done' ? null : long;
    if (progress === 'done') long.close();
    return progress;
  }

  #schedulePiece(): void {
    if (this.#long === null || this.#isPieceScheduled) return;
    this.#isPieceScheduled = true;
    this.#host.context.inShift(this.#speaker, this.#writePiece);
  }

  /** Bytes in the socket, and what layers have not let pass yet. */
  get #unwritten(): number {
    return this.#socket.writableLength + (this.#layers === null ? 0 : this.#layers.length);
  }

  #drainTexts(sink: Sink): void {
    const texts = this.#texts;
    if (texts.length === 0) return;
    this.#texts = [];
    this.#textLength = 0;
    for (const text of texts) sink.text(text);
  }

  /** Takes from the queue of the core up to a long answer, of which the first piece is written. */
  #drainQueue(sink: Sink): Progress {
    const { outbound } = this.#speaker;
    const room = HIGH_WATER_BYTES - this.#socket.writableLength;
    while (sink.length < room) {
      const message = outbound.peek();
      if (message === undefined) break;
      const subscription = outbound.peekSubscription();
      outbound.shift();
      const long = this.#speaker.write(sink, message, subscription);
      if (long === null) continue;
      const progress = this.#goOn(sink, long);
      if (progress !== 'done') return progress;
    }
    return 'done';
  }

  /** A long answer is on its way. */
  get hasLong(): boolean {
    return this.#long !== null;
  }

  /** Something is on its way to the socket. */
  get busy(): boolean {
    return this.#texts.length > 0 || this.#long !== null || this.#layers?.busy === true;
  }

  close(): void {
    this.#long?.close();
    this.#long = null;
    this.#texts = [];
    this.#layers?.close();
  }
}
