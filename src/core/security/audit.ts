// Audit: who did what to users, groups, permissions, tokens, sessions and the roles of this node, and who was refused. Each entry is
// logged and stored: a change of the directory in the batch of that change, anything else in one soon after. All stored entries are
// in memory.

import type { Clock, Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import { eachRow } from '../store/each-row.js';
import { SECTION, type Store } from '../store/store.js';
import type { Turn } from '../turn.js';
import {
  type AuditEntry,
  type AuditEvent,
  type AuditFilter,
  type AuditLimits,
  type AuditPage,
  bounded,
  isMeant,
  KINDS,
  type Kind,
  kindOf,
  limitOf,
  type NotedEvent,
} from './audit-entries.js';
import { decodeAuditEntry, encodeAuditEntry, entryKey } from './audit-rows.js';
import { type DelegatedAct, Delegations } from './delegations.js';

export const AUDIT_LIMITS: AuditLimits = Object.freeze({
  maxEntries: 10_000,
  maxRefusals: 2_000,
  maxDelegations: 2_000,
  maxAgeMs: 90 * 24 * 3_600_000,
});

/** Refusals that are noted in one second; more are counted alone. */
export const REFUSALS_PER_SECOND = 20;
/** Events that wait for a store that takes nothing; of more, those that waited longest are given up and counted. */
const NOTED_MAX = 10_000;
/** Entries that give way at once. */
const DROPPED_AT_A_TIME = 1_000;

export class Audit {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #counters: Counters;
  readonly #limits: AuditLimits;
  readonly #left: Counter;
  /** Each in the order of numbers. */
  #kept: Readonly<Record<Kind, AuditEntry[]>> = { done: [], refused: [], delegated: [] };
  /** Of the newest entry. */
  #number = 0;
  #noted: NotedEvent[] = [];
  readonly #delegations = new Delegations();
  #onDone: () => void = () => {};
  /** The second that refusals are counted in, and how many there were. */
  #second = 0;
  #refusals = 0;

  constructor(clock: Clock, log: Log, counters: Counters, limits: AuditLimits = AUDIT_LIMITS) {
    this.#clock = clock;
    this.#log = log;
    this.#counters = counters;
    this.#limits = limits;
    this.#left = counters.counter('audit_left_out_total', 'Refusals not recorded in the audit because there were too many at once');
    counters.gauge('audit_entries', 'Entries of the audit', () => this.size);
  }

  get size(): number {
    return KINDS.reduce((sum, kind) => sum + this.#kept[kind].length, 0);
  }

  /** Replaces everything in memory by what the store holds; what was noted stays. Rejects with StoreDamage. */
  async load(store: Store): Promise<void> {
    const kept: Record<Kind, AuditEntry[]> = { done: [], refused: [], delegated: [] };
    let last = 0;
    await eachRow(store, SECTION.audit, ({ key, value }) => {
      const entry = decodeAuditEntry(key, value);
      kept[kindOf(entry)].push(entry);
      last = entry.number;
    });
    this.#kept = kept;
    // Numbers that were given are known outside, also those of entries that the store did not take.
    this.#number = Math.max(this.#number, last);
  }

  // What happens.

  /** Calls `onDone` when something is noted that was done: it is to be entered soon. */
  whenDone(onDone: () => void): void {
    this.#onDone = onDone;
  }

  /** Notes what happened outside of an operation, and writes the line of the log. */
  add(given: AuditEvent): void {
    const event = bounded(given);
    this.#count(event);
    if (event.refusal !== null && !this.#hasRoom()) {
      this.#left.add();
      return;
    }
    this.#keep(event);
    if (event.refusal === null) this.#onDone();
  }

  /** Notes something that was done in somebody else's name: one entry for many. */
  delegated(act: DelegatedAct): void {
    this.#endMinute(false);
    const event = this.#delegations.note(act);
    if (event === null) return;
    this.#count(event);
    this.#keep(bounded(event));
  }

  /** The line of the log for what an operation entered. */
  tell(given: AuditEvent): void {
    const event = bounded(given);
    this.#count(event);
    this.#write(event);
  }

  // What is kept.

  /**
   * What is to be entered by an operation; whoever takes it gives it back if the store refuses that. `last`: nothing comes behind it, so
   * that what is counted for a minute is entered before that is over.
   */
  take(last = false): readonly NotedEvent[] {
    this.#endMinute(last);
    const noted = this.#noted;
    this.#noted = [];
    return noted;
  }

  giveBack(events: readonly NotedEvent[]): void {
    const later = this.#noted;
    this.#noted = [];
    this.#note([...events, ...later]);
  }

  /** An operation's: in its turn's batch, and taken back with it. */
  enter({ event: given, time }: NotedEvent, turn: Turn): void {
    const event = bounded(given);
    this.#number += 1;
    const entry: AuditEntry = Object.freeze({ ...event, number: this.#number, time });
    const kind = kindOf(event);
    const entries = this.#kept[kind];
    const max = limitOf(kind, this.#limits);
    // At the bound some go at once, so that keeping one costs little.
    if (entries.length >= max) this.#drop(kind, Math.min(DROPPED_AT_A_TIME, entries.length - max + Math.ceil(max / 10)), turn);
    turn.batch.put(SECTION.audit, entryKey(entry), encodeAuditEntry(entry));
    entries.push(entry);
    turn.onRefused(() => this.#forget(kind, entry));
  }

  hasOverdue(now: number): boolean {
    return KINDS.some((kind) => this.#overdue(kind, now) > 0);
  }

  /** An operation's: what is too old gives way, not more than may go at a time. */
  dropOverdue(now: number, turn: Turn): void {
    for (const kind of KINDS) this.#drop(kind, Math.min(DROPPED_AT_A_TIME, this.#overdue(kind, now)), turn);
  }

  list(filter: AuditFilter): AuditPage {
    const { after, before, limit } = filter;
    const isFound = (entry: AuditEntry): boolean =>
      (after === null || entry.number > after) && (before === null || entry.number < before) && isMeant(entry, filter);
    const found = KINDS.flatMap((kind) => this.#kept[kind].filter(isFound)).sort((a, b) => a.number - b.number);
    if (after !== null) return { entries: found.slice(0, limit), older: false };
    return { entries: found.slice(Math.max(0, found.length - limit)), older: found.length > limit };
  }

  #endMinute(force: boolean): void {
    for (const event of this.#delegations.over(this.#clock.now(), force)) this.#keep(bounded(event));
  }

  #keep(event: AuditEvent): void {
    this.#write(event);
    this.#note([{ event, time: this.#clock.now() }]);
  }

  #note(events: readonly NotedEvent[]): void {
    this.#noted.push(...events);
    const over = this.#noted.length - NOTED_MAX;
    if (over <= 0) return;
    this.#noted.splice(0, over);
    this.#left.add(over);
  }

  /** How many of the oldest are too old; the newest of all stays, so that no number is given twice. */
  #overdue(kind: Kind, now: number): number {
    const { maxAgeMs } = this.#limits;
    if (maxAgeMs === 0) return 0;
    const entries = this.#kept[kind];
    const isOver = ({ time, number }: AuditEntry): boolean => time + maxAgeMs <= now && number !== this.#number;
    const index = entries.findIndex((entry) => !isOver(entry));
    return index === -1 ? entries.length : index;
  }

  #drop(kind: Kind, count: number, turn: Turn): void {
    if (count === 0) return;
    const entries = this.#kept[kind];
    const dropped = entries.splice(0, count);
    for (const entry of dropped) turn.batch.delete(SECTION.audit, entryKey(entry));
    turn.onRefused(() => void entries.unshift(...dropped));
  }

  #forget(kind: Kind, entry: AuditEntry): void {
    const entries = this.#kept[kind];
    const at = entries.lastIndexOf(entry);
    if (at !== -1) entries.splice(at, 1);
  }

  #count({ action, refusal }: AuditEvent): void {
    const outcome = refusal === null ? 'done' : 'refused';
    this.#counters.counter(`audit_total{action="${action}",outcome="${outcome}"}`, 'What was done to users, rights and sessions').add();
  }

  #write(event: AuditEvent): void {
    this.#log.info({ audit: true, ...event }, `${event.action} ${event.refusal === null ? 'done' : 'refused'}`);
  }

  #hasRoom(): boolean {
    const second = Math.floor(this.#clock.monotonic() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#refusals = 0;
    }
    this.#refusals += 1;
    return this.#refusals <= REFUSALS_PER_SECOND;
  }
}
