// Lookups with real clients of every protocol: what the table has is allowed, and what it has no longer is allowed no longer.

import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AdminApi } from '../support/admin-api.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS, type Generation } from '../support/happn-clients.js';
import { HavenClient } from '../support/haven-client.js';

const ADMIN_PASSWORD = 'only for this test';
const ANN = { username: 'ann', password: 'secret of ann' };
const LOOKUP = { table: 'owned', regex: '^/device/([^/]+)/', actions: ['get', 'on', 'set'], path: '{{user.username}}/{{$1}}' };
const NEWEST = GENERATIONS.at(-1) as Generation;

let gateway: GatewayProcess;
let api: AdminApi;

beforeAll(async () => {
  NEWEST.load();
  gateway = await startGateway({
    cheapPasswords: true,
    flags: ['--secure', '--host', '127.0.0.1'],
    env: { TRIVIUM_ADMIN_PASSWORD: ADMIN_PASSWORD },
  });
  api = await AdminApi.of(gateway.ports.admin);
  const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: ADMIN_PASSWORD });
  api.token = body['token'] as string;
  await api.ask('PUT', '/groups/owners', { lookups: [LOOKUP] });
  await api.ask('PUT', '/users/ann', { password: ANN.password, groups: ['owners'] });
});
afterAll(async () => await gateway.stop());

it('are the same right over every protocol, and end for all at once', async () => {
  await api.ask('PUT', '/lookup-tables/owned', { paths: ['ann/1'] });
  const happn = await NEWEST.connect(gateway.ports.happn, {}, undefined, ANN);
  const haven = await HavenClient.connect(gateway.ports.haven, { connect: { credentials: ANN } });
  const devices = await Promise.all(
    ([4, 5] as const).map((protocolVersion) =>
      connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { protocolVersion, reconnectPeriod: 0, ...ANN }),
    ),
  );
  const heard: string[] = [];
  await happn.on('/device/1/*', {}, ({ meta }) => heard.push(`happn ${meta.path}`));
  await haven.watch('/device/1/*');
  for (const device of devices) {
    device.on('message', (topic) => heard.push(`mqtt ${topic}`));
    expect((await device.subscribeAsync('/device/1/#', { qos: 1 })).map(({ qos }) => qos)).toEqual([1]);
    await expect(device.subscribeAsync('/device/2/#')).rejects.toThrow();
  }
  await expect(happn.on('/device/2/*', {}, () => {})).rejects.toMatchObject({ message: expect.stringContaining('unauthorized') });
  await expect(haven.watch('/device/2/*')).rejects.toMatchObject({ errorName: 'ACCESS_DENIED' });
  await haven.write('/device/1/a', { n: 1 });
  expect((await haven.events(1)).map(({ path }) => path)).toEqual(['/device/1/a']);
  await until('all to hear it', () => heard.length === 3);
  expect([...heard].sort()).toEqual(['happn /device/1/a', 'mqtt /device/1/a', 'mqtt /device/1/a']);

  await api.ask('PATCH', '/lookup-tables/owned', { add: ['/ann/2'], remove: ['ann/1'] });
  await expect(happn.get('/device/1/a')).rejects.toMatchObject({ message: expect.stringContaining('unauthorized') });
  await expect(haven.read('/device/1/a')).rejects.toMatchObject({ errorName: 'ACCESS_DENIED' });
  const admin = { username: '_ADMIN', password: ADMIN_PASSWORD };
  const writer = await HavenClient.connect(gateway.ports.haven, { connect: { credentials: admin } });
  for (const device of devices) await device.subscribeAsync('/device/2/#', { qos: 1 });
  await writer.write('/device/1/b', { n: 2 });
  await writer.write('/device/2/last', { n: 3 });
  await until('what may be heard now', () => heard.filter((text) => text === 'mqtt /device/2/last').length === 2);
  expect(heard.filter((text) => text.endsWith('/device/1/b'))).toEqual([]);
  await Promise.all([writer.close(), haven.close(), happn.disconnect(), ...devices.map((device) => device.endAsync(true))]);
});
