// A gateway in this process that speaks only happn, and a bare websocket that sends it frames and keeps what comes back.

import { once } from 'node:events';
import { WebSocket } from 'ws';
import { HappnAdapter, type HappnConfig, type LocalClient } from '../../src/adapters/happn/index.js';
import type { AdapterContext } from '../../src/core/adapter.js';
import { Counters } from '../../src/core/counters.js';
import { QUEUE_LIMITS } from '../../src/core/durable/durable-session.js';
import { INBOUND_LIMITS } from '../../src/core/engine/inbound-queue.js';
import { Engine } from '../../src/core/engine.js';
import { goodbye } from '../../src/core/errors.js';
import { PATH_INDEX_BYTES } from '../../src/core/paths/path-index.js';
import { SCAN_LIMITS } from '../../src/core/scans/scan-host.js';
import { OPEN_ACCESS } from '../../src/core/security/access.js';
import { Audit } from '../../src/core/security/audit.js';
import { Directory } from '../../src/core/security/directory.js';
import { HttpListener } from '../../src/http/listener.js';
import { formats, GateStore, SILENT } from './core-harness.js';
import { until } from './gateway-process.js';
import { HTTP_OPTIONS } from './http-options.js';

export type WireFrame = Record<string, unknown> & { _meta?: Record<string, unknown>; data?: unknown };

export interface HappnGateway {
  readonly port: number;
  readonly url: string;
  readonly context: AdapterContext;
  readonly counters: Counters;
  readonly store: GateStore;
  connect(options?: { perMessageDeflate?: boolean }): Promise<HappnWire>;
  localClient(): Promise<LocalClient>;
  /** `reconnect` false: clients are told to stay away. */
  stop(reconnect?: boolean): Promise<void>;
}

export async function startHappn(config: Partial<HappnConfig> = {}, name = 'reference-node'): Promise<HappnGateway> {
  const counters = new Counters();
  const store = new GateStore();
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const engine = new Engine({
    store,
    durability: 'sync',
    formats,
    access: OPEN_ACCESS,
    directory: new Directory(),
    audit: new Audit(clock, SILENT, counters),
    clock,
    log: SILENT,
    counters,
    limits: { inbound: INBOUND_LIMITS, queue: QUEUE_LIMITS, scan: SCAN_LIMITS, cacheBytes: 1024 * 1024, pathIndexBytes: PATH_INDEX_BYTES },
  });
  await engine.start();
  const http = new HttpListener(HTTP_OPTIONS, SILENT, counters);
  const node = { id: 'node', name, version: '1.2.3', startedAt: 0 };
  const context = engine.context({ node, log: SILENT, http });
  const adapter = new HappnAdapter(config);
  await adapter.start(context);
  const { port } = await http.listen();
  const url = `ws://127.0.0.1:${port}/primus?_primuscb=raw`;
  return {
    port,
    url,
    context,
    counters,
    store,
    localClient: () => adapter.localClient(),
    connect: (options) => HappnWire.connect(url, options),
    stop: async (reconnect = true) => {
      await adapter.stop(1_000, goodbye(reconnect));
      http.stopAccepting();
      await http.close();
      await engine.stop();
    },
  };
}

/** One websocket. Keeps every frame that comes, in order; primus control messages are texts among them. */
export class HappnWire {
  readonly frames: (WireFrame | WireFrame[] | string)[] = [];
  /** What could not be parsed: always empty with a gateway that works. */
  readonly broken: string[] = [];
  closed: { code: number } | null = null;
  #nextId = 1;
  sessionId: string | undefined;

  private constructor(readonly socket: WebSocket) {
    socket.on('message', (data: Buffer) => {
      try {
        this.frames.push(JSON.parse(data.toString()) as WireFrame);
      } catch {
        this.broken.push(data.toString());
      }
    });
    socket.on('error', () => {});
    socket.on('close', (code) => {
      this.closed = { code };
    });
  }

  static async connect(url: string, options: { perMessageDeflate?: boolean } = {}): Promise<HappnWire> {
    const wire = new HappnWire(new WebSocket(url, options));
    await once(wire.socket, 'open');
    return wire;
  }

  /** The frame as it is, text or anything that JSON can say. */
  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** Sends a request and resolves with its answer. */
  async request(action: string, fields: Record<string, unknown> = {}): Promise<WireFrame> {
    const eventId = this.#nextId++;
    this.send({ action, eventId, ...fields, ...(this.sessionId === undefined ? {} : { sessionId: this.sessionId }) });
    return (await this.answer(eventId)) as WireFrame;
  }

  /** As `request`, for answers that are lists: the items, without the meta at the end. */
  async list(action: string, fields: Record<string, unknown> = {}): Promise<WireFrame[]> {
    const answer = (await this.request(action, fields)) as unknown as WireFrame[];
    return answer.slice(0, -1);
  }

  async answer(eventId: unknown): Promise<WireFrame | WireFrame[]> {
    await until(`an answer to ${String(eventId)}`, () => this.#find(eventId) !== undefined || this.closed !== null);
    const found = this.#find(eventId);
    if (found === undefined) throw new Error(`closed with ${this.closed?.code} before the answer to ${String(eventId)}`);
    return found;
  }

  #find(eventId: unknown): WireFrame | WireFrame[] | undefined {
    return this.frames.find((frame) => {
      if (typeof frame === 'string') return false;
      const meta = Array.isArray(frame) ? frame.at(-1) : frame._meta;
      return meta?.type === 'response' && meta.eventId === eventId;
    }) as WireFrame | WireFrame[] | undefined;
  }

  /** The handshake of a client of this protocol; null: of one that does not configure its session. */
  async login(protocol: string | null = 'happn_4', version?: string, info: object = {}): Promise<this> {
    if (protocol !== null) await this.request('configure-session', { data: { protocol, ...(version === undefined ? {} : { version }) } });
    await this.request('describe', { data: null });
    const login = await this.request('login', { data: { info } });
    this.sessionId = (login.data as { id: string }).id;
    return this;
  }

  /** Events so far, or those of one channel. */
  events(channel?: string): WireFrame[] {
    return this.frames.filter((frame): frame is WireFrame => {
      if (typeof frame === 'string' || Array.isArray(frame)) return false;
      return frame._meta?.type === 'data' && (channel === undefined || frame._meta.channel === channel);
    });
  }

  async close(): Promise<void> {
    this.socket.close();
    await until('the socket closes', () => this.closed !== null);
  }
}
