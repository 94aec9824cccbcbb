// The logins of every happn generation, from the first refusal to their end: locked out, revoked, over, another password; and what
// comes back after a restart. Ports, users and profiles of their own for each client.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AdminApi } from '../support/admin-api.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { call, connectionOf, GENERATIONS, type Generation, type HappnClient, type Login } from '../support/happn-clients.js';

const PASSWORD = 'the password of this test';
const LOCKED_MS = 4_000;
const TOKEN_MS = 5_000;
const REFUSED_WITHIN_MS = 4_500;
const NEWEST = GENERATIONS.at(-1) as Generation;

let gateway: GatewayProcess;
let api: AdminApi;
let open: HappnClient[] = [];

beforeAll(async () => {
  for (const { load } of GENERATIONS) load();
  gateway = await startGateway({
    cheapPasswords: true,
    flags: [
      ...['--secure', '--host', '127.0.0.1', '--durability', 'os', '--security-anonymous'],
      ...['--security-lockout-attempts', '3', '--security-lockout-ms', String(LOCKED_MS)],
    ],
    env: { TRIVIUM_ADMIN_PASSWORD: PASSWORD },
  });
  api = await AdminApi.of(gateway.ports.admin);
  const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: PASSWORD });
  api.token = body['token'] as string;
  await put('/groups/plant', { permissions: { '/plant/*': { actions: ['*'] } } });
  await put('/users/_ANONYMOUS', { permissions: { '/public/*': { actions: ['get', 'on'] } } });
});

afterAll(async () => await gateway.stop());

afterEach(async () => {
  const left = open;
  open = [];
  await Promise.all(left.map((client) => client.disconnect()));
});

async function put(path: string, fields: object): Promise<void> {
  expect((await api.ask('PUT', path, fields)).status).toBeLessThan(300);
}

async function newUser(generation: Generation, story: string): Promise<Login & { readonly username: string }> {
  const username = `${story} of ${generation.name}`;
  await put(`/users/${username}`, { password: PASSWORD, groups: ['plant'] });
  return { username, password: PASSWORD };
}

async function connected(generation: Generation, login: Login, more: object = {}): Promise<HappnClient> {
  const client = await generation.connect(gateway.ports.happn, {}, undefined, { ...login, ...more });
  open.push(client);
  return client;
}

/** It ends by itself: nobody has to disconnect it. */
function gone(...clients: HappnClient[]): void {
  open = open.filter((client) => !clients.includes(client));
}

function tokenOf({ raw }: HappnClient): string {
  return (raw['session'] as unknown as { token: string }).token;
}

interface SystemFrame {
  readonly eventKey?: string;
  readonly data: unknown;
}

/** What the gateway says of the end of the connection; sessions of protocol 1 are not told why. */
function end(client: HappnClient): { told: unknown } {
  const heard: { told: unknown } = { told: null };
  const connection = connectionOf(client) as unknown as { on(event: string, handler: (frame: SystemFrame) => void): void };
  connection.on('data', ({ eventKey, data }) => {
    if (eventKey === 'server-side-disconnect') heard.told = data;
  });
  return heard;
}

function reason(generation: Generation, text: string): unknown {
  return TELLS_WHY(generation) ? { reason: text } : 'server-side-disconnect';
}
const TELLS_WHY = ({ name }: Generation): boolean => name !== 'happn 2.21.4' && name !== 'happn-3-v3';

const isOpen = (client: HappnClient): boolean => connectionOf(client)?.readyState === 3;

/** How each generation says that its token is to be worthless from now on. */
function logOut({ raw }: HappnClient, { name }: Generation): Promise<unknown> {
  const revokesAlone = name === 'happn-3-v3' || name === 'happn-3-v7';
  return revokesAlone ? call(raw, 'revokeSession') : call(raw, 'disconnect', { revokeSession: true, revokeToken: true });
}

/** Those before try a refused login again, whatever it was refused with. */
const GIVES_UP = GENERATIONS.filter(({ name }) => name !== 'happn-3-v3');
/** Those of versions 3 and 7 cannot go on when a subscription is refused to them while they come back. */
const DROPS_WHAT_IS_REFUSED = GENERATIONS.filter(({ name }) => name !== 'happn-3-v3' && name !== 'happn-3-v7');

describe.each(GIVES_UP)('$name', (generation) => {
  it('is refused at once, without trying again by itself', async () => {
    const { username } = await newUser(generation, 'the refused');
    const begun = Date.now();
    const retries = { loginRetry: 4, loginRetryInterval: 5_000 };
    await expect(connected(generation, { username, password: 'wrong' }, retries)).rejects.toThrow('Invalid credentials');
    await expect(connected(generation, { token: 'nonsense' }, retries)).rejects.toThrow('Invalid credentials: invalid session token');
    expect(Date.now() - begun).toBeLessThan(REFUSED_WITHIN_MS);
  });
});

describe.each(GENERATIONS)('$name', (generation) => {
  it('is locked out after three wrong passwords, for a while, with the right one, too', async () => {
    const login = await newUser(generation, 'the locked');
    for (let n = 0; n < 3; n++) await expect(connected(generation, { ...login, password: `wrong ${n}` })).rejects.toThrow('Invalid');
    await expect(connected(generation, login)).rejects.toThrow('Account locked out');
    await until(
      'the lock is off',
      () =>
        connected(generation, login).then(
          () => true,
          () => false,
        ),
      LOCKED_MS * 5,
    );
  }, 40_000);

  it('comes in as nobody, and may do what everybody may', async () => {
    const client = await connected(generation, { username: '_ANONYMOUS', password: 'none' });
    expect(await client.get('/public/none')).toBeNull();
    await expect(client.set('/public/none', {})).rejects.toMatchObject({ message: expect.stringContaining('unauthorized') as string });
  });

  it('logs out: its token opens nothing any more, and who came in with it ends', async () => {
    const login = await newUser(generation, 'the leaving');
    const [first, untouched] = [await connected(generation, login), await connected(generation, login)];
    const token = tokenOf(first);
    const second = await connected(generation, { token });
    const told = end(second);
    gone(first, second);
    await logOut(first, generation);
    await until('the end of the other', () => told.told !== null);
    expect(told.told).toEqual(reason(generation, 'token-revoked'));
    await expect(connected(generation, { token })).rejects.toThrow('token has been revoked');
    await untouched.set('/plant/untouched', { still: 'here' });
    await connected(generation, { token: tokenOf(untouched) });
  });
});

describe('a client of every generation', () => {
  async function outlivesItsToken(generation: Generation): Promise<void> {
    const { username } = await newUser(generation, 'the late');
    const { body } = await api.ask('POST', '/tokens', { user: username, type: 'stateful', ttlMs: TOKEN_MS });
    const token = body['token'] as string;
    const client = await connected(generation, { token });
    const told = end(client);
    await client.set('/plant/late', { n: 1 });
    gone(client);
    await until('its end', () => told.told !== null);
    expect(told.told).toEqual(reason(generation, 'token-expired'));
    await expect(connected(generation, { token })).rejects.toThrow('Invalid credentials: token timed out');
    await until('it is down', () => !isOpen(client));
    expect(client.reconnects()).toBe(0);
  }

  it('ends with the time of its token, stays away, and is not let in with it', async () => {
    await Promise.all(GENERATIONS.map(outlivesItsToken));
  });

  it('comes back after a restart with its login and its subscriptions', async () => {
    const pairs = await Promise.all(GENERATIONS.map(pairOf));
    await gateway.restart();
    await until('all are back', () => pairs.flatMap(({ clients }) => clients).every(({ reconnects }) => reconnects() === 1));
    for (const { clients, heard, path } of pairs) {
      const [byToken, byPassword] = clients;
      await byToken.set(path, { by: 'token' });
      await until('both hear it', () => heard.filter((one) => one === path).length === 2);
      await expect(byPassword.set('/office/1', {})).rejects.toMatchObject({ message: expect.stringContaining('unauthorized') as string });
    }
  }, 60_000);

  /** Two clients of a user, one by its password and one by its token, that listen. */
  async function pairOf(generation: Generation): Promise<{ clients: [HappnClient, HappnClient]; heard: string[]; path: string }> {
    const byPassword = await connected(generation, await newUser(generation, 'the faithful'));
    const byToken = await connected(generation, { token: tokenOf(byPassword) });
    const heard: string[] = [];
    for (const client of [byToken, byPassword]) await client.on('/plant/*', {}, ({ meta }) => heard.push(meta.path));
    return { clients: [byToken, byPassword], heard, path: `/plant/${generation.name.replaceAll(' ', '-')}` };
  }

  it('comes back without the subscriptions that it lost the right for meanwhile', async () => {
    const formers = await Promise.all(DROPS_WHAT_IS_REFUSED.map(formerOf));
    await gateway.restart();
    for (const { username } of formers) await put(`/users/${username}`, { permissions: {} });
    await until('they are back', () => formers.every(({ client }) => client.reconnects() >= 1));
    const admin = await connected(NEWEST, { username: '_ADMIN', password: PASSWORD });
    for (const { shift } of formers) await admin.set(`${shift}/1`, {});
    await admin.set('/plant/after', {});
    for (const { heard } of formers) {
      await until('it hears the other', () => heard.length > 0);
      expect(heard).toEqual(['/plant/after']);
    }
  }, 60_000);

  /** Somebody who listens to what the plant's group may hear, and to a shift of its own. */
  async function formerOf(generation: Generation): Promise<{ client: HappnClient; heard: string[]; shift: string; username: string }> {
    const shift = `/${generation.name.replaceAll(' ', '-')}`;
    const login = await newUser(generation, 'the former');
    await put(`/users/${login.username}`, { permissions: { [`${shift}/*`]: { actions: ['*'] } } });
    const client = await connected(generation, login);
    const heard: string[] = [];
    for (const path of ['/plant/*', `${shift}/*`]) await client.on(path, {}, ({ meta }) => heard.push(meta.path));
    return { client, heard, shift, username: login.username };
  }
});

describe('the newest client', () => {
  it('changes its password: others of the user stay, and tokens from before are worthless', async () => {
    const login = await newUser(NEWEST, 'the careful');
    const [client, other] = [await connected(NEWEST, login), await connected(NEWEST, login)];
    const change = (oldPassword: string, newPassword: string): Promise<unknown> =>
      call(client.raw, 'changePassword', { oldPassword, newPassword });
    await expect(change('wrong', 'another one')).rejects.toMatchObject({ message: 'Invalid old password' });
    await change(PASSWORD, 'another one');
    await client.set('/plant/careful', { n: 1 });
    await other.set('/plant/careful', { n: 2 });
    for (const token of [tokenOf(client), tokenOf(other)]) {
      await expect(connected(NEWEST, { token })).rejects.toThrow('token has been revoked');
    }
    await expect(connected(NEWEST, login)).rejects.toThrow('Invalid credentials');
    await connected(NEWEST, { ...login, password: 'another one' });
  });
});
