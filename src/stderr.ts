// Stderr: writes lines to stderr, in order and without blocking the event loop. A slow or missing reader, or a full disk, costs lines,
// never the process.

import { constants, fstatSync, openSync, write, writeSync } from 'node:fs';

const STDERR = 2;
/** A reader that does not read costs lines beyond this, never memory. */
const WAITING_MAX_BYTES = 4 * 1024 * 1024;
const RETRY_MS = 50;
/** How often what is left at the end of the process is offered to a reader that takes nothing. */
const LAST_TRIES = 10;

export class Stderr {
  /** So many lines went nowhere, and now they are written again. */
  onLost: ((lines: number) => void) | null = null;
  readonly #fd = withoutWaiting(STDERR);
  #waiting: string[] = [];
  /** What is being written, the lines that it began with, and whether the system has it. */
  #head = Buffer.alloc(0);
  #headLines = 0;
  #isWriting = false;
  #isScheduled = false;
  #bytes = 0;
  #lost = 0;
  #isGone = false;

  write(line: string): void {
    if (this.#isGone) return;
    const bytes = Buffer.byteLength(line);
    if (this.#bytes + bytes > WAITING_MAX_BYTES) {
      this.#lost += 1;
      return;
    }
    this.#waiting.push(line);
    this.#bytes += bytes;
    // Lines of one turn go together, and those that the process ends with are here when it flushes.
    if (!this.#isScheduled && this.#head.length === 0) this.#schedule();
  }

  /** What can be written is written when this returns; a reader that takes nothing is waited for half a second. */
  flush(): void {
    const head = this.#isWriting ? [] : [this.#head];
    let rest = Buffer.concat([...head, Buffer.from(this.#waiting.join(''))]);
    this.#waiting = [];
    this.#head = Buffer.alloc(0);
    this.#bytes = 0;
    for (let tries = 0; rest.length > 0 && tries < LAST_TRIES; ) {
      try {
        rest = rest.subarray(writeSync(this.#fd, rest));
      } catch (error) {
        if (!isBusy(error)) return;
        tries += 1;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
  }

  #schedule(): void {
    this.#isScheduled = true;
    setImmediate(this.#next);
  }

  readonly #next = (): void => {
    this.#isScheduled = false;
    if (this.#waiting.length === 0) return;
    this.#head = Buffer.from(this.#waiting.join(''));
    this.#headLines = this.#waiting.length;
    this.#waiting = [];
    this.#writeHead();
  };

  readonly #writeHead = (): void => {
    if (this.#head.length === 0) return;
    this.#isWriting = true;
    write(this.#fd, this.#head, this.#onWritten);
  };

  readonly #onWritten = (error: NodeJS.ErrnoException | null, bytes: number): void => {
    this.#isWriting = false;
    if (error !== null && isBusy(error)) {
      setTimeout(this.#writeHead, RETRY_MS).unref();
      return;
    }
    if (error === null) this.#written(bytes);
    else this.#failed(error);
    if (this.#head.length > 0) this.#writeHead();
    else if (this.#waiting.length > 0) this.#schedule();
  };

  #written(bytes: number): void {
    this.#head = this.#head.subarray(bytes);
    this.#bytes = Math.max(0, this.#bytes - bytes);
    if (this.#lost === 0) return;
    const lost = this.#lost;
    this.#lost = 0;
    this.onLost?.(lost);
  }

  /** What comes later may be written again, unless nobody is there for it any more. */
  #failed(error: NodeJS.ErrnoException): void {
    this.#lost += this.#headLines;
    this.#bytes = Math.max(0, this.#bytes - this.#head.length);
    this.#head = Buffer.alloc(0);
    if (error.code !== 'EPIPE' && error.code !== 'EBADF') return;
    this.#isGone = true;
    this.#waiting = [];
  }
}

function isBusy(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EAGAIN' || code === 'EBUSY';
}

/**
 * A pipe that nobody empties would hold whoever writes, and with him the end of the process. Opened once more, it says that it is full;
 * that it does so is nothing to the other processes that share it. What is no pipe, or cannot be opened, is taken as it is.
 */
function withoutWaiting(fd: number): number {
  try {
    return fstatSync(fd).isFIFO() ? openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK) : fd;
  } catch {
    return fd;
  }
}
