// Security: everything that a gateway with users has beside its core: keys, tokens, passwords, profiles and providers behind one
// authenticator, and the initial users.

import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Asker, Audit, Clock, Counters, DirectoryReader, Format, Log, SecurityCommand } from '../core/index.js';
import { DECLARED_FILE, TOKEN_KEYS_FILE } from '../data-directory.js';
import { Authenticator, type AuthenticatorOptions } from './authenticator.js';
import { applyBaseline, type DeclaredGroup, type DeclaredUser } from './baseline.js';
import { Guesses, type LockoutOptions, MAX_KEPT } from './guesses.js';
import { HashQueue } from './hash-queue.js';
import { Nonces } from './nonces.js';
import { hashPassword } from './passwords.js';
import { type ProfileOptions, Profiles } from './profiles.js';
import { type ProviderOptions, Providers } from './providers.js';
import { type FirstPassword, makeAdmin, makeAnonymous, type SetupParts } from './setup.js';
import { TokenKeys } from './token-keys.js';
import { Tokens } from './tokens.js';

export interface SecurityOptions extends Omit<AuthenticatorOptions, 'tokenTtlMs' | 'anyCase'> {
  readonly usernamesCaseInsensitive: boolean;
  readonly tokens: {
    readonly ttlMs: number;
    readonly rotateMs: number;
    readonly secret: string | null;
    readonly previousSecret: string | null;
  };
  readonly lockout: LockoutOptions;
  readonly profiles: readonly ProfileOptions[];
  readonly providers: readonly ProviderOptions[];
  readonly groups: readonly DeclaredGroup[];
  readonly users: readonly DeclaredUser[];
  readonly admin: FirstPassword;
  readonly dataDir: string;
}

export interface SecurityParts {
  readonly directory: DirectoryReader;
  /** As of AuthenticatorParts. */
  readonly change: (command: SecurityCommand, asker: Asker | null) => Promise<void>;
  /** Is told the password of _ADMIN when one was made, this once. */
  readonly tell: (password: string) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly format: Format;
  readonly audit: Pick<Audit, 'add'>;
}

export class Security {
  readonly authenticator: Authenticator;
  readonly #options: SecurityOptions;
  readonly #parts: SecurityParts;
  readonly #keys: TokenKeys;
  readonly #providers: Providers;
  /** Where all passwords of this gateway are hashed. */
  readonly queue: HashQueue;

  constructor(options: SecurityOptions, parts: SecurityParts) {
    this.#options = options;
    this.#parts = parts;
    const { clock, log, counters } = parts;
    const { ttlMs: tokenTtlMs, ...keyOptions } = options.tokens;
    const profiles = new Profiles(options.profiles, parts.format, tokenTtlMs);
    const longestMs = tokenTtlMs === 0 ? 0 : Math.max(tokenTtlMs, profiles.longestMs);
    this.#keys = new TokenKeys({ ...keyOptions, file: join(options.dataDir, TOKEN_KEYS_FILE), longestMs }, clock, log);
    this.#providers = new Providers(options.providers, clock, log, counters);
    this.queue = new HashQueue(counters);
    const { anonymous, adminRemote, chooseProvider, usernamesCaseInsensitive: anyCase } = options;
    this.authenticator = new Authenticator({
      options: { anonymous, adminRemote, anyCase, chooseProvider, tokenTtlMs },
      directory: parts.directory,
      change: parts.change,
      tokens: new Tokens(this.#keys, clock),
      providers: this.#providers,
      nonces: new Nonces(clock),
      guesses: new Guesses(clock, counters, options.lockout, MAX_KEPT, {
        until: (user) => parts.directory.lockedUntil(user),
        lock: (name, until) => parts.change({ type: 'lock', name, until }, null),
      }),
      queue: this.queue,
      profiles,
      clock,
      log,
      audit: parts.audit,
      wait: async (ms) => void (await delay(ms, undefined, { ref: false })),
    });
  }

  /** After the core has started, before anybody can connect. `origin`: id of this gateway. Rejects with StartError. */
  async open(origin: string): Promise<void> {
    const { admin, anonymous, groups, users, dataDir } = this.#options;
    await this.#keys.open();
    await this.#providers.open();
    await this.authenticator.open(origin);
    const change = (command: SecurityCommand): Promise<void> => this.#parts.change(command, null);
    const parts: SetupParts = { ...this.#parts, change, hash: (password) => this.queue.run(() => hashPassword(password)) };
    await makeAdmin(admin, parts);
    await applyBaseline(groups, users, { ...parts, log: this.#parts.log, file: join(dataDir, DECLARED_FILE) });
    if (anonymous) await makeAnonymous(parts);
  }

  close(): void {
    this.#keys.close();
  }
}
