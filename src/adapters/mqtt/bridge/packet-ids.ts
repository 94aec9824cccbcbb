// PacketIds: the owners of packet ids towards the remote. A message from the queue brings its own; everything else takes one
// that is neither in flight nor belongs to the queue.

import { PACKET_ID_MAX } from '../wire.js';

export class PacketIds {
  readonly #used = new Set<number>();
  #given = 0;
  #last = 0;

  /** `isKept`: whether an id belongs to a queued message. */
  constructor(private readonly isKept: (packetId: number) => boolean) {}

  isUsed(packetId: number): boolean {
    return this.#used.has(packetId);
  }

  /** What the next `allocate` returns. */
  give(packetId: number): void {
    this.#given = packetId;
  }

  /** null: all are used. The queue counts upwards, so this counts downwards. */
  allocate(): number | null {
    const given = this.#given;
    this.#given = 0;
    if (given > 0) {
      this.#used.add(given);
      return given;
    }
    for (let tries = 0; tries < PACKET_ID_MAX; tries++) {
      this.#last = this.#last <= 1 ? PACKET_ID_MAX : this.#last - 1;
      if (this.#used.has(this.#last) || this.isKept(this.#last)) continue;
      this.#used.add(this.#last);
      return this.#last;
    }
    return null;
  }

  getLastAllocated(): number | null {
    return this.#last === 0 ? null : this.#last;
  }

  /** The id of a message that the remote has from an earlier connection. False: it is used. */
  register(packetId: number): boolean {
    if (this.#used.has(packetId)) return false;
    this.#used.add(packetId);
    return true;
  }

  deallocate(packetId: number): void {
    this.#used.delete(packetId);
  }

  clear(): void {
    this.#used.clear();
  }
}
