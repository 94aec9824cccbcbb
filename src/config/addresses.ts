// Texts that name hosts, networks and origins.

import { isIP } from 'node:net';

/** An IP address or a host name. */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0 || /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i.test(text);
}

/** `10.0.0.1`, `10.0.0.0/8` */
export function isAddressOrNetwork(text: string): boolean {
  const [address = '', bits, ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || address.includes('%') || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}

/** `*`, `null` (pages from files) or scheme, host and port with nothing behind. */
export function isOrigin(text: string): boolean {
  if (text === '*' || text === 'null') return true;
  return URL.canParse(text) && new URL(text).origin === text;
}
