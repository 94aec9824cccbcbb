// The command `trivium` as a real process: ready file, banner, exit codes, signals, refusals. Of what is refused for its words alone, most
// in one process.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { connect as connectTcp, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { Level } from 'level';
import { connectAsync } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { CommandHost, type EndedCommand } from './support/command-host.js';
import {
  CliProcess,
  type Exit,
  type GatewayProcess,
  type StartOptions,
  startGateway,
  temporaryDirectory,
  until,
} from './support/gateway-process.js';

const gateways: GatewayProcess[] = [];
let host: CommandHost;

beforeAll(() => {
  host = new CommandHost();
});
afterAll(() => host.close());

async function start(options: StartOptions = {}): Promise<GatewayProcess> {
  const gateway = await startGateway(options);
  gateways.push(gateway);
  return gateway;
}

afterEach(async () => {
  await Promise.all(gateways.splice(0).map((gateway) => gateway.kill()));
});

async function run(args: readonly string[], options: StartOptions = {}): Promise<Exit & { stdout: string; stderr: string }> {
  const process = new CliProcess(args, options);
  const exit = await process.exited;
  return { ...exit, stdout: process.stdout, stderr: process.stderr };
}

const FREE_PORTS = ['--happn-port', '0', '--mqtt-port', '0', '--haven-port', '0', '--admin-port', '0'];

type Run = (args: readonly string[], options: StartOptions) => Promise<EndedCommand | (Exit & { stdout: string; stderr: string })>;
const hosted: Run = (args, { env }) => host.run(args, env);

/** Runs `serve`, which must refuse to start, and returns its one line. */
async function refusal(code: number, flags: readonly string[], options: StartOptions = {}, how: Run = run): Promise<string> {
  const ready = join(temporaryDirectory(), 'ready.json');
  const ended = await how(
    ['serve', ...FREE_PORTS, '--data-dir', join(temporaryDirectory(), 'data'), '--ready-file', ready, ...flags],
    options,
  );
  expect(ended.stderr.trimEnd().split('\n'), ended.stderr).toHaveLength(1);
  expect(ended.stdout).toBe('');
  expect(ended.code).toBe(code);
  expect(existsSync(ready)).toBe(false);
  expect(ended.stderr).toMatch(/^trivium: /);
  return ended.stderr.slice('trivium: '.length).trimEnd();
}

async function health(gateway: GatewayProcess): Promise<{ ok: boolean; node: { id: string; name: string } }> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.admin}/health`);
  return (await response.json()) as { ok: boolean; node: { id: string; name: string } };
}

describe('serve', () => {
  it('says in the ready file and on the banner what listens where, and accepts on each', async () => {
    const gateway = await start();
    const { happn, mqtt, haven, admin } = gateway.ports;
    for (const port of [happn, mqtt, haven, admin]) {
      const socket = connectTcp(port, '127.0.0.1');
      await once(socket, 'connect');
      socket.destroy();
    }
    await until('the banner', () => gateway.stdout.includes('Ctrl-C'));
    for (const text of [
      `ws://127.0.0.1:${happn}`,
      `mqtt://127.0.0.1:${mqtt}`,
      `tcp://127.0.0.1:${haven}`,
      `http://127.0.0.1:${admin}/health`,
    ]) {
      expect(gateway.stdout).toContain(text);
    }
    expect(gateway.stdout).toContain('for users who log in, add:\n  --secure');
    expect((await health(gateway)).ok).toBe(true);
    expect((await fetch(`http://127.0.0.1:${happn}/health`)).status).toBe(200);
  });

  it('is what runs when no command is named; the ready file goes with the process', async () => {
    const file = join(temporaryDirectory(), 'ready.json');
    const gateway = new CliProcess([...FREE_PORTS, '--data-dir', temporaryDirectory(), '--ready-file', file]);
    await until('ready', () => existsSync(file), 25_000);
    const { pid, ports } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number; ports: Record<string, number> };
    expect(pid).toBe(gateway.child.pid);
    expect(Object.keys(ports).sort()).toEqual(['admin', 'happn', 'haven', 'mqtt']);
    gateway.signal('SIGINT');
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
    expect(existsSync(file)).toBe(false);
  });

  it('logs JSON lines on stderr, and nothing on stdout when JSON was asked for', async () => {
    const gateway = await start({ flags: ['--log-format', 'json', '--log-level', 'debug'] });
    await gateway.stop();
    expect(gateway.stdout).toBe('');
    const lines = gateway.stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: string; msg: string });
    expect(lines.map((line) => line.msg)).toEqual(expect.arrayContaining(['ready', 'stopping', 'stopped']));
  });

  it('logs text for a person when asked, nothing when silent', async () => {
    const text = await start({ flags: ['--log-format', 'text'] });
    await text.stop();
    expect(text.stderr).toMatch(/^\d\d:\d\d:\d\d\.\d{3} info {2}ready ports=\{/m);
    const silent = await start({ flags: ['--log-level', 'silent'] });
    await silent.stop();
    expect(silent.stderr).toBe('');
  });

  it('keeps its id and name over restarts; a configured name wins', async () => {
    const gateway = await start();
    const first = await health(gateway);
    expect(first.node.id).toMatch(/^[0-9a-f-]{36}$/);
    await gateway.restart();
    expect((await health(gateway)).node).toEqual(first.node);
    await gateway.stop();
    const named = await start({ dataDir: gateway.dataDir, flags: ['--name', 'cellar'] });
    expect((await health(named)).node).toEqual({ id: first.node.id, name: 'cellar' });
  });

  it('stores in the data directory what survives a restart', async () => {
    const gateway = await start();
    const before = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`);
    await before.publishAsync('kept/here', 'still', { qos: 1, retain: true });
    await before.endAsync();
    await gateway.restart({ kill: true });
    const after = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`);
    const heard = new Promise<Buffer>((resolve) => after.once('message', (_topic, payload) => resolve(payload)));
    await after.subscribeAsync('kept/#');
    expect(String(await heard)).toBe('still');
    await after.endAsync();
  });
});

describe('a signal', () => {
  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'A7 %s ends the process with exit code 0 within 5 s while clients are connected',
    async (signal) => {
      const gateway = await start();
      const { happn, mqtt, haven } = gateway.ports;
      const client = await connectAsync(`mqtt://127.0.0.1:${mqtt}`, { reconnectPeriod: 0 });
      const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
      const socket = new WebSocket(`ws://127.0.0.1:${happn}/primus`);
      await once(socket, 'open');
      const raw = connectTcp(haven, '127.0.0.1');
      await once(raw, 'connect');
      raw.on('error', () => raw.destroy());
      const begun = performance.now();
      gateway.signal(signal);
      expect(await gateway.exited).toEqual({ code: 0, signal: null });
      expect(performance.now() - begun).toBeLessThan(5_000);
      await closed;
      socket.terminate();
      raw.destroy();
    },
  );

  it('that comes twice at one stroke still stops properly', async () => {
    const gateway = await start();
    gateway.signal('SIGINT');
    gateway.signal('SIGINT');
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
  });

  it('A7 that comes a second time ends the process at once, whatever hangs', async () => {
    // What hangs is the end of the listeners, whose adapters wait for it.
    const hang = "import { Server } from 'node:net'; Server.prototype.close = () => {};";
    const gateway = await start({ nodeFlags: ['--import', `data:text/javascript,${encodeURIComponent(hang)}`] });
    gateway.signal('SIGTERM');
    await until('the stop begins', () => gateway.stderr.includes('stopping'));
    const begun = performance.now();
    await until('the second stroke counts', () => {
      gateway.signal('SIGTERM');
      return gateway.ended;
    });
    expect(await gateway.exited).toEqual({ code: 143, signal: null });
    expect(performance.now() - begun).toBeLessThan(2_000);
  });

  it('A7 loses nothing that was acknowledged before the end', async () => {
    const gateway = await start();
    const client = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`, { reconnectPeriod: 0 });
    client.on('error', () => client.end(true));
    const acknowledged = new Set<string>();
    let sent = 0;
    const publish = (): void => {
      const topic = `load/${sent++}`;
      client.publish(topic, 'x', { qos: 1, retain: true }, (error) => {
        if (error != null) return;
        acknowledged.add(topic);
        if (client.connected) publish();
      });
    };
    for (let i = 0; i < 64; i++) publish();
    await until('work is under way', () => acknowledged.size > 500);
    expect((await gateway.stop()).code).toBe(0);
    await until('the client knows', () => !client.connected);
    client.end(true);
    await gateway.restart();
    const reader = await connectAsync(`mqtt://127.0.0.1:${gateway.ports.mqtt}`);
    const kept = new Set<string>();
    reader.on('message', (topic) => void kept.add(topic));
    await reader.subscribeAsync('load/#');
    await until('all that was acknowledged is there', () => [...acknowledged].every((topic) => kept.has(topic)));
    await reader.endAsync();
  });
});

describe('output that goes nowhere', () => {
  it('on a full disk ends nothing: the gateway serves, and stops when it is told to', async () => {
    const full = openSync('/dev/full', 'w');
    const gateway = await start({ output: full });
    closeSync(full);
    const health = await fetch(`http://127.0.0.1:${gateway.ports.admin}/health`);
    expect(health.status).toBe(200);
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
  });

  it('of a command is told in one line', async () => {
    const full = openSync('/dev/full', 'w');
    const { exited } = new CliProcess(['config'], { output: full });
    closeSync(full);
    expect(await exited).toEqual({ code: 1, signal: null });
  });

  it('into a pipe that nobody empties ends nothing, and holds no stop', async () => {
    const pipe = join(temporaryDirectory(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const end = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    expect(() => {
      for (;;) writeSync(end, Buffer.alloc(4_096));
    }).toThrow('EAGAIN');
    const log = openSync(pipe, 'w');
    const gateway = await start({ output: log, flags: ['--log-format', 'json'] });
    closeSync(log);
    const begun = performance.now();
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - begun).toBeLessThan(5_000);
    closeSync(end);
  });
});

describe('an error that nobody handled', () => {
  const onSignal = (action: string): string[] => [
    '--import',
    `data:text/javascript,${encodeURIComponent(`process.once('SIGUSR2', () => { ${action} });`)}`,
  ];

  it('C1 of asynchronous work is logged and counted, and the gateway goes on', async () => {
    const gateway = await start({ nodeFlags: onSignal("Promise.reject(new Error('nobody waits'));") });
    gateway.signal('SIGUSR2');
    await until('it is logged', () => gateway.stderr.includes('nobody waits'));
    const metrics = await (await fetch(`http://127.0.0.1:${gateway.ports.admin}/metrics`)).text();
    expect(metrics).toContain('\ntrivium_unhandled_rejections_total 1\n');
    expect((await gateway.stop()).code).toBe(0);
  });

  it('of the program itself ends it with exit code 1', async () => {
    const gateway = await start({ nodeFlags: onSignal("throw new Error('broken');") });
    gateway.signal('SIGUSR2');
    expect((await gateway.exited).code).toBe(1);
    expect(gateway.stderr).toContain('broken');
  });
});

describe('what cannot run exits with 1 and one line', () => {
  let taken: Server;
  let port: number;

  beforeAll(async () => {
    taken = createServer();
    taken.listen(0, '127.0.0.1');
    await once(taken, 'listening');
    port = (taken.address() as { port: number }).port;
  });

  afterAll(() => taken.close());

  it('a port in use, whichever, and nothing half-started stays behind', async () => {
    const dataDir = temporaryDirectory();
    for (const name of ['happn', 'mqtt', 'haven', 'admin']) {
      const line = await refusal(1, ['--data-dir', dataDir, `--${name}-port`, String(port)]);
      expect(line).toContain(`${name}.port`);
      expect(line).toContain(String(port));
      expect(line).toContain('in use by another program; stop it, or choose another port');
    }
    const gateway = await start({ dataDir });
    expect((await health(gateway)).ok).toBe(true);
  });

  it('A6 a data directory that another gateway uses', async () => {
    const gateway = await start();
    const line = await refusal(1, ['--data-dir', gateway.dataDir]);
    expect(line).toBe(`data.dir: ${gateway.dataDir} is in use by another process; stop it, or choose another directory`);
    expect((await health(gateway)).ok).toBe(true);
  });

  it('a data directory that cannot be written', async () => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, '');
    expect(await refusal(1, ['--data-dir', file])).toBe(`data.dir: cannot write to ${file}: it is a file`);
    expect(await refusal(1, ['--data-dir', join(file, 'below')])).toBe(
      `data.dir: cannot write to ${file}/below: a part of the path is a file`,
    );
    expect(await refusal(1, ['--data-dir', '/proc/nothing'])).toMatch(/^data\.dir: cannot write to \/proc\/nothing: /);
  });

  it('a store directory that holds something else', async () => {
    const dataDir = temporaryDirectory();
    mkdirSync(join(dataDir, 'store'));
    writeFileSync(join(dataDir, 'store', 'holiday.jpg'), '');
    expect(await refusal(1, ['--data-dir', dataDir])).toMatch(/^data\.dir: .*holiday\.jpg/);
  });

  it('a store that lost changes, unless the loss is accepted', async () => {
    const first = await start({ flags: ['--durability', 'os'] });
    const client = await connectAsync(`mqtt://127.0.0.1:${first.ports.mqtt}`);
    for (let i = 0; i < 5; i++) await client.publishAsync('kept', String(i), { qos: 1, retain: true });
    await client.endAsync();
    await first.kill();
    const store = join(first.dataDir, 'store');
    const database = new Level(store);
    const [check] = await database.keys({ gt: 'c', lt: 'd', limit: 1 }).all();
    await database.del(check as string);
    await database.close();
    const flags = ['--data-dir', first.dataDir];
    expect(await refusal(1, flags)).toMatch(/has lost changes.*--data-accept-damage$/);
    const second = await start({ dataDir: first.dataDir, flags: ['--data-accept-damage'] });
    expect(second.stderr).toContain('has lost changes');
    await second.stop();
    await start({ dataDir: first.dataDir });
  });

  it('a damaged node file', async () => {
    const dataDir = temporaryDirectory();
    writeFileSync(join(dataDir, 'node.json'), '{"id":');
    expect(await refusal(1, ['--data-dir', dataDir])).toContain('node.json is damaged');
  });

  it('a ready file that cannot be written', async () => {
    const file = join(temporaryDirectory(), 'missing', 'ready.json');
    expect(await refusal(1, ['--ready-file', file])).toBe(`readyFile: cannot write ${file}: no such file or directory`);
  });

  it('an address of another machine', async () => {
    expect(await refusal(1, ['--host', '203.0.113.1', '--allow-open'])).toContain('203.0.113.1');
  });
});

describe('an address that is not of this machine exits with 1 and one line that names its key', () => {
  it.each([
    ['--host', 'host: 192.0.2.1 is not an address of this machine'],
    ['--admin-host', 'admin.host: 192.0.2.1 is not an address of this machine'],
  ])('%s', async (flag, line) => {
    expect(await refusal(1, [flag, '192.0.2.1', '--allow-open', '--log-level', 'silent'])).toBe(line);
  });
});

describe('what is configured wrongly exits with 2 and one line', () => {
  const fileOf = (text: string): string => {
    const file = join(temporaryDirectory(), 'trivium.yaml');
    writeFileSync(file, text);
    return file;
  };

  it.each([
    [
      ['--mqtt-port', 'many'],
      'mqtt.port: "many" is not allowed, it must be a port number from 0 (any free port) to 65535 (flag --mqtt-port)',
    ],
    [['--durability', 'perhaps'], 'durability: "perhaps" is not allowed, it must be one of sync, os, none (flag --durability)'],
    [['--mqtt-prot', '1'], "unknown option '--mqtt-prot' (Did you mean --mqtt-port?); see trivium serve --help"],
    [['--mqtt-port'], "option '--mqtt-port <number>' argument missing; see trivium serve --help"],
    [['--mqtt-port', '--log-level', 'warn'], '--mqtt-port needs a value, but --log-level follows it'],
    [['--config', '--secure'], '--config needs a value, but --secure follows it'],
    [['nonsense'], 'serve takes only options, not nonsense; see trivium serve --help'],
    [
      ['--secure', '--allow-open'],
      'allowOpen: it contradicts secure, with which everybody has to log in; set only one of them (flag --allow-open)',
    ],
    [['--host', '0.0.0.0'], /^host: "0\.0\.0\.0" is not loopback.*--allow-open/],
    [['--admin-host', '0.0.0.0'], /^admin\.host: "0\.0\.0\.0" is not loopback/],
    [
      ['--config', '/nowhere/trivium.yaml'],
      'cannot read the configuration file /nowhere/trivium.yaml: no such file or directory (flag --config)',
    ],
  ])('%j', async (flags, line) => {
    const said = await refusal(2, flags, {}, hosted);
    if (typeof line === 'string') expect(said).toBe(line);
    else expect(said).toMatch(line);
  });

  it.each([
    [['serv'], 'there is no command serv; did you mean serve?'],
    [['fly', '--mqtt-port', '0'], 'there is no command fly; see trivium --help'],
    [['--bogus'], "unknown option '--bogus'; see trivium serve --help"],
    [['config', '--bogus'], "unknown option '--bogus'; see trivium config --help"],
    [['config', 'all'], "too many arguments for 'config'. Expected 0 arguments but got 1; see trivium config --help"],
    [['user', 'fly'], "unknown command 'fly'; see trivium user --help"],
    [
      ['help', 'fly'],
      'there is no command fly; there are serve, config, login, user, group, lookup, session, token, explain, audit, haven, doctor',
    ],
    [
      ['user', 'help', 'fly'],
      'there is no command user fly; there are list, show, put, password, unlock, link, unlink, allow, prohibit, withdraw, delete',
    ],
    [['help', 'haven', 'fly'], 'there is no command haven fly; see trivium haven --help'],
  ])('%j, without serve', async (words, line) => {
    expect(await host.run(words)).toMatchObject({ code: 2, stdout: '', stderr: `trivium: ${line}\n` });
  });

  it('a wrong key or value in the file', async () => {
    const file = fileOf('mqtt:\n  prot: 1\n');
    expect(await refusal(2, ['--config', file], {}, hosted)).toBe(`unknown key mqtt.prot (file ${file}); did you mean mqtt.port?`);
    expect(await refusal(2, ['--config', fileOf('log: {level: loud}')], {}, hosted)).toMatch(/^log\.level: "loud" is not allowed/);
  });

  it('a wrong variable', async () => {
    expect(await refusal(2, [], { env: { TRIVIUM_DURABILTY: 'os' } })).toBe(
      'unknown key TRIVIUM_DURABILTY (environment); did you mean TRIVIUM_DURABILITY?',
    );
  });
});

describe('config', () => {
  it('prints every key with its value and where it comes from, and no secret', async () => {
    const file = join(temporaryDirectory(), 'trivium.json');
    writeFileSync(file, JSON.stringify({ haven: { port: 1234 }, durability: 'os' }));
    const env = { TRIVIUM_MQTT_PORT: '2345', TRIVIUM_ADMIN_PASSWORD: 'opensesame' };
    const { code, stdout, stderr } = await run(['config', '--config', file, '--data-dir', '/somewhere', '--durability', 'none'], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const rows = new Map(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ {2,}/))
        .map(([key, ...rest]) => [key, rest]),
    );
    expect(rows.get('haven.port')).toEqual(['1234', `file ${file}`]);
    expect(rows.get('mqtt.port')).toEqual(['2345', 'environment TRIVIUM_MQTT_PORT']);
    expect(rows.get('data.dir')).toEqual(['/somewhere', 'flag --data-dir']);
    expect(rows.get('durability')).toEqual(['none', 'flag --durability']);
    expect(rows.get('happn.port')).toEqual(['55000', 'default']);
    expect(rows.get('admin.password')).toEqual(['set', 'environment TRIVIUM_ADMIN_PASSWORD']);
    expect(rows.get('readyFile')).toEqual(['not set', 'default']);
    expect(stdout).not.toContain('opensesame');
  });

  it('prints JSON when asked', async () => {
    const { stdout } = await host.run(['config', '--json', '--admin-password', 'opensesame', '--http-origins', 'https://a.example']);
    const tree = JSON.parse(stdout) as Record<string, { value: unknown; origin: string }>;
    expect(tree['admin.password']).toEqual({ value: 'set', origin: 'flag --admin-password' });
    expect(tree['http.origins']).toEqual({ value: ['https://a.example'], origin: 'flag --http-origins' });
    expect(tree['mqtt.port']).toEqual({ value: 1883, origin: 'default' });
    expect(stdout).not.toContain('opensesame');
  });

  it('refuses what serve refuses, and touches nothing', async () => {
    const dataDir = join(temporaryDirectory(), 'data');
    const { code, stderr } = await host.run(['config', '--data-dir', dataDir, '--mqtt-port', 'x']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^trivium: mqtt\.port: /);
    await host.run(['config', '--data-dir', dataDir]);
    expect(existsSync(dataDir)).toBe(false);
  });
});

describe('help', () => {
  it('and version exit with 0', async () => {
    const help = await run(['--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('serve');
    const flags = await host.run(['serve', '--help']);
    expect(flags.stdout).toContain('--durability <sync|os|none> ');
    expect(flags.stdout).toContain('--admin-password-file');
    expect((await run(['help'])).stdout).toBe(help.stdout);
    expect((await run(['help', 'serve'])).stdout).toBe(flags.stdout);
    const user = await run(['user', '--help']);
    for (const words of ['help user', 'user help']) expect(await run(words.split(' '))).toEqual(user);
    expect(await run(['help', 'user', 'show'])).toEqual(await run(['user', 'show', '--help']));
    expect(await run(['user'])).toMatchObject({ code: 2, stdout: '', stderr: user.stdout });
    const version = await run(['--version']);
    expect(version).toMatchObject({ code: 0, stderr: '' });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
