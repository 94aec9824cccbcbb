// Expiry: an index of records by deadline, and the sweep that has expired ones removed.

import { DIGITS, digits } from '../store/digits.js';
import { SECTION, type Section, type Store, type StoreRow } from '../store/store.js';

export function expiryKey(deadline: number, path: string): string {
  return `${deadlineText(deadline)}/${path}`;
}

function deadlineText(deadline: number): string {
  return digits(Math.ceil(deadline));
}

/** What a key says. */
export interface Expiry {
  readonly deadline: number;
  readonly path: string;
}

export function expiryOf(key: string): Expiry {
  return { deadline: deadlineOf(key), path: key.slice(DIGITS + 1) };
}

function deadlineOf(key: string): number {
  return Number.parseInt(key.slice(0, DIGITS), 16);
}

/** Finds expired records, the longest expired first. Reads nothing while the first deadline it knows of lies ahead. */
export class ExpirySweep {
  /** No record has an earlier deadline; Infinity: none has one. */
  #next = 0;

  /** `section`: of the index. */
  constructor(
    private readonly store: Store,
    private readonly section: Section = SECTION.expiry,
  ) {}

  /** A record with this deadline (0: none) is stored. */
  note(deadline: number): void {
    if (deadline !== 0 && deadline < this.#next) this.#next = deadline;
  }

  /** Everything has to be looked at anew. */
  reset(): void {
    this.#next = 0;
  }

  /** At most `max` records whose deadline is not after `now`. */
  async due(now: number, max: number): Promise<readonly Expiry[]> {
    return (await this.dueKeys(now, max)).map(expiryOf);
  }

  /** The same as the keys of the index. */
  async dueKeys(now: number, max: number): Promise<readonly string[]> {
    if (now < this.#next) return [];
    // What is stored while this reads may have an earlier deadline than what this finds.
    this.#next = Number.POSITIVE_INFINITY;
    const rows = await this.#first(max);
    const due = rows.filter(({ key }) => deadlineOf(key) <= now);
    const ahead = rows[due.length];
    if (ahead !== undefined) this.note(deadlineOf(ahead.key));
    else if (due.length > 0) this.reset();
    return due.map(({ key }) => key);
  }

  async #first(max: number): Promise<readonly StoreRow[]> {
    const scan = this.store.scan({ section: this.section }, max);
    try {
      return await scan.next();
    } finally {
      await scan.close();
    }
  }
}
