// Pages that log in, in a browser: with the client that the gateway gives them, and with the original one of happn-3 13. A page comes
// from a route of the gateway; another route says who asks it, by the cookie.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createGateway, type EmbeddedGateway } from '../../src/index.js';
import { AdminApi } from '../support/admin-api.js';
import { openBrowser } from '../support/browser.js';
import { SILENT } from '../support/core-harness.js';
import { cleanEnvironment, temporaryDirectory, until } from '../support/gateway-process.js';

vi.mock('node:crypto', async (original) => {
  const { withCheapScrypt } = await import('../support/cheap-scrypt.js');
  return withCheapScrypt(await original());
});

const PASSWORD = 'the password of this test';
const CLIENTS = fileURLToPath(new URL('../clients/happn3', import.meta.url));

/** What the original server would send to a browser; its packager keeps a copy in the home directory. */
function originalClient(): string {
  const code = `require('happn-3-v13').packager.browserClient({ contentsOnly: true }).then((text) => process.stdout.write(text))`;
  const env = cleanEnvironment({ HOME: temporaryDirectory() });
  return execFileSync(process.execPath, ['-e', code], { cwd: CLIENTS, env, encoding: 'utf8' });
}

async function start(encrypted: boolean, cookieName: string): Promise<EmbeddedGateway> {
  const gateway = createGateway(
    {
      secure: true,
      host: '127.0.0.1',
      happn: { port: 0 },
      mqtt: { port: 0 },
      haven: { port: 0 },
      admin: { port: 0, password: PASSWORD },
      data: { dir: temporaryDirectory() },
      tls: { enabled: encrypted },
      security: {
        groups: [{ name: 'plant', permissions: { '/plant/*': { actions: ['*'] }, '/@HTTP/whoami': { actions: ['get'] } } }],
        users: [{ name: 'alice', password: PASSWORD, groups: ['plant'] }],
        http: { cookieName, exclusions: ['/pages/*'] },
      },
    },
    { log: SILENT },
  );
  const scripts: Readonly<Record<string, string>> = { own: '/browser_client', original: '/pages/original.js' };
  const serve = (path: string, type: string, text: string): void =>
    gateway.http.get(path, (_request, response) => {
      response.setHeader('content-type', `${type}; charset=utf-8`);
      response.end(text);
    });
  for (const [name, script] of Object.entries(scripts)) {
    const head = `<title>page</title><link rel="icon" href="data:,"><script src="${script}"></script>`;
    serve(`/pages/${name}`, 'text/html', `<!doctype html>${head}`);
  }
  serve('/pages/original.js', 'text/javascript', original);
  gateway.http.get('/whoami', (_request, response, { user }) => void response.end(JSON.stringify({ user })));
  await gateway.start();
  return gateway;
}

let original: string;
let browser: Browser;

beforeAll(async () => {
  original = originalClient();
  browser = await openBrowser();
});

afterAll(async () => await browser.close());

describe.each([
  ['in the clear', false, 'happn_token', 'happn_token'],
  ['over TLS', true, 'plant', 'plant_https'],
] as const)('%s', (_name, encrypted, configured, cookie) => {
  let gateway: EmbeddedGateway;
  let api: AdminApi;
  let place: string;

  beforeAll(async () => {
    gateway = await start(encrypted, configured);
    api = await AdminApi.of(gateway.listeners.get('admin')?.port as number);
    const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: PASSWORD });
    api.token = body['token'] as string;
    const { port } = gateway.listeners.get('happn') as { port: number };
    place = `protocol: '${encrypted ? 'https' : 'http'}', host: '127.0.0.1', port: ${port}`;
  });

  afterAll(async () => await gateway.stop());

  describe.each(['own', 'original'])('a page with the %s client', (name) => {
    let context: BrowserContext;
    let page: Page;

    beforeEach(async () => {
      context = await browser.newContext({ ignoreHTTPSErrors: true });
      page = await openPage();
    });

    afterEach(async () => await context.close());

    async function openPage(): Promise<Page> {
      const opened = await context.newPage();
      const { port } = gateway.listeners.get('happn') as { port: number };
      await opened.goto(`${encrypted ? 'https' : 'http'}://127.0.0.1:${port}/pages/${name}`);
      return opened;
    }

    /** Runs the text in a page, as the body of an asynchronous function. */
    async function run<T>(body: string, where = page): Promise<T> {
      return (await where.evaluate(`(async () => { ${body} })()`)) as T;
    }

    async function logIn(login: string, where = page): Promise<void> {
      await run(
        `window.client = await HappnClient.create({ ${place}, loginRetry: 0, ${login} });
         window.ended = null;
         client.onEvent('session-ended', (about) => { window.ended = about; });`,
        where,
      );
    }

    const byPassword = `username: 'alice', password: '${PASSWORD}'`;
    const whoami = (where = page): Promise<[number, string]> =>
      run(`const response = await fetch('/whoami'); return [response.status, await response.text()];`, where);
    const user = (where = page): Promise<string> => run(`return client.session.user.username`, where);
    const token = (where = page): Promise<string> => run(`return client.session.token`, where);
    const refusal = (login: string): Promise<object> =>
      run(
        `return await HappnClient.create({ ${place}, ${login} }).then(() => ({}), ({ name, message, code }) => ({ name, message, code }))`,
      );

    it('logs in by password, and is known to routes by the cookie that it writes', async () => {
      expect(await whoami()).toEqual([401, 'invalid token format or null token']);
      await logIn(byPassword);
      expect(await user()).toBe('alice');
      const found = (await context.cookies()).find((one) => one.name === cookie);
      expect(found).toMatchObject({ value: await token(), path: '/', secure: encrypted });
      expect(await whoami()).toEqual([200, '{"user":"alice"}']);
    });

    it('logs in by the cookie of another page, and by a token', async () => {
      await logIn(byPassword);
      const second = await openPage();
      await logIn('useCookie: true', second);
      expect(await user(second)).toBe('alice');
      await run(`await client.set('/plant/page', { by: 'cookie' })`, second);
      expect(await run(`return (await client.get('/plant/page')).by`)).toBe('cookie');
      await logIn(`token: '${await token()}'`, second);
      expect(await user(second)).toBe('alice');
    });

    it('is refused at once', async () => {
      const denied = { name: 'AccessDenied', code: 401 };
      expect(await refusal(`username: 'alice', password: 'wrong'`)).toEqual({ ...denied, message: 'Invalid credentials' });
      expect(await refusal(`token: 'nonsense'`)).toEqual({ ...denied, message: 'Invalid credentials: invalid session token' });
      expect(await refusal('useCookie: true')).toHaveProperty('message');
    });

    it('logs out: the cookie opens nothing any more, and the other page ends', async () => {
      await logIn(byPassword);
      const second = await openPage();
      await logIn('useCookie: true', second);
      await run(`await client.logout()`);
      await until('the other page ends', async () => (await run('return ended', second)) !== null);
      expect(await run('return ended', second)).toEqual({ reason: 'token-revoked' });
      expect(await whoami()).toEqual([403, 'unauthorized access to path /@HTTP/whoami']);
      expect(await refusal('useCookie: true')).toMatchObject({ code: 403, message: 'token has been revoked' });
    });

    it('takes its cookie away when it is told to', async () => {
      await logIn(byPassword);
      await run(`await client.disconnect({ revokeToken: true, deleteCookie: true })`);
      expect((await context.cookies()).filter(({ value }) => value !== '')).toEqual([]);
      expect((await whoami())[0]).toBe(401);
    });

    it('changes its password', async () => {
      const username = `changer ${name}`;
      expect((await api.ask('PUT', `/users/${username}`, { password: PASSWORD })).status).toBeLessThan(300);
      const login = (password: string): string => `username: '${username}', password: '${password}'`;
      await logIn(login(PASSWORD));
      const change = (old: string): Promise<string> =>
        run(`return await client.changePassword({ oldPassword: '${old}', newPassword: 'another good one' })
          .then(() => 'changed', ({ message }) => message)`);
      expect(await change('wrong')).toBe('Invalid old password');
      expect(await change(PASSWORD)).toBe('changed');
      await logIn(login('another good one'), await openPage());
      expect(await refusal(login(PASSWORD))).toMatchObject({ code: 401 });
    });

    it('gives its token back, and ends', async () => {
      await logIn(byPassword);
      const given = await token();
      await run('await client.revokeToken()');
      await until('the page ends', async () => (await run('return ended')) !== null);
      expect(await run('return ended')).toEqual({ reason: 'token-revoked' });
      expect(await refusal(`token: '${given}'`)).toMatchObject({ code: 403, message: 'token has been revoked' });
    });

    it('hears no more what it may not, is told so, and ends with its user', async () => {
      const username = `reader ${name}`;
      const put = async (fields: object): Promise<void> => {
        expect((await api.ask('PUT', `/users/${username}`, fields)).status).toBeLessThan(300);
      };
      await put({ password: PASSWORD, permissions: { '/plant/*': { actions: ['*'] } } });
      await logIn(`username: '${username}', password: '${PASSWORD}'`);
      await run(`
        window.heard = [];
        window.told = [];
        client.onSystemMessage((name, data) => told.push([name, data?.whatHappnd]));
        await client.on('/plant/*', (data, meta) => heard.push(meta.path));
        await client.set('/plant/1', {});
      `);
      await until('the first event', async () => (await run<unknown[]>('return heard')).length === 1);
      await put({ permissions: { '/plant/*': { actions: ['get', 'set'] } } });
      await until('the notices', async () => (await run<unknown[]>('return told')).length === 2);
      const told = ['permission-removed', 'upsert-user'].map((what) => ['security-data-changed', what]);
      expect(await run('return told')).toEqual(told);
      await run(`await client.set('/plant/2', {}); await client.get('/plant/2');`);
      expect(await run('return heard')).toEqual(['/plant/1']);
      expect((await api.ask('DELETE', `/users/${username}`)).status).toBe(204);
      await until('its end', async () => (await run('return ended')) !== null);
      expect(await run('return ended')).toEqual({ reason: 'security directory update: user deleted' });
    });
  });
});
