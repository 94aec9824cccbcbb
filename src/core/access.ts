// Access: who somebody is and what they may do. The only place where rights are decided; knows no protocol.

import type { Credentials } from './adapter.js';
import { type Identity, NOBODY } from './session.js';

export type Action = 'set' | 'remove' | 'get' | 'on' | 'control';

export interface Access {
  /** Rejects with RequestError NOT_AUTHENTICATED. */
  authenticate(credentials: Credentials): Promise<Identity>;
  /** `path` is a concrete path, or the text of a pattern whose whole extent must be allowed. */
  authorize(identity: Identity, action: Action, path: string): boolean;
}

/** Everybody may do everything: what a gateway without security runs with. Only certificates say who somebody is. */
export const OPEN_ACCESS: Access = Object.freeze({
  authenticate: async ({ certificateUser }: Credentials) =>
    certificateUser === undefined ? NOBODY : Object.freeze({ name: certificateUser }),
  authorize: () => true,
});
