// Codec of the plain protocol: one JSON document a line, both ways. Pure: no sockets, no clock.
//
// Requests: {"op":"hello","version":1,"credentials"?}, then {"id",…} with
//   "op":"set"    path, value or bytes (base64), store? (false: an event), create? (true: only if absent), expect? (revision)
//   "op":"get"    path, or pattern with limit? and after?         "op":"remove"  path or pattern
//   "op":"watch"  pattern, initial?                               "op":"unwatch" watch
// Answers: {"id","ok":true,…} or {"id","ok":false,"error":{"code","message"}}.
// Events: {"watch","event":"set"|"remove","path","value"|"bytes","revision"}. Last line of a connection: {"bye":code,"message"}.

import { isUtf8 } from 'node:buffer';
import {
  ConnectionError,
  type Credentials,
  checkPath,
  type DataOptions,
  type Entry,
  type Formats,
  type Pattern,
  Payload,
  type Publication,
  parsePattern,
  type Reply,
  RequestError,
  type RequestId,
  STORED,
  UNSTORED,
  type Value,
} from '../../../src/core/index.js';

export const VERSION = 1;
/** Longest line, without its end, in bytes. */
export const LINE_MAX_BYTES = 1024 * 1024;
const DEPTH_MAX = 32;
const FRAME_KEY = 'plain';

type Fields = { readonly [key: string]: Value };

export type Command =
  | { readonly op: 'hello'; readonly version: number; readonly credentials: Credentials }
  | {
      readonly op: 'set' | 'get' | 'remove';
      readonly id: RequestId;
      readonly path: string;
      readonly pattern: Pattern | null;
      readonly payload: Payload | null;
      readonly options: DataOptions;
    }
  | { readonly op: 'watch'; readonly id: RequestId; readonly pattern: Pattern; readonly initial: boolean }
  | { readonly op: 'unwatch'; readonly id: RequestId; readonly watch: number };

/** A request whose answer can still name it. */
export class BadRequest extends Error {
  constructor(
    readonly id: RequestId,
    readonly failure: RequestError,
  ) {
    super(failure.message);
  }
}

/** Throws ConnectionError MALFORMED_FRAME for what is no frame, BadRequest for a frame that asks for nonsense. */
export function decodeLine(line: Buffer, formats: Formats): Command {
  const fields = parseLine(line);
  const id = typeof fields.id === 'number' || typeof fields.id === 'string' ? fields.id : null;
  try {
    return decodeFields(fields, id, formats);
  } catch (error) {
    if (error instanceof RequestError) throw new BadRequest(id, error);
    throw error;
  }
}

function parseLine(line: Buffer): Fields {
  let value: Value;
  try {
    value = isUtf8(line) ? (JSON.parse(line.toString('utf8')) as Value) : null;
  } catch (error) {
    throw new ConnectionError('MALFORMED_FRAME', 'a line is not JSON', { cause: error });
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new ConnectionError('MALFORMED_FRAME', 'a line is not a JSON object');
  }
  return value as Fields;
}

function decodeFields(fields: Fields, id: RequestId, formats: Formats): Command {
  switch (fields.op) {
    case 'hello':
      return { op: 'hello', version: Number(fields.version), credentials: (fields.credentials ?? {}) as Credentials };
    case 'set':
      return {
        op: 'set',
        id,
        path: checkPath(fields.path),
        pattern: null,
        payload: decodeBody(fields, formats),
        options: optionsOf(fields),
      };
    case 'get':
    case 'remove':
      return { op: fields.op, id, ...targetOf(fields), payload: null, options: optionsOf(fields) };
    case 'watch':
      return { op: 'watch', id, pattern: parsePattern(fields.pattern as string, 'glob'), initial: fields.initial === true };
    case 'unwatch':
      return { op: 'unwatch', id, watch: Number(fields.watch) };
    default:
      throw new RequestError('UNKNOWN_OPERATION', `unknown operation ${String(fields.op).slice(0, 40)}`);
  }
}

function targetOf(fields: Fields): { path: string; pattern: Pattern | null } {
  if (fields.pattern === undefined) return { path: checkPath(fields.path), pattern: null };
  return { path: '', pattern: parsePattern(fields.pattern as string, 'glob') };
}

function optionsOf(fields: Fields): DataOptions {
  const { store, create, expect, limit, after } = fields;
  const base = store === false ? UNSTORED : STORED;
  if (create !== true && expect === undefined && limit === undefined && after === undefined) return base;
  return {
    ...base,
    condition: create === true ? 'absent' : 'any',
    expect: typeof expect === 'number' ? expect : null,
    limit: typeof limit === 'number' ? limit : Number.POSITIVE_INFINITY,
    after: typeof after === 'string' ? after : null,
  };
}

function decodeBody(fields: Fields, formats: Formats): Payload {
  if (typeof fields.bytes === 'string') return Payload.fromBytes(Buffer.from(fields.bytes, 'base64'), formats.binary);
  if (fields.value === undefined) throw new RequestError('INVALID_REQUEST', 'set needs value or bytes');
  checkValue(fields.value, 1);
  return Payload.fromValue(fields.value, formats.json);
}

/** Numbers that a double may have rounded, and nesting that could exhaust a stack, are refused. */
function checkValue(value: Value, depth: number): void {
  if (typeof value === 'number' && (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))) {
    throw new RequestError('INVALID_REQUEST', 'a number is too large to be kept exactly');
  }
  if (value === null || typeof value !== 'object') return;
  if (depth > DEPTH_MAX) throw new RequestError('LIMIT_EXCEEDED', `values may be nested ${DEPTH_MAX} deep`);
  for (const item of Object.values(value)) checkValue(item as Value, depth + 1);
}

export function encodeReply(reply: Reply, extra: string, formats: Formats): string {
  const { error, entry, entries, request } = reply;
  if (error !== null) return encodeError(request.id, error);
  let line = `{"id":${JSON.stringify(request.id)},"ok":true${extra}`;
  if (request.op === 'remove') line += `,"removed":${reply.count}`;
  if (request.op === 'set' && entry !== null) line += `,"revision":${entry.revision}`;
  if (request.op === 'get' && entries === null) line += `,"entry":${entry === null ? 'null' : encodeEntry(entry, formats)}`;
  if (entries !== null) line += `,"entries":[${entries.map((item) => encodeEntry(item, formats)).join(',')}]`;
  return `${line}}\n`;
}

export function encodeError(id: RequestId, { code, message }: RequestError): string {
  return `${JSON.stringify({ id, ok: false, error: { code, message } })}\n`;
}

function encodeEntry(entry: Entry, formats: Formats): string {
  const { path, created, modified, revision } = entry;
  return `{"path":${JSON.stringify(path)},${encodeBody(entry.payload, formats)},"created":${created},"modified":${modified},"revision":${revision}}`;
}

/** All but the number of the watch is the same for all receivers, so it is made once. */
export function encodePublication(publication: Publication, watch: number, formats: Formats): string {
  let rest = publication.frame(FRAME_KEY) as string | undefined;
  if (rest === undefined) {
    const { action, path, payload, revision } = publication;
    const body = payload === null ? '' : `,${encodeBody(payload, formats)}`;
    rest = `"event":"${action}","path":${JSON.stringify(path)}${body},"revision":${revision}}\n`;
    publication.keepFrame(FRAME_KEY, rest);
  }
  return `{"watch":${watch},${rest}`;
}

function encodeBody(payload: Payload, formats: Formats): string {
  const value = payload.value();
  if (value instanceof Uint8Array) return `"bytes":"${Buffer.from(value).toString('base64')}"`;
  return `"value":${Buffer.from(payload.bytes(formats.json)).toString('utf8')}`;
}

export function encodeBye(code: string, message: string): string {
  return `${JSON.stringify({ bye: code, message })}\n`;
}
