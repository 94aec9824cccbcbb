// DurableMaps: what is known of durable sessions, in maps and figures that agree with each other, and how the rows of the store
// (rows.ts) become that.

import type { Formats } from '../adapter.js';
import { Agenda } from '../pace/agenda.js';
import { type Pattern, parsePattern } from '../paths/pattern.js';
import { Subscription } from '../routing/subscription.js';
import type { Session } from '../sessions/session.js';
import { DIGITS, digits } from '../store/digits.js';
import { SECTION, StoreDamage } from '../store/store.js';
import type { DurableSession, QueuedMessage } from './durable-session.js';
import { decodeQueued, decodeRemainder, decodeSession, decodeSubscription, decodeWill, numberIn } from './rows.js';

export class DurableMaps {
  readonly sessions = new Map<string, DurableSession>();
  readonly byNumber = new Map<number, DurableSession>();
  readonly wills = new Map<string, Buffer>();
  /** By the id of the connection that opened them last. */
  readonly holders = new Map<string, DurableSession>();
  /** How many queue rows refer to each message, and its size as the first of them has it. */
  readonly references = new Map<number, { count: number; readonly size: number }>();
  /** Of all messages, each once. */
  messageBytes = 0;
  /** Of all queues together. */
  queued = 0;
  queuedBytes = 0;
  /** Sessions that have a connection. */
  attached = 0;
  /** By the first time at which something is to be done for them. */
  readonly agenda = new Agenda<DurableSession>();

  add(durable: DurableSession): void {
    this.sessions.set(durable.key, durable);
    this.byNumber.set(durable.number, durable);
  }

  letGo(durable: DurableSession): void {
    if (durable.holder !== '') this.holders.delete(durable.holder);
    durable.holder = '';
  }

  drop(durable: DurableSession): void {
    if (durable.session !== null) this.attached -= 1;
    this.agenda.plan(durable, Number.POSITIVE_INFINITY);
    durable.dropped = true;
    this.letGo(durable);
    this.sessions.delete(durable.key);
    this.byNumber.delete(durable.number);
  }

  attach(durable: DurableSession, session: Session | null): void {
    if (!durable.dropped) this.attached += Number(session !== null) - Number(durable.session !== null);
    durable.session = session;
  }

  /** Returns how many queues the message is in now. */
  queue(durable: DurableSession, message: QueuedMessage): number {
    durable.queue.set(message.number, message);
    durable.packetIds.add(message.packetId);
    durable.queueBytes += message.size;
    this.queued += 1;
    this.queuedBytes += message.size;
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
    this.queued -= 1;
    this.queuedBytes -= message.size;
    if (durable.queue.size <= durable.fullWith / 2) durable.fullWith = 0;
    const known = this.references.get(message.number) as { count: number; readonly size: number };
    known.count -= 1;
    if (known.count > 0) return known.count;
    this.references.delete(message.number);
    this.messageBytes -= known.size;
    return 0;
  }
}

export function loadSessionRow(maps: DurableMaps, key: string, value: Buffer): void {
  const number = numberIn(SECTION.durableSession, key, 0);
  if (key.length === DIGITS) {
    maps.add(decodeSession(number, value));
    return;
  }
  const durable = maps.byNumber.get(number);
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

export function loadQueueRow(maps: DurableMaps, key: string, value: Buffer, maxAgeMs: number): void {
  const durable = maps.byNumber.get(numberIn(SECTION.queue, key, 0));
  if (durable === undefined) throw new StoreDamage(`the queued message ${JSON.stringify(key)} has no session`);
  const message = decodeQueued(numberIn(SECTION.queue, key, DIGITS + 1), value, durable.awaySince);
  maps.queue(durable, message);
  durable.lastPacketId = message.packetId;
  durable.nextOverdue = Math.min(durable.nextOverdue, overdueOf(message, maxAgeMs));
}

export function loadWillRow(maps: DurableMaps, key: string, value: Buffer, formats: Formats): void {
  maps.wills.set(key, value);
  if (!isDelayed(key)) return;
  const { durable, due } = decodeWill(value, formats);
  const session = maps.byNumber.get(durable);
  if (session !== undefined) session.delayedWill = { key, due };
}

/** The key of a will that waits for its delay: one for each durable session. */
export function delayedKey(durable: DurableSession): string {
  return `@${digits(durable.number)}`;
}

export function isDelayed(key: string): boolean {
  return key.startsWith('@');
}

/** Once it was handed to somebody, its own time is of no matter any more. */
export function overdueOf({ time, expires, sent }: QueuedMessage, maxAgeMs: number): number {
  const tooOld = time + maxAgeMs;
  return !sent && expires > 0 && expires < tooOld ? expires : tooOld;
}

function filterIn(key: string, text: string): Pattern {
  try {
    return parsePattern(text, 'mqtt');
  } catch (error) {
    throw new StoreDamage(`the key ${JSON.stringify(key)} of a subscription holds no filter`, { cause: error });
  }
}
