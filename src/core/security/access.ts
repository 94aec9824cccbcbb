// Access: authorization: the identity of a session and its rights. The only place where rights are decided; knows no protocol.

import type { Credentials } from '../adapter.js';
import { RequestError } from '../errors.js';
import { CONTROL_AREA } from '../paths/path.js';
import type { Pattern } from '../paths/pattern.js';
import type { Session } from '../sessions/session.js';
import type { SecurityCommand } from './commands.js';
import type { Guard } from './guards.js';
import { type Identity, identityNamed, NOBODY } from './identity.js';
import type { Action } from './model.js';

export type { Action } from './model.js';

const RESERVED = '/_HAVEN/';

export interface Access {
  /** Everybody may do everything: nothing has to be looked at again when rights change. */
  readonly isOpen: boolean;
  /** Rejects with RequestError; see AdapterContext. */
  authenticate(credentials: Credentials, session: Session): Promise<Identity>;
  /**
   * Decides one request of the session, in the name of the user `actor` if it is not null. `path` is what the right is needed on,
   * or, with a `pattern`, its text. null: all of it is allowed. Else what each single path has to be looked at with, since some
   * of the pattern's may be denied. Throws RequestError NOT_AUTHENTICATED or ACCESS_DENIED.
   */
  authorize(session: Session, actor: string | null, action: Action, path: string, pattern: Pattern | null): Guard | null;
  /** As `authorize`, but refuses nothing: of what is denied, no path will do. For what comes along with what was allowed. */
  guard(session: Session, actor: string | null, action: Action, pattern: Pattern): Guard | null;
  /** Whether it may be done by the session, which is allowed something else with which it came along. */
  sees(session: Session, actor: string | null, action: Action, path: string): boolean;
  /** Whether the user of that name may do it now: for what is done in the name of somebody who is not there. */
  allows(name: string, action: Action, path: string): boolean;
  /**
   * As `guard`, for what a durable subscription is to hear before its session is there again. `name` as in DurableSession.user.
   */
  guardOfUser(name: string | null, pattern: Pattern): Guard | null;
  /**
   * Throws RequestError NOT_AUTHENTICATED unless the session is somebody's, and ACCESS_DENIED unless what is kept for `owner` (as in
   * DurableSession.user; undefined: for nobody yet) may be its own.
   */
  own(session: Session, owner: string | null | undefined): void;
  /** Throws RequestError NOT_AUTHENTICATED or ACCESS_DENIED unless the session may have the directory changed so. */
  administer(session: Session, command: SecurityCommand): void;
}

/** Everybody may do everything: what a gateway without security runs with. Only certificates say who somebody is. */
export const OPEN_ACCESS: Access = Object.freeze({
  isOpen: true,
  authenticate: async ({ certificateUser }: Credentials) =>
    certificateUser === undefined ? NOBODY : Object.freeze(identityNamed(certificateUser)),
  authorize: () => null,
  guard: () => null,
  sees: () => true,
  allows: () => true,
  guardOfUser: () => null,
  own: () => undefined,
  administer: () => undefined,
});

/** As `access`, but what is below CONTROL_AREA is changed by control requests alone, whatever other rights there are. */
export function withControlArea(access: Access): Access {
  return {
    isOpen: access.isOpen,
    authenticate: (credentials, session) => access.authenticate(credentials, session),
    authorize: (session, actor, action, path, pattern) => {
      if (changesControl(action, path)) throw denied(action, path);
      return access.authorize(session, actor, action, path, pattern);
    },
    guard: (session, actor, action, pattern) => access.guard(session, actor, action, pattern),
    sees: (session, actor, action, path) => access.sees(session, actor, action, path),
    allows: (name, action, path) => !changesControl(action, path) && access.allows(name, action, path),
    guardOfUser: (name, pattern) => access.guardOfUser(name, pattern),
    own: (session, owner) => access.own(session, owner),
    administer: (session, command) => access.administer(session, command),
  };
}

function changesControl(action: Action, path: string): boolean {
  return (action === 'set' || action === 'remove') && reachesControl(path);
}

export function denied(action: Action, path: string): RequestError {
  return new RequestError('ACCESS_DENIED', `${action} on ${path} is not allowed`);
}

/** Whether a path lies there, or a pattern may match such a path; one that does not spell its first segment out matches none. */
function reachesControl(path: string): boolean {
  if (!path.startsWith(RESERVED)) return false;
  const wildcard = path.indexOf('*');
  if (wildcard === -1) return path.startsWith(CONTROL_AREA);
  const prefix = path.slice(0, wildcard);
  return CONTROL_AREA.startsWith(prefix) || prefix.startsWith(CONTROL_AREA);
}
