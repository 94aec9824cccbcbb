// Passwords: how they are stored and checked. New ones with scrypt; hashes from happn are checked as they are, and
// should be replaced. Each hash says how it was made.

import { pbkdf2, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

/** In bytes of UTF-8; a longer one is right for nobody. */
export const PASSWORD_MAX_BYTES = 1_024;

/** What a new password has to be, as it reads after "must be". */
export const PASSWORD_TEXT = `a text of 1 to ${PASSWORD_MAX_BYTES} bytes`;

/** About 100 ms of one core and 32 MiB. */
const COST = { exponent: 15, blockSize: 8, parallel: 1 };
const KEY_BYTES = 32;
const SALT_BYTES = 16;
/** What a hash that somebody imports may ask of this process. */
const MOST = { exponent: 17, blockSize: 8, parallel: 4, iterations: 1_000_000, keyBytes: 128, saltBytes: 256 };

const derivePbkdf2 = promisify(pbkdf2);
const deriveScrypt = promisify<string | Uint8Array, Uint8Array, number, object, Buffer>(scrypt);

/** `renew`: it is right, and its hash is of a form that is to be replaced. */
export type Verdict = 'wrong' | 'right' | 'renew';

type Hash =
  | ({ readonly kind: 'scrypt'; readonly exponent: number; readonly blockSize: number; readonly parallel: number } & Bytes)
  | ({ readonly kind: 'pbkdf2'; readonly iterations: number; readonly digest: string } & Bytes);

interface Bytes {
  readonly key: Buffer;
  readonly salt: Buffer;
}

/** `scrypt$15$8$1$SALT$KEY`: exponent of the cost, block size, parallel parts; salt and key in base64url. */
export async function hashPassword(password: string | Uint8Array): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const { exponent, blockSize, parallel } = COST;
  const key = await deriveScrypt(password, salt, KEY_BYTES, scryptOptions(COST));
  return ['scrypt', exponent, blockSize, parallel, salt.toString('base64url'), key.toString('base64url')].join('$');
}

/** Whether it may become somebody's. How good it is, is the matter of whoever chooses it. */
export function isPassword(text: string): boolean {
  return text !== '' && text.isWellFormed() && Buffer.byteLength(text) <= PASSWORD_MAX_BYTES;
}

/** Whether a text is a hash that `verifyPassword` can check. */
export function isPasswordHash(text: string): boolean {
  return parse(text) !== null;
}

/**
 * A hash that is of no known form, or asks for too much work, is `wrong` for every password. What is wrong against a cheaper hash costs as
 * much as one of ours, so that the time does not tell that there is one.
 */
export async function verifyPassword(password: string | Uint8Array, hash: string): Promise<Verdict> {
  const parsed = parse(hash);
  if (parsed === null || Buffer.byteLength(password) > PASSWORD_MAX_BYTES) return 'wrong';
  if (parsed.kind === 'scrypt') {
    const key = await deriveScrypt(password, parsed.salt, parsed.key.length, scryptOptions(parsed));
    if (parsed.exponent >= COST.exponent) return timingSafeEqual(key, parsed.key) ? 'right' : 'wrong';
    return await cheap(timingSafeEqual(key, parsed.key), password);
  }
  const key = await derivePbkdf2(password, parsed.salt, parsed.iterations, parsed.key.length, parsed.digest);
  return await cheap(timingSafeEqual(key, parsed.key), password);
}

/** What is right is renewed by its user's login, which costs the same. */
async function cheap(isRight: boolean, password: string | Uint8Array): Promise<Verdict> {
  if (isRight) return 'renew';
  await hashPassword(password);
  return 'wrong';
}

function scryptOptions({ exponent, blockSize, parallel }: typeof COST): object {
  const maxmem = 256 * blockSize * (2 ** exponent + parallel + 2);
  return { N: 2 ** exponent, r: blockSize, p: parallel, maxmem };
}

function parse(text: string): Hash | null {
  const parts = text.split('$');
  const hash = parts[0] === 'scrypt' ? parseScrypt(parts) : parts[0] === 'pbkdf2' ? parsePbkdf2(parts) : null;
  if (hash === null || !isWithin(hash.key.length, MOST.keyBytes) || !isWithin(hash.salt.length, MOST.saltBytes)) return null;
  return hash.key.length < 16 ? null : hash;
}

function parseScrypt(parts: readonly string[]): Hash | null {
  const [, exponent, blockSize, parallel] = parts.map(Number) as [number, number, number, number];
  const [salt, key] = [parts[4], parts[5]];
  if (parts.length !== 6 || salt === undefined || key === undefined) return null;
  if (!isWithin(exponent, MOST.exponent) || !isWithin(blockSize, MOST.blockSize) || !isWithin(parallel, MOST.parallel)) return null;
  return { kind: 'scrypt', exponent, blockSize, parallel, salt: Buffer.from(salt, 'base64url'), key: Buffer.from(key, 'base64url') };
}

/** `pbkdf2$ITERATIONS$KEY$SALT`, in hex, and behind it the digest: SHA-1 in the oldest, which do not say it. */
function parsePbkdf2(parts: readonly string[]): Hash | null {
  const [, iterations, key = '', salt = '', digest = 'sha1'] = parts;
  if (parts.length > 5 || (digest !== 'sha1' && digest !== 'sha512')) return null;
  if (!isWithin(Number(iterations), MOST.iterations) || !isHex(key) || !isHex(salt)) return null;
  return { kind: 'pbkdf2', iterations: Number(iterations), digest, key: Buffer.from(key, 'hex'), salt: Buffer.from(salt, 'hex') };
}

function isWithin(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= most;
}

function isHex(text: string): boolean {
  return /^([0-9a-f]{2})+$/.test(text);
}
