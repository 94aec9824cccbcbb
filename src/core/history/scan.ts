// What happened since a revision, read from history in slices, outside of turns, as of one moment.

import type { Formats } from '../adapter.js';
import { Publication, STORED } from '../message.js';
import type { Lanes } from '../pace/lanes.js';
import type { Pattern } from '../paths/pattern.js';
import { digits } from '../store/digits.js';
import { SECTION, type Store, type StoreRow } from '../store/store.js';
import type { History } from './history.js';
import { changedPathIn, decodeChange, type PastChange } from './rows.js';

const SLICE_ROWS = 512;
/** Of one path: its rows are read one by one, without waiting. */
const SLICE_READS = 64;

/** What one look back may bring; when there is more, it counts as forgotten. */
export interface PastLimits {
  readonly events: number;
  /** Of bodies and paths. */
  readonly bytes: number;
  /** Changes that are looked at for it. */
  readonly rows: number;
}

export const PAST_LIMITS: PastLimits = Object.freeze({ events: 10_000, bytes: 4 * 1024 * 1024, rows: 1_000_000 });

/** Where the changes of the past are. */
export interface ChangeSource {
  readonly history: History | null;
  readonly store: Store;
  readonly formats: Formats;
}

/** The changes of what `pattern` matches, behind revision `since`. The moment is that of the making; it must be read or closed. */
export class PastScan {
  /** null: nothing is known. */
  readonly #rows: PastRows | null;
  /** The last change of each path that was seen. */
  readonly #last = new Map<string, number>();
  readonly #found: Publication[] = [];
  #bytes = 0;
  #looked = 0;

  /** No change of a path that matches may be on its way to the store. `revision`: that of the last change. */
  constructor(
    private readonly pattern: Pattern,
    private readonly since: number,
    revision: number,
    private readonly source: ChangeSource,
  ) {
    const floor = source.history?.rules.floorOf(pattern) ?? null;
    const isKnown = floor !== null && since >= floor.revision && since <= revision;
    this.#rows = isKnown ? rowsOf(pattern, since, source) : null;
  }

  /** Oldest first; null: some of it is not known any more, or it is too much. Rejects with StoreDamage or StoreFailure. */
  async read(lanes: Lanes, limits: PastLimits): Promise<readonly Publication[] | null> {
    const scan = this.#rows;
    if (scan === null) return null;
    for (;;) {
      const rows = await lanes.hold(() => scan.next());
      if (rows === null || rows.length === 0) return rows === null ? null : this.#found;
      this.#looked += rows.length;
      if (!rows.every((row) => this.#take(row))) return null;
      if (this.#found.length > limits.events || this.#bytes > limits.bytes || this.#looked > limits.rows) return null;
    }
  }

  /** False: changes before this one are missing. */
  #take({ key, value }: StoreRow): boolean {
    if (!this.pattern.matches(changedPathIn(value))) return true;
    const change = decodeChange(key, value, this.source.formats);
    const { path, previous, revision, quiet } = change;
    if (previous > this.since && this.#last.get(path) !== previous) return false;
    this.#last.set(path, revision);
    if (quiet) return true;
    const publication = publicationOf(change);
    this.#found.push(publication);
    this.#bytes += publication.size;
    return true;
  }

  async close(): Promise<void> {
    await this.#rows?.close();
  }
}

/** Rows of history, oldest change first. */
interface PastRows {
  /** Empty: there are no more. null: one of them is not there any more. */
  next(): Promise<readonly StoreRow[] | null>;
  close(): Promise<void>;
}

/** Of one path, its own; else all behind the revision. */
function rowsOf({ exact }: Pattern, since: number, { history, store }: ChangeSource): PastRows {
  if (exact === null || history === null) return store.scan({ section: SECTION.history, gte: digits(since + 1) }, SLICE_ROWS);
  const changes = history.changesOf(exact).filter(({ revision }) => revision > since);
  return new OwnRows(
    changes.map(({ revision }) => digits(revision)),
    store,
  );
}

class OwnRows implements PastRows {
  #next = 0;

  constructor(
    private readonly keys: readonly string[],
    private readonly store: Store,
  ) {}

  async next(): Promise<readonly StoreRow[] | null> {
    const keys = this.keys.slice(this.#next, this.#next + SLICE_READS);
    this.#next += keys.length;
    const rows: StoreRow[] = [];
    for (const key of keys) {
      const value = this.store.read(SECTION.history, key);
      if (value === undefined) return null;
      rows.push({ key, value });
    }
    return rows;
  }

  async close(): Promise<void> {}
}

/** As it was; who caused it is not known any more, but by name. */
function publicationOf({ path, entry, revision, time, author }: PastChange): Publication {
  const options = entry === null ? STORED : { ...STORED, qos: entry.qos, meta: entry.meta };
  const payload = entry?.payload ?? null;
  const action = entry === null ? 'remove' : 'set';
  return new Publication(action, path, payload, payload, entry, entry === null ? 1 : 0, revision, time, options, '', null, author, 'all');
}
