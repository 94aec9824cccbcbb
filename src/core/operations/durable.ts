// Operations on what is kept of a session beyond its connection: the session itself, its queue, its will.

import type { DurableSession } from '../durable-session.js';
import { decodeWill, encodeWill } from '../durable-table.js';
import { ConnectionError } from '../errors.js';
import { DataRequest, type DurableRequest, Reply, type Will } from '../message.js';
import type { Session } from '../session.js';
import { Effect, type Turn } from '../turn.js';
import { remove, set } from './data.js';
import { forgetReceived, keptOf } from './once.js';
import type { Run, State } from './run.js';

export function storesDurable(request: DurableRequest, state: State): boolean {
  const { command, session } = request;
  switch (command.type) {
    case 'open':
      return !command.clean || state.durables.sessions.has(command.key);
    case 'will':
      return command.will !== null || state.durables.wills.has(session.id);
    case 'fireWill':
      return state.durables.wills.has(command.key ?? session.id);
    default:
      return session.durable !== null;
  }
}

export function durable(request: DurableRequest, run: Run): void {
  const { command, session } = request;
  switch (command.type) {
    case 'open':
      return open(request, command.key, command.clean, run);
    case 'will':
      changeWill(request, command.will, run);
      break;
    case 'fireWill':
      fireWill(request, command.key ?? session.id, run);
      break;
    default:
      changeQueue(request, keptOf(session), run);
  }
  run.say(new Reply(request));
}

function open(request: DurableRequest, key: string, clean: boolean, run: Run): void {
  const { session } = request;
  const { durables } = run.state;
  const reply = new Reply(request);
  const kept = durables.sessions.get(key) ?? null;
  if (clean) {
    session.durable = null;
    if (kept !== null) durables.drop(kept, (run.turn as Turn).batch);
  } else {
    reply.present = kept !== null;
    reply.durable = kept ?? durables.create(request.sequence, key, (run.turn as Turn).batch);
  }
  const { durable } = reply;
  // What was published before this is for the connection before, and reaches this one out of the queue.
  if (kept !== null || durable !== null) run.say(new Effect(() => carry(session, kept, durable, run)));
  run.say(reply);
}

/** The connection carries `durable` (null: nothing) from now on; whichever carried `kept` until now ends. */
function carry(session: Session, kept: DurableSession | null, durable: DurableSession | null, run: Run): void {
  const previous = kept?.session ?? null;
  if (durable !== null && !session.closed) {
    run.state.durables.attach(durable, session);
    session.durable = durable;
  }
  if (previous === null || previous === session) return;
  run.end(previous, new ConnectionError('TAKEN_OVER', 'another connection with the same client id took the session over'));
}

function changeQueue(request: DurableRequest, durableSession: DurableSession | null, run: Run): void {
  const { command, session } = request;
  const { durables } = run.state;
  if (durableSession === null) {
    if (command.type === 'forget') forgetReceived(session, command.onceId, run);
    return;
  }
  const { batch } = run.turn as Turn;
  if (command.type === 'acknowledge') {
    durables.dequeue(durableSession, command.number, batch);
  } else if (command.type === 'release') {
    const message = durableSession.queue.get(command.number);
    if (message !== undefined) durables.release(durableSession, message, batch);
  } else if (command.type === 'forget') {
    durables.forgetOnce(durableSession, command.onceId, batch);
  }
}

function changeWill(request: DurableRequest, will: Will | null, run: Run): void {
  const { session } = request;
  if (run.turn === null) return;
  const { batch } = run.turn;
  if (will === null) run.state.durables.dropWill(session.id, batch);
  else run.state.durables.keepWill(session.id, encodeWill(will, request.time, session.identity.name), batch);
}

/** The will's own change and its removal from the store are in one batch, so that it is published once. */
function fireWill(request: DurableRequest, key: string, run: Run): void {
  const { state } = run;
  const bytes = state.durables.wills.get(key);
  if (bytes === undefined) return;
  const { will, author } = decodeWill(bytes, state.formats);
  const { session } = request;
  // The session of another run is gone: the one that stands in for it speaks in the name of who left the will.
  if (key !== session.id) session.identity = { name: author };
  const op = will.remove ? 'remove' : 'set';
  const fired = new DataRequest(op, session, request.id, will.path, null, will.payload, will.options, false, 0, null);
  fired.time = request.time;
  fired.sequence = request.sequence;
  request.firedPath = will.path;
  state.durables.dropWill(key, (run.turn as Turn).batch);
  if (will.remove) remove(fired, run);
  else set(fired, run);
}
