// Providers: other systems that identify clients. Their tokens are JWTs, signed with keys that they publish (JWKS) at a URL or in a file.
// The user must exist here, and has the rights given here.

import { readFile, stat } from 'node:fs/promises';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeJwt,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';
import { type Clock, type Counters, type Log, RequestError, StartError } from '../core/index.js';
import { reasonOf } from '../system-error.js';
import { EXPIRED_TOKEN, INVALID_TOKEN, LEEWAY_SECONDS, looksLikeToken } from './tokens.js';

export interface ProviderOptions {
  /** As it is called here. */
  readonly name: string;
  /** What its tokens have as `iss`, to the letter. */
  readonly issuer: string;
  /** What they have as `aud`: they are meant for this gateway. */
  readonly audience: string;
  /** Where its keys are: https, or http on this machine; null: in the file. */
  readonly jwksUrl: string | null;
  readonly jwksFile: string | null;
  /** With pairs of keys only: who verifies cannot sign. */
  readonly algorithms: readonly string[];
  /** The claim that names the user. */
  readonly userClaim: string;
}

/** Who somebody is, as a provider says. Times are wall clock milliseconds. */
export interface Voucher {
  readonly provider: string;
  readonly user: string;
  readonly expires: number;
  /** null: the provider does not say it. */
  readonly issued: number | null;
}

const TOKEN_MAX_BYTES = 16 * 1024;
const FETCH_TIMEOUT_MS = 5_000;
/** Keys that are not known are looked for again, but not for everybody who names some. */
const COOLDOWN_MS = 10_000;
const KEYS_MAX_AGE_MS = 600_000;
const KEYS_MAX_BYTES = 1024 * 1024;

export class Providers {
  readonly #byIssuer = new Map<string, Provider>();

  constructor(providers: readonly ProviderOptions[], clock: Clock, log: Log, counters: Counters) {
    for (const options of providers) this.#byIssuer.set(options.issuer, new Provider(options, clock, log, counters));
  }

  /** Rejects with StartError when a file cannot be used; a URL is asked when the first token comes. */
  async open(): Promise<void> {
    for (const provider of this.#byIssuer.values()) await provider.open();
  }

  /** Whether a text says of itself that it comes from one of them. */
  knows(token: string): boolean {
    return this.#find(token) !== undefined;
  }

  /** Rejects with RequestError NOT_AUTHENTICATED; OVERLOADED when the keys cannot be had now. */
  async verify(token: string): Promise<Voucher> {
    const provider = this.#find(token);
    if (provider === undefined) throw new RequestError('NOT_AUTHENTICATED', INVALID_TOKEN);
    return await provider.verify(token);
  }

  #find(token: string): Provider | undefined {
    if (this.#byIssuer.size === 0 || token.length > TOKEN_MAX_BYTES || !looksLikeToken(token)) return undefined;
    try {
      return this.#byIssuer.get(decodeJwt(token).iss ?? '');
    } catch {
      // It only looks like a token.
      return undefined;
    }
  }
}

class Provider {
  readonly #options: ProviderOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #unreachable: { add(): void };
  #keys: JWTVerifyGetKey;
  /** When the file was looked at, monotonic, and its time and size then. */
  #lookedAt = 0;
  #seen = '';
  #failing = false;

  constructor(options: ProviderOptions, clock: Clock, log: Log, counters: Counters) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#unreachable = counters.counter(
      'provider_failures_total',
      'Tokens that could not be checked because the keys of their provider cannot be had',
    );
    const remote = { timeoutDuration: FETCH_TIMEOUT_MS, cooldownDuration: COOLDOWN_MS, cacheMaxAge: KEYS_MAX_AGE_MS };
    this.#keys = options.jwksUrl === null ? createLocalJWKSet({ keys: [] }) : createRemoteJWKSet(new URL(options.jwksUrl), remote);
  }

  async open(): Promise<void> {
    const { name, jwksFile } = this.#options;
    if (jwksFile === null) return;
    try {
      await this.#readFile(jwksFile);
    } catch (error) {
      throw new StartError(`security.providers: the keys of ${name} in ${jwksFile} cannot be used: ${reasonOf(error)}`, { cause: error });
    }
  }

  async verify(token: string): Promise<Voucher> {
    try {
      return voucherOf(await this.#payload(token), this.#options);
    } catch (error) {
      if (error instanceof RequestError) throw error;
      throw this.#refusal(error);
    }
  }

  async #payload(token: string): Promise<JWTPayload> {
    try {
      return await this.#check(token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !(await this.#hasNewKeys())) throw error;
      return await this.#check(token);
    }
  }

  async #check(token: string): Promise<JWTPayload> {
    const { issuer, audience, algorithms, userClaim } = this.#options;
    const { payload } = await jwtVerify(token, this.#keys, {
      issuer,
      audience,
      algorithms: [...algorithms],
      clockTolerance: LEEWAY_SECONDS,
      currentDate: new Date(this.#clock.now()),
      requiredClaims: ['exp', userClaim],
    });
    this.#failing = false;
    return payload;
  }

  /** Whether the file has become another one. */
  async #hasNewKeys(): Promise<boolean> {
    const { jwksFile } = this.#options;
    if (jwksFile === null || this.#clock.monotonic() - this.#lookedAt < COOLDOWN_MS) return false;
    const before = this.#seen;
    await this.#readFile(jwksFile);
    return this.#seen !== before;
  }

  async #readFile(file: string): Promise<void> {
    this.#lookedAt = this.#clock.monotonic();
    const { size, mtimeMs } = await stat(file);
    const seen = `${size} ${mtimeMs}`;
    if (seen === this.#seen) return;
    if (size > KEYS_MAX_BYTES) throw new Error('it is too large');
    this.#keys = createLocalJWKSet(JSON.parse(await readFile(file, 'utf8')) as JSONWebKeySet);
    this.#seen = seen;
  }

  #refusal(error: unknown): RequestError {
    if (error instanceof errors.JWTExpired) return new RequestError('NOT_AUTHENTICATED', EXPIRED_TOKEN, { cause: error });
    if (isAboutToken(error)) return new RequestError('NOT_AUTHENTICATED', INVALID_TOKEN, { cause: error });
    this.#unreachable.add();
    if (!this.#failing)
      this.#log.warn({ err: error, provider: this.#options.name }, 'the keys of a provider cannot be fetched; its tokens are refused');
    this.#failing = true;
    return new RequestError('OVERLOADED', 'the keys of the provider cannot be fetched now: try again later', { cause: error });
  }
}

/** Else it is about where the keys are. */
function isAboutToken(error: unknown): boolean {
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return true;
  if (error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) return false;
  // What a URL answers when it does not answer with keys has this code.
  return error instanceof errors.JOSEError && error.code !== 'ERR_JOSE_GENERIC';
}

function voucherOf(payload: JWTPayload, { name, userClaim }: ProviderOptions): Voucher {
  const user = payload[userClaim];
  if (typeof user !== 'string' || user === '') throw new RequestError('NOT_AUTHENTICATED', INVALID_TOKEN);
  const issued = payload.iat === undefined ? null : payload.iat * 1_000;
  return { provider: name, user, expires: (payload.exp as number) * 1_000, issued };
}
