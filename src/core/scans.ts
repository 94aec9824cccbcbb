// Scans: answers and removals that read the store by pattern, in slices, beside the turns, from one moment.

import type { Counter } from './counters.js';
import { decodeEntry, type Entry } from './entry.js';
import { RequestError } from './errors.js';
import { DataRequest, Reply, type SubscribeRequest } from './message.js';
import { RemovalSlice, type State, removal } from './operations.js';
import type { Pattern } from './pattern.js';
import { type Range, SECTION, type StoreScan } from './store/store.js';

const SLICE_ROWS = 512;
/** Records that one slice of a removal takes away atomically. */
export const REMOVAL_SLICE = 1_000;
/** Sorts behind every continuation of a prefix. */
const LAST_CHARACTERS = '\u{10ffff}\u{10ffff}';

export interface ScanLimits {
  /** An answer of more bytes is LIMIT_EXCEEDED. */
  readonly answerBytes: number;
}

export const SCAN_LIMITS: ScanLimits = Object.freeze({ answerBytes: 64 * 1024 * 1024 });

/** What scans need of the engine. */
export interface ScanHost {
  readonly state: State;
  readonly limits: ScanLimits;
  readonly scanned: Counter;
  /** Puts a slice of a removal into the next turn. */
  submitSlice(slice: RemovalSlice): void;
  /** The answer is complete. */
  finish(request: DataRequest | SubscribeRequest, reply: Reply): void;
  /** The answer failed. */
  fail(request: DataRequest | SubscribeRequest, error: unknown): void;
  /** Publishes beside the turns (the one news of a wildcard removal). */
  announce(request: DataRequest, pattern: Pattern, removed: number): void;
}

/** Keys that can match; `after` leaves out everything up to and including that path. */
export function rangeOf(pattern: Pattern, after: string | null): Range {
  const gte = after !== null && after >= pattern.prefix ? `${after}\0` : pattern.prefix;
  return { section: SECTION.record, gte, ...(pattern.prefix === '' ? {} : { lt: pattern.prefix + LAST_CHARACTERS }) };
}

/** Begins now: the answer shows the store as of this call. Never rejects. */
export async function answerByPattern(request: DataRequest | SubscribeRequest, host: ScanHost): Promise<void> {
  const isGet = request.op === 'get';
  const pattern = (isGet ? request.pattern : (request as SubscribeRequest).initial) as Pattern;
  const limit = isGet ? request.options.limit : Number.POSITIVE_INFINITY;
  try {
    const scan = host.state.store.scan(rangeOf(pattern, isGet ? request.options.after : null), SLICE_ROWS);
    const reply = new Reply(request);
    try {
      reply.entries = await collect(scan, pattern, limit, host);
    } finally {
      await scan.close();
    }
    host.finish(request, reply);
  } catch (error) {
    host.fail(request, error);
  }
}

async function collect(scan: StoreScan, pattern: Pattern, limit: number, host: ScanHost): Promise<Entry[]> {
  const entries: Entry[] = [];
  let bytes = 0;
  for (let rows = await scan.next(); rows.length > 0; rows = await scan.next()) {
    host.scanned.add(rows.length);
    for (const { key, value } of rows) {
      if (entries.length >= limit) return entries;
      if (!pattern.matches(key)) continue;
      bytes += key.length + value.length;
      if (bytes > host.limits.answerBytes) {
        throw new RequestError('LIMIT_EXCEEDED', `the answer is larger than ${host.limits.answerBytes} bytes: ask for less`);
      }
      entries.push(decodeEntry(key, value, host.state.formats.byId));
    }
  }
  return entries;
}

/** Removes what matches now, in slices; what is stored meanwhile stays. Answers after the last slice. Never rejects. */
export async function removeByPattern(request: DataRequest, host: ScanHost): Promise<void> {
  const pattern = request.pattern as Pattern;
  const asOf = host.state.revision;
  try {
    const scan = host.state.store.scan(rangeOf(pattern, null), SLICE_ROWS);
    let removed = 0;
    let paths: string[] = [];
    try {
      for (let rows = await scan.next(); rows.length > 0; rows = await scan.next()) {
        host.scanned.add(rows.length);
        for (const { key } of rows) {
          if (!pattern.matches(key)) continue;
          paths.push(key);
          if (paths.length < REMOVAL_SLICE) continue;
          removed += await removeSlice(request, paths, asOf, host);
          paths = [];
        }
      }
      if (paths.length > 0) removed += await removeSlice(request, paths, asOf, host);
    } finally {
      await scan.close();
    }
    if (request.options.publish) host.announce(request, pattern, removed);
    const reply = new Reply(request);
    reply.count = removed;
    reply.published = request.options.publish;
    host.finish(request, reply);
  } catch (error) {
    host.fail(request, error);
  }
}

function removeSlice(request: DataRequest, paths: readonly string[], asOf: number, host: ScanHost): Promise<number> {
  return new Promise((resolve, reject) => {
    host.submitSlice(
      new RemovalSlice(request.session, request, paths, asOf, (removed, error) => {
        if (error === null) resolve(removed);
        else reject(error);
      }),
    );
  });
}

/** The one news that subscriptions by request hear of a wildcard removal. */
export function removalByPattern(request: DataRequest, pattern: Pattern, removed: number): ReturnType<typeof removal> {
  return removal(request, pattern.text, removed, 0, 'each-request');
}
