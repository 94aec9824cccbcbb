// DurableTable: all durable sessions in memory, as the store has them, and the form of their rows on disk.
// Every row ends with a seal (store/seal.ts).
// Section `durableSession`: <number> → {key}; <number>/<filter> → QoS; <number>!<once id> → empty.
// Section `queue`: <number>/<message number> → QoS, packet id, state. Section `message`: <message number> → the body.
// Section `will`: <connection's session id> → the will. Numbers are 14 hexadecimal digits, so that keys sort as they count.

import type { Formats } from './adapter.js';
import { DurableSession, type QueuedMessage } from './durable-session.js';
import { RequestError } from './errors.js';
import { type DataOptions, Publication, type Qos, STORED, UNSTORED, type Will } from './message.js';
import { type Pattern, parsePattern } from './pattern.js';
import { Payload } from './payload.js';
import type { Router } from './router.js';
import type { Session } from './session.js';
import { SEAL_BYTES, SEALED_NOTHING, seal, sealed, unsealed } from './store/seal.js';
import { SECTION, type Section, type Store, StoreDamage, type WriteBatch } from './store/store.js';
import { Subscription, type SubscriptionOptions } from './subscription.js';

const SCAN_ROWS = 1_000;
const EMPTY = new Uint8Array(0);
const PACKET_IDS = 65_535;

export class DurableTable {
  #tables = new Tables();

  constructor(
    private readonly store: Store,
    private readonly formats: Formats,
    private readonly router: Router,
  ) {}

  /** By key. */
  get sessions(): ReadonlyMap<string, DurableSession> {
    return this.#tables.sessions;
  }

  /** Kept wills by the session id of their connection, in the form they have on disk. */
  get wills(): ReadonlyMap<string, Uint8Array> {
    return this.#tables.wills;
  }

  /**
   * Replaces everything in memory by what the store holds, at one moment: until then all is as it was. Subscriptions enter
   * the router.
   */
  async load(): Promise<void> {
    const tables = new Tables();
    await this.#eachRow(SECTION.durableSession, (key, value) => loadSessionRow(tables, key, value));
    await this.#eachRow(SECTION.queue, (key, value) => loadQueueRow(tables, key, value));
    await this.#eachRow(SECTION.will, (key, value) => tables.wills.set(key, value));
    for (const durable of this.sessions.values()) {
      durable.dropped = true;
      for (const subscription of durable.subscriptions.values()) this.#endSubscription(subscription);
    }
    this.#tables = tables;
    for (const durable of this.sessions.values()) {
      for (const subscription of durable.subscriptions.values()) this.router.subscribe(subscription);
    }
  }

  get queuedMessages(): number {
    let count = 0;
    for (const durable of this.sessions.values()) count += durable.queue.size;
    return count;
  }

  create(number: number, key: string, batch: WriteBatch): DurableSession {
    const durable = new DurableSession(number, key);
    this.#tables.add(durable);
    batch.put(SECTION.durableSession, digits(number), sealed(Buffer.from(key)));
    return durable;
  }

  /** Ends the session for good: its subscriptions, its queue, its row. */
  drop(durable: DurableSession, batch: WriteBatch): void {
    for (const subscription of [...durable.subscriptions.values()]) {
      this.unsubscribe(durable, subscription, batch);
      subscription.close();
    }
    for (const message of [...durable.queue.values()]) this.dequeue(durable, message.number, batch);
    for (const onceId of durable.received) this.forgetOnce(durable, onceId, batch);
    batch.delete(SECTION.durableSession, digits(durable.number));
    this.#tables.drop(durable);
  }

  /**
   * A subscription with the same filter is replaced. Returns that one: nothing new reaches it, and it is to be closed when
   * what it still has to hear is said; null if there was none.
   */
  subscribe(durable: DurableSession, subscription: Subscription, batch: WriteBatch): Subscription | null {
    if (durable.dropped) throw new RequestError('INVALID_REQUEST', 'the durable session has ended');
    const { text } = subscription.pattern;
    const replaced = durable.subscriptions.get(text) ?? null;
    if (replaced === subscription) return null;
    if (replaced !== null) this.router.unsubscribe(replaced);
    durable.subscriptions.set(text, subscription);
    this.router.subscribe(subscription);
    const { qos, noLocal } = subscription.options;
    batch.put(SECTION.durableSession, `${digits(durable.number)}/${text}`, sealed(Uint8Array.of(qos, noLocal ? 1 : 0)));
    return replaced;
  }

  /** Nothing new reaches it; it is to be closed when what it still has to hear is said. False if it had ended before. */
  unsubscribe(durable: DurableSession, subscription: Subscription, batch: WriteBatch): boolean {
    const { text } = subscription.pattern;
    if (durable.subscriptions.get(text) !== subscription) return false;
    durable.subscriptions.delete(text);
    this.router.unsubscribe(subscription);
    batch.delete(SECTION.durableSession, `${digits(durable.number)}/${text}`);
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

  /** Queues a reference; the body is written with the first. Null when no packet id is free. */
  enqueue(durable: DurableSession, publication: Publication, qos: 1 | 2, batch: WriteBatch): QueuedMessage | null {
    const packetId = freePacketId(durable);
    if (packetId === 0) return null;
    const message: QueuedMessage = {
      number: publication.number,
      qos,
      packetId,
      state: 'queued',
      size: publication.size,
      sent: false,
      publication: durable.session === null ? null : publication,
    };
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

  rememberOnce(durable: DurableSession, onceId: number, batch: WriteBatch): void {
    durable.received.add(onceId);
    batch.put(SECTION.durableSession, `${digits(durable.number)}!${onceId}`, SEALED_NOTHING);
  }

  forgetOnce(durable: DurableSession, onceId: number, batch: WriteBatch): void {
    durable.received.delete(onceId);
    batch.delete(SECTION.durableSession, `${digits(durable.number)}!${onceId}`);
  }

  keepWill(key: string, will: Uint8Array, batch: WriteBatch): void {
    this.#tables.wills.set(key, unsealed(SECTION.will, key, will));
    batch.put(SECTION.will, key, will);
  }

  dropWill(key: string, batch: WriteBatch): void {
    if (this.#tables.wills.delete(key)) batch.delete(SECTION.will, key);
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
  readonly wills = new Map<string, Uint8Array>();
  /** How many queue rows refer to each message. */
  readonly references = new Map<number, number>();

  add(durable: DurableSession): void {
    this.sessions.set(durable.key, durable);
    this.byNumber.set(durable.number, durable);
  }

  drop(durable: DurableSession): void {
    durable.dropped = true;
    this.sessions.delete(durable.key);
    this.byNumber.delete(durable.number);
  }

  /** Returns how many queues the message is in now. */
  queue(durable: DurableSession, message: QueuedMessage): number {
    durable.queue.set(message.number, message);
    durable.packetIds.add(message.packetId);
    durable.queueBytes += message.size;
    const references = (this.references.get(message.number) ?? 0) + 1;
    this.references.set(message.number, references);
    return references;
  }

  /** Returns how many queues the message is still in. */
  unqueue(durable: DurableSession, message: QueuedMessage): number {
    durable.queue.delete(message.number);
    durable.packetIds.delete(message.packetId);
    durable.queueBytes -= message.size;
    durable.refusing = false;
    const references = (this.references.get(message.number) as number) - 1;
    if (references > 0) this.references.set(message.number, references);
    else this.references.delete(message.number);
    return references;
  }
}

function loadSessionRow(tables: Tables, key: string, value: Buffer): void {
  const number = numberIn(SECTION.durableSession, key, 0);
  if (key.length === DIGITS) {
    tables.add(new DurableSession(number, value.toString()));
    return;
  }
  const durable = tables.byNumber.get(number);
  if (durable === undefined) throw new StoreDamage(`a durable session's row ${JSON.stringify(key)} has no session`);
  const rest = key.slice(DIGITS + 1);
  if (key[DIGITS] === '!') {
    durable.received.add(Number(rest));
    return;
  }
  const options = durableSubscriptionOptions(value[0] as Qos, value[1] === 1);
  durable.subscriptions.set(rest, new Subscription(null, durable, filterIn(key, rest), options, null));
}

function loadQueueRow(tables: Tables, key: string, value: Buffer): void {
  const durable = tables.byNumber.get(numberIn(SECTION.queue, key, 0));
  if (durable === undefined) throw new StoreDamage(`the queued message ${JSON.stringify(key)} has no session`);
  const message = decodeQueued(numberIn(SECTION.queue, key, DIGITS + 1), value);
  tables.queue(durable, message);
  durable.lastPacketId = message.packetId;
}

function numberIn(section: Section, key: string, at: number): number {
  const number = Number.parseInt(key.slice(at, at + DIGITS), 16);
  if (Number.isNaN(number)) throw new StoreDamage(`the key ${JSON.stringify(key)} in section ${section} has no number`);
  return number;
}

function filterIn(key: string, text: string): Pattern {
  try {
    return parsePattern(text, 'mqtt');
  } catch (error) {
    throw new StoreDamage(`the key ${JSON.stringify(key)} of a subscription holds no filter`, { cause: error });
  }
}

/** The options of a subscription that outlives its connection, but for what its row keeps. */
export function durableSubscriptionOptions(qos: Qos, noLocal: boolean): SubscriptionOptions {
  return { sets: true, removes: true, removals: 'each-record', qos, noLocal };
}

const DIGITS = 14;

export function digits(number: number): string {
  return number.toString(16).padStart(DIGITS, '0');
}

function queueKey(durable: DurableSession, number: number): string {
  return `${digits(durable.number)}/${digits(number)}`;
}

/** The next packet id that no queued message has; 0 if all are taken. */
function freePacketId(durable: DurableSession): number {
  if (durable.packetIds.size >= PACKET_IDS) return 0;
  let id = durable.lastPacketId;
  do id = id >= PACKET_IDS ? 1 : id + 1;
  while (durable.packetIds.has(id));
  durable.lastPacketId = id;
  return id;
}

function encodeQueued(message: QueuedMessage): Buffer {
  const bytes = Buffer.allocUnsafe(8 + SEAL_BYTES);
  bytes[0] = message.qos;
  bytes[1] = message.state === 'released' ? 1 : 0;
  bytes.writeUInt16LE(message.packetId, 2);
  bytes.writeUInt32LE(message.size, 4);
  return seal(bytes);
}

function decodeQueued(number: number, bytes: Buffer): QueuedMessage {
  return {
    number,
    qos: bytes[0] as 1 | 2,
    packetId: bytes.readUInt16LE(2),
    state: bytes[1] === 1 ? 'released' : 'queued',
    size: bytes.readUInt32LE(4),
    // Nobody knows what the last connection still got: a second copy must be marked as one.
    sent: true,
    publication: null,
  };
}

/** Head of a stored message: action u8, qos u8, format u8, store u8, time f64, author length u16, path length u32. */
const MESSAGE_HEAD_BYTES = 18;

function encodeParts(
  action: number,
  qos: Qos,
  stored: boolean,
  time: number,
  author: string,
  path: string,
  payload: Payload | null,
): Buffer {
  const body = payload === null ? EMPTY : payload.ownBytes();
  const authorBytes = Buffer.byteLength(author);
  const pathBytes = Buffer.byteLength(path);
  const bytes = Buffer.allocUnsafe(MESSAGE_HEAD_BYTES + authorBytes + pathBytes + body.length + SEAL_BYTES);
  bytes[0] = action;
  bytes[1] = qos;
  bytes[2] = payload === null ? 0 : payload.format.id;
  bytes[3] = stored ? 1 : 0;
  bytes.writeDoubleLE(time, 4);
  bytes.writeUInt16LE(authorBytes, 12);
  bytes.writeUInt32LE(pathBytes, 14);
  bytes.write(author, MESSAGE_HEAD_BYTES);
  bytes.write(path, MESSAGE_HEAD_BYTES + authorBytes);
  bytes.set(body, MESSAGE_HEAD_BYTES + authorBytes + pathBytes);
  return seal(bytes);
}

interface MessageParts {
  readonly remove: boolean;
  readonly qos: Qos;
  readonly stored: boolean;
  readonly time: number;
  readonly author: string;
  readonly path: string;
  readonly payload: Payload | null;
}

function decodeParts(value: Uint8Array, formats: Formats): MessageParts {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const format = formats.byId.get(bytes[2] as number);
  const pathAt = MESSAGE_HEAD_BYTES + bytes.readUInt16LE(12);
  const bodyAt = pathAt + bytes.readUInt32LE(14);
  return {
    remove: bytes[0] === 1,
    qos: bytes[1] as Qos,
    stored: bytes[3] === 1,
    time: bytes.readDoubleLE(4),
    author: bytes.toString('utf8', MESSAGE_HEAD_BYTES, pathAt),
    path: bytes.toString('utf8', pathAt, bodyAt),
    payload: format === undefined ? null : Payload.fromBytes(bytes.subarray(bodyAt), format),
  };
}

function encodeMessage(publication: Publication): Buffer {
  const { action, qos, revision, time, author, path, payload } = publication;
  return encodeParts(action === 'remove' ? 1 : 0, qos, revision > 0, time, author, path, payload);
}

function decodeMessage(number: number, value: Buffer, formats: Formats): Publication {
  const { remove, time, author, path, payload, ...parts } = decodeParts(value, formats);
  const action = remove ? 'remove' : 'set';
  const removed = remove ? 1 : 0;
  const publication = new Publication(action, path, payload, payload, null, removed, 0, time, optionsOf(parts), '', null, author, 'all');
  publication.number = number;
  return publication;
}

function optionsOf({ stored, qos }: Pick<MessageParts, 'stored' | 'qos'>): DataOptions {
  return { ...(stored ? STORED : UNSTORED), qos };
}

export function encodeWill(will: Will, time: number, author: string): Buffer {
  return encodeParts(will.remove ? 1 : 0, will.options.qos, will.options.store, time, author, will.path, will.payload);
}

export function decodeWill(value: Uint8Array, formats: Formats): { will: Will; author: string } {
  const parts = decodeParts(value, formats);
  const options: DataOptions = { ...optionsOf(parts), publishMissing: true };
  const payload = parts.payload ?? Payload.fromBytes(EMPTY, formats.raw);
  return { will: { path: parts.path, payload, options, remove: parts.remove }, author: parts.author };
}
