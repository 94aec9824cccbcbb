// Answers of many records, worked off in steps between which the event loop is free: the items of a read, and the initial records of
// a watch.

import { EntryCursor, type EntrySource, type Format, type Query } from '../../core/index.js';
import * as codec from './codec.js';
import { type EventTail, encodeInitialTail } from './events.js';
import type { Link } from './link.js';
import { PREFIX_BYTES, type Writer } from './writer.js';

/** A step ends when it has looked at so many records, or made so many bytes of them. */
const STEP_RECORDS = 512;
const STEP_BYTES = 64 * 1024;

/** An answer of no more than this is written in one go. */
export const SHORT_BYTES = STEP_BYTES;

/**
 * `more`: there are further steps; `waiting`: for records that are on their way; `full`: for the link, which has enough to do;
 * `done`: that was the last one.
 */
export type Progress = 'more' | 'waiting' | 'full' | 'done';

export interface LongAnswer {
  /** What it answers; null: something of it is on its way to the peer. */
  readonly message: codec.HavenMessage | null;
  step(): Progress;
  /** To be called when no more of it is worked off, also after the last step. */
  close(): void;
}

/** Where a long answer goes. */
export interface Outlet {
  readonly writer: Writer;
  readonly link: Link;
  readonly format: Format;
  /** Messages have their length in front. */
  readonly isPrefixed: boolean;
  /** The link holds more than is good. */
  isFull(): boolean;
}

/** The items of a read. Their number and their length stand in front: the first goes out when the last is encoded. */
export class ItemsAnswer implements LongAnswer {
  message: codec.HavenMessage | null;
  readonly #outlet: Outlet;
  readonly #message: codec.HavenMessage;
  readonly #query: Query | null;
  readonly #source: EntrySource;
  readonly #cursor: EntryCursor;
  readonly #isCut: boolean;
  readonly #count: number;
  /** Items that are still to be encoded. */
  #left: number;
  /** Finished parts of the message, in order. */
  #parts: Buffer[] = [];
  #sent = 0;

  /** `limit`: items that are shown; when there are more, the answer says so. */
  constructor(source: EntrySource, message: codec.HavenMessage, limit: number, query: Query | null, outlet: Outlet) {
    this.#outlet = outlet;
    this.#query = query;
    this.message = message;
    this.#message = message;
    this.#source = source;
    this.#cursor = new EntryCursor(source);
    this.#isCut = source.count > limit;
    this.#count = Math.min(source.count, limit);
    this.#left = this.#count;
  }

  step(): Progress {
    if (this.#left > 0) {
      this.#encodeSome();
      if (this.#left > 0) return this.#cursor.isWaiting ? 'waiting' : 'more';
      this.#source.close();
      this.#frame();
      return 'more';
    }
    return this.#sendSome();
  }

  close(): void {
    this.#source.close();
  }

  #encodeSome(): void {
    const { writer, format } = this.#outlet;
    const mark = writer.length;
    for (let n = 0; n < STEP_RECORDS && this.#left > 0 && writer.length - mark < STEP_BYTES; n++) {
      const entry = this.#cursor.next();
      if (entry === null) break;
      codec.encodeItem(writer, entry, this.#query, format, this.#message.base);
      this.#left -= 1;
    }
    this.#parts.push(writer.cut(mark));
  }

  /** Puts in front of the items and behind them what belongs there. */
  #frame(): void {
    const { writer, isPrefixed } = this.#outlet;
    const mark = writer.length;
    codec.encodeItemsEnd(writer, this.#message, this.#isCut);
    this.#parts.push(writer.cut(mark));
    if (isPrefixed) writer.beginPrefixed();
    codec.encodeItemsHead(writer, this.#message, this.#count, this.#isCut);
    const head = writer.cut(mark);
    let length = head.length;
    for (const part of this.#parts) length += part.length;
    if (isPrefixed) head.writeUInt32BE(length - PREFIX_BYTES);
    this.#parts.unshift(head);
  }

  #sendSome(): Progress {
    const { writer, link } = this.#outlet;
    // What was answered before this.
    if (writer.length > 0) link.send(writer.take());
    this.message = null;
    while (this.#sent < this.#parts.length) {
      if (this.#outlet.isFull()) return 'full';
      const part = this.#parts[this.#sent] as Buffer;
      this.#parts[this.#sent] = NOTHING;
      this.#sent += 1;
      link.send(part, this.#sent === this.#parts.length);
    }
    return 'done';
  }
}

const NOTHING = Buffer.alloc(0);

/** The records that a watch begins with, as events. */
export class InitialEvents implements LongAnswer {
  readonly message = null;
  readonly #cursor: EntryCursor;

  constructor(
    private readonly source: EntrySource,
    /** What their paths are relative to. */
    private readonly base: string,
    private readonly outlet: Outlet,
    /** Takes one of them; false: nobody watches any more. */
    private readonly take: (tail: EventTail) => boolean,
  ) {
    this.#cursor = new EntryCursor(source);
  }

  step(): Progress {
    const { writer, format } = this.outlet;
    const cursor = this.#cursor;
    if (this.outlet.isFull()) return 'full';
    let bytes = 0;
    for (let n = 0; n < STEP_RECORDS && bytes < STEP_BYTES; n++) {
      const entry = cursor.next();
      if (entry === null) break;
      const tail = encodeInitialTail(writer, entry, format, this.base);
      bytes += tail.bytes.length;
      if (!this.take(tail)) return 'done';
    }
    if (cursor.isOver) return 'done';
    return cursor.isWaiting ? 'waiting' : 'more';
  }

  close(): void {
    this.source.close();
  }
}
