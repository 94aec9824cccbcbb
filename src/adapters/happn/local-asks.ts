// Asks: the pending requests of an in-process client: a promise each, until the answer comes, time runs out or the client ends.

import { clientError } from './local-values.js';

const DISCONNECTED = 'client is disconnected';

export class Ask {
  timer: NodeJS.Timeout | null = null;
  onPublished: ((error: Error | null, results?: { readonly [name: string]: unknown }) => void) | null = null;

  constructor(
    readonly resolve: (value: unknown) => void,
    readonly reject: (error: Error) => void,
  ) {}

  /** Takes what the options of a request say of its answer. Throws when its publisher could not be told what it asks to be told. */
  attach(options: object, timedOut: () => void): void {
    const { consistency, onPublished, timeout } = options as { readonly [name: string]: unknown };
    if (consistency === 1 || consistency === 3) {
      if (typeof onPublished !== 'function') throw new Error('onPublished handler in options is missing');
      this.onPublished = onPublished as Ask['onPublished'];
    }
    if (typeof timeout === 'number' && timeout > 0) this.timer = setTimeout(timedOut, timeout);
  }
}

export class Asks {
  readonly #open = new Map<number, Ask>();
  #lastId = 0;
  #ended = false;

  /** `send` hands the request over; what it throws is thrown as a client would be answered. */
  begin(send: (id: number, ask: Ask) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const ask = new Ask(resolve, reject);
      if (this.#ended) {
        reject(new Error(DISCONNECTED));
        return;
      }
      this.#open.set(id, ask);
      try {
        send(id, ask);
      } catch (error) {
        this.settle(id);
        reject(clientError(error));
      }
    });
  }

  /** Undefined: nobody waits for it any more. */
  get(id: number): Ask | undefined {
    return this.#open.get(id);
  }

  /** Its answer has come: whoever gets the ask resolves or rejects it. */
  settle(id: number): Ask | undefined {
    const ask = this.#open.get(id);
    if (ask === undefined) return undefined;
    this.#open.delete(id);
    if (ask.timer !== null) clearTimeout(ask.timer);
    return ask;
  }

  /** The client ends: all that is open, and all that is asked from now on, is rejected. */
  end(cause: Error | null): void {
    this.#ended = true;
    for (const id of [...this.#open.keys()]) this.settle(id)?.reject(new Error(DISCONNECTED, { cause: cause ?? undefined }));
  }
}
