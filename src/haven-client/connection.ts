// One TCP connection to a gateway: sends requests, hands each answer to its request, in order, and keeps the session alive.

import { connect, type Socket } from 'node:net';
import { HavenError, type Hello } from './types.js';
import { type Answer, Deframer, frameOf } from './wire.js';

/** Signs of life in the time after which the gateway drops a silent session. */
const BEATS = 3;

const GONE = 'the connection is gone';

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: HavenError) => void;
  readonly onAnswer: ((answer: Answer) => void) | undefined;
}

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: object | null;
  readonly heartbeatMs: number;
  readonly timeoutMs: number;
  onPushed(events: readonly Answer[]): void;
  /** Every event up to this revision of the gateway was pushed. */
  onRevision(revision: number): void;
  /** Called once, after a connection that had been made is gone. */
  onLost(): void;
}

export class Connection {
  hello: Hello | null = null;
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #deframer = new Deframer();
  /** Oldest first; answers come in this order. */
  readonly #waiting: Waiting[] = [];
  #beat: NodeJS.Timeout | null = null;
  #isOver = false;

  private constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', (error) => this.#end(lost(`the connection failed: ${reasonOf(error)}`)));
    socket.on('close', () => {
      this.#end(lost(this.hello === null ? 'the connection ended before anything was answered: is this a Haven port?' : GONE));
    });
  }

  /** Rejects with HavenError: CONNECTION_LOST, TIMEOUT, CLOSED as soon as `closing` says so, or what the gateway says. */
  static async open(options: ConnectionOptions, closing: AbortSignal): Promise<Connection> {
    const socket = connect({ host: options.host, port: options.port, noDelay: true });
    const connection = new Connection(socket, options);
    const { credentials, heartbeatMs, timeoutMs } = options;
    const patience = setTimeout(() => connection.#giveUp(new HavenError('TIMEOUT', 0, unanswered(timeoutMs))), timeoutMs);
    const onClosing = (): void => connection.#giveUp(new HavenError('CLOSED', 0, 'the client was closed'));
    closing.addEventListener('abort', onClosing);
    try {
      const message = { action: 'connect', version: '1', heartbeat: heartbeatMs, ...(credentials === null ? {} : { credentials }) };
      connection.hello = (await connection.ask(message)) as unknown as Hello;
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      clearTimeout(patience);
      closing.removeEventListener('abort', onClosing);
    }
    connection.#beat = setInterval(() => connection.#sayAlive(), connection.hello.heartbeat / BEATS);
    return connection;
  }

  /** Rejects with HavenError. `onAnswer` sees a good answer before anything that came behind it. */
  ask(message: object, onAnswer?: (answer: Answer) => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#isOver) {
        reject(lost(GONE));
        return;
      }
      // What cannot be sent is answered by nobody: it must not wait for what others are answered.
      const frame = frameOf(message);
      this.#waiting.push({ resolve, reject, onAnswer });
      this.#socket.write(frame);
    });
  }

  close(): void {
    this.#socket.end();
    this.#end(lost('the connection was closed'));
  }

  /** That nothing comes in time is the sign that nobody is there. The answer itself may stand behind a long one that is on its way. */
  #sayAlive(): void {
    const { timeoutMs } = this.#options;
    let patience: NodeJS.Timeout;
    const wait = (): void => {
      const { bytesRead } = this.#socket;
      patience = setTimeout(() => (this.#socket.bytesRead > bytesRead ? wait() : this.#giveUp(lost(unanswered(timeoutMs)))), timeoutMs);
    };
    wait();
    const settled = (): void => clearTimeout(patience);
    this.ask({ action: 'heartbeat', type: 'ping' }).then(settled, settled);
  }

  #onData(chunk: Buffer): void {
    this.#deframer.push(chunk);
    try {
      for (let answer = this.#deframer.next(); answer !== null; answer = this.#deframer.next()) this.#onAnswer(answer);
    } catch (error) {
      this.#giveUp(lost(this.hello === null ? 'the answer is not Haven: is this a Haven port?' : (error as Error).message));
    }
  }

  #onAnswer(answer: Answer): void {
    if (answer.push === true) {
      this.#options.onPushed(answer.result as readonly Answer[]);
      return;
    }
    const waiting = this.#waiting.shift();
    if (answer.result === false) {
      waiting?.reject(refusal(answer));
      return;
    }
    if (answer.type === 'pong' && typeof answer.revision === 'number' && answer.revision > 0) this.#options.onRevision(answer.revision);
    waiting?.onAnswer?.(answer);
    waiting?.resolve(answer);
  }

  #giveUp(error: HavenError): void {
    this.#socket.destroy();
    this.#end(error);
  }

  #end(error: HavenError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#beat !== null) clearInterval(this.#beat);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.#socket.destroySoon();
    if (this.hello !== null) this.#options.onLost();
  }
}

/** Of a name with several addresses, what happened at each. */
/** A name with several addresses has an error for each. */
function reasonOf(error: Error): string {
  const errors = error instanceof AggregateError ? (error.errors as NodeJS.ErrnoException[]) : [error as NodeJS.ErrnoException];
  const text = errors.map(({ message }) => message).join(', ');
  return errors.every(({ code }) => code === 'ECONNREFUSED') ? `${text} (is the gateway running?)` : text;
}

function unanswered(timeoutMs: number): string {
  return `no answer within ${timeoutMs} ms`;
}

function lost(reason: string): HavenError {
  return new HavenError('CONNECTION_LOST', 0, reason);
}

function refusal({ error }: Answer): HavenError {
  const { code, name, message, op = null } = error as { code: number; name: string; message: string; op?: number };
  return new HavenError(name, code, message, op);
}
