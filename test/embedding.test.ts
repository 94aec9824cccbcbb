// The gateway inside another program: createGateway, several at once, and an import that does nothing.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { describe, expect, it } from 'vitest';
import { ConfigError, type ConfigInput, createGateway, StartError } from '../src/index.js';
import { temporaryDirectory } from './support/gateway-process.js';
import { keptLog } from './support/silent-log.js';

function input(dir = temporaryDirectory()): ConfigInput {
  return { happn: { port: 0 }, mqtt: { port: 0 }, haven: { port: 0 }, admin: { port: 0 }, data: { dir } };
}

describe('createGateway', () => {
  it('runs several gateways in one process, apart from each other', async () => {
    const log = keptLog();
    const gateways = [createGateway(input(), { log }), createGateway(input(), { log })];
    const retained: string[] = [];
    for (const [i, gateway] of gateways.entries()) {
      const listeners = await gateway.start();
      expect([...listeners.keys()].sort()).toEqual(['admin', 'happn', 'haven', 'mqtt']);
      const client = await connectAsync(`mqtt://127.0.0.1:${listeners.get('mqtt')?.port}`);
      client.on('message', (_topic, payload) => void retained.push(String(payload)));
      await client.publishAsync('which', String(i), { qos: 1, retain: true });
      await client.subscribeAsync('which', { qos: 1 });
      await client.endAsync();
    }
    expect(retained).toEqual(['0', '1']);
    await Promise.all(gateways.map((gateway) => gateway.stop()));
    for (const gateway of gateways) expect(gateway.listeners.size).toBe(0);
    expect(log.lines.filter((line) => line.level === 'error' || line.level === 'warn')).toEqual([]);
  });

  it('refuses a wrong configuration at once', () => {
    expect(() => createGateway({ mqtt: { port: -1 } })).toThrow(ConfigError);
    expect(() => createGateway({ mqt: {} } as never)).toThrow('unknown key');
    expect(() => createGateway({}, { onAdminPasword: () => {} } as never)).toThrow('unknown option onAdminPasword');
    expect(() => createGateway({}, { happn: { inboundLayer: [] } } as never)).toThrow('unknown option happn.inboundLayer');
    expect(() => createGateway({}, { happn: { inboundLayers: [null] } } as never)).toThrow(
      'happn.inboundLayers: it must be a list of functions',
    );
    expect(() => createGateway({}, { happn: undefined, log: null } as never)).toThrow(ConfigError);
  });

  it('leaves nothing open when it cannot start', async () => {
    const log = keptLog();
    const first = createGateway(input(), { log });
    const port = (await first.start()).get('haven')?.port as number;
    const dir = temporaryDirectory();
    const second = createGateway({ ...input(dir), haven: { port } }, { log });
    await expect(second.start()).rejects.toThrow(StartError);
    await second.stop();
    const third = createGateway(input(dir), { log });
    await third.start();
    await Promise.all([first.stop(), third.stop()]);
  });

  it('may be stopped without having been started', async () => {
    await createGateway(input()).stop();
  });
});

describe('importing the package', () => {
  it('prints nothing, opens nothing, changes no global, and lets the process end', () => {
    const index = new URL('../dist/index.js', import.meta.url).href;
    // The schema library keeps a registry of its own there; nothing else appears, nothing is replaced.
    const code = `
      const all = () => new Map([globalThis, Reflect, process].flatMap((o) => Reflect.ownKeys(o).map((k) => [k, Reflect.getOwnPropertyDescriptor(o, k).value])));
      const before = all();
      const { createGateway } = await import(${JSON.stringify(index)});
      createGateway();
      for (const [key, value] of all()) {
        if (!String(key).startsWith('__zod') && !Object.is(before.get(key), value)) throw new Error('changed: ' + String(key));
      }`;
    const cwd = temporaryDirectory();
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', code], { cwd, encoding: 'utf8', timeout: 20_000 });
    expect({ status: done.status, stdout: done.stdout, stderr: done.stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readdirSync(cwd)).toEqual([]);
  });

  it('comes with types', () => {
    const root = fileURLToPath(new URL('..', import.meta.url));
    expect(readdirSync(`${root}/dist`)).toContain('index.d.ts');
  });
});
