// What is loaded when: libraries that a command or a gateway does not need are not loaded for it, because loading is most of what a
// start costs. Which scripts a process has loaded is what the runtime's own coverage says of it.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CliProcess, startGateway, temporaryDirectory } from './support/gateway-process.js';

/** Packages that stand for what is large and rarely needed. */
const RARELY_NEEDED = ['@hono/node-server', '@opentelemetry/api', 'hono', 'jose', 'mqtt', 'prom-client', 'selfsigned', 'yaml'];

interface Loaded {
  readonly packages: readonly string[];
  /** Folders and files of dist itself. */
  readonly parts: ReadonlySet<string>;
}

/** Of the processes that wrote their coverage there. */
function loadedIn(directory: string): Loaded {
  const packages = new Set<string>();
  const parts = new Set<string>();
  for (const file of readdirSync(directory)) {
    const { result } = JSON.parse(readFileSync(join(directory, file), 'utf8')) as { result: { url: string }[] };
    for (const { url } of result) {
      const name = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
      const part = /.*\/dist\/([^/]+)/.exec(url)?.[1];
      if (name !== undefined) packages.add(name);
      else if (part !== undefined) parts.add(part);
    }
  }
  return { packages: [...packages].sort(), parts };
}

async function loadedBy(args: readonly string[]): Promise<Loaded> {
  const directory = temporaryDirectory();
  const command = new CliProcess(args, { env: { NODE_V8_COVERAGE: directory } });
  await command.exited;
  return loadedIn(directory);
}

describe('a command loads', () => {
  it.each([[['--version']], [['help']], [['user', 'list', '--admin-url', 'http://127.0.0.1:1']]])(
    'the command line alone: %j',
    async (args) => {
      const { packages, parts } = await loadedBy(args);
      expect(packages).toEqual(['commander']);
      expect(parts).toContain('cli');
      expect([...parts]).not.toContain('config');
      expect([...parts]).not.toContain('adapters');
    },
  );

  it('the client of Haven, when it speaks Haven', async () => {
    const { packages, parts } = await loadedBy(['haven', '--port', '1', 'read', '/a']);
    expect(packages.filter((name) => !name.includes('msgpackr') && !/^(detect-libc|node-gyp-build.*)$/.test(name))).toEqual(['commander']);
    expect(parts).toContain('haven-client');
    expect([...parts]).not.toContain('config');
    expect([...parts]).not.toContain('adapters');
  });

  it('the schema, but no gateway, when it shows the configuration', async () => {
    const { packages, parts } = await loadedBy(['help', 'serve']);
    expect(packages).toContain('zod');
    expect([...parts]).not.toContain('adapters');
  });
});

describe('a gateway loads', () => {
  it('what it needs, when nothing more is configured and nobody asks it', async () => {
    const directory = temporaryDirectory();
    const gateway = await startGateway({ env: { NODE_V8_COVERAGE: directory } });
    await gateway.stop();
    const { packages, parts } = loadedIn(directory);
    expect(packages).toContain('aedes');
    expect(packages.filter((name) => RARELY_NEEDED.includes(name))).toEqual([]);
    expect([...parts]).not.toContain('doctor');
  });

  it('the rest when it is needed', async () => {
    const directory = temporaryDirectory();
    const file = join(directory, 'trivium.yaml');
    const bridge = '{name: other, url: "mqtt://127.0.0.1:1", rules: [{direction: in, filter: a}]}';
    writeFileSync(file, `bridges: [${bridge}]\nsecure: true\ntls: {enabled: true}\n`);
    const coverage = join(directory, 'coverage');
    const gateway = await startGateway({ flags: ['--config', file], env: { NODE_V8_COVERAGE: coverage } });
    const admin = `http://127.0.0.1:${gateway.ports.admin}`;
    expect((await fetch(`${admin}/metrics`)).status).toBe(200);
    expect((await fetch(`${admin}/api/v1/users`)).status).toBe(401);
    await gateway.stop();
    expect(loadedIn(coverage).packages.filter((name) => RARELY_NEEDED.includes(name))).toEqual(RARELY_NEEDED);
  });
});
