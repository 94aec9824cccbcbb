// Codec: scanned bytes to a HavenMessage, and answers into a Writer, in both shapes. Pure: no socket, no clock, no session.
// Field positions of the array shape are those of the protocol page; a field with a wrong type is an error of that request.

import type { Entry, Publication } from '../../core/index.js';
import { type Credentials, type Format, Payload, RequestError, type Value, isDocument } from '../../core/index.js';
import { isTextToken, msgpack, readText, readValue, skipValue } from './msgpack.js';
import { type Action, type DataType, ERROR, type HavenError, MESSAGE, MODE, type Mode, STATUS, type Shape, VERB, VERSION } from './wire.js';
import type { Writer } from './writer.js';

/** One request as the peer sent it; null or false: the field was left out. */
export class HavenMessage {
  action: Action | null = null;
  /** DATA: the verb. CONTROL, DISCOVER, HEARTBEAT: the `type` as it came. */
  type: string | null = null;
  /** The `id` as MessagePack, echoed as it came. */
  id: Uint8Array | null = null;
  path: string | null = null;
  value: Payload | null = null;
  version: string | number | null = null;
  magic: number | null = null;
  heartbeatMs: number | null = null;
  mode: Mode | null = null;
  expect: number | null = null;
  limit: number | null = null;
  after: string | null = null;
  watch: number | null = null;
  merge = false;
  initial = false;
  push = false;
  /** Name of a field that asks for what is not offered here. */
  unsupported: string | null = null;
  credentials: Credentials | null = null;
  /** What is wrong with the request; it was read as far as possible, so that the answer has its id and shape. */
  fault: RequestError | null = null;

  constructor(readonly shape: Shape) {}
}

const ACTIONS = new Map<string, Action>([
  ['connect', 'connect'],
  ['query', 'data'],
  ['become', 'control'],
  ['discover', 'discover'],
  ['heartbeat', 'heartbeat'],
]);
const ACTION_OF_TYPE = new Map<Value, Action>(Object.entries(MESSAGE).map(([action, type]) => [type, action as Action]));
const DATA_TYPES = new Set<string>(['create', 'read', 'write', 'update', 'delete', 'watch', 'unwatch', 'transaction']);
const TYPE_OF_VERB = new Map<Value, DataType>(Object.entries(VERB).map(([type, verb]) => [verb, type as DataType]));
const MODES = new Map<Value, Mode>([
  [MODE.readWrite, 'rw'],
  [MODE.readOnly, 'ro'],
  [MODE.readBounded, 'rb'],
  [MODE.readTimestamp, 'rt'],
  ['rw', 'rw'],
  ['ro', 'ro'],
  ['rb', 'rb'],
  ['rt', 'rt'],
]);
/** Fields of reads that select within records. */
const QUERY_FIELDS = new Set(['criteria', 'fields', 'sort']);

/** Longest `id` that is echoed. */
export const ID_MAX_BYTES = 1_024;

/**
 * Reads the scanned message at `bytes[from]`; its value and id are views of `bytes`, which must stay as they are. Never
 * throws for what a peer can send: see `fault`. null when it is neither a map nor an array, so that no answer has a shape.
 */
export function decodeMessage(bytes: Buffer, from: number, to: number): HavenMessage | null {
  const first = bytes[from] as number;
  if ((first >= 0x80 && first < 0x90) || first === 0xde || first === 0xdf) return decodeMap(bytes, from, to);
  if ((first >= 0x90 && first < 0xa0) || first === 0xdc || first === 0xdd) return decodeArray(bytes, from, to);
  return null;
}

function decodeMap(bytes: Buffer, from: number, to: number): HavenMessage {
  const message = new HavenMessage('map');
  let action: string | null = null;
  let at = afterHead(bytes, from);
  while (at < to) {
    const key = readText(bytes, at) as string;
    const valueAt = skipValue(bytes, at);
    if (key === 'action') {
      action = textAt(message, bytes, valueAt, 'action');
      at = skipValue(bytes, valueAt);
    } else {
      at = readField(message, key, bytes, valueAt);
    }
  }
  if (action === null) {
    fail(message, 'INVALID_REQUEST', 'the field action is missing');
    return message;
  }
  message.action = ACTIONS.get(action) ?? null;
  if (message.action === null) fail(message, 'UNKNOWN_OPERATION', 'no such action');
  else if (message.action === 'data') checkDataType(message);
  return message;
}

function checkDataType(message: HavenMessage): void {
  if (message.type === null) fail(message, 'INVALID_REQUEST', 'the field type is missing');
  else if (!DATA_TYPES.has(message.type)) fail(message, 'UNKNOWN_OPERATION', 'no such type of query');
}

/** Takes one field of the map shape, or of the options of the array shape; returns where its value ends. */
function readField(message: HavenMessage, key: string, bytes: Buffer, at: number): number {
  switch (key) {
    case 'type':
      message.type = textAt(message, bytes, at, key);
      break;
    case 'path':
    case 'key':
      message.path = textAt(message, bytes, at, key);
      break;
    case 'value': {
      const end = skipValue(bytes, at);
      message.value = Payload.fromBytes(bytes.subarray(at, end), msgpack);
      return end;
    }
    case 'id': {
      const end = skipValue(bytes, at);
      if (end - at > ID_MAX_BYTES) fail(message, 'LIMIT_EXCEEDED', `an id has at most ${ID_MAX_BYTES} bytes`);
      else message.id = bytes.subarray(at, end);
      return end;
    }
    case 'expect':
      message.expect = countAt(message, bytes, at, key);
      break;
    case 'limit':
      message.limit = countAt(message, bytes, at, key);
      break;
    case 'watch':
      message.watch = countAt(message, bytes, at, key);
      break;
    case 'heartbeat':
      message.heartbeatMs = countAt(message, bytes, at, key);
      break;
    case 'after':
      message.after = textAt(message, bytes, at, key);
      break;
    case 'merge':
      message.merge = flagAt(message, bytes, at, key);
      break;
    case 'initial':
      message.initial = flagAt(message, bytes, at, key);
      break;
    case 'push':
      message.push = flagAt(message, bytes, at, key);
      break;
    case 'mode':
      readMode(message, readValue(bytes, at));
      break;
    case 'version':
      readVersion(message, bytes, at);
      break;
    case 'magic':
      message.magic = countAt(message, bytes, at, key);
      break;
    case 'credentials':
      readCredentials(message, bytes, at);
      break;
    default:
      if (QUERY_FIELDS.has(key) && bytes[at] !== 0xc0) message.unsupported = key;
  }
  return skipValue(bytes, at);
}

function decodeArray(bytes: Buffer, from: number, to: number): HavenMessage {
  const message = new HavenMessage('array');
  const at = afterHead(bytes, from);
  if (at === to) {
    fail(message, 'INVALID_REQUEST', 'the message type is missing');
    return message;
  }
  const action = ACTION_OF_TYPE.get(readValue(bytes, at)) ?? null;
  message.action = action;
  if (action === null) {
    fail(message, 'UNKNOWN_OPERATION', 'no such message type');
    return message;
  }
  let position = 1;
  for (let element = skipValue(bytes, at); element < to; element = skipValue(bytes, element)) {
    readElement(message, action, position, bytes, element);
    position += 1;
  }
  if (action === 'data' && message.type === null) fail(message, 'INVALID_REQUEST', 'the verb is missing');
  return message;
}

/** nil stands for an element that is left out, except where it is the value. */
function readElement(message: HavenMessage, action: Action, position: number, bytes: Buffer, at: number): void {
  const absent = bytes[at] === 0xc0;
  if (action === 'data' && position === 5) {
    message.value = Payload.fromBytes(bytes.subarray(at, skipValue(bytes, at)), msgpack);
    return;
  }
  if (absent) return;
  switch (action) {
    case 'connect':
      if (position === 1) message.magic = countAt(message, bytes, at, 'magic');
      else if (position === 2) readVersion(message, bytes, at);
      else if (position === 3) readCredentials(message, bytes, at);
      return;
    case 'data':
      readDataElement(message, position, bytes, at);
      return;
    case 'control':
    case 'discover':
      if (position === 4) readCredentials(message, bytes, at);
      return;
    case 'heartbeat':
      if (position === 1) readCredentials(message, bytes, at);
  }
}

function readDataElement(message: HavenMessage, position: number, bytes: Buffer, at: number): void {
  switch (position) {
    case 1:
      message.type = TYPE_OF_VERB.get(readValue(bytes, at)) ?? null;
      if (message.type === null) fail(message, 'UNKNOWN_OPERATION', 'no such verb');
      return;
    case 2:
      readMode(message, readValue(bytes, at));
      return;
    case 4:
      message.path = textAt(message, bytes, at, 'key');
      return;
    case 6:
      readOptions(message, bytes, at);
      return;
    case 7:
      readCredentials(message, bytes, at);
  }
}

/** Fields that have a position of their own are not taken from the options. */
const OPTION_FIELDS = new Set(['expect', 'limit', 'after', 'merge', 'initial', 'push', 'watch', ...QUERY_FIELDS]);

function readOptions(message: HavenMessage, bytes: Buffer, from: number): void {
  const first = bytes[from] as number;
  if (!((first >= 0x80 && first < 0x90) || first === 0xde || first === 0xdf)) {
    fail(message, 'INVALID_REQUEST', 'the options must be a map');
    return;
  }
  const to = skipValue(bytes, from);
  let at = afterHead(bytes, from);
  while (at < to) {
    const key = readText(bytes, at) as string;
    const valueAt = skipValue(bytes, at);
    at = OPTION_FIELDS.has(key) ? readField(message, key, bytes, valueAt) : skipValue(bytes, valueAt);
  }
}

function readMode(message: HavenMessage, value: Value): void {
  if (value === null) return;
  message.mode = MODES.get(value) ?? null;
  if (message.mode === null) fail(message, 'INVALID_REQUEST', 'no such mode');
}

function readVersion(message: HavenMessage, bytes: Buffer, at: number): void {
  const first = bytes[at] as number;
  const value = isTextToken(first) ? readText(bytes, at) : readValue(bytes, at);
  if (typeof value === 'string' || typeof value === 'number') message.version = value;
}

function readCredentials(message: HavenMessage, bytes: Buffer, at: number): void {
  const value = readValue(bytes, at);
  if (value === null) return;
  if (!isDocument(value)) {
    fail(message, 'INVALID_REQUEST', 'credentials must be a map');
    return;
  }
  const username = ownText(value, 'username');
  const password = ownText(value, 'password');
  const token = ownText(value, 'token');
  message.credentials = {
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(token === null ? {} : { token }),
  };
}

/** Text that may have come as bytes. */
function ownText(map: { [key: string]: Value }, key: string): string | null {
  const value = Object.hasOwn(map, key) ? map[key] : undefined;
  if (typeof value === 'string') return value;
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : null;
}

function textAt(message: HavenMessage, bytes: Buffer, at: number, name: string): string | null {
  const first = bytes[at] as number;
  if (first === 0xc0) return null;
  const text = isTextToken(first) ? readText(bytes, at) : null;
  if (text === null) fail(message, 'INVALID_REQUEST', `the field ${name} must be text in UTF-8`);
  return text;
}

function countAt(message: HavenMessage, bytes: Buffer, at: number, name: string): number | null {
  const value = readValue(bytes, at);
  if (value === null) return null;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  fail(message, 'INVALID_REQUEST', `the field ${name} must be a whole number from 0 on`);
  return null;
}

function flagAt(message: HavenMessage, bytes: Buffer, at: number, name: string): boolean {
  const first = bytes[at];
  if (first !== 0xc0 && first !== 0xc2 && first !== 0xc3) fail(message, 'INVALID_REQUEST', `the field ${name} must be true or false`);
  return first === 0xc3;
}

/** The first fault is the one that is told. */
function fail(message: HavenMessage, code: RequestError['code'], text: string): void {
  message.fault ??= new RequestError(code, text);
}

/** Behind the head of a map or an array. */
function afterHead(bytes: Buffer, at: number): number {
  const first = bytes[at] as number;
  if (first < 0xa0) return at + 1;
  return at + ((first & 1) === 0 ? 3 : 5);
}

// Answers. A map answer has `result` first and the request's id last.

const ID = constant('id');
const RESULT_TRUE = joined(constant('result'), Buffer.of(0xc3));
const RESULT_FALSE_ERROR = joined(constant('result'), Buffer.of(0xc2), constant('error'));
const CODE = constant('code');
const NAME = constant('name');
const MESSAGE_KEY = constant('message');
const VALUE = constant('value');
const REVISION = constant('revision');
const CREATED = constant('created');
const MODIFIED = constant('modified');
const PATH = constant('path');
const ITEMS = constant('items');
const MORE = constant('more');
const REMOVED = constant('removed');
const WATCH = constant('watch');
const TYPE_WRITE = joined(constant('type'), constant('write'));
const TYPE_DELETE = joined(constant('type'), constant('delete'));
const TIME = constant('time');
const BY = constant('by');
const PONG = joined(constant('action'), constant('heartbeat'), constant('type'), constant('pong'));
const PUSH_TRUE = joined(constant('push'), Buffer.of(0xc3));
const RESULT = constant('result');
const MISSED = constant('missed');
const STATE = constant('state');

function constant(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.of(0xa0 | bytes.length), bytes]);
}

function joined(...parts: Buffer[]): Buffer {
  return Buffer.concat(parts);
}

function id(writer: Writer, message: HavenMessage): void {
  if (message.id === null) return;
  writer.raw(ID);
  writer.raw(message.id);
}

/** Begins a good answer to a DATA request; in the array shape, `entries` tells of the map at its third place. */
function beginData(writer: Writer, message: HavenMessage, entries: number): void {
  if (message.shape === 'map') {
    writer.map(1 + entries + (message.id === null ? 0 : 1));
    writer.raw(RESULT_TRUE);
  } else {
    beginArrayData(writer);
    writer.map(entries);
  }
}

function beginArrayData(writer: Writer): void {
  writer.array(3);
  writer.number(STATUS.dataOk);
  writer.number(0);
}

function endData(writer: Writer, message: HavenMessage): void {
  if (message.shape === 'map') id(writer, message);
}

function revisionAndTimes(writer: Writer, entry: Entry): void {
  writer.raw(REVISION);
  writer.number(entry.revision);
  writer.raw(CREATED);
  writer.number(entry.created);
  writer.raw(MODIFIED);
  writer.number(entry.modified);
}

export function encodeWritten(writer: Writer, message: HavenMessage, entry: Entry): void {
  beginData(writer, message, 3);
  revisionAndTimes(writer, entry);
  endData(writer, message);
}

export function encodeRead(writer: Writer, message: HavenMessage, entry: Entry, format: Format): void {
  if (message.shape === 'array') {
    beginArrayData(writer);
    writer.raw(entry.payload.bytes(format));
    return;
  }
  beginData(writer, message, 4);
  writer.raw(VALUE);
  writer.raw(entry.payload.bytes(format));
  revisionAndTimes(writer, entry);
  endData(writer, message);
}

/** The answer to a read with wildcards. `more`: there are further records behind the last item. */
export function encodeItems(writer: Writer, message: HavenMessage, entries: readonly Entry[], more: boolean, format: Format): void {
  encodeItemsHead(writer, message, entries.length, more);
  for (const entry of entries) encodeItem(writer, entry, format);
  encodeItemsEnd(writer, message, more);
}

/** What stands before `count` items. */
export function encodeItemsHead(writer: Writer, message: HavenMessage, count: number, more: boolean): void {
  beginData(writer, message, more ? 2 : 1);
  writer.raw(ITEMS);
  writer.array(count);
}

export function encodeItem(writer: Writer, entry: Entry, format: Format): void {
  writer.map(5);
  writer.raw(PATH);
  writer.text(entry.path);
  writer.raw(VALUE);
  writer.raw(entry.payload.bytes(format));
  revisionAndTimes(writer, entry);
}

/** What stands behind the items. */
export function encodeItemsEnd(writer: Writer, message: HavenMessage, more: boolean): void {
  if (more) {
    writer.raw(MORE);
    writer.bool(true);
  }
  endData(writer, message);
}

export function encodeRemoved(writer: Writer, message: HavenMessage, count: number): void {
  beginData(writer, message, 1);
  writer.raw(REMOVED);
  writer.number(count);
  endData(writer, message);
}

export function encodeWatching(writer: Writer, message: HavenMessage, watch: number): void {
  beginData(writer, message, 1);
  writer.raw(WATCH);
  writer.number(watch);
  endData(writer, message);
}

/** A good answer that has nothing more to say. */
export function encodeDone(writer: Writer, message: HavenMessage): void {
  beginData(writer, message, 0);
  endData(writer, message);
}

export interface Welcome {
  readonly session: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly heartbeatMs: number;
}

export function encodeConnected(writer: Writer, message: HavenMessage, welcome: Welcome): void {
  if (message.shape === 'array') {
    writer.array(3);
    writer.number(1);
    writer.number(0);
    writer.number(VERSION);
    return;
  }
  writer.map(message.id === null ? 5 : 6);
  writer.raw(RESULT_TRUE);
  writer.text('version');
  writer.text(String(VERSION));
  writer.text('session');
  writer.text(welcome.session);
  writer.text('node');
  writer.map(2);
  writer.text('uuid');
  writer.text(welcome.nodeId);
  writer.raw(NAME);
  writer.text(welcome.nodeName);
  writer.text('heartbeat');
  writer.number(welcome.heartbeatMs);
  id(writer, message);
}

/** An answer that says no, in the shape and form of the request; `connecting`: before the session was opened. */
export function encodeError(writer: Writer, message: HavenMessage, error: HavenError, connecting: boolean): void {
  if (message.shape === 'map') {
    writer.map(message.id === null ? 2 : 3);
    writer.raw(RESULT_FALSE_ERROR);
    writer.map(3);
    writer.raw(CODE);
    writer.number(ERROR[error.name]);
    writer.raw(NAME);
    writer.text(error.name);
    writer.raw(MESSAGE_KEY);
    writer.text(error.message);
    id(writer, message);
    return;
  }
  const connect = message.action === 'connect' || (message.action === null && connecting);
  writer.array(connect ? 4 : 3);
  writer.number(errorStatus(message.action, connect, error));
  writer.number(ERROR[error.name]);
  if (connect) writer.number(VERSION);
  writer.map(2);
  writer.raw(NAME);
  writer.text(error.name);
  writer.raw(MESSAGE_KEY);
  writer.text(error.message);
}

function errorStatus(action: Action | null, connect: boolean, error: HavenError): number {
  if (connect || action === 'heartbeat') return 0;
  if (action === 'control' || action === 'discover') {
    return error.name === 'NOT_FOUND' ? STATUS.controlNotFound : STATUS.controlError;
  }
  return STATUS.dataError;
}

// Watch events. A list of them is in every pong.

/** The part of a watch event that is the same for every watch: all but its first entry. Counts 5 entries, with value 6. */
export interface EventTail {
  readonly entries: number;
  readonly bytes: Buffer;
}

export function encodeEventTail(writer: Writer, publication: Publication, format: Format): EventTail {
  const { payload } = publication;
  const entries = payload === null ? 5 : 6;
  const mark = writer.length;
  writer.raw(PATH);
  writer.text(publication.path);
  writer.raw(payload === null ? TYPE_DELETE : TYPE_WRITE);
  if (payload !== null) {
    writer.raw(VALUE);
    writer.raw(payload.bytes(format));
  }
  writer.raw(REVISION);
  writer.number(publication.revision);
  writer.raw(TIME);
  writer.number(publication.time);
  writer.raw(BY);
  writer.text(publication.author);
  return { entries, bytes: cut(writer, mark) };
}

/** The event that a watch begins with: the record as it is. */
export function encodeInitialTail(writer: Writer, entry: Entry, format: Format): EventTail {
  const mark = writer.length;
  writer.raw(PATH);
  writer.text(entry.path);
  writer.raw(TYPE_WRITE);
  writer.raw(VALUE);
  writer.raw(entry.payload.bytes(format));
  writer.raw(REVISION);
  writer.number(entry.revision);
  writer.raw(TIME);
  writer.number(entry.modified);
  writer.raw(BY);
  writer.text(entry.author);
  return { entries: 6, bytes: cut(writer, mark) };
}

/** Takes what was written since `mark` out of the writer. */
export function cut(writer: Writer, mark: number): Buffer {
  const bytes = Buffer.from(writer.written(mark));
  writer.discard(mark);
  return bytes;
}

export function encodeEvent(writer: Writer, watch: number, tail: EventTail): void {
  writer.map(tail.entries + 1);
  writer.raw(WATCH);
  writer.number(watch);
  writer.raw(tail.bytes);
}

/** `list` writes its events as an array; `state` is MessagePack already. */
export function encodePong(
  writer: Writer,
  message: HavenMessage,
  list: { encode(writer: Writer): void; readonly missed: number },
  state: Uint8Array,
): void {
  const { missed } = list;
  if (message.shape === 'array') {
    writer.array(missed > 0 ? 5 : 4);
    writer.number(1);
    writer.number(0);
    list.encode(writer);
    writer.raw(state);
    if (missed > 0) writer.number(missed);
    return;
  }
  writer.map(4 + (missed > 0 ? 1 : 0) + (message.id === null ? 0 : 1));
  writer.raw(PONG);
  writer.raw(RESULT);
  list.encode(writer);
  if (missed > 0) {
    writer.raw(MISSED);
    writer.number(missed);
  }
  writer.raw(STATE);
  writer.raw(state);
  id(writer, message);
}

/** Begins a pong that nobody asked for; `count` events follow. */
export function beginPushed(writer: Writer, count: number): void {
  writer.map(4);
  writer.raw(PONG);
  writer.raw(PUSH_TRUE);
  writer.raw(RESULT);
  writer.array(count);
}
