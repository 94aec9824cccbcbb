// Who somebody is, by a token, a signature, a password, a certificate or nothing; refusals say what happn clients know, and nothing
// of who there is.

import { generateKeyPairSync, pbkdf2Sync, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { Counters } from '../../src/core/counters.js';
import { json } from '../../src/core/data/formats.js';
import type { Credentials, Session } from '../../src/core/index.js';
import { Audit } from '../../src/core/security/audit.js';
import { Authenticator, type AuthenticatorOptions, type LoginPlace } from '../../src/security/authenticator.js';
import { Guesses, type LockoutOptions } from '../../src/security/guesses.js';
import { HashQueue } from '../../src/security/hash-queue.js';
import { Nonces } from '../../src/security/nonces.js';
import { hashPassword } from '../../src/security/passwords.js';
import { type ProfileOptions, Profiles } from '../../src/security/profiles.js';
import { type ProviderOptions, Providers } from '../../src/security/providers.js';
import { TokenKeys } from '../../src/security/token-keys.js';
import { Tokens } from '../../src/security/tokens.js';
import { derived } from '../support/cheap-scrypt.js';
import { FakeDirectory } from '../support/fake-directory.js';
import { SetClock } from '../support/set-clock.js';
import { keptLog } from '../support/silent-log.js';
import { temporaryDirectory } from '../support/temporary.js';

vi.mock('node:crypto', async (original) => {
  const { withCheapScrypt } = await import('../support/cheap-scrypt.js');
  return withCheapScrypt(await original());
});

const DAY_MS = 86_400_000;
const PLACE: LoginPlace = { type: 1, session: 'session 1', protocol: 'happn' };
let hash: string;

interface HouseOptions extends Partial<AuthenticatorOptions> {
  readonly lockout?: LockoutOptions;
  readonly profiles?: readonly ProfileOptions[];
  readonly providers?: readonly ProviderOptions[];
  readonly origin?: string;
}

async function house({
  lockout = { attempts: 0, ms: 0 },
  profiles = [],
  providers = [],
  origin = 'node a',
  ...options
}: HouseOptions = {}) {
  const [clock, counters, log, directory] = [new SetClock(), new Counters(), keptLog(), new FakeDirectory()];
  const keyOptions = { file: '', secret: 'a secret of the tests, 32 letters', previousSecret: null, rotateMs: 0, longestMs: 0 };
  const keys = new TokenKeys(keyOptions, clock, log);
  await keys.open();
  const others = new Providers(providers, clock, log, counters);
  await others.open();
  const waits: number[] = [];
  const authenticator = new Authenticator({
    options: { anonymous: false, adminRemote: true, anyCase: false, chooseProvider: true, tokenTtlMs: 7 * DAY_MS, ...options },
    directory,
    change: (command) => directory.change(command),
    tokens: new Tokens(keys, clock),
    providers: others,
    nonces: new Nonces(clock),
    guesses: new Guesses(clock, counters, lockout),
    queue: new HashQueue(counters),
    profiles: new Profiles(profiles, json),
    clock,
    log,
    audit: new Audit(clock, log, counters),
    wait: async (ms) => {
      waits.push(ms);
      clock.pass(ms);
    },
  });
  await authenticator.open(origin);
  const login = (credentials: Credentials, place: Partial<LoginPlace> = {}) => authenticator.login(credentials, { ...PLACE, ...place });
  /** How a login ends that is refused. */
  const refusal = async (credentials: Credentials, place: Partial<LoginPlace> = {}): Promise<string> => {
    const ended = await login(credentials, place).then(
      () => 'nobody refused it',
      (error: { code: string; message: string }) => `${error.code} ${error.message}`,
    );
    return ended;
  };
  return { authenticator, directory, clock, log, waits, login, refusal };
}

const invalid = 'NOT_AUTHENTICATED Invalid credentials';
const bob = { username: 'bob', password: 'secret', address: '10.0.0.1' };

beforeAll(async () => {
  hash = await hashPassword('secret');
});

describe('a password', () => {
  it('says who somebody is', async () => {
    const { directory, login } = await house();
    directory.add('bob', { password: hash });
    for (const password of ['secret', Buffer.from('secret')]) {
      const identity = await login({ ...bob, password });
      expect(identity).toMatchObject({ name: 'bob', principal: { userId: 'id of bob' }, login: { type: 'stateful', parentId: null } });
    }
  });

  it('that is wrong, or of nobody, or of somebody without one, is refused in the same words', async () => {
    const { directory, refusal } = await house();
    directory.add('bob', { password: hash });
    directory.add('device');
    const cases: Credentials[] = [
      { ...bob, password: 'Secret' },
      { ...bob, password: '' },
      { ...bob, username: 'nobody' },
      { ...bob, username: 'Bob' },
      { ...bob, username: '' },
      { ...bob, username: 'x'.repeat(100_000) },
      { ...bob, username: 'device' },
      { password: 'secret' },
      { username: 'bob' },
      {},
    ];
    for (const credentials of cases) expect(await refusal(credentials)).toBe(invalid);
  });

  it('D2 takes as long for nobody as for somebody: the same is derived and waited for', async () => {
    const { directory, refusal, waits } = await house();
    directory.add('bob', { password: hash });
    directory.add('device');
    const work = async (username: string, address: string): Promise<unknown> => {
      const [derivedBefore, waitsBefore] = [derived.length, waits.length];
      for (let i = 0; i < 6; i++) expect(await refusal({ username, password: `wrong ${i}`, address })).toBe(invalid);
      return { derived: derived.slice(derivedBefore), waits: waits.slice(waitsBefore) };
    };
    const ofBob = await work('bob', '10.0.0.1');
    expect(ofBob).toEqual({ derived: Array.from({ length: 6 }, () => '32768 8 1 32'), waits: [250, 500] });
    for (const [i, username] of ['nobody', 'device', ''].entries()) expect(await work(username, `10.0.1.${i}`)).toEqual(ofBob);
  });

  it('that is guessed comes late, from that address only', async () => {
    const { directory, waits, login, refusal } = await house();
    directory.add('bob', { password: hash });
    for (let i = 0; i < 6; i++) expect(await refusal({ ...bob, password: `guess ${i}` })).toBe(invalid);
    expect(waits).toEqual([250, 500]);
    expect(await login({ ...bob, address: '10.0.0.2' })).toMatchObject({ name: 'bob' });
    expect(waits).toHaveLength(2);
    expect(await login(bob)).toMatchObject({ name: 'bob' });
    expect(waits).toEqual([250, 500, 1_000]);
    expect(await login(bob)).toMatchObject({ name: 'bob' });
    expect(waits).toHaveLength(3);
  });

  it('does not help while the account is locked, whoever it is', async () => {
    const { directory, clock, login, refusal } = await house({ lockout: { attempts: 3, ms: 60_000 } });
    directory.add('bob', { password: hash });
    for (const username of ['bob', 'nobody']) {
      for (let i = 0; i < 3; i++) expect(await refusal({ ...bob, username, password: 'wrong' })).toBe(invalid);
      expect(await refusal({ ...bob, username, address: '10.0.0.2' })).toBe('ACCOUNT_LOCKED Account locked out');
    }
    clock.pass(60_000);
    expect(await login(bob)).toMatchObject({ name: 'bob' });
  });

  it('of happn is renewed by the login, and its tokens stay good', async () => {
    const { directory, login, refusal } = await house();
    const salt = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
    const key = pbkdf2Sync('secret', salt, 10_000, 64, 'sha512').toString('hex');
    const old = `pbkdf2$10000$${key}$${salt.toString('hex')}$sha512`;
    directory.add('bob', { password: old });
    expect(await refusal({ ...bob, password: 'wrong' })).toBe(invalid);
    expect(directory.commands).toEqual([]);
    await login(bob);
    await expect
      .poll(() => directory.commands, { timeout: 10_000 })
      .toMatchObject([{ type: 'password', name: 'bob', from: old, endsTokens: false }]);
    expect(directory.user('bob')?.password).toMatch(/^scrypt\$/);
    expect(await login(bob)).toMatchObject({ name: 'bob' });
    expect(directory.commands).toHaveLength(1);
  });

  it('is worth nothing when the user was deleted while it was checked', async () => {
    const { directory, refusal } = await house();
    directory.add('bob', { password: hash });
    const ended = refusal(bob);
    directory.known.delete('bob');
    expect(await ended).toBe(invalid);
    directory.add('bob', { password: hash });
    const again = refusal(bob);
    directory.add('bob', { password: hash, id: 'another' });
    expect(await again).toBe(invalid);
  });

  it('is in no line of the log', async () => {
    const { directory, log, refusal } = await house();
    directory.add('bob', { password: hash });
    await refusal({ ...bob, password: 'a guess to hide' });
    const entry = { action: 'login', target: 'bob', address: '10.0.0.1', protocol: 'happn', refusal: 'NOT_AUTHENTICATED' };
    expect(log.lines).toMatchObject([{ fields: { ...entry, details: { reason: 'Invalid credentials' } } }]);
    expect(JSON.stringify(log.lines)).not.toContain('a guess to hide');
  });
});

describe('a token', () => {
  it('stands for the login that it was made for, in a session of its own', async () => {
    const { authenticator, directory, login } = await house();
    directory.add('bob', { password: hash });
    const first = await login(bob);
    const token = await authenticator.tokenOf(first, 'session 1');
    expect(await authenticator.tokenOf(first, 'session 1')).toBe(token);
    const second = await login({ token }, { session: 'session 2' });
    expect(second).toMatchObject({
      name: 'bob',
      login: { tokenId: first.login?.tokenId, issued: first.login?.issued, parentId: 'session 1' },
    });
    expect(await authenticator.tokenOf(second, 'session 2')).toBe(token);
    // As the password of MQTT clients, with and without the name.
    for (const username of ['bob', '', undefined]) {
      const credentials = { password: Buffer.from(token), ...(username === undefined ? {} : { username }) };
      expect(await login(credentials)).toMatchObject({ name: 'bob' });
    }
  });

  it('of another user than the one who is named is refused', async () => {
    const { authenticator, directory, login, refusal } = await house();
    directory.add('bob', { password: hash });
    directory.add('eve');
    const token = await authenticator.tokenOf(await login(bob), 'session 1');
    expect(await refusal({ username: 'eve', token })).toBe(invalid);
    expect(await refusal({ username: 'eve', password: token })).toBe(invalid);
  });

  it('that cannot be read, is over or was revoked is refused, each in its words', async () => {
    const { authenticator, directory, clock, login, refusal } = await house();
    directory.add('bob', { password: hash });
    const [one, other] = [await login(bob), await login(bob)];
    const [token, kept] = [await authenticator.tokenOf(one, 'a'), await authenticator.tokenOf(other, 'b')];
    expect(await refusal({ token: `${token}x` })).toBe('NOT_AUTHENTICATED Invalid credentials: invalid session token');
    expect(await refusal({ token: '' })).toBe('NOT_AUTHENTICATED Invalid credentials: invalid session token');
    await authenticator.revoke(one, 'http', '');
    expect(directory.commands).toEqual([{ type: 'revoke', tokenId: one.login?.tokenId, until: clock.now() + 7 * DAY_MS + 120_000 }]);
    expect(await refusal({ token })).toBe('LOGIN_REFUSED token has been revoked');
    expect(await login({ token: kept })).toMatchObject({ name: 'bob' });
    clock.pass(7 * DAY_MS + 60_000);
    expect(await refusal({ token: kept })).toBe('NOT_AUTHENTICATED Invalid credentials: token timed out');
  });

  it('is worth nothing when its user is gone, even when there is another of that name', async () => {
    const { authenticator, directory, login, refusal } = await house();
    directory.add('bob', { password: hash });
    const token = await authenticator.tokenOf(await login(bob), 'a');
    directory.known.delete('bob');
    expect(await refusal({ token })).toBe(invalid);
    directory.add('bob', { password: hash, id: 'another' });
    expect(await refusal({ token })).toBe(invalid);
  });

  it('for single requests opens no connection; one of a connection is good for a request', async () => {
    const { authenticator, directory, login, refusal } = await house();
    directory.add('bob', { password: hash });
    const single = await authenticator.tokenOf(await login(bob, { type: 0 }), 'a');
    const text = 'token was created using the login type 0, which does not match how the new token is to be created';
    expect(await refusal({ token: single })).toBe(`LOGIN_REFUSED ${text}`);
    expect(await login({ token: single }, { type: 0 })).toMatchObject({ name: 'bob', login: { type: 'stateless' } });
    const lasting = await authenticator.tokenOf(await login(bob), 'b');
    expect(await login({ token: lasting }, { type: 0 })).toMatchObject({ name: 'bob' });
  });

  it('is there for those alone who have logged in', async () => {
    const { authenticator } = await house();
    await expect(authenticator.tokenOf({ name: '', principal: null, login: null }, 'a')).rejects.toMatchObject({
      code: 'NOT_AUTHENTICATED',
    });
  });
});

describe('a signature', () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2_048,
    publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  const digest = (nonce: string): string => sign('sha256', Buffer.from(nonce, 'base64'), privateKey).toString('base64');

  it('with the key of the user says who somebody is, once', async () => {
    const { authenticator, directory, login, refusal } = await house();
    directory.add('bob', { publicKey });
    const credentials = { username: 'bob', publicKey, digest: digest(authenticator.nonce(publicKey)) };
    expect(await login(credentials)).toMatchObject({ name: 'bob' });
    expect(await refusal(credentials)).toBe(invalid);
  });

  it('with a key that is not the user’s is refused, and so is one of nobody', async () => {
    const { authenticator, directory, refusal } = await house();
    directory.add('bob', { publicKey: 'another key', password: hash });
    directory.add('device');
    for (const username of ['bob', 'device', 'nobody']) {
      // The password beside it does not count: the signature is first.
      const credentials = { username, publicKey, digest: digest(authenticator.nonce(publicKey)), password: 'secret' };
      expect(await refusal(credentials)).toBe(invalid);
    }
  });
});

describe('a certificate', () => {
  it('says who somebody is, unless another is named', async () => {
    const { directory, login, refusal } = await house();
    directory.add('device');
    directory.add('bob', { password: hash });
    expect(await login({ certificateUser: 'device' })).toMatchObject({ name: 'device' });
    expect(await login({ certificateUser: 'device', username: 'device' })).toMatchObject({ name: 'device' });
    expect(await refusal({ certificateUser: 'device', username: 'bob' })).toBe(invalid);
    expect(await refusal({ certificateUser: 'nobody' })).toBe(invalid);
    expect(await refusal({ certificateUser: 'device', username: 'bob', password: 'wrong' })).toBe(invalid);
    expect(await login({ ...bob, certificateUser: 'device' })).toMatchObject({ name: 'bob' });
  });
});

describe('who shows nothing', () => {
  it('is refused, unless that is allowed', async () => {
    const closed = await house();
    closed.directory.add('_ANONYMOUS');
    expect(await closed.refusal({})).toBe(invalid);
    expect(await closed.refusal({ username: '_ANONYMOUS' })).toBe('NOT_AUTHENTICATED Anonymous access is disabled');
    expect(await closed.refusal({ username: '_ANONYMOUS', password: 'x' })).toBe('NOT_AUTHENTICATED Anonymous access is disabled');
    const open = await house({ anonymous: true });
    open.directory.add('_ANONYMOUS');
    for (const credentials of [{}, { username: '' }, { username: '_ANONYMOUS' }, { username: '_ANONYMOUS', password: 'x' }]) {
      expect(await open.login(credentials)).toMatchObject({ name: '_ANONYMOUS', principal: { name: '_ANONYMOUS' } });
    }
    expect(await open.refusal({ username: 'nobody', password: 'x' })).toBe(invalid);
    expect(await open.refusal({ token: 'x' })).toBe('NOT_AUTHENTICATED Invalid credentials: invalid session token');
  });
});

describe('settings', () => {
  it('keep _ADMIN to this machine', async () => {
    const { directory, login, refusal } = await house({ adminRemote: false });
    directory.add('_ADMIN', { password: hash });
    const text = 'LOGIN_REFUSED use of _ADMIN credentials over the network is disabled';
    const admin = { username: '_ADMIN', password: 'secret' };
    expect(await refusal({ ...admin, address: '10.0.0.1' })).toBe(text);
    expect(await refusal({ ...admin, address: '10.0.0.1', password: 'wrong' })).toBe(text);
    expect(await refusal({ certificateUser: '_ADMIN', address: '10.0.0.1' })).toBe(text);
    for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1'])
      expect(await login({ ...admin, address })).toMatchObject({ name: '_ADMIN' });
  });

  it('keep clients from choosing a provider', async () => {
    const { directory, refusal } = await house({ chooseProvider: false });
    directory.add('bob', { password: hash });
    const text = 'NOT_AUTHENTICATED Invalid credentials: security policy disallows choosing of own auth provider';
    expect(await refusal({ ...bob, provider: 'other' })).toBe(text);
  });
});

describe('the case of a name', () => {
  const nameOf = async ({ login }: Awaited<ReturnType<typeof house>>, credentials: Credentials): Promise<string> =>
    (await login({ ...bob, ...credentials })).name;

  it('counts', async () => {
    const { directory, refusal } = await house();
    directory.add('bob', { password: hash });
    for (const username of ['Bob', 'BOB']) expect(await refusal({ ...bob, username })).toBe(invalid);
  });

  it('does not count where that is asked for, unless there are two', async () => {
    const one = await house({ anyCase: true });
    one.directory.add('bob', { password: hash });
    one.directory.add('eve', { password: hash });
    one.directory.add('Eve', { password: hash });
    one.directory.add('_ADMIN', { password: hash });
    for (const username of ['bob', 'Bob', 'BOB']) expect(await nameOf(one, { username })).toBe('bob');
    expect([await nameOf(one, { username: 'Eve' }), await nameOf(one, { username: 'EVE' })]).toEqual(['Eve', 'eve']);
    expect(await one.refusal({ ...bob, username: '_admin' })).toBe(invalid);
    const token = await one.authenticator.tokenOf(await one.login({ ...bob, username: 'BOB' }), 'a');
    expect((await one.login({ token, username: 'Bob' })).name).toBe('bob');
    expect(await one.refusal({ token, username: 'Eve' })).toBe(invalid);
    expect((await one.login({ certificateUser: 'Bob', username: 'bOb' })).name).toBe('bob');
  });

  it('does not help to guess', async () => {
    const { directory, refusal, waits } = await house({ anyCase: true });
    directory.add('bob', { password: hash });
    const spellings = ['bob', 'Bob', 'bOb', 'boB', 'BOB'];
    for (const username of spellings) await refusal({ ...bob, username, password: 'wrong' });
    for (const username of ['nobody', 'Nobody', 'NOBODY', 'noBody', 'nobodY']) await refusal({ ...bob, username, password: 'wrong' });
    expect(waits).toHaveLength(2);
  });
});

describe('profiles', () => {
  const device: ProfileOptions = {
    name: 'device',
    session: { $and: [{ user: { groups: { DEVICES: { $exists: true } } }, type: { $in: [0, 1] } }] },
    policy: { ttl: '2 hours', inactivity_threshold: 60_000, usage_limit: 5, permissions: { '/d/*': { actions: ['get'] } } },
  };

  it('give the login the policy of the first rule that fits', async () => {
    const named: ProfileOptions = { name: 'by name', session: { user: { username: { $eq: 'bob' } } }, policy: { ttl: 1_000 } };
    const browser: ProfileOptions = { name: 'browser', session: { 'info._browser': true, ip_address: '10.0.0.1' }, policy: {} };
    const { directory, login } = await house({ profiles: [browser, device, named] });
    directory.add('bob', { password: hash });
    directory.add('meter', { password: hash, groups: ['DEVICES'] });
    directory.add('eve', { password: hash });
    const policyOf = async (credentials: Credentials): Promise<object | undefined> => (await login(credentials)).login?.policy;
    expect(await policyOf(bob)).toMatchObject({ name: 'by name', ttlMs: 1_000, permissions: null });
    expect(await policyOf({ ...bob, info: { _browser: true } })).toMatchObject({ name: 'browser', ttlMs: 0 });
    expect(await policyOf({ ...bob, username: 'meter' })).toMatchObject({
      name: 'device',
      ttlMs: 7_200_000,
      inactivityMs: 60_000,
      usageLimit: 5,
      permissions: { '/d/*': { actions: ['get'] } },
    });
    expect(await policyOf({ ...bob, username: 'eve' })).toMatchObject({ name: 'default-stateful', ttlMs: 0 });
  });

  it('are happn’s own behind those that are configured', async () => {
    const { directory, login } = await house();
    directory.add('bob', { password: hash });
    const policyOf = async (info: object, type: 0 | 1 = 1): Promise<object | undefined> =>
      (await login({ ...bob, info: { ...info } }, { type })).login?.policy;
    const browser = { name: 'default-browser', ttlMs: 7 * DAY_MS, inactivityMs: 3_600_000, endsIdle: false };
    expect(await policyOf({ _browser: true })).toMatchObject(browser);
    for (const info of [{}, { _browser: false }, { _browser: 'true' }]) {
      expect(await policyOf(info)).toMatchObject({ name: 'default-stateful', ttlMs: 0, inactivityMs: 0, usageLimit: 0 });
    }
    expect(await policyOf({}, 0)).toMatchObject({ name: 'default-stateless', ttlMs: 0, inactivityMs: 0, usageLimit: 0 });
    const short = new Profiles([], json, 60_000).policyFor({
      user: directory.add('bob'),
      info: { _browser: true },
      type: 1,
      address: '',
      protocol: 'happn',
    });
    expect(short).toMatchObject({ ttlMs: 60_000 });
  });

  it('say how long a token is good', async () => {
    const { authenticator, directory, clock, login, refusal } = await house({ profiles: [device] });
    directory.add('meter', { password: hash, groups: ['DEVICES'] });
    const token = await authenticator.tokenOf(await login({ ...bob, username: 'meter' }), 'a');
    clock.pass(7_200_000);
    expect(await login({ token })).toMatchObject({ name: 'meter' });
    clock.pass(60_000);
    expect(await refusal({ token })).toBe('NOT_AUTHENTICATED Invalid credentials: token timed out');
  });

  it('say from where somebody may log in', async () => {
    const policy = { sourceIPWhitelist: ['10.0.0.1', '192.168.0.0/16', '::1'] };
    const { directory, login, refusal } = await house({ profiles: [{ name: 'inside', session: {}, policy }] });
    directory.add('bob', { password: hash });
    for (const address of ['10.0.0.1', '192.168.7.7', '::ffff:10.0.0.1', '::1'])
      expect(await login({ ...bob, address })).toMatchObject({ name: 'bob' });
    for (const address of ['10.0.0.2', '', 'nonsense', '::2']) {
      expect(await refusal({ ...bob, address })).toBe('NOT_AUTHENTICATED Source address access restricted');
    }
  });

  it('say that tokens are for nobody, or for this gateway', async () => {
    const profiles = [
      { name: 'once', session: { user: { username: 'once' } }, policy: { disallowTokenLogins: true } },
      { name: 'here', session: { user: { username: 'here' } }, policy: { lockTokenToOrigin: true } },
    ];
    const [a, b] = [await house({ profiles }), await house({ profiles, origin: 'node b' })];
    const tokens: string[] = [];
    for (const username of ['once', 'here', 'bob']) {
      for (const { directory } of [a, b]) directory.add(username, { password: hash });
      tokens.push(await a.authenticator.tokenOf(await a.login({ ...bob, username }), 'a'));
    }
    const [once, here, anywhere] = tokens.map((token) => ({ token })) as [Credentials, Credentials, Credentials];
    expect(await a.refusal(once)).toBe('LOGIN_REFUSED logins with this token are disallowed by policy');
    expect(await a.login(here)).toMatchObject({ name: 'here' });
    expect(await b.refusal(here)).toBe('LOGIN_REFUSED this token is locked to a different origin by policy');
    expect(await b.login(anywhere)).toMatchObject({ name: 'bob' });
  });

  it('with a rule that is none are refused', () => {
    expect(() => new Profiles([{ name: 'x', session: { $where: 'true' }, policy: {} }], json)).toThrow(/\$where/);
  });
});

describe('a token of a provider', () => {
  it('D4 says who somebody is, as token and as password, for as long as it is good, however its signature is written', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const file = join(await temporaryDirectory(), 'keys.json');
    writeFileSync(file, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k' }] }));
    const provider = {
      name: 'p',
      issuer: 'https://p',
      audience: 'g',
      jwksUrl: null,
      jwksFile: file,
      algorithms: ['ES256'],
      userClaim: 'sub',
    };
    const { authenticator, directory, clock, login, refusal } = await house({ providers: [provider] });
    directory.add('bob');
    const make = (sub: string, seconds = 600, iat?: number): Promise<string> =>
      new SignJWT({ iss: 'https://p', aud: 'g', sub, exp: clock.now() / 1_000 + seconds, ...(iat === undefined ? {} : { iat }) })
        .setProtectedHeader({ alg: 'ES256', kid: 'k' })
        .sign(privateKey);
    const token = await make('bob');
    const identity = await login({ token });
    expect(identity).toMatchObject({ name: 'bob', login: { policy: { ttlMs: 600_000 }, parentId: null } });
    expect(await login({ username: 'bob', password: token })).toMatchObject({ name: 'bob' });
    expect(await refusal({ username: 'eve', token })).toBe(invalid);
    expect(await refusal({ token: await make('nobody') })).toBe(invalid);
    expect(await refusal({ token: `${token}x` })).toBe('NOT_AUTHENTICATED Invalid credentials: invalid session token');
    await authenticator.revoke(identity, 'http', '');
    for (const same of [token, ...otherwiseSigned(token)]) {
      expect(await refusal({ token: same })).toBe('LOGIN_REFUSED token has been revoked');
    }
    const early = await make('bob', 600, clock.now() / 1_000 - 60);
    const fresh = await make('bob', 600, clock.now() / 1_000 + 1);
    directory.add('bob', { tokensSince: clock.now() });
    expect(await refusal({ token: early })).toBe('LOGIN_REFUSED token has been revoked');
    expect(await login({ token: fresh })).toMatchObject({ name: 'bob' });
    const late = await make('bob', 1);
    clock.pass(62_000);
    expect(await refusal({ token: late })).toBe('NOT_AUTHENTICATED Invalid credentials: token timed out');
  });
});

describe('a login by token', () => {
  it('ends with the token, however long its policy would let it last', async () => {
    const short: ProfileOptions = { name: 'short', session: { user: { username: 'eve' } }, policy: { ttl: 60_000 } };
    const { authenticator, directory, clock, login, refusal } = await house({ profiles: [short] });
    for (const name of ['bob', 'eve']) directory.add(name, { password: hash });
    for (const [username, ttlMs] of [
      ['bob', 7 * DAY_MS],
      ['eve', 60_000],
    ] as const) {
      const first = await login({ ...bob, username });
      expect(first.login?.policy.ttlMs).toBe(username === 'bob' ? 0 : ttlMs);
      const token = await authenticator.tokenOf(first, 'session 1');
      clock.pass(30_000);
      const second = await login({ token });
      expect(second.login).toMatchObject({ issued: first.login?.issued, hasEnd: true, policy: { ttlMs } });
      clock.pass(ttlMs - 30_000);
      await login({ token });
      clock.pass(1);
      expect(await refusal({ token })).toBe('NOT_AUTHENTICATED Invalid credentials: token timed out');
    }
  });
});

describe('a change of the password', () => {
  it('needs the old one, and ends the tokens', async () => {
    const { authenticator, directory, login, refusal } = await house();
    directory.add('bob', { password: hash });
    const session = { identity: await login(bob), address: '127.0.0.1:1' } as Session;
    await expect(authenticator.changePassword(session, 'wrong', 'new')).rejects.toThrow('Invalid old password');
    for (const [from, to] of [
      [undefined, 'new'],
      ['secret', undefined],
      ['secret', ''],
      [1, 2],
    ]) {
      const change = authenticator.changePassword(session, from, to);
      await expect(change).rejects.toThrow('Invalid parameters: oldPassword and newPassword required');
    }
    await expect(authenticator.changePassword(session, 'secret', 'x'.repeat(1_025))).rejects.toThrow(
      'the new password must be a text of 1 to 1024 bytes',
    );
    expect(directory.commands).toEqual([]);
    await authenticator.changePassword(session, 'secret', 'new');
    expect(directory.commands).toMatchObject([{ type: 'password', name: 'bob', from: hash, endsTokens: true }]);
    expect(await refusal(bob)).toBe(invalid);
    expect(await login({ ...bob, password: 'new' })).toMatchObject({ name: 'bob' });
  });
});

/** The same token with the same signature in other letters: bits that mean nothing, and s in the other half of the curve's order. */
function otherwiseSigned(token: string): string[] {
  const at = token.lastIndexOf('.') + 1;
  const bytes = Buffer.from(token.slice(at), 'base64url');
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const mirrored = (order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)).toString(16).padStart(64, '0');
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = letters[letters.indexOf(token.at(-1) as string) + 1] as string;
  return [
    token.slice(0, -1) + last,
    token.slice(0, at) + Buffer.concat([bytes.subarray(0, 32), Buffer.from(mirrored, 'hex')]).toString('base64url'),
  ];
}
