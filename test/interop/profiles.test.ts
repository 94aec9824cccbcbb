// What a profile limits, over every protocol: how long a login lasts, idle or not, how often it may do something, what it may do, from
// where, and by what.

import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminApi } from '../support/admin-api.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS, type Generation, type Login } from '../support/happn-clients.js';
import { HavenClient } from '../support/haven-client.js';

const PASSWORD = 'the password of this test';
const ALL = { '*': { actions: ['*'] } };
const IDLE_MS = 3_000;
const policies = {
  old: { ttl: '3 seconds' },
  idle: { inactivity_threshold: IDLE_MS },
  used: { usage_limit: 2 },
  limited: { permissions: { '/only/*': { actions: ['get', 'on'] } } },
  elsewhere: { sourceIPWhitelist: ['10.0.0.0/8'] },
  tokenless: { disallowTokenLogins: true },
};
const PROFILES = Object.entries(policies).map(([name, policy]) => ({ name, session: { user: { username: name } }, policy }));
const USERS = Object.keys(policies).map((name) => ({ name, password: PASSWORD, permissions: ALL }));

/** One connection, whatever it speaks. */
interface Client {
  /** Wants to hear of a path, which needs the right `on`. Rejects when that is refused. */
  listen(path: string): Promise<unknown>;
  readonly isOver: () => boolean;
  close(): Promise<unknown>;
}

interface Protocol {
  readonly name: string;
  readonly connect: (login: Login) => Promise<Client>;
}

let gateway: GatewayProcess;
let api: AdminApi;
const NEWEST = GENERATIONS.at(-1) as Generation;

beforeAll(async () => {
  NEWEST.load();
  const lists = ['--security-profiles', JSON.stringify(PROFILES), '--security-users', JSON.stringify(USERS)];
  gateway = await startGateway({
    cheapPasswords: true,
    flags: ['--secure', '--host', '127.0.0.1', ...lists],
    env: { TRIVIUM_ADMIN_PASSWORD: PASSWORD },
  });
  api = await AdminApi.of(gateway.ports.admin);
  const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: PASSWORD });
  api.token = body['token'] as string;
});
afterAll(async () => await gateway.stop());

async function happn(login: Login): Promise<Client> {
  const client = await NEWEST.connect(gateway.ports.happn, {}, undefined, login);
  let isOver = false;
  const ended = client.raw['onEvent'] as unknown as (event: string, handler: () => void) => void;
  ended.call(client.raw, 'session-ended', () => (isOver = true));
  return { listen: (path) => client.on(path, {}, () => {}), isOver: () => isOver, close: () => client.disconnect() };
}

function mqtt(protocolVersion: 4 | 5): Protocol['connect'] {
  return async ({ username, password, token }) => {
    const credentials = { ...(username === undefined ? {} : { username }), password: token ?? password ?? '' };
    const options = { protocolVersion, reconnectPeriod: 0, ...credentials };
    const client = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, options, false);
    let isOver = false;
    client.on('close', () => (isOver = true)).on('error', () => {});
    return { listen: (path) => client.subscribeAsync(path, { qos: 1 }), isOver: () => isOver, close: () => client.endAsync(true) };
  };
}

async function haven(credentials: Login): Promise<Client> {
  const client = await HavenClient.connect(gateway.ports.haven, { connect: { credentials } });
  return { listen: (path) => client.watch(path), isOver: () => client.closed, close: () => client.close() };
}

const PROTOCOLS: readonly Protocol[] = [
  { name: 'happn', connect: happn },
  { name: 'MQTT 3.1.1', connect: mqtt(4) },
  { name: 'MQTT 5', connect: mqtt(5) },
  { name: 'Haven', connect: haven },
];
const as = (username: string): Login => ({ username, password: PASSWORD });

describe.each(PROTOCOLS)('$name', ({ connect }) => {
  const refusal = async (asked: Promise<unknown>): Promise<string> =>
    await asked.then(
      () => 'granted',
      () => 'refused',
    );

  it('is ended when its login is too old, whatever it does', async () => {
    const begun = performance.now();
    const client = await connect(as('old'));
    let asked = 0;
    while (!client.isOver()) {
      await refusal(client.listen(`/a/${asked++}`));
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(performance.now() - begun).toBeLessThan(25_000);
    }
    expect(performance.now() - begun).toBeGreaterThan(2_900);
  });

  it('is ended when it is idle for too long', async () => {
    const client = await connect(as('idle'));
    const asked = performance.now();
    expect(await refusal(client.listen('/a'))).toBe('granted');
    await until('its end', () => client.isOver());
    expect(performance.now() - asked).toBeGreaterThan(IDLE_MS);
  });

  it('is ended when it has used its login up', async () => {
    const client = await connect(as('used'));
    expect([await refusal(client.listen('/a')), await refusal(client.listen('/b'))]).toEqual(['granted', 'granted']);
    expect(await refusal(client.listen('/c'))).toBe('refused');
    await until('its end', () => client.isOver());
  });

  it('may do what the policy permits, in place of what the user may, and goes on when something is refused', async () => {
    const client = await connect(as('limited'));
    expect(await refusal(client.listen('/only/a'))).toBe('granted');
    expect(await refusal(client.listen('/other'))).toBe('refused');
    expect(await refusal(client.listen('/only/b'))).toBe('granted');
    expect(client.isOver()).toBe(false);
    await client.close();
  });

  it('does not come in from elsewhere', async () => {
    expect(await refusal(connect(as('elsewhere')))).toBe('refused');
  });

  it('does not come in by a token where tokens are not good', async () => {
    const tokenOf = async (user: string): Promise<string> => {
      const { body } = await api.ask('POST', '/tokens', { user, type: 'stateful' });
      return body['token'] as string;
    };
    expect(await refusal(connect({ username: 'tokenless', token: await tokenOf('tokenless') }))).toBe('refused');
    const client = await connect({ username: 'limited', token: await tokenOf('limited') });
    expect(await refusal(client.listen('/other'))).toBe('refused');
    await client.close();
    const byPassword = await connect(as('tokenless'));
    await byPassword.close();
  });
});
