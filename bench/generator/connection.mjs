// One raw TCP connection of the generator: whole chunks in and out, no stream machinery between.

import { connect as connectSocket } from 'node:net';

/** All sockets read into this one buffer; handlers must be done with it when they return. */
const shared = Buffer.allocUnsafe(256 * 1024);

export class Connection {
  #socket;
  #handler = null;
  #rest = null;
  #closing = false;
  /** Called when the server ends the connection; set by whoever runs the load. */
  onFault = (error) => {
    throw error;
  };

  static open(port) {
    return new Promise((resolve, reject) => {
      const connection = new Connection();
      connection.#socket = connectSocket({
        port,
        host: '127.0.0.1',
        noDelay: true,
        onread: { buffer: shared, callback: (size, buffer) => connection.#read(buffer, size) },
      });
      connection.#socket.once('error', reject);
      connection.#socket.once('connect', () => {
        connection.#socket.removeListener('error', reject);
        connection.#watch();
        resolve(connection);
      });
    });
  }

  #watch() {
    const fault = (error) => {
      if (this.#closing) return;
      this.#closing = true;
      this.onFault(error);
    };
    this.#socket.on('error', fault);
    this.#socket.on('close', () => fault(Object.assign(new Error('the server closed the connection'), { code: 'ECONNRESET' })));
  }

  #read(buffer, size) {
    if (this.#handler !== null) this.#handler(buffer, size);
    else {
      const chunk = Buffer.from(buffer.subarray(0, size));
      this.#rest = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    }
    return true;
  }

  write(bytes) {
    this.#socket.write(bytes);
  }

  /** From now on chunks go to `handler(buffer, size)`, beginning with what came before. */
  handle(handler) {
    const rest = this.#rest;
    this.#rest = null;
    this.#handler = handler;
    if (rest !== null) handler(rest, rest.length);
  }

  /**
   * Waits for one message: `measure(bytes)` says how long the one at the front is, or 0 while it is incomplete.
   * For the set-up only.
   */
  receive(measure) {
    return new Promise((resolve, reject) => {
      let bytes = Buffer.alloc(0);
      this.onFault = reject;
      this.handle((buffer, size) => {
        bytes = Buffer.concat([bytes, buffer.subarray(0, size)]);
        const length = measure(bytes);
        if (length === 0) return;
        this.#handler = null;
        this.#rest = bytes.length > length ? Buffer.from(bytes.subarray(length)) : null;
        resolve(Buffer.from(bytes.subarray(0, length)));
      });
    });
  }

  /** Whatever comes stays with the system from now on; that the server ends the connection is no fault any more. */
  stopReading() {
    this.#closing = true;
    this.#socket.pause();
  }

  close() {
    this.#closing = true;
    this.#socket.destroy();
  }

  /** Ends without the handshake of TCP, as when the network is lost and the server hears of it by a reset. */
  cut() {
    this.#closing = true;
    this.#socket.resetAndDestroy();
  }
}

/** Frames of one size, laid end to end, sent in turn: `send(n)` is at most two writes for any n up to `count`. */
export class FrameRing {
  bytes;
  size;
  count;
  #next = 0;

  /** @param {Buffer[]} frames all of one length */
  constructor(frames) {
    this.size = frames[0].length;
    if (frames.some((frame) => frame.length !== this.size)) throw new Error('frames of a ring must have one size');
    this.bytes = Buffer.concat(frames);
    this.count = frames.length;
  }

  send(connection, n) {
    while (n > 0) {
      const run = Math.min(n, this.count - this.#next);
      connection.write(this.bytes.subarray(this.#next * this.size, (this.#next + run) * this.size));
      this.#next = (this.#next + run) % this.count;
      n -= run;
    }
  }
}

/** Counts packets of one size in a stream. */
export class SizeCounter {
  #size;
  #bytes = 0;

  constructor(size) {
    this.#size = size;
  }

  push(_buffer, n) {
    const bytes = this.#bytes + n;
    const whole = Math.floor(bytes / this.#size);
    this.#bytes = bytes - whole * this.#size;
    return whole;
  }
}

/**
 * Counts the packets of a stream that repeats what a ring sends, from its first frame on. Of each chunk the last whole
 * packet is compared, from byte `from` on, with the frame that it must be; what differs is told to `onOdd`.
 */
export class RingFollower {
  #ring;
  #from;
  #onOdd;
  #bytes = 0;

  constructor(ring, from, onOdd) {
    this.#ring = ring;
    this.#from = from;
    this.#onOdd = onOdd;
  }

  push(buffer, n) {
    const { bytes, size, count } = this.#ring;
    const before = Math.floor(this.#bytes / size);
    this.#bytes += n;
    const packets = Math.floor(this.#bytes / size);
    const end = n - (this.#bytes % size);
    if (packets > before && end >= size) {
      const frame = ((packets - 1) % count) * size;
      const equal = buffer.compare(bytes, frame + this.#from, frame + size, end - size + this.#from, end) === 0;
      if (!equal) this.#onOdd(new Error(`message ${packets - 1} of a receiver is not what was sent`));
    }
    return packets - before;
  }
}
