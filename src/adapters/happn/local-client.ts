// The in-process client: the methods of the happn client library as promises, for the program that the gateway lives in.
// Keeps its listeners; what it asks goes through its session like the requests of any other client.

import { type ConnectionError, parsePattern } from '../../core/index.js';
import { disconnectReason } from './codec.js';
import type { LocalListener } from './local-listener.js';
import type { LocalSession } from './local-session.js';

/** A body with the meta that came with it. Its receiver's own copy: nobody else sees what is done to it. */
export type LocalDocument = { [key: string]: unknown; _meta?: LocalMeta };

/** What is known of an answer, a record or an event, as happn clients know it. */
export interface LocalMeta {
  readonly path?: string;
  /** Milliseconds since 1970; absent for what was not stored. */
  readonly created?: number;
  readonly modified?: number;
  /** Events: the subscription it came by, and `/SET@<path>` or `/REMOVE@<path>`. */
  readonly channel?: string;
  readonly action?: string;
  /** Events: the session that caused it. Answers: the client's own. */
  readonly sessionId?: string;
  readonly publicationId?: string;
  readonly [key: string]: unknown;
}

export interface LocalSetOptions {
  /** Keys of the data replace those of the record, the others stay. */
  readonly merge?: boolean;
  /** An event only: nothing is stored. */
  readonly noStore?: boolean;
  /** Nobody hears of it. */
  readonly noPublish?: boolean;
  readonly noDataResponse?: boolean;
  /** Only these sessions hear of it. */
  readonly targetClients?: readonly string[];
  /** Shown to listeners beside the meta of the event, not stored. */
  readonly meta?: { readonly [key: string]: unknown };
  /** 0 queued, 1 deferred, 2 transactional (default), 3 acknowledged. */
  readonly consistency?: 0 | 1 | 2 | 3;
  readonly publishResults?: boolean;
  /** Consistency 1 and 3: called once with who got it, or with an error. */
  readonly onPublished?: (error: Error | null, results?: { readonly [name: string]: unknown }) => void;
  /** Milliseconds; the promise rejects after them. Absent: no limit. */
  readonly timeout?: number;
  readonly [option: string]: unknown;
}

/** `criteria`, `fields`, `sort`, `options: {limit, skip, …}` as in happn. */
export interface LocalGetOptions {
  readonly timeout?: number;
  readonly [option: string]: unknown;
}

export interface LocalOnOptions {
  /** `set`, `remove` or `all` (default). */
  readonly event_type?: string;
  /** Calls after which the listener ends; 0 (default): it does not. */
  readonly count?: number;
  /** For paths that end in `**`: levels below; 5 when absent. */
  readonly depth?: number;
  /** The request's own data instead of the record. */
  readonly merge?: boolean;
  /** The handler is called with every record that is there, before any event. */
  readonly initialEmit?: boolean;
  /** Called once with the records that are there, oldest change first, before any event. */
  readonly initialCallback?: boolean | ((records: LocalDocument[]) => void);
  readonly [option: string]: unknown;
}

/** `data` is the handler's own copy. `meta` is undefined for values of `initialEmit`. What it throws is logged, and ends nothing. */
export type LocalHandler = (data: LocalDocument, meta: LocalMeta) => unknown;

/** Of what happens to the client itself. */
export type LocalEventHandler = (data: unknown) => void;

/** Errors that promises reject with have the names, texts and codes that happn clients see. */
export interface LocalClientError extends Error {
  readonly code?: number;
}

interface Kept {
  readonly path: string;
  readonly listener: LocalListener;
}

/** Made by `gateway.localClient()`; ends with `disconnect` or with the gateway. */
export class LocalClient {
  readonly #session: LocalSession;
  readonly #listeners = new Map<number, Kept>();
  #nextListener = 0;
  readonly #eventHandlers = new Map<string, LocalEventHandler>();
  #nextEvent = 0;

  constructor(session: LocalSession) {
    this.#session = session;
    session.onEnded = (error) => this.#onEnded(error);
  }

  get session(): { readonly id: string; readonly protocol: string } {
    return { id: this.#session.id, protocol: this.#session.version.protocol };
  }

  /** False once the client or the gateway has ended. */
  get connected(): boolean {
    return !this.#session.closed;
  }

  /** Resolves with the record as stored, its meta as `_meta`. */
  set(path: string, data?: unknown, options?: LocalSetOptions): Promise<LocalDocument> {
    return this.#session.request('set', path, data, options) as Promise<LocalDocument>;
  }

  /** A `set` that changes the given keys of the record only. */
  merge(path: string, data: unknown, options: LocalSetOptions = {}): Promise<LocalDocument> {
    return this.set(path, data, { ...options, merge: true });
  }

  /** Stores at a new path below the given one; `_meta.path` names it. */
  setSibling(path: string, data: unknown, options: LocalSetOptions = {}): Promise<LocalDocument> {
    return this.set(path, data, { ...options, set_type: 'sibling' });
  }

  /** An event that is not stored. */
  publish(path: string, data?: unknown, options: LocalSetOptions = {}): Promise<LocalDocument> {
    return this.set(path, data, { ...options, noStore: true, noDataResponse: true });
  }

  /** Adds to a counter of the record; resolves with its new value. */
  increment(path: string, gauge = 'counter', by = 1, options: LocalSetOptions = {}): Promise<LocalDocument> {
    return this.set(path, gauge, { ...options, increment: by });
  }

  /** A record or null; with a wildcard in the path a list. */
  get(path: string, options?: LocalGetOptions): Promise<LocalDocument | LocalDocument[] | null> {
    return this.#session.request('get', path, null, options) as Promise<LocalDocument | LocalDocument[] | null>;
  }

  /** The records that were created from `from` to `to` (milliseconds since 1970, both included). */
  async getCreatedBetween(path: string, from: number, to: number): Promise<LocalDocument | LocalDocument[] | null> {
    if (Number.isNaN(Number(from))) throw new Error('from is null or not a timestamp');
    if (Number.isNaN(Number(to))) throw new Error('to is null or not a timestamp');
    return this.get(path, { criteria: { $and: [{ '_meta.created': { $gte: from } }, { '_meta.created': { $lte: to } }] } });
  }

  /** The paths alone, each as `{_meta: {path}}`. */
  getPaths(path: string, options: LocalGetOptions = {}): Promise<LocalDocument | LocalDocument[] | null> {
    return this.get(path, { ...options, options: { path_only: true } });
  }

  /** Resolves with `{value: <number of records>}`. */
  count(path: string, options?: LocalGetOptions): Promise<LocalDocument> {
    return this.#session.request('count', path, null, options) as Promise<LocalDocument>;
  }

  /** Resolves with `{removed: <number of records>}`. */
  remove(path: string, options?: LocalSetOptions & LocalGetOptions): Promise<LocalDocument> {
    return this.#session.request('remove', path, null, options) as Promise<LocalDocument>;
  }

  /** Resolves, once it listens, with the handle that `off` takes. */
  on(path: string, handler: LocalHandler): Promise<number>;
  on(path: string, options: LocalOnOptions | null | undefined, handler: LocalHandler): Promise<number>;
  async on(path: string, second: LocalHandler | LocalOnOptions | null | undefined, third?: LocalHandler): Promise<number> {
    const options = typeof second === 'function' ? {} : (second ?? {});
    const handler = typeof second === 'function' ? second : third;
    if (typeof handler !== 'function') throw new Error('you cannot subscribe without a handler');
    const handle = this.#nextListener++;
    const ended = (): void => void this.#listeners.delete(handle);
    const listener = this.#session.listener(path, options, handler, ended);
    this.#listeners.set(handle, { path, listener });
    try {
      await this.#session.listen(listener);
    } catch (error) {
      ended();
      throw error;
    }
    return handle;
  }

  /** As `on`, for one event. */
  once(path: string, handler: LocalHandler): Promise<number>;
  once(path: string, options: LocalOnOptions | null | undefined, handler: LocalHandler): Promise<number>;
  once(path: string, second: LocalHandler | LocalOnOptions | null | undefined, third?: LocalHandler): Promise<number> {
    if (typeof second === 'function') return this.on(path, { count: 1 }, second);
    return this.on(path, { ...second, count: 1 }, third as LocalHandler);
  }

  /** Everything that happens. */
  onAll(handler: LocalHandler): Promise<number> {
    return this.on('*', {}, handler);
  }

  /** Ends one listener; one that is not there any more is no fault. */
  async off(handle: number): Promise<void> {
    if (handle === null || handle === undefined) throw new Error('handle cannot be null');
    if (typeof handle !== 'number') throw new Error('handle must be a number');
    const kept = this.#listeners.get(handle);
    if (kept === undefined) return;
    this.#listeners.delete(handle);
    await this.#session.unlisten(kept.listener);
  }

  /** Ends the listeners on every path that the pattern covers, `*` being any characters. */
  async offPath(path = '*'): Promise<void> {
    const pattern = parsePattern(path, 'glob');
    const handles = [...this.#listeners].filter(([, kept]) => kept.path === path || pattern.matches(kept.path)).map(([handle]) => handle);
    await Promise.all(handles.map((handle) => this.off(handle)));
  }

  async offAll(): Promise<void> {
    await Promise.all([...this.#listeners.keys()].map((handle) => this.off(handle)));
  }

  /**
   * `connection-ended`: the client has ended, other than by `disconnect`; the handler gets the id of its session. `session-ended`, before
   * that: the gateway ended it for good; the handler gets `{reason}`. Returns what `offEvent` takes.
   */
  onEvent(name: string, handler: LocalEventHandler): string {
    if (!name) throw new Error('event name cannot be blank or null');
    if (typeof handler !== 'function') throw new Error('event handler must be a function');
    const id = `${name}|${this.#nextEvent++}`;
    this.#eventHandlers.set(id, handler);
    return id;
  }

  offEvent(id: string): void {
    this.#eventHandlers.delete(id);
  }

  #onEnded(error: ConnectionError | null): void {
    this.#listeners.clear();
    if (error === null) return;
    if (!error.reconnect) this.#emit('session-ended', { reason: disconnectReason(error) });
    this.#emit('connection-ended', this.session.id);
  }

  #emit(name: string, data: unknown): void {
    for (const [id, handler] of [...this.#eventHandlers]) {
      if (!id.startsWith(`${name}|`)) continue;
      try {
        handler(data);
      } catch (error) {
        this.#session.handlerFailed(error);
      }
    }
  }

  /** Ends the client: what is in flight is rejected, though it may still be done. Harmless again. */
  async disconnect(): Promise<void> {
    this.#session.close(null);
  }
}
