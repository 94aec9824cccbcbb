// Origin: which web pages may open websockets. Without this check any page that a person visits could reach a
// gateway on that person's machine.

import { isIP } from 'node:net';
import { isLoopback } from '../core/index.js';

export interface OriginRule {
  /** As configured; `*` allows all. */
  readonly listed: ReadonlySet<string>;
}

/**
 * Programs that are no browsers send no Origin and pass. A page passes when it is listed, when it comes from loopback,
 * or when it comes from this very listener under an IP address (a host name could be made to point here by its owner).
 */
export function isOriginAllowed(origin: string | undefined, host: string | undefined, rule: OriginRule): boolean {
  if (origin === undefined || rule.listed.has('*') || rule.listed.has(origin)) return true;
  if (!URL.canParse(origin)) return false;
  const url = new URL(origin);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return false;
  if (isLoopback(url.hostname)) return true;
  return isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0 && url.host === host;
}

/** Whether a Host header names this listener itself: loopback, the address it was told to listen on, or a configured name. */
export function isHostAllowed(host: string | undefined, listensOn: string, names: readonly string[]): boolean {
  if (host === undefined || !URL.canParse(`http://${host}`)) return false;
  const name = new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, '');
  return isLoopback(name) || name === listensOn || names.includes(name) || (isIP(name) !== 0 && !isLoopback(listensOn));
}
