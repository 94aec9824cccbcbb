// TLS with real processes and unmodified clients: a certificate of the gateway's own making, certificates from files that change
// while clients are connected, and files that cannot be used.

import { once } from 'node:events';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { createRequire } from 'node:module';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openBrowser, servePages } from '../support/browser.js';
import { type MadePem, makePem } from '../support/certificates.js';
import { CliProcess, type GatewayProcess, startGateway, temporaryDirectory, until } from '../support/gateway-process.js';
import { HavenClient } from '../support/haven-client.js';
import { metric } from '../support/metrics.js';

const ON = ['--tls-enabled', '--tls-check-ms', '100'];
const CLIENTS = fileURLToPath(new URL('../clients/', import.meta.url));
const HAPPN3 = ['happn-3-v3', 'happn-3-v7', 'happn-3-v8', 'happn-3-v10', 'happn-3-v13'];

let gateways: GatewayProcess[] = [];
let one: MadePem;
let two: MadePem;

beforeAll(async () => {
  // As happn clients do it for `allowSelfSignedCerts`, for the whole process.
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  [one, two] = await Promise.all([makePem(), makePem()]);
});

afterEach(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  gateways = [];
});

async function start(flags: readonly string[] = [], more: Parameters<typeof startGateway>[0] = {}): Promise<GatewayProcess> {
  const gateway = await startGateway({ flags: [...ON, ...flags], ...more });
  gateways.push(gateway);
  return gateway;
}

/** The fingerprint of the certificate that a new connection gets. */
async function fingerprint(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port, ...options });
  try {
    await once(socket, 'secureConnect');
    return socket.getPeerCertificate().fingerprint256;
  } finally {
    socket.destroy();
  }
}

// biome-ignore lint/suspicious/noExplicitAny: clients of five generations, none with types
type AnyClient = any;

async function connectHappn(name: string, port: number): Promise<AnyClient> {
  const place = { host: '127.0.0.1', port, protocol: 'https', allowSelfSignedCerts: true };
  const folder = name === 'happn' ? 'happn2' : 'happn3';
  const library = createRequire(`${CLIENTS}${folder}/`)(name) as AnyClient;
  return await new Promise((resolve, reject) => {
    const done = (error: unknown, client: unknown): void => (error ? reject(error) : resolve(client));
    const made = library.client.create({ ...place, config: place }, done) as unknown;
    if (made instanceof Promise) made.catch(reject);
  });
}

function call(client: AnyClient, method: string, ...args: unknown[]): Promise<AnyClient> {
  return new Promise((resolve, reject) => {
    client[method](...args, (error: unknown, result: unknown) => (error ? reject(error) : resolve(result)));
  });
}

describe('a certificate of the gateway itself', () => {
  it('is the same after a restart, and can be trusted by those who have it', async () => {
    const gateway = await start();
    const first = await fingerprint(gateway.ports.happn);
    const ca = readFileSync(join(gateway.dataDir, 'tls.pem'), 'utf8');
    const answer = await new Promise<string>((resolve, reject) => {
      const options = {
        host: 'localhost',
        family: 4,
        port: gateway.ports.happn,
        path: '/ping',
        ca,
        rejectUnauthorized: true,
        agent: false,
      };
      request(options, (response) => {
        response.setEncoding('utf8').on('data', resolve);
      })
        .on('error', reject)
        .end();
    });
    expect(answer).toBe('pong');
    await expect(fingerprint(gateway.ports.happn, { rejectUnauthorized: true })).rejects.toThrow('self-signed certificate');
    await gateway.restart();
    expect(await fingerprint(gateway.ports.happn)).toBe(first);
    expect(gateway.stdout).not.toContain('PRIVATE');
    expect(gateway.stderr).not.toContain('PRIVATE');
  });

  it('is what the banner is about', async () => {
    const gateway = await start(['--log-format', 'text']);
    await until('the banner', () => gateway.stdout.includes('Ctrl-C'));
    expect(gateway.stdout).toContain(`wss://127.0.0.1:${gateway.ports.happn}/mqtt`);
    expect(gateway.stdout).not.toContain('ws://127');
  });
});

describe('over TLS', () => {
  let gateway: GatewayProcess;

  beforeAll(async () => {
    gateway = await startGateway({ flags: ON });
  });
  afterAll(async () => await gateway.stop());

  it.each(['happn', ...HAPPN3])('the client %s works with allowSelfSignedCerts', async (name) => {
    const client = await connectHappn(name, gateway.ports.happn);
    const heard: unknown[] = [];
    await call(client, 'on', '/tls/*', {}, (data: { n: number }) => void heard.push(data.n));
    await call(client, 'set', '/tls/a', { n: 1 }, {});
    await until('the event', () => heard.length === 1);
    expect((await call(client, 'get', '/tls/a', {})).n).toBe(1);
    await call(client, 'disconnect', {});
  });

  it('MQTT and Haven work on the same port', async () => {
    const { happn: port } = gateway.ports;
    const device = await connectAsync(`wss://127.0.0.1:${port}/mqtt`, { rejectUnauthorized: false });
    const heard: string[] = [];
    device.on('message', (topic, payload) => void heard.push(`${topic} ${payload.toString()}`));
    await device.subscribeAsync('tls/#', { qos: 1 });
    const haven = await HavenClient.connect(0, { url: `wss://127.0.0.1:${port}/haven` });
    await haven.request({ action: 'query', type: 'write', path: 'tls/b', value: 7 });
    await until('the device hears Haven', () => heard.length === 1);
    expect(heard).toEqual(['tls/b 7']);
    // Without TLS on their own ports, as before.
    await (await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`)).endAsync();
    await haven.close();
    await device.endAsync();
  });

  it('a page works with the client for browsers', async () => {
    const browser = await openBrowser(['--ignore-certificate-errors']);
    const script = `https://127.0.0.1:${gateway.ports.happn}/browser_client`;
    const pages = await servePages(new Map([['/', `<!doctype html><script src="${script}"></script>`]]));
    try {
      const page = await browser.newPage();
      await page.goto(pages.origin);
      const got = await page.evaluate(`(async () => {
        const client = await HappnClient.create();
        await client.set('/tls/page', { n: 1 });
        const { n } = await client.get('/tls/page');
        await client.disconnect();
        return [client.options.url, n];
      })()`);
      expect(got).toEqual([`https://127.0.0.1:${gateway.ports.happn}`, 1]);
    } finally {
      pages.close();
      await browser.close();
    }
  });

  it('nobody is let in with an old version, without TLS, or slowly; others are served meanwhile', async () => {
    const strict = await start(['--http-header-timeout-ms', '500']);
    const { happn: port } = strict.ports;
    const silent = connectTcp(port, '127.0.0.1');
    const silentClosed = once(silent, 'close');
    await expect(fingerprint(port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })).rejects.toMatchObject({
      code: 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    });
    await expect(fingerprint(port, { maxVersion: 'TLSv1.2' })).resolves.toMatch(/^[0-9A-F:]{95}$/);
    const plain = connectTcp(port, '127.0.0.1');
    let said = '';
    plain.on('error', () => plain.destroy());
    plain.on('data', (part) => {
      said += part.toString('latin1');
    });
    plain.write('GET /ping HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(plain, 'close');
    expect(said).not.toContain('HTTP');
    await silentClosed;
    expect(await metric(strict, 'tls_handshakes_failed_total')).toBe(3);
  });

  it('a stop ends what is open in time', async () => {
    const ending = await start();
    const client = await connectHappn('happn-3-v13', ending.ports.happn);
    const idle = connectTls({ host: '127.0.0.1', port: ending.ports.happn });
    const half = connectTcp(ending.ports.happn, '127.0.0.1');
    for (const socket of [idle, half]) socket.on('error', () => socket.destroy());
    await Promise.all([once(idle, 'secureConnect'), once(half, 'connect')]);
    const begun = performance.now();
    expect(await ending.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(ending.stderr).not.toContain('could not stop');
    await call(client, 'disconnect', {});
  });
});

describe('certificate files', () => {
  function files(pem: Partial<MadePem>): { flags: string[]; replace: (by: MadePem) => void } {
    const directory = temporaryDirectory();
    const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
    if (pem.cert !== undefined) writeFileSync(certFile, pem.cert);
    if (pem.key !== undefined) writeFileSync(keyFile, pem.key);
    const replace = (by: MadePem): void => {
      for (const [file, text] of [
        [certFile, by.cert],
        [keyFile, by.key],
      ] as const) {
        writeFileSync(`${file}.new`, text);
        renameSync(`${file}.new`, file);
      }
    };
    return { flags: ['--tls-cert-file', certFile, '--tls-key-file', keyFile], replace };
  }

  it('D14 that change are taken over, and those who are connected stay', async () => {
    const { flags, replace } = files(one);
    const gateway = await start(flags);
    const { happn: port } = gateway.ports;
    const first = await fingerprint(port);
    const client = await connectHappn('happn-3-v13', port);
    let ended = 0;
    client.onEvent('connection-ended', () => {
      ended += 1;
    });
    const device = await connectAsync(`wss://127.0.0.1:${port}/mqtt`, { rejectUnauthorized: false, reconnectPeriod: 0 });
    const heard: unknown[] = [];
    await call(client, 'on', 'reload/*', {}, (data: { n: number }) => void heard.push(data.n));
    replace(two);
    await until('the other certificate', async () => (await fingerprint(port)) !== first);
    await device.publishAsync('reload/a', '{"n":1}', { qos: 1 });
    await until('the event', () => heard.length === 1);
    expect(ended).toBe(0);
    expect(device.connected).toBe(true);
    expect(gateway.stderr).toContain('TLS certificate in use');
    await device.endAsync();
    await call(client, 'disconnect', {});
  });

  it('that are broken later leave the one before in use, with a line in the log', async () => {
    const { flags, replace } = files(one);
    const gateway = await start(flags);
    const first = await fingerprint(gateway.ports.happn);
    replace({ cert: two.cert, key: one.key });
    await until('the line', () => gateway.stderr.includes('the changed TLS certificate cannot be used; the current one stays'));
    expect(await fingerprint(gateway.ports.happn)).toBe(first);
    expect(await metric(gateway, 'tls_certificates_refused_total')).toBe(1);
    replace(two);
    await until('the good one', async () => (await fingerprint(gateway.ports.happn)) !== first);
  });

  it.each<[string, () => Promise<Partial<MadePem>>, RegExp]>([
    ['are not there', async () => ({}), /^trivium: tls\.certFile: cannot read .*: no such file or directory$/],
    ['do not belong together', async () => ({ ...one, key: two.key }), /^trivium: tls\.keyFile .* does not belong to the certificate/],
    ['are expired', async () => await makePem(Date.now() - 900 * 86_400_000), /^trivium: tls\.certFile .* expired on \d{4}-\d\d-\d\d$/],
  ])('that %s stop the start with one line and exit code 2', async (_what, make, line) => {
    const { flags } = files(await make());
    const ports = ['happn', 'mqtt', 'haven', 'admin'].flatMap((name) => [`--${name}-port`, '0']);
    const cli = new CliProcess(['serve', '--data-dir', temporaryDirectory(), ...ports, ...ON, ...flags]);
    expect(await cli.exited).toEqual({ code: 2, signal: null });
    expect(cli.stderr.trimEnd()).toMatch(line);
  });

  it('may be texts of the environment, and stay secret', async () => {
    const env = { TRIVIUM_TLS_CERT: one.cert, TRIVIUM_TLS_KEY: one.key };
    const gateway = await start([], { flags: ON, env });
    expect(await fingerprint(gateway.ports.happn)).toMatch(/^[0-9A-F:]{95}$/);
    const cli = new CliProcess(['config', '--tls-enabled'], { env });
    await cli.exited;
    expect(cli.stdout).toMatch(/^tls\.key +set +environment TRIVIUM_TLS_KEY$/m);
    expect(cli.stdout + gateway.stderr).not.toContain('BEGIN');
  });
});
