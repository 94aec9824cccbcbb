// Deliveries: what one client is sent as PUBLISH: QoS, packet ids, the window of unacknowledged messages, what waits
// behind it, retained messages and the queue of a durable session. Makes frames; knows no socket.

import {
  type DurableSession,
  type Entry,
  type Publication,
  type QueuedMessage,
  type Reply,
  type Rights,
  Ring,
  type Subscription,
} from '../../core/index.js';
import { encodeAcknowledge } from './codec.js';
import { type Encoder, NO_TERMS, type Terms } from './encoder.js';
import type { Keeping } from './keeping.js';
import { type HandOut, RetainedMessages, type RetainedOutlet } from './retained.js';
import { DUP, FIRST_BYTE, PACKET_ID_MAX, QOS_SHIFT, RETAIN } from './wire.js';

/** What the peer still has to do about a packet id. */
const AWAITS = { PUBACK: 1, PUBREC: 2, PUBCOMP: 3 } as const;
/** A packet id's entry is the queue number times this plus what it awaits; queue number 0: not queued. */
const AWAITS_RANGE = 4;

/** Work that waits: one publication, the retained messages of a filter, or what a durable session kept; exactly one is set. */
interface Waiting {
  readonly publication: Publication | null;
  readonly retained: RetainedMessages | null;
  readonly numbers: readonly number[] | null;
  /** How many of `numbers` are done. */
  next: number;
  readonly qos: number;
  readonly terms: Terms;
  readonly size: number;
  /** By which it was to be heard when it began to wait; see DeliveryHost. */
  readonly rights: Rights | null;
}

/** What deliveries need of their session. */
export interface DeliveryHost {
  readonly encoder: Encoder;
  readonly durable: DurableSession | null;
  write(frame: Uint8Array): void;
  /** The socket takes no more for now. */
  readonly isFull: boolean;
  /** What it subscribes to with this lets it see the record. */
  shows(entry: Entry, subscription: Subscription): boolean;
  /** Another object once they have changed; null: it may do everything. */
  readonly rights: Rights | null;
  queuedPublication(number: number): Publication | null;
  readonly keeping: Pick<Keeping, 'acknowledge' | 'handOut'>;
  /** Milliseconds since 1970. */
  now(): number;
  /** A message is not sent because its time is over. */
  onExpired(): void;
  /** A message is not sent because the client may not hear it any more. */
  onDenied(): void;
}

export class Deliveries implements RetainedOutlet {
  /** Packet ids of messages on their way. */
  readonly #inFlight = new Map<number, number>();
  #waiting: Ring<Waiting> | null = null;
  /** Bytes of publications that wait here; retained messages and kept ones do not count. */
  waitingBytes = 0;
  #lastId = 0;
  /** Queued messages up to this number are in hand since the session was resumed. */
  #resumedTo = 0;
  /** Nothing is sent: the SUBACK, or the CONNACK, goes first. */
  blocked = false;

  constructor(
    private readonly host: DeliveryHost,
    /** Messages of QoS 1 and 2 that may be unacknowledged. */
    public window: number,
  ) {}

  get waitingCount(): number {
    return this.#waiting === null ? 0 : this.#waiting.length;
  }

  /** Sends, or lets wait in order. `qos` is the level of the subscription. */
  deliver(publication: Publication, subscriptionQos: number, terms: Terms): void {
    const qos = Math.min(subscriptionQos, publication.qos);
    if (qos > 0 && publication.number > 0 && publication.number <= this.#resumedTo) return;
    if (this.waitingCount === 0 && !this.blocked && this.#send(publication, qos, terms)) return;
    const { size } = publication;
    this.waitingBytes += size;
    this.#wait({ publication, retained: null, numbers: null, next: 0, qos, terms, size, rights: this.host.rights });
  }

  /** What is retained under the filter; what comes later waits behind it. */
  addRetained(subscription: Subscription): RetainedMessages {
    const retained = new RetainedMessages(subscription, this);
    this.#wait({ publication: null, retained, numbers: null, next: 0, qos: 0, terms: NO_TERMS, size: 0, rights: null });
    return retained;
  }

  /**
   * Everything that the durable session kept, in its order, but PUBREL first, for which no window has to have room. For each of its
   * filters of which retained messages are still to be queued `onRest` is given what is to be begun with them.
   */
  resume(durable: DurableSession, onRest: (subscription: Subscription, rest: RetainedMessages) => void): void {
    const kept = [...durable.queue.values()].sort(byPlace);
    for (const { number } of kept) if (number > this.#resumedTo) this.#resumedTo = number;
    this.#resumeQueued(kept.filter(isReleased));
    const messages = kept.filter((message) => !isReleased(message));
    let next = 0;
    for (const [subscription, place] of restsOf(durable)) {
      const behind = messages.findIndex((message) => message.place > place);
      const end = behind < 0 ? messages.length : behind;
      this.#resumeQueued(messages.slice(next, end));
      next = Math.max(next, end);
      onRest(subscription, this.addRetained(subscription));
    }
    this.#resumeQueued(messages.slice(next));
  }

  #resumeQueued(messages: readonly QueuedMessage[]): void {
    if (messages.length === 0) return;
    const numbers = messages.map(({ number }) => number);
    this.#wait({ publication: null, retained: null, numbers, next: 0, qos: 0, terms: NO_TERMS, size: 0, rights: null });
  }

  /** Sends what waits while window and socket allow it. */
  pump(): void {
    if (this.#waiting === null || this.blocked) return;
    for (let head = this.#waiting.peek(); head !== undefined; head = this.#waiting.peek()) {
      if (this.host.isFull || !this.#advance(head)) return;
      this.#waiting.shift();
      this.waitingBytes -= head.size;
    }
    this.#waiting = null;
  }

  onPuback(packetId: number): boolean {
    const flight = this.#inFlight.get(packetId);
    // Unknown ones are no fault: the message may have been dropped since.
    if (flight === undefined || flight % AWAITS_RANGE !== AWAITS.PUBACK) return false;
    return this.#finish(packetId, flight);
  }

  /** The queue number that has to be released before PUBREL is sent; 0: none; null: no such packet id awaits a PUBREC. */
  onPubrec(packetId: number): number | null {
    const flight = this.#inFlight.get(packetId);
    if (flight === undefined || flight % AWAITS_RANGE === AWAITS.PUBACK) return null;
    // It came before: the same answer again.
    if (flight % AWAITS_RANGE === AWAITS.PUBCOMP) return 0;
    this.#inFlight.set(packetId, flight - AWAITS.PUBREC + AWAITS.PUBCOMP);
    return (flight - AWAITS.PUBREC) / AWAITS_RANGE;
  }

  /** The peer does not want the message. */
  onRefused(packetId: number): boolean {
    const flight = this.#inFlight.get(packetId);
    if (flight === undefined || flight % AWAITS_RANGE !== AWAITS.PUBREC) return false;
    return this.#finish(packetId, flight);
  }

  onPubcomp(packetId: number): boolean {
    const flight = this.#inFlight.get(packetId);
    if (flight === undefined || flight % AWAITS_RANGE !== AWAITS.PUBCOMP) return false;
    return this.#finish(packetId, flight);
  }

  clear(): void {
    this.#inFlight.clear();
    for (let waiting = this.#waiting?.shift(); waiting !== undefined; waiting = this.#waiting?.shift()) waiting.retained?.cancel();
    this.#waiting = null;
    this.waitingBytes = 0;
  }

  #finish(packetId: number, flight: number): boolean {
    this.#inFlight.delete(packetId);
    const number = Math.floor(flight / AWAITS_RANGE);
    if (number > 0) this.host.keeping.acknowledge(number);
    return true;
  }

  #wait(waiting: Waiting): void {
    this.#waiting ??= new Ring();
    this.#waiting.push(waiting);
  }

  /** True when all of it was sent. */
  #advance(waiting: Waiting): boolean {
    const { publication, retained } = waiting;
    if (publication !== null) return this.#isDenied(publication, waiting.rights) || this.#send(publication, waiting.qos, waiting.terms);
    if (retained !== null) return retained.advance();
    const numbers = waiting.numbers as readonly number[];
    for (; waiting.next < numbers.length; waiting.next += 1) {
      if (this.host.isFull || !this.sendQueued(numbers[waiting.next] as number)) return false;
    }
    return true;
  }

  /** What waits may be heard by what the client may do when it is its turn. `before`: by which it could be when it came. */
  #isDenied({ path, number }: Publication, before: Rights | null): boolean {
    const { rights, keeping } = this.host;
    if (rights === before || rights === null || rights.allows('on', path)) return false;
    if (this.host.durable?.queue.has(number) === true) keeping.acknowledge(number);
    this.host.onDenied();
    return true;
  }

  /** False: no room in the window. */
  #send(publication: Publication, qos: number, terms: Terms): boolean {
    if (qos > 0) return this.#sendCounted(publication, qos, terms);
    if (this.#isOver(publication.expires)) return true;
    const frame = this.host.encoder.publication(publication, terms, 0, 0);
    if (frame !== null) this.host.write(frame);
    return true;
  }

  /** Its time is over: it counts as sent. */
  #isOver(expires: number): boolean {
    if (expires === 0 || expires > this.host.now()) return false;
    this.host.onExpired();
    return true;
  }

  #sendCounted(publication: Publication, qos: number, terms: Terms): boolean {
    const { durable } = this.host;
    if (durable !== null && publication.number > 0) {
      const queued = durable.queue.get(publication.number);
      // A full queue refused it, which the core counted; or another filter has brought it, which was not held up by retained messages.
      return queued === undefined || queued.sent || this.#sendQueuedMessage(queued, publication);
    }
    if (this.#isOver(publication.expires)) return true;
    const packetId = this.#takeId();
    if (packetId === 0) return false;
    const frame = this.host.encoder.publication(publication, terms, qos << QOS_SHIFT, packetId);
    if (frame === null) return true;
    this.#inFlight.set(packetId, qos === 1 ? AWAITS.PUBACK : AWAITS.PUBREC);
    this.host.write(frame);
    return true;
  }

  // What retained messages need.

  get rights(): Rights | null {
    return this.host.rights;
  }

  get isFull(): boolean {
    return this.host.isFull;
  }

  get room(): number {
    const { durable } = this.host;
    const free = durable === null ? PACKET_ID_MAX : PACKET_ID_MAX - durable.packetIds.size;
    return Math.max(0, Math.min(this.window - this.#inFlight.size, free));
  }

  shows(entry: Entry, subscription: Subscription): boolean {
    return this.host.encoder.hasMessage(entry) && this.host.shows(entry, subscription);
  }

  handOut(command: HandOut, awaiting: (reply: Reply) => void): void {
    this.host.keeping.handOut(command, awaiting);
  }

  sendQueued(number: number): boolean {
    const queued = this.host.durable?.queue.get(number);
    if (queued === undefined) return true;
    if (queued.state === 'queued') {
      const publication = queued.publication ?? this.host.queuedPublication(number);
      if (publication !== null) return this.#sendQueuedMessage(queued, publication);
      this.host.keeping.acknowledge(number);
      return true;
    }
    // [MQTT5-4.9.0-3]: the window is one of PUBLISH packets.
    if (this.#inFlight.has(queued.packetId)) return false;
    this.#inFlight.set(queued.packetId, number * AWAITS_RANGE + AWAITS.PUBCOMP);
    this.host.write(encodeAcknowledge(FIRST_BYTE.PUBREL, queued.packetId));
    return true;
  }

  /** With the id that is on disk; [MQTT-3.3.1-1] marks a repetition. */
  #sendQueuedMessage(queued: QueuedMessage, publication: Publication): boolean {
    const { packetId, qos, number } = queued;
    if (!this.#hasRoom(packetId)) return false;
    const isOver = !queued.sent && this.#isOver(queued.expires);
    const flags = (qos << QOS_SHIFT) | (queued.sent ? DUP : 0) | (queued.initial ? RETAIN : 0);
    const frame = isOver ? null : this.host.encoder.publication(publication, queued, flags, packetId);
    if (frame === null) {
      this.host.keeping.acknowledge(number);
      return true;
    }
    queued.sent = true;
    this.#inFlight.set(packetId, number * AWAITS_RANGE + (qos === 1 ? AWAITS.PUBACK : AWAITS.PUBREC));
    this.host.write(frame);
    return true;
  }

  /** A record remembers the level at which it was published; it is delivered at the lower of the two. */
  sendRetained(entry: Entry, subscriptionQos: number, terms: Terms): boolean {
    if (this.#isOver(entry.expires)) return true;
    const qos = Math.min(subscriptionQos, entry.qos);
    const packetId = qos === 0 ? 0 : this.#takeId();
    if (qos > 0 && packetId === 0) return false;
    const frame = this.host.encoder.entry(entry, terms, (qos << QOS_SHIFT) | RETAIN, packetId);
    if (frame === null) return true;
    if (qos > 0) this.#inFlight.set(packetId, qos === 1 ? AWAITS.PUBACK : AWAITS.PUBREC);
    this.host.write(frame);
    return true;
  }

  #hasRoom(packetId: number): boolean {
    return this.#inFlight.size < this.window && !this.#inFlight.has(packetId);
  }

  /**
   * A packet id that neither is on its way nor belongs to the queue; 0: the window is full, or the ids may be used up. The queue of a durable session
   * counts upwards, so what it does not hold (retained messages) takes ids from the other end.
   */
  #takeId(): number {
    const { durable } = this.host;
    const open = this.#inFlight.size;
    if (open >= this.window || (durable !== null && open + durable.packetIds.size >= PACKET_ID_MAX)) return 0;
    let id = this.#lastId;
    do {
      if (durable === null) id = id >= PACKET_ID_MAX ? 1 : id + 1;
      else id = id <= 1 ? PACKET_ID_MAX : id - 1;
    } while (this.#inFlight.has(id) || durable?.packetIds.has(id) === true);
    this.#lastId = id;
    return id;
  }
}

function isReleased({ state }: QueuedMessage): boolean {
  return state === 'released';
}

function byPlace(a: QueuedMessage, b: QueuedMessage): number {
  return a.place - b.place || a.number - b.number;
}

/** Filters of which retained messages are still to be queued, and the place of these among the queued messages, in its order. */
function restsOf({ subscriptions }: DurableSession): [Subscription, number][] {
  const rests: [Subscription, number][] = [];
  for (const subscription of subscriptions.values()) {
    if (subscription.remainder !== null) rests.push([subscription, subscription.remainder.place]);
  }
  return rests.sort(([, a], [, b]) => a - b);
}
