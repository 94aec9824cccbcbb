// The API and the commands for administrators of a real gateway with security: who may ask, tokens over every road, and what becomes
// of live clients.

import { execFile } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connect, connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminApi, type Answered } from '../support/admin-api.js';
import { CommandHost, type EndedCommand } from '../support/command-host.js';
import { type GatewayProcess, MAIN, startGateway, temporaryDirectory, until } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';

const PASSWORD = 'only for this test';

let gateway: GatewayProcess;
let api: AdminApi;

beforeAll(async () => {
  gateway = await startGateway({
    cheapPasswords: true,
    flags: ['--secure', '--host', '127.0.0.1'],
    env: { TRIVIUM_ADMIN_PASSWORD: PASSWORD },
  });
  api = await AdminApi.of(gateway.ports.admin);
  api.token = (await login('_ADMIN', PASSWORD)).body['token'] as string;
  await api.ask('PUT', '/groups/plant', { permissions: { '/plant/*': { actions: ['*'] } } });
  for (const name of ['ann', 'ben', 'cat', 'dan'])
    await api.ask('PUT', `/users/${name}`, { password: `secret of ${name}`, groups: ['plant'] });
});

afterAll(async () => await gateway.stop());

function login(username: string, password = `secret of ${username}`): Promise<Answered> {
  return api.ask('POST', '/login', { username, password });
}

async function as<T>(token: string | null, work: () => Promise<T>): Promise<T> {
  const before = api.token;
  api.token = token;
  try {
    return await work();
  } finally {
    api.token = before;
  }
}

const codeOf = (answer: Answered): unknown => [answer.status, (answer.body['error'] as { code?: string } | undefined)?.code];

async function device(username: string, password: string): Promise<{ client: MqttClient; closed: Promise<void> }> {
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, {
    username,
    password,
    reconnectPeriod: 0,
    protocolVersion: 5,
  });
  return { client, closed: new Promise((resolve) => client.once('close', () => resolve())) };
}

async function isRefused(username: string, password: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const client = connect(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { username, password, reconnectPeriod: 0, protocolVersion: 5 });
    client.once('error', () => resolve(true));
    client.once('connect', () => client.end(true, () => resolve(false)));
  });
}

describe('who may ask', () => {
  it('D13 is a member of _ADMIN with a token', async () => {
    expect(codeOf(await as(null, () => api.ask('GET', '/users')))).toEqual([401, 'NOT_AUTHENTICATED']);
    expect((await as(null, () => api.ask('GET', '/users'))).headers.get('www-authenticate')).toBe('Bearer');
    expect(codeOf(await as('eyJh.eyJh.xx', () => api.ask('GET', '/users')))).toEqual([401, 'NOT_AUTHENTICATED']);
    const token = (await login('ann')).body['token'] as string;
    for (const [method, path] of [
      ['GET', '/users'],
      ['DELETE', '/users/ben'],
      ['GET', '/sessions'],
      ['GET', '/audit'],
    ] as const) {
      expect(codeOf(await as(token, () => api.ask(method, path))), path).toEqual([403, 'ACCESS_DENIED']);
    }
    await api.ask('PUT', '/users/ann/groups/_ADMIN');
    expect((await as(token, () => api.ask('GET', '/users'))).status).toBe(200);
    await api.ask('DELETE', '/users/ann/groups/_ADMIN');
    expect(codeOf(await as(token, () => api.ask('GET', '/users')))).toEqual([403, 'ACCESS_DENIED']);
  });

  it('is told nothing of who there is by a login that fails', async () => {
    const [wrong, unknown] = [await login('ann', 'wrong'), await login('nobody', 'wrong')];
    expect(codeOf(wrong)).toEqual([401, 'NOT_AUTHENTICATED']);
    expect(unknown.body).toEqual(wrong.body);
    const { body } = await api.ask('GET', '/audit?action=login');
    expect(body['entries']).toContainEqual(
      expect.objectContaining({ target: 'nobody', refusal: 'NOT_AUTHENTICATED', protocol: 'admin', address: '127.0.0.1', actor: null }),
    );
  });
});

describe('a change', () => {
  it('D11 is there at once for live clients of all protocols', async () => {
    const { client } = await device('ben', 'secret of ben');
    await client.publishAsync('/plant/1', '1', { qos: 1, retain: true });
    const haven = await HavenClient.connect(gateway.ports.haven, {
      connect: { credentials: { username: 'ben', password: 'secret of ben' } },
    });
    expect((await haven.read('/plant/1')).value).toBe(1);
    await api.ask('PATCH', '/users/ben', { permissions: { '/plant/1': { prohibit: ['*'] } } });
    await expect(haven.read('/plant/1')).rejects.toMatchObject({ errorName: 'ACCESS_DENIED' });
    await expect(client.publishAsync('/plant/1', '2', { qos: 1, retain: true })).rejects.toMatchObject({ code: 0x87 });
    await api.ask('PATCH', '/users/ben', { permissions: { '/plant/1': null } });
    expect((await haven.read('/plant/1')).value).toBe(1);
    await haven.close();
    await client.endAsync();
  });

  it('of a password ends tokens, and of a user ends sessions', async () => {
    const token = (await login('cat')).body['token'] as string;
    expect(codeOf(await as(token, () => api.ask('GET', '/users')))).toEqual([403, 'ACCESS_DENIED']);
    await api.ask('PUT', '/users/cat', { password: 'another' });
    expect(codeOf(await as(token, () => api.ask('GET', '/users')))).toEqual([403, 'LOGIN_REFUSED']);
    const { closed } = await device('cat', 'another');
    expect((await api.ask('DELETE', '/users/cat')).status).toBe(204);
    await closed;
    expect(await isRefused('cat', 'another')).toBe(true);
  });
});

describe('tokens', () => {
  it('of the API are good on other roads, until they are revoked', async () => {
    const made = await api.ask('POST', '/tokens', { user: 'dan', ttlMs: 3_600_000 });
    expect(made.status).toBe(201);
    const { id, token, expires } = made.body as Record<string, string>;
    expect(Math.abs(Date.parse(expires as string) - Date.now() - 3_600_000)).toBeLessThan(60_000);
    const { closed } = await device('dan', token as string);
    const { body } = await api.ask('GET', '/sessions?user=dan');
    expect(body['sessions']).toEqual([expect.objectContaining({ user: 'dan', protocol: 'mqtt' })]);
    expect((await api.ask('DELETE', `/tokens/${id}`)).status).toBe(204);
    await closed;
    expect(await isRefused('dan', token as string)).toBe(true);
  });

  it('for requests are not for connections', async () => {
    const { body } = await api.ask('POST', '/tokens', { user: 'dan', type: 'stateless' });
    expect(await isRefused('dan', body['token'] as string)).toBe(true);
    const response = await fetch(`http://127.0.0.1:${gateway.ports.happn}/none`, {
      headers: { authorization: `Bearer ${String(body['token'])}` },
    });
    expect([response.status, await response.text()]).toEqual([403, 'unauthorized access to path /@HTTP/none']);
  });

  it('are all revoked at once', async () => {
    const token = (await login('dan')).body['token'] as string;
    expect((await api.ask('DELETE', '/users/dan/tokens')).status).toBe(204);
    expect(codeOf(await as(token, () => api.ask('GET', '/users')))).toEqual([403, 'LOGIN_REFUSED']);
    expect((await login('dan')).status).toBe(200);
  });

  it('are for users that there are', async () => {
    expect(codeOf(await api.ask('POST', '/tokens', { user: 'nobody' }))).toEqual([404, 'NOT_FOUND']);
  });
});

describe('the audit', () => {
  it('names the administrator, and who told a node what to be', async () => {
    const credentials = { username: '_ADMIN', password: PASSWORD };
    const admin = await HavenClient.connect(gateway.ports.haven, { connect: { credentials } });
    await admin.ask({ action: 'become', type: 'leader', path: '/audited' });
    const ann = await HavenClient.connect(gateway.ports.haven, {
      connect: { credentials: { username: 'ann', password: 'secret of ann' } },
    });
    expect(await ann.ask({ action: 'become', type: 'leader', path: '/refused' })).toMatchObject({ result: false });
    await Promise.all([admin.close(), ann.close()]);
    const { body } = await api.ask('GET', '/audit?action=control.change');
    expect(body['entries']).toEqual([
      expect.objectContaining({ actor: '_ADMIN', target: '/audited', refusal: null, protocol: 'haven' }),
      expect.objectContaining({ actor: 'ann', target: '/refused', refusal: 'ACCESS_DENIED', protocol: 'haven' }),
    ]);
    const issued = (await api.ask('GET', '/audit?action=token.issue&actor=_ADMIN')).body['entries'] as object[];
    expect(issued[0]).toMatchObject({ target: 'dan', details: { type: 'stateful' } });
  });

  it('holds no secret, and neither does the log', async () => {
    const text = JSON.stringify((await api.ask('GET', '/audit?limit=1000')).body) + gateway.stderr + gateway.stdout;
    expect(text).not.toMatch(/secret of|only for this test|eyJ|scrypt/);
  });
});

describe('the commands', () => {
  const host = new CommandHost();
  afterAll(() => host.close());

  const trivium = (args: string[], env: Record<string, string> = {}): Promise<EndedCommand> =>
    host.run(args, { TRIVIUM_ADMIN_URL: `http://127.0.0.1:${gateway.ports.admin}`, ...env });

  it('log in, and ask with the token from a file or a variable', async () => {
    const directory = temporaryDirectory();
    const [secret, token] = [join(directory, 'secret'), join(directory, 'token')];
    writeFileSync(secret, `${PASSWORD}\n`);
    expect(await trivium(['user', 'list'])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^trivium: a token is needed.*trivium login/),
    });
    const loggedIn = await trivium(['login', '_ADMIN', '--password-file', secret, '--out', token]);
    expect(loggedIn).toMatchObject({ code: 0, stdout: '', stderr: expect.stringMatching(/^token \S+, valid until \S+, written to /) });
    expect(statSync(token).mode & 0o777).toBe(0o600);
    expect(await trivium(['user', 'show', 'ann', '--token-file', token])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^name +ann\n/),
    });
    const text = readFileSync(token, 'utf8').trim();
    const issued = await trivium(['token', 'issue', 'ann'], { TRIVIUM_TOKEN: text });
    expect(issued.stdout).toMatch(/^eyJ\S+\n$/);
    const id = /^token (\S+),/.exec(issued.stderr)?.[1] as string;
    expect(await trivium(['token', 'revoke', id, '--token-file', token])).toMatchObject({
      code: 0,
      stdout: `the token ${id} is deleted\n`,
    });
    expect(await isRefused('ann', issued.stdout.trim())).toBe(true);
    expect(await trivium(['user', 'list'], { TRIVIUM_TOKEN: issued.stdout.trim() })).toMatchObject({ code: 1 });
  });

  it('show nothing of a password that is typed', async () => {
    const terminal = [
      'import os, pty, sys',
      'pid, fd = pty.fork()',
      'if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])',
      'out = b""',
      'while b"Password: " not in out: out += os.read(fd, 4096)',
      `os.write(fd, b"${PASSWORD}\\r")`,
      'try:',
      '  while True:',
      '    more = os.read(fd, 4096)',
      '    if not more: break',
      '    out += more',
      'except OSError: pass',
      'sys.stdout.buffer.write(out)',
      'sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))',
    ].join('\n');
    const url = `http://127.0.0.1:${gateway.ports.admin}`;
    const command = [process.execPath, MAIN, 'login', '_ADMIN', '--admin-url', url];
    const { stdout } = await promisify(execFile)('python3', ['-c', terminal, ...command], { timeout: 100_000 });
    expect(stdout).toMatch(/^Password: \r\ntoken \S+, valid until \S+\r\neyJ\S+\r\n$/);
  });

  it('end a session', async () => {
    const { client, closed } = await device('ann', 'secret of ann');
    const listed = await trivium(['session', 'list', '--user', 'ann', '--json'], { TRIVIUM_TOKEN: api.token as string });
    const [{ id }] = JSON.parse(listed.stdout) as [{ id: string }];
    expect(await trivium(['session', 'end', id], { TRIVIUM_TOKEN: api.token as string })).toMatchObject({ code: 0 });
    await closed;
    await until('it is ended', () => !client.connected);
  });
});
