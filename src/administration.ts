// Administration: implements the admin API's operations with the core and the parts that know credentials.

import { randomUUID } from 'node:crypto';
import type { Engine } from './core/engine.js';
import {
  type Audit,
  type AuditEvent,
  type AuditFilter,
  type AuditPage,
  askerOf,
  type Clock,
  type DirectoryReader,
  type DurableSession,
  type Identity,
  keptNumber,
  Login,
  type LoginType,
  NO_LIMITS,
  overAt,
  RequestError,
  type SecurityCommand,
  type Session,
} from './core/index.js';
import type { Administration, Caller, Client, IssuedToken } from './http/api/administration.js';
import type { HashQueue } from './security/hash-queue.js';
import { hashPassword, isPassword, PASSWORD_TEXT } from './security/passwords.js';
import type { TokenLogins } from './token-logins.js';

export interface AdministrationParts {
  readonly engine: Pick<Engine, 'administer' | 'sessions' | 'keptSessions' | 'endSession' | 'endKept' | 'settleAudit'>;
  readonly clientOf: (key: string) => Client;
  readonly directory: DirectoryReader;
  readonly audit: Audit;
  /** null: the gateway is not secure. */
  readonly logins: TokenLogins | null;
  readonly queue: Pick<HashQueue, 'run'>;
  readonly clock: Clock;
}

export class GatewayAdministration implements Administration {
  readonly #parts: AdministrationParts;

  constructor(parts: AdministrationParts) {
    this.#parts = parts;
  }

  get secure(): boolean {
    return this.#parts.logins !== null;
  }

  get directory(): DirectoryReader {
    return this.#parts.directory;
  }

  async change(command: SecurityCommand, { identity, address }: Caller): Promise<void> {
    await this.#parts.engine.administer(command, identity, askerOf(identity, 'admin', address));
  }

  async enter(event: AuditEvent): Promise<void> {
    this.#parts.audit.add(event);
    await this.#parts.engine.settleAudit();
  }

  async auditEntries(filter: AuditFilter): Promise<AuditPage> {
    await this.#parts.engine.settleAudit();
    return this.#parts.audit.list(filter);
  }

  async login(username: string, password: string, address: string): Promise<Identity> {
    return await this.#logins.login({ username, password, address });
  }

  async loginByToken(token: string, address: string): Promise<Identity> {
    const identity = await this.#logins.identify(token, address);
    const { login } = identity;
    if (login === null) return identity;
    const now = this.#parts.clock.now();
    const over = overAt(login, now);
    if (over !== null) throw new RequestError('NOT_AUTHENTICATED', over.message);
    login.used += 1;
    login.lastUsed = now;
    return identity;
  }

  async tokenOf(identity: Identity): Promise<IssuedToken> {
    const { login } = identity;
    const token = await this.#logins.tokenOf(identity);
    return { id: login?.tokenId ?? '', token, expires: expiryOf(token) };
  }

  async issueToken(user: string, type: LoginType, ttlMs: number | null): Promise<IssuedToken> {
    const logins = this.#logins;
    const principal = this.#parts.directory.principal(user);
    if (principal === null) throw new RequestError('NOT_FOUND', `there is no user ${user}`);
    const now = this.#parts.clock.now();
    const login = new Login(randomUUID(), type, null, now, { ...NO_LIMITS, ttlMs: ttlMs ?? 0 }, now);
    const token = await logins.tokenOf({ name: user, principal, login });
    return { id: login.tokenId, token, expires: expiryOf(token) };
  }

  async hash(password: string): Promise<string> {
    if (!isPassword(password)) throw new RequestError('INVALID_REQUEST', `the password must be ${PASSWORD_TEXT}`);
    return await this.#parts.queue.run(() => hashPassword(password));
  }

  sessions(): Iterable<Session> {
    return this.#parts.engine.sessions();
  }

  keptSessions(): Iterable<DurableSession> {
    return this.#parts.engine.keptSessions();
  }

  clientOf(key: string): Client {
    return this.#parts.clientOf(key);
  }

  async endSession(id: string, { identity, address }: Caller): Promise<void> {
    const { engine } = this.#parts;
    const number = keptNumber(id);
    if (number !== null) return await engine.endKept(number, askerOf(identity, 'admin', address));
    if (!engine.endSession(id)) throw new RequestError('NOT_FOUND', `there is no session ${id}`);
    const event = { actor: identity.name, target: id, refusal: null, protocol: 'admin', address, details: {} };
    await this.enter({ action: 'session.end', ...event });
  }

  get #logins(): TokenLogins {
    const { logins } = this.#parts;
    if (logins === null) throw new RequestError('UNSUPPORTED', 'security is off: nobody has to log in, and nobody can');
    return logins;
  }
}

/** Of a token that we made ourselves; null: never. */
function expiryOf(token: string): number | null {
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as { exp?: number };
  return exp === undefined ? null : Math.round(exp * 1_000);
}
