// The API for administrators of a real gateway without security: what it does, what it refuses, and that it answers as described.

import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect, connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Administration } from '../../src/http/api/administration.js';
import { apiListener } from '../../src/http/api/api.js';
import { AdminApi, type Answered } from '../support/admin-api.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { keptLog } from '../support/silent-log.js';

let gateway: GatewayProcess;
let api: AdminApi;

beforeAll(async () => {
  gateway = await startGateway();
  api = await AdminApi.of(gateway.ports.admin);
});

afterAll(async () => await gateway.stop());

const errorOf = (answer: { body: Record<string, unknown> }): { code: string; message: string } =>
  answer.body['error'] as { code: string; message: string };

describe('users', () => {
  it('are made, read, changed and taken away', async () => {
    const made = await api.ask('PUT', '/users/ann', { password: 'secret of ann', groups: ['staff'], customData: { floor: 1, desk: 2 } });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      name: 'ann',
      groups: ['staff'],
      permissions: {},
      customData: { floor: 1, desk: 2 },
      hasPassword: true,
    });
    const replaced = await api.ask('PUT', '/users/ann', { customData: { room: 3 } });
    expect(replaced.status).toBe(200);
    expect(replaced.body).toMatchObject({ groups: ['staff'], customData: { room: 3 }, hasPassword: true });
    const merged = await api.ask('PATCH', '/users/ann', {
      permissions: { '/a/*': { actions: ['get'] }, '/b': { prohibit: ['*'] } },
      customData: { room: null, floor: 2 },
    });
    expect(merged.body).toMatchObject({
      permissions: { '/a/*': { actions: ['get'] }, '/b': { prohibit: ['*'] } },
      customData: { floor: 2 },
    });
    const less = await api.ask('PATCH', '/users/ann', { permissions: { '/b': null, '/c': { actions: ['on'] } }, password: null });
    expect(less.body).toMatchObject({ permissions: { '/a/*': { actions: ['get'] }, '/c': { actions: ['on'] } }, hasPassword: false });
    expect((await api.ask('GET', '/users/ann')).body).toEqual(less.body);
    expect((await api.ask('DELETE', '/users/ann')).status).toBe(204);
    expect(errorOf(await api.ask('GET', '/users/ann'))).toEqual({ code: 'NOT_FOUND', message: 'there is no user ann' });
    expect((await api.ask('PATCH', '/users/ann', {})).status).toBe(404);
    expect((await api.ask('DELETE', '/users/ann')).status).toBe(404);
  });

  it('are unlocked only when they are locked', async () => {
    const answer = await api.ask('DELETE', '/users/nobody/lock');
    expect([answer.status, errorOf(answer)]).toEqual([404, { code: 'NOT_FOUND', message: 'the user nobody is not locked' }]);
  });

  it('never show a password or its hash', async () => {
    const texts = [
      JSON.stringify((await api.ask('PUT', '/users/silent', { password: 'the quick brown fox' })).body),
      JSON.stringify((await api.ask('GET', '/users')).body),
      JSON.stringify((await api.ask('GET', '/audit')).body),
      gateway.stderr,
    ];
    for (const text of texts) expect(text).not.toMatch(/quick brown|scrypt/);
  });

  it('have names that a URL has to quote', async () => {
    const path = `/users/${encodeURIComponent('ünï cödé?#%')}`;
    expect((await api.ask('PUT', path, {})).body['name']).toBe('ünï cödé?#%');
    expect((await api.ask('DELETE', path)).status).toBe(204);
  });

  it.each(['a%2Fb', 'a*', '%20a', '_ADMINISTRATOR', '%00', '%zz', '%ED%A0%80'])('do not have the name %s', async (name) => {
    const answer = await api.ask('PUT', `/users/${name}`, {});
    expect([answer.status, errorOf(answer).code]).toEqual([400, 'INVALID_REQUEST']);
  });

  it.each([
    [{ pasword: 'x' }, /pasword/],
    [{ password: 7 }, /the body\.password/],
    [{ groups: 'staff' }, /the body\.groups/],
    [{ permissions: { '/a': { actions: ['fly'] } } }, /the body\.permissions\.\/a\.actions\.0/],
    [{ permissions: { '/a': null } }, /the body\.permissions/],
    [{ customData: JSON.parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`) as object }, /at most 32 levels/],
    ['{"permissions":{"__proto__":{"prohibit":["*"]}}}', /no key may be __proto__/],
    [{ password: '\ud800' }, /^the password must be a text of 1 to 1024 bytes$/],
    [{ password: '' }, /^the password must be a text of 1 to 1024 bytes$/],
    ['['.repeat(60_000), /no JSON/],
    ['{"a"', /no JSON/],
    ['', /no JSON/],
    ['[]', /the body/],
    [{ password: 'ä'.repeat(513) }, /^the password must be a text of 1 to 1024 bytes$/],
  ] as [unknown, RegExp][])('are not made of %j', async (body, why) => {
    const answer = await api.ask('PUT', '/users/nobody', body);
    expect([answer.status, errorOf(answer).code]).toEqual([400, 'INVALID_REQUEST']);
    expect(errorOf(answer).message).toMatch(why);
    expect((await api.ask('GET', '/users/nobody')).status).toBe(404);
  });

  it('come in pages, in the order of their names, also of one group', async () => {
    const names = Array.from({ length: 7 }, (_, at) => `page${(at * 3) % 7}`);
    for (const name of names) await api.ask('PUT', `/users/${name}`, { groups: ['paged'] });
    const seen: string[] = [];
    let after = '';
    do {
      const { body } = await api.ask('GET', `/users?group=paged&limit=3${after}`);
      seen.push(...(body['users'] as { name: string }[]).map(({ name }) => name));
      after = body['next'] === null ? '' : `&after=${String(body['next'])}`;
    } while (after !== '');
    expect(seen).toEqual(names.toSorted());
    expect((await api.ask('GET', '/users?limit=0')).status).toBe(400);
    expect((await api.ask('GET', '/users?limit=x')).status).toBe(400);
    expect((await api.ask('GET', '/users?limit=1&limit=2')).status).toBe(400);
    expect((await api.ask('GET', '/users?color=red')).status).toBe(400);
  });
});

describe('groups', () => {
  it('are made, read, changed, joined, left and taken away', async () => {
    const made = await api.ask('PUT', '/groups/plant', { permissions: { '/plant/*': { actions: ['get', 'on'] } } });
    expect([made.status, made.body['members']]).toEqual([201, 0]);
    await api.ask('PUT', '/users/pete', {});
    expect((await api.ask('PUT', '/users/pete/groups/plant')).status).toBe(204);
    expect((await api.ask('GET', '/groups/plant')).body['members']).toBe(1);
    expect((await api.ask('GET', '/users/pete')).body['groups']).toEqual(['plant']);
    const merged = await api.ask('PATCH', '/groups/plant', { permissions: { '/plant/secret': { prohibit: ['*'] } } });
    expect(merged.body['permissions']).toEqual({ '/plant/*': { actions: ['get', 'on'] }, '/plant/secret': { prohibit: ['*'] } });
    expect((await api.ask('DELETE', '/users/pete/groups/plant')).status).toBe(204);
    expect((await api.ask('PUT', '/users/pete/groups/nowhere')).status).toBe(404);
    expect((await api.ask('GET', '/groups')).body['groups']).toContainEqual(expect.objectContaining({ name: 'plant' }));
    expect((await api.ask('DELETE', '/groups/plant')).status).toBe(204);
    expect((await api.ask('GET', '/groups/plant')).status).toBe(404);
    expect((await api.ask('PUT', '/groups/_ADMIN', { permissions: {} })).status).toBe(400);
  });
});

describe('single permissions', () => {
  const at = (owner: string, pattern: string, action: string): string =>
    `/${owner}/permissions/${encodeURIComponent(pattern)}/${encodeURIComponent(action)}`;

  it.each(['users/sam', 'groups/singers'])('of %s are given, forbidden and withdrawn', async (owner) => {
    await api.ask('PUT', `/${owner}`, { permissions: { '/kept': { actions: ['get'] } } });
    const change = async (method: string, pattern: string, action: string, effect?: string): Promise<unknown> => {
      const { status, body } = await api.ask(method, at(owner, pattern, action), effect === undefined ? undefined : { effect });
      return status === 200 ? (body['permissions'] as object) : [status, errorOf({ body } as Answered).code];
    };
    const kept = { '/kept': { actions: ['get'] } };
    expect(await change('PUT', '/a b/*', 'get', 'allow')).toEqual({ ...kept, '/a b/*': { actions: ['get'] } });
    expect(await change('PUT', '/a b/*', 'on', 'allow')).toEqual({ ...kept, '/a b/*': { actions: ['get', 'on'] } });
    expect(await change('PUT', '/a b/*', 'get', 'prohibit')).toEqual({ ...kept, '/a b/*': { actions: ['on'], prohibit: ['get'] } });
    expect(await change('DELETE', '/a b/*', 'on')).toEqual({ ...kept, '/a b/*': { prohibit: ['get'] } });
    expect(await change('DELETE', '/a b/*', 'on')).toEqual([404, 'NOT_FOUND']);
    expect(await change('DELETE', '/a b/*', 'get')).toEqual(kept);
    for (const pattern of ['{{user.username}}/%2F?#é', 'no/slash']) {
      expect(await change('PUT', pattern, '*', 'allow'), pattern).toEqual({ ...kept, [pattern]: { actions: ['*'] } });
      expect(await change('DELETE', pattern, 'get'), pattern).toEqual([404, 'NOT_FOUND']);
      expect(await change('DELETE', pattern, '*'), pattern).toEqual(kept);
    }
    expect(await change('PUT', '/a', 'fly', 'allow')).toEqual([400, 'INVALID_REQUEST']);
    expect(await change('PUT', '/a', 'get', 'maybe')).toEqual([400, 'INVALID_REQUEST']);
    expect(await change('PUT', 'a\nb', 'get', 'allow')).toEqual([400, 'INVALID_REQUEST']);
  });

  it('are of somebody who is there, and not of administrators', async () => {
    expect((await api.ask('PUT', at('users/nobody', '/a', 'get'), { effect: 'allow' })).status).toBe(404);
    expect((await api.ask('DELETE', at('groups/nobody', '/a', 'get'))).status).toBe(404);
    expect((await api.ask('DELETE', at('groups/_ADMIN', '*', '*'))).status).toBe(400);
  });

  it('that are changed at once are all changed', async () => {
    await api.ask('PUT', '/groups/many', {});
    const patterns = Array.from({ length: 20 }, (_none, number) => `/p/${number}`);
    await Promise.all(
      patterns.flatMap((pattern) => [
        api.ask('PUT', at('groups/many', pattern, 'get'), { effect: 'allow' }),
        api.ask('PATCH', '/groups/many', { customData: { [pattern]: 1 } }),
      ]),
    );
    const { body } = await api.ask('GET', '/groups/many');
    expect(Object.keys(body['permissions'] as object).toSorted()).toEqual(patterns.toSorted());
    expect(Object.keys(body['customData'] as object).toSorted()).toEqual(patterns.toSorted());
  });
});

describe('lookup tables', () => {
  const lookup = { table: 'owned', regex: '^/device/([^/]+)/', actions: ['get', 'on'], path: '{{user.username}}/{{$1}}' };

  it('are made, read, changed and taken away, and say who looks up in them', async () => {
    const made = await api.ask('PUT', '/lookup-tables/owned', { paths: ['/ann/2', 'ann/1'] });
    expect([made.status, made.body['paths'], made.body['groups']]).toEqual([201, 2, []]);
    const group = await api.ask('PUT', '/groups/owners', { lookups: [lookup] });
    expect([group.status, group.body['lookups']]).toEqual([201, [lookup]]);
    const changed = await api.ask('PATCH', '/lookup-tables/owned', { add: ['/ann/3'], remove: ['ann/1'] });
    expect([changed.status, changed.body['paths'], changed.body['groups']]).toEqual([200, 2, ['owners']]);
    const first = await api.ask('GET', '/lookup-tables/owned/paths?limit=1');
    expect(first.body).toEqual({ paths: ['ann/2'], next: 'ann/2' });
    expect((await api.ask('GET', '/lookup-tables/owned/paths?after=ann%2F2')).body).toEqual({ paths: ['ann/3'], next: null });
    expect((await api.ask('GET', '/lookup-tables')).body['lookupTables']).toEqual([changed.body]);
    expect((await api.ask('GET', '/lookup-tables/owned')).body).toEqual(changed.body);
    expect((await api.ask('PUT', '/lookup-tables/owned', { paths: ['ann/1'] })).status).toBe(200);
    await api.ask('PUT', '/users/ann', { groups: ['owners'] });
    const { body } = await api.ask('POST', '/explain', { user: 'ann', action: 'get', path: '/device/1/a' });
    expect(body).toMatchObject({
      allowed: true,
      rule: { pattern: lookup.regex, effect: 'allow', source: 'group', name: 'owners', table: 'owned' },
      reason: `the group owners is allowed get by a lookup of ${lookup.regex} in owned`,
    });
    const merged = await api.ask('PATCH', '/groups/owners', { permissions: { '/x': { actions: ['get'] } } });
    expect(merged.body['lookups']).toEqual([lookup]);
    expect((await api.ask('PATCH', '/groups/owners', { lookups: [] })).body['lookups']).toEqual([]);
    expect((await api.ask('DELETE', '/lookup-tables/owned')).status).toBe(204);
    for (const path of ['', '/paths']) expect((await api.ask('GET', `/lookup-tables/owned${path}`)).status).toBe(404);
    expect((await api.ask('PATCH', '/lookup-tables/owned', {})).status).toBe(404);
  });

  it('are refused with a reason', async () => {
    expect((await api.ask('PUT', '/lookup-tables/a%2Fb', { paths: [] })).status).toBe(400);
    expect((await api.ask('PUT', '/lookup-tables/x', { paths: [''] })).status).toBe(400);
    expect((await api.ask('PUT', '/lookup-tables/x', {})).status).toBe(400);
    for (const change of [{ regex: '(?=x)' }, { regex: '(' }, { actions: [] }, { actions: ['fly'] }, { more: 1 }]) {
      expect((await api.ask('PUT', '/groups/refused', { lookups: [{ ...lookup, ...change }] })).status, JSON.stringify(change)).toBe(400);
    }
    expect((await api.ask('GET', '/groups/refused')).status).toBe(404);
  });
});

it.each(['constructor', '__proto__', 'toString'])('%s is a name as any other', async (name) => {
  expect((await api.ask('GET', `/users/${name}`)).status).toBe(404);
  expect((await api.ask('PUT', `/users/${name}`, { permissions: { constructor: { actions: ['get'] } } })).status).toBe(201);
  const { body } = await api.ask('POST', '/explain', { user: name, action: 'get', path: 'constructor' });
  expect(body).toMatchObject({ allowed: true, rule: { pattern: 'constructor' } });
  expect((await api.ask('DELETE', `/users/${name}`)).status).toBe(204);
});

describe('explain', () => {
  beforeAll(async () => {
    await api.ask('PUT', '/groups/readers', { permissions: { '/lab/*': { actions: ['get', 'on'] }, '/lab/x': { prohibit: ['get'] } } });
    await api.ask('PUT', '/users/eve', { groups: ['readers'], permissions: { '/own/{{user.username}}': { actions: ['*'] } } });
    await api.ask('PUT', '/users/root', { groups: ['_ADMIN'] });
  });
  const explain = async (body: object): Promise<Record<string, unknown>> =>
    (await api.ask('POST', '/explain', { user: 'eve', ...body })).body;

  it('names the permission that decides', async () => {
    expect(await explain({ action: 'get', path: '/lab/1' })).toEqual({
      allowed: true,
      user: 'eve',
      action: 'get',
      path: '/lab/1',
      coverage: null,
      rule: { pattern: '/lab/*', effect: 'allow', source: 'group', name: 'readers' },
      reason: 'the group readers is allowed get on /lab/*',
    });
    expect(await explain({ action: 'get', path: '/lab/x' })).toMatchObject({
      allowed: false,
      rule: { pattern: '/lab/x', effect: 'prohibit' },
    });
    expect(await explain({ action: 'set', path: '/own/eve' })).toMatchObject({ allowed: true, rule: { source: 'user', name: 'eve' } });
    expect(await explain({ action: 'set', path: '/lab/1' })).toMatchObject({ allowed: false, rule: null });
    expect(await explain({ action: 'get', path: '$SYS/x' })).toMatchObject({ reason: '$SYS is for members of _ADMIN alone' });
    expect(await explain({ user: 'root', action: 'set', path: '/x' })).toMatchObject({
      allowed: true,
      reason: 'members of _ADMIN may do everything',
    });
  });

  it('reads wildcards as the dialect says', async () => {
    const coverage = async (path: string, dialect: string, action = 'on'): Promise<unknown> =>
      (await explain({ action, path, dialect }))['coverage'];
    expect(await coverage('/lab/#', 'mqtt')).toBe('checked');
    expect(await coverage('/lab/*', 'glob')).toBe('all');
    expect(await coverage('/lab/*', 'glob', 'get')).toBe('checked');
    expect(await coverage('/#', 'mqtt')).toBe('none');
  });

  it('is asked about somebody and something that exist', async () => {
    expect((await api.ask('POST', '/explain', { user: 'nobody', action: 'get', path: '/a' })).status).toBe(404);
    expect((await api.ask('POST', '/explain', { user: 'eve', action: 'fly', path: '/a' })).status).toBe(400);
    expect((await api.ask('POST', '/explain', { user: 'eve', action: 'on', path: 'a/#/b', dialect: 'mqtt' })).status).toBe(400);
  });
});

describe('sessions', () => {
  it('are shown and ended', async () => {
    const device = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { reconnectPeriod: 0, clientId: 'shown' });
    await device.subscribeAsync('a/b', { qos: 1 });
    const ended = new Promise((resolve) => device.once('close', () => resolve(null)));
    const mqtt = async (): Promise<Record<string, unknown>[]> =>
      (await api.ask('GET', '/sessions?protocol=mqtt')).body['sessions'] as Record<string, unknown>[];
    const [session] = await mqtt();
    expect(session).toMatchObject({ protocol: 'mqtt', user: null, subscriptions: 1, queued: 0, queuedBytes: 0 });
    expect(session?.['address']).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(Math.abs(Date.now() - Date.parse(String(session?.['connectedSince'])))).toBeLessThan(60_000);
    expect((await api.ask('DELETE', `/sessions/${String(session?.['id'])}`)).status).toBe(204);
    await ended;
    await until('it is gone', async () => (await mqtt()).length === 0);
    expect((await api.ask('DELETE', `/sessions/${String(session?.['id'])}`)).status).toBe(404);
    const { body } = await api.ask('GET', '/audit?action=session.end');
    expect(body['entries']).toEqual([expect.objectContaining({ target: session?.['id'], protocol: 'admin', refusal: null, actor: null })]);
  });
});

describe('sessions that are away', () => {
  const url = (): string => `mqtt://127.0.0.1:${gateway.ports.mqtt}`;
  const open = async () =>
    await connectAsync(url(), {
      ...{ clientId: 'away', protocolVersion: 5, clean: false, reconnectPeriod: 0 },
      properties: { sessionExpiryInterval: 3_600 },
    });
  const away = async (query = 'state=away'): Promise<Record<string, unknown>[]> =>
    (await api.ask('GET', `/sessions?${query}`)).body['sessions'] as Record<string, unknown>[];

  it('are shown with what waits for them, and ended with it', async () => {
    const device = await open();
    await device.subscribeAsync('kept/#', { qos: 1 });
    expect(await away('state=connected&protocol=mqtt')).toMatchObject([{ client: 'away', state: 'connected', expires: null }]);
    expect(await away()).toEqual([]);
    await device.endAsync();
    await until('it is away', async () => (await away()).length === 1);
    const other = await connectAsync(url(), { reconnectPeriod: 0 });
    await other.publishAsync('kept/1', '12345', { qos: 1 });
    await other.publishAsync('kept/2', '12345', { qos: 1 });
    await other.endAsync();
    const [kept] = (await away()) as [Record<string, unknown>];
    expect(kept).toMatchObject({
      ...{ id: expect.stringMatching(/^kept-\d+$/), state: 'away', user: null, protocol: 'mqtt', client: 'away', address: null },
      ...{ connectedSince: null, subscriptions: 1, queued: 2 },
    });
    expect(kept['queuedBytes']).toBeGreaterThanOrEqual(10);
    expect(Date.parse(String(kept['expires'])) - Date.parse(String(kept['awaySince']))).toBe(3_600_000);
    expect(await away('protocol=haven')).toEqual([]);

    const id = String(kept['id']);
    const back = await open();
    expect([(await api.ask('DELETE', `/sessions/${id}`)).status, await away()]).toEqual([409, []]);
    await back.endAsync();
    await until('it is away again', async () => (await away()).length === 1);
    expect((await api.ask('DELETE', `/sessions/${id}`)).status).toBe(204);
    expect(await away()).toEqual([]);
    expect((await api.ask('DELETE', `/sessions/${id}`)).status).toBe(404);
    const ended = (await api.ask('GET', `/audit?action=session.end&target=${id}`)).body['entries'];
    expect(ended).toMatchObject([{ refusal: null, protocol: 'admin', details: { key: '["","away"]' } }]);

    const fresh = connect(url(), { clientId: 'away', protocolVersion: 5, clean: false, reconnectPeriod: 0 });
    const isResumed = await new Promise((resolve) => fresh.once('connect', ({ sessionPresent }) => resolve(sessionPresent)));
    expect(isResumed).toBe(false);
    await fresh.endAsync();
  });
});

describe('tokens', () => {
  it('are not given while nobody has to log in, and the answer says why', async () => {
    for (const [path, body] of [
      ['/login', { username: 'ann', password: 'x' }],
      ['/tokens', { user: 'eve' }],
    ] as const) {
      const answer = await api.ask('POST', path, body);
      expect([answer.status, errorOf(answer)]).toEqual([
        501,
        { code: 'UNSUPPORTED', message: 'security is off: nobody has to log in, and nobody can' },
      ]);
    }
  });

  it('are revoked, so that they are no longer good when security is on again', async () => {
    expect((await api.ask('DELETE', '/tokens/abc')).status).toBe(204);
    await api.ask('PUT', '/users/tom', {});
    expect((await api.ask('DELETE', '/users/tom/tokens')).status).toBe(204);
    expect((await api.ask('DELETE', '/users/nobody/tokens')).status).toBe(404);
  });
});

describe('the audit', () => {
  it('tells who did what, also what was refused', async () => {
    await api.ask('PUT', '/users/dan', { groups: ['x'], permissions: { '/d': { actions: ['get'] } } });
    await api.ask('DELETE', '/users/_ANONYMOUS');
    const { body } = await api.ask('GET', '/audit?limit=2');
    const entries = body['entries'] as Record<string, unknown>[];
    expect(entries).toEqual([
      expect.objectContaining({
        action: 'user.put',
        target: 'dan',
        refusal: null,
        details: { fields: ['groups', 'permissions'], merge: false, permissions: ['/d'], groups: ['x'] },
      }),
      expect.objectContaining({ action: 'user.delete', target: '_ANONYMOUS', refusal: 'NOT_FOUND' }),
    ]);
    expect(body['next']).toBe(entries[1]?.['number']);
    expect((await api.ask('GET', `/audit?after=${String(body['next'])}`)).body).toEqual({
      entries: [],
      next: body['next'],
      previous: null,
    });
    expect(gateway.stderr).toContain('"audit":true,"action":"user.put","target":"dan"');
    expect((await api.ask('GET', '/audit?action=flight')).status).toBe(400);
  });
});

describe('a request', () => {
  it('is for something that is there, in a way that is offered', async () => {
    expect((await api.ask('GET', '/nothing')).status).toBe(404);
    const wrong = await api.ask('DELETE', '/users');
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET']);
  });

  it('says that it is JSON, and is not too large', async () => {
    const form = await api.ask('PUT', '/users/x', 'a=b', { 'content-type': 'application/x-www-form-urlencoded' });
    expect([form.status, errorOf(form).code]).toEqual([415, 'INVALID_REQUEST']);
    const large = await api.ask('PUT', '/users/x', { customData: { a: 'x'.repeat(70_000) } });
    expect([large.status, errorOf(large).code]).toEqual([413, 'LIMIT_EXCEEDED']);
    expect(await chunked(70_000)).toBe(413);
    expect((await api.ask('GET', '/users/x')).status).toBe(404);
  });

  it('is answered with headers that keep it out of caches and pages', async () => {
    const { headers } = await api.ask('GET', '/users');
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('access-control-allow-origin')).toBeNull();
  });

  it('comes from this machine while nobody has to log in', async () => {
    const house = { secure: false, directory: { users: () => [] } } as unknown as Administration;
    const listener = apiListener(house, '1.2.3', keptLog());
    let address = '';
    const server = createServer((asked, response) => {
      Object.defineProperty(asked.socket, 'remoteAddress', { value: address, configurable: true });
      void listener(asked, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/users`;
    const statuses = new Map<string, number>();
    for (address of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '10.0.0.7', '::ffff:10.0.0.7', 'fe80::1', '']) {
      statuses.set(address, (await fetch(url, { headers: { authorization: 'Bearer x', connection: 'close' } })).status);
    }
    server.close();
    expect(Object.fromEntries(statuses)).toEqual({
      '127.0.0.1': 200,
      '::1': 200,
      '::ffff:127.0.0.1': 200,
      '10.0.0.7': 403,
      '::ffff:10.0.0.7': 403,
      'fe80::1': 403,
      '': 403,
    });
  });

  it('comes from no foreign page', async () => {
    expect((await api.ask('GET', '/users', undefined, { origin: 'https://evil.example' })).status).toBe(403);
  });

  /** A body whose length is not told. */
  function chunked(bytes: number): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: gateway.ports.admin, path: '/api/v1/users/x', method: 'PUT' };
      const asked = request({ ...options, headers: { 'content-type': 'application/json' }, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asked.on('error', reject);
      asked.write(`{"customData":{"a":"${'x'.repeat(bytes / 2)}`);
      asked.end(`${'x'.repeat(bytes / 2)}"}}`);
    });
  }
});

it('the description covers all that was asked, and all of it was asked', () => {
  expect(api.description.openapi).toBe('3.1.0');
  const described = Object.entries(api.description.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  expect([...api.asked].toSorted()).toEqual(described.filter((one) => one !== 'get /api/v1/openapi.json').toSorted());
});
