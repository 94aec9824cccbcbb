// Guesses: each wrong password delays further attempts, only for that user from that address, so that
// nobody elsewhere can keep the owner out (IPv6 addresses count by their first half). If configured,
// the user is locked for everybody, too. Users that do not exist are treated like those that do.

import { LRUCache } from 'lru-cache';
import { type Clock, type Counters, networkOf, RequestError } from '../core/index.js';

export interface LockoutOptions {
  /** Wrong passwords in a row that lock a user; 0: none do. */
  readonly attempts: number;
  /** From the last of them on. */
  readonly ms: number;
}

/** As many mistakes cost nothing. */
export const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 250;
export const MAX_DELAY_MS = 60_000;
/** An attempt that would have to wait longer than this is refused, and not looked at. */
export const MAX_HELD_MS = 5_000;
const FORGOTTEN_MS = 15 * 60_000;
/** Pairs of address and user, and users; who has been quiet longest is forgotten first. */
export const MAX_KEPT = 20_000;

interface Guesser {
  failures: number;
  /** When the next attempt is looked at, in monotonic milliseconds. */
  nextAt: number;
  lastAt: number;
}

/** Locks that outlive this run. */
export interface KeptLocks {
  /** Milliseconds since 1970; null: not locked. */
  until(user: string): number | null;
  /** Rejects when the store does not take it. */
  lock(user: string, until: number): Promise<void>;
}

interface Lock {
  failures: number;
  lastAt: number;
}

export class Guesses {
  readonly #clock: Clock;
  readonly #lockout: LockoutOptions;
  readonly #guessers: LRUCache<string, Guesser>;
  /** Of who is not locked yet, or whose lock could not be stored. */
  readonly #locks: LRUCache<string, Lock>;
  readonly #kept: KeptLocks | null;
  readonly #failed: { add(): void };
  readonly #delayed: { add(): void };
  readonly #refused: { add(): void };

  constructor(clock: Clock, counters: Counters, lockout: LockoutOptions, maxKept = MAX_KEPT, kept: KeptLocks | null = null) {
    this.#clock = clock;
    this.#lockout = lockout;
    this.#kept = kept;
    this.#guessers = new LRUCache({ max: maxKept });
    this.#locks = new LRUCache({ max: maxKept });
    this.#failed = counters.counter('logins_failed_total', 'Logins with wrong credentials');
    this.#delayed = counters.counter('logins_delayed_total', 'Logins that were delayed because of earlier wrong passwords');
    this.#refused = counters.counter(
      'logins_refused_guessing_total',
      'Logins that were not looked at because of wrong passwords before them',
    );
    counters.gauge('login_guessers', 'Pairs of address and user with recent wrong passwords', () => this.#guessers.size);
  }

  /**
   * How many milliseconds this attempt is to wait before it is looked at; attempts that come together wait one after the other.
   * Throws RequestError ACCOUNT_LOCKED while the user is locked, OVERLOADED when it would have to wait too long.
   */
  begin(address: string, user: string): number {
    this.#checkLock(user);
    const now = this.#clock.monotonic();
    const guesser = this.#known(keyOf(address, user), now);
    if (guesser === undefined || guesser.failures <= FREE_FAILURES) return 0;
    const at = Math.max(now, guesser.nextAt);
    if (at - now > MAX_HELD_MS) {
      this.#refused.add();
      const seconds = Math.ceil((at - now) / 1_000);
      throw new RequestError('OVERLOADED', `too many failed logins of this user from this address: try again in ${seconds} s`);
    }
    guesser.nextAt = at + delayAfter(guesser.failures);
    if (at > now) this.#delayed.add();
    return at - now;
  }

  failed(address: string, user: string): void {
    this.#failed.add();
    const now = this.#clock.monotonic();
    const key = keyOf(address, user);
    const guesser = this.#known(key, now) ?? { failures: 0, nextAt: now, lastAt: now };
    guesser.failures += 1;
    guesser.lastAt = now;
    guesser.nextAt = Math.max(guesser.nextAt, now + delayAfter(guesser.failures));
    this.#guessers.set(key, guesser);
    if (this.#lockout.attempts === 0 || this.#isLocked(user, now)) return;
    const lock = this.#lockOf(user, now) ?? { failures: 0, lastAt: now };
    this.#locks.set(user, { failures: lock.failures + 1, lastAt: now });
    if (lock.failures + 1 === this.#lockout.attempts) this.#keep(user);
  }

  /** From then on the store says it, so that it outlives a restart and an administrator can end it. */
  #keep(user: string): void {
    if (this.#kept === null || user === '') return;
    this.#kept.lock(user, this.#clock.now() + this.#lockout.ms).then(
      () => this.#locks.delete(user),
      () => {
        // The audit tells why. Until it is over, or this gateway ends, memory says it.
      },
    );
  }

  /** The right password: what was wrong before it is forgotten. */
  succeeded(address: string, user: string): void {
    this.#guessers.delete(keyOf(address, user));
    this.#locks.delete(user);
  }

  #checkLock(user: string): void {
    if (this.#lockout.attempts === 0 || !this.#isLocked(user, this.#clock.monotonic())) return;
    this.#refused.add();
    throw new RequestError('ACCOUNT_LOCKED', 'Account locked out');
  }

  #isLocked(user: string, now: number): boolean {
    const until = this.#kept?.until(user) ?? null;
    if (until !== null && until > this.#clock.now()) return true;
    const lock = this.#lockOf(user, now);
    return lock !== undefined && lock.failures >= this.#lockout.attempts;
  }

  #lockOf(user: string, now: number): Lock | undefined {
    const lock = this.#locks.get(user);
    return lock !== undefined && now - lock.lastAt < this.#lockout.ms ? lock : undefined;
  }

  #known(key: string, now: number): Guesser | undefined {
    const guesser = this.#guessers.get(key);
    return guesser !== undefined && now - guesser.lastAt < FORGOTTEN_MS ? guesser : undefined;
  }
}

/** What comes after so many failures, the last of them included. */
export function delayAfter(failures: number): number {
  if (failures <= FREE_FAILURES) return 0;
  return Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures - FREE_FAILURES - 1, 20));
}

/** No address has a space. */
function keyOf(address: string, user: string): string {
  return `${networkOf(address)} ${user}`;
}
