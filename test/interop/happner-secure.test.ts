// The unmodified clients of happner meshes against a secure gateway: who logs in, what it may call and hear, and what it is told when
// that changes. The mesh is one component, a program of its own with a login of its own.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AdminApi } from '../support/admin-api.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS, type HappnClient, type Heard, type Login, type RawClient } from '../support/happn-clients.js';
import { CALLERS, type Caller, type CallerKind, COMPONENT, type Event, HAPPNER_CLIENT, LIGHT_CLIENT } from '../support/happner-clients.js';
import { DOMAIN, HappnerComponent, type Method } from '../support/happner-component.js';
import { startMeshNode } from '../support/happner-mesh-node.js';

const PASSWORD = 'the password of this test';
const NODE: Login = { username: 'node', password: PASSWORD };
const ALICE: Login = { username: 'alice', password: PASSWORD };
const REQUESTS = `/_exchange/requests/${DOMAIN}/${COMPONENT}`;
const RESPONSES = `/_exchange/responses/${DOMAIN}/${COMPONENT}`;
const EVENTS = `/_events/${DOMAIN}/${COMPONENT}`;

/** What happner's own groups are given: the components of a mesh, and those that may call these methods and hear these events. */
const MESH = {
  '/mesh/*': { actions: ['*'] },
  '/_exchange/*': { actions: ['*'] },
  '/_events/*': { actions: ['*'] },
};
const SCHEMA = { '/mesh/schema/*': { actions: ['get', 'on'] } };
const calls = (...methods: string[]): object =>
  Object.fromEntries(
    methods.flatMap((method) => [
      [`${REQUESTS}/${method}`, { actions: ['set'] }],
      [`${RESPONSES}/${method}/*`, { actions: ['on', 'set'] }],
    ]),
  );
const hears = (...keys: string[]): object => Object.fromEntries(keys.map((key) => [`${EVENTS}/${key}`, { actions: ['on'] }]));

const METHODS: Readonly<Record<string, Method>> = {
  echo: (value) => value,
  fail: () => {
    throw new TypeError('component failure');
  },
  emit: (key, n) => {
    void component.emit(key as string, { n });
    return { emitted: n };
  },
  forbidden: () => 'must not be called',
};
const REFUSED = expect.objectContaining({ message: expect.stringContaining('unauthorized') }) as Error;

let gateway: GatewayProcess;
let api: AdminApi;
let component: HappnerComponent;
const open: { disconnect(): Promise<unknown> }[] = [];

beforeAll(async () => {
  for (const { load } of GENERATIONS.slice(-1)) load();
  gateway = await startGateway({
    cheapPasswords: true,
    flags: ['--secure', '--host', '127.0.0.1', '--durability', 'os'],
    env: { TRIVIUM_ADMIN_PASSWORD: PASSWORD },
  });
  api = await AdminApi.of(gateway.ports.admin);
  const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: PASSWORD });
  api.token = body['token'] as string;
  await put('/groups/_MESH_DELEGATE', { permissions: MESH });
  await put('/groups/callers', { permissions: { ...SCHEMA, ...calls('echo', 'fail', 'emit'), ...hears('said', 'said/*', 'caused') } });
  await put('/users/node', { password: PASSWORD, groups: ['_MESH_DELEGATE'] });
  await put('/users/alice', { password: PASSWORD, groups: ['callers'] });
});

afterAll(async () => await gateway.stop());

beforeEach(async () => {
  component = await HappnerComponent.start(gateway.ports.happn, METHODS, { login: NODE });
});

afterEach(async () => {
  for (const client of open.splice(0)) await client.disconnect();
  await component.stop();
});

async function put(path: string, fields: object): Promise<void> {
  expect((await api.ask('PUT', path, fields)).status).toBeLessThan(300);
}

async function opened<T extends { disconnect(): Promise<unknown> }>(connecting: Promise<T>): Promise<T> {
  const client = await connecting;
  open.push(client);
  return client;
}

const connect = (kind: CallerKind, login: Login): Promise<Caller> => opened(kind.connect(gateway.ports.happn, login));
const plain = (login: Login): Promise<HappnClient> =>
  opened((GENERATIONS.at(-1) as (typeof GENERATIONS)[number]).connect(gateway.ports.happn, {}, undefined, login));

/** A user of its own, so that what becomes of it concerns nobody else. */
async function newUser(kind: CallerKind, story: string): Promise<Required<Pick<Login, 'username' | 'password'>>> {
  const username = `${story} ${CALLERS.indexOf(kind)}`;
  await put(`/users/${username}`, { password: PASSWORD, groups: ['callers'] });
  return { username, password: PASSWORD };
}

interface Session {
  readonly id: string;
  readonly token: string;
}

function sessionOf({ data }: { readonly data: RawClient }): Session {
  return data['session'] as unknown as Session;
}

/** What the client is told of the end of its session. */
function ends({ data }: { readonly data: RawClient }): { readonly reason: string | null } {
  const end: { reason: string | null } = { reason: null };
  const { onEvent } = data as unknown as { onEvent(event: string, handler: (about: { reason: string }) => void): void };
  onEvent.call(data, 'session-ended', ({ reason }) => {
    end.reason = reason;
  });
  return end;
}

/** Once more than nothing: the client no longer counts as one to be disconnected. */
function gone(): void {
  open.pop();
}

/** What was sent to this client before has been heard when this resolves. */
async function fence({ data }: { readonly data: RawClient }): Promise<void> {
  await (data['get'] as (path: string) => Promise<unknown>).call(data, '/mesh/schema/fence');
}

describe.each(CALLERS)('$name', (kind: CallerKind) => {
  test('logs in by password, and who calls is known', async () => {
    const caller = await connect(kind, ALICE);
    expect(await caller.call('echo', { text: 'ü' })).toEqual({ text: 'ü' });
    await expect(caller.call('fail')).rejects.toMatchObject({ name: 'TypeError', message: 'component failure' });
    const { id } = sessionOf(caller);
    expect(component.calls.map(({ origin }) => origin)).toEqual([
      { id, username: 'alice' },
      { id, username: 'alice' },
    ]);
    expect(component.callers).toMatchObject([
      { id, username: 'alice' },
      { id, username: 'alice' },
    ]);
  });

  test('logs in by token', async () => {
    const { token } = sessionOf(await connect(kind, ALICE));
    const second = await connect(kind, { token });
    expect(await second.call('echo', 1)).toBe(1);
    expect(component.callers).toMatchObject([{ username: 'alice' }]);
  });

  test('is refused with a wrong password, a bad token, or nothing', async () => {
    const invalid = expect.objectContaining({ message: expect.stringContaining('Invalid credentials') }) as Error;
    await expect(connect(kind, { ...ALICE, password: 'wrong' })).rejects.toEqual(invalid);
    await expect(connect(kind, { token: 'nonsense' })).rejects.toEqual(invalid);
    await expect(connect(kind, {})).rejects.toThrow();
  });

  test('is told what it may not call, and calls on', async () => {
    const caller = await connect(kind, ALICE);
    await expect(caller.call('forbidden')).rejects.toEqual(REFUSED);
    expect(await caller.call('echo', 2)).toBe(2);
    expect(component.calls).toHaveLength(1);
  });

  test('is told that it may listen to the response, but not call', async () => {
    const login = await newUser(kind, 'half');
    await put(`/users/${login.username}`, { permissions: { [`${RESPONSES}/forbidden/*`]: { actions: ['on', 'set'] } } });
    const caller = await connect(kind, login);
    await expect(caller.call('forbidden')).rejects.toEqual(REFUSED);
    expect(component.calls).toEqual([]);
  });

  test('hears the events that it may hear, and is refused others', async () => {
    const caller = await connect(kind, ALICE);
    const heard: Event[] = [];
    await caller.on('said', '*', (event) => heard.push(event));
    await caller.on('said/*', '*', (event) => heard.push(event));
    for (const key of ['secret', '*']) await expect(caller.on(key, '*', (event) => heard.push(event))).rejects.toEqual(REFUSED);
    await component.emit('said', { n: 1 });
    await component.emit('secret', { n: 2 });
    await component.emit('said/aloud', { n: 3 });
    await until('the last event', () => heard.length >= 2);
    expect(heard.map(({ data }) => data['n'])).toEqual([1, 3]);
    expect(heard[0]?.meta).toMatchObject({ eventOrigin: { username: 'node' } });
  });

  test('comes back after a restart of the gateway with its login, its calls and its events', async () => {
    const caller = await connect(kind, ALICE);
    const heard: Event[] = [];
    await caller.on('said', '*', (event) => heard.push(event));
    expect(await caller.call('echo', 'before')).toBe('before');
    const before = sessionOf(caller).id;
    await gateway.restart();
    await until('caller and component are back', () => caller.reconnects() === 1 && component.client.reconnects() === 1);
    await fence(caller);
    expect(sessionOf(caller).id).not.toBe(before);
    expect(await caller.call('echo', 'after')).toBe('after');
    expect(component.callers.at(-1)).toMatchObject({ id: sessionOf(caller).id, username: 'alice' });
    await component.emit('said', { n: 1 });
    await until('the event after the restart', () => heard.length === 1);
  }, 60_000);

  test('logs out: its token opens nothing any more, and others with it end', async () => {
    const caller = await connect(kind, await newUser(kind, 'out'));
    const { token } = sessionOf(caller);
    const other = await connect(kind, { token });
    const end = ends(other);
    await caller.logout();
    await until('the end of the other', () => end.reason !== null);
    expect(end.reason).toBe('token-revoked');
    gone();
    gone();
    await expect(connect(kind, { token })).rejects.toThrow('token has been revoked');
  });

  test('ends with its token, and stays away', async () => {
    const { username } = await newUser(kind, 'token');
    const { body } = await api.ask('POST', '/tokens', { user: username, type: 'stateful' });
    const caller = await connect(kind, { token: body['token'] as string });
    expect(await caller.call('echo', 3)).toBe(3);
    const end = ends(caller);
    expect((await api.ask('DELETE', `/tokens/${body['id'] as string}`)).status).toBe(204);
    await until('its end', () => end.reason !== null);
    expect(end.reason).toBe('token-revoked');
    await expect(caller.call('echo', 4)).rejects.toThrow();
    expect(caller.reconnects()).toBe(0);
    expect(component.calls).toHaveLength(1);
  });

  test('ends with its user', async () => {
    const login = await newUser(kind, 'deleted');
    const caller = await connect(kind, login);
    expect(await caller.call('echo', 5)).toBe(5);
    const end = ends(caller);
    expect((await api.ask('DELETE', `/users/${login.username}`)).status).toBe(204);
    await until('its end', () => end.reason !== null);
    expect(end.reason).toBe('security directory update: user deleted');
    await expect(caller.call('echo', 6)).rejects.toThrow();
    await expect(connect(kind, login)).rejects.toThrow('Invalid credentials');
  });

  test('loses and gets rights while it is connected', async () => {
    const login = await newUser(kind, 'rights');
    const group = `only ${login.username}`;
    await put(`/groups/${group}`, { permissions: { ...SCHEMA, ...calls('echo'), ...hears('said') } });
    await put(`/users/${login.username}`, { groups: [group] });
    const caller = await connect(kind, login);
    const witness = await plain(NODE);
    const [heard, witnessed]: [Event[], Heard[]] = [[], []];
    await caller.on('said', '*', (event) => heard.push(event));
    await witness.on(`${EVENTS}/*`, { event_type: 'set' }, (event) => witnessed.push(event));
    expect(await caller.call('echo', 7)).toBe(7);
    await component.emit('said', { n: 1 });
    await until('the first event', () => heard.length === 1);

    await put(`/groups/${group}`, { permissions: SCHEMA });
    await expect(caller.call('echo', 8)).rejects.toEqual(REFUSED);
    await component.emit('said', { n: 2 });
    await until('others hear it', () => witnessed.length === 2);
    await fence(caller);
    expect(heard).toHaveLength(1);
    await expect(caller.on('said', '*', (event) => heard.push(event))).rejects.toEqual(REFUSED);

    await put(`/groups/${group}`, { permissions: { ...SCHEMA, ...calls('echo'), ...hears('said') } });
    expect(component.calls).toHaveLength(1);
    const again: Event[] = [];
    await caller.on('said', '*', (event) => again.push(event));
    await component.emit('said', { n: 3 });
    await until('it hears again', () => again.length > 0);
    expect(again.map(({ data }) => data['n'])).toEqual([3]);
  });
});

test.each([HAPPNER_CLIENT, LIGHT_CLIENT])('$name calls on behalf of others, where it may', async (kind) => {
  const node = await connect(kind, NODE);
  expect(await node.callAs('alice', 'echo', 'for alice')).toBe('for alice');
  expect(component.callers).toMatchObject([{ username: 'alice' }]);
  await expect(node.callAs('alice', 'forbidden')).rejects.toEqual(REFUSED);
  await expect(node.callAs('nobody', 'echo')).rejects.toEqual(REFUSED);
  const alice = await connect(kind, ALICE);
  await expect(alice.callAs('node', 'forbidden')).rejects.toEqual(REFUSED);
  expect(component.calls).toHaveLength(1);
});

describe('responses', () => {
  test('reach the session that called, although others of the same user ask to hear them', async () => {
    const [caller, curious] = [await connect(HAPPNER_CLIENT, ALICE), await plain(ALICE)];
    const overheard: Heard[] = [];
    for (const path of [`${RESPONSES}/echo/${sessionOf(caller).id}/*`, `${RESPONSES}/echo/*/*`, `${RESPONSES}/echo/**`]) {
      await curious.on(path, { event_type: 'all' }, (event) => overheard.push(event));
    }
    expect(await caller.call('echo', 'secret')).toBe('secret');
    await curious.get('/mesh/schema/fence');
    expect(overheard).toEqual([]);
  });
});

describe('a mesh node with the gateway as its endpoint', () => {
  test('logs in, calls what it may, and hears events', async () => {
    const node = await opened(startMeshNode(gateway.ports.happn, COMPONENT, ALICE));
    expect(await node.call('echo', 'hello')).toBe('hello');
    await expect(node.call('fail')).rejects.toMatchObject({ name: 'TypeError', message: 'component failure' });
    await expect(node.call('forbidden')).rejects.toMatchObject({ message: expect.stringContaining('unauthorized') as string });
    await component.emit('said', { n: 1 });
    await until('the event', () => node.events.length === 1);
    expect(component.callers).toMatchObject([{ username: 'alice' }, { username: 'alice' }]);
  });
});
