// The prompt of `trivium haven` in a terminal: a real process in a pseudo-terminal of Python's, typed into.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { connect, type HavenClient } from '../../src/haven-client/index.js';
import { cleanEnvironment, type GatewayProcess, MAIN, startGateway, temporaryDirectory, until } from '../support/gateway-process.js';

/** Runs its arguments in a terminal of 200 columns and hands input and output on. */
const IN_TERMINAL = `
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 50, 200, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
pty._copy(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
const UP = '\u001b[A';

class Terminal {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  #output = '';

  constructor(args: readonly string[], home: string) {
    this.#child = spawn('/usr/bin/python3', ['-c', IN_TERMINAL, process.execPath, MAIN, 'haven', ...args], {
      env: cleanEnvironment({ HOME: home, TERM: 'xterm' }),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
    this.#exited = once(this.#child, 'exit');
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  /** Types a line, and sees each of these behind it, in this order. */
  async enter(line: string, ...answers: readonly string[]): Promise<void> {
    this.type(`${line}\r`);
    for (const answer of answers) await this.see(answer);
  }

  /** What came up to where `text` ends; the next one looks behind it. */
  async see(text: string): Promise<string> {
    await until(`${text} in ${JSON.stringify(this.#output)}`, () => this.#output.includes(text));
    const end = this.#output.indexOf(text) + text.length;
    const seen = this.#output.slice(0, end);
    this.#output = this.#output.slice(end);
    return seen;
  }

  async exit(): Promise<unknown> {
    return (await this.#exited)[0];
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

let gateway: GatewayProcess;
let client: HavenClient;
let home: string;
let prompt: string;
const terminals: Terminal[] = [];

beforeAll(async () => {
  gateway = await startGateway();
  client = await connect({ port: gateway.ports.haven });
  prompt = `haven 127.0.0.1:${gateway.ports.haven}> `;
});
beforeEach(() => {
  home = temporaryDirectory();
});
afterEach(() => {
  for (const terminal of terminals.splice(0)) terminal.kill();
});
afterAll(async () => {
  await client.close();
  await gateway.stop();
});

async function open(args: readonly string[] = ['--port', String(gateway.ports.haven)]): Promise<Terminal> {
  const terminal = new Terminal(args, home);
  terminals.push(terminal);
  return terminal;
}

async function opened(): Promise<Terminal> {
  const terminal = await open();
  await terminal.see('connected to ');
  await terminal.see(prompt);
  return terminal;
}

it('carries out commands, and goes on after what fails', async () => {
  const terminal = await opened();
  await terminal.enter('write /prompt/a {"n": 1}', 'revision ', prompt);
  await terminal.enter('read /prompt/a', '{"n":1}\r\n');
  await terminal.enter('read /prompt/none', 'NOT_FOUND: there is no such record at /prompt/none\r\n');
  await terminal.enter('fly', 'there is no command fly; see help\r\n');
  await terminal.enter("write /a 'x", "a quote (') is not closed\r\n");
  await terminal.enter('help read', 'Usage: read [options] <path>', '--criteria');
  await terminal.enter('help', 'Usage: <command> [options] [arguments]');
  terminal.type('\rread /prompt/a --json\r');
  await terminal.see('"value":{"n":1}');
  terminal.type('quit\r');
  expect(await terminal.exit()).toBe(0);
});

it('shows what watches notice above the line that is being written', async () => {
  const terminal = await opened();
  await terminal.enter('watch /prompt/w/*', 'watching /prompt/w/*\r\n', prompt);
  terminal.type('read /pro');
  await terminal.see('read /pro');
  await client.write('/prompt/w/1', 'news');
  await terminal.see('write\t/prompt/w/1\tnews\t');
  // The line stands there again, and goes on.
  await terminal.see('read /pro');
  await terminal.enter('mpt/w/1', 'news\r\n');
  await terminal.enter('unwatch /prompt/w/*', prompt);
  await client.write('/prompt/w/1', 'unheard');
  await terminal.enter('watch /prompt/w/1 --count 1', 'watching');
  await client.write('/prompt/w/1', 'last');
  expect(await terminal.see('last')).not.toContain('unheard');
  await client.write('/prompt/w/1', 'silence');
  terminal.type('unwatch /prompt/w/1\r');
  expect(await terminal.see('there is no watch of /prompt/w/1')).not.toContain('silence');
  // Ctrl-D
  terminal.type('\u0004');
  expect(await terminal.exit()).toBe(0);
});

it('completes commands, options and choices', async () => {
  const terminal = await opened();
  terminal.type('transa\t');
  await terminal.see('transaction ');
  terminal.type('\u0015control le');
  await terminal.see('control le');
  terminal.type('\t');
  await terminal.see('a');
  // Once more, for what it could be.
  terminal.type('\t');
  await terminal.see('leader');
  await terminal.see('leave');
  terminal.type('\u0015delete /a --cri\t');
  await terminal.see('--criteria ');
});

it('remembers lines, also the next time', async () => {
  writeFileSync(join(home, '.trivium_haven_history'), 'read /prompt/old\n');
  const first = await opened();
  await first.enter('state', 'uptime', prompt);
  first.type(`${UP}${UP}`);
  await first.see('read /prompt/old');
  first.type('\u0015quit\r');
  expect(await first.exit()).toBe(0);
  const file = join(home, '.trivium_haven_history');
  expect(readFileSync(file, 'utf8')).toBe('quit\nstate\nread /prompt/old\n');
  const second = await opened();
  second.type(`${UP}${UP}`);
  await second.see('state');
  second.type('\u0015quit\r');
  expect(await second.exit()).toBe(0);
  expect(statSync(file).isFile()).toBe(true);
});

it('writes its history for nobody else to read', async () => {
  const terminal = await opened();
  terminal.type('quit\r');
  await terminal.exit();
  expect(statSync(join(home, '.trivium_haven_history')).mode & 0o777).toBe(0o600);
});

it('forgets a line at Ctrl-C', async () => {
  const terminal = await opened();
  terminal.type('write /prompt/never 1');
  await terminal.see('never 1');
  terminal.type('\u0003');
  await terminal.see('quit or Ctrl-D leaves');
  await terminal.see(prompt);
  terminal.type('\rstate\r');
  await terminal.see('uptime');
  expect(await client.read('/prompt/never')).toBeNull();
});

it('lives without a gateway, and connects to another one', async () => {
  const terminal = await open(['--port', '1']);
  await terminal.see('CONNECTION_LOST: the connection failed: connect ECONNREFUSED 127.0.0.1:1 (is the gateway running?)\r\n');
  await terminal.see('haven 127.0.0.1:1> ');
  await terminal.enter(`connect --port ${gateway.ports.haven}`, 'connected to ', prompt);
  terminal.type('quit\r');
  expect(await terminal.exit()).toBe(0);
});
