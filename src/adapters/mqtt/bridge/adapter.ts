// BridgeAdapter: all bridges of the configuration. An adapter that listens nowhere: it connects.

import {
  type Adapter,
  type AdapterContext,
  ConfigError,
  type ConnectionError,
  DurableRequest,
  type Listeners,
  type RequestError,
} from '../../../core/index.js';
import { bridgeKey } from '../durable-keys.js';
import type { Bridge, BridgeHealth } from './bridge.js';
import type { BridgeConfig } from './config.js';
import { readCredentials } from './credentials.js';
import { dropKept, namesKept } from './kept.js';
import { BridgeSession } from './session.js';

const NOWHERE: Listeners = new Map();

export interface BridgesConfig {
  readonly bridges: readonly BridgeConfig[];
  /** Larger messages of a remote are not taken. */
  readonly maxPacketBytes: number;
}

export class BridgeAdapter implements Adapter {
  readonly name = 'bridge';
  readonly #config: BridgesConfig;
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #bridges = new Map<string, Bridge>();

  /** `env`: where passwords may be. */
  constructor(config: BridgesConfig, env: Readonly<Record<string, string | undefined>> = process.env) {
    this.#config = config;
    this.#env = env;
  }

  /** Remotes need not be there. Rejects with ConfigError when what a bridge is to show its remote cannot be read. */
  async start(context: AdapterContext): Promise<Listeners> {
    const { bridges, maxPacketBytes } = this.#config;
    for (const config of bridges) await this.#check(config);
    await this.#forgetOthers(context);
    if (bridges.length === 0) return NOWHERE;
    // The library behind is loaded only where it is used.
    const { Bridge } = await import('./bridge.js');
    for (const config of bridges) {
      const bridge = new Bridge({ ...config, maxPacketBytes }, context, this.#env);
      this.#bridges.set(config.name, bridge);
      bridge.start();
    }
    return NOWHERE;
  }

  async stop(deadlineMs: number, reason: ConnectionError): Promise<void> {
    await Promise.all([...this.#bridges.values()].map((bridge) => bridge.stop(deadlineMs, reason)));
  }

  /** By name; null: there are no bridges. */
  health(): Readonly<Record<string, BridgeHealth>> | null {
    if (this.#bridges.size === 0) return null;
    return Object.fromEntries([...this.#bridges].map(([name, bridge]) => [name, bridge.health]));
  }

  async #check(config: BridgeConfig): Promise<void> {
    try {
      await readCredentials(config, this.#env);
    } catch (error) {
      throw new ConfigError(`bridges: ${config.name}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** A bridge that is configured no more would be queued for without end. */
  async #forgetOthers(context: AdapterContext): Promise<void> {
    const session = new BridgeSession(context, NOBODY);
    try {
      const known = new Set(this.#config.bridges.map(({ name }) => name));
      for (const name of await namesKept(session)) {
        if (known.has(name)) continue;
        const drop = { type: 'open', key: bridgeKey(name), clean: true, expiryMs: 0 } as const;
        const { error } = await session.ask((tag) => new DurableRequest(session, null, drop, tag));
        if (error !== null) throw error;
        await dropKept(session, name);
        context.log.info({ bridge: name }, 'a bridge is no longer configured: dropping what was queued for its remote');
      }
    } catch (error) {
      context.log.warn({ err: error as RequestError }, 'the queues of former bridges could not be dropped');
    } finally {
      session.close(null);
    }
  }
}

/** Owns a session that is only asked. */
const NOBODY = {
  onPublication(): void {},
  onFlushed(): void {},
  onPause(): void {},
  onResume(): void {},
  onSessionClosed(_error: ConnectionError | null): void {},
};
