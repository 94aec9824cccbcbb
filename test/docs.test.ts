// The documents tell the truth: tables come from the schema, every marked snippet of the README is run, links lead somewhere.
// Tables are written anew with: TRIVIUM_TEST_UPDATE=1 npx vitest run test/docs.test.ts

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig, parseFile } from '../src/config/index.js';
import { openBrowser, servePages } from './support/browser.js';
import { CommandHost } from './support/command-host.js';
import { withTables } from './support/config-table.js';
import { cleanEnvironment, type GatewayProcess, startGateway, temporaryDirectory, until } from './support/gateway-process.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const README = read('README.md');

function read(name: string): string {
  return readFileSync(join(ROOT, name), 'utf8');
}

/** The code block behind `<!-- test: name -->`, with the standard ports replaced by those of the gateway. */
function snippet(name: string): string {
  const found = new RegExp(`<!-- test: ${name} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(README)?.[1];
  if (found === undefined) throw new Error(`the README has no snippet ${name}`);
  const { happn, mqtt, haven, admin } = gateway.ports;
  const ports = new Map([
    ['55000', happn],
    ['1883', mqtt],
    ['7854', haven],
    ['55080', admin],
  ]);
  return found.replace(/\b(55000|1883|7854|55080)\b/g, (port) => String(ports.get(port)));
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(command: string, args: readonly string[], cwd = ROOT): Promise<Ended> {
  const child = spawn(command, args, { cwd, env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'], timeout: 100_000 });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

let gateway: GatewayProcess;
let host: CommandHost;

beforeAll(async () => {
  host = new CommandHost();
  gateway = await startGateway();
});

afterAll(async () => {
  host.close();
  await gateway.stop();
});

describe('tables', () => {
  it.each(['README.md', 'docs/configuration.md'])('of %s say what the schema says', (name) => {
    const document = read(name);
    const expected = withTables(document);
    if (process.env['TRIVIUM_TEST_UPDATE'] === '1') writeFileSync(join(ROOT, name), expected);
    else expect(document).toBe(expected);
    expect(expected).toContain('--mqtt-port');
  });
});

describe('the README', () => {
  it('has every marked snippet tested below', () => {
    const marked = [...README.matchAll(/<!-- test: (.+?) -->/g)].map(([, name]) => name);
    expect(marked).toEqual(['listen', 'write', 'happn client', 'web page', 'mqtt client', 'config', 'embed']);
  });

  it('shows first messages that arrive', async () => {
    const [command = '', ...args] = snippet('listen').trim().split(' ');
    const listener = spawn(
      command,
      args.map((arg) => arg.replaceAll("'", '')),
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let heard = '';
    listener.stdout.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
    });
    try {
      await until('somebody listens', async () => {
        const metrics = await (await fetch(`http://127.0.0.1:${gateway.ports.admin}/metrics`)).text();
        return metrics.includes('\ntrivium_subscriptions 1\n');
      });
      const { code, stdout, stderr } = await run('bash', ['-e', '-c', snippet('write')]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      for (const sender of ['mosquitto', 'MQTT', 'happn', 'Haven']) {
        await until(`the word from ${sender}`, () => heard.includes(`/demo/greeting {"text":"hello from ${sender}"}\n`));
      }
      expect(stdout).toContain('heard /demo/greeting: {"text":"hello from mosquitto"}');
      expect(stdout).toMatch(/get +ok: \{"text":"hello from happn"\}/);
      expect(stdout).toMatch(/read +\{"result":true,"value":\{"text":"hello from Haven"\}/);
    } finally {
      listener.kill();
      await once(listener, 'close');
    }
  });

  it('shows a happn client', async () => {
    const clients = join(ROOT, 'test', 'clients', 'happn3');
    const code = snippet('happn client').replace("require('happn-3')", "require('happn-3-v13')");
    const ended = await run(process.execPath, ['-e', code], clients);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout.match(/celsius: 21\.5/g)).toHaveLength(2);
  });

  it('shows a web page', async () => {
    const browser = await openBrowser();
    const pages = await servePages(new Map([['/', `<!doctype html>${snippet('web page')}`]]));
    try {
      const page = await browser.newPage();
      const heard: string[] = [];
      page.on('console', (message) => heard.push(message.text()));
      await page.goto(pages.origin);
      const device = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`);
      await until('the page hears a device', async () => {
        await device.publishAsync('/demo/temperature', '{"celsius":20}', { qos: 1 });
        return heard.some((line) => line.startsWith('/demo/temperature'));
      });
      await device.endAsync();
    } finally {
      pages.close();
      await browser.close();
    }
  });

  it('shows an MQTT client', async () => {
    const ended = await run(process.execPath, ['--input-type=module', '-e', snippet('mqtt client')]);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toContain('/demo/temperature {"celsius":22}\n');
  });

  it('shows how to see the configuration', async () => {
    const command = snippet('config').trim().replace(/^node/, process.execPath);
    const ended = await run('bash', ['-c', command]);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toMatch(/^mqtt\.port +1884 +flag --mqtt-port$/m);
  });

  it('shows how to embed the gateway', async () => {
    const free = "happn: { port: 0 }, haven: { port: 0 }, admin: { port: 0 }, log: { level: 'silent' }, ";
    const code = snippet('embed')
      .replace('./data', temporaryDirectory())
      .replace(/mqtt: \{ port: \d+ \}/, `${free}mqtt: { port: 0 }`);
    const ended = await run(process.execPath, ['--input-type=module', '-e', code]);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout).toMatch(/^MQTT on port \d+\n$/);
  });

  it('and every other page link only to files that exist', () => {
    const pages = ['.', 'docs', 'docs/adr', 'docs/protocols'].flatMap((folder) =>
      existsSync(join(ROOT, folder)) ? readdirSync(join(ROOT, folder)).map((name) => join(folder, name)) : [],
    );
    const broken = pages
      .filter((page) => page.endsWith('.md'))
      .flatMap((page) => [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link]) => [page, link] as const))
      .filter(([page, link]) => !existsSync(join(ROOT, dirname(page), link as string)));
    expect(broken).toEqual([]);
  });
});

describe('the examples', () => {
  it('say in one line why nobody lets them in', async () => {
    await using secure = await startGateway({ flags: ['--secure', '--host', '127.0.0.1', '--admin-password', 'only for this test'] });
    const { happn, mqtt, haven } = secure.ports;
    const example = (name: string, port: number): Promise<Ended> => run(process.execPath, [`examples/${name}.mjs`, `${port}`]);
    const [overHappn, overMqtt, overHaven] = await Promise.all([example('happn', happn), example('mqtt', mqtt), example('haven', haven)]);
    expect(overHappn).toEqual({ code: 1, stdout: '', stderr: 'login  error: Invalid credentials\n' });
    const line = `cannot talk to port ${mqtt}: Connection refused: Bad username or password\n`;
    expect(overMqtt).toEqual({ code: 1, stdout: '', stderr: line });
    expect(overHaven).toMatchObject({ code: 1, stdout: expect.stringMatching(/\nwrite .*"log in first"}}\n$/), stderr: '' });
  });
});

describe('the page on the command line of Haven', () => {
  const page = read('docs/haven-tool.md');

  it('shows commands and scripts, and what they print', async () => {
    await using fresh = await startGateway();
    const tool = `trivium() { shift; ${process.execPath} dist/main.js haven --port ${fresh.ports.haven} "$@"; }`;
    const steady = (text: string): string => text.replaceAll(/\d{13}/g, 'TIME');
    const examples = [...page.matchAll(/<!-- test: (.+?) -->\n```sh\n([\s\S]*?)```\n\n```\n([\s\S]*?)```/g)];
    expect(examples.map(([, name]) => name)).toEqual(['commands', 'script']);
    for (const [, name, commands, output] of examples) {
      const { stdout } = await run('bash', ['-c', `exec 2>&1; ${tool}\n${commands}`]);
      expect(steady(stdout), name).toBe(steady(output as string));
    }
  });

  it('names every command and every option', async () => {
    const { stdout } = await host.run(['haven', '--help']);
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name as string);
    expect(commands).toContain('watch');
    const helps = await Promise.all(commands.map((name) => host.run(['haven', 'help', name])));
    const options = [stdout, ...helps.map((help) => help.stdout)].flatMap((text) => [...text.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)]);
    const words = new Set([...commands, ...options.map(([, option]) => option as string)]);
    expect([...words].filter((word) => !page.includes(word))).toEqual(['--help']);
  });
});

describe('the page on security', () => {
  const page = read('docs/security.md');
  const blocks = new Map(
    [...page.matchAll(/<!-- test: (.+?) -->\n *```\w+\n([\s\S]*?) *```/g)].map(([, name, text]) => [name as string, text as string]),
  );

  it('has every marked snippet tested below', () => {
    expect([...blocks.keys()]).toEqual(['doctor', 'declared', 'profiles', 'providers']);
  });

  it.each(['declared', 'profiles', 'providers'])('shows a configuration of %s that the schema takes', async (name) => {
    const { config } = loadConfig({ file: await parseFile('page', blocks.get(name) as string) });
    expect(JSON.stringify(config.security)).toMatch(/operators|browsers|company/);
  });

  it('shows what is declared, as it works', async () => {
    const directory = temporaryDirectory();
    const password = join(directory, 'admin-password');
    writeFileSync(password, 'only for this test\n');
    const text = (blocks.get('declared') as string).replace('/run/secrets/admin-password', password);
    const file = join(directory, 'trivium.yaml');
    writeFileSync(file, text);
    await using secure = await startGateway({ flags: ['--config', file, '--host', '127.0.0.1'] });
    const meter = await connectAsync(`mqtt://127.0.0.1:${secure.ports.mqtt}`, {
      protocolVersion: 5,
      username: 'meter-7',
      password: 'the secret of this meter',
    });
    await meter.publishAsync('/devices/meter-7/kwh', '12', { qos: 1 });
    await expect(meter.publishAsync('/devices/meter-8/kwh', '12', { qos: 1 })).rejects.toMatchObject({ code: 0x87 });
    await meter.endAsync();
  });

  it('shows the doctor, who finds what the page speaks of', async () => {
    const directory = join(temporaryDirectory(), 'data');
    const command = (blocks.get('doctor') as string)
      .trim()
      .replace('/var/lib/trivium', directory)
      .replace(/^trivium /, 'dist/main.js ');
    const ports = ['happn', 'mqtt', 'haven', 'admin'].flatMap((name) => [`--${name}-port`, '0']);
    const { code, stdout, stderr } = await run(process.execPath, [...command.split(' '), ...ports]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('happn, and websockets of all protocols, are not encrypted');
    expect(stdout).toMatch(/^ok {4}access {7}everybody has to log in$/m);
  });
});

describe('the page on administration', () => {
  const page = read('docs/administration.md');
  const steady = (text: string): string => text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME').replaceAll(/ +$/gm, '');

  it('shows commands and requests, and what they print', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'admin-password'), 'only for this test\n');
    await using secure = await startGateway({
      flags: ['--secure', '--host', '127.0.0.1', '--admin-password-file', join(directory, 'admin-password')],
    });
    const tool = `export TRIVIUM_ADMIN_URL=http://127.0.0.1:${secure.ports.admin}; trivium() { ${process.execPath} ${ROOT}/dist/main.js "$@"; }`;
    const examples = [...page.matchAll(/<!-- test: (.+?) -->\n```sh\n([\s\S]*?)```\n\nprints\n\n```text\n([\s\S]*?)```/g)];
    expect(examples.map(([, name]) => name)).toEqual(['commands', 'rest']);
    for (const [, name, commands = '', output] of examples) {
      const script = `${tool}\n${commands.replace('55080', String(secure.ports.admin))}`;
      const { stdout } = await run('bash', ['-c', script], directory);
      expect(steady(stdout), name).toBe(output);
    }
  });

  it('a login that is refused is told so, and nothing else', async () => {
    await using secure = await startGateway({ flags: ['--secure', '--host', '127.0.0.1', '--admin-password', 'only for this test'] });
    const file = join(temporaryDirectory(), 'wrong');
    writeFileSync(file, 'another\n');
    const url = ['--admin-url', `http://127.0.0.1:${secure.ports.admin}`];
    const ended = await run(process.execPath, ['dist/main.js', 'login', '_ADMIN', '--password-file', file, ...url]);
    expect(ended).toEqual({ code: 1, stdout: '', stderr: 'trivium: Invalid credentials\n' });
  });

  it('names every command and every option', async () => {
    const topics = ['user', 'group', 'lookup', 'session', 'token'];
    const below = await Promise.all(topics.map(async (topic) => (await commandsOf(topic)).map((name) => [topic, name])));
    const groups = [['login'], ['explain'], ['audit'], ...below.flat()];
    const helps = await Promise.all(groups.map((words) => host.run([...words, '--help'])));
    const options = new Set(
      helps.flatMap(({ stdout }) => [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, option]) => option)),
    );
    expect([...options].filter((option) => !page.includes(`${option}`))).toEqual(['--help']);
    for (const [topic, name = ''] of groups) expect(page).toContain(`\`${topic} ${name}`.trimEnd());
  });

  async function commandsOf(topic: string): Promise<string[]> {
    const { stdout } = await host.run([topic, '--help']);
    return [...stdout.matchAll(/^ {2}([a-z-]+) /gm)].map(([, name]) => name as string).filter((name) => name !== 'help');
  }
});

describe('the page on the data directory', () => {
  const page = read('docs/data-directory.md');
  const directory = temporaryDirectory();
  const [data, backup] = [join(directory, 'data'), join(directory, 'backup')];
  const filesOf = (folder: string): string[] => readdirSync(folder, { recursive: true }).map(String).sort();

  /** With a command `trivium`, and paths of its own. */
  async function runSnippet(name: string): Promise<Ended> {
    const found = new RegExp(`<!-- test: ${name} -->\\n\`\`\`sh\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] as string;
    const paths = found.replaceAll('/tmp/', `${directory}/`).replaceAll('/var/lib/trivium', data).replaceAll('/backup/trivium', backup);
    writeFileSync(join(directory, 'trivium'), `#!/bin/sh\nexec ${process.execPath} ${ROOT}/dist/main.js "$@"\n`, { mode: 0o755 });
    return await run('bash', ['-e', '-c', `PATH=${directory}:$PATH\n${paths}`]);
  }

  /** As the table names the file. */
  function named(file: string): string {
    if (/^store\/(LOCK|LOG)/.test(file)) return file;
    return /^store\/journal\./.test(file) ? 'store/journal.*' : file.replace(/^store\/.*/, 'store/');
  }

  it('names all that is in it, and shows how it is copied, verified and restored', async () => {
    const flags = ['--secure', '--host', '127.0.0.1', '--admin-password', 'only for this test', '--tls-enabled'];
    const options = { dataDir: data, flags: [...flags, '--security-groups', '[{"name":"readers"}]'] };
    const first = await startGateway(options);
    const device = await connectAsync(`mqtt://127.0.0.1:${first.ports.mqtt}`, { username: '_ADMIN', password: 'only for this test' });
    for (const topic of ['a', 'b', 'c']) await device.publishAsync(topic, '1', { qos: 1, retain: true });
    await device.endAsync();
    await first.stop();
    const kept = filesOf(data);
    for (const file of kept.filter((name) => name !== 'store')) expect(page).toContain(`\`${named(file)}\``);
    const done = { code: 0, stdout: '', stderr: '' };
    expect(await runSnippet('backup')).toEqual(done);
    expect(await runSnippet('verify')).toEqual({ ...done, stdout: '3\n' });
    expect(await runSnippet('restore')).toEqual(done);
    expect([filesOf(data), filesOf(`${data}.before`)]).toEqual([kept, kept]);
    await (await startGateway(options)).stop();

    for (const file of filesOf(backup).filter((name) => name.includes('journal.'))) rmSync(join(backup, file));
    expect((await runSnippet('verify')).stdout).toBe('');
    expect(readFileSync(join(directory, 'trivium-log'), 'utf8')).toMatch(/in its journal, whose files are gone/);
  });
});

describe('npm start', () => {
  it('runs the command that is named in place of the gateway', async () => {
    const { code, stdout } = await run(process.execPath, ['scripts/start.mjs', 'user', '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain('Usage: trivium user ');
  });

  it.each([
    ['npm is told to stop', (npm: number) => process.kill(npm, 'SIGTERM')],
    // A terminal sends it to all processes of the group, and npm hands its own on.
    ['a terminal gets Ctrl-C', (npm: number) => process.kill(-npm, 'SIGINT')],
  ])('runs the gateway, hands flags on, and ends properly when %s', async (_what, stop) => {
    const ready = join(temporaryDirectory(), 'ready.json');
    const flags = ['--data-dir', temporaryDirectory(), '--ready-file', ready];
    const ports = ['happn', 'mqtt', 'haven', 'admin'].flatMap((name) => [`--${name}-port`, '0']);
    const npm = spawn('npm', ['start', '--', ...flags, ...ports], {
      cwd: ROOT,
      env: cleanEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    try {
      let output = '';
      for (const stream of [npm.stdout, npm.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text;
        });
      }
      const closed = once(npm, 'close');
      await until('ready, or ended before', () => existsSync(ready) || npm.exitCode !== null);
      expect(npm.exitCode, output).toBeNull();
      const { pid } = JSON.parse(readFileSync(ready, 'utf8')) as { pid: number };
      expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')).toContain('--max-semi-space-size=32');
      stop(npm.pid as number);
      expect((await closed)[0]).toBe(0);
      expect(spawnSync('kill', ['-0', String(pid)]).status).not.toBe(0);
      expect(existsSync(ready)).toBe(false);
      expect(output).toContain('Ctrl-C stops');
      expect(output).toContain('"msg":"stopped"');
    } finally {
      spawnSync('kill', ['-9', '--', `-${npm.pid}`]);
    }
  });
});
