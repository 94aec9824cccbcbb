// The unmodified happn clients of every protocol generation, each loaded from a folder with its own lock file,
// behind one promise-based face: what the tests ask of them is the same, how they are asked differs.

import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';

export interface Meta {
  readonly path: string;
  readonly channel: string;
  readonly created?: number;
  readonly modified?: number;
  readonly [key: string]: unknown;
}

export interface Heard {
  readonly data: Record<string, unknown> & { _meta?: Meta };
  readonly meta: Meta;
}

export interface HappnClient {
  set(path: string, data: unknown, options?: object): Promise<Record<string, unknown>>;
  get(path: string, options?: object): Promise<unknown>;
  remove(path: string, options?: object): Promise<Record<string, unknown>>;
  /** Resolves with what `off` takes. */
  on(path: string, options: object, handler: (heard: Heard) => void): Promise<unknown>;
  off(handle: unknown): Promise<void>;
  offPath(path: string): Promise<void>;
  disconnect(): Promise<void>;
  /** Counts how often the client says that it came back. */
  readonly reconnects: () => number;
  /** The client itself, for what the face does not have. */
  readonly raw: RawClient;
}

export interface Generation {
  readonly name: string;
  /** Brings the library into the process, which takes a second or more: what times a connection loads it before. */
  readonly load: () => void;
  /** Wildcards of subscriptions: `*` as any characters, or as one whole segment. */
  readonly wildcards: 'glob' | 'segments';
  /** A pair as programs of its time make it, with the package that the client signs with. */
  readonly keyPair: () => KeyPair;
  /** `info` is what the client tells about itself when it logs in. */
  readonly connect: (port: number, info?: object, heartbeats?: Heartbeats, login?: Login) => Promise<HappnClient>;
}

export interface KeyPair {
  readonly publicKey: string;
  readonly privateKey: string;
}

/** What a client shows of who it is. */
export interface Login {
  readonly username?: string;
  readonly password?: string;
  readonly token?: string;
  /** For a login by signature: in PEM form, or in base64 until version 11. */
  readonly publicKey?: string;
  readonly privateKey?: string;
  readonly loginType?: 'digest';
}

export interface Heartbeats {
  /** Between those that the client sends, if it is one that does. */
  readonly everyMs: number;
  /** It gives up a connection without a sign of life for so long. */
  readonly patienceMs: number;
}

/** Options of the connection: until version 8 clients send heartbeats, from 10 on they expect them. */
function socketOptions(sends: boolean, heartbeats: Heartbeats | undefined): object {
  if (heartbeats === undefined) return {};
  const { everyMs, patienceMs } = heartbeats;
  return sends ? { ping: everyMs, pong: patienceMs } : { pingTimeout: patienceMs };
}

/** Clients of version 3 would try a refused login four times, five seconds apart. */
function secured(login: Login | undefined): object {
  return login === undefined ? {} : { secure: true, loginRetry: 0, ...login };
}

/** The connection below a client, as the library of its time shows it. */
export interface Connection {
  readonly readyState: number;
  readonly recovery: { reconnecting(): boolean };
  readonly socket: { readonly _socket: Socket };
  on(event: string, handler: () => void): void;
}

export function connectionOf({ raw }: HappnClient): Connection {
  return (raw.socket ?? raw.pubsub) as unknown as Connection;
}

type Callback = (error: unknown, result?: unknown) => void;
type Raw = Record<string, (...args: unknown[]) => unknown>;
export type RawClient = Raw;

const clients = createRequire(fileURLToPath(new URL('../clients/', import.meta.url)));

interface Library {
  readonly client: { create: (options: object, callback?: Callback) => Promise<Raw> };
}

/** A package of one of the folders below test/clients. */
export function load(folder: string, name: string): unknown {
  const require = createRequire(clients.resolve(`./${folder}/package.json`));
  return require(name);
}

/** From the package that a client in one of the folders signs with. Of what packages of different folders need, only one may be loaded. */
function keyPair(folder: string, client: string): KeyPair {
  delete (globalThis as { _bitcore?: unknown })._bitcore;
  const Crypto = createRequire(clients.resolve(`./${folder}/node_modules/${client}/package.json`))('happn-util-crypto') as new () => {
    createKeyPair(): KeyPair;
  };
  return new Crypto().createKeyPair();
}

/** One promise around one call with a callback at its end. */
export function call<T>(client: Raw, method: string, ...args: unknown[]): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const done: Callback = (error, result) => (error ? reject(error) : resolve(result as T));
    (client[method] as (...all: unknown[]) => unknown).call(client, ...args, done);
  });
}

function face(client: Raw, reconnected: string): HappnClient {
  let count = 0;
  (client.onEvent as (name: string, handler: () => void) => void).call(client, reconnected, () => {
    count += 1;
  });
  return {
    set: (path, data, options = {}) => call(client, 'set', path, data, options),
    get: (path, options = {}) => call(client, 'get', path, options),
    remove: (path, options = {}) => call(client, 'remove', path, options),
    on: (path, options, handler) => {
      const heard = (data: Heard['data'], meta: Meta): void => handler({ data, meta });
      return call(client, 'on', path, options, heard);
    },
    off: (handle) => call(client, 'off', handle),
    offPath: (path) => call(client, 'offPath', path),
    disconnect: () => call(client, 'disconnect', {}),
    reconnects: () => count,
    raw: client,
  };
}

function happn3(name: string, wildcards: Generation['wildcards'], sendsHeartbeats: boolean): Generation {
  return {
    name,
    load: () => void load('happn3', name),
    wildcards,
    keyPair: () => keyPair('happn3', name),
    connect: async (port, info = {}, heartbeats, login) => {
      const library = load('happn3', name) as Library;
      const socket = socketOptions(sendsHeartbeats, heartbeats);
      const options = { host: '127.0.0.1', port, info, socket, ...secured(login) };
      const client = await new Promise<Raw>((resolve, reject) => {
        const done: Callback = (error, made) => (error ? reject(error) : resolve(made as Raw));
        const made = library.client.create({ ...options, config: options }, done) as unknown;
        if (made instanceof Promise) made.catch(reject);
      });
      return face(client, 'reconnect-successful');
    },
  };
}

function happn2(): Generation {
  return {
    name: 'happn 2.21.4',
    load: () => void load('happn2', 'happn'),
    wildcards: 'glob',
    keyPair: () => keyPair('happn2', 'happn'),
    connect: async (port, info = {}, heartbeats, login) => {
      const library = load('happn2', 'happn') as Library;
      const options = socketOptions(true, heartbeats);
      const client = await new Promise<Raw>((resolve, reject) => {
        const done: Callback = (error, made) => (error ? reject(error) : resolve(made as Raw));
        void library.client.create({ info, config: { host: '127.0.0.1', port, info, pubsub: { options }, ...secured(login) } }, done);
      });
      return face(client, 'reconnect-successful');
    },
  };
}

export const GENERATIONS: readonly Generation[] = [
  happn2(),
  happn3('happn-3-v3', 'glob', true),
  happn3('happn-3-v7', 'glob', true),
  happn3('happn-3-v8', 'segments', true),
  happn3('happn-3-v10', 'segments', false),
  happn3('happn-3-v13', 'segments', false),
];
