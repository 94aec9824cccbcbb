// Records of the journal: one for each batch, with its changes. Pure.
//
// A record: crc32 u32 of all behind it, length u32 of all of it, check (check-trail.ts), then the changes: length of the key u32,
// length of the value u32 (REMOVED: none), key, value. Little-endian.

import { crc32 } from 'node:zlib';
import { CHECK_BYTES, type Check, decodeCheck, encodeCheck } from './check-trail.js';

export const RECORD_HEAD_BYTES = 8 + CHECK_BYTES;
const CHANGE_BYTES = 8;
const REMOVED = 0xffffffff;

/** Change by change. A section is one character. */
export interface Changes {
  readonly sections: readonly string[];
  readonly keys: readonly string[];
  /** null: deleted. */
  readonly values: readonly (Uint8Array | null)[];
}

/** Keys with their section; null: deleted. */
export interface JournalRecord {
  readonly check: Check;
  readonly keys: readonly string[];
  readonly values: readonly (Uint8Array | null)[];
}

/** Bytes that a record takes at most. */
export function recordRoom({ keys, values }: Changes): number {
  let size = RECORD_HEAD_BYTES;
  for (let i = 0; i < keys.length; i++) size += CHANGE_BYTES + 1 + (keys[i] as string).length * 3 + (values[i]?.length ?? 0);
  return size;
}

/** Writes a record into `bytes`, which have room for it; returns its end. `positions` gets where each change begins. */
export function encodeRecord(bytes: Buffer, from: number, check: Check, changes: Changes, positions: number[]): number {
  const { sections, keys, values } = changes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = from + RECORD_HEAD_BYTES;
  for (let i = 0; i < keys.length; i++) {
    const value = values[i] as Uint8Array | null;
    positions[i] = at;
    bytes[at + CHANGE_BYTES] = (sections[i] as string).charCodeAt(0);
    const keyBytes = 1 + bytes.write(keys[i] as string, at + CHANGE_BYTES + 1);
    view.setUint32(at, keyBytes, true);
    view.setUint32(at + 4, value === null ? REMOVED : value.length, true);
    at += CHANGE_BYTES + keyBytes;
    if (value === null) continue;
    bytes.set(value, at);
    at += value.length;
  }
  bytes.set(encodeCheck(check), from + 8);
  view.setUint32(from + 4, at - from, true);
  view.setUint32(from, crc32(bytes.subarray(from + 4, at)), true);
  return at;
}

/** The value of the change that begins there, sharing its memory; null: deleted. */
export function valueAt(bytes: Buffer, position: number): Buffer | null {
  const from = position + CHANGE_BYTES + bytes.readUInt32LE(position);
  const length = bytes.readUInt32LE(position + 4);
  return length === REMOVED ? null : bytes.subarray(from, from + length);
}

/** Records from the beginning on that follow each other in number, whole. */
export function recordsIn(bytes: Buffer): JournalRecord[] {
  const records: JournalRecord[] = [];
  let at = 0;
  for (let record = recordAt(bytes, at); record !== null; record = recordAt(bytes, at)) {
    if (records.length > 0 && record.check.batch !== batchOf(records.at(-1)) + 1) break;
    records.push(record);
    at += bytes.readUInt32LE(at + 4);
  }
  return records;
}

/** 0: there is none. */
export const batchOf = (record: JournalRecord | undefined): number => record?.check.batch ?? 0;

/** null: there is none, or it was not written to its end. */
function recordAt(bytes: Buffer, from: number): JournalRecord | null {
  if (bytes.length - from < RECORD_HEAD_BYTES) return null;
  const to = from + bytes.readUInt32LE(from + 4);
  if (to < from + RECORD_HEAD_BYTES || to > bytes.length) return null;
  if (crc32(bytes.subarray(from + 4, to)) !== bytes.readUInt32LE(from)) return null;
  const check = decodeCheck(bytes.subarray(from + 8, from + RECORD_HEAD_BYTES));
  return check === null ? null : changesIn(check, bytes, from + RECORD_HEAD_BYTES, to);
}

function changesIn(check: Check, bytes: Buffer, from: number, to: number): JournalRecord {
  const keys: string[] = [];
  const values: (Uint8Array | null)[] = [];
  for (let at = from; at < to; ) {
    const keyAt = at + CHANGE_BYTES;
    const valueAt = keyAt + bytes.readUInt32LE(at);
    const length = bytes.readUInt32LE(at + 4);
    keys.push(bytes.toString('utf8', keyAt, valueAt));
    values.push(length === REMOVED ? null : bytes.subarray(valueAt, valueAt + length));
    at = length === REMOVED ? valueAt : valueAt + length;
  }
  return { check, keys, values };
}
