// Framing: cuts a TCP byte stream into messages. The first byte of a connection decides how, once: with a length before
// each message, or bare values one after the other. What it hands out has passed the scanner.

import { ConnectionError } from '../../core/index.js';
import { uint32At } from './integers.js';
import { INCOMPLETE, type ScanLimits, Scanner } from './scanner.js';

/** prefixed: a big-endian length of four bytes, then one value. bare: values. message: each `push` is one message. */
export type Framing = 'prefixed' | 'bare' | 'message';

const PREFIX_BYTES = 4;
const EMPTY = Buffer.alloc(0);

/**
 * How a connection that begins with this byte is framed: a length is below 16 MiB, so it begins with 0; a bare message
 * begins with a map or an array; null: neither.
 */
export function framingOf(first: number): 'prefixed' | 'bare' | null {
  if (first === 0x00) return 'prefixed';
  return (first >= 0x80 && first < 0xa0) || (first >= 0xdc && first <= 0xdf) ? 'bare' : null;
}

export class Deframer {
  framing: Framing | null;
  /** The message that `next` found: `bytes[from]` to `bytes[to]`, exclusive. Valid until the next call of anything. */
  bytes: Buffer = EMPTY;
  from = 0;
  to = 0;
  readonly #scanner: Scanner;
  /** End of what came in. */
  #end = 0;
  /** Beginning of what was not handed out. */
  #start = 0;
  /** `bytes` was made here, so that there may be room behind its end. */
  #owned = false;
  /** A bare message is being scanned. */
  #begun = false;

  constructor(framing: 'message' | null, limits: ScanLimits) {
    this.framing = framing;
    this.#scanner = new Scanner(limits);
  }

  set limits(limits: ScanLimits) {
    this.#scanner.limits = limits;
  }

  /** Why the message found last cannot be taken as it is; null when it can. */
  get problem(): string | null {
    return this.#scanner.problem;
  }

  /** Bytes that wait for the rest of their message, or to be asked for. */
  get pending(): number {
    return this.#end - this.#start;
  }

  /** The first of these bytes; undefined: there is none. */
  get firstPending(): number | undefined {
    return this.#end > this.#start ? this.bytes[this.#start] : undefined;
  }

  /** Adds what came in; the bytes must stay as they are. */
  push(chunk: Buffer): void {
    const rest = this.#end - this.#start;
    if (rest === 0) {
      this.bytes = chunk;
      this.#start = 0;
      this.#end = chunk.length;
      this.#owned = false;
      return;
    }
    if (!this.#owned || this.#end + chunk.length > this.bytes.length) this.#grow(rest, chunk.length);
    this.bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Doubles while one message comes in many pieces, so that the copying stays linear. */
  #grow(rest: number, more: number): void {
    const grown = Buffer.allocUnsafeSlow(rest > more ? 2 * (rest + more) : rest + more);
    this.bytes.copy(grown, 0, this.#start, this.#end);
    this.bytes = grown;
    this.#start = 0;
    this.#end = rest;
    this.#owned = true;
  }

  /** Finds the next whole message; false when there is none yet. Throws what Scanner throws. */
  next(): boolean {
    if (this.#start === this.#end) {
      this.#drop();
      return false;
    }
    this.framing ??= this.#decide();
    switch (this.framing) {
      case 'prefixed':
        return this.#nextPrefixed();
      case 'bare':
        return this.#nextBare();
      case 'message':
        return this.#nextWhole(this.#start, this.#end);
    }
  }

  /** An idle connection holds no memory of what it said. */
  #drop(): void {
    this.bytes = EMPTY;
    this.#start = 0;
    this.#end = 0;
    this.#owned = false;
  }

  #decide(): Framing {
    const framing = framingOf(this.bytes[this.#start] as number);
    if (framing === null) throw new ConnectionError('MALFORMED_FRAME', 'the first byte begins neither a length, a map nor an array');
    return framing;
  }

  #nextPrefixed(): boolean {
    const from = this.#start + PREFIX_BYTES;
    if (from > this.#end) return false;
    const length = uint32At(this.bytes, this.#start);
    const { maxBytes } = this.#scanner.limits;
    if (length > maxBytes) throw new ConnectionError('FRAME_TOO_LARGE', `a message has more than ${maxBytes} bytes`);
    if (from + length > this.#end) return false;
    return this.#nextWhole(from, from + length);
  }

  #nextWhole(from: number, to: number): boolean {
    this.#scanner.reset();
    const end = this.#scanner.scan(this.bytes, from, to);
    if (end !== to) {
      throw new ConnectionError(
        'MALFORMED_FRAME',
        end === INCOMPLETE ? 'a frame ends within its value' : 'a frame goes on behind its value',
      );
    }
    this.#found(from, to);
    return true;
  }

  #nextBare(): boolean {
    const from = this.#start;
    if (!this.#begun) {
      this.#scanner.reset();
      this.#begun = true;
    }
    const end = this.#scanner.scan(this.bytes, from, this.#end);
    if (end === INCOMPLETE) return false;
    this.#begun = false;
    this.#found(from, end);
    return true;
  }

  #found(from: number, to: number): void {
    this.from = from;
    this.to = to;
    this.#start = to;
  }
}
