// Long lists on their way through the layers of an embedding program. A layer gets the whole list as a value; it is built from the
// pieces of the answer one by one, and turned into pieces of text again, so that the event loop is free in between.

import { escapeSeparators, jsonText } from './codec.js';
import { isFields } from './fields.js';
import type { FrameWriter } from './frames.js';
import type { Fields } from './wire.js';

/** A piece of text ends when it has so many characters. */
const PIECE_CHARACTERS = 64 * 1024;
/** So many pieces are made at a time. */
const STEP_PIECES = 4;

/** Pieces of JSON text, in their order, that become one value. */
export class ListReader {
  /** The text around the records. */
  #around = '';
  readonly #records: unknown[] = [];
  /** Characters that were taken. */
  length = 0;
  /** Pieces that were taken. */
  pieces = 0;

  /** `from`, `to`: where in the piece its records stand, with commas between them alone. */
  add(text: string, first: boolean, last: boolean, from: number, to: number): void {
    this.length += text.length;
    this.pieces += 1;
    if (first) this.#around = text.slice(0, from);
    if (to > from) for (const record of JSON.parse(`[${text.slice(from, to)}]`) as unknown[]) this.#records.push(record);
    if (last) this.#around += text.slice(to).replace(/^,/, '');
  }

  /** To be asked for when the last piece was taken. */
  value(): Fields | unknown[] {
    const around = JSON.parse(this.#around) as Fields | unknown[];
    if (!Array.isArray(around)) return { ...around, data: this.#records };
    for (const element of around) this.#records.push(element);
    return this.#records;
  }
}

/** A value with a long list in it, as pieces of JSON text: all are made before the first is written, because one may fail. */
export class ListWriter {
  readonly #list: readonly unknown[];
  readonly #end: string;
  readonly #pieces: string[] = [];
  #text: string;
  #next = 0;
  #written = 0;
  /** Characters of all pieces. */
  length = 0;
  isReady = false;

  private constructor(head: string, list: readonly unknown[], end: string) {
    this.#text = head;
    this.#list = list;
    this.#end = end;
  }

  /** null: there is no list in it that could be long. */
  static of(value: unknown): ListWriter | null {
    if (Array.isArray(value)) return hasOwnForm(value) ? null : new ListWriter('[', value, ']');
    if (!isFields(value) || hasOwnForm(value) || !Array.isArray(value.data) || hasOwnForm(value.data)) return null;
    const { data, ...rest } = value;
    const around = jsonText(rest);
    return new ListWriter('{"data":[', data as unknown[], around === '{}' ? ']}' : `],${around.slice(1)}`);
  }

  /** Makes the next pieces. Throws what JSON makes of a value that has no text. */
  step(): void {
    for (const behind = this.#pieces.length + STEP_PIECES; this.#pieces.length < behind && !this.isReady; ) this.#makePiece();
  }

  #makePiece(): void {
    let text = this.#text;
    this.#text = '';
    for (; this.#next < this.#list.length && text.length < PIECE_CHARACTERS; this.#next++) {
      text += (this.#next === 0 ? '' : ',') + (textOf(this.#list[this.#next]) ?? 'null');
    }
    this.isReady = this.#next === this.#list.length;
    if (this.isReady) text += this.#end;
    this.#pieces.push(text);
    this.length += text.length;
  }

  /** This text instead of all of it. */
  giveUp(text: string): void {
    this.#pieces.length = 0;
    this.#pieces.push(text);
    this.length = text.length;
    this.isReady = true;
  }

  /** Characters of the next piece. */
  get nextLength(): number {
    return (this.#pieces[this.#written] as string).length;
  }

  /** Writes the next piece; true: that was the last one. */
  writeTo(writer: FrameWriter): boolean {
    const text = this.#pieces[this.#written] as string;
    const first = this.#written === 0;
    this.#pieces[this.#written] = '';
    this.#written += 1;
    const last = this.#written === this.#pieces.length;
    writer.fragment(text, first, last);
    return last;
  }
}

/** Undefined for what JSON leaves out. */
function textOf(value: unknown): string | undefined {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? undefined : escapeSeparators(text);
}

function hasOwnForm(value: object): boolean {
  return 'toJSON' in value;
}
