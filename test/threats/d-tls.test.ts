// The handshake table: who gets in over which version of TLS and with which certificate, on both ports that speak it.

import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MadePem, makeAuthority, makeClientPem, makePem } from '../support/certificates.js';
import { CliProcess, type GatewayProcess, startGateway, temporaryDirectory, until } from '../support/gateway-process.js';
import { encode } from '../support/mqtt-wire.js';

const OLD = { ciphers: 'DEFAULT@SECLEVEL=0' };
const CONNECT = encode({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'x', keepalive: 0 }, 4);

let gateway: GatewayProcess;
let own: MadePem;
let directory: string;
const clients = new Map<string, MadePem>();

const at = (name: string): string => join(directory, name);
function write(name: string, { cert, key }: MadePem): void {
  for (const [file, text] of [
    [`${name}.pem`, cert],
    [`${name}.key`, key],
  ] as const) {
    writeFileSync(at(`${file}.new`), text);
    renameSync(at(`${file}.new`), at(file));
  }
}

beforeAll(async () => {
  directory = temporaryDirectory();
  const [authority, others] = await Promise.all([makeAuthority('us'), makeAuthority('them')]);
  own = await makePem();
  clients.set('ours', await makeClientPem(authority, ['alice']));
  clients.set('expired', await makeClientPem(authority, ['alice'], -1));
  clients.set('of others', await makeClientPem(others, ['alice']));
  clients.set('its own', await makePem());
  write('own', own);
  write('authority', authority);
  gateway = await startGateway({
    flags: [
      ...['--tls-enabled', '--tls-cert-file', at('own.pem'), '--tls-key-file', at('own.key'), '--tls-check-ms', '100'],
      ...['--mqtt-tls-port', '0', '--mqtt-tls-client-ca-file', at('authority.pem'), '--mqtt-tls-client-certificates', 'required'],
    ],
  });
});
afterAll(async () => void (await gateway.stop()));

/** What a peer gets that shows this: `in`, once the gateway has answered it inside, or `out`. */
async function handshake(port: 'happn' | 'mqttTls', options: ConnectionOptions): Promise<string> {
  const socket = connect({
    host: '127.0.0.1',
    port: gateway.ports[port] as number,
    ca: own.cert,
    checkServerIdentity: () => undefined,
    ...options,
  });
  try {
    await once(socket, 'secureConnect');
    socket.write(port === 'happn' ? 'GET /ping HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' : CONNECT);
    // With TLS 1.3 a certificate is refused behind the handshake of the client.
    const answered = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => null)]);
    return answered === null ? 'out' : `in by ${socket.getProtocol()}`;
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toMatch(/^(ERR_SSL|ECONNRESET|EPIPE|ERR_STREAM)/);
    return 'out';
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}

const OURS = (): ConnectionOptions => clients.get('ours') as MadePem;

describe('D14 versions', () => {
  it.each([
    ['TLSv1', 'out'],
    ['TLSv1.1', 'out'],
    ['TLSv1.2', 'in by TLSv1.2'],
    ['TLSv1.3', 'in by TLSv1.3'],
  ] as const)('%s: %s', async (version, expected) => {
    const options: ConnectionOptions = { minVersion: version, maxVersion: version, ...(expected === 'out' ? OLD : {}) };
    expect([await handshake('happn', options), await handshake('mqttTls', { ...OURS(), ...options })]).toEqual([expected, expected]);
  });

  it.each(['NULL-SHA256', 'aNULL', 'RC4-SHA', 'DES-CBC3-SHA'])('no cipher such as %s', async (ciphers) => {
    const options: ConnectionOptions = { maxVersion: 'TLSv1.2', ciphers: `${ciphers}:@SECLEVEL=0` };
    const result = await handshake('happn', options).catch((error: Error & { code?: string }) => error.code);
    expect(['out', 'ERR_SSL_NO_CIPHER_MATCH', 'ERR_SSL_NO_CIPHERS_AVAILABLE']).toContain(result);
  });
});

describe('D14 certificates of clients', () => {
  it.each([
    ['ours', 'in'],
    ['expired', 'out'],
    ['of others', 'out'],
    ['its own', 'out'],
    ['none', 'out'],
  ])('%s: %s', async (name, expected) => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const options = { ...(clients.get(name) ?? {}), minVersion: version, maxVersion: version };
      expect((await handshake('mqttTls', options)).slice(0, expected.length), version).toBe(expected);
    }
  });
});

it('D14 a certificate that ends is no reason to start with, and one that follows drops nobody', async () => {
  const expired = await makePem(Date.now() - 3_000 * 86_400_000);
  write('expired', expired);
  const cli = new CliProcess([
    ...['serve', '--data-dir', temporaryDirectory(), '--tls-enabled'],
    ...['--tls-cert-file', at('expired.pem'), '--tls-key-file', at('expired.key')],
  ]);
  expect((await cli.exited).code).toBe(2);
  expect(cli.stderr).toMatch(/expired/);

  const open = (): TLSSocket => connect({ host: '127.0.0.1', port: gateway.ports.mqttTls as number, rejectUnauthorized: false, ...OURS() });
  const first = open();
  await once(first, 'secureConnect');
  first.write(CONNECT);
  await once(first, 'data');
  // What cannot be used leaves what is used in its place.
  write('own', expired);
  await until('it is told', () => gateway.stderr.includes('expired'));
  expect(await handshake('happn', {})).toMatch(/^in/);
  const next = await makePem();
  write('own', next);
  await until('the next one is in use', async () => (await handshake('happn', { ca: next.cert }).catch(() => 'out')).startsWith('in'));
  first.write(encode({ cmd: 'pingreq' }, 4));
  expect(((await once(first, 'data')) as [Buffer])[0][0]).toBe(0xd0);
  first.destroy();
}, 60_000);
