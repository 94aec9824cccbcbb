// What operations on the directory share: whom a change concerns, and which users and groups must exist.

import { RequestError } from '../errors.js';
import type { Owner, SecurityChange, When } from '../security/commands.js';
import type { Directory } from '../security/directory.js';
import type { Turn } from '../turn.js';

/** What a command changed. */
export interface Outcome {
  /** Whose rights may be others. */
  readonly users: ReadonlySet<string>;
  /** What they are told; null: nothing. */
  readonly change: SecurityChange | null;
}

export const NOBODY: Outcome = Object.freeze({ users: new Set<string>(), change: null });

/** Does it, and has the rights of `users` compiled anew; so, too, when it is taken back. `kind`: of what is changed. */
export function changing(
  users: ReadonlySet<string>,
  kind: Owner['kind'] | 'table',
  directory: Directory,
  turn: Turn,
  change: () => void,
): void {
  const groups = kind === 'group';
  // What was said first is taken back last.
  turn.onRefused(() => directory.refresh(users, groups));
  change();
  directory.refresh(users, groups);
}

export function checkWhen(when: When, isThere: boolean, what: string, name: string): void {
  if (when === 'absent' && isThere) throw new RequestError('CONFLICT', `there is a ${what} ${name}`);
  if (when === 'present' && !isThere) throw missing(what, name);
}

export function missing(what: string, name: string): RequestError {
  return new RequestError('NOT_FOUND', `there is no ${what} ${name}`);
}

export function tooMany(what: string, max: number): RequestError {
  return new RequestError('LIMIT_EXCEEDED', `there are at most ${max} ${what}`);
}
