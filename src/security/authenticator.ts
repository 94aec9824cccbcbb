// Authenticator: finds out who a client is from its credentials: a token, a signature, a password, a certificate, or nothing. The first of
// these that is present is used. Refusals have the texts that happn clients know (happn-protocol.md 9.1).

import { createHash, randomBytes, randomUUID } from 'node:crypto';
import {
  ADMIN,
  ANONYMOUS,
  type Asker,
  type Audit,
  askerOf,
  type Clock,
  type Credentials,
  type DirectoryReader,
  hostOf,
  type Identity,
  isLoopbackPeer,
  type Log,
  Login,
  networkOf,
  type Policy,
  RequestError,
  SECURITY_LIMITS,
  type SecurityCommand,
  type Session,
  TokenExpired,
  type User,
} from '../core/index.js';
import type { Guesses } from './guesses.js';
import type { HashQueue } from './hash-queue.js';
import { isSameKey, type Nonces } from './nonces.js';
import { hashPassword, isPassword, PASSWORD_TEXT, type Verdict, verifyPassword } from './passwords.js';
import { isFrom, type Profiles } from './profiles.js';
import type { Providers } from './providers.js';
import { EXPIRED_TOKEN, LEEWAY_SECONDS, looksLikeToken, type TokenClaims, type Tokens, type TokenType } from './tokens.js';

export interface AuthenticatorOptions {
  /** Who shows nothing is the user ANONYMOUS. */
  readonly anonymous: boolean;
  /** ADMIN may log in from other machines. */
  readonly adminRemote: boolean;
  /** Who logs in as `Ann` is the user `ann`, unless there is an `Ann`. */
  readonly anyCase: boolean;
  /** Clients may name the provider that is to look at their credentials. */
  readonly chooseProvider: boolean;
  /** How long a token is good whose policy does not say it; 0: for good. */
  readonly tokenTtlMs: number;
}

export interface AuthenticatorParts {
  readonly options: AuthenticatorOptions;
  readonly directory: DirectoryReader;
  /** Has the core do it; rejects with its RequestError. `asker`: what the audit says of who asks; null: the gateway itself does. */
  readonly change: (command: SecurityCommand, asker: Asker | null) => Promise<void>;
  readonly tokens: Tokens;
  readonly providers: Providers;
  readonly nonces: Nonces;
  readonly guesses: Guesses;
  readonly queue: HashQueue;
  readonly profiles: Profiles;
  readonly clock: Clock;
  readonly log: Log;
  /** Is told of refused logins. */
  readonly audit: Pick<Audit, 'add'>;
  readonly wait: (ms: number) => Promise<void>;
}

/** Where a login comes from. */
export interface LoginPlace {
  readonly type: TokenType;
  /** Id of the session that it is for. */
  readonly session: string;
  readonly protocol: string;
}

/** A token that somebody logs in with. */
interface ShownToken {
  readonly id: string;
  readonly issued: number;
  /** Id of the session that it was made for; null: it was made elsewhere. */
  readonly parent: string | null;
  /** The login ends with it, whatever the policy; null: it does not. */
  readonly endsAt: number | null;
}

const INVALID = 'Invalid credentials';
const TYPES = ['stateless', 'stateful'] as const;
const NO_INFO: Readonly<Record<string, unknown>> = Object.freeze({});

export class Authenticator {
  readonly #parts: AuthenticatorParts;
  /** The token that a login came with. */
  readonly #shown = new WeakMap<Login, string>();
  /** Checked in place of the hash of a user who has none, so that nobody learns from the time it takes who there is. */
  #decoy = '';
  #origin = '';

  constructor(parts: AuthenticatorParts) {
    this.#parts = parts;
  }

  /** `origin`: id of this gateway, for its tokens. */
  async open(origin: string): Promise<void> {
    this.#origin = origin;
    this.#decoy = await hashPassword(randomBytes(32).toString('base64'));
  }

  /** For a connection. Rejects with RequestError: NOT_AUTHENTICATED, LOGIN_REFUSED, ACCOUNT_LOCKED, OVERLOADED. */
  async authenticate(credentials: Credentials, session: Session): Promise<Identity> {
    const place: LoginPlace = { type: 1, session: session.id, protocol: session.adapter };
    return await this.login({ address: hostOf(session.address), ...credentials }, place);
  }

  /** As `authenticate`. */
  async login(credentials: Credentials, place: LoginPlace): Promise<Identity> {
    try {
      return await this.#login(credentials, place);
    } catch (error) {
      this.#enterRefusal(error, credentials, place);
      throw error;
    }
  }

  /** What a client is to sign with its key. Throws RequestError INVALID_REQUEST, LIMIT_EXCEEDED. */
  nonce(publicKey: unknown): string {
    return this.#parts.nonces.request(publicKey);
  }

  /**
   * The token that stands for the login of a session, the same each time: the one that it came with, or one that is made. Rejects with
   * RequestError NOT_AUTHENTICATED for somebody who has not logged in.
   */
  async tokenOf({ name, login, principal }: Identity, session: string): Promise<string> {
    if (login === null || principal === null) throw new RequestError('NOT_AUTHENTICATED', INVALID);
    const known = this.#shown.get(login);
    if (known !== undefined) return known;
    const { tokenId, type, issued, policy } = login;
    const ttlMs = policy.ttlMs === 0 ? this.#parts.options.tokenTtlMs : policy.ttlMs;
    const token = await this.#parts.tokens.issue({
      id: tokenId,
      user: name,
      userId: principal.userId,
      issued,
      expires: ttlMs === 0 ? null : issued + ttlMs,
      type: type === 'stateless' ? 0 : 1,
      origin: this.#origin,
      parent: session,
      policy: policy.name,
    });
    this.#shown.set(login, token);
    return token;
  }

  /** Ends the login of a session, and of all others that used its token. Kept for as long as the token could be used. */
  async revoke(identity: Identity, protocol: string, address: string): Promise<void> {
    await this.#parts.change(this.revocationOf(identity), askerOf(identity, protocol, address));
  }

  /** Throws RequestError NOT_AUTHENTICATED for somebody who has not logged in. */
  revocationOf({ login }: Identity): SecurityCommand {
    if (login === null) throw new RequestError('NOT_AUTHENTICATED', INVALID);
    const ttlMs = login.policy.ttlMs === 0 ? this.#parts.options.tokenTtlMs : login.policy.ttlMs;
    const until = ttlMs === 0 ? Number.POSITIVE_INFINITY : login.issued + ttlMs + 2 * LEEWAY_SECONDS * 1_000;
    return { type: 'revoke', tokenId: login.tokenId, until };
  }

  /**
   * Rejects with RequestError INVALID_REQUEST when the old password is wrong or the new one cannot be used; guesses at the old one are
   * slowed down as those at a login.
   */
  async changePassword(session: Session, oldPassword: unknown, newPassword: unknown): Promise<void> {
    const { name } = session.identity;
    const address = hostOf(session.address);
    if (typeof oldPassword !== 'string' || typeof newPassword !== 'string' || oldPassword === '' || newPassword === '') {
      throw new RequestError('INVALID_REQUEST', 'Invalid parameters: oldPassword and newPassword required');
    }
    if (!isPassword(newPassword)) throw new RequestError('INVALID_REQUEST', `the new password must be ${PASSWORD_TEXT}`);
    const user = this.#parts.directory.user(name);
    if (user === null || (await this.#verdict(user, name, oldPassword, address)) === 'wrong') {
      const event = { action: 'user.password', actor: name, target: name, refusal: 'INVALID_REQUEST' } as const;
      this.#parts.audit.add({ ...event, protocol: session.adapter, address, details: { own: true } });
      throw new RequestError('INVALID_REQUEST', 'Invalid old password');
    }
    const to = await this.#parts.queue.run(() => hashPassword(newPassword));
    await this.#parts.change({ type: 'password', name, from: user.password, to, endsTokens: true }, session.asker);
  }

  async #login(credentials: Credentials, place: LoginPlace): Promise<Identity> {
    const { username, password, token, digest, publicKey, certificateUser, provider } = credentials;
    if (provider !== undefined && !this.#parts.options.chooseProvider) {
      throw refused('Invalid credentials: security policy disallows choosing of own auth provider');
    }
    if (username === ADMIN) this.#checkAdmin(credentials);
    if (token !== undefined) return await this.#byToken(token, credentials, place);
    if (digest !== undefined) return this.#byDigest(username ?? '', publicKey ?? '', digest, credentials, place);
    if (username === ANONYMOUS) return this.#anonymous(credentials, place);
    if (password !== undefined) return await this.#byPassword(username ?? '', password, credentials, place);
    if (certificateUser !== undefined) return this.#byCertificate(certificateUser, credentials, place);
    if (!username && this.#parts.options.anonymous) return this.#anonymous(credentials, place);
    throw refused(INVALID);
  }

  async #byToken(token: string, credentials: Credentials, place: LoginPlace): Promise<Identity> {
    const { tokens, providers, directory } = this.#parts;
    if (providers.knows(token)) return await this.#byVoucher(token, credentials, place);
    const claims = await tokens.verify(token);
    const user = directory.user(claims.user);
    // Somebody who was deleted and made again is another one.
    if (user === null || user.id !== claims.userId || !this.#isNamed(credentials, user)) throw refused(INVALID);
    if (directory.isRevoked(user, { tokenId: claims.id, issued: claims.issued })) {
      throw new RequestError('LOGIN_REFUSED', 'token has been revoked');
    }
    if (place.type === 1 && claims.type === 0) {
      const text = 'token was created using the login type 0, which does not match how the new token is to be created';
      throw new RequestError('LOGIN_REFUSED', text);
    }
    this.#checkTokenPolicy(claims, this.#policy(user, credentials, { ...place, type: claims.type }));
    const identity = this.#enter(user, credentials, place, { ...claims, endsAt: claims.expires });
    this.#shown.set(identity.login as Login, token);
    return identity;
  }

  /** Under the profile that it was made under; when that is gone, under the one that it would be made under now. */
  #checkTokenPolicy(claims: TokenClaims, now: Policy): void {
    const policy = (claims.policy === null ? null : this.#parts.profiles.named(claims.policy)) ?? now;
    if (policy.disallowTokenLogins) throw new RequestError('LOGIN_REFUSED', 'logins with this token are disallowed by policy');
    if (policy.lockTokenToOrigin && claims.origin !== this.#origin) {
      throw new RequestError('LOGIN_REFUSED', 'this token is locked to a different origin by policy');
    }
  }

  /** The login lasts as long as the provider's token. */
  async #byVoucher(token: string, credentials: Credentials, place: LoginPlace): Promise<Identity> {
    const { providers, directory, clock } = this.#parts;
    const voucher = await providers.verify(token);
    const user = this.#userNamed(voucher.user);
    const id = `${voucher.provider}:${createHash('sha256').update(signedPart(token)).digest('base64url')}`;
    const now = clock.now();
    const issued = Math.min(now, voucher.issued ?? now);
    if (user === null || !this.#isNamed(credentials, user)) throw refused(INVALID);
    if (directory.isRevoked(user, { tokenId: id, issued })) throw new RequestError('LOGIN_REFUSED', 'token has been revoked');
    return this.#enter(user, credentials, place, { id, issued: now, parent: null, endsAt: voucher.expires });
  }

  /** The same is done whether there is such a user, and whatever the key. */
  #byDigest(username: string, publicKey: string, digest: string, credentials: Credentials, place: LoginPlace): Identity {
    const user = this.#userNamed(username);
    const isSigned = this.#parts.nonces.check(publicKey, digest);
    const isTheirs = user !== null && user.publicKey !== null && isSameKey(user.publicKey, publicKey);
    if (!isSigned || !isTheirs) throw refused(INVALID);
    return this.#enter(user, credentials, place, null);
  }

  async #byPassword(username: string, password: string | Uint8Array, credentials: Credentials, place: LoginPlace): Promise<Identity> {
    const { tokens, providers } = this.#parts;
    const token = tokenIn(password);
    if (token !== null && (tokens.isOurs(token) || providers.knows(token))) return await this.#byToken(token, credentials, place);
    const before = this.#userNamed(username);
    const verdict = await this.#verdict(before, username, password, credentials.address ?? '');
    const user = this.#userNamed(username);
    // Meanwhile it may have been deleted, or given another password.
    if (verdict === 'wrong' || user === null || user.id !== before?.id || user.password !== before.password) throw refused(INVALID);
    if (verdict === 'renew') this.#renew(user, password);
    return this.#enter(user, credentials, place, null);
  }

  /** After the time that earlier guesses cost. What is wrong is counted as one. */
  async #verdict(user: User | null, name: string, password: string | Uint8Array, address: string): Promise<Verdict> {
    const { guesses, queue, wait } = this.#parts;
    // All names that nobody can have are one to those who count guesses.
    const counted = user?.name ?? (Buffer.byteLength(name) <= SECURITY_LIMITS.nameBytes ? this.#plainName(name) : '');
    const waitMs = guesses.begin(address, counted);
    if (waitMs > 0) await wait(waitMs);
    const hash = user?.password ?? null;
    const verdict = await queue.run(() => verifyPassword(password, hash ?? this.#decoy), isHere(address) ? '' : networkOf(address));
    const isRight = hash !== null && verdict !== 'wrong';
    if (isRight) guesses.succeeded(address, counted);
    else guesses.failed(address, counted);
    return isRight ? verdict : 'wrong';
  }

  /** A hash of an older form gives way to one of ours, beside the login. */
  #renew({ name, password: from }: User, password: string | Uint8Array): void {
    const { queue, change, log } = this.#parts;
    const renewal = async (): Promise<void> => {
      const to = await queue.run(() => hashPassword(password));
      await change({ type: 'password', name, from, to, endsTokens: false }, null);
    };
    renewal().catch((error: unknown) =>
      log.warn({ err: error, user: name }, 'the hash of a password could not be renewed; the next login tries again'),
    );
  }

  #byCertificate(certificateUser: string, credentials: Credentials, place: LoginPlace): Identity {
    const user = this.#userNamed(certificateUser);
    if (user === null || !this.#isNamed(credentials, user)) throw refused(INVALID);
    return this.#enter(user, credentials, place, null);
  }

  #anonymous(credentials: Credentials, place: LoginPlace): Identity {
    const user = this.#parts.options.anonymous ? this.#parts.directory.user(ANONYMOUS) : null;
    if (user === null) throw refused('Anonymous access is disabled');
    return this.#enter(user, credentials, place, null);
  }

  /** Whom a name that somebody gives stands for. */
  #userNamed(name: string): User | null {
    const { directory } = this.#parts;
    return directory.user(name) ?? directory.user(this.#plainName(name));
  }

  #plainName(name: string): string {
    return this.#parts.options.anyCase ? name.toLowerCase() : name;
  }

  /** A name that is given beside what says who somebody is must stand for the same user. */
  #isNamed({ username }: Credentials, user: User): boolean {
    return username === undefined || username === '' || this.#userNamed(username) === user;
  }

  /** `token`: what it is by; null: it begins now. */
  #enter(user: User, credentials: Credentials, place: LoginPlace, token: ShownToken | null): Identity {
    const { clock, directory } = this.#parts;
    const now = clock.now();
    const general = this.#policy(user, credentials, place);
    const { id, issued, parent, endsAt } = token ?? { id: randomUUID(), issued: now, parent: null, endsAt: null };
    const policy = limited(general, endsAt, issued);
    if (user.name === ADMIN) this.#checkAdmin(credentials);
    if (!isFrom(policy, credentials.address ?? '')) throw refused('Source address access restricted');
    if (policy.ttlMs !== 0 && now > issued + policy.ttlMs) throw new TokenExpired(user.name, EXPIRED_TOKEN);
    const principal = directory.principal(user.name, general);
    if (principal === null) throw refused(INVALID);
    return { name: user.name, principal, login: new Login(id, TYPES[place.type], parent, issued, policy, now) };
  }

  #checkAdmin({ address = '' }: Credentials): void {
    if (this.#parts.options.adminRemote || isHere(address)) return;
    throw new RequestError('LOGIN_REFUSED', 'use of _ADMIN credentials over the network is disabled');
  }

  #policy(user: User, { info, address }: Credentials, { type, protocol }: LoginPlace): Policy {
    return this.#parts.profiles.policyFor({ user, info: info ?? NO_INFO, type, address: address ?? '', protocol });
  }

  #enterRefusal(error: unknown, { username, certificateUser, address }: Credentials, { protocol }: LoginPlace): void {
    const refusal = error instanceof RequestError ? error.code : 'INTERNAL';
    const details = { reason: error instanceof RequestError ? error.message : 'the gateway failed' };
    const target = username ?? certificateUser ?? '';
    this.#parts.audit.add({ action: 'login', actor: '', target, refusal, protocol, address: address ?? '', details });
  }
}

function refused(text: string): RequestError {
  return new RequestError('NOT_AUTHENTICATED', text);
}

/** The policy of a login that ends with what it is by, at the latest. */
function limited(policy: Policy, endsAt: number | null, issued: number): Policy {
  if (endsAt === null) return policy;
  const ttlMs = Math.max(1, endsAt - issued);
  return { ...policy, ttlMs: policy.ttlMs === 0 ? ttlMs : Math.min(policy.ttlMs, ttlMs) };
}

/** Without the signature, which can be written in more than one way. */
function signedPart(token: string): string {
  return token.slice(0, token.lastIndexOf('.'));
}

/** MQTT clients have no other place for one. */
function tokenIn(password: string | Uint8Array): string | null {
  const text = typeof password === 'string' ? password : Buffer.from(password).toString('latin1');
  return looksLikeToken(text) ? text : null;
}

/** In the same process there is no address. */
function isHere(address: string): boolean {
  return address === '' || isLoopbackPeer(address);
}
