// On whose behalf a session acts (happn-protocol.md 10.6).

import type { DataOptions, Session } from '../../core/index.js';
import { isFields } from './fields.js';
import type { Fields, Frame } from './wire.js';

const ADMINISTRATOR = '_ADMIN';

/** Name of the user whose rights count; null: the session's own. Where nobody logs in nobody speaks for somebody else. */
export function actorIn({ onBehalfOf }: Fields, { identity }: Session): string | null {
  return identity.principal !== null && isSomebody(onBehalfOf) ? onBehalfOf : null;
}

function isSomebody(name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name !== ADMINISTRATOR;
}

/** `base` itself when the session acts for itself. */
export function onBehalf(base: DataOptions, options: Fields, session: Session): DataOptions {
  const actor = actorIn(options, session);
  return actor === null ? base : { ...base, actor };
}

/** Who acts for somebody else is told why it was refused. */
export function isDelegated({ options }: Frame): boolean {
  return isFields(options) && isSomebody(options.onBehalfOf);
}
