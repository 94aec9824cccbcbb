// Passwords are kept as scrypt hashes; those that come from happn are right as they are, and are to be renewed.

import { describe, expect, it } from 'vitest';
import { hashPassword, isPasswordHash, PASSWORD_MAX_BYTES, verifyPassword } from '../../src/security/passwords.js';

const SALT = '00112233445566778899aabbccddeeff';
/** As happn-password-hash-and-salt makes them for "secret", in its newer and its oldest form. */
const SHA512 =
  `pbkdf2$10000$f076f7fd1b540b0980eed93a0b3d2ce270713f8ec2f290b382e44d4a76c440d8` +
  `0f96fa6f9223cc1fd204d803161cd29fc05b81879720e5422ad4597ac5788aa7$${SALT}$sha512`;
const SHA1 =
  `pbkdf2$10000$34f6daa0f5a54cb9553689585eef6b3d89be42c678891c4c4843bdf206eff212` +
  `1379cddc62224e80cb451c6c7ac2efb7e4d6a085bc7e9a7eda49fa037913ab47$${SALT}`;

describe('passwords', () => {
  it('are right when they are the same, whatever their letters', async () => {
    for (const password of ['secret', 'ünïcødé 🔑', ' ', 'x'.repeat(PASSWORD_MAX_BYTES)]) {
      const hash = await hashPassword(password);
      expect(hash).toMatch(/^scrypt\$15\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
      expect(await verifyPassword(password, hash)).toBe('right');
      expect(await verifyPassword(Buffer.from(password), hash)).toBe('right');
      expect(await verifyPassword(`${password}.`, hash)).toBe('wrong');
      expect(await verifyPassword('', hash)).toBe('wrong');
    }
  });

  it('have a hash of their own each time', async () => {
    expect(await hashPassword('secret')).not.toBe(await hashPassword('secret'));
  });

  it('of happn are right, and are to be renewed', async () => {
    for (const hash of [SHA512, SHA1]) {
      expect(isPasswordHash(hash)).toBe(true);
      expect(await verifyPassword('secret', hash)).toBe('renew');
      expect(await verifyPassword('Secret', hash)).toBe('wrong');
    }
  });

  it('with a cheaper scrypt than today are to be renewed', async () => {
    const cheap = `scrypt$1$8$1$${Buffer.alloc(16).toString('base64url')}$`;
    const { scryptSync } = await import('node:crypto');
    const key = scryptSync('secret', Buffer.alloc(16), 32, { N: 2, r: 8, p: 1 }).toString('base64url');
    expect(await verifyPassword('secret', cheap + key)).toBe('renew');
    expect(await verifyPassword('other', cheap + key)).toBe('wrong');
  });

  it.each([
    '',
    'secret',
    'md5$1$aa$bb',
    'scrypt$15$8$1$AAAA',
    'scrypt$15$8$1$AAAA$',
    'scrypt$15$8$1$AAAA$AAAA',
    // More work or memory than this process gives.
    `scrypt$30$8$1$AAAA$${'A'.repeat(43)}`,
    `scrypt$15$999$1$AAAA$${'A'.repeat(43)}`,
    `scrypt$15$8$99$AAAA$${'A'.repeat(43)}`,
    `scrypt$NaN$8$1$AAAA$${'A'.repeat(43)}`,
    `pbkdf2$999999999$${'aa'.repeat(64)}$${SALT}$sha512`,
    `pbkdf2$10000$${'aa'.repeat(64)}$${SALT}$md5`,
    `pbkdf2$10000$$${SALT}$sha512`,
    `pbkdf2$-1$${'aa'.repeat(64)}$${SALT}$sha512`,
  ])('are wrong against %j, which is no hash to check', async (hash) => {
    expect(isPasswordHash(hash)).toBe(false);
    expect(await verifyPassword('secret', hash)).toBe('wrong');
  });

  it('that are wrong take as long against a hash of happn as against one of ours', async () => {
    const took = async (hash: string): Promise<number> => {
      const begun = performance.now();
      await verifyPassword('wrong', hash);
      return performance.now() - begun;
    };
    const ours = await hashPassword('secret');
    const [a, b]: [number[], number[]] = [[], []];
    for (let i = 0; i < 5; i++) {
      a.push(await took(ours));
      b.push(await took(SHA512));
    }
    expect(Math.max(...b)).toBeGreaterThan(Math.min(...a));
  });

  it('are wrong when they are too long, however they were hashed', async () => {
    const long = 'x'.repeat(PASSWORD_MAX_BYTES + 1);
    expect(await verifyPassword(long, await hashPassword(long))).toBe('wrong');
  });
});
