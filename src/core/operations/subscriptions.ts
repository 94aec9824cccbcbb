// Operations on subscriptions: where each begins and ends among the changes.

import type { Entry } from '../data/entry.js';
import { type DurableSession, subscriptionKey } from '../durable/durable-session.js';
import { Reply, type SubscribeRequest } from '../message.js';
import type { Router } from '../routing/router.js';
import type { Subscription } from '../routing/subscription.js';
import { type Beginning, Beginnings } from '../sessions/beginnings.js';
import type { Session } from '../sessions/session.js';
import { Effect, type Turn } from '../turn.js';
import { MESSAGES_PER_OPERATION } from './publish.js';
import type { Run, State } from './run.js';

export function subscribe(request: SubscribeRequest, run: Run): void {
  const { subscription, initial, session, since } = request;
  const { state } = run;
  if (session.closed) return subscribeForLater(request, run);
  session.subscriptions.checkRoom(subscription);
  if (subscription.durable !== null) remember(request, run);
  // Before anything is changed: a record that cannot be read fails the request.
  const found = initial === null || initial.exact === null ? null : oneInitial(request, initial.exact, state);
  if (subscription.durable !== null) {
    keepSubscription(subscription.durable, request, run);
  } else {
    state.router.subscribe(subscription);
    // It begins anew behind what was executed before it; what it heard already stays.
    run.turn?.onRefused(() => forget(request, state.router));
  }
  session.subscriptions.add(subscription);
  noteUser(request, state);
  request.found = found;
  if (since !== null || (initial !== null && initial.exact === null)) {
    session.beginnings ??= new Beginnings(session.outbound.limits);
    const beginning = session.beginnings.add(subscription);
    run.turn?.onRefused(() => endBeginning(session, beginning));
    run.scan(request);
    return;
  }
  const reply = new Reply(request);
  reply.revision = state.committed;
  if (initial !== null) reply.showOne(found);
  run.say(reply);
}

/** The connection went away while this was waiting: nobody would ever end the subscription, unless it is one for the next connection. */
function subscribeForLater(request: SubscribeRequest, run: Run): void {
  const { subscription, session } = request;
  const { durable } = subscription;
  if (durable === null || run.state.durables.heldBy(session) !== durable) return;
  subscription.session = null;
  remember(request, run);
  keepSubscription(durable, request, run);
}

/** In its durable session; the one whose place it takes ends behind what is said already. */
function keepSubscription(durable: DurableSession, { subscription, session }: SubscribeRequest, run: Run): void {
  const replaced = run.state.durables.subscribe(durable, subscription, (run.turn as Turn).batch);
  if (replaced === null) return;
  session.subscriptions.delete(replaced);
  run.say(new Effect(() => replaced.close()));
}

/** Its initial values are read, or will not be. */
export function endBeginning(session: Session, ended: Beginning): void {
  session.beginnings?.end(ended);
  if (session.beginnings?.isEmpty === true) session.beginnings = null;
}

/** So that it is found when that user's rights change. */
function noteUser({ session, subscription: { options, owner } }: SubscribeRequest, { sessions }: State): void {
  const name = options.actor ?? owner?.name;
  if (name !== undefined) sessions.ofUsers.subscribed(session, name);
}

/** null: there is none, or none that may be shown. */
function oneInitial({ subscription, guard, time }: SubscribeRequest, path: string, { records }: State): Entry | null {
  const entry = guard === null || guard.rights.allows('get', path) ? records.read(path, time) : null;
  const { remainder } = subscription;
  return entry === null || remainder === null || entry.revision <= remainder.revision ? entry : null;
}

/** That initial values are to be handed out is kept with the subscription; one that asks for none leaves it as it was. */
function remember(request: SubscribeRequest, { state }: Run): void {
  const { subscription, initial, streamed, sequence, time } = request;
  const durable = subscription.durable as DurableSession;
  const known = durable.subscriptions.get(subscriptionKey(subscription)) ?? null;
  request.isResumed = known === subscription;
  if (request.isResumed) return;
  if (initial === null) {
    subscription.remainder = known?.remainder ?? null;
    return;
  }
  const isNothing = initial.exact !== null && state.records.read(initial.exact, time) === null;
  if (!streamed || subscription.options.qos === 0 || isNothing) return;
  subscription.remainder = { after: null, revision: state.revision, place: sequence * MESSAGES_PER_OPERATION };
}

export function unsubscribe(request: SubscribeRequest, run: Run): void {
  const { subscription, session } = request;
  const { router, durables } = run.state;
  const { durable } = subscription;
  const reply = new Reply(request);
  const ends = durable === null ? router.unsubscribe(subscription) : durables.unsubscribe(durable, subscription, (run.turn as Turn).batch);
  if (ends) {
    reply.count = 1;
    session.subscriptions.delete(subscription);
    // What was executed before this is still delivered.
    run.say(new Effect(() => subscription.close()));
    if (durable === null) run.turn?.onRefused(() => undoUnsubscribe(subscription, router));
  }
  run.say(reply);
}

/** Takes back what a subscribe that failed began. */
export function undoSubscribe(request: SubscribeRequest, router: Router): void {
  request.subscription.close();
  forget(request, router);
}

function forget({ subscription, session }: SubscribeRequest, router: Router): void {
  router.unsubscribe(subscription);
  session.subscriptions.delete(subscription);
}

/** It goes on as if nobody had ended it. */
export function undoUnsubscribe(subscription: Subscription, router: Router): void {
  const { session } = subscription;
  if (session === null || session.closed) return;
  router.subscribe(subscription);
  session.subscriptions.add(subscription);
}
