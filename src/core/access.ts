// Access: who somebody is and what they may do. The only place where rights are decided; knows no protocol.

import type { Credentials } from './adapter.js';
import { CONTROL_AREA } from './path.js';
import { type Identity, NOBODY } from './session.js';

const RESERVED = '/_HAVEN/';

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

/** As `access`, but what is below CONTROL_AREA is changed by control requests alone, whatever other rights there are. */
export function withControlArea(access: Access): Access {
  return {
    authenticate: (credentials) => access.authenticate(credentials),
    authorize: (identity, action, path) =>
      !((action === 'set' || action === 'remove') && reachesControl(path)) && access.authorize(identity, action, path),
  };
}

/** Whether a path lies there, or a pattern may match such a path; one that does not spell its first segment out matches none. */
function reachesControl(path: string): boolean {
  if (!path.startsWith(RESERVED)) return false;
  const wildcard = path.indexOf('*');
  if (wildcard === -1) return path.startsWith(CONTROL_AREA);
  const prefix = path.slice(0, wildcard);
  return CONTROL_AREA.startsWith(prefix) || prefix.startsWith(CONTROL_AREA);
}
