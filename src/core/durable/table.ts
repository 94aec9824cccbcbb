// DurableTable: all durable sessions in memory, as stored (rows.ts defines the form): who has them and their
// subscriptions. Queues are in queues.ts, wills in kept-wills.ts.

import type { Formats } from '../adapter.js';
import { RequestError } from '../errors.js';
import type { Router } from '../routing/router.js';
import type { Remainder, Subscription } from '../routing/subscription.js';
import type { Session } from '../sessions/session.js';
import { digits } from '../store/digits.js';
import { eachContent } from '../store/each-row.js';
import { SEALED_NOTHING, sealed } from '../store/seal.js';
import { SECTION, type Store, type WriteBatch } from '../store/store.js';
import { DurableSession, subscriptionKey } from './durable-session.js';
import { KeptWills } from './kept-wills.js';
import { DurableMaps, loadSessionRow } from './maps.js';
import { DurableQueues } from './queues.js';
import { encodeSession, encodeSubscription } from './rows.js';

/** Sessions that one sweep looks at; the next one goes on. */
const OVERDUE_MAX = 4_096;

export class DurableTable {
  #maps = new DurableMaps();
  #queues: DurableQueues;
  #wills: KeptWills;

  constructor(
    private readonly store: Store,
    private readonly formats: Formats,
    private readonly router: Router,
    private readonly maxAgeMs: number,
  ) {
    this.#queues = this.#queuesOf(this.#maps);
    this.#wills = new KeptWills(this.#maps, formats);
  }

  #queuesOf(maps: DurableMaps): DurableQueues {
    return new DurableQueues(maps, this.store, this.formats, this.maxAgeMs);
  }

  /** By key. */
  get sessions(): ReadonlyMap<string, DurableSession> {
    return this.#maps.sessions;
  }

  /** To be asked for anew after a `load`, as the next one. */
  get queues(): DurableQueues {
    return this.#queues;
  }

  get wills(): KeptWills {
    return this.#wills;
  }

  /**
   * Replaces everything in memory by what the store holds, at one moment: until then all is as it was. Subscriptions enter
   * the router. `now`: since when those are away whose connections were cut off.
   */
  async load(now: number): Promise<void> {
    const maps = new DurableMaps();
    const queues = this.#queuesOf(maps);
    const wills = new KeptWills(maps, this.formats);
    await eachContent(this.store, SECTION.durableSession, (key, content) => loadSessionRow(maps, key, content));
    await eachContent(this.store, SECTION.queue, (key, content) => queues.load(key, content));
    await eachContent(this.store, SECTION.will, (key, content) => wills.load(key, content));
    for (const durable of this.sessions.values()) {
      durable.dropped = true;
      for (const subscription of durable.subscriptions.values()) this.#endSubscription(subscription);
    }
    this.#maps = maps;
    this.#queues = queues;
    this.#wills = wills;
    for (const durable of this.sessions.values()) {
      durable.awaySince ||= now;
      this.#maps.plan(durable);
      for (const subscription of durable.subscriptions.values()) this.router.subscribe(subscription);
    }
  }

  /** Sessions that `sweep` would find something to do for, and keys of wills whose delay is over: of OVERDUE_MAX sessions at most. */
  overdue(now: number): { readonly sessions: string[]; readonly wills: string[] } {
    const sessions: string[] = [];
    const wills: string[] = [];
    for (const durable of this.#maps.agenda.dueAt(now, OVERDUE_MAX)) {
      if (durable.delayedWill !== null && durable.delayedWill.due <= now) wills.push(durable.delayedWill.key);
      if (durable.isOver(now) || durable.nextOverdue <= now) sessions.push(durable.key);
    }
    return { sessions, wills };
  }

  /** The session that this connection opened, unless another one has opened it since. */
  heldBy(connection: Session): DurableSession | null {
    return this.#maps.holders.get(connection.id) ?? null;
  }

  /** This connection opened it. */
  hold(durable: DurableSession, connection: Session): void {
    this.#maps.letGo(durable);
    durable.holder = connection.id;
    this.#maps.holders.set(connection.id, durable);
  }

  /** A connection opened it and has not left. */
  isHeld({ session, holder }: DurableSession): boolean {
    return session !== null || this.#maps.holders.has(holder);
  }

  /** Its connection has left. */
  letGo(durable: DurableSession): void {
    this.#maps.letGo(durable);
  }

  byNumber(number: number): DurableSession | null {
    return this.#maps.byNumber.get(number) ?? null;
  }

  /** A list of its own. */
  ofUsers(names: Iterable<string>): DurableSession[] {
    return this.#maps.byUser.of(names);
  }

  /** How many are that user's. */
  countOf(name: string): number {
    return this.#maps.byUser.count(name);
  }

  /** Sessions without a connection. */
  get away(): number {
    return this.sessions.size - this.#maps.attached;
  }

  create(number: number, key: string, expiryMs: number, batch: WriteBatch): DurableSession {
    const durable = new DurableSession(number, key);
    this.#maps.add(durable);
    this.change(durable, expiryMs, 0, batch);
    return durable;
  }

  /** How long it outlives its connection, and since when it has none (0: it has one). */
  change(durable: DurableSession, expiryMs: number, awaySince: number, batch: WriteBatch): void {
    durable.expiryMs = expiryMs;
    durable.awaySince = awaySince;
    this.#maps.plan(durable);
    batch.put(SECTION.durableSession, digits(durable.number), encodeSession(durable));
  }

  /** Whose it is; see there. */
  assign(durable: DurableSession, user: string | null, batch: WriteBatch): void {
    if (durable.user === user) return;
    this.#maps.own(durable, user);
    if (user === null) batch.delete(SECTION.durableSession, ownerKey(durable));
    else batch.put(SECTION.durableSession, ownerKey(durable), sealed(Buffer.from(user)));
  }

  /** Ends the session for good: its subscriptions, its queue, its row. */
  drop(durable: DurableSession, batch: WriteBatch): void {
    for (const subscription of [...durable.subscriptions.values()]) {
      this.unsubscribe(durable, subscription, batch);
      subscription.close();
    }
    for (const message of [...durable.queue.values()]) this.#queues.dequeue(durable, message.number, batch);
    for (const onceId of durable.received) this.forgetOnce(durable, onceId, batch);
    this.assign(durable, null, batch);
    batch.delete(SECTION.durableSession, digits(durable.number));
    this.#maps.drop(durable);
  }

  /**
   * A subscription with the same filter is replaced. Returns that one: nothing new reaches it, and it is to be closed when
   * what it still has to hear is said; null if there was none.
   */
  subscribe(durable: DurableSession, subscription: Subscription, batch: WriteBatch): Subscription | null {
    if (durable.dropped) throw new RequestError('INVALID_REQUEST', 'the durable session has ended');
    const key = subscriptionKey(subscription);
    const replaced = durable.subscriptions.get(key) ?? null;
    if (replaced === subscription) return null;
    if (replaced !== null) this.router.unsubscribe(replaced);
    durable.subscriptions.set(key, subscription);
    this.router.subscribe(subscription);
    this.#put(durable, subscription, batch);
    return replaced;
  }

  /** What the subscription is still to be handed out of its initial values. */
  setRemainder(durable: DurableSession, subscription: Subscription, remainder: Remainder | null, batch: WriteBatch): void {
    subscription.remainder = remainder;
    this.#put(durable, subscription, batch);
  }

  #put(durable: DurableSession, subscription: Subscription, batch: WriteBatch): void {
    batch.put(SECTION.durableSession, digits(durable.number) + subscriptionKey(subscription), encodeSubscription(subscription));
  }

  /** Nothing new reaches it; it is to be closed when what it still has to hear is said. False if it had ended before. */
  unsubscribe(durable: DurableSession, subscription: Subscription, batch: WriteBatch): boolean {
    const key = subscriptionKey(subscription);
    if (durable.subscriptions.get(key) !== subscription) return false;
    durable.subscriptions.delete(key);
    this.router.unsubscribe(subscription);
    batch.delete(SECTION.durableSession, digits(durable.number) + key);
    return true;
  }

  /** The session is carried by this connection (null: by none) from now on. */
  attach(durable: DurableSession, session: Session | null): void {
    this.#maps.attach(durable, session);
    // Initial values that are still read are for a connection that is gone; what waits behind them is in the queue.
    for (const subscription of durable.subscriptions.values()) subscription.session = session;
    if (session === null) this.#queues.onAway(durable);
    this.#maps.plan(durable);
  }

  rememberOnce(durable: DurableSession, onceId: number, batch: WriteBatch): void {
    durable.received.add(onceId);
    batch.put(SECTION.durableSession, `${digits(durable.number)}!${onceId}`, SEALED_NOTHING);
  }

  /** False: it was not there. */
  forgetOnce(durable: DurableSession, onceId: number, batch: WriteBatch): boolean {
    batch.delete(SECTION.durableSession, `${digits(durable.number)}!${onceId}`);
    return durable.received.delete(onceId);
  }

  #endSubscription(subscription: Subscription): void {
    subscription.close();
    this.router.unsubscribe(subscription);
  }
}

function ownerKey(durable: DurableSession): string {
  return `${digits(durable.number)}@`;
}
