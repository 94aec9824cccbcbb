// Commits: writes a turn's batch, one at a time, and settles its requests when the store has it (under durability `none`, before).
// While a turn is written, the next one is filled, if both change only records: its batch follows at once, before anybody is told
// of the first, so that neither disk nor processor waits for the other.

import type { Counter, Counters } from '../counters.js';
import type { Records } from '../data/records.js';
import type { Tally } from '../data/tally.js';
import type { History } from '../history/history.js';
import type { State } from '../operations/run.js';
import type { PathIndex } from '../paths/path-index.js';
import type { Durability, Store, StoreState } from '../store/store.js';
import { Turn } from '../turn.js';
import type { Delivery } from './delivery.js';
import type { Intake } from './intake.js';
import { writeAhead } from './reply-runs.js';

export interface CommitParts {
  readonly store: Store;
  readonly durability: Durability;
  readonly state: State;
  readonly tally: Tally;
  readonly intake: Intake;
  readonly delivery: Delivery;
  readonly counters: Counters;
  /** The store has a turn, and its requests are settled. */
  readonly committed: () => void;
  /** The store has nothing of these turns, the older one first, and takes no other before it is reopened. */
  readonly refused: (turns: readonly Turn[], error: unknown) => void;
}

export class Commits {
  readonly #store: Store;
  /** Without durability all but the answers in slices is said before the batch is written. */
  readonly isSaidBefore: boolean;
  readonly #state: State;
  readonly #records: Records;
  readonly #tally: Tally;
  readonly #paths: PathIndex;
  readonly #history: History | null;
  readonly #intake: Intake;
  readonly #delivery: Delivery;
  readonly #onCommitted: () => void;
  readonly #onRefused: (turns: readonly Turn[], error: unknown) => void;
  readonly #turns: Counter;
  readonly #failures: Counter;
  /** The turn that is being written, */
  #turn: Turn | null = null;
  /** and the one that is executed meanwhile. */
  #next: Turn | null = null;
  /** What the store holds. */
  #stored: StoreState = { batch: 0, revision: 0, applied: 0 };

  constructor(parts: CommitParts) {
    const { state, counters } = parts;
    this.#store = parts.store;
    this.isSaidBefore = parts.durability === 'none';
    this.#state = state;
    this.#records = state.records;
    this.#tally = parts.tally;
    this.#paths = state.paths;
    this.#history = state.history;
    this.#intake = parts.intake;
    this.#delivery = parts.delivery;
    this.#onCommitted = parts.committed;
    this.#onRefused = parts.refused;
    this.#turns = counters.counter('batches_total', 'Batches written to the store');
    this.#failures = counters.counter('store_failures_total', 'Batches that the store refused');
  }

  /** A batch is being written: no other can be begun. */
  get isWriting(): boolean {
    return this.#turn !== null;
  }

  /** Something may be executed in a turn behind the one that is being written. */
  get isOpenAhead(): boolean {
    return this.#turn?.isPlain === true && this.#next?.closed !== true;
  }

  /** The turn to be filled now; null: none can be begun before the one that is being written is done. */
  open(): Turn | null {
    if (this.#turn === null) return new Turn(this.#store, this.#records);
    if (!this.#turn.isPlain) return null;
    this.#next ??= new Turn(this.#store, this.#records);
    return this.#next;
  }

  /** Number of the last change that the store holds. */
  get revision(): number {
    return this.#stored.revision;
  }

  /** The store was opened and holds this. */
  restore(stored: StoreState): void {
    const state = this.#state;
    this.#stored = stored;
    state.committed = stored.revision;
    state.expiry.reset();
    state.revision = stored.revision;
    state.applied = stored.applied;
  }

  /** Writes the turn's batch, now or behind that of the turn before; settles when nothing changed. */
  finish(turn: Turn): void {
    if (turn === this.#next || turn.requests.length === 0) return;
    if (turn.changes === 0) {
      this.#settle(turn);
      return;
    }
    this.#write(turn);
    if (!this.isSaidBefore) writeAhead(turn);
  }

  #write(turn: Turn): void {
    const next: StoreState = { batch: this.#stored.batch + 1, revision: this.#state.revision, applied: this.#state.applied };
    this.#turn = turn;
    this.#records.writing(turn.changed);
    this.#tally.write(turn);
    if (this.#history !== null) this.#history.committing = turn;
    this.#history?.write(turn);
    this.#turns.add();
    if (this.isSaidBefore) this.#sayAll(turn, false);
    this.#store.write(turn.batch, next).then(
      () => this.#committed(turn, next),
      (error: unknown) => this.#refused(this.#next === null ? [turn] : [turn, this.#next], error),
    );
  }

  #committed(turn: Turn, stored: StoreState): void {
    this.#stored = stored;
    this.#state.committed = stored.revision;
    this.#tally.committed(turn);
    this.#history?.committed(turn);
    const next = this.#next;
    this.#next = null;
    this.#turn = null;
    this.#records.committed(stored.revision);
    if (next !== null && next.changes > 0) this.#write(next);
    this.#paths.committed(turn.paths);
    if (this.isSaidBefore) {
      this.#settleRequests(turn);
      this.#sayAll(turn, true);
    } else {
      this.#settle(turn);
    }
    if (next !== null && next.changes === 0) this.#settle(next);
    this.#onCommitted();
    if (this.#turn !== null && !this.isSaidBefore) writeAhead(this.#turn);
  }

  /** The store failed while nothing was being written. */
  failed(error: unknown): void {
    this.#refused([], error);
  }

  #refused(turns: readonly Turn[], error: unknown): void {
    this.#failures.add();
    this.#turn = null;
    this.#next = null;
    this.forget();
    this.#onRefused(turns, error);
  }

  /** What memory holds of the records in the store may be something else than what that has. */
  forget(): void {
    this.#records.forget();
    this.#paths.reset();
    this.#history?.forget();
  }

  #settle(turn: Turn): void {
    this.#settleRequests(turn);
    for (const outcome of turn.outcomes) this.#delivery.settle(outcome);
  }

  /** Nothing has to wait for the turn's requests any more. */
  #settleRequests(turn: Turn): void {
    const { pending, inbound } = this.#intake;
    pending.end(turn);
    for (const request of turn.requests) {
      pending.remove(request);
      if (request.kind !== 'slice' && !pending.reading.has(request)) inbound.settled(request);
    }
  }

  /** Without durability the news goes out before the batch is written; only jobs must read what is written. */
  #sayAll(turn: Turn, jobs: boolean): void {
    for (const outcome of turn.outcomes) if ((typeof outcome === 'function') === jobs) this.#delivery.settle(outcome);
  }
}
