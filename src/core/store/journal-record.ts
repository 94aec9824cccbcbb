// Records of the journal: one for each batch, with its changes. Pure.
//
// A record: crc32 u32 of all behind it, length u32 of all of it, check (check-trail.ts), then the changes: length of the key u32,
// length of the value u32 (REMOVED: none), key, value. Little-endian. The last change fills the last block of 512 bytes: of it only the
// lengths are looked at. (Records were of any length, without it, once; they are read as well.)

import { crc32 } from 'node:zlib';
import { CHECK_BYTES, type Check, decodeCheck, follows, writeCheck } from './check-trail.js';
import { checksum, type RowMemory } from './row-memory.js';

/** Where the check of a record is. */
export const CHECK_AT = 8;
export const RECORD_HEAD_BYTES = CHECK_AT + CHECK_BYTES;
const CHANGE_BYTES = 8;
/** Records are whole blocks, which a disk takes as they are. */
export const BLOCK_BYTES = 512;
/** The section of a change that fills the last block. Its row says that there is a journal, and may hold anything. */
const PADDING_SECTION = 'j';
/** What the padding of a record takes at most. */
export const RECORD_TAIL_BYTES = BLOCK_BYTES + CHANGE_BYTES + 1;
export const REMOVED = 0xffffffff;
/** Of longer texts, each character costs less in the library. */
const SHORT_TEXT = 64;

/** Keys with their section; null: deleted. */
export interface JournalRecord {
  readonly check: Check;
  readonly keys: readonly string[];
  readonly values: readonly (Uint8Array | null)[];
}

/** Bytes that a change takes at most. */
export function roomOfChange(key: string, valueBytes: number): number {
  return CHANGE_BYTES + 1 + key.length * 3 + valueBytes;
}

/** Writes all of a change but its value, which has `length` bytes (REMOVED: there is none); returns where that begins. */
export function writeChange({ bytes, view }: RowMemory, at: number, section: string, key: string, length: number): number {
  const keyAt = at + CHANGE_BYTES;
  bytes[keyAt] = section.charCodeAt(0);
  const keyBytes = 1 + writeText(bytes, keyAt + 1, key);
  view.setUint32(at, keyBytes, true);
  view.setUint32(at + 4, length, true);
  return keyAt + keyBytes;
}

function writeText(bytes: Buffer, at: number, text: string): number {
  const { length } = text;
  if (length > SHORT_TEXT) return bytes.write(text, at);
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return bytes.write(text, at);
    bytes[at + i] = code;
  }
  return length;
}

/** Writes the head and the padding of a record whose changes end at `to`; returns its end. */
export function finishRecord(memory: RowMemory, from: number, to: number, check: Check): number {
  const { view } = memory;
  const end = to + pad(memory, to, (from - to) & (BLOCK_BYTES - 1));
  writeCheck(memory, from + CHECK_AT, check);
  view.setUint32(from + 4, end - from, true);
  view.setUint32(from, checksum(memory, from + 4, end), true);
  return end;
}

/** `missing`: to the end of the block. Returns how much was written. */
function pad(memory: RowMemory, at: number, missing: number): number {
  if (missing === 0) return 0;
  const length = missing <= CHANGE_BYTES ? missing + BLOCK_BYTES : missing;
  const from = writeChange(memory, at, PADDING_SECTION, '', length - CHANGE_BYTES - 1);
  memory.bytes.fill(0, from, at + length);
  return length;
}

/** The section of the change that begins there. */
export function sectionAt(bytes: Buffer, position: number): number {
  return bytes[position + CHANGE_BYTES] as number;
}

/** The value of the change that begins there, sharing its memory; null: deleted. */
export function valueAt(bytes: Buffer, position: number): Buffer | null {
  const from = position + CHANGE_BYTES + bytes.readUInt32LE(position);
  const length = bytes.readUInt32LE(position + 4);
  return length === REMOVED ? null : bytes.subarray(from, from + length);
}

/**
 * Records from the beginning on that follow each other, whole. Behind the last one there may be anything that was stored before: what
 * looks like the next one is one only if it is linked to it.
 */
export function recordsIn(bytes: Buffer): JournalRecord[] {
  const records: JournalRecord[] = [];
  for (let from = 0, found = checkAt(bytes, from); found !== null; found = checkAt(bytes, from)) {
    const last = records.at(-1);
    if (last !== undefined && !follows(found, last.check)) break;
    const to = endOf(bytes, from);
    records.push(changesIn(found, bytes, from + RECORD_HEAD_BYTES, to));
    from = to;
  }
  return records;
}

/** The highest number of a whole record that lies anywhere there, if it is higher than `batch`; else that. */
export function highestIn(bytes: Buffer, batch: number): number {
  let highest = batch;
  for (let from = 0; from + RECORD_HEAD_BYTES <= bytes.length; from += BLOCK_BYTES) {
    const number = bytes.readDoubleLE(from + CHECK_AT);
    if (number > highest && checkAt(bytes, from) !== null) highest = number;
  }
  return highest;
}

/** 0: there is none. */
export const batchOf = (record: JournalRecord | undefined): number => record?.check.batch ?? 0;

/** Of the record that begins there; null: there is none, or it was not written to its end. */
function checkAt(bytes: Buffer, from: number): Check | null {
  if (bytes.length - from < RECORD_HEAD_BYTES) return null;
  const to = endOf(bytes, from);
  if (to < from + RECORD_HEAD_BYTES || to > bytes.length) return null;
  if (crc32(bytes.subarray(from + 4, to)) !== bytes.readUInt32LE(from)) return null;
  return decodeCheck(bytes.subarray(from + CHECK_AT, from + RECORD_HEAD_BYTES));
}

/** Where the record that begins there says that it ends. */
function endOf(bytes: Buffer, from: number): number {
  return from + bytes.readUInt32LE(from + 4);
}

function changesIn(check: Check, bytes: Buffer, from: number, to: number): JournalRecord {
  const keys: string[] = [];
  const values: (Uint8Array | null)[] = [];
  for (let at = from; at < to; ) {
    const keyAt = at + CHANGE_BYTES;
    const valueAt = keyAt + bytes.readUInt32LE(at);
    const length = bytes.readUInt32LE(at + 4);
    at = length === REMOVED ? valueAt : valueAt + length;
    const key = bytes.toString('utf8', keyAt, valueAt);
    if (key === PADDING_SECTION) continue;
    keys.push(key);
    values.push(length === REMOVED ? null : bytes.subarray(valueAt, at));
  }
  return { check, keys, values };
}
