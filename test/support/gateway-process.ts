// Starts the built gateway as a process of its own, on free ports and a temporary data directory, and cleans up behind it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const CHEAP_SCRYPT = new URL('./cheap-scrypt.mjs', import.meta.url).href;
const READY_WITHIN_MS = 60_000;
const POLL_MS = 10;

export interface Ports {
  readonly happn: number;
  readonly mqtt: number;
  readonly haven: number;
  readonly admin: number;
  /** Where it is asked for. */
  readonly mqttTls?: number;
}

export interface StartOptions {
  /** Further flags of `serve`, each as it stands on a command line; later ones win over the defaults. */
  readonly flags?: readonly string[];
  /** Added to an environment from which every TRIVIUM_ variable was taken away. */
  readonly env?: Readonly<Record<string, string>>;
  /** Kept afterwards; a temporary one, removed when the test process ends, when absent. */
  readonly dataDir?: string;
  /** Flags of node itself, for example `--max-old-space-size=128`. */
  readonly nodeFlags?: readonly string[];
  /** How many files and sockets it may have open; as many as the tests when absent. */
  readonly handles?: number;
  /** Passwords cost next to nothing, where what they cost is not the subject. */
  readonly cheapPasswords?: boolean;
  /** It gets a pipe to read from; nothing to read when absent. */
  readonly withInput?: boolean;
  /** An open file that gets its stdout and stderr, which are not collected then. */
  readonly output?: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const temporary = new Set<string>();
const running = new Set<ChildProcess>();

// Also when a test run is torn down in the middle: no process and no directory stays behind.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const directory of temporary) rmSync(directory, { recursive: true, force: true });
});

/** A directory that is removed when the test process ends. */
export function temporaryDirectory(prefix = 'trivium-test-'): string {
  const directory = mkdtempSync(join(tmpdir(), prefix));
  temporary.add(directory);
  return directory;
}

export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('TRIVIUM_') && !name.startsWith('VITEST'));
  return { ...Object.fromEntries(kept), NODE_ENV: 'production', ...extra };
}

/** Each test worker has a block of ports to itself, below those that the system gives to outgoing connections. */
const FIRST_PORT = 12_000;
const PORTS_PER_WORKER = 1_000;
const WORKERS = 20;
const block = FIRST_PORT + (Number(process.env.VITEST_POOL_ID ?? 1) % WORKERS) * PORTS_PER_WORKER;
let nextPort = process.pid % PORTS_PER_WORKER;

/** A port that stays free over a restart: nobody else is given it meanwhile, as could happen to one that the system chose. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = block + nextPort;
    nextPort = (nextPort + 1) % PORTS_PER_WORKER;
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false;
    throw error;
  } finally {
    server.close();
  }
}

/** Any command of the built program, with its output collected. */
export class CliProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  stdout = '';
  stderr = '';
  ended = false;

  constructor(args: readonly string[], options: StartOptions = {}) {
    const cheap = options.cheapPasswords === true ? ['--import', CHEAP_SCRYPT] : [];
    const command = [process.execPath, ...cheap, ...(options.nodeFlags ?? []), MAIN, ...args];
    const limited = options.handles === undefined ? [] : ['sh', '-c', `ulimit -n ${options.handles}; exec "$@"`, 'sh'];
    const [program = '', ...rest] = [...limited, ...command];
    this.child = spawn(program, rest, {
      env: cleanEnvironment(options.env),
      stdio: [options.withInput === true ? 'pipe' : 'ignore', options.output ?? 'pipe', options.output ?? 'pipe'],
    });
    running.add(this.child);
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.exited = once(this.child, 'close').then(([code, signal]) => {
      this.ended = true;
      running.delete(this.child);
      return { code, signal } as Exit;
    });
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }
}

export class GatewayProcess {
  #process: CliProcess;
  #ports: Ports;

  private constructor(
    process: CliProcess,
    ports: Ports,
    readonly dataDir: string,
    readonly options: StartOptions,
  ) {
    this.#process = process;
    this.#ports = ports;
  }

  static async start(options: StartOptions = {}): Promise<GatewayProcess> {
    const dataDir = options.dataDir ?? temporaryDirectory();
    const wanted = { happn: await freePort(), mqtt: await freePort(), haven: await freePort(), admin: await freePort() };
    const { process, ports } = await launch(dataDir, options, wanted);
    return new GatewayProcess(process, ports, dataDir, options);
  }

  get ports(): Ports {
    return this.#ports;
  }

  get pid(): number {
    return this.#process.child.pid as number;
  }

  /** What the current process wrote to stdout (the banner) and stderr (the log). */
  get stdout(): string {
    return this.#process.stdout;
  }

  get stderr(): string {
    return this.#process.stderr;
  }

  get ended(): boolean {
    return this.#process.ended;
  }

  get exited(): Promise<Exit> {
    return this.#process.exited;
  }

  signal(name: NodeJS.Signals): void {
    this.#process.signal(name);
  }

  /** SIGTERM, then waits for the end; harmless when it has ended already. */
  async stop(): Promise<Exit> {
    if (!this.ended) this.signal('SIGTERM');
    return await this.exited;
  }

  /** SIGKILL, then waits for the end. */
  async kill(): Promise<Exit> {
    if (!this.ended) this.signal('SIGKILL');
    return await this.exited;
  }

  /** Starts again on the same ports and data directory, after stopping what still runs (`kill: true`: with SIGKILL). */
  async restart(how: { readonly kill?: boolean } = {}): Promise<void> {
    await (how.kill === true ? this.kill() : this.stop());
    const { process, ports } = await launch(this.dataDir, this.options, this.#ports);
    this.#process = process;
    this.#ports = ports;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export async function startGateway(options: StartOptions = {}): Promise<GatewayProcess> {
  return await GatewayProcess.start(options);
}

async function launch(dataDir: string, options: StartOptions, wanted: Ports): Promise<{ process: CliProcess; ports: Ports }> {
  const readyFile = join(temporaryDirectory('trivium-ready-'), 'ready.json');
  const flags = ['--data-dir', dataDir, '--ready-file', readyFile];
  for (const [name, port] of Object.entries(wanted)) flags.push(`--${name === 'mqttTls' ? 'mqtt-tls' : name}-port`, String(port));
  const process = new CliProcess(['serve', ...flags, ...(options.flags ?? [])], options);
  const begun = performance.now();
  for (;;) {
    const ready = readReadyFile(readyFile);
    if (ready !== null) return { process, ports: ready.ports };
    if (process.ended || performance.now() - begun > READY_WITHIN_MS) {
      process.signal('SIGKILL');
      const exit = await process.exited;
      throw new Error(`the gateway did not start (exit ${exit.code ?? exit.signal}):\n${process.stderr}`);
    }
    await delay(POLL_MS);
  }
}

function readReadyFile(file: string): { pid: number; ports: Ports } | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { pid: number; ports: Ports };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Resolves once `fact` holds; rejects, naming it, when it does not within `withinMs`, which says only that it never will. */
export async function until(what: string, fact: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
  const begun = performance.now();
  while (!(await fact())) {
    if (performance.now() - begun > withinMs) throw new Error(`never happened: ${what}`);
    await delay(POLL_MS);
  }
}
