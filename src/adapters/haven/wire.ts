// Haven's wire in names and numbers: message types, verbs, modes, status values and the table of error codes.
// The numbers are those of havend; the meaning of each message is on the protocol page.

import { type ConnectionErrorCode, type RequestError, type RequestErrorCode, TransactionError } from '../../core/index.js';

export const MAGIC = 0xdecafbad;
export const VERSION = 1;
export const DEFAULT_PORT = 7854;

/** First element of a request array. */
export const MESSAGE = { connect: 0x01, data: 0x02, control: 0x03, discover: 0x06, heartbeat: 0x07 } as const;

/** Second element of a DATA array. */
export const VERB = { read: 0x01, write: 0x03, transaction: 0x04, unwatch: 0x05, delete: 0x06, watch: 0x07 } as const;

/** Third element of a DATA array. */
export const MODE = { readWrite: 0x0c, readOnly: 0x0d, readTimestamp: 0x1c, readBounded: 0x1d } as const;

/** Second element of a CONTROL array. */
export const CONTROL = {
  attach: 0x01,
  exit: 0x02,
  destroy: 0x03,
  proxy: 0x04,
  location: 0x05,
  follower: 0x06,
  leader: 0x07,
  router: 0x0c,
} as const;

/** First element of an answer array. CONNECT and HEARTBEAT answer 1 and 0 instead. */
export const STATUS = { dataOk: 0x14, dataError: 0x34, controlOk: 0x0d, controlError: 0x1d, controlNotFound: 0x1c } as const;

export type Shape = 'map' | 'array';
export type Action = 'connect' | 'data' | 'control' | 'discover' | 'heartbeat';
export type DataType = 'create' | 'read' | 'write' | 'update' | 'delete' | 'watch' | 'unwatch' | 'transaction';
export type Mode = 'rw' | 'ro' | 'rb' | 'rt';

/** `action` of a request map. */
export const ACTIONS: ReadonlyMap<string, Action> = new Map([
  ['connect', 'connect'],
  ['query', 'data'],
  ['become', 'control'],
  ['discover', 'discover'],
  ['heartbeat', 'heartbeat'],
]);

/** `type` of a DATA map. */
export const DATA_TYPES: ReadonlySet<string> = new Set<DataType>([
  'create',
  'read',
  'write',
  'update',
  'delete',
  'watch',
  'unwatch',
  'transaction',
]);

/** One table for both shapes: what `error.code` and the second element of an answer array say. */
export const ERROR = {
  MALFORMED: 1,
  UNSUPPORTED_VERSION: 2,
  BAD_MAGIC: 3,
  NOT_CONNECTED: 4,
  UNAUTHORIZED: 5,
  ACCESS_DENIED: 6,
  NOT_FOUND: 7,
  CONFLICT: 8,
  UNSUPPORTED: 9,
  LIMIT_EXCEEDED: 10,
  INVALID_PATH: 11,
  TIMEOUT: 12,
  INTERNAL: 13,
  OVERLOADED: 14,
  OUT_OF_HISTORY: 9,
} as const;

export type HavenErrorName = keyof typeof ERROR;

/** What a peer is told: `code` and `name` from the table, `message` for a person. */
export interface HavenError {
  readonly name: HavenErrorName;
  readonly message: string;
  /** The operation of a transaction that it is about, counted from 0. */
  readonly op?: number;
}

const REQUEST_ERROR_NAMES: { readonly [code in RequestErrorCode]: HavenErrorName } = {
  INVALID_PATH: 'INVALID_PATH',
  UNKNOWN_OPERATION: 'UNSUPPORTED',
  NOT_AUTHENTICATED: 'UNAUTHORIZED',
  LOGIN_REFUSED: 'UNAUTHORIZED',
  ACCOUNT_LOCKED: 'UNAUTHORIZED',
  ACCESS_DENIED: 'ACCESS_DENIED',
  NOT_FOUND: 'NOT_FOUND',
  CONFLICT: 'CONFLICT',
  INVALID_REQUEST: 'MALFORMED',
  UNSUPPORTED: 'UNSUPPORTED',
  OUT_OF_HISTORY: 'OUT_OF_HISTORY',
  LIMIT_EXCEEDED: 'LIMIT_EXCEEDED',
  TIMEOUT: 'TIMEOUT',
  OVERLOADED: 'OVERLOADED',
  STORE_FAILED: 'INTERNAL',
  INTERNAL: 'INTERNAL',
};

const CONNECTION_ERROR_NAMES: { readonly [code in ConnectionErrorCode]: HavenErrorName } = {
  MALFORMED_FRAME: 'MALFORMED',
  FRAME_TOO_LARGE: 'LIMIT_EXCEEDED',
  UNSUPPORTED_VERSION: 'UNSUPPORTED_VERSION',
  SLOW_CONSUMER: 'LIMIT_EXCEEDED',
  CONNECT_TIMEOUT: 'TIMEOUT',
  PEER_SILENT: 'TIMEOUT',
  TAKEN_OVER: 'CONFLICT',
  SESSION_REVOKED: 'UNAUTHORIZED',
  NOT_ALLOWED: 'ACCESS_DENIED',
  STORE_FAILED: 'INTERNAL',
  INTERNAL: 'INTERNAL',
  SHUTTING_DOWN: 'OVERLOADED',
  DISMISSED: 'OVERLOADED',
};

export function havenError(error: RequestError): HavenError {
  const { code, message } = error;
  const name = REQUEST_ERROR_NAMES[code];
  return error instanceof TransactionError ? { name, message, op: error.operation } : { name, message };
}

export function connectionErrorName(code: ConnectionErrorCode): HavenErrorName {
  return CONNECTION_ERROR_NAMES[code];
}
