// Messages: scanned bytes to a HavenMessage, in both shapes. Pure: no socket, no clock, no session. Which fields there are and, in the
// array shape, where, is the protocol page's; how each is read is in fields.ts.

import { TransactionError, type Value } from '../../core/index.js';
import {
  after,
  anything,
  controlAction,
  count,
  credentials,
  fail,
  flag,
  id,
  mode,
  path,
  type Taker,
  type,
  uuid,
  value,
  verb,
  version,
  wordAt,
} from './fields.js';
import { HavenMessage } from './message.js';
import { readValue, skipValue, textFrom } from './msgpack.js';
import { Names } from './names.js';
import { ACTIONS, type Action, DATA_TYPES, MESSAGE } from './wire.js';

const ACTION_OF_TYPE = new Map<Value, Action>(Object.entries(MESSAGE).map(([action, number]) => [number, action as Action]));
const NIL = 0xc0;

/** Stands for the one field that is not taken by itself. */
const ACTION = 'action';

type Named = readonly (readonly [string, Taker])[];

/** Of an operation within a transaction. */
const OF_OPERATIONS: Named = [
  ['type', type],
  ['path', path('path')],
  ['key', path('key')],
  ['value', value],
  ['expect', count('expect')],
  ['merge', flag('merge')],
  ['meta', anything('meta')],
];

/** Of the options of the array shape: without the fields that have a position of their own. */
const OF_OPTIONS: Named = [
  ['expect', count('expect')],
  ['limit', count('limit')],
  ['after', after],
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
];

/** Beside `action`. */
const OF_MAPS: Named = [
  ...OF_OPERATIONS,
  ...OF_OPTIONS,
  ['id', id],
  ['heartbeat', count('heartbeatMs', 'heartbeat')],
  ['force', flag('force')],
  ['uuid', uuid],
  ['mode', mode],
  ['time', anything('time')],
  ['version', version],
  ['magic', count('magic')],
  ['credentials', credentials],
];

const OPERATION_FIELDS = new Names(OF_OPERATIONS);
const OPTION_FIELDS = new Names(OF_OPTIONS);
const CONTROL_OPTION_FIELDS = new Names<Taker>([['force', flag('force')]]);
const MAP_FIELDS = new Names<Taker | typeof ACTION>([['action', ACTION], ...OF_MAPS]);

/** Of the array shape, by position; the first is the message type. Those of DATA, of which there are most, are in `takeElement`. */
const ELEMENTS: { readonly [action in Exclude<Action, 'data'>]: readonly (Taker | null)[] } = {
  connect: [null, count('magic'), version, credentials],
  control: [null, controlAction, uuid, path('path'), credentials, takeControlOptions],
  discover: [null, type, path('path'), uuid, credentials],
  heartbeat: [null, credentials],
};
/** The last position of DATA that means something, and that of its value. */
const LAST_OF_DATA = 7;
const VALUE = 5;
const takeKey = path('key');
const takeTime = anything('time');

/**
 * Reads the scanned message at `bytes[from]`; its value and id lie in `bytes`, which must stay as they are. Never
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
    const valueAt = skipValue(bytes, at);
    const taker = MAP_FIELDS.meaning(bytes, textFrom(bytes[at] as number, at), valueAt);
    at = skipValue(bytes, valueAt);
    if (taker === ACTION) action = wordAt(message, bytes, valueAt, at, ACTION);
    else if (taker !== null) taker(message, bytes, valueAt, at);
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
  at = skipValue(bytes, at);
  if (action === 'data') takeData(message, bytes, at, to);
  else takeElements(message, ELEMENTS[action], bytes, at, to);
  return message;
}

/** nil stands for an element that is left out. */
function takeElements(message: HavenMessage, takers: readonly (Taker | null)[], bytes: Buffer, from: number, to: number): void {
  let at = from;
  for (let position = 1; at < to && position < takers.length; position++) {
    const end = skipValue(bytes, at);
    const taker = takers[position] as Taker | null;
    if (taker !== null && bytes[at] !== NIL) taker(message, bytes, at, end);
    at = end;
  }
}

/** As `takeElements`, but that nil may be the value. */
function takeData(message: HavenMessage, bytes: Buffer, from: number, to: number): void {
  let at = from;
  for (let position = 1; at < to && position <= LAST_OF_DATA; position++) {
    const end = skipValue(bytes, at);
    if (bytes[at] !== NIL || position === VALUE) takeElement(message, position, bytes, at, end);
    at = end;
  }
  if (message.type === null) fail(message, 'INVALID_REQUEST', 'the verb is missing');
}

function takeElement(message: HavenMessage, position: number, bytes: Buffer, at: number, end: number): void {
  switch (position) {
    case 1:
      return verb(message, bytes, at, end);
    case 2:
      return mode(message, bytes, at, end);
    case 3:
      return takeTime(message, bytes, at, end);
    case 4:
      return takeKey(message, bytes, at, end);
    case VALUE:
      return value(message, bytes, at, end);
    case 6:
      return takeOptions(message, bytes, at, end);
    default:
      return credentials(message, bytes, at, end);
  }
}

function takeControlOptions(message: HavenMessage, bytes: Buffer, at: number, end: number): void {
  if (isMap(bytes, at)) takeFields(message, CONTROL_OPTION_FIELDS, bytes, at, end);
  else fail(message, 'INVALID_REQUEST', 'the options must be a map');
}

function takeOptions(message: HavenMessage, bytes: Buffer, at: number, end: number): void {
  if (isMap(bytes, at)) takeFields(message, OPTION_FIELDS, bytes, at, end);
  else fail(message, 'INVALID_REQUEST', 'the options must be a map');
}

/** Of the map from `from` to `to`, the fields that are named. */
function takeFields(message: HavenMessage, fields: Names<Taker>, bytes: Buffer, from: number, to: number): void {
  let at = afterHead(bytes, from);
  while (at < to) {
    const valueAt = skipValue(bytes, at);
    const taker = fields.meaning(bytes, textFrom(bytes[at] as number, at), valueAt);
    at = skipValue(bytes, valueAt);
    taker?.(message, bytes, valueAt, at);
  }
}

function takeOperations(message: HavenMessage, bytes: Buffer, from: number, to: number): void {
  if (bytes[from] === NIL) return;
  if (!isArray(bytes, from)) {
    fail(message, 'INVALID_REQUEST', 'the field ops must be a list');
    return;
  }
  const operations: HavenMessage[] = [];
  for (let at = afterHead(bytes, from), end = at; at < to; at = end) {
    end = skipValue(bytes, at);
    const operation = new HavenMessage(message.shape);
    if (isMap(bytes, at)) takeFields(operation, OPERATION_FIELDS, bytes, at, end);
    else fail(operation, 'INVALID_REQUEST', 'it must be a map');
    if (operation.fault !== null) message.fault ??= new TransactionError(operation.fault, operations.length);
    operations.push(operation);
  }
  message.ownDetails().operations = operations;
}

/** Behind the head of a map or an array. */
function afterHead(bytes: Buffer, at: number): number {
  const first = bytes[at] as number;
  if (first < 0xa0) return at + 1;
  return at + ((first & 1) === 0 ? 3 : 5);
}
