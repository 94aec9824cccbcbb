// Fields: how each field of a message is read, in either shape. A field of a wrong type is an error of its request.

import { type Credentials, isDocument, Payload, RequestError, type Value } from '../../core/index.js';
import type { HavenMessage } from './message.js';
import { isTextToken, msgpack, readText, readValue, textFrom } from './msgpack.js';
import { Names } from './names.js';
import { ACTIONS, CONTROL, DATA_TYPES, type DataType, MODE, type Mode, VERB } from './wire.js';

/** Takes the scanned value from `at` to `end` of `bytes` into the message. nil, but as a value or an id, is as if it was left out. */
export type Taker = (message: HavenMessage, bytes: Buffer, at: number, end: number) => void;

const TYPE_OF_VERB = numbered(Object.entries(VERB).map(([type, verb]) => [verb, type as DataType]));
const TYPE_OF_CONTROL = numbered(Object.entries(CONTROL).map(([type, action]) => [action, type]));
const MODES: readonly (readonly [number, Mode])[] = [
  [MODE.readWrite, 'rw'],
  [MODE.readOnly, 'ro'],
  [MODE.readBounded, 'rb'],
  [MODE.readTimestamp, 'rt'],
];
const MODE_OF_NUMBER = numbered(MODES);
const MODE_OF_TEXT = new Map<Value, Mode>(MODES.map(([, mode]) => [mode, mode]));
/** What actions and types mostly are. */
const WORDS = new Names<string>([...ACTIONS.keys(), 'ping', ...DATA_TYPES].map((word) => [word, word]));
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

type CountField = 'expect' | 'limit' | 'watch' | 'since' | 'revision' | 'bound' | 'heartbeatMs' | 'magic';
type FlagField = 'merge' | 'initial' | 'force' | 'push';
type ValueField = 'criteria' | 'fields' | 'sort' | 'time' | 'meta';

/** Whole numbers from 0 on. */
export function count(field: CountField, name: string = field): Taker {
  return (message, bytes, at) => {
    message.ownDetails()[field] = countAt(message, bytes, at, name);
  };
}

export function flag(field: FlagField): Taker {
  return (message, bytes, at) => {
    const first = bytes[at];
    message.ownDetails()[field] = first === TRUE;
    if (first !== NIL && first !== FALSE && first !== TRUE) {
      fail(message, 'INVALID_REQUEST', `the field ${field} must be true or false`);
    }
  };
}

/** Anything; what it means is for others to say. */
export function anything(field: ValueField): Taker {
  return (message, bytes, at) => {
    message.ownDetails()[field] = readValue(bytes, at);
  };
}

// Takers of the others.

export function path(name: string): Taker {
  return (message, bytes, at) => {
    message.path = textAt(message, bytes, at, name);
  };
}

export const type: Taker = (message, bytes, at, end) => {
  message.type = wordAt(message, bytes, at, end, 'type');
};

export const after: Taker = (message, bytes, at) => {
  message.ownDetails().after = textAt(message, bytes, at, 'after');
};

export const value: Taker = (message, bytes, at, end) => {
  message.value = bytes[at] === NIL ? NIL_PAYLOAD : Payload.fromChunk(bytes, at, end, msgpack);
};

export const id: Taker = (message, bytes, at, end) => {
  if (end - at > ID_MAX_BYTES) fail(message, 'LIMIT_EXCEEDED', `an id has at most ${ID_MAX_BYTES} bytes`);
  else {
    message.idIn = bytes;
    message.idFrom = at;
    message.idTo = end;
  }
};

export const verb: Taker = (message, bytes, at) => {
  message.type = of(TYPE_OF_VERB, readValue(bytes, at));
  if (message.type === null) fail(message, 'UNKNOWN_OPERATION', 'no such verb');
};

export const controlAction: Taker = (message, bytes, at) => {
  message.type = of(TYPE_OF_CONTROL, readValue(bytes, at));
  if (message.type === null) fail(message, 'UNKNOWN_OPERATION', 'no such action of CONTROL');
};

export const mode: Taker = (message, bytes, at) => {
  if (bytes[at] === NIL) return;
  const said = readValue(bytes, at);
  message.mode = of(MODE_OF_NUMBER, said) ?? MODE_OF_TEXT.get(said) ?? null;
  if (message.mode === null) fail(message, 'INVALID_REQUEST', 'no such mode');
};

/** Text or a number; what else it is stands for no version at all. */
export const version: Taker = (message, bytes, at) => {
  const said = isTextToken(bytes[at] as number) ? readText(bytes, at) : readValue(bytes, at);
  if (typeof said === 'string' || typeof said === 'number') message.ownDetails().version = said;
};

/** Text, or the bytes that it stands for. */
export const uuid: Taker = (message, bytes, at) => {
  if (bytes[at] === NIL) return;
  const said = readValue(bytes, at);
  const raw = typeof said === 'string' ? Buffer.from(said) : said instanceof Uint8Array ? Buffer.from(said) : Buffer.alloc(0);
  const form =
    raw.length === UUID_BYTES ? raw.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-') : raw.toString('latin1');
  if (UUID.test(form)) message.ownDetails().uuid = form.toLowerCase();
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

/** As `textAt`, for what is mostly one of the protocol's own words. */
export function wordAt(message: HavenMessage, bytes: Buffer, at: number, end: number, name: string): string | null {
  const first = bytes[at] as number;
  const word = isTextToken(first) ? WORDS.meaning(bytes, textFrom(first, at), end) : null;
  return word ?? textAt(message, bytes, at, name);
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

/** What each number means, by number; null: nothing. */
function numbered<T>(pairs: readonly (readonly [number, T])[]): readonly (T | null)[] {
  const table: (T | null)[] = new Array(1 + Math.max(...pairs.map(([number]) => number))).fill(null);
  for (const [number, meaning] of pairs) table[number] = meaning;
  return table;
}

function of<T>(table: readonly (T | null)[], said: Value): T | null {
  return typeof said === 'number' ? (table[said] ?? null) : null;
}
