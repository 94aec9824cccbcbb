// Tags: snapshots of records, each a record of its own below /_TAGS that carries its tag's name in its meta.

import { randomBytes } from 'node:crypto';
import { type Document, documentOf, type Entry, isDocument } from '../../core/index.js';

/** Where the snapshots are: the path of the record follows as it is. */
const TAGS = '/_TAGS';
const UNDERSCORE = 95;

/** 32 hexadecimal digits that were never given before. */
export function newId(): string {
  return randomBytes(16).toString('hex');
}

/** A place of its own for one more snapshot of the record at `path`. */
export function snapshotPath(path: string): string {
  return `${TAGS}${path}/${newId()}`;
}

/** What is stored for a tag. Like all meta, its `_meta` is shown to happn beside the data, not in it. */
export function snapshotOf({ payload, created, modified, path }: Entry, tag: string): Document {
  return { data: documentOf(payload.value()), created, modified, _id: path, _meta: { path, tag } };
}

/** The name of a snapshot; null for every other record. */
export function tagOf({ path, payload }: Entry): string | null {
  if (path.charCodeAt(1) !== UNDERSCORE || !path.startsWith(TAGS)) return null;
  const value = payload.value();
  const meta = isDocument(value) && Object.hasOwn(value, '_meta') ? value._meta : undefined;
  const tag = meta !== undefined && isDocument(meta) && Object.hasOwn(meta, 'tag') ? meta.tag : undefined;
  return typeof tag === 'string' ? tag : null;
}
