// A program of another maker that a test runs, and what it writes, line by line.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { until } from '../gateway-process.js';

const running = new Set<ChildProcess>();

// Also when a test run is torn down in the middle.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Child {
  readonly lines: string[] = [];
  ended = false;
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #errors = '';

  constructor(
    readonly program: string,
    args: readonly string[],
    onLine: (line: string) => void = () => {},
  ) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    running.add(this.#child);
    const { stdout, stderr, stdin } = this.#child;
    if (stdout === null || stderr === null || stdin === null) throw new Error(`${program} has no pipes`);
    // It may be gone before it has read everything; that is seen from how it ended.
    stdin.on('error', () => stdin.destroy());
    createInterface({ input: stdout }).on('line', (line) => {
      this.lines.push(line);
      onLine(line);
    });
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    this.#closed = once(this.#child, 'close').then(() => {
      this.ended = true;
      running.delete(this.#child);
    });
  }

  write(text: string | Buffer): void {
    this.#child.stdin?.write(text);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  /** The first line that begins with `start` and was not there before `from`. Fails when the program ends without it. */
  async line(start: string, from = 0): Promise<string> {
    const find = (): string | undefined => this.lines.slice(from).find((line) => line.startsWith(start));
    await until(`${this.program} says ${start}`, () => find() !== undefined || this.ended);
    const line = find();
    if (line === undefined) throw new Error(`${this.program} ended: ${this.#errors}${this.lines.join('\n')}`);
    return line;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves when the program ended by itself; fails when it did so badly. */
  async succeeded(): Promise<void> {
    await this.#closed;
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== 0) throw new Error(`${this.program} ended with ${exitCode ?? signalCode}: ${this.#errors}${this.lines.join('\n')}`);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.signal(signal);
    await this.#closed;
  }
}
