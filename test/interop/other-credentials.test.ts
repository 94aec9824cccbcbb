// A secure gateway takes the word of others for who a client is: of those who vouch for its certificate, and of a provider of tokens.

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { connect, connectAsync, type IClientOptions } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MadePem, makeAuthority, makeClientPem } from '../support/certificates.js';
import { freePort, type GatewayProcess, startGateway, temporaryDirectory } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';

const permissions = { '/own/{{user.username}}/*': { actions: ['*'] } };
const USERS = [
  { name: 'meter', permissions },
  { name: 'alice', permissions },
];

let gateway: GatewayProcess;
let keys: Server;
let authority: MadePem;
let sign: (claims: object) => Promise<string>;

beforeAll(async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }] });
  keys = createServer((_request, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(jwks));
  keys.listen(0, '127.0.0.1');
  await once(keys, 'listening');
  const provider = {
    name: 'company',
    issuer: 'https://login.example',
    audience: 'trivium',
    jwksUrl: `http://127.0.0.1:${(keys.address() as AddressInfo).port}/`,
  };
  sign = (claims) =>
    new SignJWT({ iss: provider.issuer, aud: provider.audience, exp: Date.now() / 1_000 + 600, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k' })
      .sign(privateKey);
  authority = await makeAuthority('who makes meters');
  const caFile = join(temporaryDirectory(), 'ca.pem');
  writeFileSync(caFile, authority.cert);
  const tls = [
    '--mqtt-tls-port',
    String(await freePort()),
    '--mqtt-tls-client-certificates',
    'optional',
    '--mqtt-tls-client-ca-file',
    caFile,
  ];
  gateway = await startGateway({
    cheapPasswords: true,
    flags: [
      '--secure',
      '--host',
      '127.0.0.1',
      ...tls,
      '--mqtt-tls-user-from',
      'commonName',
      '--security-users',
      JSON.stringify(USERS),
      '--security-providers',
      JSON.stringify([provider]),
    ],
    env: { TRIVIUM_ADMIN_PASSWORD: 'x' },
  });
});

afterAll(async () => {
  await gateway.stop();
  keys.close();
});

async function refusal(url: string, options: IClientOptions): Promise<number> {
  return await new Promise((resolve, reject) => {
    const client = connect(url, { protocolVersion: 5, reconnectPeriod: 0, ...options });
    client.on('connect', () => reject(new Error('it was let in')));
    client.on('error', (error) => resolve((error as { code?: number }).code as number));
  });
}

describe('a certificate', () => {
  const url = (): string => `mqtts://127.0.0.1:${gateway.ports.mqttTls}`;
  const tls = async (name: string): Promise<IClientOptions> => ({ ...(await makeClientPem(authority, [name])), rejectUnauthorized: false });

  it('D14 says which user an MQTT client is, with the rights of that user', async () => {
    const client = await connectAsync(url(), { protocolVersion: 5, ...(await tls('meter')) });
    await client.publishAsync('/own/meter/kwh', '1', { qos: 1 });
    await expect(client.publishAsync('/own/alice/kwh', '1', { qos: 1 })).rejects.toMatchObject({ code: 0x87 });
    await client.endAsync();
  });

  it('of nobody here is refused, and so is none, and another name beside it', async () => {
    expect(await refusal(url(), await tls('stranger'))).toBe(0x86);
    expect(await refusal(url(), { rejectUnauthorized: false })).toBe(0x86);
    expect(await refusal(url(), { ...(await tls('meter')), username: 'alice' })).toBe(0x86);
  });
});

describe('a token of a provider', () => {
  const url = (): string => `mqtt://127.0.0.1:${gateway.ports.mqtt}`;

  it('says which user an MQTT or Haven client is, with the rights of that user', async () => {
    const token = await sign({ sub: 'alice' });
    const device = await connectAsync(url(), { protocolVersion: 5, username: 'alice', password: token });
    await device.publishAsync('/own/alice/x', '1', { qos: 1, retain: true });
    await expect(device.publishAsync('/own/meter/x', '1', { qos: 1 })).rejects.toMatchObject({ code: 0x87 });
    const haven = await HavenClient.connect(gateway.ports.haven, { connect: { credentials: { token } } });
    expect((await haven.read('/own/alice/x')).value).toBe(1);
    await haven.close();
    await device.endAsync();
  });

  it('for another audience, of nobody here, or that is over is refused', async () => {
    for (const claims of [{ sub: 'alice', aud: 'shop' }, { sub: 'stranger' }, { sub: 'alice', exp: Date.now() / 1_000 - 120 }]) {
      expect(await refusal(url(), { username: '', password: await sign(claims) })).toBe(0x86);
    }
  });
});
