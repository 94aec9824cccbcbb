// Initial values of durable subscriptions: those about to be sent are queued like any other message, and the remainder is noted
// in the same batch. So a connection that ends, however it ends, loses none.

import type { Entry } from '../data/entry.js';
import { subscriptionKey } from '../durable/durable-session.js';
import { NO_GROUPS } from '../durable/rows.js';
import { RequestError } from '../errors.js';
import { type DurableCommand, type DurableRequest, HAND_OUT_MAX, Publication, Reply, STORED } from '../message.js';
import type { Turn } from '../turn.js';
import { MESSAGES_PER_OPERATION } from './publish.js';
import type { Run } from './run.js';

type HandOut = Extract<DurableCommand, { type: 'handOut' }>;

/** Another connection may have opened the session since, or the subscription be another one. */
export function handOut(request: DurableRequest, command: HandOut, run: Run): void {
  const { durables } = run.state;
  const { entries, place, after } = command;
  if (entries.length > HAND_OUT_MAX) throw new RequestError('INVALID_REQUEST', `more than ${HAND_OUT_MAX} initial values at a time`);
  const reply = new Reply(request);
  const durable = durables.heldBy(request.session);
  const subscription = durable?.subscriptions.get(subscriptionKey(command.subscription)) ?? null;
  const remainder = subscription?.remainder ?? null;
  if (durable !== null && subscription !== null && remainder?.place === place) {
    if (durables.queues.freeIds(durable) < entries.length) throw new RequestError('LIMIT_EXCEEDED', 'no packet ids are free');
    const { batch } = run.turn as Turn;
    const { identifier } = subscription.options;
    const terms = { identifiers: identifier === 0 ? [] : [identifier], asPublished: true, groups: NO_GROUPS, place };
    reply.queued = entries.map((entry, index) => {
      const publication = newsOf(entry, request, index);
      const qos = Math.min(command.qos, entry.qos) as 1 | 2;
      durables.queues.enqueue(durable, publication, { ...terms, qos }, batch);
      return publication.number;
    });
    durables.setRemainder(durable, subscription, after === null ? null : { ...remainder, after }, batch);
  }
  run.say(reply);
}

/** As if it had been published now. */
function newsOf(entry: Entry, { time, sequence }: DurableRequest, index: number): Publication {
  const { path, payload, revision, author, qos, meta } = entry;
  const options = { ...STORED, qos, meta };
  const publication = new Publication('set', path, payload, payload, entry, 0, revision, time, options, '', null, author, 'all');
  publication.number = sequence * MESSAGES_PER_OPERATION + index;
  return publication;
}
