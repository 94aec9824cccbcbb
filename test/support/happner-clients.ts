// The unmodified clients of happner meshes behind one face: MeshClient, happner-client, and its light client.

import { type Login, load, type RawClient } from './happn-clients.js';
import { DOMAIN } from './happner-component.js';

export interface Event {
  readonly data: Record<string, unknown>;
  readonly meta: Record<string, unknown>;
}

export interface Caller {
  call(method: string, ...args: unknown[]): Promise<unknown>;
  /** On behalf of this user; rejects where the client cannot say so. */
  callAs(user: string, method: string, ...args: unknown[]): Promise<unknown>;
  /** Hears events of the component; `version`: the range that it asks for, where the client can ask. */
  on(key: string, version: string, heard: (event: Event) => void): Promise<unknown>;
  off(handle: unknown): Promise<unknown>;
  disconnect(): Promise<unknown>;
  /** Its token is no longer good. */
  logout(): Promise<unknown>;
  reconnects(): number;
  /** The happn client that it speaks through. */
  readonly data: RawClient;
}

export interface CallerKind {
  readonly name: string;
  /** Events of other versions than the wanted ones are passed over. */
  readonly choosesVersion: boolean;
  /** Which methods there are is known from the schema. */
  readonly readsSchema: boolean;
  /** `login`: where users have to log in. */
  readonly connect: (port: number, login?: Login) => Promise<Caller>;
}

type Handler = (data: Event['data'], meta: Event['meta']) => void;
type Done = (error: unknown, result?: unknown) => void;

interface Exchange {
  $call(parameters: { component: string; method: string; arguments: unknown[]; as?: string }): Promise<unknown>;
}
interface DecoupledEvents {
  $on(parameters: { component: string; path: string; version?: string }, handler: Handler): Promise<unknown>;
  $off(parameters: unknown): Promise<unknown>;
}
interface Emitter {
  on(event: string, handler: () => void): void;
}
interface MeshClient extends Emitter {
  readonly info: { readonly name: string; readonly version: string };
  readonly exchange: Exchange & Record<string, Record<string, unknown>>;
  readonly event: DecoupledEvents;
  readonly data: RawClient;
  login(credentials: object): Promise<void>;
  logout(): Promise<void>;
  disconnect(): Promise<void>;
}
interface HappnerClient extends Emitter {
  connect(options: object): Promise<unknown>;
  disconnect(): Promise<unknown>;
  logout(): Promise<unknown>;
  dataClient(): RawClient;
}
interface FullClient extends HappnerClient {
  construct(model: object): { readonly exchange: Record<string, unknown>; readonly event: Record<string, unknown> };
}
interface LightClient extends HappnerClient {
  readonly exchange: Exchange;
  readonly event: DecoupledEvents;
}

const silent = (): void => {};
const SILENT = Object.fromEntries(
  ['fatal', 'error', 'warn', 'info', 'debug', 'trace', '$$TRACE', '$$DEBUG'].map((level) => [level, silent]),
);
export const SILENT_LOGGER = { createLogger: () => SILENT };

/** Answers of components are awaited no longer than this. */
const RESPONSE_MS = 10_000;
const HOST = '127.0.0.1';

export const COMPONENT = 'component';

export async function connectMeshClient(port: number, login: Login = {}): Promise<MeshClient> {
  const { MeshClient } = load('happner', 'happner-2') as { MeshClient: new (options: object) => MeshClient };
  const client = new MeshClient({ hostname: HOST, port, logger: SILENT_LOGGER, loginRetry: 0 });
  await client.login(login);
  return client;
}

/** What the clients of happner-client take beside the address. */
function secured(login: Login | undefined): object {
  return login === undefined ? {} : { ...login, loginRetry: 0 };
}

function counted(emitter: Emitter, event: string): () => number {
  let count = 0;
  emitter.on(event, () => {
    count += 1;
  });
  return () => count;
}

const MESH_CLIENT: CallerKind = {
  name: 'MeshClient of happner-2 13.1.1',
  choosesVersion: false,
  readsSchema: true,
  connect: async (port, login) => {
    const client = await connectMeshClient(port, login);
    return {
      // What is not in the schema is thrown, not rejected.
      call: async (method, ...args) => await client.exchange.$call({ component: COMPONENT, method, arguments: args }),
      callAs: () => Promise.reject(new Error('a MeshClient calls for itself alone')),
      on: (path, _version, heard) => client.event.$on({ component: COMPONENT, path }, (data, meta) => heard({ data, meta })),
      off: (id) => client.event.$off({ component: COMPONENT, id }),
      disconnect: () => client.disconnect(),
      logout: () => client.logout(),
      reconnects: counted(client, 'reconnect/successful'),
      data: client.data,
    };
  },
};

type Api = {
  readonly exchange: Record<string, (...args: unknown[]) => Promise<unknown>>;
  readonly event: { on(key: string, handler: Handler, done: Done): void; off(handle: unknown, done: Done): void };
};

/** The component as this client sees it, with these methods. */
function apiOf(client: FullClient, version: string, methods: readonly string[] = []): Api {
  const { exchange, event } = client.construct({
    [COMPONENT]: { version, methods: Object.fromEntries(methods.map((name) => [name, {}])) },
  });
  return { exchange: exchange[COMPONENT] as Api['exchange'], event: event[COMPONENT] as Api['event'] };
}

/** One promise around one call with a callback at its end. */
function done<T>(start: (callback: Done) => void): Promise<T> {
  return new Promise((resolve, reject) => start((error, result) => (error ? reject(error) : resolve(result as T))));
}

export const HAPPNER_CLIENT: CallerKind = {
  name: 'happner-client 12.7.6',
  choosesVersion: true,
  readsSchema: true,
  connect: async (port, login) => {
    const Client = load('happner', 'happner-client') as new (options: object) => FullClient;
    const client = new Client({ logger: SILENT_LOGGER, responseTimeout: RESPONSE_MS });
    await client.connect({ host: HOST, port, ...secured(login) });
    return {
      call: async (method, ...args) => await apiOf(client, '^1.0.0', [method]).exchange[method]?.(...args),
      callAs: async (username, method, ...args) => {
        const { exchange } = apiOf(client, '^1.0.0', [method]);
        return await exchange[method]?.call({ $origin: { username } }, ...args);
      },
      on: (key, version, heard) =>
        done((callback) => apiOf(client, version).event.on(key, (data, meta) => heard({ data, meta }), callback)),
      off: (handle) => done((callback) => apiOf(client, '*').event.off(handle, callback)),
      disconnect: () => client.disconnect(),
      logout: () => client.logout(),
      reconnects: counted(client, 'reconnected'),
      data: client.dataClient(),
    };
  },
};

export const LIGHT_CLIENT: CallerKind = {
  name: 'the light client of happner-client 12.7.6',
  choosesVersion: true,
  readsSchema: false,
  connect: async (port, login) => {
    const { Light } = load('happner', 'happner-client') as { Light: new (options: object) => LightClient };
    const client = new Light({ domain: DOMAIN, logger: SILENT_LOGGER, responseTimeout: RESPONSE_MS });
    await client.connect({ host: HOST, port, ...secured(login) });
    return {
      call: (method, ...args) => client.exchange.$call({ component: COMPONENT, method, arguments: args }),
      callAs: (as, method, ...args) => client.exchange.$call({ component: COMPONENT, method, arguments: args, as }),
      on: (path, version, heard) => client.event.$on({ component: COMPONENT, path, version }, (data, meta) => heard({ data, meta })),
      off: (handle) => client.event.$off(handle),
      disconnect: () => client.disconnect(),
      logout: () => client.logout(),
      reconnects: counted(client, 'reconnected'),
      data: client.dataClient(),
    };
  },
};

export const CALLERS: readonly CallerKind[] = [MESH_CLIENT, HAPPNER_CLIENT, LIGHT_CLIENT];
