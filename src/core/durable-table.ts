// DurableTable: all durable sessions in memory, as the store has them (durable-rows.ts says in what form).

import type { Formats } from './adapter.js';
import {
  decodeMessage,
  decodeQueued,
  decodeRemainder,
  decodeSession,
  decodeSubscription,
  decodeWill,
  DIGITS,
  digits,
  encodeMessage,
  encodeQueued,
  encodeSession,
  encodeSubscription,
  encodeWill,
  type KeptWill,
  numberIn,
  queueKey,
} from './durable-rows.js';
import { DurableSession, type QueuedMessage, type QueueLimits, subscriptionKey } from './durable-session.js';
import { RequestError } from './errors.js';
import type { Publication } from './message.js';
import { type Pattern, parsePattern } from './pattern.js';
import type { Router } from './router.js';
import type { Session } from './session.js';
import { SEALED_NOTHING, sealed, unsealed } from './store/seal.js';
import { SECTION, type Section, type Store, StoreDamage, type WriteBatch } from './store/store.js';
import { type Remainder, Subscription } from './subscription.js';

const SCAN_ROWS = 1_000;
const PACKET_IDS = 65_535;
/** So many are left to initial values, which come before messages that were queued earlier. */
const IDS_FOR_INITIAL = 256;

/** What the subscriptions of one session make of a message for it. */
export interface QueueTerms {
  readonly qos: 1 | 2;
  readonly identifiers: readonly number[];
  readonly asPublished: boolean;
  /** Of an initial value: the number up to which messages come before it. null: it is none. */
  readonly place: number | null;
}

export class DurableTable {
  #tables = new Tables();

  constructor(
    private readonly store: Store,
    private readonly formats: Formats,
    private readonly router: Router,
    private readonly maxAgeMs: number,
  ) {}

  /** By key. */
  get sessions(): ReadonlyMap<string, DurableSession> {
    return this.#tables.sessions;
  }

  /** Rows of kept wills without their seal, by the session id of their connection or, while they wait for their delay, by `delayedKey`. */
  get wills(): ReadonlyMap<string, Buffer> {
    return this.#tables.wills;
  }

  /**
   * Replaces everything in memory by what the store holds, at one moment: until then all is as it was. Subscriptions enter
   * the router. `now`: since when those are away whose connections were cut off.
   */
  async load(now: number): Promise<void> {
    const tables = new Tables();
    await this.#eachRow(SECTION.durableSession, (key, value) => loadSessionRow(tables, key, value));
    await this.#eachRow(SECTION.queue, (key, value) => loadQueueRow(tables, key, value, this.maxAgeMs));
    await this.#eachRow(SECTION.will, (key, value) => loadWillRow(tables, key, value, this.formats));
    for (const durable of this.sessions.values()) {
      durable.dropped = true;
      for (const subscription of durable.subscriptions.values()) this.#endSubscription(subscription);
    }
    this.#tables = tables;
    for (const durable of this.sessions.values()) {
      durable.awaySince ||= now;
      for (const subscription of durable.subscriptions.values()) this.router.subscribe(subscription);
    }
  }

  /** Sessions that `sweep` would find something to do for, and keys of wills whose delay is over. */
  overdue(now: number): { readonly sessions: string[]; readonly wills: string[] } {
    const sessions: string[] = [];
    const wills: string[] = [];
    for (const durable of this.sessions.values()) {
      if (durable.delayedWill !== null && durable.delayedWill.due <= now) wills.push(durable.delayedWill.key);
      if (durable.isOver(now) || durable.nextOverdue <= now) sessions.push(durable.key);
    }
    return { sessions, wills };
  }

  /** The session that this connection opened, unless another one has opened it since. */
  heldBy(connection: Session): DurableSession | null {
    return this.#tables.holders.get(connection.id) ?? null;
  }

  /** This connection opened it. */
  hold(durable: DurableSession, connection: Session): void {
    this.#tables.letGo(durable);
    durable.holder = connection.id;
    this.#tables.holders.set(connection.id, durable);
  }

  /** Its connection has left. */
  letGo(durable: DurableSession): void {
    this.#tables.letGo(durable);
  }

  byNumber(number: number): DurableSession | null {
    return this.#tables.byNumber.get(number) ?? null;
  }

  get queuedMessages(): number {
    let count = 0;
    for (const durable of this.sessions.values()) count += durable.queue.size;
    return count;
  }

  get queuedBytes(): number {
    let bytes = 0;
    for (const durable of this.sessions.values()) bytes += durable.queueBytes;
    return bytes;
  }

  /** Sessions without a connection. */
  get away(): number {
    let count = 0;
    for (const { session } of this.sessions.values()) if (session === null) count += 1;
    return count;
  }

  /** Bodies, each once however many queues it is in. */
  get messages(): number {
    return this.#tables.references.size;
  }

  get messageBytes(): number {
    return this.#tables.messageBytes;
  }

  create(number: number, key: string, expiryMs: number, batch: WriteBatch): DurableSession {
    const durable = new DurableSession(number, key);
    this.#tables.add(durable);
    this.change(durable, expiryMs, 0, batch);
    return durable;
  }

  /** How long it outlives its connection, and since when it has none (0: it has one). */
  change(durable: DurableSession, expiryMs: number, awaySince: number, batch: WriteBatch): void {
    durable.expiryMs = expiryMs;
    durable.awaySince = awaySince;
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
    this.#tables.drop(durable);
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
    durable.session = session;
    for (const subscription of durable.subscriptions.values()) {
      subscription.session = session;
      // Initial values that are still read are for a connection that is gone; what waited behind them is in the queue.
      subscription.held = null;
    }
    if (session === null) for (const message of durable.queue.values()) message.publication = null;
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
      sent: false,
      publication: durable.session === null ? null : publication,
    };
    durable.nextOverdue = Math.min(durable.nextOverdue, overdueOf(message, this.maxAgeMs));
    if (this.#tables.queue(durable, message) === 1) {
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
    if (this.#tables.unqueue(durable, message) === 0) batch.delete(SECTION.message, digits(number));
    return true;
  }

  /** Drops what has waited too long, unless its delivery has begun. Returns how many messages that were. */
  trim(durable: DurableSession, now: number, batch: WriteBatch): number {
    let dropped = 0;
    let next = Number.POSITIVE_INFINITY;
    for (const message of durable.queue.values()) {
      if (isUnderWay(message, durable)) continue;
      const overdue = message.sent ? message.time + this.maxAgeMs : overdueOf(message, this.maxAgeMs);
      if (overdue > now) next = Math.min(next, overdue);
      else if (this.dequeue(durable, message.number, batch)) dropped += 1;
    }
    durable.nextOverdue = next;
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
    this.#tables.wills.set(key, unsealed(SECTION.will, key, row));
    batch.put(SECTION.will, key, row);
    const durable = this.byNumber(will.durable);
    if (durable !== null && will.due > 0) durable.delayedWill = { key, due: will.due };
  }

  /** null: none is kept under the key. */
  will(key: string): KeptWill | null {
    const row = this.wills.get(key);
    return row === undefined ? null : decodeWill(row, this.formats);
  }

  dropWill(key: string, batch: WriteBatch): void {
    if (!this.#tables.wills.delete(key)) return;
    batch.delete(SECTION.will, key);
    const durable = isDelayed(key) ? this.byNumber(numberIn(SECTION.will, key, 1)) : null;
    if (durable !== null) durable.delayedWill = null;
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

/** What is known of durable sessions, in maps that agree with each other. */
class Tables {
  readonly sessions = new Map<string, DurableSession>();
  readonly byNumber = new Map<number, DurableSession>();
  readonly wills = new Map<string, Buffer>();
  /** By the id of the connection that opened them last. */
  readonly holders = new Map<string, DurableSession>();
  /** How many queue rows refer to each message, and its size as the first of them has it. */
  readonly references = new Map<number, { count: number; readonly size: number }>();
  /** Of all messages, each once. */
  messageBytes = 0;

  add(durable: DurableSession): void {
    this.sessions.set(durable.key, durable);
    this.byNumber.set(durable.number, durable);
  }

  letGo(durable: DurableSession): void {
    if (durable.holder !== '') this.holders.delete(durable.holder);
    durable.holder = '';
  }

  drop(durable: DurableSession): void {
    durable.dropped = true;
    this.letGo(durable);
    this.sessions.delete(durable.key);
    this.byNumber.delete(durable.number);
  }

  /** Returns how many queues the message is in now. */
  queue(durable: DurableSession, message: QueuedMessage): number {
    durable.queue.set(message.number, message);
    durable.packetIds.add(message.packetId);
    durable.queueBytes += message.size;
    const known = this.references.get(message.number);
    if (known !== undefined) {
      known.count += 1;
      return known.count;
    }
    this.references.set(message.number, { count: 1, size: message.size });
    this.messageBytes += message.size;
    return 1;
  }

  /** Returns how many queues the message is still in. */
  unqueue(durable: DurableSession, message: QueuedMessage): number {
    durable.queue.delete(message.number);
    durable.packetIds.delete(message.packetId);
    durable.queueBytes -= message.size;
    durable.refusing = false;
    const known = this.references.get(message.number) as { count: number; readonly size: number };
    known.count -= 1;
    if (known.count > 0) return known.count;
    this.references.delete(message.number);
    this.messageBytes -= known.size;
    return 0;
  }
}

function loadSessionRow(tables: Tables, key: string, value: Buffer): void {
  const number = numberIn(SECTION.durableSession, key, 0);
  if (key.length === DIGITS) {
    tables.add(decodeSession(number, value));
    return;
  }
  const durable = tables.byNumber.get(number);
  if (durable === undefined) throw new StoreDamage(`a durable session's row ${JSON.stringify(key)} has no session`);
  const rest = key.slice(DIGITS + 1);
  if (key[DIGITS] === '!') {
    durable.received.add(Number(rest));
    return;
  }
  if (key[DIGITS] === '@') {
    durable.user = value.toString();
    return;
  }
  const group = key[DIGITS] === '&' ? rest.slice(0, rest.indexOf('/')) : null;
  const filter = filterIn(key, group === null ? rest : rest.slice(group.length + 1));
  const subscription = new Subscription(null, durable, filter, decodeSubscription(value, group), null);
  subscription.remainder = decodeRemainder(value);
  durable.subscriptions.set(key.slice(DIGITS), subscription);
}

function loadQueueRow(tables: Tables, key: string, value: Buffer, maxAgeMs: number): void {
  const durable = tables.byNumber.get(numberIn(SECTION.queue, key, 0));
  if (durable === undefined) throw new StoreDamage(`the queued message ${JSON.stringify(key)} has no session`);
  const message = decodeQueued(numberIn(SECTION.queue, key, DIGITS + 1), value, durable.awaySince);
  tables.queue(durable, message);
  durable.lastPacketId = message.packetId;
  durable.nextOverdue = Math.min(durable.nextOverdue, overdueOf(message, maxAgeMs));
}

function loadWillRow(tables: Tables, key: string, value: Buffer, formats: Formats): void {
  tables.wills.set(key, value);
  if (!isDelayed(key)) return;
  const { durable, due } = decodeWill(value, formats);
  const session = tables.byNumber.get(durable);
  if (session !== undefined) session.delayedWill = { key, due };
}

/** The peer may be about to answer it: it cannot be dropped. */
function isUnderWay({ state, sent }: QueuedMessage, { session }: DurableSession): boolean {
  return state === 'released' || (sent && session !== null);
}

function ownerKey(durable: DurableSession): string {
  return `${digits(durable.number)}@`;
}

/** The key of a will that waits for its delay: one for each durable session. */
export function delayedKey(durable: DurableSession): string {
  return `@${digits(durable.number)}`;
}

export function isDelayed(key: string): boolean {
  return key.startsWith('@');
}

function overdueOf({ time, expires }: QueuedMessage, maxAgeMs: number): number {
  const tooOld = time + maxAgeMs;
  return expires > 0 && expires < tooOld ? expires : tooOld;
}

function filterIn(key: string, text: string): Pattern {
  try {
    return parsePattern(text, 'mqtt');
  } catch (error) {
    throw new StoreDamage(`the key ${JSON.stringify(key)} of a subscription holds no filter`, { cause: error });
  }
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
