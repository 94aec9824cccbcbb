// Publishing: the receivers of a change are determined when it is executed, and for durable sessions it is queued in the same batch.

import type { DurableSession } from '../durable/durable-session.js';
import type { QueueTerms } from '../durable/queues.js';
import { NO_GROUPS } from '../durable/rows.js';
import type { Publication, Qos } from '../message.js';
import { isTopic } from '../paths/path.js';
import type { Match } from '../routing/router.js';
import type { Subscription } from '../routing/subscription.js';
import { NO_MATCH } from '../routing/subscription-list.js';
import type { Turn } from '../turn.js';
import type { Run } from './run.js';

/** Messages of one operation are numbered within it; a slice of a removal makes the most. */
export const MESSAGES_PER_OPERATION = 1_024;

/** Notes whom the publication concerns, and queues it for durable sessions in the same batch. */
export function publish(run: Run, publication: Publication, match: Match, sequence: number, index: number): void {
  publication.match = match;
  run.state.copies += match.all.length + match.groups.length;
  if (match.groups.length > 0) publication.chosen = choose(publication, match);
  if (match.keeps && publication.qos > 0 && publication.audience !== 'each-request' && run.turn !== null) {
    queueForDurables(run, publication, match, sequence * MESSAGES_PER_OPERATION + index);
  }
  run.say(publication);
}

/** The same for these members of shared subscriptions alone. */
export function publishTo(run: Run, publication: Publication, chosen: readonly Subscription[], sequence: number, index: number): void {
  publication.match = NO_MATCH;
  publication.chosen = chosen;
  run.state.copies += chosen.length;
  if (publication.qos > 0) queueForDurables(run, publication, NO_MATCH, sequence * MESSAGES_PER_OPERATION + index);
  run.say(publication);
}

function choose(publication: Publication, match: Match): readonly Subscription[] {
  const chosen: Subscription[] = [];
  for (const group of match.groups) {
    const member = group.choose(publication);
    if (member !== null) chosen.push(member);
  }
  return chosen;
}

/** What the subscriptions of one session make of a message, until all of them are known. */
interface OpenTerms {
  qos: Qos;
  identifiers: number[];
  asPublished: boolean;
  groups: readonly string[];
}

function queueForDurables(run: Run, publication: Publication, match: Match, number: number): void {
  const owners = new Map<DurableSession, OpenTerms>();
  for (const subscription of match.durable) note(publication, subscription, owners);
  for (const subscription of publication.chosen ?? []) note(publication, subscription, owners);
  if (!isTopic(publication.path)) return leaveOut(run, publication, owners);
  publication.number = number;
  for (const [owner, { qos, identifiers, asPublished, groups }] of owners) {
    if (qos > 0) enqueue(run, owner, publication, { qos: qos as 1 | 2, identifiers, asPublished, groups, place: null });
  }
  // Should its receiver end in the same turn, the store does not have it yet.
  if (publication.chosen !== null) (run.turn as Turn).keepShared(publication);
}

/** No message can name the path: it takes no room in a queue. A session that is there is handed it, and tells of it itself. */
function leaveOut(run: Run, { path }: Publication, owners: ReadonlyMap<DurableSession, OpenTerms>): void {
  for (const [owner, { qos }] of owners) if (qos > 0 && owner.session === null) run.state.losses.noTopic(owner, path);
}

function note(publication: Publication, subscription: Subscription, owners: Map<DurableSession, OpenTerms>): void {
  const { durable: owner, options, guard } = subscription;
  if (owner === null || !subscription.wants(publication)) return;
  if (guard !== null && !guard.rights.allows('on', publication.path)) return;
  const online = owner.session?.id;
  if (options.noLocal && isOwn(publication, subscription)) return;
  const { targets } = publication.options;
  if (targets !== null && (online === undefined || !targets.has(online))) return;
  let terms = owners.get(owner);
  if (terms === undefined) {
    terms = { qos: 0, identifiers: [], asPublished: false, groups: NO_GROUPS };
    owners.set(owner, terms);
  }
  terms.qos = Math.max(terms.qos, Math.min(options.qos, publication.qos)) as Qos;
  if (options.identifier > 0) terms.identifiers.push(options.identifier);
  terms.asPublished ||= options.asPublished;
  if (subscription.shared !== null) terms.groups = [...terms.groups, subscription.shared.key];
}

/** The subscriber's own session caused it, also by the will that one of its connections left behind. */
export function isOwn({ origin, leftBy }: Publication, { session, durable }: Subscription): boolean {
  if (session !== null && origin === session.id) return true;
  return durable !== null && (origin === durable.holder || leftBy === durable.number);
}

function enqueue(run: Run, owner: DurableSession, publication: Publication, terms: QueueTerms): void {
  const { durables, queueLimits } = run.state;
  const { batch } = run.turn as Turn;
  const dropped = queueLimits.overflow === 'oldest' ? durables.queues.makeRoom(owner, publication.size, queueLimits, batch) : 0;
  const isFull = owner.queue.size >= queueLimits.maxMessages || owner.queueBytes + publication.size > queueLimits.maxBytes;
  const isRefused = isFull || durables.queues.enqueue(owner, publication, terms, batch) === null;
  if (dropped > 0 || isRefused) run.state.losses.queueFull(owner, dropped + (isRefused ? 1 : 0), queueLimits.overflow);
}
