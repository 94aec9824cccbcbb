// Projection: the part of a record that is shown when fields were asked for.

import type { Entry } from '../data/entry.js';
import type { Value } from '../data/payload.js';
import { type Document, documentOf, isDocument } from '../data/value.js';
import { asMap, invalid } from './checks.js';
import { fieldName, type MetaName, metaOf } from './fields.js';

const FIELDS_MAX = 100;

/** What a record is shown as. */
export interface Projected {
  /** Null: no document is shown. */
  readonly document: Document | null;
  /** Of path, created, modified, modifiedBy and _id what is shown. */
  readonly meta: Document;
}

/** The wanted members of a map; null: all that is there. */
type Wanted = Map<string, Wanted | null>;

export class Projection {
  readonly #meta: ReadonlySet<MetaName>;
  readonly #document: Wanted;

  private constructor(meta: ReadonlySet<MetaName>, document: Wanted) {
    this.#meta = meta;
    this.#document = document;
  }

  /** {field: 1, …}: only what is named is shown. Throws RequestError INVALID_REQUEST. */
  static parse(fields: unknown): Projection {
    const map = asMap(fields, 'fields');
    const names = Object.keys(map);
    if (names.length > FIELDS_MAX) throw invalid(`fields has more than ${FIELDS_MAX} names`);
    const meta = new Set<MetaName>();
    const document: Wanted = new Map();
    for (const name of names) {
      if (name.startsWith('$')) throw invalid(`the operator ${name.slice(0, 60)} is not supported in fields`);
      const wanted = map[name];
      // The usual way to say that the id, which is shown only if it is asked for, is not wanted.
      if (name === '_id' && (wanted === 0 || wanted === false)) continue;
      if (wanted !== 1 && wanted !== true) throw invalid('each name in fields takes 1: fields can only be named to be shown');
      const field = fieldName(name);
      if (field.of === 'record') meta.add(field.name);
      else if (field.of === 'document')
        want(
          document,
          field.parts.map((part) => part.name),
        );
    }
    return new Projection(meta, document);
  }

  project(entry: Entry): Projected {
    const document = this.#document.size === 0 ? {} : (pick(documentOf(entry.payload.look()), this.#document) as Document);
    return { document, meta: this.#metaOf(entry) };
  }

  #metaOf(entry: Entry): Document {
    const all = metaOf(entry);
    if (this.#meta.has('_meta')) return all;
    const shown: Document = {};
    for (const name of Object.keys(all)) if (this.#meta.has(name as MetaName)) shown[name] = all[name] as Value;
    if (this.#meta.has('_id')) shown._id = entry.path;
    return shown;
  }
}

function want(wanted: Wanted, names: readonly string[]): void {
  let at = wanted;
  for (const [i, name] of names.entries()) {
    const known = at.get(name);
    if (known === null) return;
    if (i === names.length - 1) at.set(name, null);
    else if (known === undefined) {
      const next: Wanted = new Map();
      at.set(name, next);
      at = next;
    } else at = known;
  }
}

/** Of a list, its lists and maps with what is wanted of them; undefined: nothing of it can be wanted. */
function pick(value: Value, wanted: Wanted): Value | undefined {
  if (Array.isArray(value)) return value.map((item) => pick(item, wanted)).filter((item) => item !== undefined);
  if (!isDocument(value)) return undefined;
  const picked: Document = {};
  for (const key of Object.keys(value)) {
    const below = wanted.get(key);
    if (below === undefined) continue;
    const member = value[key] as Value;
    const shown = below === null ? member : pick(member, below);
    if (shown !== undefined) picked[key] = shown;
  }
  return picked;
}
