// Handles: how many files and sockets the system lets this process open.

import { readFileSync } from 'node:fs';

/** Kept free for the store, the other listeners and clients of other protocols; of few handles a half. */
const RESERVED = 1_500;

/** null: the system does not say (it does on Linux). */
export function handleLimit(limits = readLimits()): number | null {
  const found = /^Max open files\s+(\d+)/m.exec(limits);
  return found === null ? null : Number(found[1]);
}

/** How many of `wanted` connections there are handles for. */
export function connectionsWithin(wanted: number, handles: number | null): number {
  if (handles === null) return wanted;
  return Math.max(1, Math.min(wanted, handles - Math.min(RESERVED, Math.ceil(handles / 2))));
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
