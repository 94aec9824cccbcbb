// Scrypt for tests in which what a password costs is not the subject: the same function with the least cost. What it was asked for is
// written down, so that a test can say whether two ways cost the same on every machine.

import type { BinaryLike, ScryptOptions } from 'node:crypto';

type Crypto = typeof import('node:crypto');
type Done = (error: Error | null, key: Buffer) => void;

/** `N r p BYTES` of every derivation so far. */
export const derived: string[] = [];

/** For `vi.mock('node:crypto')`. */
export function withCheapScrypt(crypto: Crypto): Crypto {
  const scrypt = (password: BinaryLike, salt: BinaryLike, bytes: number, options: ScryptOptions, done: Done): void => {
    derived.push(`${options.N} ${options.r} ${options.p} ${bytes}`);
    crypto.scrypt(password, salt, bytes, { ...options, N: 2 }, done);
  };
  return { ...crypto, scrypt: scrypt as Crypto['scrypt'] };
}
