// PastMoment: a requested moment of the past, and what was at a path then, by what is known of the path.

import type { Entry } from '../data/entry.js';
import { RequestError } from '../errors.js';
import type { AsOf } from '../message.js';
import type { PastState, Timeline } from './rows.js';
import type { Floor } from './rules.js';

/** What made a path what it was: a change that is kept, or the last one, whose record is still there. null: nothing was there. */
export type PastFound = PastState | Entry | null;

export class PastMoment {
  constructor(private readonly asOf: AsOf) {}

  /** Throws RequestError INVALID_REQUEST for what has not come yet; `last`: the revision of the last change. */
  static of(asOf: AsOf, now: number, last: number): PastMoment {
    const { revision, time } = asOf;
    if (revision !== null && revision > last) {
      throw new RequestError('INVALID_REQUEST', `the last revision is ${last}: there is no ${revision} yet`);
    }
    if (revision === null && time > now) throw new RequestError('INVALID_REQUEST', `the time ${time} lies ahead: it is ${now}`);
    return new PastMoment(asOf);
  }

  /**
   * What has expired at this time was not there. As of a revision everything was until it was removed, which is a change of its own:
   * that is before all times.
   */
  get time(): number {
    return this.asOf.revision === null ? this.asOf.time : 0;
  }

  isBehind({ revision, time }: Floor): boolean {
    return this.asOf.revision === null ? time <= this.asOf.time : revision <= this.asOf.revision;
  }

  /** `current`: the record as it is; `floor`: see HistoryRule. undefined: that is not known any more. */
  find({ whole, states }: Timeline, current: Entry | null, floor: Floor): PastFound | undefined {
    const state = states.findLast((one) => this.isBehind(one));
    if (state !== undefined) return state.removed ? null : state;
    if (states.length > 0 || current === null) return whole && this.isBehind(floor) ? null : undefined;
    return this.isBehind({ revision: current.revision, time: current.modified }) ? current : undefined;
  }
}

export function outOfHistory(path: string): RequestError {
  return new RequestError('OUT_OF_HISTORY', `the history of ${path} does not reach back so far`);
}
