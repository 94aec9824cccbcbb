// Rights: what one user may do, compiled from permissions. Immutable: a change of permissions makes another object.

import type { Pattern } from '../pattern.js';
import type { Action } from './model.js';

/**
 * Whether a pattern may be used for an action. 'all': every path that it matches is allowed. 'checked': it is covered, but some
 * paths that it matches may be denied, so that each is looked at. 'none': it is not covered.
 */
export type Coverage = 'all' | 'checked' | 'none';

/** The permission that decided, for a person. */
export interface Verdict {
  readonly allowed: boolean;
  /** Pattern of the permission; null: none speaks for it. */
  readonly pattern: string | null;
  /** Where it stands: `user`, or `group <name>`; null: nowhere. */
  readonly source: string | null;
}

export interface Rights {
  /** Whether the action is allowed on a concrete path. */
  allows(action: Action, path: string): boolean;
  covers(action: Action, pattern: Pattern): Coverage;
  explain(action: Action, path: string): Verdict;
}

/** Of administrators and of the gateway itself. */
export const ALL_RIGHTS: Rights = Object.freeze({
  allows: () => true,
  covers: (): Coverage => 'all',
  explain: (): Verdict => ({ allowed: true, pattern: '*', source: null }),
});
