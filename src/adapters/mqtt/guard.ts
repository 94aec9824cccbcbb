// Guard: the first to see a session's bytes. Cuts them into packets in linear time, however they are split, and lets
// nothing through that is too large or whose header is wrong. What the packets mean is the session's business.

import { ConnectionError } from '../../core/index.js';
import { malformed } from './codec.js';
import { LENGTH_BYTES_MAX } from './wire.js';

const FIRST_CAPACITY = 512;

export interface PacketTaker {
  /** One whole packet: `bytes` from `start` to `end`, its body from `body`. The bytes are not used again by the guard. */
  onPacket(first: number, bytes: Buffer, start: number, body: number, end: number): void;
  /** Nothing follows. */
  onViolation(error: ConnectionError): void;
}

/** What the first byte of a packet, its remaining length and the number of bytes that that is written in say is wrong; null: nothing. */
export type HeaderFault = (first: number, length: number, lengthSize: number) => ConnectionError | null;

export class Guard {
  /** Bytes that are not taken yet, beginning with a packet; `#have` of them are filled. */
  #buffer: Buffer | null = null;
  #have = 0;
  /** Looking again makes no sense before this many bytes are there. */
  #need = 0;
  #held = false;
  #ended = false;
  #parsing = false;
  #length = 0;
  /** Largest packet, header included. */
  maxBytes: number;

  constructor(
    private readonly taker: PacketTaker,
    private readonly headerFault: HeaderFault,
    maxBytes: number,
  ) {
    this.maxBytes = maxBytes;
  }

  /** The chunk belongs to the guard from now on. */
  push(chunk: Buffer): void {
    if (this.#ended) return;
    if (this.#have === 0 && !this.#held && !this.#parsing) {
      this.#parse(chunk);
      return;
    }
    this.#append(chunk);
    this.#goOn();
  }

  /** No packet is handed on until `release`; bytes are kept. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#goOn();
  }

  /** The connection is over: drops what it holds, takes nothing more. */
  end(): void {
    this.#ended = true;
    this.#buffer = null;
    this.#have = 0;
  }

  get isHeld(): boolean {
    return this.#held;
  }

  /** Bytes that wait here. */
  get waiting(): number {
    return this.#have;
  }

  #goOn(): void {
    if (this.#held || this.#parsing || this.#ended || this.#have === 0 || this.#have < this.#need) return;
    const bytes = (this.#buffer as Buffer).subarray(0, this.#have);
    this.#buffer = null;
    this.#have = 0;
    this.#parse(bytes);
  }

  #parse(bytes: Buffer): void {
    this.#parsing = true;
    this.#need = 0;
    let at = 0;
    while (at < bytes.length && !this.#held && !this.#ended) {
      const first = bytes[at] as number;
      const body = this.#bodyOf(bytes, at);
      if (body === 0) break;
      const end = body + this.#length;
      const fault = this.#faultOf(first, end - at, body - at - 1);
      if (fault !== null) {
        this.#violate(fault);
        break;
      }
      if (end > bytes.length) {
        this.#need = end - at;
        break;
      }
      this.taker.onPacket(first, bytes, at, body, end);
      at = end;
    }
    this.#parsing = false;
    if (!this.#ended && at < bytes.length) this.#keep(at === 0 ? bytes : bytes.subarray(at));
    this.#goOn();
  }

  /** Where the body begins, its length in `#length`; 0: the fixed header is not complete, or wrong. */
  #bodyOf(bytes: Buffer, start: number): number {
    let length = 0;
    let shift = 0;
    for (let at = start + 1; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      length += (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.#length = length;
        return at + 1;
      }
      shift += 7;
      if (shift === 7 * LENGTH_BYTES_MAX) {
        this.#violate(malformed('a remaining length has at most four bytes'));
        return 0;
      }
    }
    this.#need = bytes.length - start + 1;
    return 0;
  }

  /** Judged before the body is there, so that a packet that will be refused is never collected. */
  #faultOf(first: number, size: number, lengthSize: number): ConnectionError | null {
    if (size > this.maxBytes) return new ConnectionError('FRAME_TOO_LARGE', `a packet of ${size} bytes, ${this.maxBytes} are allowed`);
    return this.headerFault(first, this.#length, lengthSize);
  }

  #violate(error: ConnectionError): void {
    this.end();
    this.taker.onViolation(error);
  }

  /** What is left of a chunk; a small rest does not keep a large chunk in memory. */
  #keep(rest: Buffer): void {
    if (this.#have > 0) {
      const later = (this.#buffer as Buffer).subarray(0, this.#have);
      this.#buffer = Buffer.concat([rest, later]);
    } else {
      this.#buffer = rest.length * 2 < rest.buffer.byteLength ? Buffer.from(rest) : rest;
    }
    this.#have = this.#buffer.length;
  }

  /** Amortised: the room doubles, so that a packet in single bytes costs no more than one copy of it. */
  #append(chunk: Buffer): void {
    const have = this.#have;
    const wanted = have + chunk.length;
    if (this.#buffer === null || this.#buffer.length < wanted) {
      const grown = Buffer.allocUnsafe(Math.max(wanted, have * 2, FIRST_CAPACITY));
      if (this.#buffer !== null) grown.set(this.#buffer.subarray(0, have));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, have);
    this.#have = wanted;
  }
}
