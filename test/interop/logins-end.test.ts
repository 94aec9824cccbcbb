// What ends a login, over every protocol: the token is revoked, the password is another one, the user is gone; and what never was one.

import { once } from 'node:events';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { base64url, CompactSign, UnsecuredJWT } from 'jose';
import { connect, connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { AdminApi } from '../support/admin-api.js';
import { type GatewayProcess, startGateway, until } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';
import { processorMs } from '../support/metrics.js';

const PASSWORD = 'the password of this test';
/** Somebody who is revoked hears nothing any more after this. */
const WITHIN_MS = 5_000;

const HASTY = { name: 'hasty', session: { user: { username: 'hasty' } }, policy: { ttl: 4_000 } };

let gateway: GatewayProcess;
let api: AdminApi;
/** Nothing of these is to be found in what the gateway writes. */
const secrets: string[] = [PASSWORD];

interface Happn {
  set(path: string, data: object): Promise<unknown>;
  onEvent(event: string, handler: (...args: unknown[]) => void): void;
  disconnect(): Promise<void>;
}
const { client: happn } = createRequire(fileURLToPath(new URL('../clients/happn3/', import.meta.url)))('happn-3-v13') as {
  client: { create(options: object): Promise<Happn> };
};

beforeAll(async () => {
  gateway = await startGateway({
    flags: [
      '--secure',
      '--host',
      '127.0.0.1',
      '--security-lockout-attempts',
      '5',
      '--security-anonymous',
      '--log-level',
      'debug',
      '--security-profiles',
      JSON.stringify([HASTY]),
    ],
    env: { TRIVIUM_ADMIN_PASSWORD: PASSWORD },
  });
  api = await AdminApi.of(gateway.ports.admin);
  const { body } = await api.ask('POST', '/login', { username: '_ADMIN', password: PASSWORD });
  api.token = body['token'] as string;
  secrets.push(api.token);
});

afterAll(async () => await gateway.stop());

async function makeUser(name: string, permissions: object = { '/a/*': { actions: ['*'] } }): Promise<void> {
  expect((await api.ask('PUT', `/users/${name}`, { password: PASSWORD, permissions })).status).toBeLessThan(300);
}

/** `ttlMs` null: as long as tokens are good here. */
async function tokenOf(user: string, ttlMs: number | null = null): Promise<{ readonly id: string; readonly token: string }> {
  const { body, status } = await api.ask('POST', '/tokens', { user, type: 'stateful', ...(ttlMs === null ? {} : { ttlMs }) });
  expect(status).toBe(201);
  secrets.push(body['token'] as string);
  return body as never;
}

const url = (): string => `mqtt://127.0.0.1:${gateway.ports.mqtt}`;

async function mqtt(credentials: IClientOptions): Promise<MqttClient> {
  return await connectAsync(url(), { protocolVersion: 5, reconnectPeriod: 0, ...credentials }, false);
}

/** How each protocol refuses. */
async function refusals(credentials: { username?: string; password?: string; token?: string }): Promise<unknown[]> {
  const { username = 'x', password = credentials.token ?? '' } = credentials;
  const code = await new Promise((resolve) => {
    const client = connect(url(), {
      protocolVersion: 5,
      reconnectPeriod: 0,
      username: credentials.token === undefined ? username : '',
      password,
    });
    client.on('connect', () => void client.endAsync().then(() => resolve('let in')));
    client.on('error', (error) => resolve((error as { code?: number }).code));
  });
  const haven = await HavenClient.connect(gateway.ports.haven, { connect: { credentials } }).then(
    () => 'let in',
    (error: { errorName: string }) => error.errorName,
  );
  const connecting = happn.create({ host: '127.0.0.1', port: gateway.ports.happn, secure: true, ...credentials });
  const happned = await connecting.then(
    () => 'let in',
    (error: { code: number }) => error.code,
  );
  return [code, haven, happned];
}

/** One client of each protocol, and what became of them. */
async function crowd(credentials: { username?: string; password?: string; token?: string }) {
  const password = credentials.password ?? credentials.token ?? '';
  const device = await mqtt({ username: credentials.username ?? '', password });
  const haven = await HavenClient.connect(gateway.ports.haven, { connect: { credentials } });
  const page = await happn.create({ host: '127.0.0.1', port: gateway.ports.happn, secure: true, ...credentials });
  const ended = { mqtt: false, haven: false, happn: false };
  /** In the words of each protocol. */
  const told: { mqtt?: unknown; happn?: unknown } = {};
  device.on('close', () => (ended.mqtt = true));
  device.on('disconnect', ({ reasonCode, properties }) => (told.mqtt = [reasonCode, properties?.reasonString]));
  void haven.ended.then(() => (ended.haven = true));
  page.onEvent('session-ended', (about) => {
    ended.happn = true;
    told.happn = about;
  });
  await device.subscribeAsync('/a/#', { qos: 0 });
  return { ended, told, device, haven, page, end: () => Promise.all([device.endAsync(), haven.close(), page.disconnect()]) };
}

const ALL_ENDED = { mqtt: true, haven: true, happn: true };
const NONE_ENDED = { mqtt: false, haven: false, happn: false };

describe('connections of all protocols', () => {
  it('D4 end when their token is revoked, and it opens no others; those with another token stay', async () => {
    await makeUser('rita');
    const [one, other] = [await tokenOf('rita'), await tokenOf('rita')];
    const [going, staying] = [await crowd({ token: one.token }), await crowd({ token: other.token })];
    expect((await api.ask('DELETE', `/tokens/${one.id}`)).status).toBe(204);
    await until('all have ended', () => JSON.stringify(going.ended) === JSON.stringify(ALL_ENDED), WITHIN_MS);
    expect(await refusals({ token: one.token })).toEqual([0x87, 'UNAUTHORIZED', 403]);
    expect(staying.ended).toEqual(NONE_ENDED);
    await gateway.restart();
    expect(await refusals({ token: one.token })).toEqual([0x87, 'UNAUTHORIZED', 403]);
    expect(await refusals({ token: other.token })).toEqual(['let in', 'let in', 'let in']);
  });

  it('end when their user is deleted, and one of the same name does not get the tokens back', async () => {
    await makeUser('paul');
    const { token } = await tokenOf('paul');
    const people = await crowd({ username: 'paul', password: PASSWORD });
    expect((await api.ask('DELETE', '/users/paul')).status).toBe(204);
    await until('all have ended', () => JSON.stringify(people.ended) === JSON.stringify(ALL_ENDED), WITHIN_MS);
    expect(await refusals({ username: 'paul', password: PASSWORD })).toEqual([0x86, 'UNAUTHORIZED', 401]);
    await makeUser('paul');
    expect(await refusals({ token })).toEqual([0x86, 'UNAUTHORIZED', 401]);
    expect(await refusals({ username: 'paul', password: PASSWORD })).toEqual(['let in', 'let in', 'let in']);
  });

  it('end when the time of their token is over, and those that came in by password stay', async () => {
    await makeUser('tess');
    const staying = await crowd({ username: 'tess', password: PASSWORD });
    const begun = Date.now();
    const { token } = await tokenOf('tess', 4_000);
    const going = await crowd({ token });
    const { page, haven } = going;
    await page.set('/a/last', { of: 'tess' });
    expect(going.ended).toEqual(NONE_ENDED);
    await until('all have ended', () => JSON.stringify(going.ended) === JSON.stringify(ALL_ENDED), 4_000 + WITHIN_MS);
    expect(Date.now() - begun).toBeGreaterThan(4_000);
    expect(going.told).toEqual({ mqtt: [0xa0, 'token-expired'], happn: { reason: 'token-expired' } });
    expect(haven.strays).toMatchObject([{ result: false, error: { name: 'UNAUTHORIZED', message: 'token-expired' } }]);
    expect(await refusals({ token })).toEqual([0x86, 'UNAUTHORIZED', 401]);
    expect(staying.ended).toEqual(NONE_ENDED);
    await staying.end();
  });

  it('end when their profile gives them no more time, by whatever they came in', async () => {
    await makeUser('hasty');
    const [byPassword, byToken] = [
      await crowd({ username: 'hasty', password: PASSWORD }),
      await crowd({ token: (await tokenOf('hasty', 60_000)).token }),
    ];
    for (const { ended, told } of [byPassword, byToken]) {
      await until('all have ended', () => JSON.stringify(ended) === JSON.stringify(ALL_ENDED), 4_000 + WITHIN_MS);
      expect(told).toEqual({ mqtt: [0xa0, 'token-expired'], happn: { reason: 'token-expired' } });
    }
  });

  it('D4 are not opened by the tokens from before a new password, nor by the old one', async () => {
    await makeUser('zoe');
    const { token } = await tokenOf('zoe');
    expect(await refusals({ token })).toEqual(['let in', 'let in', 'let in']);
    secrets.push('another password');
    expect((await api.ask('PATCH', '/users/zoe', { password: 'another password' })).status).toBe(200);
    expect(await refusals({ token })).toEqual([0x87, 'UNAUTHORIZED', 403]);
    expect(await refusals({ username: 'zoe', password: 'another password' })).toEqual(['let in', 'let in', 'let in']);
    expect(await refusals({ token: (await tokenOf('zoe')).token })).toEqual(['let in', 'let in', 'let in']);
  });
});

describe('what is no login', () => {
  beforeAll(() => makeUser('fay'));

  it.each<[string, (token: string) => string | Promise<string>]>([
    ['a token without an algorithm', (token) => new UnsecuredJWT(claimsOf(token)).encode()],
    ['a token with a signature of its own', (token) => signed(token, claimsOf(token))],
    [
      'a token for somebody else',
      (token) => token.replace(/\.[^.]+\./, `.${base64url.encode(JSON.stringify({ ...claimsOf(token), sub: '_ADMIN' }))}.`),
    ],
    ['a token with a changed letter', (token) => token.slice(0, -5) + (token.at(-5) === 'A' ? 'B' : 'A') + token.slice(-4)],
    ['a text that is no token', () => 'nonsense'],
  ])('D4 %s is refused by all protocols', async (_name, forge) => {
    const forged = await forge((await tokenOf('fay')).token);
    const [device, haven, page] = await refusals({ token: forged });
    expect([device, haven, page]).toEqual([0x86, 'UNAUTHORIZED', 401]);
  });

  it('of anybody is what everybody may do who shows nothing', async () => {
    expect((await api.ask('PUT', '/users/_ANONYMOUS', { permissions: { '/public/*': { actions: ['get', 'on'] } } })).status).toBe(200);
    const device = await mqtt({});
    await device.subscribeAsync('/public/#', { qos: 0 });
    await expect(device.publishAsync('/public/x', '1', { qos: 1 })).rejects.toMatchObject({ code: 0x87 });
    await device.endAsync();
    const page = await happn.create({ host: '127.0.0.1', port: gateway.ports.happn, secure: true, username: '_ANONYMOUS' });
    await page.disconnect();
  });

  it('is the right password of a locked account', async () => {
    await makeUser('lock');
    for (let i = 0; i < 5; i++) await expect(mqtt({ username: 'lock', password: `wrong ${i}` })).rejects.toMatchObject({ code: 0x86 });
    expect(await refusals({ username: 'lock', password: PASSWORD })).toEqual([0x87, 'UNAUTHORIZED', 403]);
  });
});

describe('a happn connection that does not log in', () => {
  it('is ended like one that asks nothing, and may send as little', async () => {
    await using short = await startGateway({
      flags: ['--secure', '--host', '127.0.0.1', '--happn-first-request-ms', '4000'],
      env: { TRIVIUM_ADMIN_PASSWORD: PASSWORD },
    });
    const open = async (): Promise<WebSocket> => {
      const socket = new WebSocket(`ws://127.0.0.1:${short.ports.happn}/primus`);
      await once(socket, 'open');
      return socket;
    };
    const say = async (socket: WebSocket, frame: object): Promise<string> => {
      socket.send(JSON.stringify(frame));
      return String(((await once(socket, 'message')) as [Buffer])[0]);
    };
    const [silent, loud, known] = [await open(), await open(), await open()];
    const login = { action: 'login', eventId: 1, data: { username: '_ADMIN', password: PASSWORD } };
    expect(await say(known, login)).toContain('"status":"ok"');
    for (const socket of [silent, loud])
      expect(await say(socket, { action: 'describe', eventId: 1, data: null })).toContain('"secure":true');
    const [loudEnds, silentEnds] = [once(loud, 'close'), once(silent, 'close')];
    loud.send(JSON.stringify({ action: 'set', path: '/a', eventId: 2, data: { text: 'x'.repeat(200_000) } }));
    await loudEnds;
    await silentEnds;
    expect(await say(known, { action: 'set', path: '/a', eventId: 2, data: { text: 'x'.repeat(200_000) } })).toContain('"status":"ok"');
    known.close();
  });
});

describe('2,000 connections', () => {
  it('come back by token, a tenth of them at once, with little work', async () => {
    await makeUser('fleet');
    const { token } = await tokenOf('fleet');
    const come = async (password: string, count: number): Promise<number> => {
      const before = await processorMs(gateway);
      const clients = await Promise.all(Array.from({ length: count }, () => mqtt({ username: 'fleet', password, protocolVersion: 4 })));
      const eachMs = ((await processorMs(gateway)) - before) / count;
      await Promise.all(clients.map((client) => client.endAsync(true)));
      return eachMs;
    };
    const [byPassword, byToken] = [await come(PASSWORD, 10), await come(token, 200)];
    console.log(`MQTT clients came back for ${byToken.toFixed(1)} ms of processor time each, by password for ${byPassword.toFixed(1)} ms`);
    expect(byToken).toBeLessThan(byPassword / 5);
  });
});

describe('what the gateway writes', () => {
  it('D5 holds no password and no token', async () => {
    const metrics = await (await fetch(`http://127.0.0.1:${gateway.ports.admin}/metrics`)).text();
    const audit = JSON.stringify((await api.ask('GET', '/audit?limit=1000')).body);
    const written = [gateway.stdout, gateway.stderr, metrics, audit].join('\n');
    expect(written).toContain('login');
    for (const secret of secrets) expect(written.includes(secret), secret.slice(0, 8)).toBe(false);
  });
});

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(base64url.decode(token.split('.')[1] as string))) as Record<string, unknown>;
}

async function signed(token: string, claims: object): Promise<string> {
  const header = JSON.parse(new TextDecoder().decode(base64url.decode(token.split('.')[0] as string))) as { alg: string };
  return await new CompactSign(new TextEncoder().encode(JSON.stringify(claims))).setProtectedHeader(header).sign(new Uint8Array(32));
}
