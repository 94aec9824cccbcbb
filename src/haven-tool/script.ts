// Script: commands from a pipe or a file, one per line, executed in order; and what scripts share with single commands: a
// watch goes on until its count is reached or a signal comes.

import { createInterface } from 'node:readline';
import type { Watch, WatchEvent } from '../haven-client/index.js';
import type { Place } from './actions.js';
import { tell } from './failures.js';
import type { Gateway } from './gateway.js';
import type { CommonFlags, LineDeeds } from './grammar.js';
import { Lines } from './lines.js';
import { UsageError } from './usage-error.js';

/** The output of a command that is not at the prompt. */
export interface Streams {
  write(output: string | Uint8Array): void;
  complain(line: string): void;
  /** Calls `stop` when a signal comes or nobody reads any more; returns what ends that. */
  untilStopped(stop: () => void): () => void;
}

export class Foreground implements Place, LineDeeds {
  /** Nothing further is to be done. */
  isOver = false;
  readonly #gateway: Gateway;
  readonly #streams: Streams;

  constructor(gateway: Gateway, streams: Streams) {
    this.#gateway = gateway;
    this.#streams = streams;
  }

  get address(): string {
    return this.#gateway.address;
  }

  client(): ReturnType<Gateway['client']> {
    return this.#gateway.client();
  }

  async follow(watch: Watch, _path: string, count: number, show: (event: WatchEvent) => void): Promise<void> {
    const release = this.#streams.untilStopped(() => {
      this.isOver = true;
      void watch.close();
    });
    try {
      let left = count;
      for await (const event of watch) {
        show(event);
        if (event.type !== 'resync') left -= 1;
        if (left === 0) break;
      }
    } finally {
      release();
    }
  }

  remark(text: string): void {
    this.#streams.complain(text);
  }

  unwatch(): Promise<void> {
    throw new UsageError('unwatch is for the prompt: in a script a watch is over when the next line is read');
  }

  quit(): void {
    this.isOver = true;
  }
}

/** Ends at the first line that fails, unless it is to keep going. Resolves with the exit code: the first one that is not 0. */
export async function runScript(
  input: NodeJS.ReadableStream,
  gateway: Gateway,
  flags: CommonFlags & { readonly keepGoing?: boolean },
  streams: Streams,
): Promise<number> {
  const place = new Foreground(gateway, streams);
  const lines = new Lines(gateway, place, flags, streams.write);
  let number = 0;
  let exit = 0;
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    try {
      await lines.run(line);
    } catch (error) {
      const code = tell(error, lines.printer, (text) => streams.complain(`line ${number}: ${text}`));
      exit ||= code;
    }
    if (place.isOver || (exit !== 0 && flags.keepGoing !== true)) break;
  }
  return exit;
}
