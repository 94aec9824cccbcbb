// ClerkSession: a session without a connection, for requests of the adapter itself: open for as long as one request takes.

import { randomBytes } from 'node:crypto';
import {
  type AdapterContext,
  DataRequest,
  type Entry,
  type Identity,
  parsePattern,
  type Reply,
  type Request,
  RequestError,
  Session,
  STORED,
  THE_GATEWAY,
} from '../../core/index.js';

/** Tag of a request: takes its reply. */
class Awaiting {
  constructor(
    readonly settle: (reply: Reply) => void,
    readonly fail: (error: RequestError) => void,
  ) {}
}

export class ClerkSession extends Session {
  readonly #context: AdapterContext;
  readonly #awaiting = new Set<Awaiting>();

  /** `identity`: in whose name it asks; null: the gateway's. */
  constructor(context: AdapterContext, identity: Identity | null) {
    super(randomBytes(16).toString('hex'), 'haven', true);
    this.#context = context;
    this.identity = identity ?? THE_GATEWAY;
    context.openSession(this);
  }

  /** Rejects with the RequestError of the reply. */
  ask(make: (tag: unknown) => Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const settle = (reply: Reply): void => (reply.error === null ? resolve(reply) : reject(reply.error));
      const awaiting = new Awaiting(settle, reject);
      this.#awaiting.add(awaiting);
      this.#context.submit(make(awaiting));
    });
  }

  /** The records that a glob matches. */
  async find(glob: string): Promise<readonly Entry[]> {
    const pattern = parsePattern(glob, 'glob');
    const { entries } = await this.ask((tag) => new DataRequest('get', this, null, '', pattern, null, STORED, true, 0, tag));
    return entries ?? [];
  }

  override flush(): void {
    for (let message = this.outbound.peek(); message !== undefined; message = this.outbound.peek()) {
      this.outbound.shift();
      const tag = message.kind === 'reply' ? message.request.tag : null;
      if (!(tag instanceof Awaiting)) continue;
      this.#awaiting.delete(tag);
      tag.settle(message as Reply);
    }
  }

  override get bufferedBytes(): number {
    return 0;
  }

  override pauseReading(): void {}
  override resumeReading(): void {}

  /** What was asked and not answered may or may not have happened. */
  override close(): void {
    for (const { fail } of this.#awaiting) fail(new RequestError('STORE_FAILED', 'the gateway ended the request'));
    this.#awaiting.clear();
    this.#context.closeSession(this, null);
  }
}
