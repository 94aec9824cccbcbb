// Nonces: what a client signs with its key to log in without a password. A nonce is valid for one key, and for one login.

import { createHash, createPublicKey, type KeyObject, type PublicKeyInput, randomBytes, verify } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Clock, RequestError } from '../core/index.js';

const NONCE_LIFE_MS = 60_000;
/** Keys with a nonce; the one that asked longest ago loses it first. */
const MAX_NONCES = 10_000;
const KEY_MAX_BYTES = 4 * 1024;
const DIGEST_MAX_BYTES = 2 * 1024;
/** What checking a signature may cost grows with both. */
const MODULUS = { min: 2_048, max: 8_192 };
const EXPONENT_MAX = 2n ** 32n;
/** What stands before a point on secp256k1, compressed (33 bytes) or not (65), where a key is written as SubjectPublicKeyInfo (RFC 5480). */
const POINT_HEADS: ReadonlyMap<number, Buffer> = new Map([
  [33, Buffer.from('3036301006072a8648ce3d020106052b8104000a032200', 'hex')],
  [65, Buffer.from('3056301006072a8648ce3d020106052b8104000a034200', 'hex')],
]);

interface Nonce {
  /** SHA-256 of `source` in base64. */
  readonly text: string;
  readonly source: Buffer;
  /** Monotonic. */
  readonly until: number;
}

export class Nonces {
  readonly #clock: Clock;
  readonly #nonces: LRUCache<string, Nonce>;

  constructor(clock: Clock, max = MAX_NONCES) {
    this.#clock = clock;
    this.#nonces = new LRUCache({ max });
  }

  /** A text in base64, good for 60 s; it replaces an earlier one of this key. Throws RequestError INVALID_REQUEST, LIMIT_EXCEEDED (the key). */
  request(publicKey: unknown): string {
    if (typeof publicKey !== 'string' || publicKey === '') throw new RequestError('INVALID_REQUEST', 'no public key with request');
    if (Buffer.byteLength(publicKey) > KEY_MAX_BYTES) throw new RequestError('LIMIT_EXCEEDED', 'the public key is too long');
    const source = randomBytes(32);
    const text = createHash('sha256').update(source).digest('base64');
    this.#nonces.set(nameOf(publicKey), { text, source, until: this.#clock.monotonic() + NONCE_LIFE_MS });
    return text;
  }

  /** Whether `digest` is the signature of this key on its nonce, which is used up then. */
  check(publicKey: string, digest: string): boolean {
    if (Buffer.byteLength(publicKey) > KEY_MAX_BYTES) return false;
    const nonce = this.#nonces.get(nameOf(publicKey));
    if (nonce === undefined || nonce.until < this.#clock.monotonic()) return false;
    if (!isSigned(nonce.text, publicKey, digest) && !isSignedAsHash(nonce.source, publicKey, digest)) return false;
    this.#nonces.delete(nameOf(publicKey));
    return true;
  }
}

/** RSA with SHA-256 over the bytes that the nonce stands for; key in PEM form, signature in base64. */
export function isSigned(nonce: string, publicKey: string, digest: string): boolean {
  if (Buffer.byteLength(digest) > DIGEST_MAX_BYTES) return false;
  const key = readKey(publicKey);
  if (key === null || !isUsable(key)) return false;
  return verify('sha256', Buffer.from(nonce, 'base64'), key, Buffer.from(digest, 'base64'));
}

/**
 * As clients until version 11 sign: ECDSA over the nonce as it is, for it is a hash already; key as a point on secp256k1 and signature
 * in base64. `source`: what it is the hash of, because a signature is checked on that.
 */
export function isSignedAsHash(source: Buffer, publicKey: string, digest: string): boolean {
  if (Buffer.byteLength(digest) > DIGEST_MAX_BYTES) return false;
  const key = readPoint(publicKey);
  return key !== null && verify('sha256', source, key, Buffer.from(digest, 'base64'));
}

/** Whether two texts are the same key: line breaks at the end are not part of it. */
export function isSameKey(a: string, b: string): boolean {
  return a.trim() === b.trim();
}

function isUsable(key: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = EXPONENT_MAX } = key.asymmetricKeyDetails ?? {};
  const isSized = modulusLength >= MODULUS.min && modulusLength <= MODULUS.max;
  return key.asymmetricKeyType === 'rsa' && isSized && publicExponent < EXPONENT_MAX;
}

/** null: the text is no key. */
function readKey(text: string | PublicKeyInput): KeyObject | null {
  try {
    return createPublicKey(text);
  } catch {
    // Whatever it is that node cannot read: the client has no such key.
    return null;
  }
}

function readPoint(text: string): KeyObject | null {
  const point = Buffer.from(text, 'base64');
  const head = POINT_HEADS.get(point.length);
  return head === undefined ? null : readKey({ key: Buffer.concat([head, point]), format: 'der', type: 'spki' });
}

function nameOf(publicKey: string): string {
  return createHash('sha256').update(publicKey.trim()).digest('base64');
}
