// RetainedMessages: what is retained under the filter of one SUBSCRIBE, on its way to the client: read from the store as window
// and socket accept it, in path order. For a durable session nothing of QoS 1 or 2 is sent before the queue has it; the core notes in
// the same batch how far the filter got, so that the next connection continues there ([MQTT-4.4.0-1], [MQTT5-4.4.0-1]).

import {
  type DurableCommand,
  type Entry,
  EntryCursor,
  type EntrySource,
  HAND_OUT_MAX,
  type Reply,
  type Rights,
  type Subscription,
} from '../../core/index.js';
import type { Terms } from './encoder.js';

/** What is queued at a time ends with so many records that were looked at, or so many bytes of them. */
const PORTION_ENTRIES = 512;
const PORTION_BYTES = 256 * 1024;

const NO_ENTRIES: readonly Entry[] = Object.freeze([]);
const NO_NUMBERS: readonly number[] = Object.freeze([]);

export type HandOut = Extract<DurableCommand, { type: 'handOut' }>;

/** What they go out through. */
export interface RetainedOutlet {
  /** The socket takes no more for now. */
  readonly isFull: boolean;
  /** So many messages of QoS 1 and 2 may be sent now, and their ids are free. */
  readonly room: number;
  /** What the client may do; another object once that has changed; null: everything. */
  readonly rights: Rights | null;
  /** There is a message to make of the record for this subscription. */
  shows(entry: Entry, subscription: Subscription): boolean;
  /** False: no room in the window. `qos`: that of the subscription. */
  sendRetained(entry: Entry, qos: number, terms: Terms): boolean;
  /** False: no room in the window. */
  sendQueued(number: number): boolean;
  handOut(command: HandOut, awaiting: (reply: Reply) => void): void;
}

export class RetainedMessages {
  readonly #subscription: Subscription;
  readonly #outlet: RetainedOutlet;
  readonly #terms: Terms;
  /** By which the source was made. */
  readonly #rights: Rights | null;
  /** That of the remainder that the core keeps of them; 0: it keeps none. */
  readonly #place: number;
  #source: EntrySource | null = null;
  /** Nothing is taken before it is its turn. */
  #cursor: EntryCursor | null = null;
  /** Looked at, and not sent. */
  #entry: Entry | null = null;
  #isCancelled = false;
  /** A portion that the core is queueing; null: none. */
  #asked: readonly Entry[] | null = null;
  /** A portion that may be sent, the numbers of those of it that are queued, and how far it got. */
  #portion: readonly Entry[] = NO_ENTRIES;
  #numbers: readonly number[] = NO_NUMBERS;
  #sent = 0;
  #sentNumbers = 0;
  /** The core knows that there are no more. */
  #isNoted = false;

  constructor(subscription: Subscription, outlet: RetainedOutlet) {
    const { identifier } = subscription.options;
    this.#subscription = subscription;
    this.#outlet = outlet;
    this.#rights = outlet.rights;
    this.#terms = { identifiers: identifier > 0 ? [identifier] : [], asPublished: true };
    this.#place = subscription.remainder?.place ?? 0;
  }

  /** They are there to be taken. */
  begin(source: EntrySource): void {
    this.#source = source;
    if (this.#isCancelled) source.close();
  }

  /** Nobody wants more of them. What is queued is still sent ([MQTT-3.10.4-3]). */
  cancel(): void {
    this.#isCancelled = true;
    this.#source?.close();
  }

  /** Sends what can be sent now. True: that was all. */
  advance(): boolean {
    const isDone = this.#place === 0 ? this.#advancePlain() : this.#advanceKept();
    if (isDone) this.#letGo();
    return isDone;
  }

  #letGo(): void {
    this.#source?.close();
    this.#source = null;
    this.#cursor = null;
    this.#entry = null;
    this.#give(NO_ENTRIES, NO_NUMBERS);
  }

  #advancePlain(): boolean {
    while (!this.#isCancelled) {
      if (this.#outlet.isFull) return false;
      const entry = this.#look();
      if (entry === null) return this.#isOver;
      if (!this.#outlet.sendRetained(entry, this.#subscription.options.qos, this.#terms)) return false;
      this.#entry = null;
    }
    return true;
  }

  #advanceKept(): boolean {
    for (;;) {
      if (!this.#sendPortion() || this.#asked !== null) return false;
      if (this.#isCancelled || this.#isNoted) return true;
      if (!this.#takePortion()) return false;
    }
  }

  #sendPortion(): boolean {
    for (; this.#sent < this.#portion.length; this.#sent += 1) {
      if (this.#outlet.isFull) return false;
      const entry = this.#portion[this.#sent] as Entry;
      if (this.#isCounted(entry)) {
        if (!this.#outlet.sendQueued(this.#numbers[this.#sentNumbers] as number)) return false;
        this.#sentNumbers += 1;
      } else if (!this.#outlet.sendRetained(entry, 0, this.#terms)) {
        return false;
      }
    }
    return true;
  }

  /** False: there is nothing to be taken now. */
  #takePortion(): boolean {
    const room = Math.min(this.#outlet.room, HAND_OUT_MAX);
    const entries: Entry[] = [];
    const counted: Entry[] = [];
    for (let bytes = 0; entries.length < PORTION_ENTRIES && bytes < PORTION_BYTES; ) {
      const entry = this.#look();
      if (entry === null) break;
      const isCounted = this.#isCounted(entry);
      if (isCounted && counted.length >= room) break;
      bytes += entry.payload.size;
      entries.push(entry);
      if (isCounted) counted.push(entry);
      this.#entry = null;
    }
    const isAll = this.#entry === null && this.#isOver;
    if (entries.length === 0 && !isAll) return false;
    if (counted.length === 0 && !isAll) this.#give(entries, NO_NUMBERS);
    else this.#ask(entries, counted, isAll);
    return true;
  }

  /** Of one whose only messages so far are of QoS 0 nothing has to be noted. */
  #ask(entries: readonly Entry[], counted: readonly Entry[], isAll: boolean): void {
    const subscription = this.#subscription;
    const after = isAll ? null : (entries.at(-1) as Entry).path;
    this.#asked = entries;
    this.#isNoted = isAll;
    const command = { type: 'handOut', subscription, place: this.#place, qos: subscription.options.qos, entries: counted, after } as const;
    this.#outlet.handOut(command, ({ error, queued }) => {
      this.#asked = null;
      if (error === null && queued !== null) this.#give(entries, queued);
      else this.cancel();
    });
  }

  #give(entries: readonly Entry[], numbers: readonly number[]): void {
    this.#portion = entries;
    this.#numbers = numbers;
    this.#sent = 0;
    this.#sentNumbers = 0;
  }

  #isCounted({ qos }: Entry): boolean {
    return qos > 0 && this.#subscription.options.qos > 0;
  }

  /** The next one, which stays so until it is taken. null: there is none, or none yet. */
  #look(): Entry | null {
    this.#entry ??= this.#next();
    while (this.#entry !== null && !this.#mayBeShown(this.#entry)) this.#entry = this.#next();
    return this.#entry;
  }

  #next(): Entry | null {
    if (this.#source === null) return null;
    this.#cursor ??= new EntryCursor(this.#source);
    for (let entry = this.#cursor.next(); entry !== null; entry = this.#cursor.next()) {
      if (this.#outlet.shows(entry, this.#subscription)) return entry;
    }
    return null;
  }

  /** What it may do may have changed since the source was made. */
  #mayBeShown({ path }: Entry): boolean {
    const { rights } = this.#outlet;
    return rights === this.#rights || rights === null || rights.allows('get', path);
  }

  /** All that there is was looked at. */
  get #isOver(): boolean {
    return this.#cursor?.isOver === true;
  }
}
