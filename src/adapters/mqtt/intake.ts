// Intake: reads what a client sends. Passes the bytes to the guard, and knows the reasons to pause: its
// CONNECT is not answered, the engine is busy, it publishes faster than allowed, the gateway stops.

import type { Visit } from './admission.js';
import { Guard, type HeaderFault, type PacketTaker } from './guard.js';
import { PublishRate } from './rate.js';
import type { Arrival, SessionHost } from './session-host.js';
import type { Transport } from './transport.js';

export class Intake {
  readonly guard: Guard;
  readonly #host: SessionHost;
  readonly #transport: Transport;
  readonly #visit: Visit;
  /** null: the client may publish as fast as it likes. */
  readonly #publishRate: PublishRate | null;
  #accepted = false;
  #paused = false;
  #slowed: NodeJS.Timeout | null = null;
  #stopped = false;
  #isLost = false;
  /** Something came since the last look at the clock. */
  #heard = true;
  #heardAt: number;

  constructor(host: SessionHost, { transport, visit }: Arrival, taker: PacketTaker, headerFault: HeaderFault) {
    const { limits } = host;
    this.guard = new Guard(taker, headerFault, limits.maxConnectBytes);
    this.#host = host;
    this.#transport = transport;
    this.#visit = visit;
    this.#heardAt = visit.openedAt;
    const { maxPublishesPerSecond: messages, maxPublishBytesPerSecond: bytes } = limits;
    this.#publishRate = messages === 0 && bytes === 0 ? null : new PublishRate(messages, bytes, visit.openedAt);
  }

  push(chunk: Buffer): void {
    this.#heard = true;
    this.guard.push(chunk);
    // What comes before the CONNACK waits, and not without limit.
    if (!this.#accepted && this.guard.waiting > this.#host.limits.maxConnectBytes) this.#transport.pause();
  }

  /** A PUBLISH of this many bytes. Who publishes too fast is read more slowly; nothing is lost. */
  countPublish(bytes: number): void {
    if (this.#publishRate === null || this.#isLost) return;
    const waitMs = this.#publishRate.take(bytes, this.#host.context.clock.monotonic());
    if (waitMs === 0) return;
    this.#host.onSlowed(this.#visit.peer);
    this.#hold();
    this.#slowed = setTimeout(() => this.#onSlowEnough(), waitMs);
  }

  #onSlowEnough(): void {
    this.#slowed = null;
    this.#readOn();
  }

  /** The CONNECT was accepted. */
  accept(): void {
    this.#accepted = true;
    this.guard.maxBytes = this.#host.limits.maxPacketBytes;
    this.#readOn();
  }

  /** The peer is gone: what it sent before is taken as fast as the engine takes it. True: some of it waits. */
  onLost(): boolean {
    this.#isLost = true;
    if (this.#slowed !== null) {
      clearTimeout(this.#slowed);
      this.#onSlowEnough();
    }
    return this.hasRest;
  }

  /** Whole packets may wait here. */
  get hasRest(): boolean {
    return this.guard.isHeld && this.guard.waiting > 0;
  }

  pause(): void {
    this.#paused = true;
    this.#hold();
  }

  resume(): void {
    this.#paused = false;
    this.#readOn();
  }

  /** Nothing more is read; what was read is still answered. */
  stop(): void {
    this.#stopped = true;
    this.#hold();
  }

  /** The connection is over. */
  end(): void {
    if (this.#slowed !== null) clearTimeout(this.#slowed);
    this.#stopped = true;
    this.guard.end();
  }

  #hold(): void {
    this.guard.hold();
    this.#transport.pause();
  }

  get #isRead(): boolean {
    return this.#accepted && !this.#paused && this.#slowed === null && !this.#stopped;
  }

  #readOn(): void {
    if (!this.#isRead) return;
    // Silence counts from here on.
    this.#heard = true;
    this.#transport.resume();
    this.guard.release();
  }

  /** Asked about twice a second: nothing came for longer than this, although it would have been read. */
  isSilent(now: number, forMs: number): boolean {
    if (this.#heard) {
      this.#heard = false;
      this.#heardAt = now;
    }
    return this.#isRead && now - this.#heardAt > forMs;
  }
}
