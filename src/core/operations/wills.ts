// Operations on wills: kept for a connection, published once, when it ends or after a delay.

import type { DurableSession } from '../durable/durable-session.js';
import { delayedKey } from '../durable/kept-wills.js';
import type { KeptWill } from '../durable/rows.js';
import { DataRequest, type DurableRequest, type Will } from '../message.js';
import type { Turn } from '../turn.js';
import { remove, set } from './data.js';
import type { Run } from './run.js';

/** null: the will is taken back. Its author needs the right for it now, and when it is published. */
export function changeWill(request: DurableRequest, will: Will | null, run: Run): void {
  const { session, time } = request;
  if (run.turn === null) return;
  const { durables, access } = run.state;
  if (will === null) {
    durables.wills.drop(session.id, run.turn.batch);
    return;
  }
  access.authorize(session, null, will.remove ? 'remove' : 'set', will.path, null);
  const durable = durables.heldBy(session)?.number ?? 0;
  durables.wills.keep(session.id, { will, author: session.identity.name, time, durable, due: 0 }, run.turn.batch);
}

/** The session is resumed before the delay is over: nobody gets the will ([MQTT5-3.1.3-9]). */
export function dropDelayedWill(durable: DurableSession, run: Run): void {
  if (durable.delayedWill !== null) run.state.durables.wills.drop(durable.delayedWill.key, (run.turn as Turn).batch);
}

/** Publishes the will, or lets it wait for its delay. */
export function fireWill(request: DurableRequest, key: string, run: Run): void {
  const { durables } = run.state;
  const kept = durables.wills.get(key);
  if (kept === null) return;
  const durable = kept.durable === 0 ? null : durables.byNumber(kept.durable);
  const { batch } = run.turn as Turn;
  durables.wills.drop(key, batch);
  if (kept.due > 0 || kept.will.delayMs === 0 || durable === null) return publishWill(request, kept, run);
  // Another connection has resumed the session.
  if (durable.holder !== '' && durable.holder !== key) return;
  const waitMs = Math.min(kept.will.delayMs, durable.expiryMs);
  if (waitMs === 0) publishWill(request, kept, run);
  else durables.wills.keep(delayedKey(durable), { ...kept, due: request.time + waitMs }, batch);
}

/** The will's own change and its removal from the store are in one batch, so that it is published once. */
function publishWill(request: DurableRequest, { will, author, durable }: KeptWill, run: Run): void {
  const { session } = request;
  const op = will.remove ? 'remove' : 'set';
  if (!run.state.access.allows(author, op, will.path)) return run.state.losses.willDenied(author, will.path);
  // Also when the connection is gone, and something else stands in for it.
  const options = { ...will.options, actor: author };
  const fired = new DataRequest(op, session, request.id, will.path, null, will.payload, options, false, 0, null);
  fired.time = request.time;
  fired.sequence = request.sequence;
  fired.leftBy = durable;
  request.firedPath = will.path;
  if (will.remove) remove(fired, run);
  else set(fired, run);
}
