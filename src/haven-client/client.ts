// HavenClient: the operations on a Haven gateway. Re-establishes a lost connection by itself, and its watches with it.

import { setTimeout as after } from 'node:timers/promises';
import { Connection, type ConnectionOptions } from './connection.js';
import { EventQueue, type EventSource } from './event-queue.js';
import {
  type Become,
  type Found,
  HavenError,
  type HavenLocation,
  type HavenOptions,
  type HavenValue,
  type Hello,
  type Items,
  type Operation,
  type ReadOptions,
  type ResyncReason,
  type Watch,
  type WatchEvent,
  type WatchOptions,
  type WriteOptions,
  type Written,
} from './types.js';
import type { Answer } from './wire.js';

const DEFAULT_PORT = 7_854;
const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 5_000;

/** What a gateway refuses now, and may take later. */
const PASSING: ReadonlySet<string> = new Set(['OVERLOADED', 'TIMEOUT', 'INTERNAL']);

const PING = { action: 'heartbeat', type: 'ping' };

/** How a watch begins: after a revision, or with the current records; `reason` tells a reader that knew others why. */
interface Begin {
  readonly since: number | null;
  readonly initial: boolean;
  readonly reason: ResyncReason | null;
}

/** Resolves with a connected client. Rejects with HavenError: CONNECTION_LOST, TIMEOUT, or the gateway's refusal. */
export async function connect(options: HavenOptions = {}): Promise<HavenClient> {
  const client = new HavenClient(options);
  await client.opened;
  return client;
}

/** Every method rejects with HavenError. Requests made without waiting for each other are answered in order. */
export class HavenClient implements EventSource {
  readonly #options: ConnectionOptions;
  readonly #reconnect: boolean;
  readonly #watchMaxEvents: number;
  readonly #queues = new Set<EventQueue>();
  /** Of the present connection. */
  #byId = new Map<number, EventQueue>();
  #connection: Connection | null = null;
  /** Of the gateway whose revisions the queues know. */
  #node: string | null = null;
  #opening: Promise<Connection>;
  readonly #closing = new AbortController();

  /** Use `connect`. */
  constructor(options: HavenOptions) {
    const { host = '127.0.0.1', port = DEFAULT_PORT, credentials = null, heartbeatMs = 30_000, timeoutMs = 30_000 } = options;
    this.#reconnect = options.reconnect ?? true;
    this.#watchMaxEvents = options.watchMaxEvents ?? 10_000;
    const onPushed = (events: readonly Answer[]): void => this.#onPushed(events);
    const onRevision = (revision: number): void => this.#onRevision(revision);
    this.#options = { host, port, credentials, heartbeatMs, timeoutMs, onPushed, onRevision, onLost: () => this.#onLost() };
    this.#opening = this.#open();
  }

  /** Resolves when the client is connected. */
  get opened(): Promise<unknown> {
    return this.#opening;
  }

  /** How the gateway introduced itself; null while there is no connection. */
  get hello(): Hello | null {
    return this.#connection?.hello ?? null;
  }

  // ---------------------------------------------------------------- data

  /** Rejects with CONFLICT if the record exists. */
  create(path: string, value: HavenValue, options: Pick<WriteOptions, 'meta'> = {}): Promise<Written> {
    return this.#query('create', { path, value, ...options });
  }

  write(path: string, value: HavenValue, options: WriteOptions = {}): Promise<Written> {
    return this.#query('write', { path, value, ...options });
  }

  /** Rejects with NOT_FOUND if there is no record. */
  update(path: string, value: HavenValue, options: WriteOptions = {}): Promise<Written> {
    return this.#query('update', { path, value, ...options });
  }

  /**
   * The record; null if there is none, or it does not meet the criteria. `at` reads the past: OUT_OF_HISTORY if the gateway no longer
   * knows it, UNSUPPORTED if it keeps no history of the path.
   */
  async read(path: string, options: Pick<ReadOptions, 'criteria' | 'fields' | 'at'> = {}): Promise<Found | null> {
    if (hasWildcard(path)) throw new HavenError('INVALID_PATH', 11, 'read takes one path; list takes patterns');
    try {
      return await this.#query<Found>('read', { path, ...asked(options) });
    } catch (error) {
      if (error instanceof HavenError && error.name === 'NOT_FOUND') return null;
      throw error;
    }
  }

  /** The records that match a pattern (`*` is any run of characters), ordered by path unless sorted. `at`: as in `read`. */
  async list(pattern: string, options: ReadOptions = {}): Promise<Items> {
    if (!hasWildcard(pattern)) throw new HavenError('INVALID_PATH', 11, 'list takes a pattern; read takes one path');
    const { items, more = false } = await this.#query<Partial<Items>>('read', { path: pattern, ...asked(options) });
    return { items: items as Items['items'], more };
  }

  /** Removes a record, or with `*` all that match; resolves with how many. */
  async delete(path: string, options: { readonly expect?: number; readonly criteria?: object } = {}): Promise<number> {
    return (await this.#query<{ removed: number }>('delete', { path, ...options })).removed;
  }

  /** Executes all operations or none; resolves with the revision of each record, 0 where there is none. An error names its `op`. */
  async transaction(ops: readonly Operation[]): Promise<readonly number[]> {
    return (await this.#query<{ revisions: readonly number[] }>('transaction', { ops })).revisions;
  }

  async #query<T>(type: string, fields: object): Promise<T> {
    const { result: _good, ...said } = await this.#ask({ action: 'query', type, ...fields });
    return said as unknown as T;
  }

  // ---------------------------------------------------------------- watches

  /**
   * The changes of a path or pattern from now on. Events missed while the connection is lost, or while too many events wait, follow if
   * the gateway keeps enough history; else a `resync` comes, followed by the current records.
   */
  async watch(path: string, options: WatchOptions = {}): Promise<Watch> {
    const { since, initial = false } = options;
    const queue = new EventQueue(path, this.#watchMaxEvents, this);
    const begin: Begin = { since: since ?? null, initial: initial || since !== undefined, reason: since === undefined ? null : 'missed' };
    await this.#begin(queue, begin, (message, onAnswer) => this.#ask(message, onAnswer));
    return queue;
  }

  /** The events of a watch may stand right behind its answer, so its number is noted before anything else happens. */
  async #begin(queue: EventQueue, { since, initial, reason }: Begin, ask: Connection['ask']): Promise<void> {
    const message = { action: 'query', type: 'watch', path: queue.path, push: true, initial, ...(since === null ? {} : { since }) };
    await ask(message, ({ watch, revision, missed }) => {
      if (queue.isOver) return this.#unwatchSoon(watch as number);
      queue.id = watch as number;
      this.#queues.add(queue);
      this.#byId.set(queue.id, queue);
      if (since !== null && missed !== true && typeof revision === 'number') {
        queue.position = since;
        return;
      }
      if (reason !== null) queue.resync(reason);
      if (initial) this.#beginRecords(queue, revision as number);
      else if (typeof revision === 'number') queue.position = revision;
    });
  }

  /** The pong comes behind the records, which are those of this revision or later. */
  #beginRecords(queue: EventQueue, revision: number): void {
    const { id } = queue;
    const begun = (): void => {
      if (queue.id === id && this.#byId.get(id) === queue) queue.reached(revision);
    };
    this.#connection?.ask(PING).then(begun, nobodyWaits);
  }

  rewatch(queue: EventQueue): void {
    const connection = this.#connection;
    const { id } = queue;
    // With a new connection it begins anew anyway.
    if (connection === null || !this.#byId.delete(id)) return;
    queue.id = 0;
    this.#unwatchSoon(id);
    this.#beginAgain(queue, 'overflow', connection);
  }

  #unwatchSoon(id: number): void {
    this.#connection?.ask(unwatching(id)).catch(nobodyWaits);
  }

  async unwatch(queue: EventQueue): Promise<void> {
    const { id } = queue;
    this.#queues.delete(queue);
    if (this.#byId.delete(id)) await this.#connection?.ask(unwatching(id)).catch(ignoreGone);
  }

  #onPushed(events: readonly Answer[]): void {
    for (const { watch, ...event } of events) this.#byId.get(watch as number)?.push(event as unknown as WatchEvent);
  }

  #onRevision(revision: number): void {
    for (const queue of this.#byId.values()) queue.reached(revision);
  }

  // ---------------------------------------------------------------- node

  /** Gives the node a role or takes it away (CONTROL); resolves with the uuid of the node or quorum. */
  async become(type: string, options: Become = {}): Promise<string> {
    return (await this.#ask({ action: 'become', type, ...options })).uuid as string;
  }

  /** Resolves with null if there is no such location, node or quorum. */
  async discover(
    type: 'uuid' | 'location' | 'quorum',
    options: { readonly path?: string; readonly uuid?: string } = {},
  ): Promise<HavenLocation | null> {
    try {
      return (await this.#ask({ action: 'discover', type, ...options })).location as HavenLocation;
    } catch (error) {
      if (error instanceof HavenError && error.name === 'NOT_FOUND') return null;
      throw error;
    }
  }

  /** The state of the node. (The heartbeats that keep the session alive are sent automatically.) */
  async state(): Promise<{ readonly [field: string]: unknown }> {
    return (await this.#ask(PING)).state as { readonly [field: string]: unknown };
  }

  // ---------------------------------------------------------------- the connection

  /** Ends the watches and the connection. Unanswered requests reject with CONNECTION_LOST. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const queue of this.#queues) queue.end(null);
    this.#queues.clear();
    this.#connection?.close();
    await this.#opening.then(
      (connection) => connection.close(),
      () => undefined,
    );
  }

  /** Waits for a connection if there is none. */
  async #ask(message: object, onAnswer?: (answer: Answer) => void): Promise<Answer> {
    if (this.#closing.signal.aborted) throw new HavenError('CLOSED', 0, 'the client was closed');
    const connection = this.#connection ?? (await this.#connected());
    return connection.ask(message, onAnswer);
  }

  async #connected(): Promise<Connection> {
    const patience = new AbortController();
    const tooLate = after(this.#options.timeoutMs, null, { signal: patience.signal, ref: false }).then(() => {
      throw new HavenError('TIMEOUT', 0, 'there is no connection');
    });
    try {
      return await Promise.race([this.#opening, tooLate]);
    } finally {
      tooLate.catch(() => undefined);
      patience.abort();
    }
  }

  async #open(): Promise<Connection> {
    const connection = await Connection.open(this.#options, this.#closing.signal);
    if (this.#closing.signal.aborted) {
      connection.close();
      throw new HavenError('CLOSED', 0, 'the client was closed');
    }
    this.#connection = connection;
    const { uuid } = (connection.hello as Hello).node;
    if (this.#node !== null && this.#node !== uuid) for (const queue of this.#queues) queue.position = null;
    this.#node = uuid;
    return connection;
  }

  #onLost(): void {
    this.#connection = null;
    for (const queue of this.#byId.values()) queue.id = 0;
    this.#byId = new Map();
    if (this.#closing.signal.aborted) return;
    const error = new HavenError('CONNECTION_LOST', 0, 'the connection is gone');
    this.#opening = this.#reconnect ? this.#reopen() : Promise.reject(error);
    this.#opening.catch((reason: HavenError) => {
      for (const queue of this.#queues) queue.end(reason);
      this.#queues.clear();
    });
  }

  /** Retries until there is a connection, or the gateway refuses this client. */
  async #reopen(): Promise<Connection> {
    for (let waitMs = RETRY_FIRST_MS; ; waitMs = Math.min(waitMs * 2, RETRY_MAX_MS)) {
      try {
        await after(waitMs * (0.5 + Math.random() / 2), null, { signal: this.#closing.signal });
      } catch (cause) {
        throw Object.assign(new HavenError('CLOSED', 0, 'the client was closed'), { cause });
      }
      try {
        const connection = await this.#open();
        this.#watchAgain(connection);
        return connection;
      } catch (error) {
        if (!(error instanceof HavenError) || (error.code !== 0 && !PASSING.has(error.name)) || error.name === 'CLOSED') throw error;
      }
    }
  }

  #watchAgain(connection: Connection): void {
    for (const queue of this.#queues) this.#beginAgain(queue, 'reconnected', connection);
  }

  /** Resumes after what the queue has, or starts over. */
  #beginAgain(queue: EventQueue, reason: ResyncReason, connection: Connection, retryMs = RETRY_FIRST_MS): void {
    const begin: Begin = { since: queue.position, initial: true, reason };
    this.#begin(queue, begin, (message, onAnswer) => connection.ask(message, onAnswer)).catch(async (error: HavenError) => {
      if (error.name === 'CONNECTION_LOST') return;
      if (!PASSING.has(error.name)) {
        this.#queues.delete(queue);
        queue.end(error);
        return;
      }
      await after(retryMs, null, { signal: this.#closing.signal }).catch(nobodyWaits);
      // With a new connection it begins anew anyway.
      if (queue.isOver || this.#connection !== connection) return;
      this.#beginAgain(queue, reason, connection, Math.min(retryMs * 2, RETRY_MAX_MS));
    });
  }
}

function unwatching(watch: number): object {
  return { action: 'query', type: 'unwatch', watch };
}

/** What ended with the connection, or with the right for it, needs no other end. */
function ignoreGone(error: HavenError): void {
  if (error.name !== 'CONNECTION_LOST' && error.name !== 'NOT_FOUND') throw error;
}

/** What was asked on nobody's behalf and is refused changes nothing for anybody. */
function nobodyWaits(): void {}

/** Programs without types may give anything. */
function hasWildcard(path: string): boolean {
  if (typeof path !== 'string') throw new HavenError('INVALID_PATH', 11, 'a path is text');
  return path.includes('*');
}

/** As the fields of a message. */
function asked({ at, ...options }: ReadOptions): object {
  return at === undefined ? options : { ...options, mode: 'rt', ...at };
}
