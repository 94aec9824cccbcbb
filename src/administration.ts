// Administration: what the API for administrators can do, done by the core and by what knows credentials. Enters into the audit who
// had the directory changed.

import { randomUUID } from 'node:crypto';
import type { Engine } from './core/engine.js';
import {
  type Audit,
  type AuditAction,
  type Clock,
  type DirectoryReader,
  type Identity,
  Login,
  type LoginType,
  NO_LIMITS,
  overAt,
  RequestError,
  type SecurityCommand,
  type Session,
} from './core/index.js';
import type { Administration, Caller, IssuedToken } from './http/api/administration.js';
import type { HashQueue } from './security/hash-queue.js';
import { hashPassword, PASSWORD_MAX_BYTES } from './security/passwords.js';
import type { TokenLogins } from './token-logins.js';

export interface AdministrationParts {
  readonly engine: Pick<Engine, 'administer' | 'sessions' | 'endSession'>;
  readonly directory: DirectoryReader;
  readonly audit: Audit;
  /** null: the gateway is not secure. */
  readonly logins: TokenLogins | null;
  readonly queue: Pick<HashQueue, 'run'>;
  readonly clock: Clock;
}

/** Names of what is listed in one entry of the audit; of more, their number is told. */
const LISTED_MAX = 20;

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

  get audit(): Audit {
    return this.#parts.audit;
  }

  async change(command: SecurityCommand, { identity, address }: Caller): Promise<void> {
    const { engine, audit } = this.#parts;
    const event = { ...describeCommand(command), actor: identity.name, protocol: 'admin', address };
    try {
      await engine.administer(command, identity);
    } catch (error) {
      audit.add({ ...event, refusal: error instanceof RequestError ? error.code : 'INTERNAL' });
      throw error;
    }
    audit.add({ ...event, refusal: null });
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
    if (Buffer.byteLength(password) > PASSWORD_MAX_BYTES) {
      throw new RequestError('INVALID_REQUEST', `the password is longer than ${PASSWORD_MAX_BYTES} bytes`);
    }
    return await this.#parts.queue.run(() => hashPassword(password));
  }

  sessions(): Iterable<Session> {
    return this.#parts.engine.sessions();
  }

  endSession(id: string): boolean {
    return this.#parts.engine.endSession(id);
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

/**
 * A change that the gateway makes itself: what its configuration declares. What users do to their own passwords and tokens is entered
 * by those who know the user.
 */
export async function changeByGateway(command: SecurityCommand, engine: Pick<Engine, 'administer'>, audit: Audit): Promise<void> {
  await engine.administer(command);
  if (command.type === 'password' || command.type === 'revoke') return;
  audit.add({ ...describeCommand(command), actor: '', refusal: null, protocol: 'core', address: '' });
}

interface Described {
  readonly action: AuditAction;
  readonly target: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Without secrets: of a password, it is said that there is another. */
export function describeCommand(command: SecurityCommand): Described {
  switch (command.type) {
    case 'putUser':
    case 'putGroup': {
      const { fields, merge, name } = command;
      const { permissions, groups } = { groups: undefined, ...fields };
      const details = {
        fields: Object.keys(fields),
        merge,
        ...(permissions === undefined ? {} : { permissions: listed(Object.keys(permissions)) }),
        ...(groups === undefined ? {} : { groups: listed(groups) }),
      };
      return { action: command.type === 'putUser' ? 'user.put' : 'group.put', target: name, details };
    }
    case 'deleteUser':
      return { action: 'user.delete', target: command.name, details: {} };
    case 'deleteGroup':
      return { action: 'group.delete', target: command.name, details: {} };
    case 'putTable':
      return { action: 'lookup.put', target: command.name, details: { paths: command.paths.length } };
    case 'changeTable': {
      const { name, add, remove } = command;
      return { action: 'lookup.put', target: name, details: { added: listed(add), removed: listed(remove) } };
    }
    case 'deleteTable':
      return { action: 'lookup.delete', target: command.name, details: {} };
    case 'password':
      return { action: 'user.password', target: command.name, details: {} };
    case 'link':
      return { action: 'user.link', target: command.user, details: { group: command.group } };
    case 'unlink':
      return { action: 'user.unlink', target: command.user, details: { group: command.group } };
    case 'permission': {
      const { of, path, action, authorized } = command;
      return { action: 'permission.change', target: of.name, details: { of: of.kind, path, action, authorized } };
    }
    case 'revoke':
      return { action: 'token.revoke', target: command.tokenId, details: {} };
    case 'revokeAll':
      return { action: 'token.revokeAll', target: command.name, details: {} };
    case 'sweepRevocations':
      return { action: 'token.revoke', target: '', details: { swept: true } };
  }
}

function listed(names: readonly string[]): readonly string[] {
  return names.length <= LISTED_MAX ? names : [...names.slice(0, LISTED_MAX), `and ${names.length - LISTED_MAX} more`];
}
