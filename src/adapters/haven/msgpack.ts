// MessagePack as a format of the core, and the only door to msgpackr. Packing is the library's. Reading is done here,
// because the library repairs text that is no UTF-8, renames keys and builds classes, which would change what a peer wrote.

import { isUtf8 } from 'node:buffer';
import { Packr } from 'msgpackr';
import type { Format, Value } from '../../core/index.js';
import { uint32At, uintAt } from './integers.js';

const packr = new Packr({
  useRecords: false,
  variableMapSize: true,
  moreTypes: false,
  structuredClone: false,
  bundleStrings: false,
  encodeUndefinedAsNil: true,
  useBigIntExtension: false,
  onInvalidDate: () => null,
  useToJSON: false,
} as ConstructorParameters<typeof Packr>[0] & { useToJSON: boolean });

const TWO_TO_THE_32 = 0x1_0000_0000;

/**
 * Bytes that a Scanner let through; every value can be written. Text of old clients that is no UTF-8 is bytes; of keys
 * that occur twice the last one wins. Written numbers are integers up to 32 bits and doubles beyond.
 */
export const msgpack: Format = {
  id: 2,
  name: 'msgpack',
  toValue: (bytes) => readValue(asBuffer(bytes), 0),
  fromValue: (value) => pack(value),
};

/** One value as MessagePack. The result may share a larger buffer with others, but no bytes of it. */
export function pack(value: Value): Buffer {
  return packr.pack(isWellFormed(value) ? value : wellFormed(value));
}

/** Lone surrogates, which JSON can write, have no form in UTF-8. */
function isWellFormed(value: Value): boolean {
  if (typeof value === 'string') return value.isWellFormed();
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array || value instanceof Date) return true;
  if (Array.isArray(value)) return value.every(isWellFormed);
  for (const key of Object.keys(value)) {
    if (!key.isWellFormed() || !isWellFormed(value[key] as Value)) return false;
  }
  return true;
}

function wellFormed(value: Value): Value {
  if (typeof value === 'string') return value.toWellFormed();
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array || value instanceof Date) return value;
  if (Array.isArray(value)) return value.map(wellFormed);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.toWellFormed(), wellFormed(item)]));
}

/** The value at `bytes[at]`, whole and scanned. */
export function readValue(bytes: Buffer, at: number): Value {
  const first = bytes[at] as number;
  // What verbs, modes and most other numbers are.
  if (first < 0x80) return first;
  reader.bytes = bytes;
  reader.at = at;
  const value = reader.value();
  reader.bytes = NO_BYTES;
  return value;
}

/** Where the scanned value at `bytes[at]` ends. */
export function skipValue(bytes: Buffer, at: number): number {
  let position = at;
  // Values still to be skipped; containers add theirs.
  let values = 1;
  while (values > 0) {
    const first = bytes[position++] as number;
    values -= 1;
    if (first < 0x80 || first >= 0xe0 || (first >= 0xc0 && first < 0xc4)) continue;
    if (first < 0x90) values += 2 * (first & 0x0f);
    else if (first < 0xa0) values += first & 0x0f;
    else if (first < 0xc0) position += first & 0x1f;
    else if (first >= 0xdc) {
      const width = (first & 1) === 0 ? 2 : 4;
      values += uintAt(bytes, position, width) * (first >= 0xde ? 2 : 1);
      position += width;
    } else position = skipWide(bytes, position, first);
  }
  return position;
}

/** `at` is behind the first byte of a token that is no container. */
function skipWide(bytes: Buffer, at: number, first: number): number {
  if (first >= 0xd9) return at + (1 << (first - 0xd9)) + uintAt(bytes, at, 1 << (first - 0xd9));
  if (first >= 0xd4) return at + 1 + (1 << (first - 0xd4));
  if (first >= 0xcc) return at + (1 << (first & 3));
  if (first >= 0xca) return at + (first === 0xca ? 4 : 8);
  if (first === 0xc7) return at + 2 + (bytes[at] as number);
  return at + (1 << (first - 0xc4)) + uintAt(bytes, at, 1 << (first - 0xc4));
}

/** Whether the token is a text or old-spec raw, or a bin, which text may come as. */
export function isTextToken(first: number): boolean {
  return (first >= 0xa0 && first < 0xc0) || (first >= 0xd9 && first <= 0xdb) || (first >= 0xc4 && first <= 0xc6);
}

/** Where the bytes of the text or bin begin whose token `first` is at `at`. */
export function textFrom(first: number, at: number): number {
  if (first < 0xc0) return at + 1;
  return at + 1 + (first >= 0xd9 ? 1 << (first - 0xd9) : 1 << (first - 0xc4));
}

/** The scanned str or bin at `bytes[at]` as text; null when it is no UTF-8. The caller made sure of the token. */
export function readText(bytes: Buffer, at: number): string | null {
  reader.bytes = bytes;
  reader.at = at + 1;
  const text = reader.text(reader.textLength(bytes[at] as number));
  reader.bytes = NO_BYTES;
  return text;
}

const NO_BYTES = Buffer.alloc(0);

class Reader {
  bytes: Buffer = NO_BYTES;
  at = 0;

  value(): Value {
    const first = this.bytes[this.at++] as number;
    if (first < 0x80) return first;
    if (first >= 0xe0) return first - 0x100;
    if (first < 0x90) return this.#map(first & 0x0f);
    if (first < 0xa0) return this.#list(first & 0x0f);
    if (first < 0xc0) return this.#textOrBytes(first & 0x1f);
    return this.#wideValue(first);
  }

  #wideValue(first: number): Value {
    const { bytes } = this;
    switch (first) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#slice(this.#unsigned(1 << (first - 0xc4)));
      case 0xc7:
        return this.#timestamp(this.#unsigned(1));
      case 0xca:
        this.at += 4;
        return bytes.readFloatBE(this.at - 4);
      case 0xcb:
        this.at += 8;
        return bytes.readDoubleBE(this.at - 8);
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#unsigned(1 << (first - 0xcc));
      case 0xcf:
        return this.#unsigned(4) * TWO_TO_THE_32 + this.#unsigned(4);
      case 0xd0:
      case 0xd1:
      case 0xd2:
        return this.#signed(1 << (first - 0xd0));
      case 0xd3:
        return this.#signed(4) * TWO_TO_THE_32 + this.#unsigned(4);
      case 0xd6:
        return this.#timestamp(4);
      case 0xd7:
        return this.#timestamp(8);
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#textOrBytes(this.#unsigned(1 << (first - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#list(this.#unsigned(first === 0xdc ? 2 : 4));
      case 0xde:
      case 0xdf:
        return this.#map(this.#unsigned(first === 0xde ? 2 : 4));
      default:
        throw new Error(`MessagePack token ${first.toString(16)} where only scanned bytes may be`);
    }
  }

  /** Length of the str or bin whose first byte was just passed. */
  textLength(first: number): number {
    if (first < 0xc0) return first & 0x1f;
    return this.#unsigned(first >= 0xd9 ? 1 << (first - 0xd9) : 1 << (first - 0xc4));
  }

  /** null when it is no UTF-8. */
  text(length: number): string | null {
    const { bytes, at } = this;
    const end = at + length;
    this.at = end;
    for (let i = at; i < end; i++) {
      if ((bytes[i] as number) >= 0x80) return isUtf8(bytes.subarray(i, end)) ? bytes.toString('utf8', at, end) : null;
    }
    return bytes.toString('latin1', at, end);
  }

  #textOrBytes(length: number): Value {
    return this.text(length) ?? this.bytes.subarray(this.at - length, this.at);
  }

  #slice(length: number): Uint8Array {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  #list(length: number): Value[] {
    const list: Value[] = new Array(length);
    for (let i = 0; i < length; i++) list[i] = this.value();
    return list;
  }

  /** Every key is an own one, `__proto__` too. */
  #map(length: number): Value {
    const map: { [key: string]: Value } = {};
    for (let i = 0; i < length; i++) {
      const first = this.bytes[this.at++] as number;
      const key = this.text(this.textLength(first)) as string;
      if (key === '__proto__') {
        Object.defineProperty(map, key, { value: this.value(), enumerable: true, writable: true, configurable: true });
      } else {
        map[key] = this.value();
      }
    }
    return map;
  }

  #timestamp(length: number): Date {
    const at = this.at + 1;
    this.at = at + length;
    const { bytes } = this;
    if (length === 4) return new Date(uint32At(bytes, at) * 1000);
    if (length === 8) {
      const high = uint32At(bytes, at);
      return moment((high & 3) * TWO_TO_THE_32 + uint32At(bytes, at + 4), high >>> 2);
    }
    return moment(Number(bytes.readBigInt64BE(at + 4)), uint32At(bytes, at));
  }

  #unsigned(width: number): number {
    const { at } = this;
    this.at = at + width;
    return uintAt(this.bytes, at, width);
  }

  #signed(width: number): number {
    const { bytes, at } = this;
    this.at = at + width;
    if (width === 1) return bytes.readInt8(at);
    return width === 2 ? bytes.readInt16BE(at) : bytes.readInt32BE(at);
  }
}

const reader = new Reader();

function moment(seconds: number, nanoseconds: number): Date {
  return new Date(seconds * 1000 + Math.floor(nanoseconds / 1_000_000));
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
