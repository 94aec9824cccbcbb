// Liveness: when a connection last showed a sign of life, and when it is given up.

import type { Duplex } from 'node:stream';
import { ConnectionError } from '../../core/index.js';
import type { Version } from './versions.js';

export interface LivenessLimits {
  /** Older clients send heartbeats themselves: a connection that says nothing for this long is ended. */
  readonly silentMs: number;
  /** From accept to the first valid request. */
  readonly firstRequestMs: number;
  /** From the first to the last byte of one message. */
  readonly messageMs: number;
}

/** A heartbeat and one extra beat may stay without an answer. */
const UNANSWERED_MAX = 2;

export class Liveness {
  /** Something came since the last look. */
  heard = true;
  /** Whole messages that came, and pings and pongs of the websocket itself. */
  messages = 0;
  controls = 0;
  readonly #socket: Duplex;
  /** Monotonic milliseconds: accepted, and last heard as of a look. */
  readonly #openedAt: number;
  #lastHeardAt: number;
  /** Heartbeats sent without any sign of life since. */
  #unanswered = 0;
  /** Since when only a part of a message has come; 0: no such part. */
  #partialSince = 0;
  /** Whole messages and socket bytes that the last look saw. */
  #seenMessages = 0;
  #seenBytes = 0;

  /** `now`: monotonic milliseconds. */
  constructor(socket: Duplex, now: number) {
    this.#socket = socket;
    this.#openedAt = now;
    this.#lastHeardAt = now;
  }

  /** Another heartbeat is due: null if it is to be sent, else why the connection ends instead. */
  beat(): ConnectionError | null {
    if (this.heard) this.#unanswered = 0;
    this.heard = false;
    if (this.#unanswered >= UNANSWERED_MAX) return new ConnectionError('PEER_SILENT', 'no answer to heartbeats');
    this.#unanswered += 1;
    return null;
  }

  /** Why the connection ends now; null: it does not. `fresh`: no valid request has come; `heartbeat`: who sends heartbeats. */
  check(now: number, fresh: boolean, heartbeat: Version['heartbeat'], limits: LivenessLimits): ConnectionError | null {
    if (fresh) {
      if (now - this.#openedAt <= limits.firstRequestMs) return null;
      return new ConnectionError('CONNECT_TIMEOUT', 'no valid request in time');
    }
    if (this.#trickles(now, limits.messageMs)) return new ConnectionError('MALFORMED_FRAME', 'a message was not finished in time');
    if (heartbeat === 'client' && this.#isSilent(now, limits.silentMs)) return new ConnectionError('PEER_SILENT', 'no sign of life');
    return null;
  }

  #isSilent(now: number, silentMs: number): boolean {
    if (this.heard) this.#lastHeardAt = now;
    this.heard = false;
    return now - this.#lastHeardAt > silentMs;
  }

  /** Takes longer than it may over one message. */
  #trickles(now: number, messageMs: number): boolean {
    if (!this.#isPartial()) this.#partialSince = 0;
    else if (this.#partialSince === 0) this.#partialSince = now;
    return this.#partialSince !== 0 && now - this.#partialSince > messageMs;
  }

  /** Whether bytes have come since the last look that are no whole message yet. */
  #isPartial(): boolean {
    const messages = this.messages + this.controls;
    const bytes = 'bytesRead' in this.#socket ? (this.#socket.bytesRead as number) : 0;
    if (messages === this.#seenMessages) return bytes > this.#seenBytes;
    this.#seenMessages = messages;
    this.#seenBytes = bytes;
    return false;
  }
}
