// Catching up: what a new connection to the remote does, in this order: the queue goes out, then records
// that the remote was never sent, then the subscriptions there are updated. So retained messages that arrive for new
// subscriptions are at least as new as what is here.

import type { Formats, Log } from '../../../core/index.js';
import type { Connection } from './connection.js';
import { type Kept, nothingKept, readKept, writeKept } from './kept.js';
import { sendRecords } from './records.js';
import type { RemoteFacts } from './remote.js';
import type { Rule, Rules } from './rules.js';
import type { BridgeSession } from './session.js';
import type { Traffic } from './traffic.js';

export interface CatchUp {
  readonly name: string;
  readonly url: string;
  readonly rules: Rules;
  readonly session: BridgeSession;
  readonly traffic: Traffic;
  readonly connection: Connection;
  readonly facts: RemoteFacts;
  readonly formats: Formats;
  readonly log: Log;
}

/** Resolves when all is done, or when the connection has ended before, or never then. Rejects with RequestError. */
export async function catchUp(work: CatchUp): Promise<void> {
  const { traffic, connection, session, name, url, formats } = work;
  const kept = await readKept(session, name, url);
  if (connection.isOver) return;
  if (work.facts.sessionPresent) traffic.subscribed = kept.subscribed;
  await traffic.outgoing.begin(connection);
  const sent = await sendAllRecords(work, kept);
  if (connection.isOver) return;
  const subscribed = await subscribeThere(work, kept);
  traffic.subscribed = subscribed;
  const now: Kept = { url, sent, subscribed };
  if (!isSame(now, kept)) await writeKept(session, name, now, formats);
}

/**
 * Of rules that only go out whenever the remote knows nothing of this bridge: it may have lost what it had. Of rules that go
 * both ways once for each remote: later its records may be newer than those here. Returns the rules whose records are there.
 */
async function sendAllRecords({ rules, session, traffic, facts, connection, log }: CatchUp, { sent }: Kept): Promise<string[]> {
  const done = rules.out.map(nameOf);
  for (const rule of rules.out) {
    const isNew = !sent.includes(nameOf(rule));
    if (!isNew && (rule.both || facts.sessionPresent)) continue;
    const records = await sendRecords(rule, session, traffic.outgoing, () => connection.isOver);
    if (connection.isOver) break;
    log.info({ filter: rule.local.text, records }, 'records were sent to the remote');
  }
  return done;
}

function nameOf({ local, remote }: Rule): string {
  return `${local.text} ${remote.text}`;
}

/** Returns what is subscribed to now. */
async function subscribeThere({ rules, facts, connection, traffic, log }: CatchUp, kept: Kept): Promise<Map<string, number>> {
  const wanted = new Map<string, number>();
  for (const { remote, qos } of rules.in) wanted.set(remote.text, Math.max(qos, wanted.get(remote.text) ?? 0));
  const known = facts.sessionPresent ? kept.subscribed : nothingKept('').subscribed;
  const gone = [...known.keys()].filter((filter) => !wanted.has(filter));
  if (gone.length > 0) connection.unsubscribe(gone);
  const fresh = [...wanted].filter(([filter, qos]) => known.get(filter) !== qos);
  if (fresh.length === 0) return wanted;
  // Echoes may come from here on.
  traffic.subscribed = wanted;
  const filters = fresh.map(([filter, qos]) => ({ filter, qos: qos as 0 | 1 | 2 }));
  const refused = await new Promise<readonly string[]>((resolve) => connection.subscribe(filters, resolve));
  for (const filter of refused) {
    log.warn({ filter }, 'the remote refuses a subscription: nothing arrives by this rule');
    wanted.delete(filter);
  }
  return wanted;
}

function isSame(a: Kept, b: Kept): boolean {
  const subscribed = (kept: Kept): string => JSON.stringify([...kept.subscribed].sort());
  return a.sent.join('\n') === b.sent.join('\n') && subscribed(a) === subscribed(b);
}
