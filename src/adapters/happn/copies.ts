// Values that change hands inside the process: values from the program are copied before they are kept, and the program gets copies.
// A copy is what JSON would have made of the value, without any text in between.

import { binaryDocument, type Document, documentOf, type Payload, RequestError, type Value } from '../../core/index.js';
import type { FrameLimits } from './wire.js';

interface Budget {
  elements: number;
  characters: number;
}

/**
 * A copy as JSON would carry it: dates as ISO texts, `toJSON` heard, functions and undefined left out, numbers that are none as
 * null. undefined when nothing is left. Throws LIMIT_EXCEEDED for what is larger, deeper or richer than a frame may be (a circle
 * is), INVALID_REQUEST for a bigint or when a `toJSON` or getter throws.
 */
export function copyIn(value: unknown, limits: FrameLimits): Value | undefined {
  try {
    return copied(value, '', 0, limits, { elements: 0, characters: 0 });
  } catch (error) {
    if (error instanceof RequestError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new RequestError('INVALID_REQUEST', `the data cannot be read: ${reason}`, { cause: error });
  }
}

function copied(given: unknown, key: string, depth: number, limits: FrameLimits, budget: Budget): Value | undefined {
  if (++budget.elements > limits.maxElements) throw tooMuch('a request', `${limits.maxElements} elements`);
  const value = hasToJson(given) ? given.toJSON(key) : given;
  if (typeof value === 'string') {
    budget.characters += value.length;
    if (budget.characters > limits.maxBytes) throw tooMuch('a request', `${limits.maxBytes} bytes`);
    return value;
  }
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : null;
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'bigint') throw new RequestError('INVALID_REQUEST', 'a bigint has no JSON form');
  if (typeof value !== 'object') return undefined;
  if (value instanceof String || value instanceof Number || value instanceof Boolean) {
    return copied(value.valueOf(), key, depth, limits, budget);
  }
  if (depth >= limits.maxDepth) throw tooMuch('nesting', `${limits.maxDepth} levels`);
  if (Array.isArray(value)) {
    return value.map((item, index) => copied(item, String(index), depth + 1, limits, budget) ?? null);
  }
  const copy: Document = {};
  for (const name of Object.keys(value)) {
    budget.characters += name.length;
    const member = copied((value as { readonly [key: string]: unknown })[name], name, depth + 1, limits, budget);
    if (member !== undefined) put(copy, name, member);
  }
  return copy;
}

function hasToJson(value: unknown): value is { toJSON(key: string): unknown } {
  return typeof value === 'object' && value !== null && typeof (value as { toJSON?: unknown }).toJSON === 'function';
}

function tooMuch(what: string, limit: string): RequestError {
  return new RequestError('LIMIT_EXCEEDED', `${what} is more than this connection may send: at most ${limit}`);
}

/** An own property whatever the key is called. */
function put(target: Document, key: string, value: Value): void {
  if (key !== '__proto__') target[key] = value;
  else Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

/** A body as happn shows it, for one receiver: it may do with it what it likes. */
export function documentCopy(payload: Payload): Document {
  return documentCopyOf(payload.value());
}

export function documentCopyOf(value: Value): Document {
  const document = documentOf(value);
  const copy: Document = {};
  // What is stored has no `_meta` of its own at the top: the name belongs to answers.
  for (const key of Object.keys(document)) if (key !== '_meta') put(copy, key, copyOut(document[key] as Value));
  return copy;
}

/** A value as JSON would show it: bytes as {"$binary":…}, dates as ISO texts. */
export function copyOut(value: Value): Value {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(copyOut);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return binaryDocument(value);
  const copy: Document = {};
  for (const key of Object.keys(value)) put(copy, key, copyOut(value[key] as Value));
  return copy;
}
