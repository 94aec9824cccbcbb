// RouteGuard: whether a request may reach the routes of the embedding program. It needs the right to its method on
// `/@HTTP` and its path (happn-protocol.md 12).

import type { IncomingMessage, ServerResponse } from 'node:http';
import { posix } from 'node:path';
import {
  ACTIONS,
  type Action,
  type Clock,
  type Identity,
  overAt,
  type Pattern,
  parsePattern,
  RequestError,
  type RequestErrorCode,
  TokenExpired,
} from '../core/index.js';
import { makeSafe } from './heads.js';
import type { OriginRule } from './origin.js';
import { addressOf, tokenOf, type WebLoginOptions, type WebLogins } from './web-logins.js';

/** Who asks a route. */
export interface RouteCaller {
  /** User name; null: the route needs no login. */
  readonly user: string | null;
}

/** Of a gateway in which nobody has to log in, and of what is excluded. */
export const ANYBODY: RouteCaller = Object.freeze({ user: null });

const REASON = 'unauthorized access';
const EXPIRED = 'expired session token';
const NO_TOKEN = 'invalid token format or null token';
/** Before it the path stands in permissions. */
const AREA = '/@HTTP';
const REFUSED: ReadonlySet<RequestErrorCode> = new Set(['LOGIN_REFUSED', 'ACCOUNT_LOCKED', 'ACCESS_DENIED']);

export class RouteGuard {
  readonly #logins: WebLogins;
  readonly #options: WebLoginOptions;
  readonly #origins: OriginRule;
  readonly #clock: Clock;
  readonly #excluded: readonly Pattern[];

  constructor(logins: WebLogins, options: WebLoginOptions, origins: OriginRule, clock: Clock) {
    this.#logins = logins;
    this.#options = options;
    this.#origins = origins;
    this.#clock = clock;
    this.#excluded = options.exclusions.map((text) => parsePattern(text, 'glob'));
  }

  /** null: it may not, and was answered. */
  async admit(request: IncomingMessage, response: ServerResponse, path: string): Promise<RouteCaller | null> {
    const spellings = spellingsOf(path);
    if (spellings.every((one) => this.#excluded.some((pattern) => pattern.matches(one)))) return ANYBODY;
    const token = tokenOf(request, this.#options, this.#origins);
    if (token === null) return refuse(response, 401, NO_TOKEN);
    let identity: Identity;
    try {
      identity = await this.#logins.identify(token, addressOf(request));
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      if (error instanceof TokenExpired) return refuse(response, 401, over(error.user, EXPIRED));
      if (REFUSED.has(error.code)) return refuse(response, 403, forbidden(path));
      if (error.code === 'NOT_AUTHENTICATED') return refuse(response, 401, NO_TOKEN);
      throw error;
    }
    return this.#decide(identity, request, response, spellings);
  }

  #decide(
    { name, principal, login }: Identity,
    request: IncomingMessage,
    response: ServerResponse,
    spellings: readonly string[],
  ): RouteCaller | null {
    const now = this.#clock.now();
    const end = login === null ? null : overAt(login, now);
    if (end !== null) return refuse(response, 401, over(name, end.message));
    const mayAll = principal !== null && spellings.every((one) => mayAsk(principal, request.method as string, AREA + one));
    if (!mayAll) return refuse(response, 403, forbidden(spellings[0] as string));
    if (login !== null) {
      login.used += 1;
      login.lastUsed = now;
    }
    return { user: name };
  }
}

/**
 * The path as it stands, and as whoever serves it may read it: with its quoted characters, and with its steps and slashes taken together. It
 * may be asked for if all of them may.
 */
function spellingsOf(path: string): readonly string[] {
  const plain = unquoted(path);
  return [...new Set([path, plain, posix.normalize(plain.replaceAll('\\', '/'))])];
}

/** What is not well quoted stays as it is. */
function unquoted(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function mayAsk({ rights, isAdministrator }: NonNullable<Identity['principal']>, method: string, path: string): boolean {
  const action = method.toLowerCase() as Action;
  // Methods that no permission can name are for administrators.
  return ACTIONS.includes(action) && action !== 'control' ? rights.allows(action, path) : isAdministrator;
}

function over(user: string, reason: string): string {
  return `authorization failed for ${user}: ${reason}`;
}

function forbidden(path: string): string {
  return `unauthorized access to path ${AREA}${path}`;
}

function refuse(response: ServerResponse, status: 401 | 403, body: string): null {
  const challenge = status === 401 ? { 'www-authenticate': 'happn-auth' } : {};
  makeSafe(response);
  response.writeHead(status, REASON, {
    'content-type': 'text/plain',
    ...challenge,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
  return null;
}
