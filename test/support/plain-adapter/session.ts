// PlainSession: one connection of the plain protocol: lines in, requests out; replies and publications out as lines.

import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  type AdapterContext,
  ConnectionError,
  DataRequest,
  type Outbound,
  type OutboundLimits,
  RequestError,
  type RequestId,
  Session,
  SUBSCRIBED,
  SubscribeRequest,
  Subscription,
} from '../../../src/core/index.js';
import {
  BadRequest,
  type Command,
  decodeLine,
  encodeBye,
  encodeError,
  encodePublication,
  encodeReply,
  LINE_MAX_BYTES,
  VERSION,
} from './codec.js';

/** Bytes that may wait in the socket before draining stops. */
const HIGH_WATER_BYTES = 1024 * 1024;
const WATCHES_MAX = 1_000;
/** A peer that does not take the farewell is cut off. */
const FAREWELL_MS = 1_000;
const NEWLINE = 0x0a;

export class PlainSession extends Session {
  #state: 'connecting' | 'authenticating' | 'ready' | 'closing' = 'connecting';
  #input: Buffer = Buffer.alloc(0);
  #reading = true;
  /** Answers wait in the socket: nothing more is read before they are gone. */
  #choked = false;
  /** What the session ends with once everything is answered; null: it does not stop. */
  #stopping: ConnectionError | null = null;
  #watches = new Map<number, Subscription>();
  #lastWatch = 0;

  constructor(
    private readonly context: AdapterContext,
    private readonly socket: Socket,
    limits: OutboundLimits,
    connectTimeoutMs: number,
  ) {
    super(randomUUID(), 'plain', false, limits);
    const timer = setTimeout(() => {
      if (this.#state === 'connecting') this.close(new ConnectionError('CONNECT_TIMEOUT', `no hello within ${connectTimeoutMs} ms`));
    }, connectTimeoutMs);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('drain', () => this.#onDrain());
    socket.on('error', (error) => this.context.log.debug({ err: error, session: this.id }, 'socket error'));
    socket.on('close', () => {
      clearTimeout(timer);
      this.#state = 'closing';
      this.context.closeSession(this, null);
    });
    context.openSession(this);
  }

  override get bufferedBytes(): number {
    return this.socket.writableLength;
  }

  /** Answers, events or bytes are on their way to the system. */
  get isOwed(): boolean {
    return this.inFlight > 0 || this.outbound.length > 0 || this.bufferedBytes > 0;
  }

  destroy(): void {
    this.socket.destroy();
  }

  override pauseReading(): void {
    this.#reading = false;
    this.socket.pause();
  }

  override resumeReading(): void {
    if (this.#state === 'closing') return;
    this.#reading = true;
    if (this.#choked) return;
    this.socket.resume();
    this.#readLines();
  }

  override flush(): void {
    // Goes on while the system takes everything at once: only a socket that keeps something tells when it is drained.
    while (this.outbound.length > 0 && this.bufferedBytes < HIGH_WATER_BYTES) this.socket.write(this.#drain());
    if (this.#stopping !== null && this.inFlight === 0 && this.outbound.length === 0) this.close(this.#stopping);
  }

  override onSubscriptionLost(subscription: Subscription): void {
    this.#watches.delete(subscription.tag as number);
  }

  override close(error: ConnectionError | null): void {
    if (this.closed) return;
    this.#state = 'closing';
    this.context.closeSession(this, error);
    if (error?.code === 'SLOW_CONSUMER') {
      // It would not read a farewell either.
      this.socket.destroy();
    } else {
      this.socket.end(error === null ? '' : encodeBye(error.code, error.message));
      this.socket.resume();
      const timer = setTimeout(() => this.socket.destroy(), FAREWELL_MS);
      this.socket.once('close', () => clearTimeout(timer));
    }
  }

  /** Takes nothing more, answers what is in flight, then says goodbye. */
  stop(reason: ConnectionError): void {
    this.pauseReading();
    this.#stopping = reason;
    this.flush();
  }

  #onData(chunk: Buffer): void {
    if (this.#state === 'closing') return;
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    this.#readLines();
  }

  /** Up to a high water of lines, for one write. */
  #drain(): string {
    let text = '';
    while (text.length < HIGH_WATER_BYTES) {
      const message = this.outbound.peek();
      if (message === undefined) break;
      const subscription = this.outbound.peekSubscription();
      this.outbound.shift();
      text += this.#encode(message, subscription);
    }
    return text;
  }

  #onDrain(): void {
    this.flush();
    if (!this.#choked) return;
    this.#choked = false;
    if (this.#reading) this.resumeReading();
  }

  #choke(): void {
    this.#choked = true;
    this.socket.pause();
  }

  #readLines(): void {
    let at = 0;
    while (this.#reading && !this.#choked && (this.#state === 'connecting' || this.#state === 'ready')) {
      const end = this.#input.indexOf(NEWLINE, at);
      if (end === -1 || end - at > LINE_MAX_BYTES) break;
      const line = this.#input.subarray(at, end);
      at = end + 1;
      this.#onLine(line);
      if (this.bufferedBytes >= HIGH_WATER_BYTES) this.#choke();
    }
    this.#input = this.#input.subarray(at);
    const end = this.#input.indexOf(NEWLINE);
    if ((end === -1 ? this.#input.length : end) > LINE_MAX_BYTES && this.#state !== 'closing') {
      this.close(new ConnectionError('FRAME_TOO_LARGE', `a line is longer than ${LINE_MAX_BYTES} bytes`));
    }
  }

  #onLine(line: Buffer): void {
    try {
      this.#onCommand(decodeLine(line, this.context.formats));
    } catch (error) {
      if (error instanceof BadRequest) this.socket.write(encodeError(error.id, error.failure));
      else if (error instanceof ConnectionError) this.close(error);
      else throw error;
    }
  }

  #onCommand(command: Command): void {
    if (command.op === 'hello') {
      void this.#onHello(command);
      return;
    }
    if (this.#state !== 'ready') {
      throw new BadRequest(command.id, new RequestError('NOT_AUTHENTICATED', 'say hello first'));
    }
    switch (command.op) {
      case 'watch':
        return this.#onWatch(command);
      case 'unwatch':
        return this.#onUnwatch(command.id, command.watch);
      default: {
        const { op, id, path, pattern, payload, options } = command;
        this.context.submit(new DataRequest(op, this, id, path, pattern, payload, options, true, 0, null));
      }
    }
  }

  async #onHello({ version, credentials }: Extract<Command, { op: 'hello' }>): Promise<void> {
    if (this.#state !== 'connecting') {
      this.close(new ConnectionError('MALFORMED_FRAME', 'hello is said once'));
      return;
    }
    if (version !== VERSION) {
      this.close(new ConnectionError('UNSUPPORTED_VERSION', `this gateway speaks version ${VERSION}`));
      return;
    }
    this.#state = 'authenticating';
    try {
      this.identity = await this.context.authenticate(credentials, this);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (this.closed) return;
    this.#state = 'ready';
    this.socket.write(`${JSON.stringify({ hello: VERSION, session: this.id })}\n`);
    this.#readLines();
  }

  #refuse(error: unknown): void {
    if (this.closed) return;
    if (error instanceof RequestError) this.socket.write(encodeError(null, error));
    else this.context.log.error({ err: error }, 'authentication failed');
    this.close(null);
  }

  #onWatch(command: Extract<Command, { op: 'watch' }>): void {
    if (this.#watches.size >= WATCHES_MAX) {
      throw new BadRequest(command.id, new RequestError('LIMIT_EXCEEDED', `at most ${WATCHES_MAX} watches`));
    }
    this.#lastWatch += 1;
    const subscription = new Subscription(this, null, command.pattern, SUBSCRIBED, this.#lastWatch);
    this.#watches.set(this.#lastWatch, subscription);
    this.context.submit(new SubscribeRequest('subscribe', this, command.id, subscription, command.initial ? command.pattern : null, null));
  }

  #onUnwatch(id: RequestId, watch: number): void {
    const subscription = this.#watches.get(watch);
    if (subscription === undefined) throw new BadRequest(id, new RequestError('NOT_FOUND', 'no such watch'));
    this.#watches.delete(watch);
    this.context.submit(new SubscribeRequest('unsubscribe', this, id, subscription, null, null));
  }

  #encode(message: Outbound, subscription: Subscription | null): string {
    const { formats } = this.context;
    if (message.kind === 'publication') return encodePublication(message, subscription?.tag as number, formats);
    const { request, error } = message;
    if (request.op !== 'subscribe') return encodeReply(message, '', formats);
    const watch = request.subscription.tag as number;
    if (error !== null) this.#watches.delete(watch);
    return encodeReply(message, `,"watch":${watch}`, formats);
  }
}
