// Tokens are good when this gateway signed them, in the one way it does, and their time is not over. Keys are kept and followed by others.

import { webcrypto } from 'node:crypto';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { base64url, CompactSign, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { type TokenKeyOptions, TokenKeys } from '../../src/security/token-keys.js';
import { EXPIRED_TOKEN, INVALID_TOKEN, looksLikeToken, type TokenClaims, Tokens } from '../../src/security/tokens.js';
import { SetClock } from '../support/set-clock.js';
import { keptLog } from '../support/silent-log.js';
import { temporaryDirectory } from '../support/temporary.js';

const DAY_MS = 86_400_000;

async function house(options: Partial<TokenKeyOptions> = {}, clock = new SetClock(), maxCached?: number) {
  const file = options.file ?? join(await temporaryDirectory(), 'token-keys.json');
  const log = keptLog();
  const keys = new TokenKeys({ secret: null, previousSecret: null, rotateMs: 0, longestMs: 7 * DAY_MS, ...options, file }, clock, log);
  await keys.open();
  return { file, clock, log, keys, tokens: new Tokens(keys, clock, maxCached) };
}

function claims(clock: SetClock, changes: Partial<TokenClaims> = {}): TokenClaims {
  const issued = clock.now();
  const expires = issued + DAY_MS;
  return { id: 'i', user: 'bob', userId: 'u', issued, expires, type: 1, origin: 'n', parent: 's', policy: null, ...changes };
}

const HMAC = { name: 'HMAC', hash: 'SHA-256' };

/** The parts of a token as they stand in it. */
const partsOf = (token: string): [string, string, string] => token.split('.') as [string, string, string];
const encode = (value: object): string => base64url.encode(JSON.stringify(value));
const decode = (part: string): Record<string, unknown> => JSON.parse(new TextDecoder().decode(base64url.decode(part))) as never;

describe('a token', () => {
  it('says what it was made with, now and when it is shown again', async () => {
    const { clock, tokens } = await house();
    for (const given of [claims(clock), claims(clock, { expires: null, type: 0, policy: 'p', user: 'ünï', id: 'other' })]) {
      const token = await tokens.issue(given);
      expect(looksLikeToken(token)).toBe(true);
      expect(tokens.isOurs(token)).toBe(true);
      expect(await tokens.verify(token)).toEqual(given);
      expect(await tokens.verify(token)).toEqual(given);
    }
  });

  it('F1 is over a minute after its time, also when it was looked at before', async () => {
    const { clock, tokens } = await house();
    const [known, unknown] = [await tokens.issue(claims(clock)), await tokens.issue(claims(clock, { id: 'j' }))];
    clock.pass(DAY_MS + 59_000);
    expect(await tokens.verify(known)).toMatchObject({ id: 'i' });
    clock.pass(1_001);
    for (const token of [known, unknown]) {
      await expect(tokens.verify(token)).rejects.toMatchObject({ code: 'NOT_AUTHENTICATED', message: EXPIRED_TOKEN });
    }
  });

  it('of another gateway is none, also when it claims to have our key', async () => {
    const [ours, theirs] = [await house(), await house()];
    const token = await theirs.tokens.issue(claims(theirs.clock));
    expect(ours.tokens.isOurs(token)).toBe(false);
    await expect(ours.tokens.verify(token)).rejects.toMatchObject({ message: INVALID_TOKEN });
    const [, payload] = partsOf(token);
    const renamed = await new CompactSign(base64url.decode(payload))
      .setProtectedHeader({ alg: 'HS256', kid: ours.keys.signing.id })
      .sign(theirs.keys.signing.key);
    await expect(ours.tokens.verify(renamed)).rejects.toMatchObject({ message: INVALID_TOKEN });
  });
});

describe('a forged token', () => {
  const forged: readonly (readonly [string, (token: string, kid: string) => string | Promise<string>])[] = [
    ['without an algorithm', (token) => new UnsecuredJWT(decode(partsOf(token)[1])).encode()],
    ['without an algorithm, with our key', (token, kid) => `${encode({ alg: 'none', kid })}.${partsOf(token)[1]}.`],
    ['of algorithm NONE, with the right signature', (token, kid) => `${encode({ alg: 'NONE', kid })}.${partsOf(token).slice(1).join('.')}`],
    ['that says HS512', (token, kid) => `${encode({ alg: 'HS512', kid })}.${partsOf(token).slice(1).join('.')}`],
    ['without a key', (token) => `${encode({ alg: 'HS256' })}.${partsOf(token).slice(1).join('.')}`],
    ['with a blank key id', (token) => `${encode({ alg: 'HS256', kid: '' })}.${partsOf(token).slice(1).join('.')}`],
    ['with a key id of another type', (token) => `${encode({ alg: 'HS256', kid: {} })}.${partsOf(token).slice(1).join('.')}`],
    [
      'with a key of its own',
      (token, kid) => `${encode({ alg: 'HS256', kid, jwk: { kty: 'oct', k: 'AA' } })}.${partsOf(token).slice(1).join('.')}`,
    ],
    [
      'with a critical extension',
      (token, kid) => `${encode({ alg: 'HS256', kid, crit: ['x'], x: 1 })}.${partsOf(token).slice(1).join('.')}`,
    ],
    [
      'signed with 32 zero bytes',
      (token, kid) => new SignJWT(decode(partsOf(token)[1])).setProtectedHeader({ alg: 'HS256', kid }).sign(new Uint8Array(32)),
    ],
    [
      'signed with the name of the key',
      (token, kid) =>
        new SignJWT(decode(partsOf(token)[1]))
          .setProtectedHeader({ alg: 'HS256', kid })
          .sign(new TextEncoder().encode(kid.padEnd(32, '.'))),
    ],
    [
      'signed with a pair of keys',
      async (token, kid) => {
        const { privateKey } = await generateKeyPair('RS256');
        return await new SignJWT(decode(partsOf(token)[1])).setProtectedHeader({ alg: 'RS256', kid }).sign(privateKey);
      },
    ],
    [
      'for another user',
      (token) => {
        const [header, payload, signature] = partsOf(token);
        return [header, encode({ ...decode(payload), sub: '_ADMIN' }), signature].join('.');
      },
    ],
    [
      'without an end',
      (token) => {
        const [header, payload, signature] = partsOf(token);
        return [header, encode({ ...decode(payload), exp: undefined }), signature].join('.');
      },
    ],
    ['with one letter of its signature changed', (token) => token.replace(/.{4}$/, (end) => (end[0] === 'A' ? 'B' : 'A') + end.slice(1))],
    ['without its signature', (token) => token.replace(/[^.]*$/, '')],
    ['of two parts', (token) => partsOf(token).slice(0, 2).join('.')],
    ['of four parts', (token) => `${token}.x`],
    ['with something behind it', (token) => `${token} `],
    ['that is too long', (token) => `${token}${'A'.repeat(5_000)}`],
    ['that is empty', () => ''],
    ['that is a password', () => 'secret'],
  ];

  it.each(forged)('D4 %s is invalid', async (_name, forge) => {
    const { clock, keys, tokens } = await house();
    const token = await forge(await tokens.issue(claims(clock)), keys.signing.id);
    await expect(tokens.verify(token)).rejects.toMatchObject({ code: 'NOT_AUTHENTICATED', message: INVALID_TOKEN });
    await expect(tokens.verify(token)).rejects.toMatchObject({ code: 'NOT_AUTHENTICATED' });
  });

  it.each([
    ['no user', { sub: undefined }],
    ['no id', { jti: undefined }],
    ['no beginning', { iat: undefined }],
    ['no id of the user', { uid: undefined }],
    ['a type that there is not', { typ: 2 }],
    ['a policy that is no name', { policy: {} }],
    ['a beginning in an hour', { iat: 1_800_003_600 }],
    ['an end that is a text', { exp: 'tomorrow' }],
    ['a time before which it is not good', { nbf: 1_800_003_600 }],
  ])('with our signature and %s is invalid', async (_name, changes) => {
    const { clock, keys, tokens } = await house();
    const payload = { ...decode(partsOf(await tokens.issue(claims(clock)))[1]), ...changes };
    const token = await new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
      .setProtectedHeader({ alg: 'HS256', kid: keys.signing.id })
      .sign(keys.signing.key);
    await expect(tokens.verify(token)).rejects.toMatchObject({ code: 'NOT_AUTHENTICATED', message: INVALID_TOKEN });
  });
});

describe('the keys', () => {
  it('stand in a file for its owner alone, are the same at the next start, and never in a token', async () => {
    const first = await house();
    expect(statSync(first.file).mode & 0o777).toBe(0o600);
    const token = await first.tokens.issue(claims(first.clock));
    const { secret } = (JSON.parse(readFileSync(first.file, 'utf8')) as { keys: { secret: string }[] }).keys[0] as { secret: string };
    expect(Buffer.from(secret, 'base64url')).toHaveLength(32);
    expect(token).not.toContain(secret);
    const second = await house({ file: first.file });
    expect(await second.tokens.verify(token)).toMatchObject({ user: 'bob' });
  });

  it('that others could read are hidden from them, and that is said', async () => {
    const { file } = await house();
    chmodSync(file, 0o644);
    const { log } = await house({ file });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(log.lines).toMatchObject([{ level: 'warn', fields: { file } }]);
  });

  it.each(['', '{', '{}', '{"keys":[{}]}', '{"keys":[{"id":"a","secret":"AAAA","created":1,"until":null,"needed":0}]}'])(
    'in a damaged file (%j) stop the start',
    async (text) => {
      const file = join(await temporaryDirectory(), 'token-keys.json');
      writeFileSync(file, text);
      await expect(house({ file })).rejects.toThrow(/token-keys\.json is damaged; delete it/);
    },
  );

  it('are followed by new ones; the old ones verify until what they signed is over', async () => {
    const clock = new SetClock();
    const { file, keys, tokens } = await house({}, clock);
    const token = await tokens.issue(claims(clock, { expires: clock.now() + 7 * DAY_MS }));
    const before = keys.signing.id;
    await keys.rotate();
    expect(keys.signing.id).not.toBe(before);
    expect(await tokens.verify(token)).toMatchObject({ user: 'bob' });
    clock.pass(8 * DAY_MS);
    await keys.rotate();
    expect(keys.verifying(before)).toBeUndefined();
    expect((JSON.parse(readFileSync(file, 'utf8')) as { keys: object[] }).keys).toHaveLength(2);
    await expect(tokens.verify(token)).rejects.toMatchObject({ message: INVALID_TOKEN });
  });

  it('stay for ever when tokens do', async () => {
    const clock = new SetClock();
    const { keys, tokens } = await house({ longestMs: 0 }, clock);
    const token = await tokens.issue(claims(clock, { expires: null }));
    for (let i = 0; i < 3; i++) {
      clock.pass(1_000 * DAY_MS);
      await keys.rotate();
    }
    expect(await tokens.verify(token)).toMatchObject({ user: 'bob' });
  });

  it('verify for as long as one of their tokens is good that was made for longer than usual, over a restart, too', async () => {
    for (const expires of [300 * DAY_MS, null]) {
      const clock = new SetClock();
      const first = await house({}, clock);
      const end = expires === null ? null : clock.now() + expires;
      const token = await first.tokens.issue(claims(clock, { expires: end }));
      await first.tokens.issue(claims(clock));
      const next = await house({ file: first.file }, clock);
      for (let day = 0; day < 290; day += 29) {
        await next.keys.rotate();
        expect(await next.tokens.verify(token)).toMatchObject({ user: 'bob' });
        clock.pass(29 * DAY_MS);
      }
      const last = await house({ file: first.file }, clock);
      expect(await last.tokens.verify(token)).toMatchObject({ user: 'bob' });
      clock.pass(20 * DAY_MS);
      await last.keys.rotate();
      expect(last.keys.verifying(first.keys.signing.id) !== undefined).toBe(expires === null);
    }
  });

  it('that are old are followed at the start', async () => {
    const clock = new SetClock();
    const { file, keys } = await house({ rotateMs: 90 * DAY_MS }, clock);
    keys.close();
    clock.pass(89 * DAY_MS);
    const same = await house({ file, rotateMs: 90 * DAY_MS }, clock);
    same.keys.close();
    expect(same.keys.signing.id).toBe(keys.signing.id);
    clock.pass(DAY_MS);
    const next = await house({ file, rotateMs: 90 * DAY_MS }, clock);
    next.keys.close();
    expect(next.keys.signing.id).not.toBe(keys.signing.id);
    expect(next.keys.verifying(keys.signing.id)).toBeDefined();
  });

  it('can be given: gateways with the same secret take each other’s tokens, the one before it included', async () => {
    const clock = new SetClock();
    const [first, second] = ['first secret of thirty-two letters', 'second secret of thirty-two letters'];
    const a = await house({ secret: first }, clock);
    const b = await house({ secret: first }, clock);
    const c = await house({ secret: second, previousSecret: first }, clock);
    const d = await house({ secret: second }, clock);
    const token = await a.tokens.issue(claims(clock));
    for (const { tokens } of [b, c]) expect(await tokens.verify(token)).toMatchObject({ user: 'bob' });
    await expect(d.tokens.verify(token)).rejects.toMatchObject({ message: INVALID_TOKEN });
    await expect(a.tokens.verify(await c.tokens.issue(claims(clock)))).rejects.toMatchObject({ message: INVALID_TOKEN });
    expect(() => statSync(a.file)).toThrow('ENOENT');
    await expect(a.keys.rotate()).rejects.toThrow('configured');
  });
});

describe('checking tokens', () => {
  /** Of the best of some runs, each a hundred at a time. */
  async function rateOf(count: number, check: (i: number) => Promise<unknown>): Promise<number> {
    let best = 0;
    for (let run = 0; run < 4; run++) {
      const begun = process.cpuUsage();
      for (let i = 0; i < count; i += 100) await Promise.all(Array.from({ length: 100 }, (_, j) => check(i + j)));
      const { user, system } = process.cpuUsage(begun);
      best = Math.max(best, count / ((user + system) / 1_000_000));
    }
    return best;
  }

  it('is done 20,000 times a second, new ones and known ones, and as much slower as the machine is', async () => {
    const clock = new SetClock();
    const [forgetful, mindful] = [await house({}, clock, 1), await house({}, clock)];
    const rate = async ({ tokens }: typeof forgetful): Promise<number> => {
      const all = await Promise.all(Array.from({ length: 4_000 }, (_, i) => tokens.issue(claims(clock, { id: `id ${i}` }))));
      return rateOf(all.length, (i) => tokens.verify(all[i] as string));
    };
    const [key, text] = [await webcrypto.subtle.importKey('raw', Buffer.alloc(32, 7), HMAC, false, ['sign', 'verify']), Buffer.alloc(300)];
    const signature = await webcrypto.subtle.sign(HMAC.name, key, text);
    const bare = await rateOf(4_000, () => webcrypto.subtle.verify(HMAC.name, key, signature, text));
    const [fresh, known] = [await rate(forgetful), await rate(mindful)];
    console.log(`checked in a second of CPU: ${[fresh, known].map(Math.round)} new and known tokens, ${Math.round(bare)} bare signatures`);
    // Busy machines check 50,000 signatures in a second of CPU, others 120,000 and more.
    expect(fresh).toBeGreaterThan(Math.min(20_000, bare / 8));
    expect(known).toBeGreaterThan(20_000);
  });
});
