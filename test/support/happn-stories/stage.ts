// What a story of a happn client is given: two clients of one generation, a place of its own in the path space, and the ways
// to listen and to be sure that nothing more comes.

import type { GatewayProcess } from '../gateway-process.js';
import { call, type Generation, type HappnClient, type Heard } from '../happn-clients.js';

/** How the generations differ in what a client sees, as data. */
export interface Traits {
  /** Wildcards of subscriptions: any run of characters, or whole segments. */
  readonly wildcards: 'glob' | 'segments';
  /** A `merge` subscription gets the record after the change; the same, but bare what is no object; or the data of the request. */
  readonly mergeEvents: 'record' | 'bare' | 'request';
  /** `null` arrives as null, or the client does not send it. */
  readonly sendsNull: boolean;
  readonly noDataResponse: boolean;
  /** The paths of one record are a list of one. */
  readonly listsOnePath: boolean;
  /** A path of all characters that the client lets pass. */
  readonly characters: string;
  /** Those of its methods that other generations lack. */
  readonly methods: readonly string[];
  /** The client knows the consistency levels and the results of publications. */
  readonly consistency: boolean;
}

const EVERY = 'A z-0_9.(x){y}+=&:%@ b';
const FEWER = EVERY.replace(/[.{}]/g, '');

const SIBLING = ['setSibling', 'revokeSession'];
const COUNTING = [...SIBLING, 'increment'];
const NEWEST = ['increment', 'count', 'publish', 'once', 'getCreatedBetween', 'logout', 'changePassword'];

const OLD: Traits = {
  wildcards: 'glob',
  mergeEvents: 'record',
  sendsNull: true,
  noDataResponse: false,
  listsOnePath: false,
  characters: EVERY,
  methods: SIBLING,
  consistency: true,
};

export const TRAITS: ReadonlyMap<string, Traits> = new Map([
  ['happn 2.21.4', { ...OLD, sendsNull: false, consistency: false, listsOnePath: true, methods: ['setSibling'] }],
  ['happn-3-v3', OLD],
  ['happn-3-v7', { ...OLD, characters: FEWER, mergeEvents: 'bare', methods: COUNTING }],
  ['happn-3-v8', { ...OLD, characters: FEWER, wildcards: 'segments', mergeEvents: 'bare', methods: COUNTING }],
  ['happn-3-v10', { ...OLD, wildcards: 'segments', noDataResponse: true, mergeEvents: 'bare', methods: [...COUNTING, 'count'] }],
  ['happn-3-v13', { ...OLD, wildcards: 'segments', noDataResponse: true, mergeEvents: 'request', methods: NEWEST }],
]);

export type Area = 'data' | 'search' | 'subscriptions' | 'publication' | 'lifecycle' | 'restart';

export interface Story {
  readonly name: string;
  readonly area: Area;
  readonly run: (stage: Stage) => Promise<void>;
}

export function stories(area: Area, told: Readonly<Record<string, Story['run']>>): Story[] {
  return Object.entries(told).map(([name, run]) => ({ name, area, run }));
}

export interface Listening {
  readonly heard: Heard[];
  readonly handle: unknown;
  /** What the client's callback got beside the handle: initial values. */
  readonly response: unknown;
}

export interface Item {
  readonly _meta: { readonly path: string; readonly created: number; readonly modified: number };
  readonly [key: string]: unknown;
}

let places = 0;

export class Stage {
  readonly #root = `/story/${++places}`;
  readonly #guests: HappnClient[] = [];

  constructor(
    readonly gateway: GatewayProcess,
    readonly generation: Generation,
    readonly traits: Traits,
    /** Two clients that all stories of a generation share; their subscriptions end with the story. */
    readonly client: HappnClient,
    readonly other: HappnClient,
    /** Resolves when the gateway was restarted, for all who asked. */
    readonly restart: () => Promise<void>,
  ) {}

  /** A path below the story's own place. */
  at(name: string): string {
    return `${this.#root}/${name}`;
  }

  /** One more client, gone with the story. */
  async guest(info: object = {}): Promise<HappnClient> {
    const client = await this.generation.connect(this.gateway.ports.happn, info);
    this.#guests.push(client);
    return client;
  }

  async end(): Promise<void> {
    await Promise.all(this.#guests.map((guest) => guest.disconnect()));
    await Promise.all([this.client, this.other].map((client) => call(client.raw, 'offAll')));
  }
}

export function sessionId(client: HappnClient): string {
  return (client.raw.session as unknown as { id: string }).id;
}

export async function listen(client: HappnClient, path: string, options: object = {}): Promise<Listening> {
  const heard: Heard[] = [];
  const listener = (data: Heard['data'], meta: Heard['meta']): unknown => heard.push({ data, meta });
  const asked = { event_type: 'set', ...options };
  const [handle, response] = await new Promise<unknown[]>((resolve, reject) => {
    const done = (error: unknown, ...rest: unknown[]): void => (error ? reject(error) : resolve(rest));
    const on = client.raw.on as (...args: unknown[]) => unknown;
    void on.call(client.raw, path, asked, listener, done);
  });
  return { heard, handle, response };
}

/** Everything published to this client before has been heard when this resolves: an answer follows the events before it. */
export async function fence(client: HappnClient): Promise<void> {
  await client.get('/story/fence');
}

/** A request that clients of some generations have no method for, through the client's own request function. */
export function request<T>(client: HappnClient, action: string, path: string, options: object = {}): Promise<T> {
  const method = client.raw.performRequest === undefined ? '__performDataRequest' : 'performRequest';
  return call(client.raw, method, path, action, null, options);
}

export async function items(client: HappnClient, path: string, options: object = {}): Promise<Item[]> {
  return (await client.get(path, options)) as Item[];
}

/** The values of one property, of all records that a search finds, sorted. */
export async function found(client: HappnClient, path: string, criteria: object, key = 'n'): Promise<unknown[]> {
  const all = await items(client, path, { criteria });
  return all.map((item) => item[key]).sort();
}

export function values(heard: readonly Heard[], key = 'n'): unknown[] {
  return heard.map(({ data }) => data[key]);
}
