// Orphans: messages of shared subscriptions whose receiver ended before it had them. They go to another member (MQTT 5, 4.8.2).

import type { DurableSession, QueuedMessage } from '../durable/durable-session.js';
import type { DurableRequest, Publication, SecurityRequest } from '../message.js';
import type { Subscription } from '../routing/subscription.js';
import type { Turn } from '../turn.js';
import { MESSAGES_PER_OPERATION, publishTo } from './publish.js';
import type { Run } from './run.js';

/** The first number of an operation may be its will's. */
const FIRST = 1;
/** What longer queues have beyond that is dropped with them. */
const ORPHANS_MAX = MESSAGES_PER_OPERATION - FIRST;

export interface Orphan {
  readonly publication: Publication;
  /** Keys of the groups that gave it. */
  readonly groups: readonly string[];
}

/** To be asked before the sessions are dropped, once in an operation. What is damaged or too old is none. */
export function orphansOf(sessions: readonly DurableSession[], time: number, run: Run): readonly Orphan[] {
  const orphans: Orphan[] = [];
  for (const { queue } of sessions) {
    for (const message of queue.values()) {
      if (orphans.length === ORPHANS_MAX) return orphans;
      const publication = isOrphan(message, time) ? publicationOf(message, run) : null;
      if (publication !== null) orphans.push({ publication, groups: message.groups });
    }
  }
  return orphans;
}

function isOrphan({ groups, qos, state, sent, expires }: QueuedMessage, time: number): boolean {
  if (groups.length === 0 || (expires > 0 && expires <= time)) return false;
  // [MQTT5-4.8.2-5]: the receiver may have it, and nobody else must then.
  return state === 'queued' && !(qos === 2 && sent);
}

function publicationOf({ number, publication }: QueuedMessage, run: Run): Publication | null {
  return publication ?? (run.turn as Turn).shared(number) ?? run.state.queuedPublication(number);
}

/** Each to one member of each of its groups that still has one. */
export function giveAgain(orphans: readonly Orphan[], { time, sequence }: DurableRequest | SecurityRequest, run: Run): void {
  for (const [i, { publication, groups }] of orphans.entries()) {
    const again = publication.again(time);
    const chosen: Subscription[] = [];
    for (const key of groups) {
      const member = run.state.router.group(key)?.choose(again) ?? null;
      if (member !== null) chosen.push(member);
    }
    if (chosen.length > 0) publishTo(run, again, chosen, sequence, FIRST + i);
  }
}
