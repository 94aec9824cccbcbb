// The ready file: exists as long as the gateway is ready, for supervisors that wait for it. Knows nothing of the start.

import { readFileSync, rmSync } from 'node:fs';
import { StartError } from './core/index.js';
import { reasonOf } from './system-error.js';
import { writeFileAtomically } from './write-file.js';

export class ReadyFile {
  readonly #file: string | null;

  /** null: none is asked for. */
  constructor(file: string | null) {
    this.#file = file;
  }

  /** What a gateway left that was killed is gone before the start takes its time. That of one that may still run is not ours to take. */
  forget(): void {
    const pid = this.#file === null ? null : pidIn(this.#file);
    if (pid !== null && (pid === process.pid || !isRunning(pid))) this.remove();
  }

  /** Rejects with StartError. */
  async write(ports: Readonly<Record<string, number>>): Promise<void> {
    if (this.#file === null) return;
    try {
      await writeFileAtomically(this.#file, `${JSON.stringify({ pid: process.pid, ports })}\n`);
    } catch (error) {
      throw new StartError(`readyFile: cannot write ${this.#file}: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** At once: whoever watches it is to see it first of all, however much the loop has to do. */
  remove(): void {
    if (this.#file !== null) rmSync(this.#file, { force: true });
  }
}

/** null: there is no such file, or it is something else, which is left to whoever writes it. */
function pidIn(file: string): number | null {
  try {
    const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid?: unknown };
    return typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
