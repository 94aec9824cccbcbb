// Actions: what each command requests from the gateway, and what it prints.

import {
  type HavenClient,
  HavenError,
  type HavenMeta,
  type Item,
  type Moment,
  type Watch,
  type WatchEvent,
  type Written,
} from '../haven-client/index.js';
import type { ControlFlags, Deeds, DeleteFlags, ReadFlags, WatchFlags, WriteFlags } from './grammar.js';
import type { Printer } from './printer.js';
import { UsageError } from './usage-error.js';
import { jsonOf, mapOf, rawBytes, shownText, shownValue, valueIn } from './values.js';

/** Records that are asked for at a time. */
const PAGE = 1_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Where commands are carried out: on the command line, in a script, or at the prompt. */
export interface Place {
  /** The address, as a person writes it. */
  readonly address: string;
  /** Connects when there is no connection. Rejects with HavenError. */
  client(): Promise<HavenClient>;
  /** Has `show` called with each event, `count` of them at most. Resolves when the watch is over; at the prompt at once. */
  follow(watch: Watch, path: string, count: number, show: (event: WatchEvent) => void): Promise<void>;
  /** A remark beside the answer. */
  remark(text: string): void;
}

export class Actions implements Deeds {
  readonly #place: Place;
  readonly #printer: Printer;

  constructor(place: Place, printer: Printer) {
    this.#place = place;
    this.#printer = printer;
  }

  async connect(): Promise<void> {
    const { hello } = await this.#place.client();
    if (hello === null) throw new HavenError('CONNECTION_LOST', 0, 'the connection is gone');
    const { session, node, heartbeat } = hello;
    this.#printer.print(`connected to ${shownText(node.name)} (${node.uuid}) at ${this.#place.address}`, { session, node, heartbeat });
  }

  // ---------------------------------------------------------------- records

  async read(path: string, flags: ReadFlags): Promise<void> {
    if (path.includes('*')) return await this.#list(path, flags);
    const query = queryOf(flags);
    const client = await this.#place.client();
    const found = await client.read(path, query);
    if (found === null) throw new HavenError('NOT_FOUND', 7, `there is no such record at ${shownText(path)}`);
    if (flags.raw === true) this.#printer.write(rawBytes(found.value));
    else
      this.#printItem({ path, ...found }, flags.long === true ? `${timesOf(found)}\t${shownValue(found.value)}` : shownValue(found.value));
  }

  async #list(pattern: string, flags: ReadFlags): Promise<void> {
    if (flags.raw === true) throw new UsageError('--raw needs a path without *');
    const { limit = Number.POSITIVE_INFINITY } = flags;
    const query = queryOf(flags);
    const client = await this.#place.client();
    // What is sorted cannot be gone on with.
    const page = flags.sort === undefined ? PAGE : limit;
    let { after } = flags;
    for (let left = limit; left > 0; ) {
      const asked = Math.min(left, page);
      const { items, more } = await client.list(pattern, {
        ...query,
        ...(asked === Number.POSITIVE_INFINITY ? {} : { limit: asked }),
        ...(after === undefined ? {} : { after }),
      });
      for (const item of items) this.#printListed(item, flags.long === true);
      left -= items.length;
      if (!more) return;
      if (flags.sort !== undefined) {
        if (left > 0) this.#place.remark('there are more records; a sorted read cannot show them');
        return;
      }
      after = items.at(-1)?.path;
    }
  }

  #printListed(item: Item, long: boolean): void {
    this.#printItem(item, [shownText(item.path), ...(long ? [timesOf(item)] : []), shownValue(item.value)].join('\t'));
  }

  #printItem({ path, value, revision, created, modified, meta }: Item, forPeople: string): void {
    this.#printer.print(forPeople, { path, value, revision, created, modified, ...(meta === undefined ? {} : { meta }) });
  }

  async write(type: 'create' | 'write' | 'update', path: string, word: string, flags: WriteFlags): Promise<void> {
    const value = valueIn(word, flags.text);
    const client = await this.#place.client();
    const options = {
      ...(flags.expect === undefined ? {} : { expect: flags.expect }),
      ...(flags.merge === undefined ? {} : { merge: flags.merge }),
      ...(flags.meta === undefined ? {} : { meta: mapOf(flags.meta, '--meta') as HavenMeta }),
    };
    const { revision, created, modified } = await client[type](path, value, options);
    this.#printer.print(`revision ${revision}`, { revision, created, modified });
  }

  async delete(path: string, flags: DeleteFlags): Promise<void> {
    const options = {
      ...(flags.expect === undefined ? {} : { expect: flags.expect }),
      ...(flags.criteria === undefined ? {} : { criteria: mapOf(flags.criteria, '--criteria') }),
    };
    const client = await this.#place.client();
    const removed = await client.delete(path, options);
    this.#printer.print(`removed ${removed}`, { removed });
  }

  async transaction(word: string): Promise<void> {
    const operations = jsonOf(word, 'the operations');
    if (!Array.isArray(operations)) throw new UsageError('the operations must be a list in JSON');
    const client = await this.#place.client();
    // The gateway says what is wrong with one of them.
    const revisions = await client.transaction(operations as never);
    this.#printer.print(`revisions ${revisions.join(' ')}`, { revisions });
  }

  async watch(path: string, flags: WatchFlags): Promise<void> {
    const { initial = false, since, count = Number.POSITIVE_INFINITY } = flags;
    if (count === 0) throw new UsageError('--count must be at least 1');
    const client = await this.#place.client();
    const watch = await client.watch(path, { initial, ...(since === undefined ? {} : { since }) });
    await this.#place.follow(watch, path, count, (event) => this.#printer.print(shownEvent(event), event));
  }

  // ---------------------------------------------------------------- node

  async control(type: string, target: string | undefined, flags: ControlFlags): Promise<void> {
    const client = await this.#place.client();
    const { force } = flags;
    const uuid = await client.become(type, { ...targetOf(target, flags.uuid), ...(force === undefined ? {} : { force }) });
    this.#printer.print(`${type} ${uuid}`, { uuid });
  }

  async discover(type: string, target: string | undefined, flags: { readonly uuid?: string }): Promise<void> {
    const client = await this.#place.client();
    const location = await client.discover(type as 'uuid' | 'location' | 'quorum', targetOf(target, flags.uuid));
    if (location === null) throw new HavenError('NOT_FOUND', 7, MISSING[type as keyof typeof MISSING]);
    const { address, port, role, uuid, path } = location;
    const what = path === undefined ? '' : `\t${shownText(path)}`;
    this.#printer.print(`${address}:${port}\t${role}\t${uuid}${what}`, location);
  }

  async state(): Promise<void> {
    const client = await this.#place.client();
    const state = await client.state();
    const lines = Object.entries(state).map(([name, value]) => `${name}\t${shownValue(value)}`);
    this.#printer.print(lines.join('\n'), state);
  }
}

/** What `discover` does not find. */
const MISSING = {
  location: 'this node is no location service, and knows none',
  quorum: 'no quorum has a base key at or above this path',
  uuid: 'no node or quorum has this uuid',
} as const;

function queryOf({ criteria, fields, sort, at, revision }: ReadFlags): Query {
  const moment = momentOf(at, revision);
  return {
    ...(criteria === undefined ? {} : { criteria: mapOf(criteria, '--criteria') }),
    ...(fields === undefined ? {} : { fields: mapOf(fields, '--fields') }),
    ...(sort === undefined ? {} : { sort: mapOf(sort, '--sort') }),
    ...(moment === null ? {} : { at: moment }),
  };
}

/** null: now. */
function momentOf(at: string | undefined, revision: number | undefined): Moment | null {
  if (at === undefined) return revision === undefined ? null : { revision };
  if (revision !== undefined) throw new UsageError('--at and --revision are two moments');
  const time = /^\d{1,15}$/.test(at) ? Number(at) : Date.parse(at);
  if (Number.isNaN(time)) throw new UsageError('--at must be a date and time, or milliseconds since 1970');
  return { time };
}

interface Query {
  readonly at?: Moment;
  readonly criteria?: object;
  readonly fields?: object;
  readonly sort?: object;
}

/** What stands behind the type: base keys begin with a slash, a uuid does not. */
function targetOf(target: string | undefined, uuid: string | undefined): { path?: string; uuid?: string } {
  if (target === undefined) return uuid === undefined ? {} : { uuid };
  if (!UUID.test(target)) return uuid === undefined ? { path: target } : { path: target, uuid };
  if (uuid !== undefined) throw new UsageError('the uuid is given twice');
  return { uuid: target };
}

function timesOf({ revision, modified }: Written): string {
  return `${revision}\t${new Date(modified).toISOString()}`;
}

function shownEvent(event: WatchEvent): string {
  if (event.type === 'resync') return `resync\t${event.reason}: events were missed; the current records follow`;
  const by = event.by === '' ? '' : ` by ${shownText(event.by)}`;
  const path = shownText(event.path);
  if (event.type === 'delete') return `delete\t${path}\t(revision ${event.revision}${by})`;
  return `write\t${path}\t${shownValue(event.value)}\t(revision ${event.revision}${by})`;
}
