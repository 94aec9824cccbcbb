// The form on disk of history. Every row ends with a seal (store/seal.ts); numbers are little-endian.
// Section `history`: <revision> → flags u8, previous f64, path length u32, path, then of a set the row of its entry (entry.ts), of a
// removal its time f64 and author. Section `timeline`: <path> → flags u8, then for each change that is kept, oldest first: revision
// f64, time f64, deadline f64, size u32, flags u8. Section `pastExpiry`: <deadline>/<revision><path> → nothing (expiry.ts).
// Numbers in keys are 14 hexadecimal digits, so that keys sort as they count.

import type { Formats } from '../adapter.js';
import { decodeEntry, type Entry, encodeEntry } from '../data/entry.js';
import { expiryKey, expiryOf } from '../data/expiry.js';
import { DIGITS, digits } from '../store/digits.js';
import { SEAL_BYTES, seal, unsealed } from '../store/seal.js';
import { SECTION, type Store, type WriteBatch } from '../store/store.js';

/** One change of a record that is kept, as its timeline knows it. */
export interface PastState {
  readonly revision: number;
  readonly time: number;
  /** Dropped from then on; 0: it is what the record is now, or nothing bounds its age. */
  readonly deadline: number;
  /** Bytes that it counts. */
  readonly size: number;
  /** The record was removed. */
  readonly removed: boolean;
}

/** What is kept of one path, oldest first; never empty. Immutable. */
export interface Timeline {
  /** Before the first of these changes there was nothing, as far back as history goes. */
  readonly whole: boolean;
  readonly states: readonly PastState[];
}

/** One change as it is kept. */
export interface PastChange {
  readonly revision: number;
  readonly path: string;
  /** Revision of the change of this path before it, a removal also; 0: none is known. */
  readonly previous: number;
  readonly time: number;
  readonly author: string;
  /** The record as the change left it; null: it was removed. */
  readonly entry: Entry | null;
  /** Nobody was to hear of it, or only some. */
  readonly quiet: boolean;
}

/** What a change takes beside its own row: its keys and its place in the timeline. */
const OVERHEAD_BYTES = 96;

export function sizeOf(row: Uint8Array, path: string): number {
  return row.length + path.length + OVERHEAD_BYTES;
}

const REMOVED = 1;
const QUIET = 2;
const CHANGE_HEAD_BYTES = 13;
const TIME_BYTES = 8;

export function encodeChange(change: PastChange): Buffer {
  const { path, author, entry } = change;
  const entryRow = entry === null ? null : encodeEntry(entry);
  const bodyAt = CHANGE_HEAD_BYTES + Buffer.byteLength(path);
  const end = bodyAt + (entryRow === null ? TIME_BYTES + Buffer.byteLength(author) : entryRow.length);
  const row = Buffer.allocUnsafe(end + SEAL_BYTES);
  row[0] = (entryRow === null ? REMOVED : 0) | (change.quiet ? QUIET : 0);
  row.writeDoubleLE(change.previous, 1);
  row.writeUInt32LE(bodyAt - CHANGE_HEAD_BYTES, 9);
  row.write(path, CHANGE_HEAD_BYTES);
  if (entryRow === null) {
    row.writeDoubleLE(change.time, bodyAt);
    row.write(author, bodyAt + TIME_BYTES);
  } else {
    row.set(entryRow, bodyAt);
  }
  return seal(row);
}

/** The path alone; the row is not looked at any further. */
export function changedPathIn(bytes: Uint8Array): string {
  const row = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return row.toString('utf8', CHANGE_HEAD_BYTES, CHANGE_HEAD_BYTES + row.readUInt32LE(9));
}

/** Throws StoreDamage when the bytes are not what was written. */
export function decodeChange(key: string, bytes: Uint8Array, formats: Formats): PastChange {
  const row = unsealed(SECTION.history, key, bytes);
  const flags = row[0] as number;
  const bodyAt = CHANGE_HEAD_BYTES + row.readUInt32LE(9);
  const path = row.toString('utf8', CHANGE_HEAD_BYTES, bodyAt);
  const known = { revision: Number.parseInt(key, 16), path, previous: row.readDoubleLE(1), quiet: (flags & QUIET) !== 0 };
  if ((flags & REMOVED) !== 0) {
    return { ...known, time: row.readDoubleLE(bodyAt), author: row.toString('utf8', bodyAt + TIME_BYTES), entry: null };
  }
  const entry = decodeEntry(path, row.subarray(bodyAt), formats.byId);
  return { ...known, time: entry.modified, author: entry.author, entry };
}

const WHOLE = 1;
const STATE_BYTES = 29;

export function encodeTimeline({ whole, states }: Timeline): Buffer {
  const row = Buffer.allocUnsafe(1 + states.length * STATE_BYTES + SEAL_BYTES);
  row[0] = whole ? WHOLE : 0;
  let at = 1;
  for (const { revision, time, deadline, size, removed } of states) {
    row.writeDoubleLE(revision, at);
    row.writeDoubleLE(time, at + 8);
    row.writeDoubleLE(deadline, at + 16);
    row.writeUInt32LE(size, at + 24);
    row[at + 28] = removed ? REMOVED : 0;
    at += STATE_BYTES;
  }
  return seal(row);
}

/** Throws StoreDamage when the bytes are not what was written. */
export function decodeTimeline(path: string, bytes: Uint8Array): Timeline {
  const row = unsealed(SECTION.timeline, path, bytes);
  const states: PastState[] = [];
  for (let at = 1; at < row.length; at += STATE_BYTES) {
    states.push({
      revision: row.readDoubleLE(at),
      time: row.readDoubleLE(at + 8),
      deadline: row.readDoubleLE(at + 16),
      size: row.readUInt32LE(at + 24),
      removed: row[at + 28] === REMOVED,
    });
  }
  return { whole: row[0] === WHOLE, states };
}

/** A change that is to go. */
export interface PastRef {
  readonly path: string;
  readonly revision: number;
  /** The one that its key has; 0: it is not known. */
  readonly deadline: number;
}

export function pastExpiryKey(deadline: number, path: string, revision: number): string {
  return expiryKey(deadline, digits(revision) + path);
}

/** What such a key says. */
export function refOf(key: string): PastRef {
  const { deadline, path: text } = expiryOf(key);
  return { revision: Number.parseInt(text.slice(0, DIGITS), 16), path: text.slice(DIGITS), deadline };
}

const BYTES_KEY = 'historyBytes';
const BYTES_BYTES = 8;

export function readHistoryBytes(store: Store): number {
  const row = store.read(SECTION.meta, BYTES_KEY);
  return row === undefined ? 0 : unsealed(SECTION.meta, BYTES_KEY, row).readDoubleLE(0);
}

export function putHistoryBytes(batch: WriteBatch, bytes: number): void {
  const row = Buffer.allocUnsafe(BYTES_BYTES + SEAL_BYTES);
  row.writeDoubleLE(bytes, 0);
  batch.put(SECTION.meta, BYTES_KEY, seal(row));
}
