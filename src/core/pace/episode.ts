// Episode: reports a repeated event once, and again when it recurs after a pause.

/** Things of one kind that are further apart than this belong to different episodes. */
const APART_MS = 60_000;

export class Episode {
  #last = Number.NEGATIVE_INFINITY;

  /** It happens at this monotonic time; true: it is the first for a while. */
  begins(now: number): boolean {
    const isNew = now - this.#last > APART_MS;
    this.#last = now;
    return isNew;
  }
}
