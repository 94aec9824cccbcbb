// Handles: how many files and sockets the system lets this process open.

import { readFileSync } from 'node:fs';

/** Kept free for the store, the other listeners and clients of other protocols; of few handles a half. */
const RESERVED = 1_500;
/** Of these, kept free of connections of every kind; of few handles a quarter. */
const OF_THE_STORE = 500;

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

/** How many connections of all kinds together leave some for the store. */
export function roomWithin(handles: number): number {
  return Math.max(1, handles - Math.min(OF_THE_STORE, Math.ceil(handles / 4)));
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
