// Payload: the body of a record or event, kept as it came (bytes or value) and converted lazily,
// at most once each way per format. Knows formats only through the Format interface.

import { RowMemory } from '../store/row-memory.js';
import { copyShort, wordsOf } from './short-copies.js';

/**
 * The value model that all protocols share: null, boolean, number (finite; integers within ±(2^53 - 1)), text,
 * bytes, Date (milliseconds), lists, and maps with text keys as plain objects.
 * What a protocol can say beyond this is refused by its adapter, never rounded.
 */
export type Value = null | boolean | number | string | Uint8Array | Date | Value[] | { [key: string]: Value };

/** How bytes mean values. Formats are stateless; `id` is written to disk and never changes meaning. */
export interface Format {
  /** 1 json, 2 msgpack, 3 raw (bytes of unknown meaning), 4 binary (bytes that are only bytes). 0 to 255. */
  readonly id: number;
  readonly name: string;
  /** Total on bytes that were accepted into a Payload of this format. The result may share memory with `bytes`. */
  toValue(bytes: Uint8Array): Value;
  /** Total on every Value. */
  fromValue(value: Value): Uint8Array;
}

const NOT_CONVERTED = Symbol('not converted');

/** Bytes that lie in memory of up to twice their length and this may live long there. */
const PINNED_BYTES_MAX = 1_024;
/** Shorter bytes that are going to live long share pieces of memory of that size: one of its own costs more than all else. */
const SHARING_BYTES_MAX = 128;
let shared = new RowMemory(Buffer.allocUnsafeSlow(PINNED_BYTES_MAX));
let sharedEnd = 0;

/** Where there is room for so many bytes in `shared`. */
function placeInShared(length: number): number {
  if (sharedEnd + length > PINNED_BYTES_MAX) {
    shared = new RowMemory(Buffer.allocUnsafeSlow(PINNED_BYTES_MAX));
    sharedEnd = 0;
  }
  sharedEnd += length;
  return sharedEnd - length;
}

/** Immutable: whoever was given bytes or a value must not change them. */
export class Payload {
  #value: Value | typeof NOT_CONVERTED;
  #bytes: Uint8Array | null;
  #converted: (Uint8Array | undefined)[] | null = null;
  #estimate = -1;
  /** A wire text that an adapter derived from this payload (one adapter's own form), kept so it is made once. */
  text: string | null = null;
  /** Where the bytes are, from `#start` to `#end`, as long as nobody asked for a view of them. null: they have been views, or values. */
  #memory: Uint8Array | null = null;
  /** Of the same memory, where others share it. */
  #words: DataView | null = null;
  #start = 0;
  #end = 0;
  /** The bytes keep alive little more than they are. */
  #isDetached = false;

  private constructor(
    readonly format: Format,
    bytes: Uint8Array | null,
    value: Value | typeof NOT_CONVERTED,
  ) {
    this.#bytes = bytes;
    this.#value = value;
  }

  /** `bytes` are kept as they are: the caller must not reuse their memory. They must be valid for `format`. */
  static fromBytes(bytes: Uint8Array, format: Format): Payload {
    return new Payload(format, bytes, NOT_CONVERTED);
  }

  /** The bytes from `start` to `end` of a chunk of a socket; short ones are copied at once. */
  static fromChunk(chunk: Buffer, start: number, end: number, format: Format): Payload {
    const payload = new Payload(format, null, NOT_CONVERTED);
    if (end - start <= SHARING_BYTES_MAX) payload.#share(chunk, start, end);
    else payload.#bytes = chunk.subarray(start, end);
    return payload;
  }

  /** The bytes from `start` to the end of `frame`, which is kept as long as an adapter may hand it on as it is. */
  static fromFrame(frame: Uint8Array, start: number, format: Format): Payload {
    const payload = new Payload(format, null, NOT_CONVERTED);
    payload.#memory = frame;
    payload.#start = start;
    payload.#end = frame.length;
    return payload;
  }

  /** `format` is what the value is written as when it is stored. */
  static fromValue(value: Value, format: Format): Payload {
    return new Payload(format, null, value);
  }

  value(): Value {
    if (this.#value === NOT_CONVERTED) this.#value = this.format.toValue(this.bytesAtHand as Uint8Array);
    return this.#value;
  }

  /** The value, for one look at it: one that has to be made for that is not kept. */
  look(): Value {
    return this.#value === NOT_CONVERTED ? this.format.toValue(this.bytesAtHand as Uint8Array) : this.#value;
  }

  /** The body as `format` writes it: the very bytes that came in when it is the payload's own format. */
  bytes(format: Format): Uint8Array {
    if (format.id === this.format.id) {
      this.#bytes ??= this.bytesAtHand ?? this.format.fromValue(this.#value as Value);
      return this.#bytes;
    }
    this.#converted ??= [];
    let bytes = this.#converted[format.id];
    if (bytes === undefined) {
      bytes = format.fromValue(this.value());
      this.#converted[format.id] = bytes;
    }
    return bytes;
  }

  /** The body in its own format, as it is stored. */
  ownBytes(): Uint8Array {
    return this.bytes(this.format);
  }

  /** Bytes of the body in its own format. */
  get ownSize(): number {
    return this.#memory === null ? this.ownBytes().length : this.#end - this.#start;
  }

  /** Writes the body in its own format to `at` in `target`. */
  copyTo(target: RowMemory, at: number): void {
    if (this.#words === null) target.bytes.set(this.ownBytes(), at);
    else copyShort(this.#words, this.#start, this.#end - this.#start, target.view, at);
  }

  /** The body in its own format when that costs nothing: it came so, or was made so before. Else null. */
  get bytesAtHand(): Uint8Array | null {
    if (this.#bytes === null && this.#memory !== null) this.#bytes = this.#memory.subarray(this.#start, this.#end);
    return this.#bytes;
  }

  /** The frame that it came in, if an adapter may hand that on: not once the payload is going to live long. */
  get frame(): Uint8Array | null {
    return this.#isDetached ? null : this.#memory;
  }

  /**
   * For a payload that is going to live long: bytes that lie in a much larger piece of memory (a chunk of a socket, a shared
   * pool) move to memory of their own, so that they keep alive little more than they are. What shares that memory is let go.
   */
  detach(): void {
    const memory = this.#bytes ?? this.#memory;
    if (this.#isDetached || memory === null) return;
    this.#isDetached = true;
    const { size } = this;
    if (memory.buffer.byteLength <= size * 2 + PINNED_BYTES_MAX) return;
    if (size <= SHARING_BYTES_MAX) {
      const start = this.#bytes === null ? this.#start : 0;
      this.#share(memory, start, start + size);
    } else {
      const own = Buffer.allocUnsafeSlow(size);
      own.set(this.bytesAtHand as Uint8Array);
      this.#bytes = own;
      this.#memory = null;
    }
    this.#value = NOT_CONVERTED;
    this.#converted = null;
  }

  /** Moves short bytes to memory that they share with others. */
  #share(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const at = placeInShared(length);
    const { bytes, view } = shared;
    const words = length === source.length ? null : wordsOf(source);
    if (words !== null) copyShort(words, start, length, view, at);
    else if (length === source.length) bytes.set(source, at);
    else for (let i = 0; i < length; i++) bytes[at + i] = source[start + i] as number;
    this.#bytes = null;
    this.#memory = bytes;
    this.#words = view;
    this.#start = at;
    this.#end = at + length;
    this.#isDetached = true;
  }

  /** Bytes for queue accounting: exact when bytes are at hand, else an estimate that never forces a conversion. */
  get size(): number {
    if (this.#memory !== null) return this.#end - this.#start;
    if (this.#bytes !== null) return this.#bytes.length;
    if (this.text !== null) return this.text.length;
    if (this.#estimate < 0) this.#estimate = estimatedSize(this.#value as Value);
    return this.#estimate;
  }
}

/** About how many bytes a value takes when it is written. */
export function estimatedSize(value: Value): number {
  if (typeof value === 'string') return value.length;
  if (value instanceof Uint8Array) return value.length;
  if (value === null || typeof value !== 'object' || value instanceof Date) return 8;
  let size = 2;
  if (Array.isArray(value)) {
    for (const item of value) size += 1 + estimatedSize(item);
    return size;
  }
  for (const key of Object.keys(value)) size += key.length + 4 + estimatedSize(value[key] as Value);
  return size;
}
