// Codec: answers and events into a Writer, in both shapes; what comes in is read in messages.ts. Pure: no socket, no clock, no session.

import type { Entry, Format, Meta, Publication, Query } from '../../core/index.js';
import { relative } from './attachment.js';
import type { HavenMessage } from './message.js';
import { type Action, ERROR, type HavenError, STATUS, VERSION } from './wire.js';
import type { Writer } from './writer.js';

export { ID_MAX_BYTES } from './fields.js';
export { HavenMessage } from './message.js';
export { decodeMessage } from './messages.js';

// Answers. A map answer has `result` first and the request's id last.

const ID = constant('id');
const RESULT_TRUE = joined(constant('result'), Buffer.of(0xc3));
const RESULT_FALSE_ERROR = joined(constant('result'), Buffer.of(0xc2), constant('error'));
const CODE = constant('code');
const NAME = constant('name');
const MESSAGE_KEY = constant('message');
const OP = constant('op');
const VALUE = constant('value');
const REVISION = constant('revision');
const UUID = constant('uuid');
const LOCATION = constant('location');
const REVISIONS = constant('revisions');
const CREATED = constant('created');
const MODIFIED = constant('modified');
const PATH = constant('path');
const ITEMS = constant('items');
const MORE = constant('more');
const REMOVED = constant('removed');
const WATCH = constant('watch');
const TYPE_WRITE = joined(constant('type'), constant('write'));
const TYPE_DELETE = joined(constant('type'), constant('delete'));
const TIME = constant('time');
const BY = constant('by');
const PONG = joined(constant('action'), constant('heartbeat'), constant('type'), constant('pong'));
const PUSH_TRUE = joined(constant('push'), Buffer.of(0xc3));
const RESULT = constant('result');
const MISSED = constant('missed');
const STATE = constant('state');
const META = constant('meta');

function constant(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.of(0xa0 | bytes.length), bytes]);
}

function joined(...parts: Buffer[]): Buffer {
  return Buffer.concat(parts);
}

function id(writer: Writer, message: HavenMessage): void {
  if (message.idIn === null) return;
  writer.raw(ID);
  writer.part(message.idIn, message.idFrom, message.idTo);
}

function idEntries(message: HavenMessage): number {
  return message.idIn === null ? 0 : 1;
}

/** Begins a good answer to a DATA request; in the array shape, `entries` tells of the map at its third place. */
function beginData(writer: Writer, message: HavenMessage, entries: number): void {
  if (message.shape === 'map') {
    writer.map(1 + entries + idEntries(message));
    writer.raw(RESULT_TRUE);
  } else {
    beginArrayData(writer);
    writer.map(entries);
  }
}

function beginArrayData(writer: Writer): void {
  writer.array(3);
  writer.number(STATUS.dataOk);
  writer.number(0);
}

function endData(writer: Writer, message: HavenMessage): void {
  if (message.shape === 'map') id(writer, message);
}

function revisionAndTimes(writer: Writer, entry: Entry): void {
  writer.raw(REVISION);
  writer.number(entry.revision);
  writer.raw(CREATED);
  writer.number(entry.created);
  writer.raw(MODIFIED);
  writer.number(entry.modified);
}

/** What a message says of itself beside its value; it has no entry where it says nothing. */
function metaOf(writer: Writer, { meta }: { readonly meta: Meta | null }, format: Format): void {
  if (meta === null) return;
  writer.raw(META);
  writer.raw(format.fromValue(meta.values()));
}

function metaEntries({ meta }: { readonly meta: Meta | null }): number {
  return meta === null ? 0 : 1;
}

export function encodeWritten(writer: Writer, message: HavenMessage, entry: Entry): void {
  beginData(writer, message, 3);
  revisionAndTimes(writer, entry);
  endData(writer, message);
}

/** What the query shows of the record; all of it when it names no fields. */
function shown(entry: Entry, query: Query | null, format: Format): Uint8Array {
  return query?.hasFields === true ? format.fromValue(query.project(entry).document) : entry.payload.bytes(format);
}

export function encodeRead(writer: Writer, message: HavenMessage, entry: Entry, query: Query | null, format: Format): void {
  const value = shown(entry, query, format);
  if (message.shape === 'array') {
    beginArrayData(writer);
    writer.raw(value);
    return;
  }
  beginData(writer, message, 4 + metaEntries(entry));
  writer.raw(VALUE);
  writer.raw(value);
  revisionAndTimes(writer, entry);
  metaOf(writer, entry, format);
  endData(writer, message);
}

/** The answer to a read with wildcards. `more`: there are further records behind the last item. */
export function encodeItems(
  writer: Writer,
  message: HavenMessage,
  entries: readonly Entry[],
  more: boolean,
  query: Query | null,
  format: Format,
): void {
  encodeItemsHead(writer, message, entries.length, more);
  for (const entry of entries) encodeItem(writer, entry, query, format, message.base);
  encodeItemsEnd(writer, message, more);
}

/** What stands before `count` items. */
export function encodeItemsHead(writer: Writer, message: HavenMessage, count: number, more: boolean): void {
  beginData(writer, message, more ? 2 : 1);
  writer.raw(ITEMS);
  writer.array(count);
}

export function encodeItem(writer: Writer, entry: Entry, query: Query | null, format: Format, base: string): void {
  const value = shown(entry, query, format);
  writer.map(5 + metaEntries(entry));
  writer.raw(PATH);
  writer.text(relative(entry.path, base));
  writer.raw(VALUE);
  writer.raw(value);
  revisionAndTimes(writer, entry);
  metaOf(writer, entry, format);
}

/** What stands behind the items. */
export function encodeItemsEnd(writer: Writer, message: HavenMessage, more: boolean): void {
  if (more) {
    writer.raw(MORE);
    writer.bool(true);
  }
  endData(writer, message);
}

/** The answer to CONTROL. */
export function encodeBecame(writer: Writer, message: HavenMessage, uuid: string): void {
  if (message.shape === 'array') {
    writer.array(3);
    writer.number(STATUS.controlOk);
    writer.number(0);
    writer.text(uuid);
    return;
  }
  writer.map(2 + idEntries(message));
  writer.raw(RESULT_TRUE);
  writer.raw(UUID);
  writer.text(uuid);
  id(writer, message);
}

/** The answer to DISCOVER; `location` is MessagePack already. */
export function encodeLocated(writer: Writer, message: HavenMessage, location: Uint8Array): void {
  if (message.shape === 'array') {
    writer.array(3);
    writer.number(STATUS.controlOk);
    writer.number(0);
    writer.raw(location);
    return;
  }
  writer.map(2 + idEntries(message));
  writer.raw(RESULT_TRUE);
  writer.raw(LOCATION);
  writer.raw(location);
  id(writer, message);
}

/** What a transaction made of each of its operations. */
export function encodeRevisions(writer: Writer, message: HavenMessage, revisions: readonly number[]): void {
  beginData(writer, message, 1);
  writer.raw(REVISIONS);
  writer.array(revisions.length);
  for (const revision of revisions) writer.number(revision);
  endData(writer, message);
}

export function encodeRemoved(writer: Writer, message: HavenMessage, count: number): void {
  beginData(writer, message, 1);
  writer.raw(REMOVED);
  writer.number(count);
  endData(writer, message);
}

/** `missed`: not everything behind the revision that was asked for follows. */
export function encodeWatching(writer: Writer, message: HavenMessage, watch: number, revision: number, missed: boolean): void {
  beginData(writer, message, missed ? 3 : 2);
  writer.raw(WATCH);
  writer.number(watch);
  writer.raw(REVISION);
  writer.number(revision);
  if (missed) {
    writer.raw(MISSED);
    writer.bool(true);
  }
  endData(writer, message);
}

/** A good answer that has nothing more to say. */
export function encodeDone(writer: Writer, message: HavenMessage): void {
  beginData(writer, message, 0);
  endData(writer, message);
}

export interface Welcome {
  readonly session: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly heartbeatMs: number;
}

export function encodeConnected(writer: Writer, message: HavenMessage, welcome: Welcome): void {
  if (message.shape === 'array') {
    writer.array(3);
    writer.number(1);
    writer.number(0);
    writer.number(VERSION);
    return;
  }
  writer.map(5 + idEntries(message));
  writer.raw(RESULT_TRUE);
  writer.text('version');
  writer.text(String(VERSION));
  writer.text('session');
  writer.text(welcome.session);
  writer.text('node');
  writer.map(2);
  writer.text('uuid');
  writer.text(welcome.nodeId);
  writer.raw(NAME);
  writer.text(welcome.nodeName);
  writer.text('heartbeat');
  writer.number(welcome.heartbeatMs);
  id(writer, message);
}

/** An answer that says no, in the shape and form of the request; `connecting`: before the session was opened. */
export function encodeError(writer: Writer, message: HavenMessage, error: HavenError, connecting: boolean): void {
  if (message.shape === 'map') {
    writer.map(2 + idEntries(message));
    writer.raw(RESULT_FALSE_ERROR);
    writer.map(error.op === undefined ? 3 : 4);
    writer.raw(CODE);
    writer.number(ERROR[error.name]);
    errorText(writer, error);
    id(writer, message);
    return;
  }
  const connect = message.action === 'connect' || (message.action === null && connecting);
  writer.array(connect ? 4 : 3);
  writer.number(errorStatus(message.action, connect, error));
  writer.number(ERROR[error.name]);
  if (connect) writer.number(VERSION);
  writer.map(error.op === undefined ? 2 : 3);
  errorText(writer, error);
}

function errorText(writer: Writer, error: HavenError): void {
  writer.raw(NAME);
  writer.text(error.name);
  writer.raw(MESSAGE_KEY);
  writer.text(error.message);
  if (error.op === undefined) return;
  writer.raw(OP);
  writer.number(error.op);
}

function errorStatus(action: Action | null, connect: boolean, error: HavenError): number {
  if (connect || action === 'heartbeat') return 0;
  if (action === 'control' || action === 'discover') {
    return error.name === 'NOT_FOUND' ? STATUS.controlNotFound : STATUS.controlError;
  }
  return STATUS.dataError;
}

// Watch events. A list of them is in every pong.

/** The part of a watch event that is the same for every watch with the same base: all but its first entry. Counts 5 entries, one more with a value, and with meta. */
export interface EventTail {
  readonly entries: number;
  readonly bytes: Buffer;
}

export function encodeEventTail(writer: Writer, publication: Publication, format: Format, base = ''): EventTail {
  const { payload } = publication;
  const entries = (payload === null ? 5 : 6) + metaEntries(publication);
  const mark = writer.length;
  writer.raw(PATH);
  writer.text(relative(publication.path, base));
  writer.raw(payload === null ? TYPE_DELETE : TYPE_WRITE);
  if (payload !== null) {
    writer.raw(VALUE);
    writer.raw(payload.bytes(format));
  }
  writer.raw(REVISION);
  writer.number(publication.revision);
  writer.raw(TIME);
  writer.number(publication.time);
  writer.raw(BY);
  writer.text(publication.author);
  metaOf(writer, publication, format);
  return { entries, bytes: cut(writer, mark) };
}

/** The event that a watch begins with: the record as it is. */
export function encodeInitialTail(writer: Writer, entry: Entry, format: Format, base = ''): EventTail {
  const mark = writer.length;
  writer.raw(PATH);
  writer.text(relative(entry.path, base));
  writer.raw(TYPE_WRITE);
  writer.raw(VALUE);
  writer.raw(entry.payload.bytes(format));
  writer.raw(REVISION);
  writer.number(entry.revision);
  writer.raw(TIME);
  writer.number(entry.modified);
  writer.raw(BY);
  writer.text(entry.author);
  metaOf(writer, entry, format);
  return { entries: 6 + metaEntries(entry), bytes: cut(writer, mark) };
}

/** Takes what was written since `mark` out of the writer. */
export function cut(writer: Writer, mark: number): Buffer {
  const bytes = Buffer.from(writer.written(mark));
  writer.discard(mark);
  return bytes;
}

export function encodeEvent(writer: Writer, watch: number, tail: EventTail): void {
  writer.map(tail.entries + 1);
  writer.raw(WATCH);
  writer.number(watch);
  writer.raw(tail.bytes);
}

/** `list` writes its events as an array; `state` is MessagePack already. `revision`: no event up to it follows; only maps have it. */
export function encodePong(
  writer: Writer,
  message: HavenMessage,
  list: { encode(writer: Writer): void; readonly missed: number },
  state: Uint8Array,
  revision: number,
): void {
  const { missed } = list;
  if (message.shape === 'array') {
    writer.array(missed > 0 ? 5 : 4);
    writer.number(1);
    writer.number(0);
    list.encode(writer);
    writer.raw(state);
    if (missed > 0) writer.number(missed);
    return;
  }
  writer.map(5 + (missed > 0 ? 1 : 0) + idEntries(message));
  writer.raw(PONG);
  writer.raw(RESULT);
  list.encode(writer);
  if (missed > 0) {
    writer.raw(MISSED);
    writer.number(missed);
  }
  writer.raw(STATE);
  writer.raw(state);
  writer.raw(REVISION);
  writer.number(revision);
  id(writer, message);
}

/** Begins a pong that nobody asked for; `count` events follow. */
export function beginPushed(writer: Writer, count: number): void {
  writer.map(4);
  writer.raw(PONG);
  writer.raw(PUSH_TRUE);
  writer.raw(RESULT);
  writer.array(count);
}
