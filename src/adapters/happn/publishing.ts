// Who hears of a set or a remove, and when its publisher learns of it: consistency, target clients, clusters, custom meta.

import { type DataOptions, type Document, Meta, type Receipt, RequestError, type Session } from '../../core/index.js';
import { fieldsOf } from './fields.js';
import { type Fields, RESERVED_META } from './wire.js';

/**
 * 0 and 1: the publisher is answered, and told who got it in a frame of its own. 2: the answer comes when everybody has it.
 * 3: as 1, once all have acknowledged it.
 */
export type Consistency = 0 | 1 | 2 | 3;

export const ACKNOWLEDGED = 3;
export const TRANSACTIONAL = 2;

/** What happn sessions need to know of a publication of one of theirs beyond what the core knows. */
export class Note {
  constructor(
    readonly consistency: Consistency,
    /** Members of a cluster do not hear of it. */
    readonly noCluster: boolean,
    /** The answer says who got it. */
    readonly results: boolean,
  ) {}
}

// Indexed by consistency (x 4), noCluster (2), results (1).
const NOTES: readonly Note[] = ([0, 1, 2, 3] as const).flatMap((consistency) =>
  [0, 1, 2, 3].map((bits) => Object.freeze(new Note(consistency, (bits & 2) !== 0, (bits & 1) !== 0))),
);

/** null: a publication of another protocol, or one without anything special. */
export function noteOf({ note }: DataOptions): Note | null {
  return note instanceof Note ? note : null;
}

export function consistencyOf({ note }: DataOptions): Consistency {
  return note instanceof Note ? note.consistency : TRANSACTIONAL;
}

/** `base` as the options of a set or remove say; `base` itself when they say nothing. Throws INVALID_REQUEST. */
export function routed(base: DataOptions, options: Fields): DataOptions {
  const meta = customMeta(options.meta);
  const targets = targetsIn(options.targetClients);
  const note = noteIn(options);
  if (meta === null && targets === null && note === null) return base;
  const receipt = note !== null && (note.consistency !== TRANSACTIONAL || note.results);
  return { ...base, meta, targets, receipt, note };
}

function customMeta(meta: unknown): Meta | null {
  if (meta === undefined || meta === null) return null;
  const kept = Object.entries(fieldsOf(meta, 'options.meta')).filter(([key]) => !RESERVED_META.has(key));
  return Meta.fromValues(Object.fromEntries(kept) as Document);
}

function targetsIn(ids: unknown): ReadonlySet<string> | null {
  if (ids === undefined || ids === null) return null;
  if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'string')) {
    throw new RequestError('INVALID_REQUEST', 'options.targetClients must be an array of session ids');
  }
  return new Set<string>(ids);
}

function noteIn({ consistency, noCluster, publishResults }: Fields): Note | null {
  const level = consistency ?? TRANSACTIONAL;
  if (level !== 0 && level !== 1 && level !== 2 && level !== 3) {
    throw new RequestError('INVALID_REQUEST', 'options.consistency must be 0, 1, 2 or 3');
  }
  const bits = (noCluster ? 2 : 0) | (publishResults ? 1 : 0);
  return level === TRANSACTIONAL && bits === 0 ? null : (NOTES[level * 4 + bits] as Note);
}

/** Counted in subscriptions: a session that hears of it on two channels counts twice. */
export interface Results {
  readonly successful: number;
  readonly failed: number;
  readonly skipped: number;
  readonly queued: number;
}

/** Who got it. `members`: sessions that called themselves members of a cluster. */
export function resultsOf(receipt: Receipt, note: Note, members: ReadonlySet<Session>): Results {
  const leftOut = note.noCluster && members.size > 0 ? receipt.sessions.filter((session) => members.has(session)).length : 0;
  const successful = receipt.sessions.length - leftOut;
  return { successful, failed: 0, skipped: receipt.skipped + leftOut, queued: receipt.matched };
}
