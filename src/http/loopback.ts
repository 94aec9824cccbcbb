// Loopback: which names and addresses mean this very machine.

import { isIP } from 'node:net';

/** 127.0.0.0/8, ::1 (with or without brackets) and the name that always means them. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}
