// Authentication: one exchange of AUTH packets (section 4.12), between a client and the handler of its method.

import type { Identity } from '../../../core/index.js';
import { encodeAuth } from './answers.js';
import type { Auth } from './codec.js';
import { protocolError, REASON } from './reason-codes.js';

/** What one step of an exchange comes to: more is asked of the client, or it is known who it is. */
export type AuthenticationStep =
  | { readonly done: false; readonly data: Uint8Array | null }
  | { readonly done: true; readonly data: Uint8Array | null; readonly identity: Identity };

/**
 * One client's exchange. `next` gets what the client sent (null: nothing) and rejects with RequestError NOT_AUTHENTICATED when
 * it is not who it says it is. Steps follow each other; the next is taken when the one before is answered.
 */
export interface AuthenticationExchange {
  next(data: Uint8Array | null): Promise<AuthenticationStep>;
}

/** By authentication method: begins an exchange. */
export type Authenticators = ReadonlyMap<string, () => AuthenticationExchange>;

/** The exchange is waited for no more: the connection has ended, or the client has begun another one. */
export class Cancelled extends Error {
  constructor() {
    super('the exchange is over');
    this.name = 'Cancelled';
  }
}

type Proof = Extract<AuthenticationStep, { done: true }>;

export class Authentication {
  #onData: ((data: Uint8Array | null) => void) | null = null;
  #reject: ((error: Error) => void) | null = null;
  #isCancelled = false;

  constructor(
    readonly method: string,
    private readonly exchange: AuthenticationExchange,
    private readonly write: (frame: Uint8Array) => void,
  ) {}

  /** Goes through the exchange. Rejects as the exchange does, or with Cancelled. */
  async go(first: Uint8Array | null): Promise<Proof> {
    let data = first;
    for (;;) {
      const step = await this.exchange.next(data);
      if (this.#isCancelled) throw new Cancelled();
      if (step.done) return step;
      // [MQTT5-4.12.0-2]
      this.write(encodeAuth(REASON.CONTINUE_AUTHENTICATION, this.method, step.data));
      data = await this.#untilData();
    }
  }

  /** An AUTH packet of the client. Throws ProtocolFault when none is expected. */
  take({ reason, data }: Auth): void {
    const onData = this.#onData;
    if (onData === null || reason !== REASON.CONTINUE_AUTHENTICATION) throw protocolError('AUTH is not expected');
    this.#onData = null;
    onData(data);
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#reject?.(new Cancelled());
  }

  #untilData(): Promise<Uint8Array | null> {
    return new Promise((resolve, reject) => {
      this.#onData = resolve;
      this.#reject = reject;
    });
  }
}
