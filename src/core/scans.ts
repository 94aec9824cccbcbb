// Scans: answers and removals that read the store by pattern, in slices, beside the turns, from one moment.

import type { Counter } from './counters.js';
import type { Entry } from './entry.js';
import { EntryScan, type EntrySlice } from './entry-scan.js';
import { bytesOf } from './entry-source.js';
import { RequestError } from './errors.js';
import type { Lanes } from './lanes.js';
import { type DataRequest, Receipt, Reply, type SubscribeRequest } from './message.js';
import { removal } from './operations/data.js';
import { RemovalSlice, type State } from './operations/run.js';
import type { Pattern } from './pattern.js';
import type { Query } from './query.js';
import { Selection } from './query/order.js';
import { type Found, gathererFor, NOTHING, EntrySearch, type SearchHost, type SearchLimits } from './searches.js';
import type { Shifts } from './shifts.js';

/** Entries that are put into an order in one shift. */
const SHIFT_ENTRIES = 4_096;
/** Records that one slice of a removal takes away atomically. */
export const REMOVAL_SLICE = 1_000;
/** A slice of a removal ends sooner when its records have so many bytes, or so many copies of its news are to be made. */
const REMOVAL_SLICE_BYTES = 2 * 1024 * 1024;
const REMOVAL_SLICE_COPIES = 16_384;

/** What one answer or removal may cost. */
export type ScanLimits = SearchLimits;

export const SCAN_LIMITS: ScanLimits = Object.freeze({
  answerBytes: 64 * 1024 * 1024,
  queryRows: 1_000_000,
  queryWorkMs: 10_000,
  queryMs: 60_000,
});

/** What scans need of the engine. */
export interface ScanHost {
  readonly state: State;
  readonly limits: ScanLimits;
  readonly scanned: Counter;
  readonly lanes: Lanes;
  readonly search: SearchHost;
  readonly shifts: Shifts;
  /** Puts a slice of a removal into the next turn. */
  submitSlice(slice: RemovalSlice): void;
  /** The answer is complete. */
  finish(request: DataRequest | SubscribeRequest, reply: Reply): void;
  /** The answer failed. */
  fail(request: DataRequest | SubscribeRequest, error: unknown): void;
  /** Publishes beside the turns (the one news of a wildcard removal). */
  announce(request: DataRequest, pattern: Pattern, removed: number): Receipt | null;
}

/** Begins now: the answer shows the store as of this call. Never rejects. */
export async function answerByPattern(request: DataRequest | SubscribeRequest, host: ScanHost): Promise<void> {
  const reply = new Reply(request);
  try {
    if (request.op === 'get') await answerGet(request as DataRequest, reply, host);
    else await answerInitial(request as SubscribeRequest, reply, host);
  } catch (error) {
    host.fail(request, error);
    return;
  }
  host.finish(request, reply);
}

async function answerGet(request: DataRequest, reply: Reply, host: ScanHost): Promise<void> {
  const { session, options } = request;
  const { after, limit, query } = options;
  const pattern = request.pattern as Pattern;
  const scan = new EntryScan(pattern, after, host.state);
  const found = await host.lanes.after(session, () =>
    query === null ? collect(scan, request, limit, host) : find(scan, request, query, reply, host),
  );
  show(found, reply);
}

async function answerInitial(request: SubscribeRequest, reply: Reply, host: ScanHost): Promise<void> {
  const { session, initialOrder } = request;
  const pattern = request.initial as Pattern;
  const scan = new EntryScan(pattern, null, host.state);
  const found = await host.lanes.after(session, () => collect(scan, request, Number.POSITIVE_INFINITY, host));
  show(initialOrder === 'path' ? found : { ...found, entries: await byRevision(found.entries, host.shifts) }, reply);
}

function show({ entries, bytes }: Found, reply: Reply): void {
  reply.entries = entries;
  reply.entriesBytes = bytes;
}

/** The entries, oldest change first. Sorting many takes long. */
async function byRevision(entries: readonly Entry[], shifts: Shifts): Promise<readonly Entry[]> {
  const selection = new Selection<number>((a, b) => a - b, entries.length);
  const sorted = new Array<Entry>(entries.length);
  for (const [at, entry] of entries.entries()) {
    if (at % SHIFT_ENTRIES === SHIFT_ENTRIES - 1) await shifts.next();
    selection.add(entry, entry.revision);
  }
  for (let at = sorted.length - 1; at >= 0; at--) {
    if (at % SHIFT_ENTRIES === SHIFT_ENTRIES - 1) await shifts.next();
    sorted[at] = selection.takeLast() as Entry;
  }
  return sorted;
}

/** What the query wants; the number of that goes into the reply when it only counts. */
async function find(scan: EntryScan, { session, options, time }: DataRequest, query: Query, reply: Reply, host: ScanHost): Promise<Found> {
  const search = new EntrySearch(query, session, time, host.search);
  const gathered = gathererFor(query, options.limit, host.limits.answerBytes);
  try {
    await search.begin();
    const look = async (): Promise<boolean> => {
      const slice = await nextOf(scan, host);
      return slice !== null && search.look(slice, (entry, by) => gathered.take(entry, by));
    };
    while (await host.search.lanes.hold(look));
  } finally {
    await scan.close();
  }
  if (query.count) reply.count = gathered.count;
  return session.closed ? NOTHING : gathered.found(search);
}

/** Ends early when nobody is there any more to be answered. */
async function collect(scan: EntryScan, { session, time }: DataRequest | SubscribeRequest, limit: number, host: ScanHost): Promise<Found> {
  const entries: Entry[] = [];
  let bytes = 0;
  try {
    while (!session.closed) {
      const slice = await nextOf(scan, host);
      if (slice === null) return { entries, bytes };
      for (const entry of slice.entries) {
        if (entries.length >= limit) return { entries, bytes };
        if (entry.isExpired(time)) continue;
        bytes += bytesOf(entry);
        if (bytes > host.limits.answerBytes) {
          throw new RequestError('LIMIT_EXCEEDED', `the answer is larger than ${host.limits.answerBytes} bytes: ask for less`);
        }
        entries.push(entry);
      }
    }
    return NOTHING;
  } finally {
    await scan.close();
  }
}

async function nextOf(scan: EntryScan, host: ScanHost): Promise<EntrySlice | null> {
  const slice = await host.lanes.next(scan);
  if (slice !== null) host.scanned.add(slice.looked);
  return slice;
}

/** Removes what matches now, in slices; what is stored meanwhile stays. Answers after the last slice. Never rejects. */
export async function removeByPattern(request: DataRequest, host: ScanHost): Promise<void> {
  const pattern = request.pattern as Pattern;
  const asOf = host.state.revision;
  const reply = new Reply(request);
  let failure: unknown = null;
  try {
    const scan = new EntryScan(pattern, null, host.state);
    await host.lanes.after(request.session, () => removeScanned(scan, request, asOf, reply, host));
  } catch (error) {
    failure = reply.count > 0 && error instanceof RequestError ? broughtTo(error, reply.count) : error;
  }
  // What was removed before a failure is removed: it is news all the same.
  const isNews = request.options.publish && (failure === null || reply.count > 0);
  const receipt = isNews ? host.announce(request, pattern, reply.count) : null;
  if (failure !== null) {
    host.fail(request, failure);
    return;
  }
  reply.receipt = request.options.receipt ? (receipt ?? new Receipt()) : receipt;
  reply.published = request.options.publish;
  host.finish(request, reply);
}

function broughtTo(error: RequestError, removed: number): RequestError {
  return new RequestError(error.code, `${error.message} (${removed} records were removed before)`, { cause: error });
}

/** Counts in the reply what is removed. */
async function removeScanned(scan: EntryScan, request: DataRequest, asOf: number, reply: Reply, host: ScanHost): Promise<void> {
  let paths: string[] = [];
  let bytes = 0;
  let copies = 0;
  try {
    const next = await removables(scan, request, host);
    for (let entries = await next(); entries !== null; entries = await next()) {
      for (const { path, payload } of entries) {
        paths.push(path);
        bytes += payload.size;
        copies += host.state.router.match(path).all.length;
        if (paths.length < REMOVAL_SLICE && bytes < REMOVAL_SLICE_BYTES && copies < REMOVAL_SLICE_COPIES) continue;
        reply.count += await removeSlice(request, paths, asOf, host);
        paths = [];
        bytes = 0;
        copies = 0;
      }
    }
    if (paths.length > 0) reply.count += await removeSlice(request, paths, asOf, host);
  } finally {
    await scan.close();
  }
}

/** Reads on: the next entries that a removal takes away, of those of a slice; null: there are no more slices. */
async function removables(
  scan: EntryScan,
  { options, time }: DataRequest,
  host: ScanHost,
): Promise<() => Promise<readonly Entry[] | null>> {
  if (options.query === null) return async () => (await nextOf(scan, host))?.entries ?? null;
  const search = new EntrySearch(options.query, null, time, host.search);
  await search.begin();
  const readWanted = async (): Promise<readonly Entry[] | null> => {
    const slice = await nextOf(scan, host);
    return slice === null ? null : search.wanted(slice);
  };
  return () => host.search.lanes.hold(readWanted);
}

function removeSlice(request: DataRequest, paths: readonly string[], asOf: number, host: ScanHost): Promise<number> {
  return new Promise((resolve, reject) => {
    host.submitSlice(
      new RemovalSlice(request.session, request, paths, asOf, false, (removed, error) => {
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
