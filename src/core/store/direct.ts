// Direct: writes that bypass the system's cache, which saves a copy of every byte. Needs whole
// blocks in block-aligned memory; the file system may refuse it, which only an attempt shows.

import { close, constants, ftruncate, open, write } from 'node:fs';
import { promisify } from 'node:util';
import { BLOCK_BYTES } from './journal-record.js';

/** What opens a file for such writes, where there are some. */
export const DIRECT_FLAG: number = process.platform === 'linux' ? constants.O_DIRECT : 0;

/** Memory begins at a multiple of this. */
const STEP_BYTES = 16;

/** So much is written for an attempt, at most: some take a single block from anywhere. */
const ATTEMPT_BYTES = 16 * 1024;

/**
 * Zeros, from which, in whole blocks, a file can be written that was opened with `flags` and DIRECT_FLAG; null: the cache is to be used.
 * The file, which is made if it is not there, is empty then.
 */
export async function directMemory(path: string, flags: number, bytes: number): Promise<Buffer | null> {
  if (DIRECT_FLAG === 0) return null;
  const fd = await orNull(promisify(open)(path, flags | DIRECT_FLAG, 0o666));
  if (fd === null) return null;
  try {
    const memory = Buffer.allocUnsafeSlow(bytes + BLOCK_BYTES).fill(0);
    for (let from = BLOCK_BYTES - STEP_BYTES; from >= 0; from -= STEP_BYTES) {
      const attempt = memory.subarray(from, from + Math.min(bytes, ATTEMPT_BYTES));
      // Blocks of the file are as small, too.
      const isSuitable = (await isTaken(fd, attempt, 0)) && (await isTaken(fd, attempt.subarray(BLOCK_BYTES), BLOCK_BYTES));
      if (isSuitable) return memory.subarray(from, from + bytes);
    }
    return null;
  } finally {
    await orNull(promisify(ftruncate)(fd, 0));
    await promisify(close)(fd);
  }
}

async function isTaken(fd: number, bytes: Buffer, position: number): Promise<boolean> {
  const result = await orNull(promisify(write)(fd, bytes, 0, bytes.length, position));
  return result?.bytesWritten === bytes.length;
}

/** Whatever the system has against it: who writes through its cache hears of what is no matter of how. */
function orNull<Result>(attempt: Promise<Result>): Promise<Result | null> {
  return attempt.catch(() => null);
}
