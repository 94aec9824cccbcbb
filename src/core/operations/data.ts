// Operations on records: set, remove, get. They read the store's state and the request alone, and check everything before
// they change anything.

import type { Formats } from '../adapter.js';
import { Entry } from '../data/entry.js';
import { Payload, type Value } from '../data/payload.js';
import { DamagedRecord } from '../data/records.js';
import { documentOf, isDocument, mergeDocuments } from '../data/value.js';
import { RequestError } from '../errors.js';
import { isQuiet } from '../history/rules.js';
import { type AsOf, type Audience, type DataOptions, type DataRequest, type Increment, Publication, Receipt, Reply } from '../message.js';
import type { Query } from '../query/query.js';
import { NO_MATCH } from '../routing/subscription-list.js';
import type { Turn } from '../turn.js';
import { receivedBefore, rememberReceived } from './once.js';
import { publish } from './publish.js';
import { presentOf, type Run, type State } from './run.js';
import type { RemovalSlice, TrimSlice } from './slices.js';

/** No merge or increment makes a record larger: frames bound what is set at once, and nothing else what is added to it. */
export const MERGED_BYTES_MAX = 16 * 1024 * 1024;

/** The path that a set or remove changes, unless it is a removal by wildcard. */
export function changedPath(request: DataRequest): string {
  return request.pattern?.exact ?? request.path;
}

/** In whose name it is done. */
function authorOf({ options, session }: DataRequest): string {
  return options.actor ?? session.identity.name;
}

export function set(request: DataRequest, run: Run): void {
  if (receivedBefore(request, run)) return;
  const change = request.options.store ? store(request, run) : eventOf(request);
  rememberReceived(request, run);
  const { options } = request;
  const match = options.publish ? run.state.router.match(request.path) : NO_MATCH;
  const publication = match.any ? publicationOf(request, change) : null;
  if (publication !== null) publish(run, publication, match, request.sequence, 0);
  if (!request.answered) return;
  const reply = new Reply(request);
  const shown = shownOf(request, change, run.state);
  reply.entry = shown.entry;
  reply.published = options.publish;
  reply.heard = match.any;
  reply.counter = shown.counter;
  reply.receipt = receiptOf(publication, options);
  run.say(reply);
}

/** Who may change a record and not read it is not shown what others have put into it: as if there had been no record before. */
function shownOf(request: DataRequest, change: Change, state: State): Pick<Change, 'entry' | 'counter'> {
  const { path, options } = request;
  const { entry, given } = change;
  if (entry === null || entry.payload === given || isSeen(request, path, state)) return change;
  const { increment, meta } = options;
  const { created, modified, revision, author, qos, expires } = entry;
  const counter = increment?.by ?? 0;
  const own = increment === null ? given : gaugeOf(increment, counter, state.formats);
  return { entry: new Entry(path, own, created, modified, revision, author, qos, expires, meta), counter };
}

/** Whether who asks may read what is at the path, too. */
function isSeen({ session, options }: DataRequest, path: string, { access }: State): boolean {
  return access.sees(session, options.actor, 'get', path);
}

/** What a set or event makes of a path. */
interface Change {
  /** What subscribers see. */
  readonly payload: Payload;
  /** The payload as the request gave it, before a merge. */
  readonly given: Payload;
  /** The record; null: nothing was stored. */
  readonly entry: Entry | null;
  /** increment: the counter's new value. */
  readonly counter: number;
}

function eventOf(request: DataRequest): Change {
  const payload = request.payload as Payload;
  return { payload, given: payload, entry: null, counter: 0 };
}

function store(request: DataRequest, run: Run): Change {
  const change = planSet(request, run.state, run.state.revision + 1);
  keep(change, request.options, run);
  return change;
}

/** A change that is to be stored. */
export interface PlannedSet extends Change {
  readonly entry: Entry;
  /** What the entry takes the place of, also when that has expired. */
  readonly replaced: Entry | DamagedRecord | null;
}

/** What a set that stores is going to do; nothing is changed. Throws what its conditions say. */
export function planSet(request: DataRequest, state: State, revision: number): PlannedSet {
  const { options, path, time } = request;
  const { merge, increment, lifetimeMs } = options;
  const found = inPlace(path, options, state);
  state.history?.prepare(path, presentOf(state, time));
  const stored = found instanceof DamagedRecord ? null : found;
  const before = stored?.isExpired(time) === true ? null : stored;
  checkCondition(path, before, options);
  const isMerged = merge || increment !== null;
  if (isMerged && before !== null) state.steps += before.bodyBytes;
  const counter = increment === null ? 0 : incremented(before, increment);
  const given = increment === null ? (request.payload as Payload) : gaugeOf(increment, counter, state.formats);
  const added = increment === null ? given : addition(increment, counter, state.formats);
  const payload = isMerged ? merged(before, added, state.formats) : given;
  const kept = isMerged ? before : null;
  const expires = lifetimeMs > 0 ? time + lifetimeMs : (kept?.expires ?? 0);
  const meta = options.meta ?? kept?.meta ?? null;
  // The text that is known already: maps find it by its place in memory.
  const known = stored === null ? path : stored.path;
  const created = before === null ? time : before.created;
  const entry = new Entry(known, payload, created, time, revision, authorOf(request), options.qos, expires, meta);
  return { payload, given, entry, counter, replaced: found };
}

/** What is stored there. Throws StoreDamage for what cannot be read, unless all that is done to it is to replace or remove it. */
function inPlace(path: string, options: DataOptions, { records }: State): Entry | DamagedRecord | null {
  const { merge, increment, condition, expect, query } = options;
  const isNeeded = merge || increment !== null || condition !== 'any' || expect !== null || query !== null;
  return isNeeded ? records.stored(path) : records.storedOrDamaged(path);
}

/** What others hear of an increment. */
function gaugeOf({ name }: Increment, counter: number, { json }: Formats): Payload {
  return Payload.fromValue({ value: counter, gauge: name }, json);
}

/** What an increment puts into the record. */
function addition({ name }: Increment, counter: number, { json }: Formats): Payload {
  return Payload.fromValue({ [name]: { value: counter } }, json);
}

export function keep({ entry, replaced }: PlannedSet, options: DataOptions, run: Run): void {
  const turn = run.turn as Turn;
  if (replaced instanceof DamagedRecord) dropDamaged(replaced, 0, run);
  turn.put(entry, replaced instanceof DamagedRecord ? null : replaced);
  run.state.history?.keepSet(turn, entry, replaced, isQuiet(options));
  run.state.expiry.note(entry.expires);
  run.state.revision = entry.revision;
}

/** A receipt that was asked for says nobody when nobody could hear of it. */
function receiptOf(publication: Publication | null, options: DataOptions): Receipt | null {
  if (!options.receipt) return null;
  return publication === null ? new Receipt() : publication.receipt;
}

/** The counter's new value. Throws what Increment says. */
function incremented(before: Entry | null, { name, by }: Increment): number {
  const counter = counted(before, name) + by;
  // Beyond that it would be rounded, or no number that can be stored.
  if (Number.isSafeInteger(counter) || (Number.isFinite(counter) && !Number.isInteger(counter))) return counter;
  throw new RequestError('INVALID_REQUEST', `${name} cannot count that far`);
}

function counted(before: Entry | null, name: string): number {
  if (before === null) return 0;
  const document = documentOf(before.payload.value());
  if (!Object.hasOwn(document, name)) return 0;
  const counter = document[name] as Value;
  const value = isDocument(counter) ? counter.value : undefined;
  if (typeof value !== 'number') throw new RequestError('INVALID_REQUEST', `${name} is no counter`);
  return value;
}

/** Publication of a set or event. */
export function publicationOf(request: DataRequest, { payload, given, entry }: Change): Publication {
  const { options, session } = request;
  const publication = new Publication(
    'set',
    request.path,
    payload,
    given,
    entry,
    0,
    entry === null ? 0 : entry.revision,
    request.time,
    options,
    session.id,
    request.id,
    authorOf(request),
    'all',
  );
  publication.leftBy = request.leftBy;
  return publication;
}

export function checkCondition(path: string, before: Entry | null, options: DataOptions): void {
  if (options.condition === 'absent' && before !== null) {
    throw new RequestError('CONFLICT', `${path} exists with revision ${before.revision}`);
  }
  if (options.condition === 'present' && before === null) throw new RequestError('NOT_FOUND', `${path} does not exist`);
  if (options.expect !== null && options.expect !== (before?.revision ?? 0)) {
    throw new RequestError('CONFLICT', `${path} has revision ${before?.revision ?? 0}, not ${options.expect}`);
  }
}

/** One level deep, on the document forms. Written in the format that loses nothing of either side. Throws what its size says. */
function merged(before: Entry | null, given: Payload, formats: Formats): Payload {
  if (before === null) return given;
  const value = mergeDocuments(documentOf(before.payload.value()), documentOf(given.value()));
  const richer = before.payload.format === formats.msgpack || given.format === formats.msgpack;
  const payload = Payload.fromValue(value, richer ? formats.msgpack : formats.json);
  if (payload.ownSize <= MERGED_BYTES_MAX || payload.ownSize <= before.bodyBytes) return payload;
  throw new RequestError('LIMIT_EXCEEDED', `a merge makes no record larger than ${MERGED_BYTES_MAX} bytes`);
}

export function remove(request: DataRequest, run: Run): void {
  if (request.pattern !== null && request.pattern.exact === null) {
    run.removeByPattern(request);
    return;
  }
  const { options } = request;
  const path = changedPath(request);
  if (receivedBefore(request, run)) return;
  const before = planRemoval(request, run.state);
  const removed = before === null ? 0 : 1;
  if (before !== null) takeAway(before, request, run);
  rememberReceived(request, run);
  const match = options.publish ? run.state.router.match(path) : NO_MATCH;
  const audience = removed === 1 || options.publishMissing ? 'all' : 'each-request';
  const revision = removed === 1 ? run.state.revision : 0;
  const publication = match.any ? removal(request, path, removed, revision, audience) : null;
  if (publication !== null) publish(run, publication, match, request.sequence, 0);
  if (!request.answered) return;
  const reply = new Reply(request);
  reply.count = removed;
  reply.published = options.publish;
  reply.heard = match.any;
  reply.receipt = receiptOf(publication, options);
  run.say(reply);
}

/**
 * The record that the removal of one path is going to remove; null: none. Throws what its conditions say. Criteria tell what is in
 * a record: of who may not read it none are met.
 */
export function planRemoval(request: DataRequest, state: State): Entry | DamagedRecord | null {
  const path = changedPath(request);
  const { query } = request.options;
  const stored = inPlace(path, request.options, state);
  if (stored instanceof DamagedRecord) {
    state.history?.prepare(path, presentOf(state, request.time));
    return stored;
  }
  const before = stored?.isExpired(request.time) === true ? null : stored;
  checkCondition(path, before, request.options);
  if (before === null || (query !== null && !isSeen(request, path, state)) || !meets(before, query, state)) return null;
  state.history?.prepare(path, presentOf(state, request.time));
  return before;
}

/** `request`: what it is removed for. `deadline`: that of a damaged record, if it is known. */
export function takeAway(before: Entry | DamagedRecord, request: DataRequest, run: Run, deadline = 0): void {
  const { state } = run;
  const turn = run.turn as Turn;
  if (before instanceof DamagedRecord) dropDamaged(before, deadline, run);
  else turn.remove(before);
  state.revision += 1;
  const { options, time } = request;
  state.history?.keepRemoval(turn, before, { revision: state.revision, time, author: authorOf(request), quiet: isQuiet(options) });
}

function dropDamaged(record: DamagedRecord, deadline: number, { state, turn }: Run): void {
  (turn as Turn).removeDamaged(record.path, deadline);
  state.losses.recordDamaged(record);
}

/** Publication of a removal caused by `request`. */
export function removal(request: DataRequest, path: string, removed: number, revision: number, audience: Audience): Publication {
  const { options, session } = request;
  const publication = new Publication(
    'remove',
    path,
    null,
    null,
    null,
    removed,
    revision,
    request.time,
    options,
    session.id,
    request.id,
    authorOf(request),
    audience,
  );
  publication.leftBy = request.leftBy;
  return publication;
}

export function removeSlice(slice: RemovalSlice, run: Run): void {
  const { request, paths, time } = slice;
  // Nobody asked for the removal of what has expired: it is of the time at which it is done.
  request.time ||= time;
  // A record that cannot be read, and is asked for, leaves all of them where they are.
  const found = paths.map((path) => removable(slice, path, run.state));
  let removed = 0;
  for (const [at, before] of found.entries()) {
    if (before === null) forgetStale(slice, at, run);
    else if (removeFrom(slice, at, before, removed, run)) removed += 1;
  }
  run.say(() => slice.done(removed, null));
}

/** Removes what is at the path with that place in the slice, `removed` having been removed before it. False: that was done already. */
function removeFrom(slice: RemovalSlice, at: number, before: Entry | DamagedRecord, removed: number, run: Run): boolean {
  const { request, time, deadlines } = slice;
  const { state } = run;
  const { path } = before;
  // The index may have a damaged record twice: with its deadline, and with one that it had before.
  if (before instanceof DamagedRecord && run.turn?.touches(path) === true) return false;
  state.history?.prepare(path, presentOf(state, time));
  takeAway(before, request, run, deadlines?.[at] ?? 0);
  const match = request.options.publish ? state.router.match(path) : NO_MATCH;
  // Nobody asks for the removal of what has expired: everybody hears of each.
  const audience = deadlines === null ? 'each-record' : 'all';
  if (match.any) publish(run, removal(request, path, 1, state.revision, audience), match, slice.sequence, removed);
  return true;
}

/** null: nothing is there that is to be removed. What has expired goes although it cannot be read: else it would keep all others. */
function removable(slice: RemovalSlice, path: string, { records }: State): Entry | DamagedRecord | null {
  const { request, time, asOf, deadlines } = slice;
  const { guard } = request;
  const before = deadlines === null ? records.stored(path) : records.storedOrDamaged(path);
  if (before === null || before instanceof DamagedRecord) return before;
  if (before.isExpired(time) !== (deadlines !== null) || before.revision > asOf) return null;
  return guard === null || guard.rights.allows('remove', path) ? before : null;
}

/** The index may have the deadline of a record that was damaged when it was replaced: it would be found again and again. */
function forgetStale({ deadlines, paths }: RemovalSlice, at: number, { state, turn }: Run): void {
  if (deadlines === null) return;
  const [path, deadline] = [paths[at] as string, deadlines[at] as number];
  const entry = state.records.stored(path);
  if (entry === null || Math.ceil(entry.expires) !== deadline) turn?.forgetDeadline(path, deadline);
}

/** Gives up some of history. */
export function trimSlice({ refs, time, done }: TrimSlice, run: Run): void {
  const { state } = run;
  state.history?.trim(run.turn as Turn, refs, presentOf(state, time));
  run.say(() => done(refs.length, null));
}

export function get(request: DataRequest, run: Run): void {
  const { pattern } = request;
  if (pattern !== null && pattern.exact === null) {
    run.scan(request);
    return;
  }
  const entry = find(pattern?.exact ?? request.path, request, run.state);
  const reply = new Reply(request);
  if (request.options.query?.count === true) reply.count = entry === null ? 0 : 1;
  else if (pattern === null) reply.entry = entry;
  if (pattern !== null) reply.showOne(reply.count > 0 ? null : entry);
  run.say(reply);
}

/** The record, if the query wants it. */
function find(path: string, { options: { query, asOf }, time }: DataRequest, state: State): Entry | null {
  const entry = asOf === null ? state.records.read(path, time) : past(path, asOf, time, state);
  return meets(entry, query, state) && (query === null || query.skip === 0) ? entry : null;
}

function past(path: string, asOf: AsOf, time: number, state: State): Entry | null {
  if (state.history === null) throw new RequestError('UNSUPPORTED', 'no history is kept');
  return state.history.at(path, asOf, time, state);
}

/** Throws RequestError LIMIT_EXCEEDED when that is too much work, INVALID_REQUEST when an expression is none. */
function meets(entry: Entry | null, query: Query | null, state: State): boolean {
  if (query === null) return entry !== null;
  state.steps += query.beginSteps;
  const search = query.begin();
  if (entry === null) return false;
  state.steps += entry.bodyBytes;
  try {
    return search.matches(entry);
  } finally {
    state.steps += search.steps;
  }
}
