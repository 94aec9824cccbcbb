// The runner's end of the load generator, which is a process of its own.

import { fork } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stop, track } from './processes.mjs';

const MAIN = join(dirname(dirname(fileURLToPath(import.meta.url))), 'generator', 'main.mjs');

export class Generator {
  #child = track(fork(MAIN));
  #waiting = new Map();
  #next = 1;

  constructor() {
    this.#child.on('message', ({ id, result, error }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    });
    this.#child.once('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the generator ended'));
    });
  }

  /** @returns {Promise<any>} what the command of generator/main.mjs answers */
  ask(command, argument = {}) {
    const id = this.#next;
    this.#next += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, command, argument });
    });
  }

  stop() {
    return stop(this.#child);
  }
}
