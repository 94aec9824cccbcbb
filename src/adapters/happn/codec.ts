// Answers as JSON texts; events are in events.ts. Pure functions that know no sockets and no clock. Answers are put together from texts,
// so that a body is turned into JSON once for everybody. How a text becomes a frame: frame-text.ts; what a frame asks for: requests.ts.

import {
  type ConnectionError,
  type DataRequest,
  documentOf,
  type Entry,
  type Formats,
  type Payload,
  PolicyRefusal,
  type Query,
  type Reply,
  type RequestError,
  type RequestErrorCode,
  type RequestId,
  SessionRevoked,
  type Value,
} from '../../core/index.js';
import { isDelegated } from './delegation.js';
import { isFields } from './fields.js';
import type { Results } from './publishing.js';
import { tagOf } from './tags.js';
import type { Version } from './versions.js';
import type { Frame } from './wire.js';

// ---------------------------------------------------------------- in: what a frame says of itself

/** What a frame is answered with: number or text as it came; anything else has no place in an answer. */
export function requestId(frame: Frame): RequestId {
  const { eventId } = frame;
  return typeof eventId === 'number' || typeof eventId === 'string' ? eventId : null;
}

/** True when a get asks for the paths alone. */
export function isPathOnly(frame: Frame): boolean {
  if (!isFields(frame.options)) return false;
  const inner = frame.options.options;
  return Boolean(frame.options.path_only || (isFields(inner) && inner.path_only));
}

// ---------------------------------------------------------------- out: texts

const SEPARATORS = /[\u2028\u2029]/;
const EACH_SEPARATOR = /[\u2028\u2029]/g;

export function escapeSeparators(text: string): string {
  if (!SEPARATORS.test(text)) return text;
  return text.replace(EACH_SEPARATOR, (separator) => (separator === '\u2028' ? '\\u2028' : '\\u2029'));
}

/** JSON as happn frames carry it: line separators escaped, because old clients evaluated it as script. */
export function jsonText(value: unknown): string {
  return escapeSeparators(JSON.stringify(value));
}

const JSON_FORMAT = 1;
export const OPEN_BRACE = 123;

/** A body as happn shows it: always an object. Made once a payload. */
export function documentText(payload: Payload, formats: Formats): string {
  if (payload.text !== null) return payload.text;
  const text = payload.format.id === JSON_FORMAT ? ownText(payload) : convertedText(payload, formats);
  payload.text = text;
  return text;
}

function ownText(payload: Payload): string {
  const bytes = payload.bytesAtHand;
  const text = bytes === null ? jsonText(payload.value()) : escapeSeparators(utf8(bytes));
  return text.charCodeAt(0) === OPEN_BRACE ? text : `{"value":${text}}`;
}

function convertedText(payload: Payload, formats: Formats): string {
  return shownText(documentOf(payload.value()), formats);
}

/** Without a key that answers need for themselves. */
function shownText(document: { readonly [key: string]: Value }, formats: Formats): string {
  if (!Object.hasOwn(document, '_meta')) return escapeSeparators(utf8(formats.json.fromValue(document)));
  const { _meta, ...rest } = document;
  return escapeSeparators(utf8(formats.json.fromValue(rest)));
}

export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

/** `text` with another property at its end. */
function extended(text: string, property: string): string {
  return text === '{}' ? `{${property}}` : `${text.slice(0, -1)},${property}}`;
}

// ---------------------------------------------------------------- out: answers

/** Who is answered: what of a session shows in its answers. */
export interface Asker {
  readonly id: string;
  readonly version: Version;
}

const EARLY_ACTIONS: ReadonlySet<unknown> = new Set(['configure-session', 'describe', 'login']);

function tail(frame: Frame, asker: Asker): string {
  const { eventId, sessionId, action } = frame;
  let text = '';
  if (typeof eventId === 'number' && Number.isFinite(eventId)) text = `,"eventId":${eventId}`;
  else if (typeof eventId === 'string' || eventId === null) text = `,"eventId":${jsonText(eventId)}`;
  if (typeof sessionId === 'string' && (asker.version.echoesEarlySessionId || !EARLY_ACTIONS.has(action))) {
    text += sessionId === asker.id ? `,"sessionId":"${sessionId}"` : `,"sessionId":${jsonText(sessionId)}`;
  }
  return typeof action === 'string' ? `${text},"action":${actionText(action)}}` : `${text}}`;
}

function actionText(action: string): string {
  return action === 'set' ? '"set"' : action === 'get' ? '"get"' : jsonText(action);
}

function protocolText(asker: Asker): string {
  return `,"protocol":"${asker.version.protocol}"}`;
}

const OK = '"type":"response","status":"ok","published":false';

/** A plain success. `data` is JSON text. */
export function encodeOk(frame: Frame, asker: Asker, data: string): string {
  return `{"data":${data},"_meta":{${OK}${tail(frame, asker)}${protocolText(asker)}`;
}

/** The nonce stands at two places. */
export function encodeNonce(frame: Frame, asker: Asker, nonce: string): string {
  return `{"nonce":${jsonText(nonce)},${encodeOk(frame, asker, jsonText({ nonce })).slice(1)}`;
}

/**
 * The answer to a set. `results`: who got it, when that was asked for; `published`: all who hear of it have it by now.
 * `given`: what is shown when nothing was stored.
 */
export function encodeSet(frame: Frame, asker: Asker, reply: Reply, published: boolean, results: Results | null, formats: Formats): string {
  const request = reply.request as DataRequest;
  const { entry } = reply;
  const path = jsonText(request.path);
  if (asker.version.noDataResponse && isFields(frame.options) && frame.options.noDataResponse) {
    return encodeSetWithoutData(frame, path, published);
  }
  const { increment } = request.options;
  const status = `${statusText(published, results)}${tail(frame, asker)}${protocolText(asker)}`;
  if (increment !== null) {
    return `{"data":${jsonText({ value: reply.counter, gauge: increment.name })},"_meta":{${status.slice(1)}`;
  }
  const data = documentText(entry === null ? (request.payload as Payload) : entry.payload, formats);
  return `{"data":${data},"_meta":{"path":${path}${entry === null ? '' : entryTimes(entry)}${status}`;
}

/** The answer to a tag: the snapshot, with the path of the record in it. */
export function encodeTag(frame: Frame, asker: Asker, entry: Entry, tagged: string, published: boolean, formats: Formats): string {
  const data = extended(documentText(entry.payload, formats), `"_meta":{"path":${jsonText(tagged)}}`);
  const meta = `"path":${jsonText(entry.path)}${entryTimes(entry)}`;
  return `{"data":${data},"_meta":{${meta}${statusText(published, null)}${tail(frame, asker)}${protocolText(asker)}`;
}

/** Tells a publisher who got its publication; `acknowledged` null: nobody was to acknowledge it. */
export function encodePublicationAck(frame: Frame, asker: Asker, results: Results, acknowledged: number | null, complete: boolean): string {
  const result = acknowledged === null ? results : { ...results, acknowledged };
  const id = requestId(frame);
  const status = complete ? '"status":"ok"' : '"status":"error","error":"unacknowledged publication"';
  return (
    `{"id":${jsonText(`${asker.id}-${id ?? ''}`)},"action":"publication-ack","result":${jsonText(result)},${status},` +
    `"_meta":{"type":"ack","eventId":${jsonText(id)}}${protocolText(asker)}`
  );
}

function encodeSetWithoutData(frame: Frame, path: string, published: boolean): string {
  const id = requestId(frame);
  const eventId = id === null ? '' : `,"eventId":${jsonText(id)}`;
  return `{"_meta":{"path":${path}${eventId},"type":"response","status":"ok","published":${published}}}`;
}

function statusText(published: boolean, results: Results | null): string {
  if (results !== null) return `,"publishResults":${jsonText(results)},"published":${published},"type":"response","status":"ok"`;
  return published ? ',"published":true,"type":"response","status":"ok"' : `,${OK}`;
}

/** `published` and `results` as in `encodeSet`. */
export function encodeRemove(frame: Frame, asker: Asker, reply: Reply, published: boolean, results: Results | null): string {
  const meta = `"timestamp":${reply.request.time},"path":${jsonText(frame.path)}${statusText(published, results)}`;
  return `{"data":{"removed":${reply.count}},"_meta":{${meta}${tail(frame, asker)}${protocolText(asker)}`;
}

/** The answer to a get of one path. `query`: what of the record is shown; null: all. */
export function encodeGet(frame: Frame, asker: Asker, entry: Entry | null, query: Query | null, formats: Formats): string {
  if (isPathOnly(frame)) return encodePath(frame, asker, entry);
  if (entry === null) return encodeOk(frame, asker, 'null');
  if (query?.hasFields === true) {
    const { data, meta: shown } = projectedTexts(entry, query, formats);
    const rest = shown === '{}' ? OK : `${shown.slice(1, -1)},${OK}`;
    return `{"data":${data},"_meta":{${rest}${tail(frame, asker)}${protocolText(asker)}`;
  }
  const meta = `"path":${jsonText(entry.path)}${entryTimes(entry)},${OK}`;
  return `{"data":${documentText(entry.payload, formats)},"_meta":{${meta}${tail(frame, asker)}${protocolText(asker)}`;
}

/** The answer to a get of the path alone: of one record, there is no data in it. */
function encodePath(frame: Frame, asker: Asker, entry: Entry | null): string {
  const path = entry === null ? '' : `"path":${jsonText(entry.path)}`;
  if (asker.version.listsOnePath) return `[${entry === null ? '' : `{"_meta":{${path}}},`}${listEnd(frame, asker)}`;
  if (entry === null) return encodeOk(frame, asker, 'null');
  return `{"_meta":{${path},${OK}${tail(frame, asker)}${protocolText(asker)}`;
}

/** The answer to a get by wildcard is a list of records whose last element is this: the meta of the answer. */
export function listEnd(frame: Frame, asker: Asker): string {
  return `{${OK}${tail(frame, asker)}]`;
}

/** How each record of the answer to this get is shown. */
export function itemEncoder(frame: Frame, query: Query | null, formats: Formats): (entry: Entry) => string {
  if (isPathOnly(frame)) return (entry) => `{"_meta":{"path":${jsonText(entry.path)}}}`;
  if (query?.hasFields !== true) return (entry) => encodeItem(entry, formats);
  return (entry) => {
    const { data, meta } = projectedTexts(entry, query, formats);
    return extended(data, `"_meta":${meta}`);
  };
}

/** The part of a record that was asked for, and the part of its meta. */
function projectedTexts(entry: Entry, query: Query, formats: Formats): { readonly data: string; readonly meta: string } {
  const { document, meta } = query.project(entry);
  return { data: shownText(document ?? {}, formats), meta: shownText(meta, formats) };
}

/** A record as an element of a list: its body with its meta inside. */
export function encodeItem(entry: Entry, formats: Formats): string {
  return extended(documentText(entry.payload, formats), `"_meta":${entryMeta(entry)}`);
}

function entryMeta(entry: Entry): string {
  return `{"path":${jsonText(entry.path)}${entryTimes(entry)}}`;
}

/** Who changed it is shown when somebody was logged in; a snapshot has the name of its tag. */
export function entryTimes(entry: Entry): string {
  const { created, modified, author } = entry;
  const times = `,"created":${created},"modified":${modified}`;
  const tag = tagOf(entry);
  const named = tag === null ? times : `${times},"tag":${jsonText(tag)}`;
  return author === '' ? named : `${named},"modifiedBy":${jsonText(author)}`;
}

/** The answer to an `on` with initial values: they stand between this and `initialEnd`. */
export const INITIAL_HEAD = '{"data":[';

export function initialEnd(frame: Frame, asker: Asker, reference: string): string {
  const meta = `"status":"ok","referenceId":${jsonText(reference)},"type":"response","published":false`;
  return `],"_meta":{${meta}${tail(frame, asker)}${protocolText(asker)}`;
}

// ---------------------------------------------------------------- out: errors

interface WireError {
  readonly name: string;
  readonly code?: number;
}

/** 401 and 403 make a client give up; every other error is worth another try to it. */
const ERRORS: { readonly [Code in RequestErrorCode]: WireError } = {
  INVALID_PATH: { name: 'Error' },
  UNKNOWN_OPERATION: { name: 'Error' },
  NOT_AUTHENTICATED: { name: 'AccessDenied', code: 401 },
  LOGIN_REFUSED: { name: 'AccessDenied', code: 403 },
  ACCOUNT_LOCKED: { name: 'AccessDenied', code: 403 },
  ACCESS_DENIED: { name: 'AccessDenied', code: 403 },
  NOT_FOUND: { name: 'Error' },
  CONFLICT: { name: 'Error' },
  INVALID_REQUEST: { name: 'Error' },
  UNSUPPORTED: { name: 'Error', code: 501 },
  OUT_OF_HISTORY: { name: 'Error', code: 410 },
  LIMIT_EXCEEDED: { name: 'Error', code: 413 },
  TIMEOUT: { name: 'SystemError', code: 504 },
  OVERLOADED: { name: 'SystemError', code: 503 },
  STORE_FAILED: { name: 'SystemError', code: 500 },
  INTERNAL: { name: 'SystemError', code: 500 },
};

/** An error as clients know it. */
export function wireError(error: RequestError): { readonly name: string; readonly message: string; readonly code?: number } {
  const { name, code } = ERRORS[error.code];
  const message = error.code === 'ACCESS_DENIED' && !(error instanceof PolicyRefusal) ? 'unauthorized' : error.message;
  return code === undefined ? { name, message } : { name, message, code };
}

export function encodeError(frame: Frame, asker: Asker, error: RequestError): string {
  const reason = error.code === 'ACCESS_DENIED' && isDelegated(frame) ? { reason: error.message } : {};
  const wire = jsonText({ ...wireError(error), ...reason });
  const meta = `"type":"response","status":"error","published":false${tail(frame, asker).slice(0, -1)},"error":${wire}}`;
  return `{"data":null,"_meta":{${meta}${protocolText(asker)}`;
}

// ---------------------------------------------------------------- out: system

/** Why a connection is ended, as clients know it. */
export function disconnectReason(error: ConnectionError): string {
  if (error instanceof SessionRevoked) return error.reason;
  return error.code === 'DISMISSED' ? 'reconnect-false' : error.code.toLowerCase().replaceAll('_', '-');
}

/** The notice before an intended end. */
export function encodeDisconnect(version: Version, error: ConnectionError): string {
  const data = version.disconnectReason ? { reason: disconnectReason(error) } : 'server-side-disconnect';
  return jsonText({ _meta: { type: 'system' }, data, eventKey: 'server-side-disconnect' });
}
