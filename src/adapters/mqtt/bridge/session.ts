// BridgeSession: a bridge as the core sees it: one session from start to stop, whether the remote is connected or not. Its durable
// state is kept under a key that no client can have.

import { randomBytes } from 'node:crypto';
import {
  type AdapterContext,
  type ConnectionError,
  type DurableCommand,
  DurableRequest,
  OUTBOUND_LIMITS,
  type Outbound,
  type Publication,
  type Qos,
  type Reply,
  type Request,
  Session,
  type Subscription,
  THE_GATEWAY,
} from '../../../core/index.js';

/** Waits for the reply to a request, as its tag. */
export interface Awaiting {
  settle(reply: Reply): void;
}

export interface SessionOwner {
  /** A change that one of the rules takes out; at the highest level of those that match. */
  onPublication(publication: Publication, qos: Qos): void;
  /** All that came is handed over. */
  onFlushed(): void;
  onPause(): void;
  onResume(): void;
  /** The core ended the session, or was told to. */
  onSessionClosed(error: ConnectionError | null): void;
}

export class BridgeSession extends Session {
  readonly #context: AdapterContext;
  readonly #owner: SessionOwner;

  constructor(context: AdapterContext, owner: SessionOwner) {
    super(randomBytes(16).toString('hex'), 'bridge', true, OUTBOUND_LIMITS);
    this.#context = context;
    this.#owner = owner;
    this.identity = THE_GATEWAY;
    context.openSession(this);
  }

  submit(request: Request): void {
    if (!this.closed) this.#context.submit(request);
  }

  /** For what is asked rarely. Never settles once the session is closed. */
  ask(make: (tag: Awaiting) => Request): Promise<Reply> {
    return new Promise((resolve) => this.submit(make({ settle: resolve })));
  }

  submitDurable(command: DurableCommand, awaiting: Awaiting | null): void {
    this.submit(new DurableRequest(this, null, command, awaiting));
  }

  /** Never lets anything wait here: what the remote does not take yet waits in the bridge. */
  override flush(): void {
    const { outbound } = this;
    for (let message = outbound.peek(); message !== undefined && !this.closed; message = outbound.peek()) {
      if (message.kind === 'publication') {
        this.#onPublication(message);
      } else {
        outbound.shift();
        (message.request.tag as Awaiting | null)?.settle(message);
      }
    }
    if (!this.closed) this.#owner.onFlushed();
  }

  /** Overlapping rules make one delivery. */
  #onPublication(publication: Publication): void {
    const { outbound } = this;
    let qos: Qos = 0;
    for (let next: Outbound | undefined = publication; next === publication; next = outbound.peek()) {
      const { options } = outbound.peekSubscription() as Subscription;
      outbound.shift();
      if (options.qos > qos) qos = options.qos;
    }
    this.#owner.onPublication(publication, Math.min(qos, publication.qos) as Qos);
  }

  override get bufferedBytes(): number {
    return 0;
  }

  override pauseReading(): void {
    this.#owner.onPause();
  }

  override resumeReading(): void {
    this.#owner.onResume();
  }

  override close(error: ConnectionError | null): void {
    if (this.closed) return;
    this.#context.closeSession(this, error);
    this.#owner.onSessionClosed(error);
  }
}
