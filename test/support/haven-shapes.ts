// Haven's messages in both shapes, by what they ask; answers in one form, whatever their shape.

import type { Answer, Fields, HavenClient, HavenEvent } from './haven-client.js';

export const MAGIC = 0xdecafbad;
const VERBS: { readonly [type: string]: number } = { read: 1, write: 3, transaction: 4, unwatch: 5, delete: 6, watch: 7 };
const MODES: { readonly [mode: string]: number } = { rw: 0x0c, ro: 0x0d, rt: 0x1c, rb: 0x1d };
const ACTIONS: { readonly [type: string]: number } = {
  attach: 1,
  exit: 2,
  destroy: 3,
  proxy: 4,
  location: 5,
  follower: 6,
  leader: 7,
  router: 0x0c,
};
/** What the array shape has no verb for is an operation of a transaction there. */
const OPERATIONS_ONLY = ['create', 'update'];

export type ShapeName = 'map' | 'array';

/** What was answered: 0 and its fields, or the code of the error and what belongs to it. */
export interface Told {
  readonly code: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field
  readonly [field: string]: any;
}

export interface DataFields extends Fields {
  readonly value?: unknown;
  readonly mode?: string;
  readonly time?: unknown;
}

export interface Pong {
  readonly events: readonly HavenEvent[];
  readonly missed: number;
  readonly state: Answer;
}

export interface Talk {
  readonly shape: ShapeName;
  readonly client: HavenClient;
  connect(fields?: { version?: unknown; magic?: unknown; heartbeat?: number; credentials?: object }): Promise<Told>;
  data(type: string, path: string | null, fields?: DataFields): Promise<Told>;
  heartbeat(): Promise<Pong>;
  control(type: string, fields?: { path?: string; uuid?: unknown; force?: boolean }): Promise<Told>;
  discover(type: string, fields?: { path?: string; uuid?: unknown }): Promise<Told>;
}

export function talk(client: HavenClient, shape: ShapeName): Talk {
  return shape === 'map' ? mapTalk(client) : arrayTalk(client);
}

function mapTalk(client: HavenClient): Talk {
  const ask = async (message: Fields): Promise<Told> => toldByMap(await client.ask(message));
  return {
    shape: 'map',
    client,
    connect: (fields = {}) => ask({ action: 'connect', version: '1', ...fields }),
    data: (type, path, fields = {}) => ask({ action: 'query', type, ...(path === null ? {} : { path }), ...fields }),
    heartbeat: async () => {
      const { result, missed = 0, state } = await client.ask({ action: 'heartbeat', type: 'ping' });
      return { events: result, missed, state };
    },
    control: (type, fields = {}) => ask({ action: 'become', type, ...fields }),
    discover: (type, fields = {}) => ask({ action: 'discover', type, ...fields }),
  };
}

function toldByMap({ result, error, ...fields }: Answer): Told {
  return result === false ? error : { code: 0, ...fields };
}

function arrayTalk(client: HavenClient): Talk {
  return {
    shape: 'array',
    client,
    connect: async ({ version = 1, magic = MAGIC, credentials = null } = {}) => {
      const [success, code, , error] = await client.ask([1, magic, version, credentials]);
      return success === 1 ? { code: 0 } : { code, ...error };
    },
    data: (type, path, fields = {}) => arrayData(client, type, path, fields),
    heartbeat: async () => {
      const [, , events, state, missed = 0] = await client.ask([7]);
      return { events, missed, state };
    },
    control: async (type, { path = null, uuid = null, force } = {}) => {
      const options = force === undefined ? [] : [null, { force }];
      const [status, code, body] = await client.ask([3, ACTIONS[type], uuid, path, ...options]);
      return status === 0x0d ? { code: 0, uuid: body } : { code, ...body };
    },
    discover: async (type, { path = null, uuid = null } = {}) => {
      const [status, code, body] = await client.ask([6, type, path, uuid]);
      return status === 0x0d ? { code: 0, location: body } : { code, ...body };
    },
  };
}

async function arrayData(client: HavenClient, type: string, path: string | null, fields: DataFields): Promise<Told> {
  const { value = null, mode = 'rw', time = null, ...options } = fields;
  if (OPERATIONS_ONLY.includes(type)) {
    const { code, revisions, ...error } = await arrayData(client, 'transaction', null, { ops: [{ type, path, value, ...options }] });
    return code === 0 ? { code, revision: revisions[0] } : { code, ...error };
  }
  const [status, code, body] = await client.ask([2, VERBS[type], MODES[mode] ?? mode, time, path, value, options]);
  if (status !== 0x14) return { code, ...body };
  return type === 'read' && path?.includes('*') !== true ? { code: 0, value: body } : { code: 0, ...body };
}
