// Entry: what is stored at a path, and its form on disk.
// The form: version u8, format u8, author length u16, created f64, modified f64, revision f64, level u8, author, payload,
// seal (little-endian; seal.ts).

import type { Qos } from './message.js';
import { type Format, Payload } from './payload.js';
import { SEAL_BYTES, seal, unsealed } from './store/seal.js';
import { SECTION, StoreDamage } from './store/store.js';

const VERSION = 1;
const HEAD_BYTES = 29;
const LEVEL_AT = 28;

/** Immutable. `created` and `modified` are milliseconds since 1970. */
export class Entry {
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
  ) {}
}

export function encodeEntry(entry: Entry): Buffer {
  const payload = entry.payload.ownBytes();
  const authorBytes = Buffer.byteLength(entry.author);
  const end = HEAD_BYTES + authorBytes + payload.length;
  const buffer = Buffer.allocUnsafe(end + SEAL_BYTES);
  buffer[0] = VERSION;
  buffer[1] = entry.payload.format.id;
  buffer.writeUInt16LE(authorBytes, 2);
  buffer.writeDoubleLE(entry.created, 4);
  buffer.writeDoubleLE(entry.modified, 12);
  buffer.writeDoubleLE(entry.revision, 20);
  buffer[LEVEL_AT] = entry.qos;
  if (authorBytes > 0) buffer.write(entry.author, HEAD_BYTES);
  buffer.set(payload, HEAD_BYTES + authorBytes);
  return seal(buffer);
}

/** Throws StoreDamage when the bytes are not what was written. */
export function decodeEntry(path: string, bytes: Uint8Array, formats: ReadonlyMap<number, Format>): Entry {
  const buffer = unsealed(SECTION.record, path, bytes);
  const format = formats.get(buffer[1] as number);
  if (buffer.length < HEAD_BYTES || buffer[0] !== VERSION || format === undefined) {
    throw new StoreDamage(`the record at ${JSON.stringify(path)} has an unknown form (${buffer[0]}, ${buffer[1]})`);
  }
  const payloadAt = HEAD_BYTES + buffer.readUInt16LE(2);
  return new Entry(
    path,
    Payload.fromBytes(buffer.subarray(payloadAt), format),
    buffer.readDoubleLE(4),
    buffer.readDoubleLE(12),
    buffer.readDoubleLE(20),
    buffer.toString('utf8', HEAD_BYTES, payloadAt),
    buffer[LEVEL_AT] as Qos,
  );
}
