// A client shows with a signature on a nonce that it has the key; a nonce is good once, for its key, and for a minute.

import { ECDH, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isSameKey, isSigned, isSignedAsHash, Nonces } from '../../src/security/nonces.js';
import { SetClock } from '../support/set-clock.js';

/** What a client of happn-3 13.12.1 sent. */
const KEY =
  '-----BEGIN RSA PUBLIC KEY-----\nMIIBCgKCAQEAxeBqfemZwpSlbFBLY3NFX+Hk+u3sREE8zTlHXOZZd7mTn+GGYykc\nb80qrvHGh4dmRk' +
  'f1eiTSlYQew3dJMqiJWYzqDTeKgEVRpXgo2z4yqdSWG98rXc/2\nti3YObReni6I1UEo7ALlfteFrN7k368WsE/RXOzEouOnfA/ahUe5pkt6OzO' +
  'WyKCC\ntu9gG3rSYKiXbxVo//r2A8jvfp/BRyTwO+XJXT8ncYwTume+3sYU/HR6YATdf+mG\nvPEYC/WsDBj8UB90oyE8E4Zx+iFIkNKjcjw3tbW' +
  'I78dSNZzti1rZ+GI+8uBy7n7d\nQKBqieej5/Q6fGvNwsaLUZeEFINEncgrJwIDAQAB\n-----END RSA PUBLIC KEY-----\n';
const NONCE = 'lZkX+eEHHDh++p6BTqB+bL+VMVIwxCrEIgnPViRLjh4=';
const DIGEST =
  'inoyy1UCjhw1LQAaJ6xOjS4WdDKvinr0Mky4R6ilJOyJAZhPDyXkXLPhMVAH3VLHCl76e4nEKrbE1VHg/sucxN/vadOVHik7C31ZuufWNdf9ea' +
  'CbWoGpLzWHOXwtHRgv8ZT9t/k85oPKhX1bMr4IakowsqatNeAiQmSKm8V6lcfBpCg6Z6/LHigVXxx2kLmma+RKaNc71+6iuxjLqtgVVN4ixpB3' +
  'Ou2Mo6Z/SgSkRRwLbvc5wBbWNeWqtalABkGlwqWJgz32H1aH/3CYcGfsKXECLZ/5Sq6/Gj2HHx6GK7J4MNSSsFCuj40ilN14moZaXsQ7rUsKwt' +
  'NqqWapCDdw3A==';
/** Of another key. */
const FOREIGN =
  'TzUljwHGaEqi2nfM0FWLhpAf5amh2UCwEGHcxM9lyf/4y35rSWyWvNBRHijxULbn2BcjIaZvE9hAmGqKWi+9K5QVni9GfU9bQcgtEMZCkaWdeQ' +
  'cyyEl42OcelazSOtUghehu24i3905XooMtKdZK4NfMUKLy+G/uaJ2UQzVY9zlZM+YfLy5yUcI5kslFcnFRwjzw/jvsYRmKLjPpDylEoXAztX2/' +
  'pskQYisC3joHxLGfymJIBCXsPK7ggg/6U901Yjk3Etu+vuP/jzFTakws9htgeEHxFdTNte6790qy3d6VXXdAWxCRMAT+NEHa5O6UxjPMTnW70p' +
  '013WWhpAh45A==';

/** What a client of happn-3 10.6.0 made of a nonce, what that is the hash of, and what another key made of it. */
const POINT = 'A8EGnxoMbUpVY5uYsZtphqG5Mq1CJrMCT8kM+4FyhllU';
const SOURCE = Buffer.from('X49hRgodOmR9xoWQ2uEoYux+qIrtGGqG5i4ojx8Kur8=', 'base64');
const ECDSA = 'MEQCIBQeQBftaXNMEBB6gF+vPD3VHvTek1fxtbR0FQ9ABd7iAiAZLIgZlf/cT3jKVNG5ogGMTAoVatPjjvxQOJwJHRcUPw==';
const FOREIGN_ECDSA = 'MEUCIQCtWQDYSkjI42ODxDBwyJAM6nDx1XKXVPCFRutkXmtApgIgbYdNa2Z8TE4MSM8C/F0QUf+g/Si2QA4EpVHmbo2Q1as=';

function keyPair(bits = 2_048) {
  return generateKeyPairSync('rsa', {
    modulusLength: bits,
    publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
}

function signed(nonce: string, privateKey: string): string {
  return sign('sha256', Buffer.from(nonce, 'base64'), privateKey).toString('base64');
}

describe('a digest', () => {
  it('of a real client is right for its key and nonce only', () => {
    expect(isSigned(NONCE, KEY, DIGEST)).toBe(true);
    expect(isSigned(NONCE, KEY, FOREIGN)).toBe(false);
    expect(isSigned(NONCE.replace('l', 'm'), KEY, DIGEST)).toBe(false);
    expect(isSigned(NONCE, keyPair().publicKey, DIGEST)).toBe(false);
  });

  it('is wrong when key or signature are none', () => {
    for (const key of ['', 'nonsense', KEY.replace('MIIB', 'XIIB'), KEY.slice(0, 100)]) expect(isSigned(NONCE, key, DIGEST)).toBe(false);
    for (const digest of ['', 'nonsense', 'A'.repeat(5_000)]) expect(isSigned(NONCE, KEY, digest)).toBe(false);
  });

  it('of a client until version 11 is right for its key and nonce only', () => {
    expect(isSignedAsHash(SOURCE, POINT, ECDSA)).toBe(true);
    expect(isSignedAsHash(SOURCE, ECDH.convertKey(POINT, 'secp256k1', 'base64', 'base64', 'uncompressed') as string, ECDSA)).toBe(true);
    expect(isSignedAsHash(SOURCE, POINT, FOREIGN_ECDSA)).toBe(false);
    expect(isSignedAsHash(Buffer.alloc(32), POINT, ECDSA)).toBe(false);
    for (const key of ['', 'nonsense', KEY, 'A'.repeat(44), 'B'.repeat(44), 'A'.repeat(88)])
      expect(isSignedAsHash(SOURCE, key, ECDSA)).toBe(false);
    for (const digest of ['', 'nonsense', 'A'.repeat(5_000)]) expect(isSignedAsHash(SOURCE, POINT, digest)).toBe(false);
  });

  it('of a short key is not looked at, nor of a key of another kind', () => {
    const short = keyPair(1_024);
    expect(isSigned(NONCE, short.publicKey, signed(NONCE, short.privateKey))).toBe(false);
    const { publicKey, privateKey } = generateKeyPairSync('ed25519', {
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    expect(isSigned(NONCE, publicKey, sign(null, Buffer.from(NONCE, 'base64'), privateKey).toString('base64'))).toBe(false);
  });
});

describe('nonces', () => {
  it('are 32 bytes in base64, another one each time, and the latest one counts', () => {
    const { publicKey, privateKey } = keyPair();
    const nonces = new Nonces(new SetClock());
    const first = nonces.request(publicKey);
    const second = nonces.request(publicKey);
    expect(Buffer.from(first, 'base64')).toHaveLength(32);
    expect(second).not.toBe(first);
    expect(nonces.check(publicKey, signed(first, privateKey))).toBe(false);
    expect(nonces.check(publicKey, signed(second, privateKey))).toBe(true);
  });

  it('are used up by the login, and not by a wrong one', () => {
    const { publicKey, privateKey } = keyPair();
    const nonces = new Nonces(new SetClock());
    const digest = signed(nonces.request(publicKey), privateKey);
    expect(nonces.check(publicKey, 'AAAA')).toBe(false);
    expect(nonces.check(`${publicKey}\n`, digest)).toBe(true);
    expect(nonces.check(publicKey, digest)).toBe(false);
  });

  it('are good for a minute', () => {
    const { publicKey, privateKey } = keyPair();
    const clock = new SetClock();
    const nonces = new Nonces(clock);
    const digest = signed(nonces.request(publicKey), privateKey);
    clock.pass(60_001);
    expect(nonces.check(publicKey, digest)).toBe(false);
  });

  it('are for somebody who names a key, and for so many keys', () => {
    const nonces = new Nonces(new SetClock(), 2);
    for (const key of [undefined, null, '', 1, {}]) expect(() => nonces.request(key)).toThrow('no public key with request');
    expect(() => nonces.request('x'.repeat(5_000))).toThrow('too long');
    const { publicKey, privateKey } = keyPair();
    const digest = signed(nonces.request(publicKey), privateKey);
    nonces.request('another');
    nonces.request('a third');
    expect(nonces.check(publicKey, digest)).toBe(false);
  });

  it('know a key by its text, whatever lines are around it', () => {
    expect(isSameKey(KEY, KEY.trim())).toBe(true);
    expect(isSameKey(KEY, keyPair().publicKey)).toBe(false);
  });
});
