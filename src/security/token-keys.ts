// TokenKeys: the secrets that sign tokens. One signs; older ones still verify what they signed. They are in a file of
// the data directory that only its owner can read, unless the configuration gives them.

import { createHash, randomBytes, webcrypto } from 'node:crypto';
import { chmod, readFile, stat } from 'node:fs/promises';
import { type Clock, type Log, StartError } from '../core/index.js';
import { reasonOf } from '../system-error.js';
import { writeFileAtomically } from '../write-file.js';

export interface TokenKeyOptions {
  readonly file: string;
  /** Signs in place of the file's, which is not used then; null: the file. */
  readonly secret: string | null;
  /** Verifies only. */
  readonly previousSecret: string | null;
  /** A key of the file that is older is followed by a new one; 0: never. */
  readonly rotateMs: number;
  /** Usual life of a token at most; 0: there is no end to it, and old keys are kept. */
  readonly longestMs: number;
}

export type SigningKey = { readonly id: string; readonly key: webcrypto.CryptoKey };

/** As it stands in the file. Times are wall clock milliseconds. */
interface KeptKey {
  readonly id: string;
  readonly secret: string;
  readonly created: number;
  /** Nothing that it signed is good any more; null: it signs, or what it signed has no end. */
  readonly until: number | null;
  /** The latest end of what it signed that is good for longer than usual; null: something has no end. */
  readonly needed: number | null;
}

const SECRET_BYTES = 32;
const LOOK_EVERY_MS = 3_600_000;
/** Tokens are good for this much longer than they say. */
const LEEWAY_MS = 60_000;
const OTHERS = 0o077;

export class TokenKeys {
  readonly #options: TokenKeyOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Newest first: that one signs. */
  #kept: KeptKey[] = [];
  #keys = new Map<string, webcrypto.CryptoKey>();
  #signing: SigningKey | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Changes of the file come one after the other. */
  #changed: Promise<void> = Promise.resolve();
  /** Grows when a key comes or goes. */
  version = 0;

  constructor(options: TokenKeyOptions, clock: Clock, log: Log) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
  }

  /** Rejects with StartError. */
  async open(): Promise<void> {
    const { secret, previousSecret, rotateMs } = this.#options;
    if (secret !== null) {
      const given = [secret, ...(previousSecret === null ? [] : [previousSecret])];
      await this.#use(given.map((text) => ({ id: nameOf(text), secret: bytesOf(text), created: 0, until: null, needed: null })));
      return;
    }
    await this.#use(await this.#readFile());
    await this.#renew();
    if (rotateMs === 0) return;
    this.#timer = setInterval(() => this.#renewLater(), Math.min(LOOK_EVERY_MS, rotateMs));
    this.#timer.unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** A new key signs from now on. Not for keys of the configuration. Rejects with what the disk says; nothing has changed then. */
  async rotate(): Promise<void> {
    if (this.#options.secret !== null) throw new Error('the secret of the tokens is configured: change it there');
    await this.#inTurn(() => this.#rotate());
  }

  /** The key that signs now. It verifies until then, whatever comes after it; null: for good. Rejects as `rotate` does. */
  async signingUntil(end: number | null): Promise<SigningKey> {
    const { secret, longestMs } = this.#options;
    const isUsual = end !== null && end <= this.#clock.now() + longestMs;
    if (secret !== null || longestMs === 0 || isUsual) return this.signing;
    return await this.#inTurn(async () => {
      const [newest, ...others] = this.#kept as [KeptKey, ...KeptKey[]];
      if (newest.needed === null || (end !== null && end <= newest.needed)) return this.signing;
      const kept = [{ ...newest, needed: end }, ...others];
      await this.#write(kept);
      this.#kept = kept;
      return this.signing;
    });
  }

  async #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#changed.then(change);
    this.#changed = changed.then(nothing, nothing);
    return await changed;
  }

  async #rotate(): Promise<void> {
    const now = this.#clock.now();
    const { longestMs } = this.#options;
    const retired = this.#kept.map((key, place) => {
      if (place > 0 || longestMs === 0 || key.needed === null) return key;
      return { ...key, until: Math.max(now + longestMs, key.needed) + LEEWAY_MS };
    });
    const kept = [newKey(now), ...retired.filter(({ until }) => until === null || until > now)];
    await this.#write(kept);
    await this.#use(kept);
  }

  async #write(keys: readonly KeptKey[]): Promise<void> {
    await writeFileAtomically(this.#options.file, `${JSON.stringify({ keys })}\n`);
  }

  get signing(): SigningKey {
    if (this.#signing === null) throw new Error('the keys of the tokens are not open');
    return this.#signing;
  }

  verifying(id: string): webcrypto.CryptoKey | undefined {
    return this.#keys.get(id);
  }

  async #renew(): Promise<void> {
    const newest = this.#kept[0];
    const { rotateMs } = this.#options;
    if (newest !== undefined && (rotateMs === 0 || this.#clock.now() - newest.created < rotateMs)) return;
    try {
      await this.rotate();
    } catch (error) {
      throw new StartError(`cannot write ${this.#options.file}: ${reasonOf(error)}`, { cause: error });
    }
  }

  #renewLater(): void {
    this.#renew().catch((error: unknown) =>
      this.#log.error({ err: error }, 'the key that signs tokens could not be replaced; the current one stays'),
    );
  }

  async #use(kept: KeptKey[]): Promise<void> {
    const keys = new Map<string, webcrypto.CryptoKey>();
    for (const { id, secret } of kept) keys.set(id, await importKey(secret));
    this.#kept = kept;
    this.#keys = keys;
    this.version += 1;
    const newest = kept[0];
    if (newest !== undefined) this.#signing = { id: newest.id, key: keys.get(newest.id) as webcrypto.CryptoKey };
  }

  async #readFile(): Promise<KeptKey[]> {
    const { file } = this.#options;
    try {
      const text = await readFile(file, 'utf8');
      const { mode } = await stat(file);
      if ((mode & OTHERS) !== 0) {
        this.#log.warn({ file }, 'other users could read the token keys; the file is now restricted to its owner');
        await chmod(file, 0o600);
      }
      return keysIn(text);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      if (error instanceof SyntaxError) {
        throw new StartError(`${file} is damaged; delete it to create new keys, which makes all tokens invalid`, { cause: error });
      }
      throw new StartError(`cannot read ${file}: ${reasonOf(error)}`, { cause: error });
    }
  }
}

function nothing(): void {}

/** Throws SyntaxError. */
function keysIn(text: string): KeptKey[] {
  const { keys } = JSON.parse(text) as { keys?: unknown };
  if (!Array.isArray(keys) || !keys.every(isKept)) throw new SyntaxError('it holds no keys');
  return keys;
}

function isKept(value: unknown): value is KeptKey {
  if (typeof value !== 'object' || value === null) return false;
  const { id, secret, created, until, needed } = value as Record<string, unknown>;
  const isTimed = typeof created === 'number' && [until, needed].every((time) => time === null || typeof time === 'number');
  return typeof id === 'string' && typeof secret === 'string' && Buffer.from(secret, 'base64url').length >= SECRET_BYTES && isTimed;
}

function newKey(now: number): KeptKey {
  return {
    id: randomBytes(8).toString('base64url'),
    secret: randomBytes(SECRET_BYTES).toString('base64url'),
    created: now,
    until: null,
    needed: 0,
  };
}

/** A configured secret has the same name in every gateway. */
function nameOf(secret: string): string {
  return createHash('sha256').update(`name of ${secret}`).digest('base64url').slice(0, 11);
}

function bytesOf(secret: string): string {
  return Buffer.from(secret, 'utf8').toString('base64url');
}

async function importKey(secret: string): Promise<webcrypto.CryptoKey> {
  const bytes = Buffer.from(secret, 'base64url');
  return await webcrypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
}
