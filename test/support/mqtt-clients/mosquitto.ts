// Mosquitto's programs as clients of stories: mosquitto_sub hears, a mosquitto_pub of its own sends each message.

import { Child } from './child.js';
import { type ConnectOptions, type Heard, type Maker, SESSION_EXPIRY, type StoryClient, VERSION_NAMES, type Version } from './client.js';

const VERSION_FLAGS: Readonly<Record<Version, string>> = { 3: 'mqttv31', 4: 'mqttv311', 5: 'mqttv5' };

class Mosquitto implements StoryClient {
  readonly heard: Heard[] = [];
  readonly sessionPresent = null;
  readonly ended = null;
  #subscriber: Child | null = null;

  constructor(
    private readonly address: readonly string[],
    private readonly version: Version,
    private readonly options: ConnectOptions,
  ) {}

  /** Once in the life of the client: the program connects, subscribes and listens. */
  async subscribe(filter: string, qos: number): Promise<number> {
    if (this.#subscriber !== null) throw new Error('mosquitto_sub subscribes once');
    const args = [...this.#session(), '-d', '-F', 'message %q %r %t %x', '-q', String(qos), '-t', filter];
    // Into a pipe it would write only at its end.
    const child = new Child('stdbuf', ['-oL', 'mosquitto_sub', ...args], (line) => this.#onLine(line));
    this.#subscriber = child;
    const subscribed = await child.line('Subscribed (mid: ');
    return Number(subscribed.slice(subscribed.lastIndexOf(' ')));
  }

  #session(): string[] {
    const { clientId, clean = true, keepAlive = 60, will } = this.options;
    const args = [...this.address, '-i', clientId, '-k', String(keepAlive)];
    if (!clean) args.push('-c', ...(this.version === 5 ? ['-x', String(SESSION_EXPIRY)] : []));
    if (will === undefined) return args;
    args.push('--will-topic', will.topic, '--will-payload', will.payload, '--will-qos', String(will.qos));
    if (will.retain) args.push('--will-retain');
    return args;
  }

  #onLine(line: string): void {
    const [word, qos, retain, topic, payload] = line.split(' ');
    if (word !== 'message') return;
    this.heard.push({ topic: topic as string, payload: Buffer.from(payload ?? '', 'hex'), qos: Number(qos), retain: retain === '1' });
  }

  unsubscribe(): Promise<void> {
    return Promise.reject(new Error('mosquitto_sub cannot unsubscribe later'));
  }

  async publish(topic: string, payload: string | Buffer, qos: number, retain = false): Promise<void> {
    const content = payload.length > 0 ? '-s' : '-n';
    const child = new Child('mosquitto_pub', [...this.address, '-t', topic, '-q', String(qos), content, ...(retain ? ['-r'] : [])]);
    child.write(payload);
    child.endInput();
    await child.succeeded();
  }

  /** It comes back by itself, always: it is stopped. */
  holdStill(): void {
    this.#subscriber?.signal('SIGSTOP');
  }

  async disconnect(): Promise<void> {
    await this.#subscriber?.end('SIGTERM');
  }

  async cut(): Promise<void> {
    await this.#subscriber?.end('SIGKILL');
  }
}

export function mosquitto(version: Version, port: () => number): Maker {
  return {
    name: `Mosquitto's programs, ${VERSION_NAMES[version]}`,
    version,
    shortestKeepAlive: 5,
    canUnsubscribe: false,
    leavesWillAlways: version === 5,
    connect: (options) => {
      const address = ['-h', '127.0.0.1', '-p', String(port()), '-V', VERSION_FLAGS[version]];
      return Promise.resolve(new Mosquitto(address, version, options));
    },
  };
}
