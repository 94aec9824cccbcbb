// Port: the stream through which aedes sees a connection. Packets go in one at a time, in the same call that brings them,
// so that what aedes serves and what the session serves itself keep their order; what aedes writes joins the session's frames.

import { Duplex } from 'node:stream';

const CONNACK_BYTES = 4;

export interface PortOwner {
  /** aedes answered the CONNECT; the session writes the CONNACK, because aedes does not know whether a session was present. */
  onConnack(returnCode: number): void;
  write(frame: Uint8Array): void;
  /** aedes ended the connection. */
  onPortClosed(error: Error | null): void;
}

export class Port extends Duplex {
  #packet: Buffer | null = null;
  #connack: number[] | null = [];
  #owner: PortOwner | null;
  /** What aedes writes goes nowhere: the session writes it. */
  muted = false;

  constructor(owner: PortOwner) {
    super({ allowHalfOpen: true });
    this.#owner = owner;
  }

  get owner(): PortOwner | null {
    return this.#owner;
  }

  /** aedes reads the packet in its `readable` listener, within this call. */
  deliver(packet: Buffer): void {
    this.#packet = packet;
    this.emit('readable');
  }

  /** The session has ended: nobody is told what aedes still does. */
  release(): void {
    this.#owner = null;
  }

  /** The stream machinery asks for 0 bytes to get going; only aedes asks for all. */
  override read(size?: number): Buffer | null {
    if (size === 0) return null;
    const packet = this.#packet;
    this.#packet = null;
    return packet;
  }

  override write(chunk: Uint8Array | string): boolean {
    if (this.muted) return true;
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (this.#connack === null) this.#owner?.write(bytes);
    else this.#collectConnack(bytes, this.#connack);
    return true;
  }

  override cork(): void {}
  override uncork(): void {}

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#packet = null;
    this.#owner?.onPortClosed(error);
    this.#owner = null;
    // The reason was told; an 'error' event would only reach aedes once more.
    callback(null);
  }

  /** A CONNACK is the first that aedes writes, in as many pieces as it likes. */
  #collectConnack(bytes: Uint8Array, collected: number[]): void {
    for (const byte of bytes) collected.push(byte);
    if (collected.length < CONNACK_BYTES) return;
    this.#connack = null;
    this.#owner?.onConnack(collected[CONNACK_BYTES - 1] as number);
  }
}
