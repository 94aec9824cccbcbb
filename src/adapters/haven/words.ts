// Words: the MessagePack fragments that answers and events are built from, and the entries that many of them share.

import type { Format, Meta } from '../../core/index.js';
import type { HavenMessage } from './message.js';
import { STATUS } from './wire.js';
import { Constant, type Writer } from './writer.js';

const ID = word('id');
/** How the good answer to an array begins; what it brings follows. */
export const OK_ARRAY = new Constant(Buffer.of(0x93, STATUS.dataOk, 0));
export const RESULT_TRUE = constant(text('result'), Buffer.of(0xc3));
export const RESULT_FALSE_ERROR = constant(text('result'), Buffer.of(0xc2), text('error'));
export const CODE = word('code');
export const NAME = word('name');
export const MESSAGE_KEY = word('message');
export const OP = word('op');
export const VALUE = word('value');
export const REVISION = word('revision');
export const UUID = word('uuid');
export const LOCATION = word('location');
export const REVISIONS = word('revisions');
export const CREATED = word('created');
export const MODIFIED = word('modified');
export const PATH = word('path');
export const ITEMS = word('items');
export const MORE = word('more');
export const REMOVED = word('removed');
export const WATCH = word('watch');
export const TYPE_WRITE = constant(text('type'), text('write'));
export const TYPE_DELETE = constant(text('type'), text('delete'));
export const TIME = word('time');
export const BY = word('by');
export const PONG = constant(text('action'), text('heartbeat'), text('type'), text('pong'));
export const PUSH_TRUE = constant(text('push'), Buffer.of(0xc3));
export const RESULT = word('result');
export const MISSED = word('missed');
export const STATE = word('state');
const META = word('meta');

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(0xa0 | bytes.length), bytes]);
}

function constant(...parts: Buffer[]): Constant {
  return new Constant(Buffer.concat(parts));
}

function word(value: string): Constant {
  return constant(text(value));
}

/** The id of the request, where it has one. */
export function id(writer: Writer, message: HavenMessage): void {
  if (message.idIn === null) return;
  writer.constant(ID);
  writer.part(message.idIn, message.idFrom, message.idTo);
}

export function idEntries(message: HavenMessage): number {
  return message.idIn === null ? 0 : 1;
}

/** What a message says of itself beside its value; it has no entry where it says nothing. */
export function metaOf(writer: Writer, { meta }: { readonly meta: Meta | null }, format: Format): void {
  if (meta === null) return;
  writer.constant(META);
  writer.raw(format.fromValue(meta.values()));
}

export function metaEntries({ meta }: { readonly meta: Meta | null }): number {
  return meta === null ? 0 : 1;
}
