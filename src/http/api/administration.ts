// What the admin API needs from the gateway.

import type {
  AuditEvent,
  AuditFilter,
  AuditPage,
  DirectoryReader,
  DurableSession,
  Identity,
  LoginType,
  SecurityCommand,
  Session,
} from '../../core/index.js';

/** Somebody who asks. */
export interface Caller {
  readonly identity: Identity;
  /** Address of the peer. */
  readonly address: string;
}

/** Who a durable session is kept for. */
export interface Client {
  readonly protocol: string;
  /** Its client id. */
  readonly client: string;
}

export interface IssuedToken {
  /** By it the token is revoked. */
  readonly id: string;
  readonly token: string;
  /** Milliseconds since 1970; null: it is good until it is revoked. */
  readonly expires: number | null;
}

export interface Administration {
  /** false: nobody has to log in, and nobody can. Users and groups can be prepared nevertheless. */
  readonly secure: boolean;
  readonly directory: DirectoryReader;
  /** Rejects with the RequestError of the core, which decides whether the caller may. */
  change(command: SecurityCommand, caller: Caller): Promise<void>;
  /** Keeps an entry of the audit for what is no change of the directory. */
  enter(event: AuditEvent): Promise<void>;
  /** All that happened until now is in it. */
  auditEntries(filter: AuditFilter): Promise<AuditPage>;
  /** Rejects with RequestError NOT_AUTHENTICATED, LOGIN_REFUSED, ACCOUNT_LOCKED, OVERLOADED; UNSUPPORTED while insecure. */
  login(username: string, password: string, address: string): Promise<Identity>;
  /** As `login`. */
  loginByToken(token: string, address: string): Promise<Identity>;
  /** The token that stands for a login. */
  tokenOf(identity: Identity): Promise<IssuedToken>;
  /** `ttlMs`: how long it is good, null: as configured. Rejects with RequestError NOT_FOUND; UNSUPPORTED while insecure. */
  issueToken(user: string, type: LoginType, ttlMs: number | null): Promise<IssuedToken>;
  /** How a password is kept. Rejects with RequestError INVALID_REQUEST, OVERLOADED. */
  hash(password: string): Promise<string>;
  sessions(): Iterable<Session>;
  /** What is kept of sessions that no connection carries now. */
  keptSessions(): Iterable<DurableSession>;
  /** Whose key it is that a durable session has, as its protocol says. */
  clientOf(key: string): Client;
  /** Ends a connection, or what is kept of one. Rejects with RequestError NOT_FOUND, CONFLICT. The audit is told. */
  endSession(id: string, caller: Caller): Promise<void>;
}
