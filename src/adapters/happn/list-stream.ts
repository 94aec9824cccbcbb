// A long list of records as one message, made piece by piece: while one piece is under way to the socket the loop is free.

import type { Entry } from '../../core/index.js';

/** Characters of a piece, beyond which no record is added. */
const PIECE_CHARACTERS = 64 * 1024;
const PIECE_RECORDS = 512;

/** Answers of more than this are worth pieces. */
export const WHOLE_BYTES = PIECE_CHARACTERS;

export interface Piece {
  readonly text: string;
  readonly first: boolean;
  readonly last: boolean;
}

export class ListStream {
  #at = 0;

  constructor(
    private readonly entries: readonly Entry[],
    private readonly item: (entry: Entry) => string,
    /** Behind the records. */
    private readonly end: string,
  ) {}

  /** Not to be called after the last one. */
  next(): Piece {
    const { entries, item } = this;
    const from = this.#at;
    const to = Math.min(entries.length, from + PIECE_RECORDS);
    let text = from === 0 ? '[' : '';
    let at = from;
    for (; at < to && text.length < PIECE_CHARACTERS; at++) text += `${item(entries[at] as Entry)},`;
    this.#at = at;
    const last = at === entries.length;
    return { text: last ? text + this.end : text, first: from === 0, last };
  }
}
