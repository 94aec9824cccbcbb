// happn logins over HTTP (happn-protocol.md 12): /auth/login, /auth/request-nonce, /auth/logout. Any method; parameters are
// in the query.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type HttpRoutes, jsonText, type Log, REQUEST_ERRORS, RequestError, type RequestErrorCode } from '../core/index.js';
import type { OriginRule } from './origin.js';
import { addressOf, cookieName, isEncrypted, queryOf, tokenOf, type WebLoginOptions, type WebLogins } from './web-logins.js';

/** Names of the query, in lower case. */
const NAMES = {
  username: ['user', 'username', 'u'],
  password: ['password', 'pwd', 'pass', 'p'],
  token: ['token', 'happn_token', 't'],
  publicKey: ['publickey', 'public_key', 'public', 'key', 'public-key', 'pk'],
  digest: ['digest'],
} as const;

/** What clients of happn know as a refusal of their credentials. */
const REFUSALS: Partial<Readonly<Record<RequestErrorCode, number>>> = { NOT_AUTHENTICATED: 401, LOGIN_REFUSED: 403, ACCOUNT_LOCKED: 403 };
const NO_LOGOUT = 'logouts over http are not allowed';

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

export class AuthRoutes {
  readonly #logins: WebLogins;
  readonly #options: WebLoginOptions;
  readonly #origins: OriginRule;
  readonly #log: Log;

  constructor(logins: WebLogins, options: WebLoginOptions, origins: OriginRule, log: Log) {
    this.#logins = logins;
    this.#options = options;
    this.#origins = origins;
    this.#log = log;
  }

  addTo(http: HttpRoutes): void {
    const add = (path: string, handler: Handler): void => {
      http.request(path, false, (request, response) => {
        handler(request, response).catch((error: unknown) => this.#fail(error, response));
      });
    };
    add('/auth/login', (request, response) => this.#login(request, response));
    add('/auth/request-nonce', (request, response) => this.#nonce(request, response));
    add('/auth/logout', (request, response) => this.#logout(request, response));
  }

  async #login(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const given = queryOf(request);
    const pick = (names: readonly string[]): string | undefined => {
      for (const [name, value] of given) if (names.includes(name.toLowerCase())) return value;
      return undefined;
    };
    const found = Object.entries(NAMES).map(([field, names]) => [field, pick(names)] as const);
    const credentials = Object.fromEntries(found.filter(([, value]) => value !== undefined && value !== ''));
    let token: string;
    try {
      token = await this.#logins.tokenOf(await this.#logins.login({ ...credentials, address: addressOf(request) }));
    } catch (error) {
      return this.#refuseLogin(error, response);
    }
    if (!isCrossSite(request)) response.setHeader('set-cookie', this.#cookie(request, token));
    answer(response, 200, 'login successful', token, null);
  }

  #refuseLogin(error: unknown, response: ServerResponse): void {
    if (!(error instanceof RequestError)) throw error;
    const code = REFUSALS[error.code];
    if (code !== undefined) return answer(response, 401, 'login failed', null, { name: 'AccessDenied', code, message: error.message });
    if (error.code === 'OVERLOADED') response.setHeader('retry-after', '2');
    const status = error.code === 'OVERLOADED' ? 503 : 500;
    answer(response, status, 'login failed', null, { name: 'Error', message: error.message });
  }

  async #nonce(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const names: readonly string[] = NAMES.publicKey;
    const key = [...queryOf(request)].find(([name]) => names.includes(name.toLowerCase()))?.[1];
    try {
      answer(response, 200, 'nonce generated', this.#logins.nonce(key), null);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      answer(response, 500, 'request-nonce failed', null, { name: 'Error', message: error.message });
    }
  }

  async #logout(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!this.#options.logout) {
      return answer(response, 403, NO_LOGOUT, null, { name: 'AccessDenied', code: 403, message: NO_LOGOUT });
    }
    const token = tokenOf(request, this.#options, this.#origins);
    if (token === null) return answer(response, 401, 'logout failed', null, { name: 'AccessDenied', code: 401, message: 'no token' });
    try {
      const address = addressOf(request);
      await this.#logins.revoke(await this.#logins.identify(token, address), address);
    } catch (error) {
      const code = error instanceof RequestError ? REFUSALS[error.code] : undefined;
      if (code === undefined) throw error;
      return answer(response, 401, 'logout failed', null, { name: 'AccessDenied', code, message: (error as RequestError).message });
    }
    response.setHeader('set-cookie', `${this.#cookie(request, '')}; Max-Age=0`);
    answer(response, 200, 'logout successful', token, null);
  }

  /** Pages cannot read it, and other sites cannot have it sent. */
  #cookie(request: IncomingMessage, token: string): string {
    return `${cookieName(this.#options, request)}=${token}; Path=/; HttpOnly; SameSite=Strict${isEncrypted(request) ? '; Secure' : ''}`;
  }

  #fail(error: unknown, response: ServerResponse): void {
    this.#log.error({ err: error }, 'a login over HTTP failed');
    if (response.headersSent) response.destroy();
    else answer(response, 500, 'login failed', null, { name: 'Error', message: REQUEST_ERRORS.INTERNAL.advice });
  }
}

/** Another site may send somebody here by a link, and must not choose as whom they are logged in. */
function isCrossSite({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site'];
  return site !== undefined && site !== 'same-origin' && site !== 'none';
}

/** Letter by letter as the real server writes it. */
function answer(response: ServerResponse, status: number, message: string, data: string | null, error: object | null): void {
  const body = `{"message":${jsonText(message)}, "data":${jsonText(data)}, "error":${JSON.stringify(error)}}`;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
  });
  response.end(body);
}
