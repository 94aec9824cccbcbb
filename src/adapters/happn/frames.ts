// Finished websocket frames (RFC 6455 section 5.2: one unmasked, uncompressed text frame each), collected so that a session
// needs one write a turn. The library frames each message with a write of its own, which costs more than all the rest.

import type { Duplex } from 'node:stream';

const FIN = 0x80;
const TEXT = 0x01;
const CONTINUATION = 0x00;
const SHORT_MAX = 125;
const MEDIUM_MAX = 65_535;
const SCRATCH_BYTES = 256 * 1024;
/** Finished frames above this are written as they are, not copied. */
const COPIED_MAX = 16 * 1024;
/** Bytes of UTF-8 that one UTF-16 unit takes at most. */
const UNIT_BYTES = 3;

function headBytes(length: number): number {
  return length <= SHORT_MAX ? 2 : length <= MEDIUM_MAX ? 4 : 10;
}

/** Writes the head of a frame that ends `head` bytes after `at`. */
function writeHead(buffer: Buffer, at: number, head: number, length: number, kind = FIN | TEXT): void {
  buffer[at] = kind;
  if (head === 2) {
    buffer[at + 1] = length;
  } else if (head === 4) {
    buffer[at + 1] = 126;
    buffer.writeUInt16BE(length, at + 2);
  } else {
    buffer[at + 1] = 127;
    buffer.writeUInt32BE(0, at + 2);
    buffer.writeUInt32BE(length, at + 6);
  }
}

/** One finished frame, to be kept and written to many. */
export function textFrame(text: string, kind = FIN | TEXT): Buffer {
  const length = Buffer.byteLength(text);
  const head = headBytes(length);
  const frame = Buffer.allocUnsafe(head + length);
  writeHead(frame, 0, head, length, kind);
  frame.write(text, head);
  return frame;
}

/** Collects the frames of one flush. One writer serves all sessions in turn, because a flush never waits. */
export class FrameWriter {
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #used = 0;
  /** Pieces before what is in the scratch, in order. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  /** The first frame, while it is the only one: it needs no copy. */
  #only: Buffer | null = null;

  /** Bytes collected so far. */
  get length(): number {
    return this.#used + this.#pieceBytes + (this.#only === null ? 0 : this.#only.length);
  }

  text(text: string): void {
    this.#keepOnly();
    const most = text.length * UNIT_BYTES + 10;
    if (most > SCRATCH_BYTES) {
      this.#piece(textFrame(text));
      return;
    }
    if (this.#used + most > SCRATCH_BYTES) this.#seal();
    const scratch = this.#scratch;
    const exact = headBytes(text.length) === headBytes(most - 10);
    const head = headBytes(exact ? text.length : Buffer.byteLength(text));
    const length = scratch.write(text, this.#used + head);
    writeHead(scratch, this.#used, head, length);
    this.#used += head + length;
  }

  /** A piece of a message. Nothing else may be written between the pieces of one. */
  fragment(text: string, first: boolean, last: boolean): void {
    if (first && last) {
      this.text(text);
      return;
    }
    this.#keepOnly();
    this.#piece(textFrame(text, (first ? TEXT : CONTINUATION) | (last ? FIN : 0)));
  }

  /** A frame that others get too. */
  frame(frame: Buffer): void {
    if (this.length === 0) {
      this.#only = frame;
      return;
    }
    this.#keepOnly();
    this.#add(frame);
  }

  #keepOnly(): void {
    const only = this.#only;
    if (only === null) return;
    this.#only = null;
    this.#add(only);
  }

  #add(frame: Buffer): void {
    if (frame.length > COPIED_MAX) {
      this.#piece(frame);
      return;
    }
    if (this.#used + frame.length > SCRATCH_BYTES) this.#seal();
    this.#scratch.set(frame, this.#used);
    this.#used += frame.length;
  }

  #piece(frame: Buffer): void {
    this.#seal();
    this.#pieces.push(frame);
    this.#pieceBytes += frame.length;
  }

  #seal(): void {
    if (this.#used === 0) return;
    const piece = Buffer.allocUnsafe(this.#used);
    piece.set(this.#scratch.subarray(0, this.#used));
    this.#pieces.push(piece);
    this.#pieceBytes += this.#used;
    this.#used = 0;
  }

  /** Hands everything to the socket as one write, and is empty again. */
  writeTo(socket: Duplex): void {
    if (this.#only !== null) {
      const only = this.#only;
      this.#only = null;
      socket.write(only);
      return;
    }
    this.#seal();
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    this.#pieces = [];
    this.#pieceBytes = 0;
    if (pieces.length === 1) {
      socket.write(pieces[0]);
      return;
    }
    socket.cork();
    for (const piece of pieces) socket.write(piece);
    socket.uncork();
  }

  /** Forgets what was collected for a socket that is gone. */
  clear(): void {
    this.#only = null;
    this.#used = 0;
    this.#pieces = [];
    this.#pieceBytes = 0;
  }
}
