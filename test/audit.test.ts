// The audit of a real gateway: it outlives restarts and kills, is read in pages, and is followed as it grows.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { connect } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminApi } from './support/admin-api.js';
import { CliProcess, type GatewayProcess, startGateway, until } from './support/gateway-process.js';

const PASSWORD = 'only for this test';

interface Entry {
  readonly number: number;
  readonly time: string;
  readonly action: string;
  readonly actor: string | null;
  readonly target: string;
  readonly refusal: string | null;
  readonly protocol: string;
  readonly address: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

interface Happn {
  set(path: string, data: object, options: object): Promise<unknown>;
  disconnect(options?: object): Promise<void>;
}
const { client: happn } = createRequire(fileURLToPath(new URL('clients/happn3/', import.meta.url)))('happn-3-v13') as {
  client: { create(options: object): Promise<Happn> };
};

let gateway: GatewayProcess;
let api: AdminApi;

beforeAll(async () => {
  gateway = await startGateway({
    cheapPasswords: true,
    flags: ['--secure', '--host', '127.0.0.1', '--security-http-logout'],
    env: { TRIVIUM_ADMIN_PASSWORD: PASSWORD },
  });
  api = await AdminApi.of(gateway.ports.admin);
  await logIn();
});

afterAll(async () => await gateway.stop());

async function logIn(): Promise<void> {
  const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: PASSWORD });
  api.token = body['token'] as string;
}

async function entries(query = 'limit=1000'): Promise<Entry[]> {
  return (await api.ask('GET', `/audit?${query}`)).body['entries'] as Entry[];
}

/** A device that guesses; resolves when it is refused. */
async function guess(username: string): Promise<void> {
  const client = connect(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { username, password: 'wrong', reconnectPeriod: 0, protocolVersion: 5 });
  await new Promise((resolve) => client.once('error', resolve));
}

describe('a restart', () => {
  it('leaves all that was entered, with the same numbers, and the first start with it', async () => {
    await api.ask('PUT', '/users/ann', { password: 'secret of ann' });
    await api.ask('POST', '/tokens', { user: 'ann' });
    await guess('ann');
    const before = await entries();
    expect(before.map(({ action, target }) => [action, target])).toEqual([
      ['user.put', '_ADMIN'],
      ['user.put', 'ann'],
      ['token.issue', 'ann'],
      ['login', 'ann'],
    ]);
    expect(before.at(-1)).toMatchObject({ refusal: 'NOT_AUTHENTICATED', protocol: 'mqtt', address: '127.0.0.1', actor: null });
    await gateway.restart();
    expect(await entries()).toEqual(before);
  });

  it('after a kill leaves what was answered', async () => {
    await api.ask('PUT', '/users/kim', {});
    await api.ask('DELETE', '/users/kim');
    const last = (await entries()).at(-1) as Entry;
    await api.ask('PUT', '/users/kit', {});
    await gateway.restart({ kill: true });
    const after = await entries(`after=${last.number}`);
    expect(after).toMatchObject([{ number: last.number + 1, action: 'user.put', target: 'kit', actor: '_ADMIN' }]);
    await api.ask('DELETE', '/users/kit');
    expect((await entries('limit=1'))[0]?.number).toBe(last.number + 2);
  });
});

describe('pages', () => {
  it('lead back to the first entry and forth to the last', async () => {
    const all = await entries();
    const back: Entry[] = [];
    let before: number | null = null;
    do {
      const { body } = await api.ask('GET', `/audit?limit=2${before === null ? '' : `&before=${before}`}`);
      back.unshift(...(body['entries'] as Entry[]));
      before = body['previous'] as number | null;
    } while (before !== null);
    expect(back).toEqual(all);
    const forth: Entry[] = [];
    for (let next = 0, got = 1; got > 0; ) {
      const { body } = await api.ask('GET', `/audit?limit=3&after=${next}`);
      got = (body['entries'] as Entry[]).length;
      forth.push(...(body['entries'] as Entry[]));
      next = body['next'] as number;
    }
    expect(forth).toEqual(all);
  });

  it('hold what was asked for', async () => {
    expect((await entries('target=ann')).map(({ action }) => action)).toEqual(['user.put', 'token.issue', 'login']);
    expect((await entries('outcome=refused')).map(({ action }) => action)).toEqual(['login']);
    expect((await entries('actor=')).map(({ target }) => target)).toEqual(['_ADMIN', 'ann']);
    const [first, second] = (await entries('action=user.put')) as [Entry, Entry];
    expect(await entries(`action=user.put&until=${encodeURIComponent(second.time)}`)).toEqual([first]);
    expect((await entries(`action=user.put&since=${encodeURIComponent(second.time)}`))[0]).toEqual(second);
    for (const query of ['since=yesterday', 'outcome=maybe', 'before=x', 'after=-1', 'limit=0', 'colour=red']) {
      const answer = await api.ask('GET', `/audit?${query}`);
      expect([query, answer.status]).toEqual([query, 400]);
      expect((answer.body['error'] as { message: string }).message).toContain(query.split('=')[0]);
    }
  });
});

describe('what users do to what is their own', () => {
  it('is entered in one form, whatever the road', async () => {
    const credentials = { username: 'ann', password: 'secret of ann' };
    const page = await happn.create({ host: '127.0.0.1', port: gateway.ports.happn, secure: true, ...credentials });
    await page.disconnect({ revokeToken: true });
    const at = `http://127.0.0.1:${gateway.ports.happn}/auth`;
    const token = ((await (await fetch(`${at}/login?username=ann&password=secret%20of%20ann`)).json()) as { data: string }).data;
    expect((await fetch(`${at}/logout`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
    const revoked = await entries('action=token.revoke');
    const common = { actor: 'ann', refusal: null, address: '127.0.0.1', details: { own: true } };
    expect(revoked).toMatchObject([
      { ...common, protocol: 'happn' },
      { ...common, protocol: 'http' },
    ]);
  });
});

describe('what is done in the name of others', () => {
  it('is entered once for many, allowed or refused', async () => {
    await api.ask('PUT', '/users/meg', { password: 'secret of meg', groups: ['_MESH_DELEGATE'] });
    await api.ask('PUT', '/users/ann', { permissions: { '/ann/*': { actions: ['*'] } } });
    const meg = await happn.create({
      ...{ host: '127.0.0.1', port: gateway.ports.happn, secure: true },
      ...{ username: 'meg', password: 'secret of meg' },
    });
    for (let at = 0; at < 20; at += 1) await meg.set('/ann/1', { at }, { onBehalfOf: 'ann' });
    await expect(meg.set('/ben/1', {}, { onBehalfOf: 'ann' })).rejects.toThrow('unauthorized');
    await expect(meg.set('/ann/1', {}, { onBehalfOf: 'nobody' })).rejects.toThrow('unauthorized');
    await meg.disconnect();
    const seen = await entries('action=session.delegate');
    const common = { action: 'session.delegate', actor: 'meg', protocol: 'happn', address: '127.0.0.1' };
    // A minute may end between them.
    expect(seen.filter(({ refusal }) => refusal === null)[0]).toMatchObject({
      ...common,
      target: 'ann',
      details: { action: 'set', path: '/ann/1' },
    });
    expect(seen.filter(({ refusal }) => refusal === null).length).toBeLessThanOrEqual(3);
    expect(seen.filter(({ refusal }) => refusal !== null)).toMatchObject([
      { ...common, target: 'ann', refusal: 'ACCESS_DENIED', details: { action: 'set', path: '/ben/1' } },
      { ...common, target: 'nobody', refusal: 'ACCESS_DENIED', details: { action: 'set', path: '/ann/1' } },
    ]);
    await gateway.restart();
    const kept = await entries('action=session.delegate');
    const acts = kept.filter(({ refusal }) => refusal === null).map(({ details }) => (details['more'] as number | undefined) ?? 1);
    expect(acts.reduce((sum, more) => sum + more, 0)).toBe(20);
  });
});

describe('trivium audit', () => {
  const trivium = (...args: string[]): CliProcess =>
    new CliProcess(['audit', ...args], {
      env: { TRIVIUM_ADMIN_URL: `http://127.0.0.1:${gateway.ports.admin}`, TRIVIUM_TOKEN: api.token as string },
    });

  it('shows what was asked for', async () => {
    const shown = trivium('--target', 'ann', '--outcome', 'refused', '--since', '2020-01-01', '--until', '2100-01-01');
    expect((await shown.exited).code).toBe(0);
    expect(shown.stdout.split('\n')[1]).toMatch(/^\d+ +\S+ +login +- +ann +NOT_AUTHENTICATED +mqtt +127\.0\.0\.1 +\{"reason":/);
    const wrong = trivium('--since', 'yesterday');
    expect(await wrong.exited).toMatchObject({ code: 2 });
    expect(wrong.stderr).toBe('trivium: --since: yesterday is no time such as 2030-01-31 or 2030-01-31T08:00:00Z\n');
  });

  it('follows no longer when nobody reads', async () => {
    const following = trivium('--follow', '--limit', '1');
    await until('it shows what was there', () => following.stdout.split('\n').length > 2);
    following.child.stdout?.destroy();
    await api.ask('PUT', '/groups/unread', {});
    expect(await following.exited).toEqual({ code: 0, signal: null });
  });

  it('follows, and ends with the gateway', async () => {
    const [following, programs] = [trivium('--follow', '--limit', '1'), trivium('--follow', '--limit', '1', '--json')];
    await until('it shows what was there', () => following.stdout.split('\n').length > 2 && programs.stdout !== '');
    await api.ask('PUT', '/groups/followed', {});
    await until('it shows what came', () => following.stdout.includes('followed') && programs.stdout.includes('followed'));
    const lines = programs.stdout.trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as Entry).target)).toEqual([expect.any(String), 'followed']);
    expect(following.stdout).toMatch(/^NUMBER +TIME .*\n(.*\n)+\d+ +\S+ +group\.put +_ADMIN +followed +done +admin +127\.0\.0\.1 .*\n$/);
    following.signal('SIGINT');
    expect(await following.exited).toMatchObject({ signal: 'SIGINT' });
    await gateway.stop();
    expect(await programs.exited).toMatchObject({ code: 1 });
  });
});
