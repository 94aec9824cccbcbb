// The consequences of a change of rights: subscriptions that are no longer covered end, sessions of deleted users and revoked
// tokens end, and the others are told. They are part of the change's operation, and undone with it.

import type { DurableSession } from '../durable/durable-session.js';
import { SessionRevoked } from '../errors.js';
import type { SecurityRequest } from '../message.js';
import type { Subscription } from '../routing/subscription.js';
import type { SecurityChange } from '../security/commands.js';
import { guardOf } from '../security/guards.js';
import type { Principal } from '../security/identity.js';
import type { EndReason } from '../security/policy.js';
import type { Session } from '../sessions/session.js';
import type { Sessions } from '../sessions/sessions.js';
import { Effect, type Turn } from '../turn.js';
import { giveAgain, orphansOf } from './orphans.js';
import type { Run } from './run.js';
import { undoUnsubscribe } from './subscriptions.js';

/** Looks again at all subscriptions of these users. `request`: that of the change. */
export function applyRights(users: ReadonlySet<string>, request: SecurityRequest, run: Run): void {
  const { access, sessions, directory } = run.state;
  if (access.isOpen) return;
  for (const session of sessions.ofUsers.concernedBy(users)) {
    for (const subscription of session.subscriptions) {
      const { actor } = subscription.options;
      const name = actor ?? subscription.owner?.name;
      if (subscription.durable !== null || name === undefined || !users.has(name)) continue;
      lookAgain(subscription, actor === null ? subscription.owner : directory.principal(actor), run);
    }
  }
  lookAtDurables(users, request, run);
  run.say(new Effect(() => directory.forgetGone(users)));
}

/** Of a user who is no more nothing is kept. What others queued is looked at when it is handed out. */
function lookAtDurables(users: ReadonlySet<string>, request: SecurityRequest, run: Run): void {
  const { durables, directory } = run.state;
  const ofNobody: DurableSession[] = [];
  for (const durable of durables.ofUsers(users)) {
    const principal = durable.session?.identity.principal ?? directory.principal(durable.user as string);
    if (principal === null || principal.isGone) ofNobody.push(durable);
    else lookAtDurable(durable, principal, run);
  }
  const orphans = orphansOf(ofNobody, request.time, run);
  for (const durable of ofNobody) drop(durable, run);
  giveAgain(orphans, request, run);
}

function lookAtDurable(durable: DurableSession, principal: Principal, run: Run): void {
  for (const subscription of [...durable.subscriptions.values()]) lookAgain(subscription, principal, run);
  for (const message of durable.queue.values()) message.publication = null;
}

function drop(durable: DurableSession, run: Run): void {
  const { durables } = run.state;
  const { batch } = run.turn as Turn;
  if (durable.delayedWill !== null) durables.wills.drop(durable.delayedWill.key, batch);
  durables.drop(durable, batch);
}

function lookAgain(subscription: Subscription, principal: Principal | null, run: Run): void {
  const turn = run.turn as Turn;
  const { pattern } = subscription;
  if (principal === null || principal.rights.covers('on', pattern) === 'none') {
    lose(subscription, run);
    return;
  }
  const before = subscription.guard;
  subscription.guard = guardOf(principal, 'on', pattern);
  turn.onRefused(() => {
    subscription.guard = before;
  });
}

/** What was executed before is still delivered, as far as that may be heard now. */
function lose(subscription: Subscription, run: Run): void {
  const { router, durables } = run.state;
  const turn = run.turn as Turn;
  const { durable, session } = subscription;
  if (durable !== null) {
    durables.unsubscribe(durable, subscription, turn.batch);
  } else if (router.unsubscribe(subscription)) {
    turn.onRefused(() => undoUnsubscribe(subscription, router));
  }
  session?.subscriptions.delete(subscription);
  run.say(
    new Effect(() => {
      const hearer = subscription.session;
      subscription.close();
      if (hearer !== null) run.tell(hearer, () => hearer.onSubscriptionLost(subscription));
    }),
  );
}

/** When it is stored, the sessions of these users learn what changed. */
export function tellChange(users: ReadonlySet<string>, change: SecurityChange, run: Run): void {
  run.say(
    new Effect(() => {
      for (const session of run.state.sessions.ofUsers.of(users)) run.tell(session, () => session.onSecurityChange(change));
    }),
  );
}

/** When it is stored, sessions of the user end whose user or token is no longer good. */
export function endRevoked(user: string, run: Run): void {
  endThose(({ ofUsers }) => ofUsers.of([user]), run);
}

/** As `endRevoked`, of the sessions that logged in with a token. */
export function endRevokedToken(id: string, run: Run): void {
  endThose(({ ofUsers }) => ofUsers.ofToken(id), run);
}

function endThose(found: (sessions: Sessions) => Session[], run: Run): void {
  run.say(
    new Effect(() => {
      for (const session of found(run.state.sessions)) {
        const reason = endOf(session, run);
        if (reason !== null) run.end(session, new SessionRevoked(reason));
      }
    }),
  );
}

function endOf({ ownIdentity: { principal, login } }: Session, run: Run): EndReason | null {
  if (principal === null) return null;
  if (principal.isGone) return 'security directory update: user deleted';
  const user = run.state.directory.user(principal.name);
  return user !== null && login !== null && run.state.directory.isRevoked(user, login) ? 'token-revoked' : null;
}
