// Rights as a test says them, and logins as it says them.

import { type Access, type Action, denied } from '../../src/core/security/access.js';
import { NOBODY } from '../../src/core/security/identity.js';

/** Allows what `allows` says, of patterns by their text. Everybody who logs in is nobody, unless `authenticate` says otherwise. */
export function accessOf(
  allows: (action: Action, path: string) => boolean = () => true,
  authenticate: Access['authenticate'] = async () => NOBODY,
): Access {
  return {
    authenticate,
    authorize: (_session, _actor, action, path) => {
      if (!allows(action, path)) throw denied(action, path);
      return null;
    },
    guard: () => null,
    sees: () => true,
    isOpen: true,
    allows: (_name, action, path) => allows(action, path),
    guardOfUser: () => null,
    own: () => undefined,
    administer: () => undefined,
  };
}
