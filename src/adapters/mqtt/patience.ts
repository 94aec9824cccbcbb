// Patience: how long a connection may go on without an accepted CONNECT, without a sign of life, or with too much
// unacknowledged.

import { ConnectionError, type OutboundLimits } from '../../core/index.js';

export class Patience {
  #stuckSince = 0;

  constructor(
    /** On the monotonic clock. */
    private readonly openedAt: number,
    private readonly connectTimeoutMs: number,
    private readonly limits: OutboundLimits,
  ) {}

  /** Why the connection ends now; null: it does not. `isSilent`: nothing came for longer than the client may be silent. */
  check(now: number, isConnecting: boolean, isSilent: boolean): ConnectionError | null {
    if (isConnecting) {
      if (now - this.openedAt < this.connectTimeoutMs) return null;
      return new ConnectionError('CONNECT_TIMEOUT', 'no CONNECT was accepted in time');
    }
    return isSilent ? new ConnectionError('PEER_SILENT', 'nothing came within one and a half times the keep alive') : null;
  }

  /** What waits for acknowledgements is bounded as what waits for the socket is. True: more waits than may. */
  isOverrun(bytes: number, count: number, now: () => number): boolean {
    const { slowBytes, closeBytes, closeItems } = this.limits;
    if (bytes <= slowBytes && count <= closeItems) this.#stuckSince = 0;
    else if (bytes > closeBytes || count > closeItems) return true;
    else if (this.#stuckSince === 0) this.#stuckSince = Math.max(1, now());
    return false;
  }

  /** Too much has waited for too long. */
  isStuck(now: number): boolean {
    return this.#stuckSince > 0 && now - this.#stuckSince > this.limits.slowMs;
  }
}
