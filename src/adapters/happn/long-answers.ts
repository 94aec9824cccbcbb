// Answers of records by wildcard: a list is one message, made in pieces; initial values may be a message each. Between two pieces
// the loop is free, and the socket takes what was made.

import { type Entry, EntryCursor, type EntrySource } from '../../core/index.js';
import type { Sink } from './session-layers.js';

/** A piece ends when it has so many characters, or when so many records were looked at for it. */
const PIECE_CHARACTERS = 64 * 1024;
const PIECE_RECORDS = 512;

/** `more`: there are further pieces; `waiting`: for records that are on their way; `done`: that was the last one. */
export type Progress = 'more' | 'waiting' | 'done';

export interface LongAnswer {
  /** Writes the next piece. Not to be called after the last one. */
  write(sink: Sink): Progress;
  /** To be called when no more of it is written, also after the last piece. */
  close(): void;
}

/** How a list looks: `[{record},{record},{meta}]`, or `{"data":[{record},{record}],"_meta":{…}}`. */
export interface ListForm {
  readonly head: string;
  /** Which records are in it. */
  readonly shows: (entry: Entry) => boolean;
  readonly item: (entry: Entry) => string;
  /** Behind the records. */
  readonly end: string;
  /** What stands behind them is an element of the list. */
  readonly endsInList: boolean;
}

/** A list of records as one message. */
export class RecordList implements LongAnswer {
  readonly #source: EntrySource;
  readonly #cursor: EntryCursor;
  readonly #form: ListForm;
  #isBegun = false;
  /** Between the last record and the next one. */
  #separator = '';

  constructor(source: EntrySource, form: ListForm) {
    this.#source = source;
    this.#cursor = new EntryCursor(source);
    this.#form = form;
  }

  write(sink: Sink): Progress {
    const { head, shows, item, end, endsInList } = this.#form;
    const cursor = this.#cursor;
    let text = this.#isBegun ? '' : head;
    let from = -1;
    let looked = 0;
    while (text.length < PIECE_CHARACTERS && looked < PIECE_RECORDS) {
      const entry = cursor.next();
      if (entry === null) break;
      looked += 1;
      if (!shows(entry)) continue;
      if (from === -1) from = text.length + this.#separator.length;
      text += this.#separator + item(entry);
      this.#separator = ',';
    }
    const to = text.length;
    if (cursor.isOver) text += endsInList ? this.#separator + end : end;
    if (text.length > 0) {
      sink.fragment(text, !this.#isBegun, cursor.isOver, from === -1 ? to : from, to);
      this.#isBegun = true;
    }
    return progressOf(cursor);
  }

  close(): void {
    this.#source.close();
  }
}

/** Records as a message each. */
export class RecordEvents implements LongAnswer {
  readonly #source: EntrySource;
  readonly #cursor: EntryCursor;
  readonly #shows: (entry: Entry) => boolean;
  readonly #event: (entry: Entry) => string;

  constructor(source: EntrySource, shows: (entry: Entry) => boolean, event: (entry: Entry) => string) {
    this.#source = source;
    this.#cursor = new EntryCursor(source);
    this.#shows = shows;
    this.#event = event;
  }

  write(sink: Sink): Progress {
    const cursor = this.#cursor;
    let characters = 0;
    for (let looked = 0; characters < PIECE_CHARACTERS && looked < PIECE_RECORDS; looked++) {
      const entry = cursor.next();
      if (entry === null) break;
      if (!this.#shows(entry)) continue;
      const text = this.#event(entry);
      characters += text.length;
      sink.text(text);
    }
    return progressOf(cursor);
  }

  close(): void {
    this.#source.close();
  }
}

function progressOf(cursor: EntryCursor): Progress {
  if (cursor.isOver) return 'done';
  return cursor.isWaiting ? 'waiting' : 'more';
}

/** Two of the same source, one behind the other; `next` is asked for when the first is done. */
export class Sequence implements LongAnswer {
  #current: LongAnswer;
  #next: (() => LongAnswer) | null;

  constructor(first: LongAnswer, next: () => LongAnswer) {
    this.#current = first;
    this.#next = next;
  }

  write(sink: Sink): Progress {
    const progress = this.#current.write(sink);
    if (progress !== 'done' || this.#next === null) return progress;
    this.#current = this.#next();
    this.#next = null;
    return 'more';
  }

  close(): void {
    this.#current.close();
  }
}
