// DurableMaps: indexes of the durable sessions, and how they are built from rows (rows.ts).

import { Agenda } from '../pace/agenda.js';
import { type Pattern, parsePattern } from '../paths/pattern.js';
import { Subscription } from '../routing/subscription.js';
import { ByKey } from '../sessions/by-key.js';
import type { Session } from '../sessions/session.js';
import { DIGITS } from '../store/digits.js';
import { SECTION, StoreDamage } from '../store/store.js';
import type { DurableSession } from './durable-session.js';
import { decodeRemainder, decodeSession, decodeSubscription, numberIn } from './rows.js';

export class DurableMaps {
  readonly sessions = new Map<string, DurableSession>();
  readonly byNumber = new Map<number, DurableSession>();
  readonly byUser = new ByKey<DurableSession>();
  /** By the id of the connection that opened them last. */
  readonly holders = new Map<string, DurableSession>();
  /** Sessions that have a connection. */
  attached = 0;
  /** By the first time at which something is to be done for them. */
  readonly agenda = new Agenda<DurableSession>();

  add(durable: DurableSession): void {
    this.sessions.set(durable.key, durable);
    this.byNumber.set(durable.number, durable);
  }

  own(durable: DurableSession, user: string | null): void {
    if (durable.user !== null) this.byUser.delete(durable.user, durable);
    durable.user = user;
    if (user !== null) this.byUser.add(user, durable);
  }

  letGo(durable: DurableSession): void {
    if (durable.holder !== '') this.holders.delete(durable.holder);
    durable.holder = '';
  }

  drop(durable: DurableSession): void {
    if (durable.session !== null) this.attached -= 1;
    this.agenda.plan(durable, Number.POSITIVE_INFINITY);
    durable.dropped = true;
    this.letGo(durable);
    this.sessions.delete(durable.key);
    this.byNumber.delete(durable.number);
  }

  attach(durable: DurableSession, session: Session | null): void {
    if (!durable.dropped) this.attached += Number(session !== null) - Number(durable.session !== null);
    durable.session = session;
  }

  /** It is looked at again when the first of its times has come. */
  plan(durable: DurableSession): void {
    if (durable.dropped) return;
    const { delayedWill, nextOverdue, overAt } = durable;
    const time = Math.min(nextOverdue, overAt);
    this.agenda.plan(durable, delayedWill === null ? time : Math.min(time, delayedWill.due));
  }
}

export function loadSessionRow(maps: DurableMaps, key: string, value: Buffer): void {
  const number = numberIn(SECTION.durableSession, key, 0);
  if (key.length === DIGITS) {
    maps.add(decodeSession(number, value));
    return;
  }
  const durable = maps.byNumber.get(number);
  if (durable === undefined) throw new StoreDamage(`a durable session's row ${JSON.stringify(key)} has no session`);
  const rest = key.slice(DIGITS + 1);
  if (key[DIGITS] === '!') {
    durable.received.add(Number(rest));
    return;
  }
  if (key[DIGITS] === '@') {
    maps.own(durable, value.toString());
    return;
  }
  const group = key[DIGITS] === '&' ? rest.slice(0, rest.indexOf('/')) : null;
  const filter = filterIn(key, group === null ? rest : rest.slice(group.length + 1));
  const subscription = new Subscription(null, durable, filter, decodeSubscription(value, group), null);
  subscription.remainder = decodeRemainder(value);
  durable.subscriptions.set(key.slice(DIGITS), subscription);
}

function filterIn(key: string, text: string): Pattern {
  try {
    return parsePattern(text, 'mqtt');
  } catch (error) {
    throw new StoreDamage(`the key ${JSON.stringify(key)} of a subscription holds no filter`, { cause: error });
  }
}
