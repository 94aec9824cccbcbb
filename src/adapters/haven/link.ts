// Link: the connection below a session, TCP or websocket, reduced to what the session needs.

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { type ConnectionError, type ConnectionErrorCode, peerOf } from '../../core/index.js';

/** Bytes that wait may lie in memory of so many times their length. */
const PARTS_MAX = 4;

export interface Link {
  /** true: every `send` is one message, or a part of one. false: it is any number of bytes. */
  readonly byMessage: boolean;
  /** Address and port, for the log. */
  readonly peer: string;
  /** Where the peer reached this node; empty once it is gone. */
  readonly localAddress: string;
  /** Bytes that the operating system has not taken yet. */
  readonly bufferedBytes: number;
  /** What is sent between the two goes out in as few system calls as possible. */
  cork(): void;
  uncork(): void;
  /** `last` false: the rest of the message follows, and nothing else before it. */
  send(bytes: Buffer, last?: boolean): void;
  pause(): void;
  resume(): void;
  /** Says goodbye behind what was sent; the peer has to close its side. */
  end(reason: ConnectionError | null): void;
  destroy(): void;
}

/** What is to wait, and is a small part of its memory, moves: else it would keep alive many times what it counts for. */
function apart(bytes: Buffer): Buffer {
  if (bytes.length * PARTS_MAX >= bytes.buffer.byteLength) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.length);
  own.set(bytes);
  return own;
}

export class TcpLink implements Link {
  readonly byMessage = false;
  readonly peer: string;
  readonly localAddress: string;

  constructor(readonly socket: Socket) {
    this.localAddress = socket.localAddress ?? '';
    this.peer = peerOf(socket);
  }

  get bufferedBytes(): number {
    return this.socket.writableLength;
  }

  cork(): void {}
  uncork(): void {}

  send(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(this.bufferedBytes === 0 ? bytes : apart(bytes));
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** RFC 6455 section 7.4.1. */
const CLOSE_CODES: { readonly [code in ConnectionErrorCode]: number } = {
  MALFORMED_FRAME: 1002,
  FRAME_TOO_LARGE: 1009,
  UNSUPPORTED_VERSION: 1002,
  SLOW_CONSUMER: 1008,
  CONNECT_TIMEOUT: 1008,
  PEER_SILENT: 1008,
  TAKEN_OVER: 1008,
  SESSION_REVOKED: 1008,
  NOT_ALLOWED: 1008,
  STORE_FAILED: 1011,
  INTERNAL: 1011,
  SHUTTING_DOWN: 1001,
  DISMISSED: 1001,
};
const CLOSE_NORMAL = 1000;
const BINARY = Object.freeze({ binary: true });
const BINARY_PART = Object.freeze({ binary: true, fin: false });

export class WebsocketLink implements Link {
  readonly byMessage = true;
  /** Something waits that was sent before the last `cork`. */
  #isBehind = false;

  constructor(
    readonly websocket: WebSocket,
    readonly socket: Duplex,
    readonly peer: string,
    readonly localAddress: string,
  ) {}

  get bufferedBytes(): number {
    return this.websocket.bufferedAmount;
  }

  cork(): void {
    this.#isBehind = this.bufferedBytes > 0;
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  send(bytes: Buffer, last = true): void {
    if (this.websocket.readyState !== this.websocket.OPEN) return;
    this.websocket.send(this.#isBehind ? apart(bytes) : bytes, last ? BINARY : BINARY_PART);
  }

  pause(): void {
    this.websocket.pause();
  }

  resume(): void {
    this.websocket.resume();
  }

  end(reason: ConnectionError | null): void {
    this.websocket.close(reason === null ? CLOSE_NORMAL : CLOSE_CODES[reason.code]);
  }

  destroy(): void {
    this.websocket.terminate();
  }
}
