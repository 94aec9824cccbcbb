// Operations on subscriptions: where each begins and ends among the changes.

import { type SubscribeRequest, Reply } from '../message.js';
import { OutboundQueue } from '../outbound-queue.js';
import type { Router } from '../router.js';
import { Effect, type Turn } from '../turn.js';
import type { Run } from './run.js';

export function subscribe(request: SubscribeRequest, run: Run): void {
  const { subscription, initial, session } = request;
  const { state } = run;
  // The connection went away while this was waiting: nobody would ever end the subscription.
  if (session.closed) return;
  if (subscription.durable !== null) {
    const replaced = state.durables.subscribe(subscription.durable, subscription, (run.turn as Turn).batch);
    if (replaced !== null) run.say(new Effect(() => replaced.close()));
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
  if (initial !== null) reply.showOne(state.records.read(initial.exact as string, request.time));
  run.say(reply);
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
    if (durable === null) run.turn?.onRefused(() => undoUnsubscribe(request, router));
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

function undoUnsubscribe({ subscription, session }: SubscribeRequest, router: Router): void {
  if (session.closed) return;
  router.subscribe(subscription);
  session.subscriptions.add(subscription);
}
