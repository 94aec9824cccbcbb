// Operations on records: set, remove, get. They read the store's state and the request alone, and check everything before
// they change anything.

import type { Formats } from '../adapter.js';
import { Entry } from '../entry.js';
import { RequestError } from '../errors.js';
import { type Audience, type DataOptions, type DataRequest, type Increment, Publication, Receipt, Reply } from '../message.js';
import { Payload } from '../payload.js';
import type { Query } from '../query.js';
import { NO_MATCH } from '../subscription-list.js';
import type { Turn } from '../turn.js';
import { documentOf, isDocument, mergeDocuments } from '../value.js';
import { receivedBefore, rememberReceived } from './once.js';
import { publish } from './publish.js';
import type { RemovalSlice, Run, State } from './run.js';

/** The path that a set or remove changes, unless it is a removal by wildcard. */
export function changedPath(request: DataRequest): string {
  return request.pattern?.exact ?? request.path;
}

export function set(request: DataRequest, run: Run): void {
  const { options, session, path } = request;
  let given = request.payload as Payload;
  if (receivedBefore(request, run)) return;
  let payload = given;
  let counter = 0;
  let entry: Entry | null = null;
  if (options.store) {
    const before = run.state.records.read(path);
    checkCondition(path, before, options);
    if (options.increment !== null) {
      counter = counted(before, options.increment) + options.increment.by;
      given = Payload.fromValue({ value: counter, gauge: options.increment.name }, run.state.formats.json);
      const change = Payload.fromValue({ [options.increment.name]: { value: counter } }, run.state.formats.json);
      payload = merged(before, change, run.state.formats);
    } else if (options.merge) {
      payload = merged(before, given, run.state.formats);
    }
    const revision = run.state.revision + 1;
    entry = new Entry(path, payload, before?.created ?? request.time, request.time, revision, session.identity.name, options.qos);
    (run.turn as Turn).put(entry);
    run.state.revision = revision;
  }
  rememberReceived(request, run);
  const match = options.publish ? run.state.router.match(path) : NO_MATCH;
  const publication = match.all.length > 0 ? change(request, payload, given, entry) : null;
  if (publication !== null) publish(run, publication, match, request.sequence, 0);
  if (!request.answered) return;
  const reply = new Reply(request);
  reply.entry = entry;
  reply.published = options.publish;
  reply.counter = counter;
  reply.receipt = receiptOf(publication, options);
  run.say(reply);
}

/** A receipt that was asked for says nobody when nobody could hear of it. */
function receiptOf(publication: Publication | null, options: DataOptions): Receipt | null {
  if (!options.receipt) return null;
  return publication === null ? new Receipt() : publication.receipt;
}

function counted(before: Entry | null, { name }: Increment): number {
  const counter = before === null ? undefined : documentOf(before.payload.value())[name];
  if (counter === undefined) return 0;
  const value = isDocument(counter) ? counter.value : undefined;
  if (typeof value !== 'number') throw new RequestError('INVALID_REQUEST', `${name} is no counter`);
  return value;
}

/** Publication of a set or event. */
function change(request: DataRequest, payload: Payload, given: Payload, entry: Entry | null): Publication {
  const { options, session } = request;
  return new Publication(
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
    session.identity.name,
    'all',
  );
}

function checkCondition(path: string, before: Entry | null, options: DataOptions): void {
  if (options.condition === 'absent' && before !== null) {
    throw new RequestError('CONFLICT', `${path} exists with revision ${before.revision}`);
  }
  if (options.condition === 'present' && before === null) throw new RequestError('NOT_FOUND', `${path} does not exist`);
  if (options.expect !== null && options.expect !== (before?.revision ?? 0)) {
    throw new RequestError('CONFLICT', `${path} has revision ${before?.revision ?? 0}, not ${options.expect}`);
  }
}

/** One level deep, on the document forms. Written in the format that loses nothing of either side. */
function merged(before: Entry | null, given: Payload, formats: Formats): Payload {
  if (before === null) return given;
  const value = mergeDocuments(documentOf(before.payload.value()), documentOf(given.value()));
  const richer = before.payload.format === formats.msgpack || given.format === formats.msgpack;
  return Payload.fromValue(value, richer ? formats.msgpack : formats.json);
}

export function remove(request: DataRequest, run: Run): void {
  if (request.pattern !== null && request.pattern.exact === null) {
    run.removeByPattern(request);
    return;
  }
  const { options } = request;
  const path = changedPath(request);
  if (receivedBefore(request, run)) return;
  const before = run.state.records.read(path);
  checkCondition(path, before, options);
  const removed = meets(before, options.query, run.state) ? 1 : 0;
  if (removed === 1) {
    run.state.revision += 1;
    (run.turn as Turn).remove(path);
  }
  rememberReceived(request, run);
  const match = options.publish ? run.state.router.match(path) : NO_MATCH;
  const audience = removed === 1 || options.publishMissing ? 'all' : 'each-request';
  const revision = removed === 1 ? run.state.revision : 0;
  const publication = match.all.length > 0 ? removal(request, path, removed, revision, audience) : null;
  if (publication !== null) publish(run, publication, match, request.sequence, 0);
  if (!request.answered) return;
  const reply = new Reply(request);
  reply.count = removed;
  reply.published = options.publish;
  reply.receipt = receiptOf(publication, options);
  run.say(reply);
}

/** Publication of a removal caused by `request`. */
export function removal(request: DataRequest, path: string, removed: number, revision: number, audience: Audience): Publication {
  const { options, session } = request;
  return new Publication(
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
    session.identity.name,
    audience,
  );
}

export function removeSlice(slice: RemovalSlice, run: Run): void {
  const { request, asOf } = slice;
  const { records } = run.state;
  const present = slice.paths.filter((path) => {
    const before = records.read(path);
    return before !== null && before.revision <= asOf;
  });
  let removed = 0;
  for (const path of present) {
    run.state.revision += 1;
    (run.turn as Turn).remove(path);
    const match = request.options.publish ? run.state.router.match(path) : NO_MATCH;
    if (match.all.length > 0) {
      publish(run, removal(request, path, 1, run.state.revision, 'each-record'), match, slice.sequence, removed);
    }
    removed += 1;
  }
  run.say(() => slice.done(removed, null));
}

export function get(request: DataRequest, run: Run): void {
  const { pattern } = request;
  if (pattern !== null && pattern.exact === null) {
    run.scan(request);
    return;
  }
  const entry = find(pattern?.exact ?? request.path, request.options.query, run.state);
  const reply = new Reply(request);
  if (request.options.query?.count === true) reply.count = entry === null ? 0 : 1;
  else if (pattern === null) reply.entry = entry;
  if (pattern !== null) reply.entries = entry === null || reply.count > 0 ? [] : [entry];
  run.say(reply);
}

/** The record, if the query wants it. */
function find(path: string, query: Query | null, state: State): Entry | null {
  const entry = state.records.read(path);
  return meets(entry, query, state) && (query === null || query.skip === 0) ? entry : null;
}

/** Throws RequestError LIMIT_EXCEEDED when that is too much work, INVALID_REQUEST when an expression is none. */
function meets(entry: Entry | null, query: Query | null, state: State): boolean {
  if (query === null) return entry !== null;
  state.steps += query.beginSteps;
  const search = query.begin();
  if (entry === null) return false;
  try {
    return search.matches(entry);
  } finally {
    state.steps += search.steps;
  }
}
