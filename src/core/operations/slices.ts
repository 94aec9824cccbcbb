// Slices: long work that the core asks of itself, a part at a time, each done in a turn as a request is.

import type { RequestError } from '../errors.js';
import type { PastRef } from '../history/rows.js';
import type { DataRequest, Request } from '../message.js';
import type { Session } from '../sessions/session.js';

abstract class CoreSlice {
  readonly kind = 'slice';
  /** As in a request. */
  time = 0;
  sequence = 0;
  size = 0;

  constructor(
    readonly session: Session,
    /** Told when it is committed: how much was done, or why nothing was, also because the store takes nothing now. */
    readonly done: (count: number, error: RequestError | null) => void,
  ) {}
}

/** Of a wildcard removal, or of what expired: at most REMOVAL_SLICE paths, removed atomically. */
export class RemovalSlice extends CoreSlice {
  readonly op = 'removeSlice';

  constructor(
    session: Session,
    readonly request: DataRequest,
    readonly paths: readonly string[],
    /** Records of a later revision were made after the removal began: they stay. */
    readonly asOf: number,
    /** Only what has expired is removed: the deadline of each path, as the index of deadlines has it. null: only what has not. */
    readonly deadlines: readonly number[] | null,
    done: CoreSlice['done'],
  ) {
    super(session, done);
  }
}

/** Of what history gives up. */
export class TrimSlice extends CoreSlice {
  readonly op = 'trimSlice';

  constructor(
    session: Session,
    readonly refs: readonly PastRef[],
    done: CoreSlice['done'],
  ) {
    super(session, done);
  }
}

export type Slice = RemovalSlice | TrimSlice;

/** What turns are made of. */
export type Work = Request | Slice;
