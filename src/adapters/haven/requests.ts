// Requests: a DATA message as Requests of the core. Depends on the message alone; no session state.

import {
  type AsOf,
  type Clock,
  checkPath,
  type DataOptions,
  DataRequest,
  isDocument,
  Meta,
  type Pattern,
  parseQuery,
  type Query,
  RequestError,
  type Session,
  STORED,
  TransactionError,
  TransactionRequest,
  type Value,
} from '../../core/index.js';
import type { HavenMessage } from './codec.js';
import type { Details } from './message.js';
import { addressOf, isWildcard, patternOf } from './paths.js';

const CREATE: DataOptions = Object.freeze({ ...STORED, condition: 'absent' });
const UPDATE: DataOptions = Object.freeze({ ...STORED, condition: 'present' });
const WRITE_MERGE: DataOptions = Object.freeze({ ...STORED, merge: true });
const UPDATE_MERGE: DataOptions = Object.freeze({ ...UPDATE, merge: true });

/** Throws RequestError for a message that lacks what its type needs. */
export function writeRequest(session: Session, message: HavenMessage): DataRequest {
  checkWritable(message);
  const path = addressOf(pathOf(message));
  if (message.value === null) throw new RequestError('INVALID_REQUEST', 'the field value is missing');
  const { expect, meta } = message.details;
  const options = withMeta(withExpect(writeOptions(message), expect), meta);
  return new DataRequest('set', session, null, path, null, message.value, options, true, 0, message);
}

function writeOptions({ type, details }: HavenMessage): DataOptions {
  if (type === 'create') return CREATE;
  if (type === 'update') return details.merge ? UPDATE_MERGE : UPDATE;
  return details.merge ? WRITE_MERGE : STORED;
}

/** Only read-write writes: the others say how fresh what is read has to be, or of what time. */
function checkWritable({ mode }: HavenMessage): void {
  if (mode !== null && mode !== 'rw') throw new RequestError('ACCESS_DENIED', 'the mode of the request reads only');
}

/**
 * One record if the criteria are met, or with wildcards at most `maxItems`; one more is asked for, which tells whether there are more.
 */
export function readRequest(session: Session, message: HavenMessage, maxItems: number, clock: Clock): DataRequest {
  const path = pathOf(message);
  const query = queryOf(message.details);
  const base = message.mode === 'rt' ? { ...STORED, asOf: asOfOf(message.details, clock.now()) } : STORED;
  if (!isWildcard(path)) {
    return new DataRequest('get', session, null, checkPath(path), null, null, withQuery(base, query), true, 0, message);
  }
  const details = message.ownDetails();
  const { after } = details;
  if (query?.isSorted === true && after !== null) {
    throw new RequestError('INVALID_REQUEST', 'after goes by path: it cannot be asked for together with sort');
  }
  details.limit = Math.min(details.limit ?? maxItems, maxItems);
  const options = { ...base, limit: details.limit + 1, after, query };
  return new DataRequest('get', session, null, path, patternOf(path), null, options, true, 0, message);
}

export function deleteRequest(session: Session, message: HavenMessage): DataRequest {
  checkWritable(message);
  const path = pathOf(message);
  const { criteria, expect } = message.details;
  const base = criteria === null ? STORED : withQuery(STORED, parseQuery({ criteria }));
  if (!isWildcard(path)) {
    const options = withExpect(base, expect);
    return new DataRequest('remove', session, null, checkPath(path), null, null, options, true, 0, message);
  }
  if (expect !== null) throw new RequestError('INVALID_REQUEST', 'expect needs a path without wildcards');
  return new DataRequest('remove', session, null, path, patternOf(path), null, base, true, 0, message);
}

/** Throws RequestError, TransactionError when it is one operation that lacks something. */
export function transactionRequest(session: Session, message: HavenMessage): TransactionRequest {
  checkWritable(message);
  const { operations: asked } = message.details;
  if (asked === null) throw new RequestError('INVALID_REQUEST', 'the field ops is missing');
  const operations = asked.map((operation, index) => {
    try {
      return operationRequest(session, operation);
    } catch (error) {
      throw error instanceof RequestError ? new TransactionError(error, index) : error;
    }
  });
  return new TransactionRequest(session, null, operations, message);
}

function operationRequest(session: Session, operation: HavenMessage): DataRequest {
  switch (operation.type) {
    case 'create':
    case 'write':
    case 'update':
      return writeRequest(session, operation);
    case 'delete':
    case 'read': {
      const op = operation.type === 'delete' ? 'remove' : 'get';
      const options = withExpect(STORED, operation.details.expect);
      return new DataRequest(op, session, null, addressOf(pathOf(operation)), null, null, options, false, 0, null);
    }
    default:
      throw new RequestError('INVALID_REQUEST', 'its type must be create, write, update, delete or read');
  }
}

/** Of an interval its end, or now if that lies in it. Throws RequestError INVALID_REQUEST. */
function asOfOf({ time, revision }: Details, now: number): AsOf {
  if (revision !== null && time === null) return { revision, time: 0 };
  const [earliest, latest] =
    Array.isArray(time) && time.length === 2 ? time.map(millisecondsIn) : [millisecondsIn(time), millisecondsIn(time)];
  if (revision !== null || earliest == null || latest == null || earliest > latest) {
    throw new RequestError(
      'INVALID_REQUEST',
      'read-timestamp needs a revision, or a time: milliseconds since 1970, or two of them, earliest and latest',
    );
  }
  return { revision: null, time: earliest <= now ? Math.min(latest, Math.max(earliest, now)) : latest };
}

function millisecondsIn(value: Value): number | null {
  if (value instanceof Date) return value.getTime();
  return typeof value === 'number' && value >= 0 ? value : null;
}

export function watchPattern(message: HavenMessage): Pattern {
  return patternOf(pathOf(message));
}

function pathOf(message: HavenMessage): string {
  if (message.path === null) throw new RequestError('INVALID_REQUEST', 'the field path is missing');
  return message.path;
}

/** null: whatever the path names, as it is. Throws RequestError INVALID_REQUEST. */
function queryOf({ criteria, fields, sort }: Details): Query | null {
  return criteria === null && fields === null && sort === null ? null : parseQuery({ criteria, fields, sort });
}

function withQuery(options: DataOptions, query: Query | null): DataOptions {
  return query === null ? options : { ...options, query };
}

function withExpect(options: DataOptions, expect: number | null): DataOptions {
  return expect === null ? options : { ...options, expect };
}

/** Throws RequestError INVALID_REQUEST. */
function withMeta(options: DataOptions, said: Value): DataOptions {
  if (said === null) return options;
  if (!isDocument(said)) throw new RequestError('INVALID_REQUEST', 'the field meta must be a map');
  const meta = Meta.fromValues(said);
  // As it is kept, so that it is the same live; and with no bytes of the frame that it came in.
  return { ...options, meta: meta === null ? null : Meta.fromBytes(meta.bytes()) };
}
