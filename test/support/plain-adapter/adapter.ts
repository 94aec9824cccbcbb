// PlainAdapter: a fourth protocol, made of the core's public face alone: JSON lines over TCP. The smallest complete adapter.

import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import {
  type Adapter,
  type AdapterContext,
  type ConnectionError,
  Connections,
  type Listeners,
  OUTBOUND_LIMITS,
  type OutboundLimits,
  StartError,
} from '../../../src/core/index.js';
import { PlainSession } from './session.js';

export interface PlainConfig {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  readonly outbound: OutboundLimits;
}

export const PLAIN_DEFAULTS: PlainConfig = Object.freeze({
  host: '127.0.0.1',
  port: 0,
  maxConnections: 1_000,
  connectTimeoutMs: 10_000,
  outbound: OUTBOUND_LIMITS,
});

export class PlainAdapter implements Adapter {
  readonly name = 'plain';
  readonly #config: PlainConfig;
  readonly #sessions = new Connections<PlainSession>();
  #server: Server | null = null;

  constructor(config: Partial<PlainConfig> = {}) {
    this.#config = { ...PLAIN_DEFAULTS, ...config };
  }

  async start(context: AdapterContext): Promise<Listeners> {
    const { host, port, maxConnections } = this.#config;
    const server = createServer((socket) => this.#accept(socket, context));
    server.maxConnections = maxConnections;
    server.listen({ host, port });
    try {
      await once(server, 'listening');
    } catch (error) {
      throw new StartError(`plain: cannot listen on ${host} port ${port}`, { cause: error });
    }
    this.#server = server;
    return new Map([[this.name, { host, port: (server.address() as AddressInfo).port }]]);
  }

  async stop(deadlineMs: number, reason: ConnectionError): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = once(server, 'close');
    server.close();
    for (const session of this.#sessions) session.stop(reason);
    await this.#sessions.untilClosed(
      deadlineMs,
      (session) => session.isOwed,
      (session) => session.destroy(),
    );
    await closed;
  }

  #accept(socket: Socket, context: AdapterContext): void {
    const { outbound, connectTimeoutMs } = this.#config;
    const session = new PlainSession(context, socket, outbound, connectTimeoutMs);
    this.#sessions.add(session);
    socket.on('close', () => this.#sessions.delete(session));
  }
}
