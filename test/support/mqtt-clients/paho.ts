// The Paho libraries for Python and C as clients of stories: each is driven by a small program (paho-driver.py,
// paho-driver.c) that takes one command a line and answers with one line; topics have no blanks, payloads are hexadecimal.
//
//   connect CLIENT CLEAN KEEPALIVE EXPIRY [TOPIC PAYLOAD QOS RETAIN]   connected [PRESENT]
//   subscribe FILTER QOS                                              subscribed GRANTED
//   unsubscribe FILTER                                                unsubscribed
//   publish TOPIC PAYLOAD QOS RETAIN                                  published
//   disconnect                                                        disconnected
//
// Unasked come `message TOPIC PAYLOAD QOS RETAIN` and, when the connection is lost, `ended`. An empty payload is `-`.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../gateway-process.js';
import { Child } from './child.js';
import { type ConnectOptions, type Heard, type Maker, SESSION_EXPIRY, type StoryClient, VERSION_NAMES, type Version } from './client.js';

const PYTHON = '/usr/bin/python3';
const PYTHON_DRIVER = fileURLToPath(new URL('paho-driver.py', import.meta.url));
const C_DRIVER = fileURLToPath(new URL('paho-driver.c', import.meta.url));

class Paho implements StoryClient {
  readonly heard: Heard[] = [];
  readonly #child: Child;
  sessionPresent: boolean | null = null;
  #ended = false;

  constructor(program: string, args: readonly string[]) {
    this.#child = new Child(program, args, (line) => this.#onLine(line));
  }

  get ended(): boolean {
    return this.#ended || this.#child.ended;
  }

  #onLine(line: string): void {
    const [word, topic, payload, qos, retain] = line.split(' ');
    if (word === 'ended') this.#ended = true;
    if (word === 'message') this.heard.push({ topic: topic as string, payload: bytes(payload), qos: Number(qos), retain: retain === '1' });
  }

  async #ask(answer: string, ...words: readonly (string | number)[]): Promise<string> {
    const from = this.#child.lines.length;
    this.#child.write(`${words.join(' ')}\n`);
    const line = await this.#child.line(answer, from);
    return line.slice(answer.length + 1);
  }

  async connect({ clientId, clean = true, keepAlive = 60, will }: ConnectOptions): Promise<this> {
    const last = will === undefined ? [] : [will.topic, hex(will.payload), will.qos, Number(will.retain)];
    const present = await this.#ask('connected', 'connect', clientId, Number(clean), keepAlive, clean ? 0 : SESSION_EXPIRY, ...last);
    this.sessionPresent = present === '' ? null : present === '1';
    return this;
  }

  async subscribe(filter: string, qos: number): Promise<number> {
    return Number(await this.#ask('subscribed', 'subscribe', filter, qos));
  }

  async unsubscribe(filter: string): Promise<void> {
    await this.#ask('unsubscribed', 'unsubscribe', filter);
  }

  async publish(topic: string, payload: string | Buffer, qos: number, retain = false): Promise<void> {
    await this.#ask('published', 'publish', topic, hex(payload), qos, Number(retain));
  }

  holdStill(): void {}

  async disconnect(): Promise<void> {
    await this.#ask('disconnected', 'disconnect');
    this.#child.endInput();
    await this.#child.succeeded();
  }

  async cut(): Promise<void> {
    await this.#child.end('SIGKILL');
  }
}

function hex(payload: string | Buffer): string {
  return payload.length > 0 ? Buffer.from(payload).toString('hex') : '-';
}

function bytes(payload: string | undefined): Buffer {
  return payload === undefined || payload === '-' ? Buffer.alloc(0) : Buffer.from(payload, 'hex');
}

function maker(language: string, version: Version, start: () => Paho): Maker {
  return {
    name: `Paho for ${language}, ${VERSION_NAMES[version]}`,
    version,
    shortestKeepAlive: 1,
    canUnsubscribe: true,
    leavesWillAlways: false,
    connect: (options) => start().connect(options),
  };
}

/** Debian's Python with Debian's package, whatever other Pythons there are. */
export function pahoPython(version: Version, port: () => number): Maker {
  return maker('Python', version, () => new Paho(PYTHON, [PYTHON_DRIVER, String(port()), String(version)]));
}

/** `program`: what `compilePahoC` made. */
export function pahoC(version: Version, port: () => number, program: () => string): Maker {
  return maker('C', version, () => new Paho(program(), [String(port()), String(version)]));
}

/** The driver in C as a program; removed when the test process ends. */
export function compilePahoC(): string {
  const program = join(temporaryDirectory('trivium-paho-'), 'paho');
  const { status, stderr } = spawnSync('gcc', ['-O1', '-Wall', '-Werror', '-o', program, C_DRIVER, '-lpaho-mqtt3c'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`paho-driver.c does not compile: ${stderr}`);
  return program;
}
