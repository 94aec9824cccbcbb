// Exactly-once numbers: a repeated message is answered and has no other effect.

import type { DurableSession } from '../durable/durable-session.js';
import { type DataRequest, Reply } from '../message.js';
import type { Session } from '../sessions/session.js';
import type { Turn } from '../turn.js';
import type { Run } from './run.js';

/** A repeated exactly-once number is answered and does nothing else, and so is one of which the sender will be sent no receipt any more. */
export function receivedBefore(request: DataRequest, run: Run): boolean {
  if (request.onceId === 0) return false;
  const { session, onceId } = request;
  const { received } = keptOf(session) ?? session;
  if (received?.has(onceId) !== true && !isOvertaken(session, run)) return false;
  const reply = new Reply(request);
  reply.repeated = true;
  run.say(reply);
  return true;
}

export function rememberReceived(request: DataRequest, run: Run): void {
  if (request.onceId === 0) return;
  const { session, onceId } = request;
  const kept = keptOf(session);
  if (kept !== null) {
    run.state.durables.rememberOnce(kept, onceId, (run.turn as Turn).batch);
    return;
  }
  session.received ??= new Set();
  session.received.add(onceId);
  run.turn?.onRefused(() => session.received?.delete(onceId));
}

/** What is kept of the session beyond its connection, also when that is gone; null once it was dropped. */
export function keptOf({ durable }: Session): DurableSession | null {
  return durable === null || durable.dropped ? null : durable;
}

/**
 * Another connection has opened what is kept of the session: what this one had in flight changes nothing there any more. The peer
 * repeats on the other one what it has no answer to, and may be done with it before this is executed.
 */
export function isOvertaken(session: Session, { state }: Run): boolean {
  const kept = keptOf(session);
  return kept !== null && state.durables.heldBy(session) !== kept;
}

/** For a session that nothing is kept of. False: it was not there. */
export function forgetReceived({ received }: Session, onceId: number, run: Run): boolean {
  if (received?.delete(onceId) !== true) return false;
  run.turn?.onRefused(() => received.add(onceId));
  return true;
}
