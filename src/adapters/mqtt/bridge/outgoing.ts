// Outgoing: what a bridge still has to send, in one order: the queue on disk, messages that are not stored, records that are sent
// once; and what the remote has not acknowledged. Sends as much as window and socket accept.

import { type DurableSession, type Entry, type Publication, type Qos, Ring } from '../../../core/index.js';
import type { DropReason } from './drops.js';
import type { Draft } from './messages.js';
import type { OutgoingMessage, RemoteFacts } from './remote.js';

/** What waits in memory: beyond that, what is kept nowhere else is dropped. */
const WAITING_BYTES_MAX = 8 * 1024 * 1024;
export const WAITING_ITEMS_MAX = 10_000;
/** Packet ids that are left for subscribing. */
const SPARE_IDS = 16;
const PACKET_IDS = 65_535;

/** A page of records on its way; `left` of them are not acknowledged. */
interface Page {
  left: number;
  readonly done: () => void;
}

/** One of `number` (in the queue), `publication` (kept nowhere) and `entry` (a record) is set. */
interface Waiting {
  readonly number: number;
  readonly publication: Publication | null;
  readonly entry: Entry | null;
  readonly page: Page | null;
  readonly qos: Qos;
  readonly size: number;
}

interface InFlight {
  /** Number in the queue; 0: kept nowhere. */
  readonly number: number;
  readonly page: Page | null;
}

/** The part of a connection that sends. */
export interface Sender {
  readonly isFull: boolean;
  isUsed(packetId: number): boolean;
  publish(message: OutgoingMessage): number;
}

export interface OutgoingHost {
  readonly durable: DurableSession | null;
  /** A message, or why there is none; null: it goes nowhere, and nothing is wrong. */
  draftOf(publication: Publication, qos: Qos, facts: RemoteFacts): Draft | DropReason | null;
  draftOfEntry(entry: Entry, qos: Qos, facts: RemoteFacts): Draft | DropReason | null;
  queuedPublication(number: number): Publication | null;
  /** It is done with: it leaves the queue. */
  acknowledge(number: number): void;
  /** The remote has it; `done` once that is stored. */
  release(number: number, done: () => void): void;
  onSent(draft: Draft, number: number): void;
  /** `about`: the path, or what the remote said. */
  drop(reason: DropReason, about: string): void;
}

export class Outgoing {
  #sender: Sender | null = null;
  #facts: RemoteFacts | null = null;
  readonly #inFlight = new Map<number, InFlight>();
  #waiting = new Ring<Waiting>();
  #waitingBytes = 0;
  /** Queued messages up to this number are in hand since the connection was made. */
  #resumedTo = 0;
  /** Of these, the ones that are not done; and who waits for that. */
  #resumedLeft = 0;
  #onResumed: (() => void) | null = null;
  /** Paths that changed while a page of records is being read. */
  #changed: Set<string> | null = null;

  constructor(
    private readonly host: OutgoingHost,
    private readonly window: number,
  ) {}

  /** Packet ids of queued messages that the remote has and that are to be released. */
  get unreleased(): number[] {
    const released = [...(this.host.durable?.queue.values() ?? [])].filter(({ state }) => state === 'released');
    return released.map(({ packetId }) => packetId);
  }

  /** The remote accepted the connection: what is to be released is on its way, the rest of the queue follows with `begin`. */
  accept(facts: RemoteFacts): void {
    this.#facts = facts;
    for (const { state, packetId, number } of this.host.durable?.queue.values() ?? []) {
      if (state === 'released') this.#inFlight.set(packetId, { number, page: null });
    }
  }

  /** Begins with the queue, oldest first. Resolves when all that is in it now is done; never when the connection ends before. */
  begin(sender: Sender): Promise<void> {
    this.#sender = sender;
    for (const { number, state, qos } of this.host.durable?.queue.values() ?? []) {
      this.#resumedTo = Math.max(this.#resumedTo, number);
      if (state === 'released') continue;
      this.#resumedLeft += 1;
      this.#waiting.push({ number, publication: null, entry: null, page: null, qos, size: 0 });
    }
    const resumed = new Promise<void>((resolve) => (this.#onResumed = resolve));
    this.#checkResumed();
    this.pump();
    return resumed;
  }

  /** The connection is gone. What the queue does not keep is dropped. */
  end(): void {
    for (const { number, page } of this.#inFlight.values()) if (number === 0 && page === null) this.host.drop('away', 'unacknowledged');
    for (let waiting = this.#waiting.shift(); waiting !== undefined; waiting = this.#waiting.shift()) {
      if (waiting.publication !== null) this.host.drop('away', waiting.publication.path);
    }
    this.#sender = null;
    this.#facts = null;
    this.#inFlight.clear();
    this.#waitingBytes = 0;
    this.#resumedTo = 0;
    this.#resumedLeft = 0;
    this.#onResumed = null;
    this.#changed = null;
  }

  /** A change; the queue on disk may have it, too. */
  deliver(publication: Publication, qos: Qos): void {
    const { number, path } = publication;
    const { durable } = this.host;
    this.#changed?.add(path);
    if (qos > 0 && durable !== null && number > 0) {
      if (number <= this.#resumedTo) return;
      if (!durable.queue.has(number)) return this.host.drop('queue-full', path);
      if (this.#sender !== null) this.#waiting.push({ number, publication: null, entry: null, page: null, qos, size: 0 });
      return;
    }
    if (this.#sender === null) return this.host.drop('away', path);
    const { size } = publication;
    if (this.#waitingBytes + size > WAITING_BYTES_MAX || this.#waiting.length >= WAITING_ITEMS_MAX) return this.host.drop('slow', path);
    this.#waitingBytes += size;
    this.#waiting.push({ number: 0, publication, entry: null, page: null, qos, size });
  }

  /** From now on changes are noted: a page of records is about to be read. */
  beginPage(): void {
    this.#changed = new Set();
  }

  /** Sends records as retained messages, but for those that changed since `beginPage`. Resolves when the remote has them. */
  async sendPage(entries: readonly Entry[], qos: Qos): Promise<void> {
    const changed = this.#changed ?? new Set();
    this.#changed = null;
    const fresh = entries.filter(({ path }) => !changed.has(path));
    if (fresh.length === 0) return;
    await new Promise<void>((resolve) => {
      const page: Page = { left: fresh.length, done: resolve };
      for (const entry of fresh) {
        this.#waiting.push({ number: 0, publication: null, entry, page, qos: Math.min(qos, entry.qos) as Qos, size: 0 });
      }
      this.pump();
    });
  }

  /** Sends while window and socket allow it. */
  pump(): void {
    const sender = this.#sender;
    if (sender === null) return;
    for (let head = this.#waiting.peek(); head !== undefined; head = this.#waiting.peek()) {
      if (sender.isFull || !this.#send(head, sender)) return;
      this.#waiting.shift();
      this.#waitingBytes -= head.size;
    }
  }

  onReceived(packetId: number, done: () => void): void {
    const number = this.#inFlight.get(packetId)?.number ?? 0;
    if (number === 0) done();
    else this.host.release(number, done);
  }

  onCompleted(packetId: number, refusal: string | null): void {
    const flight = this.#inFlight.get(packetId);
    if (flight === undefined) return;
    this.#inFlight.delete(packetId);
    if (refusal !== null) this.host.drop('refused', refusal);
    this.#finish(flight);
    this.pump();
  }

  #finish({ number, page }: InFlight): void {
    if (page !== null) {
      page.left -= 1;
      if (page.left === 0) page.done();
    }
    if (number === 0) return;
    this.host.acknowledge(number);
    this.#onDone(number);
  }

  #onDone(number: number): void {
    if (number > this.#resumedTo) return;
    this.#resumedLeft -= 1;
    this.#checkResumed();
  }

  #checkResumed(): void {
    if (this.#resumedLeft > 0) return;
    this.#onResumed?.();
    this.#onResumed = null;
  }

  /** False: no room in the window. */
  #send(waiting: Waiting, sender: Sender): boolean {
    const queued = waiting.number === 0 ? undefined : this.host.durable?.queue.get(waiting.number);
    if (waiting.number > 0 && queued === undefined) {
      // Newer messages took its place, or it waited too long: the core dropped it.
      this.host.drop('queue-full', `message ${waiting.number}`);
      this.#onDone(waiting.number);
      return true;
    }
    const qos = queued?.qos ?? waiting.qos;
    if (qos > 0 && !this.#hasRoom(queued?.packetId ?? 0, sender)) return false;
    const done: InFlight = { number: waiting.number, page: waiting.page };
    const draft = this.#draftOf(waiting, qos);
    if (draft === null || typeof draft === 'string') {
      if (draft !== null) this.host.drop(draft, waiting.publication?.path ?? waiting.entry?.path ?? '');
      this.#finish(done);
      return true;
    }
    this.host.onSent(draft, waiting.number);
    const packetId = draft.qos === 0 ? 0 : (queued?.packetId ?? 0);
    const sentId = sender.publish({ ...draft, dup: draft.qos > 0 && queued?.sent === true, packetId });
    if (queued !== undefined) queued.sent = true;
    if (draft.qos === 0) this.#finish(done);
    else this.#inFlight.set(sentId, done);
    return true;
  }

  /** null: also a queued message whose body is gone; the core told that. */
  #draftOf({ number, publication, entry }: Waiting, qos: Qos): Draft | DropReason | null {
    const facts = this.#facts as RemoteFacts;
    if (entry !== null) return this.host.draftOfEntry(entry, qos, facts);
    const message = publication ?? this.host.durable?.queue.get(number)?.publication ?? this.host.queuedPublication(number);
    return message === null ? null : this.host.draftOf(message, qos, facts);
  }

  #hasRoom(packetId: number, sender: Sender): boolean {
    const window = Math.min(this.window, this.#facts?.receiveMaximum ?? 0, PACKET_IDS - SPARE_IDS);
    return this.#inFlight.size < window && (packetId === 0 || !sender.isUsed(packetId));
  }
}
