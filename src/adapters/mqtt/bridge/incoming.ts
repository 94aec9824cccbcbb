// Incoming: messages of the remote become requests; each is acknowledged when the core has answered, in order of
// arrival. Echoes of what the bridge itself sent are discarded.

import { type DataRequest, type Reply, type RequestError, Ring } from '../../../core/index.js';
import type { DropReason } from './drops.js';
import { Echoes } from './echoes.js';
import type { RemoteFacts, RemoteMessage } from './remote.js';
import type { Awaiting } from './session.js';

/** Messages of QoS 2 that the remote may leave unreleased. */
export const UNRELEASED_MAX = 1_000;

/** The part of a connection that acknowledges. */
export interface Acknowledger {
  acknowledge(message: RemoteMessage): void;
  /** Ends the connection: what is not acknowledged comes again. */
  fail(reason: string): void;
}

export interface IncomingHost {
  /** null: it was sent from here. */
  requestOf(message: RemoteMessage, awaiting: Awaiting): DataRequest | DropReason | null;
  submit(request: DataRequest): void;
  /** Packet ids of messages of QoS 2 that are not released. */
  readonly received: ReadonlySet<number>;
  drop(reason: DropReason, about: string): void;
  onTaken(): void;
}

/** A message on its way through the core. */
class Received implements Awaiting {
  settled = false;

  constructor(
    readonly message: RemoteMessage,
    readonly from: Acknowledger,
    private readonly onReply: (received: Received, reply: Reply) => void,
  ) {}

  settle(reply: Reply): void {
    this.onReply(this, reply);
  }
}

export class Incoming {
  readonly echoes: Echoes;
  #from: Acknowledger | null = null;
  #noEcho = true;
  /** Not acknowledged, oldest first. */
  #unacknowledged = new Ring<Received>();

  constructor(
    private readonly host: IncomingHost,
    now: () => number,
  ) {
    this.echoes = new Echoes(now);
  }

  begin(from: Acknowledger, { sessionPresent, noEcho }: RemoteFacts): void {
    this.#from = from;
    this.#noEcho = noEcho;
    if (!sessionPresent || noEcho) this.echoes.clear();
  }

  end(): void {
    this.#from = null;
    this.#unacknowledged = new Ring();
  }

  onMessage(message: RemoteMessage): void {
    const from = this.#from;
    if (from === null) return;
    if (message.qos === 2 && this.#isTooMuch(message.packetId)) {
      from.fail(`the remote leaves more than ${UNRELEASED_MAX} messages of QoS 2 unreleased`);
      return;
    }
    const received = new Received(message, from, this.#onReply);
    if (message.qos > 0) this.#unacknowledged.push(received);
    const request = this.#isEcho(message) ? null : this.host.requestOf(message, received);
    if (request !== null && typeof request !== 'string') {
      this.host.onTaken();
      this.host.submit(request);
      return;
    }
    if (request !== null) this.host.drop(request, message.topic);
    if (message.qos > 0) this.#settled(received);
  }

  #isTooMuch(packetId: number): boolean {
    const { received } = this.host;
    return received.size >= UNRELEASED_MAX && !received.has(packetId);
  }

  #isEcho({ topic, payload, qos, packetId, dup, retain }: RemoteMessage): boolean {
    // A retained message is one that was there when the bridge subscribed.
    return !this.#noEcho && !retain && this.echoes.isEcho(topic, payload, qos, packetId, dup);
  }

  readonly #onReply = (received: Received, { error }: Reply): void => {
    if (received.from !== this.#from) return;
    if (error !== null && isTemporary(error)) {
      this.#from.fail(`a message could not be stored here: ${error.message}`);
      return;
    }
    if (error !== null) this.host.drop('refused-here', `${received.message.topic}: ${error.message}`);
    this.#settled(received);
  };

  /** Acknowledgements leave in the order of receipt [MQTT-4.6.0-2]. */
  #settled(received: Received): void {
    received.settled = true;
    for (let head = this.#unacknowledged.peek(); head?.settled === true; head = this.#unacknowledged.peek()) {
      this.#unacknowledged.shift();
      head.from.acknowledge(head.message);
    }
  }
}

function isTemporary(error: RequestError): boolean {
  return error.code === 'STORE_FAILED' || error.retry;
}
