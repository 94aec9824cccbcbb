// Logins and route protection on the port of happn and HTTP, in a gateway in this process.

import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { createGateway, type EmbeddedGateway } from '../../src/index.js';
import { temporaryDirectory, until } from '../support/gateway-process.js';
import { type KeptLine, keptLog } from '../support/silent-log.js';

vi.mock('node:crypto', async (original) => {
  const { withCheapScrypt } = await import('../support/cheap-scrypt.js');
  return withCheapScrypt(await original());
});

const keys = generateKeyPairSync('rsa', {
  modulusLength: 2_048,
  publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
});
const FREE = { happn: { port: 0 }, mqtt: { port: 0 }, haven: { port: 0 } };
const PAGE = 'https://app.example';

const lines: KeptLine[] = [];
let gateway: EmbeddedGateway;
let url: string;

async function start(secure: boolean, queryToken = false): Promise<EmbeddedGateway> {
  const made = createGateway(
    {
      ...FREE,
      secure,
      host: '127.0.0.1',
      admin: { port: 0, password: 'secret of the administrator' },
      data: { dir: temporaryDirectory() },
      http: { origins: [PAGE] },
      security: {
        groups: [{ name: 'web', permissions: { '/@HTTP/app/*': { actions: ['get', 'post'] }, '/@HTTP/app/secret': { prohibit: ['*'] } } }],
        users: [
          { name: 'ann', password: 'secret of ann', groups: ['web'] },
          { name: 'key', publicKey: keys.publicKey, groups: ['web'] },
          { name: 'twice', password: 'secret of twice', groups: ['web'] },
          { name: 'brief', password: 'secret of brief', groups: ['web'] },
        ],
        profiles: [
          { name: 'twice', session: { user: { username: 'twice' } }, policy: { usage_limit: 2 } },
          { name: 'brief', session: { user: { username: 'brief' } }, policy: { ttl: 1 } },
        ],
        http: { queryToken, exclusions: ['/public/*'] },
      },
    },
    { log: keptLog(lines) },
  );
  for (const path of ['/app/*', '/public/*', '/other']) {
    made.http.get(path, (_request, response, { user }) => void response.end(JSON.stringify({ user })));
  }
  made.http.request('DELETE', '/app/*', (_request, response) => void response.end('deleted'));
  await made.start();
  return made;
}

const at = (one: EmbeddedGateway): string => `http://127.0.0.1:${one.listeners.get('happn')?.port}`;

beforeAll(async () => {
  gateway = await start(true);
  url = at(gateway);
});

afterAll(async () => await gateway.stop());

interface LoginAnswer {
  readonly message: string;
  readonly data: string | null;
  readonly error: { readonly name: string; readonly code?: number; readonly message: string } | null;
}

async function auth(
  what: string,
  query: Record<string, string>,
  init: RequestInit = {},
): Promise<{ response: Response; answer: LoginAnswer }> {
  const response = await fetch(`${url}/auth/${what}?${new URLSearchParams(query)}`, init);
  return { response, answer: (await response.json()) as LoginAnswer };
}

async function tokenFor(username: string, password = `secret of ${username}`): Promise<string> {
  return (await auth('login', { username, password })).answer.data as string;
}

async function route(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<[number, string]> {
  const response = await fetch(url + path, { method, headers });
  return [response.status, await response.text()];
}

describe('/auth/login', () => {
  it.each(['GET', 'POST', 'PUT'])('takes %s, and all names that the query may have', async (method) => {
    for (const query of [
      { username: 'ann', password: 'secret of ann' },
      { U: 'ann', PWD: 'secret of ann' },
    ] as Record<string, string>[]) {
      const { response, answer } = await auth('login', query, { method });
      expect(response.status).toBe(200);
      expect(answer).toEqual({ message: 'login successful', data: expect.stringMatching(/^eyJ/), error: null });
    }
  });

  it('D5 gives a cookie that no script reads and no other site sends', async () => {
    const { response, answer } = await auth('login', { u: 'ann', p: 'secret of ann' });
    expect(response.headers.get('set-cookie')).toBe(`happn_token=${answer.data}; Path=/; HttpOnly; SameSite=Strict`);
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  it('gives none to a page of another site, which could log somebody in as somebody else', async () => {
    const { response } = await auth('login', { u: 'ann', p: 'secret of ann' }, { headers: { 'sec-fetch-site': 'cross-site' } });
    expect([response.status, response.headers.get('set-cookie')]).toEqual([200, null]);
  });

  it.each([
    [{ username: 'ann', password: 'wrong' }],
    [{ username: 'nobody', password: 'wrong' }],
    [{}],
    [{ username: 'key', publicKey: keys.publicKey, digest: 'AAAA' }],
  ] as [Record<string, string>][])('refuses %j in the same words', async (query) => {
    const { response, answer } = await auth('login', query);
    expect(response.status).toBe(401);
    expect(answer).toEqual({
      message: 'login failed',
      data: null,
      error: { name: 'AccessDenied', code: 401, message: 'Invalid credentials' },
    });
    expect(response.headers.get('set-cookie')).toBeNull();
  });

  it('takes a signature over a nonce', async () => {
    const nonce = (await auth('request-nonce', { publicKey: keys.publicKey })).answer.data as string;
    const digest = sign('sha256', Buffer.from(nonce, 'base64'), keys.privateKey).toString('base64');
    const { answer } = await auth('login', { username: 'key', pk: keys.publicKey, digest });
    expect(answer.message).toBe('login successful');
  });

  it('takes a token, and the token of the API for administrators', async () => {
    const token = await tokenFor('ann');
    expect((await auth('login', { happn_token: token })).answer).toEqual({ message: 'login successful', data: token, error: null });
    const response = await fetch(`http://127.0.0.1:${gateway.listeners.get('admin')?.port}/api/v1/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'ann', password: 'secret of ann' }),
    });
    const other = ((await response.json()) as { token: string }).token;
    expect((await route('/app/a', { authorization: `Bearer ${other}` }))[0]).toBe(200);
  });
});

describe('a route', () => {
  it('needs a token', async () => {
    const response = await fetch(`${url}/app/a`);
    expect([response.status, response.statusText, response.headers.get('www-authenticate'), await response.text()]).toEqual([
      401,
      'unauthorized access',
      'happn-auth',
      'invalid token format or null token',
    ]);
  });

  it('takes it as bearer or cookie, and knows who asks', async () => {
    const token = await tokenFor('ann');
    expect(await route('/app/a', { authorization: `Bearer ${token}` })).toEqual([200, '{"user":"ann"}']);
    expect(await route('/app/a', { cookie: `x=1; happn_token=${token}` })).toEqual([200, '{"user":"ann"}']);
  });

  it('D5 takes it from the URL only where that is configured', async () => {
    const token = await tokenFor('ann');
    expect((await route(`/app/a?happn_token=${token}`))[0]).toBe(401);
    const open = await start(true, true);
    try {
      const login = await fetch(`${at(open)}/auth/login?u=ann&p=${encodeURIComponent('secret of ann')}`);
      const { data } = (await login.json()) as LoginAnswer;
      expect((await fetch(`${at(open)}/app/a?happn_token=${data}`)).status).toBe(200);
    } finally {
      await open.stop();
    }
  });

  it('E1 takes no cookie that a foreign page has sent', async () => {
    const cookie = `happn_token=${await tokenFor('ann')}`;
    expect((await route('/app/a', { cookie, origin: 'https://evil.example' }))[0]).toBe(401);
    expect((await route('/app/a', { cookie, origin: 'null' }))[0]).toBe(401);
    expect((await route('/app/a', { cookie, origin: PAGE }))[0]).toBe(200);
  });

  it('needs the right to its method on its path', async () => {
    const headers = { authorization: `Bearer ${await tokenFor('ann')}` };
    expect(await route('/app/a', headers, 'DELETE')).toEqual([403, 'unauthorized access to path /@HTTP/app/a']);
    expect(await route('/app/a', headers, 'HEAD')).toEqual([403, '']);
    expect((await route('/app/secret', headers))[0]).toBe(403);
    expect((await route('/other', headers))[0]).toBe(403);
    expect((await route('/app/a', headers, 'POST'))[0]).toBe(405);
    const admin = { authorization: `Bearer ${await tokenFor('_ADMIN', 'secret of the administrator')}` };
    expect(await route('/app/a', admin, 'DELETE')).toEqual([200, 'deleted']);
    expect((await route('/nothing', admin))[0]).toBe(404);
    expect((await route('/nothing', headers))[0]).toBe(403);
  });

  /** As the path stands: `fetch` would take its steps. */
  async function bare(path: string, headers: Record<string, string> = {}): Promise<string> {
    const asked = request({ host: '127.0.0.1', port: new URL(url).port, path, headers, agent: false }).end();
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return `${response.statusCode} ${(await response.toArray()).join('')}`;
  }

  it.each(['/app/../other', '/app/%2e%2e/other', '/app//../other', '//other', '/APP/a'])(
    'is not reached by the way of %s',
    async (path) => {
      expect(await bare(path, { authorization: `Bearer ${await tokenFor('ann')}` })).toMatch(/^403 /);
    },
  );

  it.each([
    ...['/app/%73ecret', '/app/secre%74', '/app/./secret', '/app//secret', '/app/x/../secret', '/app/x/%2e%2e/secret', '/app%2Fsecret'],
    ...['/app/x/..%2fsecret', '/app\\secret', '/app/x/..\\secret'],
  ])('D9 that is forbidden is not reached as %s', async (path) => {
    expect(await bare(path, { authorization: `Bearer ${await tokenFor('ann')}` })).toMatch(/^403 /);
  });

  it('D9 that needs a token is not reached by the way of one that does not; letters that need quoting are no obstacle', async () => {
    for (const path of ['/public/../app/a', '/public/%2e%2e/app/a', '/public/..%2fapp/a', '/public/x/../../app/a']) {
      expect(await bare(path), path).toMatch(/^401 /);
    }
    for (const path of ['/public/a%20b', '/public/%C3%A4', '/public/100%']) expect(await bare(path), path).toMatch(/^200 /);
    const headers = { authorization: `Bearer ${await tokenFor('ann')}` };
    for (const path of ['/app/a%20b', '/app/a%2Fb', '/app/x/../a', '/app/50%']) expect(await bare(path, headers), path).toMatch(/^200 /);
  });

  it('that is excluded needs nothing; the own paths of the gateway neither', async () => {
    expect(await route('/public/a')).toEqual([200, '{"user":null}']);
    expect((await route('/ping'))[0]).toBe(200);
    expect((await route('/browser_client'))[0]).toBe(200);
  });

  it('is not for tokens that are no more, and counts how often one is used', async () => {
    const headers = { authorization: `Bearer ${await tokenFor('twice')}` };
    expect((await route('/app/a', headers))[0]).toBe(200);
    expect((await route('/app/a', headers))[0]).toBe(200);
    expect(await route('/app/a', headers)).toEqual([401, 'authorization failed for twice: session usage limit reached']);
    const brief = { authorization: `Bearer ${await tokenFor('brief')}` };
    await until('its time is over', async () => (await route('/app/a', brief))[0] === 401);
    expect(await route('/app/a', brief)).toEqual([401, 'authorization failed for brief: expired session token']);
    const forged = (await tokenFor('ann')).replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    expect((await route('/app/a', { authorization: `Bearer ${forged}x` }))[0]).toBe(401);
  });
});

describe('a websocket', () => {
  const { client } = createRequire(fileURLToPath(new URL('../clients/happn3/', import.meta.url)))('happn-3-v13') as {
    client: { create(options: object): Promise<unknown> };
  };

  it('is not opened with a token that was given for requests', async () => {
    const token = await tokenFor('ann');
    const message = 'token was created using the login type 0, which does not match how the new token is to be created';
    const created = client.create({ host: '127.0.0.1', port: Number(new URL(url).port), secure: true, token });
    await expect(created).rejects.toMatchObject({ code: 403, message });
  });

  it('E1 is nobody, whatever cookie and header it comes with', async () => {
    const token = await tokenFor('_ADMIN', 'secret of the administrator');
    const headers = { cookie: `happn_token=${token}`, authorization: `Bearer ${token}` };
    const socket = new WebSocket(`${url.replace('http', 'ws')}/primus?happn_token=${token}`, { headers });
    await once(socket, 'open');
    socket.send(JSON.stringify({ action: 'get', eventId: 1, path: '/x', data: null }));
    const [text] = (await once(socket, 'message')) as [Buffer];
    expect(JSON.parse(text.toString())).toMatchObject({ _meta: { eventId: 1, status: 'error' } });
    socket.terminate();
  });
});

it('/auth/logout is refused unless it is configured', async () => {
  const { response, answer } = await auth('logout', {}, { headers: { authorization: `Bearer ${await tokenFor('ann')}` } });
  expect([response.status, answer.message]).toEqual([403, 'logouts over http are not allowed']);
});

it('neither passwords nor tokens reach the log', async () => {
  await tokenFor('ann');
  const text = JSON.stringify(lines);
  expect(text).not.toMatch(/secret of|eyJ/);
  expect(text).toContain('"audit":true');
});

it('without security there are no logins, and routes are open', async () => {
  const open = await start(false);
  try {
    expect((await fetch(`${at(open)}/auth/login?u=ann&p=x`)).status).toBe(404);
    expect(await (await fetch(`${at(open)}/app/a`)).text()).toBe('{"user":null}');
  } finally {
    await open.stop();
  }
});
