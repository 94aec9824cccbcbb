// Operations: what each request does. Deterministic: they read only the store's state and the request (whose time, sequence
// and author were put in before), and check everything before they change anything.

import { RequestError } from './errors.js';
import { type DataRequest, Reply, type Request } from './message.js';
import { changedPath, get, remove, removeSlice, set, trimSlice } from './operations/data.js';
import { durable, storesDurable } from './operations/durable.js';
import type { Run, State } from './operations/run.js';
import { security } from './operations/security.js';
import type { Work } from './operations/slices.js';
import { subscribe, unsubscribe } from './operations/subscriptions.js';
import { transaction } from './operations/transaction.js';
import type { Pattern } from './paths/pattern.js';
import type { Action } from './security/access.js';
import type { Guard } from './security/guards.js';
import type { Session } from './sessions/session.js';

/**
 * Throws RequestError unless the request is allowed; notes in it whose right each record is to be looked at with. A transaction
 * looks at the rights of each of its operations itself; whoever no longer wants to hear something needs no right for that.
 */
export function authorize(request: Request, state: Pick<State, 'access' | 'audit'>): void {
  const { session } = request;
  switch (request.op) {
    case 'set':
    case 'remove':
    case 'get': {
      const { op, pattern, options, path } = request;
      request.guard = decide(session, options.actor, op, pattern === null ? path : pattern.text, pattern, state);
      return;
    }
    case 'subscribe': {
      const { subscription, initial } = request;
      const { pattern, options } = subscription;
      subscription.guard = decide(session, options.actor, 'on', pattern.text, pattern, state);
      subscription.owner = session.identity.principal;
      if (initial !== null) request.guard = state.access.guard(session, options.actor, 'get', initial);
      return;
    }
    default:
  }
}

/** As Access.authorize; what is done in somebody else's name is noted for the audit. */
function decide(
  session: Session,
  actor: string | null,
  action: Action,
  path: string,
  pattern: Pattern | null,
  { access, audit }: Pick<State, 'access' | 'audit'>,
): Guard | null {
  if (actor === null || actor === session.identity.name) return access.authorize(session, actor, action, path, pattern);
  const act = { asker: session.asker, user: actor, action, path };
  try {
    const guard = access.authorize(session, actor, action, path, pattern);
    audit.delegated({ ...act, refusal: null });
    return guard;
  } catch (error) {
    audit.delegated({ ...act, refusal: error instanceof RequestError ? error.code : 'INTERNAL' });
    throw error;
  }
}

/** Whether executing the request would write. */
export function stores(request: Request, state: State): boolean {
  switch (request.op) {
    case 'set':
      return request.options.store || storesEvent(request, state);
    case 'remove':
    case 'transaction':
      return true;
    case 'get':
      return false;
    case 'subscribe':
    case 'unsubscribe':
      return request.subscription.durable !== null;
    case 'durable':
      return storesDurable(request, state);
    case 'security':
      return true;
  }
}

function storesEvent(request: DataRequest, state: State): boolean {
  if (request.onceId > 0 && request.session.durable !== null) return true;
  return request.options.qos > 0 && state.router.match(request.path).keeps;
}

/**
 * Whether executing the request changes records and answers, and does nothing else: nothing of sessions, subscriptions, queues or
 * rights, and nothing in slices.
 */
export function isPlain(request: Work, state: State): boolean {
  switch (request.op) {
    case 'set':
    case 'remove':
    case 'get': {
      if (request.pattern !== null && request.pattern.exact === null) return false;
      if (state.durables.sessions.size === 0) return true;
      if (request.onceId > 0 && request.session.durable !== null) return false;
      return request.op === 'get' || request.options.qos === 0 || !state.router.match(changedPath(request)).keeps;
    }
    case 'transaction':
      return state.durables.sessions.size === 0;
    default:
      return false;
  }
}

export function execute(request: Work, run: Run): void {
  if (run.turn !== null && isRepeated(request, run)) return;
  switch (request.op) {
    case 'set':
      return set(request, run);
    case 'remove':
      return remove(request, run);
    case 'get':
      return get(request, run);
    case 'transaction':
      return transaction(request, run);
    case 'subscribe':
      return subscribe(request, run);
    case 'unsubscribe':
      return unsubscribe(request, run);
    case 'durable':
      return durable(request, run);
    case 'security':
      return security(request, run);
    case 'removeSlice':
      return removeSlice(request, run);
    case 'trimSlice':
      return trimSlice(request, run);
    default:
      throw new RequestError('UNKNOWN_OPERATION', `unknown operation ${String((request as Request).op)}`);
  }
}

/** Numbers an operation that stores; one that brings its number and was applied before changes nothing. */
function isRepeated(request: Work, run: Run): boolean {
  const { state } = run;
  if (request.kind !== 'slice' && !stores(request, state)) return false;
  if (request.sequence === 0) {
    request.sequence = state.applied + 1;
  } else if (request.sequence <= state.applied) {
    if (request.kind !== 'slice') {
      const reply = new Reply(request);
      reply.repeated = true;
      run.say(reply);
    }
    return true;
  }
  state.applied = request.sequence;
  return false;
}
