// What HTTP needs from the parts that know credentials, and where a request carries its token.

import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { type Credentials, type Identity, tokenCookie } from '../core/index.js';
import { isOriginAllowed, type OriginRule } from './origin.js';

export interface WebLogins {
  /** Rejects with RequestError NOT_AUTHENTICATED, LOGIN_REFUSED, ACCOUNT_LOCKED, OVERLOADED. */
  login(credentials: Credentials): Promise<Identity>;
  /** As `login`, for each request that shows a token; what the token's policy counts is counted over all of them. */
  identify(token: string, address: string): Promise<Identity>;
  /** The token that stands for a login. */
  tokenOf(identity: Identity): Promise<string>;
  /** What a client is to sign with its key. Throws RequestError INVALID_REQUEST. */
  nonce(publicKey: string | undefined): string;
  /** The token is no longer good. */
  revoke(identity: Identity, address: string): Promise<void>;
}

export interface WebLoginOptions {
  /** As `tokenCookie` takes it. */
  readonly cookieName: string;
  /** A token may stand in the URL, where logs and histories keep it. */
  readonly queryToken: boolean;
  /** Tokens may be revoked by /auth/logout. */
  readonly logout: boolean;
  /** Patterns of paths, as globs, that need no token. */
  readonly exclusions: readonly string[];
}

export function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? '';
}

export function isEncrypted(request: IncomingMessage): boolean {
  return (request.socket as TLSSocket).encrypted === true;
}

export function cookieName({ cookieName: name }: WebLoginOptions, request: IncomingMessage): string {
  return tokenCookie(name, isEncrypted(request));
}

/** Cookie, then query, then header (happn-protocol.md 12); null: none of them. */
export function tokenOf(request: IncomingMessage, options: WebLoginOptions, origins: OriginRule): string | null {
  return cookieToken(request, options, origins) ?? queryToken(request, options) ?? bearerToken(request);
}

/** A browser sends cookies whatever page asks: those of pages that may not ask do not count. */
function cookieToken(request: IncomingMessage, options: WebLoginOptions, origins: OriginRule): string | null {
  const { cookie, origin, host } = request.headers;
  if (cookie === undefined || !isOriginAllowed(origin, host, origins)) return null;
  const wanted = `${cookieName(options, request)}=`;
  const found = cookie
    .split(';')
    .map((part) => part.trim())
    .find((part) => part.startsWith(wanted));
  return found === undefined ? null : found.slice(wanted.length) || null;
}

function queryToken(request: IncomingMessage, { queryToken: isAllowed, cookieName: name }: WebLoginOptions): string | null {
  return isAllowed ? queryOf(request).get(name) || null : null;
}

function bearerToken({ headers: { authorization } }: IncomingMessage): string | null {
  return /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1] ?? null;
}

export function queryOf(request: IncomingMessage): URLSearchParams {
  const url = request.url ?? '';
  const at = url.indexOf('?');
  return new URLSearchParams(at === -1 ? '' : url.slice(at + 1));
}
