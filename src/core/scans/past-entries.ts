// PastEntries: the entries that a pattern matched at a moment of the past, slice by slice. The history of each path and the
// current records are read side by side, in path order; for what has changed since, the bodies come from history.

import type { Formats } from '../adapter.js';
import type { Entry } from '../data/entry.js';
import { SLICE_BYTES } from '../data/entry-source.js';
import { RequestError } from '../errors.js';
import { type History, NOTHING_KEPT } from '../history/history.js';
import { outOfHistory, type PastFound, type PastMoment } from '../history/moment.js';
import { decodeChange, decodeTimeline } from '../history/rows.js';
import type { Floor } from '../history/rules.js';
import type { Pattern } from '../paths/pattern.js';
import { rangeOf, skipping } from '../paths/pattern-scan.js';
import { compareTexts } from '../query/values.js';
import type { Guard } from '../security/guards.js';
import { digits } from '../store/digits.js';
import { SECTION, StoreDamage, type StoreRow, type StoreScan } from '../store/store.js';
import { EntryScan, type EntrySlice, type ScanSource } from './entry-scan.js';

/** A slice ends when it looked at so many paths, or read so many bodies, each of which has to be sought. */
const SLICE_PATHS = 512;
const SLICE_READS = 64;

/** Where records and their past are. */
export interface PastEntrySource extends ScanSource {
  readonly history: History | null;
}

export class PastEntries {
  readonly #moment: PastMoment;
  readonly #guard: Guard | null;
  readonly #formats: Formats;
  readonly #floor: Floor;
  readonly #changes: StoreScan;
  readonly #timelines: TimelineFeed;
  readonly #present: EntryFeed;

  /**
   * As EntryScan. What `guard` may not get is not looked at. Throws RequestError: UNSUPPORTED (of some of the pattern no history is kept),
   * OUT_OF_HISTORY (nothing is known of what was removed since).
   */
  constructor(pattern: Pattern, after: string | null, moment: PastMoment, guard: Guard | null, source: PastEntrySource) {
    const floor = source.history?.rules.floorOf(pattern) ?? null;
    if (floor === null) throw new RequestError('UNSUPPORTED', `no history of all that ${pattern.text} matches is kept`);
    if (!moment.isBehind(floor)) throw outOfHistory(pattern.text);
    this.#moment = moment;
    this.#guard = guard;
    this.#formats = source.formats;
    this.#floor = floor;
    const { store } = source;
    // First the bodies: what is trimmed right now may still be among them, but no timeline names what is not.
    this.#changes = store.scan({ section: SECTION.history }, 1);
    this.#timelines = new TimelineFeed(store.scan({ ...rangeOf(pattern, after), section: SECTION.timeline }, SLICE_PATHS), pattern);
    this.#present = new EntryFeed(new EntryScan(pattern, after, source));
  }

  /**
   * The next slice, which may be empty; null: there are no more. Entries whose time was over then are among them. Rejects with
   * RequestError OUT_OF_HISTORY, StoreDamage, StoreFailure.
   */
  async next(): Promise<EntrySlice | null> {
    const [timelines, present] = [this.#timelines, this.#present];
    if (timelines.isOver && present.isOver) return null;
    const entries: Entry[] = [];
    let looked = 0;
    let reads = 0;
    let bytes = 0;
    for (let paths = 0; paths < SLICE_PATHS && reads < SLICE_READS && bytes < SLICE_BYTES; paths++) {
      if (timelines.isEmpty) looked += await timelines.fill();
      if (present.isEmpty) looked += await present.fill();
      // Nothing of what was read matches, or there is no more.
      if (timelines.isDry || present.isDry || (timelines.isEmpty && present.isEmpty)) break;
      looked += 1;
      const path = nextPath(timelines.path, present.path);
      const row = timelines.take(path);
      const current = present.take(path);
      if (this.#guard !== null && !this.#guard.rights.allows('get', path)) continue;
      const found = this.#find(path, row, current);
      if (found === null) continue;
      if (found.revision === current?.revision) {
        entries.push(current);
        continue;
      }
      const entry = await this.#entryAt(path, found.revision);
      entries.push(entry);
      reads += 1;
      bytes += entry.payload.size;
    }
    return { entries, looked };
  }

  #find(path: string, row: StoreRow | null, current: Entry | null): PastFound {
    const timeline = row === null ? NOTHING_KEPT : decodeTimeline(path, row.value);
    const found = this.#moment.find(timeline, current, this.#floor);
    if (found === undefined) throw outOfHistory(path);
    return found;
  }

  async #entryAt(path: string, revision: number): Promise<Entry> {
    const key = digits(revision);
    this.#changes.seek(key);
    const [row] = await this.#changes.next(1);
    const entry = row?.key === key ? decodeChange(key, row.value, this.#formats).entry : null;
    if (entry === null) throw new StoreDamage(`the history of ${JSON.stringify(path)} is not there at revision ${revision}`);
    return entry;
  }

  /** Goes on with the entry at this path, which was given before. */
  seek(path: string): void {
    this.#timelines.seek(path);
    this.#present.seek(path);
  }

  async close(): Promise<void> {
    await Promise.all([this.#timelines.close(), this.#present.close(), this.#changes.close()]);
  }
}

/** Of one of both there is one. */
function nextPath(left: string | null, right: string | null): string {
  if (left === null || right === null) return (left ?? right) as string;
  return compareTexts(left, right) <= 0 ? left : right;
}

/** Items of slices, one by one. */
abstract class Feed<Item> {
  /** There are no more. */
  isOver = false;
  #items: readonly Item[] = [];
  #at = 0;

  protected abstract pathOf(item: Item): string;
  /** Those of the next slice that match, and how many do not; null: there is none. */
  protected abstract read(): Promise<{ readonly items: readonly Item[]; readonly others: number } | null>;
  protected abstract seekSlice(path: string): void;
  abstract close(): Promise<void>;

  /** None is in hand. */
  get isEmpty(): boolean {
    return this.#at === this.#items.length;
  }

  /** None is in hand, and there may be more. */
  get isDry(): boolean {
    return this.isEmpty && !this.isOver;
  }

  /** That of the one in hand. */
  get path(): string | null {
    const item = this.#items[this.#at];
    return item === undefined ? null : this.pathOf(item);
  }

  /** The one in hand, if it is at this path. */
  take(path: string): Item | null {
    if (this.path !== path) return null;
    const item = this.#items[this.#at] as Item;
    this.#at += 1;
    return item;
  }

  /** How many were read that do not match. */
  async fill(): Promise<number> {
    if (this.isOver) return 0;
    const slice = await this.read();
    this.isOver = slice === null;
    this.#items = slice?.items ?? [];
    this.#at = 0;
    return slice?.others ?? 0;
  }

  seek(path: string): void {
    this.isOver = false;
    this.#items = [];
    this.#at = 0;
    this.seekSlice(path);
  }
}

class TimelineFeed extends Feed<StoreRow> {
  #slices: StoreScan;

  constructor(
    private readonly scan: StoreScan,
    private readonly pattern: Pattern,
  ) {
    super();
    this.#slices = skipping(scan, pattern, SLICE_PATHS);
  }

  protected override pathOf({ key }: StoreRow): string {
    return key;
  }

  protected override async read(): Promise<{ items: StoreRow[]; others: number } | null> {
    const rows = await this.#slices.next();
    if (rows.length === 0) return null;
    const items = rows.filter(({ key }) => this.pattern.matches(key));
    return { items, others: rows.length - items.length };
  }

  protected override seekSlice(path: string): void {
    this.scan.seek(path);
    this.#slices = skipping(this.scan, this.pattern, SLICE_PATHS);
  }

  override close(): Promise<void> {
    return this.scan.close();
  }
}

class EntryFeed extends Feed<Entry> {
  constructor(private readonly scan: EntryScan) {
    super();
  }

  protected override pathOf({ path }: Entry): string {
    return path;
  }

  protected override async read(): Promise<{ items: readonly Entry[]; others: number } | null> {
    const slice = await this.scan.next();
    return slice === null ? null : { items: slice.entries, others: slice.looked - slice.entries.length };
  }

  protected override seekSlice(path: string): void {
    this.scan.seek(path);
  }

  override close(): Promise<void> {
    return this.scan.close();
  }
}
