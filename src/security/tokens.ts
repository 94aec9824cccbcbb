// Tokens: what a client shows instead of its password. JWTs with one fixed algorithm, signed by this gateway; opaque to clients.
// Whether the user still exists and whether the token was revoked is checked by the authenticator.

import type { webcrypto } from 'node:crypto';
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { type Clock, RequestError, TokenExpired } from '../core/index.js';
import type { TokenKeys } from './token-keys.js';

const ALGORITHM = 'HS256';
/** Clocks of gateways that share a secret may differ by this much. */
export const LEEWAY_SECONDS = 60;
/** A longer one is none of ours. */
export const TOKEN_MAX_BYTES = 4 * 1024;
/** Tokens whose signature was checked; what they say of time is looked at each time. */
const MAX_CACHED = 10_000;

export const INVALID_TOKEN = 'Invalid credentials: invalid session token';
export const EXPIRED_TOKEN = 'Invalid credentials: token timed out';

/** 0: for single requests (HTTP), 1: for connections. */
export type TokenType = 0 | 1;

/** Times are wall clock milliseconds. */
export interface TokenClaims {
  /** Unique; what a revocation names. */
  readonly id: string;
  readonly user: string;
  /** A user who was deleted and made again is another one. */
  readonly userId: string;
  readonly issued: number;
  /** null: never. */
  readonly expires: number | null;
  readonly type: TokenType;
  /** Id of the gateway that made it. */
  readonly origin: string;
  /** Id of the session that it was made for. */
  readonly parent: string;
  /** Name of the profile that it was made under; null: none. */
  readonly policy: string | null;
}

export class Tokens {
  readonly #keys: TokenKeys;
  readonly #clock: Clock;
  readonly #checked: LRUCache<string, TokenClaims>;
  #checkedVersion = 0;

  constructor(keys: TokenKeys, clock: Clock, maxCached = MAX_CACHED) {
    this.#keys = keys;
    this.#clock = clock;
    this.#checked = new LRUCache({ max: maxCached });
  }

  /** Rejects when the disk does not take that its key is needed for longer than usual. */
  async issue(claims: TokenClaims): Promise<string> {
    const { id, key } = await this.#keys.signingUntil(claims.expires);
    const { user, userId, type, origin, parent, policy, issued, expires } = claims;
    const jwt = new SignJWT({ uid: userId, typ: type, origin, parent, ...(policy === null ? {} : { policy }) })
      .setProtectedHeader({ alg: ALGORITHM, kid: id, typ: 'JWT' })
      .setSubject(user)
      .setJti(claims.id)
      // With its milliseconds: what is issued just after a change of password is good, what was issued just before it is not.
      .setIssuedAt(issued / 1_000);
    if (expires !== null) jwt.setExpirationTime(expires / 1_000);
    return await jwt.sign(key);
  }

  /** Whether a text says of itself that one of our keys signed it. */
  isOurs(token: string): boolean {
    const header = headerOf(token);
    return typeof header?.kid === 'string' && this.#keys.verifying(header.kid) !== undefined;
  }

  /** Rejects with RequestError NOT_AUTHENTICATED. */
  async verify(token: string): Promise<TokenClaims> {
    this.#forgetOldKeys();
    const known = this.#checked.get(token);
    if (known !== undefined) return this.#stillGood(known);
    if (token.length > TOKEN_MAX_BYTES || !looksLikeToken(token)) throw new RequestError('NOT_AUTHENTICATED', INVALID_TOKEN);
    const version = this.#keys.version;
    const claims = claimsOf(await this.#payload(token));
    // Also what a test of the signature does not see: a token from a time to come.
    if (claims.issued > this.#clock.now() + LEEWAY_SECONDS * 1_000) throw new RequestError('NOT_AUTHENTICATED', INVALID_TOKEN);
    if (version === this.#keys.version) this.#checked.set(token, claims);
    return claims;
  }

  async #payload(token: string): Promise<JWTPayload> {
    try {
      const options = { algorithms: [ALGORITHM], clockTolerance: LEEWAY_SECONDS, currentDate: new Date(this.#clock.now()) };
      const { payload } = await jwtVerify(token, ({ kid }) => this.#key(kid), { ...options, requiredClaims: ['sub', 'jti', 'iat'] });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw new TokenExpired(String(error.payload.sub), EXPIRED_TOKEN, { cause: error });
      if (error instanceof errors.JOSEError || error instanceof TypeError) {
        throw new RequestError('NOT_AUTHENTICATED', INVALID_TOKEN, { cause: error });
      }
      throw error;
    }
  }

  #key(id: string | undefined): webcrypto.CryptoKey {
    const key = id === undefined ? undefined : this.#keys.verifying(id);
    if (key === undefined) throw new errors.JWKSNoMatchingKey();
    return key;
  }

  #stillGood(claims: TokenClaims): TokenClaims {
    if (claims.expires !== null && this.#clock.now() >= claims.expires + LEEWAY_SECONDS * 1_000) {
      throw new TokenExpired(claims.user, EXPIRED_TOKEN);
    }
    return claims;
  }

  #forgetOldKeys(): void {
    if (this.#checkedVersion === this.#keys.version) return;
    this.#checkedVersion = this.#keys.version;
    this.#checked.clear();
  }
}

/** Whether a text has the form of a JWT: a password is hardly ever one. */
export function looksLikeToken(text: string): boolean {
  return text.startsWith('eyJ') && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text);
}

function headerOf(token: string): { readonly kid?: unknown } | null {
  if (token.length > TOKEN_MAX_BYTES || !looksLikeToken(token)) return null;
  try {
    return decodeProtectedHeader(token);
  } catch {
    // It only looks like a token.
    return null;
  }
}

function claimsOf({ sub, jti, iat, exp, uid, typ, origin, parent, policy }: JWTPayload): TokenClaims {
  const isWhole = isText(sub) && isText(jti) && isText(uid) && isText(origin) && isText(parent) && (typ === 0 || typ === 1);
  if (!isWhole || (policy !== undefined && !isText(policy))) throw new RequestError('NOT_AUTHENTICATED', INVALID_TOKEN);
  return Object.freeze({
    id: jti,
    user: sub,
    userId: uid,
    issued: Math.round((iat as number) * 1_000),
    expires: exp === undefined ? null : Math.round(exp * 1_000),
    type: typ,
    origin,
    parent,
    policy: policy ?? null,
  });
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
