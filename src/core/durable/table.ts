// DurableTable: all durable sessions in memory, as the store has them (rows.ts says in what form).

import type { Formats } from '../adapter.js';
import { RequestError } from '../errors.js';
import type { Publication } from '../message.js';
import type { Router } from '../routing/router.js';
import type { Remainder, Subscription } from '../routing/subscription.js';
import type { Session } from '../sessions/session.js';
import { digits } from '../store/digits.js';
import { SEALED_NOTHING, sealed, unsealed } from '../store/seal.js';
import { SECTION, type Section, type Store, type WriteBatch } from '../store/store.js';
import { DurableSession, type QueuedMessage, type QueueLimits, subscriptionKey } from './durable-session.js';
import { DurableMaps, isDelayed, loadQueueRow, loadSessionRow, loadWillRow, overdueOf } from './maps.js';
import {
  decodeMessage,
  decodeWill,
  encodeMessage,
  encodeQueued,
  encodeSession,
  encodeSubscription,
  encodeWill,
  type KeptWill,
  numberIn,
  queueKey,
} from './rows.js';

const SCAN_ROWS = 1_000;
const PACKET_IDS = 65_535;
/** So many are left to initial values, which come before messages that were queued earlier. */
const IDS_FOR_INITIAL = 256;
/** Sessions that one sweep looks at; the next one goes on. */
const OVERDUE_MAX = 4_096;

/** What the subscriptions of one session make of a message for it. */
export interface QueueTerms {
  readonly qos: 1 | 2;
  readonly identifiers: readonly number[];
  readonly asPublished: boolean;
  /** Of an initial value: the number up to which messages come before it. null: it is none. */
  readonly place: number | null;
  readonly groups: readonly string[];
}

export class DurableTable {
  #maps = new DurableMaps();

  constructor(
    private readonly store: Store,
    private readonly formats: Formats,
    private readonly router: Router,
    private readonly maxAgeMs: number,
  ) {}

  /** By key. */
  get sessions(): ReadonlyMap<string, DurableSession> {
    return this.#maps.sessions;
  }

  /** Rows of kept wills without their seal, by the session id of their connection or, while they wait for their delay, by `delayedKey`. */
  get wills(): ReadonlyMap<string, Buffer> {
    return this.#maps.wills;
  }

  /**
   * Replaces everything in memory by what the store holds, at one moment: until then all is as it was. Subscriptions enter
   * the router. `now`: since when those are away whose connections were cut off.
   */
  async load(now: number): Promise<void> {
    const maps = new DurableMaps();
    await this.#eachRow(SECTION.durableSession, (key, value) => loadSessionRow(maps, key, value));
    await this.#eachRow(SECTION.queue, (key, value) => loadQueueRow(maps, key, value, this.maxAgeMs));
    await this.#eachRow(SECTION.will, (key, value) => loadWillRow(maps, key, value, this.formats));
    for (const durable of this.sessions.values()) {
      durable.dropped = true;
      for (const subscription of durable.subscriptions.values()) this.#endSubscription(subscription);
    }
    this.#maps = maps;
    for (const durable of this.sessions.values()) {
      durable.awaySince ||= now;
      this.#plan(durable);
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

  get queuedMessages(): number {
    return this.#maps.queued;
  }

  get queuedBytes(): number {
    return this.#maps.queuedBytes;
  }

  /** Sessions without a connection. */
  get away(): number {
    return this.sessions.size - this.#maps.attached;
  }

  /** Bodies, each once however many queues it is in. */
  get messages(): number {
    return this.#maps.references.size;
  }

  get messageBytes(): number {
    return this.#maps.messageBytes;
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
    this.#plan(durable);
    batch.put(SECTION.durableSession, digits(durable.number), encodeSession(durable));
  }

  /** Whose it is; see there. */
  assign(durable: DurableSession, user: string | null, batch: WriteBatch): void {
    if (durable.user === user) return;
    durable.user = user;
    if (user === null) batch.delete(SECTION.durableSession, ownerKey(durable));
    else batch.put(SECTION.durableSession, ownerKey(durable), sealed(Buffer.from(user)));
  }

  /** Ends the session for good: its subscriptions, its queue, its row. */
  drop(durable: DurableSession, batch: WriteBatch): void {
    for (const subscription of [...durable.subscriptions.values()]) {
      this.unsubscribe(durable, subscription, batch);
      subscription.close();
    }
    for (const message of [...durable.queue.values()]) this.dequeue(durable, message.number, batch);
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
    for (const subscription of durable.subscriptions.values()) {
      subscription.session = session;
      // Initial values that are still read are for a connection that is gone; what waited behind them is in the queue.
      subscription.held = null;
    }
    if (session === null) this.#rest(durable);
    this.#plan(durable);
  }

  /** Nothing of its queue is under way any more, and nothing is held in memory. */
  #rest(durable: DurableSession): void {
    for (const message of durable.queue.values()) {
      message.publication = null;
      if (message.state === 'queued') durable.nextOverdue = Math.min(durable.nextOverdue, overdueOf(message, this.maxAgeMs));
    }
  }

  /** It is looked at again when the first of its times has come. */
  #plan(durable: DurableSession): void {
    if (durable.dropped) return;
    const { delayedWill, nextOverdue, overAt } = durable;
    const time = Math.min(nextOverdue, overAt);
    this.#maps.agenda.plan(durable, delayedWill === null ? time : Math.min(time, delayedWill.due));
  }

  /** How many more initial values can be queued. */
  freeIds(durable: DurableSession): number {
    return PACKET_IDS - durable.packetIds.size;
  }

  /** Queues a reference; the body is written with the first. Null when no packet id is free. */
  enqueue(durable: DurableSession, publication: Publication, terms: QueueTerms, batch: WriteBatch): QueuedMessage | null {
    const packetId = freePacketId(durable, terms.place === null ? IDS_FOR_INITIAL : 0);
    if (packetId === 0) return null;
    const message: QueuedMessage = {
      number: publication.number,
      qos: terms.qos,
      packetId,
      state: 'queued',
      size: publication.size,
      time: publication.time,
      expires: publication.expires,
      identifiers: terms.identifiers,
      asPublished: terms.asPublished,
      initial: terms.place !== null,
      place: terms.place ?? publication.number,
      groups: terms.groups,
      sent: false,
      publication: durable.session === null ? null : publication,
    };
    const overdue = overdueOf(message, this.maxAgeMs);
    if (overdue < durable.nextOverdue) {
      durable.nextOverdue = overdue;
      this.#plan(durable);
    }
    if (this.#maps.queue(durable, message) === 1) {
      batch.put(SECTION.message, digits(message.number), encodeMessage(publication));
    }
    batch.put(SECTION.queue, queueKey(durable, message.number), encodeQueued(message));
    return message;
  }

  release(durable: DurableSession, message: QueuedMessage, batch: WriteBatch): void {
    message.state = 'released';
    message.publication = null;
    batch.put(SECTION.queue, queueKey(durable, message.number), encodeQueued(message));
  }

  /** False if it was not queued. */
  dequeue(durable: DurableSession, number: number, batch: WriteBatch): boolean {
    const message = durable.queue.get(number);
    if (message === undefined) return false;
    batch.delete(SECTION.queue, queueKey(durable, number));
    if (this.#maps.unqueue(durable, message) === 0) batch.delete(SECTION.message, digits(number));
    return true;
  }

  /**
   * Drops what has waited too long, unless it is under way: that is looked at again when the connection has left. Returns how
   * many messages that were.
   */
  trim(durable: DurableSession, now: number, batch: WriteBatch): number {
    let dropped = 0;
    let next = Number.POSITIVE_INFINITY;
    for (const message of durable.queue.values()) {
      if (isUnderWay(message, durable)) continue;
      const overdue = overdueOf(message, this.maxAgeMs);
      if (overdue > now) next = Math.min(next, overdue);
      else if (this.dequeue(durable, message.number, batch)) dropped += 1;
    }
    durable.nextOverdue = next;
    this.#plan(durable);
    return dropped;
  }

  /** Drops the oldest messages that nobody was handed, until one of `size` bytes has room. Returns how many that were. */
  makeRoom(durable: DurableSession, size: number, { maxMessages, maxBytes }: QueueLimits, batch: WriteBatch): number {
    if (size > maxBytes) return 0;
    let dropped = 0;
    for (const message of durable.queue.values()) {
      if (durable.queue.size < maxMessages && durable.queueBytes + size <= maxBytes) break;
      if (isUnderWay(message, durable)) continue;
      if (this.dequeue(durable, message.number, batch)) dropped += 1;
    }
    return dropped;
  }

  rememberOnce(durable: DurableSession, onceId: number, batch: WriteBatch): void {
    durable.received.add(onceId);
    batch.put(SECTION.durableSession, `${digits(durable.number)}!${onceId}`, SEALED_NOTHING);
  }

  forgetOnce(durable: DurableSession, onceId: number, batch: WriteBatch): void {
    durable.received.delete(onceId);
    batch.delete(SECTION.durableSession, `${digits(durable.number)}!${onceId}`);
  }

  keepWill(key: string, will: KeptWill, batch: WriteBatch): void {
    const row = encodeWill(will);
    this.#maps.wills.set(key, unsealed(SECTION.will, key, row));
    batch.put(SECTION.will, key, row);
    const durable = this.byNumber(will.durable);
    if (durable === null || will.due === 0) return;
    durable.delayedWill = { key, due: will.due };
    this.#plan(durable);
  }

  /** null: none is kept under the key. */
  will(key: string): KeptWill | null {
    const row = this.wills.get(key);
    return row === undefined ? null : decodeWill(row, this.formats);
  }

  dropWill(key: string, batch: WriteBatch): void {
    if (!this.#maps.wills.delete(key)) return;
    batch.delete(SECTION.will, key);
    const durable = isDelayed(key) ? this.byNumber(numberIn(SECTION.will, key, 1)) : null;
    if (durable === null) return;
    durable.delayedWill = null;
    this.#plan(durable);
  }

  /** The body of a queued message; null if nobody waits for it any more. Throws StoreDamage. */
  message(number: number): Publication | null {
    const key = digits(number);
    const row = this.store.read(SECTION.message, key);
    return row === undefined ? null : decodeMessage(number, unsealed(SECTION.message, key, row), this.formats);
  }

  #endSubscription(subscription: Subscription): void {
    subscription.close();
    this.router.unsubscribe(subscription);
  }

  async #eachRow(section: Section, visit: (key: string, value: Buffer) => void): Promise<void> {
    const scan = this.store.scan({ section }, SCAN_ROWS);
    try {
      for (let rows = await scan.next(); rows.length > 0; rows = await scan.next()) {
        for (const { key, value } of rows) visit(key, unsealed(section, key, value));
      }
    } finally {
      await scan.close();
    }
  }
}

/** The peer may be about to answer it: it cannot be dropped. */
function isUnderWay({ state, sent }: QueuedMessage, { session }: DurableSession): boolean {
  return state === 'released' || (sent && session !== null);
}

function ownerKey(durable: DurableSession): string {
  return `${digits(durable.number)}@`;
}

/** The next packet id that no queued message has; 0 if no more than `left` are free. */
function freePacketId(durable: DurableSession, left: number): number {
  if (durable.packetIds.size >= PACKET_IDS - left) return 0;
  let id = durable.lastPacketId;
  do id = id >= PACKET_IDS ? 1 : id + 1;
  while (durable.packetIds.has(id));
  durable.lastPacketId = id;
  return id;
}
