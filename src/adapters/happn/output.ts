// What goes out on one connection: finished texts, the list that is under way, and the queue of the core, in one socket write a
// flush, and no more at a time than the socket takes.

import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Outbound, Session, Subscription } from '../../core/index.js';
import type { FrameWriter } from './frames.js';
import type { ListStream } from './list-stream.js';
import type { SessionLayers, Sink } from './session-layers.js';

/** Draining stops while the socket holds more than this. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** Whose output it is. */
export interface Speaker extends Session {
  readonly ending: boolean;
  /** Writes what a message of the queue means to the client; returns the list that it is instead when it goes out in pieces. */
  write(writer: Sink, message: Outbound, subscription: Subscription | null): ListStream | null;
  /** More waits than is good: nothing that is answered should be read. */
  onFull(): void;
  onRoom(): void;
}

export class Output {
  readonly #speaker: Speaker;
  readonly #websocket: WebSocket;
  readonly #socket: Duplex;
  readonly #writer: FrameWriter;
  readonly #layers: SessionLayers | null;
  /** Finished frame texts that came from no queue of the core. */
  #texts: string[] = [];
  #textLength = 0;
  /** The answer that is under way; everything else waits until it is complete. */
  #list: ListStream | null = null;
  #isListScheduled = false;

  constructor(speaker: Speaker, websocket: WebSocket, socket: Duplex, writer: FrameWriter, layers: SessionLayers | null) {
    this.#speaker = speaker;
    this.#websocket = websocket;
    this.#socket = socket;
    this.#writer = writer;
    this.#layers = layers;
  }

  /** Goes out with the next flush. */
  text(text: string): void {
    this.#texts.push(text);
    this.#textLength += text.length;
    if (this.#textLength + this.#unwritten > HIGH_WATER_BYTES) this.#speaker.onFull();
  }

  flush(): void {
    if (this.#websocket.readyState !== this.#websocket.OPEN) return;
    const writer = this.#writer;
    try {
      if (!this.#isListScheduled) this.#writeListPiece();
      if (this.#list === null) this.#drainTexts(this.#layers ?? writer);
      this.#drainQueue(this.#layers ?? writer);
      if (this.#layers !== null) this.#layers.writeTo(writer);
      writer.writeTo(this.#socket);
    } finally {
      // Only after a fault is anything left: it must not go to the next session.
      writer.clear();
    }
    const hasRoom = this.#unwritten < HIGH_WATER_BYTES;
    if (this.#list !== null && !this.#isListScheduled && hasRoom) {
      this.#isListScheduled = true;
      setImmediate(this.#continueList);
    }
    if (this.#texts.length === 0 && hasRoom) this.#speaker.onRoom();
  }

  /** Bytes in the socket, and what layers have not let pass yet. */
  get #unwritten(): number {
    return this.#socket.writableLength + (this.#layers === null ? 0 : this.#layers.length);
  }

  #drainTexts(writer: Sink): void {
    const texts = this.#texts;
    if (texts.length === 0) return;
    this.#texts = [];
    this.#textLength = 0;
    for (const text of texts) writer.text(text);
  }

  #drainQueue(writer: Sink): void {
    const { outbound } = this.#speaker;
    const room = HIGH_WATER_BYTES - this.#socket.writableLength;
    while (this.#list === null && writer.length < room) {
      const message = outbound.peek();
      if (message === undefined) return;
      const subscription = outbound.peekSubscription();
      outbound.shift();
      this.#list = this.#speaker.write(writer, message, subscription);
      this.#writeListPiece();
    }
  }

  #writeListPiece(): void {
    const list = this.#list;
    if (list === null) return;
    const { text, first, last } = list.next();
    this.#writer.fragment(text, first, last);
    if (last) this.#list = null;
  }

  readonly #continueList = (): void => {
    this.#isListScheduled = false;
    if (!this.#speaker.ending) this.#speaker.flush();
  };

  /** A long answer is on its way. */
  get hasList(): boolean {
    return this.#list !== null;
  }

  /** Something is on its way to the socket. */
  get busy(): boolean {
    return this.#texts.length > 0 || this.#list !== null || this.#layers?.busy === true;
  }

  close(): void {
    this.#list = null;
    this.#texts = [];
    this.#layers?.close();
  }
}
