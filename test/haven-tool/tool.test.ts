// `trivium haven` against a real gateway: single commands, most of them in one process, and as processes of their own whatever has to
// do with input, output, signals and the way that it ends; scripts from a pipe.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type HavenClient } from '../../src/haven-client/index.js';
import { CommandHost } from '../support/command-host.js';
import {
  CliProcess,
  type Exit,
  type GatewayProcess,
  type StartOptions,
  startGateway,
  temporaryDirectory,
  until,
} from '../support/gateway-process.js';

let gateway: GatewayProcess;
let client: HavenClient;
let host: CommandHost;

beforeAll(async () => {
  host = new CommandHost();
  gateway = await startGateway({ flags: ['--history', '[{"pattern":"/past/*"}]'] });
  client = await connect({ port: gateway.ports.haven });
});
afterAll(async () => {
  host.close();
  await client.close();
  await gateway.stop();
});

type Ended = Exit & { readonly stdout: string; readonly stderr: string };

function start(args: readonly string[], options: StartOptions = {}): CliProcess {
  return new CliProcess(['haven', '--port', String(gateway.ports.haven), ...args], options);
}

async function endOf(tool: CliProcess): Promise<Ended> {
  const exit = await tool.exited;
  return { ...exit, stdout: tool.stdout, stderr: tool.stderr };
}

const asProcess = (...args: string[]): Promise<Ended> => endOf(start(args));
const run = (...args: string[]): Promise<Ended> => runWith({}, ...args);
async function runWith(env: Record<string, string>, ...args: string[]): Promise<Ended> {
  return { ...(await host.run(['haven', '--port', String(gateway.ports.haven), ...args], env)), signal: null };
}
function script(input: string, ...args: string[]): Promise<Ended> {
  const tool = start(args, { withInput: true });
  tool.child.stdin?.end(input);
  return endOf(tool);
}
const good = (stdout: unknown) => ({ code: 0, signal: null, stdout, stderr: '' });
const refused = (code: number, stderr: unknown) => ({ code, signal: null, stdout: '', stderr });

function objects(text: string): unknown[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

describe('one command', () => {
  it('says to whom it connects', async () => {
    const { node } = client.hello as NonNullable<HavenClient['hello']>;
    expect(await asProcess('connect')).toEqual(good(`connected to ${node.name} (${node.uuid}) at 127.0.0.1:${gateway.ports.haven}\n`));
    const { stdout } = await run('connect', '--json');
    expect(objects(stdout)).toEqual([{ session: expect.stringMatching(/^[0-9a-f]{32}$/), node, heartbeat: 30_000 }]);
  });

  it('writes, reads, updates and deletes a record', async () => {
    const path = '/one/record';
    expect(await asProcess('create', path, '{"n":1}')).toEqual(good(expect.stringMatching(/^revision \d+\n$/)));
    expect(await asProcess('create', path, '2')).toEqual(refused(1, expect.stringMatching(/^trivium: CONFLICT: .*\n$/)));
    expect(await run('read', path)).toEqual(good('{"n":1}\n'));
    const first = await client.read(path);
    expect(objects((await run('read', path, '--json')).stdout)[0]).toEqual({ path, ...first });
    expect(await run('update', path, '{"m":"x"}', '--merge')).toMatchObject({ code: 0 });
    expect((await client.read(path))?.value).toEqual({ n: 1, m: 'x' });
    expect(await run('write', path, 'text', '--expect', String(first?.revision))).toEqual(refused(1, expect.stringMatching(/CONFLICT/)));
    expect(await run('write', path, '12', '--text')).toMatchObject({ code: 0 });
    expect((await client.read(path))?.value).toBe('12');
    expect(await run('read', path, '-l')).toEqual(good(expect.stringMatching(/^\d+\t\d{4}-\d\d-\d\dT[\d:.]+Z\t12\n$/)));
    expect(await run('delete', path)).toEqual(good('removed 1\n'));
    expect(await run('read', path)).toEqual(refused(1, `trivium: NOT_FOUND: there is no such record at ${path}\n`));
    expect(await run('update', path, '1')).toEqual(refused(1, expect.stringMatching(/^trivium: NOT_FOUND: /)));
  });

  it('says what a message says of itself, and shows that in JSON', async () => {
    const path = '/one/meta';
    const meta = { contentType: 'text/plain', correlationData: { $binary: { base64: 'AP8=', subType: '00' } }, unit: 'm' };
    expect(await run('create', path, 'text', '--meta', JSON.stringify(meta))).toMatchObject({ code: 0 });
    expect((await client.read(path))?.meta).toEqual({ ...meta, correlationData: Buffer.of(0, 0xff) });
    expect(objects((await run('read', path, '--json')).stdout)).toMatchObject([{ value: 'text', meta }]);
    expect(await run('write', path, 'x', '--meta', '[1]')).toMatchObject({ code: 2 });
  });

  it('takes what begins with a minus as a value', async () => {
    expect(await run('write', '/one/minus', '-5')).toMatchObject({ code: 0 });
    expect(await run('write', '/one/minus', '--', '-x')).toMatchObject({ code: 0 });
    expect((await client.read('/one/minus'))?.value).toBe('-x');
  });

  it('keeps bytes as they are, from a file and back', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    const file = join(temporaryDirectory(), 'bytes');
    writeFileSync(file, bytes);
    expect(await run('write', '/one/bytes', `@${file}`)).toMatchObject({ code: 0 });
    expect((await client.read('/one/bytes'))?.value).toEqual(bytes);
    expect((await run('read', '/one/bytes')).stdout).toMatch(/^<256 bytes: 00 01 .* 0f …>\n$/);
    const [shown] = objects((await run('read', '/one/bytes', '--json')).stdout) as [{ value: unknown }];
    expect(shown.value).toEqual({ $binary: { base64: bytes.toString('base64'), subType: '00' } });
    const raw = start(['read', '/one/bytes', '--raw']);
    raw.child.stdout?.setEncoding('latin1');
    expect(Buffer.from((await endOf(raw)).stdout, 'latin1')).toEqual(bytes);
    expect(await run('write', '/one/bytes2', JSON.stringify(shown.value))).toMatchObject({ code: 0 });
    expect((await client.read('/one/bytes2'))?.value).toEqual(bytes);
  });

  it('lists what a pattern finds, also more than one page of it', async () => {
    const paths = Array.from({ length: 1_100 }, (_, index) => `/list/${String(index).padStart(4, '0')}`);
    await Promise.all(paths.map((path, n) => client.write(path, { n })));
    const all = objects((await run('read', '/list/*', '--json')).stdout) as { path: string }[];
    expect(all.map(({ path }) => path)).toEqual(paths);
    const some = await run('read', '/list/*', '--limit', '2', '--after', '/list/0998');
    expect(some).toEqual(good('/list/0999\t{"n":999}\n/list/1000\t{"n":1000}\n'));
  });

  it('lists and deletes by criteria', async () => {
    await Promise.all([1, 2, 3].map((n) => client.write(`/some/${n}`, { n, m: 0 })));
    const flags = ['--criteria', '{"n":{"$gte":2}}', '--fields', '{"n":1}', '--sort', '{"n":-1}', '--limit', '2'];
    expect(await run('read', '/some/*', ...flags)).toEqual(good('/some/3\t{"n":3}\n/some/2\t{"n":2}\n'));
    expect(await run('delete', '/some/*', '--criteria', '{"n":{"$lt":3}}')).toEqual(good('removed 2\n'));
    expect(await run('delete', '/some/*')).toEqual(good('removed 1\n'));
  });

  it('reads the past, and watches from there on', async () => {
    const path = '/past/a';
    const first = await client.write(path, 'first');
    await until('another millisecond', () => Date.now() > first.modified + 1);
    const second = await client.write(path, 'second');
    expect(await run('read', path, '--revision', String(first.revision))).toEqual(good('first\n'));
    expect(await run('read', path, '--at', String(first.modified))).toEqual(good('first\n'));
    expect(await run('read', path, '--at', new Date(first.modified).toISOString())).toEqual(good('first\n'));
    expect(await run('read', path, '--at', String(first.modified - 1))).toEqual(refused(1, expect.stringMatching(/NOT_FOUND/)));
    expect(await run('read', '/elsewhere', '--revision', '1')).toEqual(refused(1, expect.stringMatching(/UNSUPPORTED/)));
    const events = await run('watch', path, '--since', String(first.revision), '--count', '1');
    expect(events).toEqual(good(`write\t${path}\tsecond\t(revision ${second.revision})\n`));
  });

  it('reads all that was there', async () => {
    await client.write('/past/all/1', 'first');
    const { revision } = await client.write('/past/all/2', 'second');
    await client.delete('/past/all/*');
    await client.write('/past/all/3', 'third');
    expect(await run('read', '/past/all/*', '--revision', String(revision))).toEqual(good('/past/all/1\tfirst\n/past/all/2\tsecond\n'));
    expect(await run('read', '/*', '--revision', '1')).toEqual(refused(1, expect.stringMatching(/UNSUPPORTED/)));
  });

  it('does all of a transaction or nothing', async () => {
    const operations = [
      { type: 'create', path: '/tx/a', value: 1 },
      { type: 'create', path: '/tx/b', value: { $binary: { base64: 'AP8=', subType: '00' } } },
    ];
    expect(await run('transaction', JSON.stringify(operations))).toEqual(good(expect.stringMatching(/^revisions \d+ \d+\n$/)));
    expect((await client.read('/tx/b'))?.value).toEqual(Buffer.from([0, 255]));
    const file = join(temporaryDirectory(), 'operations.json');
    writeFileSync(file, JSON.stringify([{ type: 'delete', path: '/tx/a' }, ...operations]));
    const failed = await run('transaction', `@${file}`, '--json');
    expect(failed.code).toBe(1);
    expect(objects(failed.stdout)).toEqual([
      { error: { name: 'CONFLICT', code: 8, message: expect.stringContaining('operation 2'), op: 2 } },
    ]);
    expect((await client.read('/tx/a'))?.value).toBe(1);
  });

  it('makes the node something, and finds it', async () => {
    const leader = await run('control', 'leader', '/tool', '--json');
    const [{ uuid }] = objects(leader.stdout) as [{ uuid: string }];
    const location = `127.0.0.1:${gateway.ports.haven}\tleader\t${uuid}\t/tool\n`;
    expect(await run('discover', 'quorum', '/tool/below')).toEqual(good(location));
    expect(await run('discover', 'uuid', uuid)).toEqual(good(location));
    expect(await run('discover', 'uuid', '--uuid', uuid)).toEqual(good(location));
    expect((await run('state')).stdout).toContain(`quorums\t[{"uuid":"${uuid}","path":"/tool","role":"leader","members":1}]\n`);
    const [state] = objects((await run('state', '--json')).stdout) as [{ quorums: unknown }];
    expect(state.quorums).toEqual([{ uuid, path: '/tool', role: 'leader', members: 1 }]);
    expect(await run('control', 'destroy', uuid)).toEqual(good(`destroy ${uuid}\n`));
    expect(await run('discover', 'quorum', '/tool')).toEqual(
      refused(1, 'trivium: NOT_FOUND: no quorum has a base key at or above this path\n'),
    );
  });

  it.each<[string, string[], RegExp]>([
    ['a command that there is not', ['fly'], /there is no command fly; see trivium haven --help/],
    ['an option that there is not', ['read', '/a', '--fast'], /unknown option '--fast'/],
    ['a missing argument', ['write', '/a'], /missing required argument 'value'/],
    ['one argument too many', ['read', '/a', '/b'], /too many arguments/],
    ['a number that is none', ['read', '/*', '--limit', 'x'], /must be a whole number/],
    ['a control type that there is not', ['control', 'king'], /Allowed choices are location/],
    ['a number that cannot be kept', ['write', '/a', '9007199254740993'], /the number 9007199254740993 cannot be kept exactly/],
    ['criteria that are no JSON', ['read', '/a', '--criteria', 'x'], /--criteria must be JSON/],
    ['a file that there is not', ['write', '/a', '@/nowhere'], /cannot read the file \/nowhere: no such file or directory/],
    ['a user without a password', ['read', '/a', '--user', 'ann'], /--password-file or TRIVIUM_HAVEN_PASSWORD/],
    ['a time that is none', ['read', '/a', '--at', 'noon-ish'], /--at must be a date and time/],
    ['two moments', ['read', '/a', '--at', '1', '--revision', '1'], /two moments/],
    ['raw records', ['read', '/*', '--raw'], /--raw needs a path without \*/],
  ])('refuses %s with exit code 2 and one line', async (_what, args, line) => {
    const ended = await run(...args);
    expect(ended).toEqual(refused(2, expect.stringMatching(line)));
    expect(ended.stderr).toMatch(/^trivium: [^\n]*\n$/);
  });

  it('ends as a process with exit code 2 and one line, too', async () => {
    expect(await asProcess('fly')).toEqual(refused(2, 'trivium: there is no command fly; see trivium haven --help\n'));
  });

  it('says why there is no connection', async () => {
    expect(await endOf(new CliProcess(['haven', '--port', '1', 'connect']))).toEqual(
      refused(1, 'trivium: CONNECTION_LOST: the connection failed: connect ECONNREFUSED 127.0.0.1:1 (is the gateway running?)\n'),
    );
  });

  it('helps', async () => {
    const { code, stdout } = await asProcess('--help');
    expect(code).toBe(0);
    for (const command of ['connect', 'read', 'write', 'delete', 'watch', 'control', 'discover'])
      expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    expect(await run('help', 'watch')).toEqual(good(expect.stringContaining('--initial')));
    expect((await host.run(['--help'])).stdout).toMatch(/^ {2}haven /m);
  });
});

describe('credentials', () => {
  it('come from a file or the environment', async () => {
    const file = join(temporaryDirectory(), 'password');
    writeFileSync(file, 'secret\n');
    expect(await run('connect', '--user', 'ann', '--password-file', file)).toMatchObject({ code: 0 });
    const env = { TRIVIUM_HAVEN_USER: 'ann', TRIVIUM_HAVEN_PASSWORD: 'secret' };
    expect(await runWith(env, 'connect')).toMatchObject({ code: 0 });
    expect(await runWith({ TRIVIUM_HAVEN_TOKEN: 't' }, 'connect')).toMatchObject({ code: 0 });
  });

  it('in the environment do not disturb a gateway', async () => {
    const other = await startGateway({ env: { TRIVIUM_HAVEN_USER: 'ann', TRIVIUM_HAVEN_PASSWORD: 'x', TRIVIUM_HAVEN_TOKEN: 't' } });
    await other.stop();
  });
});

describe('watch', () => {
  const change = async (path: string): Promise<void> => {
    await client.write(path, { n: 1 });
    await client.delete(path);
  };

  it('shows as many events as asked for, beginning with the records that exist', async () => {
    await client.write('/watch/count/a', 'first');
    const tool = start(['watch', '/watch/count/*', '--initial', '--count', '3']);
    await until('the first record', () => tool.stdout.includes('first'));
    await change('/watch/count/b');
    const { code, stdout } = await endOf(tool);
    expect(code).toBe(0);
    expect(stdout.replaceAll(/\d+/g, 'N')).toBe(
      'write\t/watch/count/a\tfirst\t(revision N)\nwrite\t/watch/count/b\t{"n":N}\t(revision N)\ndelete\t/watch/count/b\t(revision N)\n',
    );
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('goes on until %s, which ends it well', async (signal) => {
    const path = `/watch/${signal}`;
    await client.write(path, 0);
    const tool = start(['watch', path, '--initial', '--json']);
    await until('the record', () => tool.stdout.includes('\n'));
    await change(path);
    await until('both events', () => tool.stdout.split('\n').length === 4);
    tool.signal(signal);
    const { code, stdout, stderr } = await endOf(tool);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(objects(stdout)).toEqual([
      expect.objectContaining({ type: 'write', path, value: 0 }),
      { type: 'write', path, value: { n: 1 }, revision: expect.any(Number), time: expect.any(Number), by: '' },
      { type: 'delete', path, revision: expect.any(Number), time: expect.any(Number), by: '' },
    ]);
  });

  it('ends when nobody reads any more', async () => {
    await client.write('/watch/pipe', 0);
    const tool = start(['watch', '/watch/pipe', '--initial']);
    await until('the record', () => tool.stdout.includes('\n'));
    tool.child.stdout?.destroy();
    await until('the end', async () => {
      await client.write('/watch/pipe', 1);
      return tool.ended;
    });
    expect((await tool.exited).code).toBe(0);
  });

  it('goes on over a restart of the gateway', async () => {
    const other = await startGateway();
    const tool = new CliProcess(['haven', '--port', String(other.ports.haven), 'watch', '/again', '--json', '--initial']);
    const writer = await connect({ port: other.ports.haven });
    await writer.write('/again', 1);
    await until('the first event', () => tool.stdout.includes('"value":1'));
    await other.restart();
    await until('the resync', () => tool.stdout.includes('resync'));
    await writer.write('/again', 2);
    await until('the second event', () => tool.stdout.includes('"value":2'));
    tool.signal('SIGINT');
    expect((await tool.exited).code).toBe(0);
    await writer.close();
    await other.stop();
  });
});

describe('a script', () => {
  it('does one line after the other', async () => {
    const ended = await script(
      '# a story\nwrite /s/a {"list": [1, 2]}\n\nread /s/a\r\nwatch /s/* --initial --count 1\nread /s/a --json\nquit\nread /none\n',
    );
    expect(ended.stdout.replaceAll(/\d+/g, 'N').split('\n')).toEqual([
      'revision N',
      '{"list":[N,N]}',
      'write\t/s/a\t{"list":[N,N]}\t(revision N)',
      '{"path":"/s/a","value":{"list":[N,N]},"revision":N,"created":N,"modified":N}',
      '',
    ]);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
  });

  it.each<[string, string, number, RegExp]>([
    ['a refusal', 'read /none\nwrite /s/never 1\n', 1, /^trivium: line 1: NOT_FOUND: .*\n$/],
    ['a wrong command', '\nfly\nwrite /s/never 1\n', 2, /^trivium: line 2: there is no command fly; see help\n$/],
    ['a quote that is not closed', `write /s/never 'x`, 2, /^trivium: line 1: a quote \('\) is not closed\n$/],
    ['another host for one command', 'read /a --host example.org', 2, /line 1: where to connect to is for the command connect/],
  ])('ends at %s', async (_what, input, code, line) => {
    expect(await script(input)).toEqual(refused(code, expect.stringMatching(line)));
    expect(await client.read('/s/never')).toBeNull();
  });

  it('keeps going if it should, and fails in the end', async () => {
    const ended = await script('read /none\nfly\nwrite /s/kept 1\nread /s/kept', '--keep-going', '--json');
    expect(ended).toMatchObject({ code: 1, stderr: '' });
    expect(objects(ended.stdout)).toEqual([
      { error: { name: 'NOT_FOUND', code: 7, message: expect.any(String) } },
      { error: { name: 'USAGE', code: 0, message: expect.any(String) } },
      { revision: expect.any(Number), created: expect.any(Number), modified: expect.any(Number) },
      expect.objectContaining({ path: '/s/kept', value: 1 }),
    ]);
  });

  it('may go on to another gateway', async () => {
    const other = await startGateway();
    const ended = await script(`write /s/here 1\nconnect --port ${other.ports.haven} --json\nread /s/here\n`);
    expect(ended).toMatchObject({ code: 1, stderr: 'trivium: line 3: NOT_FOUND: there is no such record at /s/here\n' });
    expect(ended.stdout).toContain('"node":{');
    await other.stop();
  });

  it('takes each line as it comes', async () => {
    const tool = start([], { withInput: true });
    tool.child.stdin?.write('write /s/slow 1\n');
    await until('the answer to the first line', () => tool.stdout.includes('revision'));
    tool.child.stdin?.write('quit\n');
    expect((await tool.exited).code).toBe(0);
  });
});
