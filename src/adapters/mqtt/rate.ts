// Rate: limits how much may be done in a second. An allowance that refills with time, up to one second's worth.

export class Rate {
  #left: number;
  #at: number;

  constructor(
    private readonly perSecond: number,
    now: number,
  ) {
    this.#left = perSecond;
    this.#at = now;
  }

  /** Takes `amount` at this monotonic time; how long to wait, in milliseconds, until the allowance is no longer overdrawn. */
  take(amount: number, now: number): number {
    this.#fill(now);
    this.#left -= amount;
    return this.#left >= 0 ? 0 : (-this.#left * 1_000) / this.perSecond;
  }

  /** Takes one when there is one. */
  takeOne(now: number): boolean {
    this.#fill(now);
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  /** Nothing is remembered any more: a new one would be the same. */
  isFull(now: number): boolean {
    this.#fill(now);
    return this.#left >= this.perSecond;
  }

  #fill(now: number): void {
    this.#left = Math.min(this.perSecond, this.#left + ((now - this.#at) * this.perSecond) / 1_000);
    this.#at = now;
  }
}

/** What one client may publish in a second, in messages and in bytes. */
export class PublishRate {
  readonly #messages: Rate | null;
  readonly #bytes: Rate | null;

  /** 0: any number. */
  constructor(messagesPerSecond: number, bytesPerSecond: number, now: number) {
    this.#messages = messagesPerSecond === 0 ? null : new Rate(messagesPerSecond, now);
    this.#bytes = bytesPerSecond === 0 ? null : new Rate(bytesPerSecond, now);
  }

  /** One message of this size; how long to wait, in milliseconds, before the next. */
  take(bytes: number, now: number): number {
    const forMessages = this.#messages === null ? 0 : this.#messages.take(1, now);
    const forBytes = this.#bytes === null ? 0 : this.#bytes.take(bytes, now);
    return Math.max(forMessages, forBytes);
  }
}
