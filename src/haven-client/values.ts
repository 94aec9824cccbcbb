// Checks that values can be expressed in Haven before they are sent: MessagePack would send others as something else, and an
// extension type ends the connection for all requests on it.

import { HavenError } from './types.js';

/** No gateway takes more. */
const MAX_DEPTH = 64;

/** Throws HavenError MALFORMED, which says what is in the way. undefined counts as nil. */
export function checkSayable(value: unknown, depth = 0): void {
  switch (typeof value) {
    case 'string':
      checkText(value);
      return;
    case 'number':
      if (!Number.isFinite(value)) throw unsayable('a number must be finite');
      return;
    case 'bigint':
      if (value !== BigInt.asIntN(64, value)) throw unsayable('an integer has at most 64 bits');
      return;
    case 'function':
    case 'symbol':
      throw unsayable(`a ${typeof value} is no value`);
    case 'object':
      if (value !== null) checkObject(value, depth);
      return;
    case 'boolean':
    case 'undefined':
  }
}

function checkObject(value: object, depth: number): void {
  if (value instanceof Uint8Array) return;
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw unsayable('a date must be one');
    return;
  }
  if (depth >= MAX_DEPTH) throw unsayable(`a value is at most ${MAX_DEPTH} levels deep, and has no circles`);
  if (Array.isArray(value)) {
    for (const item of value) checkSayable(item, depth + 1);
    return;
  }
  if (!(value instanceof Map) && !isPlain(value)) {
    throw unsayable(`a ${value.constructor?.name ?? 'object'} is no value: bytes are a Buffer, maps are plain objects`);
  }
  for (const [key, element] of value instanceof Map ? value : Object.entries(value)) {
    if (typeof key !== 'string') throw unsayable('a key of a map must be text');
    checkText(key);
    checkSayable(element, depth + 1);
  }
}

/** Half of a character has no form in UTF-8: it would be sent as something else, or as bytes. */
function checkText(text: string): void {
  if (!text.isWellFormed()) throw unsayable('a text must be Unicode: it has half of a character in it');
}

/** Also an instance of somebody's class counts as the map of its fields, but not what the language or Node has a meaning for. */
function isPlain(value: object): boolean {
  return Object.prototype.toString.call(value) === '[object Object]';
}

function unsayable(message: string): HavenError {
  return new HavenError('MALFORMED', 1, message);
}
