// security.allowNestedPermissions with real clients of every protocol: each is given the permitted part of what it asks for, and
// refused where nothing of it is permitted.

import { connectAsync, type IClientOptions } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AdminApi } from '../support/admin-api.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { GENERATIONS } from '../support/happn-clients.js';
import { HavenClient } from '../support/haven-client.js';

const ADMIN_PASSWORD = 'only for this test';
const ANN = { username: 'ann', password: 'secret of ann' };
const USERS = [
  {
    name: 'ann',
    password: ANN.password,
    permissions: {
      '/plant/1/*': { actions: ['get', 'on'] },
      '/plant/2/*': { actions: ['get', 'on'] },
      '/plant/2/secret': { prohibit: ['*'] },
      '/fence': { actions: ['on'] },
    },
  },
];
const PATHS = ['/plant/1/a', '/plant/2/a', '/plant/2/secret', '/plant/3/a', '/office/a'];
const ALLOWED = ['/plant/1/a', '/plant/2/a'];

let gateway: GatewayProcess;
let writer: HavenClient;

beforeAll(async () => {
  for (const { load } of GENERATIONS) load();
  gateway = await startGateway({
    cheapPasswords: true,
    flags: ['--secure', '--host', '127.0.0.1', '--security-allow-nested-permissions', '--security-users', JSON.stringify(USERS)],
    env: { TRIVIUM_ADMIN_PASSWORD: ADMIN_PASSWORD },
  });
  const credentials = { username: '_ADMIN', password: ADMIN_PASSWORD };
  writer = await HavenClient.connect(gateway.ports.haven, { connect: { credentials } });
  for (const path of PATHS) await writer.write(path, { path });
});
afterAll(async () => {
  await writer.close();
  await gateway.stop();
});

/** Changes everything, and then something that whoever listens to it hears last. */
async function changeAll(): Promise<void> {
  for (const path of [...PATHS, '/fence']) await writer.write(path, { path });
}

it.each([4, 5] as const)('MQTT %i hears and is shown the permitted part', async (protocolVersion) => {
  const options: IClientOptions = { protocolVersion, reconnectPeriod: 0, ...ANN };
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, options);
  const heard: string[] = [];
  client.on('message', (topic, _payload, { retain }) => heard.push(`${topic}${retain ? ' retained' : ''}`));
  const granted = await client.subscribeAsync('#', { qos: 1 });
  expect(granted.map(({ qos }) => qos)).toEqual([1]);
  await until('what is retained', () => heard.filter((text) => text.endsWith('retained')).length >= ALLOWED.length);
  await changeAll();
  await until('the last of the changes', () => heard.includes('/fence'));
  const shown = heard.filter((text) => !text.startsWith('/fence'));
  expect(shown.filter((text) => text.endsWith('retained')).sort()).toEqual(ALLOWED.map((path) => `${path} retained`));
  expect(shown.filter((text) => !text.endsWith('retained'))).toEqual(ALLOWED);
  for (const filter of ['/office/#', '$SYS/#', '/plant/3/+']) {
    const refusal = await client.subscribeAsync(filter).then(
      () => 'granted',
      () => 'refused',
    );
    expect(refusal, filter).toBe('refused');
  }
  await client.endAsync();
});

it.each(GENERATIONS)('$name hears and finds the permitted part', async ({ connect, wildcards }) => {
  const client = await connect(gateway.ports.happn, {}, undefined, ANN);
  const everything = wildcards === 'segments' ? '/**' : '*';
  const heard: string[] = [];
  await client.on(everything, {}, ({ meta }) => heard.push(meta.path));
  await changeAll();
  await until('the last of the changes', () => heard.includes('/fence'));
  expect(heard).toEqual([...ALLOWED, '/fence']);
  const found = (await client.get('*')) as unknown as { readonly _meta: { readonly path: string } }[];
  expect(found.map(({ _meta }) => _meta.path)).toEqual(ALLOWED);
  await expect(client.on('/office/*', {}, () => {})).rejects.toMatchObject({ message: expect.stringContaining('unauthorized') });
  await expect(client.get('/office/*')).rejects.toMatchObject({ message: expect.stringContaining('unauthorized') });
  await client.disconnect();
});

it('Haven hears and finds the permitted part', async () => {
  const client = await HavenClient.connect(gateway.ports.haven, { connect: { credentials: ANN } });
  await client.watch('*');
  await changeAll();
  const events = await client.events(ALLOWED.length + 1);
  expect(events.map(({ path }) => path)).toEqual([...ALLOWED, '/fence']);
  await expect(client.watch('/office/*')).rejects.toMatchObject({ errorName: 'ACCESS_DENIED' });
  await client.close();
});

it('is explained', async () => {
  const api = await AdminApi.of(gateway.ports.admin);
  const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: ADMIN_PASSWORD });
  api.token = body['token'] as string;
  const question = { user: 'ann', action: 'on', path: '#', dialect: 'mqtt' };
  expect((await api.ask('POST', '/explain', question)).body).toMatchObject({ allowed: true, coverage: 'partial' });
});
