// What answers and removals by pattern need from the engine, and their cost limits.

import type { Counter } from '../counters.js';
import { PAST_LIMITS, type PastLimits } from '../history/scan.js';
import type { DataRequest, Receipt, Reply, SubscribeRequest } from '../message.js';
import type { State } from '../operations/run.js';
import type { Slice } from '../operations/slices.js';
import type { Lanes } from '../pace/lanes.js';
import type { Shifts } from '../pace/shifts.js';
import type { Pattern } from '../paths/pattern.js';
import type { Session } from '../sessions/session.js';
import type { EntryReader, NumberedSlice } from './entry-reader.js';
import type { EntrySlice } from './entry-scan.js';
import type { ReadBefore } from './initial-stream.js';
import type { SearchHost, SearchLimits } from './searches.js';

/** What one answer or removal may cost. */
export interface ScanLimits extends SearchLimits {
  /** An answer of more bytes is LIMIT_EXCEEDED. */
  readonly answerBytes: number;
  /** An answer of more bytes is a stream for sessions that take streams: no more of it is held, */
  readonly headBytes: number;
  /** or than this, when it has another order than that of the paths. */
  readonly windowBytes: number;
  /** What a subscription that begins in the past may be told of it. */
  readonly past: PastLimits;
}

export const SCAN_LIMITS: ScanLimits = Object.freeze({
  answerBytes: 64 * 1024 * 1024,
  headBytes: 512 * 1024,
  windowBytes: 4 * 1024 * 1024,
  queryRows: 1_000_000,
  queryWorkMs: 10_000,
  queryMs: 60_000,
  past: PAST_LIMITS,
});

/** What scans need of the engine. */
export interface ScanHost {
  readonly state: State;
  readonly limits: ScanLimits;
  readonly scanned: Counter;
  readonly lanes: Lanes;
  readonly search: SearchHost;
  readonly shifts: Shifts;
  readonly readBefore: ReadBefore;
  /** Puts a slice of a removal into the next turn. */
  submitSlice(slice: Slice): void;
  /** The answer is complete. */
  finish(request: DataRequest | SubscribeRequest, reply: Reply): void;
  /** The answer failed. */
  fail(request: DataRequest | SubscribeRequest, error: unknown): void;
  /** What the session waits for in its stream is there. */
  ready(session: Session): void;
  /** The rest of the session's stream cannot be read. */
  lost(session: Session, error: unknown): void;
  /** Publishes beside the turns (the one news of a wildcard removal). */
  announce(request: DataRequest, pattern: Pattern, removed: number): Receipt | null;
}

/** Counts what was looked at. */
export function nextOf(reader: EntryReader, { scanned }: ScanHost): Promise<NumberedSlice | null> {
  return counted(reader.next(), scanned);
}

export async function counted<S extends EntrySlice>(read: Promise<S | null>, scanned: Counter): Promise<S | null> {
  const slice = await read;
  if (slice !== null) scanned.add(slice.looked);
  return slice;
}
