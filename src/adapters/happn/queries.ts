// What a get, a count or a remove asks of many records, as happn says it: some of it in `options`, some in `options.options`.

import { type AsOf, parseQuery, type Query, RequestError } from '../../core/index.js';
import { fieldsOf, isFields } from './fields.js';
import type { Fields } from './wire.js';

/** What only stores of other servers can do. */
const OF_OTHER_STORES = ['aggregate', 'collation'] as const;

/**
 * null: all of the records as they are. `namesPaths`: their path is shown beside the fields that are chosen. Throws INVALID_REQUEST, and
 * UNSUPPORTED with the text that clients know.
 */
export function decodeQuery(path: string, options: Fields, counts: boolean, namesPaths: boolean): Query | null {
  const inner = fieldsOf(options.options, 'options.options');
  for (const name of OF_OTHER_STORES) {
    if (!isGiven(options[name]) && !isGiven(inner[name])) continue;
    throw new RequestError('UNSUPPORTED', `${name} feature not available for provider on path: ${path}`);
  }
  const { criteria } = options;
  const { limit, skip } = inner;
  const chosen = options.fields ?? inner.fields;
  const fields = namesPaths && isFields(chosen) && Object.keys(chosen).length > 0 ? { ...chosen, path: 1 } : chosen;
  const sort = options.sort ?? inner.sort;
  const count = counts || Boolean(inner.count);
  if (!count && ![criteria, fields, sort, limit, skip].some(isGiven)) return null;
  return parseQuery({ criteria, fields, sort, limit, skip, count });
}

/** Which records a removal is about; null: all. Throws INVALID_REQUEST. */
export function decodeCriteria({ criteria }: Fields): Query | null {
  return isGiven(criteria) ? parseQuery({ criteria }) : null;
}

/**
 * The moment of `asOf`: milliseconds since 1970, `{time}` with such a number, or `{revision}`. null: the record is read as it is.
 * Throws INVALID_REQUEST.
 */
export function decodeAsOf({ asOf }: Fields): AsOf | null {
  if (!isGiven(asOf)) return null;
  const { time = null, revision = null } = typeof asOf === 'number' ? { time: asOf } : fieldsOf(asOf, 'options.asOf');
  if (isNumber(time) && revision === null) return { revision: null, time };
  if (isNumber(revision) && time === null && Number.isSafeInteger(revision)) return { revision, time: 0 };
  throw new RequestError('INVALID_REQUEST', 'options.asOf must be a time in milliseconds since 1970, {time} or {revision}');
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}
