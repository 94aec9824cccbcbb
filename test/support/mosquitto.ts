// A mosquitto broker as a process of its own, on a port that stays free over a restart, and cleaned up behind it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { freePort, temporaryDirectory, until } from './gateway-process.js';

export interface MosquittoOptions {
  /** Further lines of the configuration, in place of anonymous access for all. */
  readonly access?: readonly string[];
  /** Further lines below the listener. */
  readonly listener?: readonly string[];
  /** Sessions, queues and retained messages survive a stop. */
  readonly persistence?: boolean;
}

const running = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Mosquitto {
  /** What it wrote to stderr. */
  log = '';
  #child: ChildProcess | null = null;
  #closed: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly port: number,
    readonly directory: string,
  ) {}

  static async start(options: MosquittoOptions = {}): Promise<Mosquitto> {
    const mosquitto = new Mosquitto(await freePort(), temporaryDirectory('trivium-mosquitto-'));
    const { directory, port } = mosquitto;
    const lines = [
      `listener ${port} 127.0.0.1`,
      ...(options.listener ?? []),
      ...(options.access ?? ['allow_anonymous true']),
      // As root it would become somebody who may not write here.
      ...(process.getuid?.() === 0 ? ['user root'] : []),
      ...(options.persistence === true ? ['persistence true', `persistence_location ${directory}/`] : []),
      'log_dest stderr',
      'log_type all',
      'max_queued_messages 0',
      'set_tcp_nodelay true',
    ];
    writeFileSync(join(directory, 'mosquitto.conf'), `${lines.join('\n')}\n`);
    await mosquitto.start();
    return mosquitto;
  }

  /** Again on the same port and directory. */
  async start(): Promise<void> {
    const child = spawn('mosquitto', ['-c', join(this.directory, 'mosquitto.conf')], {
      env: { ...process.env, PATH: `${process.env['PATH']}${delimiter}/usr/sbin` },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    running.add(child);
    this.#child = child;
    this.#closed = once(child, 'close').then(() => running.delete(child));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.log += text;
    });
    await until('mosquitto accepts', async () => {
      if (child.exitCode !== null) throw new Error(`mosquitto did not start:\n${this.log}`);
      return await accepts(this.port);
    });
  }

  async stop(): Promise<void> {
    this.signal('SIGTERM');
    await this.#closed;
    this.#child = null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** How often the log holds `text`. */
  logged(text: string): number {
    return this.log.split(text).length - 1;
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // Not yet.
  } finally {
    socket.destroy();
  }
}
