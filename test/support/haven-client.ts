// A Haven client for tests: map shape, over TCP in either framing or over websocket, on msgpackr and nothing of the gateway.

import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { Packr, Unpackr } from 'msgpackr';
import { WebSocket } from 'ws';

export type Fields = { readonly [key: string]: unknown };
// biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field
export type Answer = any;

export interface HavenEvent {
  readonly watch: number;
  readonly path: string;
  readonly type: 'write' | 'delete';
  readonly value?: unknown;
  readonly revision: number;
  readonly time: number;
  readonly by: string;
}

export interface HavenClientOptions {
  /** `prefixed` when absent; a websocket has no framing of its own. */
  readonly framing?: 'prefixed' | 'bare';
  /** URL of the websocket instead of TCP, for example ws://127.0.0.1:55000/haven. */
  readonly url?: string;
  /** Address that it comes from over TCP; this machine has all of 127.0.0.0/8. */
  readonly localAddress?: string;
  /** false: no CONNECT is sent. */
  readonly hello?: boolean;
  /** Further fields of CONNECT. */
  readonly connect?: Fields;
}

const packr = new Packr({ useRecords: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

export const pack = (value: unknown): Buffer => Buffer.from(packr.pack(value));
export const unpack = (bytes: Uint8Array): Answer => unpackr.unpack(bytes);

/** A message as current havend clients frame it. */
export function prefixed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(4 + message.length);
  frame.writeUInt32BE(message.length);
  frame.set(message, 4);
  return frame;
}

/** An answer with `result: false`. */
export class HavenRefusal extends Error {
  constructor(
    readonly code: number,
    readonly errorName: string,
    message: string,
  ) {
    super(message);
  }
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

export class HavenClient {
  /** Events of unsolicited pongs, oldest first. */
  readonly pushed: HavenEvent[] = [];
  /** Resolves when the connection is gone. */
  readonly ended: Promise<void>;
  /** Answers that nobody waited for. */
  readonly strays: Answer[] = [];
  hello: Answer = null;
  onPushed: ((event: HavenEvent) => void) | null = null;
  closed = false;
  readonly #framing: 'prefixed' | 'bare' | 'message';
  readonly #socket: Socket | null;
  readonly #websocket: WebSocket | null;
  #rest: Buffer = Buffer.alloc(0);
  #waiting: Waiting[] = [];

  private constructor(socket: Socket | null, websocket: WebSocket | null, framing: 'prefixed' | 'bare' | 'message') {
    this.#socket = socket;
    this.#websocket = websocket;
    this.#framing = framing;
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        this.closed = true;
        for (const { reject } of this.#waiting) reject(new Error('the connection ended before the answer'));
        this.#waiting = [];
        resolve();
      };
      socket?.on('close', end).on('error', () => {});
      websocket?.on('close', end).on('error', () => {});
    });
    socket?.on('data', (chunk) => this.#onBytes(chunk));
    websocket?.on('message', (data) => this.#onAnswer(unpack(data as Buffer)));
  }

  static async connect(port: number, options: HavenClientOptions = {}): Promise<HavenClient> {
    const client = options.url === undefined ? await overTcp(port, options) : await overWebsocket(options.url);
    if (options.hello !== false) {
      client.hello = await client.request({ action: 'connect', version: '1', ...options.connect });
    }
    return client;

    async function overTcp(tcpPort: number, { framing = 'prefixed', localAddress }: HavenClientOptions): Promise<HavenClient> {
      const from = localAddress === undefined ? {} : { localAddress };
      const socket = connectTcp({ host: '127.0.0.1', port: tcpPort, noDelay: true, ...from });
      await once(socket, 'connect');
      return new HavenClient(socket, null, framing);
    }

    async function overWebsocket(url: string): Promise<HavenClient> {
      const websocket = new WebSocket(url, { perMessageDeflate: false });
      websocket.binaryType = 'nodebuffer';
      await once(websocket, 'open');
      return new HavenClient(null, websocket, 'message');
    }
  }

  /** Sends and waits for the answer in its turn; rejects with HavenRefusal when `result` is false. */
  request(fields: unknown): Promise<Answer> {
    return this.ask(fields).then((answer) => {
      if (Array.isArray(answer) || answer.result !== false) return answer;
      const { code, name, message } = answer.error;
      throw new HavenRefusal(code, name, message);
    });
  }

  /** As `request`, but every answer is good. */
  ask(fields: unknown): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.closed) {
        reject(new Error('the connection is closed'));
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.send(fields);
    });
  }

  send(message: unknown): void {
    const bytes = pack(message);
    this.raw(this.#framing === 'prefixed' ? prefixed(bytes) : bytes);
  }

  /** Bytes as they are: on a websocket one message. */
  raw(bytes: Uint8Array): void {
    if (this.#socket !== null) this.#socket.write(bytes);
    else this.#websocket?.send(bytes);
  }

  data(type: string, path: string, fields: Fields = {}): Promise<Answer> {
    return this.request({ action: 'query', type, path, ...fields });
  }

  write(path: string, value: unknown, fields: Fields = {}): Promise<Answer> {
    return this.data('write', path, { value, ...fields });
  }

  read(path: string, fields: Fields = {}): Promise<Answer> {
    return this.data('read', path, fields);
  }

  delete(path: string, fields: Fields = {}): Promise<Answer> {
    return this.data('delete', path, fields);
  }

  /** Resolves with the number of the watch. */
  async watch(path: string, fields: Fields = {}): Promise<number> {
    return (await this.data('watch', path, fields)).watch as number;
  }

  /** The pong: `result` is the watchlist. */
  heartbeat(): Promise<Answer> {
    return this.request({ action: 'heartbeat', type: 'ping' });
  }

  /** Heartbeats until at least `count` events came; oldest first. */
  async events(count: number): Promise<HavenEvent[]> {
    const events: HavenEvent[] = [];
    while (events.length < count) {
      events.push(...((await this.heartbeat()).result as HavenEvent[]));
      if (events.length < count) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return events;
  }

  stall(): void {
    this.#socket?.pause();
    this.#websocket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
    this.#websocket?.resume();
  }

  async close(): Promise<void> {
    this.#socket?.end();
    this.#websocket?.close();
    await this.ended;
  }

  #onBytes(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (this.#framing === 'prefixed') this.#cutPrefixed();
    else this.#cutBare();
  }

  #cutPrefixed(): void {
    while (this.#rest.length >= 4) {
      const end = 4 + this.#rest.readUInt32BE(0);
      if (this.#rest.length < end) return;
      const message = this.#rest.subarray(4, end);
      this.#rest = this.#rest.subarray(end);
      this.#onAnswer(unpack(message));
    }
  }

  #cutBare(): void {
    const answers: Answer[] = [];
    let read = 0;
    try {
      unpackr.unpackMultiple(this.#rest, (answer, _start, end) => {
        answers.push(answer);
        read = end as number;
      });
    } catch (error) {
      if ((error as { incomplete?: boolean }).incomplete !== true) throw error;
    }
    this.#rest = this.#rest.subarray(read);
    for (const answer of answers) this.#onAnswer(answer);
  }

  #onAnswer(answer: Answer): void {
    if (!Array.isArray(answer) && answer.push === true) {
      for (const event of answer.result as HavenEvent[]) {
        this.pushed.push(event);
        this.onPushed?.(event);
      }
      return;
    }
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.strays.push(answer);
    else waiting.resolve(answer);
  }
}
