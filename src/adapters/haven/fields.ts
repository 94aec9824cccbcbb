// Fields: how each field of a message is read, wherever its shape has it. A field of a wrong type is an error of its request.

import { type Credentials, isDocument, Payload, RequestError, type Value } from '../../core/index.js';
import type { HavenMessage } from './message.js';
import { isTextToken, msgpack, readText, readValue } from './msgpack.js';
import { CONTROL, type DataType, MODE, type Mode, VERB } from './wire.js';

/** Takes the scanned value from `at` to `end` of `bytes` into the message. nil, but as a value or an id, is as if it was left out. */
export type Taker = (message: HavenMessage, bytes: Buffer, at: number, end: number) => void;

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
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const UUID_BYTES = 16;
const NIL = 0xc0;
/** What stands at the place of the value in most requests that need none. */
const NIL_PAYLOAD = Payload.fromBytes(Buffer.alloc(1, NIL), msgpack);
const FALSE = 0xc2;
const TRUE = 0xc3;

// Takers of the fields that have nothing special about them. `name` is what the peer calls the field.

type TextField = 'type' | 'path' | 'after';
type CountField = 'expect' | 'limit' | 'watch' | 'since' | 'revision' | 'bound' | 'heartbeatMs' | 'magic';
type FlagField = 'merge' | 'initial' | 'force' | 'push';
type ValueField = 'criteria' | 'fields' | 'sort' | 'time' | 'meta';

export function text(field: TextField, name: string = field): Taker {
  return (message, bytes, at) => {
    message[field] = textAt(message, bytes, at, name);
  };
}

/** Whole numbers from 0 on. */
export function count(field: CountField, name: string = field): Taker {
  return (message, bytes, at) => {
    message[field] = countAt(message, bytes, at, name);
  };
}

export function flag(field: FlagField): Taker {
  return (message, bytes, at) => {
    const first = bytes[at];
    message[field] = first === TRUE;
    if (first !== NIL && first !== FALSE && first !== TRUE) {
      fail(message, 'INVALID_REQUEST', `the field ${field} must be true or false`);
    }
  };
}

/** Anything; what it means is for others to say. */
export function anything(field: ValueField): Taker {
  return (message, bytes, at) => {
    message[field] = readValue(bytes, at);
  };
}

// Takers of the others.

export const value: Taker = (message, bytes, at, end) => {
  message.value = bytes[at] === NIL ? NIL_PAYLOAD : Payload.fromChunk(bytes, at, end, msgpack);
};

export const id: Taker = (message, bytes, at, end) => {
  if (end - at > ID_MAX_BYTES) fail(message, 'LIMIT_EXCEEDED', `an id has at most ${ID_MAX_BYTES} bytes`);
  else message.id = bytes.subarray(at, end);
};

export const verb: Taker = (message, bytes, at) => {
  message.type = TYPE_OF_VERB.get(readValue(bytes, at)) ?? null;
  if (message.type === null) fail(message, 'UNKNOWN_OPERATION', 'no such verb');
};

export const controlAction: Taker = (message, bytes, at) => {
  message.type = TYPE_OF_CONTROL.get(readValue(bytes, at)) ?? null;
  if (message.type === null) fail(message, 'UNKNOWN_OPERATION', 'no such action of CONTROL');
};

export const mode: Taker = (message, bytes, at) => {
  if (bytes[at] === NIL) return;
  message.mode = MODES.get(readValue(bytes, at)) ?? null;
  if (message.mode === null) fail(message, 'INVALID_REQUEST', 'no such mode');
};

/** Text or a number; what else it is stands for no version at all. */
export const version: Taker = (message, bytes, at) => {
  const said = isTextToken(bytes[at] as number) ? readText(bytes, at) : readValue(bytes, at);
  if (typeof said === 'string' || typeof said === 'number') message.version = said;
};

/** Text, or the bytes that it stands for. */
export const uuid: Taker = (message, bytes, at) => {
  if (bytes[at] === NIL) return;
  const said = readValue(bytes, at);
  const raw = typeof said === 'string' ? Buffer.from(said) : said instanceof Uint8Array ? Buffer.from(said) : Buffer.alloc(0);
  const form =
    raw.length === UUID_BYTES ? raw.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') : raw.toString('latin1');
  if (UUID.test(form)) message.uuid = form.toLowerCase();
  else fail(message, 'INVALID_REQUEST', 'the field uuid must be a uuid, as text or as its 16 bytes');
};

export const credentials: Taker = (message, bytes, at) => {
  if (bytes[at] === NIL) return;
  const said = readValue(bytes, at);
  if (isDocument(said)) message.credentials = credentialsIn(said);
  else fail(message, 'INVALID_REQUEST', 'credentials must be a map');
};

function credentialsIn(map: { [key: string]: Value }): Credentials {
  const username = ownText(map, 'username');
  const password = ownText(map, 'password');
  const token = ownText(map, 'token');
  return {
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(token === null ? {} : { token }),
  };
}

/** Text that may have come as bytes. */
function ownText(map: { [key: string]: Value }, key: string): string | null {
  const said = Object.hasOwn(map, key) ? map[key] : undefined;
  if (typeof said === 'string') return said;
  return said instanceof Uint8Array ? Buffer.from(said).toString('utf8') : null;
}

export function textAt(message: HavenMessage, bytes: Buffer, at: number, name: string): string | null {
  const first = bytes[at] as number;
  if (first === NIL) return null;
  const said = isTextToken(first) ? readText(bytes, at) : null;
  if (said === null) fail(message, 'INVALID_REQUEST', `the field ${name} must be text in UTF-8`);
  return said;
}

function countAt(message: HavenMessage, bytes: Buffer, at: number, name: string): number | null {
  const said = readValue(bytes, at);
  if (said === null) return null;
  if (typeof said === 'number' && Number.isSafeInteger(said) && said >= 0) return said;
  fail(message, 'INVALID_REQUEST', `the field ${name} must be a whole number from 0 on`);
  return null;
}

/** The first fault is the one that is told. */
export function fail(message: HavenMessage, code: RequestError['code'], text: string): void {
  message.fault ??= new RequestError(code, text);
}
