// Guards: check each path that a covered pattern matches. Most of them are certainly allowed; only those at the
// edge of the pattern are looked up.

import { ANY_LEVEL, type Pattern } from '../paths/pattern.js';
import type { Principal } from './identity.js';
import type { Action } from './model.js';
import type { Coverage, Rights } from './rights.js';

const SLASH = 0x2f;

/** Whose rights each path has to be looked at with. A change of rights makes another guard. */
export interface Guard {
  readonly rights: Pick<Rights, 'allows'>;
}

/** null: nothing has to be looked at. What is not covered at all has a guard that lets through what is allowed nevertheless. */
export function guardOf(principal: Principal, action: Action, pattern: Pattern): Guard | null {
  if (pattern.exact !== null) return principal.rights.allows(action, pattern.exact) ? null : principal;
  return guardFor(principal, action, pattern, principal.rights.covers(action, pattern));
}

/** As `guardOf`, where it is known how far a pattern with wildcards is covered. */
export function guardFor(principal: Principal, action: Action, pattern: Pattern, coverage: Coverage): Guard | null {
  if (coverage === 'all') return null;
  const atEdge = coverage === 'checked' && principal.rights.coversWritten(action, pattern);
  return (atEdge ? edgeOf(principal, pattern) : null) ?? principal;
}

/** null: it is not known by a look at the path whether it is at the edge. */
function edgeOf(principal: Principal, { dialect, form, text }: Pattern): Guard | null {
  if (dialect === 'segments') return new SpellingGuard(principal, text.charCodeAt(0) === SLASH);
  if (form.type !== 'levels' || form.tailMin !== 0 || form.levels.includes(ANY_LEVEL)) return null;
  return new ParentGuard(principal, form.levels.join('/').length);
}

/** Looks at paths that begin with a slash when the pattern does not, or the other way round. */
class SpellingGuard implements Guard {
  readonly rights = this;

  constructor(
    private readonly principal: Principal,
    private readonly isSlashed: boolean,
  ) {}

  allows(action: Action, path: string): boolean {
    return (path.charCodeAt(0) === SLASH) === this.isSlashed || this.principal.rights.allows(action, path);
  }
}

/** Looks at the parent level of `a/#`: no other match is as short. */
class ParentGuard implements Guard {
  readonly rights = this;

  constructor(
    private readonly principal: Principal,
    private readonly length: number,
  ) {}

  allows(action: Action, path: string): boolean {
    return path.length > this.length || this.principal.rights.allows(action, path);
  }
}
