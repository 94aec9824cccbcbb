// A client of the plain protocol: one line a message.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type ContractClient, type Doc, Pending, Watch, type WatchOptions } from '../contract/contract-client.js';
import type { Address } from './contract-house.js';

interface PlainAnswer {
  readonly id: number | null;
  readonly ok: boolean;
  readonly error?: { readonly code: string; readonly message: string };
  readonly entry?: { readonly value: Doc } | null;
  readonly entries?: readonly { readonly path: string; readonly value: Doc }[];
  readonly removed?: number;
  readonly watch?: number;
}

interface PlainEvent {
  readonly watch: number;
  readonly event: 'set' | 'remove';
  readonly path: string;
  readonly value: Doc;
}

export class PlainClient implements ContractClient {
  readonly ended: Promise<void>;
  /** Why the gateway ended the connection. */
  bye: string | null = null;
  readonly #socket: Socket;
  readonly #pending = new Pending();
  readonly #watches = new Map<number, Watch>();
  /** Events may come in the same chunk as the answer to the watch: the watch must be known by then. */
  readonly #opening = new Map<number, Watch>();
  #lastId = 0;
  #input = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.ended = new Promise<void>((resolve) => socket.once('close', () => resolve())).then(() =>
      this.#pending.rejectAll(new Error(`connection ended: ${this.bye ?? 'no goodbye'}`)),
    );
    socket.setEncoding('utf8');
    socket.on('error', (error) => (this.bye ??= error.message));
    socket.on('data', (text: string) => this.#onText(text));
  }

  /** `version` other than 1 is refused. */
  static async connect(at: Address, version = 1, credentials: object = {}): Promise<PlainClient> {
    const socket = connect(at.port, at.host);
    await once(socket, 'connect');
    const client = new PlainClient(socket);
    const hello = client.#pending.add('hello');
    client.#send({ op: 'hello', version, credentials });
    await hello;
    return client;
  }

  /** Connected, but nothing was said yet. */
  static async open(at: Address): Promise<PlainClient> {
    const socket = connect(at.port, at.host);
    await once(socket, 'connect');
    return new PlainClient(socket);
  }

  async set(path: string, value: Doc, options: object = {}): Promise<void> {
    await this.#ask({ op: 'set', path, value, ...options });
  }
  async emit(path: string, value: Doc): Promise<void> {
    await this.#ask({ op: 'set', path, value, store: false });
  }
  async get(path: string): Promise<Doc | null> {
    return (await this.#ask({ op: 'get', path })).entry?.value ?? null;
  }
  async find(pattern: string): Promise<[string, Doc][]> {
    const { entries } = await this.#ask({ op: 'get', pattern });
    return (entries ?? []).map(({ path, value }) => [path, value]);
  }
  async remove(path: string): Promise<void> {
    await this.#ask({ op: 'remove', path });
  }
  async removeAll(pattern: string): Promise<number> {
    return (await this.#ask({ op: 'remove', pattern })).removed as number;
  }
  async watch(pattern: string, { initial = false }: WatchOptions = {}): Promise<Watch> {
    const watch = new Watch(pattern);
    this.#opening.set(this.#lastId + 1, watch);
    await this.#ask({ op: 'watch', pattern, initial });
    return watch;
  }
  async unwatch(watch: Watch): Promise<void> {
    for (const [number, one] of this.#watches) if (one === watch) await this.#ask({ op: 'unwatch', watch: number });
  }
  raw(bytes: Buffer): void {
    this.#socket.write(bytes);
  }
  stall(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }
  async close(): Promise<void> {
    this.#socket.resume();
    this.#socket.end();
    await this.ended;
  }

  #send(message: object): void {
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  #ask(message: object): Promise<PlainAnswer> {
    this.#lastId += 1;
    this.#send({ id: this.#lastId, ...message });
    return this.#pending.add<PlainAnswer>(this.#lastId);
  }

  #onText(text: string): void {
    const lines = (this.#input + text).split('\n');
    this.#input = lines.pop() as string;
    for (const line of lines) this.#onMessage(JSON.parse(line) as PlainAnswer);
  }

  #onMessage(message: PlainAnswer | PlainEvent | { bye: string } | { hello: number }): void {
    if ('bye' in message) this.bye = message.bye;
    else if ('hello' in message) this.#pending.resolve('hello', message);
    else if ('event' in message) this.#onEvent(message);
    else this.#onAnswer(message);
  }

  #onEvent({ watch, event, path, value }: PlainEvent): void {
    this.#watches.get(watch)?.push({ action: event, path, value: event === 'set' ? value : null });
  }

  #onAnswer(answer: PlainAnswer): void {
    const id = answer.id ?? 'hello';
    const watch = this.#opening.get(id as number);
    if (answer.ok && watch !== undefined) {
      this.#watches.set(answer.watch as number, watch);
      for (const { path, value } of answer.entries ?? []) watch.push({ action: 'set', path, value });
    }
    this.#opening.delete(id as number);
    if (answer.ok) this.#pending.resolve(id, answer);
    else this.#pending.reject(id, new Error(`${answer.error?.code}: ${answer.error?.message}`));
  }
}
