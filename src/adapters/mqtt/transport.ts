// Transport: what carries the bytes of one client, a TCP socket or a websocket, behind one face.

import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { onBytes } from '../../core/index.js';

export interface TransportOwner {
  onData(chunk: Buffer): void;
  /** Everything that was written has left. */
  onDrain(): void;
  onTransportClosed(): void;
}

export interface Transport {
  /** Who is told what happens; may be replaced. */
  owner: TransportOwner;
  write(bytes: Uint8Array): void;
  /** Written and not with the operating system yet. */
  readonly bufferedBytes: number;
  pause(): void;
  resume(): void;
  /** After what was written. */
  end(): void;
  destroy(): void;
}

/** A closed connection whose peer does not read its last bytes is cut off after this. */
export const LINGER_MS = 2_000;
const TCP_KEEP_ALIVE_MS = 60_000;

export class SocketTransport implements Transport {
  constructor(
    private readonly socket: Socket,
    public owner: TransportOwner,
  ) {
    socket.setNoDelay(true);
    // Finds out about peers that are gone although they promised no sign of life.
    socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
    onBytes(socket, (chunk) => this.owner.onData(chunk));
    socket.on('drain', () => this.owner.onDrain());
    socket.on('error', ignore);
    socket.on('close', () => this.owner.onTransportClosed());
  }

  get bufferedBytes(): number {
    return this.socket.writableLength;
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.destroySoon();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** 3.1.1 section 6: binary frames, packets cut in any way. */
export class WebsocketTransport implements Transport {
  #pending = 0;

  constructor(
    private readonly websocket: WebSocket,
    public owner: TransportOwner,
  ) {
    websocket.binaryType = 'nodebuffer';
    websocket.on('message', (data, isBinary) => {
      // [MQTT-6.0.0-1]
      if (isBinary) this.owner.onData(data as Buffer);
      else websocket.terminate();
    });
    websocket.on('error', ignore);
    websocket.on('close', () => this.owner.onTransportClosed());
  }

  get bufferedBytes(): number {
    return this.websocket.bufferedAmount;
  }

  write(bytes: Uint8Array): void {
    if (this.websocket.readyState !== this.websocket.OPEN) return;
    this.#pending += 1;
    this.websocket.send(bytes, this.#onSent);
  }

  pause(): void {
    this.websocket.pause();
  }

  resume(): void {
    this.websocket.resume();
  }

  end(): void {
    this.websocket.close(1000);
    // The peer's side of the closing handshake has to be read.
    this.websocket.resume();
  }

  destroy(): void {
    this.websocket.terminate();
  }

  readonly #onSent = (): void => {
    this.#pending -= 1;
    if (this.#pending === 0) this.owner.onDrain();
  };
}

/** Every error is followed by 'close', which is what counts. */
function ignore(): void {}
