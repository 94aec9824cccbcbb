// Entry: what is stored at a path, and its form on disk.
// The form: version u8, format u8, author length u16, created f64, modified f64, revision f64, flags u8, then only with their
// flag: expires f64, meta length u32 and meta; then author, payload, seal (little-endian; seal.ts).

import type { Qos } from '../message.js';
import { RowMemory } from '../store/row-memory.js';
import { SEAL_BYTES, sealIn, unsealed } from '../store/seal.js';
import { SECTION, StoreDamage, type WriteBatch } from '../store/store.js';
import { Meta } from './meta.js';
import { type Format, Payload } from './payload.js';

const VERSION = 1;
const HEAD_BYTES = 29;
const FLAGS_AT = 28;
/** The two low bits are the level. */
const LEVEL = 0x03;
const EXPIRES = 0x04;
const META = 0x08;
const EXPIRES_BYTES = 8;
const META_LENGTH_BYTES = 4;

/** Immutable. `created`, `modified` and `expires` are milliseconds since 1970. */
export class Entry {
  /** Of the body as it is stored. */
  readonly bodyBytes: number;

  constructor(
    readonly path: string,
    readonly payload: Payload,
    readonly created: number,
    readonly modified: number,
    /** Number of the change that made this entry, counted over all stored changes from 1. */
    readonly revision: number,
    /** Name of the user that made the last change; empty when nobody was logged in. */
    readonly author: string,
    /** Level at which the last change was published: protocols with levels deliver the record at no more than this. */
    readonly qos: Qos = 1,
    /** From then on nobody sees it; 0: never. */
    readonly expires: number = 0,
    readonly meta: Meta | null = null,
  ) {
    this.bodyBytes = payload.ownSize;
  }

  /** Nobody sees it any more; it is only still to be removed. */
  isExpired(time: number): boolean {
    return this.expires !== 0 && this.expires <= time;
  }
}

/** The entry's row, in a batch. */
export function putEntry(batch: WriteBatch, entry: Entry): void {
  const length = rowLength(entry);
  const at = batch.place(SECTION.record, entry.path, length);
  writeRow(entry, batch.memory, at, at + length);
}

export function encodeEntry(entry: Entry): Buffer {
  const bytes = Buffer.allocUnsafe(rowLength(entry));
  writeRow(entry, new RowMemory(bytes), 0, bytes.length);
  return bytes;
}

function rowLength({ bodyBytes, author, expires, meta }: Entry): number {
  return authorPlace(expires, meta) + textBytes(author) + bodyBytes + SEAL_BYTES;
}

function authorPlace(expires: number, meta: Meta | null): number {
  const metaBytes = meta === null ? 0 : META_LENGTH_BYTES + meta.bytes().length;
  return HEAD_BYTES + (expires === 0 ? 0 : EXPIRES_BYTES) + metaBytes;
}

function textBytes(text: string): number {
  return text === '' ? 0 : Buffer.byteLength(text);
}

function writeRow(entry: Entry, memory: RowMemory, from: number, end: number): void {
  const { bytes, view } = memory;
  const { payload, author, expires, meta } = entry;
  const authorBytes = textBytes(author);
  view.setUint8(from, VERSION);
  view.setUint8(from + 1, payload.format.id);
  view.setUint16(from + 2, authorBytes, true);
  view.setFloat64(from + 4, entry.created, true);
  view.setFloat64(from + 12, entry.modified, true);
  view.setFloat64(from + 20, entry.revision, true);
  view.setUint8(from + FLAGS_AT, entry.qos | (expires === 0 ? 0 : EXPIRES) | (meta === null ? 0 : META));
  if (expires !== 0) view.setFloat64(from + HEAD_BYTES, expires, true);
  const authorAt = from + authorPlace(expires, meta);
  if (meta !== null) {
    const metaBytes = meta.bytes();
    bytes.set(metaBytes, authorAt - metaBytes.length);
    view.setUint32(authorAt - metaBytes.length - META_LENGTH_BYTES, metaBytes.length, true);
  }
  if (authorBytes > 0) bytes.write(author, authorAt);
  payload.copyTo(memory, authorAt + authorBytes);
  sealIn(memory, from, end);
}

/** Throws StoreDamage when the bytes are not what was written. */
export function decodeEntry(path: string, bytes: Uint8Array, formats: ReadonlyMap<number, Format>): Entry {
  const buffer = unsealed(SECTION.record, path, bytes);
  const format = formats.get(buffer[1] as number);
  if (buffer.length < HEAD_BYTES || buffer[0] !== VERSION || format === undefined) {
    throw new StoreDamage(`the record at ${JSON.stringify(path)} has an unknown form (${buffer[0]}, ${buffer[1]})`);
  }
  const flags = buffer[FLAGS_AT] as number;
  const metaAt = HEAD_BYTES + ((flags & EXPIRES) === 0 ? 0 : EXPIRES_BYTES);
  const authorAt = metaAt + ((flags & META) === 0 ? 0 : META_LENGTH_BYTES + buffer.readUInt32LE(metaAt));
  const payloadAt = authorAt + buffer.readUInt16LE(2);
  return new Entry(
    path,
    Payload.fromBytes(buffer.subarray(payloadAt), format),
    buffer.readDoubleLE(4),
    buffer.readDoubleLE(12),
    buffer.readDoubleLE(20),
    buffer.toString('utf8', authorAt, payloadAt),
    (flags & LEVEL) as Qos,
    (flags & EXPIRES) === 0 ? 0 : buffer.readDoubleLE(HEAD_BYTES),
    (flags & META) === 0 ? null : Meta.fromBytes(buffer.subarray(metaAt + META_LENGTH_BYTES, authorAt)),
  );
}
