// Random programs of happn operations, the same for the same seed, and the way to run one against a server and to write down
// what the clients saw, so that the notes of two servers can be compared.

import type { HappnClient, Meta } from './happn-clients.js';
import { call } from './happn-clients.js';
import { type Random, randomOf } from './random.js';

export const CLIENTS = 3;
const FENCES = [1, 2];

export type Step = { readonly client: number } & (
  | { readonly op: 'set'; readonly path: string; readonly data: unknown; readonly options: Readonly<Record<string, unknown>> }
  | { readonly op: 'increment'; readonly path: string; readonly gauge: string; readonly by: number }
  | { readonly op: 'get'; readonly path: string }
  | { readonly op: 'getPaths'; readonly path: string }
  | { readonly op: 'search'; readonly path: string; readonly options: Readonly<Record<string, unknown>> }
  | { readonly op: 'count'; readonly path: string; readonly options: Readonly<Record<string, unknown>> }
  | { readonly op: 'remove'; readonly path: string; readonly options: Readonly<Record<string, unknown>> }
  | { readonly op: 'on'; readonly name: number; readonly path: string; readonly options: Readonly<Record<string, unknown>> }
  /** `name` is that of an `on`; nothing is done when there is none. */
  | { readonly op: 'off'; readonly name: number }
  | { readonly op: 'offPath'; readonly path: string }
  | { readonly op: 'offAll' }
);

/** What one step showed: the answer or refusal, and what each listener heard, by the name of its `on`. */
export interface Note {
  readonly answer: unknown;
  readonly heard: readonly Event[];
}

export interface Event {
  readonly listener: number;
  readonly data: unknown;
  readonly meta: Readonly<Record<string, unknown>>;
}

const NAMES = ['a', 'b', 'a/b', 'a/c', 'a/b/c', 'b/c/d', 'a//b', 'a/', 'ab', 'A', 'x y', 'a@b', 'c/1/2/3/4/5/6'] as const;
const QUERIES = ['*', 'a*', 'a/*', '*/b', '*b*', 'a/*/c', 'b/**', 'none/*', '*/'] as const;
/** The topic of everything: not below the program's root. */
const EVERYTHING = 'everything';
const TOPICS = [...NAMES, EVERYTHING, '*', 'a/*', '*/c', 'a/*/c', 'a*', '**', 'b/**', '*/*', '*/b/*'] as const;
const CRITERIA = [
  { n: 1 },
  { n: { $gte: 2 } },
  { n: { $in: [1, 3] } },
  { text: { $regex: '^o' } },
  { $or: [{ n: 1 }, { text: 'two' }] },
  { 'deep.x': 1 },
  { n: { $exists: true } },
  { $and: [{ n: { $gt: 0 } }, { n: { $lt: 3 } }] },
] as const;

function pick<T>(random: Random, from: readonly T[]): T {
  return from[random(from.length)] as T;
}

function data(random: Random): unknown {
  const n = random(4);
  const objects = [
    { n },
    { n, text: pick(random, ['one', 'two', 'other']) },
    { text: 'ü\u2028', list: [n, { n }] },
    { deep: { x: n } },
    {},
  ];
  return random(4) > 0 ? pick(random, objects) : pick(random, [n, `text ${n}`, true, false, null, '', [], [n, 'two', null]]);
}

function maybe(random: Random, options: Record<string, unknown>, chances: Readonly<Record<string, readonly [of: number, value: unknown]>>) {
  for (const [name, [of, value]] of Object.entries(chances)) if (random(of) === 0) options[name] = value;
  return options;
}

function step(random: Random, name: number): Step {
  const client = random(CLIENTS);
  const kind = random(100);
  if (kind < 38) return { client, op: 'set', path: pick(random, NAMES), data: data(random), options: setOptions(random) };
  if (kind < 42)
    return {
      client,
      op: 'increment',
      path: pick(random, ['count/a', 'count/b']),
      gauge: pick(random, ['counter', 'g']),
      by: random(5) - 2,
    };
  if (kind < 50) return { client, op: 'get', path: pick(random, random(2) ? NAMES : QUERIES) };
  if (kind < 53) return { client, op: 'getPaths', path: pick(random, QUERIES) };
  if (kind < 58) return { client, op: 'search', path: pick(random, QUERIES), options: searchOptions(random) };
  if (kind < 60)
    return {
      client,
      op: 'count',
      path: pick(random, random(3) ? QUERIES : NAMES),
      options: maybe(random, {}, { criteria: [2, pick(random, CRITERIA)] }),
    };
  if (kind < 69)
    return {
      client,
      op: 'remove',
      path: pick(random, random(4) ? NAMES : QUERIES),
      options: maybe(random, {}, { noPublish: [8, true], meta: [6, { why: 'old' }] }),
    };
  if (kind < 88) return on(random, client, name);
  if (kind < 96) return { client, op: 'off', name: random(name + 1) };
  if (kind < 98) return { client, op: 'offPath', path: pick(random, TOPICS) };
  return { client, op: 'offAll' };
}

function on(random: Random, client: number, name: number): Step {
  const path = pick(random, TOPICS);
  const options = onOptions(random);
  if (path !== EVERYTHING) return { client, op: 'on', name, path, options };
  // Initial values would be those of other programs, too; what is counted is not the same, for the genuine server sends more.
  const { initialCallback: _, initialEmit: __, count: ___, ...rest } = options;
  return { client, op: 'on', name, path, options: rest };
}

function setOptions(random: Random): Record<string, unknown> {
  return maybe(
    random,
    {},
    {
      merge: [3, true],
      noStore: [7, true],
      noPublish: [8, true],
      meta: [6, { mine: random(3), path: 'forged' }],
      consistency: [6, 2],
      noDataResponse: [10, true],
    },
  );
}

function searchOptions(random: Random): Record<string, unknown> {
  const inner = maybe(random, {}, { limit: [3, 1 + random(3)], skip: [4, random(3)] });
  return maybe(random, { options: { sort: { path: pick(random, [1, -1]) }, ...inner } }, { criteria: [2, pick(random, CRITERIA)] });
}

function onOptions(random: Random): Record<string, unknown> {
  const options = { event_type: pick(random, ['all', 'set', 'remove']) };
  return maybe(random, options, { initialCallback: [5, true], initialEmit: [7, true], merge: [6, true], count: [10, 1 + random(2)] });
}

export function program(seed: number, length: number): Step[] {
  const random = randomOf(seed);
  return Array.from({ length }, (_, name) => step(random, name));
}

/** Data that no store or client touches afterwards, without what the client adds. */
function plain(value: unknown): unknown {
  if (value === undefined) return undefined;
  const copy = JSON.parse(JSON.stringify(value)) as unknown;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof copy !== 'object' || copy === null) return copy;
  const { _meta: _, ...rest } = copy as Record<string, unknown>;
  return rest;
}

function times(meta: Record<string, unknown>): string {
  const { created, modified } = meta;
  if (typeof created !== 'number' || typeof modified !== 'number') return created === undefined && modified === undefined ? 'none' : 'odd';
  return created <= modified ? 'both' : 'odd';
}

/** Where the program's paths begin is taken away, so that each run has a place of its own. */
function local(text: unknown, root: string): unknown {
  return typeof text === 'string' ? text.replaceAll(root, '') : text;
}

function metaOf(meta: Meta | undefined, root: string, ids: readonly string[]): Record<string, unknown> {
  if (meta === undefined) return { meta: 'none' };
  const { path, channel, action, type, status, published, consistency, depth, sessionId, mine, why } = meta as Record<string, unknown>;
  const shown = {
    path: local(path, root),
    channel: local(channel, root),
    action: local(action, root),
    type,
    status,
    published,
    consistency,
    depth,
    mine,
    why,
  };
  return JSON.parse(
    JSON.stringify({ ...shown, from: ids.indexOf(String(sessionId)), times: times(meta as Record<string, unknown>) }),
  ) as Record<string, unknown>;
}

/** One server, its clients, and the listeners of the program that runs. */
export class Runner {
  #listeners = new Map<number, { client: number; handle: unknown }>();
  #heard: Event[] = [];
  readonly #ids: readonly string[];

  constructor(readonly clients: readonly HappnClient[]) {
    this.#ids = clients.map(({ raw }) => (raw.session as unknown as { id: string }).id);
  }

  /** Runs the program below `root`, which ends without a slash. */
  async run(steps: readonly Step[], root: string): Promise<Note[]> {
    const notes: Note[] = [];
    for (const one of steps) {
      const answer = await this.#do(one, root).catch((error: Error & { code?: number }) => {
        const { name, message, code } = typeof error === 'string' ? { name: 'Error', message: error, code: undefined } : error;
        return { refused: { name, message: local(message, root), code } };
      });
      // What the gateway published before comes before the answer to this. The genuine server may take one turn more.
      for (const _ of FENCES) await Promise.all(this.clients.map((client) => client.get('fence')));
      notes.push({ answer, heard: this.#heard });
      this.#heard = [];
    }
    await Promise.all(this.clients.map((client) => call(client.raw, 'offAll')));
    this.#listeners = new Map();
    return notes;
  }

  async #do(one: Step, root: string): Promise<unknown> {
    const client = this.clients[one.client] as HappnClient;
    const path = !('path' in one) ? '' : one.path === EVERYTHING ? '*' : `${root}/${one.path}`;
    const options = structuredClone('options' in one ? one.options : {});
    if (one.op === 'set') return this.#shown(await client.set(path, one.data, options), root);
    if (one.op === 'increment') return this.#shown(await client.set(path, one.gauge, { increment: one.by }), root);
    if (one.op === 'get' || one.op === 'search') return this.#shown(await client.get(path, options), root);
    if (one.op === 'getPaths' || one.op === 'count') return this.#shown(await call(client.raw, one.op, path, options), root);
    if (one.op === 'remove') return this.#shown(await client.remove(path, options), root);
    if (one.op === 'on') return await this.#on(client, one.client, one.name, path, options, root);
    if (one.op === 'offPath') return (await client.offPath(path)) ?? 'off';
    if (one.op === 'offAll') return (await call(client.raw, 'offAll')) ?? 'off';
    const listener = this.#listeners.get(one.name);
    if (listener === undefined) return 'no listener';
    await (this.clients[listener.client] as HappnClient).off(listener.handle);
    return 'off';
  }

  async #on(client: HappnClient, index: number, name: number, path: string, options: object, root: string): Promise<unknown> {
    const handler = (data: unknown, meta?: Meta): void => {
      const initial = meta === undefined;
      const own = initial ? (data as { _meta?: Meta })._meta : meta;
      this.#heard.push({ listener: name, data: plain(data), meta: { ...metaOf(own, root, this.#ids), ...(initial ? { initial } : {}) } });
    };
    const [handle, response] = await new Promise<unknown[]>((resolve, reject) => {
      const done = (error: unknown, ...rest: unknown[]): void => (error ? reject(error) : resolve(rest));
      const on = client.raw.on as (...args: unknown[]) => unknown;
      void on.call(client.raw, path, options, handler, done);
    });
    this.#listeners.set(name, { client: index, handle });
    return { subscribed: this.#shown(response, root) };
  }

  #shown(answer: unknown, root: string): unknown {
    if (Array.isArray(answer)) return answer.map((item) => this.#shown(item, root));
    if (answer === null || typeof answer !== 'object') return answer;
    const { _meta } = answer as { _meta?: Meta };
    return { data: plain(answer), meta: metaOf(_meta, root, this.#ids) };
  }
}
