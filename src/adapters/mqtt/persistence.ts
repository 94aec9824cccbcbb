// The two seams of aedes that keep state, as thin views on the sessions: what aedes asks of its persistence becomes a
// request to the core, and is answered when the core's reply is there. Nothing is kept here.

import { Readable } from 'node:stream';

/**
 * What aedes needs of a promise (`then`, and `finally` in one place), without the delay of one: settled, it calls back at
 * once, so that no other packet comes between a packet and what follows from it.
 */
export class Outcome<T = undefined> {
  #state: 'open' | 'done' | 'failed' = 'open';
  #value: T | undefined;
  #error: unknown;
  #onDone: ((value: T) => void) | null = null;
  #onFailed: ((error: unknown) => void) | null = null;

  settle(value: T): this {
    if (this.#state !== 'open') return this;
    this.#state = 'done';
    this.#value = value;
    this.#onDone?.(value);
    return this;
  }

  fail(error: unknown): this {
    if (this.#state !== 'open') return this;
    this.#state = 'failed';
    this.#error = error;
    this.#onFailed?.(error);
    return this;
  }

  // biome-ignore lint/suspicious/noThenProperty: being waited for is what it is made for
  then(onDone: (value: T) => void, onFailed: (error: unknown) => void): this {
    if (this.#state === 'done') onDone(this.#value as T);
    else if (this.#state === 'failed') onFailed(this.#error);
    this.#onDone = onDone;
    this.#onFailed = onFailed;
    return this;
  }

  finally(onSettled: () => void): this {
    return this.then(onSettled, onSettled);
  }
}

/** A packet as aedes hands it to its persistence. */
export interface AcknowledgedPacket {
  readonly cmd: string;
  readonly messageId: number;
}

/** What a session does for aedes. */
export interface PersistentClient {
  unsubscribe(filters: readonly string[]): Outcome;
  /** PUBREC came; settles when PUBREL may be sent. */
  onReceived(packetId: number): Outcome;
  /** PUBREL came; settles when PUBCOMP may be sent. */
  onReleased(packetId: number): Outcome;
  /** PUBCOMP came. */
  onCompleted(packetId: number): void;
}

/** `sessionOf`: the session of what aedes calls a client. */
export function makePersistence(sessionOf: (client: unknown) => PersistentClient): object {
  const done = (): Outcome => new Outcome().settle(undefined);
  const nothing = (): Readable => new Readable({ objectMode: true, read: end });
  return {
    // aedes checks that this is an async function.
    setup: async (): Promise<void> => {},
    // The core restores filters itself; aedes must not subscribe again.
    subscriptionsByClient: () => new Outcome<unknown[]>().settle([]),
    cleanSubscriptions: done,
    // `authorizeSubscribe` did it: it sees every filter, one by one.
    addSubscriptions: done,
    removeSubscriptions: (client: unknown, filters: readonly string[]) => sessionOf(client).unsubscribe(filters),
    // The session writes retained messages and queued ones itself.
    createRetainedStreamCombi: () => ({ pipe: () => {} }),
    outgoingStream: nothing,
    outgoingUpdate: (client: unknown, packet: AcknowledgedPacket) => sessionOf(client).onReceived(packet.messageId),
    outgoingClearMessageId: (client: unknown, packet: AcknowledgedPacket) => {
      sessionOf(client).onCompleted(packet.messageId);
      return done();
    },
    // Only PUBREL asks (PUBLISH goes to the core directly): always known, so that its release is always stored.
    incomingGetPacket: (_client: unknown, packet: AcknowledgedPacket) => new Outcome<AcknowledgedPacket>().settle(packet),
    incomingDelPacket: (client: unknown, packet: AcknowledgedPacket) => sessionOf(client).onReleased(packet.messageId),
    cleanIncoming: done,
    // Wills are the core's: aedes is never told of one.
    putWill: done,
    delWill: done,
    streamWill: nothing,
    // Only for what aedes says about itself under $SYS, which goes nowhere.
    storeRetained: done,
    subscriptionsByTopic: () => new Outcome<unknown[]>().settle([]),
    outgoingEnqueueCombi: done,
  };
}

function end(this: Readable): void {
  this.push(null);
}
