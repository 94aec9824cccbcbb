// Publishing: whom a change concerns is noted when it is executed, and durable sessions get it queued in the same batch.

import type { DurableSession } from '../durable-session.js';
import type { Publication, Qos } from '../message.js';
import type { Match } from '../router.js';
import type { Turn } from '../turn.js';
import type { Run } from './run.js';

/** Publications of one operation are numbered within it; a slice of a removal makes the most. */
const MESSAGES_PER_OPERATION = 1_024;

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
