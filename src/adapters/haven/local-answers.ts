// Answers made without the core, each in its place after the requests that came before it.

import { type RequestError, Ring } from '../../core/index.js';
import type { HavenMessage } from './codec.js';
import { type HavenError, havenError } from './wire.js';

/** Reading stops while more answers than this wait for earlier ones. */
const WAITING_MAX = 256;

export interface LocalAnswer {
  readonly message: HavenMessage;
  readonly kind: 'connected' | 'pong' | 'became' | 'located' | 'error';
  readonly error: HavenError | null;
  /** became: what the answer names. */
  readonly uuid: string;
  /** Requests handed to the core before it. */
  readonly behind: number;
}

export class LocalAnswers {
  /** Requests handed to the core, and those of them that were answered. */
  #submitted = 0;
  #replied = 0;
  readonly #waiting = new Ring<LocalAnswer>();
  #onIdle: (() => void) | null = null;

  /** `write` is given each answer when its turn has come. */
  constructor(private readonly write: (answer: LocalAnswer) => void) {}

  /** Nothing waits for an answer. */
  get idle(): boolean {
    return this.#submitted === this.#replied && this.#waiting.length === 0;
  }

  /** Some wait for earlier ones. */
  get isAwaited(): boolean {
    return this.#waiting.length > 0;
  }

  /** More wait than is good. */
  get tooMany(): boolean {
    return this.#waiting.length > WAITING_MAX;
  }

  /** A request goes to the core. */
  onSubmit(): void {
    this.#submitted += 1;
  }

  /** Requests of the core were answered: what waited for that is written, too. */
  onReplied(requests = 1): void {
    this.#replied += requests;
    for (let next = this.#waiting.peek(); next !== undefined && next.behind <= this.#replied; next = this.#waiting.peek()) {
      this.#waiting.shift();
      this.write(next);
    }
    // Not in the middle of what is being written.
    if (this.#onIdle !== null && this.idle) queueMicrotask(() => this.#settle());
  }

  /** Calls `then` when everything so far is answered; not at all when the session ends before. One at a time may wait. */
  whenIdle(then: () => void): void {
    this.#onIdle = then;
    if (this.idle) this.#settle();
  }

  #settle(): void {
    const then = this.#onIdle;
    this.#onIdle = null;
    then?.();
  }

  /** At once, or when all requests before it are answered. */
  answer(kind: LocalAnswer['kind'], message: HavenMessage, error: HavenError | null = null, uuid = ''): void {
    const answer: LocalAnswer = { message, kind, error, uuid, behind: this.#submitted };
    if (this.idle) this.write(answer);
    else this.#waiting.push(answer);
  }

  fault(message: HavenMessage, fault: RequestError): void {
    this.answer('error', message, havenError(fault));
  }

  clear(): void {
    this.#waiting.clear();
    this.#onIdle = null;
  }
}
