// What goes out on one connection: frames into the adapter's writer, the core's queue message by message, and the long answer
// that everything behind it waits for.

import type { Outbound, ReplyRun, RequestError, Session, Subscription } from '../../core/index.js';
import type { HavenMessage } from './codec.js';
import * as codec from './codec.js';
import type { Framing } from './framing.js';
import type { Host } from './host.js';
import type { Link } from './link.js';
import type { LongAnswer, Outlet, Progress } from './long-answers.js';
import { msgpack } from './msgpack.js';
import { havenError } from './wire.js';
import type { Writer } from './writer.js';

/** Draining stops, and so does reading, while the socket holds more than this. */
export const HIGH_WATER_BYTES = 1024 * 1024;

/** Whose output it is. */
export interface Speaker extends Session {
  /** Neither says nor hears anything more. */
  readonly ended: boolean;
  /** Calls `write`, then has the link send what it wrote. */
  writing(write: () => void): void;
  /** Writes what a message of the queue means to the peer; returns what is to be worked off in steps instead. */
  write(message: Outbound, subscription: Subscription | null): LongAnswer | null;
  /** Writes replies that were written ahead. */
  writeRun(run: ReplyRun): void;
  /** Writes events that wait for company. */
  writePushed(): void;
  /** A reply of the core was written whole. */
  onReplied(): void;
}

export class Output implements Outlet {
  readonly format = msgpack;
  readonly writer: Writer;
  readonly link: Link;
  readonly #speaker: Speaker;
  readonly #host: Host;
  /** Knows the framing as soon as something has come in. */
  readonly #deframer: { readonly framing: Framing | null };
  /** The answer that is being worked off; everything behind it waits. */
  #long: LongAnswer | null = null;
  #isStepScheduled = false;

  constructor(speaker: Speaker, host: Host, link: Link, deframer: { readonly framing: Framing | null }) {
    this.#speaker = speaker;
    this.#host = host;
    this.#deframer = deframer;
    this.writer = host.writer;
    this.link = link;
  }

  // ---------------------------------------------------------------- frames

  get isPrefixed(): boolean {
    return this.#deframer.framing === 'prefixed';
  }

  isFull(): boolean {
    return this.link.bufferedBytes + this.writer.length > HIGH_WATER_BYTES;
  }

  /** Begins a message; returns the mark that `end` wants. */
  begin(): number {
    return this.isPrefixed ? this.writer.beginPrefixed() : this.writer.length;
  }

  end(mark: number): void {
    if (this.isPrefixed) this.writer.endPrefixed(mark);
    if (this.link.byMessage) this.link.send(this.writer.take());
  }

  /** The answer, without its frame, to a request that could not be done. */
  fault(message: HavenMessage, error: RequestError): void {
    codec.encodeError(this.writer, message, havenError(error), false);
  }

  /** Says instead of what was written behind the first `length` bytes that the answer cannot be written. */
  unwritable(message: HavenMessage, length: number, error: unknown): void {
    this.#host.context.log.error({ err: error, session: this.#speaker.id }, 'an answer could not be written');
    this.writer.discard(length);
    codec.encodeError(this.writer, message, { name: 'INTERNAL', message: 'the answer could not be written' }, false);
  }

  // ---------------------------------------------------------------- the queue

  flush(): void {
    if (this.#long === null) this.#speaker.writing(this.#drain);
    else this.#stepSoon();
  }

  readonly #drain = (): void => {
    const { outbound } = this.#speaker;
    while (this.#long === null && !this.isFull()) {
      const message = outbound.peek();
      if (message === undefined) break;
      const run = outbound.peekRun();
      const subscription = outbound.peekSubscription();
      outbound.shift();
      if (run !== null) {
        this.#speaker.writeRun(run);
        continue;
      }
      this.#long = this.#speaker.write(message, subscription);
      if (this.#long !== null) this.#step(this.#long);
      else if (message.kind === 'reply') this.#speaker.onReplied();
    }
    this.#speaker.writePushed();
  };

  // ---------------------------------------------------------------- the long answer

  #step(long: LongAnswer): void {
    const progress = this.#progressOf(long);
    this.#speaker.writePushed();
    if (progress === 'more') {
      this.#stepSoon();
    } else if (progress === 'done') {
      this.#long = null;
      long.close();
      this.#speaker.onReplied();
    }
  }

  /** Of an answer that cannot be written, the peer is told so as long as it has nothing of it. */
  #progressOf(long: LongAnswer): Progress {
    const { length } = this.writer;
    try {
      return long.step();
    } catch (error) {
      if (long.message === null) throw error;
      this.writer.discard(length);
      const mark = this.begin();
      this.unwritable(long.message, this.writer.length, error);
      this.end(mark);
      return 'done';
    }
  }

  #stepSoon(): void {
    if (this.#isStepScheduled) return;
    this.#isStepScheduled = true;
    this.#host.context.inShift(this.#speaker, this.#goOn);
  }

  readonly #goOn = (): void => {
    this.#isStepScheduled = false;
    if (!this.#speaker.ended && this.#long !== null) this.#speaker.writing(this.#stepAndDrain);
  };

  readonly #stepAndDrain = (): void => {
    if (this.#long !== null) this.#step(this.#long);
    this.#drain();
  };

  close(): void {
    this.#long?.close();
    this.#long = null;
  }
}
