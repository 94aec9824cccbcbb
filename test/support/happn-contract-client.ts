// A happn client on a bare websocket, as the adapter contract asks for one.

import { once } from 'node:events';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { type ContractClient, type Doc, Pending, Watch, type WatchOptions } from '../contract/contract-client.js';
import type { Address } from './contract-house.js';

interface Item {
  readonly _meta?: { readonly path?: string };
  readonly [key: string]: unknown;
}

interface Frame {
  readonly data: Item | Item[] | null;
  readonly _meta: {
    readonly type: 'response' | 'data' | 'system';
    readonly status?: 'ok' | 'error';
    readonly error?: { readonly message: string };
    readonly eventId?: number;
    readonly action?: string;
    readonly channel?: string;
    readonly path?: string;
    readonly referenceId?: string;
  };
}

export class HappnContractClient implements ContractClient {
  readonly ended: Promise<void>;
  readonly #websocket: WebSocket;
  readonly #pending = new Pending();
  readonly #watches = new Map<string, { watch: Watch; reference: string }>();
  #lastId = 0;

  private constructor(websocket: WebSocket) {
    this.#websocket = websocket;
    this.ended = new Promise<void>((resolve) => websocket.once('close', () => resolve())).then(() =>
      this.#pending.rejectAll(new Error('connection ended')),
    );
    websocket.on('error', () => websocket.terminate());
    websocket.on('message', (data: Buffer) => this.#onFrame(JSON.parse(data.toString()) as Frame | Frame[] | string));
  }

  static async open(at: Address): Promise<HappnContractClient> {
    const websocket = new WebSocket(`ws://${at.host}:${at.httpPort}/primus`);
    await once(websocket, 'open');
    return new HappnContractClient(websocket);
  }

  static async connect(at: Address, protocol = 'happn_4', credentials: object = {}): Promise<HappnContractClient> {
    const client = await HappnContractClient.open(at);
    await client.ask('configure-session', { data: { protocol, version: '13.12.1', browser: false } });
    await client.ask('login', { data: { info: {}, ...credentials } });
    return client;
  }

  async set(path: string, value: Doc): Promise<void> {
    await this.ask('set', { path, data: value, options: {} });
  }
  async emit(path: string, value: Doc): Promise<void> {
    await this.ask('set', { path, data: value, options: { noStore: true } });
  }
  async get(path: string): Promise<Doc | null> {
    const { data } = await this.ask('get', { path, data: null, options: {} });
    return data === null ? null : plain(data as Item);
  }
  /** As the protocol does, the answer ends with its own meta. */
  async find(pattern: string): Promise<[string, Doc][]> {
    const answer = await this.ask('get', { path: pattern, data: null, options: {} });
    return (answer as unknown as Item[]).slice(0, -1).map((item) => [item._meta?.path as string, plain(item)]);
  }
  async remove(path: string): Promise<void> {
    await this.removeAll(path);
  }
  async removeAll(pattern: string): Promise<number> {
    return ((await this.ask('remove', { path: pattern, data: null, options: {} })).data as Item).removed as number;
  }
  async watch(pattern: string, { initial = false }: WatchOptions = {}): Promise<Watch> {
    const watch = new Watch(pattern);
    const channel = `/ALL@${pattern}`;
    const known = { watch, reference: '' };
    this.#watches.set(channel, known);
    const { data, _meta } = await this.ask('on', { path: channel, data: null, options: { event_type: 'all', initialCallback: initial } });
    known.reference = initial ? (_meta.referenceId as string) : ((data as Item).id as string);
    return watch;
  }
  async unwatch(watch: Watch): Promise<void> {
    const channel = `/ALL@${watch.pattern}`;
    await this.ask('off', { path: channel, data: null, options: { referenceId: this.#watches.get(channel)?.reference } });
    this.#watches.delete(channel);
  }
  raw(bytes: Buffer): void {
    this.#socket.write(bytes);
  }
  stall(): void {
    this.#websocket.pause();
  }
  resume(): void {
    this.#websocket.resume();
  }
  async close(): Promise<void> {
    this.#websocket.resume();
    this.#websocket.close();
    await this.ended;
  }

  get #socket(): Socket {
    return (this.#websocket as unknown as { _socket: Socket })._socket;
  }

  ask(action: string, fields: object): Promise<Frame> {
    const eventId = ++this.#lastId;
    const answer = this.#pending.add<Frame>(eventId);
    if (this.#websocket.readyState === WebSocket.OPEN) this.#websocket.send(JSON.stringify({ action, eventId, ...fields }));
    else this.#pending.reject(eventId, new Error('connection ended'));
    return answer;
  }

  #onFrame(frame: Frame | Frame[] | string): void {
    if (typeof frame === 'string') return;
    const meta = Array.isArray(frame) ? (frame.at(-1) as unknown as Frame['_meta']) : frame._meta;
    if (meta.type === 'data') this.#onEvent(frame as Frame);
    else if (meta.type === 'response') this.#onAnswer(frame as Frame, meta);
  }

  #onEvent({ data, _meta }: Frame): void {
    const action = _meta.action?.startsWith('/REMOVE@') === true ? 'remove' : 'set';
    const value = action === 'set' ? plain(data as Item) : null;
    this.#watches.get(_meta.channel as string)?.watch.push({ action, path: _meta.path as string, value });
  }

  #onAnswer(frame: Frame, meta: Frame['_meta']): void {
    const id = meta.eventId as number;
    if (meta.status === 'error') return this.#pending.reject(id, new Error(meta.error?.message));
    // Initial values come in the answer; what was heard is pushed here, so that no event gets before them.
    if (meta.action === 'on' && Array.isArray(frame.data)) this.#pushInitial(frame.data, id);
    this.#pending.resolve(id, frame);
  }

  #pushInitial(items: readonly Item[], _id: number): void {
    const watch = [...this.#watches.values()].find(({ reference }) => reference === '')?.watch;
    for (const item of items) watch?.push({ action: 'set', path: item._meta?.path as string, value: plain(item) });
  }
}

function plain({ _meta, ...value }: Item): Doc {
  return value as Doc;
}

/** A text frame as a websocket client sends it. */
export function textFrame(text: string | Buffer): Buffer {
  const payload = Buffer.from(text);
  const head = Buffer.alloc(14);
  head[0] = 0x81;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  // The mask is zero, so the payload is as it is.
  return Buffer.concat([head, payload]);
}
