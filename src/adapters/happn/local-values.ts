// Answers and events as an in-process client gets them: the values that codec.ts would write as text, copied so that nobody can
// change what is stored. Pure functions.

import {
  type DataRequest,
  type Document,
  type Entry,
  type Meta,
  type Payload,
  type Publication,
  type Query,
  type Reply,
  type Request,
  RequestError,
  type Session,
} from '../../core/index.js';
import { isPathOnly, wireError } from './codec.js';
import { copyOut, documentCopy, documentCopyOf } from './copies.js';
import { publicationId } from './events.js';
import { isFields } from './fields.js';
import type { LocalDocument, LocalMeta } from './local-client.js';
import type { LocalListener } from './local-listener.js';
import { consistencyOf, noteOf, type Results, resultsOf } from './publishing.js';
import { TagStep } from './requests.js';
import { tagOf } from './tags.js';
import { type Frame, RESERVED_META } from './wire.js';

/** As the happn client raises it. */
export function clientError(error: unknown): Error {
  if (!(error instanceof RequestError)) return error instanceof Error ? error : new Error(String(error));
  const wire = wireError(error);
  const made = new Error(wire.message, { cause: error });
  return Object.assign(made, wire.code === undefined ? { name: wire.name } : { name: wire.name, code: wire.code });
}

/** What a get of one path, a count, a set or a remove that was done is answered with. `members`: sessions that called themselves members of a cluster. */
export function answerValue(request: DataRequest, reply: Reply, members: ReadonlySet<Session>): LocalDocument | null {
  const { tag } = request;
  const frame = tag instanceof TagStep ? tag.frame : (tag as Frame);
  const about = { eventId: request.id, sessionId: request.session.id, action: String(frame.action) };
  if (request.op === 'get') return readResult(request, reply, frame, { type: 'response', status: 'ok', published: false, ...about });
  const results = resultsIn(reply, members);
  const published = reply.published && consistencyOf(request.options) === 2;
  const status = { ...shownResults(request, results), published, type: 'response', status: 'ok', ...about };
  if (request.op === 'remove') return { removed: reply.count, _meta: { timestamp: request.time, path: request.path, ...status } };
  return setResult(request, reply, frame, status);
}

/** Who got the publication that the request led to; null when that was not asked for. */
export function resultsIn({ request, receipt }: Reply, members: ReadonlySet<Session>): Results | null {
  if (receipt === null || !isChange(request)) return null;
  const note = noteOf(request.options);
  return note === null ? null : resultsOf(receipt, note, members);
}

function shownResults({ options }: DataRequest, results: Results | null): object {
  return results !== null && noteOf(options)?.results === true ? { publishResults: results } : {};
}

function readResult(request: DataRequest, reply: Reply, frame: Frame, status: object): LocalDocument | null {
  const { query } = request.options;
  const pathOnly = isPathOnly(frame);
  if (query?.count === true) return { value: reply.count, _meta: { ...status } };
  if (reply.entry === null) return null;
  if (pathOnly) return { _meta: { path: reply.entry.path, ...status } };
  const item = shownItem(reply.entry, query);
  return { ...item, _meta: { ...item._meta, ...status } };
}

/** How each record of the answer to this get by wildcard is shown. */
export function listItem({ tag, options }: DataRequest): (entry: Entry) => LocalDocument {
  if (isPathOnly(tag as Frame)) return ({ path }) => ({ _meta: { path } });
  return (entry) => shownItem(entry, options.query);
}

/** The part of a record that was asked for. */
function shownItem(entry: Entry, query: Query | null): LocalDocument {
  if (query === null || !query.hasFields) return itemOf(entry);
  const { document, meta } = query.project(entry);
  const data = copyOut(document ?? {}) as Document;
  delete data['_meta'];
  return { ...data, _meta: copyOut(meta) as LocalMeta };
}

function setResult(request: DataRequest, reply: Reply, frame: Frame, status: object): LocalDocument {
  const { path, payload } = request;
  const { entry, counter } = reply;
  const { increment } = request.options;
  if (isFields(frame.options) && frame.options.noDataResponse) {
    const { eventId } = frame;
    return { _meta: { path, eventId, type: 'response', status: 'ok', published: (status as { published: boolean }).published } };
  }
  if (increment !== null) return { value: counter, gauge: increment.name, _meta: { ...status } };
  if (entry === null) return { ...documentCopy(payload as Payload), _meta: { path, ...status } };
  return { ...documentCopy(entry.payload), _meta: { ...entryMeta(entry), ...status } };
}

/** What is parsed for one list is not kept with the record. */
export function itemOf(entry: Entry): LocalDocument {
  return { ...documentCopyOf(entry.payload.look()), _meta: entryMeta(entry) };
}

function entryMeta(entry: Entry): LocalMeta {
  return { path: entry.path, ...entryTimes(entry) };
}

function entryTimes(entry: Entry): object {
  const { created, modified, author } = entry;
  const tag = tagOf(entry);
  return { created, modified, ...(tag === null ? {} : { tag }), ...(author === '' ? {} : { modifiedBy: author }) };
}

export function eventMeta(publication: Publication, { channel, depth }: LocalListener, acknowledged: boolean): LocalMeta {
  const { action, path, entry, meta, origin, options, author } = publication;
  return {
    action: action === 'set' ? `/SET@${path}` : `/REMOVE@${path}`,
    type: 'data',
    sessionId: origin,
    consistency: consistencyOf(options),
    publicationId: publicationId(publication),
    path,
    ...(entry === null || options.increment !== null ? {} : entryTimes(entry)),
    ...(author === '' ? {} : { eventOrigin: { username: author, id: origin } }),
    ...(meta === null ? {} : customMeta(meta)),
    channel: channel.text,
    ...(depth > 0 ? { depth } : {}),
    ...(acknowledged ? { acknowledged } : {}),
  };
}

function customMeta(meta: Meta): object {
  const kept = Object.entries(meta.values()).filter(([key]) => !RESERVED_META.has(key));
  return Object.fromEntries(kept.map(([key, value]) => [key, copyOut(value)]));
}

export function eventData({ action, payload, given, removed, options }: Publication, raw: boolean): unknown {
  if (action === 'remove') return raw ? null : { removed };
  if (options.increment !== null && given !== null) return documentCopy(given);
  if (raw && given !== null) return copyOut(given.value());
  return documentCopy(payload as Payload);
}

export function isChange(request: Request): request is DataRequest {
  return request.op === 'set' || request.op === 'remove';
}
