// Dispatcher: checks the credentials of each message, then passes it to the part that serves it. Messages are taken one at a time: while
// credentials are checked, or roles of this node change, the next one waits.

import { ConnectionError, type Credentials, type Identity, NOBODY, RequestError } from '../../core/index.js';
import type { Attachment } from './attachment.js';
import type { HavenMessage } from './codec.js';
import type { DataAnswers } from './data-answers.js';
import type { Handshake } from './handshake.js';
import type { Connection, Host } from './host.js';
import type { LocalAnswers } from './local-answers.js';
import type { Watches } from './watches.js';
import type { HavenError } from './wire.js';

const NOT_CONNECTED: HavenError = Object.freeze({ name: 'NOT_CONNECTED', message: 'the first message must be CONNECT' });

const CONNECTED_ALREADY = new RequestError('INVALID_REQUEST', 'this connection has its session already');
const NOTHING_SHOWN: Credentials = Object.freeze({});

const LOGIN_FAILED = 'credentials of a Haven peer could not be looked at';
const CONTROL_FAILED = 'a Haven control message failed';

/** The session, to its dispatcher. */
export interface Holder extends Connection {
  /** Neither says nor hears anything more. */
  readonly ended: boolean;
  /** No further message is taken until it was released as often. */
  hold(): void;
  /** Messages are taken again, after `write`, which is not called when the session has ended meanwhile. */
  release(write: () => void): void;
  /** Calls `write`, then has what it wrote sent. */
  writing(write: () => void): void;
  /** CONNECT was taken. */
  onAdmitted(): void;
  /** Takes nothing more, and ends when everything is answered. */
  finish(reason: ConnectionError): void;
}

/** The parts that it hands messages to. */
export interface Parts {
  readonly handshake: Handshake;
  readonly answers: LocalAnswers;
  readonly data: DataAnswers;
  readonly watches: Watches;
  readonly attachment: Attachment;
}

export class Dispatcher {
  readonly #holder: Holder;
  readonly #host: Host;
  readonly #parts: Parts;
  /** The gateway takes nobody who shows nothing. */
  #isBarred = false;

  constructor(holder: Holder, host: Host, parts: Parts) {
    this.#holder = holder;
    this.#host = host;
    this.#parts = parts;
  }

  take(message: HavenMessage): void {
    const { handshake, answers } = this.#parts;
    if (!handshake.connected && message.action !== 'connect') answers.answer('error', message, NOT_CONNECTED);
    else if (message.fault !== null) answers.fault(message, message.fault);
    else if (handshake.connected && message.action === 'connect') answers.fault(message, CONNECTED_ALREADY);
    else if (message.credentials !== null) this.#authenticate(message, message.credentials);
    else if (message.action === 'connect') this.#connectAsNobody(message);
    else this.#handle(message);
  }

  /** On CONNECT they open the session, elsewhere they authorise their message alone. */
  #authenticate(message: HavenMessage, credentials: Credentials): void {
    const holder = this.#holder;
    holder.hold();
    this.#host.context.authenticate(credentials, holder).then(
      (identity) => {
        if (message.action === 'connect') holder.release(() => this.#open(message, identity));
        else this.#parts.answers.whenIdle(() => this.#handleAs(message, identity));
      },
      (error: unknown) => holder.release(() => this.#parts.answers.fault(message, this.#asFault(error, LOGIN_FAILED))),
    );
  }

  /**
   * Requests are judged when they are executed: those before it have been by now, and none follows until this one is answered. So all of
   * them may be judged by who the session is.
   */
  #handleAs(message: HavenMessage, identity: Identity): void {
    const holder = this.#holder;
    if (holder.ended) return;
    holder.onAdmitted();
    holder.askAs(identity);
    holder.writing(() => this.#handle(message));
    this.#parts.answers.whenIdle(() => {
      holder.askAs(null);
      holder.release(nothing);
    });
  }

  /** Somebody who shows nothing is whom the gateway takes nobody for; if that is nobody at all, the session is opened all the same. */
  #connectAsNobody(message: HavenMessage): void {
    const holder = this.#holder;
    holder.hold();
    this.#host.context.authenticate(NOTHING_SHOWN, holder).then(
      (identity) => holder.release(() => this.#open(message, identity)),
      (error: unknown) =>
        holder.release(() => {
          this.#isBarred = true;
          if (error instanceof RequestError && error.code === 'NOT_AUTHENTICATED') this.#handle(message);
          else this.#parts.answers.fault(message, this.#asFault(error, LOGIN_FAILED));
        }),
    );
  }

  #open(message: HavenMessage, identity: Identity): void {
    this.#holder.identity = identity;
    this.#isBarred = false;
    this.#handle(message);
  }

  #handle(message: HavenMessage): void {
    try {
      switch (message.action) {
        case 'connect':
          return this.#connect(message);
        case 'heartbeat':
          return this.#heartbeat(message);
        case 'data':
          return this.#query(message);
        case 'control':
          return this.#control(message);
        case 'discover':
          return this.#discover(message);
        case null:
          throw new RequestError('UNKNOWN_OPERATION', 'no such message');
      }
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#parts.answers.fault(message, error);
    }
  }

  #connect(message: HavenMessage): void {
    const { handshake, answers } = this.#parts;
    const refusal = handshake.open(message);
    if (refusal !== null) {
      answers.answer('error', message, refusal);
      this.#holder.finish(new ConnectionError('UNSUPPORTED_VERSION', refusal.message));
      return;
    }
    if (!this.#isBarred) this.#holder.onAdmitted();
    answers.answer('connected', message);
  }

  #heartbeat(message: HavenMessage): void {
    if (message.type !== null && message.type !== 'ping') throw new RequestError('INVALID_REQUEST', 'the type of a heartbeat is ping');
    this.#parts.answers.answer('pong', message);
  }

  /** Needs no right but to be somebody. */
  #discover(message: HavenMessage): void {
    if (this.#isBarred && this.#holder.identity === NOBODY) throw new RequestError('NOT_AUTHENTICATED', 'log in first');
    this.#parts.answers.answer('located', message);
  }

  #query(message: HavenMessage): void {
    const { data, watches, attachment } = this.#parts;
    attachment.resolve(message);
    if (message.type === 'watch') watches.watch(message);
    else if (message.type === 'unwatch') watches.unwatch(message);
    else data.submit(message);
  }

  /** What comes next is taken when this is done, and sees it. */
  #control(message: HavenMessage): void {
    const holder = this.#holder;
    const { answers, attachment } = this.#parts;
    const { control } = this.#host;
    holder.hold();
    control.become(message, holder.identity, holder.peer).then(
      (uuid) =>
        holder.release(() => {
          // Of the node itself, it ends.
          if (message.type === 'attach') attachment.attach(control.quorum(uuid));
          answers.answer('became', message, null, uuid);
        }),
      (error: unknown) => holder.release(() => answers.fault(message, this.#asFault(error, CONTROL_FAILED))),
    );
  }

  /** `what`: for the log, should it be the gateway's own failure. */
  #asFault(error: unknown, what: string): RequestError {
    if (error instanceof RequestError) return error;
    this.#host.context.log.error({ err: error, session: this.#holder.id }, what);
    return new RequestError('INTERNAL', 'the gateway failed on this request');
  }
}

function nothing(): void {}
