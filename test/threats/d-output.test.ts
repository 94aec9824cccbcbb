// Nothing that the gateway writes anywhere holds a secret: log, standard output, metrics, audit, $SYS, errors, records.

import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliProcess, temporaryDirectory, until } from '../support/gateway-process.js';
import { ALL, by, DOORS, happnAs, havenAs, mqttAs, passwordOf, type SecureGateway, startSecureGateway } from '../support/secure-roads.js';

const WRONG = 'a wrong password that nobody has to read';
/** As a provider would send it, or somebody who forges one. */
const FORGED = `${encoded({ alg: 'none' })}.${encoded({ sub: '_ADMIN', jti: 'forged', note: 'secret of a forged one' })}.c2lnbmF0dXJl`;

function encoded(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

describe.each(['json', 'text'])('D5 with a log of %s that says all it can', (format) => {
  let house: SecureGateway;
  const secrets: string[] = [WRONG, FORGED];
  const answers: string[] = [];

  beforeAll(async () => {
    house = await startSecureGateway({
      flags: ['--log-level', 'debug', '--log-format', format, '--mqtt-sys-interval-ms', '100', '--security-http-logout'],
    });
    secrets.push(passwordOf('_ADMIN'), passwordOf('ann'), passwordOf('bob'), house.api.token as string);
    await house.user('ann', { '/a/*': ALL });
    await house.user('bob', { '/a/*': ALL });
  });
  afterAll(async () => void (await house.process.stop()));

  const attempt = async (what: () => Promise<unknown>): Promise<void> => {
    const outcome = await what().catch((error: unknown) => error);
    if (outcome instanceof Error) answers.push(`${outcome.message} ${JSON.stringify(outcome)}`);
    else if (typeof outcome === 'string') answers.push(outcome);
  };

  it('is no password and no token, whatever is done with them', async () => {
    const { process, api } = house;
    const { token, id } = await house.token('ann');
    secrets.push(token);
    const tries = [
      by('ann'),
      { token },
      { username: 'bob', password: WRONG },
      { username: `nobody ${format}`, password: WRONG },
      { token: FORGED },
      { token: `${token.slice(0, -4)}AAAA` },
      { username: 'bob', token },
    ];
    await Promise.all(
      DOORS.flatMap(({ enter }) =>
        tries.map((shown) =>
          attempt(async () => {
            const leave = await enter(process, shown);
            await leave();
          }),
        ),
      ),
    );
    // URLs, headers and bodies that are refused, or that nobody serves.
    const web = `http://127.0.0.1:${process.ports.happn}`;
    const admin = `http://127.0.0.1:${process.ports.admin}`;
    const requests: [string, RequestInit?][] = [
      [`${web}/nowhere?happn_token=${token}`],
      [`${web}/nowhere`, { headers: { authorization: `Bearer ${token}`, cookie: `happn_token=${token}` } }],
      [`${web}/auth/logout?happn_token=${token}`, { headers: { authorization: `Bearer ${FORGED}` } }],
      [`${web}/auth/request-nonce?publicKey=${encodeURIComponent(WRONG)}`],
      [`${admin}/api/v1/users`, { headers: { authorization: `Bearer ${FORGED}` } }],
      [`${admin}/nowhere?token=${token}`, { headers: { cookie: `a=${token}` } }],
    ];
    for (const [url, init] of requests) await attempt(async () => (await fetch(url, init)).text());
    await attempt(async () => JSON.stringify((await api.ask('PUT', '/users/ann', { password: { not: WRONG } })).body));
    await attempt(async () => JSON.stringify((await api.ask('PUT', '/users/ann', `{"password":"${WRONG}"`)).body));
    await attempt(async () => JSON.stringify((await api.ask('POST', '/login', { username: 'bob', password: WRONG, more: WRONG })).body));
    // On connections: a change of the password, credentials on a message, bytes that are no packet behind a CONNECT.
    const wire = await happnAs(process, by('ann'));
    for (const data of [{ oldPassword: WRONG, newPassword: WRONG }, { oldPassword: WRONG }, { token: FORGED }]) {
      for (const action of ['change-password', 'revoke-token', 'login', 'security', 'request-nonce']) {
        await attempt(async () => JSON.stringify(await wire.request(action, { data: { ...data, username: 'bob', password: WRONG } })));
      }
    }
    wire.send(`{"action":"login","data":{"password":"${WRONG}"`);
    wire.socket.terminate();
    const haven = await havenAs(process, { token });
    await attempt(() => haven.write('/a/1', 1, { credentials: { username: 'bob', password: WRONG } }));
    await attempt(() => haven.write('/a/1', 1, { credentials: { token: FORGED, more: WRONG } }));
    haven.raw(Buffer.from(WRONG));
    await haven.ended;
    const device = await mqttAs(process, by('ann'), { protocolVersion: 4 });
    (device.stream as unknown as { write(text: string): void }).write(WRONG);
    await new Promise<void>((resolve) => device.once('close', () => resolve()));
    expect((await api.ask('DELETE', `/tokens/${id}`)).status).toBe(204);
    await attempt(() => mqttAs(process, { token }));

    const written = await everythingWritten();
    expect(written.length).toBeGreaterThan(20_000);
    for (const secret of secrets) {
      for (const text of [
        secret,
        encodeURIComponent(secret),
        Buffer.from(secret).toString('base64'),
        JSON.stringify(secret).slice(1, -1),
      ]) {
        const at = written.indexOf(text);
        expect(at === -1 ? '' : written.slice(Math.max(0, at - 200), at + 40), 'where a secret is written').toBe('');
      }
      // The part of a token that makes it good.
      if (secret.startsWith('eyJ')) expect(written).not.toContain(secret.slice(-24));
    }
    expect(written).not.toMatch(/scrypt\$\d|pbkdf2\$/);
  }, 120_000);

  async function everythingWritten(): Promise<string> {
    const { process, api } = house;
    const root = await mqttAs(process, by('_ADMIN'));
    const sys: string[] = [];
    root.on('message', (topic, body) => sys.push(`${topic} ${body.toString()}`));
    await root.subscribeAsync(['$SYS/#', '#', '/_SYSTEM/#', '/_HAVEN/#'], { qos: 0 });
    await until('$SYS', () => sys.length > 20);
    await root.endAsync();
    const asked = ['/audit?limit=1000', '/users', '/groups', '/sessions', '/users/ann'].map(
      async (path) => (await api.ask('GET', path)).body,
    );
    const pages = ['/metrics', '/health', '/api/v1/openapi.json'].map(async (path) => (await fetch(api.url + path)).text());
    const all = [...(await Promise.all(asked)).map((body) => JSON.stringify(body)), ...(await Promise.all(pages))];
    return [process.stdout, process.stderr, ...all, ...sys, ...answers].join('\n');
  }
});

it('D5 a configuration with a mistake is no reason to show the secrets that stand in it', async () => {
  const secret = 'a password in a file of the configuration';
  const texts = [
    `secure: true\nsecurity:\n  users:\n    - name: ann\n      password: ${secret}: more\n`,
    `secure: true\nsecurity:\n  users:\n    - name: ann\n      password: [${secret}]\n`,
    `secure: true\nadmin:\n  password: {a: "${secret}"}\n`,
    `{"secure": true, "admin": {"password": "${secret}" "host": 1}}`,
    `secure: true\nadmin:\n  passwort: ${secret}\n`,
  ];
  for (const [n, text] of texts.entries()) {
    const file = `${temporaryDirectory()}/${n}.yaml`;
    writeFileSync(file, text);
    const cli = new CliProcess(['serve', '--config', file, '--data-dir', temporaryDirectory()]);
    expect((await cli.exited).code, text).toBe(2);
    expect(cli.stderr + cli.stdout, text).not.toContain(secret);
  }
}, 60_000);
