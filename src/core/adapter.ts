// The contract between the core and a protocol adapter, in prose and types. Checked by test/contract/adapter-contract.ts.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Counters } from './counters.js';
import type { Format } from './data/payload.js';
import type { ConnectionError } from './errors.js';
import type { GatewayFigures } from './figures.js';
import type { Publication, Request } from './message.js';
import type { Audit } from './security/audit.js';
import type { SecurityCommand } from './security/commands.js';
import type { Identity } from './security/identity.js';
import type { DirectoryReader } from './security/reader.js';
import type { Session } from './sessions/session.js';
import type { Room } from './sockets/room.js';

export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  child(fields: object): Log;
}

/** Wall time in milliseconds since 1970 and a monotonic one; tests replace both. */
export interface Clock {
  now(): number;
  monotonic(): number;
}

export interface Credentials {
  readonly username?: string;
  readonly password?: string | Uint8Array;
  readonly token?: string;
  /** Public key in PEM form; `digest` signs the requested nonce with its private key. */
  readonly publicKey?: string;
  readonly digest?: string;
  /** Name of the provider to check them with; absent: the default one. */
  readonly provider?: string;
  /** User named by the client's certificate, which the adapter has verified. */
  readonly certificateUser?: string;
  /** Address of the peer. */
  readonly address?: string;
  /** What the client says about itself; profiles may test it, but it grants nothing. */
  readonly info?: Readonly<Record<string, unknown>>;
}

/** The formats that exist in this gateway, found by adapters by name and by the store by id. */
export interface Formats {
  readonly json: Format;
  readonly msgpack: Format;
  readonly raw: Format;
  readonly binary: Format;
  readonly byId: ReadonlyMap<number, Format>;
}

/** The HTTP listener that protocols share. */
export interface HttpRoutes {
  /** Takes websocket upgrades whose URL path is `path` or begins with it when `prefix` is true. Origin is checked before. */
  upgrade(path: string, prefix: boolean, handler: (request: IncomingMessage, socket: Duplex, head: Buffer) => void): void;
  /** Answers plain requests to exactly `path` (or below it when `prefix`). */
  request(path: string, prefix: boolean, handler: (request: IncomingMessage, response: ServerResponse) => void): void;
}

/** This gateway, as it introduces itself. */
export interface NodeInfo {
  /** UUID kept in the store. */
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly startedAt: number;
}

/** Services for logged-in sessions, in a gateway with users. */
export interface Logins {
  /** A nonce for a client to sign with its key, in base64; valid for 60 s. Throws RequestError INVALID_REQUEST, LIMIT_EXCEEDED. */
  nonce(publicKey: unknown): string;
  /**
   * The token for the login of a session, the same each time. `session`: its id. Rejects with RequestError NOT_AUTHENTICATED
   * without a login.
   */
  tokenOf(identity: Identity, session: string): Promise<string>;
  /**
   * The command that revokes the token of the login, and ends all sessions that use it; for a request of the session itself. Throws
   * RequestError NOT_AUTHENTICATED without a login.
   */
  revocationOf(identity: Identity): SecurityCommand;
  /**
   * Changes the password of the session's user; invalidates earlier tokens, but ends no session. Rejects with RequestError
   * INVALID_REQUEST, with happn's text, or OVERLOADED.
   */
  changePassword(session: Session, oldPassword: unknown, newPassword: unknown): Promise<void>;
}

/** Everything that an adapter sees of the gateway. */
export interface AdapterContext {
  readonly node: NodeInfo;
  readonly log: Log;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly formats: Formats;
  readonly http: HttpRoutes;
  /** What an adapter's own listeners have to share; null: the system does not say how much there is. */
  readonly room: Pick<Room, 'share'> | null;
  /** null: nobody has to log in. */
  readonly logins: Logins | null;
  /** For entries about what administrators should know, such as changes of this node's roles. */
  readonly audit: Pick<Audit, 'add'>;
  /** Registers a session at the start of its handshake. From then on it is counted, flushed and watched for slowness. */
  openSession(session: Session): void;
  /** The connection is gone. Ends its subscriptions, empties its queues; replies to requests in flight are discarded. Idempotent. */
  closeSession(session: Session, reason: ConnectionError | null): void;
  /**
   * The identity of these credentials. Rejects with RequestError: NOT_AUTHENTICATED, LOGIN_REFUSED, ACCOUNT_LOCKED, OVERLOADED. The
   * adapter sets it on the session before submitting anything for it.
   */
  authenticate(credentials: Credentials, session: Session): Promise<Identity>;
  /**
   * Puts a request on the inbound queue, which always accepts it. False: the session has used up its credit; the engine
   * has called `pauseReading` and will call `resumeReading`. Replies and publications arrive in `session.outbound`,
   * followed by one `flush` per turn.
   */
  submit(request: Request): boolean;
  /**
   * `session.flush` outside of the engine's turns: the socket drained, or the adapter has something to write itself. Never
   * throws; a session whose flush fails is ended.
   */
  flush(session: Session): void;
  /**
   * Calls `work` in a shift (shifts.ts), for a session with more to do than it may do at once. It should take no
   * longer than encoding one slice of entries. If it throws, the session is ended, as by `flush`; it is not called for an ended session.
   */
  inShift(session: Session, work: () => void): void;
  /** True when the gateway is overloaded, so that adapters can refuse early. */
  readonly overloaded: boolean;
  /**
   * A queued message for the durable session of `session` (null: of any), read from the store if it is not in
   * memory; null if it is gone, or the right to it is.
   */
  queuedPublication(number: number, session: Session | null): Publication | null;
  /** Users, groups and permissions; changed only by SecurityRequests. */
  readonly directory: DirectoryReader;
  /** Ends the sessions that logged in with the token of this one; returns how many. */
  endChildren(session: Session): number;
  /** Revision of the last stored change: its receivers have it in `outbound`, or are answered first. */
  revision(): number;
  /** Sessions, queues and rates for protocols that report load. */
  load(): GatewayLoad;
  /** More figures, for administrators; visits every session. */
  figures(): GatewayFigures;
}

export interface GatewayLoad {
  readonly sessions: number;
  readonly queued: number;
  readonly messagesPerSecond: number;
  readonly eventLoopDelayMs: number;
}

/** Host and port of a listener. */
export interface Listening {
  readonly host: string;
  readonly port: number;
}

/** By name of the listener, unique in the gateway; the first one of an adapter has the adapter's name. */
export type Listeners = ReadonlyMap<string, Listening>;

/**
 * A protocol. Turns frames into Requests and Replies and Publications into frames; decides nothing about rights, order or
 * storage, and never publishes what it received from the core. A fault in one connection ends at most that connection.
 */
export interface Adapter {
  readonly name: string;
  /**
   * Resolves when connections are accepted; with no listeners if the adapter only uses the HTTP listener. Rejects with
   * StartError (port in use, …) and leaves nothing open.
   */
  start(context: AdapterContext): Promise<Listeners>;
  /**
   * Accepts no new connections. Answers requests in flight, flushes, ends the sessions with `reason` and tells clients in the
   * protocol's way, including whether to reconnect if the protocol can say so. A peer has `deadlineMs` to read what is still due to it;
   * one to whom nothing is due delays the stop by CLOSE_GRACE_MS at most (Connections.untilClosed).
   */
  stop(deadlineMs: number, reason: ConnectionError): Promise<void>;
  /** Shown by /health under the adapter's name; null: nothing. */
  health?(): object | null;
}
