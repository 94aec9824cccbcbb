// Commands of the built program that end by themselves, run one after the other in one process (command-host.mjs). That a command also
// ends, and is told apart, as a process of its own is for a CliProcess to show.

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment } from './gateway-process.js';

const HOST = fileURLToPath(new URL('./command-host.mjs', import.meta.url));

export interface EndedCommand {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Waiting {
  readonly resolve: (ended: EndedCommand) => void;
  readonly reject: (error: Error) => void;
}

export class CommandHost {
  readonly #child: ChildProcess;
  /** Commands end in the order in which they were given. */
  readonly #waiting: Waiting[] = [];

  constructor() {
    this.#child = fork(HOST, { env: cleanEnvironment(), stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', (ended: EndedCommand) => this.#waiting.shift()?.resolve(ended));
    this.#child.on('exit', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('the process that runs the commands has ended'));
    });
  }

  /** `env`: added to an environment without any TRIVIUM_ variable. */
  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<EndedCommand> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.send({ args, env });
    });
  }

  close(): void {
    this.#child.kill();
  }
}
