// Audit: who did what to users, groups, permissions, tokens, sessions and the roles of this node, and who was refused. Each entry is
// a line of the log and a place in memory; both are bounded, and nobody who is refused pushes out what was done.

import type { Clock, Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import type { RequestErrorCode } from '../errors.js';

export const AUDIT_ACTIONS = [
  'user.put',
  'user.delete',
  'user.password',
  'user.link',
  'user.unlink',
  'group.put',
  'group.delete',
  'permission.change',
  'lookup.put',
  'lookup.delete',
  'token.issue',
  'token.revoke',
  'token.revokeAll',
  'session.end',
  'control.change',
  'login',
] as const;

export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/** What somebody did or wanted to do. Holds no secrets: of a password it says that there is another. */
export interface AuditEvent {
  readonly action: AuditAction;
  /** User who asked; empty: the gateway itself, or nobody who logged in. */
  readonly actor: string;
  /** Name of the user or group, id of the token or session, or path that it is about. */
  readonly target: string;
  /** null: it was done. */
  readonly refusal: RequestErrorCode | null;
  /** Name of the adapter, `http` or `admin`; `core`: the gateway itself. */
  readonly protocol: string;
  /** Address of the peer, where there is one. */
  readonly address: string;
  /** Names of what changed, and the like: JSON. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface AuditEntry extends AuditEvent {
  /** Counted from 1 since the start. */
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly time: number;
}

export interface AuditFilter {
  /** Only entries with a greater number, the oldest first; null: the newest ones. */
  readonly after: number | null;
  readonly limit: number;
  readonly action: AuditAction | null;
  readonly actor: string | null;
}

export const AUDIT_LIMITS = Object.freeze({
  /** Entries of what was done, and of what was refused, that are kept in memory; the oldest give way. */
  done: 10_000,
  refused: 2_000,
  /** Refusals that are entered in one second; more are counted alone. */
  refusalsPerSecond: 20,
  /** UTF-16 units of actor, target and address: a peer chooses some of them. */
  textLength: 256,
});

export class Audit {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #counters: Counters;
  readonly #limits: typeof AUDIT_LIMITS;
  readonly #done: AuditEntry[] = [];
  readonly #refused: AuditEntry[] = [];
  #number = 0;
  /** The second that refusals are counted in, and how many there were. */
  #second = 0;
  #refusals = 0;
  readonly #left: Counter;

  constructor(clock: Clock, log: Log, counters: Counters, limits = AUDIT_LIMITS) {
    this.#clock = clock;
    this.#log = log;
    this.#counters = counters;
    this.#limits = limits;
    this.#left = counters.counter('audit_left_out_total', 'Refusals that were not entered because there were too many at once');
  }

  add(event: AuditEvent): void {
    const isRefusal = event.refusal !== null;
    const outcome = isRefusal ? 'refused' : 'done';
    this.#counters
      .counter(`audit_total{action="${event.action}",outcome="${outcome}"}`, 'What was done to users, rights and sessions')
      .add();
    if (isRefusal && !this.#hasRoom()) {
      this.#left.add();
      return;
    }
    const { textLength } = this.#limits;
    const [actor, target, address] = [event.actor, event.target, event.address].map((text) => text.slice(0, textLength)) as [
      string,
      string,
      string,
    ];
    this.#number += 1;
    const entry = Object.freeze({ ...event, actor, target, address, number: this.#number, time: this.#clock.now() });
    keep(isRefusal ? this.#refused : this.#done, entry, isRefusal ? this.#limits.refused : this.#limits.done);
    const { time: _time, ...fields } = entry;
    this.#log.info({ audit: true, ...fields }, `${event.action} ${outcome}`);
  }

  /** In the order in which they were entered. */
  list({ after, limit, action, actor }: AuditFilter): AuditEntry[] {
    const isMeant = (entry: AuditEntry): boolean =>
      (after === null || entry.number > after) && (action === null || entry.action === action) && (actor === null || entry.actor === actor);
    const found = [...this.#done.filter(isMeant), ...this.#refused.filter(isMeant)].sort((a, b) => a.number - b.number);
    return after === null ? found.slice(Math.max(0, found.length - limit)) : found.slice(0, limit);
  }

  #hasRoom(): boolean {
    const second = Math.floor(this.#clock.monotonic() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#refusals = 0;
    }
    this.#refusals += 1;
    return this.#refusals <= this.#limits.refusalsPerSecond;
  }
}

/** At the bound a tenth goes at once, so that keeping one costs little. */
function keep(entries: AuditEntry[], entry: AuditEntry, max: number): void {
  if (entries.length >= max) entries.splice(0, Math.max(1, Math.floor(max / 10)));
  entries.push(entry);
}
