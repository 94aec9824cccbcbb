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
  /** PEM of the key with which `digest` signs the nonce that was asked for. */
  readonly publicKey?: string;
  readonly digest?: string;
  /** Name of the provider that is to look at them; absent: the default one. */
  readonly provider?: string;
  /** User that the client's certificate names; the adapter has verified that it is the client's. */
  readonly certificateUser?: string;
  /** Address of the peer. */
  readonly address?: string;
  /** What the client says of itself; profiles may ask for it, nothing is granted for it. */
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

/** What those can have who log in; of a gateway with users. */
export interface Logins {
  /** What a client is to sign with its key, in base64; good for 60 s. Throws RequestError INVALID_REQUEST, LIMIT_EXCEEDED. */
  nonce(publicKey: unknown): string;
  /**
   * The token that stands for the login of a session, the same each time. `session`: its id. Rejects with RequestError NOT_AUTHENTICATED
   * for somebody who has not logged in.
   */
  tokenOf(identity: Identity, session: string): Promise<string>;
  /**
   * What makes the token of the login worthless, and ends all sessions that use it; for a request of the session itself. Throws
   * RequestError NOT_AUTHENTICATED for somebody who has not logged in.
   */
  revocationOf(identity: Identity): SecurityCommand;
  /**
   * Of the session's user; ends the tokens that were issued before, but no session. Rejects with RequestError INVALID_REQUEST, whose
   * text is that of happn, or OVERLOADED.
   */
  changePassword(session: Session, oldPassword: unknown, newPassword: unknown): Promise<void>;
}

/** All that an adapter sees of the house. */
export interface AdapterContext {
  readonly node: NodeInfo;
  readonly log: Log;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly formats: Formats;
  readonly http: HttpRoutes;
  /** null: nobody has to log in. */
  readonly logins: Logins | null;
  /** What administrators are to know of: who changed what this gateway is, and the like. */
  readonly audit: Pick<Audit, 'add'>;
  /** Registers a session whose handshake begins. It is counted, flushed and watched for slowness from here on. */
  openSession(session: Session): void;
  /** The connection is gone. Ends its subscriptions, empties its queues; requests in flight finish unheard. Idempotent. */
  closeSession(session: Session, reason: ConnectionError | null): void;
  /**
   * Who these credentials are. Rejects with RequestError: NOT_AUTHENTICATED, LOGIN_REFUSED, ACCOUNT_LOCKED, OVERLOADED. The adapter puts
   * the identity into the session before it submits anything for it.
   */
  authenticate(credentials: Credentials, session: Session): Promise<Identity>;
  /**
   * Puts a request on the inbound queue; it is always taken. False: the session has used up its credit; the engine
   * has called `pauseReading` and will call `resumeReading`. Replies and publications arrive in `session.outbound`,
   * followed by one `flush` a turn.
   */
  submit(request: Request): boolean;
  /**
   * `session.flush` outside of the engine's turns: the socket drained, or the adapter has something to write itself. Never
   * throws; a session whose flush fails is ended.
   */
  flush(session: Session): void;
  /**
   * Calls `work` in a shift (shifts.ts), for a session that has more to do than it may do in one go. What it does should take no
   * longer than encoding one slice of entries. As `flush`: the session is ended when it throws; it is not called once that has
   * happened.
   */
  inShift(session: Session, work: () => void): void;
  /** Whether `submit` would be answered without waiting for anybody: used to say "overloaded" early. */
  readonly overloaded: boolean;
  /**
   * A queued message for the durable session that `session` carries (null: whoever does), read from the store when it is not in
   * memory; null if it is gone, or may not be heard any more.
   */
  queuedPublication(number: number, session: Session | null): Publication | null;
  /** Users, groups and what they may do; changed by SecurityRequests alone. */
  readonly directory: DirectoryReader;
  /** Ends the sessions that logged in with the token of this one; answers how many. */
  endChildren(session: Session): number;
  /** Revision of the last change that the store holds: whoever was to hear of it has it in `outbound`, or is answered first. */
  revision(): number;
  /** Sessions, queues and rates for protocols that report load. */
  load(): GatewayLoad;
  /** More of them, for administrators; it costs what looking at every session costs. */
  figures(): GatewayFigures;
}

export interface GatewayLoad {
  readonly sessions: number;
  readonly queued: number;
  readonly messagesPerSecond: number;
  readonly eventLoopDelayMs: number;
}

/** Where a listener accepts. */
export interface Listening {
  readonly host: string;
  readonly port: number;
}

/** By the names of the listeners, unique in the gateway; an adapter's own name is that of its first. */
export type Listeners = ReadonlyMap<string, Listening>;

/**
 * A protocol. Turns frames into Requests and Replies and Publications into frames; decides nothing about rights, order or
 * storage, and never publishes again what it was given. A fault in one connection ends at most that connection.
 */
export interface Adapter {
  readonly name: string;
  /**
   * Accepts connections when this resolves; no listeners are those of an adapter that only uses the HTTP listener. Rejects with
   * StartError (port in use, …) and leaves nothing open.
   */
  start(context: AdapterContext): Promise<Listeners>;
  /**
   * No new connections from now on. Answers what is in flight, flushes, ends the sessions with `reason` and tells clients as the
   * protocol does, also whether they should come back where the protocol can say so. A peer may take what it is owed until
   * `deadlineMs` have passed; one that is owed nothing holds the stop up for CLOSE_GRACE_MS at most (Connections.untilClosed).
   */
  stop(deadlineMs: number, reason: ConnectionError): Promise<void>;
  /** What /health tells under the adapter's name; null: nothing. */
  health?(): object | null;
}
