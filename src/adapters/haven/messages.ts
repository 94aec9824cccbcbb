// Messages: scanned bytes to a HavenMessage, in both shapes. Pure: no socket, no clock, no session.
// Field positions of the array shape are those of the protocol page; a field with a wrong type is an error of that request.

import { type Credentials, isDocument, Payload, RequestError, TransactionError, type Value } from '../../core/index.js';
import { isTextToken, msgpack, readText, readValue, skipValue } from './msgpack.js';
import { type Action, CONTROL, type DataType, MESSAGE, MODE, type Mode, type Shape, VERB } from './wire.js';

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
  uuid: string | null = null;
  merge = false;
  force = false;
  /** Of a transaction: each has type, path, value, expect and merge, and its own fault. */
  operations: readonly HavenMessage[] | null = null;
  initial = false;
  push = false;
  /** What of many records is asked for, as it came; the core says whether it means something. */
  criteria: Value = null;
  fields: Value = null;
  sort: Value = null;
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
const TYPE_OF_CONTROL = new Map<Value, string>(Object.entries(CONTROL).map(([type, action]) => [action, type]));
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
/** Longest `id` that is echoed. */
export const ID_MAX_BYTES = 1_024;

/**
 * Reads the scanned message at `bytes[from]`; its value and id are views of `bytes`, which must stay as they are. Never
 * throws for what a peer can send: see `fault`. null when it is neither a map nor an array, so that no answer has a shape.
 */
export function decodeMessage(bytes: Buffer, from: number, to: number): HavenMessage | null {
  if (isMap(bytes, from)) return decodeMap(bytes, from, to);
  if (isArray(bytes, from)) return decodeArray(bytes, from, to);
  return null;
}

function isMap(bytes: Buffer, at: number): boolean {
  const first = bytes[at] as number;
  return (first >= 0x80 && first < 0x90) || first === 0xde || first === 0xdf;
}

function isArray(bytes: Buffer, at: number): boolean {
  const first = bytes[at] as number;
  return (first >= 0x90 && first < 0xa0) || first === 0xdc || first === 0xdd;
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
    case 'force':
      message.force = flagAt(message, bytes, at, key);
      break;
    case 'uuid':
      message.uuid = uuidAt(message, bytes, at);
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
    case 'ops':
      message.operations = operationsAt(message, bytes, at);
      break;
    case 'criteria':
    case 'fields':
    case 'sort':
      message[key] = readValue(bytes, at);
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
      if (position === 1) readControl(message, readValue(bytes, at));
      else if (position === 2) message.uuid = uuidAt(message, bytes, at);
      else if (position === 3) message.path = textAt(message, bytes, at, 'path');
      else if (position === 4) readCredentials(message, bytes, at);
      return;
    case 'discover':
      if (position === 1) message.type = textAt(message, bytes, at, 'type');
      else if (position === 2) message.path = textAt(message, bytes, at, 'path');
      else if (position === 3) message.uuid = uuidAt(message, bytes, at);
      else if (position === 4) readCredentials(message, bytes, at);
      return;
    case 'heartbeat':
      if (position === 1) readCredentials(message, bytes, at);
  }
}

function readControl(message: HavenMessage, value: Value): void {
  message.type = TYPE_OF_CONTROL.get(value) ?? null;
  if (message.type === null) fail(message, 'UNKNOWN_OPERATION', 'no such action of CONTROL');
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
const OPTION_FIELDS = new Set(['expect', 'limit', 'after', 'merge', 'initial', 'push', 'watch', 'ops', 'criteria', 'fields', 'sort']);

function readOptions(message: HavenMessage, bytes: Buffer, from: number): void {
  if (isMap(bytes, from)) readSome(message, OPTION_FIELDS, bytes, from);
  else fail(message, 'INVALID_REQUEST', 'the options must be a map');
}

/** Of the map at `from`, the fields that are named. */
function readSome(message: HavenMessage, names: ReadonlySet<string>, bytes: Buffer, from: number): void {
  const to = skipValue(bytes, from);
  let at = afterHead(bytes, from);
  while (at < to) {
    const key = readText(bytes, at) as string;
    const valueAt = skipValue(bytes, at);
    at = names.has(key) ? readField(message, key, bytes, valueAt) : skipValue(bytes, valueAt);
  }
}

const OPERATION_FIELDS = new Set(['type', 'path', 'key', 'value', 'expect', 'merge']);

function operationsAt(message: HavenMessage, bytes: Buffer, from: number): readonly HavenMessage[] | null {
  if (bytes[from] === 0xc0) return null;
  if (!isArray(bytes, from)) {
    fail(message, 'INVALID_REQUEST', 'the field ops must be a list');
    return null;
  }
  const operations: HavenMessage[] = [];
  const to = skipValue(bytes, from);
  for (let at = afterHead(bytes, from); at < to; at = skipValue(bytes, at)) {
    const operation = new HavenMessage(message.shape);
    if (isMap(bytes, at)) readSome(operation, OPERATION_FIELDS, bytes, at);
    else fail(operation, 'INVALID_REQUEST', 'it must be a map');
    if (operation.fault !== null) message.fault ??= new TransactionError(operation.fault, operations.length);
    operations.push(operation);
  }
  return operations;
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

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const UUID_BYTES = 16;

/** Text, or the bytes that it stands for. */
function uuidAt(message: HavenMessage, bytes: Buffer, at: number): string | null {
  if (bytes[at] === 0xc0) return null;
  const value = readValue(bytes, at);
  const raw = typeof value === 'string' ? Buffer.from(value) : value instanceof Uint8Array ? Buffer.from(value) : Buffer.alloc(0);
  const text =
    raw.length === UUID_BYTES ? raw.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') : raw.toString('latin1');
  if (UUID.test(text)) return text.toLowerCase();
  fail(message, 'INVALID_REQUEST', 'the field uuid must be a uuid, as text or as its 16 bytes');
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
