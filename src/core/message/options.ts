// Options: how a change or a read is to be done.

import type { Meta } from '../data/meta.js';
import type { Query } from '../query/query.js';

/** Delivery level of a publication: 0 at most once, 1 at least once, 2 exactly once. */
export type Qos = 0 | 1 | 2;

/**
 * `<record>.<name>.value` becomes greater by `by`, from 0 when the record or the counter is missing. INVALID_REQUEST when
 * there is something else than a number, or when the sum is no number that a Value may be. Others hear of the record, the given payload
 * is `{value, gauge: name}`.
 */
export interface Increment {
  readonly name: string;
  readonly by: number;
}

/** A moment of the past: right behind the change of that revision, or, when `revision` is null, a time in milliseconds since 1970. */
export interface AsOf {
  readonly revision: number | null;
  readonly time: number;
}

/** How `set` and `remove` behave. Share frozen constants for the common cases. */
export interface DataOptions {
  /** false: an event only, nothing is stored. */
  readonly store: boolean;
  /** false: nobody hears of it. */
  readonly publish: boolean;
  /** true: top-level keys of the payload's document form replace those of the record; the rest stays. */
  readonly merge: boolean;
  /** 'absent': only create (else CONFLICT); 'present': only change (else NOT_FOUND). */
  readonly condition: 'any' | 'absent' | 'present';
  /** Compare-and-set: the record's revision must be this (0: it must not exist), else CONFLICT. null: no comparison. */
  readonly expect: number | null;
  /** Level at which subscribers that know levels get it. */
  readonly qos: Qos;
  /** A removal of nothing is still news to everybody (else only to subscriptions that ask for requests). */
  readonly publishMissing: boolean;
  /** Shown beside the event; a set that stores keeps it with the record, a merge without it keeps what the record has. */
  readonly meta: Meta | null;
  /**
   * set: so many milliseconds after it the record is removed, or the event no longer handed out; 0: never. Each set decides
   * anew; a merge or an increment with 0 leaves the record's deadline as it is.
   */
  readonly lifetimeMs: number;
  /** set: adds to a counter of the record instead of taking the payload's value; see Increment. */
  readonly increment: Increment | null;
  /** Only these sessions hear of it, by id; null: whoever subscribed. */
  readonly targets: ReadonlySet<string> | null;
  /** The reply says who got it. */
  readonly receipt: boolean;
  /** The adapter's own, for its sessions that hear of it; the core never looks at it. */
  readonly note: unknown;
  /** Name of the user on whose behalf the session asks: whose rights count, and who is the author. null: its own. */
  readonly actor: string | null;
  /** get by wildcard: at most this many entries, in path order unless the query has another. */
  readonly limit: number;
  /** get by wildcard: only paths behind this one. */
  readonly after: string | null;
  /**
   * get: which records are answered, in what order, or only their number (`Reply.count`); what of them is shown is for who
   * writes the answer. remove: only what meets the criteria is removed, the rest of the query means nothing. null: all.
   */
  readonly query: Query | null;
  /**
   * get: the record, or what the pattern matched, as it was then (see History.at and PastEntries); INVALID_REQUEST in a transaction.
   * null: as it is.
   */
  readonly asOf: AsOf | null;
}

export const STORED: DataOptions = Object.freeze({
  store: true,
  publish: true,
  merge: false,
  condition: 'any',
  expect: null,
  qos: 1,
  publishMissing: false,
  meta: null,
  lifetimeMs: 0,
  increment: null,
  targets: null,
  receipt: false,
  note: null,
  actor: null,
  limit: Number.POSITIVE_INFINITY,
  after: null,
  query: null,
  asOf: null,
});

export const UNSTORED: DataOptions = Object.freeze({ ...STORED, store: false, qos: 0 });
