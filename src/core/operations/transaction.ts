// Transactions: changes of single records, all or none. All are planned first, each on the result of those before
// it; only if all of them can be done is the first one made.

import type { View } from '../data/changed-records.js';
import type { Entry } from '../data/entry.js';
import type { DamagedRecord } from '../data/records.js';
import { RequestError, TransactionError } from '../errors.js';
import { type DataRequest, Reply, TRANSACTION_MAX, type TransactionRequest } from '../message.js';
import { CONTROL_AREA, CONTROL_PATH } from '../paths/path.js';
import { type Access, denied } from '../security/access.js';
import {
  changedPath,
  checkCondition,
  keep,
  MERGED_BYTES_MAX,
  type PlannedSet,
  planRemoval,
  planSet,
  publicationOf,
  removal,
  takeAway,
} from './data.js';
import { publish } from './publish.js';
import type { Run, State } from './run.js';

/** What the bodies that a transaction writes have together: merges write more than they bring. */
export const TRANSACTION_BYTES_MAX = 2 * MERGED_BYTES_MAX;

/** What one operation is going to do. */
interface Step {
  readonly operation: DataRequest;
  readonly set: PlannedSet | null;
  readonly removed: Entry | DamagedRecord | null;
  /** Revision of the record that this leaves, or of its removal; 0: there is none. */
  readonly revision: number;
}

export function transaction(request: TransactionRequest, run: Run): void {
  checkAll(request, run.state);
  const steps = plan(request, run.state);
  for (const [index, step] of steps.entries()) make(step, request.sequence, index, run);
  const reply = new Reply(request);
  reply.revisions = steps.map(({ revision }) => revision);
  run.say(reply);
}

/** Whether it is a transaction at all, and allowed: nothing is said about records to those who may not ask. */
function checkAll({ operations, session, time, control }: TransactionRequest, { access }: State): void {
  if (operations.length === 0) throw new RequestError('INVALID_REQUEST', 'a transaction has at least one operation');
  if (operations.length > TRANSACTION_MAX) {
    throw new RequestError('LIMIT_EXCEEDED', `a transaction has at most ${TRANSACTION_MAX} operations, not ${operations.length}`);
  }
  if (control) access.authorize(session, null, 'control', CONTROL_PATH, null);
  for (const [index, operation] of operations.entries()) {
    operation.time = time;
    if (!isSingle(operation)) throw failure(index, new RequestError('INVALID_REQUEST', 'it must change or read one record'));
    try {
      checkOne(operation, control, access);
    } catch (error) {
      throw error instanceof RequestError ? failure(index, error) : error;
    }
  }
}

function checkOne(operation: DataRequest, control: boolean, access: Access): void {
  const { op, session, options } = operation;
  const path = changedPath(operation);
  if (!control) access.authorize(session, options.actor, op, path, null);
  else if (!path.startsWith(CONTROL_AREA)) throw denied(op, path);
}

function isSingle({ op, pattern, options, onceId }: DataRequest): boolean {
  if (onceId > 0 || options.asOf !== null) return false;
  return op === 'set' ? options.store : pattern === null || pattern.exact !== null;
}

function plan({ operations }: TransactionRequest, state: State): Step[] {
  const { records } = state;
  const view: View = new Map();
  const steps: Step[] = [];
  let { revision } = state;
  let bytes = 0;
  records.planned = view;
  try {
    for (const [index, operation] of operations.entries()) {
      const step = planOne(operation, revision + 1, index, state);
      steps.push(step);
      if (step.set === null && step.removed === null) continue;
      bytes += step.set?.entry.bodyBytes ?? 0;
      if (bytes > TRANSACTION_BYTES_MAX) throw failure(index, tooLarge());
      view.set(changedPath(operation), step.set?.entry ?? null);
      revision += 1;
    }
  } finally {
    records.planned = null;
  }
  return steps;
}

function tooLarge(): RequestError {
  return new RequestError('LIMIT_EXCEEDED', `a transaction writes at most ${TRANSACTION_BYTES_MAX} bytes`);
}

function planOne(operation: DataRequest, revision: number, index: number, state: State): Step {
  try {
    switch (operation.op) {
      case 'set': {
        const set = planSet(operation, state, revision);
        // A body that cannot be written shows here, where nothing is changed yet.
        set.entry.payload.ownBytes();
        return { operation, set, removed: null, revision };
      }
      case 'remove': {
        const removed = planRemoval(operation, state);
        return { operation, set: null, removed, revision: removed === null ? 0 : revision };
      }
      case 'get':
        return { operation, set: null, removed: null, revision: seen(operation, state) };
    }
  } catch (error) {
    throw error instanceof RequestError ? failure(index, error) : error;
  }
}

function seen(operation: DataRequest, state: State): number {
  const path = changedPath(operation);
  const entry = state.records.read(path, operation.time);
  checkCondition(path, entry, operation.options);
  return entry?.revision ?? 0;
}

function make({ operation, set, removed, revision }: Step, sequence: number, index: number, run: Run): void {
  if (set !== null) keep(set, operation.options, run);
  else if (removed !== null) takeAway(removed, operation, run);
  else return;
  if (!operation.options.publish) return;
  const path = changedPath(operation);
  const match = run.state.router.match(path);
  if (!match.any) return;
  const publication = set !== null ? publicationOf(operation, set) : removal(operation, path, 1, revision, 'all');
  publish(run, publication, match, sequence, index);
}

function failure(index: number, error: RequestError): TransactionError {
  return new TransactionError(error, index);
}
