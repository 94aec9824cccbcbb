// A secure gateway and the unmodified clients of every happn generation: logins, refusals, and what they are told when users,
// groups and permissions change.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AdminApi } from '../support/admin-api.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { call, connectionOf, GENERATIONS, type Generation, type HappnClient, type Login } from '../support/happn-clients.js';
import { HappnWire } from '../support/happn-wire.js';

const ADMIN_PASSWORD = 'only for this test';
const ALICE: Login = { username: 'alice', password: 'secret of alice' };
const NOTIFIED = GENERATIONS.filter(({ wildcards }) => wildcards === 'segments');
const NEWEST = GENERATIONS[GENERATIONS.length - 1] as Generation;

let gateway: GatewayProcess;
let api: AdminApi;
let open: HappnClient[] = [];

beforeAll(async () => {
  for (const { load } of GENERATIONS) load();
  gateway = await startGateway({
    cheapPasswords: true,
    flags: ['--secure', '--host', '127.0.0.1'],
    env: { TRIVIUM_ADMIN_PASSWORD: ADMIN_PASSWORD },
  });
  api = await AdminApi.of(gateway.ports.admin);
  const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: ADMIN_PASSWORD });
  api.token = body['token'] as string;
  await putGroup('plant', { '/plant/*': { actions: ['*'] }, '/plant/secret/*': { prohibit: ['*'] } });
  await putUser('alice', { password: ALICE.password, groups: ['plant'], customData: { shift: 'night' } });
});

afterAll(async () => await gateway.stop());

afterEach(async () => {
  const gone = open;
  open = [];
  await Promise.all(gone.map(async (client) => await Promise.race([client.disconnect(), ended(client)])));
});

async function putGroup(name: string, permissions: object): Promise<void> {
  expect((await api.ask('PUT', `/groups/${name}`, { permissions })).status).toBeLessThan(300);
}

async function putUser(name: string, fields: object): Promise<void> {
  expect((await api.ask('PUT', `/users/${name}`, fields)).status).toBeLessThan(300);
}

async function connected({ connect }: Generation, login: Login): Promise<HappnClient> {
  const client = await connect(gateway.ports.happn, {}, undefined, login);
  open.push(client);
  return client;
}

function tokenOf({ raw }: HappnClient): string {
  return (raw['session'] as unknown as { token: string }).token;
}

interface SystemFrame {
  readonly eventKey?: string;
  readonly data: Record<string, unknown>;
}

/** What the gateway says of itself, of this name. */
function onSystem(client: HappnClient, name: string, handler: (data: Record<string, unknown>) => void): void {
  const { on } = connectionOf(client) as unknown as { on(event: string, handler: (frame: SystemFrame) => void): void };
  on.call(connectionOf(client), 'data', ({ eventKey, data }) => {
    if (eventKey === name) handler(data);
  });
}

/** Resolves with the reason that the gateway gives for the end of the connection. */
function ended(client: HappnClient): Promise<unknown> {
  return new Promise((resolve) => onSystem(client, 'server-side-disconnect', ({ reason }) => resolve(reason)));
}

/** The notices that come, as {whatHappnd, changedData}. */
function notices(client: HappnClient): Record<string, unknown>[] {
  const heard: Record<string, unknown>[] = [];
  onSystem(client, 'security-data-changed', (data) => heard.push(data));
  return heard;
}

describe.each(GENERATIONS)('$name', (generation) => {
  it('comes in with its password, and does what it may', async () => {
    const client = await connected(generation, ALICE);
    const heard: unknown[] = [];
    await client.on('/plant/speed', {}, ({ data }) => heard.push(data));
    await client.set('/plant/speed', { rpm: 900 });
    await until('its event', () => heard.length === 1);
    expect(await client.get('/plant/speed')).toMatchObject({ rpm: 900 });
    await client.remove('/plant/speed');
  });

  it('is refused what it may not', async () => {
    const client = await connected(generation, ALICE);
    const denied = expect.objectContaining({ message: expect.stringContaining('unauthorized') });
    await expect(client.set('/office/speed', { rpm: 1 })).rejects.toEqual(denied);
    await expect(client.get('/office/speed')).rejects.toEqual(denied);
    await expect(client.remove('/office/speed')).rejects.toEqual(denied);
    await expect(client.on('/office/*', {}, () => {})).rejects.toEqual(denied);
    await expect(client.set('/plant/secret/door', { open: true })).rejects.toEqual(denied);
  });

  it('does not come in with a wrong password, or as nobody knows', async () => {
    await expect(connected(generation, { ...ALICE, password: 'wrong' })).rejects.toThrow('Invalid credentials');
    await expect(connected(generation, { username: 'mallory', password: 'x' })).rejects.toThrow('Invalid credentials');
  });

  it('comes in with the token that it was given', async () => {
    const first = await connected(generation, ALICE);
    const second = await connected(generation, { token: tokenOf(first) });
    await second.set('/plant/by-token', { ok: true });
    expect(await first.get('/plant/by-token')).toMatchObject({ ok: true });
  });

  it('comes in by its key, and by no other', async () => {
    const { publicKey, privateKey } = generation.keyPair();
    await putUser('dave', { groups: ['plant'], publicKey });
    const dave = { username: 'dave', publicKey, loginType: 'digest' } as const;
    const client = await connected(generation, { ...dave, privateKey });
    await client.set('/plant/by-key', { ok: true });
    const another = generation.keyPair();
    await expect(connected(generation, { ...dave, privateKey: another.privateKey })).rejects.toThrow('Invalid credentials');
    await expect(connected(generation, { ...dave, ...another })).rejects.toThrow('Invalid credentials');
  });

  it('is not told what is prohibited below what it may hear', async () => {
    const admin = await connected(NEWEST, { username: '_ADMIN', password: ADMIN_PASSWORD });
    const client = await connected(generation, ALICE);
    const heard: string[] = [];
    await client.on('/plant/*', {}, ({ meta }) => heard.push(meta.path));
    await admin.set('/plant/secret', { door: 'open' });
    await admin.set('/plant/secret/door', { open: true });
    await admin.set('/plant/last', {});
    await until('the last event', () => heard.includes('/plant/last'));
    expect(heard).not.toContain('/plant/secret/door');
  });
});

describe.each(NOTIFIED)('$name', (generation) => {
  it('D11 is told when permissions of its group change, and hears no more what it may not', async () => {
    await putGroup('shift', { '/shift/*': { actions: ['*'] } });
    await putUser('bob', { password: 'secret of bob', groups: ['shift'] });
    const client = await connected(generation, { username: 'bob', password: 'secret of bob' });
    const admin = await connected(NEWEST, { username: '_ADMIN', password: ADMIN_PASSWORD });
    const told = notices(client);
    const heard: string[] = [];
    await client.on('/shift/*', {}, ({ meta }) => heard.push(meta.path));
    await admin.set('/shift/1', {});
    await until('the first event', () => heard.length === 1);
    await putGroup('shift', { '/shift/*': { actions: ['get'] } });
    await until('the notice', () => told.some(({ whatHappnd }) => whatHappnd === 'upsert-group'));
    expect(told.at(-1)).toMatchObject({
      whatHappnd: 'upsert-group',
      changedData: {
        name: 'shift',
        permissions: { '/shift/*': { actions: ['get'] } },
        _meta: { path: '/_SYSTEM/_SECURITY/_GROUP/shift' },
      },
    });
    await admin.set('/shift/2', {});
    await expect(client.set('/shift/3', {})).rejects.toMatchObject({ message: 'unauthorized' });
    expect(await client.get('/shift/2')).toMatchObject({});
    expect(heard).toEqual(['/shift/1']);
    await putUser('bob', { groups: [] });
    await until('the next notice', () => told.some(({ whatHappnd }) => whatHappnd === 'upsert-user'));
    await expect(client.get('/shift/2')).rejects.toMatchObject({ message: 'unauthorized' });
  });

  it('is told that its group is gone, and what the group was', async () => {
    const permissions = { '/night/*': { actions: ['get'] } };
    await putGroup('night', permissions);
    await putUser('nora', { password: 'secret of nora', groups: ['night'] });
    const client = await connected(generation, { username: 'nora', password: 'secret of nora' });
    const told = notices(client);
    await api.ask('DELETE', '/groups/night');
    await until('the notice', () => told.length > 0);
    expect(told).toMatchObject([{ whatHappnd: 'delete-group', changedData: { removed: 1, obj: { name: 'night', permissions } } }]);
  });

  it('ends with its user', async () => {
    await putUser('carol', { password: 'secret of carol' });
    const client = await connected(generation, { username: 'carol', password: 'secret of carol' });
    const reason = ended(client);
    await api.ask('DELETE', '/users/carol');
    expect(await reason).toBe('security directory update: user deleted');
    await expect(connected(generation, { username: 'carol', password: 'secret of carol' })).rejects.toThrow('Invalid credentials');
  });
});

describe('a request before the login', () => {
  const wire = async (configured: object | null): Promise<HappnWire> => {
    const connected = await HappnWire.connect(`ws://127.0.0.1:${gateway.ports.happn}/primus`);
    if (configured !== null) await connected.request('configure-session', { data: configured });
    return connected;
  };
  const REFUSED = { name: 'AccessDenied', code: 403, message: 'no policy attached to session' };
  const REQUESTS = [
    ['get', { path: '/plant/1' }],
    ['count', { path: '/plant/*' }],
    ['set', { path: '/plant/1', data: { n: 1 } }],
    ['remove', { path: '/plant/1' }],
    ['on', { path: '/ALL@/plant/*', options: {} }],
  ] as const;

  it.each(REQUESTS)('ends a connection of protocol 4: %s', async (action, fields) => {
    const stranger = await wire({ protocol: 'happn_4', version: '13.12.1' });
    expect((await stranger.request(action, fields))._meta?.['error']).toEqual(REFUSED);
    await until('its end', () => stranger.closed !== null);
    expect(stranger.frames.slice(-2)).toMatchObject([{ data: { reason: 'no-session-policy' } }, 'primus::server::close']);
  });

  it.each([
    ['a client of version 10, which does not say so', { protocol: 'happn_4' }],
    ['a client of version 12', { protocol: 'happn_4', version: '12.0.0' }],
    ['protocol 3', { protocol: 'happn_3' }],
    ['protocol 2', { protocol: 'happn_2' }],
    ['protocol 1.3.0', { protocol: 'happn_1.3.0' }],
    ['happn 2', null],
  ])('of %s is refused, and the login behind it is good', async (_name, configured) => {
    const early = await wire(configured);
    for (const [action, fields] of REQUESTS) expect((await early.request(action, fields))._meta?.['error']).toEqual(REFUSED);
    expect(await early.request('login', { data: ALICE })).toMatchObject({ _meta: { status: 'ok' } });
    expect(await early.request('get', { path: '/plant/none' })).toMatchObject({ data: null, _meta: { status: 'ok' } });
    await early.close();
  });
});

describe('another login on the same connection', () => {
  const login = async (wire: HappnWire, data: object): Promise<void> => {
    expect((await wire.request('login', { data }))._meta?.['status']).toBe('ok');
  };

  it('keeps the subscriptions of the same user, and ends those of another', async () => {
    await putUser('iris', { password: 'secret of iris', permissions: { '/iris/*': { actions: ['*'] } } });
    const wire = await HappnWire.connect(`ws://127.0.0.1:${gateway.ports.happn}/primus`);
    await wire.request('configure-session', { data: { protocol: 'happn_4', version: '13.12.1' } });
    await login(wire, ALICE);
    await wire.request('on', { path: '/ALL@/plant/*', options: {} });
    await login(wire, ALICE);
    await wire.request('set', { path: '/plant/again', data: { n: 1 } });
    expect(wire.events()).toHaveLength(1);
    await login(wire, { username: 'iris', password: 'secret of iris' });
    const alice = await connected(NEWEST, ALICE);
    await alice.set('/plant/later', { n: 2 });
    await wire.request('on', { path: '/ALL@/iris/*', options: {} });
    await wire.request('set', { path: '/iris/1', data: { n: 3 } });
    expect(wire.events().map(({ _meta }) => _meta?.['path'])).toEqual(['/plant/again', '/iris/1']);
    expect((await wire.request('get', { path: '/plant/later' }))._meta?.['error']).toMatchObject({ code: 403 });
    await wire.close();
  });
});

describe('the newest client', () => {
  it('acts on behalf of others where it may, and everybody is told for whom', async () => {
    await putUser('frank', { password: 'secret of frank', groups: ['plant', '_MESH_DELEGATE'] });
    await putUser('gina', { permissions: { '/gina/*': { actions: ['*'] } } });
    const admin = await connected(NEWEST, { username: '_ADMIN', password: ADMIN_PASSWORD });
    const frank = await connected(NEWEST, { username: 'frank', password: 'secret of frank' });
    const alice = await connected(NEWEST, ALICE);
    const heard: unknown[] = [];
    await admin.on('/gina/*', {}, ({ meta }) => heard.push(meta['eventOrigin']));
    const onBehalfOf = 'gina';
    await frank.set('/gina/1', { by: 'frank' }, { onBehalfOf });
    await until('its event', () => heard.length === 1);
    expect(heard).toMatchObject([{ username: 'gina' }]);
    expect(await frank.get('/gina/1', { onBehalfOf })).toMatchObject({ by: 'frank' });
    const own: string[] = [];
    await frank.on('/gina/*', { onBehalfOf }, ({ meta }) => own.push(meta.path));
    await admin.set('/gina/2', {});
    await until('what gina may hear', () => own.includes('/gina/2'));
    const refused = (reason: string): unknown => expect.objectContaining({ code: 403, message: 'unauthorized', reason });
    await expect(alice.set('/gina/1', {}, { onBehalfOf: '_ADMIN' })).rejects.not.toHaveProperty('reason');
    await expect(frank.set('/gina/1', {})).rejects.toMatchObject({ code: 403 });
    await expect(frank.set('/plant/1', {}, { onBehalfOf })).rejects.toEqual(refused('request on behalf of unauthorised user: gina'));
    await expect(frank.set('/gina/1', {}, { onBehalfOf: 'nobody' })).rejects.toEqual(refused('on behalf of user does not exist: nobody'));
    await expect(alice.set('/gina/1', {}, { onBehalfOf })).rejects.toEqual(
      refused('session attempting to act on behalf of is not authorized'),
    );
  });

  it('changes its password', async () => {
    await putUser('erin', { password: 'old one' });
    const client = await connected(NEWEST, { username: 'erin', password: 'old one' });
    const told = notices(client);
    const change = (oldPassword: string, newPassword?: string): Promise<unknown> =>
      call(client.raw, 'changePassword', { oldPassword, newPassword });
    await expect(change('wrong', 'new one')).rejects.toMatchObject({ message: 'Invalid old password' });
    const tooLong = 'the new password must be a text of 1 to 1024 bytes';
    await expect(change('old one', 'x'.repeat(1_025))).rejects.toMatchObject({ message: tooLong });
    await change('old one', 'new one');
    expect(told).toMatchObject([{ whatHappnd: 'upsert-user', changedData: { username: 'erin' } }]);
    expect(JSON.stringify(told)).not.toContain('scrypt');
    await expect(connected(NEWEST, { username: 'erin', password: 'old one' })).rejects.toThrow('Invalid credentials');
    await connected(NEWEST, { username: 'erin', password: 'new one' });
  });

  it('logs out: every connection with its token ends, and nobody comes in with it any more', async () => {
    const first = await connected(NEWEST, ALICE);
    const token = tokenOf(first);
    const second = await connected(NEWEST, { token });
    const reason = ended(second);
    open = [];
    await call(first.raw, 'disconnect', { revokeToken: true });
    expect(await reason).toBe('token-revoked');
    await expect(connected(NEWEST, { token })).rejects.toThrow('token has been revoked');
  });

  it('ends the connections that came in with its token, and stays', async () => {
    const parent = await connected(NEWEST, ALICE);
    const child = await connected(NEWEST, { token: tokenOf(parent) });
    const reason = ended(child);
    open = [];
    await call(parent.raw, 'disconnect', { disconnectChildSessions: true });
    expect(await reason).toBe('token-revoked');
  });
});
