// The gateway that commands talk to: connected to when the first command needs it.

import { connect, type HavenClient } from '../haven-client/index.js';
import type { Target } from './target.js';

export class Gateway {
  #target: Target;
  #client: Promise<HavenClient> | null = null;

  constructor(target: Target) {
    this.#target = target;
  }

  /** Another one from now on. */
  async aim(target: Target): Promise<void> {
    const closing = this.close();
    this.#target = target;
    await closing;
  }

  /** As a person writes it. */
  get address(): string {
    const { host, port } = this.#target;
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  }

  /** Rejects with HavenError; the next one who asks has it tried again. */
  async client(): Promise<HavenClient> {
    const opening = this.#client ?? connect(this.#target);
    this.#client = opening;
    try {
      return await opening;
    } catch (error) {
      if (this.#client === opening) this.#client = null;
      throw error;
    }
  }

  /** Ends the connection, if there is one. */
  async close(): Promise<void> {
    const opening = this.#client;
    this.#client = null;
    const client = await opening?.catch(() => null);
    await client?.close();
  }
}
