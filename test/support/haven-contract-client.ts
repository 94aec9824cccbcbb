// A Haven client as the adapter contract asks for one: events are pushed.

import { type ContractClient, type Doc, Watch, type WatchOptions } from '../contract/contract-client.js';
import type { Address } from './contract-house.js';
import { HavenClient, type HavenEvent, HavenRefusal } from './haven-client.js';

const NOT_FOUND = 7;

export class HavenContractClient implements ContractClient {
  readonly #watches = new Map<number, Watch>();
  /** Events that came before the answer to their watch was looked at. */
  readonly #early: HavenEvent[] = [];

  private constructor(readonly client: HavenClient) {
    client.onPushed = (event) => {
      // Kept by the watch it belongs to.
      client.pushed.pop();
      this.#onEvent(event);
    };
  }

  static async connect(at: Address): Promise<HavenContractClient> {
    return new HavenContractClient(await HavenClient.connect(at.port));
  }

  static async connectOverWebsocket(at: Address): Promise<HavenContractClient> {
    return new HavenContractClient(await HavenClient.connect(0, { url: `ws://${at.host}:${at.httpPort}/haven` }));
  }

  static async connectAs(at: Address, username: string, password: string): Promise<HavenContractClient> {
    return new HavenContractClient(await HavenClient.connect(at.port, { connect: { credentials: { username, password } } }));
  }

  get ended(): Promise<void> {
    return this.client.ended;
  }
  async set(path: string, value: Doc): Promise<void> {
    await this.client.write(path, value);
  }
  emit(path: string, value: Doc): Promise<void> {
    return this.set(path, value);
  }
  async get(path: string): Promise<Doc | null> {
    try {
      return (await this.client.read(path)).value as Doc;
    } catch (error) {
      if (error instanceof HavenRefusal && error.code === NOT_FOUND) return null;
      throw error;
    }
  }
  async find(pattern: string): Promise<[string, Doc][]> {
    const { items } = (await this.client.read(pattern)) as { items: { path: string; value: Doc }[] };
    return items.map(({ path, value }) => [path, value]);
  }
  async create(path: string, value: Doc): Promise<void> {
    await this.client.data('create', path, { value });
  }
  async remove(path: string): Promise<void> {
    await this.client.delete(path);
  }
  async removeAll(pattern: string): Promise<number> {
    return (await this.client.delete(pattern)).removed as number;
  }
  async watch(pattern: string, { initial = false }: WatchOptions = {}): Promise<Watch> {
    const watch = new Watch(pattern);
    this.#watches.set(await this.client.watch(pattern, { push: true, initial }), watch);
    for (const event of this.#early.splice(0)) this.#onEvent(event);
    return watch;
  }
  async unwatch(watch: Watch): Promise<void> {
    for (const [number, one] of this.#watches) {
      if (one !== watch) continue;
      await this.client.request({ action: 'query', type: 'unwatch', watch: number });
      this.#watches.delete(number);
    }
  }
  raw(bytes: Buffer): void {
    this.client.raw(bytes);
  }
  stall(): void {
    this.client.stall();
  }
  resume(): void {
    this.client.resume();
  }
  async close(): Promise<void> {
    this.client.resume();
    await this.client.close();
  }

  #onEvent(event: HavenEvent): void {
    const watch = this.#watches.get(event.watch);
    if (watch === undefined) this.#early.push(event);
    else
      watch.push({
        action: event.type === 'write' ? 'set' : 'remove',
        path: event.path,
        value: event.type === 'write' ? (event.value as Doc) : null,
      });
  }
}
