// Delegations: actions on behalf of others, as the audit records them. The first of a kind in a minute is an entry of its own,
// with its path; further ones become one entry with their number at the end of the minute. A kind is who acts, for whom,
// what, and the outcome. An actor with too many kinds gets one entry for the rest, so that the entries of others are not pushed out.

import type { RequestErrorCode } from '../errors.js';
import { type AuditEvent, shortened } from './audit-entries.js';
import type { Asker } from './identity.js';
import type { Action } from './model.js';

const MINUTE_MS = 60_000;
/** Kinds that are told apart in one minute, of one who acts and in all. */
const KINDS_MAX = { each: 50, all: 1_000 } as const;

export interface DelegatedAct {
  readonly asker: Asker;
  /** In whose name. */
  readonly user: string;
  readonly action: Action;
  readonly path: string;
  /** null: it was allowed. */
  readonly refusal: RequestErrorCode | null;
}

interface Acts {
  /** Without its path, which may be long: it is in the entry that was made. */
  readonly first: AuditEvent;
  /** Behind the first. */
  more: number;
}

export class Delegations {
  #minute = 0;
  readonly #kinds = new Map<string, Acts>();
  /** Of each who acts. */
  readonly #counts = new Map<string, number>();

  /** The entry to be made now; null: it is counted. Whoever calls has called `over` before. */
  note(act: DelegatedAct): AuditEvent | null {
    const { asker, action, refusal } = act;
    // No name has a line break.
    const key = `${asker.name}\n${shortened(act.user)}\n${action}\n${refusal}`;
    const known = this.#kinds.get(key);
    if (known !== undefined) {
      known.more += 1;
      return null;
    }
    const count = this.#counts.get(asker.name) ?? 0;
    if (count < KINDS_MAX.each && this.#kinds.size < KINDS_MAX.all) {
      this.#counts.set(asker.name, count + 1);
      const first = eventOf(act);
      this.#kinds.set(key, { first: { ...first, details: { action } }, more: 0 });
      return first;
    }
    this.#countOther(act);
    return null;
  }

  /** Entries of the minute that is over, if one is; `force`: of the one that is not, too. */
  over(now: number, force = false): readonly AuditEvent[] {
    const minute = Math.floor(now / MINUTE_MS);
    if (minute === this.#minute && !force) return [];
    this.#minute = minute;
    if (this.#kinds.size === 0) return [];
    const events = [...this.#kinds.values()].filter(({ more }) => more > 0).map(({ first, more }) => summary(first, more));
    this.#kinds.clear();
    this.#counts.clear();
    return events;
  }

  /** One kind for each who acts, while there is room for that; then one for all. */
  #countOther({ asker, refusal }: DelegatedAct): void {
    const name = this.#kinds.size < 2 * KINDS_MAX.all ? asker.name : '';
    const key = `${name}\n\n\n${refusal === null}`;
    const known = this.#kinds.get(key);
    if (known !== undefined) known.more += 1;
    else {
      const { protocol, address } = name === '' ? { protocol: 'core', address: '' } : asker;
      const first = { action: 'session.delegate', actor: name, target: '', refusal, protocol, address, details: { others: true } } as const;
      this.#kinds.set(key, { first, more: 1 });
    }
  }
}

function eventOf({ asker: { name, protocol, address }, user, action, path, refusal }: DelegatedAct): AuditEvent {
  return { action: 'session.delegate', actor: name, target: shortened(user), refusal, protocol, address, details: { action, path } };
}

function summary({ details, ...first }: AuditEvent, more: number): AuditEvent {
  return { ...first, details: { ...details, more } };
}
