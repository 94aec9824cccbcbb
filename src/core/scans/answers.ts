// Answers that read the store by pattern, in slices, outside of turns, as of one moment.

import { PastMoment } from '../history/moment.js';
import { PastScan } from '../history/scan.js';
import { type DataRequest, type Publication, Reply, type SubscribeRequest } from '../message.js';
import type { State } from '../operations/run.js';
import type { Pattern } from '../paths/pattern.js';
import type { Query } from '../query/query.js';
import type { Guard } from '../security/guards.js';
import type { Session } from '../sessions/session.js';
import { EntryReader } from './entry-reader.js';
import { EntryScan } from './entry-scan.js';
import { type EntryStream, PathStream, RankedStream, type StreamHost } from './entry-streams.js';
import { CountedShifts, type Found, type Gatherer, gathererByRevision, gathererFor, Marks, NOTHING, type Ranking } from './gatherers.js';
import { InitialStream, type InitialValues } from './initial-stream.js';
import { PastEntries } from './past-entries.js';
import { counted, nextOf, type ScanHost, type ScanLimits } from './scan-host.js';
import { EntrySearch } from './searches.js';

/**
 * Begins now: the answer shows the store as of this call. Never rejects. Resolves when the session is done with it: the next
 * answer of the same session is read then.
 */
export async function answerByPattern(request: DataRequest | SubscribeRequest, host: ScanHost): Promise<void> {
  if (request.op === 'subscribe' && request.since !== null) return answerSince(request, host);
  if (request.op === 'subscribe' && request.streamed) return streamInitial(request, host);
  const reply = newReply(request, host);
  try {
    const reading = request.op === 'get' ? readingOf(request as DataRequest, host.state) : initialOf(request as SubscribeRequest);
    const reader = readerOf(reading, host);
    await host.lanes.after(request.session, () => answer(reader, reading, reply, host));
  } catch (error) {
    host.fail(request, error);
  }
}

async function streamInitial(request: SubscribeRequest, host: ScanHost): Promise<void> {
  const { session } = request;
  const { state, lanes, scanned, readBefore } = host;
  const stream = new InitialStream(valuesOf(request, state), {
    windowBytes: 0,
    readBefore,
    open: (pattern, after) => {
      const scan = new EntryScan(pattern, after, state);
      return { next: () => counted(lanes.next(scan), scanned), close: () => scan.close() };
    },
    ready: () => host.ready(session),
    failed: (error) => host.lost(session, error),
  });
  const reply = new Reply(request);
  try {
    await stream.begin();
  } catch (error) {
    stream.close();
    host.fail(request, error);
    return;
  }
  if (stream.isEmpty) {
    stream.close();
    reply.entries = [];
  } else {
    reply.stream = stream;
  }
  host.finish(request, reply);
}

/** Of a durable subscription: what it was not handed out yet. */
function valuesOf({ initial, time, subscription, session }: SubscribeRequest, { revision, access }: State): InitialValues {
  const { after, revision: asOf } = subscription.remainder ?? { after: null, revision };
  // It may be read for long: what may be got is looked at then.
  const guard = access.isOpen ? null : session.identity.principal;
  return { pattern: initial as Pattern, after, revision: asOf, time, guard };
}

function newReply(request: DataRequest | SubscribeRequest, host: ScanHost): Reply {
  const reply = new Reply(request);
  reply.revision = host.state.committed;
  return reply;
}

function readerOf({ pattern, after, moment, guard }: Reading, { state, lanes }: ScanHost): EntryReader {
  const scan = moment === null ? new EntryScan(pattern, after, state) : new PastEntries(pattern, after, moment, guard, state);
  return new EntryReader(scan, () => lanes.next(scan));
}

/** What happened since a revision, or, when that is not known any more, what there is to begin with: both of the same moment. */
async function answerSince(request: SubscribeRequest, host: ScanHost): Promise<void> {
  const { subscription, initial, since, session } = request;
  const reply = newReply(request, host);
  try {
    const past = new PastScan(subscription.pattern, since as number, host.state.revision, host.state);
    const reader = initial === null || initial.exact !== null ? null : readerOf(initialOf(request), host);
    await host.lanes.after(session, async () => {
      const news = await readPast(past, host).catch(async (error: unknown) => {
        await reader?.close();
        throw error;
      });
      reply.past = news;
      reply.missed = news === null;
      if (news === null && reader !== null) return answer(reader, initialOf(request), reply, host);
      await reader?.close();
      if (news === null && initial !== null) reply.showOne(request.found);
      host.finish(request, reply);
    });
  } catch (error) {
    host.fail(request, error);
  }
}

async function readPast(past: PastScan, host: ScanHost): Promise<readonly Publication[] | null> {
  try {
    return await past.read(host.lanes, host.limits.past);
  } finally {
    await past.close();
  }
}

async function answer(reader: EntryReader, reading: Reading, reply: Reply, host: ScanHost): Promise<void> {
  try {
    // Of somebody who has asked for much and left, nothing is looked for.
    if (reading.session.closed) reply.entries = NOTHING.entries;
    else await read(reader, reading, reply, host);
  } finally {
    if (reply.stream === null) await reader.close();
  }
  host.finish(reply.request as DataRequest | SubscribeRequest, reply);
  await reply.stream?.closed;
}

/** What an answer by pattern is read for. */
interface Reading {
  readonly session: Session;
  /** What has expired then is not there. */
  readonly time: number;
  readonly pattern: Pattern;
  readonly after: string | null;
  readonly limit: number;
  readonly query: Query | null;
  readonly byRevision: boolean;
  /** Who must be allowed to get each entry; null: all are allowed. */
  readonly guard: Guard | null;
  /** null: what there is is read. */
  readonly moment: PastMoment | null;
}

/** Throws RequestError INVALID_REQUEST for a moment that has not come yet. */
function readingOf({ session, time: now, options, pattern, guard }: DataRequest, { revision }: State): Reading {
  const { after, limit, query, asOf } = options;
  const moment = asOf === null ? null : PastMoment.of(asOf, now, revision);
  const time = moment?.time ?? now;
  return { session, time, pattern: pattern as Pattern, after, limit, query, byRevision: false, guard, moment };
}

function initialOf({ session, time, initial, initialOrder, guard }: SubscribeRequest): Reading {
  const byRevision = initialOrder === 'revision';
  return {
    session,
    time,
    pattern: initial as Pattern,
    after: null,
    limit: Number.POSITIVE_INFINITY,
    query: null,
    byRevision,
    guard,
    moment: null,
  };
}

async function read(reader: EntryReader, reading: Reading, reply: Reply, host: ScanHost): Promise<void> {
  const { session, query } = reading;
  const gatherer = gathererOf(reading, host.limits);
  const found = query === null ? await collect(reader, reading, gatherer, host) : await find(reader, reading, query, gatherer, host);
  if (query?.count === true) reply.count = gatherer.count;
  reply.entriesBytes = found.bytes;
  if (session.closed || found.rest === null) reply.entries = found.entries;
  else reply.stream = streamOf(found, found.rest, reader, session, host);
}

function gathererOf({ session, query, limit, byRevision }: Reading, { answerBytes, headBytes }: ScanLimits): Gatherer {
  const limits = { answerBytes, headBytes: session.takesStreams ? headBytes : Number.POSITIVE_INFINITY };
  return byRevision ? gathererByRevision(limits) : gathererFor(query, limit, limits);
}

function streamOf({ entries, count }: Found, rest: Marks | Ranking, reader: EntryReader, session: Session, host: ScanHost): EntryStream {
  const streamHost: StreamHost = {
    windowBytes: host.limits.windowBytes,
    ready: () => host.ready(session),
    failed: (error) => host.lost(session, error),
  };
  return rest instanceof Marks ? new PathStream(entries, rest, count, reader, streamHost) : new RankedStream(rest, reader, streamHost);
}

/** What the query wants. */
async function find(reader: EntryReader, reading: Reading, query: Query, gatherer: Gatherer, host: ScanHost): Promise<Found> {
  const { session, time, guard } = reading;
  const search = new EntrySearch(query, session, guard, time, host.search);
  await search.begin();
  const look = async (): Promise<boolean> => {
    const slice = await nextOf(reader, host);
    return slice !== null && search.look(slice, (entry, by, at) => gatherer.take(entry, by, slice.number + at));
  };
  while (await host.search.lanes.hold(look));
  return session.closed ? NOTHING : gatherer.found(search);
}

/** Ends early when nobody is there any more to be answered. */
async function collect(reader: EntryReader, { session, time, guard }: Reading, gatherer: Gatherer, host: ScanHost): Promise<Found> {
  const found = (): Promise<Found> => gatherer.found(new CountedShifts(() => host.shifts.next()));
  while (!session.closed) {
    const slice = await nextOf(reader, host);
    if (slice === null) return found();
    for (const [at, entry] of slice.entries.entries()) {
      if (entry.isExpired(time) || (guard !== null && !guard.rights.allows('get', entry.path))) continue;
      if (!gatherer.take(entry, null, slice.number + at)) return found();
    }
  }
  return NOTHING;
}
