// Addresses: what the text of a host or peer tells about it, and where a peer's address is found.

import type { Socket } from 'node:net';

const LOOPBACK_V4 = /^127(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;

/** Whether a host as a person or a URL names it means this machine: 127.0.0.0/8, ::1 (also in brackets), or localhost. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return bare === 'localhost' || bare === '::1' || LOOPBACK_V4.test(bare);
}

/** Whether the peer of a connection is this machine; `address` as the system shows it, without a port. */
export function isLoopbackPeer(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}

/** The address without the port that may stand behind it (`1.2.3.4:5`, `[::1]:5`). */
export function hostOf(address: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(address)?.[1];
  if (bracketed !== undefined) return bracketed;
  // An address of version 6 has more than one colon.
  return address.split(':').length === 2 ? address.slice(0, address.indexOf(':')) : address;
}

/** IPv4 within IPv6, as a listener for both families shows it, as IPv4. Others stay as they are. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '');
}

/** Groups of an IPv6 address that one site is given whole. */
const SITE_GROUPS = 4;

/** What counts as one place: an address of IPv4, or a /64 network of IPv6: one site has all addresses of it. */
export function networkOf(address: string): string {
  const plain = plainAddress(address);
  if (!plain.includes(':')) return plain;
  const [first = [], last] = plain.split('::').map((half) => (half === '' ? [] : half.split(':')));
  if (last === undefined) return first.slice(0, SITE_GROUPS).join(':');
  const zeros = new Array<string>(Math.max(0, 8 - first.length - last.length)).fill('0');
  return [...first, ...zeros, ...last].slice(0, SITE_GROUPS).join(':');
}

/** Address and port, as sessions and the log have them; `hostOf` finds the address in it again. */
export function peerName(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The name of who is at the other end; `?:0` when that is not known any more. */
export function peerOf({ remoteAddress = '?', remotePort = 0 }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return peerName(plainAddress(remoteAddress), remotePort);
}

/**
 * The socket that a secure one was made of: one whose address was asked for while the peer was there knows it for ever. Node has no
 * name for it in its documentation; where it is not to be had, the secure one stands for itself.
 */
export function rawSocketOf(secure: Socket): Socket {
  return (secure as { readonly _parent?: Socket | null })._parent ?? secure;
}
