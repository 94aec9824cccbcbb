// Removals by pattern: matches are read in slices, outside of turns, as of one moment, and each slice is removed in a turn of its own.

import type { Entry } from '../data/entry.js';
import { RequestError } from '../errors.js';
import { type DataRequest, Receipt, Reply } from '../message.js';
import { removal } from '../operations/data.js';
import { RemovalSlice } from '../operations/slices.js';
import type { Pattern } from '../paths/pattern.js';
import { EntryReader } from './entry-reader.js';
import { EntryScan } from './entry-scan.js';
import { nextOf, type ScanHost } from './scan-host.js';
import { EntrySearch } from './searches.js';

/** Records that one slice of a removal takes away atomically. */
export const REMOVAL_SLICE = 1_000;
/** A slice of a removal ends sooner when its records have so many bytes, or so many copies of its news are to be made. */
const REMOVAL_SLICE_BYTES = 2 * 1024 * 1024;
const REMOVAL_SLICE_COPIES = 16_384;

/** Removes what matches now, in slices; what is stored meanwhile stays. Answers after the last slice. Never rejects. */
export async function removeByPattern(request: DataRequest, host: ScanHost): Promise<void> {
  const pattern = request.pattern as Pattern;
  const asOf = host.state.revision;
  const reply = new Reply(request);
  let failure: unknown = null;
  try {
    const scan = new EntryScan(pattern, null, host.state);
    const reader = new EntryReader(scan, () => host.lanes.next(scan));
    await host.lanes.after(request.session, () => removeScanned(reader, request, asOf, reply, host));
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
async function removeScanned(reader: EntryReader, request: DataRequest, asOf: number, reply: Reply, host: ScanHost): Promise<void> {
  let paths: string[] = [];
  let bytes = 0;
  let copies = 0;
  try {
    const next = await removables(reader, request, host);
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
    await reader.close();
  }
}

/**
 * Reads on: the next entries that a removal takes away, of those of a slice; null: there are no more slices. Criteria tell what is in a
 * record: those that who asks may not read do not meet them.
 */
async function removables(
  reader: EntryReader,
  { session, options, pattern, time }: DataRequest,
  host: ScanHost,
): Promise<() => Promise<readonly Entry[] | null>> {
  if (options.query === null) return async () => (await nextOf(reader, host))?.entries ?? null;
  const guard = host.state.access.guard(session, options.actor, 'get', pattern as Pattern);
  const search = new EntrySearch(options.query, null, guard, time, host.search);
  await search.begin();
  const readWanted = async (): Promise<readonly Entry[] | null> => {
    const slice = await nextOf(reader, host);
    return slice === null ? null : search.wanted(slice);
  };
  return () => host.search.lanes.hold(readWanted);
}

function removeSlice(request: DataRequest, paths: readonly string[], asOf: number, host: ScanHost): Promise<number> {
  return new Promise((resolve, reject) => {
    host.submitSlice(
      new RemovalSlice(request.session, request, paths, asOf, null, (removed, error) => {
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
