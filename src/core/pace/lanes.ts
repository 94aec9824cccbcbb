// Lanes: whose scan reads the store next, so that a long one delays neither others of its session nor other sessions.

import type { Session } from '../sessions/session.js';
import { Ring } from './ring.js';

/** So few that threads are left for what is being written. */
const LANES = 2;

/** Who reads when: for each session one scan after the other, and of all scans a few slices at a time, in turn. */
export class Lanes {
  readonly #last = new WeakMap<Session, Promise<void>>();
  readonly #waiting = new Ring<() => void>();
  #free = LANES;

  /** Runs `read` when the scans that `session` began before are done. */
  async after<T>(session: Session, read: () => Promise<T>): Promise<T> {
    const before = this.#last.get(session);
    let done = (): void => {};
    this.#last.set(session, new Promise((resolve) => (done = resolve)));
    try {
      await before;
      return await read();
    } finally {
      done();
    }
  }

  /** The next slice of `scan`. */
  next<Slice>(scan: { next(): Promise<Slice> }): Promise<Slice> {
    return this.hold(() => scan.next());
  }

  /** Runs `use` when a lane is free. */
  async hold<T>(use: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free -= 1;
    try {
      return await use();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
