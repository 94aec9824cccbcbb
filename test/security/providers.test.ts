// Tokens of others are good when they come from one that is configured, are meant for this gateway, and are signed with its keys.

import { once } from 'node:events';
import { utimesSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, type JWK, SignJWT, UnsecuredJWT } from 'jose';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Counters } from '../../src/core/counters.js';
import { type ProviderOptions, Providers } from '../../src/security/providers.js';
import { EXPIRED_TOKEN, INVALID_TOKEN } from '../../src/security/tokens.js';
import { SetClock } from '../support/set-clock.js';
import { keptLog } from '../support/silent-log.js';
import { temporaryDirectory } from '../support/temporary.js';

const ISSUER = 'https://login.example';
const AUDIENCE = 'gateway';

interface Signer {
  readonly public: JWK;
  sign(claims?: Record<string, unknown>, header?: object): Promise<string>;
}

async function signer(clock: SetClock, kid: string, alg = 'RS256'): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const seconds = clock.now() / 1_000;
  return {
    public: { ...(await exportJWK(publicKey)), kid, alg },
    sign: (claims = {}, header = {}) =>
      new SignJWT({ iss: ISSUER, aud: AUDIENCE, sub: 'bob', jti: 'x', exp: seconds + 600, ...claims })
        .setProtectedHeader({ alg, kid, ...header })
        .sign(privateKey),
  };
}

async function withFile(keys: readonly JWK[], changes: Partial<ProviderOptions> = {}) {
  const clock = new SetClock();
  const file = join(await temporaryDirectory(), 'keys.json');
  writeFileSync(file, JSON.stringify({ keys }));
  return { file, ...(await opened({ jwksFile: file, jwksUrl: null, ...changes }, clock)) };
}

async function opened(options: Pick<ProviderOptions, 'jwksFile' | 'jwksUrl'> & Partial<ProviderOptions>, clock: SetClock) {
  const log = keptLog();
  const counters = new Counters();
  const base = { name: 'example', issuer: ISSUER, audience: AUDIENCE, algorithms: ['RS256', 'ES256'], userClaim: 'sub' };
  const providers = new Providers([{ ...base, ...options }], clock, log, counters);
  await providers.open();
  return { providers, clock, log, counters };
}

async function keyServer(answer: () => { status: number; body: string }): Promise<{ server: Server; url: string; asked: () => number }> {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    const { status, body } = answer();
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`, asked: () => asked };
}

const clock = new SetClock();
const ours = await signer(clock, 'a');
const elliptic = await signer(clock, 'b', 'ES256');
const foreign = await signer(clock, 'a');
const invalid = { code: 'NOT_AUTHENTICATED', message: INVALID_TOKEN };

describe('a token of a provider', () => {
  it('says who somebody is', async () => {
    const { providers } = await withFile([ours.public, elliptic.public]);
    for (const one of [ours, elliptic]) {
      const token = await one.sign();
      expect(providers.knows(token)).toBe(true);
      const voucher = { provider: 'example', user: 'bob', expires: clock.now() + 600_000, issued: null };
      expect(await providers.verify(token)).toEqual(voucher);
      expect(await providers.verify(await one.sign({ iat: 17 }))).toEqual({ ...voucher, issued: 17_000 });
    }
  });

  it('names the user where it is told to', async () => {
    const { providers } = await withFile([ours.public], { userClaim: 'email' });
    expect(await providers.verify(await ours.sign({ email: 'bob@example' }))).toMatchObject({ user: 'bob@example' });
    for (const email of [undefined, '', 7, ['bob']])
      await expect(providers.verify(await ours.sign({ email }))).rejects.toMatchObject(invalid);
  });

  it.each<[string, () => Promise<string> | string]>([
    ['of somebody else', () => ours.sign({ iss: 'https://evil.example' })],
    ['of nobody', () => ours.sign({ iss: undefined })],
    ['for another audience', () => ours.sign({ aud: 'shop' })],
    ['for no audience', () => ours.sign({ aud: undefined })],
    ['for nobody', () => ours.sign({ sub: undefined })],
    ['without an end', () => ours.sign({ exp: undefined })],
    ['of a time to come', () => ours.sign({ nbf: clock.now() / 1_000 + 120 })],
    ['with another key of the same name', () => foreign.sign()],
    ['with a key that is not known', async () => (await signer(clock, 'unknown')).sign()],
    ['without a signature', () => new UnsecuredJWT({ iss: ISSUER, aud: AUDIENCE, sub: 'bob', exp: clock.now() / 1_000 + 600 }).encode()],
    [
      'signed with the public key as a secret',
      () =>
        new SignJWT({ iss: ISSUER, aud: AUDIENCE, sub: 'bob', exp: clock.now() / 1_000 + 600 })
          .setProtectedHeader({ alg: 'HS256', kid: 'a' })
          .sign(new TextEncoder().encode(JSON.stringify(ours.public))),
    ],
    ['of an algorithm that is not allowed', async () => (await signer(clock, 'a', 'PS256')).sign()],
    ['that is none', () => 'secret'],
  ])('%s is invalid', async (_name, make) => {
    const { providers } = await withFile([ours.public]);
    await expect(providers.verify(await make())).rejects.toMatchObject(invalid);
  });

  it('is over a minute after its time', async () => {
    const { providers, clock } = await withFile([ours.public]);
    const token = await ours.sign();
    clock.pass(659_000);
    expect(await providers.verify(token)).toMatchObject({ user: 'bob' });
    clock.pass(2_000);
    await expect(providers.verify(token)).rejects.toMatchObject({ code: 'NOT_AUTHENTICATED', message: EXPIRED_TOKEN });
  });
});

describe('keys in a file', () => {
  it('that changes are read again, after a while', async () => {
    const { file, providers, clock } = await withFile([ours.public]);
    const next = await signer(clock, 'next');
    const token = await next.sign();
    await expect(providers.verify(token)).rejects.toMatchObject(invalid);
    writeFileSync(file, JSON.stringify({ keys: [next.public] }));
    utimesSync(file, 1, 1);
    await expect(providers.verify(token)).rejects.toMatchObject(invalid);
    clock.pass(10_000);
    expect(await providers.verify(token)).toMatchObject({ user: 'bob' });
  });

  it.each(['', '{}', '[]', '{"keys":1}'])('that is damaged (%j) stop the start', async (text) => {
    const file = join(await temporaryDirectory(), 'keys.json');
    writeFileSync(file, text);
    await expect(opened({ jwksFile: file, jwksUrl: null }, clock)).rejects.toThrow(/the keys of example in .* cannot be used/);
  });

  it('that is not there stop the start', async () => {
    await expect(opened({ jwksFile: '/nowhere/keys.json', jwksUrl: null }, clock)).rejects.toThrow('no such file');
  });
});

describe('keys at a URL', () => {
  it('are asked for when the first token comes, and kept', async () => {
    const { url, asked } = await keyServer(() => ({ status: 200, body: JSON.stringify({ keys: [ours.public] }) }));
    const { providers } = await opened({ jwksFile: null, jwksUrl: url }, clock);
    expect(asked()).toBe(0);
    for (let i = 0; i < 5; i++) expect(await providers.verify(await ours.sign({ jti: `${i}` }))).toMatchObject({ user: 'bob' });
    await expect(providers.verify(await foreign.sign({}, { kid: 'c' }))).rejects.toMatchObject(invalid);
    expect(asked()).toBe(1);
  });

  it.each([
    { status: 500, body: 'no' },
    { status: 200, body: 'no' },
    { status: 200, body: '{}' },
  ])('that cannot be had (%j) refuse for now, and that is said once', async (answer) => {
    const { url } = await keyServer(() => answer);
    const { providers, log, counters } = await opened({ jwksFile: null, jwksUrl: url }, clock);
    for (let i = 0; i < 3; i++) await expect(providers.verify(await ours.sign())).rejects.toMatchObject({ code: 'OVERLOADED' });
    expect(log.lines).toHaveLength(1);
    expect(counters.counter('provider_failures_total', '').value).toBe(3);
  });

  it('where nobody listens refuse for now', async () => {
    const { server, url } = await keyServer(() => ({ status: 200, body: '' }));
    server.close();
    await once(server, 'close');
    const { providers } = await opened({ jwksFile: null, jwksUrl: url }, clock);
    await expect(providers.verify(await ours.sign())).rejects.toMatchObject({ code: 'OVERLOADED' });
  });
});
