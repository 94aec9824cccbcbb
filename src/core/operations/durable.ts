// Operations on durable sessions: the session itself, and its queue.

import { type DurableSession, keptId } from '../durable/durable-session.js';
import { ConnectionError, RequestError } from '../errors.js';
import { type DurableCommand, type DurableRequest, Reply } from '../message.js';
import { THE_GATEWAY } from '../security/identity.js';
import type { Session } from '../sessions/session.js';
import { Effect, type Turn } from '../turn.js';
import { handOut } from './initial.js';
import { forgetReceived, isOvertaken, keptOf } from './once.js';
import { giveAgain, orphansOf } from './orphans.js';
import type { Run, State } from './run.js';
import { changeWill, dropDelayedWill, fireWill } from './wills.js';

type Open = Extract<DurableCommand, { type: 'open' }>;

export function storesDurable(request: DurableRequest, state: State): boolean {
  const { command, session } = request;
  switch (command.type) {
    case 'open':
      return command.expiryMs > 0 || state.durables.sessions.has(command.key);
    case 'will':
      return command.will !== null || state.durables.wills.has(session.id);
    case 'fireWill':
      return state.durables.wills.has(command.key ?? session.id);
    case 'sweep':
    case 'end':
      return true;
    case 'leave':
      return state.durables.heldBy(session) !== null;
    default:
      return session.durable !== null;
  }
}

export function durable(request: DurableRequest, run: Run): void {
  const { command, session } = request;
  switch (command.type) {
    case 'open':
      return open(request, command, run);
    case 'expiry':
      changeExpiry(session, command.expiryMs, run);
      break;
    case 'leave':
      leave(request, run);
      break;
    case 'sweep':
      sweep(request, command.key, run);
      break;
    case 'end':
      endKept(request, command.number, run);
      break;
    case 'will':
      changeWill(request, command.will, run);
      break;
    case 'fireWill':
      fireWill(request, command.key ?? session.id, run);
      break;
    case 'handOut':
      return handOut(request, command, run);
    case 'forget':
      return forget(request, command.onceId, run);
    default:
      if (!isOvertaken(session, run)) changeQueue(request, keptOf(session), run);
  }
  run.say(new Reply(request));
}

function open(request: DurableRequest, { key, clean, expiryMs }: Open, run: Run): void {
  const { session, time } = request;
  const { durables, access } = run.state;
  const reply = new Reply(request);
  const found = durables.sessions.get(key) ?? null;
  access.own(session, found?.user);
  if (found === null && expiryMs > 0) checkRoom(session, run.state);
  const resumes = found !== null && !clean && !found.isOver(time);
  if (!resumes) session.durable = null;
  if (found !== null && resumes) {
    reply.present = true;
    reply.durable = found;
    resume(found, expiryMs, request, run);
  } else {
    if (found !== null) end(found, request, run);
    if (expiryMs > 0) reply.durable = durables.create(request.sequence, key, expiryMs, (run.turn as Turn).batch);
  }
  const { durable } = reply;
  if (durable !== null) {
    durables.hold(durable, session);
    own(durable, session, run);
  }
  // What was published before this is for the connection before, and reaches this one out of the queue.
  if (found !== null || durable !== null) run.say(new Effect(() => carry(session, found, durable, run)));
  run.say(reply);
}

/** Throws RequestError LIMIT_EXCEEDED when as many sessions are kept as may be. The gateway's own always are. */
function checkRoom({ identity }: Session, { durables, queueLimits: { maxSessions }, losses }: State): void {
  const { principal } = identity;
  const isFull = durables.sessions.size >= maxSessions;
  if (!isFull) losses.sessionsHaveRoom();
  if (identity === THE_GATEWAY) return;
  if (!isFull && (principal === null || durables.countOf(principal.name) < maxSessions / 2)) return;
  losses.sessionRefused(identity, durables.sessions.size);
  throw new RequestError('LIMIT_EXCEEDED', isFull ? 'no more sessions are kept' : 'no more sessions are kept for this user');
}

/** Whose rights count for what it hears. */
function own(durable: DurableSession, session: Session, run: Run): void {
  const { durables, access } = run.state;
  const { principal } = session.identity;
  durables.assign(durable, principal?.name ?? null, (run.turn as Turn).batch);
  if (access.isOpen) return;
  for (const subscription of durable.subscriptions.values()) {
    subscription.guard = access.guard(session, null, 'on', subscription.pattern);
  }
}

function resume(durable: DurableSession, expiryMs: number, { time }: DurableRequest, run: Run): void {
  const { batch } = run.turn as Turn;
  run.state.durables.change(durable, expiryMs, 0, batch);
  dropDelayedWill(durable, run);
  trim(durable, time, run);
}

/**
 * Ends the session for good. A will that waits for its delay waits no longer (MQTT 5, 3.1.2.5); what it was given as one of
 * several is given to another of them.
 */
function end(durable: DurableSession, request: DurableRequest, run: Run): void {
  if (durable.delayedWill !== null) fireWill(request, durable.delayedWill.key, run);
  const orphans = orphansOf([durable], request.time, run);
  run.state.durables.drop(durable, (run.turn as Turn).batch);
  giveAgain(orphans, request, run);
}

/** The connection carries `durable` (null: nothing) from now on; whichever carried `kept` until now ends. */
function carry(session: Session, kept: DurableSession | null, durable: DurableSession | null, run: Run): void {
  const previous = kept?.session ?? null;
  if (durable !== null && session.closed) {
    run.leave(session);
  } else if (durable !== null) {
    run.state.durables.attach(durable, session);
    session.durable = durable;
  }
  if (previous === null || previous === session) return;
  run.end(previous, new ConnectionError('TAKEN_OVER', 'another connection with the same client id took the session over'));
}

function changeExpiry(session: Session, expiryMs: number, run: Run): void {
  const durable = run.state.durables.heldBy(session);
  if (durable !== null) run.state.durables.change(durable, expiryMs, durable.awaySince, (run.turn as Turn).batch);
}

/** Another connection may have opened the session since. */
function leave(request: DurableRequest, run: Run): void {
  const { durables } = run.state;
  const durable = durables.heldBy(request.session);
  if (durable === null) return;
  durables.letGo(durable);
  if (durable.expiryMs === 0) return end(durable, request, run);
  const { batch } = run.turn as Turn;
  durables.change(durable, durable.expiryMs, request.time, batch);
  durables.queues.noteUnsent(durable, batch);
}

function sweep(request: DurableRequest, key: string, run: Run): void {
  const durable = run.state.durables.sessions.get(key);
  if (durable === undefined) return;
  if (durable.isOver(request.time)) {
    run.state.losses.sessionOver(durable);
    end(durable, request, run);
  } else {
    trim(durable, request.time, run);
  }
}

/** The audit keeps it in the same batch. */
function endKept(request: DurableRequest, number: number, run: Run): void {
  const { durables, audit } = run.state;
  const durable = durables.byNumber(number);
  if (durable === null) throw new RequestError('NOT_FOUND', 'there is no such session');
  if (durables.isHeld(durable)) throw new RequestError('CONFLICT', 'a connection has this session: end that first');
  const { name, protocol, address } = request.session.asker;
  const details = { user: durable.user, key: durable.key, queued: durable.queue.size };
  const event = { action: 'session.end', actor: name, target: keptId(durable), refusal: null, protocol, address, details } as const;
  end(durable, request, run);
  audit.enter({ event, time: request.time }, run.turn as Turn);
  run.say(new Effect(() => audit.tell(event)));
}

function trim(durable: DurableSession, time: number, run: Run): void {
  const dropped = run.state.durables.queues.trim(durable, time, (run.turn as Turn).batch);
  if (dropped > 0) run.state.losses.queueOverdue(durable, dropped);
}

function changeQueue(request: DurableRequest, durableSession: DurableSession | null, run: Run): void {
  const { command } = request;
  const { durables } = run.state;
  if (durableSession === null) return;
  const { batch } = run.turn as Turn;
  if (command.type === 'acknowledge') {
    durables.queues.dequeue(durableSession, command.number, batch);
  } else if (command.type === 'release') {
    const message = durableSession.queue.get(command.number);
    if (message !== undefined) durables.queues.release(durableSession, message, batch);
  }
}

function forget(request: DurableRequest, onceId: number, run: Run): void {
  const { session } = request;
  const reply = new Reply(request);
  if (!isOvertaken(session, run)) {
    const kept = keptOf(session);
    const isKnown =
      kept === null ? forgetReceived(session, onceId, run) : run.state.durables.forgetOnce(kept, onceId, (run.turn as Turn).batch);
    reply.count = isKnown ? 1 : 0;
  }
  run.say(reply);
}
