// happn frames to requests and back: pure functions from JSON text to internal messages and from internal messages to JSON text.
// Knows no sockets and no clock. Answers are put together from texts, so that a body is turned into JSON once for everybody.

import {
  binaryFromDocument,
  type DataOptions,
  DataRequest,
  documentOf,
  type Entry,
  type Formats,
  isExactNumber,
  type Meta,
  Payload,
  type Publication,
  RequestError,
  type RequestErrorCode,
  type RequestId,
  type Session,
  STORED,
  type Value,
} from '../../core/index.js';
import { checkRequestPath, checkTextPath, hasWildcard, queryPattern } from './paths.js';
import { type Fields, type Frame, type FrameLimits, MESSAGES, RESERVED_META } from './wire.js';
import type { Version } from './versions.js';

// ---------------------------------------------------------------- in: from text to frame

const OPEN_BRACE = 123;
const OPEN_BRACKET = 91;
const CLOSE_BRACE = 125;
const CLOSE_BRACKET = 93;
const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;

/**
 * Refuses a text that holds more than a frame may, before it is parsed. Throws LIMIT_EXCEEDED. Most frames are so short and flat
 * that counting their brackets is enough; the others are scanned once.
 */
export function checkFrameText(text: string, limits: FrameLimits): void {
  if (text.length > limits.maxBytes) throw tooMuch(`a frame of ${text.length} bytes`, `${limits.maxBytes} bytes`);
  // An element takes two characters at least.
  if (text.length <= limits.maxElements * 2 && opensAtMost(text, limits.maxDepth)) return;
  scan(text, limits);
}

function opensAtMost(text: string, max: number): boolean {
  let count = 0;
  for (let at = text.indexOf('{'); at !== -1; at = text.indexOf('{', at + 1)) if (++count > max) return false;
  for (let at = text.indexOf('['); at !== -1; at = text.indexOf('[', at + 1)) if (++count > max) return false;
  return true;
}

function scan(text: string, limits: FrameLimits): void {
  let depth = 0;
  let elements = 1;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth += 1;
      elements += 1;
      if (depth > limits.maxDepth) throw tooMuch('nesting', `${limits.maxDepth} levels`);
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth -= 1;
    } else if (code === COMMA) {
      elements += 1;
    }
    if (elements > limits.maxElements) throw tooMuch('a frame', `${limits.maxElements} elements`);
  }
}

/** Index of the quote that ends the string which begins at `at`. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

function tooMuch(what: string, limit: string): RequestError {
  return new RequestError('LIMIT_EXCEEDED', `${what} is more than this connection may send: at most ${limit}`);
}

/** A frame is an object; null for broken JSON and for everything else, which is not answered. */
export function parseFrame(text: string): Frame | null {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return null;
  }
  return isFields(frame) ? frame : null;
}

const HEAD = /^\s*\{\s*"action"\s*:\s*"([a-z-]{1,40})"\s*,\s*"eventId"\s*:\s*(\d{1,15})\s*,/;

/** What the beginning of an unparsed text says about itself, so that its refusal reaches the one who waits for it. */
export function peekFrame(text: string): Frame {
  const head = HEAD.exec(text.slice(0, 200));
  return head === null ? {} : { action: head[1], eventId: Number(head[2]) };
}

export function isFields(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** A property that must be an object; absent and null count as an empty one. Throws INVALID_REQUEST. */
export function fieldsOf(value: unknown, name: string): Fields {
  if (value === undefined || value === null) return NO_FIELDS;
  if (isFields(value)) return value;
  throw new RequestError('INVALID_REQUEST', `${name} must be an object`);
}

const NO_FIELDS: Fields = Object.freeze({});

// Literals that may not come back as they were: many digits, and exponents of three digits (generated ids look alike, up to
// what follows them).
const SUSPECT_NUMBER = /[\d.]{16}|\d[eE]\+?\d{3,}\s*[,\]}]/;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;

/** Throws INVALID_REQUEST for a number of which a double loses a digit: it is refused, never rounded. */
export function checkNumbers(text: string): void {
  if (!SUSPECT_NUMBER.test(text)) return;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
    } else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      NUMBER.lastIndex = at;
      const literal = NUMBER.exec(text)?.[0] ?? '';
      if (!isExactNumber(literal)) {
        throw new RequestError('INVALID_REQUEST', `the number ${literal.slice(0, 40)} cannot be kept exactly`);
      }
      at += literal.length - 1;
    }
  }
}

// ---------------------------------------------------------------- in: from frame to request

/** What a frame is answered with: number or text as it came; anything else has no place in an answer. */
export function requestId(frame: Frame): RequestId {
  const { eventId } = frame;
  return typeof eventId === 'number' || typeof eventId === 'string' ? eventId : null;
}

// Indexed by store (4), publish (2), merge (1).
const OPTIONS: readonly DataOptions[] = [0, 1, 2, 3, 4, 5, 6, 7].map((bits) => {
  const store = (bits & 4) !== 0;
  return Object.freeze({ ...STORED, store, publish: (bits & 2) !== 0, merge: (bits & 1) !== 0, qos: store ? 1 : 0 });
});

/** Throws RequestError. */
export function decodeSet(frame: Frame, session: Session, formats: Formats): DataRequest {
  const path = checkRequestPath(frame.path);
  if (hasWildcard(path)) throw new RequestError('INVALID_PATH', MESSAGES.setWildcard);
  const options = fieldsOf(frame.options, 'options');
  refuseMissing(options, SET_MISSING);
  const noPublish = options.noPublish === true || options.upsertType === 3;
  const base = OPTIONS[(options.noStore === true ? 0 : 4) | (noPublish ? 0 : 2) | (options.merge === true ? 1 : 0)] as DataOptions;
  const payload = decodeData(frame.data, formats);
  return new DataRequest('set', session, requestId(frame), path, null, payload, withMeta(base, options.meta), true, 0, frame);
}

/** Throws RequestError. */
export function decodeRemove(frame: Frame, session: Session): DataRequest {
  const path = checkRequestPath(frame.path);
  const options = fieldsOf(frame.options, 'options');
  refuseMissing(options, REMOVE_MISSING);
  const base = OPTIONS[options.noPublish === true ? 4 : 6] as DataOptions;
  const pattern = hasWildcard(path) ? queryPattern(path) : null;
  return new DataRequest('remove', session, requestId(frame), path, pattern, null, withMeta(base, options.meta), true, 0, frame);
}

/** Throws RequestError. */
export function decodeGet(frame: Frame, session: Session): DataRequest {
  const path = checkTextPath(frame.path);
  const options = fieldsOf(frame.options, 'options');
  refuseMissing(options, GET_MISSING);
  refuseMissing(fieldsOf(options.options, 'options.options'), GET_MISSING_INNER);
  const pattern = hasWildcard(path) ? queryPattern(path) : null;
  return new DataRequest('get', session, requestId(frame), path, pattern, null, STORED, true, 0, frame);
}

/** True when a get asks for the paths alone. */
export function isPathOnly(frame: Frame): boolean {
  if (!isFields(frame.options)) return false;
  const inner = frame.options.options;
  return frame.options.path_only === true || (isFields(inner) && inner.path_only === true);
}

/** The body of a set. Top-level `_meta` belongs to answers and is not kept; an absent body is an empty object. */
function decodeData(data: unknown, formats: Formats): Payload {
  if (data === undefined) return Payload.fromValue({}, formats.json);
  if (!isFields(data)) return Payload.fromValue(data as Value, formats.json);
  if (data.$binary !== undefined) {
    const bytes = binaryFromDocument(data as Value);
    if (bytes !== null) return Payload.fromBytes(bytes, formats.binary);
  }
  if (Object.hasOwn(data, '_meta')) {
    const { _meta, ...rest } = data;
    return Payload.fromValue(rest as Value, formats.json);
  }
  return Payload.fromValue(data as Value, formats.json);
}

function withMeta(base: DataOptions, meta: unknown): DataOptions {
  if (meta === undefined || meta === null) return base;
  const fields = fieldsOf(meta, 'options.meta');
  const kept = Object.entries(fields).filter(([key]) => !RESERVED_META.has(key));
  return kept.length === 0 ? base : { ...base, meta: Object.fromEntries(kept) as Meta };
}

type Missing = readonly (readonly [option: string, asksFor: (value: unknown) => boolean])[];

const isGiven = (value: unknown): boolean => value !== undefined && value !== null;
const isTrue = (value: unknown): boolean => Boolean(value);
const isNotDefault = (value: unknown): boolean => isGiven(value) && value !== 2;

const ROUTING_MISSING: Missing = [
  ['consistency', isNotDefault],
  ['targetClients', isGiven],
  ['publishResults', isTrue],
];
const SET_MISSING: Missing = [...ROUTING_MISSING, ['tag', isTrue], ['increment', isGiven], ['set_type', (value) => value === 'sibling']];
const REMOVE_MISSING: Missing = [...ROUTING_MISSING, ['criteria', isGiven]];
const QUERY_MISSING: Missing = [
  ['criteria', isGiven],
  ['fields', isGiven],
  ['sort', isGiven],
  ['aggregate', isGiven],
  ['collation', isGiven],
];
const GET_MISSING: Missing = QUERY_MISSING;
const GET_MISSING_INNER: Missing = [...QUERY_MISSING, ['limit', isGiven], ['skip', isGiven], ['count', isTrue]];

/** An option that changes what a request means, and that this gateway does not offer, is refused: never passed over. */
function refuseMissing(options: Fields, missing: Missing): void {
  for (const [option, asksFor] of missing) {
    const value = options[option];
    if (value !== undefined && asksFor(value)) {
      throw new RequestError('UNSUPPORTED', `the option ${option} is not supported with this value`);
    }
  }
}

// ---------------------------------------------------------------- out: texts

const SEPARATORS = /[\u2028\u2029]/;
const EACH_SEPARATOR = /[\u2028\u2029]/g;

function escapeSeparators(text: string): string {
  if (!SEPARATORS.test(text)) return text;
  return text.replace(EACH_SEPARATOR, (separator) => (separator === '\u2028' ? '\\u2028' : '\\u2029'));
}

/** JSON as happn frames carry it: line separators escaped, because old clients evaluated it as script. */
export function jsonText(value: unknown): string {
  return escapeSeparators(JSON.stringify(value));
}

const JSON_FORMAT = 1;

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
  const document = documentOf(payload.value());
  if (!Object.hasOwn(document, '_meta')) return escapeSeparators(utf8(formats.json.fromValue(document)));
  const { _meta, ...rest } = document;
  return escapeSeparators(utf8(formats.json.fromValue(rest)));
}

function utf8(bytes: Uint8Array): string {
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

/** `entry` null: nothing was stored. */
export function encodeSet(frame: Frame, asker: Asker, given: Payload, entry: Entry | null, published: boolean, formats: Formats): string {
  const path = jsonText(frame.path);
  if (asker.version.noDataResponse && isFields(frame.options) && frame.options.noDataResponse === true) {
    return encodeSetWithoutData(frame, path, published);
  }
  const data = documentText(entry === null ? given : entry.payload, formats);
  const times = entry === null ? '' : `,"created":${entry.created},"modified":${entry.modified}`;
  return `{"data":${data},"_meta":{"path":${path}${times}${statusText(published)}${tail(frame, asker)}${protocolText(asker)}`;
}

function encodeSetWithoutData(frame: Frame, path: string, published: boolean): string {
  const id = requestId(frame);
  const eventId = id === null ? '' : `,"eventId":${jsonText(id)}`;
  return `{"_meta":{"path":${path}${eventId},"type":"response","status":"ok","published":${published}}}`;
}

function statusText(published: boolean): string {
  return published ? ',"published":true,"type":"response","status":"ok"' : `,${OK}`;
}

export function encodeRemove(frame: Frame, asker: Asker, removed: number, timestamp: number, published: boolean): string {
  const meta = `"timestamp":${timestamp},"path":${jsonText(frame.path)}${statusText(published)}`;
  return `{"data":{"removed":${removed}},"_meta":{${meta}${tail(frame, asker)}${protocolText(asker)}`;
}

/** The answer to a get of one path. */
export function encodeGet(frame: Frame, asker: Asker, entry: Entry | null, formats: Formats): string {
  if (entry === null) return encodeOk(frame, asker, 'null');
  const path = `"path":${jsonText(entry.path)}`;
  if (isPathOnly(frame)) return `{"_meta":{${path},${OK}${tail(frame, asker)}${protocolText(asker)}`;
  const meta = `${path},"created":${entry.created},"modified":${entry.modified},${OK}`;
  return `{"data":${documentText(entry.payload, formats)},"_meta":{${meta}${tail(frame, asker)}${protocolText(asker)}`;
}

/** The answer to a get by wildcard: a list whose last element is the meta of the answer. */
export function encodeGetMany(frame: Frame, asker: Asker, entries: readonly Entry[], formats: Formats): string {
  const pathOnly = isPathOnly(frame);
  let text = '[';
  for (const entry of entries) {
    text += pathOnly ? `{"_meta":{"path":${jsonText(entry.path)}}},` : `${encodeItem(entry, formats)},`;
  }
  return `${text}{${OK}${tail(frame, asker)}]`;
}

/** A record as an element of a list: its body with its meta inside. */
export function encodeItem(entry: Entry, formats: Formats): string {
  return extended(documentText(entry.payload, formats), `"_meta":${entryMeta(entry)}`);
}

function entryMeta(entry: Entry): string {
  return `{"path":${jsonText(entry.path)},"created":${entry.created},"modified":${entry.modified}}`;
}

/** The answer to an `on` with initial values. `items` are in the order in which they are shown. */
export function encodeOnInitial(frame: Frame, asker: Asker, reference: string, items: readonly string[]): string {
  const meta = `"status":"ok","referenceId":${jsonText(reference)},"type":"response","published":false`;
  return `{"data":[${items.join(',')}],"_meta":{${meta}${tail(frame, asker)}${protocolText(asker)}`;
}

/** An initial value as an event (protocol version 1 and none). */
export function encodeInitialEvent(frame: Frame, asker: Asker, channel: string, item: string): string {
  const name = jsonText(channel);
  const id = jsonText(`${asker.id}-${requestId(frame) ?? ''}`);
  const meta = `"action":${jsonText(`/ON@${channel}`)},"type":"data","sessionId":"${asker.id}","consistency":2,"publicationId":${id}`;
  return `{"data":${item},"_meta":{${meta},"path":${name},"channel":${name}}${protocolText(asker)}`;
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
  ACCESS_DENIED: { name: 'AccessDenied', code: 403 },
  NOT_FOUND: { name: 'Error' },
  CONFLICT: { name: 'Error' },
  INVALID_REQUEST: { name: 'Error' },
  UNSUPPORTED: { name: 'Error', code: 501 },
  LIMIT_EXCEEDED: { name: 'Error', code: 413 },
  TIMEOUT: { name: 'SystemError', code: 504 },
  OVERLOADED: { name: 'SystemError', code: 503 },
  STORE_FAILED: { name: 'SystemError', code: 500 },
  INTERNAL: { name: 'SystemError', code: 500 },
};

export function encodeError(frame: Frame, asker: Asker, error: RequestError): string {
  const { name, code } = ERRORS[error.code];
  const message = error.code === 'ACCESS_DENIED' ? 'unauthorized' : error.message;
  const wire = jsonText(code === undefined ? { name, message } : { name, message, code });
  const meta = `"type":"response","status":"error","published":false${tail(frame, asker).slice(0, -1)},"error":${wire}}`;
  return `{"data":null,"_meta":{${meta}${protocolText(asker)}`;
}

// ---------------------------------------------------------------- out: events

/** One event. `raw`: the body as the request gave it (merge subscriptions); `depth` 0: the channel has none. */
export function encodeEvent(
  publication: Publication,
  protocol: string,
  channel: string,
  depth: number,
  raw: boolean,
  formats: Formats,
): string {
  const { action, path, entry, meta, requestId: id, origin } = publication;
  const name = action === 'set' ? `/SET@${path}` : `/REMOVE@${path}`;
  const session = jsonText(origin);
  const number = typeof id === 'number' ? `${session.slice(0, -1)}-${id}"` : jsonText(`${origin}-${id ?? changeNumber(publication)}`);
  const times = entry === null ? '' : `,"created":${entry.created},"modified":${entry.modified}`;
  return (
    `{"data":${eventData(publication, raw, formats)},"_meta":{"action":${jsonText(name)},"type":"data","sessionId":${session}` +
    `,"consistency":2,"publicationId":${number},"path":${jsonText(path)}${times}${meta === null ? '' : customMeta(meta)}` +
    `,"channel":${jsonText(channel)}${depth > 0 ? `,"depth":${depth}` : ''}},"protocol":"${protocol}"}`
  );
}

/** Tells publications apart whose requests had no id. */
function changeNumber(publication: Publication): string {
  return publication.revision > 0 ? `r${publication.revision}` : `t${publication.time}`;
}

function eventData(publication: Publication, raw: boolean, formats: Formats): string {
  const { action, payload, given, removed } = publication;
  if (action === 'remove') return raw ? 'null' : `{"removed":${removed}}`;
  if (raw && given !== null) return rawText(given, formats);
  return documentText(payload as Payload, formats);
}

/** The request's own data: what is no object is not wrapped; bytes have no other form. */
function rawText(given: Payload, formats: Formats): string {
  if (given.format.id === formats.binary.id) return documentText(given, formats);
  return escapeSeparators(utf8(given.bytes(formats.json)));
}

function customMeta(meta: Meta): string {
  let text = '';
  for (const key of Object.keys(meta)) {
    if (!RESERVED_META.has(key)) text += `,${jsonText(key)}:${jsonText(meta[key])}`;
  }
  return text;
}

// ---------------------------------------------------------------- out: system

/** The notice before an intended end. */
export function encodeDisconnect(version: Version, reason: string): string {
  const data = version.disconnectReason ? { reason } : 'server-side-disconnect';
  return jsonText({ _meta: { type: 'system' }, data, eventKey: 'server-side-disconnect' });
}
