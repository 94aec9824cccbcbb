// CONNECT: checks version and magic, agrees on the heartbeat, and describes this node.

import type { NodeInfo } from '../../core/index.js';
import type { HavenMessage, Welcome } from './codec.js';
import type { HavenConfig } from './config.js';
import { type HavenError, MAGIC, VERSION } from './wire.js';

export class Handshake {
  connected = false;
  /** A session that says nothing for this long is ended. */
  heartbeatMs: number;
  readonly #config: HavenConfig;

  constructor(config: HavenConfig) {
    this.#config = config;
    this.heartbeatMs = config.heartbeatMs;
  }

  /** Opens the session, or says why it is not opened. */
  open(message: HavenMessage): HavenError | null {
    const refusal = refusalOf(message);
    if (refusal !== null) return refusal;
    const { heartbeatMs, heartbeatMinMs, heartbeatMaxMs } = this.#config;
    this.heartbeatMs = Math.min(Math.max(message.details.heartbeatMs ?? heartbeatMs, heartbeatMinMs), heartbeatMaxMs);
    this.connected = true;
    return null;
  }

  welcome(session: string, node: NodeInfo): Welcome {
    return { session, nodeId: node.id, nodeName: node.name, heartbeatMs: this.heartbeatMs };
  }
}

/** Magic first, as havend looks at them; the map shape may leave it out. */
function refusalOf(message: HavenMessage): HavenError | null {
  const { shape } = message;
  const { magic, version } = message.details;
  if (magic === null ? shape === 'array' : magic !== MAGIC) {
    return { name: 'BAD_MAGIC', message: 'the magic number is not that of Haven' };
  }
  if (version === VERSION || version === String(VERSION)) return null;
  return { name: 'UNSUPPORTED_VERSION', message: `the version spoken here is ${VERSION}` };
}
