// Codec: answers into a Writer, in both shapes; events are in events.ts, and what comes in is read in messages.ts. Pure: no socket, no
// clock, no session.

import type { Entry, Format, Query } from '../../core/index.js';
import { relative } from './attachment.js';
import type { HavenMessage } from './message.js';
import { type Action, ERROR, type HavenError, STATUS, VERSION } from './wire.js';
import {
  CODE,
  CREATED,
  ITEMS,
  id,
  idEntries,
  LOCATION,
  MESSAGE_KEY,
  MISSED,
  MODIFIED,
  MORE,
  metaEntries,
  metaOf,
  NAME,
  OK_ARRAY,
  OP,
  PATH,
  REMOVED,
  RESULT_FALSE_ERROR,
  RESULT_TRUE,
  REVISION,
  REVISIONS,
  UUID,
  VALUE,
  WATCH,
} from './words.js';
import type { Writer } from './writer.js';

export { ID_MAX_BYTES } from './fields.js';
export { HavenMessage } from './message.js';
export { decodeMessage } from './messages.js';

// Answers. A map answer has `result` first and the request's id last.

/** Begins a good answer to a DATA request; in the array shape, `entries` tells of the map at its third place. */
function beginData(writer: Writer, message: HavenMessage, entries: number): void {
  if (message.shape === 'map') {
    writer.map(1 + entries + idEntries(message));
    writer.constant(RESULT_TRUE);
  } else {
    writer.constant(OK_ARRAY);
    writer.map(entries);
  }
}

function endData(writer: Writer, message: HavenMessage): void {
  if (message.shape === 'map') id(writer, message);
}

function revisionAndTimes(writer: Writer, entry: Entry): void {
  writer.constant(REVISION);
  writer.number(entry.revision);
  writer.constant(CREATED);
  writer.number(entry.created);
  writer.constant(MODIFIED);
  writer.number(entry.modified);
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
    writer.constant(OK_ARRAY);
    writer.raw(value);
    return;
  }
  beginData(writer, message, 4 + metaEntries(entry));
  writer.constant(VALUE);
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
  writer.constant(ITEMS);
  writer.array(count);
}

export function encodeItem(writer: Writer, entry: Entry, query: Query | null, format: Format, base: string): void {
  const value = shown(entry, query, format);
  writer.map(5 + metaEntries(entry));
  writer.constant(PATH);
  writer.text(relative(entry.path, base));
  writer.constant(VALUE);
  writer.raw(value);
  revisionAndTimes(writer, entry);
  metaOf(writer, entry, format);
}

/** What stands behind the items. */
export function encodeItemsEnd(writer: Writer, message: HavenMessage, more: boolean): void {
  if (more) {
    writer.constant(MORE);
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
  writer.constant(RESULT_TRUE);
  writer.constant(UUID);
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
  writer.constant(RESULT_TRUE);
  writer.constant(LOCATION);
  writer.raw(location);
  id(writer, message);
}

/** What a transaction made of each of its operations. */
export function encodeRevisions(writer: Writer, message: HavenMessage, revisions: readonly number[]): void {
  beginData(writer, message, 1);
  writer.constant(REVISIONS);
  writer.array(revisions.length);
  for (const revision of revisions) writer.number(revision);
  endData(writer, message);
}

export function encodeRemoved(writer: Writer, message: HavenMessage, count: number): void {
  beginData(writer, message, 1);
  writer.constant(REMOVED);
  writer.number(count);
  endData(writer, message);
}

/** `missed`: not everything behind the revision that was asked for follows. */
export function encodeWatching(writer: Writer, message: HavenMessage, watch: number, revision: number, missed: boolean): void {
  beginData(writer, message, missed ? 3 : 2);
  writer.constant(WATCH);
  writer.number(watch);
  writer.constant(REVISION);
  writer.number(revision);
  if (missed) {
    writer.constant(MISSED);
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
  writer.constant(RESULT_TRUE);
  writer.text('version');
  writer.text(String(VERSION));
  writer.text('session');
  writer.text(welcome.session);
  writer.text('node');
  writer.map(2);
  writer.text('uuid');
  writer.text(welcome.nodeId);
  writer.constant(NAME);
  writer.text(welcome.nodeName);
  writer.text('heartbeat');
  writer.number(welcome.heartbeatMs);
  id(writer, message);
}

/** An answer that says no, in the shape and form of the request; `connecting`: before the session was opened. */
export function encodeError(writer: Writer, message: HavenMessage, error: HavenError, connecting: boolean): void {
  if (message.shape === 'map') {
    writer.map(2 + idEntries(message));
    writer.constant(RESULT_FALSE_ERROR);
    writer.map(error.op === undefined ? 3 : 4);
    writer.constant(CODE);
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
  writer.constant(NAME);
  writer.text(error.name);
  writer.constant(MESSAGE_KEY);
  writer.text(error.message);
  if (error.op === undefined) return;
  writer.constant(OP);
  writer.number(error.op);
}

function errorStatus(action: Action | null, connect: boolean, error: HavenError): number {
  if (connect || action === 'heartbeat') return 0;
  if (action === 'control' || action === 'discover') {
    return error.name === 'NOT_FOUND' ? STATUS.controlNotFound : STATUS.controlError;
  }
  return STATUS.dataError;
}
