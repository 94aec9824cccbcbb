// History: the last changes of records, where the configuration asks for it. They are written in the batch of the change, limited
// per record and in all, and answer what a record was. A past that is no longer known is reported as such, never guessed.

import { LRUCache } from 'lru-cache';
import type { Formats, Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import type { Entry } from '../data/entry.js';
import { ExpirySweep } from '../data/expiry.js';
import { DamagedRecord, type Records } from '../data/records.js';
import { RequestError } from '../errors.js';
import type { AsOf } from '../message.js';
import { digits } from '../store/digits.js';
import { SEALED_NOTHING } from '../store/seal.js';
import { SECTION, type Store, StoreDamage } from '../store/store.js';
import type { Turn } from '../turn.js';
import { outOfHistory, PastMoment } from './moment.js';
import {
  decodeChange,
  decodeTimeline,
  encodeChange,
  encodeTimeline,
  type PastChange,
  type PastRef,
  type PastState,
  pastExpiryKey,
  putHistoryBytes,
  readHistoryBytes,
  refOf,
  sizeOf,
  type Timeline,
} from './rows.js';
import { type Floor, type HistoryRule, HistoryRules, type HistorySettings, higherFloor } from './rules.js';

/** Above the bound, this part of it stays, so that not every change has to make room anew. */
const KEPT_OF_FULL = 0.95;
const CACHE_BYTES = 8 * 1024 * 1024;
const TIMELINE_BYTES = 256;
const STATE_BYTES = 64;

export const NOTHING_KEPT: Timeline = Object.freeze({ whole: true, states: Object.freeze([]) });

/** What a change takes the place of; null: nothing. */
type Before = Entry | DamagedRecord | null;

/** What a turn changes of history. */
export class PastView {
  /** By path; without states: nothing is kept any more. */
  readonly timelines = new Map<string, Timeline>();
  /** Of the sets that the turn keeps, by revision. */
  readonly entries = new Map<number, Entry>();
  /** By how much it changes the bytes of all history. */
  bytes = 0;
}

export interface HistoryParts {
  readonly store: Store;
  readonly formats: Formats;
  readonly counters: Counters;
  readonly log: Log;
  readonly settings: HistorySettings;
}

/** Where a record is looked for that still is what it was. */
export interface Present {
  readonly records: Records;
  /** Revision of the last change. */
  readonly revision: number;
}

export class History {
  rules: HistoryRules;
  /** The turn that is being executed, and the one that is being written. */
  executing: Turn | null = null;
  committing: Turn | null = null;
  readonly #parts: HistoryParts;
  readonly #expiry: ExpirySweep;
  /** By path. One transaction cannot touch so much that what it looked at first is gone when it is carried out. */
  readonly #timelines: LRUCache<string, Timeline>;
  #bytes = 0;
  #isFloorRaised = false;
  #isToldOfBound = false;
  readonly #overflown: Counter;
  readonly #damaged: Counter;

  constructor(parts: HistoryParts) {
    this.#parts = parts;
    this.rules = new HistoryRules([]);
    this.#expiry = new ExpirySweep(parts.store, SECTION.pastExpiry);
    this.#timelines = new LRUCache({
      maxSize: CACHE_BYTES,
      sizeCalculation: ({ states }, path) => TIMELINE_BYTES + path.length * 2 + states.length * STATE_BYTES,
    });
    const { counters } = parts;
    this.#overflown = counters.counter('history_overflown_total', 'Changes dropped from history because it had too many bytes');
    this.#damaged = counters.counter('history_damaged_total', 'Records whose history was damaged on disk and dropped');
    counters.gauge('history_bytes', 'Bytes of all history', () => this.#bytes);
  }

  /** With what the store says; see openHistory for `rules`. */
  load(rules: HistoryRules): void {
    this.forget();
    this.rules = rules;
    this.#isFloorRaised = false;
    this.#expiry.reset();
    this.#bytes = readHistoryBytes(this.#parts.store);
  }

  /** The store may differ from what was last read of it. */
  forget(): void {
    this.executing = null;
    this.committing = null;
    this.#timelines.clear();
  }

  // ---------------------------------------------------------------- changes

  /**
   * To be called before a change of `path` is made: for what the store holds, keeping it cannot fail then. Throws StoreFailure; damage
   * costs the path its history. `now`: what came before it is not known then.
   */
  prepare(path: string, now: Floor): void {
    const rule = this.rules.of(path);
    if (rule === null) return;
    try {
      this.#timelineOf(path);
    } catch (error) {
      if (!(error instanceof StoreDamage)) throw error;
      this.#damaged.add();
      this.#parts.log.error({ err: error }, 'the history of a record cannot be read: starting a new one');
      this.#timelines.set(path, NOTHING_KEPT);
      this.#raise(rule, now);
    }
  }

  /** A set is stored: `before` is what was there, also when that had expired. */
  keepSet(turn: Turn, entry: Entry, before: Before, quiet: boolean): void {
    const rule = this.rules.of(entry.path);
    if (rule === null) return;
    const { path, revision, modified: time, author } = entry;
    this.#keep(turn, rule, { path, revision, time, author, entry, quiet, previous: 0 }, before);
  }

  /** A record is removed. */
  keepRemoval(turn: Turn, before: Entry | DamagedRecord, change: Pick<PastChange, 'revision' | 'time' | 'author' | 'quiet'>): void {
    const { path } = before;
    const rule = this.rules.of(path);
    if (rule === null) return;
    this.#keep(turn, rule, { path, ...change, entry: null, previous: 0 }, before);
  }

  #keep(turn: Turn, rule: HistoryRule, change: PastChange, before: Before): void {
    const { path, time } = change;
    const known = this.#timelineOf(path);
    let { whole } = known;
    let states = [...known.states];
    if (!continues(known, before)) {
      whole = known.states.length === 0 && before === null;
      states = this.#beginAnew(turn, rule, known, change, before);
    }
    const last = states.at(-1);
    if (last !== undefined) states[states.length - 1] = this.#dated(turn, rule, path, last, time);
    const state = this.#put(turn, { ...change, previous: last?.revision ?? 0 });
    states.push(state.removed ? this.#dated(turn, rule, path, state, time) : state);
    while (states.length > rule.revisions) {
      this.#drop(turn, path, states.shift() as PastState);
      whole = false;
    }
    this.#setTimeline(turn, path, { whole, states });
  }

  /** What was before this change is known as far as the record that it finds goes. */
  #beginAnew(turn: Turn, rule: HistoryRule, known: Timeline, { path, revision, time }: PastChange, before: Before): PastState[] {
    for (const state of known.states) this.#drop(turn, path, state);
    if (known.states.length > 0) this.#raise(rule, { revision: revision - 1, time });
    if (before === null || before instanceof DamagedRecord) return [];
    const { revision: since, modified, author } = before;
    const change: PastChange = { path, revision: since, time: modified, author, entry: before, previous: 0, quiet: true };
    return [this.#put(turn, change)];
  }

  /** The change is not what its record is any more since `time`: from then on its age counts. */
  #dated(turn: Turn, { ageMs }: HistoryRule, path: string, state: PastState, time: number): PastState {
    this.#forgetDeadline(turn, path, state);
    if (ageMs === Number.POSITIVE_INFINITY) return { ...state, deadline: 0 };
    const deadline = time + ageMs;
    turn.batch.put(SECTION.pastExpiry, pastExpiryKey(deadline, path, state.revision), SEALED_NOTHING);
    this.#expiry.note(deadline);
    return { ...state, deadline };
  }

  #put(turn: Turn, change: PastChange): PastState {
    const { path, revision, time, entry } = change;
    const row = encodeChange(change);
    const size = sizeOf(row, path);
    const view = viewOf(turn);
    turn.batch.put(SECTION.history, digits(revision), row);
    view.bytes += size;
    if (entry !== null) view.entries.set(revision, entry);
    return { revision, time, deadline: 0, size, removed: entry === null };
  }

  #drop(turn: Turn, path: string, state: PastState): void {
    const view = viewOf(turn);
    turn.batch.delete(SECTION.history, digits(state.revision));
    this.#forgetDeadline(turn, path, state);
    view.bytes -= state.size;
    view.entries.delete(state.revision);
  }

  #forgetDeadline(turn: Turn, path: string, { deadline, revision }: PastState): void {
    if (deadline !== 0) turn.batch.delete(SECTION.pastExpiry, pastExpiryKey(deadline, path, revision));
  }

  #setTimeline(turn: Turn, path: string, timeline: Timeline): void {
    const isEmpty = timeline.states.length === 0;
    viewOf(turn).timelines.set(path, isEmpty ? NOTHING_KEPT : timeline);
    if (isEmpty) turn.batch.delete(SECTION.timeline, path);
    else turn.batch.put(SECTION.timeline, path, encodeTimeline(timeline));
  }

  #raise(rule: HistoryRule, floor: Floor): void {
    rule.floor = higherFloor(rule.floor, floor);
    this.#isFloorRaised = true;
  }

  // ---------------------------------------------------------------- bounds

  /** Gives up what `refs` name, as far as it is still there. */
  trim(turn: Turn, refs: readonly PastRef[], now: Floor): void {
    for (const ref of refs) {
      this.prepare(ref.path, now);
      const { states } = this.#timelineOf(ref.path);
      const state = states.find(({ revision }) => revision === ref.revision);
      if (state === undefined) this.#dropUnknown(turn, ref);
      else this.#trimOne(turn, ref.path, state, states);
    }
  }

  #trimOne(turn: Turn, path: string, state: PastState, states: readonly PastState[]): void {
    this.#drop(turn, path, state);
    const left = states.filter((other) => other !== state);
    const rule = this.rules.of(path);
    if (left.length === 0 && rule !== null) this.#raise(rule, state);
    this.#setTimeline(turn, path, { whole: false, states: left });
  }

  /** A change of which its timeline knows nothing, because that was damaged. */
  #dropUnknown(turn: Turn, { path, revision, deadline }: PastRef): void {
    const key = digits(revision);
    const row = this.#parts.store.read(SECTION.history, key);
    this.#drop(turn, path, { revision, time: 0, deadline, size: row === undefined ? 0 : sizeOf(row, path), removed: false });
  }

  /** There are more bytes than may be. */
  get isFull(): boolean {
    return this.#bytes > this.#parts.settings.maxBytes;
  }

  /** The sweep of what is too old begins anew. */
  resetExpiry(): void {
    this.#expiry.reset();
  }

  /** At most `max` changes whose age is over. */
  async overdue(now: number, max: number): Promise<readonly PastRef[]> {
    return (await this.#expiry.dueKeys(now, max)).map(refOf);
  }

  /** The first of the changes that have to go so that there is room again, at most `max`. */
  async excess(max: number): Promise<readonly PastRef[]> {
    const { store, formats, settings, log } = this.#parts;
    let over = this.#bytes - settings.maxBytes * KEPT_OF_FULL;
    const refs: PastRef[] = [];
    const scan = store.scan({ section: SECTION.history }, max);
    try {
      for (const { key, value } of await scan.next()) {
        if (over <= 0) break;
        const path = pathIn(key, value, formats);
        over -= sizeOf(value, path);
        refs.push({ path, revision: Number.parseInt(key, 16), deadline: 0 });
      }
    } finally {
      await scan.close();
    }
    this.#overflown.add(refs.length);
    if (!this.#isToldOfBound) log.info({ maxBytes: settings.maxBytes }, 'history has reached historyMaxBytes: dropping its oldest changes');
    this.#isToldOfBound = true;
    return refs;
  }

  // ---------------------------------------------------------------- reading

  /**
   * What was at `path` then; null: nothing. As of a revision, what has expired is there until it is removed, which is a change of its
   * own. Throws RequestError: UNSUPPORTED (no history of this path is kept), OUT_OF_HISTORY (it does not reach back so far),
   * INVALID_REQUEST (a moment that has not come yet); StoreDamage, StoreFailure.
   */
  at(path: string, asOf: AsOf, now: number, present: Present): Entry | null {
    const rule = this.rules.of(path);
    if (rule === null) throw new RequestError('UNSUPPORTED', `no history of ${path} is kept`);
    const moment = PastMoment.of(asOf, now, present.revision);
    const timeline = this.#timelineOf(path);
    const current = timeline.states.length === 0 ? present.records.stored(path) : null;
    const found = moment.find(timeline, current, rule.floor);
    if (found === undefined) throw outOfHistory(path);
    if (found === null) return null;
    const entry = found === current ? current : this.#entryOf(path, found.revision, present);
    return entry.isExpired(moment.time) ? null : entry;
  }

  /** The changes of this path that are kept, oldest first. Throws StoreDamage, StoreFailure. */
  changesOf(path: string): readonly PastState[] {
    return this.#timelineOf(path).states;
  }

  #entryOf(path: string, revision: number, { records }: Present): Entry {
    const current = records.stored(path);
    if (current?.revision === revision) return current;
    const changed = this.executing?.past?.entries.get(revision) ?? this.committing?.past?.entries.get(revision);
    if (changed !== undefined) return changed;
    const key = digits(revision);
    const row = this.#parts.store.read(SECTION.history, key);
    const entry = row === undefined ? null : decodeChange(key, row, this.#parts.formats).entry;
    if (entry === null) throw new StoreDamage(`the history of ${JSON.stringify(path)} is not there at revision ${revision}`);
    return entry;
  }

  #timelineOf(path: string): Timeline {
    const changed = this.executing?.past?.timelines.get(path) ?? this.committing?.past?.timelines.get(path);
    if (changed !== undefined) return changed;
    const cached = this.#timelines.get(path);
    if (cached !== undefined) return cached;
    const row = this.#parts.store.read(SECTION.timeline, path);
    const timeline = row === undefined ? NOTHING_KEPT : decodeTimeline(path, row);
    this.#timelines.set(path, timeline);
    return timeline;
  }

  // ---------------------------------------------------------------- the turn

  /** The turn is about to be written. */
  write(turn: Turn): void {
    if (this.#isFloorRaised) this.rules.write(turn.batch);
    this.#isFloorRaised = false;
    const bytes = turn.past?.bytes ?? 0;
    if (bytes !== 0) putHistoryBytes(turn.batch, this.#bytes + bytes);
  }

  /** The turn is written. */
  committed({ past }: Turn): void {
    this.committing = null;
    if (past === null) return;
    this.#bytes += past.bytes;
    for (const [path, timeline] of past.timelines) this.#timelines.set(path, timeline);
  }
}

/** Whether `before` is what the last change that is known left. What cannot be read is taken for it. */
function continues({ states }: Timeline, before: Before): boolean {
  const last = states.at(-1);
  if (before instanceof DamagedRecord) return last?.removed === false;
  if (last === undefined || last.removed) return before === null;
  return before?.revision === last.revision;
}

function viewOf(turn: Turn): PastView {
  turn.past ??= new PastView();
  return turn.past;
}

/** Empty when the row is damaged. */
function pathIn(key: string, value: Uint8Array, formats: Formats): string {
  try {
    return decodeChange(key, value, formats).path;
  } catch (error) {
    if (error instanceof StoreDamage) return '';
    throw error;
  }
}
