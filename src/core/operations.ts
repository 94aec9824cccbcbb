// Operations: what each request does. Deterministic: they read only the store's state and the request (whose time, sequence
// and author were put in before), and check everything before they change anything.

import type { Action } from './access.js';
import { RequestError } from './errors.js';
import { type DataRequest, Reply, type Request } from './message.js';
import { get, remove, removeSlice, set } from './operations/data.js';
import { durable, storesDurable } from './operations/durable.js';
import type { RemovalSlice, Run, State } from './operations/run.js';
import { subscribe, unsubscribe } from './operations/subscriptions.js';
import { transaction } from './operations/transaction.js';

/** The right that a request needs; null: none. */
export function actionOf(request: Request): Action | null {
  switch (request.op) {
    case 'set':
    case 'remove':
    case 'get':
      return request.op;
    case 'subscribe':
      return 'on';
    // A transaction looks at the rights of each of its operations itself.
    default:
      return null;
  }
}

/** What the right is needed on: a path, or the text of a pattern. */
export function pathOf(request: Request): string {
  switch (request.op) {
    case 'set':
    case 'remove':
    case 'get':
      return request.pattern === null ? request.path : request.pattern.text;
    case 'subscribe':
    case 'unsubscribe':
      return request.subscription.pattern.text;
    case 'transaction':
    case 'durable':
      return '';
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
  }
}

function storesEvent(request: DataRequest, state: State): boolean {
  if (request.onceId > 0 && request.session.durable !== null) return true;
  return request.options.qos > 0 && state.router.match(request.path).keeps;
}

export function execute(request: Request | RemovalSlice, run: Run): void {
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
    case 'removeSlice':
      return removeSlice(request, run);
    default:
      throw new RequestError('UNKNOWN_OPERATION', `unknown operation ${String((request as Request).op)}`);
  }
}

/** Numbers an operation that stores; one that brings its number and was applied before changes nothing. */
function isRepeated(request: Request | RemovalSlice, run: Run): boolean {
  const { state } = run;
  if (request.op !== 'removeSlice' && !stores(request, state)) return false;
  if (request.sequence === 0) {
    request.sequence = state.applied + 1;
  } else if (request.sequence <= state.applied) {
    if (request.op !== 'removeSlice') {
      const reply = new Reply(request);
      reply.repeated = true;
      run.say(reply);
    }
    return true;
  }
  state.applied = request.sequence;
  return false;
}
