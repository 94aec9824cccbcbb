// Output: what one session writes, collected until it goes to the transport in one go.

import type { SessionHost } from './session-host.js';
import type { Transport } from './transport.js';

/** No more is made while more than this waits for the socket. */
const HIGH_WATER_BYTES = 1024 * 1024;

export class Output {
  #frames: Uint8Array[] = [];
  #bytes = 0;

  constructor(
    private readonly host: SessionHost,
    private readonly transport: Transport,
  ) {}

  push(frame: Uint8Array): void {
    this.host.counts.onSent(frame[0] as number);
    this.#frames.push(frame);
    this.#bytes += frame.length;
  }

  /** To the transport. */
  send(): void {
    const frames = this.#frames;
    if (frames.length === 0) return;
    this.host.counts.sentBytes.add(this.#bytes);
    this.transport.write(frames.length === 1 ? (frames[0] as Uint8Array) : this.host.join(frames, this.#bytes));
    this.clear();
  }

  /** Not with the operating system yet. */
  get bufferedBytes(): number {
    return this.#bytes + this.transport.bufferedBytes;
  }

  get isFull(): boolean {
    return this.#bytes > HIGH_WATER_BYTES || this.bufferedBytes > HIGH_WATER_BYTES;
  }

  clear(): void {
    this.#frames = [];
    this.#bytes = 0;
  }
}
