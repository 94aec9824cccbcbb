// Locks of users after wrong passwords, of a real gateway: over restarts, in the audit, and ended by an administrator.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminApi, type Answered } from './support/admin-api.js';
import { CliProcess, type GatewayProcess, startGateway, until } from './support/gateway-process.js';

const PASSWORD = 'only for this test';

let gateway: GatewayProcess;
let api: AdminApi;

beforeAll(async () => {
  gateway = await startGateway({
    flags: ['--secure', '--host', '127.0.0.1', '--security-lockout-attempts', '3'],
    env: { TRIVIUM_ADMIN_PASSWORD: PASSWORD },
  });
  api = await AdminApi.of(gateway.ports.admin);
  api.token = (await login('_ADMIN', PASSWORD)).body['token'] as string;
});

afterAll(async () => await gateway.stop());

const login = (username: string, password: string): Promise<Answered> => api.ask('POST', '/login', { username, password });
const outcome = ({ status, body }: Answered): unknown => [status, (body['error'] as { code?: string } | undefined)?.code];
const LOCKED = [403, 'ACCOUNT_LOCKED'];

async function lockOut(name: string): Promise<void> {
  for (let at = 0; at < 3; at += 1) expect(outcome(await login(name, `wrong ${at}`))).toEqual([401, 'NOT_AUTHENTICATED']);
  expect(outcome(await login(name, 'secret'))).toEqual(LOCKED);
  await until(
    'it is kept',
    async () => ((await api.ask('GET', `/audit?action=user.lock&target=${name}`)).body['entries'] as unknown[]).length === 1,
  );
}

describe('a lock', () => {
  it('outlives a kill, for users who are there as for those who are not, and is ended by an administrator', async () => {
    await api.ask('PUT', '/users/lou', { password: 'secret' });
    expect((await api.ask('GET', '/users/lou')).body['lockedUntil']).toBeNull();
    await lockOut('lou');
    await lockOut('nobody');
    await gateway.restart({ kill: true });
    expect(outcome(await login('lou', 'secret'))).toEqual(LOCKED);
    expect(outcome(await login('nobody', 'secret'))).toEqual(LOCKED);
    const { body } = await api.ask('GET', '/users/lou');
    expect(Date.parse(String(body['lockedUntil'])) - Date.now()).toBeGreaterThan(300_000);
    const [locked] = (await api.ask('GET', '/audit?action=user.lock&target=lou')).body['entries'] as [object];
    expect(locked).toMatchObject({ actor: null, protocol: 'core', refusal: null, details: { until: body['lockedUntil'] } });

    expect((await api.ask('DELETE', '/users/lou/lock')).status).toBe(204);
    expect(outcome(await login('lou', 'secret'))).toEqual([200, undefined]);
    expect(outcome(await api.ask('DELETE', '/users/lou/lock'))).toEqual([404, 'NOT_FOUND']);
    const unlocked = (await api.ask('GET', '/audit?action=user.unlock&outcome=done')).body['entries'];
    expect(unlocked).toMatchObject([{ actor: '_ADMIN', target: 'lou', protocol: 'admin' }]);
  });

  it('begins anew after it was ended', async () => {
    await api.ask('PUT', '/users/lea', { password: 'secret' });
    await lockOut('lea');
    const env = { TRIVIUM_ADMIN_URL: `http://127.0.0.1:${gateway.ports.admin}`, TRIVIUM_TOKEN: api.token as string };
    const unlock = new CliProcess(['user', 'unlock', 'lea'], { env });
    expect([(await unlock.exited).code, unlock.stdout]).toEqual([0, 'lea is no longer locked\n']);
    expect(outcome(await login('lea', 'secret'))).toEqual([200, undefined]);
    expect(outcome(await login('lea', 'wrong'))).toEqual([401, 'NOT_AUTHENTICATED']);
    expect(outcome(await login('lea', 'secret'))).toEqual([200, undefined]);
  });
});
