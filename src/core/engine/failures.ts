// The answers to failed requests, and which requests are answered at all.

import type { Log } from '../adapter.js';
import { RequestError } from '../errors.js';
import { type DurableRequest, Reply, type Request } from '../message.js';
import type { Work } from '../operations/slices.js';
import { StoreDamage, StoreFailure } from '../store/store.js';
import type { Lifecycle } from './lifecycle.js';

export class Failures {
  readonly #log: Log;
  readonly #lifecycle: Lifecycle;

  constructor(log: Log, lifecycle: Lifecycle) {
    this.#log = log;
    this.#lifecycle = lifecycle;
  }

  /** What the peer may know of a failure; the rest goes to the log. */
  asRequestError(error: unknown, request: Work): RequestError {
    if (error instanceof RequestError) return error;
    const { op, session } = request;
    // That the store is closed was said when it failed.
    if (this.#lifecycle.isRunning || !(error instanceof StoreFailure)) {
      this.#log.error({ err: error, op, session: session.id, adapter: session.adapter }, 'a request failed');
    }
    if (error instanceof StoreDamage || error instanceof StoreFailure) {
      return new RequestError('STORE_FAILED', 'the store could not read what the request needs', { cause: error });
    }
    return new RequestError('INTERNAL', 'the gateway failed on this request', { cause: error });
  }
}

/** While the store cannot be written to. */
export function isBeingReopened(): RequestError {
  return new RequestError('STORE_FAILED', 'the store is being reopened after a failure');
}

export function failedReply(request: Request, error: RequestError): Reply {
  const reply = new Reply(request);
  reply.error = error;
  return reply;
}

export function isAnswered(request: Request): boolean {
  return request.op === 'set' || request.op === 'remove' || request.op === 'get' ? request.answered : true;
}

/** What a connection leaves behind: nobody would ask for it again, so it waits for the store. */
export function isLeftBehind(request: Request): request is DurableRequest {
  if (request.op !== 'durable') return false;
  const { command } = request;
  return command.type === 'fireWill' || (command.type === 'will' && command.will === null);
}
