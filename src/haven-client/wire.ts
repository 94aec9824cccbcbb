// The wire format of the client: MessagePack maps with a length of four bytes in front. The only importer of msgpackr here.

import { Packr, Unpackr } from 'msgpackr';
import { checkSayable } from './values.js';

/** Longer answers end the connection: no gateway makes them. */
const ANSWER_MAX_BYTES = 256 * 1024 * 1024;
const PREFIX_BYTES = 4;

const packr = new Packr({ useRecords: false, variableMapSize: true, encodeUndefinedAsNil: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

/** A message from the gateway; its fields are looked at where they are used. */
export interface Answer {
  readonly result?: unknown;
  readonly [field: string]: unknown;
}

/** Throws HavenError MALFORMED for what cannot be said. */
export function frameOf(message: object): Buffer {
  checkSayable(message);
  const body = packr.pack(message);
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + body.length);
  frame.writeUInt32BE(body.length);
  frame.set(body, PREFIX_BYTES);
  return frame;
}

/** Cuts a stream into messages; each byte is copied at most once, however the stream was cut into chunks. */
export class Deframer {
  #chunks: Buffer[] = [];
  #bytes = 0;

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** The next whole message; null: it has not arrived yet. Throws for what is not a message. */
  next(): Answer | null {
    if (this.#bytes < PREFIX_BYTES) return null;
    if ((this.#chunks[0] as Buffer).length < PREFIX_BYTES) this.#join();
    const end = PREFIX_BYTES + (this.#chunks[0] as Buffer).readUInt32BE(0);
    if (end > ANSWER_MAX_BYTES) throw new Error(`an answer of ${end} bytes is too large`);
    if (this.#bytes < end) return null;
    if ((this.#chunks[0] as Buffer).length < end) this.#join();
    const first = this.#chunks[0] as Buffer;
    this.#bytes -= end;
    if (first.length === end) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(end);
    const message: unknown = unpackr.unpack(first.subarray(PREFIX_BYTES, end));
    if (typeof message !== 'object' || message === null || Array.isArray(message)) throw new Error('an answer is not a map');
    return message as Answer;
  }

  #join(): void {
    this.#chunks = [Buffer.concat(this.#chunks)];
  }
}
