// Watch events, and the pongs that bring them.

import type { Entry, Format, Publication } from '../../core/index.js';
import { relative } from './attachment.js';
import type { HavenMessage } from './message.js';
import {
  BY,
  id,
  idEntries,
  MISSED,
  metaEntries,
  metaOf,
  PATH,
  PONG,
  PUSH_TRUE,
  RESULT,
  REVISION,
  STATE,
  TIME,
  TYPE_DELETE,
  TYPE_WRITE,
  VALUE,
  WATCH,
} from './words.js';
import type { Writer } from './writer.js';

/** The part of a watch event that is the same for every watch with the same base: all but its first entry. Counts 5 entries, one more with a value, and with meta. */
export interface EventTail {
  readonly entries: number;
  readonly bytes: Buffer;
}

export function encodeEventTail(writer: Writer, publication: Publication, format: Format, base = ''): EventTail {
  return encodeTail(writer, publication, publication.time, format, base);
}

/** The event that a watch begins with: the record as it is. */
export function encodeInitialTail(writer: Writer, entry: Entry, format: Format, base = ''): EventTail {
  return encodeTail(writer, entry, entry.modified, format, base);
}

function encodeTail(writer: Writer, told: Publication | Entry, time: number, format: Format, base: string): EventTail {
  const { payload } = told;
  const mark = writer.length;
  writer.constant(PATH);
  writer.text(relative(told.path, base));
  writer.constant(payload === null ? TYPE_DELETE : TYPE_WRITE);
  if (payload !== null) {
    writer.constant(VALUE);
    writer.raw(payload.bytes(format));
  }
  writer.constant(REVISION);
  writer.number(told.revision);
  writer.constant(TIME);
  writer.number(time);
  writer.constant(BY);
  writer.text(told.author);
  metaOf(writer, told, format);
  return { entries: (payload === null ? 5 : 6) + metaEntries(told), bytes: writer.cut(mark) };
}

export function encodeEvent(writer: Writer, watch: number, tail: EventTail): void {
  writer.map(tail.entries + 1);
  writer.constant(WATCH);
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
  writer.constant(PONG);
  writer.constant(RESULT);
  list.encode(writer);
  if (missed > 0) {
    writer.constant(MISSED);
    writer.number(missed);
  }
  writer.constant(STATE);
  writer.raw(state);
  writer.constant(REVISION);
  writer.number(revision);
  id(writer, message);
}

/** Begins a pong that nobody asked for; `count` events follow. */
export function beginPushed(writer: Writer, count: number): void {
  writer.map(4);
  writer.constant(PONG);
  writer.constant(PUSH_TRUE);
  writer.constant(RESULT);
  writer.array(count);
}
