// Value helpers that every protocol shares: what counts as a map, the document form, merging, bytes as documents, and text that is
// safe to show.
// Keys come from outside: they are only ever copied by spreading, which makes own properties of them, or compared.

import { RequestError } from '../errors.js';
import type { Value } from './payload.js';

export type Document = { [key: string]: Value };

/** The subtype that MongoDB Extended JSON gives to bytes without a special meaning. */
const PLAIN_BYTES = '00';
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** A plain map: not null, not a list, not bytes, not a date. */
export function isDocument(value: Value): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array) && !(value instanceof Date);
}

/**
 * The form in which happn shows a value and in which criteria, fields, sort and merge see it: a map as it is;
 * bytes as {"$binary":{"base64":…,"subType":"00"}}; anything else as {value: x}.
 */
export function documentOf(value: Value): Document {
  if (isDocument(value)) return value;
  return value instanceof Uint8Array ? binaryDocument(value) : { value };
}

/** Bytes as MongoDB Extended JSON writes them. */
export function binaryDocument(bytes: Uint8Array): Document {
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
  return { $binary: { base64, subType: PLAIN_BYTES } };
}

/**
 * The bytes that exactly `binaryDocument` of them stands for; null for every other value: further keys, another
 * subtype, or a base64 text that would not come back as it was.
 */
export function binaryFromDocument(value: Value): Uint8Array | null {
  const inner = soleMember(value, '$binary');
  if (inner === undefined || !isDocument(inner) || Object.keys(inner).length !== 2) return null;
  const base64 = Object.hasOwn(inner, 'base64') ? inner.base64 : undefined;
  const subType = Object.hasOwn(inner, 'subType') ? inner.subType : undefined;
  if (typeof base64 !== 'string' || subType !== PLAIN_BYTES) return null;
  if (base64.length % 4 !== 0 || !BASE64.test(base64)) return null;
  const bytes = Buffer.from(base64, 'base64');
  return bytes.toString('base64') === base64 ? bytes : null;
}

function soleMember(value: Value, key: string): Value | undefined {
  if (!isDocument(value) || !Object.hasOwn(value, key)) return undefined;
  return Object.keys(value).length === 1 ? value[key] : undefined;
}

/**
 * One level: keys of `change` replace those of `base`; neither is changed, and the result shares their (immutable)
 * members. Throws RequestError INVALID_REQUEST for the keys __proto__, constructor and prototype in `change`.
 */
export function mergeDocuments(base: Document, change: Document): Document {
  for (const key of Object.keys(change)) {
    if (key === '__proto__' || key === 'constructor' || key === 'prototype') {
      throw new RequestError('INVALID_REQUEST', `the key ${key} cannot be merged`);
    }
  }
  return { ...base, ...change };
}

/** What would move the cursor, end the line, or turn the direction of what follows it. */
const CONTROLS = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/** As text that can neither break a line nor command a terminal: others may have chosen it. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
