// One engine with adapters in it, in this process, over a store whose writes can be held back: where adapters are tried.

import { randomUUID } from 'node:crypto';
import { msgpack } from '../../src/adapters/haven/msgpack.js';
import { binary, json, raw } from '../../src/core/data/formats.js';
import { INBOUND_LIMITS, type InboundLimits } from '../../src/core/engine/inbound-queue.js';
import { Engine } from '../../src/core/engine.js';
import {
  type Adapter,
  type Clock,
  Counters,
  type Formats,
  goodbye,
  type Listening,
  type Log,
  QUEUE_LIMITS,
  RequestError,
  type SecurityCommand,
} from '../../src/core/index.js';
import { PATH_INDEX_BYTES } from '../../src/core/paths/path-index.js';
import { SCAN_LIMITS } from '../../src/core/scans/scan-host.js';
import { type Access, OPEN_ACCESS } from '../../src/core/security/access.js';
import { Audit } from '../../src/core/security/audit.js';
import { Directory } from '../../src/core/security/directory.js';
import { DirectoryAccess } from '../../src/core/security/directory-access.js';
import { HttpListener } from '../../src/http/listener.js';
import { GateStore } from './core-harness.js';
import { HTTP_OPTIONS } from './http-options.js';

const formats: Formats = {
  json,
  msgpack,
  raw,
  binary,
  byId: new Map([json, msgpack, raw, binary].map((format) => [format.id, format])),
};

const STOP_WITHIN_MS = 5_000;
const REAL: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** Where an adapter is reached: its own listener, or the port of the HTTP listener. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly httpPort: number;
}

export class ContractHouse {
  readonly lines: LogLine[] = [];
  readonly counters = new Counters();
  readonly store = new GateStore();
  /** How often an adapter asked for a shift. */
  shifts = 0;
  readonly #adapters: Adapter[] = [];
  readonly #engine: Engine;
  readonly #http: HttpListener;
  readonly #log: Log = this.#makeLog();
  #httpAt: Listening | null = null;

  constructor(inbound: InboundLimits = INBOUND_LIMITS, access: Access = OPEN_ACCESS, directory = new Directory(), clock: Clock = REAL) {
    this.#engine = new Engine({
      store: this.store,
      durability: 'sync',
      formats,
      access,
      directory,
      audit: new Audit(clock, this.#log, this.counters),
      clock,
      log: this.#log,
      counters: this.counters,
      limits: { inbound, queue: QUEUE_LIMITS, scan: SCAN_LIMITS, cacheBytes: 1024 * 1024, pathIndexBytes: PATH_INDEX_BYTES },
    });
    this.#http = new HttpListener(HTTP_OPTIONS, this.#log, this.counters);
  }

  async start(): Promise<void> {
    await this.#engine.start();
    this.#httpAt = await this.#http.listen();
  }

  async add(adapter: Adapter): Promise<Address> {
    const context = this.#engine.context({
      node: { id: randomUUID(), name: 'house', version: '0.0.0', startedAt: Date.now() },
      log: this.#log,
      http: this.#http,
    });
    const { inShift } = context;
    context.inShift = (session, work) => {
      this.shifts += 1;
      inShift(session, work);
    };
    const at = (await adapter.start(context)).get(adapter.name);
    this.#adapters.push(adapter);
    const { host, port } = this.#httpAt as Listening;
    return { host: at?.host ?? host, port: at?.port ?? port, httpPort: port };
  }

  /** Has the directory changed, as the gateway itself. */
  administer(command: SecurityCommand): Promise<void> {
    return this.#engine.administer(command);
  }

  /** Ends whatever is left, also when a test failed half way. */
  async stop(): Promise<void> {
    this.store.release();
    await Promise.all(this.#adapters.map((adapter) => adapter.stop(STOP_WITHIN_MS, goodbye(true))));
    await this.#engine.stop();
    await this.#http.close();
  }

  counter(name: string): number {
    return this.counters.counters.get(name)?.value ?? 0;
  }

  gauge(name: string): number {
    return this.counters.gauges.get(name)?.read() ?? 0;
  }

  #makeLog(): Log {
    const note = (level: LogLine['level']) => (fields: object, text: string) => {
      this.lines.push({ level, fields: fields as Record<string, unknown>, text });
    };
    const log: Log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error'), child: () => log };
    return log;
  }
}

/** What every user of `secureHouse` logs in with. */
export function passwordOf(name: string): string {
  return `password of ${name}`;
}

/** A house with security. Nobody is there yet. */
export function secureHouse(): ContractHouse {
  const directory = new Directory();
  const authenticate: Access['authenticate'] = async ({ username, password }) => {
    const principal = username === undefined ? null : directory.principal(username);
    if (principal === null || password?.toString() !== passwordOf(principal.name)) {
      throw new RequestError('NOT_AUTHENTICATED', 'Invalid credentials');
    }
    return { name: principal.name, principal, login: null };
  };
  return new ContractHouse(INBOUND_LIMITS, new DirectoryAccess(directory, { authenticate }, { now: () => Date.now() }), directory);
}
