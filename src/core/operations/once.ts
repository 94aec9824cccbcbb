// Exactly-once numbers: a repeated message is answered and has no other effect.

import type { DurableSession } from '../durable/durable-session.js';
import { type DataRequest, Reply } from '../message.js';
import type { Session } from '../sessions/session.js';
import type { Turn } from '../turn.js';
import type { Run } from './run.js';

/** A repeated exactly-once number is answered and does nothing else. */
export function receivedBefore(request: DataRequest, run: Run): boolean {
  if (request.onceId === 0) return false;
  const received = (keptOf(request.session) ?? request.session).received;
  if (received === null || !received.has(request.onceId)) return false;
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

/** For a session that nothing is kept of. */
export function forgetReceived({ received }: Session, onceId: number, run: Run): void {
  if (received?.delete(onceId) === true) run.turn?.onRefused(() => received.add(onceId));
}
