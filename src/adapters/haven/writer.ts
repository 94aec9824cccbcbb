// Writer: where answers are put together. Writes MessagePack heads and small values straight into a large buffer, so that
// bodies that are MessagePack already are copied once, and all frames of one turn lie side by side for one socket write.

const SLAB_BYTES = 64 * 1024;
/** Of the length in front of a message. */
export const PREFIX_BYTES = 4;
const SHORT = 32;
const WORD_BYTES = 4;

/** Bytes that are written again and again: kept as words, of which the last may go beyond them. */
export class Constant {
  readonly length: number;
  /** Of four bytes, the first one lowest. */
  readonly words: readonly number[];

  constructor(bytes: Uint8Array) {
    this.length = bytes.length;
    const padded = Buffer.alloc(Math.ceil(bytes.length / WORD_BYTES) * WORD_BYTES);
    padded.set(bytes);
    this.words = Array.from({ length: padded.length / WORD_BYTES }, (_, word) => padded.readInt32LE(word * WORD_BYTES));
  }
}

export class Writer {
  #bytes = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** The same memory: numbers cost a fraction of what they do through a Buffer. */
  #view = viewOf(this.#bytes);
  /** Beginning of what was not taken yet. */
  #start = 0;
  #at = 0;

  /** Bytes written and not taken. */
  get length(): number {
    return this.#at - this.#start;
  }

  /** What was written since the last `take`. The bytes are the caller's; the writer never touches them again. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(this.#start, this.#at);
    this.#start = this.#at;
    return bytes;
  }

  /** Takes out a copy of what was written behind the first `mark` bytes of what was not taken. */
  cut(mark: number): Buffer {
    const bytes = Buffer.from(this.#bytes.subarray(this.#start + mark, this.#at));
    this.discard(mark);
    return bytes;
  }

  /** Forgets what was written since the last `take`, or behind the first `length` bytes of it. */
  discard(length = 0): void {
    this.#at = this.#start + length;
  }

  /** Leaves room for a length prefix; returns the mark that `endPrefixed` wants. */
  beginPrefixed(): number {
    this.#reserve(PREFIX_BYTES);
    const mark = this.#at - this.#start;
    this.#at += PREFIX_BYTES;
    return mark;
  }

  endPrefixed(mark: number): void {
    const at = this.#start + mark;
    this.#view.setUint32(at, this.#at - at - PREFIX_BYTES);
  }

  nil(): void {
    this.#byte(0xc0);
  }

  bool(value: boolean): void {
    this.#byte(value ? 0xc3 : 0xc2);
  }

  /** Up to 32 bits as an integer, beyond as a double, which every MessagePack library reads as the same number. */
  number(value: number): void {
    this.#reserve(9);
    const view = this.#view;
    const at = this.#at;
    if (value >>> 0 !== value) {
      view.setUint8(at, 0xcb);
      view.setFloat64(at + 1, value);
      this.#at = at + 9;
    } else if (value < 0x80) {
      view.setUint8(at, value);
      this.#at = at + 1;
    } else if (value < 0x1_0000) {
      view.setUint8(at, 0xcd);
      view.setUint16(at + 1, value);
      this.#at = at + 3;
    } else {
      view.setUint8(at, 0xce);
      view.setUint32(at + 1, value);
      this.#at = at + 5;
    }
  }

  constant({ words, length }: Constant): void {
    this.#reserve(words.length * WORD_BYTES);
    const view = this.#view;
    const at = this.#at;
    for (let word = 0; word < words.length; word++) view.setInt32(at + word * WORD_BYTES, words[word] as number, true);
    this.#at = at + length;
  }

  map(entries: number): void {
    this.#head(entries, 0x80, 0xde);
  }

  array(items: number): void {
    this.#head(items, 0x90, 0xdc);
  }

  text(value: string): void {
    const { length } = value;
    this.#reserve(5 + length * 3);
    if (length < SHORT && this.#shortText(value, length)) return;
    const bytes = Buffer.byteLength(value);
    if (bytes < 0x20) this.#bytes[this.#at++] = 0xa0 | bytes;
    else this.#length(bytes, 0xd9);
    this.#at += this.#bytes.write(value, this.#at);
  }

  /** Bytes that are MessagePack already. */
  raw(value: Uint8Array): void {
    const { length } = value;
    if (length <= SHORT) {
      this.#few(value, 0, length);
    } else {
      this.#reserve(length);
      this.#bytes.set(value, this.#at);
      this.#at += length;
    }
  }

  /** As `raw`, those from `from` to `to`, exclusive. */
  part(value: Uint8Array, from: number, to: number): void {
    if (to - from <= SHORT) this.#few(value, from, to);
    else this.raw(value.subarray(from, to));
  }

  #few(value: Uint8Array, from: number, to: number): void {
    const length = to - from;
    this.#reserve(length);
    const bytes = this.#bytes;
    const at = this.#at;
    for (let i = 0; i < length; i++) bytes[at + i] = value[from + i] as number;
    this.#at = at + length;
  }

  /** False, and nothing written, when the text is not plain ASCII. */
  #shortText(value: string, length: number): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    bytes[at] = 0xa0 | length;
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit >= 0x80) return false;
      bytes[at + 1 + i] = unit;
    }
    this.#at = at + 1 + length;
    return true;
  }

  #head(count: number, small: number, wide: number): void {
    this.#reserve(5);
    const view = this.#view;
    const at = this.#at;
    if (count < 0x10) {
      view.setUint8(at, small | count);
      this.#at = at + 1;
    } else if (count < 0x1_0000) {
      view.setUint8(at, wide);
      view.setUint16(at + 1, count);
      this.#at = at + 3;
    } else {
      view.setUint8(at, wide + 1);
      view.setUint32(at + 1, count);
      this.#at = at + 5;
    }
  }

  /** `first` is the token with a length of one byte; the next two have two and four. */
  #length(length: number, first: number): void {
    const view = this.#view;
    const at = this.#at;
    if (length < 0x100) {
      view.setUint8(at, first);
      view.setUint8(at + 1, length);
      this.#at = at + 2;
    } else if (length < 0x1_0000) {
      view.setUint8(at, first + 1);
      view.setUint16(at + 1, length);
      this.#at = at + 3;
    } else {
      view.setUint8(at, first + 2);
      view.setUint32(at + 1, length);
      this.#at = at + 5;
    }
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = value;
  }

  /** What was taken stays where it is; what was not moves along to a new buffer when the old one is full. */
  #reserve(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    const kept = this.#at - this.#start;
    const grown = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, (kept + length) * 2));
    grown.set(this.#bytes.subarray(this.#start, this.#at));
    this.#bytes = grown;
    this.#view = viewOf(grown);
    this.#start = 0;
    this.#at = kept;
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
