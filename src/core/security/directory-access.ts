// DirectoryAccess: authorization by the directory, for gateways with security.

import type { Clock, Credentials } from '../adapter.js';
import { PolicyRefusal, RequestError } from '../errors.js';
import type { Pattern } from '../paths/pattern.js';
import type { Session } from '../sessions/session.js';
import { type Access, denied } from './access.js';
import type { SecurityCommand } from './commands.js';
import { type Guard, guardFor, guardOf } from './guards.js';
import type { Identity, Principal } from './identity.js';
import type { Action } from './model.js';
import { overAt } from './policy.js';
import type { DirectoryReader } from './reader.js';
import { NO_RIGHTS } from './rights.js';

/** Knows who credentials are. */
export interface Authenticator {
  /** Rejects with RequestError; see AdapterContext. The identity's principal is one of the directory. */
  authenticate(credentials: Credentials, session: Session): Promise<Identity>;
}

/** Stands for somebody who is no more. */
const GONE: Principal = Object.freeze({
  name: '',
  userId: '',
  rights: NO_RIGHTS,
  isAdministrator: false,
  mayDelegate: false,
  isLimited: false,
  isGone: true,
});

export class DirectoryAccess implements Access {
  readonly isOpen = false;

  constructor(
    private readonly directory: DirectoryReader,
    private readonly authenticator: Authenticator,
    /** The wall clock. */
    private readonly clock: Pick<Clock, 'now'>,
  ) {}

  authenticate(credentials: Credentials, session: Session): Promise<Identity> {
    return this.authenticator.authenticate(credentials, session);
  }

  authorize(session: Session, actor: string | null, action: Action, path: string, pattern: Pattern | null): Guard | null {
    const principal = this.#speaker(session, actor);
    const { login } = session.identity;
    const isOther = principal.name !== session.identity.name;
    if (login?.hasEnd !== true) return this.#decide(principal, isOther, action, path, pattern);
    const now = this.clock.now();
    const over = overAt(login, now);
    if (over !== null) throw over;
    const guard = this.#decide(principal, isOther, action, path, pattern);
    login.used += 1;
    login.lastUsed = now;
    return guard;
  }

  /** `isOther`: the principal is not who asks. */
  #decide(principal: Principal, isOther: boolean, action: Action, path: string, pattern: Pattern | null): Guard | null {
    const { rights } = principal;
    if (pattern === null || pattern.exact !== null) {
      if (!rights.allows(action, pattern?.exact ?? path)) throw this.#refusal(principal, isOther, action, path);
      return null;
    }
    const coverage = rights.covers(action, pattern);
    if (coverage === 'none') throw this.#refusal(principal, isOther, action, path);
    return guardFor(principal, action, pattern, coverage);
  }

  guard(session: Session, actor: string | null, action: Action, pattern: Pattern): Guard | null {
    return guardOf(this.#speaker(session, actor), action, pattern);
  }

  sees(session: Session, actor: string | null, action: Action, path: string): boolean {
    return this.#speaker(session, actor).rights.allows(action, path);
  }

  allows(name: string, action: Action, path: string): boolean {
    return this.directory.principal(name)?.rights.allows(action, path) === true;
  }

  guardOfUser(name: string | null, pattern: Pattern): Guard | null {
    if (name === '') return null;
    return guardOf((name === null ? null : this.directory.principal(name)) ?? GONE, 'on', pattern);
  }

  own(session: Session, owner: string | null | undefined): void {
    const { name } = this.#speaker(session, null);
    if (owner === undefined || owner === null || owner === name) return;
    throw new RequestError('ACCESS_DENIED', 'the session that is kept is that of another user');
  }

  administer({ identity: { principal, login } }: Session, command: SecurityCommand): void {
    if (principal === null) throw new RequestError('NOT_AUTHENTICATED', 'log in first');
    if (principal.isAdministrator) return;
    if (command.type === 'revoke' && command.tokenId === login?.tokenId) return;
    if (command.type === 'password' && command.name === principal.name && !principal.isLimited && !principal.isGone) return;
    throw new RequestError('ACCESS_DENIED', 'only administrators change users, groups and permissions');
  }

  /** Whose rights count. Nobody becomes an administrator by acting on behalf of one. */
  #speaker({ identity }: Session, actor: string | null): Principal {
    const { principal } = identity;
    if (principal === null || principal.isGone) throw new RequestError('NOT_AUTHENTICATED', 'log in first');
    if (actor === null || actor === principal.name) return principal;
    if (!principal.mayDelegate) {
      throw new RequestError('ACCESS_DENIED', 'session attempting to act on behalf of is not authorized');
    }
    const other = this.directory.principal(actor);
    if (other === null) throw new RequestError('ACCESS_DENIED', `on behalf of user does not exist: ${actor}`);
    if (other.isAdministrator && !principal.isAdministrator) {
      throw new RequestError('ACCESS_DENIED', `request on behalf of unauthorised user: ${actor}`);
    }
    return other;
  }

  #refusal(principal: Principal, isOther: boolean, action: Action, path: string): RequestError {
    if (isOther) return new RequestError('ACCESS_DENIED', `request on behalf of unauthorised user: ${principal.name}`);
    return principal.isLimited ? new PolicyRefusal('token permissions limited') : denied(action, path);
  }
}
