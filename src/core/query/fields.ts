// Fields: what the names in criteria, fields and sort mean, and how to get at what they name. Names come from outside: only
// own members of maps are ever read.

import type { Entry } from '../data/entry.js';
import type { Value } from '../data/payload.js';
import { binaryDocument, type Document, documentOf } from '../data/value.js';
import { RequestError } from '../errors.js';
import type { Meter } from './meter.js';
import type { Seen } from './values.js';

/** `a.b.c` has 3 parts; values are nested no deeper than this. */
const NAME_PARTS_MAX = 32;
const NAME_LENGTH_MAX = 1_024;

/** Names that mean the record, not its document. Records keep no timestamp and no createdBy: these are never there. */
export type MetaName = 'path' | 'created' | 'modified' | 'timestamp' | 'createdBy' | 'modifiedBy' | '_id' | '_meta';
const META_NAMES: ReadonlySet<string> = new Set<MetaName>([
  'path',
  'created',
  'modified',
  'timestamp',
  'createdBy',
  'modifiedBy',
  '_id',
  '_meta',
]);
const META_PREFIX = '_meta.';
const DATA_PREFIXES = ['_data.', 'data.'];
const FORBIDDEN: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/** A member of maps; an item of lists too when the name is a number. */
export interface Part {
  readonly name: string;
  /** -1: the name is no number. */
  readonly index: number;
}

export type FieldName =
  | { readonly of: 'record'; readonly name: MetaName }
  /** A name below `_meta` that no record has. */
  | { readonly of: 'nothing' }
  | { readonly of: 'document'; readonly parts: readonly Part[] };

/** Throws RequestError INVALID_REQUEST. */
export function fieldName(name: string): FieldName {
  if (META_NAMES.has(name)) return { of: 'record', name: name as MetaName };
  if (name.startsWith(META_PREFIX)) {
    const rest = name.slice(META_PREFIX.length);
    return META_NAMES.has(rest) ? { of: 'record', name: rest as MetaName } : { of: 'nothing' };
  }
  const prefix = DATA_PREFIXES.find((candidate) => name.startsWith(candidate)) ?? '';
  return { of: 'document', parts: partsOf(name.slice(prefix.length)) };
}

/** Throws RequestError INVALID_REQUEST. */
export function partsOf(name: string): readonly Part[] {
  if (name.length > NAME_LENGTH_MAX) throw new RequestError('INVALID_REQUEST', `a field name is longer than ${NAME_LENGTH_MAX} characters`);
  const names = name.split('.');
  if (names.length > NAME_PARTS_MAX) throw new RequestError('INVALID_REQUEST', `a field name has more than ${NAME_PARTS_MAX} parts`);
  return names.map((part) => {
    checkKey(part);
    return { name: part, index: /^(?:0|[1-9]\d{0,8})$/.test(part) ? Number(part) : -1 };
  });
}

/** Throws RequestError INVALID_REQUEST. */
export function checkKey(key: string): void {
  if (FORBIDDEN.has(key)) throw new RequestError('INVALID_REQUEST', `the key ${key} is not allowed in a query`);
}

/** A record as searches see it: {path, created, modified, modifiedBy, data}. Its body is read when it is asked for. */
export class RecordView {
  #entry: Entry | null = null;
  #document: Document | null = null;

  show(entry: Entry): this {
    if (entry !== this.#entry) this.#document = null;
    this.#entry = entry;
    return this;
  }

  get document(): Document {
    this.#document ??= documentOf((this.#entry as Entry).payload.look());
    return this.#document;
  }

  meta(name: MetaName): Seen {
    const entry = this.#entry as Entry;
    switch (name) {
      case 'path':
      case '_id':
        return entry.path;
      case 'created':
        return entry.created;
      case 'modified':
        return entry.modified;
      case 'modifiedBy':
        return entry.author === '' ? undefined : entry.author;
      case '_meta':
        return metaOf(entry);
      default:
        return undefined;
    }
  }
}

/** All that happn shows of a record beside its document. */
export function metaOf(entry: Entry): Document {
  const { path, created, modified, author } = entry;
  return author === '' ? { path, created, modified } : { path, created, modified, modifiedBy: author };
}

/** Where a term begins to look, and how it goes on. `Subject` is a record, or an item of a list inside $elemMatch. */
export interface Reader<Subject> {
  start(subject: Subject): Seen;
  readonly parts: readonly Part[];
  /** A list matches when one of its items does. */
  readonly items: boolean;
}

const NO_PARTS: readonly Part[] = Object.freeze([]);

export function recordReader(name: string): Reader<RecordView> {
  const field = fieldName(name);
  switch (field.of) {
    case 'record':
      return { start: (record) => record.meta(field.name), parts: NO_PARTS, items: true };
    case 'nothing':
      return { start: () => undefined, parts: NO_PARTS, items: true };
    case 'document':
      return { start: (record) => record.document, parts: field.parts, items: true };
  }
}

/** Names inside $elemMatch are the item's own. */
export function itemReader(name: string): Reader<Seen> {
  return { start: (item) => item, parts: partsOf(name), items: true };
}

/** The item or value itself. */
export const ITSELF: Reader<Seen> = { start: (value) => value, parts: NO_PARTS, items: false };

/** What is asked of the values at a place. */
export type Test = (value: Seen, meter: Meter) => boolean;

/**
 * Whether one of the values that the reader finds passes. On the way, a list stands for its maps and, if the part is a number,
 * for that item; at the end of the way, a list stands for itself and (unless `whole`) for each of its items.
 */
export function anyValue<Subject>(reader: Reader<Subject>, subject: Subject, test: Test, whole: boolean, meter: Meter): boolean {
  return reach(reader.start(subject), reader.parts, 0, test, whole || !reader.items, meter);
}

function reach(value: Seen, parts: readonly Part[], at: number, test: Test, whole: boolean, meter: Meter): boolean {
  if (at === parts.length) return whole || !Array.isArray(value) ? test(value, meter) : test(value, meter) || anyItem(value, test, meter);
  const part = parts[at] as Part;
  // A list that the search begins with ($elemMatch in lists of lists) has its items as members.
  if (!Array.isArray(value) || at === 0) return reach(member(value, part), parts, at + 1, test, whole, meter);
  meter.spend(value.length);
  for (const item of value) {
    if (isMap(item) && reach(member(item, part), parts, at + 1, test, whole, meter)) return true;
  }
  return part.index >= 0 && part.index < value.length && reach(value[part.index], parts, at + 1, test, whole, meter);
}

function anyItem(list: readonly Value[], test: Test, meter: Meter): boolean {
  meter.spend(list.length);
  for (const item of list) if (test(item, meter)) return true;
  return false;
}

function isMap(value: Seen): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function member(value: Seen, part: Part): Seen {
  if (typeof value !== 'object' || value === null || value instanceof Date) return undefined;
  if (Array.isArray(value)) return part.index >= 0 ? value[part.index] : undefined;
  const map = value instanceof Uint8Array ? binaryDocument(value) : value;
  return Object.hasOwn(map, part.name) ? map[part.name] : undefined;
}
