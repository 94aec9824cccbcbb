// What the adapter contract asks of a client, whatever protocol it speaks.

import type { Value } from '../../src/core/index.js';

/** Documents only: how each protocol shows other values is its own affair. */
export type Doc = { readonly [key: string]: Value };

export interface Heard {
  readonly action: 'set' | 'remove';
  readonly path: string;
  /** null for a removal. */
  readonly value: Doc | null;
}

/** One subscription and what came over it, oldest first. */
export class Watch {
  readonly heard: Heard[] = [];
  #changed: (() => void) | null = null;

  constructor(readonly pattern: string) {}

  push(heard: Heard): void {
    this.heard.push(heard);
    this.#changed?.();
    this.#changed = null;
  }

  /** Resolves when at least `count` were heard. */
  async count(count: number): Promise<readonly Heard[]> {
    while (this.heard.length < count) await new Promise<void>((resolve) => (this.#changed = resolve));
    return this.heard;
  }

  /** Resolves when something was heard that `fact` holds for. */
  async until(fact: (heard: Heard) => boolean): Promise<readonly Heard[]> {
    for (let seen = 0; ; ) {
      for (; seen < this.heard.length; seen++) if (fact(this.heard[seen] as Heard)) return this.heard;
      await new Promise<void>((resolve) => (this.#changed = resolve));
    }
  }
}

export interface WatchOptions {
  /** The records that exist come first. */
  readonly initial?: boolean;
}

/**
 * One connection. Everything resolves when the gateway acknowledged it and rejects when it refused, or when the connection
 * ended before the answer. Calls are sent in the order in which they are made, without waiting for each other.
 */
export interface ContractClient {
  set(path: string, value: Doc): Promise<void>;
  /** An event that stores nothing; where a protocol has none, a set. */
  emit(path: string, value: Doc): Promise<void>;
  get(path: string): Promise<Doc | null>;
  remove(path: string): Promise<void>;
  /** `pattern` as the protocol writes it. */
  watch(pattern: string, options?: WatchOptions): Promise<Watch>;
  unwatch(watch: Watch): Promise<void>;
  /** Bytes on the wire, as they are. */
  raw(bytes: Buffer): void;
  /** Reads nothing from the socket any more, until `resume`. */
  stall(): void;
  resume(): void;
  /** Ends the connection as the protocol does it. */
  close(): Promise<void>;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly ended: Promise<void>;
}

/** Answers that are told apart by a number or text that the request brought. */
export class Pending {
  #waiting = new Map<string | number, { resolve: (answer: never) => void; reject: (error: Error) => void }>();

  add<T>(id: string | number): Promise<T> {
    return new Promise<T>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  resolve(id: string | number, answer: unknown): void {
    this.#waiting.get(id)?.resolve(answer as never);
    this.#waiting.delete(id);
  }

  reject(id: string | number, error: Error): void {
    this.#waiting.get(id)?.reject(error);
    this.#waiting.delete(id);
  }

  rejectAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
