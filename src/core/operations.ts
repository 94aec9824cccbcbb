// Operations: what each request does. Deterministic: they read only the store's state and the request (whose time, sequence
// and author were put in before), and check everything before they change anything.

import type { Access, Action } from './access.js';
import type { Formats } from './adapter.js';
import type { DurableSession, QueueLimits } from './durable-session.js';
import { type DurableTable, decodeWill, encodeWill } from './durable-table.js';
import { Entry } from './entry.js';
import { ConnectionError, RequestError } from './errors.js';
import {
  type Audience,
  type DataOptions,
  DataRequest,
  type DurableRequest,
  type Increment,
  Publication,
  type Qos,
  Receipt,
  Reply,
  type Request,
  type SubscribeRequest,
  type Will,
} from './message.js';
import { Payload } from './payload.js';
import type { Query } from './query.js';
import type { Records } from './records.js';
import { OutboundQueue } from './outbound-queue.js';
import type { Match, Router } from './router.js';
import { NO_MATCH } from './subscription-list.js';
import type { Session } from './session.js';
import type { Store } from './store/store.js';
import type { Subscription } from './subscription.js';
import { Effect, type Outcome, type Turn } from './turn.js';
import { documentOf, isDocument, mergeDocuments } from './value.js';

/** Publications of one operation are numbered within it; a slice of a removal makes the most. */
const MESSAGES_PER_OPERATION = 1_024;

/** One slice of a wildcard removal: at most REMOVAL_SLICE paths, removed atomically. Made by the core alone. */
export class RemovalSlice {
  readonly kind = 'request';
  readonly op = 'removeSlice';
  time = 0;
  sequence = 0;
  size = 0;

  constructor(
    readonly session: Request['session'],
    readonly request: DataRequest,
    readonly paths: readonly string[],
    /** Records of a later revision were made after the removal began: they stay. */
    readonly asOf: number,
    readonly done: (removed: number, error: RequestError | null) => void,
  ) {}
}

/** What operations work on; the engine's single instance. */
export interface State {
  readonly store: Store;
  readonly records: Records;
  readonly router: Router;
  readonly durables: DurableTable;
  readonly formats: Formats;
  readonly access: Access;
  readonly queueLimits: QueueLimits;
  /** A full queue refused a message. */
  onQueueFull(durable: DurableSession): void;
  /** Revision of the last executed change. */
  revision: number;
  /** Number of the last executed operation that stores. */
  applied: number;
  /** Copies that publications make for their receivers, counted up as they are executed. */
  copies: number;
  /** Steps that queries took, counted up as they are executed. */
  steps: number;
}

/** What one execution may change and say. `turn` null: nothing is stored, outcomes take effect at once. */
export interface Run {
  readonly state: State;
  readonly turn: Turn | null;
  say(outcome: Outcome): void;
  /** Reads the store in slices and answers `request`; see scans.ts. */
  scan(request: DataRequest | SubscribeRequest): void;
  removeByPattern(request: DataRequest): void;
  /** Ends a connection; nothing that its adapter does comes back here. */
  end(session: Session, error: ConnectionError): void;
}

/** The right that a request needs; null: none. */
export function actionOf(request: Request): Action | null {
  switch (request.op) {
    case 'set':
    case 'remove':
    case 'get':
      return request.op;
    case 'subscribe':
      return 'on';
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
    case 'durable':
      return '';
  }
}

/** The path that a set or remove changes, unless it is a removal by wildcard. */
export function changedPath(request: DataRequest): string {
  return request.pattern?.exact ?? request.path;
}

/** Whether executing the request would write. */
export function stores(request: Request, state: State): boolean {
  switch (request.op) {
    case 'set':
      return request.options.store || storesEvent(request, state);
    case 'remove':
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
  return request.options.qos > 0 && state.router.match(request.path).durable.length > 0;
}

function storesDurable(request: DurableRequest, state: State): boolean {
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

export function execute(request: Request | RemovalSlice, run: Run): void {
  if (run.turn !== null && isRepeated(request, run)) return;
  switch (request.op) {
    case 'set':
      return set(request, run);
    case 'remove':
      return remove(request, run);
    case 'get':
      return get(request, run);
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

function set(request: DataRequest, run: Run): void {
  const { options, session, path } = request;
  let given = request.payload as Payload;
  if (receivedBefore(request, run)) return;
  let payload = given;
  let counter = 0;
  let entry: Entry | null = null;
  if (options.store) {
    const before = run.state.records.read(path);
    checkCondition(path, before, options);
    if (options.increment !== null) {
      counter = counted(before, options.increment) + options.increment.by;
      given = Payload.fromValue({ value: counter, gauge: options.increment.name }, run.state.formats.json);
      const change = Payload.fromValue({ [options.increment.name]: { value: counter } }, run.state.formats.json);
      payload = merged(before, change, run.state.formats);
    } else if (options.merge) {
      payload = merged(before, given, run.state.formats);
    }
    const revision = run.state.revision + 1;
    entry = new Entry(path, payload, before?.created ?? request.time, request.time, revision, session.identity.name, options.qos);
    (run.turn as Turn).put(entry);
    run.state.revision = revision;
  }
  rememberReceived(request, run);
  const match = options.publish ? run.state.router.match(path) : NO_MATCH;
  const publication = match.all.length > 0 ? change(request, payload, given, entry) : null;
  if (publication !== null) publish(run, publication, match, request.sequence, 0);
  if (!request.answered) return;
  const reply = new Reply(request);
  reply.entry = entry;
  reply.published = options.publish;
  reply.counter = counter;
  reply.receipt = receiptOf(publication, options);
  run.say(reply);
}

/** A receipt that was asked for says nobody when nobody could hear of it. */
function receiptOf(publication: Publication | null, options: DataOptions): Receipt | null {
  if (!options.receipt) return null;
  return publication === null ? new Receipt() : publication.receipt;
}

function counted(before: Entry | null, { name }: Increment): number {
  const counter = before === null ? undefined : documentOf(before.payload.value())[name];
  if (counter === undefined) return 0;
  const value = isDocument(counter) ? counter.value : undefined;
  if (typeof value !== 'number') throw new RequestError('INVALID_REQUEST', `${name} is no counter`);
  return value;
}

/** Publication of a set or event. */
function change(request: DataRequest, payload: Payload, given: Payload, entry: Entry | null): Publication {
  const { options, session } = request;
  return new Publication(
    'set',
    request.path,
    payload,
    given,
    entry,
    0,
    entry === null ? 0 : entry.revision,
    request.time,
    options,
    session.id,
    request.id,
    session.identity.name,
    'all',
  );
}

function checkCondition(path: string, before: Entry | null, options: DataOptions): void {
  if (options.condition === 'absent' && before !== null) {
    throw new RequestError('CONFLICT', `${path} exists with revision ${before.revision}`);
  }
  if (options.condition === 'present' && before === null) throw new RequestError('NOT_FOUND', `${path} does not exist`);
  if (options.expect !== null && options.expect !== (before?.revision ?? 0)) {
    throw new RequestError('CONFLICT', `${path} has revision ${before?.revision ?? 0}, not ${options.expect}`);
  }
}

/** One level deep, on the document forms. Written in the format that loses nothing of either side. */
function merged(before: Entry | null, given: Payload, formats: Formats): Payload {
  if (before === null) return given;
  const value = mergeDocuments(documentOf(before.payload.value()), documentOf(given.value()));
  const richer = before.payload.format === formats.msgpack || given.format === formats.msgpack;
  return Payload.fromValue(value, richer ? formats.msgpack : formats.json);
}

/** A repeated exactly-once number is answered and does nothing else. */
function receivedBefore(request: DataRequest, run: Run): boolean {
  if (request.onceId === 0) return false;
  const received = (keptOf(request.session) ?? request.session).received;
  if (received === null || !received.has(request.onceId)) return false;
  const reply = new Reply(request);
  reply.repeated = true;
  run.say(reply);
  return true;
}

function rememberReceived(request: DataRequest, run: Run): void {
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
function keptOf({ durable }: Session): DurableSession | null {
  return durable === null || durable.dropped ? null : durable;
}

function remove(request: DataRequest, run: Run): void {
  if (request.pattern !== null && request.pattern.exact === null) {
    run.removeByPattern(request);
    return;
  }
  const { options } = request;
  const path = changedPath(request);
  if (receivedBefore(request, run)) return;
  const before = run.state.records.read(path);
  checkCondition(path, before, options);
  const removed = meets(before, options.query, run.state) ? 1 : 0;
  if (removed === 1) {
    run.state.revision += 1;
    (run.turn as Turn).remove(path);
  }
  rememberReceived(request, run);
  const match = options.publish ? run.state.router.match(path) : NO_MATCH;
  const audience = removed === 1 || options.publishMissing ? 'all' : 'each-request';
  const revision = removed === 1 ? run.state.revision : 0;
  const publication = match.all.length > 0 ? removal(request, path, removed, revision, audience) : null;
  if (publication !== null) publish(run, publication, match, request.sequence, 0);
  if (!request.answered) return;
  const reply = new Reply(request);
  reply.count = removed;
  reply.published = options.publish;
  reply.receipt = receiptOf(publication, options);
  run.say(reply);
}

/** Publication of a removal caused by `request`. */
export function removal(request: DataRequest, path: string, removed: number, revision: number, audience: Audience): Publication {
  const { options, session } = request;
  return new Publication(
    'remove',
    path,
    null,
    null,
    null,
    removed,
    revision,
    request.time,
    options,
    session.id,
    request.id,
    session.identity.name,
    audience,
  );
}

function removeSlice(slice: RemovalSlice, run: Run): void {
  const { request, asOf } = slice;
  const { records } = run.state;
  const present = slice.paths.filter((path) => {
    const before = records.read(path);
    return before !== null && before.revision <= asOf;
  });
  let removed = 0;
  for (const path of present) {
    run.state.revision += 1;
    (run.turn as Turn).remove(path);
    const match = request.options.publish ? run.state.router.match(path) : NO_MATCH;
    if (match.all.length > 0) {
      publish(run, removal(request, path, 1, run.state.revision, 'each-record'), match, slice.sequence, removed);
    }
    removed += 1;
  }
  run.say(() => slice.done(removed, null));
}

function get(request: DataRequest, run: Run): void {
  const { pattern } = request;
  if (pattern !== null && pattern.exact === null) {
    run.scan(request);
    return;
  }
  const entry = find(pattern?.exact ?? request.path, request.options.query, run.state);
  const reply = new Reply(request);
  if (request.options.query?.count === true) reply.count = entry === null ? 0 : 1;
  else if (pattern === null) reply.entry = entry;
  if (pattern !== null) reply.entries = entry === null || reply.count > 0 ? [] : [entry];
  run.say(reply);
}

/** The record, if the query wants it. */
function find(path: string, query: Query | null, state: State): Entry | null {
  const entry = state.records.read(path);
  return meets(entry, query, state) && (query === null || query.skip === 0) ? entry : null;
}

/** Throws RequestError LIMIT_EXCEEDED when that is too much work, INVALID_REQUEST when an expression is none. */
function meets(entry: Entry | null, query: Query | null, state: State): boolean {
  if (query === null) return entry !== null;
  state.steps += query.beginSteps;
  const search = query.begin();
  if (entry === null) return false;
  try {
    return search.matches(entry);
  } finally {
    state.steps += search.steps;
  }
}

function subscribe(request: SubscribeRequest, run: Run): void {
  const { subscription, initial, session } = request;
  const { state } = run;
  // The connection went away while this was waiting: nobody would ever end the subscription.
  if (session.closed) return;
  if (subscription.durable !== null) {
    const replaced = state.durables.subscribe(subscription.durable, subscription, (run.turn as Turn).batch);
    if (replaced !== null) run.say(new Effect(() => close(replaced)));
  } else {
    state.router.subscribe(subscription);
    // It begins anew behind what was executed before it; what it heard already stays.
    run.turn?.onRefused(() => forget(request, state.router));
  }
  session.subscriptions.add(subscription);
  if (initial !== null && initial.exact === null) {
    subscription.held ??= new OutboundQueue(session.outbound.limits);
    run.scan(request);
    return;
  }
  const reply = new Reply(request);
  if (initial !== null) {
    const entry = state.records.read(initial.exact as string);
    reply.entries = entry === null ? [] : [entry];
  }
  run.say(reply);
}

function unsubscribe(request: SubscribeRequest, run: Run): void {
  const { subscription, session } = request;
  const { router, durables } = run.state;
  const { durable } = subscription;
  const reply = new Reply(request);
  const ends = durable === null ? router.unsubscribe(subscription) : durables.unsubscribe(durable, subscription, (run.turn as Turn).batch);
  if (ends) {
    reply.count = 1;
    session.subscriptions.delete(subscription);
    // What was executed before this is still delivered.
    run.say(new Effect(() => close(subscription)));
    if (durable === null) run.turn?.onRefused(() => undoUnsubscribe(request, router));
  }
  run.say(reply);
}

function close(subscription: Subscription): void {
  subscription.closed = true;
  subscription.held = null;
}

/** Takes back what a subscribe that failed began. */
export function undoSubscribe(request: SubscribeRequest, router: Router): void {
  close(request.subscription);
  forget(request, router);
}

function forget({ subscription, session }: SubscribeRequest, router: Router): void {
  router.unsubscribe(subscription);
  session.subscriptions.delete(subscription);
}

function undoUnsubscribe({ subscription, session }: SubscribeRequest, router: Router): void {
  if (session.closed) return;
  router.subscribe(subscription);
  session.subscriptions.add(subscription);
}

function durable(request: DurableRequest, run: Run): void {
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

function forgetReceived({ received }: Session, onceId: number, run: Run): void {
  if (received?.delete(onceId) === true) run.turn?.onRefused(() => received.add(onceId));
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

/** Notes whom the publication concerns, and queues it for durable sessions in the same batch. */
export function publish(run: Run, publication: Publication, match: Match, sequence: number, index: number): void {
  publication.match = match;
  run.state.copies += match.all.length;
  if (match.durable.length > 0 && publication.qos > 0 && publication.audience !== 'each-request' && run.turn !== null) {
    queueForDurables(run, publication, match, sequence * MESSAGES_PER_OPERATION + index);
  }
  run.say(publication);
}

function queueForDurables(run: Run, publication: Publication, match: Match, number: number): void {
  const { durables, queueLimits } = run.state;
  publication.number = number;
  const levels = new Map<DurableSession, Qos>();
  for (const { durable: owner, options } of match.durable) {
    if (owner === null || (publication.action === 'set' ? !options.sets : !options.removes)) continue;
    const online = owner.session?.id;
    if (options.noLocal && online === publication.origin) continue;
    const { targets } = publication.options;
    if (targets !== null && (online === undefined || !targets.has(online))) continue;
    const qos = Math.min(options.qos, publication.qos) as Qos;
    const known = levels.get(owner);
    if (known === undefined || known < qos) levels.set(owner, qos);
  }
  for (const [owner, qos] of levels) {
    if (qos === 0) continue;
    const full = owner.queue.size >= queueLimits.maxMessages || owner.queueBytes + publication.size > queueLimits.maxBytes;
    if (full || durables.enqueue(owner, publication, qos, (run.turn as Turn).batch) === null) run.state.onQueueFull(owner);
  }
}
