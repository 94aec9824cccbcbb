// From frames to requests of the core: pure functions. A happn set may be a set, an increment, a sibling or a tag.

import {
  binaryFromDocument,
  type DataOptions,
  DataRequest,
  type Entry,
  type Formats,
  Payload,
  RequestError,
  type Session,
  STORED,
  type Value,
} from '../../core/index.js';
import { requestId } from './codec.js';
import { onBehalf } from './delegation.js';
import { fieldsOf, isFields } from './fields.js';
import { checkRequestPath, checkTextPath, hasWildcard, queryPattern } from './paths.js';
import { routed } from './publishing.js';
import { decodeAsOf, decodeCriteria, decodeQuery } from './queries.js';
import { newId, snapshotOf, snapshotPath } from './tags.js';
import { type Fields, type Frame, MESSAGES } from './wire.js';

// Indexed by store (4), publish (2), merge (1).
const OPTIONS: readonly DataOptions[] = [0, 1, 2, 3, 4, 5, 6, 7].map((bits) => {
  const store = (bits & 4) !== 0;
  return Object.freeze({ ...STORED, store, publish: (bits & 2) !== 0, merge: (bits & 1) !== 0, qos: store ? 1 : 0 });
});

/** Throws RequestError. */
export function decodeSet(frame: Frame, session: Session, formats: Formats): DataRequest {
  const path = setPath(frame);
  const options = fieldsOf(frame.options, 'options');
  const chosen = withIncrement(setOptions(options, session), options.increment, frame.data);
  const at = options.set_type === 'sibling' ? siblingOf(path) : path;
  const payload = decodeData(frame.data, formats);
  return new DataRequest('set', session, requestId(frame), at, null, payload, chosen, true, 0, frame);
}

function setPath(frame: Frame): string {
  const path = checkRequestPath(frame.path);
  if (hasWildcard(path)) throw new RequestError('INVALID_PATH', MESSAGES.setWildcard);
  return path;
}

function setOptions(options: Fields, session: Session): DataOptions {
  const noPublish = options.noPublish || options.upsertType === 3;
  const base = OPTIONS[(options.noStore ? 0 : 4) | (noPublish ? 0 : 2) | (options.merge ? 1 : 0)] as DataOptions;
  return onBehalf(routed(base, options), options, session);
}

/** The data names the counter. An event that is not stored counts nothing. */
function withIncrement(base: DataOptions, by: unknown, name: unknown): DataOptions {
  if (by === undefined || by === null || !base.store) return base;
  if (typeof name !== 'string') throw new RequestError('INVALID_REQUEST', MESSAGES.incrementName);
  if (typeof by !== 'number' || !Number.isFinite(by)) throw new RequestError('INVALID_REQUEST', MESSAGES.incrementValue);
  return { ...base, increment: { name, by } };
}

function siblingOf(path: string): string {
  return `${path}${path.endsWith('/') ? '' : '/'}${newId()}`;
}

/** Throws RequestError. */
export function decodeRemove(frame: Frame, session: Session): DataRequest {
  const path = checkRequestPath(frame.path);
  const options = fieldsOf(frame.options, 'options');
  const routing = routed(OPTIONS[options.noPublish ? 4 : 6] as DataOptions, options);
  const query = decodeCriteria(options);
  const chosen = onBehalf(query === null ? routing : { ...routing, query }, options, session);
  const pattern = hasWildcard(path) ? queryPattern(path) : null;
  return new DataRequest('remove', session, requestId(frame), path, pattern, null, chosen, true, 0, frame);
}

/** Also a count. `namesPaths`: records of which chosen fields are shown name their path all the same. Throws RequestError. */
export function decodeGet(frame: Frame, session: Session, namesPaths = false): DataRequest {
  const path = checkTextPath(frame.path);
  const options = fieldsOf(frame.options, 'options');
  const query = decodeQuery(path, options, frame.action === 'count', namesPaths);
  const asOf = decodeAsOf(options);
  const chosen = onBehalf(query === null && asOf === null ? STORED : { ...STORED, query, asOf }, options, session);
  const pattern = hasWildcard(path) ? queryPattern(path) : null;
  return new DataRequest('get', session, requestId(frame), path, pattern, null, chosen, true, 0, frame);
}

/** The body of a set. Top-level `_meta` belongs to answers and is not kept; an absent body is an empty object. */
function decodeData(data: unknown, formats: Formats): Payload {
  if (data === undefined) return Payload.fromValue({}, formats.json);
  if (!isFields(data)) return Payload.fromValue(data as Value, formats.json);
  if (data.$binary !== undefined) {
    const bytes = binaryFromDocument(data as Value);
    if (bytes !== null) return Payload.fromBytes(bytes, formats.binary);
  }
  if (Object.hasOwn(data, '_meta')) {
    const { _meta, ...rest } = data;
    return Payload.fromValue(rest as Value, formats.json);
  }
  return Payload.fromValue(data as Value, formats.json);
}

// ---------------------------------------------------------------- tags

/** What the requests of a tag carry: first the record is read, then its snapshot is stored. */
export class TagStep {
  constructor(
    readonly frame: Frame,
    /** The tagged record's. */
    readonly path: string,
    readonly name: string,
    readonly options: DataOptions,
  ) {}
}

export function isTag(frame: Frame): boolean {
  return isFields(frame.options) && Boolean(frame.options.tag);
}

/** The first step. Throws RequestError. */
export function decodeTag(frame: Frame, session: Session): DataRequest {
  const path = setPath(frame);
  const options = fieldsOf(frame.options, 'options');
  if (typeof options.tag !== 'string') throw new RequestError('INVALID_REQUEST', 'options.tag must be a text');
  if (frame.data !== undefined && frame.data !== null) throw new RequestError('INVALID_REQUEST', MESSAGES.tagWithData);
  const step = new TagStep(frame, path, options.tag, { ...setOptions(options, session), store: true, merge: false, qos: 1 });
  return new DataRequest('get', session, requestId(frame), path, null, null, onBehalf(STORED, options, session), true, 0, step);
}

/** The second step. Throws NOT_FOUND. */
export function snapshot(step: TagStep, entry: Entry | null, session: Session, formats: Formats): DataRequest {
  if (entry === null) throw new RequestError('NOT_FOUND', MESSAGES.tagMissing);
  const payload = Payload.fromValue(snapshotOf(entry, step.name), formats.msgpack);
  return new DataRequest('set', session, requestId(step.frame), snapshotPath(entry.path), null, payload, step.options, true, 0, step);
}
