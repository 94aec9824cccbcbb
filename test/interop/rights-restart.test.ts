// Users, groups, rights, revocations and durable sessions of a secure gateway that is killed: what was acknowledged is there again.

import { connect, connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AdminApi } from '../support/admin-api.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';

const PASSWORD = 'only for this test';
const ROUNDS = process.env.TRIVIUM_TEST_LONG === '1' ? 40 : 1;

let gateway: GatewayProcess;

beforeAll(async () => {
  gateway = await startGateway({
    cheapPasswords: true,
    flags: ['--secure', '--host', '127.0.0.1'],
    env: { TRIVIUM_ADMIN_PASSWORD: PASSWORD },
  });
});
afterAll(async () => await gateway.stop());

async function admin(): Promise<AdminApi> {
  const api = await AdminApi.of(gateway.ports.admin);
  api.token = (await api.ask('POST', '/login', { username: '_ADMIN', password: PASSWORD })).body['token'] as string;
  return api;
}

async function mqtt(username: string, options: IClientOptions = {}): Promise<MqttClient> {
  const url = `mqtt://127.0.0.1:${gateway.ports.mqtt}`;
  return await connectAsync(url, { username, password: PASSWORD, protocolVersion: 4, reconnectPeriod: 0, ...options }, false);
}

const durable = { clean: false, clientId: 'kept' } as const;

it('what was acknowledged of users and rights survives a kill, and nothing else comes back', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const [ann, ben, group] = [`ann${round}`, `ben${round}`, `group${round}`];
    let api = await admin();
    const put = async (path: string, body: object): Promise<void> => expect((await api.ask('PUT', path, body)).status).toBeLessThan(300);
    await put(`/groups/${group}`, { permissions: { '/d/*': { actions: ['*'] }, '/d/secret/*': { prohibit: ['on'] } } });
    await put(`/users/${ann}`, { password: PASSWORD, groups: [group], customData: { round } });
    await put(`/users/${ben}`, { password: PASSWORD, groups: [group] });
    const { token, id } = (await api.ask('POST', '/tokens', { user: ann, type: 'stateful' })).body as { token: string; id: string };
    const before = await mqtt(ann, durable);
    await before.subscribeAsync('/d/#', { qos: 1 });
    await before.endAsync();
    // The last things that are acknowledged before the end.
    expect((await api.ask('DELETE', `/tokens/${id}`)).status).toBeLessThan(300);
    expect((await api.ask('DELETE', `/users/${ben}`)).status).toBeLessThan(300);
    await gateway.restart({ kill: true });
    api = await admin();
    expect((await api.ask('GET', `/users/${ann}`)).body).toMatchObject({ name: ann, groups: [group], customData: { round } });
    expect((await api.ask('GET', `/users/${ben}`)).status).toBe(404);
    await expect(mqtt(ben)).rejects.toThrow();
    await expect(mqtt(ann, { password: token })).rejects.toThrow();
    const root = await mqtt('_ADMIN');
    // Nobody is there yet whose rights could be asked for.
    for (const topic of ['/d/1', '/d/secret/1', '/d/2']) await root.publishAsync(topic, `${round}`, { qos: 1 });
    const heard: string[] = [];
    const again = connect(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { username: ann, password: PASSWORD, reconnectPeriod: 0, ...durable });
    again.on('message', (topic) => heard.push(topic));
    await until('what was queued', () => heard.includes('/d/2'));
    expect(heard).toEqual(['/d/1', '/d/2']);
    await put(`/groups/${group}`, { permissions: {} });
    await root.publishAsync('/d/3', `${round}`, { qos: 1 });
    await again.endAsync();
    const last = await mqtt(ann, { clean: true, clientId: 'kept' });
    await expect(last.subscribeAsync('/d/#')).rejects.toThrow();
    expect(heard).toEqual(['/d/1', '/d/2']);
    await Promise.all([last.endAsync(), root.endAsync()]);
  }
}, 120_000);
