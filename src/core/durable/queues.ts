// DurableQueues: messages on their way to durable sessions, in memory and as stored (rows.ts): a reference for each session,
// with the packet id that it has on the wire, and the body once.

import type { Formats } from '../adapter.js';
import type { Publication } from '../message.js';
import { DIGITS, digits } from '../store/digits.js';
import { unsealed } from '../store/seal.js';
import { SECTION, type Store, StoreDamage, type WriteBatch } from '../store/store.js';
import type { DurableSession, QueuedMessage, QueueLimits } from './durable-session.js';
import type { DurableMaps } from './maps.js';
import { decodeMessage, decodeQueued, encodeMessage, encodeQueued, numberIn, queueKey } from './rows.js';

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
  readonly groups: readonly string[];
}

export class DurableQueues {
  /** How many queues refer to each message, and its size as the first of them has it. */
  readonly #references = new Map<number, { count: number; readonly size: number }>();
  #messageBytes = 0;
  #queued = 0;
  #queuedBytes = 0;

  constructor(
    private readonly maps: DurableMaps,
    private readonly store: Store,
    private readonly formats: Formats,
    private readonly maxAgeMs: number,
  ) {}

  /** References in all queues together, and the bytes of what they refer to. */
  get length(): number {
    return this.#queued;
  }

  get bytes(): number {
    return this.#queuedBytes;
  }

  /** Bodies, each once however many queues it is in. */
  get bodies(): number {
    return this.#references.size;
  }

  get bodyBytes(): number {
    return this.#messageBytes;
  }

  /** Takes a row as the store has it. Throws StoreDamage. */
  load(key: string, value: Buffer): void {
    const durable = this.maps.byNumber.get(numberIn(SECTION.queue, key, 0));
    if (durable === undefined) throw new StoreDamage(`the queued message ${JSON.stringify(key)} has no session`);
    const message = decodeQueued(numberIn(SECTION.queue, key, DIGITS + 1), value, durable.awaySince);
    this.#add(durable, message);
    durable.lastPacketId = message.packetId;
    durable.nextOverdue = Math.min(durable.nextOverdue, overdueOf(message, this.maxAgeMs));
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
      isUnsentNoted: false,
      publication: durable.session === null ? null : publication,
    };
    const overdue = overdueOf(message, this.maxAgeMs);
    if (overdue < durable.nextOverdue) {
      durable.nextOverdue = overdue;
      this.maps.plan(durable);
    }
    if (this.#add(durable, message) === 1) {
      batch.put(SECTION.message, digits(message.number), encodeMessage(publication));
    }
    batch.put(SECTION.queue, queueKey(durable, message.number), encodeQueued(message));
    return message;
  }

  release(durable: DurableSession, message: QueuedMessage, batch: WriteBatch): void {
    message.state = 'released';
    message.isUnsentNoted = false;
    message.publication = null;
    batch.put(SECTION.queue, queueKey(durable, message.number), encodeQueued(message));
  }

  /**
   * Its connection has left. What it was not handed, because it took no more at a time, is noted: after a restart that would not be known,
   * and what was handed to nobody is no repetition, and expires.
   */
  noteUnsent(durable: DurableSession, batch: WriteBatch): void {
    for (const message of durable.queue.values()) {
      if (message.isUnsentNoted === !message.sent) continue;
      message.isUnsentNoted = !message.sent;
      batch.put(SECTION.queue, queueKey(durable, message.number), encodeQueued(message));
    }
  }

  /** False if it was not queued. */
  dequeue(durable: DurableSession, number: number, batch: WriteBatch): boolean {
    const message = durable.queue.get(number);
    if (message === undefined) return false;
    batch.delete(SECTION.queue, queueKey(durable, number));
    if (this.#remove(durable, message) === 0) batch.delete(SECTION.message, digits(number));
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
    this.maps.plan(durable);
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

  /** No connection carries the session now: nothing of its queue is under way any more, and nothing is held in memory. */
  onAway(durable: DurableSession): void {
    for (const message of durable.queue.values()) {
      message.publication = null;
      if (message.state === 'queued') durable.nextOverdue = Math.min(durable.nextOverdue, overdueOf(message, this.maxAgeMs));
    }
  }

  /** The body of a queued message; null if nobody waits for it any more. Throws StoreDamage. */
  body(number: number): Publication | null {
    const key = digits(number);
    const row = this.store.read(SECTION.message, key);
    return row === undefined ? null : decodeMessage(number, unsealed(SECTION.message, key, row), this.formats);
  }

  /** Returns how many queues the message is in now. */
  #add(durable: DurableSession, message: QueuedMessage): number {
    durable.queue.set(message.number, message);
    durable.packetIds.add(message.packetId);
    durable.queueBytes += message.size;
    this.#queued += 1;
    this.#queuedBytes += message.size;
    const known = this.#references.get(message.number);
    if (known !== undefined) {
      known.count += 1;
      return known.count;
    }
    this.#references.set(message.number, { count: 1, size: message.size });
    this.#messageBytes += message.size;
    return 1;
  }

  /** Returns how many queues the message is still in. */
  #remove(durable: DurableSession, message: QueuedMessage): number {
    durable.queue.delete(message.number);
    durable.packetIds.delete(message.packetId);
    durable.queueBytes -= message.size;
    this.#queued -= 1;
    this.#queuedBytes -= message.size;
    if (durable.queue.size <= durable.fullWith / 2) durable.fullWith = 0;
    const known = this.#references.get(message.number) as { count: number; readonly size: number };
    known.count -= 1;
    if (known.count > 0) return known.count;
    this.#references.delete(message.number);
    this.#messageBytes -= known.size;
    return 0;
  }
}

/** Once it was handed to somebody, its own time is of no matter any more. */
function overdueOf({ time, expires, sent }: QueuedMessage, maxAgeMs: number): number {
  const tooOld = time + maxAgeMs;
  return !sent && expires > 0 && expires < tooOld ? expires : tooOld;
}

/** The peer may be about to answer it: it cannot be dropped. */
function isUnderWay({ state, sent }: QueuedMessage, { session }: DurableSession): boolean {
  return state === 'released' || (sent && session !== null);
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
