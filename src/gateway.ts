// Gateway: starts store, engine, adapters and listeners in this order, and stops them in reverse, each within its deadline.
// Decides nothing about messages.

import type { Config } from './config/index.js';
import type { Engine } from './core/engine.js';
import {
  type Adapter,
  type AdapterContext,
  type Clock,
  type Counters,
  goodbye,
  type Listeners,
  type Listening,
  type Log,
  type Logins,
  type NodeInfo,
  StartError,
} from './core/index.js';
import { StoreDamage, StoreFailure, StoreFormat, StoreLocked } from './core/store/store.js';
import { prepareDataDirectory, readNode } from './data-directory.js';
import { type AdminListener, type Health, sendJson } from './http/admin.js';
import type { HttpListener } from './http/listener.js';
import { ReadyFile } from './ready-file.js';
import { VERSION } from './version.js';

export interface TlsPart {
  /** Rejects with ConfigError or StartError. */
  open(): Promise<void>;
  close(): void;
}

export interface SecurityPart {
  readonly authenticator: Logins;
  /** `origin`: id of this gateway. Rejects with StartError. */
  open(origin: string): Promise<void>;
  close(): void;
}

export interface GatewayParts {
  readonly config: Config;
  readonly engine: Engine;
  readonly adapters: readonly Adapter[];
  readonly http: HttpListener;
  /** What all listeners but that of administrators share. */
  readonly room: AdapterContext['room'];
  /** Users, passwords and tokens; null: nobody has to log in. */
  readonly security: SecurityPart | null;
  /** Certificates of the gateway and of those who vouch for clients; opened in this order before anybody listens. */
  readonly tls: readonly TlsPart[];
  /** Made late, because it reports on the gateway. */
  readonly admin: (health: () => Health) => AdminListener;
  readonly log: Log;
  readonly clock: Clock;
  readonly counters: Counters;
}

/** new → starting → running → stopping → stopped; a failed start ends in stopped. Each gateway starts once. */
export type GatewayState = 'new' | 'starting' | 'running' | 'stopping' | 'stopped';

/** A part of the start, and what undoes it. */
interface Step {
  readonly name: string;
  readonly start: () => Promise<void> | void;
  readonly stop?: () => Promise<void> | void;
  /** Longest time for a `stop` that is not over at once; what hangs longer is named in the log and left behind. */
  readonly stopWithinMs?: number;
}

/** Together they leave a margin below the five seconds in which a supervisor expects the end. */
const ADAPTERS_STOP_MS = 2_500;
const ENGINE_STOP_MS = 1_500;
const LISTENER_STOP_MS = 200;

export class Gateway {
  readonly #parts: GatewayParts;
  readonly #listeners = new Map<string, Listening>();
  #state: GatewayState = 'new';
  #started: Step[] = [];
  readonly #startedAdapters: Adapter[] = [];
  #starting: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;
  /** Whether clients should come back after the stop. */
  #reconnect = true;
  #node: NodeInfo | null = null;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    parts.counters.gauge('uptime_seconds', 'Time since the gateway was started', () => this.#uptimeMs() / 1_000);
  }

  get state(): GatewayState {
    return this.#state;
  }

  /** `happn` and `admin` among them. */
  get listeners(): Listeners {
    return this.#listeners;
  }

  /** Who this gateway is; null until it has read it from its data directory. */
  get node(): NodeInfo | null {
    return this.#node;
  }

  /**
   * All listeners accept when this resolves. Rejects with ConfigError or StartError, with nothing left open.
   * A `stop` in the meantime lets it finish first.
   */
  async start(): Promise<Listeners> {
    if (this.#state !== 'new') throw new Error(`a gateway that is ${this.#state} cannot start`);
    this.#state = 'starting';
    this.#starting = this.#startAll();
    await this.#starting;
    return this.#listeners;
  }

  /**
   * Stops accepting, settles what is in flight, says goodbye, closes. Idempotent; never rejects; ends within 5 s.
   * `reconnect` false: clients whose protocol can be told so stay away.
   */
  stop(reconnect = true): Promise<void> {
    this.#stopping ??= this.#stopAll(reconnect);
    return this.#stopping;
  }

  async #startAll(): Promise<void> {
    try {
      for (const step of this.#steps()) {
        // Before it starts: what fails half-way has something to close, too.
        this.#started.push(step);
        await this.#start(step);
      }
      this.#state = 'running';
    } catch (error) {
      await this.#undo();
      this.#state = 'stopped';
      throw asStartError(error, this.#parts.config);
    }
  }

  async #stopAll(reconnect: boolean): Promise<void> {
    this.#reconnect = reconnect;
    try {
      await this.#starting;
    } catch {
      return; // Whoever called start was told.
    }
    this.#state = 'stopping';
    await this.#undo();
    this.#state = 'stopped';
  }

  /** In the order of the start; the stop goes through them backwards. */
  #steps(): Step[] {
    const { config, engine, security, tls, http } = this.#parts;
    const admin = this.#parts.admin(() => this.#health());
    const ready = new ReadyFile(config.readyFile);
    return [
      { name: 'old ready file', start: () => ready.forget() },
      { name: 'data directory', start: () => prepareDataDirectory(config.data.dir) },
      { name: 'engine', start: () => engine.start(), stop: () => engine.stop(), stopWithinMs: ENGINE_STOP_MS },
      { name: 'node', start: () => this.#introduce() },
      { name: 'security', start: () => security?.open(this.#nodeInfo.id), stop: () => security?.close() },
      { name: 'certificates', start: () => openAll(tls), stop: () => closeAll(tls) },
      { name: 'http connections', start: () => answerHealth(http), stop: () => http.close(), stopWithinMs: LISTENER_STOP_MS },
      { name: 'adapters', start: () => this.#startAdapters(), stop: () => this.#stopAdapters(), stopWithinMs: ADAPTERS_STOP_MS + 100 },
      { name: 'http', start: () => this.#listen('happn', http), stop: () => http.stopAccepting(), stopWithinMs: LISTENER_STOP_MS },
      { name: 'admin', start: () => this.#listen('admin', admin), stop: () => admin.close(), stopWithinMs: LISTENER_STOP_MS },
      { name: 'ready file', start: () => ready.write(portsOf(this.#listeners)), stop: () => ready.remove() },
    ];
  }

  /** How long each part of the start took is a figure, so that a slow start names its part. */
  async #start({ name, start }: Step): Promise<void> {
    const { clock, counters } = this.#parts;
    const begun = clock.monotonic();
    await start();
    const tookMs = clock.monotonic() - begun;
    counters.gauge(`start_seconds{part="${name}"}`, 'Time that a part of the start took', () => tookMs / 1_000);
  }

  async #listen(name: string, listener: { listen(): Promise<Listening> }): Promise<void> {
    this.#listeners.set(name, await listener.listen());
  }

  /** Once it has introduced itself. */
  get #nodeInfo(): NodeInfo {
    return this.#node as NodeInfo;
  }

  async #introduce(): Promise<void> {
    const { config, clock } = this.#parts;
    const { id, name } = await readNode(config.data.dir, config.name);
    this.#node = Object.freeze({ id, name, version: VERSION, startedAt: clock.now() });
  }

  async #startAdapters(): Promise<void> {
    const { adapters, engine, log, http, room, security } = this.#parts;
    const logins = security?.authenticator ?? null;
    for (const adapter of adapters) {
      const own = log.child({ adapter: adapter.name });
      const context = engine.context({ node: this.#nodeInfo, log: own, http, room, logins });
      const listeners = await adapter.start(context);
      this.#startedAdapters.push(adapter);
      for (const [name, listening] of listeners) this.#listeners.set(name, listening);
    }
  }

  async #stopAdapters(): Promise<void> {
    const { log } = this.#parts;
    const stops = this.#startedAdapters.map(async (adapter) => {
      try {
        await adapter.stop(ADAPTERS_STOP_MS, goodbye(this.#reconnect));
      } catch (error) {
        log.error({ err: error, adapter: adapter.name }, 'an adapter could not stop properly');
      }
    });
    await Promise.all(stops);
  }

  async #undo(): Promise<void> {
    const steps = this.#started.reverse();
    this.#started = [];
    for (const { name, stop, stopWithinMs = 0 } of steps) {
      if (stop === undefined) continue;
      try {
        await within(stopWithinMs, name, stop);
      } catch (error) {
        this.#parts.log.error({ err: error, part: name }, 'a part of the gateway could not stop properly');
      }
    }
    this.#listeners.clear();
  }

  #health(): Health {
    const ok = this.#state === 'running' && this.#parts.engine.writable;
    const { id, name, version } = this.#node ?? { id: null, name: null, version: VERSION };
    const state = this.#state === 'running' && !ok ? 'store failed' : this.#state;
    const adapters = this.#startedAdapters.map((adapter) => [adapter.name, adapter.health?.() ?? null] as const);
    const details = Object.fromEntries(adapters.filter(([, detail]) => detail !== null));
    return { ok, state, node: { id, name }, version, uptimeMs: this.#uptimeMs(), load: this.#parts.engine.load(), ...details };
  }

  #uptimeMs(): number {
    return this.#node === null ? 0 : this.#parts.clock.now() - this.#node.startedAt;
  }
}

function answerHealth(http: HttpListener): void {
  http.request('/health', false, (_request, response) => sendJson(response, 200, { ok: true }));
}

async function openAll(parts: readonly TlsPart[]): Promise<void> {
  for (const part of parts) await part.open();
}

function portsOf(listeners: Listeners): Record<string, number> {
  return Object.fromEntries([...listeners].map(([name, { port }]) => [name, port]));
}

function closeAll(parts: readonly TlsPart[]): void {
  for (const part of parts) part.close();
}

/** Rejects when `stop` takes longer; what it does then goes on unheard. */
async function within(ms: number, name: string, stop: () => Promise<void> | void): Promise<void> {
  const stopping = stop();
  if (stopping === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${name} did not stop within ${ms} ms`)), ms);
  });
  try {
    await Promise.race([stopping, late]);
  } finally {
    clearTimeout(timer);
  }
}

function asStartError(error: unknown, config: Config): unknown {
  if (error instanceof StoreLocked) {
    const text = `data.dir: ${config.data.dir} is in use by another process; stop it, or choose another directory`;
    return new StartError(text, { cause: error });
  }
  if (error instanceof StoreDamage || error instanceof StoreFormat || error instanceof StoreFailure) {
    return new StartError(`data.dir: the store in ${config.data.dir} cannot be used: ${error.message}`, { cause: error });
  }
  return error;
}
