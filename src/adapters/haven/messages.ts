// Messages: scanned bytes to a HavenMessage, in both shapes. Pure: no socket, no clock, no session. Which fields there are and, in the
// array shape, where, is the protocol page's; how each is read is in fields.ts.

import { TransactionError, type Value } from '../../core/index.js';
import {
  anything,
  controlAction,
  count,
  credentials,
  fail,
  flag,
  id,
  mode,
  type Taker,
  text,
  textAt,
  uuid,
  value,
  verb,
  version,
} from './fields.js';
import { HavenMessage } from './message.js';
import { readText, readValue, skipValue } from './msgpack.js';
import { type Action, MESSAGE } from './wire.js';

const ACTIONS = new Map<string, Action>([
  ['connect', 'connect'],
  ['query', 'data'],
  ['become', 'control'],
  ['discover', 'discover'],
  ['heartbeat', 'heartbeat'],
]);
const ACTION_OF_TYPE = new Map<Value, Action>(Object.entries(MESSAGE).map(([action, type]) => [type, action as Action]));
const DATA_TYPES = new Set<string>(['create', 'read', 'write', 'update', 'delete', 'watch', 'unwatch', 'transaction']);
const NIL = 0xc0;

type Fields = ReadonlyMap<string, Taker>;

/** Of an operation within a transaction. */
const OPERATION_FIELDS: Fields = new Map<string, Taker>([
  ['type', text('type')],
  ['path', text('path')],
  ['key', text('path', 'key')],
  ['value', value],
  ['expect', count('expect')],
  ['merge', flag('merge')],
  ['meta', anything('meta')],
]);

/** Of the options of the array shape: without the fields that have a position of their own. */
const OPTION_FIELDS: Fields = new Map<string, Taker>([
  ['expect', count('expect')],
  ['limit', count('limit')],
  ['after', text('after')],
  ['merge', flag('merge')],
  ['meta', anything('meta')],
  ['initial', flag('initial')],
  ['push', flag('push')],
  ['watch', count('watch')],
  ['since', count('since')],
  ['revision', count('revision')],
  ['bound', count('bound')],
  ['ops', takeOperations],
  ['criteria', anything('criteria')],
  ['fields', anything('fields')],
  ['sort', anything('sort')],
]);

/** Of the options of CONTROL in the array shape. */
const CONTROL_OPTION_FIELDS: Fields = new Map<string, Taker>([['force', flag('force')]]);

/** Of the map shape, beside `action`. */
const MAP_FIELDS: Fields = new Map<string, Taker>([
  ...OPERATION_FIELDS,
  ...OPTION_FIELDS,
  ['id', id],
  ['heartbeat', count('heartbeatMs', 'heartbeat')],
  ['force', flag('force')],
  ['uuid', uuid],
  ['mode', mode],
  ['time', anything('time')],
  ['version', version],
  ['magic', count('magic')],
  ['credentials', credentials],
]);

/** Of the array shape, by position; the first is the message type. */
const ELEMENTS: { readonly [action in Action]: readonly (Taker | null)[] } = {
  connect: [null, count('magic'), version, credentials],
  data: [null, verb, mode, anything('time'), text('path', 'key'), value, takeOptions, credentials],
  control: [null, controlAction, uuid, text('path'), credentials, takeControlOptions],
  discover: [null, text('type'), text('path'), uuid, credentials],
  heartbeat: [null, credentials],
};

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
    at = skipValue(bytes, valueAt);
    if (key === 'action') action = textAt(message, bytes, valueAt, key);
    else MAP_FIELDS.get(key)?.(message, bytes, valueAt, at);
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

function decodeArray(bytes: Buffer, from: number, to: number): HavenMessage {
  const message = new HavenMessage('array');
  let at = afterHead(bytes, from);
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
  const takers = ELEMENTS[action];
  at = skipValue(bytes, at);
  for (let position = 1; at < to && position < takers.length; position++) {
    const end = skipValue(bytes, at);
    const taker = takers[position] as Taker | null;
    // nil stands for an element that is left out, except where it is the value.
    if (taker !== null && (bytes[at] !== NIL || taker === value)) taker(message, bytes, at, end);
    at = end;
  }
  if (action === 'data' && message.type === null) fail(message, 'INVALID_REQUEST', 'the verb is missing');
  return message;
}

function takeControlOptions(message: HavenMessage, bytes: Buffer, at: number): void {
  if (isMap(bytes, at)) takeFields(message, CONTROL_OPTION_FIELDS, bytes, at);
  else fail(message, 'INVALID_REQUEST', 'the options must be a map');
}

function takeOptions(message: HavenMessage, bytes: Buffer, at: number): void {
  if (isMap(bytes, at)) takeFields(message, OPTION_FIELDS, bytes, at);
  else fail(message, 'INVALID_REQUEST', 'the options must be a map');
}

/** Of the map at `from`, the fields that are named. */
function takeFields(message: HavenMessage, fields: Fields, bytes: Buffer, from: number): void {
  const to = skipValue(bytes, from);
  let at = afterHead(bytes, from);
  while (at < to) {
    const key = readText(bytes, at) as string;
    const valueAt = skipValue(bytes, at);
    at = skipValue(bytes, valueAt);
    fields.get(key)?.(message, bytes, valueAt, at);
  }
}

function takeOperations(message: HavenMessage, bytes: Buffer, from: number, to: number): void {
  if (bytes[from] === NIL) return;
  if (!isArray(bytes, from)) {
    fail(message, 'INVALID_REQUEST', 'the field ops must be a list');
    return;
  }
  const operations: HavenMessage[] = [];
  for (let at = afterHead(bytes, from); at < to; at = skipValue(bytes, at)) {
    const operation = new HavenMessage(message.shape);
    if (isMap(bytes, at)) takeFields(operation, OPERATION_FIELDS, bytes, at);
    else fail(operation, 'INVALID_REQUEST', 'it must be a map');
    if (operation.fault !== null) message.fault ??= new TransactionError(operation.fault, operations.length);
    operations.push(operation);
  }
  message.operations = operations;
}

/** Behind the head of a map or an array. */
function afterHead(bytes: Buffer, at: number): number {
  const first = bytes[at] as number;
  if (first < 0xa0) return at + 1;
  return at + ((first & 1) === 0 ? 3 : 5);
}
