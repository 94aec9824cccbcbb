// The first secure start: a password for _ADMIN that somebody gave, or that is shown once; none is built in. Later starts change nothing.

import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { createGateway } from '../src/index.js';
import {
  CliProcess,
  freePort,
  type GatewayProcess,
  type StartOptions,
  startGateway,
  temporaryDirectory,
} from './support/gateway-process.js';

const gateways: GatewayProcess[] = [];

async function start(options: StartOptions): Promise<GatewayProcess> {
  const flags = ['--secure', '--host', '127.0.0.1', ...(options.flags ?? [])];
  const gateway = await startGateway({ ...options, flags });
  gateways.push(gateway);
  return gateway;
}

afterEach(async () => {
  await Promise.all(gateways.splice(0).map((gateway) => gateway.stop()));
});

async function canLogIn({ ports }: { readonly ports: { readonly mqtt: number } }, password: string): Promise<boolean> {
  try {
    const client = await connectAsync(`mqtt://127.0.0.1:${ports.mqtt}`, { username: '_ADMIN', password, reconnectPeriod: 0 }, false);
    await client.endAsync();
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 4 });
    return false;
  }
}

describe('the password of _ADMIN', () => {
  it('D1 is made when none is given, shown once, and good from then on', async () => {
    const gateway = await start({ flags: ['--log-format', 'json'] });
    const password = /^The password of _ADMIN is (\S{24})$/m.exec(gateway.stdout)?.[1] as string;
    expect(gateway.stdout.split(password)).toHaveLength(2);
    expect(gateway.stderr).not.toContain(password);
    expect(await canLogIn(gateway, password)).toBe(true);
    for (const other of ['happn', '', '_ADMIN', 'admin']) expect(await canLogIn(gateway, other)).toBe(false);
    await gateway.restart();
    expect(gateway.stdout).not.toContain('The password');
    expect(await canLogIn(gateway, password)).toBe(true);
    for (const file of ['', 'token-keys.json']) expect(statSync(join(gateway.dataDir, file)).mode & 0o077).toBe(0);
  });

  it('is the one of the variable, and what is given later does not change it', async () => {
    const env = { TRIVIUM_ADMIN_PASSWORD: 'from the variable' };
    const gateway = await start({ env });
    expect(gateway.stdout + gateway.stderr).not.toContain('from the variable');
    expect(gateway.stdout).not.toContain('The password');
    expect(await canLogIn(gateway, 'from the variable')).toBe(true);
    await gateway.stop();
    const again = await start({ dataDir: gateway.dataDir, flags: ['--admin-password', 'another'] });
    expect(await canLogIn(again, 'another')).toBe(false);
    expect(await canLogIn(again, 'from the variable')).toBe(true);
  });

  it('is the one of the file, without the end of its line', async () => {
    const file = join(temporaryDirectory(), 'password');
    writeFileSync(file, 'from the file\n');
    const gateway = await start({ flags: ['--admin-password-file', file] });
    expect(await canLogIn(gateway, 'from the file')).toBe(true);
  });

  it.each([
    ['/nowhere/password', 'admin.passwordFile: cannot read /nowhere/password: no such file or directory'],
    ['empty', /^admin\.passwordFile: .*empty: the password must be a text of 1 to 1024 bytes$/],
  ])('in a file that cannot be used (%s) stops the start', async (name, expected) => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'empty'), '\n');
    const file = name.startsWith('/') ? name : join(directory, name);
    const ports = ['--happn-port', '0', '--mqtt-port', '0', '--haven-port', '0', '--admin-port', '0'];
    const process = new CliProcess([
      'serve',
      '--secure',
      '--data-dir',
      join(directory, 'data'),
      ...ports,
      '--admin-password-file',
      file,
      '--log-level',
      'silent',
    ]);
    expect(await process.exited).toMatchObject({ code: 1 });
    const line = process.stderr.replace(/^trivium: /, '').trimEnd();
    if (typeof expected === 'string') expect(line).toBe(expected);
    else expect(line).toMatch(expected);
  });
});

describe('a secure start', () => {
  it('opens the protocols to other machines, and the administration to this one', async () => {
    const gateway = await startGateway({ flags: ['--secure', '--admin-password', 'x'] });
    gateways.push(gateway);
    const shown = new CliProcess(['config', '--secure', '--json']);
    await shown.exited;
    const config = JSON.parse(shown.stdout) as Record<string, { value: unknown; origin: string }>;
    expect(config['host']).toEqual({ value: '0.0.0.0', origin: 'default with secure' });
    expect(config['admin.host']).toEqual({ value: '127.0.0.1', origin: 'default' });
    expect(gateway.stdout).toContain('Everybody has to log in');
    expect((await fetch(`http://127.0.0.1:${gateway.ports.admin}/health`)).status).toBe(200);
  });

  it('of a program needs a password, or somebody who is told it', async () => {
    const directory = join(temporaryDirectory(), 'data');
    mkdirSync(directory);
    const [happn, mqtt, haven, admin] = [await freePort(), await freePort(), await freePort(), await freePort()];
    const input = {
      secure: true,
      host: '127.0.0.1',
      data: { dir: directory },
      happn: { port: happn },
      mqtt: { port: mqtt },
      haven: { port: haven },
      admin: { port: admin },
    };
    const quiet = { ...input, log: { level: 'silent' } } as const;
    expect(() => createGateway(quiet)).toThrow(/^admin\.password: nobody would learn/);
    const told: string[] = [];
    const gateway = createGateway(quiet, { onAdminPassword: (password) => told.push(password) });
    await gateway.start();
    try {
      expect(told).toHaveLength(1);
      const client = await gateway.localClient({ username: '_ADMIN', password: told[0] as string });
      await client.set('/a', { b: 1 });
      await expect(gateway.localClient({ username: '_ADMIN', password: 'happn' })).rejects.toThrow('Invalid credentials');
    } finally {
      await gateway.stop();
    }
  });
});
