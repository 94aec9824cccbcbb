// The doctor names what is unsafe or broken, and says nothing bad of what is fine.

import { once } from 'node:events';
import { chmodSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig, parseFile } from '../src/config/index.js';
import { examine, type Finding, findingsText } from '../src/doctor/doctor.js';
import { makeSelfSigned } from '../src/tls/self-signed.js';
import { CliProcess, freePort, startGateway, temporaryDirectory } from './support/gateway-process.js';

const FREE = { 'happn.port': '0', 'mqtt.port': '0', 'haven.port': '0', 'admin.port': '0' };

async function findings(flags: Readonly<Record<string, string>>, now?: number): Promise<Finding[]> {
  const all = { ...FREE, 'data.dir': join(temporaryDirectory(), 'data'), ...flags };
  return await examine(loadConfig({ flags: new Map(Object.entries(all)) }), now);
}

/** The sentences of one level, about one part where it is named. */
async function said(level: Finding['level'], flags: Readonly<Record<string, string>>, about?: string, now?: number): Promise<string[]> {
  const found = await findings(flags, now);
  return found.filter((one) => one.level === level && (about === undefined || one.about === about)).map(({ text }) => text);
}

function dataDirectory(mode = 0o700): string {
  const directory = join(temporaryDirectory(), 'data');
  mkdirSync(directory);
  chmodSync(directory, mode);
  return directory;
}

describe('settings', () => {
  it('that are safe get nothing bad, and on loopback nothing to think about but _ADMIN', async () => {
    const safe = { secure: 'true', host: '127.0.0.1' };
    expect(await said('bad', safe)).toEqual([]);
    expect(await said('warn', { ...safe, 'security.adminRemote': 'false' }, 'logins')).toEqual([]);
    expect(await said('warn', { ...safe, 'security.adminRemote': 'false' }, 'tls')).toEqual([]);
  });

  it('that let everybody in are bad when others reach them', async () => {
    expect(await said('bad', { host: '0.0.0.0', allowOpen: 'true' }, 'access')).toEqual([
      'nobody has to log in, and other machines can reach 0.0.0.0',
    ]);
    expect(await said('warn', {}, 'access')).toHaveLength(1);
  });

  it.each<[string, Record<string, string>, string]>([
    ['tls', { secure: 'true' }, 'MQTT over TCP is not encrypted'],
    ['tls', { secure: 'true', 'tls.enabled': 'true' }, 'self-signed'],
    ['logins', { secure: 'true', 'security.anonymous': 'true' }, 'clients without credentials'],
    ['logins', { secure: 'true', 'security.tokens.ttlMs': '0' }, 'tokens never expire'],
    ['secrets', { secure: 'true', 'admin.password': 'x' }, 'admin.password is on the command line'],
    ['admin', { secure: 'true', 'admin.host': '10.0.0.1' }, 'other machines can reach the admin listener on 10.0.0.1'],
    ['web', { 'http.origins': '*' }, 'every web page'],
    ['data', { durability: 'none' }, 'acknowledged changes are lost'],
  ])('about %s that are not for production are named: %j', async (about, flags, text) => {
    expect((await said('warn', flags, about)).join('\n')).toContain(text);
  });
});

describe('the data directory', () => {
  it('is fine when it is for its owner alone, or not there yet', async () => {
    expect(await said('ok', {}, 'data')).toEqual([expect.stringContaining('will be created')]);
    expect(await said('ok', { 'data.dir': dataDirectory() }, 'data')).toEqual([expect.stringContaining('only its owner can read')]);
  });

  it('that others can look into is named, and is bad when they can read keys', async () => {
    const directory = dataDirectory(0o755);
    expect(await said('warn', { 'data.dir': directory }, 'data')).toEqual([expect.stringContaining('can look into')]);
    const keys = join(directory, 'token-keys.json');
    writeFileSync(keys, '{}', { mode: 0o600 });
    expect(await said('bad', { 'data.dir': directory }, 'data')).toEqual([]);
    chmodSync(keys, 0o644);
    expect(await said('bad', { 'data.dir': directory }, 'data')).toEqual([`other users of this machine can read ${keys}`]);
  });

  it('that is a file is bad', async () => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    expect(await said('bad', { 'data.dir': file }, 'data')).toEqual([`${file} cannot be used: it is a file`]);
  });

  it('that is not there is bad where none can be made', async () => {
    const directory = temporaryDirectory();
    chmodSync(directory, 0o555);
    const found = (await findings({ 'data.dir': join(directory, 'a', 'b') })).filter(({ about }) => about === 'data');
    // Modes bind everybody but root.
    const text = process.getuid?.() === 0 ? /will be created/ : /cannot be created: permission denied/;
    expect(found.map((one) => one.text)).toEqual([expect.stringMatching(text)]);
  });
});

describe('a file of the configuration', () => {
  it('that holds secrets and that others can read is named', async () => {
    const file = join(temporaryDirectory(), 'trivium.yaml');
    const look = async (text: string, mode: number): Promise<string[]> => {
      writeFileSync(file, text);
      chmodSync(file, mode);
      const flags = new Map(Object.entries({ ...FREE, 'data.dir': dataDirectory() }));
      const found = await examine(loadConfig({ flags, file: await parseFile(file, text) }));
      return found.filter(({ about }) => about === 'secrets').map(({ text: said }) => said);
    };
    const secret = 'security: {users: [{name: a, password: b}]}';
    expect(await look(secret, 0o644)).toEqual([`other users of this machine can read ${file}, which holds secrets`]);
    expect(await look(secret, 0o600)).toEqual([]);
    expect(await look('mqtt: {mountPoint: a/}', 0o644)).toEqual([]);
  });
});

describe('the machine', () => {
  it('has so much room, also for a directory that is still to be made', async () => {
    for (const flags of [{}, { 'data.dir': dataDirectory() }]) {
      const found = (await findings(flags)).filter(({ about }) => about === 'disk');
      expect(found.map(({ text }) => text)).toEqual([expect.stringMatching(/^\d+ MiB are free for /)]);
    }
  });

  it('with a port in use is named; the gateway of the same data directory may use it', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    expect(await said('bad', { 'mqtt.port': String(port) }, 'ports')).toEqual([
      `mqtt.port: port ${port} on 127.0.0.1 is in use by another program`,
    ]);
    server.close();
    await using gateway = await startGateway();
    const flags = { 'mqtt.port': String(gateway.ports.mqtt), 'admin.port': String(gateway.ports.admin) };
    expect(await said('bad', { ...flags, 'data.dir': gateway.dataDir })).toEqual([]);
    expect(await said('bad', flags, 'ports')).toHaveLength(2);
  });

  it('without the address of a listener is bad, said once', async () => {
    const flags = { host: '192.0.2.1', allowOpen: 'true' };
    expect(await said('bad', flags, 'ports')).toEqual(['host: 192.0.2.1 is not an address of this machine']);
  });

  it('with a clock that is behind is bad', async () => {
    expect(await said('bad', {}, 'clock', 0)).toEqual([expect.stringContaining('1970-01-01')]);
    const directory = dataDirectory();
    mkdirSync(join(directory, 'store'));
    writeFileSync(join(directory, 'store', 'LOG'), '');
    expect(await said('bad', { 'data.dir': directory }, 'clock')).toEqual([]);
    const later = Date.now() / 1_000 + 3_600;
    utimesSync(join(directory, 'store', 'LOG'), later, later);
    expect(await said('bad', { 'data.dir': directory }, 'clock')).toEqual([expect.stringContaining('the store was changed after that')]);
  });

  it('with a certificate that is over, ends soon or cannot be read is named', async () => {
    const file = join(temporaryDirectory(), 'tls.pem');
    const flags = { 'tls.enabled': 'true', 'tls.certFile': file, 'tls.keyFile': file };
    expect((await said('bad', flags, 'certificate')).join()).toContain('no such file');
    const now = Date.now();
    writeFileSync(file, await makeSelfSigned({ hosts: ['localhost'], addresses: [] }, now));
    expect(await said('bad', flags, 'certificate')).toEqual([]);
    const until = /until (\S+)/.exec((await said('ok', flags, 'certificate')).join())?.[1] as string;
    expect(await said('warn', flags, 'certificate', Date.parse(until) - 7 * 86_400_000)).toHaveLength(1);
    expect((await said('bad', flags, 'certificate', Date.parse(until) + 2 * 86_400_000)).join()).toContain('expired');
  });

  it('with few file handles is named', async () => {
    const ended = new CliProcess(
      ['doctor', '--data-dir', dataDirectory(), ...Object.keys(FREE).flatMap((key) => [`--${key.replace('.', '-')}`, '0'])],
      { handles: 200 },
    );
    await ended.exited;
    expect(ended.stdout).toMatch(/^warn {2}handles {6}200 file handles/m);
  });
});

describe('the command', () => {
  it('ends with 1 when something is bad, as text and as JSON', async () => {
    const port = await freePort();
    const flags = [
      '--data-dir',
      dataDirectory(),
      '--happn-port',
      String(port),
      '--mqtt-port',
      '0',
      '--haven-port',
      '0',
      '--admin-port',
      '0',
    ];
    const server = createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const [text, json] = [new CliProcess(['doctor', ...flags]), new CliProcess(['doctor', '--json', ...flags])];
    expect([await text.exited, await json.exited]).toMatchObject([{ code: 1 }, { code: 1 }]);
    server.close();
    expect(text.stdout).toMatch(/^bad {3}ports {8}happn\.port: port \d+ on 127\.0\.0\.1 is in use/);
    expect(text.stdout).toMatch(/\n1 bad, \d+ warn, \d+ ok\n$/);
    expect(JSON.parse(json.stdout)).toContainEqual(expect.objectContaining({ level: 'bad', about: 'ports', advice: expect.any(String) }));
  });

  it('shows what to do below what is not fine', () => {
    const found: Finding[] = [{ level: 'bad', about: 'disk', text: 'it is full', advice: 'make room' }];
    expect(findingsText(found)).toBe('bad   disk         it is full\n                   -> make room\n\n1 bad, 0 warn, 0 ok\n');
  });
});
