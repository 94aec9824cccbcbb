// Properties of what a client sent, none of them trusted yet.

import { RequestError } from '../../core/index.js';
import type { Fields } from './wire.js';

export function isFields(value: unknown): value is Fields {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** A property that must be an object; absent and null count as an empty one. Throws INVALID_REQUEST. */
export function fieldsOf(value: unknown, name: string): Fields {
  if (value === undefined || value === null) return NO_FIELDS;
  if (isFields(value)) return value;
  throw new RequestError('INVALID_REQUEST', `${name} must be an object`);
}

const NO_FIELDS: Fields = Object.freeze({});
