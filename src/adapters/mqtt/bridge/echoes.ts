// Echoes: a 3.1.1 remote sends a bridge what the bridge itself published, when it subscribes to it, and nothing in such a
// message says so. Each message that is sent is expected back once, at the lower of its level and the subscription's; a copy
// that was expected goes nowhere, any further one, also of the same bytes, is somebody else's. Which of several equal copies is
// the echo makes no difference. An echo that never comes can only be one of QoS 0, and costs at most one equal message of QoS 0.
// Version 5 and remotes that know bridges send no echoes: there nothing is expected.

import { createHash } from 'node:crypto';

/** Expected at a time; beyond that the oldest is forgotten. */
export const ECHOES_MAX = 20_000;
/** By level: an echo that has not come by then will not come. At QoS 1 and 2 it may have to wait until the remote is back. */
export const ECHO_WITHIN_MS: readonly number[] = [60_000, 3_600_000, 3_600_000];

interface Expected {
  readonly digest: string;
  readonly level: number;
  /** Queue number of the message; 0: none. */
  readonly number: number;
  /** Monotonic time at which it is given up. */
  readonly until: number;
}

export class Echoes {
  /** By topic at the remote, in the order of sending. */
  readonly #expected = new Map<string, Expected[]>();
  #count = 0;
  /** Packet ids of echoes that were taken, and what they were: until the id carries another message. */
  readonly #taken = new Map<number, string>();
  /** Expectations that were given up: too old, or too many. */
  forgotten = 0;

  /** `now`: a monotonic time in milliseconds. */
  constructor(private readonly now: () => number) {}

  get length(): number {
    return this.#count;
  }

  /** `level`: the one at which it would come back. A repetition of a queued message is not expected another time. */
  expect(topic: string, payload: Uint8Array, level: number, number: number): void {
    let list = this.#expected.get(topic);
    if (list === undefined) {
      list = [];
      this.#expected.set(topic, list);
    } else if (number > 0 && list.some((one) => one.number === number)) {
      return;
    }
    // At the end of the map stands what was expected last.
    this.#expected.delete(topic);
    this.#expected.set(topic, list);
    list.push({ digest: digestOf(payload), level, number, until: this.now() + (ECHO_WITHIN_MS[level] as number) });
    this.#count += 1;
    while (this.#count > ECHOES_MAX) this.#forgetOldest();
  }

  /** Whether the message is the echo of one that was sent. `packetId` is 0 at level 0. */
  isEcho(topic: string, payload: Uint8Array, level: number, packetId: number, dup: boolean): boolean {
    if (this.#count === 0 && this.#taken.size === 0) return false;
    const digest = digestOf(payload);
    const taken = `${digest} ${topic}`;
    if (packetId > 0) {
      // The remote repeats an echo whose acknowledgement was lost with the connection.
      if (dup && this.#taken.get(packetId) === taken) return true;
      this.#taken.delete(packetId);
    }
    if (!this.#take(topic, digest, level)) return false;
    if (packetId > 0) this.#taken.set(packetId, taken);
    return true;
  }

  /** The remote kept nothing of the session: what has not come back will not come. */
  clear(): void {
    this.#expected.clear();
    this.#taken.clear();
    this.#count = 0;
  }

  #take(topic: string, digest: string, level: number): boolean {
    const list = this.#expected.get(topic);
    if (list === undefined) return false;
    const now = this.now();
    while ((list[0]?.until ?? now) < now) this.#giveUp(list);
    const found = list.findIndex((one) => one.level === level && one.digest === digest);
    if (found >= 0) {
      list.splice(found, 1);
      this.#count -= 1;
    }
    if (list.length === 0) this.#expected.delete(topic);
    return found >= 0;
  }

  #giveUp(list: Expected[]): void {
    list.shift();
    this.#count -= 1;
    this.forgotten += 1;
  }

  /** The first of the topic that waits longest since something was sent on it. */
  #forgetOldest(): void {
    for (const [topic, list] of this.#expected) {
      this.#giveUp(list);
      if (list.length === 0) this.#expected.delete(topic);
      return;
    }
  }
}

function digestOf(payload: Uint8Array): string {
  return createHash('sha256').update(payload).digest('base64');
}
