// Checks that values can be expressed in Haven before they are sent: MessagePack would send others as something else, and an
// extension type ends the connection for all requests on it.

import { HavenError } from './types.js';

/** No gateway takes more. */
const MAX_DEPTH = 64;

/** Throws HavenError MALFORMED, which says what is in the way. undefined counts as nil. */
export function checkSayable(value: unknown, depth = 0): void {
  switch (typeof value) {
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
  }
}

function checkObject(value: object, depth: number): void {
  if (value instanceof Uint8Array) return;
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw unsayable('a date must be one');
    return;
  }
  if (depth >= MAX_DEPTH) throw unsayable(`a value is at most ${MAX_DEPTH} levels deep, and has no circles`);
  if (value instanceof Map) {
    for (const key of value.keys()) if (typeof key !== 'string') throw unsayable('a key of a map must be text');
  } else if (!Array.isArray(value) && !isPlain(value)) {
    throw unsayable(`a ${value.constructor?.name ?? 'object'} is no value: bytes are a Buffer, maps are plain objects`);
  }
  for (const element of value instanceof Map ? value.values() : Object.values(value)) checkSayable(element, depth + 1);
}

/** Also an instance of somebody's class counts as the map of its fields, but not what the language or Node has a meaning for. */
function isPlain(value: object): boolean {
  return Object.prototype.toString.call(value) === '[object Object]';
}

function unsayable(message: string): HavenError {
  return new HavenError('MALFORMED', 1, message);
}
