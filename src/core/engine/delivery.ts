// Delivery: hands out the results of a turn: replies to the askers, publications to receivers with the right to them, and messages
// queued for durable sessions.

import type { Log } from '../adapter.js';
import type { Counter, Counters } from '../counters.js';
import type { DurableTable } from '../durable/table.js';
import { ConnectionError } from '../errors.js';
import { deniedMessages } from '../losses.js';
import type { Publication, SubscribeRequest } from '../message.js';
import { isOwn } from '../operations/publish.js';
import { endBeginning } from '../operations/subscriptions.js';
import type { Subscription } from '../routing/subscription.js';
import type { Beginning } from '../sessions/beginnings.js';
import type { Session } from '../sessions/session.js';
import type { Sessions } from '../sessions/sessions.js';
import { StoreDamage } from '../store/store.js';
import type { Outcome } from '../turn.js';

export class Delivery {
  readonly #sessions: Sessions;
  readonly #durables: DurableTable;
  readonly #log: Log;
  readonly #damaged: Counter;
  readonly #denied: Counter;

  constructor(sessions: Sessions, durables: DurableTable, log: Log, counters: Counters) {
    this.#sessions = sessions;
    this.#durables = durables;
    this.#log = log;
    this.#damaged = counters.counter('queue_damaged_total', 'Queued messages that were damaged on disk and not delivered');
    this.#denied = deniedMessages(counters);
  }

  settle(outcome: Outcome): void {
    if (typeof outcome === 'function') outcome();
    else if (outcome.kind === 'reply') this.#sessions.push(outcome.request.session, outcome, null, 1);
    else if (outcome.kind === 'run') this.#sessions.pushRun(outcome);
    else if (outcome.kind === 'publication') this.#deliver(outcome);
    else outcome.apply();
  }

  #deliver(publication: Publication): void {
    const { match, chosen } = publication;
    if (match === null) return;
    for (const subscription of match.all) this.#deliverTo(publication, subscription);
    if (chosen !== null) for (const subscription of chosen) this.#deliverTo(publication, subscription);
  }

  #deliverTo(publication: Publication, subscription: Subscription): void {
    const { receipt, qos } = publication;
    const session = hearerOf(publication, subscription);
    if (session === null) return;
    if (subscription.guard !== null && !subscription.guard.rights.allows('on', publication.path)) return;
    if (receipt !== null) receipt.matched += 1;
    if (isLeftOut(publication, session, subscription)) {
      if (receipt !== null) receipt.skipped += 1;
      return;
    }
    if (receipt !== null) receipt.sessions.push(session);
    const beginning = session.beginnings === null ? null : session.beginnings.before(publication);
    if (beginning !== null) this.#hold(publication, subscription, beginning, session);
    else this.#sessions.push(session, publication, subscription, Math.min(subscription.options.qos, qos));
  }

  #hold(publication: Publication, subscription: Subscription, beginning: Beginning, session: Session): void {
    if (session.beginnings?.hold(beginning, publication, subscription) !== false) return;
    this.#sessions.end(session, new ConnectionError('SLOW_CONSUMER', 'too much happened while initial values were read'));
  }

  /** `past`: what was before the subscription began. */
  releaseHeld({ subscription, session }: SubscribeRequest, past: readonly Publication[] | null): void {
    const beginning = session.beginnings?.of(subscription) ?? null;
    if (beginning === null) return;
    endBeginning(session, beginning);
    if (past !== null) for (const publication of past) this.#deliverTo(publication, subscription);
    const { held } = beginning;
    for (let hearer = held.peekSubscription(); hearer !== null; hearer = held.peekSubscription()) {
      const publication = held.shift() as Publication;
      // It may have ended since, or be with another connection.
      if (hearer.closed || hearer.session !== session) continue;
      this.#sessions.push(session, publication, hearer, Math.min(publication.qos, hearer.options.qos));
    }
  }

  /** A body that is damaged on disk is gone: it is counted, and the queue goes on without it. */
  queuedPublication(number: number, session: Session | null): Publication | null {
    const principal = session?.identity.principal ?? null;
    try {
      const publication = this.#durables.queues.body(number);
      if (publication === null || principal === null || principal.rights.allows('on', publication.path)) return publication;
      this.#denied.add();
      return null;
    } catch (error) {
      if (!(error instanceof StoreDamage)) throw error;
      this.#damaged.add();
      this.#log.error({ err: error }, 'a queued message cannot be delivered');
      return null;
    }
  }
}

/** The session whose subscription asks for such a publication; null: it does not, or nobody is there. */
function hearerOf(publication: Publication, subscription: Subscription): Session | null {
  return subscription.closed || !subscription.wants(publication) ? null : subscription.session;
}

function isLeftOut(publication: Publication, session: Session, subscription: Subscription): boolean {
  const { targets } = publication.options;
  return (subscription.options.noLocal && isOwn(publication, subscription)) || (targets !== null && !targets.has(session.id));
}
